//! Breaks one rule after the other and expects the simulation to notice: that is how the simulation is tested.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::sabotage::{BROKEN, Rule};
use crate::worker::simulation::{appointments, scenarios, schedule, state};

/// The first problem that some schedule finds while a rule is broken.
fn found_by_schedules(rule: Rule) -> Option<String> {
    found(rule, || (0..400).find_map(|seed| schedule::run(seed).err()))
}

fn found(rule: Rule, run: impl FnOnce() -> Option<String>) -> Option<String> {
    BROKEN.set(Some(rule));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    BROKEN.set(None);
    outcome.unwrap_or_else(|_| Some("it panicked".into()))
}

/// Names a test for each rule that ordinary schedules have to notice.
macro_rules! noticed {
    ($($name:ident: $rule:ident,)*) => {$(
        #[test]
        fn $name() {
            let problem = found_by_schedules(Rule::$rule);
            assert!(problem.is_some(), "nobody noticed");
        }
    )*};
}

noticed! {
    notices_that_an_abort_does_not_rewind: RewindAfterAbort,
    notices_offsets_outside_of_the_transaction: OffsetsInside,
    notices_a_missing_flush: FlushFirst,
    notices_a_commit_under_another_membership: CompareMembership,
    notices_that_an_unknown_outcome_is_taken_for_an_abort: ReplaceWhenUnknown,
    notices_positions_of_the_last_records: NextRecord,
    notices_that_the_lag_never_reaches_zero: PassTheEnd,
    notices_that_culprits_are_forgotten: RememberCulprits,
    notices_a_store_that_is_written_before_the_commit: StoreAfterCommit,
    notices_a_broadcast_position_that_is_not_committed: BroadcastPosition,
    notices_state_that_is_not_logged: LogState,
    notices_a_changelog_that_is_not_read_to_its_end: ReadTheTail,
    notices_an_index_that_is_updated_without_its_row: RowWithEntries,
    notices_a_timer_that_is_gone_before_the_commit: TimerWithCommit,
    notices_a_call_before_the_commit_of_its_intent: CallAfterCommit,
    notices_an_answer_that_is_committed_without_its_end: EndWithAnswer,
    notices_that_what_a_predecessor_left_is_called_again: DoubtWhatWasLeft,
}

#[test]
fn notices_a_search_in_an_open_transaction() {
    let problem = found(Rule::SearchInQuiet, || scenarios::poison_batch().err());

    assert!(problem.is_some(), "nobody noticed");
}

#[test]
fn notices_a_cursor_that_is_not_committed_with_its_page() {
    let problem = found(Rule::CursorWithPage, || state::walk_on_an_empty_disk().err());

    assert!(problem.is_some(), "nobody noticed");
}

#[test]
fn notices_that_others_run_before_a_restored_table_has_caught_up() {
    let problem = found(Rule::CatchUpFirst, || state::older_value_after_restore().err());

    assert!(problem.is_some(), "nobody noticed");
}

#[test]
fn notices_a_timer_that_overtakes_records() {
    let problem = found(Rule::TimerBehindRecords, || appointments::expiry_overtakes_the_backlog().err());

    assert!(problem.is_some(), "nobody noticed");
}

#[test]
fn notices_that_latest_is_resolved_twice() {
    let problem = found(Rule::SettleFirst, || scenarios::idle_task_at_latest().err());

    assert!(problem.is_some(), "nobody noticed");
}

#[test]
fn notices_that_a_zombie_fences_its_successor() {
    for sleep in [Duration::ZERO, Duration::from_secs(30)] {
        let problem = found(Rule::WaitAfterFence, || scenarios::zombie_with_the_same_ids(sleep).err());

        assert!(problem.is_some(), "nobody noticed after {sleep:?}");
    }
}
