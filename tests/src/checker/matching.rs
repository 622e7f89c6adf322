//! Finds for each output the item that it was made of.

use std::collections::{BTreeMap, VecDeque};

use super::model::{Expected, Model, identity};
use super::observation::Observation;
use crate::record::Record;

/// Where an item lies: partition and offset.
pub(super) type Place = (i32, i64);

/// An output and the item that it was made of, none if there is no such item (any more).
pub(super) struct Match<'a> {
    pub(super) output: &'a Record,
    pub(super) item: Option<Place>,
}

/// Matches outputs with items of their key that are the same but for the times; tombstones with items that make one. Of
/// several that are equal, the first output is given to the first item, and so on.
pub(super) fn outputs<'a>(seen: &'a Observation, model: &Model) -> Vec<Match<'a>> {
    let mut items: BTreeMap<(Vec<u8>, String), VecDeque<Place>> = BTreeMap::new();
    for item in &seen.items.committed {
        let Some(key) = item.key.clone() else { continue };
        let becomes = match model.expected(item) {
            Expected::Tombstone => "tombstone".to_owned(),
            Expected::OneOf(_) | Expected::Rejected => identity(item),
        };
        items.entry((key, becomes)).or_default().push_back((item.partition, item.offset));
    }
    let mut find = |output: &Record| {
        let key = output.key.clone().unwrap_or_default();
        items.get_mut(&(key, identity(output))).and_then(VecDeque::pop_front)
    };
    seen.enriched.committed.iter().map(|output| Match { output, item: find(output) }).collect()
}

/// The items that dead letters say they were, none for one that names no item. Dead letters of classes are left out.
pub(super) fn dead_letters(seen: &Observation) -> Vec<(&Record, Option<Place>)> {
    let topic = |letter: &Record| letter.header("gristmill-source-topic");
    let letters =
        seen.dead_letters.committed.iter().filter(|l| topic(l).as_deref() != Some(&seen.classes.name));
    letters
        .map(|letter| {
            let number = |name: &str| letter.header(name).and_then(|text| text.parse::<i64>().ok());
            let partition = number("gristmill-source-partition").and_then(|n| i32::try_from(n).ok());
            let place = partition.zip(number("gristmill-source-offset"));
            (letter, place.filter(|_| topic(letter).as_deref() == Some(&seen.items.name)))
        })
        .collect()
}
