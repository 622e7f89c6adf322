//! Turns a row into the key and the value of a record.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::ingest::{Member, MemberKind};
use crate::fault::{Code, Fault};
use crate::ingest::cell::Cell;

/// A record of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The key: the bytes of the key column as text.
    pub key: Vec<u8>,
    /// A JSON object, written without spaces, members in the order of the mapping.
    pub value: Vec<u8>,
}

/// How the rows of a table become records: columns by their position in a row.
#[derive(Clone, PartialEq, Debug)]
pub struct Mapping {
    key: Field,
    members: Vec<(Field, Member)>,
}

/// A column or an attribute, and where it stands in a row.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Field {
    name: String,
    position: usize,
}

impl Mapping {
    /// The mapping for rows with these fields. Without members, all fields but the key are members under their own names.
    ///
    /// # Errors
    /// `column_missing`, which names the fields that there are.
    pub fn new(key: &str, members: Option<&[Member]>, fields: &[String]) -> Result<Self, Fault> {
        let find = |name: &str| {
            let position = fields.iter().position(|field| field == name);
            position.map(|position| Field { name: name.to_owned(), position }).ok_or_else(|| {
                let there = fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
                let message = format!("there is no column `{name}`");
                Fault::new(Code::ColumnMissing, message).hint(format!("name one of {there}"))
            })
        };
        let own = |name: &String| Member {
            name: name.clone(),
            field: name.clone(),
            kind: MemberKind::Own,
            required: false,
        };
        let members = match members {
            Some(members) => members.to_vec(),
            None => fields.iter().filter(|field| *field != key).map(own).collect(),
        };
        let bind = |member: Member| Ok::<_, Fault>((find(&member.field)?, member));
        Ok(Self { key: find(key)?, members: members.into_iter().map(bind).collect::<Result<_, _>>()? })
    }

    /// The record of a row.
    ///
    /// # Errors
    /// `ingest_key_null`, `ingest_value_unfit`; both name the key or the row, the column and what it holds.
    pub fn row(&self, cells: &[Cell]) -> Result<Row, Fault> {
        let cell = |field: &Field| cells.get(field.position).unwrap_or(&Cell::Null);
        let key = key_of(&self.key.name, cell(&self.key))?;
        let mut value = Vec::with_capacity(16 * self.members.len() + 2);
        value.push(b'{');
        for (index, (field, member)) in self.members.iter().enumerate() {
            if index > 0 {
                value.push(b',');
            }
            write_text(&mut value, &member.name);
            value.push(b':');
            write(&mut value, member, cell(field)).map_err(|problem| unfit(&key, field, &problem))?;
        }
        value.push(b'}');
        Ok(Row { key: key.into_bytes(), value })
    }
}

/// The key as text: keys of Kafka that people read and that other producers write the same way.
fn key_of(column: &str, cell: &Cell) -> Result<String, Fault> {
    let unfit = |what: &str| {
        let message = format!("the key column `{column}` is {what} in a row");
        Err(Fault::new(Code::IngestKeyNull, message))
    };
    match cell {
        Cell::Null => unfit("NULL"),
        Cell::Text(text) if text.is_empty() => unfit("empty"),
        Cell::Text(text) | Cell::Number(text) => Ok(text.clone()),
        Cell::Integer(number) => Ok(number.to_string()),
        Cell::Boolean(_) | Cell::Bytes(_) | Cell::Json(_) => unfit(cell.type_name()),
    }
}

fn unfit(key: &str, field: &Field, problem: &str) -> Fault {
    let message = format!("the row `{key}` does not fit: column `{}` {problem}", field.name);
    Fault::new(Code::IngestValueUnfit, message)
}

