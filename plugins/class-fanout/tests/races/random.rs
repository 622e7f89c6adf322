//! Random schedules: of items and classes, of the two tasks, of bad days.

use gristmill::test::Splits;
use proptest::prelude::*;

use super::world::ALL;
use super::world::Action;
use super::world::PARTITIONS;
use super::world::Rules;
use super::world::Who;
use super::world::World;

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["a", "b", "c"][..])
}

fn who() -> impl Strategy<Value = Who> {
    prop::sample::select(&[Who::Join, Who::Fanout][..])
}

/// What happens in a world where nothing breaks.
fn event() -> impl Strategy<Value = Action> {
    let classes = prop::option::weighted(0.85, prop::collection::vec(name(), 0..3));
    let days = prop::option::weighted(0.8, 0..4_u64);
    prop_oneof![
        8 => (0..5_u8, classes).prop_map(|(sku, classes)| Action::Item(sku, classes)),
        8 => (name(), days).prop_map(|(name, days)| Action::Class(name, days)),
        14 => (who(), 0..PARTITIONS).prop_map(|(who, partition)| Action::Apply(who, partition)),
        10 => Just(Action::TakeItem),
        10 => Just(Action::TakeEnriched),
        8 => Just(Action::TakeCommand),
        12 => (0..3_usize, 1..4_u32).prop_map(|(job, budget)| Action::Step(job, budget)),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        60 => event(),
        1 => name().prop_map(Action::BadClass),
        2 => who().prop_map(Action::Restart),
        2 => Just(Action::Compact),
        1 => Just(Action::LongNight),
        1 => (0..3_usize).prop_map(Action::Cancel),
        2 => (who(), 0..5_u8).prop_map(|(who, sku)| Action::Reemit(who, sku)),
    ]
}

fn holds(rules: Rules, actions: &[Action], splits: Splits) {
    let mut world = World::new(rules, splits);
    for action in actions {
        world.run(action);
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn misses_no_item_and_comes_to_rest(actions in prop::collection::vec(action(), 0..80)) {
        holds(ALL, &actions, Splits::Each);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What `settle` says of commands holds whatever the two think of the classes.
    #[test]
    fn comes_to_rest_although_the_two_do_not_agree(actions in prop::collection::vec(action(), 0..80)) {
        let mut world = World::new(ALL, Splits::Off);
        world.agree = false;
        for action in &actions {
            world.run(action);
        }
        world.settle();
    }
}

/// Both mechanisms are needed: without one of them, there is a schedule that goes wrong. Without causal headers the two find no
/// rest: `every_order` shows it.
#[test]
fn finds_out_when_a_mechanism_is_missing() {
    for rules in [Rules { at_once: false, ..ALL }, Rules { walks: false, ..ALL }] {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut random = || {
            let schedule = prop::collection::vec(event(), 40..80).new_tree(&mut runner).unwrap();
            proptest::strategy::ValueTree::current(&schedule)
        };
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let found = (0..500).any(|_| {
            let actions = random();
            std::panic::catch_unwind(|| holds(rules, &actions, Splits::Off)).is_err()
        });
        std::panic::set_hook(hook);
        assert!(found, "nothing goes wrong with {rules:?}");
    }
}
