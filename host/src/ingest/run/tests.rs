//! Runs over topics in memory: one after the other, several at the same time, and with bad days.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::ingest::{DatabaseUrl, Schedule};
use crate::fault::Code;
use crate::memory::{MemoryOutlet, MemoryTopics, OutletTrouble};

fn ingest() -> SqlIngest {
    SqlIngest {
        database: DatabaseUrl::Plain("sqlite:x.db".to_owned()),
        password: None,
        query: "SELECT".to_owned(),
        key: "k".to_owned(),
        members: None,
        schedule: Schedule::ByHand,
        deletes_max: 0.2,
        rows_max: 1_000,
        timeout: std::time::Duration::from_secs(1),
    }
}

fn topic() -> TopicName {
    TopicName::new("classes")
}

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// A table that gives its rows and then, perhaps, fails.
struct Source {
    rows: Vec<Row>,
    fails: bool,
}

impl Rows for Source {
    fn each(&mut self, visit: &mut dyn FnMut(Row) -> Result<(), Fault>) -> Result<(), Fault> {
        self.rows.drain(..).try_for_each(visit)?;
        if self.fails { Err(Fault::new(Code::Internal, "the database is gone")) } else { Ok(()) }
    }
}

fn rows(table: &[(&str, &str)]) -> Vec<Row> {
    table.iter().map(|(key, value)| Row { key: (*key).into(), value: (*value).into() }).collect()
}

fn published(topics: &MemoryTopics) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    topics.table(&topic()).into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// A whole run.
fn run(topics: &MemoryTopics, table: Vec<Row>, deletes: Deletes) -> Result<Counts, Fault> {
    let mut outlet = topics.outlet("shop.ingest.classes");
    let mut run = Run::begin(&topic(), &ingest(), &mut outlet, &mut |_| {})?;
    run.compare(&mut Source { rows: table, fails: false }, &mut |_| {})?;
    run.check_deletes(deletes)?;
    run.publish(&mut outlet, &mut |_| {}).map_err(PublishError::into_fault)
}

#[test]
fn publishes_what_changed_in_one_transaction_and_nothing_when_nothing_did() {
    let topics = MemoryTopics::default();
    let first = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")];
    run(&topics, rows(&first), Deletes::Bounded).unwrap();
    assert_eq!((topics.transactions().len(), published(&topics).len()), (1, 5));

    let again = run(&topics, rows(&first), Deletes::Bounded).unwrap();
    assert_eq!((again.changes(), again.unchanged, topics.transactions().len()), (0, 5, 1));

    let then = [("a", "2"), ("b", "1"), ("c", "1"), ("d", "1"), ("f", "1")];
    let counts = run(&topics, rows(&then), Deletes::Bounded).unwrap();
    assert_eq!(counts, Counts { inserts: 1, updates: 1, deletes: 1, unchanged: 3 });
    assert_eq!(topics.transactions()[1].len(), 3);
    assert_eq!(
        topics.table(&topic()),
        rows(&then).into_iter().map(|row| (row.key, row.value)).collect::<Table>()
    );
}

#[test]
fn stops_before_it_deletes_more_than_it_may() {
    let topics = MemoryTopics::default();
    let ten: Vec<_> = (0..10).map(|number| Row { key: vec![b'a' + number], value: vec![b'1'] }).collect();
    run(&topics, ten.clone(), Deletes::Bounded).unwrap();

    let fault = run(&topics, ten[..7].to_vec(), Deletes::Bounded).unwrap_err();
    assert_eq!(fault.code(), Code::IngestDeletes);
    assert!(fault.message().contains("3 of 10 published keys of `classes`: 30 %"), "{fault}");
    let emptied = run(&topics, Vec::new(), Deletes::Bounded).unwrap_err();
    assert_eq!((emptied.code(), published(&topics).len()), (Code::IngestDeletes, 10));

    run(&topics, ten[..8].to_vec(), Deletes::Bounded).unwrap();
    run(&topics, Vec::new(), Deletes::Allowed).unwrap();
    assert_eq!(published(&topics), []);
}

#[test]
fn publishes_nothing_when_the_table_ends_in_the_middle() {
    let topics = MemoryTopics::default();
    let mut outlet = topics.outlet("shop.ingest.classes");
    let mut run = Run::begin(&topic(), &ingest(), &mut outlet, &mut |_| {}).unwrap();

    let failed = run.compare(&mut Source { rows: rows(&[("a", "1")]), fails: true }, &mut |_| {});

    assert!(failed.is_err() && topics.transactions().is_empty());
}

#[test]
fn publishes_nothing_when_two_rows_have_the_same_key() {
    let topics = MemoryTopics::default();

    let fault = run(&topics, rows(&[("a", "1"), ("a", "2")]), Deletes::Bounded).unwrap_err();

    assert_eq!((fault.code(), topics.transactions().len()), (Code::IngestKeyTwice, 0));
}

#[test]
fn ends_an_earlier_run_that_is_still_under_way() {
    let topics = MemoryTopics::default();
    let mut early = topics.outlet("shop.ingest.classes");
    let mut earlier = Run::begin(&topic(), &ingest(), &mut early, &mut |_| {}).unwrap();
    earlier.row(&rows(&[("a", "old")])[0]).unwrap();

    run(&topics, rows(&[("a", "new")]), Deletes::Bounded).unwrap();
    let superseded = earlier.publish(&mut early, &mut |_| {}).unwrap_err();

    assert!(matches!(superseded, PublishError::Superseded(_)), "{superseded:?}");
    assert_eq!(published(&topics), [("a".to_owned(), "new".to_owned())]);
}

