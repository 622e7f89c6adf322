//! An independent judge of what a pipeline did: it reads every record of every topic, at both isolation levels, and knows
//! nothing of the host.
//!
//! It has its own model of the delivery-time transform, on trees of serde_json, and one function for each invariant of
//! the project's promises. Each returns a [`Report`]: how much was looked at, and what was wrong, with examples. A report
//! that has looked at nothing is not green.
//!
//! | invariant | function |
//! |---|---|
//! | I1 committed outputs are the model's: none lost, none doubled, none wrong | [`exactly_once()`] |
//! | I1, I2 while classes change: an item is sent again only when its times have changed | [`once_for_each_change`] |
//! | I1, I2 the same where update commands do it: an item is sent again for a command only | [`once_for_each_command`] |
//! | I2 outputs of a key come in source order | [`source_order`] |
//! | I3 the last output of a key is the join of the last item with the last classes | [`convergence()`] |
//! | I4 no class of an item goes back to a state that it had before | [`versions_never_go_back`] |
//! | I5 nobody but the test has written to the items | [`source_untouched`] |
//! | I6 one notification for each activation, none from updates of product information | [`one_notification_for_each`] |
//! | I7 what the server wrote down keeps to the mode of the endpoint | [`requests_keep_to`] |
//! | I7 each notification ends in one topic, never in two, never in none | [`one_outcome_for_each`] |
//! | I8 outputs and offsets share one fate; nothing that was aborted is visible | [`atomicity()`] |
//! | I9 no hanging transaction | [`nothing_hangs`] |
//! | I10 a local store is the committed changelog up to its checkpoint, with the rows and terms of its table | [`local_stores()`] |
//! | I12 each record that was consumed is an output or a dead letter, never both, never neither | [`conservation()`] |
//! | I16 the faults were really hit | [`faults_hit`] |

mod activation;
mod atomicity;
mod callouts;
mod changes;
mod conservation;
mod convergence;
mod exactly_once;
mod faults;
mod local_stores;
mod matching;
mod model;
mod observation;
mod order;
mod report;
mod stable;
#[cfg(test)]
mod testing;

pub use activation::{ACTIVATION, EXTERNAL, id_of, one_notification_for_each};
pub use atomicity::atomicity;
pub use callouts::{Promise, one_outcome_for_each, requests_keep_to};
pub use changes::{
    commands_name_their_cause, once_for_each_change, once_for_each_command, source_untouched,
    versions_never_go_back,
};
pub use conservation::conservation;
pub use convergence::convergence;
pub use exactly_once::exactly_once;
pub use faults::{Fault, faults_hit};
pub use local_stores::{Standing, local_stores};
pub use model::{Expected, Filter, Model};
pub use observation::{End, Observation, Topic};
pub use order::source_order;
pub use report::{Report, all_hold};
pub use stable::nothing_hangs;

use crate::record::Record;

/// The invariants that concern a delivery-time pipeline whose classes rest and whose input is consumed.
pub fn at_rest(seen: &Observation, model: &Model) -> Vec<Report> {
    vec![
        exactly_once(seen, model),
        source_order(seen, model),
        convergence(seen, model),
        atomicity(seen, model),
        nothing_hangs(seen),
        conservation(seen, model),
    ]
}

/// The invariants that concern a delivery-time pipeline whose classes have changed; its input is consumed, and it has
/// followed the last change. `sent` is the number of records that the test has sent to the items.
pub fn after_changes(seen: &Observation, model: &Model, sent: usize) -> Vec<Report> {
    vec![
        once_for_each_change(seen, model),
        convergence(seen, model),
        versions_never_go_back(seen, model),
        source_untouched(seen, sent),
        atomicity(seen, model),
        nothing_hangs(seen),
        conservation(seen, model),
    ]
}

/// The same where update commands make the changes go out; `commands` are all of them, and the last one is obeyed.
pub fn after_commands(seen: &Observation, model: &Model, sent: usize, commands: &[Record]) -> Vec<Report> {
    vec![
        once_for_each_command(seen, model, commands),
        commands_name_their_cause(seen, model, commands),
        convergence(seen, model),
        versions_never_go_back(seen, model),
        source_untouched(seen, sent),
        atomicity(seen, model),
        nothing_hangs(seen),
        conservation(seen, model),
    ]
}
