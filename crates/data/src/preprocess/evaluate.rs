//! Evaluation: "resize the shorter edge to 256 pixels while keeping the aspect ratio, crop the centre
//! 224 x 224, normalise" (section 2.1). Only the pixels of the crop are computed.

use crate::preprocess::crop::Rect;
use crate::preprocess::resize::Window;

/// The centre `size` x `size` of a `width` x `height` image whose short side becomes `short`; the long side is
/// rounded down, and so is the offset of the crop.
pub fn window(width: usize, height: usize, short: usize, size: usize, antialias: bool) -> Window {
    let scaled = |side: usize| side * short / width.min(height);
    let full = [scaled(width), scaled(height)];
    Window {
        region: Rect {
            x: 0,
            y: 0,
            width,
            height,
        },
        full,
        offset: full.map(|side| (side - size) / 2),
        size,
        flip: false,
        antialias,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_side_is_exact_and_the_long_side_is_rounded_down() {
        let w = window(500, 375, 256, 224, false);
        assert_eq!((w.full, w.offset, w.size), ([341, 256], [58, 16], 224));
        let w = window(375, 500, 342, 299, false);
        assert_eq!((w.full, w.offset, w.size), ([342, 456], [21, 78], 299));
        assert_eq!(window(28, 28, 32, 28, false).offset, [2, 2]);
    }
}
