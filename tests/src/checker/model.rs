//! What the delivery-time transform should do, written a second time: on trees, with no thought of speed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::record::Record;

const MINIMUM: &str = "minimumDeliveryTime";
const MAXIMUM: &str = "maximumDeliveryTime";

/// Times of a class, or of an item, none while unknown.
pub(super) type Times = Option<(u64, u64)>;

/// Which items are passed on.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Where the value lies.
    pub pointer: String,
    /// What it must be.
    pub equals: Value,
}

/// What should come of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It goes to the dead letters.
    Rejected,
    /// It deletes its enriched record.
    Tombstone,
    /// One of these texts, as serde_json prints them. Several when classes changed while items were processed.
    OneOf(BTreeSet<String>),
}

/// The transform's configuration, and what it knows of the classes.
#[derive(Clone, Debug)]
pub struct Model {
    pointer: String,
    filter: Option<Filter>,
    /// All that a class has ever been, in order; the last one is what it is now.
    history: BTreeMap<String, Vec<Times>>,
    moving: bool,
}

impl Model {
    /// A model whose classes were complete before the first item.
    pub fn new(pointer: &str, classes: &[Record]) -> Self {
        let mut history: BTreeMap<String, Vec<Times>> = BTreeMap::new();
        for record in classes {
            history.entry(record.key_text()).or_default().push(times(record.value.as_deref()));
        }
        Self { pointer: pointer.to_owned(), filter: None, history, moving: false }
    }

    /// Classes may have changed while items were processed: an item may have met any state of its class.
    #[must_use]
    pub fn moving(mut self) -> Self {
        self.moving = true;
        self
    }

