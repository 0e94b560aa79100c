use super::*;

fn detect(set: &str) -> Detect {
    let table = format!("task = 'detect'\ndetect = {{ {set} }}");
    let recipe = rungs_spec::settle::complete(&table.parse().expect("TOML")).expect("a recipe");
    recipe.detect.expect("its sub-table")
}

fn object(label: i64, corners: Corners) -> Object {
    Object {
        label,
        corners,
        difficult: false,
    }
}

fn stream() -> Stream {
    Stream::new(1, "targets")
}

const SIZE: [f32; 2] = [100.0, 100.0];
const SQUARE: Corners = [10.0, 10.0, 30.0, 30.0];

/// One of each kind: 0.75 of the square is an object, 0.5 is neither, far away is none, and what
/// crosses the border is passed over although it is best.
#[test]
fn anchors_that_cross_the_border_are_passed_over() {
    let anchors = [
        SQUARE,
        [10.0, 10.0, 30.0, 25.0],
        [10.0, 10.0, 30.0, 20.0],
        [60.0, 60.0, 80.0, 80.0],
        [80.0, 80.0, 100.0, 90.0],
        [-1.0, 0.0, 20.0, 20.0],
    ];
    let of = |anchors: &[Corners]| {
        of_anchors(
            anchors,
            &[object(0, SQUARE)],
            SIZE,
            &detect(""),
            &mut stream(),
        )
    };
    let found = of(&anchors);
    assert_eq!(found.deltas.len(), 2);
    let mut sampled = found.sampled;
    sampled[..2].sort_unstable();
    assert_eq!(sampled, [0, 1, 3]);
    // Without better ones the half is the best of its box, and so an object.
    assert_eq!(of(&anchors[2..]).sampled, [0, 1]);
    assert_eq!(of(&anchors[2..]).deltas[0][3], 2.0_f32.ln());
}

/// recipes.md section 5: the order of operations makes the best anchor of a box that nothing covers
/// well a negative one.
#[test]
fn anchors_below_the_negative_iou_are_none_even_as_the_best_of_a_box() {
    let anchors = [[10.0, 10.0, 30.0, 15.0], [60.0, 60.0, 80.0, 80.0]];
    let found = of_anchors(
        &anchors,
        &[object(0, SQUARE)],
        SIZE,
        &detect(""),
        &mut stream(),
    );
    assert_eq!((found.sampled.len(), found.deltas.len()), (2, 0));
}

#[test]
fn anchors_are_sampled_up_to_their_shares_and_alike_from_the_same_stream() {
    let anchors: Vec<Corners> = (0..400)
        .map(|i| match i % 2 {
            0 => SQUARE,
            _ => [60.0, 60.0, 80.0, 80.0],
        })
        .collect();
    let of = |set: &str, objects: &[Object]| {
        of_anchors(&anchors, objects, SIZE, &detect(set), &mut stream())
    };
    let one = [object(0, SQUARE)];
    let found = of("rpn_batch = 60", &one);
    assert_eq!((found.sampled.len(), found.deltas.len()), (60, 30));
    assert_eq!(found, of("rpn_batch = 60", &one));
    let mut each = found.sampled.clone();
    each.sort_unstable();
    each.dedup();
    assert_eq!(each.len(), 60, "none twice");
    // Negatives fill what positives leave, positives not what negatives leave.
    let found = of("rpn_batch = 60, rpn_positive = 0.1", &one);
    assert_eq!((found.sampled.len(), found.deltas.len()), (60, 6));
    let found = of("rpn_batch = 256", &[]);
    assert_eq!((found.sampled.len(), found.deltas.len()), (256, 0));
}

#[test]
fn true_boxes_are_proposals_too_and_labels_begin_behind_the_background() {
    let proposals = [[10.0, 10.0, 30.0, 20.0], [60.0, 60.0, 80.0, 80.0]];
    let objects = [object(3, SQUARE), object(0, [50.0, 0.0, 60.0, 9.0])];
    let found = of_proposals(&proposals, &objects, &detect(""), &mut stream());
    let mut labels = found.labels.clone();
    labels.sort_unstable();
    assert_eq!(labels, [0, 1, 4, 4]);
    assert_eq!((found.rois[3], found.labels[3]), (proposals[1], 0));
    for (roi, deltas) in found.rois.iter().zip(&found.deltas) {
        let stds = [0.1, 0.1, 0.2, 0.2];
        let truth = coding::decode(*deltas, *roi, stds);
        let near = |object: &Object| (0..4).all(|i| (object.corners[i] - truth[i]).abs() < 1e-3);
        assert!(objects.iter().any(near), "{truth:?}");
    }
}

#[test]
fn proposals_are_sampled_up_to_their_share() {
    let mut proposals = vec![SQUARE; 50];
    proposals.extend([[60.0, 60.0, 80.0, 80.0]; 50]);
    let found = of_proposals(
        &proposals,
        &[object(0, SQUARE)],
        &detect("roi_batch = 40"),
        &mut stream(),
    );
    assert_eq!((found.rois.len(), found.deltas.len()), (40, 10));
    assert_eq!(found.labels.iter().sum::<i64>(), 10);
    let found = of_proposals(&proposals, &[], &detect("roi_batch = 40"), &mut stream());
    assert_eq!((found.rois.len(), found.deltas.len()), (40, 0));
}
