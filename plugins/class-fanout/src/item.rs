//! An item as it went out: its classes, and the times that it shows.

use std::collections::HashMap;

use delivery_class::Class;
use delivery_class::Days;
use delivery_class::MEMBERS;
use delivery_class::Names;
use delivery_class::refuse;
use gristmill::Reject;
use gristmill::json;
use gristmill::json::Template;

/// An enriched item that is well-formed.
pub(crate) struct Item<'d> {
    pub(crate) classes: Names<'d>,
    /// None: what it shows are no times, so they are not those of any classes.
    shown: Option<Option<Days>>,
}

impl<'d> Item<'d> {
    /// What finds the parts of an item: the classes at the pointer, then the two times.
    pub(crate) fn template(class_pointer: &str) -> Result<Template, String> {
        let times = MEMBERS.map(|member| format!("/{member}"));
        let [minimum, maximum] = times.each_ref().map(String::as_str);
        Template::new(&[class_pointer, minimum, maximum], &[])
            .map_err(|error| format!("`class_pointer`: {error}"))
    }

    pub(crate) fn read(template: &mut Template, value: &'d [u8]) -> Result<Self, Reject> {
        if value.is_empty() {
            return Err(Reject::new("empty-value", "the item has an empty value, which is not a tombstone"));
        }
        let document = template.read(value).map_err(refuse)?;
        let classes = Names::of(&document)?;
        let times = [document.get(1), document.get(2)];
        let [minimum, maximum] = times.map(|time| time.map(json::Value::text));
        let shown = minimum.zip(maximum).and_then(|(minimum, maximum)| Class::shown(minimum, maximum));
        Ok(Self { classes, shown })
    }

    /// The class that explains why the item has to go out again, if it has to: the best one, whose times it does not show; or,
    /// when none of its classes is known, the first one. None inside for an item without classes.
    pub(crate) fn outdated(&self, classes: &HashMap<Vec<u8>, Class>) -> Option<Option<&[u8]>> {
        let best = self.classes.best(|name| classes.get(name));
        if self.shown == Some(best.map(|(_, class)| class.rank())) {
            return None;
        }
        let first = || self.classes.list().first().map(AsRef::as_ref);
        Some(best.map(|(name, _)| name).or_else(first))
    }
}
