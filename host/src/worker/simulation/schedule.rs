//! One schedule: hosts start, work, stall and die while records come in and calls fail, then everything has to heal.

use std::rc::Rc;
use std::time::Duration;

use crate::config::pipeline::{BatchBounds, CommitBounds};
use crate::id::Partition;
use crate::io::CalloutMode;
use crate::memory::{ApplyFailure, Call, Fate, Stats, Trouble};
use crate::worker::simulation::plugin::Kind;
use crate::worker::simulation::world::{CHANGELOG, GROUP, Setup, World};

const CLASSES: u64 = 3;

/// How bad a schedule is, in a thousand calls or steps.
struct Weather {
    failures: u64,
    deaths: u64,
    stalls: u64,
    harm: u64,
    kills: u64,
}

/// Runs the schedule of a seed.
pub(super) fn run(seed: u64) -> Result<Stats, String> {
    let world = World::new(seed, setup(seed));
    let random = &world.random;
    let weather = Weather {
        failures: random.pick(&[0, 5, 20, 60]),
        deaths: random.pick(&[0, 1, 4]),
        stalls: random.pick(&[0, 1, 4]),
        harm: random.pick(&[0, 50, 300]),
        kills: random.pick(&[0, 5, 20]),
    };
    (0..CLASSES).for_each(|class| world.produce_class(class, false));
    let names = ["a", "b", "c"];
    let hosts = usize::try_from(1 + random.below(3)).unwrap();
    let is_calm = weather.harm == 0;
    names[..hosts].iter().for_each(|name| drop(world.start(name)));
    trouble(&world, &weather);
    for _ in 0..(60 + random.below(140)) {
        step(&world, &names[..hosts], &weather);
        if world.random.permille(30) {
            world.check_fate()?;
            world.check_outside(false)?;
        }
        fail_if_reported(&world)?;
    }
    heal(&world, &names[..hosts])?;
    world.check_orders(is_calm)?;
    Ok(world.cluster.stats())
}

fn setup(seed: u64) -> Setup {
    let commit = CommitBounds {
        records: [3, 10, 50][usize::try_from(seed % 3).unwrap()],
        eager: seed.is_multiple_of(2),
        ..CommitBounds::default()
    };
    let batch = BatchBounds { records: [1, 4, 8][usize::try_from(seed / 3 % 3).unwrap()], bytes: 10_000 };
    let transaction_timeout = Duration::from_secs(if seed.is_multiple_of(5) { 20 } else { 5 });
    let partitions = 1 + usize::try_from(seed / 9 % 3).unwrap();
    let mode = if seed.is_multiple_of(4) { CalloutMode::Idempotent } else { CalloutMode::AtMostOnce };
    Setup { mode, partitions, commit, batch, transaction_timeout, ..Setup::default() }
}

fn fail_if_reported(world: &World) -> Result<(), String> {
    world.problem.borrow_mut().take().map_or(Ok(()), Err)
}

/// From now on calls fail, hosts die in the middle of them, and stall while others go on.
fn trouble(world: &World, weather: &Weather) {
    let Weather { failures, deaths, stalls, .. } = *weather;
    *world.plan.borrow_mut() = Some(Box::new(move |world, _client, call| {
        if world.random.permille(stalls) {
            stall(world);
        }
        if world.random.permille(deaths) {
            return world.random.pick(&[Trouble::Dies, Trouble::AppliesAndDies]);
        }
        if !world.random.permille(failures) {
            return Trouble::None;
        }
        match call {
            // A poll that fails has done nothing, and clients keep their membership at hand.
            Call::Poll => Trouble::Fails,
            Call::Membership => Trouble::None,
            Call::Commit if world.random.permille(300) => {
                Trouble::AppliesLate(Duration::from_millis(world.random.below(3_000)))
            }
            _ => world.random.pick(&[Trouble::Fails, Trouble::AppliesAndFails]),
        }
    }));
}

/// The host that makes a call stands still for a while; the others go on.
fn stall(world: &World) {
    let others: Vec<_> = world.hosts.borrow().clone();
    for _ in 0..world.random.below(60) {
        world.clock.advance(Duration::from_millis(world.random.below(600)));
        if !others.is_empty() {
            let host = world.random.pick(&others);
            world.turn(&host);
        }
    }
}

