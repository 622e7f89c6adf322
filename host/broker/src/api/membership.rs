//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup: from the wire to the group and back.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::HeartbeatRequest;
use kafka_protocol::messages::HeartbeatResponse;
use kafka_protocol::messages::JoinGroupRequest;
use kafka_protocol::messages::JoinGroupResponse;
use kafka_protocol::messages::LeaveGroupRequest;
use kafka_protocol::messages::LeaveGroupResponse;
use kafka_protocol::messages::SyncGroupRequest;
use kafka_protocol::messages::SyncGroupResponse;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::Api;
use super::Call;
use super::code;
use crate::groups::Caller;
use crate::groups::member::Client;
use crate::groups::member::Dialect;
use crate::groups::member::JoinAnswer;
use crate::groups::member::JoinCall;
use crate::groups::member::JoinRefusal;
use crate::groups::member::Joined;
use crate::groups::member::JoinedMember;
use crate::groups::member::SyncAnswer;
use crate::groups::rebalance::SyncCall;
use crate::wire::duration;
use crate::wire::text;

/// Kafka's default for `group.max.session.timeout.ms`; bounds rebalances too, so that nobody waits for ever.
/// There is no lower bound: tests want short sessions.
const MAX_SESSION: Duration = Duration::from_secs(1_800);
/// Kafka allows any; a name is kept as long as its group is.
const MAX_NAME: usize = 1_000;

impl Api for JoinGroupRequest {
    type Response = JoinGroupResponse;

    async fn handle(self, call: &Call) -> JoinGroupResponse {
        let member_id = self.member_id.to_string();
        let (sender, answer) = oneshot::channel();
        if let Err(error) = begin_join(self, call, sender) {
            return refused(error, &member_id, call.version);
        }
        // Dropped without an answer: the group was deleted meanwhile.
        let gone = JoinRefusal { error: ResponseError::UnknownMemberId, member_id };
        match answer.await.unwrap_or(Err(gone)) {
            Ok(joined) => accepted(joined, call.version),
            Err(refusal) => refused(refusal.error, &refusal.member_id, call.version),
        }
    }

    fn refuse(self, error: ResponseError, version: i16) -> JoinGroupResponse {
        refused(error, &self.member_id, version)
    }
}

fn begin_join(
    request: JoinGroupRequest,
    call: &Call,
    answer: oneshot::Sender<JoinAnswer>,
) -> Result<(), ResponseError> {
    let session = duration(request.session_timeout_ms);
    if session.is_zero() || session > MAX_SESSION {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    let names = [Some(&request.member_id), request.group_instance_id.as_ref(), Some(&request.protocol_type)];
    if names.into_iter().flatten().any(|name| name.len() > MAX_NAME) || call.client_id.len() > MAX_NAME {
        return Err(ResponseError::InvalidRequest);
    }
    // Copied out of the request's frame, which would otherwise stay in memory as long as the member does.
    let owned = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let protocols: Vec<(String, Bytes)> = request
        .protocols
        .iter()
        .map(|protocol| (protocol.name.to_string(), owned(&protocol.metadata)))
        .collect();
    let size = protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
    // Version 0 has one time-out for both.
    let rebalance = if call.version == 0 { session } else { duration(request.rebalance_timeout_ms) };
    let now = call.shared.clock.now();
    let mut cluster = call.shared.lock();
    let fresh_id = cluster.groups.fresh_member_id(&call.client_id, now);
    let instance = request.group_instance_id.as_deref();
    let group = cluster.groups.get(&request.group_id);
    if !group.is_some_and(|group| group.knows(&request.member_id, instance)) {
        cluster.groups.check_headcount(&call.shared.limits)?;
    }
    cluster.groups.check_bytes(size, &call.shared.limits)?;
    let group = cluster.groups.get_or_create(&request.group_id, &call.shared.limits)?;
    let join = JoinCall {
        member_id: request.member_id.to_string(),
        instance: request.group_instance_id.map(|instance| instance.to_string()),
        fresh_id,
        client: Client { id: call.client_id.clone(), host: format!("/{}", call.peer.ip()) },
        session,
        rebalance: rebalance.min(MAX_SESSION),
        protocol_type: request.protocol_type.to_string(),
        protocols,
        dialect: Dialect { needs_id_first: call.version >= 4, skips_assignment: call.version >= 9 },
    };
    group.join(join, now, answer);
    Ok(())
}

fn accepted(joined: Joined, version: i16) -> JoinGroupResponse {
    let member = |member: JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.filter(|_| version >= 5).as_deref().map(text))
            .with_metadata(member.metadata)
    };
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(text(&joined.protocol_type)).filter(|_| version >= 7))
        .with_protocol_name(Some(text(&joined.protocol)))
        .with_leader(text(&joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(&joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect())
}

fn refused(error: ResponseError, member_id: &str, version: i16) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        // Before version 7 the name may not be null.
        .with_protocol_name((version < 7).then(StrBytes::default))
        .with_member_id(text(member_id))
}

