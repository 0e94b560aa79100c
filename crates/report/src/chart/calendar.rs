//! Ticks of the clock on the wall: whole minutes, hours and days, UTC.

/// Seconds between ticks that people count in.
const STEPS: [f64; 16] = [
    1.0,
    5.0,
    15.0,
    30.0,
    60.0,
    300.0,
    900.0,
    1800.0,
    3600.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    2_419_200.0,
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Year, month from 1, day from 1 of a number of days since 1970 (H. Hinnant's civil_from_days).
fn date(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// Days since 1970 and seconds of the day.
fn split(seconds: f64) -> (i64, i64) {
    // Whatever stands in an address: years up to a million are dates, beyond that the arithmetic ends.
    let whole = seconds.clamp(-3e13, 3e13).floor() as i64;
    (whole.div_euclid(86_400), whole.rem_euclid(86_400))
}

/// `2026-11-24 04:01:30`
pub(super) fn moment(seconds: f64) -> String {
    let (days, of_day) = split(seconds);
    let (year, month, day) = date(days);
    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
}

/// About `count` ticks between two times.
pub(super) fn ticks(min: f64, max: f64, count: usize) -> Vec<(f64, String)> {
    let wanted = (max - min) / count.max(1) as f64;
    let step = STEPS.into_iter().find(|s| *s >= wanted);
    // Years are not told apart by any tick: the axis names its first day.
    let step = step.unwrap_or_else(|| (wanted / 31_536_000.0).ceil() * 31_536_000.0);
    let (first, last) = ((min / step).ceil(), (max / step).floor());
    let ticks = (0..=100).map(|i| first + f64::from(i));
    ticks
        .take_while(|i| *i <= last)
        .map(|i| (i * step, label(i * step, step)))
        .collect()
}

fn label(seconds: f64, step: f64) -> String {
    let (days, of_day) = split(seconds);
    let (_, month, day) = date(days);
    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    if step >= 86_400.0 || (of_day == 0 && step >= 3600.0) {
        format!("{day} {}", MONTHS[month as usize - 1])
    } else if step >= 60.0 {
        format!("{h:02}:{m:02}")
    } else {
        format!("{h:02}:{m:02}:{s:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d @SECONDS` says.
        assert_eq!(moment(0.0), "1970-01-01 00:00:00");
        assert_eq!(moment(951_825_599.0), "2000-02-29 11:59:59");
        assert_eq!(moment(1_795_492_890.0), "2026-11-24 04:01:30");
        assert_eq!(moment(-1.0), "1969-12-31 23:59:59");
    }

    #[test]
    fn ticks_stand_at_whole_hours_and_days() {
        let labels = |min: f64, max, n| -> Vec<String> {
            ticks(min, max, n).into_iter().map(|t| t.1).collect()
        };
        let start = 1_795_492_800.0;
        assert_eq!(
            labels(start, start + 1800.0, 4),
            ["04:00", "04:15", "04:30"]
        );
        assert_eq!(
            labels(start, start + 86_400.0, 4),
            ["06:00", "12:00", "18:00", "25 Nov"]
        );
        assert!(labels(-1e300, 1e300, 5).len() <= 101);
    }
}
