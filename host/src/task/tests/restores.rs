//! What becomes of a local store before its task is opened.

use std::collections::BTreeMap;

use super::*;
use crate::id::{Offset, Partition, TaskId, Timestamp};
use crate::io::{Bounds, Restored, StoreEngine, Stores, Until};
use crate::memory::MemoryStores;
use crate::record::Chunk;
use crate::task::restore::{Beginning, Restoration, Setback, Wanted};
use crate::task::spec::{IndexSpec, Spec, TopicIds};
use crate::task::state::PositionRecord;

const CHANGELOG: &str = "join.changelog";

/// A restore and what it needs.
struct Stage {
    bench: Bench,
    spec: Arc<Spec>,
    stores: MemoryStores,
    committed: BTreeMap<TopicPartition, Offset>,
    now: Timestamp,
}

fn stage() -> Stage {
    let committed = BTreeMap::from([(place("items"), Offset(7)), (place("updates"), Offset(3))]);
    let (stores, now) = (MemoryStores::new(), Timestamp(1_000_000));
    Stage { bench: bench(), spec: Arc::new(spec(BATCH, 10_000)), stores, committed, now }
}

impl Stage {
    fn begin(&mut self) -> Result<Restoration, Setback> {
        let id = TaskId { transform: "join".into(), partition: Partition(0) };
        let committed = self.committed.clone();
        let (spec, now, elapsed) = (&self.spec, self.now, Duration::ZERO);
        let beginning = Beginning { id: &id, spec, committed, has_state: true, now, elapsed };
        let store = self.stores.open(Partition(0)).unwrap();
        Restoration::begin(beginning, store).map(|restoration| restoration.unwrap())
    }

    fn take(
        &self,
        restoration: &mut Restoration,
        topic: &str,
        news: Restored,
    ) -> Result<Vec<Wanted>, Setback> {
        let (transform, views) = (&self.bench.plugin, &self.bench.views);
        let callouts = &crate::io::NoCallouts;
        let around = Surroundings { transform, views, callouts, now: self.now, elapsed: Duration::ZERO };
        restoration.take(&place(topic), news, &around)
    }

    /// Restores all of it from a changelog that ends at 20 and holds this record; what the task begins with.
    fn whole(&mut self, record: &PositionRecord) -> Result<(Opening, Box<dyn StoreEngine>), Setback> {
        let mut restoration = self.begin()?;
        self.take(&mut restoration, CHANGELOG, Restored::Records(changelog(record)))?;
        for wanted in self.take(&mut restoration, CHANGELOG, Restored::Done(Offset(20)))? {
            let topic = wanted.place.topic.as_str().to_owned();
            let Until::Position(until) = wanted.until else { panic!("{wanted:?}") };
            self.take(&mut restoration, &topic, Restored::Records(chunk(2, &[("row", 0)])))?;
            self.take(&mut restoration, &topic, Restored::Done(until))?;
        }
        assert!(restoration.is_done());
        restoration.finish(Duration::ZERO, |_| Ok(Offset(9))).map_err(Setback::Failed)
    }
}

fn changelog(record: &PositionRecord) -> Chunk {
    let mut chunk = Chunk::new();
    chunk.push(Some(&[0]), Some(&record.write()), [], (Timestamp(0), Offset(18)));
    chunk
}

fn record() -> PositionRecord {
    let sources = BTreeMap::from([("items".into(), Offset(7)), ("updates".into(), Offset(3))]);
    PositionRecord { sources, state_version: 1, sequence: 4, ..PositionRecord::default() }
}

fn refused(result: Result<(Opening, Box<dyn StoreEngine>), Setback>) -> Code {
    match result {
        Err(Setback::Refused(fault)) => fault.code(),
        Err(setback) => panic!("{setback:?}"),
        Ok((opening, _)) => panic!("{opening:?}"),
    }
}

#[test]
fn reads_the_changelog_to_its_end_then_the_table_to_the_committed_position() {
    let mut stage = stage();

    let (opening, _) = stage.whole(&record()).unwrap();

    assert_eq!(opening.record, record());
    assert_eq!(opening.changelog, Offset(20));
    assert_eq!(opening.committed, stage.committed);
    // Its rows may be older than what was sent: nothing else runs before its topic is handled to its end.
    assert_eq!(opening.catch_up, BTreeMap::from([(place("items"), Offset(9))]));
}

