//! A thin producer over librdkafka: sends, flushes, drives transactions, and remembers what was refused.
//!
//! Delivery reports are served by a thread of its own, because librdkafka's flush, commit and abort wait for them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::Client;
use rdkafka::config::NativeClientConfig;
use rdkafka::types::RDKafkaType;
use rdkafka::{ClientConfig, ClientContext};

use crate::fault::{Code, Fault};
use crate::id::{Offset, Partition, TopicName, TopicPartition};
use crate::io::{Committed, Outgoing};
use crate::kafka::clerk::{Clerk, Request};
use crate::kafka::client::native;
use crate::kafka::client_log;
use crate::kafka::consumer::{Membership, millis};
use crate::kafka::native::{ErrorCode, Failure, PartitionList, c_string, fatal};

/// How long the delivery thread waits for reports before it looks whether it should end.
const REPORT_WAIT_MS: c_int = 100;

/// librdkafka's word for: the partitioner decides.
const PARTITION_BY_KEY: i32 = -1;

/// Kafka's numbers of the two requests that must not be sent twice in a transaction.
const API_END_TXN: i16 = 26;
const API_TXN_OFFSET_COMMIT: i16 = 28;

/// A record that was not delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Undelivered {
    /// The number that was given with the record.
    pub(super) cause: u32,
    /// Why.
    pub(super) code: ErrorCode,
}

/// What librdkafka's threads tell a producer.
#[derive(Default)]
pub(super) struct Reports {
    undelivered: Mutex<Vec<Undelivered>>,
    /// The handle of the topic whose offsets are wanted; 0 when there is none.
    watched: AtomicUsize,
    /// The highest offset in each partition of that topic.
    highest: Mutex<BTreeMap<i32, i64>>,
    end_requests: AtomicU32,
    offset_requests: AtomicU32,
    is_ending: AtomicBool,
}

impl ClientContext for Reports {}

impl Reports {
    /// Forgets everything: a transaction begins.
    pub(super) fn clear(&self) {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.highest.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.end_requests.store(0, Ordering::SeqCst);
        self.offset_requests.store(0, Ordering::SeqCst);
    }

