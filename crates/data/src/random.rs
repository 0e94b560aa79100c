//! Random streams: the same numbers on every platform, for any number of threads, in any order.
//!
//! Each (purpose, seed, epoch, index) has a stream of its own. BLAKE3 turns the four into 256 bits,
//! which start a xoshiro256++ (Blackman and Vigna 2019): streams of neighbouring images are as
//! unrelated as hashes are, and a draw costs about a nanosecond. Transcendental functions come from
//! `libm`, because those of the platform differ in the last bit. The golden tests below pin it all;
//! if one must change, raise `NUMERICS_VERSION`.

/// What a stream is for: two purposes never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Order of the images of an epoch.
    Permutation,
    /// Preprocessing of one image in one epoch.
    Augment,
    /// Class-balanced order that subsets are cut from.
    Subset,
    /// Content of the synthetic dataset.
    Synthetic,
    /// Content of the fashion scenes.
    Scenes,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream {
    state: [u64; 4],
}

impl Stream {
    /// The stream of these four.
    pub fn new(purpose: Purpose, seed: u64, epoch: u64, index: u64) -> Self {
        let name: &[u8; 8] = match purpose {
            Purpose::Permutation => b"permute\0",
            Purpose::Augment => b"augment\0",
            Purpose::Subset => b"subset\0\0",
            Purpose::Synthetic => b"synthet\0",
            Purpose::Scenes => b"scenes\0\0",
        };
        let mut key = [0; 32];
        key[..8].copy_from_slice(name);
        key[8..16].copy_from_slice(&seed.to_le_bytes());
        key[16..24].copy_from_slice(&epoch.to_le_bytes());
        key[24..].copy_from_slice(&index.to_le_bytes());
        let mut state = [0; 4];
        for (word, bytes) in state
            .iter_mut()
            .zip(blake3::hash(&key).as_bytes().chunks_exact(8))
        {
            *word = bytes.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b));
        }
        Stream { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// U[0, 1), a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// U[low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// An integer in 0..n without bias (Lemire 2019). `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        debug_assert!(n > 0);
        let reject_under = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= reject_under {
                return (product >> 64) as u64;
            }
        }
    }

    /// N(0, 1), by Box and Muller; always two draws.
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// Order of the `n` images of an epoch.
pub fn permutation(seed: u64, epoch: u64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Stream::new(Purpose::Permutation, seed, epoch, 0).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference xoshiro256++ started from 1, 2, 3, 4.
    #[test]
    fn generator_is_xoshiro256_plus_plus() {
        let mut stream = Stream {
            state: [1, 2, 3, 4],
        };
        let first: Vec<u64> = (0..5).map(|_| stream.bits()).collect();
        assert_eq!(
            first,
            [
                41943041,
                58720359,
                3588806011781223,
                3591011842654386,
                9228616714210784205
            ]
        );
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let n = 200_000;
        let mut stream = Stream::new(Purpose::Augment, 1, 2, 3);
        let (mut sum, mut sum2, mut sum4, mut unit) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..n {
            let z = stream.normal();
            (sum, sum2, sum4) = (sum + z, sum2 + z * z, sum4 + z * z * z * z);
            unit += stream.uniform(-1.0, 3.0);
        }
        let n = f64::from(n);
        assert!(
            (sum / n).abs() < 0.01
                && (sum2 / n - 1.0).abs() < 0.02
                && (sum4 / n - 3.0).abs() < 0.15
        );
        assert!((unit / n - 1.0).abs() < 0.02);
    }

    #[test]
    fn below_is_uniform() {
        let mut stream = Stream::new(Purpose::Augment, 7, 0, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        // Chi-square with 6 degrees of freedom: 22.5 is p = 0.001.
        let chi2: f64 = counts
            .iter()
            .map(|c| (f64::from(*c) - 10_000.0).powi(2) / 10_000.0)
            .sum();
        assert!(chi2 < 22.5, "{counts:?}");
    }

    #[test]
    fn neighbouring_streams_are_unrelated() {
        let first = |seed, epoch, index| Stream::new(Purpose::Augment, seed, epoch, index).unit();
        let draws: Vec<f64> = (0..10_000).map(|i| first(1, 1, i)).collect();
        let mean = draws.iter().sum::<f64>() / 1e4;
        let lag: f64 = draws
            .windows(2)
            .map(|w| (w[0] - 0.5) * (w[1] - 0.5))
            .sum::<f64>()
            / 1e4
            * 12.0;
        assert!(
            (mean - 0.5).abs() < 0.012 && lag.abs() < 0.04,
            "mean {mean}, lag-1 correlation {lag}"
        );
        assert_ne!(first(1, 2, 3), first(2, 1, 3));
        assert_ne!(first(1, 2, 3), first(1, 3, 2));
        assert_ne!(
            Stream::new(Purpose::Subset, 1, 2, 3).bits(),
            Stream::new(Purpose::Permutation, 1, 2, 3).bits()
        );
    }

    #[test]
    fn an_epoch_has_every_image_once_in_an_order_of_its_own() {
        let (a, b) = (permutation(1, 0, 1000), permutation(1, 1, 1000));
        assert_ne!(a[..10], b[..10]);
        assert_eq!(a, permutation(1, 0, 1000));
        let mut sorted = a.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }
}
