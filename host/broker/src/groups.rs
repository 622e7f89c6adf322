//! Consumer groups, classic protocol: who is a member, when a rebalance begins and ends, who may commit.
//!
//! ```text
//!            join                  all have joined, or deadline           leader's sync
//!  Empty ─────────► Preparing ─────────────────────────► Completing ────────────────► Stable
//!    ▲                │  ▲ ▲                                  │                          │
//!    │   nobody left  │  │ └── join, leave, session time-out ─┘                          │
//!    └────────────────┘  └──── join of a new or changed member, leave, session time-out ─┘
//! ```
//! Time comes in as an argument and answers go out through channels, so a test can walk every path.

mod join;
pub(crate) mod member;
pub(crate) mod offsets;
pub(crate) mod rebalance;
pub(crate) mod registry;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use crate::clock::Millis;
use member::Member;
use offsets::Offsets;

/// Where a group is in the diagram above; the names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// Who a request says it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) generation: i32,
}

/// How an offset commit reaches the group; the rules differ a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitPath {
    Plain,
    Transactional,
}

/// One consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) offsets: Offsets,
    phase: Phase,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    /// Ids that were handed out and have not joined yet, with the time until which the group waits for them.
    promised: BTreeMap<String, Millis>,
    deadline: Millis,
    /// The first rebalance of an empty group waits out the initial delay, so that members that start together join together.
    is_initial: bool,
    initial_delay: Duration,
}

impl Group {
    pub(crate) fn new(initial_delay: Duration) -> Self {
        Self {
            offsets: Offsets::default(),
            phase: Phase::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            promised: BTreeMap::new(),
            deadline: Millis(0),
            is_initial: false,
            initial_delay,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    pub(crate) fn protocol(&self) -> &str {
        &self.protocol
    }

    pub(crate) fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// Members, and ids that may become members.
    pub(crate) fn headcount(&self) -> usize {
        self.members.len() + self.promised.len()
    }

    /// Whether a caller is counted already, as a member, a static one under an older id, or a promised id.
    pub(crate) fn knows(&self, member_id: &str, instance: Option<&str>) -> bool {
        self.members.contains_key(member_id)
            || self.promised.contains_key(member_id)
            || instance.is_some_and(|instance| self.id_of_instance(instance).is_some())
    }

    /// Nothing would be lost with it.
    pub(crate) fn is_idle(&self) -> bool {
        self.headcount() == 0 && self.offsets.size_bytes() == 0
    }

    /// Keeps a member alive and tells it whether the group rebalances.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`, `REBALANCE_IN_PROGRESS`.
    pub(crate) fn heartbeat(&mut self, caller: Caller<'_>, now: Millis) -> Result<(), ResponseError> {
        self.check_member(caller)?;
        self.touch(caller.member_id, now);
        match self.phase {
            Phase::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            Phase::Empty => Err(ResponseError::UnknownMemberId),
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
        }
    }

    /// Takes a member out, by its id or its instance.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance: Option<&str>,
        now: Millis,
    ) -> Result<(), ResponseError> {
        let id = match instance {
            Some(instance) => {
                let known = self.id_of_instance(instance).ok_or(ResponseError::UnknownMemberId)?;
                if !member_id.is_empty() && member_id != known {
                    return Err(ResponseError::FencedInstanceId);
                }
                known.to_owned()
            }
            None => member_id.to_owned(),
        };
        if self.promised.remove(&id).is_some() {
            self.try_complete_join(now);
            return Ok(());
        }
        let mut member = self.members.remove(&id).ok_or(ResponseError::UnknownMemberId)?;
        member.refuse(&id, ResponseError::UnknownMemberId);
        self.after_loss(now);
        Ok(())
    }

    /// Acts on what time brings: sessions that end, promises that are not kept, the deadline of a rebalance.
    pub(crate) fn tick(&mut self, now: Millis) {
        self.promised.retain(|_, until| now < *until);
        let expired: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.is_expired(now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &expired {
            if let Some(mut member) = self.members.remove(id) {
                member.refuse(id, ResponseError::UnknownMemberId);
            }
        }
        if !expired.is_empty() {
            self.after_loss(now);
        }
        self.try_complete_join(now);
    }

    fn after_loss(&mut self, now: Millis) {
        if self.members.is_empty() && self.phase != Phase::Empty {
            self.generation += 1;
            self.become_empty();
            return;
        }
        self.begin_rebalance(now);
        self.try_complete_join(now);
    }

    /// Gives every member a whole session again; for a broker that was away.
    pub(crate) fn renew_sessions(&mut self, now: Millis) {
        self.members.values_mut().for_each(|member| member.last_seen = now);
    }

    /// Says whether a caller may commit offsets.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`, `REBALANCE_IN_PROGRESS`.
    pub(crate) fn check_commit(
        &mut self,
        caller: Caller<'_>,
        path: CommitPath,
        now: Millis,
    ) -> Result<(), ResponseError> {
        if caller.generation < 0 && self.phase == Phase::Empty {
            return Ok(());
        }
        if caller.generation < 0 && caller.member_id.is_empty() && caller.instance.is_none() {
            // A transactional producer of the time before group metadata was sent along.
            return match path {
                CommitPath::Transactional => Ok(()),
                CommitPath::Plain => Err(ResponseError::UnknownMemberId),
            };
        }
        self.check_member(caller)?;
        self.touch(caller.member_id, now);
        match path {
            CommitPath::Plain if self.phase == Phase::CompletingRebalance => {
                Err(ResponseError::RebalanceInProgress)
            }
            CommitPath::Plain | CommitPath::Transactional => Ok(()),
        }
    }

    fn id_of_instance(&self, instance: &str) -> Option<&str> {
        let of_instance = |member: &Member| member.instance.as_deref() == Some(instance);
        self.members.iter().find(|(_, member)| of_instance(member)).map(|(id, _)| id.as_str())
    }

    fn check_member(&self, caller: Caller<'_>) -> Result<(), ResponseError> {
        if let Some(instance) = caller.instance {
            let known = self.id_of_instance(instance).ok_or(ResponseError::UnknownMemberId)?;
            if known != caller.member_id {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        if !self.members.contains_key(caller.member_id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if caller.generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    fn touch(&mut self, id: &str, now: Millis) {
        if let Some(member) = self.members.get_mut(id) {
            member.last_seen = now;
        }
    }
}

#[cfg(test)]
mod tests;
