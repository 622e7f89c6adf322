//! Durations and sizes as people write them: a whole number and a unit, such as `500ms` or `64MiB`.

use std::time::Duration;

/// The units of durations with their milliseconds, largest first.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of sizes with their bytes, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// What a duration looks like, for messages.
pub const DURATION_FORM: &str = "text with a unit of `ms`, `s`, `m`, `h` or `d`, such as \"500ms\"";

/// What a size looks like, for messages.
pub const SIZE_FORM: &str = "text with a unit of `B`, `KiB`, `MiB` or `GiB`, such as \"64MiB\"";

/// Reads a duration; none when it is not one.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// Reads a size in bytes; none when it is not one.
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS)
}

/// Writes a duration with the largest unit that leaves a whole number. Parts of a millisecond are cut off.
pub fn format_duration(duration: Duration) -> String {
    format(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

/// Writes a size with the largest unit that leaves a whole number.
pub fn format_size(bytes: u64) -> String {
    format(bytes, &SIZE_UNITS)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn format(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| value > 0 && value.is_multiple_of(factor);
    match units.iter().find(|(_, factor)| fits(*factor)).or(units.last()) {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_number_with_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("0B"), Some(0));
    }

    #[test]
    fn refuses_what_could_be_misread() {
        for text in ["", "5", "ms", "-5s", "5 s", "1.5s", "5S", "99999999999999999999s", "5é"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for text in ["64MB", "64mib", "64", "1.5MiB", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn writes_what_it_would_read_again() {
        for text in ["500ms", "90s", "2m", "7d", "0ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["1000B", "64KiB", "16MiB", "3GiB", "0B"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
    }
}
