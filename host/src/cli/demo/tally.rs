//! The demo's second check: notifications for each activation, requests for each notification, and what became of it.
//!
//! It knows nothing of the host but its topics, and of the requests what the server's own log says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::corpus::Update;
use super::products::{ACTIVATION, Event, INBOX, is_external_id};
use crate::fault::{Code, Fault};

/// What came out, and what the server was asked.
pub(super) struct Outcome<'a> {
    /// What activation has sent.
    pub(super) notifications: Vec<&'a Update>,
    /// What was answered.
    pub(super) details: Vec<&'a Update>,
    /// What is in doubt or given up.
    pub(super) review: Vec<&'a Update>,
    /// What was answered with an error.
    pub(super) dead_letters: Vec<&'a Update>,
    /// What activation has given up.
    pub(super) expired: usize,
    /// The paths that the server was asked for.
    pub(super) requests: Vec<String>,
}

/// How many have none, one, and several of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Spread {
    pub(super) none: usize,
    pub(super) one: usize,
    pub(super) several: usize,
}

/// What was found, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    messages: usize,
    activations: usize,
    /// For each activation.
    notifications: Spread,
    /// For each notification.
    requests: Spread,
    /// For each notification, over all kinds of outcome.
    outcomes: Spread,
    details: usize,
    review: usize,
    dead_letters: usize,
    /// Notifications of no activation or without an ID of their product, and requests for no notification.
    wrong: usize,
}

/// Compares what was sent with what came of it.
pub(super) fn judge(events: &[Event], outcome: &Outcome<'_>) -> Tally {
    let sent = |topic: &'static str| events.iter().filter(move |event| event.topic == topic);
    let activations: BTreeSet<_> = sent(ACTIVATION).filter_map(|event| id(&event.value)).collect();
    let notified: Vec<_> =
        outcome.notifications.iter().filter_map(|record| id(record.value.as_deref()?)).collect();
    let requested: Vec<_> = outcome.requests.iter().filter_map(|path| path.rsplit('/').next()).collect();
    let mut ended: Vec<String> = outcome
        .details
        .iter()
        .chain(&outcome.review)
        .filter_map(|record| id(record.value.as_deref()?))
        .collect();
    ended.extend(rejected(outcome, &ended));
    let is_right = |record: &&&Update| {
        let value = record.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
        let external = value.as_ref().and_then(|value| value.get("externalId")?.as_str());
        external.is_some_and(|external| is_external_id(external, &record.key))
    };
    let strangers = |found: &[&str]| found.iter().filter(|id| !activations.contains(**id)).count();
    let notified: Vec<&str> = notified.iter().map(String::as_str).collect();
    let ended: Vec<&str> = ended.iter().map(String::as_str).collect();
    Tally {
        messages: sent(INBOX).count(),
        activations: activations.len(),
        notifications: spread(&activations, &notified),
        requests: spread(&activations, &requested),
        outcomes: spread(&activations, &ended),
        details: outcome.details.len(),
        review: outcome.review.len(),
        dead_letters: outcome.dead_letters.len(),
        wrong: strangers(&notified)
            + strangers(&requested)
            + strangers(&ended)
            + outcome.expired
            + outcome.notifications.iter().filter(|record| !is_right(record)).count(),
    }
}

/// A dead letter holds the server's answer under the key of its product: it is for a notification of that product that has no
/// other outcome, or for none.
fn rejected(outcome: &Outcome<'_>, ended: &[String]) -> Vec<String> {
    let ended: BTreeSet<_> = ended.iter().map(String::as_str).collect();
    let mut open: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for record in &outcome.notifications {
        let id = record.value.as_deref().and_then(id).filter(|id| !ended.contains(id.as_str()));
        open.entry(&record.key).or_default().extend(id);
    }
    let of = |letter: &&Update| open.get_mut(letter.key.as_str()).and_then(Vec::pop).unwrap_or_default();
    outcome.dead_letters.iter().map(of).collect()
}

/// The id of an activation, in itself or in what came of it.
fn id(value: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let own = value.get("activationId").or_else(|| value.get("activation")?.get("activationId"))?;
    own.as_str().map(str::to_owned)
}

fn spread(wanted: &BTreeSet<String>, found: &[&str]) -> Spread {
    let mut counts: BTreeMap<&str, usize> = wanted.iter().map(|id| (id.as_str(), 0)).collect();
    for id in found {
        counts.entry(id).and_modify(|count| *count += 1);
    }
    let with = |is: fn(usize) -> bool| counts.values().filter(|count| is(**count)).count();
    Spread { none: with(|count| count == 0), one: with(|count| count == 1), several: with(|count| count > 1) }
}

