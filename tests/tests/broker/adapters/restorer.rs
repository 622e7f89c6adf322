//! The restorer: committed records to the end that was there, whatever became of the changelog.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use gristmill_host::fault::Code;
use gristmill_host::id::{Offset, Partition, TopicName, TopicPartition};
use gristmill_host::io::{Outgoing, Restored, Restorer as _, Sink as _, Until};
use gristmill_host::kafka::produce::PlainProducer;
use gristmill_host::kafka::restorer::KafkaRestorer;
use gristmill_tests::client::{Client, block_on, options};
use gristmill_tests::wait::{self, Seen};

use super::support::{Bench, first, record, told};

/// A record as a test writes it down: key, value, offset.
type Row = (String, Option<String>, i64);

/// What a partition gave.
#[derive(Debug, Default)]
struct Read {
    /// First offset, last stable offset, end.
    began: (i64, i64, i64),
    rows: Vec<Row>,
    /// `done N`, `outside N..N` or the code of a fault.
    outcome: String,
}

impl Read {
    /// Takes news in, and tells whether they were the last.
    fn take(&mut self, news: Restored) -> bool {
        match news {
            Restored::Began { bounds, until } => self.began = (bounds.start.0, bounds.stable_end.0, until.0),
            Restored::Records(chunk) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                self.rows.extend(chunk.iter().map(|record| {
                    (text(record.key().unwrap_or_default()), record.value().map(text), record.offset().0)
                }));
            }
            Restored::Done(position) => self.outcome = format!("done {position}"),
            Restored::OutOfRange(bounds) => {
                self.outcome = format!("outside {}..{}", bounds.start, bounds.stable_end);
            }
            Restored::Failed(fault) => self.outcome = fault.code().as_str().to_owned(),
        }
        !self.outcome.is_empty()
    }
}

/// Waits for the next news of a partition.
fn next(restorer: &mut KafkaRestorer, place: &TopicPartition) -> Result<Restored> {
    wait::until("news of a restore", || {
        Ok(restorer.poll(place).map_or(Seen::NotYet("nothing".to_owned()), Seen::Yes))
    })
}

/// Takes all news of a partition that is being read.
fn finish(restorer: &mut KafkaRestorer, place: &TopicPartition) -> Result<Read> {
    let mut read = Read::default();
    while !read.take(next(restorer, place)?) {}
    Ok(read)
}

/// Reads a partition from a position to an end.
fn read(bench: &Bench, place: &TopicPartition, from: Option<i64>, until: Until) -> Result<Read> {
    let mut restorer = KafkaRestorer::new(&bench.kafka, &bench.name);
    restorer.begin(place, from.map(Offset), until);
    finish(&mut restorer, place)
}

fn row(key: &str, value: Option<&str>, offset: i64) -> Row {
    (key.to_owned(), value.map(str::to_owned), offset)
}

/// Writes keys with values in a transaction.
fn write(bench: &Bench, topic: &TopicName, rows: &[(&str, Option<&str>)], commits: bool) -> Result<()> {
    let mut sink = bench.sink("t")?;
    sink.begin().map_err(told)?;
    for (key, value) in rows {
        let value = value.map(str::as_bytes);
        sink.send(&Outgoing { key: Some(key.as_bytes()), value, ..record(topic, "") }).map_err(told)?;
    }
    sink.flush().map_err(told)?;
    if commits { sink.commit() } else { sink.abort() }.map_err(told)
}

fn delete(client: &Client, topic: &TopicName) -> Result<()> {
    let deleted = block_on(client.admin()?.delete_topics(&[topic.as_str()], &options()))?;
    deleted.into_iter().try_for_each(|result| match result {
        Ok(_) => Ok(()),
        Err((name, code)) => Err(anyhow!("cannot delete {name}: {code}")),
    })
}

