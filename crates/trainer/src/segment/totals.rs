//! How right are predicted masks? Pixel accuracy and mean intersection over union, from totals over
//! the whole split (recipes.md section 5; trap 25): not a mean over images.

/// Pixels counted so far, class by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Pixels of class t taken for class p, at `t * classes + p`.
    pixels: Vec<u64>,
    classes: usize,
}

impl Totals {
    /// Nothing seen.
    pub fn new(classes: usize) -> Totals {
        Totals {
            pixels: vec![0; classes * classes],
            classes,
        }
    }

    /// Counts pixels with their true and predicted class; those without a label (below 0) are passed
    /// over, whatever is said of them. Classes beyond `classes` are a mistake of the caller.
    pub fn add(&mut self, truth: &[i64], predicted: &[i64]) {
        for (truth, predicted) in truth.iter().zip(predicted) {
            if *truth >= 0 {
                self.pixels[*truth as usize * self.classes + *predicted as usize] += 1;
            }
        }
    }

    /// Labelled pixels.
    pub fn labelled(&self) -> u64 {
        self.pixels.iter().sum()
    }

    /// Percent of the labelled pixels that are right.
    pub fn pixel_accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.right(class)).sum();
        100.0 * right as f64 / self.labelled().max(1) as f64
    }

    /// Percent: mean over all classes of the pixels in both masks by those in either. A class that is
    /// in neither counts 0, as in the released code.
    pub fn mean_iou(&self) -> f64 {
        let sum: f64 = (0..self.classes).filter_map(|class| self.iou(class)).sum();
        100.0 * sum / self.classes as f64
    }

    fn right(&self, class: usize) -> u64 {
        self.pixels[class * self.classes + class]
    }

    fn of_truth(&self, class: usize) -> u64 {
        self.pixels[class * self.classes..][..self.classes]
            .iter()
            .sum()
    }

    /// 0 to 1; `None` where the class is in neither mask.
    fn iou(&self, class: usize) -> Option<f64> {
        let predicted: u64 = self.pixels.iter().skip(class).step_by(self.classes).sum();
        let union = self.of_truth(class) + predicted - self.right(class);
        (union > 0).then(|| self.right(class) as f64 / union as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::determinism::Stream;

    /// recipes.md section 7, trap 25: two images whose totals differ from the mean of their own IoUs.
    #[test]
    fn trap_25_totals_are_over_the_split_and_no_label_is_passed_over() {
        let mut all = Totals::new(2);
        let one = ([0, 0, 0, 1], [0, 0, 0, 0]);
        let two = ([1, 1, -1, -1], [1, 1, 0, 1]);
        let alone = |(truth, predicted): &([i64; 4], [i64; 4])| {
            let mut totals = Totals::new(2);
            totals.add(truth, predicted);
            totals.mean_iou()
        };
        for (truth, predicted) in [&one, &two] {
            all.add(truth, predicted);
        }
        assert_eq!(all.labelled(), 6);
        assert!((all.pixel_accuracy() - 100.0 * 5.0 / 6.0).abs() < 1e-12);
        // Class 0: 3 of 4, class 1: 2 of 3.
        let expected = 100.0 * (3.0 / 4.0 + 2.0 / 3.0) / 2.0;
        assert!((all.mean_iou() - expected).abs() < 1e-12);
        assert!((all.mean_iou() - (alone(&one) + alone(&two)) / 2.0).abs() > 1.0);
    }

    #[test]
    fn a_class_in_neither_mask_counts_0() {
        let mut totals = Totals::new(4);
        totals.add(&[0, 0, 1], &[0, 0, 1]);
        assert_eq!(totals.mean_iou(), 50.0);
        // Predicted where it is not: in the union.
        totals.add(&[0], &[3]);
        assert_eq!(totals.mean_iou(), 100.0 * (2.0 / 3.0 + 1.0) / 4.0);
        assert_eq!(Totals::new(3).mean_iou(), 0.0);
    }

    /// Image and pixel, true and predicted class.
    type Labelled = ((usize, usize), i64, i64);

    /// The definition, on sets of pixels, class by class: no table of counts.
    fn by_sets(images: &[(Vec<i64>, Vec<i64>)], classes: i64) -> (f64, f64) {
        use std::collections::BTreeSet;
        let mut labelled = Vec::new();
        for (image, (truth, predicted)) in images.iter().enumerate() {
            for (pixel, (t, p)) in truth.iter().zip(predicted).enumerate() {
                if *t != -1 {
                    labelled.push(((image, pixel), *t, *p));
                }
            }
        }
        let set = |of: &dyn Fn(&Labelled) -> bool| -> BTreeSet<(usize, usize)> {
            labelled.iter().filter(|x| of(x)).map(|x| x.0).collect()
        };
        let right = set(&|(_, t, p)| t == p).len() as f64 / labelled.len() as f64;
        let iou = |class: i64| {
            let (truth, said) = (set(&|x| x.1 == class), set(&|x| x.2 == class));
            let either = truth.union(&said).count();
            match either {
                0 => 0.0,
                either => truth.intersection(&said).count() as f64 / either as f64,
            }
        };
        let mean = (0..classes).map(iou).sum::<f64>() / classes as f64;
        (100.0 * right, 100.0 * mean)
    }

    #[test]
    fn totals_equal_an_independent_implementation_on_random_masks() {
        let mut stream = Stream::new(25, "masks");
        for case in 0..200 {
            let classes = 1 + (stream.next_u64() % 7) as i64;
            // Sometimes a class never occurs, sometimes nearly nothing is labelled.
            let (top, unlabelled) = (1 + stream.next_u64() % classes as u64, stream.uniform());
            let images: Vec<(Vec<i64>, Vec<i64>)> = (0..3)
                .map(|_| {
                    let mut masks = (Vec::new(), Vec::new());
                    for _ in 0..64 {
                        let class = (stream.next_u64() % top) as i64;
                        masks.0.push(if stream.uniform() < unlabelled {
                            -1
                        } else {
                            class
                        });
                        let agrees = stream.uniform() < 0.5;
                        let other = (stream.next_u64() % classes as u64) as i64;
                        masks.1.push(if agrees { class } else { other });
                    }
                    masks
                })
                .collect();
            if images
                .iter()
                .all(|(truth, _)| truth.iter().all(|t| *t == -1))
            {
                continue;
            }
            let mut totals = Totals::new(classes as usize);
            for (truth, predicted) in &images {
                totals.add(truth, predicted);
            }
            let (pixel_accuracy, mean_iou) = by_sets(&images, classes);
            assert!(
                (totals.pixel_accuracy() - pixel_accuracy).abs() < 1e-9,
                "{case}"
            );
            assert!((totals.mean_iou() - mean_iou).abs() < 1e-9, "{case}");
        }
    }
}
