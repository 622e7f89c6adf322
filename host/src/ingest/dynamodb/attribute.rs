//! The values of a DynamoDB item, as cells of a row and as JSON.

use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bigdecimal::BigDecimal;
use serde_json::{Map, Value as Json, json};

use crate::ingest::cell::Cell;

/// A value of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// `S`.
    Text(String),
    /// `N`, with all its digits: up to 38, more than any number type of the language has.
    Number(String),
    /// `B`.
    Bytes(Vec<u8>),
    /// `BOOL`.
    Boolean(bool),
    /// `NULL`.
    Null,
    /// `L`.
    List(Vec<Attribute>),
    /// `M`.
    Map(Item),
    /// `SS`, in no order.
    Texts(Vec<String>),
    /// `NS`, in no order.
    Numbers(Vec<String>),
    /// `BS`, in no order.
    Blobs(Vec<Vec<u8>>),
}

/// The attributes of an item by their names.
pub type Item = BTreeMap<String, Attribute>;

/// What to do with bytes within lists, maps and sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binaries {
    /// JSON cannot hold them.
    Refused,
    /// Each becomes a text of base64.
    Base64,
}

impl Attribute {
    /// The value as a cell. Sets come as sorted arrays, so that the same set is always the same text.
    ///
    /// # Errors
    /// What JSON cannot hold, as a phrase behind the attribute's name.
    pub fn cell(&self, binaries: Binaries) -> Result<Cell, String> {
        Ok(match self {
            Self::Text(text) => Cell::Text(text.clone()),
            Self::Number(text) => match text.parse() {
                Ok(number) => Cell::Integer(number),
                Err(_) => Cell::Number(json_number(text)?),
            },
            Self::Bytes(bytes) => Cell::Bytes(bytes.clone()),
            Self::Boolean(truth) => Cell::Boolean(*truth),
            Self::Null => Cell::Null,
            Self::List(_) | Self::Map(_) | Self::Texts(_) | Self::Numbers(_) | Self::Blobs(_) => {
                let mut text = String::new();
                self.write(&mut text, binaries)?;
                Cell::Json(text)
            }
        })
    }

    /// Numbers are written as text: a JSON library would round them.
    fn write(&self, out: &mut String, binaries: Binaries) -> Result<(), String> {
        match self {
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::Number(text) => out.push_str(&json_number(text)?),
            Self::Bytes(bytes) => out.push_str(&blob(bytes, binaries)?),
            Self::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Self::Null => out.push_str("null"),
            Self::List(values) => write_array(out, values, |out, value| value.write(out, binaries))?,
            Self::Map(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    out.push_str(&format!("{comma}{}:", quoted(name)));
                    value.write(out, binaries)?;
                }
                out.push('}');
            }
            Self::Texts(texts) => write_array(out, &sorted(texts), |out, text| {
                out.push_str(&quoted(text));
                Ok(())
            })?,
            Self::Numbers(numbers) => write_array(out, &sorted_numbers(numbers)?, |out, number| {
                out.push_str(number);
                Ok(())
            })?,
            Self::Blobs(blobs) => write_array(out, &sorted(blobs), |out, bytes| {
                out.push_str(&blob(bytes, binaries)?);
                Ok(())
            })?,
        }
        Ok(())
    }
}

fn write_array<T>(
    out: &mut String,
    values: &[T],
    mut write: impl FnMut(&mut String, &T) -> Result<(), String>,
) -> Result<(), String> {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, value)?;
    }
    out.push(']');
    Ok(())
}

fn sorted<T: Ord>(values: &[T]) -> Vec<&T> {
    let mut values: Vec<_> = values.iter().collect();
    values.sort();
    values
}

fn sorted_numbers(numbers: &[String]) -> Result<Vec<String>, String> {
    let parse = |text: &String| {
        let number = BigDecimal::from_str(text).map_err(|_| no_number(text))?;
        Ok::<_, String>((number, json_number(text)?))
    };
    let mut numbers: Vec<_> = numbers.iter().map(parse).collect::<Result<_, _>>()?;
    numbers.sort();
    Ok(numbers.into_iter().map(|(_, text)| text).collect())
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

fn blob(bytes: &[u8], binaries: Binaries) -> Result<String, String> {
    match binaries {
        Binaries::Refused => {
            Err("holds bytes, which JSON cannot hold: set `type = \"base64\"`, or leave it out".to_owned())
        }
        Binaries::Base64 => Ok(quoted(&STANDARD.encode(bytes))),
    }
}

fn no_number(text: &str) -> String {
    format!("holds `{text}`, which is no number")
}

/// A number as JSON writes it. DynamoDB gives no other, but servers that stand in for it give back what they were given.
fn json_number(text: &str) -> Result<String, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits_end = rest.find(['.', 'e', 'E']).unwrap_or(rest.len());
    let (whole, behind) = rest.split_at(digits_end);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let number = format!("{sign}{whole}{behind}");
    let is_number = rest.bytes().any(|byte| byte.is_ascii_digit())
        && serde_json::from_str::<Json>(&number).is_ok_and(|json| json.is_number());
    if is_number { Ok(number) } else { Err(no_number(text)) }
}

