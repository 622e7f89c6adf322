//! Puts a pipeline together from its file and the manifests of its plugins.

use std::collections::BTreeMap;

use crate::config::document::{self, Place};
use crate::config::manifest::{Manifest, SinkDecl, SourceDecl, SourceKind};
use crate::config::pipeline::{BoundSink, BoundSource, Deployment, Pipeline, PluginIdentity, Start};
use crate::config::raw::{Raw, RawSink, RawSource, RawTransform};
use crate::config::{schema, units};
use crate::fault::{Code, Fault};
use crate::id::{AppId, Digest, SinkIndex, SourceIndex, TopicName};

mod endpoints;
mod indexes;

/// The interface lines that this host speaks.
pub const INTERFACE_LINES: &[&str] = &["0.1"];

/// Where a source begins that does not say so: nothing that exists is left out.
const START: Start = Start::Earliest;

/// Finds the manifest and the digest of a transform's plugin.
pub type Resolve<'a> = &'a mut dyn FnMut(&RawTransform) -> Result<(Manifest, Digest), Fault>;

/// Checks a pipeline file against the manifests of its plugins and fills in every default.
///
/// # Errors
/// What `resolve` answers, `interface_unsupported`, `source_unbound`, `sink_unbound`, `endpoint_unbound`, `unknown_key`,
/// `invalid_value`, `plugin_config_invalid`, `grant_too_small`.
pub fn assemble(raw: &Raw, resolve: Resolve<'_>) -> Result<Pipeline, Fault> {
    let mut deployments = Vec::with_capacity(raw.transforms.len());
    for transform in &raw.transforms {
        let (manifest, digest) = resolve(transform).map_err(|fault| unusable(transform, fault))?;
        check_runnable(transform, &manifest)?;
        deployments.push(deploy(&raw.app.id, transform, &manifest, digest)?);
    }
    Ok(Pipeline {
        app: raw.app.clone(),
        kafka: raw.kafka.clone(),
        deployments,
        ingests: raw.ingests.clone(),
        http: raw.http.clone(),
    })
}

/// Says which transform a plugin's fault belongs to.
fn unusable(transform: &RawTransform, fault: Fault) -> Fault {
    let position = transform.place.position();
    let message = format!("transform `{}` cannot use `{}` ({position})", transform.name, transform.plugin);
    let hint = fault.remedy().to_owned();
    Fault::new(fault.code(), message).because(fault).hint(hint)
}

fn check_runnable(transform: &RawTransform, manifest: &Manifest) -> Result<(), Fault> {
    let refuse = |code, cause: String| Err(unusable(transform, Fault::new(code, cause)));
    if !INTERFACE_LINES.contains(&manifest.interface.as_str()) {
        let ours = document::quoted(INTERFACE_LINES);
        let theirs = &manifest.interface;
        return refuse(
            Code::InterfaceUnsupported,
            format!("the plugin is built for interface `{theirs}`, this host speaks {ours}"),
        );
    }
    let granted = transform.limits.memory_bytes;
    if let Some(needed) = manifest.needs_memory_bytes.filter(|needed| *needed > granted) {
        let (needed, granted) = (units::format_size(needed), units::format_size(granted));
        return Err(unusable(
            transform,
            Fault::new(
                Code::GrantTooSmall,
                format!("the plugin needs {needed} of memory and is granted {granted}"),
            )
            .hint(format!("set `memory = \"{needed}\"` in `[transforms.{}.limits]`", transform.name)),
        ));
    }
    Ok(())
}

