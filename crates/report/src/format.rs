//! Numbers as people read them: the same everywhere.

use rungs_spec::metric;

/// A value of a metric at its digits; counts with their unit (25.6 M, 3.86 G).
pub fn number(name: &str, value: f64) -> String {
    if name.starts_with("model/") {
        return count(value);
    }
    format!("{value:.*}", metric::find(name).map_or(4, |m| m.digits))
}

/// A count with an SI unit and three digits.
pub fn count(value: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.into_iter().find(|(size, _)| value.abs() >= *size) {
        Some((size, unit)) => {
            let x = value / size;
            let digits = if x.abs() >= 100.0 {
                0
            } else if x.abs() >= 10.0 {
                1
            } else {
                2
            };
            format!("{x:.digits$} {unit}")
        }
        None => format!("{value:.0}"),
    }
}

/// A difference with its sign, a true minus, and no negative zero.
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
    let sign = if value < 0.0 && !zero {
        "\u{2212}"
    } else {
        "+"
    };
    format!("{sign}{text}")
}

/// A difference of a metric at its digits.
pub fn delta(name: &str, value: f64) -> String {
    if name.starts_with("model/") {
        let sign = if value < 0.0 { "\u{2212}" } else { "+" };
        return format!("{sign}{}", count(value.abs()));
    }
    signed(value, metric::find(name).map_or(4, |m| m.digits))
}

/// A p value as part of a sentence: `p = 0.03`, never `p = 0`.
pub fn p_value(p: f64) -> String {
    if p < 0.0001 {
        "p < 0.0001".to_owned()
    } else if p < 0.01 {
        format!("p = {p:.4}")
    } else {
        format!("p = {p:.2}")
    }
}

/// An integer in groups of three: 12,800.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Seconds as people say them: 41 s, 3 min, 1 h 20 min, 5 d 3 h.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..=99 => format!("{s} s"),
        100..=5999 => format!("{} min", (s + 30) / 60),
        6000..=172_799 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// Joules as people pay for them: 820 J, 12.3 Wh, 4.56 kWh.
pub fn energy(joules: f64) -> String {
    let wh = joules / 3600.0;
    match wh.abs() {
        x if x < 0.995 => format!("{joules:.0} J"),
        x if x < 995.0 => format!("{wh:.1} Wh"),
        _ => format!("{:.2} kWh", wh / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_has_the_unit_that_fits() {
        assert_eq!(energy(820.4), "820 J");
        assert_eq!(energy(3600.0), "1.0 Wh");
        assert_eq!(energy(44_280.0), "12.3 Wh");
        assert_eq!(energy(3_599_999.0), "1.00 kWh");
        assert_eq!(energy(16_416_000.0), "4.56 kWh");
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(number("val/top1", 76.034), "76.03");
        assert_eq!(number("model/params", 25_557_032.0), "25.6 M");
        assert_eq!(number("model/macs", 3_857_973_248.0), "3.86 G");
        assert_eq!(
            (signed(0.16, 2), signed(-0.344, 2), signed(-0.001, 2)),
            ("+0.16".into(), "\u{2212}0.34".into(), "+0.00".into())
        );
        assert_eq!(
            (grouped(12_800), grouped(999), grouped(1_281_167)),
            ("12,800".into(), "999".into(), "1,281,167".into())
        );
        assert_eq!(
            (p_value(0.0), p_value(0.0312), p_value(0.004)),
            ("p < 0.0001".into(), "p = 0.03".into(), "p = 0.0040".into())
        );
        assert_eq!(
            (duration(41.2), duration(185.0), duration(7322.0)),
            ("41 s".into(), "3 min".into(), "2 h 2 min".into())
        );
    }
}
