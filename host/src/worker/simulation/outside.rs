//! What must be true of timers and callouts, folded from topics and from the server's own log.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Partition;
use crate::io::CalloutMode;
use crate::task::order::Order;
use crate::worker::simulation::plugin::Kind;
use crate::worker::simulation::world::{GROUP, World};

/// How often something ended, and how.
type Ends = BTreeMap<String, Vec<&'static str>>;

impl World {
    /// Every timer fires once, and every callout ends once: at most while there is trouble, exactly when it is over.
    pub(super) fn check_outside(&self, is_over: bool) -> Result<(), String> {
        self.check_requests()?;
        let (timers, callouts) = (self.fired(), self.ended());
        let known = |kind| self.done(kind).into_iter().map(|number| number.to_string());
        let mut called: BTreeSet<String> = known(Kind::Call).collect();
        called.extend(self.server.requests().into_iter().map(|request| request.id));
        let reminded: BTreeSet<String> = known(Kind::Remind).collect();
        for (what, ids, ends) in [("timer", reminded, timers), ("callout", called, callouts)] {
            if let Some((id, ends)) = ends.iter().find(|(_, ends)| ends.len() > 1) {
                return Err(format!("{what} {id} ended more than once: {ends:?}"));
            }
            if let Some(id) = ids.iter().find(|id| is_over && !ends.contains_key(*id)) {
                return Err(format!("{what} {id} never ended"));
            }
            if let Some((id, ends)) =
                ends.iter().find(|(id, _)| is_over && !ids.contains(*id) && !id.contains('~'))
            {
                return Err(format!("{what} {id}, of which nobody knows, ended: {ends:?}"));
            }
        }
        Ok(())
    }

    /// The server's own log (I7): never two requests for an id at most once, and equal ones otherwise.
    fn check_requests(&self) -> Result<(), String> {
        let mut first = BTreeMap::new();
        for request in self.server.requests() {
            match first.get(&request.id) {
                Some(_) if self.setup.mode == CalloutMode::AtMostOnce => {
                    return Err(format!("there are two requests for callout {} (I7)", request.id));
                }
                Some(before) if *before != request => {
                    return Err(format!("the requests for callout {} differ (I7)", request.id));
                }
                Some(_) => {}
                None => drop(first.insert(request.id.clone(), request)),
            }
        }
        Ok(())
    }

    /// The records of a kind below the committed positions.
    pub(super) fn done(&self, wanted: Kind) -> Vec<u64> {
        let produced = self.produced.borrow();
        let of_kind = produced.iter().filter(|(_, (kind, _))| *kind == wanted);
        let is_done = |((place, offset), _): &(&(_, crate::id::Offset), &(Kind, u64))| {
            let committed = self.cluster.committed(GROUP, place);
            committed.is_some_and(|committed| *offset < committed.position)
        };
        of_kind.filter(is_done).map(|(_, (_, number))| *number).collect()
    }

    fn fired(&self) -> Ends {
        let mut ends = Ends::new();
        for (_, note) in self.visible("notes") {
            if let Some(number) = note.strip_suffix("|timer") {
                ends.entry(number.to_owned()).or_default().push("fired");
            }
        }
        for (key, headers) in self.letters("dead") {
            if headers.get("gristmill-kind").is_some_and(|kind| kind == "timer") {
                ends.entry(key).or_default().push("dead letter");
            }
        }
        ends
    }

    fn ended(&self) -> Ends {
        let mut ends = Ends::new();
        for (_, note) in self.visible("notes") {
            if let Some(id) = note.strip_suffix("|answer") {
                ends.entry(id.to_owned()).or_default().push("answered");
            }
        }
        for (topic, how) in [("dead", "dead letter"), ("review", "review")] {
            for (_, headers) in self.letters(topic) {
                if let Some(id) = headers.get("gristmill-callout-id") {
                    ends.entry(id.clone()).or_default().push(how);
                }
            }
        }
        ends
    }

    /// An operator has a callout made again that is in doubt, or says that it is done.
    pub(super) fn review(&self) {
        let letters = self.letters("review");
        if letters.is_empty() {
            return;
        }
        let (key, headers) = self.random.pick(&letters);
        let (Some(id), Some(partition)) = (headers.get("gristmill-callout-id"), key.split('-').nth(1)) else {
            return;
        };
        let (id, partition) = (id.clone(), Partition(partition.parse().unwrap_or_default()));
        let order = match self.random.permille(800) {
            true => Order::RetryCallout { id },
            false => Order::CloseCallout { id },
        };
        self.give(partition, None, &order);
    }
}
