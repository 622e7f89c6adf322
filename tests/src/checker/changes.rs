//! I1, I2 and I4 while classes change: what an item became, one output after the other.

use std::collections::BTreeMap;

use super::model::{Expected, Model, Times, identity, printed, shown};
use super::observation::Observation;
use super::report::Report;
use crate::record::Record;

/// I1 and I2 while classes change: the outputs of a key follow its items, one after the other and none left out; an item has
/// a further output only if that differs from the one before it.
pub fn once_for_each_change(seen: &Observation, model: &Model) -> Report {
    let mut report = Report::new("I1");
    let mut items: BTreeMap<&[u8], Vec<&Record>> = BTreeMap::new();
    for item in &seen.items.committed {
        let consumed = item.offset < seen.positions.get(&item.partition).copied().unwrap_or(0);
        if consumed && model.expected(item) != Expected::Rejected {
            items.entry(item.key.as_deref().unwrap_or_default()).or_default().push(item);
        }
    }
    let mut outputs: BTreeMap<&[u8], Vec<&Record>> = BTreeMap::new();
    for output in &seen.enriched.committed {
        outputs.entry(output.key.as_deref().unwrap_or_default()).or_default().push(output);
    }
    for (key, outputs) in &outputs {
        follow(items.remove(key).unwrap_or_default().into_iter(), outputs, model, &mut report);
    }
    for lost in items.into_values().flatten() {
        report.expect(false, || format!("lost: nothing came of {lost:?}"));
    }
    report
}

/// Goes through the items and the outputs of one key.
fn follow<'a>(
    items: impl Iterator<Item = &'a Record>,
    outputs: &[&'a Record],
    model: &Model,
    report: &mut Report,
) {
    let mut items = items.peekable();
    let (mut current, mut before): (Option<&Record>, Option<&Record>) = (None, None);
    for output in outputs {
        if let Some(next) = items.next_if(|next| is_of(output, next, model)) {
            current = Some(next);
            report.look(1);
        } else if current.is_some_and(|item| is_of(output, item, model)) {
            let differs = before.is_none_or(|before| printed(before) != printed(output));
            report.expect(differs, || format!("sent again without a change: {output:?}"));
        } else {
            report.expect(false, || format!("not of {current:?} nor of the item after it: {output:?}"));
        }
        before = Some(output);
    }
    for lost in items {
        report.expect(false, || format!("lost: nothing came of {lost:?}"));
    }
}

/// Whether an output can be made of an item: of any state that its classes ever had.
fn is_of(output: &Record, item: &Record, model: &Model) -> bool {
    match model.expected(item) {
        Expected::Rejected => false,
        Expected::Tombstone => output.value.is_none(),
        Expected::OneOf(texts) => {
            output.value.is_some() && identity(item) == identity(output) && texts.contains(&printed(output))
        }
    }
}

/// I4: from one output of a key to the next, no class of it goes back to a state that it had before. It needs states that
/// can be told from each other: no two of them with the same times.
pub fn versions_never_go_back(seen: &Observation, model: &Model) -> Report {
    let mut report = Report::new("I4");
    let mut newest: BTreeMap<(Vec<u8>, String), usize> = BTreeMap::new();
    for output in &seen.enriched.committed {
        let Some((classes, times)) = shown(output, model) else { continue };
        let key = output.key.clone().unwrap_or_default();
        let from = |class: &String| newest.get(&(key.clone(), class.clone())).copied().unwrap_or(0);
        let states = explain(&classes, times, model, from);
        report.expect(states.is_some(), || format!("made with an older state of a class: {output:?}"));
        for (class, state) in classes.into_iter().zip(states.unwrap_or_default()) {
            newest.insert((key.clone(), class), state);
        }
    }
    report
}

/// The oldest states of the classes, not older than `from` says, that give an item these times.
fn explain(
    classes: &[String],
    times: Times,
    model: &Model,
    from: impl Fn(&String) -> usize,
) -> Option<Vec<usize>> {
    let find = |class: &String, fits: &dyn Fn(Times) -> bool| {
        let from = from(class);
        model.states(class).skip(from).position(fits).map(|found| from + found)
    };
    let winner = classes.iter().find(|class| find(class, &|state| state == times).is_some());
    if times.is_some() && winner.is_none() {
        return None;
    }
    let state_of = |class| match times {
        None => find(class, &|state| state.is_none()),
        Some(_) if winner == Some(class) => find(class, &|state| state == times),
        Some(_) => find(class, &|state| state.is_none() || state >= times),
    };
    classes.iter().map(state_of).collect()
}

