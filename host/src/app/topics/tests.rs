//! Which topics a pipeline needs, and which of the cluster's do not fit.

use std::path::Path;

use super::*;
use crate::config::{assembly, manifest, raw};
use crate::id::Digest;

const MANIFEST: &str = r#"
[plugin]
name = "join"
version = "1"
interface = "0.1"
[[source]]
name = "left"
kind = "table"
[[source]]
name = "right"
kind = "stream"
[[source]]
name = "small"
kind = "broadcast"
[[sink]]
name = "out"
"#;

pub(in crate::app) const FILE: &str = r#"
[app]
id = "shop"
[kafka]
brokers = "b"
[transforms.j]
plugin = "builtin:join"
sources = { left = "a", right = "b", small = "c" }
sinks.out = "d"
"#;

fn pipeline() -> Pipeline {
    pipeline_of(FILE)
}

/// The pipeline of a file all of whose transforms run the plugin `join`.
pub(in crate::app) fn pipeline_of(file: &str) -> Pipeline {
    let raw = raw::parse(Path::new("shop.toml"), file, &|_| None).unwrap();
    assembly::assemble(&raw, &mut |_| Ok((manifest::parse(MANIFEST)?, Digest([0; 32])))).unwrap()
}

/// A pipeline of transforms with a stream and a sink each: name, what it reads, what it writes.
pub(in crate::app) fn chain(transforms: &[(&str, &str, &str)]) -> Pipeline {
    let manifest = "[plugin]\nname = 'p'\nversion = '1'\ninterface = '0.1'\n[[source]]\nname = 'in'\nkind = 'stream'\n\
        [[sink]]\nname = 'out'\n";
    let section = |(name, source, sink): &(&str, &str, &str)| {
        format!("[transforms.{name}]\nplugin = 'p.wasm'\nsources.in = '{source}'\nsinks.out = '{sink}'\n")
    };
    let sections: String = transforms.iter().map(section).collect();
    let file = format!("[app]\nid = 'shop'\n[kafka]\nbrokers = 'b'\n{sections}");
    let raw = raw::parse(Path::new("shop.toml"), &file, &|_| None).unwrap();
    assembly::assemble(&raw, &mut |_| Ok((manifest::parse(manifest)?, Digest([0; 32])))).unwrap()
}

pub(in crate::app) fn facts(topics: &[(&str, i32, &str)]) -> Facts {
    let fact = |(name, partitions, policy): &(&str, i32, &str)| {
        let settings = BTreeMap::from([("cleanup.policy".to_owned(), (*policy).to_owned())]);
        let name = TopicName::new(name);
        (name.clone(), TopicDescription { name, id: None, partitions: *partitions, settings })
    };
    topics.iter().map(fact).collect()
}

pub(in crate::app) const GOOD: [(&str, i32, &str); 7] = [
    ("a", 6, "compact"),
    ("b", 6, "delete"),
    ("c", 1, "compact"),
    ("d", 3, "compact"),
    ("shop.j.dead-letters", 1, "delete"),
    ("shop.j.changelog", 6, "compact"),
    ("shop.j.inbox", 6, "delete"),
];

/// The good topics with one in another form.
fn but(topic: (&str, i32, &str)) -> Facts {
    let mut all = facts(&GOOD);
    all.extend(facts(&[topic]));
    all
}

fn reports(facts: &Facts) -> Vec<String> {
    misfits(&pipeline(), facts).iter().map(Fault::report).collect()
}

#[test]
fn finds_nothing_wrong_with_topics_that_fit() {
    assert_eq!(reports(&facts(&GOOD)), [""; 0]);
}

#[test]
fn names_all_missing_topics_at_once() {
    assert_eq!(
        reports(&facts(&GOOD[2..])),
        ["error: topics `a`, `b` do not exist\n\
          hint: create it; `gristmill topics FILE --create` makes all that are missing\ncode: topic_missing"]
    );
    assert!(
        reports(&facts(&GOOD[1..]))[0]
            .starts_with("error: topic `a` does not exist (j: source left (table))")
    );
}

#[test]
fn names_the_topics_that_are_not_co_partitioned_and_their_counts() {
    let reports = reports(&but(("b", 12, "delete")));

    assert_eq!(
        reports,
        ["error: transform `j` cannot start: its sources are not co-partitioned\n  \
          caused by: `a` has 6 partitions, `b` has 12 partitions\n\
          hint: create the topics with the same number of partitions, or put a repartitioning transform in front of \
          one\ncode: not_co_partitioned"]
    );
}

#[test]
fn lets_broadcasts_and_sinks_have_any_number_of_partitions() {
    assert_eq!(reports(&but(("c", 50, "compact"))), [""; 0]);
    assert_eq!(reports(&but(("d", 50, "compact"))), [""; 0]);
}

#[test]
fn refuses_a_changelog_with_another_number_of_partitions_than_the_sources() {
    let reports = reports(&but(("shop.j.changelog", 12, "compact")));

    assert_eq!(
        reports,
        ["error: transform `j` cannot start: its changelog has 12 partitions, its source `a` has 6\n  \
          caused by: topic `shop.j.changelog` was created for an earlier partition count\n\
          hint: restore the old partition count, or start without the state: stop all hosts, delete topic \
          `shop.j.changelog` and the offsets of group `shop.j`\ncode: changelog_partition_mismatch"]
    );
}

