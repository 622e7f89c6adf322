//! I12: nothing that was consumed disappears.

use std::collections::BTreeMap;

use super::matching::{self, Place};
use super::model::Model;
use super::observation::Observation;
use super::report::Report;
use crate::record::Record;

/// I12: for each partition, each item that was consumed has become one output or one dead letter; a dead letter is the
/// item, unchanged.
pub fn conservation(seen: &Observation, model: &Model) -> Report {
    let mut report = Report::new("I12");
    let mut traces: BTreeMap<Place, usize> = BTreeMap::new();
    for place in matching::outputs(seen, model).into_iter().filter_map(|matched| matched.item) {
        *traces.entry(place).or_default() += 1;
    }
    let items: BTreeMap<Place, &Record> =
        seen.items.committed.iter().map(|item| ((item.partition, item.offset), item)).collect();
    for (letter, place) in matching::dead_letters(seen) {
        let item = place.and_then(|place| items.get(&place));
        report.expect(item.is_some(), || format!("a dead letter of no item: {letter:?}"));
        if let (Some(item), Some(place)) = (item, place) {
            report.expect(same(item, letter), || {
                format!("the dead letter {letter:?} is not the item {item:?}")
            });
            *traces.entry(place).or_default() += 1;
        }
    }
    for item in &seen.items.committed {
        let position = seen.positions.get(&item.partition).copied().unwrap_or(0);
        if item.offset >= position {
            continue;
        }
        let count = traces.get(&(item.partition, item.offset)).copied().unwrap_or(0);
        report.expect(count == 1, || format!("{item:?} was consumed and has become {count} records"));
    }
    report
}

/// Whether a dead letter has the item's key, value and headers, in front of those that the host adds. A value may be
/// left out when it would not fit, which a header says.
fn same(item: &Record, letter: &Record) -> bool {
    let kept = letter.headers.iter().filter(|(name, _)| !name.starts_with(b"gristmill-"));
    let shortened = letter.value.is_none() && letter.header("gristmill-value-omitted").is_some();
    letter.key == item.key && (letter.value == item.value || shortened) && kept.eq(item.headers.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing;

    #[test]
    fn holds_for_a_world_where_all_is_right() {
        let (seen, model) = testing::world();

        let report = conservation(&seen, &model);

        assert!(report.holds(), "{report}");
    }

    #[test]
    fn finds_an_item_that_left_no_trace() {
        let (mut seen, model) = testing::world();
        seen.enriched.committed.remove(0);

        assert_eq!(conservation(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_a_dead_letter_that_came_twice() {
        let (mut seen, model) = testing::world();
        let twice = seen.dead_letters.committed[0].clone();
        seen.dead_letters.committed.push(twice);

        assert_eq!(conservation(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_a_dead_letter_with_other_bytes() {
        let (mut seen, model) = testing::world();
        seen.dead_letters.committed[0].value = Some(b"other".to_vec());

        assert_eq!(conservation(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_a_dead_letter_of_no_item() {
        let (mut seen, model) = testing::world();
        let mut foreign = seen.dead_letters.committed[0].clone();
        foreign.headers.retain(|(name, _)| name != b"gristmill-source-offset");
        seen.dead_letters.committed.push(foreign);

        assert_eq!(conservation(&seen, &model).violations(), 1);
    }
}
