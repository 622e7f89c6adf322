//! MySQL and MariaDB: values in the binary form of their protocol.

use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime};
use sqlx::mysql::{MySqlConnectOptions, MySqlRow, MySqlTypeInfo};
use sqlx::{ConnectOptions, MySql, MySqlConnection, Row, Type, TypeInfo, ValueRef};

use crate::fault::Fault;
use crate::ingest::cell::Cell;
use crate::ingest::sql::place::Place;
use crate::ingest::sql::read::Dialect;
use crate::ingest::sql::text::{self, Unfit};

/// A database on a server.
pub(super) struct Mysql {
    options: MySqlConnectOptions,
}

impl Mysql {
    pub(super) fn new(place: &Place) -> Result<Self, Fault> {
        let mut options = MySqlConnectOptions::from_str(&place.url).map_err(|error| place.refused(&error))?;
        if let Some(password) = &place.password {
            options = options.password(password);
        }
        // The query means what it means elsewhere; moments come in UTC.
        let options = options.pipes_as_concat(false).no_engine_substitution(false);
        let options = options.timezone(Some("+00:00".to_owned()));
        Ok(Self { options: options.disable_statement_logging() })
    }
}

impl Dialect for Mysql {
    type Database = MySql;

    const SNAPSHOT: &'static [&'static str] = &[
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ];
    const CAST: &'static str = "`CAST({} AS CHAR)`, or `ST_AsGeoJSON({})`";

    async fn connect(&self) -> Result<MySqlConnection, sqlx::Error> {
        self.options.connect().await
    }

    fn is_known(type_info: &MySqlTypeInfo) -> bool {
        type_info.name() != "GEOMETRY"
    }

    fn cell(row: &MySqlRow, column: usize) -> Result<Cell, Unfit> {
        let broken = |error: sqlx::Error| error.to_string();
        let value = row.try_get_raw(column).map_err(broken)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let type_info = value.type_info();
        let bytes: &[u8] = row.try_get_unchecked(column).map_err(broken)?;
        let cut = || format!("is no {}", type_info.name());
        match type_info.name() {
            "BOOLEAN" => match bytes {
                [truth @ (0 | 1)] => Ok(Cell::Boolean(*truth == 1)),
                _ => Err("has the type TINYINT(1), which is a boolean, and is neither 0 nor 1: cast it in the query".to_owned()),
            },
            "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
                whole(bytes, Sign::Extended).map(|bits| Cell::Integer(bits.cast_signed())).ok_or_else(cut)
            }
            "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
            | "YEAR" => whole(bytes, Sign::None).map(text::unsigned).ok_or_else(cut),
            "FLOAT" => text::short_real(f32::from_le_bytes(bytes.try_into().map_err(|_| cut())?)),
            "DOUBLE" => text::real(f64::from_le_bytes(bytes.try_into().map_err(|_| cut())?)),
            "DECIMAL" => Ok(text::decimal(std::str::from_utf8(bytes).map_err(|_| cut())?)),
            "BIT" => bits(bytes).map(text::unsigned).ok_or_else(cut),
            "DATE" => moment(bytes).map(|time| text::date(time.date())).ok_or_else(text::no_time),
            "DATETIME" => moment(bytes).map(text::date_time).ok_or_else(text::no_time),
            "TIMESTAMP" => moment(bytes).map(text::moment).ok_or_else(text::no_time),
            "TIME" => span(bytes).map(Cell::Text).ok_or_else(text::no_time),
            "JSON" => text::json(bytes),
            "SET" => text::text(bytes),
            _ if <str as Type<MySql>>::compatible(&type_info) => text::text(bytes),
            _ => Ok(Cell::Bytes(bytes.to_vec())),
        }
    }

    fn hint(error: &sqlx::Error) -> Option<&'static str> {
        // The only thing that is left to be misconfigured once the URL has been read: a password that has to be encrypted.
        matches!(error, sqlx::Error::Configuration(_)).then_some(
            "this user's password is checked with `caching_sha2_password` or `sha256_password`, which needs an encrypted connection: \
             add `?ssl-mode=REQUIRED` to the URL and let the server have a certificate",
        )
    }
}

enum Sign {
    None,
    Extended,
}

/// Integers come with the width of their type, the lowest byte first.
fn whole(bytes: &[u8], sign: Sign) -> Option<u64> {
    let top = *bytes.last()?;
    let fill = if matches!(sign, Sign::Extended) && top >= 0x80 { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(wide))
}

/// Bits come with the highest byte first.
fn bits(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}

/// A day, with a time of day or without.
///
/// ```text
/// length (1 byte)  year (2)  month  day  |  hour  minute  second  |  microseconds (4)
/// ```
fn moment(bytes: &[u8]) -> Option<NaiveDateTime> {
    let (_, bytes) = bytes.split_first()?;
    let [low, high, month, day, rest @ ..] = bytes else { return None };
    let date =
        NaiveDate::from_ymd_opt(u16::from_le_bytes([*low, *high]).into(), (*month).into(), (*day).into())?;
    let (time, micros) = rest.split_at_checked(3).unwrap_or((&[0, 0, 0], &[]));
    let [hour, minute, second] = time else { return None };
    let micros = whole(micros, Sign::None).unwrap_or(0).try_into().ok()?;
    date.and_hms_micro_opt((*hour).into(), (*minute).into(), (*second).into(), micros)
}

/// A time, which may be negative and longer than a day.
///
/// ```text
/// length (1 byte)  1 when negative (1)  days (4)  hours  minutes  seconds  |  microseconds (4)
/// ```
fn span(bytes: &[u8]) -> Option<String> {
    let (len, bytes) = bytes.split_first()?;
    if *len == 0 {
        return Some("00:00:00".to_owned());
    }
    let (minus, bytes) = bytes.split_first()?;
    let (days, bytes) = bytes.split_at_checked(4)?;
    let [hours, minutes, seconds, micros @ ..] = bytes else { return None };
    let hours = whole(days, Sign::None)? * 24 + u64::from(*hours);
    let sign = if *minus == 1 { "-" } else { "" };
    let micros = match whole(micros, Sign::None).unwrap_or(0) {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    Some(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{micros}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_integers_with_their_sign() {
        assert_eq!(whole(&[0xfe], Sign::Extended).map(u64::cast_signed), Some(-2));
        assert_eq!(whole(&[0xfe], Sign::None), Some(254));
        assert_eq!(whole(&[0, 1, 0, 0], Sign::Extended), Some(256));
        assert_eq!(whole(&[0; 9], Sign::None), None);
        assert_eq!(bits(&[1, 0]), Some(256));
    }

    #[test]
    fn reads_times_that_no_clock_shows() {
        assert_eq!(span(&[0]).unwrap(), "00:00:00");
        assert_eq!(span(&[8, 1, 34, 0, 0, 0, 22, 59, 59]).unwrap(), "-838:59:59");
        assert_eq!(span(&[12, 0, 0, 0, 0, 0, 1, 2, 3, 0x40, 0xe2, 1, 0]).unwrap(), "01:02:03.123456");
        assert_eq!(moment(&[4, 0xea, 7, 0, 1]), None);
    }
}
