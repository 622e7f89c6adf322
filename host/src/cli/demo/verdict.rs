//! The demo's independent check: what must have come out, told from what went in, and how far the two agree.
//!
//! It shares no code with the host or the plugin: it parses whole documents, where they splice bytes.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::corpus::Update;
use crate::fault::{Code, Fault};

/// A class as Logistics published it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    minimum: u64,
    maximum: u64,
}

/// What must become of an update.
#[derive(Clone, PartialEq, Debug)]
enum Expected {
    /// This record, apart from white space.
    Enriched(Value),
    /// A tombstone.
    Deleted,
    /// A dead letter, and no output.
    DeadLetter,
}

/// What was found, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict {
    /// Updates that were sent.
    pub(crate) sent: usize,
    /// Enriched records and tombstones that came out.
    pub(crate) outputs: usize,
    /// Dead letters that came out.
    pub(crate) dead_letters: usize,
    /// What should have come out and did not.
    pub(crate) lost: usize,
    /// What came out more often than it should.
    pub(crate) doubled: usize,
    /// What came out with another content.
    pub(crate) wrong: usize,
    /// SKUs whose outputs are right but not in the order of their updates.
    pub(crate) disordered: usize,
}

impl Verdict {
    /// Whether everything is as promised.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.wrong + self.disordered == 0 && self.sent > 0
    }

    /// What the demo comes to.
    ///
    /// # Errors
    /// `check_failed` when anything is not as promised.
    pub(crate) fn conclude(&self) -> Result<(), Fault> {
        let what = "the demo found records that are lost, doubled, wrong or out of order";
        if self.is_clean() { Ok(()) } else { Err(Fault::new(Code::CheckFailed, what)) }
    }
}

/// Reads the classes as they were published.
pub(crate) fn classes<'a>(published: impl Iterator<Item = (&'a str, &'a [u8])>) -> HashMap<String, Times> {
    published
        .filter_map(|(name, value)| {
            let value: Value = serde_json::from_slice(value).ok()?;
            let days = |member: &str| value.get(member)?.as_u64();
            Some((name.to_owned(), Times { minimum: days("minimumTime")?, maximum: days("maximumTime")? }))
        })
        .collect()
}

/// Compares what came out with what must have come out.
///
/// `outputs` are the records of the sink, in the order of each partition; `dead_letters` those of the dead-letter
/// topic.
pub(crate) fn judge(
    sent: &[Update],
    classes: &HashMap<String, Times>,
    outputs: &[Update],
    dead_letters: &[Update],
) -> Verdict {
    let mut verdict = Verdict {
        sent: sent.len(),
        outputs: outputs.len(),
        dead_letters: dead_letters.len(),
        ..Verdict::default()
    };
    let mut expected: BTreeMap<&str, Vec<Expected>> = BTreeMap::new();
    let mut letters: BTreeMap<(&str, Option<&[u8]>), isize> = BTreeMap::new();
    for update in sent {
        match expect(update, classes) {
            Expected::DeadLetter => *letters.entry((&update.key, update.value.as_deref())).or_default() += 1,
            output => expected.entry(&update.key).or_default().push(output),
        }
    }
    for letter in dead_letters {
        *letters.entry((&letter.key, letter.value.as_deref())).or_default() -= 1;
    }
    let mut found: BTreeMap<&str, Vec<Expected>> = BTreeMap::new();
    for output in outputs {
        found.entry(&output.key).or_default().push(observe(output));
    }
    for balance in letters.into_values() {
        verdict.lost += usize::try_from(balance).unwrap_or(0);
        verdict.doubled += usize::try_from(-balance).unwrap_or(0);
    }
    for (key, expected) in &expected {
        compare(expected, &found.remove(key).unwrap_or_default(), &mut verdict);
    }
    verdict.doubled += found.values().map(Vec::len).sum::<usize>();
    verdict
}

