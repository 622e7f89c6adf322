//! A process dies at every single call of a short run, before and after the call has its effect, and is started again.

use std::cell::Cell;
use std::rc::Rc;

use crate::memory::{Call, Trouble};
use crate::worker::simulation::plugin::Kind;
use crate::worker::simulation::world::{Setup, World};

/// Runs until the call with this number, lets the process die there, starts it again. False: there was no such call.
fn die_at(number: u64, trouble: Trouble) -> Result<bool, String> {
    let world = World::new(number, Setup { partitions: 1, ..Setup::default() });
    world.produce_class(0, false);
    world.produce_class(1, true);
    let place = world.sources()[0].clone();
    for kind in [Kind::Plain, Kind::Reject, Kind::Double, Kind::Refused, Kind::Plain, Kind::Trap, Kind::Plain]
    {
        world.produce(&place, kind, 0);
    }
    let host = world.start("a");
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    *world.plan.borrow_mut() = Some(Box::new(move |_, _, _: Call| {
        counted.set(counted.get() + 1);
        if counted.get() == number { trouble } else { Trouble::None }
    }));
    for _ in 0..60 {
        world.turn(&host);
        world.check_fate()?;
    }
    let has_died = host.is_dead.get();
    *world.plan.borrow_mut() = None;
    if has_died {
        world.start("a");
    }
    world.settle()?;
    world.check_fate()?;
    world.check_order()?;
    world.check_bad_classes()?;
    world.check_rest()?;
    Ok(has_died)
}

#[test]
fn loses_and_doubles_nothing_when_it_dies_at_any_call() {
    for trouble in [Trouble::Dies, Trouble::AppliesAndDies] {
        let mut number = 1;
        while die_at(number, trouble)
            .unwrap_or_else(|problem| panic!("{trouble:?} at call {number}: {problem}"))
        {
            number += 1;
        }
        assert!(number > 60, "only {number} calls were made");
    }
}