    /// Only items that pass the filter are passed on.
    #[must_use]
    pub fn filtered(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// What should come of an item, as the classes were when it was processed.
    pub fn expected(&self, item: &Record) -> Expected {
        self.with(item, |class| {
            let states = self.states(class);
            if self.moving { states.collect() } else { vec![states.last().flatten()] }
        })
    }

    /// What should come of an item as the classes are now.
    pub fn now(&self, item: &Record) -> Expected {
        self.with(item, |class| vec![self.states(class).last().flatten()])
    }

    /// The classes of an item; none for what is no item.
    pub(super) fn classes(&self, item: &Record) -> BTreeSet<String> {
        let parsed = item.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
        let document = parsed.filter(Value::is_object).unwrap_or_default();
        let names = names(document.pointer(&self.pointer)).unwrap_or_default();
        names.into_iter().map(str::to_owned).collect()
    }

    /// All that a class has ever been, in order, from before its first record on.
    pub(super) fn states(&self, class: &str) -> impl Iterator<Item = Times> {
        let history = self.history.get(class).map(Vec::as_slice).unwrap_or_default();
        std::iter::once(None).chain(history.iter().copied())
    }

    fn with(&self, item: &Record, states: impl Fn(&str) -> Vec<Times>) -> Expected {
        if item.key.is_none() {
            return Expected::Rejected;
        }
        let Some(value) = item.value.as_deref() else { return Expected::Tombstone };
        let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(value) else {
            return Expected::Rejected;
        };
        let document = Value::Object(object.clone());
        let Some(classes) = names(document.pointer(&self.pointer)) else { return Expected::Rejected };
        if let Some(filter) = &self.filter
            && document.pointer(&filter.pointer) != Some(&filter.equals)
        {
            return Expected::Tombstone;
        }
        let mut outcomes = BTreeSet::from([None]);
        for class in classes {
            let states = states(class);
            outcomes =
                outcomes.iter().flat_map(|best| states.iter().map(|state| better(*best, *state))).collect();
        }
        Expected::OneOf(outcomes.into_iter().map(|times| enriched(&object, times)).collect())
    }
}

/// The names of an item's classes, none if they are neither text nor an array of texts.
fn names(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None | Some(Value::Null) => Some(vec![]),
        Some(Value::String(name)) => Some(vec![name]),
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

fn times(value: Option<&[u8]>) -> Times {
    let value: Value = serde_json::from_slice(value?).ok()?;
    Some((value.get("minimumTime")?.as_u64()?, value.get("maximumTime")?.as_u64()?))
}

/// The smallest minimum, then the smallest maximum; a known class before an unknown one.
fn better(left: Times, right: Times) -> Times {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    }
}

fn enriched(item: &Map<String, Value>, times: Times) -> String {
    let mut item = item.clone();
    // A member that is there keeps its place.
    item.insert(MINIMUM.into(), times.map_or(Value::Null, |(minimum, _)| minimum.into()));
    item.insert(MAXIMUM.into(), times.map_or(Value::Null, |(_, maximum)| maximum.into()));
    Value::Object(item).to_string()
}

/// The classes of an output and the times that it shows, none for what is no item.
pub(super) fn shown(output: &Record, model: &Model) -> Option<(Vec<String>, Times)> {
    let document: Value = serde_json::from_slice(output.value.as_deref()?).ok()?;
    let classes = names(document.pointer(&model.pointer))?.into_iter().map(str::to_owned).collect();
    let number = |member: &str| document.get(member).and_then(Value::as_u64);
    Some((classes, number(MINIMUM).zip(number(MAXIMUM))))
}

/// A record's value as serde_json prints it; other bytes as they are; a tombstone as `null`.
pub(super) fn printed(record: &Record) -> String {
    let parsed = record.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
    parsed.map_or_else(|| record.text(), |value| value.to_string())
}

/// What is the same in an item and in what was made of it: everything but the times.
pub(super) fn identity(record: &Record) -> String {
    let Some(value) = record.value.as_deref() else { return "tombstone".into() };
    match serde_json::from_slice::<Value>(value) {
        Ok(Value::Object(mut object)) => {
            object.shift_remove(MINIMUM);
            object.shift_remove(MAXIMUM);
            Value::Object(object).to_string()
        }
        _ => record.text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::{class, item, record};

    fn model() -> Model {
        Model::new("/class", &[class("bulky", 5, 9), class("small", 1, 2), class("tied", 1, 3)])
    }

    fn one(text: &str) -> Expected {
        Expected::OneOf(BTreeSet::from([text.to_owned()]))
    }

    #[test]
    fn takes_the_smallest_minimum_then_the_smallest_maximum() {
        let expected = model().expected(&item("a", r#"{"class":["bulky","tied","small","absent"]}"#));

        let want =
            r#"{"class":["bulky","tied","small","absent"],"minimumDeliveryTime":1,"maximumDeliveryTime":2}"#;
        assert_eq!(expected, one(want));
    }

    #[test]
    fn gives_nulls_to_an_item_of_an_unknown_class_or_of_none() {
        for text in [r#"{"class":"absent"}"#, r#"{"class":null}"#, r#"{"x":1}"#, r#"{"class":[]}"#] {
            let Expected::OneOf(texts) = model().expected(&item("a", text)) else { panic!("{text}") };
            let only = texts.first().unwrap();
            assert!(only.ends_with(r#""minimumDeliveryTime":null,"maximumDeliveryTime":null}"#), "{only}");
        }
    }

    #[test]
    fn replaces_times_where_they_are() {
        let expected = model().expected(&item("a", r#"{"maximumDeliveryTime":7,"class":"bulky"}"#));

        assert_eq!(expected, one(r#"{"maximumDeliveryTime":9,"class":"bulky","minimumDeliveryTime":5}"#));
    }

    #[test]
    fn rejects_what_is_no_item() {
        for text in ["", "{", "[1]", "7", r#"{"class":7}"#, r#"{"class":["bulky",null]}"#] {
            assert_eq!(model().expected(&item("a", text)), Expected::Rejected, "{text}");
        }
        let mut keyless = item("a", "{}");
        keyless.key = None;
        assert_eq!(model().expected(&keyless), Expected::Rejected);
    }

    #[test]
    fn deletes_what_is_deleted_or_does_not_pass() {
        let model = model().filtered(Filter { pointer: "/online".into(), equals: true.into() });

        assert_eq!(model.expected(&record("a", None)), Expected::Tombstone);
        assert_eq!(model.expected(&item("a", r#"{"online":false}"#)), Expected::Tombstone);
        assert_ne!(model.expected(&item("a", r#"{"online":true}"#)), Expected::Tombstone);
    }

    #[test]
    fn accepts_any_state_of_a_class_that_moved() {
        let classes = [class("bulky", 5, 9), class("bulky", 4, 9)];
        let Expected::OneOf(texts) =
            Model::new("/class", &classes).moving().expected(&item("a", r#"{"class":"bulky"}"#))
        else {
            panic!("not an item")
        };

        assert_eq!(texts.len(), 3);
    }
}