#[test]
fn reads_committed_rows_and_tombstones_to_the_end_behind_control_records() -> Result<()> {
    let bench = Bench::new("restore")?;
    // The embedded broker compacts within seconds, which a slow machine may take for this test.
    let late = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")];
    let topic = bench.topic(1, &late)?;
    write(&bench, &topic, &[("a", Some("1")), ("b", Some("2"))], true)?;
    write(&bench, &topic, &[("c", Some("never"))], false)?;
    write(&bench, &topic, &[("a", None)], true)?;

    let read = read(&bench, &first(&topic), None, Until::End)?;

    assert_eq!(read.rows, [row("a", Some("1"), 0), row("b", Some("2"), 1), row("a", None, 5)]);
    assert_eq!(read.outcome, "done 7");
    assert_eq!((read.began.0, read.began.2), (0, 7));
    Ok(())
}

#[test]
fn reads_from_a_position_to_a_position_and_nothing_else() -> Result<()> {
    let bench = Bench::new("restore-part")?;
    let topic = bench.topic(1, &[])?;
    bench.put(&topic, &["0", "1", "2", "3", "4"])?;

    let part = read(&bench, &first(&topic), Some(1), Until::Position(Offset(3)))?;
    let nothing = read(&bench, &first(&topic), Some(5), Until::End)?;

    assert_eq!(part.rows, [row("key", Some("1"), 1), row("key", Some("2"), 2)]);
    assert_eq!((part.began, part.outcome.as_str()), ((0, 5, 3), "done 3"));
    assert_eq!((nothing.rows.len(), nothing.outcome.as_str()), (0, "done 5"));
    Ok(())
}

#[test]
fn waits_for_a_transaction_that_was_open_when_it_began() -> Result<()> {
    let bench = Bench::new("restore-open")?;
    let topic = bench.topic(1, &[])?;
    let place = first(&topic);
    bench.put(&topic, &["before"])?;
    let mut sink = bench.sink("t")?.with_changelog(&topic);
    sink.replace().map_err(told)?;
    sink.begin().map_err(told)?;
    sink.send(&record(&topic, "open")).map_err(told)?;
    sink.flush().map_err(told)?;
    let mut restorer = KafkaRestorer::new(&bench.kafka, &bench.name);

    restorer.begin(&place, None, Until::End);
    let mut read = Read::default();
    while read.rows.is_empty() {
        assert!(!read.take(next(&mut restorer, &place)?), "{read:?}");
    }
    bench.put(&topic, &["later"])?;
    assert!(restorer.poll(&place).is_none());
    sink.commit().map_err(told)?;
    let rest = finish(&mut restorer, &place)?;

    assert_eq!((read.began, read.rows), ((0, 1, 2), vec![row("key", Some("before"), 0)]));
    assert_eq!((rest.rows, rest.outcome.as_str()), (vec![row("key", Some("open"), 1)], "done 2"));
    Ok(())
}

#[test]
fn goes_on_when_the_open_transaction_is_aborted() -> Result<()> {
    let bench = Bench::new("restore-abort")?;
    let topic = bench.topic(1, &[])?;
    let mut sink = bench.sink("t")?;
    sink.begin().map_err(told)?;
    sink.send(&record(&topic, "never")).map_err(told)?;
    sink.flush().map_err(told)?;
    let mut restorer = KafkaRestorer::new(&bench.kafka, &bench.name);

    restorer.begin(&first(&topic), None, Until::End);
    let Restored::Began { until, .. } = next(&mut restorer, &first(&topic))? else { bail!("not begun") };
    sink.abort().map_err(told)?;
    let read = finish(&mut restorer, &first(&topic))?;

    assert_eq!(until, Offset(1));
    assert_eq!((read.rows.len(), read.outcome.as_str()), (0, "done 1"));
    Ok(())
}