fn step(world: &World, names: &[&str], weather: &Weather) {
    let random = &world.random;
    match random.below(10) {
        0 | 1 => produce(world, weather.harm),
        2 if random.permille(200) => world.produce_class(random.below(CLASSES + 1), random.permille(200)),
        3 if random.permille(weather.kills) => {
            let hosts: Vec<_> = world.hosts.borrow().clone();
            if let Some(host) = hosts.first() {
                if random.permille(500) {
                    world.kill(host)
                } else {
                    world.shut_down(host)
                }
                harm_disk(world, &host.name);
            }
        }
        4 => world.start_missing(random.pick(names)),
        // From now on processes start with an index of another version, which they have to build.
        8 if random.permille(20) => world.version.set(1 - world.version.get()),
        7 if random.permille(100) => {
            let partitions = u64::try_from(world.setup.partitions).unwrap();
            let partition = Partition(i32::try_from(random.below(partitions)).unwrap());
            let key = random.permille(700).then(|| random.below(4));
            world.order(partition, key);
        }
        6 if random.permille(50) => wear(world),
        6 if random.permille(50) => world.review(),
        9 if random.permille(100) => world.clock.advance(Duration::from_millis(random.below(2_000))),
        // A second process under a name that is in use: the older one is a zombie from now on.
        5 if random.permille(weather.kills) => drop(world.start(random.pick(names))),
        _ => {
            let hosts: Vec<_> = world.hosts.borrow().clone();
            if !hosts.is_empty() {
                let host = random.pick(&hosts);
                world.turn(&host);
            }
        }
    }
}

/// What may happen to the disk of a process that has just ended: it is lost, or its last writes are.
fn harm_disk(world: &World, name: &str) {
    let (disk, random) = (world.disk(name), &world.random);
    if world.hosts.borrow().iter().any(|host| host.name == name) {
        // It was a zombie; the disk is its successor's.
        return;
    }
    match random.below(4) {
        0 => disk.lose_disk(),
        1 => {
            for task in disk.tasks() {
                disk.lose_last(task, 3);
            }
        }
        _ => {}
    }
}

/// A local store fails, or topics are compacted: changelogs and classes at any time, items when all are handled, because the
/// check expects an output of each.
fn wear(world: &World) {
    let random = &world.random;
    if random.permille(300) {
        let hosts: Vec<_> = world.hosts.borrow().iter().map(|host| host.name.clone()).collect();
        if !hosts.is_empty() {
            let failure =
                random.pick(&[ApplyFailure::NotWritten, ApplyFailure::Written, ApplyFailure::DiskFull]);
            world.disk(&random.pick(&hosts)).fail_next_apply(failure);
        }
    }
    for topic in [CHANGELOG, "classes", "items"] {
        for place in world.cluster.partitions(&topic.into()) {
            let committed = world.cluster.committed(GROUP, &place).map(|committed| committed.position);
            if random.permille(500) && (topic != "items" || committed == Some(world.cluster.ends(&place).1)) {
                world.cluster.compact(&place);
            }
        }
    }
}

fn produce(world: &World, harm: u64) {
    let random = &world.random;
    let sources = world.sources();
    for _ in 0..random.below(12) {
        let place = &random.pick(&sources);
        let kind = match random.below(1_000) {
            chance if chance < harm => random.pick(&Kind::ALL),
            chance if chance < harm + 60 => random.pick(&[Kind::Call, Kind::Remind]),
            _ => Kind::Plain,
        };
        match random.below(20) {
            0 => world.produce_transaction(place, &[kind, Kind::Plain], Fate::Committed),
            1 => world.produce_transaction(place, &[kind, Kind::Plain], Fate::Aborted),
            _ => {
                world.produce(place, kind, random.below(CLASSES + 1));
            }
        }
    }
}

/// The faults stop; what is dead is started; everything has to come to rest and be right.
fn heal(world: &Rc<World>, names: &[&str]) -> Result<(), String> {
    *world.plan.borrow_mut() = None;
    world.supervised.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
    world.settle()?;
    fail_if_reported(world)?;
    world.check_fate()?;
    world.idle();
    let mut last = Vec::new();
    for place in world.sources() {
        let class = world.random.below(CLASSES);
        let offset = world.produce(&place, Kind::Plain, class);
        last.push((world.produced.borrow()[&(place, offset)].1, class));
    }
    world.settle()?;
    // Jobs come to their end when there is nothing left to read.
    (0..40).for_each(|_| world.idle());
    // No timer is set for later.
    world.clock.advance(Duration::from_secs(10));
    (0..40).for_each(|_| world.idle());
    world.settle()?;
    fail_if_reported(world)?;
    world.check_fate()?;
    world.check_order()?;
    world.check_bad_classes()?;
    world.check_joins(&last)?;
    world.check_counts()?;
    world.check_convergence()?;
    world.check_outside(true)?;
    world.check_rest()
}
