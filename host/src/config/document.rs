//! A TOML file as a tree in which every value knows its path and its line, so that errors can point at it.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::config::units;
use crate::fault::{Code, Fault};

/// Where a value stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    file: Arc<str>,
    line: usize,
    path: String,
}

/// A value of a file.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    place: Place,
    value: Value,
}

/// What a value is.
#[derive(Clone, PartialEq, Debug)]
enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(String),
    List(Vec<Item>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key, without quotes.
    pub key: String,
    /// Its value.
    pub item: Item,
}

/// A table whose keys have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    place: &'a Place,
    entries: &'a [Entry],
}

/// Reads a file's text. `file` is its name in messages.
///
/// # Errors
/// `config_syntax` when it is not TOML.
pub fn parse(file: &str, text: &str) -> Result<Item, Fault> {
    let root = DeTable::parse(text).map_err(|error| syntax_fault(file, text, &error))?;
    let lines = Lines { file: Arc::from(file), text };
    lines.table(&lines.place(0, String::new()), root.get_ref())
}

fn syntax_fault(file: &str, text: &str, error: &toml::de::Error) -> Fault {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    Fault::new(Code::ConfigSyntax, format!("{file}:{line} is not valid TOML")).because(message)
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// Turns the parser's spans into lines.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, offset: usize, path: String) -> Place {
        Place { file: Arc::clone(&self.file), line: line_of(self.text, offset), path }
    }

    fn table(&self, place: &Place, table: &DeTable<'_>) -> Result<Item, Fault> {
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let key_place = self.place(key.span().start, place.join(key.get_ref()));
            let item = self.item(key_place, value.get_ref())?;
            Ok(Entry { key: key.get_ref().to_string(), item })
        };
        let entries = keys.into_iter().map(entry).collect::<Result<_, Fault>>()?;
        Ok(Item { place: place.clone(), value: Value::Table(entries) })
    }

    fn item(&self, place: Place, value: &DeValue<'_>) -> Result<Item, Fault> {
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => return Err(place.invalid("is beyond the integers of 64 bits")),
            },
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Float(number),
                _ => return Err(place.invalid("must be a finite number")),
            },
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(values) => {
                let element = |(index, value): (usize, &Spanned<DeValue<'_>>)| {
                    let path = format!("{}[{index}]", place.path);
                    self.item(self.place(value.span().start, path), value.get_ref())
                };
                Value::List(values.iter().enumerate().map(element).collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => return self.table(&place, table),
        };
        Ok(Item { place, value })
    }
}