/// Writes a cell as the member wants it, or says why that cannot be.
fn write(value: &mut Vec<u8>, member: &Member, cell: &Cell) -> Result<(), String> {
    let no = |wanted: &str| {
        Err(format!("is {}, `type = \"{}\"` wants {wanted}", cell.type_name(), member.kind.as_str()))
    };
    if *cell == Cell::Null {
        if member.required {
            return Err("is NULL, and the member is required".to_owned());
        }
        value.extend_from_slice(b"null");
        return Ok(());
    }
    match (member.kind, cell) {
        (MemberKind::Own | MemberKind::Boolean, Cell::Boolean(truth)) => write_boolean(value, *truth),
        (MemberKind::Boolean, Cell::Integer(number @ (0 | 1))) => write_boolean(value, *number == 1),
        (MemberKind::Boolean, _) => return no("true, false, 0 or 1"),
        (MemberKind::Own | MemberKind::Integer | MemberKind::Number, Cell::Integer(number)) => {
            value.extend_from_slice(number.to_string().as_bytes());
        }
        (MemberKind::Own | MemberKind::Number, Cell::Number(text)) => {
            value.extend_from_slice(text.as_bytes())
        }
        (MemberKind::Integer | MemberKind::Number, Cell::Number(text) | Cell::Text(text)) => {
            match number(text.trim(), member.kind) {
                Some(number) => value.extend_from_slice(number.as_bytes()),
                None => {
                    return Err(format!(
                        "is `{}`, `type = \"{}\"` wants a number that is one",
                        shortened(text),
                        member.kind.as_str()
                    ));
                }
            }
        }
        (MemberKind::Integer | MemberKind::Number, _) => return no("a number"),
        (MemberKind::Own | MemberKind::Text, Cell::Text(text)) => write_text(value, text),
        (MemberKind::Text, Cell::Number(text) | Cell::Json(text)) => write_text(value, text),
        (MemberKind::Text, Cell::Integer(number)) => write_text(value, &number.to_string()),
        (MemberKind::Text, Cell::Boolean(truth)) => write_text(value, &truth.to_string()),
        (MemberKind::Text, _) => return no("a text; `base64` takes bytes"),
        (MemberKind::Own | MemberKind::Json, Cell::Json(text)) | (MemberKind::Json, Cell::Text(text)) => {
            match serde_json::from_str::<serde_json::Value>(text) {
                Ok(_) => write_json(value, text),
                Err(error) => return Err(format!("holds no JSON: {error}")),
            }
        }
        (MemberKind::Json, _) => return no("JSON as text"),
        (MemberKind::Base64, Cell::Bytes(bytes)) => write_text(value, &STANDARD.encode(bytes)),
        (MemberKind::Base64, _) => return no("bytes"),
        (MemberKind::Own, Cell::Bytes(_)) => {
            return Err(
                "is bytes, which JSON cannot hold: set `type = \"base64\"`, or leave it out".to_owned()
            );
        }
        (_, Cell::Null) => value.extend_from_slice(b"null"),
    }
    Ok(())
}

fn write_boolean(value: &mut Vec<u8>, truth: bool) {
    value.extend_from_slice(if truth { b"true" } else { b"false" });
}

fn write_text(value: &mut Vec<u8>, text: &str) {
    value.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

/// Databases write JSON over several lines; a record is one line. Spaces outside of texts mean nothing.
fn write_json(value: &mut Vec<u8>, text: &str) {
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        if in_text || !byte.is_ascii_whitespace() {
            value.push(byte);
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            _ => {}
        }
    }
}

/// A number as JSON writes it, with all its digits; none when it is no such number.
fn number(text: &str, kind: MemberKind) -> Option<String> {
    // What JSON takes as a number it takes with any number of digits; serde_json checks the form.
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_number());
    if !is_number {
        return None;
    }
    if kind != MemberKind::Integer {
        return Some(text.to_owned());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_whole = whole.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
        && fraction.bytes().all(|byte| byte == b'0');
    is_whole.then(|| whole.to_owned())
}

