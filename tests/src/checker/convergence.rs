//! I3: what is left when the input rests.

use std::collections::BTreeMap;

use super::model::{Expected, Model, printed};
use super::observation::Observation;
use super::report::Report;
use crate::record::Record;

/// I3: the last output of each key equals the join of the key's last item with the classes as they are now; a key whose
/// last item is a tombstone has no row.
pub fn convergence(seen: &Observation, model: &Model) -> Report {
    let mut report = Report::new("I3");
    let outputs = last(&seen.enriched.committed, |_| true);
    let items = last(&seen.items.committed, |item| model.now(item) != Expected::Rejected);
    for (key, item) in &items {
        let output = outputs.get(key).copied();
        let right = match model.now(item) {
            Expected::OneOf(texts) => {
                output.is_some_and(|o| o.value.is_some() && texts.contains(&printed(o)))
            }
            Expected::Tombstone => output.is_none_or(|output| output.value.is_none()),
            Expected::Rejected => false,
        };
        report.expect(right, || format!("the last output is {output:?}, the last item {item:?}"));
    }
    for (key, output) in outputs {
        report.expect(items.contains_key(key), || format!("there is no item for {output:?}"));
    }
    report
}

/// The last record of each key that counts.
fn last(records: &[Record], counts: impl Fn(&Record) -> bool) -> BTreeMap<&[u8], &Record> {
    let counted = records.iter().filter(|record| counts(record));
    counted.filter_map(|record| Some((record.key.as_deref()?, record))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::{self, class};

    #[test]
    fn holds_for_a_world_where_all_is_right() {
        let (seen, model) = testing::world();

        let report = convergence(&seen, &model);

        assert!(report.holds(), "{report}");
    }

    #[test]
    fn finds_a_row_with_the_times_of_an_older_class() {
        let (mut seen, _) = testing::world();
        seen.classes.committed.push(class("small", 2, 2));

        let report = convergence(&seen, &Model::new("/class", &seen.classes.committed));

        // Both items that have the class among theirs.
        assert_eq!(report.violations(), 2, "{report}");
    }

    #[test]
    fn finds_a_row_of_a_deleted_item() {
        let (mut seen, model) = testing::world();
        let tombstone = seen.enriched.committed.iter().position(|r| r.value.is_none()).unwrap();
        seen.enriched.committed.remove(tombstone);

        let report = convergence(&seen, &model);

        assert_eq!(report.violations(), 1, "{report}");
    }

    #[test]
    fn finds_a_missing_row() {
        let (mut seen, model) = testing::world();
        seen.enriched.committed.retain(|record| record.key_text() != "a");

        assert_eq!(convergence(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_a_row_of_no_item() {
        let (mut seen, model) = testing::world();
        let mut foreign = seen.enriched.committed[0].clone();
        foreign.key = Some(b"foreign".to_vec());
        seen.enriched.committed.push(foreign);

        assert_eq!(convergence(&seen, &model).violations(), 1);
    }
}