    /// The records that were not delivered since the last call.
    pub(super) fn take_undelivered(&self) -> Vec<Undelivered> {
        std::mem::take(&mut *self.undelivered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The highest offset that a record has got in a partition of the topic that is watched.
    pub(super) fn highest(&self, partition: Partition) -> Option<Offset> {
        let highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        highest.get(&partition.0).copied().map(Offset)
    }

    fn delivered(&self, message: &rd_kafka_message_t) {
        // A report of a batch that was sent twice has no offset.
        if message.rkt as usize == self.watched.load(Ordering::Relaxed) && message.offset >= 0 {
            let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
            let offset = highest.entry(message.partition).or_insert(message.offset);
            *offset = message.offset.max(*offset);
        }
    }

    /// How many times this transaction's end was asked for.
    pub(super) fn end_requests(&self) -> u32 {
        self.end_requests.load(Ordering::SeqCst)
    }

    /// Whether a request was sent again, unasked: its first copy may still arrive, in the next transaction.
    pub(super) fn has_repeated(&self) -> bool {
        self.end_requests() > 1 || self.offset_requests.load(Ordering::SeqCst) > 1
    }
}

/// A producer. Dropping it drops what is not delivered; an open transaction stays open until its successor or its
/// time-out ends it.
pub(super) struct Producer {
    client: Arc<Client<Reports>>,
    topics: HashMap<TopicName, Topic>,
    reporter: Option<JoinHandle<()>>,
    clerk: Clerk,
}

/// A topic's handle, which saves librdkafka a search for each record.
struct Topic(*mut rd_kafka_topic_t);

// SAFETY: librdkafka's objects may be used from any thread.
unsafe impl Send for Topic {}

impl Producer {
    /// Makes a producer and starts its delivery thread; nothing is sent yet.
    pub(super) fn open(config: &ClientConfig) -> Result<Self, Fault> {
        let failed =
            |what: &str| Fault::new(Code::KafkaFailed, format!("cannot make a Kafka producer: {what}"));
        let native = native(config)?;
        observe(&native);
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, Reports::default())
            .map_err(|error| failed("librdkafka refuses it").because(error))?;
        let client = Arc::new(client);
        let clerk = Clerk::of(Arc::clone(&client))
            .map_err(|error| failed("its thread does not start").because(error))?;
        let reporting = Arc::clone(&client);
        let reporter = std::thread::Builder::new()
            .name("kafka-reports".to_owned())
            .spawn(move || serve_reports(&reporting))
            .map_err(|error| failed("its thread does not start").because(error))?;
        Ok(Self { client, topics: HashMap::new(), reporter: Some(reporter), clerk })
    }

    /// What librdkafka's threads have told.
    pub(super) fn reports(&self) -> &Reports {
        self.client.context()
    }

    /// From now on the offsets of records in this topic are remembered.
    pub(super) fn watch(&mut self, topic: &TopicName) -> Result<(), Failure> {
        let handle = self.topic(topic)?;
        self.reports().watched.store(handle as usize, Ordering::Relaxed);
        Ok(())
    }

    /// Hands a record over. `_QUEUE_FULL` means: later.
    pub(super) fn send(&mut self, record: &Outgoing<'_>) -> Result<(), Failure> {
        let topic = self.topic(record.topic)?;
        let headers = native_headers(record);
        let partition = record.partition.map_or(PARTITION_BY_KEY, |partition| partition.0);
        let mut values = [
            value(rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT, Field { rkt: topic }),
            value(rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION, Field { i32_: partition }),
            value(rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS, Field { i: RD_KAFKA_MSG_F_COPY }),
            value(rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY, Field { mem: memory(record.key) }),
            value(rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE, Field { mem: memory(record.value) }),
            value(
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
                Field {
                    // Zero is librdkafka's word for now.
                    i64_: record.timestamp.map_or(0, |timestamp| timestamp.0),
                },
            ),
            value(
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
                Field { ptr: ptr::without_provenance_mut(record.cause.0 as usize) },
            ),
            value(rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS, Field { headers }),
        ];
        let count = if headers.is_null() { values.len() - 1 } else { values.len() };
        // SAFETY: the client, the topic and all memory that the values point at are alive while the call lasts, and the
        // call copies what it keeps. It takes the headers over only when it succeeds.
        unsafe {
            let sent =
                Failure::check(rd_kafka_produceva(self.client.native_ptr(), values.as_mut_ptr(), count));
            if sent.is_err() && !headers.is_null() {
                rd_kafka_headers_destroy(headers);
            }
            sent
        }
    }

    fn topic(&mut self, name: &TopicName) -> Result<*mut rd_kafka_topic_t, Failure> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(topic.0);
        }
        let c_name = c_string(name.as_str());
        // SAFETY: the client is alive; the handle is given back in `drop`.
        let topic = unsafe { rd_kafka_topic_new(self.client.native_ptr(), c_name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            return Err(Failure::of(ErrorCode::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION));
        }
        self.topics.insert(name.clone(), Topic(topic));
        Ok(topic)
    }

    /// The error that ended the client, if one did.
    pub(super) fn fatal(&self) -> Option<Failure> {
        fatal(&self.client)
    }

    /// Waits until everything is delivered or refused.
    pub(super) fn flush(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: the client is alive.
        Failure::check_code(unsafe { rd_kafka_flush(self.client.native_ptr(), millis(wait)) })
    }

    /// Fences the predecessor and ends its transaction.
    pub(super) fn init_transactions(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: the client is alive; the error is taken over.
        unsafe { Failure::check(rd_kafka_init_transactions(self.client.native_ptr(), millis(wait))) }
    }

    /// Opens a transaction.
    pub(super) fn begin_transaction(&self) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { Failure::check(rd_kafka_begin_transaction(self.client.native_ptr())) }
    }

    /// Puts positions into the transaction.
    pub(super) fn send_offsets(
        &self,
        positions: &[(TopicPartition, Committed)],
        membership: &Membership,
        wait: Duration,
    ) -> Result<(), Failure> {
        let mut list = PartitionList::new();
        for (partition, committed) in positions {
            list.push(partition, committed.position, &committed.note);
        }
        self.clerk.call(Request { positions: list, membership: membership.clone(), wait }, wait)
    }

    /// Commits the transaction; may be called again while the failure is retriable.
    pub(super) fn commit_transaction(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { Failure::check(rd_kafka_commit_transaction(self.client.native_ptr(), millis(wait))) }
    }

    /// Aborts the transaction; may be called again while the failure is retriable.
    pub(super) fn abort_transaction(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { Failure::check(rd_kafka_abort_transaction(self.client.native_ptr(), millis(wait))) }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.reports().is_ending.store(true, Ordering::SeqCst);
        // SAFETY: the client is alive; the yield ends the delivery thread's wait.
        unsafe {
            let queue = rd_kafka_queue_get_main(self.client.native_ptr());
            rd_kafka_queue_yield(queue);
            rd_kafka_queue_destroy(queue);
        }
        if let Some(reporter) = self.reporter.take()
            && reporter.join().is_err()
        {
            client_log::warn("thread", "the delivery thread of a producer panicked");
        }
        for topic in self.topics.values() {
            // SAFETY: made by `topic`, given back once, before the client.
            unsafe { rd_kafka_topic_destroy(topic.0) }
        }
    }
}

