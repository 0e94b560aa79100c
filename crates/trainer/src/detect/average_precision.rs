//! How right are detections? VOC's average precision, as the authors' released code computes it
//! (`VOC07MApMetric` and `VOCMApMetric`): a detection is right if of all true boxes of its class and image the
//! one it overlaps most is overlapped by at least half, and no better detection has claimed that one. Widths and
//! heights count the last pixel. A difficult box neither counts as missed nor, when found, as right or wrong.
//!
//! A class without a box that counts has no average precision and is left out of the mean, as in the released
//! code. Detections of equal score stand in the order in which they were added (there: in whichever order
//! NumPy's sort leaves them).

use rungs_data::scenes::Object;

/// A box that a network has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Class, from 0.
    pub label: i64,
    /// Left, top, right and bottom, as of an [`Object`].
    pub corners: [f32; 4],
    /// The higher, the surer.
    pub score: f32,
}

/// What is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Points {
    /// The best precision at recall 0, 0.1, ... 1 (VOC 2007).
    Eleven,
    /// The best precision at each recall: the area under the curve (VOC 2010 on).
    Area,
}

/// Detections so far, judged image by image.
#[derive(Debug, Clone, PartialEq)]
pub struct AveragePrecision {
    classes: Vec<Class>,
    iou: f64,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Class {
    /// Boxes that are no difficult ones.
    true_boxes: usize,
    /// Score of a detection, and is it right?
    judged: Vec<(f32, bool)>,
}

impl AveragePrecision {
    /// Nothing seen. VOC's `iou` is 0.5.
    pub fn new(classes: usize, iou: f64) -> AveragePrecision {
        AveragePrecision {
            classes: vec![Class::default(); classes],
            iou,
        }
    }

    /// Judges what was found in an image. Classes beyond `classes` are a mistake of the caller.
    pub fn add(&mut self, found: &[Detection], objects: &[Object]) {
        for object in objects {
            self.classes[object.label as usize].true_boxes += usize::from(!object.difficult);
        }
        let mut best_first: Vec<&Detection> = found.iter().collect();
        best_first.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut claimed = vec![false; objects.len()];
        for detection in best_first {
            let mut most = None;
            for (i, object) in objects.iter().enumerate() {
                let overlap = iou(&detection.corners, &object.corners);
                let is_more = most.is_none_or(|(_, so_far)| overlap > so_far);
                if object.label == detection.label && is_more {
                    most = Some((i, overlap));
                }
            }
            let right = match most {
                Some((i, overlap)) if overlap >= self.iou => {
                    if objects[i].difficult {
                        continue;
                    }
                    !std::mem::replace(&mut claimed[i], true)
                }
                _ => false,
            };
            let class = &mut self.classes[detection.label as usize];
            class.judged.push((detection.score, right));
        }
    }

    /// Percent, class by class; `None` where no box counts.
    pub fn of_classes(&self, points: Points) -> Vec<Option<f64>> {
        let of_class = |class: &Class| class.average_precision(points).map(|ap| 100.0 * ap);
        self.classes.iter().map(of_class).collect()
    }

    /// Percent: the mean over the classes that have one; `None` where none has.
    pub fn mean(&self, points: Points) -> Option<f64> {
        let of_classes: Vec<f64> = self.of_classes(points).into_iter().flatten().collect();
        let count = of_classes.len();
        (count > 0).then(|| of_classes.iter().sum::<f64>() / count as f64)
    }
}

impl Class {
    fn average_precision(&self, points: Points) -> Option<f64> {
        if self.true_boxes == 0 {
            return None;
        }
        let mut curve = self.curve();
        // The best precision at this recall or a higher one.
        for i in (1..curve.len()).rev() {
            curve[i - 1].1 = curve[i - 1].1.max(curve[i].1);
        }
        Some(match points {
            Points::Eleven => (0..=10)
                .map(|tenth| {
                    // In this arithmetic 3 * 0.1 is above 3 / 10, there as here.
                    let recall = f64::from(tenth) * 0.1;
                    let from = curve.partition_point(|(reached, _)| *reached < recall);
                    curve
                        .get(from)
                        .map_or(0.0, |(_, precision)| precision / 11.0)
                })
                .sum(),
            Points::Area => {
                let before = [0.0]
                    .into_iter()
                    .chain(curve.iter().map(|(recall, _)| *recall));
                let steps = curve.iter().zip(before);
                steps
                    .map(|((recall, precision), before)| (recall - before) * precision)
                    .sum()
            }
        })
    }