/// The key of a table, or a place in it, as DynamoDB itself writes it in JSON: `{"sku":{"S":"A-1"}}`. Attributes of types that
/// are no key are left out.
pub fn key_json(key: &Item) -> Json {
    let value = |attribute: &Attribute| match attribute {
        Attribute::Text(text) => Some(json!({ "S": text })),
        Attribute::Number(text) => Some(json!({ "N": text })),
        Attribute::Bytes(bytes) => Some(json!({ "B": STANDARD.encode(bytes) })),
        _ => None,
    };
    Json::Object(key.iter().filter_map(|(name, attribute)| Some((name.clone(), value(attribute)?))).collect())
}

/// What [`key_json`] has written; none for anything else.
pub fn key_from_json(json: &Json) -> Option<Item> {
    let attribute = |value: &Map<String, Json>| {
        let (kind, value) = value.iter().next()?;
        let text = value.as_str()?;
        match kind.as_str() {
            "S" => Some(Attribute::Text(text.to_owned())),
            "N" => Some(Attribute::Number(text.to_owned())),
            "B" => Some(Attribute::Bytes(STANDARD.decode(text).ok()?)),
            _ => None,
        }
    };
    let member = |(name, value): (&String, &Json)| Some((name.clone(), attribute(value.as_object()?)?));
    json.as_object()?.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Attribute {
        Attribute::Number(text.to_owned())
    }

    fn json(attribute: &Attribute, binaries: Binaries) -> Result<String, String> {
        match attribute.cell(binaries)? {
            Cell::Json(text) => Ok(text),
            cell => panic!("{cell:?}"),
        }
    }

    #[test]
    fn keeps_every_digit_of_a_number() {
        let digits = "1234567890123456789012345678901234567.8";
        let list = Attribute::List(vec![number(digits), number("-0.10"), number("1E+40")]);

        assert_eq!(number(digits).cell(Binaries::Refused), Ok(Cell::Number(digits.to_owned())));
        assert_eq!(number("-7").cell(Binaries::Refused), Ok(Cell::Integer(-7)));
        assert_eq!(json(&list, Binaries::Refused).unwrap(), format!("[{digits},-0.10,1E+40]"));
    }

    #[test]
    fn writes_numbers_as_json_does_and_refuses_what_is_none() {
        for (text, expected) in [("+5.5", "5.5"), ("007.0", "7.0"), (".5", "0.5"), ("-.5", "-0.5")] {
            assert_eq!(number(text).cell(Binaries::Refused), Ok(Cell::Number(expected.to_owned())), "{text}");
        }
        for text in ["", "x", "1 2", "--1", "1.", ".", "1e", "NaN"] {
            assert!(number(text).cell(Binaries::Refused).is_err(), "{text}");
        }
    }

    #[test]
    fn nests_lists_and_maps() {
        let inner =
            Item::from([("b\"".to_owned(), Attribute::Null), ("a".to_owned(), Attribute::Boolean(true))]);
        let list = Attribute::List(vec![
            Attribute::Map(inner),
            Attribute::List(vec![]),
            Attribute::Text("ü".into()),
        ]);

        assert_eq!(json(&list, Binaries::Refused).unwrap(), r#"[{"a":true,"b\"":null},[],"ü"]"#);
    }

    #[test]
    fn sorts_sets_by_what_they_hold() {
        let texts = Attribute::Texts(["b", "a", "B"].map(str::to_owned).to_vec());
        let numbers = Attribute::Numbers(["10", "9.5", "-1", "1E+100"].map(str::to_owned).to_vec());
        let blobs = Attribute::Blobs(vec![vec![2], vec![1, 255]]);

        assert_eq!(json(&texts, Binaries::Refused).unwrap(), r#"["B","a","b"]"#);
        assert_eq!(json(&numbers, Binaries::Refused).unwrap(), "[-1,9.5,10,1E+100]");
        assert_eq!(json(&blobs, Binaries::Base64).unwrap(), r#"["Af8=","Ag=="]"#);
    }

    #[test]
    fn refuses_bytes_within_lists_and_maps_unless_they_may_become_base64() {
        let map = Attribute::Map(Item::from([("b".to_owned(), Attribute::Bytes(vec![0, 255]))]));

        assert!(json(&map, Binaries::Refused).unwrap_err().contains("which JSON cannot hold"));
        assert_eq!(json(&map, Binaries::Base64).unwrap(), r#"{"b":"AP8="}"#);
    }

    #[test]
    fn reads_back_a_place_in_a_table() {
        let place = Item::from([
            ("hash".to_owned(), Attribute::Bytes(vec![0, 255])),
            ("range".to_owned(), number("123456789012345678901234567890.5")),
            ("text".to_owned(), Attribute::Text("ü \"".to_owned())),
        ]);

        let written = key_json(&place).to_string();

        assert_eq!(key_from_json(&serde_json::from_str(&written).unwrap()), Some(place));
        assert_eq!(key_from_json(&json!({ "a": { "L": [] } })), None);
        assert_eq!(key_from_json(&json!("a")), None);
    }
}