impl Place {
    /// The path of a key below this place.
    fn join(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let key = if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// An empty table under a key of this place, for a section that the file leaves out.
    pub fn empty_table(&self, key: &str) -> Item {
        let place = Self { path: self.join(key), ..self.clone() };
        Item { place, value: Value::Table(Vec::new()) }
    }

    /// File and line.
    pub fn position(&self) -> String {
        if self.path.is_empty() { self.file.to_string() } else { format!("{}:{}", self.file, self.line) }
    }

    /// The path of the key from the top of the file, keys separated by dots.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A fault about the value here: `problem` goes on after the key, such as "must be text".
    pub fn fault(&self, code: Code, problem: impl fmt::Display) -> Fault {
        Fault::new(code, format!("`{}` {problem} ({})", self.path, self.position()))
    }

    /// The fault `invalid_value` about the value here.
    pub fn invalid(&self, problem: impl fmt::Display) -> Fault {
        self.fault(Code::InvalidValue, problem)
    }

    /// The fault for a key that is not known here. The hint names the nearest known key, or all of them.
    pub fn unknown(&self, key: &str, known: &[&str]) -> Fault {
        let message = format!("unknown key `{}` ({})", self.path, self.position());
        Fault::new(Code::UnknownKey, message).hint(nearest(key, known))
    }

    /// The fault for a key that must be in this table and is not.
    pub fn missing(&self, key: &str) -> Fault {
        Fault::new(Code::MissingKey, format!("missing key `{}` ({})", self.join(key), self.position()))
    }
}

/// The hint for a name that is not known: the nearest one, else the whole choice.
pub fn nearest(name: &str, known: &[&str]) -> String {
    /// How alike two names must be before one is taken for a slip of the other.
    const ALIKE: f64 = 0.85;
    let likeness = |other: &str| strsim::jaro_winkler(name, other);
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best {
        Some(best) if likeness(best) >= ALIKE => format!("did you mean `{best}`?"),
        Some(_) => format!("known here: {}", quoted(known)),
        None => "nothing can be set here".to_owned(),
    }
}

/// Names in backticks, separated by commas.
pub fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Item {
    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The value as text.
    ///
    /// # Errors
    /// `invalid_value`, as for the functions below.
    pub fn text(&self) -> Result<&str, Fault> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong_type("text in quotes")),
        }
    }

    /// The value as true or false.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn truth(&self) -> Result<bool, Fault> {
        match &self.value {
            Value::Bool(truth) => Ok(*truth),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// The value as a whole number within bounds.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn integer(&self, bounds: RangeInclusive<u32>) -> Result<u32, Fault> {
        let Value::Integer(number) = &self.value else {
            return Err(self.wrong_type("a whole number"));
        };
        let (low, high) = (*bounds.start(), *bounds.end());
        u32::try_from(*number)
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| self.place.invalid(format!("is {number}, it must be from {low} to {high}")))
    }

    /// The value as a part of a whole: above 0, and not above `most`.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn share(&self, most: f64) -> Result<f64, Fault> {
        let number = match &self.value {
            Value::Float(number) => *number,
            Value::Integer(number) => *number as f64,
            _ => return Err(self.wrong_type("a number")),
        };
        if number > 0.0 && number <= most {
            return Ok(number);
        }
        Err(self.place.invalid(format!("is {number}, it must be above 0 and at most {most}")))
    }

    /// The value as a duration within bounds.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn duration(&self, bounds: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        let text = self.unit_text(units::DURATION_FORM)?;
        let duration =
            units::parse_duration(text).ok_or_else(|| self.malformed(text, units::DURATION_FORM))?;
        let form = units::format_duration;
        self.within(text, duration, &bounds, (form(*bounds.start()), form(*bounds.end())))
    }

    /// The value as a size in bytes within bounds.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn size(&self, bounds: RangeInclusive<u64>) -> Result<u64, Fault> {
        let text = self.unit_text(units::SIZE_FORM)?;
        let bytes = units::parse_size(text).ok_or_else(|| self.malformed(text, units::SIZE_FORM))?;
        let form = units::format_size;
        self.within(text, bytes, &bounds, (form(*bounds.start()), form(*bounds.end())))
    }

    fn unit_text(&self, form: &str) -> Result<&str, Fault> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong_type(form)),
        }
    }

    fn within<T: PartialOrd>(
        &self,
        text: &str,
        value: T,
        bounds: &RangeInclusive<T>,
        (low, high): (String, String),
    ) -> Result<T, Fault> {
        if bounds.contains(&value) {
            return Ok(value);
        }
        Err(self.place.invalid(format!("is `{text}`, it must be from {low} to {high}")))
    }

    fn malformed(&self, text: &str, form: &str) -> Fault {
        self.place.invalid(format!("is `{text}`, it must be {form}"))
    }

    /// The value as a list.
    ///
    /// # Errors
    /// `invalid_value`.
    pub fn list(&self) -> Result<&[Item], Fault> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.wrong_type("a list")),
        }
    }

    /// The value as a table that has only these keys.
    ///
    /// # Errors
    /// `invalid_value` when it is no table, `unknown_key`.
    pub fn table(&self, known: &[&str]) -> Result<Table<'_>, Fault> {
        let table = self.open_table()?;
        match table.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            Some(entry) => Err(entry.item.place.unknown(&entry.key, known)),
            None => Ok(table),
        }
    }

    /// The value as a table whose keys are names that the file makes up.
    ///
    /// # Errors
    /// `invalid_value` when it is no table.
    pub fn open_table(&self) -> Result<Table<'_>, Fault> {
        match &self.value {
            Value::Table(entries) => Ok(Table { place: &self.place, entries }),
            _ => Err(self.wrong_type("a table")),
        }
    }

    /// Whether the value is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// The value as JSON; dates become text.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) | Value::Date(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(truth) => (*truth).into(),
            Value::List(items) => items.iter().map(Item::json).collect::<Vec<_>>().into(),
            Value::Table(entries) => {
                let members = entries.iter().map(|entry| (entry.key.clone(), entry.item.json()));
                members.collect::<serde_json::Map<_, _>>().into()
            }
        }
    }

    /// What the value is, as messages call it.
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    fn wrong_type(&self, wanted: &str) -> Fault {
        self.place.invalid(format!("is {}, it must be {wanted}", self.type_name()))
    }
}

