//! A pipeline as a file with every default written out: what `gristmill check --show-defaults` prints.

use crate::config::api_address;
use crate::config::client;
use crate::config::manifest::Manifest;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::config::raw::{GUARANTEE, Raw, RawTransform};
use crate::config::units::{format_duration, format_size};

mod endpoints;
mod ingests;

/// The pipeline as the text of a pipeline file that means the same. Values of client options that may be secret are
/// left out. `manifests` are those of the transforms' plugins, in their order.
pub fn show(raw: &Raw, pipeline: &Pipeline, manifests: &[Manifest]) -> String {
    let mut text = head(pipeline);
    for ((transform, deployment), manifest) in raw.transforms.iter().zip(&pipeline.deployments).zip(manifests)
    {
        text.push_str(&section(transform, deployment, manifest));
    }
    text.push_str(&ingests::sections(pipeline));
    text
}

fn head(pipeline: &Pipeline) -> String {
    let app = &pipeline.app;
    let mut lines = vec![
        "[app]".to_owned(),
        line("id", &quoted(app.id.as_str())),
        line("state_dir", &quoted(&app.state_dir.display().to_string())),
        line("api", &quoted(&api_address::format(app.api))),
    ];
    lines.push(match &app.instance {
        Some(instance) => line("instance", &quoted(instance.as_str())),
        None => "# instance: made once, kept in the state directory".to_owned(),
    });
    lines.extend([String::new(), "[kafka]".to_owned(), line("brokers", &quoted(&pipeline.kafka.brokers))]);
    for (key, value) in &pipeline.kafka.client {
        let value = if client::is_secret(key) { "***" } else { value };
        lines.push(line(&format!("client.{}", quoted(key)), &quoted(value)));
    }
    lines.join("\n") + "\n"
}

fn section(transform: &RawTransform, deployment: &Deployment, manifest: &Manifest) -> String {
    let name = &deployment.name;
    let (limits, commit, batch) = (&deployment.limits, &deployment.commit, &deployment.batch);
    let mut lines = vec![
        String::new(),
        format!("[transforms.{name}]"),
        line("plugin", &quoted(&transform.plugin.to_string())),
        line("workers", &deployment.workers.to_string()),
        line("guarantee", &quoted(GUARANTEE)),
        line("commit_interval", &quoted(&format_duration(commit.interval))),
        line("commit_records", &commit.records.to_string()),
        line("commit_bytes", &quoted(&format_size(commit.bytes as u64))),
        line("commit_state_bytes", &quoted(&format_size(deployment.state_bounds.transaction_bytes))),
        line("eager", &commit.eager.to_string()),
        line("batch_records", &batch.records.to_string()),
        line("batch_bytes", &quoted(&format_size(batch.bytes as u64))),
        line("key_placement", &quoted(deployment.key_placement.as_str())),
    ];
    for source in deployment.sources.iter().flatten() {
        let (topic, start) = (quoted(source.topic.as_str()), quoted(source.start.as_str()));
        lines.push(line(
            &format!("sources.{}", source.name),
            &format!("{{ topic = {topic}, start = {start} }}"),
        ));
    }
    lines.extend(manifest.sinks.iter().zip(&deployment.sinks).map(|(declared, sink)| {
        let bound = transform.sinks.iter().find(|bound| bound.name == sink.name);
        let topic = quoted(sink.topic.as_str());
        let after = if declared.after.is_empty() {
            String::new()
        } else {
            format!(", after = {}", bound.and_then(|bound| bound.after).unwrap_or(true))
        };
        line(&format!("sinks.{}", sink.name), &format!("{{ topic = {topic}{after} }}"))
    }));
    lines.push(line("dead_letter.topic", &quoted(deployment.dead_letters.as_str())));
    lines.extend(settings(transform, manifest));
    lines.extend([
        String::new(),
        format!("[transforms.{name}.limits]"),
        line("memory", &quoted(&format_size(limits.memory_bytes))),
        line("call", &quoted(&format_duration(limits.call))),
        line("output_bytes", &quoted(&format_size(limits.output_bytes))),
        line("output_records", &limits.output_records.to_string()),
        line("state_bytes", &quoted(&format_size(deployment.state_bounds.call_bytes))),
        line("log_bytes", &quoted(&format_size(limits.log_bytes))),
        line("traps_per_minute", &limits.traps_per_minute.to_string()),
    ]);
    lines.extend(jobs(deployment));
    lines.extend(endpoints::sections(deployment));
    lines.join("\n") + "\n"
}

