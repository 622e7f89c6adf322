//! The imports `state` and `jobs` during a call: what a guest reads and writes, and what it is refused.

use anyhow::Result;
use gristmill_host::fault::Code;
use gristmill_host::id::{Offset, Partition, SourceIndex, Timestamp};
use gristmill_host::io::{Batch, CallError, Job};
use gristmill_host::record::Chunk;

use super::double::Memory;
use super::stage::{call_with, stateful, values};

/// What commands answer in one call, and the state after it.
fn told(commands: &[&str], memory: Memory) -> Result<(Vec<String>, Memory)> {
    let answered = call_with(&mut *stateful("words")?, commands, Box::new(memory));
    Ok((values(&answered.answer.expect("an outcome")), Memory::back(answered.state)))
}

/// What one command answers.
fn tell(command: &str, memory: Memory) -> Result<String> {
    Ok(told(&[command], memory)?.0.remove(0))
}

/// Why a call with one command fails.
fn failed(command: &str, memory: Memory) -> Result<CallError> {
    let answered = call_with(&mut *stateful("words")?, &[command], Box::new(memory));
    Ok(answered.answer.expect_err("it must fail"))
}

fn notes() -> Memory {
    Memory::with_notes(&[("a1", "x y"), ("a2", "y"), ("b1", "x"), ("b2", "x z")])
}

#[test]
fn writes_a_store_and_reads_what_the_call_has_written() -> Result<()> {
    let commands =
        ["get notes k", "put notes k one", "get notes k", "get seen k", "put notes l two", "delete notes k"];
    let (answers, memory) =
        told(&[&commands[..], &["get notes k", "delete notes m"]].concat(), Memory::default())?;

    assert_eq!(answers, ["none", "ok", "one", "none", "ok", "ok", "none", "ok"]);
    assert_eq!((memory.note("k"), memory.note("l")), (None, Some("two".to_owned())));
    Ok(())
}

#[test]
fn gives_rows_in_the_order_asked_and_only_those_that_exist() -> Result<()> {
    assert_eq!(tell("many notes b1 nowhere a1 b1", notes())?, "b1=x a1=x y b1=x");
    Ok(())
}

#[test]
fn shows_the_record_that_made_a_row_of_a_table() -> Result<()> {
    let memory = || notes().with_item("i", "v");

    assert_eq!(tell("scan items - - - 10", memory())?, "i=v+a:1@5/7");
    assert_eq!(tell("many items i", memory())?, "i=v+a:1@5/7");
    assert_eq!(tell("get items i", memory())?, "v");
    Ok(())
}

#[test]
fn scans_ranges_and_prefixes_page_by_page() -> Result<()> {
    for (command, expected) in [
        ("scan notes - - - 2", "a1=x y a2=y next a2"),
        ("scan notes - - a2 2", "b1=x b2=x z"),
        ("scan notes a2 b2 - 9", "a2=y b1=x"),
        ("scan notes a2 b2 a2 9", "b1=x"),
        ("prefix notes b - 1", "b1=x next b1"),
        ("prefix notes b b1 1", "b2=x z"),
        ("prefix notes c - 9", ""),
    ] {
        assert_eq!(tell(command, notes())?, expected, "{command}");
    }
    Ok(())
}

#[test]
fn gives_nothing_where_the_bounds_of_a_range_cross() -> Result<()> {
    for (command, expected) in [
        ("scan notes b2 a1 - 9", ""),
        ("scan notes a2 a2 - 9", ""),
        ("scan notes - a2 b1 9", ""),
        ("prefix notes a b1 9", ""),
        // A page that ended before the range begins at its start.
        ("scan notes b1 - a1 9", "b1=x b2=x z"),
    ] {
        assert_eq!(tell(command, notes())?, expected, "{command}");
    }
    Ok(())
}

#[test]
fn scans_and_counts_an_index_page_by_page() -> Result<()> {
    for (command, expected) in [
        ("index notes by-word x - 2", "a1=x y b1=x next b1"),
        ("index notes by-word x b1 2", "b2=x z"),
        ("index notes by-word nothing - 2", ""),
        ("count notes by-word x - 2", "2 next b1"),
        ("count notes by-word x b1 2", "1"),
        ("count notes by-word x - -", "3"),
    ] {
        assert_eq!(tell(command, notes())?, expected, "{command}");
    }
    Ok(())
}

#[test]
fn bounds_a_page_and_a_count_whatever_the_guest_wishes() -> Result<()> {
    let many = || {
        let keys: Vec<_> = (0..10_500).map(|number| format!("{number:05}")).collect();
        let rows: Vec<_> = keys.iter().map(|key| (key.as_str(), "x")).collect();
        Memory::with_notes(&rows)
    };

    assert!(tell("scan notes - - - -", many())?.ends_with("00999=x next 00999"));
    assert!(tell("index notes by-word x - -", many())?.ends_with("00999=x next 00999"));
    assert_eq!(tell("count notes by-word x - -", many())?, "10000 next 09999");
    // Nobody gets on with pages without rows.
    assert_eq!(tell("scan notes - - - 0", many())?, "00000=x next 00000");
    Ok(())
}

#[test]
fn tells_a_position() -> Result<()> {
    assert_eq!(tell("position in", Memory::default())?, "42");
    Ok(())
}