type Field = rd_kafka_vu_s__bindgen_ty_1;

fn value(vtype: rd_kafka_vtype_t, u: Field) -> rd_kafka_vu_t {
    rd_kafka_vu_t { vtype, u }
}

/// Bytes as librdkafka takes them: null is Kafka's null, and an empty value is not null.
fn memory(bytes: Option<&[u8]>) -> rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    let (ptr, size) =
        bytes.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()));
    rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size }
}

/// The headers as librdkafka takes them; null when there are none.
fn native_headers(record: &Outgoing<'_>) -> *mut rd_kafka_headers_t {
    if record.headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: allocates; `rd_kafka_header_add` copies names and values, which are as long as it is told. A null value is
    // Kafka's null.
    unsafe {
        let headers = rd_kafka_headers_new(record.headers.len());
        for header in record.headers {
            let value = header.value.map_or(ptr::null(), <[u8]>::as_ptr);
            let value_size = header.value.map_or(0, <[u8]>::len);
            rd_kafka_header_add(
                headers,
                header.name.as_ptr().cast(),
                signed(header.name.len()),
                value.cast(),
                signed(value_size),
            );
        }
        headers
    }
}

fn signed(len: usize) -> isize {
    isize::try_from(len).unwrap_or(isize::MAX)
}

/// The delivery thread.
fn serve_reports(client: &Client<Reports>) {
    while !client.context().is_ending.load(Ordering::SeqCst) {
        // SAFETY: the client is alive as long as this thread holds it.
        unsafe { rd_kafka_poll(client.native_ptr(), REPORT_WAIT_MS) };
    }
}

/// Registers the delivery callback and the interceptor.
fn observe(config: &NativeClientConfig) {
    const NAME: &CStr = c"gristmill";
    // SAFETY: the configuration is alive, and the callbacks are functions of this program.
    let code = unsafe {
        rd_kafka_conf_set_dr_msg_cb(config.ptr(), Some(on_delivery));
        rd_kafka_conf_interceptor_add_on_new(config.ptr(), NAME.as_ptr(), Some(on_new), ptr::null_mut())
    };
    if code != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
        client_log::warn("interceptor", &format!("requests are not counted: {}", Failure::of(code)));
    }
}

unsafe extern "C" fn on_delivery(
    _client: *mut rd_kafka_t,
    message: *const rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: the message lives while the call lasts; the opaque is the client's `Reports`, which outlives it.
    let (message, reports) = unsafe { (&*message, &*opaque.cast::<Reports>()) };
    if message.err == ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
        return reports.delivered(message);
    }
    // What an abort throws away was not refused by anybody.
    let purged = [ErrorCode::RD_KAFKA_RESP_ERR__PURGE_QUEUE, ErrorCode::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT];
    if purged.contains(&message.err) {
        return;
    }
    let cause = u32::try_from(message._private.addr()).unwrap_or(u32::MAX);
    let mut undelivered = reports.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
    undelivered.push(Undelivered { cause, code: message.err });
}

/// An interceptor of requests can only be added to a client that is being made.
unsafe extern "C" fn on_new(
    client: *mut rd_kafka_t,
    _config: *const rd_kafka_conf_t,
    _: *mut c_void,
    _message: *mut c_char,
    _message_size: usize,
) -> ErrorCode {
    const NAME: &CStr = c"gristmill";
    // SAFETY: the client is being made; its opaque is the `Reports` that outlives it.
    unsafe {
        let reports = rd_kafka_opaque(client);
        rd_kafka_interceptor_add_on_request_sent(client, NAME.as_ptr(), Some(on_request_sent), reports)
    }
}

unsafe extern "C" fn on_request_sent(
    _client: *mut rd_kafka_t,
    _socket: c_int,
    _broker_name: *const c_char,
    _broker: i32,
    api: i16,
    _version: i16,
    _correlation: i32,
    _size: usize,
    opaque: *mut c_void,
) -> ErrorCode {
    // SAFETY: the `Reports` of the client, which outlives its threads.
    let reports = unsafe { &*opaque.cast::<Reports>() };
    match api {
        API_END_TXN => reports.end_requests.fetch_add(1, Ordering::SeqCst),
        API_TXN_OFFSET_COMMIT => reports.offset_requests.fetch_add(1, Ordering::SeqCst),
        _ => 0,
    };
    ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR
}
