//! The one place that turns librdkafka's errors into faults.

use rdkafka::error::KafkaError;

use crate::fault::{Code, Fault};
use crate::kafka::native::{ErrorCode, Failure};

/// A fault for a call that failed; `what` says what was tried.
pub(super) fn fault(what: impl Into<String>, failure: Failure) -> Fault {
    Fault::new(code(failure.code), what).because(failure)
}

/// A fault for a call that failed while something starts. Later the same errors pass: for some seconds after its restart
/// a broker may not even know its topics.
pub(super) fn start_fault(what: impl Into<String>, failure: Failure) -> Fault {
    let code = match failure.code {
        ErrorCode::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | ErrorCode::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => {
            Code::TopicMissing
        }
        ErrorCode::RD_KAFKA_RESP_ERR__TRANSPORT
        | ErrorCode::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
        | ErrorCode::RD_KAFKA_RESP_ERR__RESOLVE => Code::BrokerUnreachable,
        other => code(other),
    };
    Fault::new(code, what).because(failure)
}

/// A fault for a record that was not delivered.
pub(super) fn delivery_fault(topic: &str, failure: Failure) -> Fault {
    let code = if is_refusal(failure.code) { Code::RecordRefused } else { code(failure.code) };
    Fault::new(code, format!("cannot write a record to `{topic}`")).because(failure)
}

/// The code of the host's for an error of librdkafka's or the broker's.
pub(super) fn code(error: ErrorCode) -> Code {
    match error {
        ErrorCode::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID => Code::InstanceInUse,
        ErrorCode::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
        | ErrorCode::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | ErrorCode::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED
        | ErrorCode::RD_KAFKA_RESP_ERR__AUTHENTICATION => Code::NotAuthorized,
        ErrorCode::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
        | ErrorCode::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => Code::PositionLost,
        ErrorCode::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION
        | ErrorCode::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
        | ErrorCode::RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED
        | ErrorCode::RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST => Code::MembershipLost,
        _ => Code::KafkaFailed,
    }
}

/// librdkafka's code of an error of the crate's.
pub(super) fn native_code(error: &KafkaError) -> ErrorCode {
    let code = error.rdkafka_error_code().and_then(|code| ErrorCode::try_from(code as i32).ok());
    code.unwrap_or(ErrorCode::RD_KAFKA_RESP_ERR__FAIL)
}

/// Whether a consumer gets over this error by itself, so that it is only worth a line in the log.
pub(super) fn is_passing(error: ErrorCode) -> bool {
    !matches!(
        error,
        ErrorCode::RD_KAFKA_RESP_ERR__FATAL
            | ErrorCode::RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL
            | ErrorCode::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID
            | ErrorCode::RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT
            | ErrorCode::RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED
            | ErrorCode::RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION
    ) && matches!(code(error), Code::KafkaFailed | Code::MembershipLost)
}

/// Whether the broker refuses a record for good, whatever happens around it.
pub(super) fn is_refusal(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
            | ErrorCode::RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE
            | ErrorCode::RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE
            | ErrorCode::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP
            | ErrorCode::RD_KAFKA_RESP_ERR_INVALID_RECORD
            | ErrorCode::RD_KAFKA_RESP_ERR__INVALID_ARG
            | ErrorCode::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
    )
}

/// Whether another producer with the same transactional id, or the coordinator, has ended this producer's right to write.
pub(super) fn is_fence(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::RD_KAFKA_RESP_ERR__FENCED
            | ErrorCode::RD_KAFKA_RESP_ERR_PRODUCER_FENCED
            | ErrorCode::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH
            | ErrorCode::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING
            | ErrorCode::RD_KAFKA_RESP_ERR_TRANSACTION_COORDINATOR_FENCED
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_code_of_a_fenced_member() {
        let fault = fault("cannot poll", Failure::of(ErrorCode::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID));

        assert_eq!(fault.code(), Code::InstanceInUse);
        assert!(!is_passing(ErrorCode::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID));
    }

    #[test]
    fn gets_over_a_broker_that_went_away() {
        assert!(is_passing(ErrorCode::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN));
        assert!(is_passing(ErrorCode::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART));
        assert!(!is_passing(ErrorCode::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED));
        let unknown = ErrorCode::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        assert_eq!(fault("cannot read", Failure::of(unknown)).code(), Code::KafkaFailed);
        assert_eq!(start_fault("cannot read", Failure::of(unknown)).code(), Code::TopicMissing);
    }
}