#[test]
fn knows_how_far_it_is() {
    let mut stage = stage();
    let mut restoration = stage.begin().unwrap();
    let bounds = Bounds { start: Offset(0), stable_end: Offset(20) };
    assert_eq!(restoration.offsets(), (0, 0));

    stage.take(&mut restoration, CHANGELOG, Restored::Began { bounds, until: Offset(20) }).unwrap();
    assert_eq!(restoration.offsets(), (0, 20));
    stage.take(&mut restoration, CHANGELOG, Restored::Records(changelog(&record()))).unwrap();

    assert_eq!(restoration.offsets(), (19, 20));
}

#[test]
fn goes_on_where_the_last_restore_ended() {
    let mut stage = stage();
    stage.whole(&record()).unwrap();
    stage.committed.insert(place("items"), Offset(8));

    let restoration = stage.begin().unwrap();

    let (place, from) = (place(CHANGELOG), Some(Offset(20)));
    assert_eq!(restoration.wanted(), [Wanted { place, from, until: Until::End }]);
}

#[test]
fn takes_the_positions_of_the_record_where_the_group_has_none() {
    let mut stage = stage();
    let committed = std::mem::take(&mut stage.committed);

    let (opening, _) = stage.whole(&record()).unwrap();

    assert_eq!(opening.positions, committed);
    assert!(opening.committed.is_empty(), "the first commit tells the group");
}

#[test]
fn refuses_positions_that_do_not_belong_to_the_state() {
    let mut stage = stage();
    stage.committed.insert(place("updates"), Offset(1));

    assert_eq!(refused(stage.whole(&record())), Code::PositionsDisagree);
}

fn with_ids(stage: &mut Stage, ids: &[(&str, &str)]) -> TopicIds {
    let ids: TopicIds = ids.iter().map(|(topic, id)| ((*topic).into(), (*id).to_owned())).collect();
    stage.spec = Arc::new(spec(BATCH, 10_000).with_topic_ids(ids.clone()));
    ids
}

#[test]
fn refuses_positions_in_a_source_that_was_made_anew() {
    let mut stage = stage();
    let topic_ids = with_ids(&mut stage, &[("items", "first"), ("updates", "u")]);
    let record = PositionRecord { topic_ids, ..record() };
    with_ids(&mut stage, &[("items", "second"), ("updates", "u")]);

    assert_eq!(refused(stage.whole(&record)), Code::SourceRecreated);

    // What is not known on one side is not compared.
    for ids in [&[("updates", "u")][..], &[("items", "first")]] {
        with_ids(&mut stage, ids);
        assert!(stage.whole(&record).is_ok());
        stage.stores.discard(Partition(0)).unwrap();
    }
}

#[test]
fn applies_a_broadcast_topic_that_was_made_anew_from_its_start() {
    let mut stage = stage();
    let topic_ids = with_ids(&mut stage, &[("classes", "first")]);
    let broadcasts = [(place("classes"), Offset(5))].into();
    let record = PositionRecord { topic_ids, broadcasts, ..record() };
    assert_eq!(stage.whole(&record).unwrap().0.record.broadcasts.len(), 1);

    with_ids(&mut stage, &[("classes", "second")]);

    assert_eq!(stage.whole(&record).unwrap().0.record.broadcasts.len(), 0);
}

#[test]
fn drops_a_copy_of_a_topic_that_was_made_anew() {
    for topic in [CHANGELOG, "items"] {
        let mut stage = stage();
        with_ids(&mut stage, &[(topic, "first")]);
        stage.whole(&record()).unwrap();
        assert!(stage.begin().is_ok());

        with_ids(&mut stage, &[(topic, "second")]);

        assert!(matches!(stage.begin(), Err(Setback::Unfit(reason)) if reason.contains("made anew")));
    }
}

