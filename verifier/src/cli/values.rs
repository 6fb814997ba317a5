//! Durations, sizes and counts as people write them, and back.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The value names of the options that are read here. What follows such an option is its value even if it starts
/// with a hyphen: `--memory -5` must name the option, and no value of theirs can be another option.
pub(crate) const NUMERIC: [&str; 3] = ["DURATION", "SIZE", "N"];

/// The longest duration a limit may have: beyond a day it is a slip of the pen, not a limit.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const DURATION_UNITS: [(&str, f64); 5] =
    [("ms", 1e-3), ("us", 1e-6), ("min", 60.0), ("s", 1.0), ("h", 3600.0)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads `2s`, `500ms`, `1.5s`, `2min`, `1h`; above zero, at most a day. A unit is required.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number above zero with its unit, such as 2s, 500ms or 1.5min".to_owned();
    let (number, unit) = split(text).ok_or_else(expected)?;
    let scale = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?.1;
    let value = Duration::try_from_secs_f64(number * scale).map_err(|_| expected())?;
    if value.is_zero() {
        return Err("must be above zero".into());
    }
    if value > LONGEST {
        return Err("must be at most 24h".into());
    }
    Ok(value)
}

/// Reads `256MiB`, `64KiB`, `1.5GiB`, `500MB` or plain bytes (`1048576`); above zero.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let expected =
        || "expected bytes or a number above zero with its unit, such as 256MiB, 64KiB or 1.5GB".to_owned();
    let (number, unit) = split(text).ok_or_else(expected)?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let scale = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?.1;
    let value = number * scale as f64;
    if value < 1.0 {
        return Err("must be above zero".into());
    }
    if value > (1_u64 << 50) as f64 {
        return Err("must be at most 1048576GiB".into());
    }
    if value.fract() != 0.0 && unit == "B" {
        return Err("expected a whole number of bytes".into());
    }
    Ok(value as u64)
}

/// A parser of whole numbers within a range.
pub(crate) fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |text| {
        let value = text.parse().ok().filter(|value| range.contains(value));
        value.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A parser of numbers within a range.
pub(crate) fn number(
    range: RangeInclusive<f64>,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| {
        let value = text.parse().ok().filter(|value| range.contains(value));
        value.ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
    }
}

/// A size for people: `8.1 MiB`.
pub(crate) fn show_size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// A duration for people: `0.012 s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// A plain decimal number and what follows it; no sign, no exponent, no infinities.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let rows = [
            ("2s", Some(2_000_000)),
            ("500ms", Some(500_000)),
            ("1.5s", Some(1_500_000)),
            ("2 min", Some(120_000_000)),
            ("250us", Some(250)),
            ("24h", Some(86_400_000_000)),
            ("25h", None),
            ("0s", None),
            ("2", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1e9s", None),
            ("1..5s", None),
            ("2 seconds", None),
            ("99999999999999999999999999h", None),
        ];
        for (text, micros) in rows {
            assert_eq!(duration(text).ok(), micros.map(Duration::from_micros), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read() {
        let rows = [
            ("256MiB", Some(256 << 20)),
            ("64 KiB", Some(64 << 10)),
            ("1.5GiB", Some(3 << 29)),
            ("1048576", Some(1 << 20)),
            ("500MB", Some(500_000_000)),
            ("10B", Some(10)),
            ("1.5B", None),
            ("1.5", None),
            ("0", None),
            ("256M", None),
            ("MiB", None),
            ("-1MiB", None),
            ("9999999999GiB", None),
        ];
        for (text, bytes) in rows {
            assert_eq!(size(text).ok(), bytes, "{text:?}");
        }
    }

    #[test]
    fn counts_are_read() {
        let rows = [
            ("1", Some(1)),
            ("1024", Some(1024)),
            ("0", None),
            ("1025", None),
            ("-1", None),
            ("99999", None),
        ];
        for (text, value) in rows.into_iter().chain([("x", None), ("", None), ("1.5", None)]) {
            assert_eq!(count::<u16>(1..=1024)(text).ok(), value, "{text:?}");
        }
    }

    #[test]
    fn figures_are_shown_short() {
        let rows = [(0, "0 B"), (1536, "1.5 KiB"), (8 << 20, "8.0 MiB"), (3 << 30, "3.0 GiB")];
        for (bytes, text) in rows {
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(show_duration(Duration::from_micros(12_345)), "0.012 s");
    }
}
