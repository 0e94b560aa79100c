//! Which boxes does the RPN start from? At every position of the feature map the same few, as in
//! py-faster-rcnn and the authors' released code: width and height rounded before they are scaled,
//! around (base - 1) / 2, their right and bottom one short of left plus width and top plus height.

use rungs_spec::recipe::Detect;

/// Left, top, right and bottom in pixels of the resized image.
pub type Corners = [f32; 4];

/// What anchors are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchors {
    /// Those of the first position.
    first: Vec<Corners>,
    /// Pixels between neighbouring positions.
    stride: u32,
}

impl Anchors {
    /// Of a recipe, on features of that stride.
    pub fn of_recipe(detect: &Detect, stride: u32) -> Anchors {
        let base = f64::from(detect.anchor_base);
        let middle = (base - 1.0) / 2.0;
        let mut first = Vec::new();
        for ratio in &detect.anchor_ratios {
            let width = (base * base / ratio).sqrt().round_ties_even();
            let height = (width * ratio).round_ties_even();
            for scale in &detect.anchor_scales {
                let (x, y) = ((width * scale - 1.0) / 2.0, (height * scale - 1.0) / 2.0);
                first.push([middle - x, middle - y, middle + x, middle + y].map(|at| at as f32));
            }
        }
        Anchors { first, stride }
    }

    /// Those of a feature map: row by row, in a row position by position, at a position ratio by ratio
    /// and for each ratio scale by scale.
    pub fn of_map(&self, height: usize, width: usize) -> Vec<Corners> {
        let mut all = Vec::with_capacity(height * width * self.first.len());
        for y in 0..height {
            for x in 0..width {
                let (dx, dy) = (
                    (x as u32 * self.stride) as f32,
                    (y as u32 * self.stride) as f32,
                );
                let moved = self
                    .first
                    .iter()
                    .map(|[l, t, r, b]| [l + dx, t + dy, r + dx, b + dy]);
                all.extend(moved);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released() -> Anchors {
        let table = "task = 'detect'".parse().expect("TOML");
        let recipe = rungs_spec::settle::complete(&table).expect("a recipe");
        Anchors::of_recipe(recipe.detect.as_ref().expect("its sub-table"), 16)
    }

    /// recipes.md section 7, trap 22, and the first of each ratio by hand: (23, 12), (16, 16) and
    /// (11, 22), twice as large, around 7.5.
    #[test]
    fn anchors_are_the_released_ones() {
        let anchors = released();
        let all = anchors.of_map(1, 1);
        assert_eq!(all.len(), 15);
        assert_eq!(all[0], [-15.0, -4.0, 30.0, 19.0]);
        assert_eq!(all[5], [-8.0, -8.0, 23.0, 23.0]);
        assert_eq!(all[10], [-3.0, -14.0, 18.0, 29.0]);
        // The largest square: 16 * 32 - 1 from left to right.
        assert_eq!(all[9], [-248.0, -248.0, 263.0, 263.0]);
    }

    #[test]
    fn anchors_move_with_the_position_row_by_row() {
        let all = released().of_map(2, 3);
        assert_eq!(all.len(), 2 * 3 * 15);
        assert_eq!(all[15], [1.0, -4.0, 46.0, 19.0]);
        assert_eq!(all[3 * 15], [-15.0, 12.0, 30.0, 35.0]);
        assert_eq!(all[5 * 15 + 9], [-216.0, -232.0, 295.0, 279.0]);
    }
}
