//! Schedules with a name.

use gristmill::test::Splits;

use super::world::ALL;
use super::world::Action;
use super::world::Who;
use super::world::World;

fn run(world: &mut World, actions: &[Action]) {
    for action in actions {
        assert!(world.run(action), "{action:?} cannot be done");
    }
}

/// An item of class `a`, at rest.
fn stocked() -> World {
    let mut world = World::new(ALL, Splits::Each);
    run(&mut world, &[Action::Class("a", Some(1)), Action::Item(1, Some(vec!["a"]))]);
    world.settle();
    world
}

/// PROMISES, "option 2 misses one": delivery-time joins an item with the old class, while class-fanout has applied the new one
/// and walked past the item.
#[test]
fn misses_no_item_that_was_joined_with_the_old_class_behind_the_walk() {
    let mut world = stocked();
    run(
        &mut world,
        &[
            Action::Class("a", Some(2)),
            Action::Apply(Who::Fanout, 0),
            // Another item of the class comes, joined with the class of before, when the walk is over.
            Action::Step(0, 10),
            Action::Item(2, Some(vec!["a"])),
            Action::TakeItem,
            Action::TakeEnriched,
        ],
    );

    assert_eq!(world.written, 2, "one by the walk, one at once");
    assert_eq!(world.settle(), 0);
}

#[test]
fn a_command_does_not_overtake_its_change() {
    let mut world = stocked();
    run(&mut world, &[Action::Class("a", Some(2)), Action::Apply(Who::Fanout, 0), Action::Step(0, 10)]);

    assert!(!world.run(&Action::TakeCommand), "delivery-time has not applied the change");
    run(&mut world, &[Action::Apply(Who::Join, 0), Action::TakeCommand]);

    assert_eq!(world.settle(), 0);
}

/// The deletion of a class has been compacted away, and its place with it, when class-fanout hears of it.
#[test]
fn tells_of_a_deletion_that_compaction_has_hidden() {
    let mut world = stocked();
    run(
        &mut world,
        &[
            // Joined behind a control record that lies beyond the last class record.
            Action::Item(2, Some(vec!["a"])),
            Action::TakeItem,
            Action::Class("a", None),
            Action::LongNight,
            Action::Step(0, 10),
            Action::TakeEnriched,
        ],
    );

    assert_eq!(world.written, 2, "one by the walk, one at once");
    world.settle();
}

/// Both stand at the same position, and one of them has never seen a record there that was replaced meanwhile.
#[test]
fn misses_no_item_that_was_joined_with_a_class_that_the_other_never_saw() {
    for (first, seen_by, then) in [(5, Who::Join, 5), (9, Who::Fanout, 0)] {
        let mut world = World::new(ALL, Splits::Each);
        run(&mut world, &[Action::Class("b", Some(first)), Action::Item(2, Some(vec!["b"]))]);
        world.settle();
        let other = if seen_by == Who::Join { Who::Fanout } else { Who::Join };
        run(
            &mut world,
            &[
                Action::Class("b", Some(0)),
                Action::Apply(seen_by, 0),
                Action::Class("a", None),
                Action::Class("b", Some(then)),
                Action::Apply(seen_by, 0),
                Action::Compact,
                Action::Apply(other, 0),
                Action::Item(1, Some(vec!["b"])),
                Action::TakeItem,
                Action::TakeEnriched,
            ],
        );
        // The walk of the change that it has seen.
        while world.run(&Action::Step(0, 10)) {}
        let before = world.written;

        run(&mut world, &[Action::Apply(Who::Fanout, 0), Action::Step(0, 10)]);

        assert!(world.written > before, "seen by {seen_by:?}");
        assert_eq!(world.settle(), 0);
    }
}

/// An answer can be older than the change that is known by then, once for each change.
#[test]
fn each_change_makes_one_more_command_at_most() {
    let mut world = stocked();
    for days in 2..8 {
        run(&mut world, &[Action::Class("a", Some(days)), Action::Apply(Who::Fanout, 0)]);
        run(&mut world, &[Action::Step(0, 10), Action::Apply(Who::Join, 0), Action::TakeCommand]);
        run(&mut world, &[Action::TakeEnriched]);
    }

    assert_eq!(world.written, 6);
    assert_eq!(world.settle(), 0);
}

/// One of the two has seen the deletion of a class, and the other one has not and never will: a record that is rejected lies over it.
#[test]
fn comes_to_rest_when_the_two_have_other_classes_in_force() {
    let mut world = World::new(ALL, Splits::Each);
    world.agree = false;
    run(
        &mut world,
        &[
            Action::Class("a", Some(1)),
            Action::Apply(Who::Join, 0),
            Action::Class("a", None),
            Action::BadClass("a"),
            Action::LongNight,
            Action::Item(1, Some(vec!["a"])),
        ],
    );

    assert_eq!(world.settle(), 0, "delivery-time can give no other times to it");
    run(&mut world, &[Action::Class("b", Some(1)), Action::Item(1, Some(vec!["a"]))]);
    assert_eq!(world.settle(), 0);
}

#[test]
fn makes_good_a_walk_that_was_cancelled_when_the_class_comes_again_as_it_is() {
    let mut world = stocked();
    run(&mut world, &[Action::Class("a", Some(2)), Action::Apply(Who::Fanout, 0), Action::Cancel(0)]);

    assert_eq!(world.settle(), 1);
}