/// I5: the source of the items holds what the test has sent, and nothing else.
pub fn source_untouched(seen: &Observation, sent: usize) -> Report {
    let mut report = Report::new("I5");
    let found = seen.items.uncommitted.len();
    report.expect(found == sent, || format!("`{}` holds {found} records, {sent} were sent", seen.items.name));
    for item in &seen.items.uncommitted {
        let ours = item.headers.iter().any(|(name, _)| name.starts_with(b"gristmill"));
        report.expect(!ours, || format!("the host has written {item:?}"));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::{self, class, item, record};

    /// Key e: an item of two classes that is followed from state to state.
    fn world(outputs: &[(Option<u64>, Option<u64>)]) -> (Observation, Model) {
        let (mut seen, _) = testing::world();
        seen.classes.committed.extend([
            class("small", 7, 100),
            record("small", None),
            class("small", 2, 101),
        ]);
        let text = r#"{"class":["bulky","small"],"n":1"#;
        seen.items.committed.push(item("e", &format!("{text}}}")));
        for (minimum, maximum) in outputs {
            let number = |n: &Option<u64>| n.map_or_else(|| "null".to_owned(), |n| n.to_string());
            let times = format!(
                r#""minimumDeliveryTime":{},"maximumDeliveryTime":{}"#,
                number(minimum),
                number(maximum)
            );
            seen.enriched.committed.push(item("e", &format!("{text},{times}}}")));
        }
        let model = Model::new("/class", &seen.classes.committed).moving();
        (seen, model)
    }

    const SMALL_1: (Option<u64>, Option<u64>) = (Some(1), Some(2));
    const BULKY: (Option<u64>, Option<u64>) = (Some(5), Some(9));
    const SMALL_4: (Option<u64>, Option<u64>) = (Some(2), Some(101));

    #[test]
    fn holds_for_an_item_that_follows_its_classes() {
        let (seen, model) = world(&[SMALL_1, BULKY, SMALL_4]);

        for report in [once_for_each_change(&seen, &model), versions_never_go_back(&seen, &model)] {
            assert!(report.holds(), "{report}");
        }
    }

    #[test]
    fn finds_a_state_that_comes_back() {
        for outputs in [[SMALL_1, SMALL_4, SMALL_1], [SMALL_1, SMALL_4, BULKY]] {
            let (seen, model) = world(&outputs);

            let report = versions_never_go_back(&seen, &model);

            assert_eq!(report.violations(), 1, "{report}");
        }
    }

    #[test]
    fn finds_an_output_without_a_change() {
        let (seen, model) = world(&[SMALL_1, BULKY, BULKY]);

        assert_eq!(once_for_each_change(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_an_item_that_is_lost_or_comes_back() {
        let (mut seen, model) = world(&[SMALL_1]);
        assert!(once_for_each_change(&seen, &model).holds());

        seen.items.committed.push(item("e", r#"{"class":"small","n":2}"#));
        assert_eq!(once_for_each_change(&seen, &model).violations(), 1);

        seen.items.committed.pop();
        seen.enriched.committed.push(record("b", None));
        assert_eq!(once_for_each_change(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_times_of_no_state() {
        let (seen, model) = world(&[(Some(3), Some(3))]);

        assert_eq!(once_for_each_change(&seen, &model).violations(), 2);
        assert_eq!(versions_never_go_back(&seen, &model).violations(), 1);
    }

    #[test]
    fn finds_a_record_that_was_written_to_the_source() {
        let (mut seen, _) = testing::world();
        let sent = seen.items.uncommitted.len();
        assert!(source_untouched(&seen, sent).holds());

        let foreign = seen.items.uncommitted[0].clone();
        seen.items.uncommitted.push(foreign);
        assert_eq!(source_untouched(&seen, sent).violations(), 1);

        seen.items.uncommitted[0].headers.push((b"gristmill-after".to_vec(), None));
        assert_eq!(source_untouched(&seen, sent + 1).violations(), 1);
    }
}
