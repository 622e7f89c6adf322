//! The ids of a cluster and of its topics: they tell a topic that was made anew from the one before it.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings::*;
use rdkafka::client::Client;

use crate::id::TopicName;
use crate::kafka::consumer::millis;
use crate::kafka::native::{ErrorCode, Failure, c_string, text};

/// What brokers older than 2.8 give as the id of a topic.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The id of the cluster; none when no broker tells it in time.
pub(super) fn cluster_id<C: ClientContext>(client: &Client<C>, wait: Duration) -> Option<String> {
    // SAFETY: the client is alive; the text is copied and given back to librdkafka, which made it.
    let id = unsafe {
        let id = rd_kafka_clusterid(client.native_ptr(), millis(wait));
        let copy = text(id);
        if !id.is_null() {
            rd_kafka_mem_free(client.native_ptr(), id.cast());
        }
        copy
    };
    (!id.is_empty()).then_some(id)
}

/// The ids of topics; those are left out that do not exist, may not be seen or have none.
pub(super) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    names: &[&TopicName],
    wait: Duration,
) -> Result<BTreeMap<TopicName, String>, Failure> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answer = Answer::ask(client, names, wait)?;
    Ok(answer.ids().collect())
}

/// The event that answers a request, with the queue that it came through.
struct Answer {
    queue: *mut rd_kafka_queue_t,
    event: *mut rd_kafka_event_t,
}

impl Answer {
    fn ask<C: ClientContext>(
        client: &Client<C>,
        names: &[&TopicName],
        wait: Duration,
    ) -> Result<Self, Failure> {
        let names: Vec<_> = names.iter().map(|name| c_string(name.as_str())).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let client = client.native_ptr();
        // SAFETY: client and names are alive; the request copies what it is given, and all that is made here is given back,
        // queue and event in `drop`.
        let answer = unsafe {
            let topics = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let options =
                rd_kafka_AdminOptions_new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
            rd_kafka_AdminOptions_set_request_timeout(options, millis(wait), ptr::null_mut(), 0);
            let queue = rd_kafka_queue_new(client);
            rd_kafka_DescribeTopics(client, topics, options, queue);
            rd_kafka_AdminOptions_destroy(options);
            rd_kafka_TopicCollection_destroy(topics);
            Self { queue, event: rd_kafka_queue_poll(queue, millis(wait)) }
        };
        answer.check().map(|()| answer)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.event.is_null() {
            return Err(Failure::of(ErrorCode::RD_KAFKA_RESP_ERR__TIMED_OUT));
        }
        // SAFETY: the event is alive.
        Failure::check_code(unsafe { rd_kafka_event_error(self.event) })
    }

    fn ids(&self) -> impl Iterator<Item = (TopicName, String)> {
        // SAFETY: the event is alive and owns what it gives; `count` says how much there is.
        let topics = unsafe {
            let result = rd_kafka_event_DescribeTopics_result(self.event);
            let mut count = 0;
            let topics = match result.is_null() {
                true => ptr::null_mut(),
                false => rd_kafka_DescribeTopics_result_topics(result, &raw mut count),
            };
            if topics.is_null() { &[] } else { slice::from_raw_parts(topics, count) }
        };
        topics.iter().filter_map(|topic| {
            // SAFETY: as above; an error, an id and texts belong to the topic's description.
            let (name, id) = unsafe {
                let error = rd_kafka_TopicDescription_error(*topic);
                if !error.is_null() && rd_kafka_error_code(error) != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return None;
                }
                let id = rd_kafka_TopicDescription_topic_id(*topic);
                let id = if id.is_null() { String::new() } else { text(rd_kafka_Uuid_base64str(id)) };
                (text(rd_kafka_TopicDescription_name(*topic)), id)
            };
            (!id.is_empty() && id != NO_ID).then(|| (TopicName::new(&name), id))
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: this is the only owner; an event may be null.
        unsafe {
            if !self.event.is_null() {
                rd_kafka_event_destroy(self.event);
            }
            rd_kafka_queue_destroy(self.queue);
        }
    }
}
