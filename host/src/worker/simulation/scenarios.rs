//! Schedules that break a promise in a design that looks right, by name.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::config::pipeline::{BatchBounds, CommitBounds, Limits, Start};
use crate::fault::Code;
use crate::id::Offset;
use crate::io::TopicFacts;
use crate::memory::{Call, MemorySink, Process, Trouble};
use crate::status::TaskState;
use crate::worker::simulation::plugin::Kind;
use crate::worker::simulation::world::{GROUP, Setup, World};

pub(super) fn checked(world: &World) -> Result<(), String> {
    world.settle()?;
    world.check_fate()?;
    world.check_order()?;
    world.check_bad_classes()?;
    world.check_rest()
}

pub(super) fn turns(world: &World, host: &crate::worker::simulation::world::Host, count: usize) {
    for _ in 0..count {
        world.read_classes(host);
        world.turn(host);
    }
}

/// Trouble for one call of a kind, the first that comes.
pub(super) fn once(world: &World, call: Call, trouble: Trouble) -> Rc<Cell<bool>> {
    let hit = Rc::new(Cell::new(false));
    let seen = Rc::clone(&hit);
    *world.plan.borrow_mut() =
        Some(Box::new(
            move |_, _, called| {
                if called == call && !seen.replace(true) { trouble } else { Trouble::None }
            },
        ));
    hit
}

pub(super) fn poison_batch() -> Result<(), String> {
    let batch = BatchBounds { records: 64, bytes: 100_000 };
    let world = World::new(1, Setup { partitions: 2, batch, ..Setup::default() });
    let (poisoned, other) = (world.sources()[0].clone(), world.sources()[1].clone());
    for index in 0..64 {
        let kind = if index % 20 == 7 { Kind::Trap } else { Kind::Plain };
        world.produce(&poisoned, kind, 0);
    }
    world.produce_many(&other, Kind::Plain, 64 * 20);
    // A call with a poisoned record in it takes longer than a transaction may last.
    world.plugin.slow_trap.replace(Some((world.clock.clone(), Duration::from_secs(6))));
    let host = world.start("a");
    turns(&world, &host, 12);
    let healthy = world.cluster.committed(GROUP, &other).map_or(0, |committed| committed.position.0);
    if healthy < 64 * 5 {
        return Err(format!("the other task has to wait for the search: {healthy} records"));
    }
    checked(&world)?;
    // The first call with the batch is an ordinary one; the transaction that was open then may be lost.
    match (world.cluster.stats().timeouts, world.dead_letters().len()) {
        (0..=1, 3) => Ok(()),
        (timeouts, letters) => Err(format!("{timeouts} transactions timed out, {letters} dead letters")),
    }
}

#[test]
fn poison_batch_is_searched_without_an_open_transaction_and_others_go_on() {
    poison_batch().unwrap();
}

/// A process stands still so long just before it commits, while another one is started under its name.
pub(super) fn zombie_with_the_same_ids(sleep: Duration) -> Result<(), String> {
    let world = World::new(2, Setup::default());
    let places = world.sources();
    let zombie = world.start("a");
    turns(&world, &zombie, 10);
    places.iter().for_each(|place| world.produce_many(place, Kind::Plain, 5));
    let hit = Rc::new(Cell::new(false));
    let seen = Rc::clone(&hit);
    *world.plan.borrow_mut() = Some(Box::new(move |world, _, call| {
        if call == Call::SendOffsets && !seen.replace(true) {
            let successor = world.start("a");
            turns(world, &successor, 20);
            for _ in 0..sleep.as_secs() {
                world.clock.advance(Duration::from_secs(1));
                turns(world, &successor, 1);
            }
        }
        Trouble::None
    }));
    turns(&world, &zombie, 10);
    if !hit.get() {
        return Err("the zombie never came to its commit".into());
    }
    let successor = world.hosts.borrow().last().cloned().ok_or("no successor")?;
    let fenced = world.cluster.stats().fenced;
    for _ in 0..60 {
        places.iter().for_each(|place| world.produce_many(place, Kind::Plain, 1));
        turns(&world, &zombie, 2);
        turns(&world, &successor, 2);
    }
    if successor.is_dead.get() || !zombie.is_dead.get() {
        return Err("the zombie lives, or the successor does not".into());
    }
    if world.cluster.stats().fenced > fenced {
        return Err("the zombie has fenced its successor".into());
    }
    let code = *zombie.died_of.borrow();
    if code != Some(Code::InstanceInUse) {
        return Err(format!("the zombie ended with {code:?}"));
    }
    checked(&world)
}

#[test]
fn zombie_with_the_same_ids_ends_and_leaves_its_successor_alone() {
    zombie_with_the_same_ids(Duration::ZERO).unwrap();
}

#[test]
fn zombie_that_slept_past_every_time_out_leaves_its_successor_alone() {
    zombie_with_the_same_ids(Duration::from_secs(30)).unwrap();
}

