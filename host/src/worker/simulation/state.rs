//! Schedules that break a promise about state in a design that looks right, by name.

use std::cell::Cell;
use std::rc::Rc;

use crate::id::{Offset, Partition, TopicPartition};
use crate::memory::{Call, Trouble};
use crate::worker::simulation::plugin::Kind;
use crate::worker::simulation::scenarios::turns;
use crate::worker::simulation::world::{CHANGELOG, Setup, World};

fn world(seed: u64) -> Rc<World> {
    World::new(seed, Setup { partitions: 1, ..Setup::default() })
}

fn checked(world: &World) -> Result<(), String> {
    world.settle()?;
    // Jobs come to their end when there is nothing left to read.
    (0..40).for_each(|_| world.idle());
    world.check_fate()?;
    world.check_order()?;
    world.check_counts()?;
    world.check_convergence()?;
    world.check_rest()
}

/// The only partition of the items.
fn items(world: &World) -> TopicPartition {
    world.sources()[0].clone()
}

/// Produces so many items of class 0.
fn stock(world: &World, count: u64) {
    for key in 0..count {
        world.produce_of(&items(world), key, 0);
    }
}

/// An update is handled and sent, then compacted away because a newer one exists that is not handled yet. The host loses its
/// disk, restores an older row, and the walk of a class meets it.
pub(super) fn older_value_after_restore() -> Result<(), String> {
    let world = world(20);
    world.produce_class(0, false);
    let place = items(&world);
    let offsets: Vec<_> = (0..2).map(|_| world.produce_of(&place, 1, 0)).collect();
    let host = world.start("a");
    turns(&world, &host, 30);
    world.shut_down(&host);
    world.disk("a").lose_disk();
    world.produce_of(&place, 1, 0);
    world.produce_class(0, false);
    world.cluster.compact_away(&place, offsets[1]);

    world.start("a");
    checked(&world)
}

#[test]
fn sends_no_older_value_after_a_restore() {
    older_value_after_restore().unwrap();
}

/// The process dies at every call of a restore in turn, with and without its effect.
#[test]
fn restores_whole_after_a_death_in_the_middle_of_a_restore() {
    let mut deaths = 0;
    for trouble in [Trouble::Dies, Trouble::AppliesAndDies] {
        for number in 1..60 {
            let world = world(100 + number);
            world.produce_class(0, false);
            stock(&world, 12);
            let host = world.start("a");
            turns(&world, &host, 40);
            world.kill(&host);
            world.disk("a").lose_disk();
            let calls = Rc::new(Cell::new(0));
            let counted = Rc::clone(&calls);
            *world.plan.borrow_mut() = Some(Box::new(move |_, _, call: Call| {
                counted.set(counted.get() + u64::from(call == Call::Restore));
                if counted.get() == number { trouble } else { Trouble::None }
            }));
            let host = world.start("a");
            turns(&world, &host, 40);
            deaths += u64::from(host.is_dead.get());
            *world.plan.borrow_mut() = None;
            world.start_missing("a");
            world.produce_class(0, false);
            checked(&world).unwrap();
        }
    }
    assert!(deaths > 5, "only {deaths} restores were interrupted");
}

/// A class stands at its first value in a task's copy; its topic is compacted to the second; the task moves.
#[test]
fn joins_on_another_host_with_what_it_had_applied_before() {
    let world = world(21);
    world.produce_class(0, false);
    let place = items(&world);
    world.produce_of(&place, 1, 0);
    let host = world.start("a");
    turns(&world, &host, 30);
    world.kill(&host);
    world.produce_class(0, false);
    world.cluster.compact(&TopicPartition::new(&"classes".into(), Partition(0)));
    world.produce_of(&place, 2, 0);

    world.start("b");

    checked(&world).unwrap();
}

/// A class is deleted and its tombstone compacted away while no host runs.
#[test]
fn finds_a_deletion_that_compaction_has_hidden() {
    let world = world(22);
    world.produce_class(0, false);
    world.produce_class(1, false);
    let place = items(&world);
    world.produce_of(&place, 1, 0);
    let host = world.start("a");
    turns(&world, &host, 30);
    world.shut_down(&host);
    let classes = TopicPartition::new(&"classes".into(), Partition(0));
    world.delete_class(0);
    world.produce_class(1, false);
    world.cluster.drop_tombstones_before(&classes, Offset(9));
    let offset = world.produce_of(&place, 2, 0);

    world.start("a");
    world.settle().unwrap();

    let number = world.produced.borrow()[&(place, offset)].1;
    assert!(world.has_output(&format!("{number}|c0|-|")), "the deleted class is still joined");
}