fn deploy(
    app: &AppId,
    transform: &RawTransform,
    manifest: &Manifest,
    digest: Digest,
) -> Result<Deployment, Fault> {
    let config = schema::check_config(&manifest.config, transform.config.open_table()?)?;
    let sources = bind_sources(transform, manifest)?;
    let deployment = Deployment {
        app: app.clone(),
        name: transform.name.clone(),
        plugin: PluginIdentity { name: manifest.name.clone(), version: manifest.version.clone(), digest },
        workers: transform.workers,
        sinks: bind_sinks(transform, manifest, &sources)?,
        indexes: indexes::bind(manifest, &sources, &config),
        sources,
        dead_letters: dead_letters(app, transform),
        stores: manifest.stores.clone(),
        jobs: manifest.jobs.iter().map(|job| job.name.clone()).collect(),
        state_version: manifest.state_version,
        config_json: config.to_string(),
        limits: transform.limits,
        commit: transform.commit,
        batch: transform.batch,
        state_bounds: transform.state_bounds,
        job_bounds: transform.job_bounds,
        key_placement: transform.key_placement,
        timers: manifest.timers,
        endpoints: endpoints::bind(transform, manifest)?,
        callout_bounds: transform.callout_bounds,
        review: endpoints::review(app, transform),
    };
    check_topics(transform, &deployment)?;
    Ok(deployment)
}

fn dead_letters(app: &AppId, transform: &RawTransform) -> TopicName {
    let default = || TopicName::new(&format!("{app}.{}.dead-letters", transform.name));
    transform.dead_letters.clone().unwrap_or_else(default)
}

fn bind_sources(transform: &RawTransform, manifest: &Manifest) -> Result<Vec<Option<BoundSource>>, Fault> {
    let known: Vec<_> = manifest.sources.iter().map(|source| source.name.as_str()).collect();
    if let Some(bound) = transform.sources.iter().find(|bound| !known.contains(&bound.name.as_str())) {
        return Err(bound.place.unknown(&bound.name, &known));
    }
    let mut sources = Vec::with_capacity(manifest.sources.len());
    for (index, declared) in (0..).map(SourceIndex).zip(&manifest.sources) {
        let bound = transform.sources.iter().find(|bound| bound.name == declared.name);
        sources.push(match bound {
            Some(bound) => Some(bind_source(index, declared, bound)?),
            None if declared.optional => None,
            None => return Err(source_unbound(transform, &declared.name)),
        });
    }
    let partitioned = |source: &BoundSource| source.kind != SourceKind::Broadcast;
    if !sources.iter().flatten().any(partitioned) {
        let fault = Fault::new(
            Code::SourceUnbound,
            format!(
                "transform `{}` has no stream or table bound ({})",
                transform.name,
                transform.place.position()
            ),
        );
        return Err(
            fault.hint("bind one of its sources of the kinds stream and table: they give it its tasks")
        );
    }
    Ok(sources)
}

fn bind_source(index: SourceIndex, declared: &SourceDecl, bound: &RawSource) -> Result<BoundSource, Fault> {
    if declared.kind != SourceKind::Stream && bound.start.is_some_and(|start| start != Start::Earliest) {
        let kind = declared.kind.as_str();
        let problem = format!("starts at `latest`, but it is a {kind}: it would lack the rows that exist");
        return Err(bound
            .place
            .invalid(problem)
            .hint("leave `start` out; only streams can start at `latest`"));
    }
    Ok(BoundSource {
        index,
        name: declared.name.clone(),
        kind: declared.kind,
        topic: bound.topic.clone(),
        start: bound.start.unwrap_or(START),
        previous: declared.previous,
    })
}

fn source_unbound(transform: &RawTransform, name: &str) -> Fault {
    let place = transform.place.position();
    let message = format!("transform `{}` does not bind its source `{name}` ({place})", transform.name);
    let hint = format!("add `sources.{name} = \"TOPIC\"` to `[transforms.{}]`", transform.name);
    Fault::new(Code::SourceUnbound, message).hint(hint)
}

