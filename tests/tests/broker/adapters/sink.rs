//! The sink: one fate for outputs and positions, fences, refusals.

use anyhow::Result;
use gristmill_host::fault::Code;
use gristmill_host::id::{Offset, TopicName};
use gristmill_host::io::{CauseId, Committed, Input, Outgoing, Sink as _, Source as _, TransactionError};
use gristmill_tests::client::Isolation;
use gristmill_tests::read;
use gristmill_tests::wait::{self, Seen};

use super::support::{Bench, assigned, at, fault, first, next, record, start, take, told};

fn values(bench: &Bench, topic: &TopicName) -> Result<Vec<String>> {
    read::values(&bench.client, topic.as_str(), Isolation::Committed)
}

#[test]
fn commits_outputs_and_positions_together() -> Result<()> {
    let bench = Bench::new("commit")?;
    let (input, output) = (bench.topic(1, &[])?, bench.topic(1, &[])?);
    let mut source = bench.member("w", &[&input])?;
    start(&mut source, 0)?;
    let mut sink = bench.sink("t")?;
    let committed = Committed { position: Offset(7), note: "noted: ü".to_owned() };
    assert_eq!(source.committed(&[first(&input)])?, [None]);

    sink.begin().map_err(told)?;
    sink.send(&record(&output, "out")).map_err(told)?;
    sink.flush().map_err(told)?;
    sink.send_offsets(&[(first(&input), committed.clone())], &source.membership()?).map_err(told)?;
    assert_eq!(values(&bench, &output)?, [""; 0]);
    sink.commit().map_err(told)?;

    wait::until_equal("the committed output", &vec!["out".to_owned()], || values(&bench, &output))?;
    assert_eq!(source.committed(&[first(&input)])?, [Some(committed)]);
    Ok(())
}

#[test]
fn leaves_nothing_behind_when_it_aborts_and_the_source_goes_back() -> Result<()> {
    let bench = Bench::new("abort")?;
    let (input, output) = (bench.topic(1, &[])?, bench.topic(1, &[])?);
    bench.put(&input, &["a", "b", "c"])?;
    let mut source = bench.member("w", &[&input])?;
    start(&mut source, 0)?;
    let mut sink = bench.sink("t")?;
    take(&mut source, 3)?;

    sink.begin().map_err(told)?;
    sink.send(&record(&output, "never")).map_err(told)?;
    sink.flush().map_err(told)?;
    sink.send_offsets(&[(first(&input), at(3))], &source.membership()?).map_err(told)?;
    sink.abort().map_err(told)?;
    source.seek(&[(first(&input), Offset(0))])?;

    assert_eq!(take(&mut source, 3)?.first().unwrap(), &("a".to_owned(), 0));
    assert_eq!(source.committed(&[first(&input)])?, [None]);
    sink.begin().map_err(told)?;
    sink.send(&record(&output, "after")).map_err(told)?;
    sink.flush().map_err(told)?;
    sink.commit().map_err(told)?;
    wait::until_equal("only the second transaction", &vec!["after".to_owned()], || values(&bench, &output))
}

#[test]
fn aborts_without_waiting_for_its_records() -> Result<()> {
    let bench = Bench::new("abort-early")?;
    let output = bench.topic(1, &[])?;
    let mut sink = bench.sink("t")?;
    for round in 0..5 {
        sink.begin().map_err(told)?;
        for _ in 0..100 {
            sink.send(&record(&output, "never")).map_err(told)?;
        }
        // An abort that races the first request of its transaction may cost the producer, never the promise.
        match sink.abort() {
            Ok(()) => {}
            Err(TransactionError::Replace(_) | TransactionError::Fenced(_)) => {
                sink.replace().map_err(told)?
            }
            Err(other) => panic!("round {round}: {other:?}"),
        }
    }

    sink.begin().map_err(told)?;
    sink.send(&record(&output, "after")).map_err(told)?;
    sink.flush().map_err(told)?;
    sink.commit().map_err(told)?;

    wait::until_equal("only the last transaction", &vec!["after".to_owned()], || values(&bench, &output))
}

#[test]
fn is_fenced_by_a_later_producer_with_its_id() -> Result<()> {
    let bench = Bench::new("fence")?;
    let output = bench.topic(1, &[])?;
    let mut zombie = bench.sink("t")?;
    zombie.begin().map_err(told)?;
    zombie.send(&record(&output, "zombie")).map_err(told)?;
    zombie.flush().map_err(told)?;

    let mut successor = bench.sink("t")?;
    let error = zombie.commit().unwrap_err();

    assert!(matches!(error, TransactionError::Fenced(_)), "{error:?}");
    successor.begin().map_err(told)?;
    successor.send(&record(&output, "successor")).map_err(told)?;
    successor.flush().map_err(told)?;
    successor.commit().map_err(told)?;
    wait::until_equal("the successor's output", &vec!["successor".to_owned()], || values(&bench, &output))
}

