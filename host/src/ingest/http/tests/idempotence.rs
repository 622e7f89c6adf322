//! A request that is repeated with its idempotency key is written once, whatever happened to its answer.

use serde_json::json;

use super::client::Client;
use super::house::{House, Kafka, POST, PUT, Setup};
use crate::fault::Code;
use crate::memory::OutletTrouble;

fn key(key: &str) -> String {
    format!("Idempotency-Key: {key}")
}

/// Another process with the same topics.
fn restart(house: House) -> House {
    let mut setup = Setup::new();
    setup.topics = house.topics.clone();
    house.server.shutdown();
    setup.start()
}

#[test]
fn answers_a_repeated_request_without_writing_it_again() {
    let house = Setup::new().start();

    let first = house.put("bulky", &key("k-1"), "1");
    let second = house.put("bulky", &key("k-1"), "1");

    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    assert_eq!((second.status, second.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(first.body, second.body);
    assert_eq!(house.written().len(), 1);
    assert_eq!(house.rows(), ["k-1"]);
}

#[test]
fn commits_the_row_of_a_key_with_its_records() {
    let house = Setup::new().start();
    let batch = "{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":2}";

    let head = format!("POST /ingest/classes\n{POST}\n{}", key("k-1"));
    let replies = [(); 2].map(|()| house.request(&head, batch.as_bytes()));

    assert_eq!(replies.map(|reply| reply.json()), [json!({ "records": 2 }), json!({ "records": 2 })]);
    let transaction = house.topics.transactions().pop().unwrap();
    let topics: Vec<_> = transaction.iter().map(|change| change.topic.as_str()).collect();
    assert_eq!(topics, ["classes", "classes", "shop.ingest.classes.requests"]);
}

#[test]
fn refuses_the_key_of_another_request() {
    let house = Setup::new().start();
    house.put("bulky", &key("k-1"), "1");

    let other_body = house.put("bulky", &key("k-1"), "2");
    let other_key = house.put("small", &key("k-1"), "1");
    let other_method = house.request(&format!("DELETE /ingest/classes/bulky\n{PUT}\n{}", key("k-1")), b"");

    for reply in [other_body, other_key, other_method] {
        assert_eq!((reply.status, reply.error().0.as_str()), (422, Code::IdempotencyConflict.as_str()));
    }
    assert_eq!(house.written().len(), 1);
}

#[test]
fn refuses_keys_that_cannot_be_one() {
    let house = Setup::new().start();

    for more in
        [key(""), key("a b"), key("\u{e4}"), key(&"k".repeat(201)), format!("{}\n{}", key("a"), key("a"))]
    {
        let reply = house.put("bulky", &more, "1");
        assert_eq!((reply.status, reply.error().0.as_str()), (400, Code::IdempotencyKeyInvalid.as_str()));
    }
    assert_eq!(house.put("bulky", &key(&"k".repeat(200)), "1").status, 200);
}

#[test]
fn does_not_remember_a_request_that_was_refused() {
    let house = Setup::new().start();

    assert_eq!(house.put("bulky", &key("k-1"), "{").status, 400);
    assert_eq!(house.put("bulky", &key("k-1"), "{}").status, 200);
}

#[test]
fn refuses_a_key_while_its_first_request_is_under_way() {
    let house = Setup::new().start();
    let hold = house.kafka.hold();
    let mut first = house.client();
    first.ask(&format!("PUT /ingest/classes/bulky\n{PUT}\n{}", key("k-1")), b"1");
    hold.wait();

    let second = house.put("bulky", &key("k-1"), "1");
    hold.release();

    assert_eq!((second.status, second.error().0.as_str()), (409, Code::IdempotencyUnderWay.as_str()));
    assert_eq!(second.header("retry-after"), Some("1"));
    assert_eq!(first.reply().status, 200);
    assert_eq!(house.put("bulky", &key("k-1"), "1").header("idempotent-replayed"), Some("true"));
    assert_eq!(house.written().len(), 1);
}

#[test]
fn writes_once_what_many_send_at_the_same_time() {
    let house = Setup::new().start();
    let head = format!("PUT /ingest/classes/bulky\n{PUT}\n{}", key("k-1"));
    let mut clients: Vec<_> = (0..32).map(|_| house.client()).collect();

    clients.iter_mut().for_each(|client| client.ask(&head, b"1"));
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.reply().status).collect();

    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
    assert!(statuses.contains(&200));
    assert_eq!(house.written().len(), 1);
}

