//! Reading partitions again, a few records at a time.

use std::collections::BTreeMap;

use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicPartition};
use crate::io::{Bounds, Restored, Restorer, Until};
use crate::memory::log::Log;
use crate::memory::{Call, Cluster, Process, Trouble};
use crate::record::Chunk;

/// A reader of changelogs. Each poll goes one step, so that whatever else the simulation does comes in between.
pub struct MemoryRestorer {
    cluster: Cluster,
    name: String,
    reads: BTreeMap<TopicPartition, Read>,
    chunk_records: usize,
    process: Process,
}

/// A partition that is being read.
enum Read {
    /// The cluster was not asked yet what the partition holds.
    Asked {
        from: Option<Offset>,
        until: Until,
    },
    Reading {
        position: Offset,
        until: Offset,
    },
}

impl MemoryRestorer {
    /// A reader that hands out so many records at most in a poll. The hook knows it under this name.
    pub fn new(cluster: &Cluster, process: &Process, name: &str, chunk_records: usize) -> Self {
        Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            reads: BTreeMap::new(),
            chunk_records: chunk_records.max(1),
            process: process.clone(),
        }
    }

    /// What the hook makes of a poll: the fault that comes instead of news.
    fn trouble(&self) -> Option<Fault> {
        if self.process.is_dead() {
            return Some(died());
        }
        match self.cluster.call(&self.name, Call::Restore) {
            Trouble::None => None,
            Trouble::Fails | Trouble::AppliesAndFails | Trouble::AppliesLate(_) => {
                Some(Fault::new(Code::KafkaFailed, "reading a changelog failed"))
            }
            Trouble::Dies | Trouble::AppliesAndDies => {
                self.process.die();
                Some(died())
            }
        }
    }
}

impl Restorer for MemoryRestorer {
    fn begin(&mut self, place: &TopicPartition, from: Option<Offset>, until: Until) {
        self.reads.insert(place.clone(), Read::Asked { from, until });
    }

    fn poll(&mut self, place: &TopicPartition) -> Option<Restored> {
        let read = self.reads.get_mut(place)?;
        let read = std::mem::replace(read, Read::Asked { from: None, until: Until::End });
        if let Some(fault) = self.trouble() {
            self.reads.remove(place);
            return Some(Restored::Failed(fault));
        }
        let (news, next) = match self.cluster.state.borrow_mut().log(place) {
            Some(log) => step(log, read, self.chunk_records),
            None => {
                let fault = Fault::new(Code::TopicMissing, format!("{place} does not exist"));
                (Some(Restored::Failed(fault)), None)
            }
        };
        match next {
            Some(next) => self.reads.insert(place.clone(), next),
            None => self.reads.remove(place),
        };
        news
    }

    fn end(&mut self, place: &TopicPartition) {
        self.reads.remove(place);
    }
}

/// One step of a read: its news, and where it stands now.
fn step(log: &Log, read: Read, most: usize) -> (Option<Restored>, Option<Read>) {
    let bounds = Bounds { start: log.start(), stable_end: log.stable_end() };
    match read {
        Read::Asked { from, until } => {
            let position = from.unwrap_or(bounds.start);
            let until = match until {
                Until::End => log.end(),
                Until::Position(until) => until,
            };
            if !log.has(position) || until > log.end() {
                return (Some(Restored::OutOfRange(bounds)), None);
            }
            let until = until.max(position);
            (Some(Restored::Began { bounds, until }), Some(Read::Reading { position, until }))
        }
        Read::Reading { position, until } if log.has(position) => read_on(log, (position, until), most),
        Read::Reading { .. } => (Some(Restored::OutOfRange(bounds)), None),
    }
}

fn read_on(
    log: &Log,
    (mut position, until): (Offset, Offset),
    most: usize,
) -> (Option<Restored>, Option<Read>) {
    let mut chunk = Chunk::new();
    for entry in log.stable_from(position).take_while(|entry| entry.offset < until) {
        if chunk.len() == most {
            break;
        }
        position = entry.offset.next();
        entry.push_to(&mut chunk);
    }
    if !chunk.is_empty() {
        return (Some(Restored::Records(chunk)), Some(Read::Reading { position, until }));
    }
    // What lies before the last stable offset was seen, gaps included.
    if log.stable_end() >= until {
        return (Some(Restored::Done(until)), None);
    }
    (None, Some(Read::Reading { position, until }))
}

