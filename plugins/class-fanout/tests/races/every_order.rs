//! Every order in which a few events can happen.

use gristmill::test::Splits;

use super::world::ALL;
use super::world::Action;
use super::world::Rules;
use super::world::World;

/// Orders that a test looks at, at most: it says so when there are more.
const MOST: usize = 60_000;

/// Moves of one order, at most: in this world the two are at rest long before.
const LONGEST: usize = 60;

/// Runs a story in every order: what suppliers and Logistics do comes one after the other, and everything that the two tasks can
/// do comes anywhere between. Gives the number of orders, or none when one of them went wrong, which ends it.
fn every_order(rules: Rules, begin: &[Action], story: &[Action]) -> Option<usize> {
    // Which of the possible moves was taken at each place, and how many there were.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for orders in 1..=MOST {
        let order = std::panic::AssertUnwindSafe(&mut path);
        std::panic::catch_unwind(move || one_order(rules, (begin, story), { order }.0)).ok()?;
        while path.last().is_some_and(|(taken, of)| taken + 1 == *of) {
            path.pop();
        }
        match path.last_mut() {
            Some((taken, _)) => *taken += 1,
            None => return Some(orders),
        }
    }
    panic!("there are more than {MOST} orders")
}

fn one_order(rules: Rules, (begin, story): (&[Action], &[Action]), path: &mut Vec<(usize, usize)>) {
    let mut world = World::new(ALL, Splits::Off);
    begin.iter().for_each(|action| assert!(world.run(action)));
    world.settle();
    world.rules = rules;
    let mut story = story.iter();
    for place in 0.. {
        let mut moves = world.moves();
        moves.extend(story.as_slice().first().cloned());
        if moves.is_empty() {
            break;
        }
        assert!(place < LONGEST, "it does not come to rest: {path:?}");
        if place == path.len() {
            path.push((0, moves.len()));
        }
        let action = &moves[path[place].0];
        if Some(action) == story.as_slice().first() {
            story.next();
        }
        assert!(world.run(action));
    }
    world.settle();
}

fn stock() -> Vec<Action> {
    vec![Action::Class("a", Some(1)), Action::Item(1, Some(vec!["a"])), Action::Item(2, Some(vec!["a"]))]
}

#[test]
fn an_item_that_is_updated_while_its_class_changes() {
    let story = [Action::Class("a", Some(2)), Action::Item(1, Some(vec!["a"]))];

    let orders = every_order(ALL, &stock(), &story).unwrap();

    assert!(orders > 1_000, "{orders}");
}

#[test]
fn a_class_that_changes_twice() {
    let stock = [Action::Class("a", Some(1)), Action::Item(1, Some(vec!["a"]))];
    let story = [Action::Class("a", Some(2)), Action::Class("a", Some(1))];

    let orders = every_order(ALL, &stock, &story).unwrap();

    assert!(orders > 500, "{orders}");
}

#[test]
fn an_item_that_is_new_while_its_class_is_deleted_and_made_anew() {
    let story = [Action::Item(1, Some(vec!["a"])), Action::Class("a", None), Action::Class("a", Some(2))];

    let orders = every_order(ALL, &[Action::Class("a", Some(1))], &story).unwrap();

    assert!(orders > 100, "{orders}");
}

/// The two races of option 2: without the rule that closes it, each of them goes wrong in some order.
#[test]
fn each_race_goes_wrong_without_its_rule() {
    let stock = [Action::Class("a", Some(1)), Action::Item(1, Some(vec!["a"]))];
    // A new item: for one that was there, the walk has written a command, and that one is answered behind the update.
    let story = [Action::Class("a", Some(2)), Action::Item(2, Some(vec!["a"]))];

    let [overtaken, missed] = [Rules { causal: false, ..ALL }, Rules { at_once: false, ..ALL }]
        .map(|rules| every_order(rules, &stock, &story));

    assert_eq!(overtaken, None, "a command overtakes its change, again and again");
    assert_eq!(missed, None, "a walk misses an item");
    assert!(every_order(ALL, &stock, &story).is_some());
}