fn shortened(text: &str) -> String {
    const CHARS: usize = 40;
    if text.chars().count() <= CHARS {
        text.to_owned()
    } else {
        text.chars().take(CHARS).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(kind: MemberKind) -> Member {
        Member { name: "m".to_owned(), field: "c".to_owned(), kind, required: false }
    }

    fn fields() -> Vec<String> {
        ["k", "c"].map(str::to_owned).to_vec()
    }

    fn value(kind: MemberKind, cell: Cell) -> Result<String, Fault> {
        let mapping = Mapping::new("k", Some(&[member(kind)]), &fields()).unwrap();
        let row = mapping.row(&[Cell::Text("key".to_owned()), cell])?;
        Ok(String::from_utf8(row.value).unwrap())
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn writes_what_the_column_is() {
        let own = |cell| value(MemberKind::Own, cell).unwrap();

        assert_eq!(own(Cell::Integer(-5)), r#"{"m":-5}"#);
        assert_eq!(own(Cell::Boolean(true)), r#"{"m":true}"#);
        assert_eq!(own(Cell::Null), r#"{"m":null}"#);
        assert_eq!(own(text("a\"b\n")), r#"{"m":"a\"b\n"}"#);
        assert_eq!(
            own(Cell::Number("12345678901234567890.123456789".to_owned())),
            r#"{"m":12345678901234567890.123456789}"#
        );
        assert_eq!(
            own(Cell::Json("{ \"a b\":\n [1, \"x \\\" y\"] }".to_owned())),
            r#"{"m":{"a b":[1,"x \" y"]}}"#
        );
    }

    #[test]
    fn turns_types_into_those_that_are_asked_for() {
        for (kind, cell, expected) in [
            (MemberKind::Integer, text(" 7 "), "7"),
            (MemberKind::Integer, Cell::Number("7.00".to_owned()), "7"),
            (MemberKind::Number, text("7.5e3"), "7.5e3"),
            (MemberKind::Text, Cell::Integer(7), "\"7\""),
            (MemberKind::Text, Cell::Boolean(false), "\"false\""),
            (MemberKind::Boolean, Cell::Integer(1), "true"),
            (MemberKind::Json, text("[1]"), "[1]"),
            (MemberKind::Base64, Cell::Bytes(vec![0, 255]), "\"AP8=\""),
        ] {
            assert_eq!(value(kind, cell).unwrap(), format!("{{\"m\":{expected}}}"));
        }
    }

    #[test]
    fn refuses_what_does_not_fit_and_says_where() {
        for (kind, cell) in [
            (MemberKind::Integer, text("seven")),
            (MemberKind::Integer, Cell::Number("7.5".to_owned())),
            (MemberKind::Integer, text("NaN")),
            (MemberKind::Number, text("+7")),
            (MemberKind::Number, Cell::Boolean(true)),
            (MemberKind::Boolean, Cell::Integer(2)),
            (MemberKind::Text, Cell::Bytes(vec![1])),
            (MemberKind::Json, text("{")),
            (MemberKind::Base64, text("x")),
            (MemberKind::Own, Cell::Bytes(vec![1])),
        ] {
            let fault = value(kind, cell.clone()).unwrap_err();
            assert_eq!(fault.code(), Code::IngestValueUnfit, "{kind:?} {cell:?}");
            assert!(fault.message().starts_with("the row `key` does not fit: column `c` "), "{fault}");
        }
    }

    #[test]
    fn refuses_null_where_a_member_is_required() {
        let required = Member { required: true, ..member(MemberKind::Own) };
        let mapping = Mapping::new("k", Some(&[required]), &fields()).unwrap();

        let fault = mapping.row(&[text("key"), Cell::Null]).unwrap_err();

        assert_eq!(fault.code(), Code::IngestValueUnfit);
    }

    #[test]
    fn takes_texts_and_numbers_as_keys_and_nothing_else() {
        let mapping = Mapping::new("k", None, &fields()).unwrap();
        let key = |cell| mapping.row(&[cell, Cell::Null]).map(|row| String::from_utf8(row.key).unwrap());

        assert_eq!(key(text("bulky")).unwrap(), "bulky");
        assert_eq!(key(Cell::Integer(7)).unwrap(), "7");
        for cell in [Cell::Null, text(""), Cell::Bytes(vec![1]), Cell::Boolean(true)] {
            assert_eq!(key(cell).unwrap_err().code(), Code::IngestKeyNull);
        }
    }

    #[test]
    fn takes_all_columns_but_the_key_when_no_members_are_named() {
        let fields = ["b", "k", "a"].map(str::to_owned);
        let mapping = Mapping::new("k", None, &fields).unwrap();

        let row = mapping.row(&[Cell::Integer(1), text("key"), Cell::Integer(2)]).unwrap();

        assert_eq!(row.value, br#"{"b":1,"a":2}"#);
    }

    #[test]
    fn names_the_columns_that_there_are_when_one_is_missing() {
        let fault = Mapping::new("name", None, &fields()).unwrap_err();

        assert_eq!(fault.code(), Code::ColumnMissing);
        assert_eq!((fault.message(), fault.remedy()), ("there is no column `name`", "name one of `k`, `c`"));
    }
}
