//! Fewer points, same picture: of every pixel column the first, minimum, maximum and last of ALL
//! points that fall into it.

/// Splits `points` at non-finite values into unbroken lines and reduces each to at most four points
/// per column. `column` maps x to a pixel column; x is expected in ascending order. Points are
/// never moved or invented.
pub fn decimate(points: &[(f64, f64)], column: impl Fn(f64) -> i64) -> Vec<Vec<(f64, f64)>> {
    let mut lines = Vec::new();
    for line in points
        .split(|(x, y)| !x.is_finite() || !y.is_finite())
        .filter(|l| !l.is_empty())
    {
        let mut kept = Vec::new();
        // As chunk_by would, but every column is computed once: series are long.
        let (mut start, mut now) = (0, column(line[0].0));
        for (i, point) in line.iter().enumerate() {
            let at = column(point.0);
            if at != now {
                keep(&line[start..i], &mut kept);
                (start, now) = (i, at);
            }
        }
        keep(&line[start..], &mut kept);
        lines.push(kept);
    }
    lines
}

/// As [`decimate`] for bands (x, low, high): of every pixel column the lowest low and the highest high.
pub fn envelope(
    points: &[(f64, f64, f64)],
    column: impl Fn(f64) -> i64,
) -> Vec<Vec<(f64, f64, f64)>> {
    let broken = |p: &(f64, f64, f64)| !(p.0.is_finite() && p.1.is_finite() && p.2.is_finite());
    let mut parts = Vec::new();
    for part in points.split(broken).filter(|p| !p.is_empty()) {
        let mut kept = Vec::new();
        for group in part.chunk_by(|a, b| column(a.0) == column(b.0)) {
            let low = group.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
            let high = group.iter().map(|p| p.2).fold(f64::NEG_INFINITY, f64::max);
            kept.push((group[0].0, low, high));
            if group.len() > 1 {
                kept.push((group[group.len() - 1].0, low, high));
            }
        }
        parts.push(kept);
    }
    parts
}

/// First, minimum, maximum and last of one column, in their order.
fn keep(group: &[(f64, f64)], kept: &mut Vec<(f64, f64)>) {
    let (mut low, mut high) = (0, 0);
    for (i, (_, y)) in group.iter().enumerate() {
        if *y < group[low].1 {
            low = i;
        }
        if *y > group[high].1 {
            high = i;
        }
    }
    let mut wanted = [0, low.min(high), low.max(high), group.len() - 1].to_vec();
    wanted.dedup();
    kept.extend(wanted.into_iter().map(|i| group[i]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(x: f64) -> i64 {
        (x / 7.0).floor() as i64
    }

    #[test]
    fn nan_breaks_the_line() {
        let lines = decimate(
            &[
                (0.0, 1.0),
                (1.0, f64::NAN),
                (2.0, f64::INFINITY),
                (3.0, 2.0),
            ],
            column,
        );
        assert_eq!(lines, vec![vec![(0.0, 1.0)], vec![(3.0, 2.0)]]);
    }

    #[test]
    fn a_band_keeps_its_extremes() {
        let points = [
            (0.0, 1.0, 2.0),
            (1.0, 0.5, 1.5),
            (2.0, 0.7, 9.0),
            (8.0, 1.0, 1.0),
            (9.0, f64::NAN, 1.0),
            (10.0, 3.0, 4.0),
        ];
        assert_eq!(
            envelope(&points, column),
            vec![
                vec![(0.0, 0.5, 9.0), (2.0, 0.5, 9.0), (8.0, 1.0, 1.0)],
                vec![(10.0, 3.0, 4.0)]
            ]
        );
    }

    proptest! {
        #[test]
        fn no_peak_is_lost(ys in proptest::collection::vec(-1e3f64..1e3, 1..500)) {
            let points: Vec<(f64, f64)> = ys.iter().enumerate().map(|(i, y)| (i as f64, *y)).collect();
            let lines = decimate(&points, column);
            prop_assert_eq!(lines.len(), 1);
            for group in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
                let kept: Vec<&(f64, f64)> = lines[0].iter().filter(|p| column(p.0) == column(group[0].0)).collect();
                prop_assert!(kept.len() <= 4);
                prop_assert_eq!(kept.first().copied(), group.first());
                prop_assert_eq!(kept.last().copied(), group.last());
                let low = |it: &mut dyn Iterator<Item = f64>| it.fold(f64::INFINITY, f64::min);
                let high = |it: &mut dyn Iterator<Item = f64>| it.fold(f64::NEG_INFINITY, f64::max);
                prop_assert_eq!(low(&mut kept.iter().map(|p| p.1)), low(&mut group.iter().map(|p| p.1)));
                prop_assert_eq!(high(&mut kept.iter().map(|p| p.1)), high(&mut group.iter().map(|p| p.1)));
            }
            prop_assert!(lines[0].iter().all(|p| points.contains(p)));
            prop_assert!(lines[0].windows(2).all(|w| w[0].0 < w[1].0));
        }
    }
}
