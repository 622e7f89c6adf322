//! Walks the group state machine: every transition of the diagram, static members, time.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::member::Client;
use super::member::Dialect;
use super::member::JoinAnswer;
use super::member::JoinCall;
use super::member::Joined;
use super::member::SyncAnswer;
use super::rebalance::SyncCall;
use super::*;

const DELAY_MS: i64 = 100;
const SESSION_MS: i64 = 1_000;
const REBALANCE_MS: i64 = 5_000;

/// A group, a time, and a client that talks as the newest librdkafka does.
struct Fixture {
    group: Group,
    now: Millis,
    fresh: u32,
    skips_assignment: bool,
}

type Waiting = oneshot::Receiver<JoinAnswer>;

impl Fixture {
    fn new() -> Self {
        let group = Group::new(Duration::from_millis(100));
        Self { group, now: Millis(0), fresh: 0, skips_assignment: true }
    }

    fn call(&mut self, id: &str, instance: Option<&str>, metadata: &'static str) -> JoinCall {
        self.fresh += 1;
        JoinCall {
            member_id: id.to_owned(),
            instance: instance.map(str::to_owned),
            fresh_id: format!("m{}", self.fresh),
            client: Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() },
            session: Duration::from_millis(1_000),
            rebalance: Duration::from_millis(5_000),
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(metadata.as_bytes()))],
            dialect: Dialect { needs_id_first: true, skips_assignment: self.skips_assignment },
        }
    }

    fn send(&mut self, call: JoinCall) -> Waiting {
        let (sender, waiting) = oneshot::channel();
        self.group.join(call, self.now, sender);
        waiting
    }

    /// Joins as a dynamic member: gets an id, then joins with it.
    fn join(&mut self, id: &str) -> Waiting {
        let call = self.call(id, None, "m");
        let mut waiting = self.send(call);
        if !id.is_empty() {
            return waiting;
        }
        let refusal = waiting.try_recv().unwrap().unwrap_err();
        assert_eq!(refusal.error, ResponseError::MemberIdRequired);
        let call = self.call(&refusal.member_id, None, "m");
        self.send(call)
    }

    fn join_static(&mut self, id: &str, instance: &str, metadata: &'static str) -> Waiting {
        let call = self.call(id, Some(instance), metadata);
        self.send(call)
    }

    fn sync(&mut self, joined: &Joined, assignments: &[(&str, &str)]) -> oneshot::Receiver<SyncAnswer> {
        let (sender, waiting) = oneshot::channel();
        let owned = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let assignments = assignments.iter().map(|(id, text)| ((*id).to_owned(), owned(text))).collect();
        let caller = caller(&joined.member_id, joined.generation);
        let believed = [Some(joined.protocol_type.as_str()), Some(joined.protocol.as_str())];
        self.group.sync(SyncCall { caller, believed, assignments }, self.now, sender);
        waiting
    }

    fn advance(&mut self, ms: i64) {
        self.now = Millis(self.now.0 + ms);
        self.group.tick(self.now);
    }

    fn heartbeat(&mut self, joined: &Joined) -> Result<(), ResponseError> {
        self.group.heartbeat(caller(&joined.member_id, joined.generation), self.now)
    }

    /// One member, stable.
    fn with_one(&mut self) -> Joined {
        let mut waiting = self.join("");
        self.advance(DELAY_MS);
        let joined = answer(&mut waiting);
        let mut synced = self.sync(&joined, &[(&joined.member_id, "all")]);
        assert_eq!(synced.try_recv().unwrap().unwrap().assignment, "all");
        joined
    }

    /// Two static members, `a` and `b`, stable; the first is the leader.
    fn with_two_static(&mut self) -> (Joined, Joined) {
        let (mut a, mut b) = (self.join_static("", "a", "m"), self.join_static("", "b", "m"));
        self.advance(DELAY_MS);
        let (a, b) = (answer(&mut a), answer(&mut b));
        assert_eq!(a.leader, a.member_id);
        self.sync(&a, &[(&a.member_id, "for a"), (&b.member_id, "for b")]);
        (a, b)
    }
}

fn caller(member_id: &str, generation: i32) -> Caller<'_> {
    Caller { member_id, instance: None, generation }
}

