//! Ranges, ticks and their labels.

use super::{XKind, YScale, calendar};

/// One axis: its range and where its grid lines stand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub min: f64,
    pub max: f64,
    pub log: bool,
    /// (value, label)
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Position of a value, 0 at `min`, 1 at `max`.
    pub fn share(&self, value: f64) -> f64 {
        let f = |v: f64| if self.log { v.log10() } else { v };
        (f(value) - f(self.min)) / (f(self.max) - f(self.min))
    }

    /// x: exactly from the first to the last point, at most `ticks` labels.
    pub fn x(min: f64, max: f64, ticks: usize, kind: XKind) -> Axis {
        let (min, max) = widened(min, max);
        if kind == XKind::Wall {
            return Axis {
                min,
                max,
                log: false,
                ticks: calendar::ticks(min, max, ticks),
            };
        }
        let (unit, _) = time_unit(kind, max);
        let step = nice_step((max - min) / unit, ticks);
        let whole = kind == XKind::Step || (kind == XKind::Epoch && max - min >= 3.0);
        let step = if whole { step.max(1.0) } else { step };
        let ticks = linear(min / unit, max / unit, step)
            .into_iter()
            .map(|v| (v * unit, label(v, step)))
            .collect();
        Axis {
            min,
            max,
            log: false,
            ticks,
        }
    }

    /// y: a little wider than the values.
    pub fn y(min: f64, max: f64, ticks: usize, scale: YScale) -> Axis {
        if scale == YScale::Log && min > 0.0 {
            return Axis::log(min, max, ticks);
        }
        let (low, high) = widened(min, max);
        let pad = (high - low) * 0.05;
        // A value that cannot be negative does not get a negative axis.
        let low = if min >= 0.0 {
            (low - pad).max(0.0)
        } else {
            low - pad
        };
        let high = high + pad;
        let step = nice_step(high - low, ticks);
        Axis {
            min: low,
            max: high,
            log: false,
            ticks: with_labels(linear(low, high, step), step),
        }
    }

    fn log(min: f64, max: f64, ticks: usize) -> Axis {
        let (min, max) = (min / 1.1, max * 1.1);
        let decades = (max / min).log10();
        let mantissas: &[f64] = match decades {
            d if d < 1.0 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            d if d < 3.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let every = ((decades / ticks.max(1) as f64).ceil() as i32).max(1);
        let (first, last) = (min.log10().floor() as i32, max.log10().ceil() as i32);
        let found = (first..=last)
            .filter(|e| every == 1 || e % every == 0)
            .flat_map(|e| mantissas.iter().map(move |m| m * 10f64.powi(e)))
            .filter(|v| (min..=max).contains(v))
            .map(|v| (v, plain(v)))
            .collect();
        Axis {
            min,
            max,
            log: true,
            ticks: found,
        }
    }
}

/// Seconds per unit and the unit's name, by the largest value.
pub(super) fn time_unit(kind: XKind, max: f64) -> (f64, &'static str) {
    match kind {
        XKind::Time if max >= 3.0 * 86_400.0 => (86_400.0, "d"),
        XKind::Time if max >= 3.0 * 3600.0 => (3600.0, "h"),
        XKind::Time if max >= 180.0 => (60.0, "min"),
        XKind::Time => (1.0, "s"),
        _ => (1.0, ""),
    }
}

fn widened(min: f64, max: f64) -> (f64, f64) {
    if max > min {
        return (min, max);
    }
    let half = if min == 0.0 { 0.5 } else { min.abs() * 0.05 };
    (min - half, max + half)
}

/// 1, 2 or 5 times a power of ten, about `ticks` of them in `span`.
fn nice_step(span: f64, ticks: usize) -> f64 {
    let raw = span / ticks.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let factor = match raw / power {
        x if x < 1.5 => 1.0,
        x if x < 3.5 => 2.0,
        x if x < 7.5 => 5.0,
        _ => 10.0,
    };
    factor * power
}

fn linear(min: f64, max: f64, step: f64) -> Vec<f64> {
    let first = (min / step - 1e-9).ceil() as i64;
    let last = (max / step + 1e-9).floor() as i64;
    // Never more than a screenful, whatever the arithmetic of extreme ranges says.
    (first..=last.min(first.saturating_add(100)))
        .map(|i| i as f64 * step)
        .collect()
}

fn with_labels(values: Vec<f64>, step: f64) -> Vec<(f64, String)> {
    values.into_iter().map(|v| (v, label(v, step))).collect()
}

/// As many decimals as the step needs; thousands as k and M.
fn label(value: f64, step: f64) -> String {
    let (value, step, unit) = if step >= 1e5 || value.abs() >= 1e7 {
        (value / 1e6, step / 1e6, " M")
    } else if step >= 500.0 {
        (value / 1e3, step / 1e3, "k")
    } else {
        (value, step, "")
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    if step < 1e-5 {
        return plain(value);
    }
    let decimals = (0..=6)
        .find(|d| ((step * 10f64.powi(*d)).round() - step * 10f64.powi(*d)).abs() < 1e-6)
        .unwrap_or(6);
    format!("{value:.*}{unit}", decimals as usize)
}

fn plain(value: f64) -> String {
    if (1e-4..1e6).contains(&value.abs()) {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        let text = format!("{value:.1e}");
        text.replace(".0e", "e")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(
            labels(&Axis::x(0.0, 4.0, 8, XKind::Epoch)),
            ["0", "1", "2", "3", "4"]
        );
        assert_eq!(
            labels(&Axis::x(0.0, 1.0, 5, XKind::Epoch)),
            ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&Axis::x(0.0, 600_480.0, 7, XKind::Step)),
            ["0", "0.1 M", "0.2 M", "0.3 M", "0.4 M", "0.5 M", "0.6 M"]
        );
        assert_eq!(
            labels(&Axis::x(0.0, 3.0, 8, XKind::Step)),
            ["0", "1", "2", "3"]
        );
        assert_eq!(
            labels(&Axis::x(0.0, 600.0, 5, XKind::Time)),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            labels(&Axis::y(61.0, 78.0, 5, YScale::Linear)),
            ["65", "70", "75"]
        );
        assert_eq!(
            labels(&Axis::y(0.02, 5.0, 5, YScale::Log)),
            ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"]
        );
    }

    #[test]
    fn a_constant_has_a_range() {
        let axis = Axis::y(0.1, 0.1, 5, YScale::Linear);
        assert!(axis.min < 0.1 && axis.max > 0.1 && !axis.ticks.is_empty());
        assert!(axis.share(0.1).is_finite());
    }
}