fn died() -> Fault {
    Fault::new(Code::Internal, "the simulated process has died")
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::clock::Clock;
    use crate::id::{Partition, Timestamp, TopicName};
    use crate::io::{CauseId, Outgoing, Sink, TopicFacts};
    use crate::memory::{Content, Fate, Hook, MemorySink, Timeouts};

    struct Bench {
        cluster: Cluster,
        topic: TopicName,
        place: TopicPartition,
        process: Process,
    }

    impl Bench {
        fn new() -> Self {
            let cluster = Cluster::new(&Clock::manual(Timestamp(0)), Timeouts::default());
            let topic = TopicName::new("changelog");
            cluster.create(&topic, 1, TopicFacts::default());
            let place = TopicPartition::new(&topic, Partition(0));
            Self { cluster, topic, place, process: Process::default() }
        }

        fn put(&self, key: &str) {
            self.cluster.append(&self.place, content(key));
        }

        fn restorer(&self) -> MemoryRestorer {
            MemoryRestorer::new(&self.cluster, &self.process, "restorer", 2)
        }

        fn begin(&self, from: Option<i64>, until: Until) -> MemoryRestorer {
            let mut restorer = self.restorer();
            restorer.begin(&self.place, from.map(Offset), until);
            restorer
        }

        /// All news until there are no more, as text.
        fn news(&self, restorer: &mut MemoryRestorer) -> Vec<String> {
            std::iter::from_fn(|| restorer.poll(&self.place)).map(|news| describe(&news)).collect()
        }

        fn open(&self, sink: &mut MemorySink, key: &str) {
            sink.begin().unwrap();
            let record = Outgoing {
                topic: &self.topic,
                partition: Some(Partition(0)),
                key: Some(key.as_bytes()),
                value: Some(b"v"),
                headers: &[],
                timestamp: None,
                cause: CauseId(0),
            };
            sink.send(&record).unwrap();
            sink.flush().unwrap();
        }
    }

    fn content(key: &str) -> Content {
        let (key, value) = (Some(key.as_bytes().to_vec()), Some(b"v".to_vec()));
        Content::Record { key, value, headers: Vec::new(), timestamp: Timestamp(0) }
    }

    fn describe(news: &Restored) -> String {
        match news {
            Restored::Began { bounds, until } => {
                format!("{}..{} to {until}", bounds.start, bounds.stable_end)
            }
            Restored::Records(chunk) => {
                let key = |record: crate::record::RecordRef<'_>| {
                    String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned()
                };
                chunk.iter().map(key).collect()
            }
            Restored::Done(position) => format!("done {position}"),
            Restored::OutOfRange(bounds) => format!("outside {}..{}", bounds.start, bounds.stable_end),
            Restored::Failed(fault) => fault.code().as_str().to_owned(),
        }
    }

    #[test]
    fn reads_committed_records_over_markers_and_gaps_to_the_end() {
        let bench = Bench::new();
        ["a", "b", "a", "c"].iter().for_each(|key| bench.put(key));
        bench.cluster.append_transaction(&bench.place, vec![content("x")], Fate::Aborted);
        bench.cluster.append_transaction(&bench.place, vec![content("d")], Fate::Committed);
        bench.cluster.compact(&bench.place);

        let mut restorer = bench.begin(None, Until::End);

        assert_eq!(bench.news(&mut restorer), ["0..8 to 8", "ba", "cd", "done 8"]);
        assert!(restorer.poll(&bench.place).is_none());
    }

    #[test]
    fn hands_out_nothing_at_or_behind_the_position_that_it_reads_to() {
        let bench = Bench::new();
        ["a", "b", "c", "d"].iter().for_each(|key| bench.put(key));

        let mut restorer = bench.begin(Some(1), Until::Position(Offset(3)));

        assert_eq!(bench.news(&mut restorer), ["0..4 to 3", "bc", "done 3"]);
    }

    #[test]
    fn waits_for_transactions_that_were_open_when_it_began() {
        let bench = Bench::new();
        bench.put("a");
        let mut sink = MemorySink::new(&bench.cluster, &bench.process, "t", "g");
        bench.open(&mut sink, "b");

        let mut restorer = bench.begin(None, Until::End);

        assert_eq!(bench.news(&mut restorer), ["0..1 to 2", "a"]);
        assert_eq!(sink.acknowledged(&bench.place), Some(Offset(1)));
        sink.commit().unwrap();
        assert_eq!(sink.acknowledged(&bench.place), None);
        bench.put("later");
        assert_eq!(bench.news(&mut restorer), ["b", "done 2"]);
    }

    #[test]
    fn tells_when_it_is_asked_for_what_the_partition_does_not_hold() {
        let bench = Bench::new();
        ["a", "b", "c"].iter().for_each(|key| bench.put(key));
        bench.cluster.truncate(&bench.place, Offset(1));

        assert_eq!(bench.news(&mut bench.begin(Some(0), Until::End)), ["outside 1..3"]);
        assert_eq!(bench.news(&mut bench.begin(Some(4), Until::End)), ["outside 1..3"]);
        assert_eq!(bench.news(&mut bench.begin(Some(1), Until::Position(Offset(4)))), ["outside 1..3"]);
        assert_eq!(bench.news(&mut bench.begin(Some(3), Until::End)), ["1..3 to 3", "done 3"]);
    }

    #[test]
    fn tells_when_a_topic_is_cut_or_goes_away_while_it_reads() {
        let bench = Bench::new();
        ["a", "b", "c"].iter().for_each(|key| bench.put(key));

        let mut cut = bench.begin(None, Until::End);
        cut.poll(&bench.place);
        bench.cluster.truncate(&bench.place, Offset(2));
        assert_eq!(bench.news(&mut cut), ["outside 2..3"]);

        let mut gone = bench.begin(None, Until::End);
        gone.poll(&bench.place);
        bench.cluster.delete(&bench.topic);
        assert_eq!(bench.news(&mut gone), ["topic_missing"]);
    }

    #[test]
    fn starts_from_nothing_when_a_topic_is_made_anew() {
        let bench = Bench::new();
        ["a", "b"].iter().for_each(|key| bench.put(key));
        bench.cluster.recreate(&bench.topic);

        assert_eq!(bench.news(&mut bench.begin(Some(1), Until::End)), ["outside 0..0"]);
    }

    #[test]
    fn begins_anew_and_ends_when_it_is_told_to() {
        let bench = Bench::new();
        ["a", "b", "c"].iter().for_each(|key| bench.put(key));
        let mut restorer = bench.begin(None, Until::End);
        restorer.poll(&bench.place);
        restorer.poll(&bench.place);

        restorer.begin(&bench.place, None, Until::End);
        assert_eq!(bench.news(&mut restorer), ["0..3 to 3", "ab", "c", "done 3"]);

        restorer.begin(&bench.place, None, Until::End);
        restorer.end(&bench.place);
        assert_eq!(bench.news(&mut restorer), [""; 0]);
    }

    struct Once(Trouble);

    impl Hook for Once {
        fn before(&self, client: &str, call: Call) -> Trouble {
            if (client, call) == ("restorer", Call::Restore) { self.0 } else { Trouble::None }
        }
    }

    #[test]
    fn fails_and_dies_when_the_hook_says_so() {
        let bench = Bench::new();

        bench.cluster.hook(Rc::new(Once(Trouble::Fails)));
        assert_eq!(bench.news(&mut bench.begin(None, Until::End)), ["kafka_failed"]);
        bench.cluster.hook(Rc::new(Once(Trouble::Dies)));
        assert_eq!(bench.news(&mut bench.begin(None, Until::End)), ["internal"]);

        assert!(bench.process.is_dead());
    }
}
