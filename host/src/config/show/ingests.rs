//! The sections of ingests, with every default written out.

use super::{line, quoted};
use crate::config::ingest::{
    DatabaseUrl, DynamodbIngest, HttpIngest, HttpListener, Ingest, IngestKind, Member, Schedule, SqlIngest,
};
use crate::config::pipeline::Pipeline;
use crate::config::secret::SecretSource;
use crate::config::units::{format_duration, format_size};

/// The sections; none without ingests. Secrets are not in them: they are not in the file either.
pub(super) fn sections(pipeline: &Pipeline) -> String {
    let mut lines = Vec::new();
    for ingest in &pipeline.ingests {
        lines.extend([String::new(), format!("[ingest.{}]", ingest.name)]);
        lines.extend(section(ingest));
    }
    if pipeline.ingests.iter().any(|ingest| matches!(ingest.kind, IngestKind::Http(_))) {
        lines.extend([String::new(), "[http]".to_owned()]);
        lines.extend(listener(&pipeline.http));
    }
    if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
}

fn section(ingest: &Ingest) -> Vec<String> {
    let mut lines =
        vec![line("kind", &quoted(ingest.kind.as_str())), line("topic", &quoted(ingest.topic.as_str()))];
    match &ingest.kind {
        IngestKind::Sql(kind) => sql(kind, &mut lines),
        IngestKind::Http(kind) => http(kind, &mut lines),
        IngestKind::Dynamodb(kind) => dynamodb(kind, &mut lines),
    }
    lines
}

fn sql(ingest: &SqlIngest, lines: &mut Vec<String>) {
    let database = match &ingest.database {
        DatabaseUrl::Plain(url) => quoted(url),
        DatabaseUrl::Secret(place) => secret(place),
    };
    lines.extend([
        line("database", &database),
        optional("password", ingest.password.as_ref().map(secret), "none"),
        line("query", &quoted(&ingest.query)),
        line("key", &quoted(&ingest.key)),
        match &ingest.schedule {
            Schedule::ByHand => "# schedule: by hand".to_owned(),
            Schedule::Every(every) => line("schedule.every", &quoted(&format_duration(*every))),
            Schedule::Cron(cron) => line("schedule.cron", &quoted(cron)),
        },
        line("deletes_max", &ingest.deletes_max.to_string()),
        line("rows_max", &ingest.rows_max.to_string()),
        line("timeout", &quoted(&format_duration(ingest.timeout))),
    ]);
    members(ingest.members.as_deref(), "column", lines);
}

fn http(ingest: &HttpIngest, lines: &mut Vec<String>) {
    let schema = ingest.schema.as_ref().map(|path| quoted(&path.display().to_string()));
    lines.extend([
        line("path", &quoted(&ingest.path)),
        line("token", &secret(&ingest.token)),
        optional("schema", schema, "any JSON"),
        line("value_bytes", &quoted(&format_size(ingest.value_bytes))),
        line("batch_bytes", &quoted(&format_size(ingest.batch_bytes))),
        line("batch_records", &ingest.batch_records.to_string()),
        optional("rate", ingest.per_second.map(|rate| rate.to_string()), "no limit"),
        line("remember", &quoted(&format_duration(ingest.remember))),
    ]);
}

fn dynamodb(ingest: &DynamodbIngest, lines: &mut Vec<String>) {
    lines.extend([
        line("table", &quoted(&ingest.table)),
        optional("region", ingest.region.as_deref().map(quoted), "what the environment says"),
        optional("endpoint", ingest.endpoint.as_deref().map(quoted), "Amazon's own"),
        line("key", &quoted(&ingest.key)),
        line("page_items", &ingest.page_items.to_string()),
        optional("rate", ingest.per_second.map(|rate| rate.to_string()), "no limit"),
    ]);
    members(ingest.members.as_deref(), "attribute", lines);
}

fn members(members: Option<&[Member]>, field_key: &str, lines: &mut Vec<String>) {
    let Some(members) = members else {
        return lines.push(format!("# value: every {field_key} but the key"));
    };
    lines.extend(members.iter().map(|member| {
        let (field, kind) = (quoted(&member.field), quoted(member.kind.as_str()));
        let value = format!("{{ {field_key} = {field}, type = {kind}, required = {} }}", member.required);
        line(&format!("value.{}", quoted(&member.name)), &value)
    }));
}

fn listener(listener: &HttpListener) -> [String; 4] {
    let tls = listener.tls.as_ref().map(|tls| {
        let path = |path: &std::path::Path| quoted(&path.display().to_string());
        format!("{{ certificate = {}, key = {} }}", path(&tls.certificate), path(&tls.key))
    });
    [
        line("listen", &quoted(&listener.listen.to_string())),
        optional("tls", tls, "plain HTTP"),
        line("connections", &listener.connections.to_string()),
        line("timeout", &quoted(&format_duration(listener.timeout))),
    ]
}

/// Where the secret is, and never what it is.
fn secret(place: &SecretSource) -> String {
    match place {
        SecretSource::Env(variable) => format!("{{ from_env = {} }}", quoted(variable)),
        SecretSource::File(path) => format!("{{ from_file = {} }}", quoted(&path.display().to_string())),
    }
}

fn optional(key: &str, value: Option<String>, otherwise: &str) -> String {
    value.map_or_else(|| format!("# {key}: {otherwise}"), |value| line(key, &value))
}
