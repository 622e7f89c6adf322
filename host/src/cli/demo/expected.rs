//! The demo's model: what the classes were, and what must be known of every item in the end.
//!
//! It shares no code with the host or the plugins: it parses whole documents, where they splice bytes.

use std::collections::HashMap;

use serde_json::Value;

use super::corpus::Update;

/// Minimum and maximum, in days.
pub(super) type Times = (u64, u64);

/// The classes at one moment, by name.
pub(super) type Classes = HashMap<String, Times>;

/// What there is to be known of each SKU.
pub(super) type Expected = HashMap<String, Standing>;

/// An item when everything is at rest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is deleted, or not listed.
    Gone,
    /// It is there.
    There {
        /// The classes that it names.
        classes: Vec<String>,
        /// The times of the best of them that exists.
        times: Option<Times>,
    },
    /// Its last update was no item: what came before it may still be there, with the times of then.
    Unclear,
}

/// The classes before the first change and after each one.
pub(super) fn history(first: &[Update], changes: &[Update]) -> Vec<Classes> {
    let mut classes = Classes::new();
    first.iter().for_each(|class| apply(&mut classes, class));
    let mut history = vec![classes.clone()];
    for change in changes {
        apply(&mut classes, change);
        history.push(classes.clone());
    }
    history
}

fn apply(classes: &mut Classes, change: &Update) {
    match change.value.as_deref().and_then(times) {
        Some(times) => drop(classes.insert(change.key.clone(), times)),
        None => drop(classes.remove(&change.key)),
    }
}

/// The times in the record of a class.
pub(super) fn times(value: &[u8]) -> Option<Times> {
    let value: Value = serde_json::from_slice(value).ok()?;
    Some((value.get("minimumTime")?.as_u64()?, value.get("maximumTime")?.as_u64()?))
}

/// Whether an item is not to be sold: the pipeline file lets none of these through.
pub(super) fn is_unlisted(item: &Value) -> bool {
    item.get("listed") == Some(&Value::Bool(false))
}

/// The classes that an item names.
pub(super) fn classes(item: &Value) -> impl Iterator<Item = &str> {
    let own = match item.get("deliveryClass") {
        Some(Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
        None => &[],
    };
    own.iter().filter_map(Value::as_str)
}

/// The times of the best class of an item.
pub(super) fn join(item: &Value, known: &Classes) -> Option<Times> {
    classes(item).filter_map(|name| known.get(name)).min().copied()
}

/// Every SKU, when everything that was sent has come out.
pub(super) fn expected(sent: &[Update], last: &Classes) -> Expected {
    let mut expected = Expected::new();
    for update in sent {
        expected.insert(update.key.clone(), standing(update, last));
    }
    expected
}

fn standing(update: &Update, last: &Classes) -> Standing {
    let Some(bytes) = &update.value else { return Standing::Gone };
    match serde_json::from_slice::<Value>(bytes) {
        Ok(item) if is_unlisted(&item) => Standing::Gone,
        Ok(item) if item.is_object() => {
            Standing::There { classes: classes(&item).map(str::to_owned).collect(), times: join(&item, last) }
        }
        _ => Standing::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(key: &str, value: Option<&str>) -> Update {
        Update { key: key.to_owned(), value: value.map(|value| value.as_bytes().to_vec()) }
    }

    fn class(name: &str, minimum: u64) -> Update {
        update(name, Some(&format!(r#"{{"minimumTime":{minimum},"maximumTime":9}}"#)))
    }

    #[test]
    fn remembers_the_classes_after_each_change() {
        let history = history(&[class("a", 1), class("b", 2)], &[class("a", 3), update("b", None)]);

        let minima = |classes: &Classes| ["a", "b"].map(|name| classes.get(name).map(|times| times.0));
        let found: Vec<_> = history.iter().map(minima).collect();
        assert_eq!(found, [[Some(1), Some(2)], [Some(3), Some(2)], [Some(3), None]]);
    }

    #[test]
    fn expects_the_last_item_with_the_best_of_its_classes() {
        let history = history(&[class("slow", 5), class("fast", 1)], &[]);
        let item = |class: &str| Some(format!(r#"{{"deliveryClass":{class}}}"#));
        let sent = [
            update("x", item(r#""slow""#).as_deref()),
            update("x", item(r#"["slow","none","fast"]"#).as_deref()),
            update("y", item(r#""none""#).as_deref()),
            update("z", None),
            update("w", Some("<item/>")),
            update("v", Some(r#"{"deliveryClass":"slow","listed":false}"#)),
        ];

        let found = expected(&sent, &history[0]);

        let classes = ["slow", "none", "fast"].map(str::to_owned).to_vec();
        assert_eq!(found["x"], Standing::There { classes, times: Some((1, 9)) });
        assert_eq!(found["y"], Standing::There { classes: vec!["none".to_owned()], times: None });
        assert_eq!((&found["z"], &found["v"]), (&Standing::Gone, &Standing::Gone));
        assert_eq!(found["w"], Standing::Unclear);
    }
}