impl<'a> Table<'a> {
    /// Where it stands.
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// The value of a key, if it is set.
    pub fn get(&self, key: &str) -> Option<&'a Item> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.item)
    }

    /// The value of a key that must be set.
    ///
    /// # Errors
    /// `missing_key`.
    pub fn require(&self, key: &str) -> Result<&'a Item, Fault> {
        self.get(key).ok_or_else(|| self.place.missing(key))
    }

    /// The elements of a list; none when the key is not set.
    ///
    /// # Errors
    /// `invalid_value` when it is no list.
    pub fn elements(&self, key: &str) -> Result<&'a [Item], Fault> {
        self.get(key).map_or(Ok(&[]), Item::list)
    }

    /// The keys and values in the order of the file.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Item {
        parse("shop.toml", text).unwrap()
    }

    #[test]
    fn points_at_the_line_and_path_of_a_value() {
        let root = root("[app]\nid = 5\n");

        let fault = root.table(&["app"]).unwrap().get("app").unwrap().table(&["id"]).unwrap();
        let fault = fault.require("id").unwrap().text().unwrap_err();

        assert_eq!(fault.message(), "`app.id` is a whole number, it must be text in quotes (shop.toml:2)");
    }

    #[test]
    fn points_at_the_line_of_a_syntax_error() {
        let fault = parse("shop.toml", "[app]\nid = \n").unwrap_err();

        assert_eq!(fault.code(), Code::ConfigSyntax);
        assert_eq!(fault.message(), "shop.toml:2 is not valid TOML");
    }

    #[test]
    fn names_the_nearest_known_key() {
        let fault = root("[app]\n[kafak]\n").table(&["app", "kafka", "transforms"]).unwrap_err();

        assert_eq!(fault.message(), "unknown key `kafak` (shop.toml:2)");
        assert_eq!(fault.remedy(), "did you mean `kafka`?");
    }

    #[test]
    fn names_all_known_keys_when_none_is_near() {
        let fault = root("[zzz]\n").table(&["app", "kafka"]).unwrap_err();

        assert_eq!(fault.remedy(), "known here: `app`, `kafka`");
    }

    #[test]
    fn quotes_keys_in_paths_that_are_not_bare() {
        let root = root("[client]\n\"a.b\" = true\n");

        let client = root.open_table().unwrap().get("client").unwrap().open_table().unwrap();

        assert_eq!(client.get("a.b").unwrap().place().path(), "client.\"a.b\"");
    }

    #[test]
    fn keeps_the_order_of_the_file() {
        let root = root("[b]\n[a]\n[c]\n");

        let keys: Vec<_> = root.open_table().unwrap().entries().iter().map(|e| e.key.as_str()).collect();

        assert_eq!(keys, ["b", "a", "c"]);
    }
}
