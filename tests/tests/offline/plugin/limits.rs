//! The limits, each hit: the guest ends, the host goes on, and the message names the limit.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use gristmill_host::config::pipeline::Limits;
use gristmill_host::fault::Code;
use gristmill_host::io::CallError;

use super::stage::{Rows, call, call_with, hostile, limits, values};

/// The limit that a call hits.
fn hit(value: &str, limits: Limits) -> Result<(Code, String)> {
    match call(&mut *hostile(limits)?, &[value]) {
        Err(CallError::Limit { code, message }) => Ok((code, message)),
        other => panic!("`{value}` must hit a limit: {other:?}"),
    }
}

#[test]
fn ends_an_endless_loop() -> Result<()> {
    let answer = call(&mut *hostile(limits())?, &["hello", "loop"]);

    assert_eq!(answer, Err(CallError::Timeout { limit: Duration::from_millis(100) }));
    Ok(())
}

#[test]
fn does_not_charge_a_guest_for_time_in_which_it_could_not_compute() -> Result<()> {
    let mut instance = hostile(limits())?;
    // Three times the limit passes on the wall while the guest waits for the host.
    let rows = Rows { delay: Duration::from_millis(300), ..Rows::default() };

    let answer = call_with(&mut *instance, &["lookup a", "spin 1"], Box::new(rows)).answer;

    assert_eq!(values(&answer.expect("an outcome")), ["none", "spin 1"]);
    Ok(())
}

#[test]
fn ends_a_guest_that_takes_all_memory() -> Result<()> {
    let (code, message) = hit("memory", limits())?;

    assert_eq!(code, Code::MemoryLimit);
    assert!(message.contains("is granted 67108864"), "{message}");
    Ok(())
}

#[test]
fn grants_memory_up_to_the_limit_and_wants_a_fresh_instance_above_the_high_water_mark() -> Result<()> {
    let mut instance = hostile(limits())?;

    assert!(call(&mut *instance, &["grow 30"]).is_ok());
    assert!(!instance.is_spent());
    assert!(call(&mut *instance, &["grow 25"]).is_ok());
    assert!(instance.is_spent());
    Ok(())
}

#[test]
fn ends_a_recursion_without_end() -> Result<()> {
    let answer = call(&mut *hostile(Limits { call: Duration::from_secs(5), ..limits() })?, &["stack"]);

    let Err(CallError::Trap { message, .. }) = answer else { panic!("it must trap: {answer:?}") };
    assert!(message.contains("call stack exhausted") || message.contains("out of bounds"), "{message}");
    Ok(())
}

#[test]
fn counts_the_records_and_bytes_of_an_answer() -> Result<()> {
    let few = Limits { output_records: 10, output_bytes: 1_000, ..limits() };

    let records = hit("outputs 11", few)?;
    let bytes = hit("bytes 1001", few)?;

    assert_eq!(records, (Code::OutputLimit, "it gave 11 records and is granted 10".to_owned()));
    assert_eq!(bytes.0, Code::OutputLimit);
    assert!(call(&mut *hostile(few)?, &["outputs 10"]).is_ok());
    Ok(())
}

#[test]
fn copies_nothing_of_an_answer_that_is_far_too_large() -> Result<()> {
    let few = Limits { output_records: 10, output_bytes: 1_000, call: Duration::from_secs(5), ..limits() };

    for flood in ["outputs 100000", "bytes 8000000"] {
        let (code, message) = hit(flood, few)?;
        assert_eq!(code, Code::OutputLimit);
        assert_eq!(message, "it handed more data to the host at once than it is granted", "{flood}");
    }
    Ok(())
}

#[test]
fn cuts_a_flood_of_log_lines_and_says_so() -> Result<()> {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone()).finish();
    let mut instance = hostile(Limits { log_bytes: 1_050, ..limits() })?;

    let answer = tracing::subscriber::with_default(subscriber, || call(&mut *instance, &["log 100"]));

    assert!(answer.is_ok());
    let text = log.text();
    assert_eq!(text.lines().filter(|line| line.contains(&"x".repeat(100))).count(), 10, "{text}");
    assert_eq!(text.lines().filter(|line| line.contains(&"x".repeat(50))).count(), 11, "{text}");
    assert!(text.contains("cut the log lines of a call") && text.contains("lines=90"), "{text}");
    assert!(text.contains("task=t/0"), "{text}");
    Ok(())
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no test panicked meanwhile")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panicked meanwhile").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