fn bind_sinks(
    transform: &RawTransform,
    manifest: &Manifest,
    sources: &[Option<BoundSource>],
) -> Result<Vec<BoundSink>, Fault> {
    let known: Vec<_> = manifest.sinks.iter().map(|sink| sink.name.as_str()).collect();
    if let Some(bound) = transform.sinks.iter().find(|bound| !known.contains(&bound.name.as_str())) {
        return Err(bound.place.unknown(&bound.name, &known));
    }
    let bind = |(index, declared): (SinkIndex, &SinkDecl)| {
        let name = &declared.name;
        let bound = transform.sinks.iter().find(|bound| bound.name == *name);
        let bound = bound.ok_or_else(|| {
            let place = transform.place.position();
            let message = format!("transform `{}` does not bind its sink `{name}` ({place})", transform.name);
            let hint = format!("add `sinks.{name} = \"TOPIC\"` to `[transforms.{}]`", transform.name);
            Fault::new(Code::SinkUnbound, message).hint(hint)
        })?;
        let after = bind_after(declared, bound, sources)?;
        Ok(BoundSink { index, name: name.clone(), topic: bound.topic.clone(), after })
    };
    (0..).map(SinkIndex).zip(&manifest.sinks).map(bind).collect()
}

/// The broadcast sources whose positions a sink's records carry: those that the plugin names and the operator bound.
fn bind_after(
    declared: &SinkDecl,
    bound: &RawSink,
    sources: &[Option<BoundSource>],
) -> Result<Vec<SourceIndex>, Fault> {
    if bound.after.is_some() && declared.after.is_empty() {
        let fault = bound.place.invalid("has `after`, but the plugin's manifest has none for this sink");
        return Err(fault.hint("leave `after` out"));
    }
    if bound.after == Some(false) {
        return Ok(Vec::new());
    }
    let named = |source: &&BoundSource| declared.after.contains(&source.name);
    Ok(sources.iter().flatten().filter(named).map(|source| source.index).collect())
}

/// A topic may be read once by a transform, and what it reads it must not write: a record would come round for ever,
/// or a supplier's topic would be overwritten.
fn check_topics(transform: &RawTransform, deployment: &Deployment) -> Result<(), Fault> {
    let mut read: BTreeMap<&TopicName, &str> = BTreeMap::new();
    let place =
        |name: &str| transform.sources.iter().find(|bound| bound.name == name).map(|bound| &bound.place);
    for source in deployment.sources.iter().flatten() {
        if let Some(other) = read.insert(&source.topic, &source.name) {
            let problem = format!("is bound to `{}`, and so is the source `{other}`", source.topic);
            let place = place(&source.name).unwrap_or(&transform.place);
            return Err(place.invalid(problem).hint("give each source a topic of its own"));
        }
    }
    let written = transform.sinks.iter().map(|sink| (&sink.place, &sink.topic));
    let dead_letters = (&transform.place, &deployment.dead_letters);
    let review = (!deployment.endpoints.is_empty()).then_some((&transform.place, &deployment.review));
    for (place, topic) in written.clone().chain([dead_letters]).chain(review) {
        if let Some(source) = read.get(topic) {
            return Err(writes_its_source(place, topic, source));
        }
    }
    let taken = |topic: &TopicName| match topic {
        _ if *topic == deployment.dead_letters => Some("dead-letter topic"),
        _ if review.is_some() && *topic == deployment.review => Some("topic of callouts to review"),
        _ => None,
    };
    if let Some((place, topic, other)) =
        written.clone().find_map(|(place, topic)| Some((place, topic, taken(topic)?)))
    {
        return Err(place.invalid(format_args!("is bound to `{topic}`, which is the {other} too")));
    }
    match review {
        Some((place, topic)) if *topic == deployment.dead_letters => {
            let fault =
                place.invalid(format_args!("has `{topic}` for dead letters and for callouts to review"));
            Err(fault.hint("give each of them a topic of its own: they are retried in different ways"))
        }
        _ => Ok(()),
    }
}

fn writes_its_source(place: &Place, topic: &TopicName, source: &str) -> Fault {
    let problem = format!("would write to `{topic}`, which the source `{source}` reads");
    place.invalid(problem).hint("bind another topic: a transform that reads its own output never ends")
}

#[cfg(test)]
mod tests;
