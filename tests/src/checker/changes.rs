//! I1, I2 and I4 while classes change: what an item became, one output after the other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::model::{Expected, Model, Times, identity, printed, shown};
use super::observation::Observation;
use super::report::Report;
use crate::record::Record;

/// I1 and I2 while classes change: the outputs of a key follow its items, one after the other and none left out; an item has
/// a further output only if that differs from the one before it.
pub fn once_for_each_change(seen: &Observation, model: &Model) -> Report {
    follow_all(seen, model, |_, before, output| {
        before.is_none_or(|before| printed(before) != printed(output))
    })
}

/// I1 and I2 while classes change and commands make the changes go out: as [`once_for_each_change`], but that an item has
/// a further output for a command at most, whether or not that differs from the one before it.
pub fn once_for_each_command(seen: &Observation, model: &Model, commands: &[Record]) -> Report {
    let mut left: BTreeMap<&[u8], usize> = BTreeMap::new();
    for command in commands {
        *left.entry(command.key.as_deref().unwrap_or_default()).or_default() += 1;
    }
    follow_all(seen, model, |key, _, _| {
        left.get_mut(key).is_some_and(|left| {
            let is_left = *left > 0;
            *left = left.saturating_sub(1);
            is_left
        })
    })
}

/// What update commands must be: of an item that there was, with its class, and with the position of the change behind them.
pub fn commands_name_their_cause(seen: &Observation, model: &Model, commands: &[Record]) -> Report {
    let mut report = Report::new("commands");
    let keys: BTreeSet<_> = seen.items.committed.iter().filter_map(|item| item.key.as_deref()).collect();
    for command in commands {
        let key = command.key.as_deref();
        report.expect(key.is_some_and(|key| keys.contains(key)), || format!("of no item: {command:?}"));
        let value: Value =
            serde_json::from_slice(command.value.as_deref().unwrap_or_default()).unwrap_or_default();
        let members = value.as_object().map(|object| object.keys().map(String::as_str).collect::<Vec<_>>());
        let text = |member: &str| value.get(member).and_then(Value::as_str);
        let has_changed = text("class").is_some_and(|class| model.states(class).count() > 1);
        let says_why =
            text("cause") == Some("delivery-class-changed") && members == Some(vec!["cause", "class"]);
        report.expect(says_why && has_changed, || format!("does not say why: {command:?}"));
        let after = command.header("gristmill-after").unwrap_or_default();
        let is_of_classes = after.starts_with(&format!("{}/", seen.classes.name));
        report.expect(is_of_classes, || format!("does not name the change behind it: {command:?}"));
    }
    report
}

/// Goes through the items and the outputs of all keys. `again` says of a key, the output before and a further one whether that
/// one may be.
fn follow_all(
    seen: &Observation,
    model: &Model,
    mut again: impl FnMut(&[u8], Option<&Record>, &Record) -> bool,
) -> Report {
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
        let items = items.remove(key).unwrap_or_default().into_iter();
        follow(items, outputs, model, (&mut report, &mut |before, output| again(key, before, output)));
    }
    for lost in items.into_values().flatten() {
        report.expect(false, || format!("lost: nothing came of {lost:?}"));
    }
    report
}

/// Whether an output of a key may come again: the one before it, and itself.
type Again<'a> = &'a mut dyn FnMut(Option<&Record>, &Record) -> bool;

/// Goes through the items and the outputs of one key.
fn follow<'a>(
    items: impl Iterator<Item = &'a Record>,
    outputs: &[&'a Record],
    model: &Model,
    (report, again): (&mut Report, Again<'_>),
) {
    let mut items = items.peekable();
    let (mut current, mut before): (Option<&Record>, Option<&Record>) = (None, None);
    for output in outputs {
        if let Some(next) = items.next_if(|next| is_of(output, next, model)) {
            current = Some(next);
            report.look(1);
        } else if current.is_some_and(|item| is_of(output, item, model)) {
            let may_be = again(before, output);
            report.expect(may_be, || format!("sent again without a change: {output:?}"));
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
    fn finds_more_outputs_than_commands() {
        let (seen, model) = world(&[SMALL_1, BULKY, BULKY]);
        let command = item("e", r#"{"cause":"delivery-class-changed","class":"small"}"#);

        let mut commands = vec![command.clone(), item("other", "{}"), command];
        assert!(once_for_each_command(&seen, &model, &commands).holds());

        commands.pop();
        assert_eq!(once_for_each_command(&seen, &model, &commands).violations(), 1);
    }

    #[test]
    fn finds_commands_that_do_not_name_their_cause() {
        let (mut seen, model) = world(&[SMALL_1]);
        seen.classes.name = "classes".to_owned();
        let mut good = item("e", r#"{"cause":"delivery-class-changed","class":"small"}"#);
        good.headers.push((b"gristmill-after".to_vec(), Some(b"classes/0@7".to_vec())));
        assert!(commands_name_their_cause(&seen, &model, &[good.clone()]).holds());

        for spoil in [
            (|command: &mut Record| command.key = Some(b"nobody".to_vec())) as fn(&mut Record),
            |command| command.headers.clear(),
            |command| command.value = None,
            |command| command.value = Some(br#"{"cause":"x","class":"small"}"#.to_vec()),
            |command| command.value = Some(br#"{"cause":"delivery-class-changed","class":"none"}"#.to_vec()),
        ] {
            let mut bad = good.clone();
            spoil(&mut bad);
            assert_eq!(commands_name_their_cause(&seen, &model, &[bad]).violations(), 1);
        }
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
