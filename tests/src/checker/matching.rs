//! Finds for each output the item that it was made of.

use std::collections::{BTreeMap, VecDeque};

use super::model::identity;
use super::observation::Observation;
use crate::record::Record;

/// Where an item lies: partition and offset.
pub(super) type Place = (i32, i64);

/// An output and the item that it was made of, none if there is no such item (any more).
pub(super) struct Match<'a> {
    pub(super) output: &'a Record,
    pub(super) item: Option<Place>,
}

/// Matches outputs and items of a key that are the same but for the times. Of several that are equal, the first output
/// is given to the first item, and so on.
pub(super) fn outputs(seen: &Observation) -> Vec<Match<'_>> {
    let mut items: BTreeMap<(Vec<u8>, String), VecDeque<Place>> = BTreeMap::new();
    for item in &seen.items.committed {
        let Some(key) = item.key.clone() else { continue };
        items.entry((key, identity(item))).or_default().push_back((item.partition, item.offset));
    }
    // An item that does not pass the filter has a tombstone for output: what is left over of those is looked up by key.
    let mut matches = Vec::new();
    for output in &seen.enriched.committed {
        let key = output.key.clone().unwrap_or_default();
        let item = items.get_mut(&(key, identity(output))).and_then(VecDeque::pop_front);
        matches.push(Match { output, item });
    }
    matches
}

/// The items that dead letters say they were.
pub(super) fn dead_letters(seen: &Observation) -> Vec<(&Record, Option<Place>)> {
    let letters = seen.dead_letters.committed.iter();
    letters
        .filter(|letter| letter.header("gristmill-source-topic").as_deref() != Some(&seen.classes.name))
        .map(|letter| {
            let number = |name: &str| letter.header(name).and_then(|text| text.parse::<i64>().ok());
            let partition = number("gristmill-source-partition").and_then(|n| i32::try_from(n).ok());
            let from_items = letter.header("gristmill-source-topic").as_deref() == Some(&seen.items.name);
            let place = partition.zip(number("gristmill-source-offset")).filter(|_| from_items);
            (letter, place)
        })
        .collect()
}
