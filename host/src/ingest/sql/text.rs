//! Numbers, dates and times as JSON has them: all digits, and ISO 8601.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};

use crate::ingest::cell::Cell;

/// Why a value cannot be used; goes behind ``column `x` ``.
pub(super) type Unfit = String;

/// A floating-point number, which JSON has only while it is finite.
pub(super) fn real(value: f64) -> Result<Cell, Unfit> {
    finite(value, value.is_finite())
}

/// A floating-point number of half the size, with its own digits.
pub(super) fn short_real(value: f32) -> Result<Cell, Unfit> {
    finite(value, value.is_finite())
}

fn finite(value: impl serde::Serialize + std::fmt::Display, is_finite: bool) -> Result<Cell, Unfit> {
    match serde_json::to_string(&value) {
        Ok(text) if is_finite => Ok(Cell::Number(text)),
        _ => Err(no_number(value)),
    }
}

/// What JSON has no number for.
pub(super) fn no_number(value: impl std::fmt::Display) -> Unfit {
    format!("is {value}, and JSON has no such number")
}

/// A decimal as a database writes it. JSON has no zeros before a number, and no number without a digit before its point.
pub(super) fn decimal(text: &str) -> Cell {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let trimmed = digits.trim_start_matches('0');
    let zero = if trimmed.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "0" };
    Cell::Number(format!("{sign}{zero}{trimmed}"))
}

/// A whole number without a sign.
pub(super) fn unsigned(value: u64) -> Cell {
    i64::try_from(value).map_or_else(|_| Cell::Number(value.to_string()), Cell::Integer)
}

/// Text in UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<Cell, Unfit> {
    String::from_utf8(bytes.to_vec()).map(Cell::Text).map_err(|_| "is no text in UTF-8".to_owned())
}

/// JSON in UTF-8.
pub(super) fn json(bytes: &[u8]) -> Result<Cell, Unfit> {
    String::from_utf8(bytes.to_vec()).map(Cell::Json).map_err(|_| "is no JSON in UTF-8".to_owned())
}

/// A day.
pub(super) fn date(date: NaiveDate) -> Cell {
    Cell::Text(date.format("%Y-%m-%d").to_string())
}

/// A time of day.
pub(super) fn time(time: NaiveTime) -> Cell {
    Cell::Text(time.format("%H:%M:%S%.f").to_string())
}

/// A day and a time of day, wherever that is.
pub(super) fn date_time(time: NaiveDateTime) -> Cell {
    Cell::Text(time.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
}

/// A moment, in UTC.
pub(super) fn moment(time: NaiveDateTime) -> Cell {
    let time = DateTime::<Utc>::from_naive_utc_and_offset(time, Utc);
    Cell::Text(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// What a date or a time must be.
pub(super) fn no_time() -> Unfit {
    "is no date or time of a calendar".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_decimals_as_json_does() {
        for (written, wanted) in [
            ("12.50", "12.50"),
            ("000012.50", "12.50"),
            ("-0.5", "-0.5"),
            (".5", "0.5"),
            ("000", "0"),
            ("-000.10", "-0.10"),
        ] {
            assert_eq!(decimal(written), Cell::Number(wanted.to_owned()));
        }
    }

    #[test]
    fn writes_reals_with_their_own_digits_and_refuses_what_is_no_number() {
        assert_eq!(short_real(0.1), Ok(Cell::Number("0.1".to_owned())));
        assert_eq!(real(1e300), Ok(Cell::Number("1e+300".to_owned())));
        assert_eq!(real(f64::NAN), Err("is NaN, and JSON has no such number".to_owned()));
        assert!(real(f64::INFINITY).is_err() && short_real(f32::NEG_INFINITY).is_err());
    }

    #[test]
    fn writes_times_with_as_many_digits_as_they_have() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 26).unwrap();
        let at = |micros| day.and_hms_micro_opt(7, 5, 9, micros).unwrap();

        assert_eq!(moment(at(0)), Cell::Text("2026-11-26T07:05:09Z".to_owned()));
        assert_eq!(moment(at(120_000)), Cell::Text("2026-11-26T07:05:09.120Z".to_owned()));
        assert_eq!(date_time(at(123_456)), Cell::Text("2026-11-26T07:05:09.123456".to_owned()));
        assert_eq!(unsigned(u64::MAX), Cell::Number("18446744073709551615".to_owned()));
    }
}