/// Compares the outputs of one SKU.
fn compare(expected: &[Expected], found: &[Expected], verdict: &mut Verdict) {
    if expected == found {
        return;
    }
    let mut left = found.to_vec();
    let mut missing = Vec::new();
    for want in expected {
        match left.iter().position(|have| have == want) {
            Some(at) => drop(left.remove(at)),
            None => missing.push(want),
        }
    }
    if missing.is_empty() && left.is_empty() {
        verdict.disordered += 1;
    }
    // What is missing and came out with another content is wrong; the rest of either side is lost or doubled.
    let same_update = |a: &Expected, b: &Expected| number(a).is_some() && number(a) == number(b);
    for want in missing {
        match left.iter().position(|have| same_update(have, want)) {
            Some(at) => {
                left.remove(at);
                verdict.wrong += 1;
            }
            None => verdict.lost += 1,
        }
    }
    verdict.doubled += left.len();
}

/// The number of the update that a record came from.
fn number(record: &Expected) -> Option<u64> {
    match record {
        Expected::Enriched(value) => value.get("update")?.as_u64(),
        Expected::Deleted | Expected::DeadLetter => None,
    }
}

fn observe(output: &Update) -> Expected {
    match &output.value {
        None => Expected::Deleted,
        Some(bytes) => Expected::Enriched(serde_json::from_slice(bytes).unwrap_or(Value::Null)),
    }
}

fn expect(update: &Update, classes: &HashMap<String, Times>) -> Expected {
    let Some(bytes) = &update.value else { return Expected::Deleted };
    let Ok(Value::Object(mut item)) = serde_json::from_slice(bytes) else { return Expected::DeadLetter };
    let names: Vec<String> = match item.get("deliveryClass") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let best = names
        .iter()
        .filter_map(|name| Some((classes.get(name)?, name)))
        .min_by_key(|(times, name)| (times.minimum, times.maximum, (*name).clone()));
    let days = |pick: fn(&Times) -> u64| best.map_or(Value::Null, |(times, _)| pick(times).into());
    item.insert("minimumDeliveryTime".to_owned(), days(|times| times.minimum));
    item.insert("maximumDeliveryTime".to_owned(), days(|times| times.maximum));
    Expected::Enriched(Value::Object(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(key: &str, value: &str) -> Update {
        Update { key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
    }

    fn judged(outputs: &[Update]) -> Verdict {
        let classes = classes([("a", &br#"{"minimumTime":1,"maximumTime":2}"#[..])].into_iter());
        let sent = [
            update("x", r#"{"update":1,"deliveryClass":"a"}"#),
            update("x", r#"{"update":2,"deliveryClass":"b"}"#),
        ];
        judge(&sent, &classes, outputs, &[])
    }

    const FIRST: &str = r#"{"update":1,"deliveryClass":"a","minimumDeliveryTime":1,"maximumDeliveryTime":2}"#;
    const SECOND: &str =
        r#"{"update":2,"deliveryClass":"b","minimumDeliveryTime":null,"maximumDeliveryTime":null}"#;

    #[test]
    fn is_clean_when_every_update_came_out_once_and_in_order() {
        let verdict = judged(&[update("x", FIRST), update("x", SECOND)]);

        assert!(verdict.is_clean(), "{verdict:?}");
    }

    #[test]
    fn fails_the_demo_over_one_wrong_record() {
        let fault = judged(&[update("x", FIRST)]).conclude().unwrap_err();

        assert_eq!(fault.code(), Code::CheckFailed);
    }

    #[test]
    fn sees_a_lost_record() {
        assert_eq!(judged(&[update("x", FIRST)]).lost, 1);
    }

    #[test]
    fn sees_a_doubled_record() {
        assert_eq!(judged(&[update("x", FIRST), update("x", FIRST), update("x", SECOND)]).doubled, 1);
    }

    #[test]
    fn sees_a_wrong_record() {
        let verdict = judged(&[update("x", &FIRST.replace(":1,\"max", ":3,\"max")), update("x", SECOND)]);

        assert_eq!((verdict.wrong, verdict.lost, verdict.doubled), (1, 0, 0));
    }

    #[test]
    fn sees_records_out_of_order() {
        assert_eq!(judged(&[update("x", SECOND), update("x", FIRST)]).disordered, 1);
    }

    #[test]
    fn sees_a_dead_letter_that_should_not_be() {
        let sent = [update("x", "not json")];

        assert!(judge(&sent, &HashMap::new(), &[], &sent).is_clean());
        assert_eq!(judge(&sent, &HashMap::new(), &[], &[]).lost, 1);
        assert_eq!(judge(&sent, &HashMap::new(), &[], &[sent[0].clone(), sent[0].clone()]).doubled, 1);
    }
}