fn answer(waiting: &mut Waiting) -> Joined {
    waiting.try_recv().unwrap().unwrap()
}

fn is_waiting<T>(waiting: &mut oneshot::Receiver<T>) -> bool {
    matches!(waiting.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

#[test]
fn waits_out_the_initial_delay_so_that_members_join_together() {
    let mut fixture = Fixture::new();
    let (mut first, mut second) = (fixture.join(""), fixture.join(""));
    assert!(is_waiting(&mut first));

    fixture.advance(DELAY_MS);

    let (first, second) = (answer(&mut first), answer(&mut second));
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
    assert_eq!(first.leader, first.member_id);
    assert_eq!(fixture.group.phase(), Phase::CompletingRebalance);
}

#[test]
fn holds_followers_until_the_leader_brings_the_assignment() {
    let mut fixture = Fixture::new();
    let (mut first, mut second) = (fixture.join(""), fixture.join(""));
    fixture.advance(DELAY_MS);
    let (leader, follower) = (answer(&mut first), answer(&mut second));

    let mut waiting = fixture.sync(&follower, &[]);
    assert!(is_waiting(&mut waiting));
    fixture.sync(&leader, &[(&leader.member_id, "1"), (&follower.member_id, "2")]);

    assert_eq!(waiting.try_recv().unwrap().unwrap().assignment, "2");
    assert_eq!(fixture.group.phase(), Phase::Stable);
}

#[test]
fn rebalances_when_a_member_joins_and_tells_the_others_by_heartbeat() {
    let mut fixture = Fixture::new();
    let first = fixture.with_one();

    let mut newcomer = fixture.join("");

    assert_eq!(fixture.group.phase(), Phase::PreparingRebalance);
    assert_eq!(fixture.heartbeat(&first), Err(ResponseError::RebalanceInProgress));
    let mut again = fixture.join(&first.member_id);
    let (first, newcomer) = (answer(&mut again), answer(&mut newcomer));
    assert_eq!((first.generation, newcomer.generation), (2, 2));
}

#[test]
fn leaves_out_members_that_do_not_rejoin_before_the_deadline() {
    let mut fixture = Fixture::new();
    let first = fixture.with_one();
    let mut newcomer = fixture.join("");

    for _ in 0..REBALANCE_MS / 500 {
        assert!(is_waiting(&mut newcomer));
        // The old member is alive, but does not rejoin.
        fixture.heartbeat(&first).unwrap_err();
        fixture.advance(500);
    }

    let newcomer = answer(&mut newcomer);
    assert_eq!(newcomer.members.len(), 1);
    assert_eq!(fixture.heartbeat(&first), Err(ResponseError::UnknownMemberId));
}

#[test]
fn removes_a_member_whose_session_ends() {
    let mut fixture = Fixture::new();
    let joined = fixture.with_one();

    fixture.advance(SESSION_MS - 1);
    assert_eq!(fixture.heartbeat(&joined), Ok(()));
    fixture.advance(SESSION_MS - 1);
    assert_eq!(fixture.group.phase(), Phase::Stable);
    fixture.advance(1);

    assert_eq!(fixture.group.phase(), Phase::Empty);
    assert_eq!(fixture.heartbeat(&joined), Err(ResponseError::UnknownMemberId));
}

#[test]
fn becomes_empty_and_counts_a_generation_when_the_last_member_leaves() {
    let mut fixture = Fixture::new();
    let joined = fixture.with_one();

    fixture.group.leave(&joined.member_id, None, fixture.now).unwrap();

    assert_eq!((fixture.group.phase(), fixture.group.generation()), (Phase::Empty, 2));
    let again = fixture.group.leave(&joined.member_id, None, fixture.now);
    assert_eq!(again, Err(ResponseError::UnknownMemberId));
}

#[test]
fn ends_a_waiting_sync_when_the_rebalance_begins_anew() {
    let mut fixture = Fixture::new();
    let (mut first, mut second) = (fixture.join(""), fixture.join(""));
    fixture.advance(DELAY_MS);
    let (leader, follower) = (answer(&mut first), answer(&mut second));
    let mut waiting = fixture.sync(&follower, &[]);

    fixture.group.leave(&leader.member_id, None, fixture.now).unwrap();

    assert_eq!(waiting.try_recv().unwrap(), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn answers_a_follower_that_joins_again_unchanged_without_a_rebalance() {
    let mut fixture = Fixture::new();
    let (mut first, mut second) = (fixture.join(""), fixture.join(""));
    fixture.advance(DELAY_MS);
    let (leader, follower) = (answer(&mut first), answer(&mut second));
    fixture.sync(&leader, &[]);

    let mut again = fixture.join(&follower.member_id);

    assert_eq!(answer(&mut again).generation, follower.generation);
    assert_eq!(fixture.group.phase(), Phase::Stable);
    fixture.join(&leader.member_id);
    assert_eq!(fixture.group.phase(), Phase::PreparingRebalance);
}

#[test]
fn refuses_a_member_without_a_protocol_in_common() {
    let mut fixture = Fixture::new();
    fixture.with_one();
    let mut other = fixture.call("", None, "m");
    other.protocols = vec![("sticky".to_owned(), Bytes::new())];
    let mut typed = fixture.call("", None, "m");
    typed.protocol_type = "connect".to_owned();

    for call in [other, typed] {
        let refusal = fixture.send(call).try_recv().unwrap().unwrap_err();
        assert_eq!(refusal.error, ResponseError::InconsistentGroupProtocol);
    }
    assert_eq!(fixture.group.phase(), Phase::Stable);
}

#[test]
fn forgets_an_id_that_was_handed_out_and_never_used() {
    let mut fixture = Fixture::new();
    let call = fixture.call("", None, "m");
    let refusal = fixture.send(call).try_recv().unwrap().unwrap_err();
    assert_eq!(fixture.group.headcount(), 1);

    fixture.advance(SESSION_MS);

    assert_eq!(fixture.group.headcount(), 0);
    let call = fixture.call(&refusal.member_id, None, "m");
    let late = fixture.send(call).try_recv().unwrap().unwrap_err();
    assert_eq!(late.error, ResponseError::UnknownMemberId);
}

#[test]
fn lets_a_static_member_come_back_under_a_new_id_without_a_rebalance() {
    let mut fixture = Fixture::new();
    let (a, b) = fixture.with_two_static();

    let back = answer(&mut fixture.join_static("", "b", "m"));

    assert_ne!(back.member_id, b.member_id);
    assert_eq!((back.generation, fixture.group.phase()), (a.generation, Phase::Stable));
    assert_eq!(fixture.sync(&back, &[]).try_recv().unwrap().unwrap().assignment, "for b");
    assert_eq!(fixture.heartbeat(&a), Ok(()));
}

#[test]
fn tells_a_static_leader_that_comes_back_that_the_assignment_stands() {
    let mut fixture = Fixture::new();
    let (a, _) = fixture.with_two_static();

    let back = answer(&mut fixture.join_static("", "a", "m"));
    fixture.skips_assignment = false;
    let back_as_older_client = answer(&mut fixture.join_static("", "a", "m"));

    assert!(back.skip_assignment && back.members.len() == 2 && back.leader == back.member_id);
    assert!(!back_as_older_client.skip_assignment && back_as_older_client.members.is_empty());
    assert_eq!(back_as_older_client.leader, back.member_id);
    assert_ne!(back_as_older_client.member_id, a.member_id);
}

#[test]
fn rebalances_when_a_static_member_comes_back_with_another_subscription() {
    let mut fixture = Fixture::new();
    fixture.with_two_static();

    let mut back = fixture.join_static("", "b", "other");

    assert!(is_waiting(&mut back));
    assert_eq!(fixture.group.phase(), Phase::PreparingRebalance);
}

#[test]
fn fences_the_old_id_of_a_static_member() {
    let mut fixture = Fixture::new();
    let (_, b) = fixture.with_two_static();
    fixture.join_static("", "b", "m");

    let stale = Caller { instance: Some("b"), ..caller(&b.member_id, b.generation) };
    let rejoin = fixture.join_static(&b.member_id, "b", "m").try_recv().unwrap().unwrap_err();

    assert_eq!(fixture.group.heartbeat(stale, fixture.now), Err(ResponseError::FencedInstanceId));
    let commit = fixture.group.check_commit(stale, CommitPath::Transactional, fixture.now);
    assert_eq!(commit, Err(ResponseError::FencedInstanceId));
    assert_eq!(rejoin.error, ResponseError::FencedInstanceId);
    let leave = fixture.group.leave(&b.member_id, Some("b"), fixture.now);
    assert_eq!(leave, Err(ResponseError::FencedInstanceId));
}

#[test]
fn keeps_a_silent_static_member_through_a_rebalance_until_its_session_ends() {
    let mut fixture = Fixture::new();
    let (a, b) = fixture.with_two_static();
    // Changed metadata makes the leader's join a rebalance; `b` is alive but does not rejoin.
    let mut a_again = fixture.join_static(&a.member_id, "a", "other");
    for _ in 0..REBALANCE_MS / 500 {
        fixture.heartbeat(&b).unwrap_err();
        fixture.advance(500);
    }

    let a = answer(&mut a_again);

    assert_eq!(a.members.len(), 2);
    fixture.sync(&a, &[]);
    fixture.advance(SESSION_MS - 1);
    fixture.heartbeat(&a).unwrap();
    fixture.advance(1);
    assert!(!fixture.group.members().contains_key(&b.member_id));
}

#[test]
fn removes_a_static_member_by_its_instance() {
    let mut fixture = Fixture::new();
    let (a, _) = fixture.with_two_static();

    fixture.group.leave("", Some("b"), fixture.now).unwrap();

    assert_eq!(fixture.group.members().keys().collect::<Vec<_>>(), [&a.member_id]);
    assert_eq!(fixture.group.phase(), Phase::PreparingRebalance);
}

#[test]
fn lets_only_current_members_commit() {
    let mut fixture = Fixture::new();
    let now = fixture.now;
    let nobody = caller("", -1);
    assert_eq!(fixture.group.check_commit(nobody, CommitPath::Plain, now), Ok(()));
    let joined = fixture.with_one();

    let mut check = |caller, path| fixture.group.check_commit(caller, path, fixture.now);

    assert_eq!(check(caller(&joined.member_id, 1), CommitPath::Plain), Ok(()));
    assert_eq!(check(caller(&joined.member_id, 0), CommitPath::Plain), Err(ResponseError::IllegalGeneration));
    assert_eq!(check(caller("x", 1), CommitPath::Plain), Err(ResponseError::UnknownMemberId));
    assert_eq!(check(nobody, CommitPath::Plain), Err(ResponseError::UnknownMemberId));
    assert_eq!(check(nobody, CommitPath::Transactional), Ok(()));
    let stale = check(caller(&joined.member_id, 0), CommitPath::Transactional);
    assert_eq!(stale, Err(ResponseError::IllegalGeneration));
}

#[test]
fn refuses_plain_commits_between_join_and_sync() {
    let mut fixture = Fixture::new();
    let mut waiting = fixture.join("");
    fixture.advance(DELAY_MS);
    let joined = answer(&mut waiting);
    let current = caller(&joined.member_id, joined.generation);

    let plain = fixture.group.check_commit(current, CommitPath::Plain, fixture.now);
    let transactional = fixture.group.check_commit(current, CommitPath::Transactional, fixture.now);

    assert_eq!(plain, Err(ResponseError::RebalanceInProgress));
    assert_eq!(transactional, Ok(()));
}

#[test]
fn drops_a_member_that_waits_on_a_connection_that_is_gone() {
    let mut fixture = Fixture::new();
    drop(fixture.join(""));

    fixture.advance(DELAY_MS);
    assert_eq!(fixture.group.members().len(), 1);
    fixture.advance(SESSION_MS);

    assert_eq!(fixture.group.phase(), Phase::Empty);
}

#[test]
fn refuses_a_sync_for_another_protocol_but_names_a_stranger_first() {
    let mut fixture = Fixture::new();
    let joined = fixture.with_one();

    let other = Joined { protocol: "sticky".to_owned(), ..joined.clone() };
    let stranger = Joined { member_id: "x".to_owned(), ..other.clone() };

    let answer = fixture.sync(&other, &[]).try_recv().unwrap();
    assert_eq!(answer, Err(ResponseError::InconsistentGroupProtocol));
    let answer = fixture.sync(&stranger, &[]).try_recv().unwrap();
    assert_eq!(answer, Err(ResponseError::UnknownMemberId));
    assert!(fixture.sync(&joined, &[]).try_recv().unwrap().is_ok());
}
