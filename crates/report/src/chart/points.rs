//! From a run's points to x and y.

use rungs_spec::result::Point;

use super::XKind;

/// How steps of a run turn into epochs and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Clock<'a> {
    /// Steps of an epoch; 0 while unknown, then epochs are the points' own.
    pub steps_per_epoch: u64,
    /// Wall seconds of each finished epoch; used for a run of one attempt.
    pub epoch_seconds: &'a [f64],
    /// The attempts, first to newest.
    pub laps: &'a [Lap],
}

/// When an attempt was where. Between its two ends its steps are taken to be equally long.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Lap {
    /// Number of the attempt.
    pub attempt: u32,
    /// First step, and the time of it: seconds since 1970.
    pub first: (u64, f64),
    /// Step behind the newest one, and its time.
    pub last: (u64, f64),
}

impl Lap {
    /// Seconds since 1970 at a step.
    fn at(&self, step: u64) -> f64 {
        let (steps, seconds) = (
            self.last.0.saturating_sub(self.first.0),
            self.last.1 - self.first.1,
        );
        if steps == 0 {
            return self.first.1;
        }
        self.first.1 + step.saturating_sub(self.first.0) as f64 / steps as f64 * seconds
    }
}

impl Clock<'_> {
    /// Seconds since 1970 of a point; NaN where its attempt is not known.
    fn wall(&self, p: &Point) -> f64 {
        let lap = self.laps.iter().find(|lap| lap.attempt == p.attempt);
        lap.map_or(f64::NAN, |lap| lap.at(p.step))
    }

    /// Seconds of all attempts up to a point.
    fn spent(&self, p: &Point) -> f64 {
        let before = self.laps.iter().filter(|lap| lap.attempt < p.attempt);
        let before: f64 = before.map(|lap| lap.last.1 - lap.first.1).sum();
        let lap = self.laps.iter().find(|lap| lap.attempt == p.attempt);
        lap.map_or(f64::NAN, |lap| before + lap.at(p.step) - lap.first.1)
    }

    /// Where points of this run stand on an axis. `evaluated` says that they stand after `epoch` finished
    /// epochs (val/..., test/...) and not at a step of the epoch with that index.
    pub fn axis(self, x: XKind, evaluated: bool) -> impl Fn(&Point) -> f64 {
        let mut ends = vec![0.0];
        if x == XKind::Time {
            let end = |sum: &mut f64, seconds: &f64| {
                *sum += seconds;
                Some(*sum)
            };
            ends.extend(self.epoch_seconds.iter().scan(0.0, end));
        }
        move |p| {
            let epochs = match (evaluated, self.steps_per_epoch) {
                (false, per_epoch) if per_epoch > 0 => p.step as f64 / per_epoch as f64,
                _ => p.epoch as f64,
            };
            match x {
                XKind::Step => p.step as f64,
                XKind::Epoch => epochs,
                XKind::Time if self.laps.len() > 1 || self.epoch_seconds.is_empty() => {
                    self.spent(p)
                }
                XKind::Time => self.seconds(epochs, &ends),
                XKind::Wall => self.wall(p),
            }
        }
    }

    /// Seconds of training after `epochs` epochs, which end at `ends`: epochs beyond the finished ones are
    /// taken to be as long as the last; NaN before any is finished.
    fn seconds(&self, epochs: f64, ends: &[f64]) -> f64 {
        let whole = (epochs.floor() as usize).min(self.epoch_seconds.len());
        let current = self
            .epoch_seconds
            .get(whole)
            .or(self.epoch_seconds.last())
            .copied()
            .unwrap_or(f64::NAN);
        ends[whole] + (epochs - whole as f64) * current
    }
}

/// Points of one metric as a chart wants them: [`Clock::axis`] and their values.
pub fn points(points: &[Point], x: XKind, clock: Clock<'_>, evaluated: bool) -> Vec<(f64, f64)> {
    let at = clock.axis(x, evaluated);
    points.iter().map(|p| (at(p), p.value)).collect()
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
            laps: &[],
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

    #[test]
    fn a_resumed_run_has_two_clocks() {
        let point = |step, attempt| Point {
            step,
            epoch: 0,
            value: 1.0,
            attempt,
            superseded: false,
        };
        let lap = |attempt, first, last| Lap {
            attempt,
            first,
            last,
        };
        let clock = Clock {
            steps_per_epoch: 10,
            laps: &[
                lap(1, (0, 1000.0), (20, 1040.0)),
                lap(2, (10, 5000.0), (40, 5090.0)),
            ],
            ..Clock::default()
        };
        let all = [point(5, 1), point(10, 2), point(20, 2), point(1, 3)];
        let xs = |x| -> Vec<f64> {
            points(&all, x, clock, false)
                .into_iter()
                .map(|p| p.0)
                .collect()
        };
        assert_eq!(xs(XKind::Wall)[..3], [1010.0, 5000.0, 5030.0]);
        assert_eq!(xs(XKind::Time)[..3], [10.0, 40.0, 70.0]);
        assert!(xs(XKind::Wall)[3].is_nan(), "nobody knows that attempt");
    }
}
