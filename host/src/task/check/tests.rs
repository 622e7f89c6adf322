//! Outcomes that no plugin may answer, and what becomes of them.

use super::*;
use crate::config::pipeline::{BatchBounds, Limits};
use crate::id::{Offset, SinkIndex};
use crate::io::TopicFacts;
use crate::record::HeaderSlot;
use crate::task::spec::CalloutSpec;

const NOW: Timestamp = Timestamp(10_000_000);

fn spec() -> Spec {
    let sink = |topic: &str, compacted| SinkSpec {
        topic: topic.into(),
        facts: TopicFacts { max_bytes: 500, compacted, ahead_max: Some(Duration::from_secs(3600)) },
        after: vec![],
    };
    Spec {
        transform: "t".into(),
        plugin: "p".into(),
        sources: vec![],
        sinks: vec![sink("out", false), sink("table", true)],
        dead_letters: sink("dead", false),
        limits: Limits { output_bytes: 1_000, output_records: 3, ..Limits::default() },
        batch: BatchBounds::default(),
        tasks: 1,
        state: crate::task::spec::StateSpec::default(),
        inbox: None,
        callouts: CalloutSpec {
            endpoints: vec![],
            pending: 10,
            review: sink("review", false),
            settle: Duration::from_secs(15),
        },
    }
}

fn records(count: i64) -> Chunk {
    let mut chunk = Chunk::new();
    for offset in 0..count {
        chunk.push(Some(b"k"), Some(b"v"), [], (Timestamp(offset), Offset(offset)));
    }
    chunk
}

/// An output of ten bytes of key and value, caused by the first record.
fn good() -> OutputSlot {
    OutputSlot {
        sink: SinkIndex(0),
        key: Some(Span { start: 0, len: 4 }),
        value: Some(Span { start: 4, len: 6 }),
        headers: Range::default(),
        timestamp: None,
        cause: Some(0),
    }
}

fn outcome(outputs: Vec<OutputSlot>) -> Outcome {
    Outcome { outputs, bytes: vec![b'x'; 400], ..Outcome::default() }
}

fn checked(outcome: &Outcome) -> Result<Checked, Violation> {
    let records = records(2);
    check(outcome, Given { records: &records, now: NOW, stream_time: Timestamp(1) }, &spec())
}

fn code(outcome: &Outcome) -> Option<Code> {
    checked(outcome).err().map(|violation| violation.code)
}

#[test]
fn accepts_what_fits_and_counts_its_bytes() {
    let checked = checked(&outcome(vec![good(), good()])).unwrap();

    assert_eq!((checked.bytes, checked.causes_known, checked.rejected.len()), (20, true, 0));
}

#[test]
fn voids_an_outcome_that_points_outside_of_itself() {
    let out_of_range = Some(Span { start: 399, len: 2 });
    let overflow = Some(Span { start: u32::MAX, len: u32::MAX });
    let wrong = [
        OutputSlot { sink: SinkIndex(2), ..good() },
        OutputSlot { cause: Some(2), ..good() },
        OutputSlot { key: out_of_range, ..good() },
        OutputSlot { value: overflow, ..good() },
        OutputSlot { headers: Range { start: 0, len: 1 }, ..good() },
        OutputSlot { headers: Range { start: u32::MAX, len: u32::MAX }, ..good() },
    ];

    for output in wrong {
        assert_eq!(code(&outcome(vec![good(), output])), Some(Code::OutcomeInvalid), "{output:?}");
    }
}

#[test]
fn voids_an_outcome_with_headers_that_are_the_hosts() {
    let mut outcome = outcome(vec![OutputSlot { headers: Range { start: 0, len: 1 }, ..good() }]);
    outcome.bytes[..15].copy_from_slice(b"gristmill-after");
    let name = |len| HeaderSlot { name: Span { start: 0, len }, value: Some(Span { start: 0, len: 1 }) };

    outcome.headers = vec![name(15)];
    assert_eq!(code(&outcome), Some(Code::OutcomeInvalid));
    outcome.headers = vec![name(9)];
    assert_eq!(code(&outcome), None);
}

#[test]
fn voids_an_outcome_whose_names_and_counts_make_no_sense() {
    let rejection = |index, code: &str| Rejection { index, code: code.into(), message: String::new() };
    let wrong = [
        Outcome { rejected: vec![rejection(2, "no")], ..Outcome::default() },
        Outcome { rejected: vec![rejection(0, "Not Kebab")], ..Outcome::default() },
        Outcome { rejected: vec![rejection(0, "")], ..Outcome::default() },
        Outcome { rejected: vec![rejection(0, &"x".repeat(65))], ..Outcome::default() },
        Outcome { rejected: vec![rejection(0, "no"); 3], ..Outcome::default() },
        Outcome { skipped: vec![("late".into(), 2), ("old".into(), 1)], ..Outcome::default() },
        Outcome { skipped: vec![("späť".into(), 1)], ..Outcome::default() },
    ];

    for outcome in wrong {
        assert_eq!(code(&outcome), Some(Code::OutcomeInvalid), "{outcome:?}");
    }
}

#[test]
fn stops_output_beyond_its_limits_even_when_spans_overlap() {
    let all = Some(Span { start: 0, len: 400 });
    let large = OutputSlot { value: all, ..good() };

    assert_eq!(code(&outcome(vec![large; 3])), Some(Code::OutputLimit));
    assert_eq!(code(&outcome(vec![good(); 4])), Some(Code::OutputLimit));
    assert_eq!(code(&outcome(vec![large; 2])), None);
}

#[test]
fn rejects_the_cause_of_an_output_that_the_broker_would_refuse() {
    let ahead = Timestamp(NOW.0 + 3_600_000);
    let refused = [
        OutputSlot {
            value: Some(Span { start: 0, len: 400 }),
            key: Some(Span { start: 0, len: 14 }),
            ..good()
        },
        OutputSlot { sink: SinkIndex(1), key: None, ..good() },
        OutputSlot { timestamp: Some(ahead), ..good() },
    ];

    for output in refused {
        let caused = OutputSlot { cause: Some(1), ..output };
        let rejected = checked(&outcome(vec![good(), caused])).unwrap().rejected;
        assert_eq!((rejected.len(), rejected[0].index, rejected[0].code.as_str()), (1, 1, "record_refused"));

        let causeless = OutputSlot { cause: None, ..output };
        assert_eq!(code(&outcome(vec![causeless])), Some(Code::RecordRefused), "{output:?}");
    }
}

#[test]
fn takes_a_single_record_for_the_cause_of_everything() {
    let one = records(1);
    let output = OutputSlot { sink: SinkIndex(1), key: None, cause: None, ..good() };

    let given = Given { records: &one, now: NOW, stream_time: Timestamp(1) };
    let checked = check(&outcome(vec![output]), given, &spec()).unwrap();

    assert!(checked.causes_known);
    assert_eq!(checked.rejected[0].index, 0);
}
