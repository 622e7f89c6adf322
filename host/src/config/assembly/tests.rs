//! What only the plugin's manifest can tell about a pipeline file.

use std::path::Path;

use super::*;
use crate::config::{manifest, raw};

const MANIFEST: &str = r#"
[plugin]
name = "joiner"
version = "1.2.3"
interface = "0.1"
[[source]]
name = "items"
kind = "table"
[[source]]
name = "classes"
kind = "broadcast"
[[source]]
name = "updates"
kind = "stream"
optional = true
[[sink]]
name = "enriched"
[needs]
memory = "16MiB"
[config.class_pointer]
type = "string"
default = "/deliveryClass"
[config.wait]
type = "duration"
default = "1d"
"#;

const FILE: &str = r#"[app]
id = "shop"
[kafka]
brokers = "localhost:9092"
[transforms.join]
plugin = "builtin:joiner"
sources.items = "items"
sources.classes = "classes"
sinks.enriched = "enriched"
"#;

fn build(manifest: &str, file: &str) -> Result<Pipeline, Fault> {
    let raw = raw::parse(Path::new("shop.toml"), file, &|_| None)?;
    assemble(&raw, &mut |_| Ok((manifest::parse(manifest)?, Digest([7; 32]))))
}

fn report(manifest: &str, file: &str) -> String {
    build(manifest, file).unwrap_err().report()
}

/// The file with one more line in its transform.
fn with(line: &str) -> String {
    format!("{FILE}{line}\n")
}

