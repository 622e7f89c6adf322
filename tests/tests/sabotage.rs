//! Breaks one rule of exactly-once at a time in a host, and proves that the offline suite notices, and by which test.
//!
//! The scenarios are those of the offline suite themselves, with the bundled plugins in the test driver. They are compiled
//! into this program, which runs some of them again in a child process whose environment names a rule to break. That works in a
//! host with the feature `sabotage` only: `.ci/test sabotage` makes one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy allows these in tests, but does not see that the helpers of a test are a part of it"
)]

mod offline {
    mod driver;
    mod plugin;
}

use std::collections::BTreeMap;
use std::process::Command;

/// Where the scenarios are.
const SCENARIOS: &str = "offline::driver::";

/// A rule that can be broken.
struct Rule {
    /// The name by which the host knows it.
    name: &'static str,
    /// What the host does when it is broken.
    broken: &'static str,
    /// The scenarios that notice.
    noticed_by: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        name: "RewindAfterAbort",
        broken: "no rewind after an abort",
        noticed_by: &["crashes::puts_out_the_same_whatever_call_fails"],
    },
    Rule {
        name: "StoreAfterCommit",
        broken: "local store applied before the commit",
        noticed_by: &[
            "crashes::puts_out_the_same_whatever_call_fails",
            "crashes::puts_out_the_same_whenever_it_dies",
        ],
    },
    Rule {
        name: "OffsetsInside",
        broken: "offsets outside of the transaction",
        noticed_by: &[
            "crashes::puts_out_the_same_whenever_it_dies",
            "crashes::puts_out_the_same_whenever_it_dies_and_loses_its_disk",
        ],
    },
    Rule {
        name: "CursorWithPage",
        broken: "cursor not committed with its page",
        noticed_by: &[
            "hosts::hands_a_walk_on_to_a_host_that_joins",
            "hosts::takes_a_walk_over_from_a_host_that_dies",
            "hosts::takes_a_walk_over_from_a_host_that_leaves",
        ],
    },
    Rule {
        name: "RowWithEntries",
        broken: "index updated without its row",
        noticed_by: &[
            "delivery_time::follows_classes_that_change_while_items_flow",
            "hosts::sends_no_older_item_after_a_restore",
        ],
    },
    Rule {
        name: "BroadcastPosition",
        broken: "broadcast position not persisted",
        noticed_by: &["broadcasts::rejects_a_bad_class_once_whatever_becomes_of_the_host"],
    },
    Rule {
        name: "CausalHeader",
        broken: "causal header ignored",
        noticed_by: &[
            "broadcasts::obeys_a_command_only_behind_the_class_change_that_it_names",
            "commands::misses_no_item_that_was_joined_with_the_old_class_behind_the_walk",
        ],
    },
    Rule {
        name: "TimerWithCommit",
        broken: "timer deleted outside of the transaction",
        noticed_by: &["activation::notifies_once_whatever_call_fails"],
    },
    Rule {
        name: "TimerBehindRecords",
        broken: "timer that overtakes the records before it",
        noticed_by: &["activation::lets_nothing_expire_whose_information_came_while_the_host_was_down"],
    },
    Rule {
        name: "CallAfterCommit",
        broken: "call before its intent is committed",
        noticed_by: &["chain::calls_at_most_once_whenever_the_host_dies"],
    },
    Rule {
        name: "EndWithAnswer",
        broken: "answer committed without its end",
        noticed_by: &["chain::calls_at_most_once_whenever_the_host_dies"],
    },
    Rule {
        name: "DoubtWhatWasLeft",
        broken: "call of a predecessor made again",
        noticed_by: &["chain::calls_at_most_once_whenever_the_host_dies"],
    },
];

/// What became of scenarios: nothing, or what they said when they failed.
type Outcomes = BTreeMap<String, Result<(), String>>;

/// Runs scenarios in a process of their own, in whose hosts a rule is broken or none.
fn run(scenarios: &[&str], broken: Option<&str>) -> Outcomes {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(scenarios.iter().map(|name| format!("{SCENARIOS}{name}"))).arg("--exact");
    command.env("RUST_BACKTRACE", "0").env_remove("GRISTMILL_SABOTAGE");
    if let Some(rule) = broken {
        command.env("GRISTMILL_SABOTAGE", rule);
    }
    let output = command.output().unwrap();
    outcomes(&String::from_utf8_lossy(&output.stdout))
}

/// Reads what a test program has printed.
fn outcomes(text: &str) -> Outcomes {
    let lines = text.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    let outcome = |(name, outcome): (&str, &str)| {
        let outcome = if outcome == "ok" { Ok(()) } else { Err(said(text, name)) };
        (name.trim_start_matches(SCENARIOS).to_owned(), outcome)
    };
    lines.map(outcome).collect()
}

/// How a scenario said what was wrong, as far as it goes into a line.
fn said(text: &str, name: &str) -> String {
    let (_, said) = text.split_once(&format!("---- {name} stdout ----\n")).unwrap_or_default();
    let ends = ["\n---- ", "\nnote: ", "\nfailures:"];
    let own = ends.iter().fold(said, |own, end| own.split(end).next().unwrap_or_default());
    // Of a panic, the place and the message.
    let own = own.split_once(" panicked at ").map_or(own, |(_, own)| own);
    let words = own.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(240).collect()
}

#[test]
fn notices_each_broken_rule() {
    let mut unnoticed = Vec::new();
    for rule in RULES {
        let outcomes = run(rule.noticed_by, Some(rule.name));
        for scenario in rule.noticed_by {
            match outcomes.get(*scenario) {
                Some(Err(said)) => println!("{:<38} noticed by {scenario}\n    {said}", rule.broken),
                Some(Ok(())) => unnoticed.push(format!("{} by {scenario}", rule.broken)),
                None => unnoticed.push(format!("there is no scenario {scenario}")),
            }
        }
    }

    assert!(unnoticed.is_empty(), "not noticed:\n{}", unnoticed.join("\n"));
}

#[test]
fn notices_nothing_when_no_rule_is_broken() {
    let mut scenarios: Vec<_> = RULES.iter().flat_map(|rule| rule.noticed_by).copied().collect();
    scenarios.sort_unstable();
    scenarios.dedup();

    let outcomes = run(&scenarios, None);

    assert_eq!(outcomes.len(), scenarios.len(), "{outcomes:?}");
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
}
