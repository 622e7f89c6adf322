//! What a transform keeps in state, by name: its stores and tables, their indexes, its kinds of job.

use crate::config::manifest::SourceKind;
use crate::id::{SourceIndex, TopicName};
use crate::io::StoreIndex;
use crate::task::spec::{INBOX, Spec};
use crate::task::state::key::{self, Kind};

/// The stores, indexes and jobs of a transform.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) stores: Vec<Store>,
    pub(crate) indexes: Vec<Index>,
    /// The kinds of job, each with the prefix of its keys.
    pub(crate) jobs: Vec<(String, Vec<u8>)>,
    /// Whether the plugin takes timers.
    pub(crate) timers: bool,
    /// The most that one call may write, in bytes.
    pub(crate) call_bytes: usize,
    /// The partitioned sources, as plugins name them.
    pub(crate) sources: Vec<(String, SourceIndex)>,
}

/// A store or a table.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) prefix: Vec<u8>,
    /// Positions of its indexes in the layout.
    pub(crate) indexes: Vec<usize>,
    /// Whether its rows are in the changelog.
    pub(crate) is_logged: bool,
    /// The source that it is the table of.
    pub(crate) source: Option<(SourceIndex, TopicName)>,
}

/// An index of a store or table.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) prefix: Vec<u8>,
    /// Changes with the meaning of its terms.
    pub(crate) identity: String,
}

impl Layout {
    pub(crate) fn new(spec: &Spec) -> Self {
        let named = spec.partitioned().filter(|source| source.index != INBOX);
        let mut layout = Self {
            call_bytes: usize::try_from(spec.state.call_bytes).unwrap_or(usize::MAX),
            timers: spec.state.timers,
            sources: named.map(|source| (source.name.clone(), source.index)).collect(),
            ..Self::default()
        };
        for source in spec.sources.iter().flatten().filter(|source| source.kind != SourceKind::Stream) {
            let is_own_changelog = spec.state.own_changelogs.contains(&source.index);
            let (kind, is_logged) = match source.kind {
                SourceKind::Broadcast => (Kind::Broadcast, true),
                SourceKind::Table | SourceKind::Stream => (Kind::Table, !is_own_changelog),
            };
            layout.add(&source.name, kind, is_logged, Some((source.index, source.topic.clone())));
        }
        spec.state.stores.iter().for_each(|name| layout.add(name, Kind::Store, true, None));
        for index in &spec.state.indexes {
            let position = layout.indexes.len();
            if let Some(store) = layout.stores.iter_mut().find(|store| store.name == index.on) {
                store.indexes.push(position);
                let prefix = key::prefix(Kind::Index, &index.name);
                layout.indexes.push(Index {
                    name: index.name.clone(),
                    prefix,
                    identity: index.identity.clone(),
                });
            }
        }
        let jobs = spec.state.jobs.iter();
        layout.jobs = jobs.map(|kind| (kind.clone(), key::prefix(Kind::Job, kind))).collect();
        layout
    }

    fn add(&mut self, name: &str, kind: Kind, is_logged: bool, source: Option<(SourceIndex, TopicName)>) {
        let (name, prefix, indexes) = (name.to_owned(), key::prefix(kind, name), Vec::new());
        self.stores.push(Store { name, kind, prefix, indexes, is_logged, source });
    }

    pub(crate) fn store(&self, index: StoreIndex) -> Option<&Store> {
        self.stores.get(index.0 as usize)
    }

    /// The table of a source, if it has one.
    pub(crate) fn table(&self, source: SourceIndex) -> Option<&Store> {
        self.stores.iter().find(|store| store.source.as_ref().is_some_and(|(own, _)| *own == source))
    }

    /// The prefix of the keys of a kind of job.
    pub(crate) fn job(&self, kind: &str) -> Option<&[u8]> {
        self.jobs.iter().find(|(own, _)| own == kind).map(|(_, prefix)| prefix.as_slice())
    }

    /// Whether a key is in the local store alone.
    pub(crate) fn is_local(&self, key: &[u8]) -> bool {
        key::is_local(key, |key| {
            self.stores
                .iter()
                .any(|store| store.is_logged && store.kind == Kind::Table && key.starts_with(&store.prefix))
        })
    }

    /// The tables whose topic is their changelog.
    pub(crate) fn own_changelogs(&self) -> impl Iterator<Item = (&Store, &TopicName)> {
        let own = self.stores.iter().filter(|store| !store.is_logged);
        own.filter_map(|store| Some((store, &store.source.as_ref()?.1)))
    }

    /// The topics that local tables are copies of, without a changelog between.
    pub(crate) fn copied_topics(&self) -> impl Iterator<Item = &TopicName> {
        self.own_changelogs().map(|(_, topic)| topic)
    }

    /// What the indexes mean, to be compared with what a local copy was made for.
    pub(crate) fn index_identities(&self) -> Vec<String> {
        self.indexes.iter().map(|index| index.identity.clone()).collect()
    }
}