#[test]
fn reads_what_compaction_has_left() -> Result<()> {
    let mut bench = Bench::new("restore-compact")?;
    // The dev broker does not look into compressed batches.
    bench.kafka.client.insert("compression.type".to_owned(), "none".to_owned());
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "500"),
    ];
    let topic = bench.topic(1, &eager)?;
    let keys: Vec<_> = (0..10).map(|key| key.to_string()).collect();
    for value in ["first", "second", "third"] {
        let rows: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(value))).collect();
        write(&bench, &topic, &rows, true)?;
    }
    write(&bench, &topic, &[("0", None)], true)?;

    let read = wait::until("a compacted restore", || {
        // A segment is closed, and can be compacted, when something is written behind it.
        write(&bench, &topic, &[("roll", Some("x"))], true)?;
        let read = read(&bench, &first(&topic), None, Until::End)?;
        let olds = read.rows.iter().filter(|(_, value, _)| value.as_deref() == Some("first")).count();
        Ok(if olds == 0 { Seen::Yes(read) } else { Seen::NotYet(format!("{olds} old rows")) })
    })?;

    let rows: BTreeMap<_, _> =
        read.rows.iter().map(|(key, value, _)| (key.as_str(), value.as_deref())).collect();
    assert_eq!((rows.len(), rows["0"], rows["9"]), (11, None, Some("third")));
    assert_eq!(read.outcome, format!("done {}", read.began.2));
    Ok(())
}

#[test]
fn tells_when_positions_lie_outside_of_the_partition() -> Result<()> {
    let bench = Bench::new("restore-outside")?;
    let topic = bench.topic(1, &[])?;
    bench.put(&topic, &["0", "1", "2"])?;
    let mut cut = rdkafka::TopicPartitionList::new();
    cut.add_partition_offset(topic.as_str(), 0, rdkafka::Offset::Offset(1))?;
    block_on(bench.client.admin()?.delete_records(&cut, &options()))?;

    let outcome = |from, until| read(&bench, &first(&topic), from, until).map(|read| read.outcome);

    assert_eq!(outcome(Some(0), Until::End)?, "outside 1..3");
    assert_eq!(outcome(Some(4), Until::End)?, "outside 1..3");
    assert_eq!(outcome(None, Until::Position(Offset(4)))?, "outside 1..3");
    assert_eq!(outcome(None, Until::End)?, "done 3");
    Ok(())
}

#[test]
fn names_a_topic_that_is_missing_or_goes_away() -> Result<()> {
    let bench = Bench::new("restore-gone")?;
    let topic = bench.topic(1, &[])?;
    let mut sink = bench.sink("t")?;
    sink.begin().map_err(told)?;
    sink.send(&record(&topic, "open")).map_err(told)?;
    sink.flush().map_err(told)?;
    let missing = first(&TopicName::new("does-not-exist"));
    let mut restorer = KafkaRestorer::new(&bench.kafka, &bench.name);

    restorer.begin(&missing, None, Until::End);
    assert_eq!(finish(&mut restorer, &missing)?.outcome, Code::TopicMissing.as_str());
    restorer.begin(&first(&topic), None, Until::End);
    next(&mut restorer, &first(&topic))?;
    delete(&bench.client, &topic)?;

    assert_eq!(finish(&mut restorer, &first(&topic))?.outcome, Code::TopicMissing.as_str());
    Ok(())
}

#[test]
fn reads_many_partitions_at_once() -> Result<()> {
    let bench = Bench::new("restore-many")?;
    let topic = bench.topic(12, &[])?;
    let mut producer = PlainProducer::open(&bench.kafka)?;
    for number in 0..6_000_i32 {
        let value = number.to_string();
        let partition = Some(Partition(number % 12));
        producer.send(&Outgoing { partition, ..record(&topic, &value) })?;
    }
    producer.flush()?;
    let places: Vec<_> = (0..12).map(|number| TopicPartition::new(&topic, Partition(number))).collect();
    let mut restorer = KafkaRestorer::new(&bench.kafka, &bench.name);

    places.iter().for_each(|place| restorer.begin(place, None, Until::End));
    let mut reads: BTreeMap<_, _> = places.iter().map(|place| (place, Read::default())).collect();
    wait::until("all partitions", || {
        let mut open = reads.iter_mut().filter(|(_, read)| read.outcome.is_empty());
        for (place, read) in &mut open {
            while restorer.poll(place).is_some_and(|news| !read.take(news)) {}
        }
        let left = reads.values().filter(|read| read.outcome.is_empty()).count();
        Ok(if left == 0 { Seen::Yes(()) } else { Seen::NotYet(format!("{left} are left")) })
    })?;

    for (place, read) in reads {
        assert_eq!((read.rows.len(), read.outcome.as_str()), (500, "done 500"));
        let number: i32 = read.rows[499].1.as_ref().unwrap().parse()?;
        assert_eq!(number, 499 * 12 + place.partition.0);
    }
    Ok(())
}

