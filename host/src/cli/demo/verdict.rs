//! The demo's independent check: what must have come out, told from what went in, and how far the two agree.
//!
//! It shares no code with the host or the plugin: it parses whole documents, where they splice bytes, and it tries the join
//! with the classes as they were after each change, where they keep epochs.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::corpus::Update;
use crate::fault::{Code, Fault};

/// The classes at one moment: minimum and maximum by name.
type Classes = HashMap<String, (u64, u64)>;

/// The two members that the plugin sets.
type Joined = (Value, Value);

/// What a SKU's record shows, or what it must show, apart from its times.
#[derive(Clone, PartialEq, Debug)]
enum Item {
    /// It is deleted.
    Deleted,
    /// This item, by the number of its update.
    There(u64, Value),
}

/// What was found, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict {
    /// Updates that were sent.
    pub(crate) sent: usize,
    /// Enriched records and tombstones that came out.
    pub(crate) outputs: usize,
    /// Those among them whose item had come out before, with other times.
    pub(crate) again: usize,
    /// Dead letters that came out.
    pub(crate) dead_letters: usize,
    /// What should have come out and did not.
    pub(crate) lost: usize,
    /// What came out again although nothing had changed.
    pub(crate) doubled: usize,
    /// What came out with a content that it cannot have.
    pub(crate) wrong: usize,
    /// What came out after a later update of its SKU.
    pub(crate) disordered: usize,
    /// What came out with older classes than the record before it of its SKU.
    pub(crate) back: usize,
    /// SKUs whose last record is not the join of the last item with the last classes.
    pub(crate) stale: usize,
}

impl Verdict {
    /// Whether everything is as promised.
    pub(crate) fn is_clean(&self) -> bool {
        let harm = [self.lost, self.doubled, self.wrong, self.disordered, self.back, self.stale];
        self.sent > 0 && harm.iter().all(|count| *count == 0)
    }

    /// What the demo comes to.
    ///
    /// # Errors
    /// `check_failed` when anything is not as promised.
    pub(crate) fn conclude(&self) -> Result<(), Fault> {
        let what = "the demo found records that are lost, twice, wrong, out of order or out of date";
        if self.is_clean() { Ok(()) } else { Err(Fault::new(Code::CheckFailed, what)) }
    }
}

/// The classes before the first change and after each one.
pub(crate) fn history(first: &[Update], changes: &[Update]) -> Vec<Classes> {
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
    let times = change.value.as_deref().and_then(|value| {
        let value: Value = serde_json::from_slice(value).ok()?;
        Some((value.get("minimumTime")?.as_u64()?, value.get("maximumTime")?.as_u64()?))
    });
    match times {
        Some(times) => drop(classes.insert(change.key.clone(), times)),
        None => drop(classes.remove(&change.key)),
    }
}

/// Compares what came out with what must have come out.
///
/// `outputs` are the records of the sink, in the order of each partition; `dead_letters` those of the dead-letter
/// topic.
pub(crate) fn judge<'a>(
    sent: &[Update],
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
            Some(item) => sku.expect(item),
            None => {
                *letters.entry((&update.key, update.value.as_deref())).or_default() += 1;
                sku.ends_rejected = true;
            }
        }
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
                return verdict.doubled += 1;
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

/// The times of the best class of an item.
fn join(item: &Value, classes: &Classes) -> Joined {
    let names: Vec<&str> = match item.get("deliveryClass") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match names.iter().filter_map(|name| classes.get(*name)).min() {
        Some((minimum, maximum)) => ((*minimum).into(), (*maximum).into()),
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
    fn judged(outputs: &[Update]) -> Verdict {
        let sent = [
            update("x", r#"{"update":1,"deliveryClass":"a"}"#),
            update("y", r#"{"update":2,"deliveryClass":"a"}"#),
            update("x", r#"{"update":3,"deliveryClass":"b"}"#),
        ];
        let class = |minimum| update("a", &format!(r#"{{"minimumTime":{minimum},"maximumTime":9}}"#));
        judge(&sent, &history(&[class(1)], &[class(2), class(3)]), outputs.iter(), [].iter())
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
    fn fails_the_demo_over_one_missing_record() {
        let fault = judged(&right()[1..4]).conclude().unwrap_err();

        assert_eq!(fault.code(), Code::CheckFailed);
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
        let judged = |letters: &[Update]| judge(&sent, &history(&[], &[]), [].iter(), letters.iter());

        assert!(judged(&sent).is_clean());
        assert_eq!(judged(&[]).lost, 1);
        assert_eq!(judged(&[sent[0].clone(), sent[0].clone()]).doubled, 1);
    }
}
