//! I2: outputs come in source order.

use std::collections::BTreeMap;

use super::matching::{self, Place};
use super::model::Model;
use super::observation::Observation;
use super::report::Report;

/// I2: for each source partition and key, outputs come in source order.
pub fn source_order(seen: &Observation, model: &Model) -> Report {
    let mut report = Report::new("I2");
    let mut newest: BTreeMap<(i32, Option<&[u8]>), Place> = BTreeMap::new();
    for matched in matching::outputs(seen, model) {
        let (output, Some(item)) = (matched.output, matched.item) else { continue };
        let Some(before) = newest.insert((item.0, output.key.as_deref()), item) else { continue };
        report.expect(before < item, || {
            format!("{output:?}, made of the item at {item:?}, comes after what was made of {before:?}")
        });
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing;

    #[test]
    fn holds_for_a_world_where_all_is_right() {
        let (seen, model) = testing::world();

        assert!(source_order(&seen, &model).holds());
    }

    #[test]
    fn finds_outputs_of_a_key_that_are_swapped() {
        let (mut seen, model) = testing::world();
        let places: Vec<_> = (0..seen.enriched.committed.len())
            .filter(|n| seen.enriched.committed[*n].key_text() == "a")
            .collect();
        seen.enriched.committed.swap(places[0], places[1]);

        let report = source_order(&seen, &model);

        assert_eq!(report.violations(), 1, "{report}");
    }
}
