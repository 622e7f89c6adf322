//! PostgreSQL: values in the binary form of its protocol.

use std::str::FromStr;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use sqlx::postgres::{PgConnectOptions, PgRow, PgTypeInfo, PgTypeKind};
use sqlx::{ConnectOptions, PgConnection, Row, TypeInfo, ValueRef};

use crate::fault::Fault;
use crate::ingest::cell::Cell;
use crate::ingest::sql::place::Place;
use crate::ingest::sql::read::Dialect;
use crate::ingest::sql::text::{self, Unfit};

/// The types that are text already when they come.
const TEXTS: [&str; 7] = ["TEXT", "VARCHAR", "CHAR", "\"CHAR\"", "NAME", "citext", "xml"];

/// All others that are known.
const OTHERS: [&str; 17] = [
    "BOOL",
    "INT2",
    "INT4",
    "INT8",
    "OID",
    "FLOAT4",
    "FLOAT8",
    "NUMERIC",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "UUID",
    "JSON",
    "JSONB",
    "BYTEA",
    "VOID",
];

/// A database on a server.
pub(super) struct Postgres {
    options: PgConnectOptions,
}

impl Postgres {
    pub(super) fn new(place: &Place) -> Result<Self, Fault> {
        let mut options = PgConnectOptions::from_str(&place.url).map_err(|error| place.refused(&error))?;
        if let Some(password) = &place.password {
            options = options.password(password);
        }
        if options.get_application_name().is_none() {
            options = options.application_name("gristmill");
        }
        Ok(Self { options: options.disable_statement_logging() })
    }
}

impl Dialect for Postgres {
    type Database = sqlx::Postgres;

    const SNAPSHOT: &'static [&'static str] = &["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"];
    const CAST: &'static str = "`CAST({} AS TEXT)`, or `to_jsonb({})`";

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.options.connect().await
    }

    fn is_known(type_info: &PgTypeInfo) -> bool {
        let name = type_info.name();
        TEXTS.contains(&name) || OTHERS.contains(&name) || matches!(type_info.kind(), PgTypeKind::Enum(_))
    }

    fn cell(row: &PgRow, column: usize) -> Result<Cell, Unfit> {
        let value = row.try_get_raw(column).map_err(|error| error.to_string())?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let type_info = value.type_info();
        let bytes = value.as_bytes().map_err(|error| error.to_string())?;
        let cut = || format!("is no {}", type_info.name());
        match type_info.name() {
            "BOOL" => Ok(Cell::Boolean(bytes != [0])),
            "INT2" => Ok(Cell::Integer(i16::from_be_bytes(sized(bytes).ok_or_else(cut)?).into())),
            "INT4" => Ok(Cell::Integer(i32::from_be_bytes(sized(bytes).ok_or_else(cut)?).into())),
            "INT8" => Ok(Cell::Integer(i64::from_be_bytes(sized(bytes).ok_or_else(cut)?))),
            "OID" => Ok(Cell::Integer(u32::from_be_bytes(sized(bytes).ok_or_else(cut)?).into())),
            "FLOAT4" => text::short_real(f32::from_be_bytes(sized(bytes).ok_or_else(cut)?)),
            "FLOAT8" => text::real(f64::from_be_bytes(sized(bytes).ok_or_else(cut)?)),
            "NUMERIC" => numeric(bytes).unwrap_or_else(|| Err(cut())),
            "DATE" => date(i32::from_be_bytes(sized(bytes).ok_or_else(cut)?)).ok_or_else(text::no_time),
            "TIME" => time(i64::from_be_bytes(sized(bytes).ok_or_else(cut)?)).ok_or_else(text::no_time),
            "TIMESTAMP" => Ok(text::date_time(moment(bytes).ok_or_else(text::no_time)?)),
            "TIMESTAMPTZ" => Ok(text::moment(moment(bytes).ok_or_else(text::no_time)?)),
            "UUID" => {
                Ok(Cell::Text(sqlx::types::Uuid::from_bytes(sized(bytes).ok_or_else(cut)?).to_string()))
            }
            "JSON" => text::json(bytes),
            // A number of its format comes first.
            "JSONB" => text::json(bytes.split_first().ok_or_else(cut)?.1),
            "BYTEA" => Ok(Cell::Bytes(bytes.to_vec())),
            "VOID" => Ok(Cell::Null),
            _ => text::text(bytes),
        }
    }
}