#[test]
fn learns_from_the_topic_what_a_run_of_unknown_outcome_has_done() {
    for trouble in [OutletTrouble::UnknownCommitted, OutletTrouble::UnknownLost, OutletTrouble::Abort] {
        let topics = MemoryTopics::default();
        topics.trouble(trouble);
        assert!(run(&topics, rows(&[("a", "1")]), Deletes::Bounded).is_err());

        let counts = run(&topics, rows(&[("a", "1")]), Deletes::Bounded).unwrap();

        assert_eq!((counts.inserts + counts.unchanged, topics.transactions().len()), (1, 1));
    }
}

/// Where a process of the simulation stands between two steps.
enum Stage {
    Idle,
    Claimed,
    Begun(Run),
    Compared(Run),
}

/// A process that runs the ingest again and again, and may die at any moment.
struct Process {
    outlet: MemoryOutlet,
    stage: Stage,
}

/// Processes that run the same ingest at the same time, and a table that changes meanwhile.
struct World {
    random: ChaCha8Rng,
    topics: MemoryTopics,
    /// Everything that the table has ever said.
    history: Vec<Table>,
    processes: Vec<Process>,
    /// Whose turn it is.
    turn: usize,
    /// Whether a run claims its name again before it publishes, which it must not.
    claims_late: bool,
}

impl World {
    fn new(seed: u64, claims_late: bool) -> Self {
        let topics = MemoryTopics::default();
        let process = |_| Process { outlet: topics.outlet("shop.ingest.classes"), stage: Stage::Idle };
        let processes = (0..3).map(process).collect();
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            processes,
            turn: 0,
            topics,
            history: vec![Table::new()],
            claims_late,
        }
    }

    fn now(&self) -> &Table {
        self.history.last().unwrap()
    }

    fn change_table(&mut self) {
        let mut table = self.now().clone();
        let key = vec![b'a' + self.random.random_range(0..5)];
        if self.random.random_bool(0.3) {
            table.remove(&key);
        } else {
            table.insert(key, self.history.len().to_string().into_bytes());
        }
        self.history.push(table);
    }

    /// The next step of a process.
    fn step(&mut self, number: usize) {
        let rows: Vec<_> =
            self.now().iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() }).collect();
        let claims_late = self.claims_late;
        let process = &mut self.processes[number];
        let outlet = &mut process.outlet;
        process.stage = match std::mem::replace(&mut process.stage, Stage::Idle) {
            Stage::Idle => {
                outlet.claim().unwrap();
                Stage::Claimed
            }
            Stage::Claimed => Stage::Begun(Run::look(&topic(), &ingest(), outlet, &mut |_| {}).unwrap()),
            Stage::Begun(mut run) => {
                for row in &rows {
                    run.row(row).unwrap();
                }
                Stage::Compared(run)
            }
            Stage::Compared(run) => {
                if claims_late {
                    outlet.claim().unwrap();
                }
                // Whatever comes of it, the next run learns it from the topic.
                drop(run.publish(outlet, &mut |_| {}));
                Stage::Idle
            }
        };
    }

    fn walk(&mut self, steps: usize) {
        let troubles = [OutletTrouble::Abort, OutletTrouble::UnknownCommitted, OutletTrouble::UnknownLost];
        for _ in 0..steps {
            match self.random.random_range(0..20) {
                0..4 => self.change_table(),
                4 => {
                    let dies = self.random.random_range(0..self.processes.len());
                    let outlet = self.topics.outlet("shop.ingest.classes");
                    self.processes[dies] = Process { outlet, stage: Stage::Idle };
                }
                5 => self.topics.trouble(*troubles.choose(&mut self.random).unwrap()),
                _ => {
                    // Mostly the same one goes on: whoever claims ends the runs of all others.
                    if self.random.random_bool(0.2) {
                        self.turn = self.random.random_range(0..self.processes.len());
                    }
                    self.step(self.turn);
                }
            }
        }
    }

    /// What the topic said after each transaction must be something that the table has said, and never an older thing than
    /// before.
    fn check(&self) -> Result<(), String> {
        let (mut topic, mut newest) = (Table::new(), 0);
        for transaction in self.topics.transactions() {
            for change in transaction {
                match change.value {
                    Some(value) => drop(topic.insert(change.key, value)),
                    None => drop(topic.remove(&change.key)),
                }
            }
            let found = self.history.iter().enumerate().skip(newest).find(|(_, table)| **table == topic);
            let Some((at, _)) = found else {
                return Err(format!("the topic says what the table did not say since {newest}: {topic:?}"));
            };
            newest = at;
        }
        Ok(())
    }
}

/// How many schedules are walked.
fn seeds() -> u64 {
    std::env::var("GRISTMILL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(500)
}

#[test]
fn several_runs_at_the_same_time_never_go_back_and_end_with_the_table() {
    let mut runs = 0;
    for seed in 0..seeds() {
        let mut world = World::new(seed, false);
        world.walk(150);
        world.topics.heal();
        let table = world.now().iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        run(&world.topics, table.collect(), Deletes::Allowed)
            .unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));

        world.check().unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        assert_eq!(world.topics.table(&topic()), *world.now(), "seed {seed}");
        runs += world.topics.transactions().len();
    }
    assert!(runs as u64 > 3 * seeds(), "the schedules hardly publish anything: {runs}");
}

#[test]
fn the_simulation_notices_runs_that_claim_their_name_too_late() {
    let broken = (0..seeds()).any(|seed| {
        let mut world = World::new(seed, true);
        world.walk(150);
        world.check().is_err()
    });

    assert!(broken);
}