#[test]
fn lets_a_partition_through_while_another_one_fills_the_queue() -> Result<()> {
    let bench = Bench::new("restore-full")?;
    let topic = bench.topic(2, &[])?;
    let (large, small) = (first(&topic), TopicPartition::new(&topic, Partition(1)));
    let mut producer = PlainProducer::open(&bench.kafka)?;
    let value = "x".repeat(50_000);
    for _ in 0..1_000 {
        producer.send(&record(&topic, &value))?;
    }
    producer.flush()?;
    let mut restorer = KafkaRestorer::new(&bench.kafka, &bench.name);

    restorer.begin(&large, None, Until::End);
    while !matches!(next(&mut restorer, &large)?, Restored::Records(_)) {}
    producer.send(&Outgoing { partition: Some(Partition(1)), ..record(&topic, "small") })?;
    producer.flush()?;
    restorer.begin(&small, None, Until::End);
    let small = finish(&mut restorer, &small)?;
    let large = finish(&mut restorer, &large)?;

    assert_eq!(small.rows, [row("key", Some("small"), 0)]);
    let offsets: Vec<_> = large.rows.iter().map(|(_, _, offset)| *offset).collect();
    assert_eq!(offsets, (1_000 - i64::try_from(offsets.len())?..1_000).collect::<Vec<_>>());
    assert_eq!(large.outcome, "done 1000");
    Ok(())
}

#[test]
fn begins_anew_and_ends_while_it_reads() -> Result<()> {
    let bench = Bench::new("restore-anew")?;
    let topic = bench.topic(1, &[])?;
    let place = first(&topic);
    let values: Vec<_> = (0..20_000).map(|number| number.to_string()).collect();
    bench.put(&topic, &values.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut restorer = KafkaRestorer::new(&bench.kafka, &bench.name);

    restorer.begin(&place, Some(Offset(10_000)), Until::End);
    while !matches!(next(&mut restorer, &place)?, Restored::Records(_)) {}
    restorer.begin(&place, None, Until::End);
    let anew = finish(&mut restorer, &place)?;
    restorer.begin(&place, None, Until::End);
    while !matches!(next(&mut restorer, &place)?, Restored::Records(_)) {}
    restorer.end(&place);

    assert!(restorer.poll(&place).is_none());
    assert!(anew.rows.iter().map(|(_, _, offset)| *offset).eq(0..20_000));
    restorer.begin(&place, Some(Offset(19_999)), Until::End);
    assert_eq!(finish(&mut restorer, &place)?.rows.len(), 1);
    Ok(())
}

#[test]
fn knows_where_the_records_of_its_transaction_lie_in_the_changelog() -> Result<()> {
    let bench = Bench::new("acknowledged")?;
    let (changelog, output) = (bench.topic(2, &[])?, bench.topic(1, &[])?);
    let mut sink = bench.sink("t")?.with_changelog(&changelog);
    sink.replace().map_err(told)?;
    bench.put(&changelog, &["before"])?;
    bench.put(&output, &["before", "before", "before"])?;

    sink.begin().map_err(told)?;
    for value in ["1", "2", "3"] {
        sink.send(&record(&changelog, value)).map_err(told)?;
        sink.send(&record(&output, value)).map_err(told)?;
    }
    sink.flush().map_err(told)?;

    assert_eq!(sink.acknowledged(&first(&changelog)), Some(Offset(3)));
    assert_eq!(sink.acknowledged(&TopicPartition::new(&changelog, Partition(1))), None);
    assert_eq!(sink.acknowledged(&first(&output)), None);
    sink.abort().map_err(told)?;
    sink.begin().map_err(told)?;
    assert_eq!(sink.acknowledged(&first(&changelog)), None);
    Ok(())
}