#[test]
fn names_the_cause_of_a_record_that_the_broker_refuses() -> Result<()> {
    let bench = Bench::new("refuse")?;
    let output = bench.topic(1, &[("max.message.bytes", "2000")])?;
    let compacted = bench.topic(1, &[("cleanup.policy", "compact")])?;
    let mut sink = bench.sink("t")?;
    // Noise, or it would be small enough once it is compressed.
    let noise = std::iter::successors(Some(1_u64), |seed| {
        Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    });
    let large: String = noise.take(10_000).map(|seed| char::from(b'!' + (seed >> 40) as u8 % 90)).collect();
    let refused = [
        Outgoing { cause: CauseId(7), ..record(&output, &large) },
        Outgoing { cause: CauseId(8), key: None, ..record(&compacted, "no key") },
    ];

    for culprit in refused {
        sink.begin().map_err(told)?;
        sink.send(&Outgoing { cause: CauseId(1), ..record(culprit.topic, "innocent") }).map_err(told)?;
        sink.flush().map_err(told)?;
        sink.send(&culprit).map_err(told)?;
        let error = sink.flush().unwrap_err();
        sink.abort().map_err(told)?;

        let TransactionError::Refused { causes, fault } = &error else { panic!("{error:?}") };
        assert_eq!(causes, &[culprit.cause]);
        assert_eq!(fault.code(), Code::RecordRefused);
    }
    Ok(())
}

#[test]
fn aborts_when_the_group_has_a_newer_generation() -> Result<()> {
    let bench = Bench::new("generation")?;
    let (input, output) = (bench.topic(2, &[])?, bench.topic(1, &[])?);
    let mut one = bench.member("1", &[&input])?;
    start(&mut one, 0)?;
    let old = one.membership()?;
    let mut two = bench.member("2", &[&input])?;
    wait::until("a revocation", || {
        two.poll(std::time::Duration::from_millis(20))?;
        Ok(match one.poll(std::time::Duration::from_millis(20))? {
            Some(Input::Revoked(partitions)) => Seen::Yes(one.release(&partitions)?),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;
    wait::until("a share for each", || {
        let found = [
            one.poll(std::time::Duration::from_millis(20))?,
            two.poll(std::time::Duration::from_millis(20))?,
        ];
        let done =
            found.iter().any(|input| matches!(input, Some(Input::Assigned(_)))) && two.membership().is_ok();
        Ok(if done { Seen::Yes(()) } else { Seen::NotYet(format!("{found:?}")) })
    })?;

    let mut sink = bench.sink("t")?;
    sink.begin().map_err(told)?;
    sink.send(&record(&output, "late")).map_err(told)?;
    sink.flush().map_err(told)?;
    let error = sink.send_offsets(&[(first(&input), at(1))], &old).unwrap_err();

    assert!(matches!(error, TransactionError::Abort(_)), "{error:?}");
    assert_eq!(fault(&error).code(), Code::MembershipLost);
    sink.abort().map_err(told)
}

#[test]
fn refuses_a_transaction_without_positions() -> Result<()> {
    let bench = Bench::new("no-positions")?;
    let input = bench.topic(1, &[])?;
    let mut source = bench.member("w", &[&input])?;
    assigned(&mut source)?;
    let mut sink = bench.sink("t")?;

    sink.begin().map_err(told)?;
    let error = sink.send_offsets(&[], &source.membership()?).unwrap_err();

    assert_eq!(fault(&error).code(), Code::Internal);
    sink.abort().map_err(told)
}

#[test]
fn puts_records_without_a_partition_where_java_producers_put_them() -> Result<()> {
    let bench = Bench::new("murmur2")?;
    let output = bench.topic(4, &[])?;
    let mut sink = bench.sink("t")?;
    // What `Utils.toPositive(Utils.murmur2(key)) % 4` gives for each key.
    let expected = [("a", 0), ("bulky", 2), ("21", 0), ("foobar", 2), ("", 1)];

    sink.begin().map_err(told)?;
    for (key, _) in expected {
        let keyed = Outgoing { partition: None, key: Some(key.as_bytes()), ..record(&output, key) };
        sink.send(&keyed).map_err(told)?;
    }
    sink.flush().map_err(told)?;
    sink.commit().map_err(told)?;

    let mut source = bench.member("w", &[&output])?;
    start(&mut source, 0)?;
    let mut found = Vec::new();
    while found.len() < expected.len() {
        if let Input::Records(place, chunk) = next(&mut source)? {
            let key = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            found.extend(chunk.iter().map(|record| (key(record.key()), place.partition.0)));
        }
    }
    for (key, partition) in expected {
        assert!(found.contains(&(key.to_owned(), partition)), "`{key}`: {found:?}");
    }
    Ok(())
}