pub(super) fn idle_task_at_latest() -> Result<(), String> {
    let world = World::new(3, Setup { partitions: 1, start: Start::Latest, ..Setup::default() });
    let updates = world.sources()[1].clone();
    let host = world.start("a");
    turns(&world, &host, 20);
    world.kill(&host);
    let offset = world.produce(&updates, Kind::Plain, 0);
    world.start("a");
    world.settle()?;
    match world.cluster.committed(GROUP, &updates) {
        Some(committed) if committed.position > offset => world.check_fate(),
        committed => Err(format!("the record at {offset} was not read, committed: {committed:?}")),
    }
}

#[test]
fn idle_task_at_latest_does_not_skip_what_came_while_it_was_down() {
    idle_task_at_latest().unwrap();
}

#[test]
fn endless_refusal_ends_in_one_dead_letter() {
    let world = World::new(4, Setup { partitions: 1, ..Setup::default() });
    let place = world.sources()[0].clone();
    for kind in [Kind::Plain, Kind::Refused, Kind::Plain, Kind::CauselessRefused, Kind::Plain] {
        world.produce(&place, kind, 0);
    }
    world.start("a");

    checked(&world).unwrap();

    assert_eq!(world.dead_letters().len(), 2);
    assert!(world.cluster.stats().refusals <= 4, "{:?}", world.cluster.stats());
}

#[test]
fn busy_task_beside_an_idle_one_commits_whole_transactions() {
    let commit = CommitBounds { eager: true, ..CommitBounds::default() };
    let world = World::new(5, Setup { commit, ..Setup::default() });
    let (busy, idle) = (world.sources()[0].clone(), world.sources()[1].clone());
    let host = world.start("a");
    turns(&world, &host, 10);
    let before = world.cluster.stats().commits;
    // The idle task gets a record now and then; it must not make the busy one commit each batch of its own.
    for index in 0..40 {
        world.produce_many(&busy, Kind::Plain, 10);
        if index % 10 == 0 {
            world.produce(&idle, Kind::Plain, 0);
        }
        world.turn(&host);
    }
    let commits = world.cluster.stats().commits - before;

    checked(&world).unwrap();

    assert!(commits < 10, "{commits} transactions for 40 batches");
}

#[test]
fn one_bad_class_record_gets_one_dead_letter_from_many_tasks_and_restarts() {
    let world = World::new(6, Setup { partitions: 3, ..Setup::default() });
    (0..4).for_each(|class| world.produce_class(class, class == 2));
    for _ in 0..3 {
        let host = world.start("a");
        world.sources().iter().for_each(|place| world.produce_many(place, Kind::Plain, 1));
        turns(&world, &host, 20);
        world.kill(&host);
    }
    world.start("a");

    checked(&world).unwrap();

    assert_eq!(world.dead_letters().len(), 1);
}

#[test]
fn classes_applied_in_an_aborted_transaction_are_applied_again() {
    let world = World::new(7, Setup { partitions: 1, ..Setup::default() });
    let host = world.start("a");
    turns(&world, &host, 10);
    world.produce_class(0, true);
    let place = world.sources()[0].clone();
    world.produce(&place, Kind::Plain, 0);
    let hit = once(&world, Call::SendOffsets, Trouble::Fails);

    turns(&world, &host, 20);
    checked(&world).unwrap();

    assert!(hit.get());
    assert_eq!(world.dead_letters().len(), 1);
    assert_eq!(world.applied_classes(place.partition), Some(Offset(1)));
}

#[test]
fn crash_between_flush_and_offsets_leaves_nothing() {
    let world = World::new(8, Setup { partitions: 1, ..Setup::default() });
    let host = world.start("a");
    turns(&world, &host, 10);
    let place = world.sources()[0].clone();
    world.produce_many(&place, Kind::Double, 5);
    once(&world, Call::SendOffsets, Trouble::Dies);
    turns(&world, &host, 20);
    assert!(host.is_dead.get());
    world.check_fate().unwrap();

    world.start("a");

    checked(&world).unwrap();
}

#[test]
fn unknown_outcome_of_a_commit_that_happened_and_of_one_that_did_not() {
    let late = Trouble::AppliesLate(Duration::from_millis(200));
    for trouble in [Trouble::AppliesAndFails, Trouble::Fails, late] {
        let world = World::new(9, Setup { partitions: 1, ..Setup::default() });
        let host = world.start("a");
        turns(&world, &host, 10);
        let place = world.sources()[0].clone();
        world.produce_many(&place, Kind::Plain, 5);
        let hit = once(&world, Call::Commit, trouble);

        turns(&world, &host, 20);
        checked(&world).unwrap_or_else(|problem| panic!("{trouble:?}: {problem}"));

        assert!(hit.get());
    }
}