fn sized<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// The first day of PostgreSQL's calendar. Its infinities lie beyond that of chrono, as do years that nobody needs.
fn epoch() -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(2000, 1, 1)
}

fn date(days: i32) -> Option<Cell> {
    epoch()?.checked_add_signed(TimeDelta::try_days(days.into())?).map(text::date)
}

fn time(micros: i64) -> Option<Cell> {
    // 24:00:00, the end of a day, is the only time that chrono does not have.
    let micros = u64::try_from(micros).ok()?;
    if micros == 86_400_000_000 {
        return Some(Cell::Text("24:00:00".to_owned()));
    }
    let (seconds, nanos) = (micros / 1_000_000, micros % 1_000_000 * 1_000);
    let time =
        NaiveTime::from_num_seconds_from_midnight_opt(seconds.try_into().ok()?, nanos.try_into().ok()?);
    time.map(text::time)
}

fn moment(bytes: &[u8]) -> Option<chrono::NaiveDateTime> {
    let micros = i64::from_be_bytes(sized(bytes)?);
    epoch()?.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::microseconds(micros))
}

/// A number with all its digits; none when the bytes are no number.
///
/// ```text
/// digits (2 bytes)  weight of the first (2)  sign (2)  decimals that are shown (2)  the digits, of base 10,000 (2 each)
/// ```
fn numeric(bytes: &[u8]) -> Option<Result<Cell, Unfit>> {
    let words: Vec<_> =
        bytes.chunks(2).map(|word| sized(word).map(u16::from_be_bytes)).collect::<Option<_>>()?;
    let [_, weight, sign, decimals, digits @ ..] = words.as_slice() else { return None };
    let minus = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xD000 => return Some(Err(text::no_number("infinite"))),
        0xF000 => return Some(Err(text::no_number("negative infinite"))),
        _ => return Some(Err(text::no_number("NaN"))),
    };
    let weight = i32::from(weight.cast_signed());
    // Zeros at the end are not sent.
    let digit =
        |place: i32| usize::try_from(weight - place).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
    let decimals = usize::from(*decimals);
    let groups = i32::try_from(decimals.div_ceil(4)).ok()?;
    let fraction: String = (1..=groups).map(|place| format!("{:04}", digit(-place))).collect();
    let fraction = fraction.get(..decimals)?;
    let point = if decimals > 0 { "." } else { "" };
    Some(Ok(text::decimal(&format!("{minus}{whole}{point}{fraction}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(words: &[u16]) -> Option<Result<Cell, Unfit>> {
        numeric(&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn reads_numbers_with_all_their_digits() {
        for (words, wanted) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[2, 0, 0, 2, 12, 5000], "12.50"),
            (&[1, 1, 0, 0, 3], "30000"),
            (&[1, 0xFFFF, 0x4000, 4, 25], "-0.0025"),
            (&[1, 0xFFFE, 0, 8, 25], "0.00000025"),
            (&[3, 1, 0, 1, 1, 0, 5000], "10000.5"),
        ] {
            assert_eq!(number(words), Some(Ok(Cell::Number(wanted.to_owned()))), "{words:?}");
        }
    }

    #[test]
    fn refuses_numbers_that_json_does_not_have() {
        for sign in [0xC000, 0xD000, 0xF000] {
            assert!(number(&[0, 0, sign, 0]).unwrap().is_err());
        }
        assert_eq!(number(&[0, 0]), None);
        assert_eq!(numeric(&[0, 0, 0]), None);
    }

    #[test]
    fn reads_dates_up_to_the_ends_of_the_calendar() {
        assert_eq!(date(-1), Some(Cell::Text("1999-12-31".to_owned())));
        assert_eq!((date(i32::MAX), date(i32::MIN)), (None, None));
        assert_eq!((moment(&i64::MAX.to_be_bytes()), moment(&i64::MIN.to_be_bytes())), (None, None));
        assert_eq!(time(86_400_000_000), Some(Cell::Text("24:00:00".to_owned())));
        assert_eq!(time(1), Some(Cell::Text("00:00:00.000001".to_owned())));
    }
}
