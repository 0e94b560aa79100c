//! Clocks and numbers as SQLite keeps them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970 of an RFC 3339 time.
pub(crate) fn parse_ms(t: &str) -> Option<i64> {
    t.parse::<jiff::Timestamp>()
        .ok()
        .map(|t| t.as_millisecond())
}

/// A count or step for an INTEGER column. Those beyond 2^63 cannot be reached by counting; they are
/// refused where files are read ([`crate::events`]), so the limit here is never met.
pub(crate) fn int(x: u64) -> i64 {
    i64::try_from(x).unwrap_or(i64::MAX)
}

/// A count or step from an INTEGER column.
pub(crate) fn count(x: i64) -> u64 {
    u64::try_from(x).unwrap_or(0)
}

/// As [`count`], for attempts, threads and pids.
pub(crate) fn small(x: i64) -> u32 {
    u32::try_from(x).unwrap_or(0)
}

/// A seed may use all 64 bits, a column has a sign: the same bits.
pub(crate) fn seed_int(seed: u64) -> i64 {
    seed.cast_signed()
}

/// The inverse of [`seed_int`].
pub(crate) fn seed(x: i64) -> u64 {
    x.cast_unsigned()
}