impl Api for SyncGroupRequest {
    type Response = SyncGroupResponse;

    async fn handle(self, call: &Call) -> SyncGroupResponse {
        let (sender, answer) = oneshot::channel();
        if let Err(error) = begin_sync(&self, call, sender) {
            return self.refuse(error, call.version);
        }
        match answer.await.unwrap_or(Err(ResponseError::UnknownMemberId)) {
            Ok(synced) => SyncGroupResponse::default()
                .with_protocol_type(Some(text(&synced.protocol_type)).filter(|_| call.version >= 5))
                .with_protocol_name(Some(text(&synced.protocol)).filter(|_| call.version >= 5))
                .with_assignment(synced.assignment),
            Err(error) => self.refuse(error, call.version),
        }
    }

    fn refuse(self, error: ResponseError, _: i16) -> SyncGroupResponse {
        SyncGroupResponse::default().with_error_code(error.code())
    }
}

fn begin_sync(
    request: &SyncGroupRequest,
    call: &Call,
    answer: oneshot::Sender<SyncAnswer>,
) -> Result<(), ResponseError> {
    let assignments: Vec<(String, Bytes)> = request
        .assignments
        .iter()
        .map(|entry| (entry.member_id.to_string(), Bytes::copy_from_slice(&entry.assignment)))
        .collect();
    let size = assignments.iter().map(|(_, assignment)| assignment.len()).sum();
    let now = call.shared.clock.now();
    let mut cluster = call.shared.lock();
    if size > 0 {
        cluster.groups.check_bytes(size, &call.shared.limits)?;
    }
    let group = cluster.groups.get_mut(&request.group_id).ok_or(ResponseError::UnknownMemberId)?;
    let caller = Caller {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let believed = [request.protocol_type.as_deref(), request.protocol_name.as_deref()];
    group.sync(SyncCall { caller, believed, assignments }, now, answer);
    Ok(())
}

impl Api for HeartbeatRequest {
    type Response = HeartbeatResponse;

    async fn handle(self, call: &Call) -> HeartbeatResponse {
        let now = call.shared.clock.now();
        let mut cluster = call.shared.lock();
        let caller = Caller {
            member_id: &self.member_id,
            instance: self.group_instance_id.as_deref(),
            generation: self.generation_id,
        };
        let group = cluster.groups.get_mut(&self.group_id).ok_or(ResponseError::UnknownMemberId);
        let outcome = group.and_then(|group| group.heartbeat(caller, now));
        HeartbeatResponse::default().with_error_code(code(&outcome))
    }

    fn refuse(self, error: ResponseError, _: i16) -> HeartbeatResponse {
        HeartbeatResponse::default().with_error_code(error.code())
    }
}

impl Api for LeaveGroupRequest {
    type Response = LeaveGroupResponse;

    async fn handle(self, call: &Call) -> LeaveGroupResponse {
        let now = call.shared.clock.now();
        let mut cluster = call.shared.lock();
        let Some(group) = cluster.groups.get_mut(&self.group_id) else {
            return leave(self, call.version, |_| Err(ResponseError::UnknownMemberId));
        };
        leave(self, call.version, |who| group.leave(&who.member_id, who.group_instance_id.as_deref(), now))
    }

    fn refuse(self, error: ResponseError, version: i16) -> LeaveGroupResponse {
        match version {
            ..3 => LeaveGroupResponse::default().with_error_code(error.code()),
            _ => leave(self, version, |_| Err(error)).with_error_code(error.code()),
        }
    }
}

/// Up to version 2 one member leaves, and the whole answer carries its error.
fn leave(
    request: LeaveGroupRequest,
    version: i16,
    mut leave_one: impl FnMut(&MemberIdentity) -> Result<(), ResponseError>,
) -> LeaveGroupResponse {
    if version < 3 {
        let outcome = leave_one(&MemberIdentity::default().with_member_id(request.member_id));
        return LeaveGroupResponse::default().with_error_code(code(&outcome));
    }
    let members = request.members.into_iter().map(|who| {
        let outcome = leave_one(&who);
        MemberResponse::default()
            .with_error_code(code(&outcome))
            .with_member_id(who.member_id)
            .with_group_instance_id(who.group_instance_id)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