#[test]
fn binds_topics_by_position_and_fills_in_defaults() {
    let pipeline = build(MANIFEST, FILE).unwrap();

    let deployment = &pipeline.deployments[0];
    assert_eq!(deployment.group(), "shop.join");
    let topics: Vec<_> = deployment.sources.iter().map(|s| s.as_ref().map(|s| s.topic.as_str())).collect();
    assert_eq!(topics, [Some("items"), Some("classes"), None]);
    assert_eq!(deployment.sinks[0].topic.as_str(), "enriched");
    assert_eq!(deployment.dead_letters.as_str(), "shop.join.dead-letters");
    assert_eq!(deployment.config_json, r#"{"class_pointer":"/deliveryClass","wait":86400000}"#);
    let identity = (deployment.plugin.name.as_str(), deployment.plugin.version.as_str());
    assert_eq!(identity, ("joiner", "1.2.3"));
}

/// The manifest with a store, indexes and a job, in which the plugin sees rows before a record and `out` comes after classes.
fn stateful() -> String {
    let index = |name: &str, on: &str| {
        format!("[[index]]\nname = '{name}'\non = '{on}'\nversion = 3\nconfig = ['class_pointer']\n")
    };
    let manifest = MANIFEST
        .replace("interface = \"0.1\"", "interface = \"0.1\"\nstate_version = 2")
        .replace("kind = \"table\"", "kind = \"table\"\nprevious = true")
        .replace("kind = \"stream\"", "kind = \"table\"")
        .replace("name = \"enriched\"", "name = \"enriched\"\nafter = [\"classes\"]");
    let indexes = [index("by-class", "items"), index("by-update", "updates"), index("by-name", "pending")];
    format!("{manifest}[[store]]\nname = 'pending'\n[[job]]\nname = 'walk'\n{}", indexes.concat())
}

#[test]
fn hands_on_what_the_manifest_says_of_state_and_jobs() {
    let file = with("jobs.share = 0.25\nlimits.state_bytes = '2KiB'");

    let deployment = build(&stateful(), &file).unwrap().deployments.remove(0);

    assert_eq!((deployment.state_version, deployment.stores[0].name.as_str()), (2, "pending"));
    assert_eq!(deployment.jobs, ["walk"]);
    assert_eq!((deployment.job_bounds.share, deployment.state_bounds.call_bytes), (0.25, 2 << 10));
    let previous: Vec<_> = deployment.sources.iter().flatten().map(|source| source.previous).collect();
    assert_eq!(previous, [true, false]);
    assert_eq!(deployment.sinks[0].after, [SourceIndex(1)]);
}

#[test]
fn keeps_indexes_of_what_is_bound_and_knows_when_their_settings_change() {
    let indexes = |line: &str| build(&stateful(), &with(line)).unwrap().deployments.remove(0).indexes;
    let before = indexes("config.wait = '1d'");

    let shown: Vec<_> = before.iter().map(|i| (i.name.as_str(), i.on.as_str(), i.version)).collect();
    assert_eq!(shown, [("by-class", "items", 3), ("by-name", "pending", 3)]);
    assert_eq!(before, indexes("config.wait = '2d'"));
    assert_ne!(before[0].config_digest, indexes("config.class_pointer = '/c'")[0].config_digest);
    assert_eq!(indexes("sources.updates = 'updates'").len(), 3);
}

#[test]
fn lets_the_operator_switch_positions_off_where_a_sink_carries_them() {
    let file =
        |after| FILE.replace("= \"enriched\"", &format!("= {{ topic = 'enriched', after = {after} }}"));
    let after =
        |file: &str| build(&stateful(), file).map(|built| built.deployments[0].sinks[0].after.clone());

    assert_eq!(after(&file("true")).unwrap(), [SourceIndex(1)]);
    assert_eq!(after(&file("false")).unwrap(), []);
    assert_eq!(
        report(MANIFEST, &file("false")),
        "error: `transforms.join.sinks.enriched` has `after`, but the plugin's manifest has none for this sink \
         (shop.toml:9)\nhint: leave `after` out\ncode: invalid_value"
    );
}

#[test]
fn reports_a_source_that_is_not_bound() {
    assert_eq!(
        report(MANIFEST, &FILE.replace("sources.classes = \"classes\"\n", "")),
        "error: transform `join` does not bind its source `classes` (shop.toml:5)\n\
         hint: add `sources.classes = \"TOPIC\"` to `[transforms.join]`\ncode: source_unbound"
    );
}

#[test]
fn reports_a_sink_that_is_not_bound() {
    assert_eq!(
        report(MANIFEST, &FILE.replace("sinks.enriched = \"enriched\"\n", "")),
        "error: transform `join` does not bind its sink `enriched` (shop.toml:5)\n\
         hint: add `sinks.enriched = \"TOPIC\"` to `[transforms.join]`\ncode: sink_unbound"
    );
}

#[test]
fn reports_a_transform_that_would_have_no_tasks() {
    let optional = MANIFEST.replace("kind = \"table\"", "kind = \"table\"\noptional = true");

    let text = report(&optional, &FILE.replace("sources.items = \"items\"\n", ""));

    assert!(text.starts_with("error: transform `join` has no stream or table bound (shop.toml:5)"), "{text}");
    assert!(text.ends_with("code: source_unbound"), "{text}");
}

#[test]
fn reports_bindings_that_the_plugin_does_not_have() {
    assert_eq!(
        report(MANIFEST, &FILE.replace("sources.items", "sources.itms")),
        "error: unknown key `transforms.join.sources.itms` (shop.toml:7)\n\
         hint: did you mean `items`?\ncode: unknown_key"
    );
    assert_eq!(
        report(MANIFEST, &FILE.replace("sinks.enriched", "sinks.output")),
        "error: unknown key `transforms.join.sinks.output` (shop.toml:9)\n\
         hint: known here: `enriched`\ncode: unknown_key"
    );
}

#[test]
fn reports_a_setting_that_the_plugin_does_not_have() {
    assert_eq!(
        report(MANIFEST, &with("config.class_pointr = '/c'")),
        "error: `transforms.join.config.class_pointr` is not a setting of this plugin (shop.toml:10)\n\
         hint: did you mean `class_pointer`?\ncode: plugin_config_invalid"
    );
}

#[test]
fn reports_a_setting_of_the_wrong_type() {
    assert_eq!(
        report(MANIFEST, &with("config.wait = 5")),
        "error: `transforms.join.config.wait` is `5`, it must be text with a unit of `ms`, `s`, `m`, `h` or `d`, \
         such as \"500ms\" (shop.toml:10)\n\
         hint: correct `[transforms.NAME.config]`; `gristmill plugin inspect` shows the schema\n\
         code: plugin_config_invalid"
    );
}

#[test]
fn refuses_variables_in_a_plugins_settings() {
    let text = report(MANIFEST, &with("config.class_pointer = '${SECRET}'"));

    assert!(text.contains("code: plugin_config_invalid"), "{text}");
}

#[test]
fn reports_a_grant_below_the_need() {
    assert_eq!(
        report(MANIFEST, &with("limits.memory = '8MiB'")),
        "error: transform `join` cannot use `builtin:joiner` (shop.toml:5)\n  \
         caused by: the plugin needs 16MiB of memory and is granted 8MiB\n\
         hint: set `memory = \"16MiB\"` in `[transforms.join.limits]`\ncode: grant_too_small"
    );
    assert!(build(MANIFEST, &with("limits.memory = '16MiB'")).is_ok());
}

#[test]
fn reports_another_interface_line() {
    assert_eq!(
        report(&MANIFEST.replace("interface = \"0.1\"", "interface = \"9.0\""), FILE),
        "error: transform `join` cannot use `builtin:joiner` (shop.toml:5)\n  \
         caused by: the plugin is built for interface `9.0`, this host speaks `0.1`\n\
         hint: use a host and a plugin of the same interface line\ncode: interface_unsupported"
    );
}

/// The manifest with two endpoints, and the file with one of them bound, and one more line.
fn calling(line: &str) -> Result<Pipeline, Fault> {
    let endpoint = |name: &str| format!("[[endpoint]]\nname = \"{name}\"\nmethods = [\"GET\"]\n");
    let manifest = format!("{MANIFEST}{}{}", endpoint("details"), endpoint("prices"));
    build(&manifest, &with(&format!("endpoints.prices.base_url = 'https://b.example'\n{line}")))
}

#[test]
fn binds_endpoints_by_position() {
    let deployment =
        calling("endpoints.details.base_url = 'https://a.example/v1'").unwrap().deployments.remove(0);

    let endpoints: Vec<_> =
        deployment.endpoints.iter().map(|e| (e.index.0, e.name.as_str(), e.base_url.to_string())).collect();
    assert_eq!(
        endpoints,
        [(0, "details", "https://a.example/v1".to_owned()), (1, "prices", "https://b.example".to_owned())]
    );
    assert_eq!(deployment.endpoints[0].methods, ["GET"]);
    assert_eq!(deployment.review.as_str(), "shop.join.callouts-review");
    assert_eq!(deployment.callout_bounds.pending, 1_000);
    assert!(deployment.keeps_state());
}

#[test]
fn reports_an_endpoint_that_is_not_bound_and_one_that_is_unknown() {
    assert_eq!(
        calling("").unwrap_err().report(),
        "error: transform `join` does not bind its endpoint `details` (shop.toml:5)\n\
         hint: add `endpoints.details.base_url = \"URL\"` to `[transforms.join]`\ncode: endpoint_unbound"
    );
    assert_eq!(
        calling("endpoints.detials.base_url = 'https://a.example'").unwrap_err().report(),
        "error: unknown key `transforms.join.endpoints.detials` (shop.toml:11)\n\
         hint: did you mean `details`?\ncode: unknown_key"
    );
}

#[test]
fn keeps_callouts_to_review_apart_from_other_records() {
    let details = "endpoints.details.base_url = 'https://a.example'";
    for (topic, part) in [
        ("items", "would write to `items`, which the source `items` reads"),
        ("enriched", "is bound to `enriched`, which is the topic of callouts to review too"),
        (
            "shop.join.dead-letters",
            "has `shop.join.dead-letters` for dead letters and for callouts to review",
        ),
    ] {
        let fault = calling(&format!("{details}\nreview.topic = '{topic}'")).unwrap_err();
        assert_eq!(fault.code(), Code::InvalidValue);
        assert!(fault.message().contains(part), "{}", fault.message());
    }
    let deployment = calling(&format!("{details}\nreview.topic = 'look'\ncallouts.pending = 5")).unwrap();
    let deployment = &deployment.deployments[0];
    assert_eq!((deployment.review.as_str(), deployment.callout_bounds.pending), ("look", 5));
}

#[test]
fn reports_a_wrong_manifest_with_the_transform_that_uses_it() {
    let text = report("[plugin]\nname = 'x'\n", FILE);

    assert_eq!(
        text,
        "error: transform `join` cannot use `builtin:joiner` (shop.toml:5)\n  \
         caused by: the plugin's manifest cannot be used\n  \
         caused by: missing key `plugin.version` (plugin.toml:1)\n\
         hint: set it; `gristmill init` writes a file with every key in it\ncode: manifest_invalid"
    );
}

#[test]
fn lets_only_streams_start_at_latest() {
    let latest = |name: &str| format!("{name} = {{ topic = 'x', start = 'latest' }}");

    let text = report(MANIFEST, &FILE.replace("sources.items = \"items\"", &latest("sources.items")));
    assert!(
        text.starts_with("error: `transforms.join.sources.items` starts at `latest`, but it is a table"),
        "{text}"
    );
    assert!(text.ends_with("code: invalid_value"), "{text}");

    let pipeline = build(MANIFEST, &with(&latest("sources.updates"))).unwrap();
    assert_eq!(pipeline.deployments[0].sources[2].as_ref().unwrap().start, Start::Latest);
}

#[test]
fn refuses_topics_that_would_feed_themselves() {
    for (file, part) in [
        (FILE.replace("= \"classes\"", "= \"items\""), "is bound to `items`, and so is the source `items`"),
        (
            FILE.replace("= \"enriched\"", "= \"items\""),
            "would write to `items`, which the source `items` reads",
        ),
        (with("dead_letter.topic = 'classes'"), "would write to `classes`"),
        (with("dead_letter.topic = 'enriched'"), "which is the dead-letter topic too"),
    ] {
        let fault = build(MANIFEST, &file).unwrap_err();
        assert_eq!(fault.code(), Code::InvalidValue);
        assert!(fault.message().contains(part), "{}", fault.message());
    }
}
