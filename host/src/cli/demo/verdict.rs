//! The demo's independent check: what must have come out, told from what went in, and how far the two agree.
//!
//! It shares no code with the host or the plugin: it parses whole documents, where they splice bytes, and it tries the join
//! with the classes as they were after each change, where they keep epochs.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::corpus::Update;
use super::expected::{self, Classes};
use super::figures::grouped;
use super::promises::Promise;

/// The two members that the plugin sets.
type Joined = (Value, Value);

/// What a SKU's record shows, or what it must show, apart from its times.
#[derive(Clone, PartialEq, Debug)]
enum Item {
    /// It is deleted, or not listed.
    Deleted,
    /// This item, by the number of its update.
    There(u64, Value),
}

/// What was found, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Verdict {
    /// Updates that were sent.
    pub(super) sent: usize,
    /// Enriched records and tombstones that came out.
    pub(super) outputs: usize,
    /// Those among them whose item had come out before, with other times.
    pub(super) again: usize,
    /// Dead letters that came out.
    pub(super) dead_letters: usize,
    /// SKUs that there are or were.
    pub(super) skus: usize,
    /// Updates that take an item off the list.
    pub(super) unlisted: usize,
    /// What came out again because somebody has ordered it.
    pub(super) ordered: usize,
    /// What was ordered and did not come.
    pub(super) unmet: usize,
    /// What should have come out and did not.
    pub(super) lost: usize,
    /// What came out again although nothing had changed.
    pub(super) doubled: usize,
    /// What came out with a content that it cannot have.
    pub(super) wrong: usize,
    /// What came out after a later update of its SKU.
    pub(super) disordered: usize,
    /// What came out with older classes than the record before it of its SKU.
    pub(super) back: usize,
    /// SKUs whose last record is not the join of the last item with the last classes.
    pub(super) stale: usize,
}

impl Verdict {
    /// Whether everything is as promised.
    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        let harm = [self.lost, self.doubled, self.wrong, self.disordered, self.back, self.stale, self.unmet];
        self.sent > 0 && harm.iter().all(|count| *count == 0)
    }

    /// What it says of the promises.
    pub(super) fn promises(&self) -> Vec<Promise> {
        let none = |counts: &[usize]| counts.iter().all(|count| *count == 0);
        let updates = format!("{} updates", grouped(self.sent));
        let again = format!("{} again", grouped(self.again));
        let ends = format!("{} SKUs", grouped(self.skus));
        let letters = format!("{} dead letters", grouped(self.dead_letters));
        let outputs = format!("{} records", grouped(self.outputs));
        let unlisted = format!("{} withdrawn", grouped(self.unlisted));
        let ordered = format!("{} ordered", grouped(self.ordered));
        vec![
            Promise::new("A1", "a supplier's update comes out once, in order", updates)
                .holds(self.sent > 0 && none(&[self.lost, self.doubled, self.wrong, self.disordered])),
            Promise::new("A2", "a class change reaches every item of the class", again)
                .holds(self.again > 0 && self.stale == 0),
            Promise::new("A3", "an item ends as its join with the last classes", ends)
                .holds(self.skus > 0 && none(&[self.stale, self.wrong, self.lost])),
            Promise::new("A4", "older times never follow newer ones", outputs.clone()).holds(self.back == 0),
            Promise::new("A5", "what does not change is not sent again", outputs).holds(self.doubled == 0),
            Promise::new("A6", "what is no item becomes one dead letter", letters)
                .holds(none(&[self.lost, self.doubled])),
            Promise::new("A15", "an item that is not listed is withdrawn", unlisted)
                .holds(none(&[self.lost, self.wrong])),
            Promise::new("A16", "what is ordered by hand goes out once more", ordered)
                .holds(self.ordered > 0 && none(&[self.unmet, self.doubled])),
        ]
    }

    /// What was found wrong, by its kind, if anything was.
    pub(super) fn harm(&self) -> Option<String> {
        let kinds = [
            (self.lost, "lost"),
            (self.doubled, "twice"),
            (self.wrong, "wrong"),
            (self.disordered, "out of order"),
            (self.back, "with older classes than before"),
            (self.stale, "not up to date in the end"),
            (self.unmet, "ordered and not there"),
        ];
        let found: Vec<_> = kinds.iter().filter(|(count, _)| *count > 0).collect();
        let texts: Vec<_> = found.iter().map(|(count, kind)| format!("{} {kind}", grouped(*count))).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }
}