#[test]
fn remembers_keys_in_the_next_process() {
    let house = Setup::new().start();
    house.put("bulky", &key("k-1"), "1");

    let house = restart(house);

    assert_eq!(house.put("bulky", &key("k-1"), "1").header("idempotent-replayed"), Some("true"));
    assert_eq!(house.put("bulky", &key("k-1"), "2").status, 422);
    assert_eq!(house.written().len(), 1);
}

#[test]
fn knows_the_keys_of_other_processes_that_run() {
    let house = Setup::new().start();
    let mut setup = Setup::new();
    (setup.topics, setup.instance) = (house.topics.clone(), "b");
    let other = setup.start();
    assert_eq!(other.put("small", &key("k-0"), "0").status, 200);
    house.put("bulky", &key("k-1"), "1");
    house.put("bulky", "", "2");

    let repeated = other.put("bulky", &key("k-1"), "1");

    assert_eq!((repeated.status, repeated.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(other.put("bulky", &key("k-1"), "2").status, 422);
    let written: Vec<_> = house.written().into_iter().filter_map(|(_, value)| value).collect();
    assert_eq!(written, ["0", "1", "2"]);
}

#[test]
fn answers_what_was_committed_without_an_answer() {
    let house = Setup::new().start();
    house.put("bulky", "", "0");
    house.topics.trouble(OutletTrouble::UnknownCommitted);

    let reply = house.put("bulky", &key("k-1"), "1");

    assert_eq!(reply.status, 200);
    assert_eq!(house.put("bulky", &key("k-1"), "1").header("idempotent-replayed"), Some("true"));
    assert_eq!(house.written().len(), 2);
}

#[test]
fn says_that_nothing_was_written_when_the_transaction_was_lost() {
    let house = Setup::new().start();
    house.put("bulky", "", "0");
    house.topics.trouble(OutletTrouble::UnknownLost);

    let reply = house.put("bulky", &key("k-1"), "1");

    assert_eq!((reply.status, reply.error().0.as_str()), (503, Code::IngestUnavailable.as_str()));
    assert!(reply.error().1.starts_with("nothing was written"), "{}", reply.error().1);
    assert_eq!((house.written().len(), house.rows().len()), (1, 0));
    assert_eq!(house.put("bulky", &key("k-1"), "1").header("idempotent-replayed"), None);
    assert_eq!(house.written().len(), 2);
}

#[test]
fn tells_a_client_without_a_key_that_it_is_not_known() {
    let house = Setup::new().start();
    house.put("bulky", "", "0");
    house.topics.trouble(OutletTrouble::UnknownCommitted);

    let reply = house.put("bulky", "", "1");

    assert_eq!((reply.status, reply.error().0.as_str()), (503, Code::IngestUnavailable.as_str()));
    assert!(reply.error().1.contains("it is not known"), "{}", reply.error().1);
    assert_eq!(house.put("bulky", "", "1").status, 200);
}

#[test]
fn writes_once_what_was_committed_when_the_process_was_killed() {
    let setup = Setup::new();
    let topics = setup.topics.clone();
    let house = setup.start();
    house.put("bulky", "", "0");
    topics.trouble(OutletTrouble::UnknownCommitted);
    let hold = house.kafka.hold();
    let mut client = house.client();
    client.ask(&format!("PUT /ingest/classes/bulky\n{PUT}\n{}", key("k-1")), b"1");
    hold.wait();
    // Its claim fails from now on, as that of a process that is gone: nobody gets an answer from it.
    house.kafka.set_claimable(false);
    hold.release();
    house.await_so("the commit", || house.written().len() == 2);

    let mut setup = Setup::new();
    setup.topics = topics;
    let next = setup.start_on(Kafka::default());

    assert_eq!(next.put("bulky", &key("k-1"), "1").header("idempotent-replayed"), Some("true"));
    assert_eq!(next.written().len(), 2);
    drop::<Client>(client);
}