#[test]
fn transaction_that_took_too_long_is_made_smaller_and_is_no_fence() {
    let world = World::new(10, Setup { partitions: 1, ..Setup::default() });
    let host = world.start("a");
    turns(&world, &host, 10);
    let place = world.sources()[0].clone();
    let slow = Rc::new(Cell::new(5));
    let left = Rc::clone(&slow);
    *world.plan.borrow_mut() = Some(Box::new(move |world, _, call| {
        if call == Call::SendOffsets && left.get() > 0 {
            left.set(left.get() - 1);
            world.clock.advance(Duration::from_secs(6));
        }
        Trouble::None
    }));
    world.produce_many(&place, Kind::Plain, 30);

    turns(&world, &host, 60);
    checked(&world).unwrap();

    assert!(!host.is_dead.get(), "time-outs were counted as fences");
    assert_eq!((world.cluster.stats().timeouts, slow.get()), (5, 0));
}

#[test]
fn too_many_traps_stop_one_task_and_not_the_others() {
    let limits = Limits { traps_per_minute: 3, ..Limits::default() };
    let world = World::new(11, Setup { limits, ..Setup::default() });
    let (broken, healthy) = (world.sources()[0].clone(), world.sources()[1].clone());
    world.produce_many(&broken, Kind::Trap, 10);
    world.produce_many(&healthy, Kind::Plain, 10);
    let host = world.start("a");

    turns(&world, &host, 60);

    let states: Vec<_> = world.status(&host).into_iter().map(|status| status.state).collect();
    assert!(matches!(&states[0], TaskState::Stopped { code: Code::TooManyTraps, .. }), "{states:?}");
    assert_eq!(states[1], TaskState::Running);
    world.check_fate().unwrap();
    assert_eq!(world.dead_letters().len(), 3);
    assert_eq!(world.cluster.committed(GROUP, &healthy).unwrap().position, world.cluster.ends(&healthy).0);
}

#[test]
fn retry_waits_and_keeps_the_records() {
    let world = World::new(12, Setup { partitions: 1, ..Setup::default() });
    let host = world.start("a");
    turns(&world, &host, 10);
    world.plugin.retries.set(4);
    let place = world.sources()[0].clone();
    let offset = world.produce(&place, Kind::Plain, 0);
    let before = world.clock.elapsed();

    checked(&world).unwrap();

    assert!(world.cluster.committed(GROUP, &place).unwrap().position > offset);
    assert!(world.clock.elapsed() - before >= Duration::from_millis(100 + 200 + 400 + 800));
}

#[test]
fn shutdown_commits_what_is_done() {
    let commit = CommitBounds { interval: Duration::from_secs(3600), ..CommitBounds::default() };
    let world = World::new(13, Setup { partitions: 1, commit, ..Setup::default() });
    let place = world.sources()[0].clone();
    let host = world.start("a");
    turns(&world, &host, 10);
    world.produce_many(&place, Kind::Plain, 3);
    turns(&world, &host, 10);
    assert_eq!(world.cluster.committed(GROUP, &place).unwrap().position.0, 0);

    world.shut_down(&host);

    assert_eq!(world.cluster.committed(GROUP, &place).unwrap().position.0, 3);
    world.check_fate().unwrap();
    world.check_rest().unwrap();
}

#[test]
fn fenced_three_times_within_a_minute_gives_up_its_name() {
    let world = World::new(14, Setup { partitions: 1, ..Setup::default() });
    let place = world.sources()[0].clone();
    let host = world.start("a");
    turns(&world, &host, 10);
    world.produce_many(&place, Kind::Plain, 10);
    // Somebody uses the transactional id, and is not in the group.
    *world.plan.borrow_mut() = Some(Box::new(|world, _, call| {
        if call == Call::SendOffsets {
            drop(MemorySink::new(&world.cluster, &Process::default(), "sim.join.a", GROUP));
        }
        Trouble::None
    }));

    turns(&world, &host, 300);

    assert_eq!(*host.died_of.borrow(), Some(Code::InstanceInUse));
    world.check_fate().unwrap();
}

#[test]
fn committed_position_beyond_the_end_is_an_error_and_no_reset() {
    let world = World::new(15, Setup { partitions: 1, ..Setup::default() });
    let place = world.sources()[0].clone();
    let host = world.start("a");
    world.produce_many(&place, Kind::Plain, 5);
    world.settle().unwrap();
    world.kill(&host);
    world.cluster.create(&place.topic, 1, TopicFacts::default());

    let host = world.start("a");
    turns(&world, &host, 2_000);

    assert_eq!(*host.died_of.borrow(), Some(Code::PositionLost));
}

#[test]
fn broadcast_topic_that_was_made_anew_is_applied_from_its_start() {
    let world = World::new(16, Setup { partitions: 1, ..Setup::default() });
    let place = world.sources()[0].clone();
    (0..4).for_each(|class| world.produce_class(class, false));
    let host = world.start("a");
    turns(&world, &host, 20);
    world.kill(&host);
    world.cluster.create(&"classes".into(), 1, TopicFacts::default());
    world.produce_class(0, false);
    let offset = world.produce(&place, Kind::Plain, 0);
    let number = world.produced.borrow()[&(place.clone(), offset)].1;

    world.start("a");
    world.settle().unwrap();

    world.check_joins(&[(number, 0)]).unwrap();
    assert_eq!(world.applied_classes(place.partition), Some(Offset(1)));
}