/// Compares what came out with what must have come out.
///
/// `ordered` are the SKUs that somebody wanted to see again as they are; `outputs` the records of the sink, in the order of each
/// partition; `dead_letters` those of the dead-letter topic.
pub(super) fn judge<'a>(
    sent: &[Update],
    ordered: &[String],
    history: &[Classes],
    outputs: impl Iterator<Item = &'a Update>,
    dead_letters: impl Iterator<Item = &'a Update>,
) -> Verdict {
    let mut verdict = Verdict { sent: sent.len(), ..Verdict::default() };
    let mut letters: BTreeMap<(&str, Option<&[u8]>), isize> = BTreeMap::new();
    let mut skus: HashMap<&str, Sku> = HashMap::new();
    for update in sent {
        let sku = skus.entry(&update.key).or_default();
        match read(update) {
            Some(item) => {
                verdict.unlisted += usize::from(item == Item::Deleted && update.value.is_some());
                sku.expect(item);
            }
            None => {
                *letters.entry((&update.key, update.value.as_deref())).or_default() += 1;
                sku.ends_rejected = true;
            }
        }
    }
    for sku in ordered {
        skus.entry(sku).or_default().orders += 1;
    }
    for letter in dead_letters {
        verdict.dead_letters += 1;
        *letters.entry((&letter.key, letter.value.as_deref())).or_default() -= 1;
    }
    for balance in letters.into_values() {
        verdict.lost += usize::try_from(balance).unwrap_or(0);
        verdict.doubled += usize::try_from(-balance).unwrap_or(0);
    }
    for output in outputs {
        verdict.outputs += 1;
        match skus.get_mut(output.key.as_str()) {
            Some(sku) => sku.see(output, history, &mut verdict),
            None => verdict.wrong += 1,
        }
    }
    verdict.skus = skus.len();
    skus.values().for_each(|sku| sku.conclude(history, &mut verdict));
    verdict
}

/// What is known of a SKU while its outputs are read.
#[derive(Default)]
struct Sku {
    /// Its items in the order in which they were sent, and whether each has come out.
    items: Vec<(Item, bool)>,
    /// Its last update was none that can be processed: the row of before stays out of the plugin's reach.
    ends_rejected: bool,
    /// The item that came out last, by its place.
    at: Option<usize>,
    /// The times that came out last.
    joined: Option<Joined>,
    /// The classes of its last record are at least as new as these.
    classes: usize,
    /// How often it is still to come out again as it is.
    orders: usize,
}

impl Sku {
    fn expect(&mut self, item: Item) {
        self.items.push((item, false));
        self.ends_rejected = false;
    }

    fn see(&mut self, output: &Update, history: &[Classes], verdict: &mut Verdict) {
        let Some((item, joined)) = observe(output) else { return verdict.wrong += 1 };
        if let Some(place) = self.at.filter(|at| self.is_at(*at, &item) && joined.is_some()) {
            if joined == self.joined {
                return self.repeat(verdict);
            }
            verdict.again += 1;
            return self.take(place, joined, history, verdict);
        }
        let from = self.at.map_or(0, |at| at + 1);
        if let Some(place) = (from..self.items.len()).find(|place| self.is_at(*place, &item)) {
            return self.take(place, joined, history, verdict);
        }
        match self.items.iter_mut().find(|(own, _)| *own == item) {
            Some((_, true)) => verdict.doubled += 1,
            Some((_, came @ false)) => {
                *came = true;
                verdict.disordered += 1;
            }
            None => verdict.wrong += 1,
        }
    }

    /// It has come out as before.
    fn repeat(&mut self, verdict: &mut Verdict) {
        match self.orders.checked_sub(1) {
            Some(left) => (self.orders, verdict.ordered) = (left, verdict.ordered + 1),
            None => verdict.doubled += 1,
        }
    }

