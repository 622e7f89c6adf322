//! A delivery class, and which of several is the best.

use gristmill::Reject;
use serde_json::Value;

/// Minimum and maximum, in whole days.
pub type Days = (u64, u64);

/// The times of a class, in whole days.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Class {
    minimum: u64,
    maximum: u64,
    /// Both as JSON, so that each item only copies them.
    texts: [String; 2],
}

impl Class {
    /// Reads a record of the class topic; other members than the two times are not looked at.
    ///
    /// # Errors
    /// `not-json`, `not-an-object`, `class-time-invalid` or `class-times-swapped`.
    pub fn parse(_name: &[u8], value: &[u8]) -> Result<Self, Reject> {
        let value: Value = serde_json::from_slice(value)
            .map_err(|error| Reject::new("not-json", format!("the class is not JSON: {error}")))?;
        if !value.is_object() {
            return Err(Reject::new("not-an-object", "the class is JSON, but not an object"));
        }
        let days = |member: &str| {
            value.get(member).and_then(whole).ok_or_else(|| {
                let message = format!("the class needs `{member}`, a whole number of days from 0");
                Reject::new("class-time-invalid", message)
            })
        };
        let (minimum, maximum) = (days("minimumTime")?, days("maximumTime")?);
        if maximum < minimum {
            return Err(Reject::new("class-times-swapped", "the class has a maximum below its minimum"));
        }
        Ok(Self { minimum, maximum, texts: [minimum.to_string(), maximum.to_string()] })
    }

    /// Minimum and maximum as JSON.
    #[must_use]
    pub fn texts(&self) -> [&[u8]; 2] {
        self.texts.each_ref().map(|text| text.as_bytes())
    }

    /// What decides between classes: the smallest minimum, then the smallest maximum. Classes that are
    /// equal in both differ in nothing that an item shows, so their names need not be compared.
    #[must_use]
    pub fn rank(&self) -> Days {
        (self.minimum, self.maximum)
    }

    /// The times that an enriched item shows in two members, given as JSON texts. The outer option is none for what are no
    /// times, the inner one for those of an item without a known class.
    #[must_use]
    pub fn shown(minimum: &str, maximum: &str) -> Option<Option<Days>> {
        if (minimum, maximum) == ("null", "null") {
            return Some(None);
        }
        let days = |text: &str| whole(&serde_json::from_str(text).ok()?);
        Some(Some((days(minimum)?, days(maximum)?)))
    }
}

/// A number that is whole, however it is written: `2`, `2.0` and `2e0` are the same in JSON. Beyond 2^53
/// only the first form, since the others are floats.
fn whole(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=EXACT).contains(float))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        let whole = float as u64;
        Some(whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(u64, u64), String> {
        Class::parse(b"bulky", text.as_bytes())
            .map(|class| class.rank())
            .map_err(|reject| reject.code().to_owned())
    }

    #[test]
    fn reads_whole_days() {
        assert_eq!(parse(r#"{"minimumTime": 2, "maximumTime": 5, "name": "x"}"#), Ok((2, 5)));
        assert_eq!(parse(r#"{"minimumTime": 0, "maximumTime": 0}"#), Ok((0, 0)));
        assert_eq!(parse(r#"{"minimumTime": 2.0, "maximumTime": 1e1}"#), Ok((2, 10)));
        let most = r#"{"minimumTime": 0, "maximumTime": 18446744073709551615}"#;
        assert_eq!(parse(most), Ok((0, u64::MAX)));
    }

    #[test]
    fn reads_the_times_that_an_item_shows() {
        assert_eq!(Class::shown("2", "5"), Some(Some((2, 5))));
        assert_eq!(Class::shown("2.0", "5e0"), Some(Some((2, 5))));
        assert_eq!(Class::shown("null", "null"), Some(None));
        for (minimum, maximum) in [("null", "5"), ("2", "null"), ("\"2\"", "5"), ("-2", "5"), ("2", "[]")] {
            assert_eq!(Class::shown(minimum, maximum), None, "{minimum} {maximum}");
        }
    }

    #[test]
    fn rejects_what_is_no_class() {
        for (text, code) in [
            ("", "not-json"),
            ("{", "not-json"),
            ("[2, 5]", "not-an-object"),
            ("{}", "class-time-invalid"),
            (r#"{"minimumTime": 2}"#, "class-time-invalid"),
            (r#"{"minimumTime": "2", "maximumTime": 5}"#, "class-time-invalid"),
            (r#"{"minimumTime": 1.5, "maximumTime": 5}"#, "class-time-invalid"),
            (r#"{"minimumTime": -1, "maximumTime": 5}"#, "class-time-invalid"),
            (r#"{"minimumTime": null, "maximumTime": 5}"#, "class-time-invalid"),
            (r#"{"minimumTime": 1, "maximumTime": 1e300}"#, "class-time-invalid"),
            (r#"{"minimumTime": 6, "maximumTime": 5}"#, "class-times-swapped"),
        ] {
            assert_eq!(parse(text), Err(code.to_owned()), "{text}");
        }
    }
}
