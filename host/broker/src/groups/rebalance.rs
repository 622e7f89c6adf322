//! How a rebalance goes: it begins, all join, the leader assigns, all learn their part.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

use super::Caller;
use super::Group;
use super::Phase;
use super::member::Joined;
use super::member::JoinedMember;
use super::member::Member;
use super::member::SyncAnswer;
use super::member::Synced;
use super::member::send;
use crate::clock::Millis;

/// What a member brings along when it syncs.
#[derive(Debug)]
pub(crate) struct SyncCall<'a> {
    pub(crate) caller: Caller<'a>,
    /// Protocol type and protocol that it believes the group to have; older clients do not say.
    pub(crate) believed: [Option<&'a str>; 2],
    /// From the leader: each member's part.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

impl Group {
    pub(super) fn begin_rebalance(&mut self, now: Millis) {
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
    pub(super) fn try_complete_join(&mut self, now: Millis) {
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

    pub(super) fn roster(&self) -> Vec<JoinedMember> {
        let entry = |(id, member): (&String, &Member)| JoinedMember {
            id: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(&self.protocol),
        };
        self.members.iter().map(entry).collect()
    }

    pub(super) fn joined(&self, id: &str) -> Joined {
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

    pub(super) fn become_empty(&mut self) {
        self.phase = Phase::Empty;
        self.leader.clear();
        self.protocol.clear();
    }

    /// Takes the leader's assignment, or waits for it.
    pub(crate) fn sync(&mut self, call: SyncCall<'_>, now: Millis, answer: oneshot::Sender<SyncAnswer>) {
        let SyncCall { caller, believed, assignments } = call;
        let own = [self.protocol_type.as_str(), self.protocol.as_str()];
        let is_other =
            believed.iter().zip(own).any(|(believed, own)| believed.is_some_and(|believed| believed != own));
        let checked = match (self.check_member(caller), self.phase) {
            (Err(error), _) => Err(error),
            (Ok(()), Phase::PreparingRebalance) => Err(ResponseError::RebalanceInProgress),
            (Ok(()), Phase::Empty) => Err(ResponseError::UnknownMemberId),
            (Ok(()), _) if is_other => Err(ResponseError::InconsistentGroupProtocol),
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
}
