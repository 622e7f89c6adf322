//! Who is in a consumer group, as its coordinator knows it: static members by their names.

use std::ptr;

use rdkafka::ClientContext;
use rdkafka::bindings::*;
use rdkafka::client::Client;

use crate::kafka::consumer::{REQUEST_TIMEOUT, millis};
use crate::kafka::native::{ErrorCode, Failure, c_string, text};

/// The id that the coordinator has given to the static member of this name; none when there is no such member.
///
/// # Errors
/// When the coordinator does not answer in time.
pub(super) fn static_member<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    name: &str,
) -> Result<Option<String>, Failure> {
    let group = c_string(group);
    let mut groups = [group.as_ptr()];
    // SAFETY: the client and the group's name are alive while the calls last; what is made here is given back here, once,
    // after the last use of what lies in it.
    unsafe {
        let client = client.native_ptr();
        let options =
            rd_kafka_AdminOptions_new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
        let timeout = millis(REQUEST_TIMEOUT);
        let set = rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
        let queue = rd_kafka_queue_new(client);
        rd_kafka_DescribeConsumerGroups(client, groups.as_mut_ptr(), groups.len(), options, queue);
        // A little longer than the request: its end is an event too.
        let event = rd_kafka_queue_poll(queue, timeout.saturating_add(1_000));
        let found = Failure::check_code(set).and_then(|()| find(event, name));
        if !event.is_null() {
            rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
        rd_kafka_AdminOptions_destroy(options);
        found
    }
}

/// Looks into the answer.
///
/// # Safety
/// `event` is null or alive.
unsafe fn find(event: *mut rd_kafka_event_t, name: &str) -> Result<Option<String>, Failure> {
    if event.is_null() {
        return Err(Failure::of(ErrorCode::RD_KAFKA_RESP_ERR__TIMED_OUT));
    }
    // SAFETY: the event is alive, and everything read here belongs to it; the counts bound the indices. The error of a
    // group stays the group's, so only its code is taken.
    unsafe {
        Failure::check_code(rd_kafka_event_error(event))?;
        let result = rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(Failure::of(ErrorCode::RD_KAFKA_RESP_ERR__BAD_MSG));
        }
        let mut count = 0;
        let groups = rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        for index in 0..count {
            let group = *groups.add(index);
            let error = rd_kafka_ConsumerGroupDescription_error(group);
            if !error.is_null() {
                Failure::check_code(rd_kafka_error_code(error))?;
            }
            let members = 0..rd_kafka_ConsumerGroupDescription_member_count(group);
            let mut members = members.map(|index| rd_kafka_ConsumerGroupDescription_member(group, index));
            if let Some(member) =
                members.find(|member| text(rd_kafka_MemberDescription_group_instance_id(*member)) == name)
            {
                return Ok(Some(text(rd_kafka_MemberDescription_consumer_id(member))));
            }
        }
    }
    Ok(None)
}
