//! I8: all records and offsets of a transaction share one fate.

use std::collections::BTreeSet;

use super::matching::{self, Place};
use super::model::Model;
use super::observation::{Observation, Topic};
use super::report::Report;

/// I8: what is visible of an item, its output or its dead letter, is visible exactly when the committed position is behind
/// it; and what is committed is what was written. It holds at every instant at which no transaction is open, not only when
/// the input is consumed.
pub fn atomicity(seen: &Observation, model: &Model) -> Report {
    let mut report = Report::new("I8");
    for topic in [&seen.enriched, &seen.dead_letters] {
        written(topic, &mut report);
    }
    let outputs = matching::outputs(seen, model).into_iter().filter_map(|matched| matched.item);
    let letters = matching::dead_letters(seen).into_iter().filter_map(|(_, place)| place);
    let visible: BTreeSet<Place> = outputs.chain(letters).collect();
    for item in &seen.items.committed {
        let place = (item.partition, item.offset);
        let position = seen.positions.get(&item.partition).copied().unwrap_or(0);
        let consumed = item.offset < position;
        report.expect(visible.contains(&place) == consumed, || {
            let what = if consumed { "nothing is visible of" } else { "something is visible of" };
            format!("the position of partition {} is {position}, and {what} {item:?}", item.partition)
        });
    }
    report
}

/// What is committed was written, at that place and in that form.
fn written(topic: &Topic, report: &mut Report) {
    let mut all = topic.uncommitted.iter();
    for record in &topic.committed {
        report.expect(all.any(|other| other == record), || format!("`{}` never held {record:?}", topic.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing;

    #[test]
    fn holds_for_a_world_where_all_is_right() {
        let (seen, model) = testing::world();

        let report = atomicity(&seen, &model);

        assert!(report.holds(), "{report}");
    }

    #[test]
    fn holds_in_the_middle_when_outputs_and_positions_agree() {
        let (mut seen, model) = testing::world();
        // The last item of partition 0 and what came of it are not there yet.
        let last = seen.items.committed.iter().rposition(|item| item.partition == 0).unwrap();
        let offset = seen.items.committed[last].offset;
        seen.positions.insert(0, offset);
        seen.enriched.committed.retain(|record| record.key_text() != "c");

        let report = atomicity(&seen, &model);

        assert!(report.holds(), "{report}");
    }

    #[test]
    fn finds_outputs_whose_offset_was_not_committed() {
        let (mut seen, model) = testing::world();
        seen.positions.insert(1, 0);

        assert!(atomicity(&seen, &model).violations() > 0);
    }

    #[test]
    fn finds_an_offset_whose_output_was_not_committed() {
        let (mut seen, model) = testing::world();
        seen.enriched.committed.remove(0);

        assert_eq!(atomicity(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_an_offset_whose_dead_letter_was_not_committed() {
        let (mut seen, model) = testing::world();
        seen.dead_letters.committed.clear();

        assert_eq!(atomicity(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_a_record_that_is_not_in_the_log() {
        let (mut seen, model) = testing::world();
        seen.enriched.uncommitted.remove(2);

        assert!(atomicity(&seen, &model).violations() > 0);
    }
}
