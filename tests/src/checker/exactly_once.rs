//! I1: the committed outputs are those of the model, each as often as it should be.

use std::collections::BTreeMap;

use super::matching::{self, Place};
use super::model::{Expected, Model, printed};
use super::observation::Observation;
use super::report::Report;
use crate::record::Record;

/// I1: each item that the model enriches has exactly one committed output, with the right times; no output is without an
/// item.
pub fn exactly_once(seen: &Observation, model: &Model) -> Report {
    let mut report = Report::new("I1");
    let mut found: BTreeMap<Place, &Record> = BTreeMap::new();
    for matched in matching::outputs(seen, model) {
        let Some(place) = matched.item else {
            report.violated(|| format!("doubled, or of no item: {:?}", matched.output));
            continue;
        };
        found.insert(place, matched.output);
    }
    for item in &seen.items.committed {
        let output = found.get(&(item.partition, item.offset));
        match (model.expected(item), output) {
            (Expected::OneOf(texts), Some(output)) => {
                let right = output.value.is_some() && texts.contains(&printed(output));
                report.expect(right, || format!("wrong: {output:?}, not one of {texts:?}"));
                report
                    .expect(untouched(item, output), || format!("bytes changed: {item:?} became {output:?}"));
            }
            (Expected::Tombstone, Some(output)) => {
                report.expect(output.value.is_none(), || format!("no tombstone: {output:?} of {item:?}"));
            }
            (Expected::Rejected, None) => report.look(1),
            (Expected::Rejected, Some(output)) => {
                report.expect(false, || format!("{item:?} should be rejected and became {output:?}"));
            }
            (Expected::OneOf(_) | Expected::Tombstone, None) => {
                report.expect(false, || format!("lost: nothing came of {item:?}"));
            }
        }
    }
    report
}

/// Whether an item without times starts with the very bytes that it had, and kept its headers.
fn untouched(item: &Record, output: &Record) -> bool {
    let (Some(before), Some(after)) = (item.value.as_deref(), output.value.as_deref()) else { return true };
    let text = String::from_utf8_lossy(before);
    if text.contains("DeliveryTime") {
        return true;
    }
    let open = text.trim_end().strip_suffix('}').map(str::trim_end).unwrap_or_default();
    let headers = output.headers.iter().filter(|(name, _)| !name.starts_with(b"gristmill-"));
    after.starts_with(open.as_bytes()) && headers.eq(item.headers.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::{self, class};

    #[test]
    fn holds_for_a_world_where_all_is_right() {
        let (seen, model) = testing::world();

        let report = exactly_once(&seen, &model);

        assert!(report.holds(), "{report}");
    }

    #[test]
    fn finds_a_lost_output() {
        let (mut seen, model) = testing::world();
        seen.enriched.committed.remove(1);

        let report = exactly_once(&seen, &model);

        assert_eq!(report.violations(), 1, "{report}");
        assert!(report.examples()[0].starts_with("lost"), "{report}");
    }

    #[test]
    fn finds_a_doubled_output() {
        let (mut seen, model) = testing::world();
        let twice = seen.enriched.committed[0].clone();
        seen.enriched.committed.push(twice);

        let report = exactly_once(&seen, &model);

        assert_eq!(report.violations(), 1, "{report}");
        assert!(report.examples()[0].starts_with("doubled"), "{report}");
    }

    #[test]
    fn finds_a_doubled_tombstone() {
        let (mut seen, model) = testing::world();
        let tombstone = seen.enriched.committed.iter().find(|r| r.value.is_none()).unwrap().clone();
        seen.enriched.committed.push(tombstone);

        assert_eq!(exactly_once(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_wrong_times() {
        let (seen, _) = testing::world();
        let other = Model::new("/class", &[class("small", 1, 1), class("bulky", 5, 9)]);

        let report = exactly_once(&seen, &other);

        assert!(report.examples()[0].starts_with("wrong"), "{report}");
    }

    #[test]
    fn finds_other_bytes_than_those_of_the_item() {
        let (mut seen, model) = testing::world();
        let output = seen.enriched.committed.first_mut().unwrap();
        let spaced = output.text().replace(":", ": ");
        output.value = Some(spaced.into_bytes());

        let report = exactly_once(&seen, &model);

        assert!(report.examples()[0].starts_with("bytes changed"), "{report}");
    }

    #[test]
    fn finds_lost_headers() {
        let (mut seen, model) = testing::world();
        seen.items.committed[0].headers.push((b"h".to_vec(), None));

        assert_eq!(exactly_once(&seen, &model).violations(), 1);
    }
}