impl Tally {
    /// What the demo comes to.
    ///
    /// # Errors
    /// `check_failed` when anything is not as promised.
    pub(super) fn conclude(&self) -> Result<(), Fault> {
        let all_have_one = |spread: &Spread| spread.none == 0 && spread.several == 0 && spread.one > 0;
        let is_clean = all_have_one(&self.notifications) && all_have_one(&self.outcomes);
        if is_clean && self.requests.several == 0 && self.wrong == 0 {
            return Ok(());
        }
        let what = "the demo found activations without one notification, or notifications without one outcome, or with \
                    several requests";
        Err(Fault::new(Code::CheckFailed, what))
    }

    /// The table.
    pub(super) fn table(&self) -> String {
        let mut text = String::from("\n");
        let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<56} {value:>14}\n"));
        let three = |spread: &Spread| format!("{} / {} / {}", spread.none, spread.one, spread.several);
        line("messages about products, most of them updates", self.messages.to_string());
        line("activations", self.activations.to_string());
        line("  with no / one / several notifications", three(&self.notifications));
        line("notifications with no / one / several requests", three(&self.requests));
        line("  with no / one / several outcomes", three(&self.outcomes));
        line("outcomes: details of the product", self.details.to_string());
        line("  in doubt, for a person to look at", self.review.to_string());
        line("  dead letters (the server answered with an error)", self.dead_letters.to_string());
        line("of nobody, or with an ID of another product", self.wrong.to_string());
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::products;

    fn update(key: &str, value: &str) -> Update {
        Update { key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
    }

    /// All that comes of the first two products; of the first, two activations.
    fn world() -> (Vec<Event>, Vec<Update>, Vec<Update>) {
        let events: Vec<_> = products::events()
            .into_iter()
            .filter(|event| ["P0", "P1"].contains(&event.key.as_str()))
            .collect();
        let all = [("P0", "P0-0", "X0.0"), ("P0", "P0-1", "X0.3"), ("P1", "P1-0", "X1.0")];
        let notification = |(key, id, external): &(&str, &str, &str)| {
            update(key, &format!(r#"{{"activationId":"{id}","externalId":"{external}"}}"#))
        };
        let notifications: Vec<_> = all.iter().map(notification).collect();
        let details = [("P0", "P0-0"), ("P1", "P1-0")].map(|(key, id)| {
            update(key, &format!(r#"{{"activation":{{"activationId":"{id}"}},"details":1}}"#))
        });
        (events, notifications, details.to_vec())
    }

    fn tally(notifications: &[Update], details: &[Update], letters: &[Update], requests: &[&str]) -> Tally {
        let (events, ..) = world();
        let outcome = Outcome {
            notifications: notifications.iter().collect(),
            details: details.iter().collect(),
            review: vec![],
            dead_letters: letters.iter().collect(),
            expired: 0,
            requests: requests.iter().map(|path| (*path).to_owned()).collect(),
        };
        judge(&events, &outcome)
    }

    const REQUESTS: [&str; 3] = ["/products/X0.0/P0-0", "/products/X0.3/P0-1", "/products/X1.0/P1-0"];

    #[test]
    fn is_content_when_each_activation_has_one_notification_one_request_and_one_outcome() {
        let (_, notifications, details) = world();
        let letter = update("P0", "not today");

        let tally = tally(&notifications, &details, &[letter], &REQUESTS);

        assert_eq!((tally.activations, tally.notifications.one, tally.outcomes.one), (3, 3, 3));
        assert!(tally.conclude().is_ok(), "{tally:?}");
        assert!(tally.table().contains("0 / 3 / 0"), "{}", tally.table());
    }

    #[test]
    fn finds_what_is_lost_doubled_or_wrong() {
        let (_, notifications, details) = world();
        let letter = [update("P0", "not today")];
        let twice = [notifications.clone(), vec![notifications[0].clone()]].concat();
        let mut other = notifications.clone();
        other[0] = update("P0", r#"{"activationId":"P0-0","externalId":"X1.0"}"#);

        for (what, tally) in [
            ("lost", tally(&notifications[1..], &details, &letter, &REQUESTS)),
            ("notified twice", tally(&twice, &details, &letter, &REQUESTS)),
            ("without an outcome", tally(&notifications, &details, &[], &REQUESTS)),
            (
                "with two outcomes",
                tally(&notifications, &details, &[letter.clone(), letter.clone()].concat(), &REQUESTS),
            ),
            (
                "requested twice",
                tally(&notifications, &details, &letter, &[&REQUESTS[..], &REQUESTS[..1]].concat()),
            ),
            ("with an ID of another product", tally(&other, &details, &letter, &REQUESTS)),
        ] {
            assert!(tally.conclude().is_err(), "{what}: {tally:?}");
        }
    }
}
