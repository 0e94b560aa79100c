//! Every point of a metric of a run, exact: the JSON of `runner series` and the API.

use rungs_spec::RunKey;
use rungs_spec::protocol::Num;
use rungs_spec::result::Point;
use serde::Serialize;

/// `{run, metric, points: [[step, epoch, value]]}`; non-finite values are the strings `"NaN"`,
/// `"Infinity"`, `"-Infinity"`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Run.
    pub run: RunKey,
    /// Metric.
    pub metric: String,
    /// (step, epoch, value) in order of step; see docs/schema/README.md for how they count.
    pub points: Vec<(u64, u64, Num)>,
}

impl Series {
    /// All points as given.
    pub fn new(run: RunKey, metric: impl Into<String>, points: &[Point]) -> Self {
        let points = points
            .iter()
            .map(|p| (p.step, p.epoch, Num(p.value)))
            .collect();
        Series {
            run,
            metric: metric.into(),
            points,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_exact_and_nan_is_a_string() {
        let point = |step, value| Point {
            step,
            epoch: 0,
            value,
            attempt: 1,
            superseded: false,
        };
        let key = rungs_spec::runkey::of_json(&serde_json::json!(1));
        let series = Series::new(
            key,
            "train/loss",
            &[point(0, 0.1 + 0.2), point(1, f64::NAN)],
        );
        let json = serde_json::to_value(&series).unwrap();
        assert_eq!(
            json["points"],
            serde_json::json!([[0, 0, 0.30000000000000004], [1, 0, "NaN"]])
        );
    }
}
