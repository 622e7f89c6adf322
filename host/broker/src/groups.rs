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

pub(crate) mod member;
pub(crate) mod offsets;
pub(crate) mod registry;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

use crate::clock::Millis;
use member::JoinAnswer;
use member::JoinCall;
use member::JoinRefusal;
use member::Joined;
use member::JoinedMember;
use member::Member;
use member::SyncAnswer;
use member::Synced;
use member::send;
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

    /// Takes a member in, or back. The answer comes when the rebalance that this causes is through, or at once.
    pub(crate) fn join(&mut self, call: JoinCall, now: Millis, answer: oneshot::Sender<JoinAnswer>) {
        match self.admit(&call, now) {
            Err(refusal) => send(Some(answer), Err(refusal)),
            Ok(Admission::Known(id)) => self.rejoin(id, call, now, answer),
            Ok(Admission::New(id)) => self.add(id, call, now, answer),
            Ok(Admission::Replaces { old, new }) => self.replace(&old, new, call, now, answer),
        }
    }

    /// Who the caller is; nothing changes but the list of promised ids.
    fn admit(&mut self, call: &JoinCall, now: Millis) -> Result<Admission, JoinRefusal> {
        let refuse = |error, id: &str| Err(JoinRefusal { error, member_id: id.to_owned() });
        let id = call.member_id.as_str();
        if let Some(instance) = &call.instance {
            let known = self.id_of_instance(instance).map(str::to_owned);
            return match known {
                Some(old) if id.is_empty() => Ok(Admission::Replaces { old, new: call.fresh_id.clone() }),
                Some(old) if old == id => self.check_protocols(call, id).map(|()| Admission::Known(old)),
                Some(_) => refuse(ResponseError::FencedInstanceId, id),
                None if id.is_empty() => {
                    self.check_protocols(call, id).map(|()| Admission::New(call.fresh_id.clone()))
                }
                None => refuse(ResponseError::UnknownMemberId, id),
            };
        }
        self.check_protocols(call, id)?;
        if id.is_empty() && call.dialect.needs_id_first {
            self.promised.insert(call.fresh_id.clone(), now.plus(call.session));
            return refuse(ResponseError::MemberIdRequired, &call.fresh_id);
        }
        if id.is_empty() || self.promised.remove(id).is_some() {
            let id = if id.is_empty() { &call.fresh_id } else { &call.member_id };
            return Ok(Admission::New(id.clone()));
        }
        match self.members.contains_key(id) {
            true => Ok(Admission::Known(id.to_owned())),
            false => refuse(ResponseError::UnknownMemberId, id),
        }
    }

    /// All members must have an assignment protocol in common.
    fn check_protocols(&self, call: &JoinCall, id: &str) -> Result<(), JoinRefusal> {
        let others: Vec<&Member> = self
            .members
            .iter()
            .filter(|(other, member)| {
                *other != id && (member.instance.is_none() || member.instance != call.instance)
            })
            .map(|(_, member)| member)
            .collect();
        let is_shared = |name: &String| others.iter().all(|other| other.supports(name));
        let is_same_type = others.is_empty() || self.protocol_type == call.protocol_type;
        if is_same_type && call.protocols.iter().any(|(name, _)| is_shared(name)) {
            return Ok(());
        }
        Err(JoinRefusal { error: ResponseError::InconsistentGroupProtocol, member_id: id.to_owned() })
    }

    fn id_of_instance(&self, instance: &str) -> Option<&str> {
        let of_instance = |member: &Member| member.instance.as_deref() == Some(instance);
        self.members.iter().find(|(_, member)| of_instance(member)).map(|(id, _)| id.as_str())
    }

    fn add(&mut self, id: String, call: JoinCall, now: Millis, answer: oneshot::Sender<JoinAnswer>) {
        self.protocol_type.clone_from(&call.protocol_type);
        let mut member = Member::new(call, now);
        member.wait_for_join(answer);
        self.begin_rebalance(now);
        self.members.insert(id, member);
        self.try_complete_join(now);
    }

    /// A member that is known joins again: because the group rebalances, because its subscription changed, or because it lost the answer.
    fn rejoin(&mut self, id: String, call: JoinCall, now: Millis, answer: oneshot::Sender<JoinAnswer>) {
        let is_unchanged = self.members.get(&id).is_some_and(|member| member.protocols == call.protocols);
        let keeps_generation = match self.phase {
            Phase::Stable => is_unchanged && self.leader != id,
            Phase::CompletingRebalance => is_unchanged,
            Phase::Empty | Phase::PreparingRebalance => false,
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.last_seen = now;
        }
        if keeps_generation {
            let members = if self.leader == id { self.roster() } else { Vec::new() };
            return send(Some(answer), Ok(Joined { members, ..self.joined(&id) }));
        }
        let mut fresh = Member::new(call, now);
        fresh.wait_for_join(answer);
        self.begin_rebalance(now);
        self.members.insert(id, fresh);
        self.try_complete_join(now);
    }

    /// A static member comes back under a new id. If it wants what it had and the group is stable, its
    /// assignment stands and nobody else notices; the old id is fenced.
    fn replace(
        &mut self,
        old: &str,
        new: String,
        call: JoinCall,
        now: Millis,
        answer: oneshot::Sender<JoinAnswer>,
    ) {
        if let Err(refusal) = self.check_protocols(&call, old) {
            return send(Some(answer), Err(refusal));
        }
        let Some(mut previous) = self.members.remove(old) else { return };
        previous.refuse(old, ResponseError::FencedInstanceId);
        let leader_before = self.leader.clone();
        if self.leader == old {
            self.leader.clone_from(&new);
        }
        let skips_assignment = call.dialect.skips_assignment;
        let is_unchanged = previous.protocols == call.protocols;
        let mut member = Member::new(call, now);
        member.assignment = previous.assignment;
        if self.phase == Phase::Stable && is_unchanged {
            self.members.insert(new.clone(), member);
            let is_leader = self.leader == new;
            let mut joined = self.joined(&new);
            if is_leader && skips_assignment {
                joined.members = self.roster();
                joined.skip_assignment = true;
            } else if is_leader {
                // An older client that reads its own id here would compute an assignment that nobody applies.
                joined.leader = leader_before;
            }
            return send(Some(answer), Ok(joined));
        }
        member.wait_for_join(answer);
        self.begin_rebalance(now);
        self.members.insert(new, member);
        self.try_complete_join(now);
    }

    fn begin_rebalance(&mut self, now: Millis) {
        if self.phase == Phase::PreparingRebalance {
            return;
        }
        for member in self.members.values_mut() {
            member.answer_sync(Err(ResponseError::RebalanceInProgress));
        }
        self.is_initial = self.phase == Phase::Empty;
        let wait = match self.is_initial {
            true => self.initial_delay,
            false => self.members.values().map(|member| member.rebalance).max().unwrap_or_default(),
        };
        self.deadline = now.plus(wait);
        self.phase = Phase::PreparingRebalance;
    }

    /// Ends the joining when everybody is there, or when the deadline has passed: then dynamic members that did
    /// not come are out, and static ones stay until their session ends.
    fn try_complete_join(&mut self, now: Millis) {
        if self.phase != Phase::PreparingRebalance {
            return;
        }
        let is_complete = self.promised.is_empty() && self.members.values().all(Member::has_joined);
        if now < self.deadline && (self.is_initial || !is_complete) {
            return;
        }
        self.members.retain(|_, member| member.has_joined() || member.instance.is_some());
        self.generation += 1;
        if self.members.is_empty() {
            self.become_empty();
            return;
        }
        if !self.members.get(&self.leader).is_some_and(Member::has_joined) {
            let first = self.members.iter().find(|(_, member)| member.has_joined());
            let Some(first) = first.map(|(id, _)| id.clone()) else {
                // Only silent static members are left: wait for one of them, or for their sessions to end.
                self.generation -= 1;
                self.deadline = now.plus(self.longest_rebalance());
                return;
            };
            self.leader = first;
        }
        self.phase = Phase::CompletingRebalance;
        self.protocol = self.choose_protocol();
        self.answer_joins(now);
    }

    fn longest_rebalance(&self) -> Duration {
        self.members.values().map(|member| member.rebalance).max().unwrap_or_default()
    }

    fn answer_joins(&mut self, now: Millis) {
        let roster = self.roster();
        let answers: Vec<(String, Joined)> =
            self.members.keys().map(|id| (id.clone(), self.joined(id))).collect();
        for (id, mut joined) in answers {
            if id == self.leader {
                joined.members.clone_from(&roster);
            }
            if let Some(member) = self.members.get_mut(&id) {
                member.last_seen = now;
                member.assignment = Bytes::new();
                member.answer_join(Ok(joined));
            }
        }
    }

    /// The first protocol, in the leader's order, that all members know.
    fn choose_protocol(&self) -> String {
        let preferred =
            self.members.get(&self.leader).map(|leader| leader.protocols.as_slice()).unwrap_or_default();
        let is_shared = |name: &String| self.members.values().all(|member| member.supports(name));
        let shared = preferred.iter().find(|(name, _)| is_shared(name)).or(preferred.first());
        shared.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn roster(&self) -> Vec<JoinedMember> {
        let entry = |(id, member): (&String, &Member)| JoinedMember {
            id: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(&self.protocol),
        };
        self.members.iter().map(entry).collect()
    }

    fn joined(&self, id: &str) -> Joined {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: id.to_owned(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }

    fn become_empty(&mut self) {
        self.phase = Phase::Empty;
        self.leader.clear();
        self.protocol.clear();
    }

    /// Takes the leader's assignment, or waits for it.
    pub(crate) fn sync(
        &mut self,
        caller: Caller<'_>,
        assignments: Vec<(String, Bytes)>,
        now: Millis,
        answer: oneshot::Sender<SyncAnswer>,
    ) {
        let checked = match (self.check_member(caller), self.phase) {
            (Err(error), _) => Err(error),
            (Ok(()), Phase::PreparingRebalance) => Err(ResponseError::RebalanceInProgress),
            (Ok(()), Phase::Empty) => Err(ResponseError::UnknownMemberId),
            (Ok(()), Phase::CompletingRebalance | Phase::Stable) => Ok(()),
        };
        let member = checked
            .and_then(|()| self.members.get_mut(caller.member_id).ok_or(ResponseError::UnknownMemberId));
        let member = match member {
            Ok(member) => member,
            Err(error) => return send(Some(answer), Err(error)),
        };
        member.last_seen = now;
        member.wait_for_sync(answer);
        if self.phase == Phase::CompletingRebalance && self.leader == caller.member_id {
            for (id, assignment) in assignments {
                if let Some(member) = self.members.get_mut(&id) {
                    member.assignment = assignment;
                }
            }
            self.phase = Phase::Stable;
        }
        if self.phase == Phase::Stable {
            self.answer_syncs(now);
        }
    }

    fn answer_syncs(&mut self, now: Millis) {
        for member in self.members.values_mut().filter(|member| member.is_syncing()) {
            member.last_seen = now;
            member.answer_sync(Ok(Synced {
                protocol_type: self.protocol_type.clone(),
                protocol: self.protocol.clone(),
                assignment: member.assignment.clone(),
            }));
        }
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

/// What a join is, once it is clear who joins.
enum Admission {
    New(String),
    Known(String),
    Replaces { old: String, new: String },
}

#[cfg(test)]
mod tests;