    /// Recall and precision after each detection, best first.
    fn curve(&self) -> Vec<(f64, f64)> {
        let mut judged = self.judged.clone();
        judged.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut right = 0.0;
        let after = |(i, (_, is_right)): (usize, &(f32, bool))| {
            right += f64::from(u8::from(*is_right));
            (right / self.true_boxes as f64, right / (i + 1) as f64)
        };
        judged.iter().enumerate().map(after).collect()
    }
}

/// Intersection over union of boxes whose last pixel is inside.
fn iou(a: &[f32; 4], b: &[f32; 4]) -> f64 {
    let [a, b] = [a, b].map(|corners| corners.map(f64::from));
    let area = |[left, top, right, bottom]: [f64; 4]| (right - left + 1.0) * (bottom - top + 1.0);
    let width = a[2].min(b[2]) - a[0].max(b[0]) + 1.0;
    let height = a[3].min(b[3]) - a[1].max(b[1]) + 1.0;
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let both = width * height;
    both / (area(a) + area(b) - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(label: i64, corners: [f32; 4], difficult: bool) -> Object {
        Object {
            label,
            corners,
            difficult,
        }
    }

    fn detection(label: i64, corners: [f32; 4], score: f32) -> Detection {
        Detection {
            label,
            corners,
            score,
        }
    }

    const HERE: [f32; 4] = [0.0, 0.0, 9.0, 9.0];
    const THERE: [f32; 4] = [50.0, 50.0, 59.0, 59.0];
    const NOWHERE: [f32; 4] = [80.0, 0.0, 89.0, 9.0];

    /// By hand: right, wrong, right of two: recall 1/2, 1/2, 1 at precision 1, 1/2, 2/3.
    #[test]
    fn average_precision_of_three_detections() {
        let mut ap = AveragePrecision::new(2, 0.5);
        let objects = [object(0, HERE, false), object(0, THERE, false)];
        let found = [
            detection(0, HERE, 0.9),
            detection(0, NOWHERE, 0.8),
            detection(0, THERE, 0.7),
        ];
        ap.add(&found, &objects);
        let area = 100.0 * (0.5 + 0.5 * 2.0 / 3.0);
        // Recalls 0 to 0.5 have precision 1, the five above 2/3.
        let eleven = 100.0 * (6.0 + 5.0 * 2.0 / 3.0) / 11.0;
        for (points, expected) in [(Points::Area, area), (Points::Eleven, eleven)] {
            let of_classes = ap.of_classes(points);
            assert!((of_classes[0].expect("a class with boxes") - expected).abs() < 1e-12);
            assert_eq!(of_classes[1], None, "a class without boxes");
            assert_eq!(ap.mean(points), of_classes[0]);
        }
        assert_eq!(AveragePrecision::new(2, 0.5).mean(Points::Area), None);
    }

    #[test]
    fn average_precision_ignores_difficult_boxes_and_counts_a_box_once() {
        let mut ap = AveragePrecision::new(1, 0.5);
        let objects = [object(0, HERE, false), object(0, THERE, true)];
        let found = [
            detection(0, THERE, 0.9),
            detection(0, THERE, 0.8),
            detection(0, HERE, 0.7),
            detection(0, HERE, 0.6),
        ];
        ap.add(&found, &objects);
        assert_eq!(ap.classes[0].judged, [(0.7, true), (0.6, false)]);
        assert_eq!(ap.classes[0].true_boxes, 1);
    }

    /// 10 x 5 of 10 x 10 pixels is exactly a half, which is enough; without the last pixel it would be 9 x 4.
    #[test]
    fn average_precision_counts_the_last_pixel() {
        assert_eq!(iou(&HERE, &[0.0, 0.0, 9.0, 4.0]), 0.5);
        assert_eq!(iou(&HERE, &[9.0, 9.0, 18.0, 18.0]), 1.0 / 199.0);
        assert_eq!(iou(&HERE, &[10.0, 0.0, 19.0, 9.0]), 0.0);
        let mut ap = AveragePrecision::new(1, 0.5);
        let half = detection(0, [0.0, 0.0, 9.0, 4.0], 0.5);
        ap.add(&[half], &[object(0, HERE, false)]);
        assert_eq!(ap.mean(Points::Area), Some(100.0));
    }

    /// Equal scores stand in the order given, of images too.
    #[test]
    fn average_precision_of_ties_is_in_the_order_given() {
        let of = |found: [Detection; 2]| {
            let mut ap = AveragePrecision::new(1, 0.5);
            ap.add(&found, &[object(0, HERE, false)]);
            ap.mean(Points::Area).expect("boxes")
        };
        let (right, wrong) = (detection(0, HERE, 0.5), detection(0, NOWHERE, 0.5));
        assert_eq!([of([right, wrong]), of([wrong, right])], [100.0, 50.0]);
    }
}
