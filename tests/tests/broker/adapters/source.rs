//! The source: what it reads, when the group moves partitions, and what survives a seek.

use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_host::config::pipeline::BatchBounds;
use gristmill_host::fault::Code;
use gristmill_host::id::{Offset, Timestamp};
use gristmill_host::io::{Input, Outgoing, Sink as _, Source as _};
use gristmill_host::kafka::produce::PlainProducer;
use gristmill_host::record::{Chunk, Header};
use gristmill_tests::wait::{self, Seen};

use super::support::{Bench, assigned, first, next, record, start, take, told, until_end};

#[test]
fn reads_records_as_they_were_written() -> Result<()> {
    let bench = Bench::new("as-written")?;
    let topic = bench.topic(1, &[])?;
    let headers = [
        Header { name: b"\xff\xfe", value: Some(b"not UTF-8") },
        Header { name: b"null", value: None },
        Header { name: b"empty", value: Some(b"") },
    ];
    let full =
        Outgoing { headers: &headers, timestamp: Some(Timestamp(1_700_000_000_000)), ..record(&topic, "") };
    let bare = Outgoing { key: None, value: None, ..record(&topic, "") };
    let mut producer = PlainProducer::open(&bench.kafka)?;
    producer.send(&full)?;
    producer.send(&bare)?;
    producer.flush()?;
    let mut source = bench.member("w", &[&topic])?;
    start(&mut source, 0)?;

    let mut records = Chunk::new();
    while records.len() < 2 {
        if let Input::Records(partition, chunk) = next(&mut source)? {
            assert_eq!(partition, first(&topic));
            chunk.iter().for_each(|record| assert!(records.push_record(&record)));
        }
    }

    let (full, bare) = (records.first().unwrap(), records.last().unwrap());
    assert_eq!((full.key(), full.value()), (Some(&b"key"[..]), Some(&b""[..])));
    assert_eq!(full.timestamp(), Timestamp(1_700_000_000_000));
    assert_eq!(full.headers().collect::<Vec<_>>(), headers);
    assert_eq!((bare.key(), bare.value(), bare.headers().len()), (None, None, 0));
    Ok(())
}

#[test]
fn splits_chunks_at_the_bounds_of_a_batch() -> Result<()> {
    let bench = Bench::new("bounds")?;
    let topic = bench.topic(1, &[])?;
    bench.put(&topic, &["0", "1", "2", "3", "4"])?;
    let mut source = bench.member_with("w", &[&topic], BatchBounds { records: 2, bytes: 1_000 })?;
    start(&mut source, 0)?;

    let Input::Records(_, chunk) = next(&mut source)? else { panic!("no records") };

    assert!(chunk.len() <= 2, "{} records", chunk.len());
    assert_eq!(take(&mut source, 5 - chunk.len())?.last().unwrap().0, "4");
    Ok(())
}

#[test]
fn tells_the_end_of_a_partition_behind_control_records_and_aborted_records() -> Result<()> {
    let bench = Bench::new("ends")?;
    let topic = bench.topic(1, &[])?;
    let mut sink = bench.sink("t")?;
    for commits in [true, false] {
        sink.begin().map_err(told)?;
        sink.send(&record(&topic, "x")).map_err(told)?;
        sink.flush().map_err(told)?;
        if commits { sink.commit() } else { sink.abort() }.map_err(told)?;
    }
    let mut source = bench.member("w", &[&topic])?;
    start(&mut source, 0)?;

    // Two records with a control record each; the end may be told on the way, before the last marker is written.
    let mut values = Vec::new();
    wait::until("the end at 4", || {
        let (position, more) = until_end(&mut source)?;
        values.extend(more);
        Ok(if position == 4 { Seen::Yes(()) } else { Seen::NotYet(format!("the end at {position}")) })
    })?;

    assert_eq!(values, ["x"]);
    Ok(())
}

