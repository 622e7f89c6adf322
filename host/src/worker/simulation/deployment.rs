//! The transform of the simulation: a table with a broadcast join, an index and a job, timers, and callouts to one endpoint.

use std::time::Duration;

use crate::config::base_url::BaseUrl;
use crate::config::endpoint::{BoundEndpoint, CalloutBounds};
use crate::config::manifest::{SourceKind, StoreDecl};
use crate::config::pipeline::{
    BoundIndex, BoundSink, BoundSource, Deployment, JobBounds, KeyPlacement, PluginIdentity, Start,
    StateBounds,
};
use crate::id::{Digest, EndpointIndex, SinkIndex, SourceIndex};
use crate::worker::simulation::plugin::{CLASSES, ENDPOINT};
use crate::worker::simulation::world::Setup;

/// As of one version of its index.
pub(super) fn deployment(setup: Setup, index_version: u32) -> Deployment {
    let sink = |index: u32, name: &str| BoundSink {
        index: SinkIndex(index),
        name: name.into(),
        topic: name.into(),
        after: Vec::new(),
    };
    let source = |index: u32, name: &str, kind, start| {
        let (index, previous) = (SourceIndex(index), false);
        Some(BoundSource { index, name: name.into(), kind, topic: name.into(), start, previous })
    };
    Deployment {
        app: "sim".into(),
        name: "join".into(),
        plugin: PluginIdentity { name: "join".into(), version: "1".into(), digest: Digest([0; 32]) },
        workers: 1,
        sources: vec![
            source(0, "items", SourceKind::Table, Start::Earliest),
            source(CLASSES.0, "classes", SourceKind::Broadcast, Start::Earliest),
            source(2, "updates", SourceKind::Stream, setup.start),
        ],
        sinks: vec![sink(0, "enriched"), sink(1, "notes")],
        dead_letters: "dead".into(),
        stores: vec![StoreDecl {
            name: "counts".into(),
            key: "text".into(),
            value: "text".into(),
            description: String::new(),
        }],
        indexes: vec![BoundIndex {
            name: "by-class".into(),
            on: "items".into(),
            version: index_version,
            config_digest: Digest([0; 32]),
        }],
        jobs: vec!["follow".into()],
        state_version: 1,
        config_json: "{}".into(),
        limits: setup.limits,
        commit: setup.commit,
        batch: setup.batch,
        state_bounds: StateBounds::default(),
        key_placement: KeyPlacement::default(),
        job_bounds: JobBounds { step_outputs: 2, ..JobBounds::default() },
        timers: true,
        endpoints: vec![BoundEndpoint {
            index: EndpointIndex(0),
            name: ENDPOINT.into(),
            methods: vec!["GET".into()],
            base_url: BaseUrl::parse("http://none").unwrap(),
            mode: setup.mode,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            concurrency: 3,
            per_second: None,
            response_bytes: 1_000,
            give_up_after: None,
            remember: Duration::from_secs(3_600),
            credentials: None,
            ca_file: None,
            proxy: None,
        }],
        callout_bounds: CalloutBounds { pending: 6 },
        review: "review".into(),
    }
}
