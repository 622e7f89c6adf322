//! I6: exactly one notification for each activation, and none from updates of product information.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::observation::Topic;
use super::report::Report;
use crate::record::Record;

/// The member of an activation that tells it from all others.
pub const ACTIVATION: &str = "activationId";

/// The member of product information that a notification carries.
pub const EXTERNAL: &str = "externalId";

/// I6: each activation has one committed notification, with its own members and an id that its product has or had, or one
/// expiry; nothing else was put out.
pub fn one_notification_for_each(
    activations: &Topic,
    information: &Topic,
    notifications: &Topic,
    expired: &Topic,
) -> Report {
    let mut report = Report::new("I6");
    let known = external_ids(information);
    let found = by_activation(&mut report, notifications, "a notification");
    let given_up = by_activation(&mut report, expired, "an expiry");
    let mut ours = BTreeSet::new();
    for activation in &activations.committed {
        let Some(id) = id_of(activation) else {
            report.violated(|| format!("the test sent an activation without `{ACTIVATION}`: {activation:?}"));
            continue;
        };
        let notified = found.get(&id).map_or(&[][..], Vec::as_slice);
        let expired = given_up.get(&id).map_or(0, Vec::len);
        report.expect(notified.len() + expired == 1, || {
            format!(
                "{} notifications and {expired} expiries for {activation:?}: {notified:?}",
                notified.len()
            )
        });
        for notification in notified {
            report.expect(is_of(notification, activation, &known), || {
                format!("{notification:?} is not what should come of {activation:?}")
            });
        }
        ours.insert(id);
    }
    for (id, records) in found.iter().chain(&given_up).filter(|(id, _)| !ours.contains(*id)) {
        report.violated(|| format!("for no activation that was sent, `{id}`: {records:?}"));
    }
    report
}

/// The value of the member that identifies an activation, wherever in the record it is.
pub fn id_of(record: &Record) -> Option<String> {
    member(&json(record)?, ACTIVATION)
}

/// A text under this name, at the top or deeper.
fn member(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(members) => {
            let own = members.get(name).and_then(Value::as_str).map(str::to_owned);
            own.or_else(|| members.values().find_map(|value| member(value, name)))
        }
        Value::Array(values) => values.iter().find_map(|value| member(value, name)),
        _ => None,
    }
}

fn json(record: &Record) -> Option<Value> {
    serde_json::from_slice(record.value.as_deref()?).ok()
}

fn by_activation<'r>(report: &mut Report, topic: &'r Topic, what: &str) -> BTreeMap<String, Vec<&'r Record>> {
    let mut found: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in &topic.committed {
        match id_of(record) {
            Some(id) => found.entry(id).or_default().push(record),
            None => report.violated(|| format!("{what} of no activation: {record:?}")),
        }
    }
    found
}

/// For each product the ids that it has had.
fn external_ids(information: &Topic) -> BTreeMap<Vec<u8>, BTreeSet<String>> {
    let mut known: BTreeMap<Vec<u8>, BTreeSet<String>> = BTreeMap::new();
    for record in &information.committed {
        let id = json(record).and_then(|value| member(&value, EXTERNAL));
        known.entry(record.key.clone().unwrap_or_default()).or_default().extend(id);
    }
    known
}

/// Whether a notification has the activation's key and members, and an id of its product besides.
fn is_of(notification: &Record, activation: &Record, known: &BTreeMap<Vec<u8>, BTreeSet<String>>) -> bool {
    let (Some(Value::Object(mut after)), Some(Value::Object(before))) =
        (json(notification), json(activation))
    else {
        return false;
    };
    let Some(Value::String(external)) = after.shift_remove(EXTERNAL) else { return false };
    let ids = known.get(activation.key.as_deref().unwrap_or_default());
    notification.key == activation.key && after == before && ids.is_some_and(|ids| ids.contains(&external))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(records: &[(&str, &str)]) -> Topic {
        let record = |(offset, (key, value)): (i64, &(&str, &str))| Record {
            partition: 0,
            offset,
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
            timestamp: 0,
        };
        Topic { committed: (0..).zip(records).map(record).collect(), ..Topic::default() }
    }

    const ACTIVATIONS: [(&str, &str); 2] =
        [("p", r#"{"activationId":"a","shop":1}"#), ("p", r#"{"activationId":"b"}"#)];

    const INFORMATION: [(&str, &str); 2] = [("p", r#"{"externalId":"X1"}"#), ("p", r#"{"externalId":"X2"}"#)];

    const OF_A: (&str, &str) = ("p", r#"{"activationId":"a","shop":1,"externalId":"X1"}"#);
    const OF_B: (&str, &str) = ("p", r#"{"activationId":"b","externalId":"X2"}"#);

    fn check(notifications: &[(&str, &str)], expired: &[(&str, &str)]) -> Report {
        one_notification_for_each(
            &topic(&ACTIVATIONS),
            &topic(&INFORMATION),
            &topic(notifications),
            &topic(expired),
        )
    }

    #[test]
    fn holds_when_each_activation_has_one_notification_or_one_expiry() {
        assert!(check(&[OF_A, OF_B], &[]).holds());
        assert!(check(&[OF_B], &[ACTIVATIONS[0]]).holds());
    }

    #[test]
    fn finds_what_is_lost_and_what_is_doubled() {
        assert_eq!(check(&[OF_A], &[]).violations(), 1);
        assert_eq!(check(&[OF_A, OF_B, OF_B], &[]).violations(), 1);
        assert_eq!(check(&[OF_A, OF_B], &[ACTIVATIONS[0]]).violations(), 1);
    }

    #[test]
    fn finds_an_id_that_the_product_never_had_and_other_members() {
        for wrong in [
            ("p", r#"{"activationId":"a","shop":1,"externalId":"X9"}"#),
            ("p", r#"{"activationId":"a","shop":2,"externalId":"X1"}"#),
            ("p", r#"{"activationId":"a","shop":1}"#),
            ("q", OF_A.1),
        ] {
            assert_eq!(check(&[wrong, OF_B], &[]).violations(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn finds_a_notification_that_nobody_asked_for() {
        let more = ("p", r#"{"activationId":"z","externalId":"X1"}"#);

        assert_eq!(check(&[OF_A, OF_B, more], &[]).violations(), 1);
        assert_eq!(check(&[OF_A, OF_B, ("p", r#"{"externalId":"X1"}"#)], &[]).violations(), 1);
    }
}