#[test]
fn shows_no_record_from_before_a_seek() -> Result<()> {
    let bench = Bench::new("seek")?;
    let topic = bench.topic(1, &[])?;
    let values: Vec<_> = (0..3_000).map(|number| number.to_string()).collect();
    bench.put(&topic, &values.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut source = bench.member("w", &[&topic])?;
    start(&mut source, 0)?;

    for target in [0, 1_500, 10, 1_900, 700, 699, 0] {
        take(&mut source, 1)?;
        source.seek(&[(first(&topic), Offset(target))])?;
        let seen = take(&mut source, 10)?;
        let offsets: Vec<_> = seen.iter().map(|(_, offset)| *offset).collect();
        let expected: Vec<_> = (target..).take(offsets.len()).collect();
        assert_eq!(offsets, expected);
    }
    Ok(())
}

#[test]
fn skips_nothing_when_a_partition_is_paused_at_its_end() -> Result<()> {
    let bench = Bench::new("pause")?;
    let topic = bench.topic(1, &[])?;
    bench.put(&topic, &["0"])?;
    let mut source = bench.member("w", &[&topic])?;
    start(&mut source, 0)?;
    assert_eq!(until_end(&mut source)?.0, 1);

    // The first record comes while the worker's pause only hides it; that makes the pause a native one.
    source.pause(&[first(&topic)])?;
    bench.put(&topic, &["1"])?;
    assert!(source.poll(Duration::from_secs(2))?.is_none());
    assert!(source.poll(Duration::from_millis(300))?.is_none());
    bench.put(&topic, &["2"])?;
    source.resume(&[first(&topic)])?;

    let seen = take(&mut source, 2)?;
    assert_eq!(seen, [("1".to_owned(), 1), ("2".to_owned(), 2)]);
    Ok(())
}

#[test]
fn gives_co_partitioned_topics_to_the_same_member_and_waits_for_the_release() -> Result<()> {
    let bench = Bench::new("co-partitioned")?;
    let topics = [bench.topic(4, &[])?, bench.topic(4, &[])?];
    let mut one = bench.member("1", &[&topics[0], &topics[1]])?;
    let all = start(&mut one, 0)?;
    assert_eq!(all.len(), 8);
    let before = one.membership()?;

    let mut two = bench.member("2", &[&topics[0], &topics[1]])?;
    let revoked = wait::until("a revocation", || {
        assert!(two.poll(Duration::from_millis(20))?.is_none(), "partitions before their release");
        Ok(match one.poll(Duration::from_millis(20))? {
            Some(Input::Revoked(partitions)) => Seen::Yes(partitions),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;
    assert_eq!(revoked.len(), 8);
    for _ in 0..20 {
        assert!(two.poll(Duration::from_millis(20))?.is_none(), "partitions before their release");
        assert!(!matches!(one.poll(Duration::from_millis(20))?, Some(Input::Records(..))));
    }
    one.release(&revoked)?;

    let (mut ones, mut twos) = (None, None);
    wait::until("a share for each", || {
        for (source, share) in [(&mut one, &mut ones), (&mut two, &mut twos)] {
            match source.poll(Duration::from_millis(20))? {
                Some(Input::Assigned(partitions)) => *share = Some(partitions),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
        let done = ones.is_some() && twos.is_some();
        Ok(if done { Seen::Yes(()) } else { Seen::NotYet(format!("{ones:?} {twos:?}")) })
    })?;
    let (ones, twos) = (ones.unwrap(), twos.unwrap());
    assert_eq!((ones.len(), twos.len()), (4, 4));
    for share in [&ones, &twos] {
        let of = |topic| share.iter().filter(move |one| one.topic == topic).map(|one| one.partition);
        assert!(of(topics[0].clone()).eq(of(topics[1].clone())), "not co-partitioned: {share:?}");
    }
    assert!(one.membership()? != before, "the generation has changed");
    Ok(())
}

#[test]
fn keeps_its_place_in_the_group_over_a_restart() -> Result<()> {
    let bench = Bench::new("static")?;
    let topic = bench.topic(2, &[])?;
    let mut one = bench.member("1", &[&topic])?;
    let alone = assigned(&mut one)?;
    assert_eq!(alone.len(), 2);
    let mut two = bench.member("2", &[&topic])?;
    wait::until("a revocation", || {
        two.poll(Duration::from_millis(20))?;
        Ok(match one.poll(Duration::from_millis(20))? {
            Some(Input::Revoked(partitions)) => Seen::Yes(one.release(&partitions)?),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;
    let mut shares = (Vec::new(), Vec::new());
    wait::until("a share for each", || {
        if let Some(Input::Assigned(partitions)) = one.poll(Duration::from_millis(20))? {
            shares.0 = partitions;
        }
        if let Some(Input::Assigned(partitions)) = two.poll(Duration::from_millis(20))? {
            shares.1 = partitions;
        }
        let done = shares.0.len() == 1 && shares.1.len() == 1;
        Ok(if done { Seen::Yes(()) } else { Seen::NotYet(format!("{shares:?}")) })
    })?;
    let generation = one.membership()?;

    drop(two);
    let mut two = bench.member("2", &[&topic])?;
    let again = wait::until("the same share", || {
        assert!(one.poll(Duration::from_millis(20))?.is_none_or(|input| matches!(input, Input::End(..))));
        Ok(match two.poll(Duration::from_millis(20))? {
            Some(Input::Assigned(partitions)) => Seen::Yes(partitions),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;

    assert_eq!(again, shares.1);
    assert!(one.membership()? == generation, "a restart made a new generation");
    Ok(())
}

#[test]
fn gives_its_partitions_up_at_once_when_it_leaves() -> Result<()> {
    let bench = Bench::new("leave")?;
    let topic = bench.topic(2, &[])?;
    let mut one = bench.member("1", &[&topic])?;
    assigned(&mut one)?;
    one.leave()?;

    let mut two = bench.member("2", &[&topic])?;
    let partitions = wait::until_within(Duration::from_secs(8), "all partitions", || {
        Ok(match two.poll(Duration::from_millis(20))? {
            Some(Input::Assigned(partitions)) => Seen::Yes(partitions),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;

    assert_eq!(partitions.len(), 2);
    Ok(())
}

#[test]
fn ends_while_the_group_waits_for_a_release() -> Result<()> {
    let bench = Bench::new("unreleased")?;
    let topic = bench.topic(2, &[])?;
    let mut one = bench.member("1", &[&topic])?;
    assigned(&mut one)?;
    let mut two = bench.member("2", &[&topic])?;
    wait::until("a revocation", || {
        two.poll(Duration::from_millis(20))?;
        Ok(match one.poll(Duration::from_millis(20))? {
            Some(Input::Revoked(_)) => Seen::Yes(()),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;

    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(one);
        done.send(())
    });

    ended.recv_timeout(Duration::from_secs(30)).context("the source does not end")
}

#[test]
fn ends_with_instance_in_use_when_another_process_takes_its_name() -> Result<()> {
    let bench = Bench::new("in-use")?;
    let topic = bench.topic(1, &[])?;
    let mut one = bench.member("w", &[&topic])?;
    assigned(&mut one)?;

    let mut other = bench.member("w", &[&topic])?;
    let fault = wait::until("a fault", || {
        other.poll(Duration::from_millis(20))?;
        Ok(match one.poll(Duration::from_millis(20)) {
            Err(fault) => Seen::Yes(fault),
            Ok(input) => Seen::NotYet(format!("{input:?}")),
        })
    })?;

    assert_eq!(fault.code(), Code::InstanceInUse);
    Ok(())
}

#[test]
fn names_a_position_that_does_not_exist_any_more() -> Result<()> {
    let bench = Bench::new("lost")?;
    let topic = bench.topic(1, &[])?;
    let mut source = bench.member("w", &[&topic])?;
    start(&mut source, 1_000)?;

    let fault = wait::until("a fault", || {
        Ok(match source.poll(Duration::from_millis(100)) {
            Err(fault) => Seen::Yes(fault),
            Ok(input) => Seen::NotYet(format!("{input:?}")),
        })
    })?;

    assert_eq!(fault.code(), Code::PositionLost);
    Ok(())
}