    fn is_at(&self, place: usize, item: &Item) -> bool {
        self.items.get(place).is_some_and(|(own, _)| own == item)
    }

    fn take(&mut self, place: usize, joined: Option<Joined>, history: &[Classes], verdict: &mut Verdict) {
        let Some((item, came)) = self.items.get_mut(place) else { return };
        *came = true;
        if let (Item::There(_, value), Some(joined)) = (&*item, &joined) {
            let fits = |classes: &Classes| join(value, classes) == *joined;
            let later = history.iter().skip(self.classes).position(fits);
            match later {
                Some(later) => self.classes += later,
                None if history.iter().any(fits) => verdict.back += 1,
                None => verdict.wrong += 1,
            }
        }
        (self.at, self.joined) = (Some(place), joined);
    }

    fn conclude(&self, history: &[Classes], verdict: &mut Verdict) {
        verdict.lost += self.items.iter().filter(|(_, came)| !came).count();
        verdict.unmet += self.orders;
        let (Some((Item::There(_, value), true)), Some(last)) = (self.items.last(), history.last()) else {
            return;
        };
        let is_last = self.at == self.items.len().checked_sub(1);
        if !self.ends_rejected && (!is_last || self.joined.as_ref() != Some(&join(value, last))) {
            verdict.stale += 1;
        }
    }
}

/// An update as it must come out, apart from its times; none if it is a dead letter.
fn read(update: &Update) -> Option<Item> {
    let Some(bytes) = &update.value else { return Some(Item::Deleted) };
    let value: Value = serde_json::from_slice(bytes).ok().filter(Value::is_object)?;
    if expected::is_unlisted(&value) {
        return Some(Item::Deleted);
    }
    Some(Item::There(value.get("update")?.as_u64()?, value))
}

/// A record as it came out, its times apart; none if it makes no sense.
fn observe(output: &Update) -> Option<(Item, Option<Joined>)> {
    let Some(bytes) = &output.value else { return Some((Item::Deleted, None)) };
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let members = value.as_object_mut()?;
    let joined = (members.remove("minimumDeliveryTime")?, members.remove("maximumDeliveryTime")?);
    Some((Item::There(value.get("update")?.as_u64()?, value), Some(joined)))
}

