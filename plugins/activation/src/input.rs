//! What records must look like, and how things are named.

use std::borrow::Cow;

use gristmill::Record;
use gristmill::Reject;
use gristmill::json::Error;
use gristmill::json::Kind;
use gristmill::json::Value;

/// Bytes of a product ID and of a business ID together: they are the keys of rows.
const KEY_BYTES_MAX: usize = 8 << 10;

/// Bytes of a product ID that can be the name of a job as it is; a host takes 256, and each may need three.
const NAME_BYTES_MAX: usize = 80;

/// The product ID.
pub(crate) fn key<'a>(record: &Record<'a>) -> Result<&'a [u8], Reject> {
    let key = record.key.ok_or_else(|| Reject::new("no-key", "the record has no key, so no product ID"))?;
    if key.len() > KEY_BYTES_MAX {
        let message = format!("the product ID has {} bytes, at most {KEY_BYTES_MAX} are taken", key.len());
        return Err(Reject::new("key-too-long", message));
    }
    Ok(key)
}

/// The value of an activation.
pub(crate) fn value<'a>(record: &Record<'a>) -> Result<&'a [u8], Reject> {
    let value = record.value.ok_or_else(|| Reject::new("no-value", "the activation has no value"))?;
    if value.is_empty() {
        return Err(Reject::new("empty-value", "the activation has an empty value"));
    }
    Ok(value)
}

/// The rejection of a document that cannot be read.
pub(crate) fn refuse(error: Error) -> Reject {
    Reject::new(error.code(), format!("the value is {error}"))
}

/// A business ID as text, so that `7` and `"7"` are the same; none if it is missing or null.
pub(crate) fn business_id<'d>(value: Option<Value<'d>>, key: &[u8]) -> Result<Option<Cow<'d, str>>, Reject> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let id = match value.kind() {
        Kind::Number => Some(Cow::Borrowed(value.text())),
        _ => value.string(),
    };
    let id =
        id.ok_or_else(|| Reject::new("business-id-invalid", "the business ID is neither text nor a number"))?;
    if key.len() + id.len() > KEY_BYTES_MAX {
        let message = format!("the business ID has {} bytes, which is too much for a key", id.len());
        return Err(Reject::new("business-id-too-long", message));
    }
    Ok(Some(id))
}

/// The name of the job of a product, another one for each; none for a product ID that is too long for that.
pub(crate) fn job_name(key: &[u8]) -> Option<String> {
    if key.is_empty() || key.len() > NAME_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(key).ok().filter(|text| !text.starts_with('%'));
    Some(text.map_or_else(|| key.iter().map(|byte| format!("%{byte:02x}")).collect(), str::to_owned))
}

/// A duration in the largest unit that it is a whole number of.
pub(crate) fn shown(millis: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fits = units.into_iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_durations_as_people_write_them() {
        for (millis, text) in [
            (604_800_000, "7d"),
            (90_000_000, "25h"),
            (90_000, "90s"),
            (60_000, "1m"),
            (1_500, "1500ms"),
            (0, "0ms"),
        ] {
            assert_eq!(shown(millis), text);
        }
    }

    #[test]
    fn names_the_jobs_of_different_products_differently() {
        assert_eq!(job_name(b"P-1").as_deref(), Some("P-1"));
        assert_eq!(job_name(b"\xff").as_deref(), Some("%ff"));
        assert_eq!(job_name(b"%ff").as_deref(), Some("%25%66%66"));
        assert_eq!(job_name(&[b'x'; 81]), None);
        assert_eq!(job_name(b""), None);
        assert_eq!(job_name(&[0xff; 80]).map(|name| name.len()), Some(240));
    }
}
