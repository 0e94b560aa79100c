//! Where random numbers of the trainer come from: streams that depend on the seed and a purpose
//! only, so that a resumed run draws what an uninterrupted one would. The only file that seeds
//! libtorch. (Shuffling and augmentation are rungs-data's, by the same rule.)

/// Fixes libtorch's thread counts and kernels: same threads, same bits.
pub fn set_up(compute_threads: u32) {
    tch::set_num_threads(compute_threads.max(1) as i32);
    tch::set_num_interop_threads(1);
}

/// Seeds libtorch's own generator, from which training draws nothing: benchmarks do.
pub fn seed_libtorch(seed: u64) {
    tch::manual_seed(seed as i64);
}

/// A stream of random numbers: SplitMix64 from a hash of seed and purpose.
#[derive(Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream of that seed for that purpose.
    pub fn new(seed: u64, purpose: &str) -> Stream {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(b"rungs trainer ")
            .update(&seed.to_le_bytes())
            .update(purpose.as_bytes());
        let mut state = [0; 8];
        hasher.finalize_xof().fill(&mut state);
        Stream(u64::from_le_bytes(state))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An integer in 0..n without bias (Lemire 2019). `n` must not be 0.
    fn below(&mut self, n: u64) -> u64 {
        let reject_under = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= reject_under {
                return (product >> 64) as u64;
            }
        }
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Keeps `count` of the items, each as likely as the others; all of them if they are not more. What
    /// stays is in a random order if something goes, and as it was otherwise.
    pub fn choose<T>(&mut self, items: &mut Vec<T>, count: usize) {
        if items.len() <= count {
            return;
        }
        for i in 0..count {
            let rest = (items.len() - i) as u64;
            items.swap(i, i + self.below(rest) as usize);
        }
        items.truncate(count);
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let angle = 2.0 * std::f64::consts::PI * self.uniform();
        (-2.0 * u.ln()).sqrt() * angle.cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_and_purpose() {
        let first = |seed, purpose| Stream::new(seed, purpose).next_u64();
        assert_eq!(first(1, "init fc.weight"), first(1, "init fc.weight"));
        assert_ne!(first(1, "init fc.weight"), first(2, "init fc.weight"));
        assert_ne!(first(1, "init fc.weight"), first(1, "init fc.bias"));
    }

    #[test]
    fn every_item_is_chosen_as_often_as_the_others() {
        let mut stream = Stream::new(3, "choose");
        let mut counts = [0; 5];
        for _ in 0..10_000 {
            let mut items = vec![0, 1, 2, 3, 4];
            stream.choose(&mut items, 2);
            assert!(items.len() == 2 && items[0] != items[1]);
            items.iter().for_each(|item| counts[*item as usize] += 1);
        }
        assert!(
            counts.iter().all(|n| (*n - 4000_i32).abs() < 250),
            "{counts:?}"
        );
        let mut few = vec![7, 8];
        stream.choose(&mut few, 2);
        assert_eq!(few, [7, 8]);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut stream = Stream::new(7, "moments");
        let n = 100_000;
        let uniform: f64 = (0..n).map(|_| stream.uniform()).sum::<f64>() / f64::from(n);
        assert!((uniform - 0.5).abs() < 0.005, "{uniform}");
        let variance: f64 = (0..n).map(|_| stream.normal().powi(2)).sum::<f64>() / f64::from(n);
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }
}