/// The times of the best class of an item, as it must show them.
fn join(item: &Value, classes: &Classes) -> Joined {
    match expected::join(item, classes) {
        Some((minimum, maximum)) => (minimum.into(), maximum.into()),
        None => (Value::Null, Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(key: &str, value: &str) -> Update {
        Update { key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
    }

    /// An item of class `a` at first, then one of class `b`, which does not exist; class `a` changes twice.
    fn judged_with(outputs: &[Update], ordered: &[String]) -> Verdict {
        let sent = [
            update("x", r#"{"update":1,"deliveryClass":"a"}"#),
            update("y", r#"{"update":2,"deliveryClass":"a"}"#),
            update("x", r#"{"update":3,"deliveryClass":"b"}"#),
        ];
        let class = |minimum| update("a", &format!(r#"{{"minimumTime":{minimum},"maximumTime":9}}"#));
        judge(
            &sent,
            ordered,
            &expected::history(&[class(1)], &[class(2), class(3)]),
            outputs.iter(),
            [].iter(),
        )
    }

    fn judged(outputs: &[Update]) -> Verdict {
        judged_with(outputs, &[])
    }

    fn out(key: &str, number: u64, class: &str, minimum: &str) -> Update {
        let maximum = if minimum == "null" { "null" } else { "9" };
        update(
            key,
            &format!(
                r#"{{"update":{number},"deliveryClass":"{class}","minimumDeliveryTime":{minimum},"maximumDeliveryTime":{maximum}}}"#
            ),
        )
    }

    fn right() -> Vec<Update> {
        vec![
            out("x", 1, "a", "1"),
            out("y", 2, "a", "1"),
            out("x", 1, "a", "2"),
            out("x", 3, "b", "null"),
            out("y", 2, "a", "3"),
        ]
    }

    #[test]
    fn is_clean_when_items_come_once_and_again_for_each_change_that_they_saw() {
        let verdict = judged(&right());

        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!((verdict.outputs, verdict.again), (5, 2));
    }

    #[test]
    fn breaks_a_promise_over_one_missing_record() {
        let broken = |outputs: &[Update]| {
            let promises = judged(outputs).promises();
            let broken: Vec<_> =
                promises.into_iter().filter(|promise| !promise.is_kept).map(|promise| promise.name).collect();
            broken.join(" ")
        };

        // Nothing was ordered.
        assert_eq!(broken(&right()), "A16");
        assert_eq!(broken(&right()[..4]), "A2 A3 A16");
        assert_eq!(broken(&right()[1..]), "A16");
        assert_eq!(broken(&[]), "A1 A2 A3 A6 A15 A16");
    }

    #[test]
    fn sees_a_lost_record() {
        let mut outputs = right();
        outputs.remove(3);

        assert_eq!(judged(&outputs).lost, 1);
    }

    #[test]
    fn sees_a_record_that_came_again_as_it_was() {
        for number in 0..5 {
            let mut outputs = right();
            outputs.insert(number + 1, outputs[number].clone());

            assert_eq!(judged(&outputs).doubled, 1, "{number}");
        }
    }

    #[test]
    fn lets_what_was_ordered_come_out_once_more() {
        let again = [right(), vec![out("x", 3, "b", "null")]].concat();
        let ordered = ["x".to_owned()];

        assert_eq!(judged_with(&again, &ordered), Verdict { ordered: 1, outputs: 6, ..judged(&right()) });
        assert_eq!((judged_with(&right(), &ordered).unmet, judged(&again).doubled), (1, 1));
        let twice = [again, vec![out("x", 3, "b", "null")]].concat();
        assert_eq!(judged_with(&twice, &ordered).doubled, 1);
    }

    #[test]
    fn wants_unlisted_items_deleted() {
        let sent =
            [update("x", r#"{"update":1,"listed":true}"#), update("x", r#"{"update":2,"listed":false}"#)];
        let came = update(
            "x",
            r#"{"update":1,"listed":true,"minimumDeliveryTime":null,"maximumDeliveryTime":null}"#,
        );
        let deleted = Update { key: "x".to_owned(), value: None };
        let judged =
            |outputs: &[Update]| judge(&sent, &[], &expected::history(&[], &[]), outputs.iter(), [].iter());

        assert!(judged(&[came.clone(), deleted]).is_clean());
        assert_eq!((judged(std::slice::from_ref(&came)).lost, judged(&[came]).unlisted), (1, 1));
    }

    #[test]
    fn sees_times_that_no_class_ever_had() {
        let mut outputs = right();
        outputs[0] = out("x", 1, "a", "7");

        assert_eq!((judged(&outputs).wrong, judged(&outputs).lost), (1, 0));
    }

    #[test]
    fn sees_a_class_that_goes_back() {
        let mut outputs = right();
        outputs.insert(2, out("x", 1, "a", "3"));

        assert_eq!(judged(&outputs).back, 1);
    }

    #[test]
    fn sees_an_item_that_the_last_change_did_not_reach() {
        let mut outputs = right();
        outputs[4] = out("y", 2, "a", "2");

        assert_eq!(judged(&outputs), Verdict { stale: 1, ..judged(&right()) });
    }

    #[test]
    fn sees_records_out_of_order() {
        let mut outputs = right();
        let last = outputs.remove(3);
        outputs.insert(0, last);

        assert!(judged(&outputs).disordered > 0);
    }

    #[test]
    fn sees_a_dead_letter_that_should_not_be() {
        let sent = [update("x", "not json")];
        let judged =
            |letters: &[Update]| judge(&sent, &[], &expected::history(&[], &[]), [].iter(), letters.iter());

        assert!(judged(&sent).is_clean());
        assert_eq!(judged(&[]).lost, 1);
        assert_eq!(judged(&[sent[0].clone(), sent[0].clone()]).doubled, 1);
    }
}
