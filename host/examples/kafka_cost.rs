//! Prints what the Kafka adapters cost: CPU a record on both ways, and the time of a transaction with one record.
//!
//! `cargo run --release -p gristmill-host --example kafka_cost -- 127.0.0.1:9092 [records]`

use std::time::Duration;

use gristmill_host::clock::{Clock, thread_cpu_time};
use gristmill_host::config::pipeline::{BatchBounds, Kafka};
use gristmill_host::fault::Fault;
use gristmill_host::id::{Offset, Partition, TopicName, TopicPartition};
use gristmill_host::io::{CauseId, Committed, Input, Outgoing, Sink, Source, TransactionError};
use gristmill_host::kafka::sink::KafkaSink;
use gristmill_host::kafka::source::KafkaSource;
use gristmill_host::kafka::topics::{TopicPlan, Topics};
use gristmill_host::record::Header;

const PARTITIONS: i32 = 4;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(brokers) = arguments.next() else {
        eprintln!("usage: kafka_cost BROKERS [RECORDS]");
        std::process::exit(2);
    };
    let records = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let kafka = Kafka { brokers, client: Default::default() };
    if let Err(fault) = measure(&kafka, records) {
        eprintln!("{}", fault.report());
        std::process::exit(3);
    }
}

fn measure(kafka: &Kafka, records: i64) -> Result<(), Fault> {
    let run = format!("cost-{}", std::process::id());
    let topic = TopicName::new(&run);
    let plan = TopicPlan {
        name: topic.clone(),
        partitions: PARTITIONS,
        replication: None,
        settings: Default::default(),
    };
    let topics = Topics::new(kafka)?;
    topics.create(&[plan])?;
    let mut sink = KafkaSink::new(kafka, &run, 1_000_000);
    sink.replace().map_err(fault_of)?;
    produce(&mut sink, &topic, records, &[]).map_err(fault_of)?;
    let header = [Header::new("gristmill-after", b"classes/0@123"), Header::new("b", b"2")];
    produce(&mut sink, &topic, records, &header).map_err(fault_of)?;

    let mut source =
        KafkaSource::join_group(kafka, &run, &run, std::slice::from_ref(&topic), BatchBounds::default())?;
    consume(&mut source, records * 2)?;
    latency(&mut sink, &mut source, &topic)?;
    drop(source);
    topics.delete_prefixed(&run)?;
    Ok(())
}

fn produce(
    sink: &mut KafkaSink,
    topic: &TopicName,
    records: i64,
    headers: &[Header<'_>],
) -> Result<(), TransactionError> {
    let value = vec![b'x'; 300];
    let clock = Clock::system();
    let mut cpu = Duration::ZERO;
    let process = process_cpu();
    for start in (0..records).step_by(10_000) {
        sink.begin()?;
        let before = thread_cpu_time();
        for number in start..(start + 10_000).min(records) {
            let key = number.to_be_bytes();
            sink.send(&Outgoing {
                topic,
                partition: None,
                key: Some(&key),
                value: Some(&value),
                headers,
                timestamp: None,
                cause: CauseId(0),
            })?;
        }
        cpu += thread_cpu_time() - before;
        sink.flush()?;
        sink.commit()?;
    }
    let per = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
    println!(
        "send, {} headers: {:.2} us of this thread a record, {:.2} us of the process; {:.0} records/s",
        headers.len(),
        per(cpu),
        per(process_cpu() - process),
        records as f64 / clock.elapsed().as_secs_f64()
    );
    Ok(())
}

fn consume(source: &mut KafkaSource, records: i64) -> Result<(), Fault> {
    let mut seen = 0;
    let mut chunks = 0;
    let mut started = None;
    while seen < records {
        match source.poll(Duration::from_millis(100))? {
            Some(Input::Assigned(partitions)) => {
                let positions: Vec<_> = partitions.iter().map(|one| (one.clone(), Offset(0))).collect();
                source.seek(&positions)?;
                source.resume(&partitions)?;
            }
            Some(Input::Records(_, chunk)) => {
                started.get_or_insert_with(|| (thread_cpu_time(), process_cpu(), Clock::system()));
                seen += i64::try_from(chunk.len()).unwrap_or_default();
                chunks += 1;
            }
            _ => {}
        }
    }
    if let Some((thread, process, clock)) = started {
        let per = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
        println!(
            "poll: {:.2} us of this thread a record, {:.2} us of the process; {:.0} records/s, {} records a chunk",
            per(thread_cpu_time() - thread),
            per(process_cpu() - process),
            records as f64 / clock.elapsed().as_secs_f64(),
            seen / chunks.max(1)
        );
    }
    Ok(())
}

fn latency(sink: &mut KafkaSink, source: &mut KafkaSource, topic: &TopicName) -> Result<(), Fault> {
    let partition = TopicPartition::new(topic, Partition(0));
    let mut times = Vec::new();
    for number in 0..200 {
        source.poll(Duration::ZERO)?;
        let clock = Clock::system();
        let membership = source.membership()?;
        let record = Outgoing {
            topic,
            partition: Some(Partition(0)),
            key: Some(b"k"),
            value: Some(b"v"),
            headers: &[],
            timestamp: None,
            cause: CauseId(0),
        };
        let position = Committed { position: Offset(number), note: String::new() };
        sink.begin().map_err(fault_of)?;
        sink.send(&record).map_err(fault_of)?;
        sink.flush().map_err(fault_of)?;
        let flushed = clock.elapsed();
        sink.send_offsets(&[(partition.clone(), position)], &membership).map_err(fault_of)?;
        let sent = clock.elapsed();
        sink.commit().map_err(fault_of)?;
        times.push((clock.elapsed(), flushed, sent - flushed, clock.elapsed() - sent));
    }
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    let late = times.get(times.len() * 98 / 100).copied().unwrap_or_default();
    println!("a transaction with one record and one position: p50 {:?}, p98 {:?}", middle.0, late.0);
    println!("  of the median: flush {:?}, positions {:?}, commit {:?}", middle.1, middle.2, middle.3);
    Ok(())
}

fn fault_of(error: TransactionError) -> Fault {
    match error {
        TransactionError::Abort(fault)
        | TransactionError::Refused { fault, .. }
        | TransactionError::Replace(fault)
        | TransactionError::Fenced(fault)
        | TransactionError::Fatal(fault) => fault,
    }
}

fn process_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