#[test]
fn drops_a_copy_whose_checkpoint_cannot_be_read() {
    let mut stage = stage();
    let mut store = stage.stores.open(Partition(0)).unwrap();
    store.apply(&mut [(&b"\x00"[..], Some(&b"row"[..]))].into_iter()).unwrap();
    drop(store);

    assert!(matches!(stage.begin(), Err(Setback::Unfit(reason)) if reason.contains("checkpoint")));
}

#[test]
fn refuses_positions_whose_state_is_gone() {
    let mut stage = stage();
    let mut restoration = stage.begin().unwrap();

    let ended = stage.take(&mut restoration, CHANGELOG, Restored::Done(Offset(0)));

    assert!(matches!(ended, Err(Setback::Refused(fault)) if fault.code() == Code::StateLost));
}

#[test]
fn refuses_state_of_which_the_first_records_were_deleted() {
    for (start, is_whole) in [(0, true), (1, false)] {
        let mut stage = stage();
        let mut restoration = stage.begin().unwrap();
        let bounds = Bounds { start: Offset(start), stable_end: Offset(20) };
        let began = Restored::Began { bounds, until: Offset(20) };
        stage.take(&mut restoration, CHANGELOG, began).unwrap();
        stage.take(&mut restoration, CHANGELOG, Restored::Records(changelog(&record()))).unwrap();

        let ended = stage.take(&mut restoration, CHANGELOG, Restored::Done(Offset(20)));

        let code = ended.map_err(|setback| match setback {
            Setback::Refused(fault) => fault.code(),
            setback => panic!("{setback:?}"),
        });
        assert_eq!(code.err(), (!is_whole).then_some(Code::StateLost));
    }
}

#[test]
fn refuses_the_state_of_a_later_version_of_the_plugin() {
    let mut stage = stage();

    let found = stage.whole(&PositionRecord { state_version: 2, ..record() });

    assert_eq!(refused(found), Code::StateTooNew);
}

#[test]
fn drops_a_copy_that_may_have_missed_deletions() {
    let mut stage = stage();
    stage.whole(&record()).unwrap();
    stage.now = Timestamp(stage.now.0 + 4 * 24 * 3_600_000);

    assert!(matches!(stage.begin(), Err(Setback::Unfit(reason)) if reason.contains("deletions")));
}

#[test]
fn keeps_a_copy_whose_indexes_mean_something_else_and_has_them_built() {
    let mut stage = stage();
    assert_eq!(stage.whole(&record()).unwrap().0.rebuild, None);
    let mut spec = spec(BATCH, 10_000);
    let (name, on, identity) = ("by-class".into(), "items".into(), "by-class 2".into());
    spec.state.indexes.push(IndexSpec { name, on, identity });
    stage.spec = Arc::new(spec);

    let first = stage.whole(&record()).unwrap().0.rebuild;
    // The checkpoint says so from now on.
    let second = stage.whole(&record()).unwrap().0.rebuild;

    assert_eq!((first, second), (Some(Vec::new()), Some(Vec::new())));
}

#[test]
fn drops_a_copy_that_is_ahead_of_the_committed_position() {
    let mut stage = stage();
    stage.whole(&record()).unwrap();
    let earlier = PositionRecord { sources: [("items".into(), Offset(5))].into(), ..record() };
    stage.committed.insert(place("items"), Offset(5));

    assert!(matches!(stage.whole(&earlier), Err(Setback::Unfit(reason)) if reason.contains("ahead")));
}

#[test]
fn drops_a_copy_whose_changelog_was_cut_or_made_anew() {
    let mut stage = stage();
    stage.whole(&record()).unwrap();
    let mut restoration = stage.begin().unwrap();

    let bounds = Bounds { start: Offset(0), stable_end: Offset(3) };
    let ended = stage.take(&mut restoration, CHANGELOG, Restored::OutOfRange(bounds));

    assert!(matches!(ended, Err(Setback::Unfit(_))));
}

#[test]
fn dead_letters_a_record_whose_key_no_store_takes() {
    let mut bench = bench();
    let mut records = Chunk::new();
    let key = vec![b'k'; 40_000];
    records.push(Some(&key), Some(b"a"), [], (Timestamp(0), Offset(0)));
    bench.task.records(&place("items"), records);

    let out = bench.drain();

    assert_eq!(out[0].header("gristmill-error-code"), "record_refused");
    bench.commit();
}