#[test]
fn refuses_an_inbox_with_another_number_of_partitions_or_in_which_orders_replace_each_other() {
    assert_eq!(
        reports(&but(("shop.j.inbox", 1, "delete"))),
        ["error: transform `j` cannot start: its inbox has 1 partitions, its source `a` has 6\n\
          hint: stop all hosts and delete topic `shop.j.inbox`: it is made anew, and orders in it are lost\n\
          code: not_co_partitioned"]
    );
    assert!(reports(&but(("shop.j.inbox", 6, "compact")))[0].ends_with("code: topic_unfit"));
}

#[test]
fn refuses_changelogs_that_lose_state_and_takes_tables_that_lose_rows() {
    for policy in ["delete", "compact,delete"] {
        let report = &reports(&but(("shop.j.changelog", 6, policy)))[0];
        assert!(report.starts_with("error: topic `shop.j.changelog` does not fit its use (j: changelog)"));
        assert!(report.ends_with("code: topic_unfit"), "{report}");
        assert_eq!(reports(&but(("a", 6, policy))), [""; 0]);
    }
}

#[test]
fn knows_which_tables_are_their_own_changelogs() {
    for (policy, is_own) in [("compact", true), ("delete", false), ("compact,delete", false)] {
        assert_eq!(facts(&[("a", 6, policy)])[&"a".into()].keeps_latest(), is_own);
    }
}

#[test]
fn refuses_broadcasts_that_lose_rows() {
    for policy in ["delete", "compact,delete"] {
        let reports = reports(&but(("c", 1, policy)));
        assert!(
            reports[0].starts_with("error: topic `c` does not fit its use (j: source small (broadcast))")
        );
        assert!(reports[0].ends_with("hint: set `cleanup.policy=compact` on topic `c`\ncode: topic_unfit"));
    }
}

#[test]
fn refuses_dead_letters_that_replace_each_other() {
    let reports = reports(&but(("shop.j.dead-letters", 1, "compact")));

    assert!(reports[0].ends_with("code: topic_unfit"), "{}", reports[0]);
}

#[test]
fn takes_topics_whose_settings_it_may_not_see() {
    let mut facts = facts(&GOOD);
    facts.values_mut().for_each(|topic| topic.settings.clear());

    assert_eq!(reports(&facts), [""; 0]);
}

#[test]
fn plans_missing_topics_with_the_partitions_of_the_sources_that_they_are_joined_with() {
    let plans = plans(&pipeline(), &facts(&GOOD[..1]), 4);

    let plans: Vec<_> = plans
        .iter()
        .map(|p| (p.name.as_str(), p.partitions, p.settings["cleanup.policy"].as_str()))
        .collect();
    assert_eq!(
        plans,
        [
            ("b", 6, "delete"),
            ("c", 4, "compact"),
            ("d", 4, "delete"),
            ("shop.j.dead-letters", 4, "delete"),
            ("shop.j.changelog", 6, "compact"),
            ("shop.j.inbox", 6, "delete")
        ]
    );
}

#[test]
fn makes_its_own_topics_and_those_of_state_once_its_sources_are_there() {
    let made = |facts| -> Vec<_> {
        let plans = internal_plans(&pipeline(), &facts).into_iter();
        plans.map(|plan| (plan.name.to_string(), plan.partitions, plan.settings)).collect()
    };

    let early = made(Facts::new());
    let late = made(facts(&GOOD[..4]));

    let names = |plans: &[(String, i32, _)]| -> Vec<_> {
        plans.iter().map(|(name, partitions, _)| (name.clone(), *partitions)).collect()
    };
    let own = |name: &str, partitions| (format!("shop.j.{name}"), partitions);
    assert_eq!(names(&early), [own("dead-letters", -1)]);
    assert_eq!(names(&late), [own("dead-letters", -1), own("changelog", 6), own("inbox", 6)]);
    assert_eq!((late[2].2["cleanup.policy"].as_str(), late[2].2["retention.ms"].as_str()), ("delete", "-1"));
    let settings = &late[1].2;
    assert_eq!(settings["cleanup.policy"], "compact");
    assert_eq!(settings["delete.retention.ms"], "604800000");
}

#[test]
fn hands_a_partition_count_on_through_the_transforms_that_join_a_topic() {
    let more = "[transforms.k]\nplugin = \"builtin:join\"\nsources = { left = \"b\", right = \"e\", small = \"c\" }\n\
        sinks.out = \"f\"\n";
    let pipeline = pipeline_of(&format!("{FILE}{more}"));

    let plans = plans(&pipeline, &facts(&GOOD[..1]), 4);

    let count = |name: &str| plans.iter().find(|plan| plan.name.as_str() == name).map(|plan| plan.partitions);
    assert_eq!((count("b"), count("e"), count("shop.k.changelog")), (Some(6), Some(6), Some(6)));
    assert_eq!(count("f"), Some(4));
}

