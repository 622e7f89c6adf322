//! How members come into a group: new ones, known ones again, static ones under a new id.

use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

use super::Group;
use super::Phase;
use super::member::JoinAnswer;
use super::member::JoinCall;
use super::member::JoinRefusal;
use super::member::Joined;
use super::member::Member;
use super::member::send;
use crate::clock::Millis;

/// What a join is, once it is clear who joins.
enum Admission {
    New(String),
    Known(String),
    Replaces { old: String, new: String },
}
impl Group {
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
}
