//! Schedules of timers and callouts that break a promise in a design that looks right, by name.

use std::rc::Rc;
use std::time::Duration;

use crate::id::Partition;
use crate::memory::{Call, Effect, MemoryServer, Reaction, Trouble};
use crate::task::order::Order;
use crate::worker::simulation::plugin::Kind;
use crate::worker::simulation::scenarios::{checked, once, turns};
use crate::worker::simulation::world::{GROUP, Setup, World};

/// A world in which every call takes this long before it is handed over, and after that.
fn world(partitions: usize, [before, after]: [Duration; 2]) -> Rc<World> {
    let effect = Effect::Answers(200, b"{}".to_vec());
    let server = MemoryServer::new(move |_| Reaction { before, after, effect: effect.clone() });
    World::with_server(1, Setup { partitions, ..Setup::default() }, server)
}

fn requests(world: &World) -> Vec<String> {
    world.server.requests().into_iter().map(|request| request.id).collect()
}

fn review(world: &World) -> Vec<String> {
    let letters = world.letters("review").into_iter();
    letters.filter_map(|(_, headers)| headers.get("gristmill-callout-id").cloned()).collect()
}

fn notes(world: &World) -> Vec<String> {
    world.visible("notes").into_iter().map(|(_, note)| note).collect()
}

fn over(world: &World) -> Result<(), String> {
    checked(world)?;
    world.check_outside(true)
}

/// A timer is set; the host is down for eight days, and on day two a record comes.
pub(super) fn expiry_overtakes_the_backlog() -> Result<(), String> {
    let world = world(1, [Duration::ZERO; 2]);
    // The stream: a restored table would have to catch up before anything else anyway.
    let place = world.sources()[1].clone();
    let host = world.start("a");
    // The number is one of those that wait for longest.
    while world.number() % 8 != 6 {}
    world.produce(&place, Kind::Remind, 0);
    turns(&world, &host, 10);
    world.kill(&host);
    world.clock.advance(Duration::from_secs(2 * 24 * 3600));
    world.produce_many(&place, Kind::Plain, 40);
    world.clock.advance(Duration::from_secs(6 * 24 * 3600));
    let host = world.start("a");
    for _ in 0..200 {
        turns(&world, &host, 1);
        if !notes(&world).is_empty() {
            break;
        }
    }
    let committed = world.cluster.committed(GROUP, &place).map(|committed| committed.position);
    if notes(&world).is_empty() {
        return Err("the timer never fired".into());
    }
    if committed != Some(world.cluster.ends(&place).0) {
        return Err(format!("the timer fired before the records that had been there: {committed:?}"));
    }
    over(&world)
}

#[test]
fn expiry_does_not_overtake_the_backlog() {
    expiry_overtakes_the_backlog().unwrap();
}

#[test]
fn answer_is_not_lost_by_an_abort() {
    let world = world(1, [Duration::ZERO, Duration::from_secs(1)]);
    let place = world.sources()[0].clone();
    let host = world.start("a");
    let offset = world.produce(&place, Kind::Call, 0);
    turns(&world, &host, 10);
    assert_eq!(world.cluster.committed(GROUP, &place).unwrap().position, offset.next());
    world.clock.advance(Duration::from_secs(1));

    let hit = once(&world, Call::Flush, Trouble::Fails);
    turns(&world, &host, 20);

    assert!(hit.get());
    over(&world).unwrap();
    assert_eq!(requests(&world), ["1"]);
    assert_eq!(notes(&world), ["1|answer"]);
}

#[test]
fn answer_for_a_task_that_moved_goes_through_the_inbox() {
    // Longer than a drain waits for it, and shorter than the new owner does.
    let world = world(2, [Duration::ZERO, Duration::from_secs(4)]);
    let places = world.sources();
    let first = world.start("a");
    turns(&world, &first, 10);
    // One of each partition: some task moves when a second host comes.
    world.produce(&places[0], Kind::Call, 0);
    world.produce(&places[1], Kind::Call, 0);
    turns(&world, &first, 10);
    let second = world.start("b");
    for _ in 0..200 {
        turns(&world, &first, 1);
        turns(&world, &second, 1);
    }

    over(&world).unwrap();
    assert_eq!(requests(&world).len(), 2);
    assert_eq!(notes(&world).len(), 2, "both answers reached the plugin: {:?}", review(&world));
}

#[test]
fn zombie_with_a_committed_dispatching_sends_nothing_when_it_wakes() {
    let world = world(1, [Duration::from_secs(3), Duration::ZERO]);
    let place = world.sources()[0].clone();
    let zombie = world.start("a");
    world.produce(&place, Kind::Call, 0);
    turns(&world, &zombie, 6);
    assert_eq!(world.cluster.committed(GROUP, &place).unwrap().position.0, 1);
    assert!(requests(&world).is_empty(), "it has not come to a connection yet");
    // It stands still, and somebody else gets the partition.
    let successor = world.start("b");
    for _ in 0..60 {
        world.clock.advance(Duration::from_secs(1));
        turns(&world, &successor, 2);
    }
    assert_eq!(review(&world), ["1"], "the successor says that it is in doubt");
    world.give(Partition(0), None, &Order::RetryCallout { id: "1".into() });
    for _ in 0..30 {
        world.clock.advance(Duration::from_millis(500));
        turns(&world, &successor, 2);
    }
    let retried = requests(&world);
    assert_eq!(retried.len(), 1);
    assert!(retried[0].starts_with("1~retry-"));

    turns(&world, &zombie, 30);

    over(&world).unwrap();
    assert_eq!(requests(&world), retried, "the zombie has sent what it held");
}

/// A process dies at every single call of a short run with timers and callouts, before and after the call has its effect.
fn die_at(number: u64, trouble: Trouble) -> Result<bool, String> {
    let world = World::new(number, Setup { partitions: 1, ..Setup::default() });
    let place = world.sources()[0].clone();
    for kind in [Kind::Call, Kind::Remind, Kind::Plain, Kind::Call, Kind::Remind, Kind::Call] {
        world.produce(&place, kind, 0);
    }
    let host = world.start("a");
    let calls = Rc::new(std::cell::Cell::new(0));
    let counted = Rc::clone(&calls);
    *world.plan.borrow_mut() = Some(Box::new(move |_, _, _: Call| {
        counted.set(counted.get() + 1);
        if counted.get() == number { trouble } else { Trouble::None }
    }));
    for _ in 0..120 {
        world.turn(&host);
        world.clock.advance(Duration::from_millis(100));
        world.check_fate()?;
        world.check_outside(false)?;
    }
    let has_died = host.is_dead.get();
    *world.plan.borrow_mut() = None;
    if has_died {
        world.start("a");
    }
    world.settle()?;
    world.clock.advance(Duration::from_secs(10));
    (0..20).for_each(|_| world.idle());
    over(&world)?;
    Ok(has_died)
}

#[test]
fn loses_and_doubles_no_timer_and_no_callout_when_it_dies_at_any_call() {
    for trouble in [Trouble::Dies, Trouble::AppliesAndDies] {
        let mut number = 1;
        while die_at(number, trouble)
            .unwrap_or_else(|problem| panic!("{trouble:?} at call {number}: {problem}"))
        {
            number += 1;
        }
        assert!(number > 100, "only {number} calls were made");
    }
}
