//! Times, sizes and errors as people read them. Numbers of metrics are written by
//! `rungs_report::format`, the same everywhere.

pub use rungs_report::format::{duration, grouped};

/// `950`, `2.1k`, `3.4M`: a rate in a narrow place.
pub fn rate(value: f64) -> String {
    match value.abs() {
        x if x < 999.5 => format!("{value:.0}"),
        x if x < 999_500.0 => format!("{:.1}k", value / 1e3),
        _ => format!("{:.1}M", value / 1e6),
    }
}

/// `820 kB`, `490 MB`, `1.2 GB`.
pub fn bytes(value: u64) -> String {
    let x = value as f64;
    match value {
        0..1_000 => format!("{value} B"),
        1_000..1_000_000 => format!("{:.0} kB", x / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", x / 1e6),
        _ => format!("{:.1} GB", x / 1e9),
    }
}

/// `2026-11-24 03:52:10 UTC` of milliseconds since 1970.
pub fn moment(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => "–".to_owned(),
    }
}

/// `1 run`, `3 runs`.
pub fn plural(n: usize, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{} {one}s", grouped(n as u64))
    }
}

/// Whole percent of a share, for progress bars: 100 only when all is done.
pub fn percent(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 100.0).floor() as u8
}

/// An error with all that caused it, in one paragraph.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_places() {
        assert_eq!(
            (rate(950.2), rate(2_113.0), rate(3_400_000.0)),
            ("950".into(), "2.1k".into(), "3.4M".into())
        );
        assert_eq!(
            (bytes(12), bytes(490_000_000), bytes(1_200_000_000)),
            ("12 B".into(), "490 MB".into(), "1.2 GB".into())
        );
        assert_eq!(
            (plural(1, "run"), plural(0, "run"), plural(1200, "run")),
            ("1 run".into(), "0 runs".into(), "1,200 runs".into())
        );
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(
            (percent(0.999), percent(1.0), percent(f64::NAN)),
            (99, 100, 0)
        );
    }
}
