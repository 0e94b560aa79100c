//! How is a box told as a change of another? Centre moved by a share of width and height, width and
//! height by their logarithm, each divided by a standard deviation, as in the authors' released code:
//! widths are differences there, and no change is bounded.

use super::anchors::Corners;

/// A box as a change of another: x, y, width, height.
pub type Deltas = [f32; 4];

/// No change of the scale: the RPN's standard deviations.
pub const UNIT: [f32; 4] = [1.0; 4];

/// Centre and size. A box thinner than a pixel counts as one pixel wide: its logarithm must be a number.
fn centre([left, top, right, bottom]: Corners) -> [f32; 4] {
    let (width, height) = (right - left, bottom - top);
    let middle = [left + width / 2.0, top + height / 2.0];
    [middle[0], middle[1], width.max(1.0), height.max(1.0)]
}

/// `truth` as a change of `from`.
pub fn encode(truth: Corners, from: Corners, stds: [f32; 4]) -> Deltas {
    let ([x, y, width, height], [fx, fy, fw, fh]) = (centre(truth), centre(from));
    let deltas = [
        (x - fx) / fw,
        (y - fy) / fh,
        (width / fw).ln(),
        (height / fh).ln(),
    ];
    [0, 1, 2, 3].map(|i| deltas[i] / stds[i])
}

/// The box that is that change of `from`.
pub fn decode(deltas: Deltas, from: Corners, stds: [f32; 4]) -> Corners {
    let [fx, fy, fw, fh] = centre(from);
    let [dx, dy, dw, dh] = [0, 1, 2, 3].map(|i| deltas[i] * stds[i]);
    let (x, y) = (dx * fw + fx, dy * fh + fy);
    let (half_width, half_height) = (dw.exp() * fw / 2.0, dh.exp() * fh / 2.0);
    [
        x - half_width,
        y - half_height,
        x + half_width,
        y + half_height,
    ]
}

/// The part of a box inside an image of that width and height.
pub fn clip([left, top, right, bottom]: Corners, [width, height]: [f32; 2]) -> Corners {
    [
        left.clamp(0.0, width),
        top.clamp(0.0, height),
        right.clamp(0.0, width),
        bottom.clamp(0.0, height),
    ]
}

/// Intersection over union; widths are differences, as in the released code's assignment.
pub fn iou(a: Corners, b: Corners) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let both = width * height;
    if both <= 0.0 {
        return 0.0;
    }
    let area = |c: Corners| (c[2] - c[0]) * (c[3] - c[1]);
    both / (area(a) + area(b) - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STDS: [f32; 4] = [0.1, 0.1, 0.2, 0.2];

    fn near(a: [f32; 4], b: [f32; 4]) {
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() < 1e-4, "{a:?} {b:?}");
        }
    }

    /// By hand: a box of 20 x 10 around (10, 5), the truth 40 x 10 around (20, 10).
    #[test]
    fn coding_of_a_box_by_hand() {
        let (from, truth) = ([0.0, 0.0, 20.0, 10.0], [0.0, 5.0, 40.0, 15.0]);
        let ln2 = std::f32::consts::LN_2;
        near(encode(truth, from, UNIT), [0.5, 0.5, ln2, 0.0]);
        near(encode(truth, from, STDS), [5.0, 5.0, 5.0 * ln2, 0.0]);
        near(decode([0.5, 0.5, ln2, 0.0], from, UNIT), truth);
    }

    #[test]
    fn coding_there_and_back_is_the_same_box_and_a_point_stays_a_number() {
        let from = [-15.0, -4.0, 30.0, 19.0];
        for truth in [[3.0, 4.0, 90.0, 7.5], [-20.0, -8.0, -3.0, 100.0]] {
            near(decode(encode(truth, from, STDS), from, STDS), truth);
        }
        let point = encode([5.0; 4], [7.0; 4], STDS);
        assert!(point.iter().all(|delta| delta.is_finite()), "{point:?}");
    }

    #[test]
    fn coding_does_not_bound_changes_and_clipping_ends_at_the_image() {
        let wide = decode([0.0, 0.0, 8.0, 0.0], [0.0, 0.0, 2.0, 2.0], UNIT);
        assert!(wide[2] - wide[0] > 5900.0, "{wide:?}");
        assert_eq!(clip(wide, [100.0, 50.0]), [0.0, 0.0, 100.0, 2.0]);
    }

    #[test]
    fn coding_measures_overlap_without_the_last_pixel() {
        let square = [0.0, 0.0, 10.0, 10.0];
        assert_eq!(iou(square, [0.0, 0.0, 10.0, 5.0]), 0.5);
        assert_eq!(iou(square, [10.0, 0.0, 20.0, 10.0]), 0.0);
        assert_eq!(iou([3.0; 4], [3.0; 4]), 0.0);
    }
}
