//! The demo's second check: notifications for each activation, requests for each notification, and what became of it.
//!
//! It knows nothing of the host but its topics, and of the requests what the server's own log says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::corpus::Update;
use super::figures::grouped;
use super::products::{ACTIVATION, Event, INBOX, is_external_id};
use super::promises::Promise;

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
    pub(super) expired: Vec<&'a Update>,
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
    /// For each activation of a product that somebody has told of.
    notifications: Spread,
    /// For each other activation.
    expired: Spread,
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
    let told: BTreeSet<_> = sent(INBOX).map(|event| event.key.as_str()).collect();
    let of = |is_told: bool| {
        let own = sent(ACTIVATION).filter(|event| told.contains(event.key.as_str()) == is_told);
        own.filter_map(|event| id(&event.value)).collect::<BTreeSet<_>>()
    };
    let (activations, untold) = (of(true), of(false));
    let expired: Vec<_> = outcome.expired.iter().filter_map(|record| id(record.value.as_deref()?)).collect();
    let expired: Vec<&str> = expired.iter().map(String::as_str).collect();
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
    let expired_strangers = expired.iter().filter(|id| !untold.contains(**id)).count();
    let notified: Vec<&str> = notified.iter().map(String::as_str).collect();
    let ended: Vec<&str> = ended.iter().map(String::as_str).collect();
    Tally {
        messages: sent(INBOX).count(),
        activations: activations.len() + untold.len(),
        expired: spread(&untold, &expired),
        notifications: spread(&activations, &notified),
        requests: spread(&activations, &requested),
        outcomes: spread(&activations, &ended),
        details: outcome.details.len(),
        review: outcome.review.len(),
        dead_letters: outcome.dead_letters.len(),
        wrong: strangers(&notified)
            + strangers(&requested)
            + strangers(&ended)
            + expired_strangers
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

impl Spread {
    fn is_one_each(&self) -> bool {
        self.none == 0 && self.several == 0 && self.one > 0
    }
}

impl Tally {
    /// What it says of the promises.
    pub(super) fn promises(&self) -> Vec<Promise> {
        let counted = |count: usize, what: &str| format!("{} {what}", grouped(count));
        let told = self.notifications.one + self.notifications.none + self.notifications.several;
        let notified = self.notifications.one + self.notifications.several;
        vec![
            Promise::new("B1", "one notification an activation, in any order", counted(told, "activations"))
                .holds(self.notifications.is_one_each() && self.wrong == 0),
            Promise::new(
                "B2",
                "updates of information notify nobody again",
                counted(self.messages, "messages"),
            )
            .holds(self.messages > told && self.notifications.several == 0),
            Promise::new(
                "B3",
                "without information an activation expires",
                counted(self.expired.one, "expired"),
            )
            .holds(self.expired.is_one_each() || self.activations == told),
            Promise::new(
                "B4",
                "a notification makes one REST call at most",
                counted(self.requests.one, "calls"),
            )
            .holds(self.requests.one > 0 && self.requests.several == 0),
            Promise::new("B5", "each ends: answered, refused, or in doubt", counted(notified, "outcomes"))
                .holds(self.outcomes.is_one_each()),
        ]
    }

    /// What became of the notifications, for people.
    pub(super) fn outcomes(&self) -> String {
        let [details, refused, review] = [self.details, self.dead_letters, self.review].map(grouped);
        format!(
            "{details} answered with details, {refused} with an error, {review} in doubt for a person to look at"
        )
    }

    /// What was found wrong, if anything was.
    pub(super) fn harm(&self) -> Option<String> {
        let is_clean = self.promises().iter().all(|promise| promise.is_kept);
        let three = |spread: &Spread| format!("{}/{}/{}", spread.none, spread.one, spread.several);
        (!is_clean).then(|| {
            format!(
                "none/one/several notifications {}, expiries {}, calls {}, outcomes {}, and {} of nobody",
                three(&self.notifications),
                three(&self.expired),
                three(&self.requests),
                three(&self.outcomes),
                self.wrong
            )
        })
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
        let events: Vec<_> = products::events(400)
            .into_iter()
            .filter(|event| ["P0", "P1", "P39"].contains(&event.key.as_str()))
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
        let expired = &update("P39", r#"{"activationId":"P39-0"}"#);
        let outcome = Outcome {
            notifications: notifications.iter().collect(),
            details: details.iter().collect(),
            review: vec![],
            dead_letters: letters.iter().collect(),
            expired: vec![expired],
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

        assert_eq!((tally.activations, tally.notifications.one, tally.outcomes.one), (4, 3, 3));
        assert_eq!(tally.harm(), None);
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
            assert!(tally.harm().is_some(), "{what}: {tally:?}");
        }
    }
}
