//! Kafka is not there, or a transaction does not go through: nothing is half done, and nobody waits for nothing.

use super::house::{House, PUT, Setup};
use crate::fault::Code;
use crate::memory::OutletTrouble;

fn await_status(house: &House, status: u16) {
    house.await_so("another status", || house.put("probe", "", "1").status == status);
}

#[test]
fn answers_503_at_once_while_kafka_is_down_and_writes_when_it_is_back() {
    let house = Setup::new().start();
    assert_eq!(house.put("a", "", "1").status, 200);
    house.kafka.set_down(true);

    let during = house.put("b", "", "1");
    await_status(&house, 503);
    house.kafka.set_down(false);
    await_status(&house, 200);

    let (code, message) = during.error();
    assert_eq!((during.status, code.as_str()), (503, Code::IngestUnavailable.as_str()));
    assert!(message.starts_with("nothing was written") && !message.contains("internal:9092"), "{message}");
    assert_eq!(during.header("retry-after"), Some("1"));
    let keys: Vec<_> = house.written().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "probe"]);
}

#[test]
fn starts_without_kafka() {
    let kafka = super::house::Kafka::default();
    kafka.set_down(true);
    let house = Setup::new().start_on(kafka);

    await_status(&house, 503);
    house.kafka.set_down(false);
    await_status(&house, 200);
}

#[test]
fn writes_nothing_of_an_aborted_transaction_and_goes_on() {
    let house = Setup::new().start();
    house.put("a", "", "1");
    house.topics.trouble(OutletTrouble::Abort);

    let reply = house.put("b", "Idempotency-Key: k", "1");

    assert_eq!((reply.status, reply.error().0.as_str()), (503, Code::IngestUnavailable.as_str()));
    assert_eq!((house.written().len(), house.rows().len()), (1, 0));
    assert_eq!(house.put("b", "Idempotency-Key: k", "1").status, 200);
    assert_eq!(house.written().len(), 2);
}

#[test]
fn takes_its_name_back_when_another_process_has_taken_it() {
    use crate::io::Outlet;
    let house = Setup::new().start();
    house.put("a", "", "1");
    house.topics.outlet("shop.ingest.classes.a").claim().unwrap();

    assert_eq!(house.put("b", "", "1").status, 503);
    assert_eq!(house.put("b", "", "1").status, 200);
}

#[test]
fn writes_many_requests_in_one_transaction_in_the_order_in_which_they_came() {
    let house = Setup::new().start();
    let hold = house.kafka.hold();
    let mut first = house.client();
    first.ask(&format!("PUT /ingest/classes/a\n{PUT}"), b"0");
    hold.wait();
    let mut clients: Vec<_> = (1..=20).map(|number| (number, house.client())).collect();
    for (number, client) in &mut clients {
        client.ask(&format!("PUT /ingest/classes/a\n{PUT}"), number.to_string().as_bytes());
        house.await_waiting(*number + 1);
    }
    let before = house.topics.transactions().len();
    drop(hold);

    assert_eq!(first.reply().status, 200);
    assert!(clients.iter_mut().all(|(_, client)| client.reply().status == 200));

    assert_eq!(house.topics.transactions().len(), before + 2);
    let values: Vec<_> = house.written().into_iter().map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, (0..=20).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn does_not_write_for_a_client_that_has_gone() {
    let house = Setup::new().start();
    let hold = house.kafka.hold();
    let mut first = house.client();
    first.ask(&format!("PUT /ingest/classes/a\n{PUT}"), b"0");
    hold.wait();
    let mut gone = house.client();
    gone.ask(&format!("PUT /ingest/classes/gone\n{PUT}"), b"0");
    house.await_waiting(2);
    drop(gone);
    house.await_connections(1);
    drop(hold);

    assert_eq!(first.reply().status, 200);
    assert_eq!(house.put("b", "", "1").status, 200);
    let keys: Vec<_> = house.written().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn finishes_what_is_under_way_when_it_ends() {
    let house = Setup::new().start();
    let hold = house.kafka.hold();
    let mut client = house.client();
    client.ask(&format!("PUT /ingest/classes/a\n{PUT}"), b"0");
    hold.wait();
    let House { server, topics, .. } = house;
    let ended = std::thread::spawn(move || server.shutdown());

    drop(hold);

    assert_eq!(client.reply().status, 200);
    client.wait_for_end();
    ended.join().unwrap();
    assert_eq!(topics.transactions().last().unwrap()[0].key, b"a");
}
