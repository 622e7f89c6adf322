//! A member of a consumer group, and what it asks for and is told when it joins and syncs.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

use crate::clock::Millis;

/// What a member asks for when it joins.
#[derive(Debug, Clone)]
pub(crate) struct JoinCall {
    /// Empty on the first call of a member.
    pub(crate) member_id: String,
    /// Set for a static member, which keeps its place across restarts.
    pub(crate) instance: Option<String>,
    /// The id that a new member gets.
    pub(crate) fresh_id: String,
    pub(crate) client: Client,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
    pub(crate) protocol_type: String,
    /// Names and metadata, the preferred one first.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) dialect: Dialect,
}

/// What the version of a join request says about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// A new dynamic member joins in two steps: it gets an id, and joins with it (version 4).
    pub(crate) needs_id_first: bool,
    /// A leader can be told that the assignment stands (version 9).
    pub(crate) skips_assignment: bool,
}

/// Who is behind a member; shown when the group is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) host: String,
}

/// The answer to a join that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    pub(crate) skip_assignment: bool,
    /// Only for the leader.
    pub(crate) members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) metadata: Bytes,
}

/// The answer to a join that failed; the id is the one to use next time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinRefusal {
    pub(crate) error: ResponseError,
    pub(crate) member_id: String,
}

/// The answer to a sync that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

pub(crate) type JoinAnswer = Result<Joined, JoinRefusal>;
pub(crate) type SyncAnswer = Result<Synced, ResponseError>;

/// One member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance: Option<String>,
    pub(crate) client: Client,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    pub(crate) last_seen: Millis,
    /// Where the answer goes while it waits for the others to join.
    joining: Option<oneshot::Sender<JoinAnswer>>,
    /// Where the answer goes while it waits for the leader's assignment.
    syncing: Option<oneshot::Sender<SyncAnswer>>,
}

impl Member {
    pub(crate) fn new(call: JoinCall, now: Millis) -> Self {
        Self {
            instance: call.instance,
            client: call.client,
            session: call.session,
            rebalance: call.rebalance,
            protocols: call.protocols,
            assignment: Bytes::new(),
            last_seen: now,
            joining: None,
            syncing: None,
        }
    }

    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub(crate) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Memory that its client made it take.
    pub(crate) fn size(&self) -> usize {
        let protocols = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len());
        protocols.sum::<usize>() + self.assignment.len() + self.client.id.len()
    }

    /// A member that waits for others is alive, however long they take, as long as its connection is there.
    pub(crate) fn is_expired(&self, now: Millis) -> bool {
        self.joining.as_ref().is_none_or(oneshot::Sender::is_closed)
            && now >= self.last_seen.plus(self.session)
    }

    pub(crate) fn has_joined(&self) -> bool {
        self.joining.is_some()
    }

    pub(crate) fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    pub(crate) fn wait_for_join(&mut self, answer: oneshot::Sender<JoinAnswer>) {
        self.joining = Some(answer);
    }

    pub(crate) fn wait_for_sync(&mut self, answer: oneshot::Sender<SyncAnswer>) {
        self.syncing = Some(answer);
    }

    pub(crate) fn answer_join(&mut self, answer: JoinAnswer) {
        send(self.joining.take(), answer);
    }

    pub(crate) fn answer_sync(&mut self, answer: SyncAnswer) {
        send(self.syncing.take(), answer);
    }

    /// Ends whatever it waits for with an error.
    pub(crate) fn refuse(&mut self, id: &str, error: ResponseError) {
        self.answer_join(Err(JoinRefusal { error, member_id: id.to_owned() }));
        self.answer_sync(Err(error));
    }
}

/// A client that has gone does not take its answer; the session time-out deals with it.
pub(crate) fn send<T>(sender: Option<oneshot::Sender<T>>, answer: T) {
    if let Some(sender) = sender {
        sender.send(answer).ok();
    }
}
