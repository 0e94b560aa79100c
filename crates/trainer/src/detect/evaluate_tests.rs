use tch::Device;

use super::*;
use crate::detect::average_precision::Points;
use crate::detect::test_support::{self, Things};

const SIZE: [f32; 2] = [100.0, 100.0];

/// Two classes. The second of two boxes that are one is suppressed within its class only; what scores
/// too little is none; a box ends at the image.
#[test]
fn detections_are_suppressed_class_by_class() {
    let still = [[0.0; 4]; 2];
    let right = [[0.0; 4], [2.0, 0.0, 0.0, 0.0]];
    let said = |roi, scores, deltas| Candidate {
        roi,
        scores,
        deltas,
    };
    let (a, b, c, d) = ([0.5, 0.2], [0.6, 0.01], [0.0, 0.3], [0.009, 0.1]);
    let candidates = [
        said([0.0, 0.0, 20.0, 20.0], &a, &still),
        said([0.0, 0.0, 20.0, 19.0], &b, &still),
        said([90.0, 90.0, 110.0, 110.0], &c, &still),
        said([40.0, 40.0, 60.0, 60.0], &d, &right),
    ];
    let detect = test_support::detect("");
    let found = select(&candidates, 2, SIZE, &detect);
    let of = |label, corners, score| Detection {
        label,
        corners,
        score,
    };
    let expected = [
        of(0, [0.0, 0.0, 20.0, 19.0], 0.6),
        of(1, [90.0, 90.0, 100.0, 100.0], 0.3),
        of(1, [0.0, 0.0, 20.0, 20.0], 0.2),
        // 2 standard deviations of 0.1 of its width.
        of(1, [44.0, 40.0, 64.0, 60.0], 0.1),
    ];
    assert_eq!(found, expected);
    let one = test_support::detect("nms_top = 1");
    assert_eq!(select(&candidates, 2, SIZE, &one).len(), 2);
}

#[test]
fn results_do_not_depend_on_the_batch_size_and_boxes_are_told_as_stored() {
    let things = Things::new(8, 2);
    let detect = test_support::detect("");
    let (detector, parameters, replicas) = test_support::detector(&detect);
    let asked = Asked::new(&detect, detector.stride);
    let stats = replicas.mean(&detector.network);
    let subject = Subject::new(&detector, &asked, parameters.leaves(), &stats);
    let stop = AtomicBool::new(false);
    let in_batches_of = |size: usize| {
        let batches = (0..8 / size).map(|b| {
            let items = (b * size..(b + 1) * size).map(|i| things.prepared(i));
            Ok(items.collect())
        });
        let found = subject.evaluate(batches, &things, Device::Cpu, &stop);
        found.expect("evaluated").expect("not stopped")
    };
    let whole = in_batches_of(8);
    assert_eq!(whole.n, 8);
    assert_eq!(whole.shown.len(), pictures::COUNT);
    assert_eq!(whole.shown[0].rgb.len(), 64 * 64 * 3);
    let area = whole.precision.mean(Points::Area).expect("boxes");
    for size in [1, 4] {
        let found = in_batches_of(size);
        assert_eq!(found.n, 8);
        let other = found.precision.mean(Points::Area).expect("boxes");
        assert!((area - other).abs() < 0.5, "{size}: {area} {other}");
        let names = |found: &Evaluated| -> Vec<Said> {
            found.shown.iter().map(|one| one.truth.clone()).collect()
        };
        assert_eq!(names(&found), names(&whole));
    }
    let stored = in_stored(
        &things.prepared(0),
        vec![Detection {
            label: 0,
            corners: [10.0, 10.0, 20.0, 20.0],
            score: 1.0,
        }],
    );
    assert_eq!(stored[0].corners, [20.0, 10.0, 40.0, 20.0]);
}
