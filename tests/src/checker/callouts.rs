//! I7: what the server wrote down of requests, and what became of each notification.

use std::collections::BTreeMap;

use super::activation::id_of;
use super::observation::Topic;
use super::report::Report;
use crate::record::Record;
use crate::rest_server::Request;

/// What was promised about the number of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Never more than one for an id.
    AtMostOnce,
    /// All of an id carry the same key and the same bytes.
    Idempotent,
}

/// I7: the requests of each notification keep to the promise. A notification is told by the last part of the path, which the
/// test makes of its id.
pub fn requests_keep_to(promise: Promise, requests: &[Request]) -> Report {
    let mut report = Report::new("I7");
    let mut of_path: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    let mut of_key: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in requests {
        of_path.entry(&request.path).or_default().push(request);
        if let Some(key) = &request.key {
            of_key.entry(key).or_default().push(request);
        }
    }
    for requests in of_path.values() {
        match promise {
            Promise::AtMostOnce => {
                report.expect(requests.len() == 1, || format!("requested more than once: {requests:?}"));
            }
            Promise::Idempotent => report.expect(requests.iter().all(|one| one.key.is_some()), || {
                format!("a request without a key: {requests:?}")
            }),
        }
    }
    for alike in of_path.values().chain(of_key.values()).filter(|_| promise == Promise::Idempotent) {
        let bytes = |request: &Request| {
            let Request { method, path, key, digest, .. } = request;
            (method.clone(), path.clone(), key.clone(), *digest)
        };
        let mut different = alike.windows(2).filter(|pair| match pair {
            [one, other] => bytes(one) != bytes(other),
            _ => false,
        });
        report.expect(different.next().is_none(), || format!("not the same each time: {alike:?}"));
    }
    report
}

/// I7: each notification ends in exactly one of these topics, and each answer that was passed on was given by the server to a
/// request for it.
pub fn one_outcome_for_each(
    notifications: &Topic,
    details: &Topic,
    others: &[&Topic],
    requests: &[Request],
) -> Report {
    let mut report = Report::new("I7");
    let places: BTreeMap<_, _> = notifications
        .committed
        .iter()
        .filter_map(|record| Some(((record.partition, record.offset), id_of(record)?)))
        .collect();
    let mut ends: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for topic in others.iter().copied().chain([details]) {
        for record in &topic.committed {
            match id_of(record).or_else(|| places.get(&called_for(record)?).cloned()) {
                Some(id) => ends.entry(id).or_default().push(&topic.name),
                None => report.violated(|| format!("of no notification, in `{}`: {record:?}", topic.name)),
            }
        }
    }
    for notification in &notifications.committed {
        let id = id_of(notification).unwrap_or_default();
        let ends = ends.remove(&id).unwrap_or_default();
        report.expect(ends.len() == 1, || format!("{notification:?} ended in {ends:?}"));
    }
    for (id, topics) in ends {
        report.violated(|| format!("`{id}` ended in {topics:?}, but is no notification"));
    }
    let served: BTreeMap<&str, ()> = requests
        .iter()
        .filter(|request| request.status == Some(200))
        .map(|request| (last_part(&request.path), ()))
        .collect();
    for detail in &details.committed {
        let id = id_of(detail).unwrap_or_default();
        report.expect(served.contains_key(id.as_str()), || format!("the server never answered: {detail:?}"));
    }
    report
}

/// The place of the notification that a callout was made for, which `rest-lookup` makes its id of. An answer that it rejects has
/// nothing else of the notification.
fn called_for(record: &Record) -> Option<(i32, i64)> {
    let id = record.header("gristmill-callout-id")?;
    let mut numbers = id.split('-');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn last_part(path: &str) -> &str {
    path.rsplit(['/', '=']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, key: Option<&str>, digest: u64) -> Request {
        let (method, path, key) = ("GET".to_owned(), path.to_owned(), key.map(str::to_owned));
        Request { number: 0, method, path, key, authorized: true, digest, executed: true, status: Some(200) }
    }

    fn topic(name: &str, ids: &[&str]) -> Topic {
        let record = |id: &&str| Record {
            partition: 0,
            offset: 0,
            key: None,
            value: Some(format!(r#"{{"activation":{{"activationId":"{id}"}}}}"#).into_bytes()),
            headers: Vec::new(),
            timestamp: 0,
        };
        Topic { name: name.into(), committed: ids.iter().map(record).collect(), ..Topic::default() }
    }

    fn violations(promise: Promise, requests: &[Request]) -> usize {
        requests_keep_to(promise, requests).violations()
    }

    #[test]
    fn allows_one_request_at_most_where_that_is_promised() {
        let (one, other) = (request("/a", None, 1), request("/b", None, 1));

        assert_eq!(violations(Promise::AtMostOnce, &[one.clone(), other.clone()]), 0);
        assert_eq!(violations(Promise::AtMostOnce, &[one.clone(), other, one]), 1);
    }

    #[test]
    fn wants_the_same_key_and_bytes_where_requests_are_repeated() {
        let one = request("/a", Some("k"), 1);

        assert_eq!(violations(Promise::Idempotent, &[one.clone(), one.clone()]), 0);
        for other in [request("/a", Some("l"), 1), request("/a", Some("k"), 2), request("/b", Some("k"), 1)] {
            assert!(violations(Promise::Idempotent, &[one.clone(), other]) > 0);
        }
        assert!(violations(Promise::Idempotent, &[request("/a", None, 1)]) > 0);
    }

    #[test]
    fn knows_a_rejected_answer_by_the_place_of_its_notification() {
        let mut letters = topic("l", &["a"]);
        letters.committed[0].value = Some(b"not today".to_vec());
        let id = Some(b"0-0-17-c0ffee".to_vec());
        letters.committed[0].headers = vec![(b"gristmill-callout-id".to_vec(), id)];

        let report = one_outcome_for_each(&topic("n", &["a"]), &topic("d", &[]), &[&letters], &[]);

        assert!(report.holds(), "{report}");
    }

    #[test]
    fn wants_one_end_for_each_notification() {
        let check = |details: &[&str], review: &[&str], served: &[&str]| {
            let requests: Vec<_> = served.iter().map(|id| request(&format!("/x/{id}"), None, 0)).collect();
            let (notifications, review) = (topic("n", &["a", "b"]), topic("r", review));
            one_outcome_for_each(&notifications, &topic("d", details), &[&review], &requests).violations()
        };

        assert_eq!(check(&["a"], &["b"], &["a"]), 0);
        assert_eq!(check(&["a"], &[], &["a"]), 1, "lost");
        assert_eq!(check(&["a", "b"], &["b"], &["a", "b"]), 1, "in both");
        assert_eq!(check(&["a", "a"], &["b"], &["a"]), 1, "doubled");
        assert_eq!(check(&["a", "z"], &["b"], &["a", "z"]), 1, "of nobody");
        assert_eq!(check(&["a"], &["b"], &[]), 1, "never answered");
    }
}