#[test]
fn makes_a_topic_that_one_transform_writes_and_another_keeps_as_a_table_once_and_compacted() {
    let more = "[transforms.k]\nplugin = \"builtin:join\"\nsources = { left = \"d\", right = \"e\", small = \"c\" }\n\
        sinks.out = \"f\"\n";

    let plans = plans(&pipeline_of(&format!("{FILE}{more}")), &Facts::new(), 4);

    let of = |name: &str| -> Vec<_> {
        let plans = plans.iter().filter(|plan| plan.name.as_str() == name);
        plans.map(|plan| plan.settings["cleanup.policy"].as_str()).collect()
    };
    assert_eq!((of("d"), of("e"), of("f")), (vec!["compact"], vec!["delete"], vec!["delete"]));
}

/// The pipeline, with an endpoint.
fn calling() -> Pipeline {
    let endpoint = "[[endpoint]]\nname = 'details'\nmethods = ['GET']\n";
    let text = format!("{FILE}endpoints.details.base_url = 'https://a.example'\n");
    let raw = raw::parse(Path::new("shop.toml"), &text, &|_| None).unwrap();
    let manifest = format!("{MANIFEST}{endpoint}");
    assembly::assemble(&raw, &mut |_| Ok((manifest::parse(&manifest)?, Digest([0; 32])))).unwrap()
}

#[test]
fn makes_a_topic_for_callouts_to_review_where_there_are_endpoints() {
    let review = TopicName::new("shop.j.callouts-review");
    let plan =
        internal_plans(&calling(), &Facts::new()).into_iter().find(|plan| plan.name == review).unwrap();

    assert_eq!((plan.partitions, plan.settings["cleanup.policy"].as_str()), (-1, "delete"));
    assert_eq!(plan.settings.len(), 1, "it is kept as long as the cluster keeps records");
    assert!(!names(&pipeline()).contains(&review));
}

#[test]
fn refuses_callouts_to_review_that_replace_each_other() {
    let reports = |policy| -> Vec<_> {
        let facts = but(("shop.j.callouts-review", 1, policy));
        misfits(&calling(), &facts).iter().map(Fault::report).collect()
    };

    assert!(
        reports("compact")[0].starts_with(
            "error: topic `shop.j.callouts-review` does not fit its use (j: callouts to review)"
        )
    );
    assert_eq!(reports("delete"), [""; 0]);
}

/// The pipeline, with an ingest of each kind.
fn ingesting() -> Pipeline {
    let sql =
        "[ingest.sql]\nkind = \"sql\"\ntopic = \"c\"\ndatabase = \"sqlite:x\"\nquery = \"q\"\nkey = \"k\"\n";
    let http = "[ingest.rest]\nkind = \"http\"\ntopic = \"c\"\ntoken.from_env = \"T\"\nremember = \"2h\"\n";
    let dynamodb = "[ingest.old]\nkind = \"dynamodb\"\ntopic = \"new\"\ntable = \"t\"\nkey = \"k\"\n";
    pipeline_of(&format!("{FILE}{sql}{http}{dynamodb}"))
}

#[test]
fn makes_the_topics_of_ingests_as_they_are_used() {
    let plans = plans(&ingesting(), &Facts::new(), 4);
    let of = |name: &str| plans.iter().find(|plan| plan.name.as_str() == name).unwrap();

    assert_eq!((of("new").partitions, of("new").settings["cleanup.policy"].as_str()), (4, "compact"));
    let requests = of("shop.ingest.rest.requests");
    assert_eq!((requests.partitions, requests.settings["cleanup.policy"].as_str()), (1, "compact,delete"));
    assert_eq!(requests.settings["retention.ms"], "7200000");
    let progress = of("shop.ingest.old.progress");
    assert_eq!((progress.partitions, progress.settings["cleanup.policy"].as_str()), (1, "compact"));
}

#[test]
fn makes_by_itself_what_belongs_to_ingests_alone_and_not_what_they_publish() {
    let names: Vec<_> =
        internal_plans(&ingesting(), &Facts::new()).into_iter().map(|plan| plan.name).collect();

    assert!(names.contains(&TopicName::new("shop.ingest.rest.requests")), "{names:?}");
    assert!(names.contains(&TopicName::new("shop.ingest.old.progress")), "{names:?}");
    assert!(!names.contains(&TopicName::new("new")), "{names:?}");
}

#[test]
fn refuses_to_publish_a_table_in_a_topic_that_forgets() {
    let mut facts = but(("c", 1, "compact,delete"));
    facts.extend(self::facts(&[
        ("new", 1, "compact"),
        ("shop.ingest.rest.requests", 1, "compact,delete"),
        ("shop.ingest.old.progress", 1, "compact"),
    ]));
    let found = misfits(&Pipeline { deployments: Vec::new(), ..ingesting() }, &facts);

    let reports: Vec<_> = found.iter().map(Fault::report).collect();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(
        reports[0].starts_with("error: topic `c` does not fit its use (ingest sql: published rows)"),
        "{reports:?}"
    );
}
