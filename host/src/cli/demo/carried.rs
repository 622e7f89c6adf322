//! The demo's check of the ingest: what SQL statements did to the table against what the topic of the classes holds.

use std::collections::BTreeMap;

use super::corpus::Update;
use super::expected::{self, Times};
use super::figures::grouped;
use super::logistics::Deed;
use super::promises::Promise;

/// What was found, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Carried {
    /// What statements did to classes.
    deeds: usize,
    /// Records behind those of the first classes.
    records: usize,
    /// Classes whose records are not what the statements did to them, one after the other.
    wrong: usize,
    /// Classes that the topic ends with otherwise than the table, or not at all, or that only one of them has.
    apart: usize,
}

/// Compares. `table` is what the database holds in the end; the first `first` records are those of the first run.
pub(super) fn judge(first: usize, deeds: &[Deed], records: &[Update], table: &[(String, Times)]) -> Carried {
    let mut wanted: BTreeMap<&str, Vec<Option<Times>>> = BTreeMap::new();
    for (class, times) in deeds {
        wanted.entry(class).or_default().push(*times);
    }
    let mut found: BTreeMap<&str, Vec<Option<Times>>> = BTreeMap::new();
    let mut last: BTreeMap<&str, Times> = BTreeMap::new();
    for (number, record) in records.iter().enumerate() {
        let times = record.value.as_deref().and_then(expected::times);
        if number >= first {
            found.entry(&record.key).or_default().push(times);
        }
        match times {
            Some(times) => drop(last.insert(&record.key, times)),
            None => drop(last.remove(record.key.as_str())),
        }
    }
    let keys = wanted.keys().chain(found.keys().filter(|key| !wanted.contains_key(*key)));
    let table: BTreeMap<&str, Times> = table.iter().map(|(name, times)| (name.as_str(), *times)).collect();
    let ends = table.keys().chain(last.keys().filter(|key| !table.contains_key(*key)));
    Carried {
        deeds: deeds.len(),
        records: records.len().saturating_sub(first),
        wrong: keys.filter(|key| wanted.get(*key) != found.get(*key)).count(),
        apart: ends.filter(|key| table.get(*key) != last.get(*key)).count(),
    }
}

impl Carried {
    /// What it says of the promises. The story does not go on before the host has refused to follow the emptied table.
    pub(super) fn promises(&self) -> Vec<Promise> {
        let changes = format!("{} SQL changes", grouped(self.deeds));
        vec![
            Promise::new("A7", "each change in the database is published once", changes)
                .holds(self.deeds > 0 && self.records == self.deeds && self.wrong == 0 && self.apart == 0),
            Promise::new("A8", "an emptied table deletes nothing", "1 run refused".to_owned())
                .holds(self.records == self.deeds && self.apart == 0),
        ]
    }

    /// What was found wrong, if anything was.
    pub(super) fn harm(&self) -> Option<String> {
        let Self { deeds, records, wrong, apart } = *self;
        (records != deeds || wrong + apart > 0).then(|| {
            format!(
                "{records} records for {deeds} changes, {wrong} classes with other changes, {apart} that end otherwise"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, times: Option<Times>) -> Update {
        let class = |(minimum, maximum): Times| {
            serde_json::json!({ "minimumTime": minimum, "maximumTime": maximum }).to_string().into_bytes()
        };
        let value = times.map(class);
        Update { key: key.to_owned(), value }
    }

    fn judged(records: &[Update]) -> Carried {
        let deeds = [("a".to_owned(), Some((2, 3))), ("b".to_owned(), None), ("a".to_owned(), Some((4, 5)))];
        judge(2, &deeds, records, &[("a".to_owned(), (4, 5))])
    }

    fn right() -> Vec<Update> {
        let first = [record("a", Some((1, 2))), record("b", Some((1, 2)))];
        let changes = [record("b", None), record("a", Some((2, 3))), record("a", Some((4, 5)))];
        first.into_iter().chain(changes).collect()
    }

    #[test]
    fn is_content_with_each_change_once_and_in_the_order_of_its_class() {
        assert_eq!(judged(&right()).harm(), None);
        assert!(judged(&right()).promises().iter().all(|promise| promise.is_kept));
    }

    #[test]
    fn sees_what_is_lost_doubled_turned_round_or_left_behind() {
        for change in [2, 3, 4] {
            let (mut lost, mut doubled) = (right(), right());
            lost.remove(change);
            doubled.push(right().swap_remove(change));
            assert!(judged(&lost).harm().is_some() && judged(&doubled).harm().is_some(), "{change}");
        }
        let mut turned = right();
        turned.swap(3, 4);
        assert!(judged(&turned).harm().is_some());
        let mut left = right();
        left.insert(0, record("c", Some((1, 1))));
        assert!(judge(3, &[], &left, &[]).harm().is_some());
    }
}
