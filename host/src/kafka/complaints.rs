//! What a client complains of while it tries to reach a broker: the reason, which the error that it gives leaves out.

use std::iter;

use rdkafka::ClientContext;
use rdkafka::bindings::*;
use rdkafka::client::Client;

use crate::kafka::native::text;

/// The complaint that says most, of the one from `before` and those that came since. Only for clients whose main queue nobody
/// else reads.
pub(super) fn take<C: ClientContext>(client: &Client<C>, before: Option<String>) -> Option<String> {
    // SAFETY: the client is alive, and the queue is given back before this returns.
    let queue = unsafe { rd_kafka_queue_get_main(client.native_ptr()) };
    // SAFETY: the queue is alive; null ends it.
    let events = iter::repeat_with(|| unsafe { rd_kafka_queue_poll(queue, 0) });
    let said = events.take_while(|event| !event.is_null()).filter_map(|event| {
        // SAFETY: the event is ours, and alive until it is destroyed; the text is copied before that.
        unsafe {
            let is_error = rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR;
            let line = is_error.then(|| text(rd_kafka_event_error_string(event)));
            rd_kafka_event_destroy(event);
            line
        }
    });
    let said = most_telling(before.into_iter().chain(said));
    // SAFETY: it is ours, and not used after this.
    unsafe { rd_kafka_queue_destroy(queue) };
    said
}

/// A name may stand for several addresses: that one of them does not listen says less than why another one refuses.
fn most_telling(lines: impl Iterator<Item = String>) -> Option<String> {
    lines.reduce(|best, line| if is_refusal(&line) || !is_refusal(&best) { line } else { best })
}

/// Whether a broker was there, and did not want us, or we not it.
fn is_refusal(line: &str) -> bool {
    ["SSL", "SASL", "uthentication"].iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_complaint_that_says_most() {
        let of = |lines: &[&str]| most_telling(lines.iter().map(|line| (*line).to_owned()));
        let [refused, handshake, down] =
            ["Connect failed: Connection refused", "SSL handshake failed", "1/1 brokers are down"];

        assert_eq!(of(&[]), None);
        assert_eq!(of(&[refused, down]).as_deref(), Some(down));
        assert_eq!(of(&[refused, handshake, down, refused]).as_deref(), Some(handshake));
    }
}