/// A class changes faster than its walk ends: the last items still get their turn.
#[test]
fn reaches_the_last_items_of_a_class_that_changes_all_the_time() {
    let world = world(23);
    world.produce_class(0, false);
    stock(&world, 30);
    let host = world.start("a");
    turns(&world, &host, 60);

    let before = world.walked();
    for _ in 0..40 {
        world.produce_class(0, false);
        turns(&world, &host, 3);
    }

    let reached: std::collections::BTreeSet<_> = world.walked().split_off(before.len()).into_iter().collect();
    assert_eq!(reached.len(), 30, "only {reached:?} were reached");
    checked(&world).unwrap();
}

/// A host loses its disk in the middle of a walk.
pub(super) fn walk_on_an_empty_disk() -> Result<(), String> {
    let world = world(28);
    world.produce_class(0, false);
    stock(&world, 30);
    let host = world.start("a");
    turns(&world, &host, 60);
    let before = world.walked().len();
    world.produce_class(0, false);
    let under_way = (0..60).find(|_| {
        turns(&world, &host, 1);
        world.walked().len() > before + 4
    });
    world.shut_down(&host);
    if under_way.is_none() || world.walked().len() >= before + 30 {
        return Err("the walk was not under way".into());
    }
    world.disk("a").lose_disk();

    world.start("a");
    checked(&world)?;

    let walked = world.walked().split_off(before);
    let keys: std::collections::BTreeSet<_> = walked.iter().collect();
    if (walked.len(), keys.len()) == (30, 30) { Ok(()) } else { Err(format!("the walk sent {walked:?}")) }
}

#[test]
fn goes_on_with_a_walk_where_it_was_committed_when_the_disk_is_lost() {
    walk_on_an_empty_disk().unwrap();
}

/// The store fails when a committed transaction is applied: it is dropped and restored.
#[test]
fn restores_a_store_that_could_not_be_written() {
    use crate::memory::ApplyFailure::{DiskFull, NotWritten, Written};
    for failure in [NotWritten, Written, DiskFull] {
        let world = world(24);
        world.produce_class(0, false);
        let host = world.start("a");
        turns(&world, &host, 20);
        stock(&world, 6);
        world.disk("a").fail_next_apply(failure);

        checked(&world).unwrap();
    }
}

/// The changelog is gone, and the committed positions are not.
#[test]
fn stops_a_task_whose_changelog_was_made_anew() {
    let world = world(25);
    let place = items(&world);
    world.produce_of(&place, 1, 0);
    let host = world.start("a");
    turns(&world, &host, 30);
    world.kill(&host);
    world.cluster.recreate(&CHANGELOG.into());

    let host = world.start("a");
    turns(&world, &host, 40);

    let state = world.status(&host)[0].state.clone();
    assert!(
        matches!(state, crate::status::TaskState::Stopped { code: crate::fault::Code::StateLost, .. }),
        "{state:?}"
    );
}

/// The group's offsets expire; the position record knows.
#[test]
fn goes_on_from_the_position_record_when_the_offsets_of_the_group_are_gone() {
    let world = world(26);
    world.produce_class(0, false);
    let place = items(&world);
    stock(&world, 4);
    let host = world.start("a");
    turns(&world, &host, 40);
    world.shut_down(&host);
    world.cluster.forget_offsets(crate::worker::simulation::world::GROUP);
    world.produce(&place, Kind::Plain, 0);

    world.start("a");

    checked(&world).unwrap();
}

/// The disk takes nothing for a while: the task waits, tries again with growing pauses, and goes on when it can.
#[test]
fn waits_for_a_disk_that_takes_nothing_and_goes_on_when_it_does() {
    let world = world(27);
    world.produce_class(0, false);
    let host = world.start("a");
    turns(&world, &host, 20);
    stock(&world, 6);
    world.disk("a").set_read_only(true);
    let tries = Rc::new(Cell::new(0));
    let counted = Rc::clone(&tries);
    *world.plan.borrow_mut() = Some(Box::new(move |_, _, call: Call| {
        counted.set(counted.get() + u64::from(call == Call::Committed));
        Trouble::None
    }));

    turns(&world, &host, 400);

    assert!((2..20).contains(&tries.get()), "{} tries in 400 turns", tries.get());
    world.disk("a").set_read_only(false);
    stock(&world, 6);
    checked(&world).unwrap();
}