#[test]
fn tells_what_is_applied_of_a_broadcast_source() -> Result<()> {
    assert_eq!(tell("applied lookup", Memory::default())?, "0@7 2@1");
    Ok(())
}

#[test]
fn starts_supersedes_finds_and_cancels_a_job() -> Result<()> {
    let running =
        Job { kind: "walk".to_owned(), name: "j".to_owned(), cursor: Some(b"c9".to_vec()), ..Job::default() };
    let commands = [
        "find walk j",
        "start walk j echo_this",
        "find walk j",
        "start other j x",
        "cancel walk j",
        "cancel walk j",
        "find walk j",
    ];

    let (answers, _) = told(&commands, Memory::default().with_job(running))?;

    assert_eq!(answers[0], "walk j 0  cursor c9 superseded none");
    assert_eq!(answers[1..3], ["1", "walk j 1 echo this cursor none superseded c9"]);
    assert_eq!(answers[3..], ["2", "true", "false", "none"]);
    Ok(())
}

#[test]
fn traps_with_the_reason_of_a_refusal() -> Result<()> {
    for (command, expected) in [
        ("open nowhere", "the manifest declares no store or table `nowhere`"),
        ("put items k v", "a table cannot be written: it is what its topic says"),
        ("delete items k", "a table cannot be written: it is what its topic says"),
        ("flood notes 200 10000", "more than 1048576 bytes are written"),
        ("index notes by-nothing x - 9", "there is no index `by-nothing` on it"),
        ("index seen by-word x - 9", "there is no index `by-word` on it"),
        ("count notes by-nothing x - 9", "there is no index `by-nothing` on it"),
        ("position classes", "`classes` is no stream or table of the manifest"),
        ("applied in", "`in` is no broadcast source of the manifest"),
        ("start nothing j x", "the manifest declares no job `nothing`"),
        ("cancel nothing j", "the manifest declares no job `nothing`"),
        ("find nothing j", "the manifest declares no job `nothing`"),
        ("start walk  x", "the name of a job has 0 bytes, it must have 1 to 256"),
        ("start-large walk 65537", "the payload of a job has 65537 bytes, at most 65536 are kept"),
    ] {
        let expected = CallError::Trap { message: expected.to_owned(), location: None };
        assert_eq!(failed(command, Memory::default())?, expected, "{command}");
    }
    for (command, len) in [("find walk", 257), ("cancel walk", 300)] {
        let error = failed(&format!("{command} {}", "n".repeat(len)), Memory::default())?;
        let message = format!("the name of a job has {len} bytes, it must have 1 to 256");
        assert_eq!(error, CallError::Trap { message, location: None });
    }
    assert_eq!(tell("start-large walk 65536", Memory::default())?, "1");
    assert_eq!(tell(&format!("start walk {} x", "n".repeat(256)), Memory::default())?, "1");
    Ok(())
}

#[test]
fn ends_a_call_whose_state_fails_with_the_hosts_own_fault() -> Result<()> {
    let expected = CallError::State {
        code: Code::Internal,
        message: "the store is broken: the disk is on fire".to_owned(),
    };
    for command in [
        "get notes k",
        "many notes k",
        "put notes k v",
        "delete notes k",
        "scan notes - - - 9",
        "prefix notes k - 9",
        "index notes by-word x - 9",
        "count notes by-word x - 9",
        "position in",
        "applied lookup",
        "start walk j x",
        "cancel walk j",
        "find walk j",
    ] {
        assert_eq!(failed(command, notes().broken())?, expected, "{command}");
    }
    Ok(())
}

#[test]
fn calls_no_instance_again_whose_state_failed_and_gives_the_state_back() -> Result<()> {
    let mut instance = stateful("words")?;
    let memory = notes().broken();

    let first = call_with(&mut *instance, &["get notes a1"], Box::new(memory));
    let second = call_with(&mut *instance, &["position in"], Box::new(Memory::default()));

    assert_eq!(Memory::back(first.state).note("a2"), Some("y".to_owned()));
    let message = "the instance has failed before and is not called again".to_owned();
    assert_eq!(second.answer, Err(CallError::Trap { message, location: None }));
    Ok(())
}

#[test]
fn shows_the_rows_before_the_records_where_they_are_asked_for() -> Result<()> {
    let chunk = |values: &[Option<&str>]| {
        let mut chunk = Chunk::new();
        for value in values {
            assert!(chunk.push(Some(b"k"), value.map(str::as_bytes), [], (Timestamp(5), Offset(0))));
        }
        chunk
    };
    let (records, rows) = (chunk(&[Some("previous"); 3]), chunk(&[Some("before"), None, Some("")]));
    let mut instance = stateful("words")?;
    let mut call = |previous| {
        let batch = Batch {
            source: SourceIndex(1),
            partition: Partition(0),
            records: &records,
            previous,
            now: Timestamp(0),
            stream_time: Timestamp(0),
        };
        values(&instance.process(batch, Box::new(Memory::default())).answer.expect("an outcome"))
    };

    assert_eq!(call(Some(&rows)), ["before", "none", ""]);
    assert_eq!(call(None), ["not given"; 3]);
    assert_eq!(call(Some(&rows)), ["before", "none", ""]);
    Ok(())
}
