//! From a run's points to x and y.

use rungs_spec::result::Point;

use super::XKind;

/// How steps of a run turn into epochs and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Clock<'a> {
    /// Steps of an epoch; 0 while unknown, then epochs are the points' own.
    pub steps_per_epoch: u64,
    /// Wall seconds of each finished epoch.
    pub epoch_seconds: &'a [f64],
}

impl Clock<'_> {
    /// Seconds of training after `epochs` epochs: epochs beyond the finished ones are taken to be
    /// as long as the last; NaN before any is finished.
    fn seconds(&self, epochs: f64) -> f64 {
        let whole = (epochs.floor() as usize).min(self.epoch_seconds.len());
        let before: f64 = self.epoch_seconds[..whole].iter().sum();
        let current = self
            .epoch_seconds
            .get(whole)
            .or(self.epoch_seconds.last())
            .copied()
            .unwrap_or(f64::NAN);
        before + (epochs - whole as f64) * current
    }
}

/// Points of one metric as a chart wants them. `evaluated` says that they stand after `epoch`
/// finished epochs (val/..., test/...) and not at a step of the epoch with that index.
pub fn points(points: &[Point], x: XKind, clock: Clock<'_>, evaluated: bool) -> Vec<(f64, f64)> {
    points
        .iter()
        .map(|p| {
            let epochs = match (evaluated, clock.steps_per_epoch) {
                (false, per_epoch) if per_epoch > 0 => p.step as f64 / per_epoch as f64,
                _ => p.epoch as f64,
            };
            let x = match x {
                XKind::Step => p.step as f64,
                XKind::Epoch => epochs,
                XKind::Time => clock.seconds(epochs),
            };
            (x, p.value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_epochs_and_seconds() {
        let point = |step, epoch| Point {
            step,
            epoch,
            value: 1.0,
            attempt: 1,
            superseded: false,
        };
        let clock = Clock {
            steps_per_epoch: 10,
            epoch_seconds: &[20.0, 40.0],
        };
        let xs = |x, evaluated| {
            points(
                &[point(5, 0), point(15, 1), point(25, 2)],
                x,
                clock,
                evaluated,
            )
        };
        assert_eq!(
            xs(XKind::Epoch, false)
                .iter()
                .map(|p| p.0)
                .collect::<Vec<_>>(),
            [0.5, 1.5, 2.5]
        );
        assert_eq!(
            xs(XKind::Epoch, true)
                .iter()
                .map(|p| p.0)
                .collect::<Vec<_>>(),
            [0.0, 1.0, 2.0]
        );
        assert_eq!(
            xs(XKind::Time, false)
                .iter()
                .map(|p| p.0)
                .collect::<Vec<_>>(),
            [10.0, 40.0, 80.0]
        );
        assert!(
            points(&[point(5, 0)], XKind::Time, Clock::default(), false)[0]
                .0
                .is_nan()
        );
    }
}