fn jobs(deployment: &Deployment) -> [String; 5] {
    let bounds = &deployment.job_bounds;
    let rate = bounds.outputs_per_second;
    [
        String::new(),
        format!("[transforms.{}.jobs]", deployment.name),
        line("step", &bounds.step_outputs.to_string()),
        line("share", &bounds.share.to_string()),
        rate.map_or("# rate: no limit".to_owned(), |rate| line("rate", &rate.to_string())),
    ]
}

/// The plugin's settings as they are written in the file or in the manifest.
fn settings(transform: &RawTransform, manifest: &Manifest) -> Vec<String> {
    if manifest.config.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), format!("[transforms.{}.config]", transform.name)];
    let written = transform.config.json();
    for property in &manifest.config {
        let default = property.default.as_ref().map(|default| &default.written);
        lines.push(match written.get(&property.name).or(default) {
            Some(value) => line(&property.name, &toml_value(value)),
            None => format!("# {}: not set", property.name),
        });
    }
    lines
}

fn line(key: &str, value: &str) -> String {
    format!("{key} = {value}")
}

/// A text in TOML's quotes.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A JSON value as TOML writes it on one line. TOML has no null; there is none in what was read from TOML.
pub fn toml_value(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::String(text) => quoted(text),
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(members) if members.is_empty() => "{}".to_owned(),
        serde_json::Value::Object(members) => {
            let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let key = |key: &str| {
                if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
            };
            let members =
                members.iter().map(|(name, value)| format!("{} = {}", key(name), toml_value(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{assembly, manifest, raw};
    use crate::id::Digest;

    const MANIFEST: &str = "[plugin]\nname = 'p'\nversion = '1'\ninterface = '0.1'\n\
        [[source]]\nname = 'in'\nkind = 'stream'\n[[source]]\nname = 'all'\nkind = 'broadcast'\n\
        [[sink]]\nname = 'out'\nafter = ['all']\n[[job]]\nname = 'walk'\n\
        [[endpoint]]\nname = 'details'\nmethods = ['GET']\n\
        [config.wait]\ntype = 'duration'\ndefault = '7d'\n[config.only_if]\ntype = 'object'\noptional = true\n";

    const FILE: &str = "[app]\nid = 'shop'\n[kafka]\nbrokers = 'b:1'\nclient.'sasl.password' = 's3cret'\n\
        [transforms.t]\nplugin = 'builtin:p'\nsources.in = 'a'\nsources.all = 'c'\nsinks.out = 'b'\n\
        config.only_if = { a = [1, 'x'] }\nendpoints.details.base_url = 'https://a.example/v1/'\n";

    /// What `FILE` leaves to the defaults of state and jobs, set to something else.
    const BOUNDS: &str = "limits.state_bytes = '2KiB'\ncommit_state_bytes = '3KiB'\njobs.step = 7\njobs.share = 0.25\n\
        jobs.rate = 9\n";

    /// What `FILE` leaves to the defaults of endpoints, set to something else.
    const ENDPOINT: &str = "endpoints.details.mode = 'idempotent'\nendpoints.details.rate = 5\n\
        endpoints.details.credentials = { header = 'X-Key', from_env = 'TOKEN' }\n\
        endpoints.details.ca_file = '/ca.pem'\nendpoints.details.proxy = 'http://proxy:3128'\n\
        callouts.pending = 7\nreview.topic = 'look'\n";

    fn read(text: &str) -> (Raw, Pipeline, Manifest) {
        let manifest = manifest::parse(MANIFEST).unwrap();
        let raw = raw::parse(Path::new("shop.toml"), text, &|_| None).unwrap();
        let pipeline = assembly::assemble(&raw, &mut |_| Ok((manifest.clone(), Digest([0; 32])))).unwrap();
        (raw, pipeline, manifest)
    }

    fn shown(text: &str) -> String {
        let (raw, pipeline, manifest) = read(text);
        show(&raw, &pipeline, &[manifest])
    }

    #[test]
    fn writes_a_file_that_means_the_same() {
        let text = shown(FILE);

        assert_eq!(read(&text).1.deployments, read(FILE).1.deployments, "{text}");
        assert_eq!(shown(&text), text);
    }

    #[test]
    fn writes_the_bounds_of_state_and_jobs_and_whether_positions_are_carried() {
        let text = shown(FILE);
        assert!(text.contains("sinks.out = { topic = \"b\", after = true }"), "{text}");
        assert!(text.contains("[transforms.t.jobs]\nstep = 500\nshare = 0.5\n# rate: no limit\n"), "{text}");

        let file = FILE.replace("sinks.out = 'b'", "sinks.out = { topic = 'b', after = false }") + BOUNDS;
        let text = shown(&file);
        assert_eq!(read(&text).1.deployments, read(&file).1.deployments, "{text}");
        assert!(text.contains("after = false"), "{text}");
        assert!(text.contains("step = 7\nshare = 0.25\nrate = 9\n"), "{text}");
    }

    #[test]
    fn writes_what_an_endpoint_is_bound_to_and_where_its_secret_is() {
        let text = shown(FILE);
        let defaults = "[transforms.t.callouts]\npending = 1000\n\n\
            [transforms.t.review]\ntopic = \"shop.t.callouts-review\"\n\n\
            [transforms.t.endpoints.details]\nbase_url = \"https://a.example/v1\"\nmode = \"at-most-once\"\n\
            timeout = \"10s\"\nconnect_timeout = \"3s\"\nconcurrency = 16\n# rate: no limit\n\
            response_bytes = \"1MiB\"\ngive_up_after = \"1h\"\nremember = \"30d\"\n# credentials: none\n\
            # ca_file: the certificates of the system\n# proxy: none\n";
        assert!(text.ends_with(defaults), "{text}");

        let file = format!("{FILE}{ENDPOINT}");
        let text = shown(&file);
        assert_eq!(read(&text).1.deployments, read(&file).1.deployments, "{text}");
        assert!(text.contains("# give_up_after: never\n"), "{text}");
        assert!(text.contains("credentials = { header = \"X-Key\", from_env = \"TOKEN\" }"), "{text}");
    }

    #[test]
    fn writes_what_is_ingested_and_where_its_secrets_are() {
        let file = format!(
            "{FILE}[ingest.sql]\nkind = 'sql'\ntopic = 'c'\ndatabase = 'sqlite:/x.db'\nquery = 'q'\nkey = 'k'\n\
            value.'a b' = {{ column = 'c', type = 'json' }}\nschedule.every = '10m'\n\
            [ingest.old]\nkind = 'dynamodb'\ntopic = 'c'\ntable = 't'\nkey = 'k'\nregion = 'r'\n\
            [ingest.rest]\nkind = 'http'\ntopic = 'c'\ntoken.from_env = 'T'\nrate = 5\n\
            [http]\nlisten = '0.0.0.0:1'\ntls = {{ certificate = '/c', key = '/k' }}\n"
        );
        let text = shown(&file);

        let (again, first) = (read(&text).1, read(&file).1);
        assert_eq!((again.ingests, again.http), (first.ingests, first.http), "{text}");
        assert!(text.contains("token = { from_env = \"T\" }\n# schema: any JSON\n"), "{text}");
        assert!(text.contains("# value: every attribute but the key\n"), "{text}");
    }

    #[test]
    fn shows_settings_as_people_write_them() {
        let text = shown(FILE);

        assert!(text.contains("wait = \"7d\"\nonly_if = { a = [1, \"x\"] }\n"), "{text}");
        assert!(text.contains("memory = \"64MiB\""), "{text}");
    }

    #[test]
    fn hides_secrets() {
        let text = shown(FILE);

        assert!(text.contains("client.\"sasl.password\" = \"***\""), "{text}");
    }
}
