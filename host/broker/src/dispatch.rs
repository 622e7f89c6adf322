//! From a checked frame to the bytes of its answer: decode, handle or refuse, encode.

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Encodable;
use kafka_protocol::protocol::HeaderVersion;

use crate::api::Api;
use crate::api::Call;
use crate::server::budget::Share;
use crate::wire::shape;
use crate::wire::shape::Encoding;
use crate::wire::shape::Unsound;
use crate::wire::shapes;

/// Why a request gets no answer: the connection closes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswerable {
    #[error("request of api {api} version {version} is not sound: {source}")]
    Unsound { api: i16, version: i16, source: Unsound },
    #[error("request of api {api} version {version} cannot be decoded: {reason}")]
    Undecodable { api: i16, version: i16, reason: String },
    #[error("response of api {api} version {version} cannot be encoded: {reason}")]
    Unencodable { api: i16, version: i16, reason: String },
}

/// The bytes of an answer, with their share of the budget.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) frame: Bytes,
    /// Held until the frame is written.
    pub(crate) share: Share,
}

/// What one request is answered with, if it is not carried out.
pub(crate) type Forced = Option<ResponseError>;

/// Carries out one request. `None` when the client does not want an answer.
///
/// # Errors
/// [`Unanswerable`].
pub(crate) async fn dispatch(
    call: &Call,
    correlation_id: i32,
    body: Bytes,
    request_share: Share,
    forced: Forced,
) -> Result<Option<Answer>, Unanswerable> {
    check_shape(call, &body)?;
    let request = Incoming { correlation_id, body, share: request_share, forced };
    match call.api {
        ApiKey::Produce => serve::<ProduceRequest>(call, request).await,
        ApiKey::Fetch => serve::<FetchRequest>(call, request).await,
        ApiKey::ListOffsets => serve::<ListOffsetsRequest>(call, request).await,
        ApiKey::Metadata => serve::<MetadataRequest>(call, request).await,
        ApiKey::OffsetCommit => serve::<OffsetCommitRequest>(call, request).await,
        ApiKey::OffsetFetch => serve::<OffsetFetchRequest>(call, request).await,
        ApiKey::FindCoordinator => serve::<FindCoordinatorRequest>(call, request).await,
        ApiKey::JoinGroup => serve::<JoinGroupRequest>(call, request).await,
        ApiKey::Heartbeat => serve::<HeartbeatRequest>(call, request).await,
        ApiKey::LeaveGroup => serve::<LeaveGroupRequest>(call, request).await,
        ApiKey::SyncGroup => serve::<SyncGroupRequest>(call, request).await,
        ApiKey::DescribeGroups => serve::<DescribeGroupsRequest>(call, request).await,
        ApiKey::ListGroups => serve::<ListGroupsRequest>(call, request).await,
        ApiKey::CreateTopics => serve::<CreateTopicsRequest>(call, request).await,
        ApiKey::DeleteTopics => serve::<DeleteTopicsRequest>(call, request).await,
        ApiKey::DeleteRecords => serve::<DeleteRecordsRequest>(call, request).await,
        ApiKey::InitProducerId => serve::<InitProducerIdRequest>(call, request).await,
        ApiKey::OffsetForLeaderEpoch => serve::<OffsetForLeaderEpochRequest>(call, request).await,
        ApiKey::AddPartitionsToTxn => serve::<AddPartitionsToTxnRequest>(call, request).await,
        ApiKey::AddOffsetsToTxn => serve::<AddOffsetsToTxnRequest>(call, request).await,
        ApiKey::EndTxn => serve::<EndTxnRequest>(call, request).await,
        ApiKey::TxnOffsetCommit => serve::<TxnOffsetCommitRequest>(call, request).await,
        ApiKey::DescribeConfigs => serve::<DescribeConfigsRequest>(call, request).await,
        ApiKey::AlterConfigs => serve::<AlterConfigsRequest>(call, request).await,
        ApiKey::CreatePartitions => serve::<CreatePartitionsRequest>(call, request).await,
        ApiKey::DeleteGroups => serve::<DeleteGroupsRequest>(call, request).await,
        ApiKey::IncrementalAlterConfigs => serve::<IncrementalAlterConfigsRequest>(call, request).await,
        ApiKey::OffsetDelete => serve::<OffsetDeleteRequest>(call, request).await,
        ApiKey::DescribeCluster => serve::<DescribeClusterRequest>(call, request).await,
        // Anything else was turned away by the table of versions.
        _ => serve::<ApiVersionsRequest>(call, request).await,
    }
}

struct Incoming {
    correlation_id: i32,
    body: Bytes,
    share: Share,
    forced: Forced,
}

fn check_shape(call: &Call, body: &[u8]) -> Result<(), Unanswerable> {
    let fields = shapes::shape(call.api).unwrap_or_default();
    let encoding = match call.api.request_header_version(call.version) {
        2.. => Encoding::Flexible,
        _ => Encoding::Plain,
    };
    let checked = shape::check(body, fields, call.version, encoding, call.shared.limits.request_elements);
    let unsound = |source| Unanswerable::Unsound { api: call.api as i16, version: call.version, source };
    checked.map(|_| ()).map_err(unsound)
}

async fn serve<A: Api>(call: &Call, incoming: Incoming) -> Result<Option<Answer>, Unanswerable> {
    let (api, version) = (call.api as i16, call.version);
    let Incoming { correlation_id, mut body, share, forced } = incoming;
    let request = A::decode(&mut body, version).map_err(|error| Unanswerable::Undecodable {
        api,
        version,
        reason: error.to_string(),
    })?;
    drop(body);
    let expects_answer = request.expects_answer();
    let response = match forced {
        Some(error) => request.refuse(error, version),
        None => request.handle(call).await,
    };
    // The request is gone with its handler; its share must be back before the answer asks for one.
    drop(share);
    if !expects_answer {
        return Ok(None);
    }
    encode(call, correlation_id, &response).await.map(Some)
}

/// Encodes a response with its header and length.
async fn encode<R: Encodable + HeaderVersion>(
    call: &Call,
    correlation_id: i32,
    response: &R,
) -> Result<Answer, Unanswerable> {
    let (api, version) = (call.api as i16, call.version);
    let failed = |reason: String| Unanswerable::Unencodable { api, version, reason };
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = R::header_version(version);
    let header_size = header.compute_size(header_version).map_err(|error| failed(error.to_string()))?;
    let body_size = response.compute_size(version).map_err(|error| failed(error.to_string()))?;
    let size = header_size + body_size;
    let share = call.shared.budget.share(size).await;
    let mut frame = BytesMut::with_capacity(size + 4);
    frame.put_i32(i32::try_from(size).map_err(|_| failed("it is larger than a frame can be".to_owned()))?);
    header.encode(&mut frame, header_version).map_err(|error| failed(error.to_string()))?;
    response.encode(&mut frame, version).map_err(|error| failed(error.to_string()))?;
    Ok(Answer { frame: frame.freeze(), share })
}

/// The answer to an ApiVersions request of a version that is not known: version 0, with the list, so that the client can choose another.
///
/// # Errors
/// [`Unanswerable`].
pub(crate) async fn answer_unknown_api_versions(
    call: &Call,
    correlation_id: i32,
) -> Result<Answer, Unanswerable> {
    let call = Call { version: 0, ..call.clone() };
    let response = ApiVersionsRequest::default().refuse(ResponseError::UnsupportedVersion, 0);
    encode(&call, correlation_id, &response).await
}

#[cfg(test)]
mod tests;
