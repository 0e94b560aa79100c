//! Step 3: "flip horizontally with 0.5 probability" (section 2.1). Costs nothing: the resize reads
//! its columns in reverse.

use crate::random::Stream;

/// Whether this image is mirrored.
pub fn draw(probability: f64, stream: &mut Stream) -> bool {
    stream.unit() < probability
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn happens_as_often_as_asked() {
        for probability in [0.0, 0.25, 0.5, 1.0] {
            let flips = (0..20_000)
                .filter(|i| draw(probability, &mut Stream::new(Purpose::Augment, 1, 1, *i)));
            let share = flips.count() as f64 / 20_000.0;
            assert!(
                (share - probability).abs() < 0.012,
                "{probability}: {share}"
            );
        }
    }
}
