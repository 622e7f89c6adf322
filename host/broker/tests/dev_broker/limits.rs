//! What clients may make the broker hold is bounded, and they are told.

use gristmill_broker::Broker;
use gristmill_broker::Limits;
use rdkafka::ClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use rdkafka::producer::ProducerContext;
use rdkafka::producer::ThreadedProducer;
use rdkafka::types::RDKafkaErrorCode;
use std::sync::Arc;
use std::sync::Mutex;

use super::support::*;

/// Keeps the outcome of every delivery.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<Vec<Option<RDKafkaErrorCode>>>>);

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let code = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        self.0.lock().unwrap().push(code);
    }
}

#[test]
fn refuses_records_beyond_its_memory_and_takes_them_when_there_is_room() {
    let limits = Limits { stored_bytes: 100_000, ..Limits::default() };
    let broker = Broker::builder().topic("items", 1).topic("other", 1).limits(limits).start().unwrap();
    let outcomes = Outcomes::default();
    let producer: ThreadedProducer<Outcomes> = config(&broker).create_with_context(outcomes.clone()).unwrap();
    let value = "x".repeat(40_000);
    let send = |topic: &str| {
        producer.send(BaseRecord::to(topic).partition(0).key("k").payload(&value)).unwrap();
        until("it is answered", || producer.in_flight_count() == 0);
        outcomes.0.lock().unwrap().pop().unwrap()
    };

    assert_eq!([send("items"), send("items")], [None, None]);
    assert_eq!(send("items"), Some(RDKafkaErrorCode::PolicyViolation));
    assert!(broker.stored_bytes() <= 100_000);
    assert!(is_alive(&broker));
    let admin: rdkafka::admin::AdminClient<_> = config(&broker).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.delete_topics(&["items"], &rdkafka::admin::AdminOptions::new())).unwrap();

    assert_eq!(send("other"), None);
}

#[test]
fn refuses_members_beyond_the_limit() {
    let limits = Limits { members: 1, ..Limits::default() };
    let broker = Broker::builder().topic("items", 1).limits(limits).start().unwrap();
    let first = consumer(&broker, "readers", &[]);
    first.subscribe(&["items"]).unwrap();
    until("the first has joined", || {
        assert!(first.poll(std::time::Duration::from_millis(5)).is_none());
        first.assignment().unwrap().count() == 1
    });

    let second = consumer(&broker, "readers", &[]);
    second.subscribe(&["items"]).unwrap();
    let refused = next_result(&second).unwrap_err();

    assert_eq!(refused.rdkafka_error_code(), Some(RDKafkaErrorCode::GroupMaxSizeReached));
    assert_eq!(broker.group("readers").unwrap().members.len(), 1);
}
