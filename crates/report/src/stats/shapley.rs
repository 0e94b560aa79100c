//! What is each of several refinements worth, on average over all orders of adding them? (Shapley 1953.)

/// Shapley values of `players` refinements, given the value of every subset (bit i = refinement i is in).
/// They add up to the value of all minus the value of none.
pub fn shapley(players: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
    let all = factorial(players);
    (0..players)
        .map(|i| {
            let without = (0..1 << players).filter(|subset| subset >> i & 1 == 0);
            without
                .map(|subset: usize| {
                    let size = subset.count_ones() as usize;
                    let orders = factorial(size) * factorial(players - size - 1);
                    orders / all * (value(subset | 1 << i) - value(subset))
                })
                .sum()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Additive values are found again; an interaction is shared by those that make it.
    #[test]
    fn shares_add_up_and_an_interaction_is_split() {
        let alone = [1.0, 2.0, 4.0];
        let additive = |s: usize| {
            (0..3)
                .filter(|i| s >> i & 1 == 1)
                .map(|i| alone[i])
                .sum::<f64>()
        };
        assert_eq!(shapley(3, additive), alone);
        let together = |s: usize| additive(s) + if s & 0b011 == 0b011 { 6.0 } else { 0.0 };
        let shares = shapley(3, together);
        for (share, want) in shares.iter().zip([4.0, 5.0, 4.0]) {
            assert!((share - want).abs() < 1e-12, "{shares:?}");
        }
        let total: f64 = shares.iter().sum();
        assert!((total - (together(0b111) - together(0))).abs() < 1e-12);
    }

    /// The glove game: one left glove (player 0), two right ones; only a pair is worth 1.
    #[test]
    fn the_glove_game_has_its_textbook_solution() {
        let pair = |s: usize| f64::from(u8::from(s & 1 == 1 && s & 0b110 != 0));
        for (share, want) in shapley(3, pair)
            .iter()
            .zip([2.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0])
        {
            assert!((share - want).abs() < 1e-12);
        }
    }
}
