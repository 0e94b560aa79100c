//! Many SIGKILLs at random, over the runner and its trainers, while runs depend on each other: the short
//! form of the acceptance line `kills` (scripts/accept/5), which does it with real trainers.

mod common;

use std::time::Duration;

use common::{Bench, signal, undisturbed};

/// `student` learns from a cell of `tiny`.
const BOTH: [&str; 3] = ["reproduce", "tiny", "student"];

/// What falls differently each time, but the same for one seed.
struct Dice(u64);

impl Dice {
    /// Of RUNGS_KILL_SEED, else of the clock. The seed is printed, and shown when the test fails.
    fn new() -> Dice {
        let clock = || {
            std::time::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .subsec_nanos()
                .into()
        };
        let seed =
            std::env::var("RUNGS_KILL_SEED").map_or_else(|_| clock(), |s| s.parse().unwrap());
        eprintln!("RUNGS_KILL_SEED={seed}");
        Dice(seed)
    }

    /// A number below `n` (splitmix64).
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Runs the command, killed again and again, until it comes to its end or `kills` is used up.
fn shoot(bench: &Bench, dice: &mut Dice, kills: &mut u32) {
    let mut runner = bench.start(&BOTH);
    while *kills > 0 {
        std::thread::sleep(Duration::from_millis(dice.below(500)));
        if let Some(status) = runner.try_wait().unwrap() {
            assert!(status.success(), "{}", bench.log());
            return;
        }
        let choice = dice.below(4);
        let trainers = bench.trainers();
        if choice < 2 {
            signal(runner.id(), "KILL");
            if choice == 1 {
                bench.kill_trainers();
            }
            *kills -= 1;
            // It may have come to its end by itself a moment ago.
            if runner.wait().unwrap().success() {
                return;
            }
            runner = bench.start(&BOTH);
        } else if !trainers.is_empty() {
            let one = dice.below(trainers.len() as u64);
            signal(trainers[usize::try_from(one).unwrap()], "KILL");
            *kills -= 1;
        }
    }
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
}

#[test]
fn thirty_random_kills_lose_nothing_and_change_no_weight() {
    let mut dice = Dice::new();
    let weights = undisturbed(&BOTH);
    let mut kills = 30;
    while kills > 0 {
        let bench = Bench::new().with("FAKE_STEP_MS", "30");
        shoot(&bench, &mut dice, &mut kills);
        bench.run(&BOTH).ok();
        assert_eq!(bench.weights(), weights);
        bench.nothing_lost_or_doubled();
    }
}
