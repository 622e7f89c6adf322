//! Carry-overs on topics in memory: every outcome and every death at every transaction, and what is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest as _, Sha256};

use super::*;
use crate::config::ingest::{IngestKind, Member, MemberKind};
use crate::id::{AppId, IngestName, Timestamp, TopicName};
use crate::ingest::dynamodb::attribute::{Attribute, Item};
use crate::ingest::dynamodb::pages::TableFacts;
use crate::io::{Published, UpTo};
use crate::memory::{MemoryOutlet, MemoryTopics, OutletTrouble};

/// A table that gives pages of two items.
struct Table {
    key: Vec<String>,
    items: Vec<Item>,
    failures: VecDeque<fn(Fault) -> PageError>,
    asked: usize,
}

const PAGE: usize = 2;

impl Pages for Table {
    fn table(&mut self) -> Result<TableFacts, PageError> {
        Ok(TableFacts { key: self.key.clone(), items: self.items.len() as u64 })
    }

    fn page(&mut self, after: Option<&Item>) -> Result<Page, PageError> {
        if let Some(failure) = self.failures.pop_front() {
            return Err(failure(Fault::new(Code::DynamodbUnreachable, "the table has a bad day")));
        }
        self.asked += 1;
        let place = |item: &Item| -> Item {
            self.key.iter().map(|name| (name.clone(), item[name].clone())).collect()
        };
        let start =
            after.map_or(0, |after| self.items.iter().position(|item| place(item) == *after).unwrap() + 1);
        let items = self.items[start..].iter().take(PAGE).cloned().collect::<Vec<_>>();
        let next = (start + items.len() < self.items.len()).then(|| place(items.last().unwrap()));
        Ok(Page { items, next, read_units: 0.5 })
    }
}

fn text(text: &str) -> Attribute {
    Attribute::Text(text.to_owned())
}

fn item(key: &str, value: &str) -> Item {
    [("sku", key), ("class", value)].map(|(name, value)| (name.to_owned(), text(value))).into()
}

/// Seven items: three full pages and a short one.
fn items() -> Vec<Item> {
    (0..7).map(|number| item(&format!("A-{number}"), &format!("class {}", number % 3))).collect()
}

fn table() -> Table {
    Table { key: vec!["sku".to_owned()], items: items(), failures: VecDeque::new(), asked: 0 }
}

fn config() -> DynamodbIngest {
    DynamodbIngest {
        table: "items".to_owned(),
        region: None,
        endpoint: None,
        key: "sku".to_owned(),
        members: None,
        page_items: 2,
        per_second: None,
    }
}

fn ingest(config: &DynamodbIngest) -> Ingest {
    Ingest {
        app: AppId::new("shop"),
        name: IngestName::new("classes"),
        topic: TopicName::new("classes"),
        kind: IngestKind::Dynamodb(Box::new(config.clone())),
    }
}

/// What happens at a transaction.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    Trouble(OutletTrouble),
    /// The process dies before it, or behind it.
    DeathBefore,
    DeathBehind,
    /// Another process carries the table over meanwhile.
    OtherRun,
}

/// An outlet to which something happens at its transactions, by their numbers.
struct Eventful {
    topics: MemoryTopics,
    outlet: MemoryOutlet,
    events: BTreeMap<usize, Event>,
    transaction: usize,
}

impl Outlet for Eventful {
    fn claim(&mut self) -> Result<(), Fault> {
        self.outlet.claim()
    }

    fn read(
        &mut self,
        topic: &TopicName,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.outlet.read(topic, visit)
    }

    fn follow(
        &mut self,
        topic: &TopicName,
        up_to: UpTo,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.outlet.follow(topic, up_to, visit)
    }

    fn publish(
        &mut self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), PublishError> {
        let event = self.events.get(&self.transaction).copied();
        self.transaction += 1;
        let death = || PublishError::Aborted(Fault::new(Code::Internal, "death"));
        match event {
            None => self.outlet.publish(changes),
            Some(Event::Trouble(trouble)) => {
                self.topics.trouble(trouble);
                self.outlet.publish(changes)
            }
            Some(Event::DeathBefore) => Err(death()),
            Some(Event::DeathBehind) => self.outlet.publish(changes).and(Err(death())),
            Some(Event::OtherRun) => {
                World { topics: self.topics.clone(), ..World::new() }.run().unwrap();
                self.outlet.publish(changes)
            }
        }
    }
}

struct World {
    topics: MemoryTopics,
    table: Table,
    config: DynamodbIngest,
    events: BTreeMap<usize, Event>,
    clock: Clock,
    moments: Vec<Moment>,
}

impl World {
    fn new() -> Self {
        Self {
            topics: MemoryTopics::default(),
            table: table(),
            config: config(),
            events: BTreeMap::new(),
            clock: Clock::manual(Timestamp(0)),
            moments: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<Report, Fault> {
        let ingest = ingest(&self.config);
        let mut outlet = Eventful {
            topics: self.topics.clone(),
            outlet: self.topics.outlet("classes"),
            events: std::mem::take(&mut self.events),
            transaction: 0,
        };
        let moments = &mut self.moments;
        let mut watch = |moment: &Moment| moments.push(moment.clone());
        let clock = self.clock.clone();
        CarryOver::new(&ingest, &self.config, &mut self.table, &mut outlet, clock, &mut watch).run()
    }

    fn run_with(&mut self, events: &[(usize, Event)]) -> Result<Report, Fault> {
        self.events = events.iter().copied().collect();
        self.run()
    }

    fn fails(&mut self) -> Fault {
        self.run().unwrap_err()
    }

    fn topic(&self) -> TopicName {
        TopicName::new("classes")
    }

    fn put(&self, key: &str, value: Option<&str>) {
        let value = value.map(|value| value.as_bytes().to_vec());
        self.topics.put(vec![Change { topic: self.topic(), key: key.as_bytes().to_vec(), value }]);
    }

    /// How many records have been committed to the topic.
    fn records(&self) -> usize {
        let transactions = self.topics.transactions();
        transactions.iter().flatten().filter(|change| change.topic == self.topic()).count()
    }

    /// Whether the topic holds exactly the table, each record written once, and the progress says so.
    fn assert_done(&self, what: &str) {
        let expected: BTreeMap<_, _> = items()
            .iter()
            .map(|item| {
                let [key, class] = ["sku", "class"].map(|name| match &item[name] {
                    Attribute::Text(text) => text.clone(),
                    _ => unreachable!(),
                });
                (key.into_bytes(), format!("{{\"class\":\"{class}\"}}").into_bytes())
            })
            .collect();
        assert_eq!(self.topics.table(&self.topic()), expected, "{what}");
        assert_eq!(self.records(), expected.len(), "{what}: records");
        let progress = self.topics.table(&TopicName::new("shop.ingest.classes.progress"));
        let progress: serde_json::Value = serde_json::from_slice(&progress[&b"classes"[..]]).unwrap();
        assert_eq!(progress["stage"], "done", "{what}");
        assert_eq!((&progress["items"], &progress["pages"]), (&7.into(), &4.into()), "{what}");
        assert_eq!(progress["digest"], digest(&expected), "{what}");
    }
}

/// The documented digest, computed in another way: bit by bit.
fn digest(records: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    let mut bits = [0_u32; 256];
    for (key, value) in records {
        let parts = [&(key.len() as u64).to_be_bytes()[..], key, &(value.len() as u64).to_be_bytes(), value];
        let hash = Sha256::digest(parts.concat());
        (0..256).for_each(|bit| bits[bit] += u32::from(hash[31 - bit / 8] >> (bit % 8) & 1));
    }
    for bit in 0..256 {
        let carry = bits[bit] / 2;
        bits[bit] %= 2;
        if bit < 255 {
            bits[bit + 1] += carry;
        }
    }
    let digit = |nibble: usize| (0..4).map(|bit| bits[4 * nibble + bit] << bit).sum::<u32>();
    (0..64).rev().map(|nibble| format!("{:x}", digit(nibble))).collect()
}

const EVENTS: [Event; 5] = [
    Event::Trouble(OutletTrouble::Abort),
    Event::Trouble(OutletTrouble::UnknownCommitted),
    Event::Trouble(OutletTrouble::UnknownLost),
    Event::DeathBefore,
    Event::DeathBehind,
];

/// Four pages, and the end.
const TRANSACTIONS: usize = 5;

#[test]
fn carries_every_item_over_once_and_verifies_it() {
    let mut world = World::new();

    let report = world.run().unwrap();

    world.assert_done("alone");
    assert_eq!((report.outcome, report.resumed), (Outcome::Done, 0));
    assert_eq!((report.progress.items, report.progress.read_units), (7, 2.0));
    assert_eq!(world.moments.first(), Some(&Moment::Begun { items: 0, expected: 7 }));
    assert_eq!(world.topics.transactions().len(), TRANSACTIONS);
}

#[test]
fn doubles_and_loses_nothing_whatever_happens_at_any_transaction() {
    let when = || (0..TRANSACTIONS).flat_map(|at| EVENTS.map(|event| (at, event)));
    for first in when() {
        for second in when() {
            let mut world = World::new();
            let mut events = vec![first];
            // Each life has its own transactions; the second event comes in the second life, if there is one.
            let mut deaths = 0;
            let report = loop {
                match world.run_with(&events) {
                    Ok(report) => break report,
                    Err(fault) => assert_eq!(fault.code(), Code::Internal, "{first:?} {second:?}"),
                }
                deaths += 1;
                events = if deaths == 1 { vec![second] } else { Vec::new() };
            };

            world.assert_done(&format!("{first:?} {second:?}"));
            assert!(report.resumed <= 7 && deaths <= 2, "{first:?} {second:?}: {report:?}");
        }
    }
}

#[test]
fn ends_when_a_later_run_takes_over_and_leaves_it_what_it_did() {
    for at in 0..TRANSACTIONS {
        let mut world = World::new();

        let fault = world.run_with(&[(at, Event::OtherRun)]).unwrap_err();

        assert_eq!(fault.code(), Code::IngestSuperseded, "{at}");
        world.assert_done(&format!("another run at {at}"));
    }
}

#[test]
fn does_nothing_when_it_is_done() {
    let mut world = World::new();
    world.run().unwrap();
    let (asked, transactions) = (world.table.asked, world.topics.transactions().len());

    let report = world.run().unwrap();

    assert_eq!((report.outcome, report.progress.items), (Outcome::DoneBefore, 7));
    assert_eq!((world.table.asked, world.topics.transactions().len()), (asked, transactions));
}

#[test]
fn carries_an_empty_table_over() {
    let mut world = World::new();
    world.table.items.clear();

    assert_eq!(world.run().unwrap().progress.items, 0);
    assert_eq!(world.run().unwrap().outcome, Outcome::DoneBefore);
}

#[test]
fn refuses_a_topic_that_is_not_empty_before_it_reads_the_table() {
    for value in [Some("v"), None] {
        let mut world = World::new();
        world.put("x", value);

        assert_eq!(world.fails().code(), Code::TopicNotEmpty);
        assert_eq!((world.table.asked, world.records()), (0, 1));
    }
}

#[test]
fn notices_what_somebody_else_did_to_the_topic() {
    for (key, value) in [("foreign", Some("{}")), ("A-1", Some("{}")), ("A-1", None)] {
        let mut world = World::new();
        world.run_with(&[(2, Event::DeathBehind)]).unwrap_err();
        world.put(key, value);

        let fault = world.fails();

        assert_eq!(fault.code(), Code::CarryOverMismatch, "{key} {value:?}");
        assert!(fault.message().contains("the table had 7 items with the digest "), "{fault}");
        // It stays as it is until somebody does something about it.
        assert_eq!(world.fails().code(), Code::CarryOverMismatch);
    }
}

#[test]
fn accepts_a_foreign_record_that_says_the_same() {
    let mut world = World::new();
    world.run_with(&[(2, Event::DeathBehind)]).unwrap_err();
    world.put("A-1", Some("{\"class\":\"class 1\"}"));

    assert_eq!(world.run().unwrap().outcome, Outcome::Done);
}

#[test]
fn refuses_two_items_with_one_key_wherever_they_are() {
    for twin in 1..7 {
        let mut world = World::new();
        // The table tells them apart by an attribute that is not the record's key.
        world.table.key.push("sort".to_owned());
        for (number, item) in world.table.items.iter_mut().enumerate() {
            item.insert("sort".to_owned(), text(&number.to_string()));
        }
        world.table.items[twin].insert("sku".to_owned(), text("A-0"));
        // A process that dies in the middle has to remember the keys before.
        world.run_with(&[(1, Event::DeathBehind)]).unwrap_err();

        let fault = world.fails();

        assert_eq!(fault.code(), Code::IngestKeyTwice, "{twin}");
        let twin_name = format!(r#"`{{"sku":{{"S":"A-0"}},"sort":{{"S":"{twin}"}}}}`"#);
        assert!(fault.message().contains("`A-0`") && fault.message().contains(&twin_name), "{fault}");
        assert_eq!(world.records(), twin / PAGE * PAGE);
    }
}

#[test]
fn goes_on_once_an_item_is_corrected() {
    let mut world = World::new();
    let class = world.table.items[5].insert("class".to_owned(), Attribute::Bytes(vec![1])).unwrap();

    assert_eq!(world.fails().code(), Code::IngestValueUnfit);
    assert_eq!(world.records(), 4);
    world.table.items[5].insert("class".to_owned(), class);

    assert_eq!(world.run().unwrap().resumed, 4);
    world.assert_done("corrected");
}

#[test]
fn refuses_to_go_on_with_something_else() {
    let member = Member {
        name: "class".to_owned(),
        field: "class".to_owned(),
        kind: MemberKind::Text,
        required: false,
    };
    for config in [
        DynamodbIngest { table: "other".to_owned(), ..config() },
        DynamodbIngest { key: "class".to_owned(), ..config() },
        DynamodbIngest { members: Some(vec![member]), ..config() },
    ] {
        let mut world = World::new();
        world.run_with(&[(1, Event::DeathBehind)]).unwrap_err();
        world.config = config;

        assert_eq!(world.fails().code(), Code::CarryOverChanged);
    }
    let mut world = World::new();
    let key = b"classes".to_vec();
    world.topics.put(vec![Change {
        topic: ingest(&world.config).progress_topic(),
        key,
        value: Some(b"?".to_vec()),
    }]);
    assert_eq!(world.fails().code(), Code::CarryOverChanged);
}

#[test]
fn goes_on_from_another_address_at_another_speed() {
    let mut world = World::new();
    world.run_with(&[(1, Event::DeathBehind)]).unwrap_err();
    world.config =
        DynamodbIngest { endpoint: Some("http://127.0.0.1".to_owned()), per_second: Some(1), ..config() };

    world.run().unwrap();

    world.assert_done("elsewhere");
    // Three items, but nobody waits behind the last page.
    assert_eq!(world.clock.elapsed(), Duration::from_secs(2));
}

#[test]
fn waits_as_long_as_the_table_is_throttled_and_says_so() {
    let mut world = World::new();
    world.table.failures = vec![PageError::Throttled as fn(Fault) -> PageError; 100].into();

    world.run().unwrap();

    world.assert_done("throttled");
    assert!(world.clock.elapsed() > 3 * PATIENCE);
    let waits = world.moments.iter().filter(|moment| matches!(moment, Moment::Waiting { .. }));
    assert_eq!(waits.count(), 100);
}

#[test]
fn gives_up_on_a_table_that_does_not_answer_for_long() {
    let mut world = World::new();
    world.table.failures = vec![PageError::Unavailable as fn(Fault) -> PageError; 1000].into();

    let fault = world.fails();

    assert_eq!(fault.code(), Code::DynamodbUnreachable);
    let waited = world.clock.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE + Duration::from_secs(11), "{waited:?}");
    world.table.failures.clear();
    world.run().unwrap();
    world.assert_done("back");
}

#[test]
fn gives_up_at_once_on_what_will_not_pass() {
    let mut world = World::new();
    world.table.failures.push_back(PageError::Failed);

    world.fails();

    assert_eq!(world.clock.elapsed(), Duration::ZERO);
}

#[test]
fn knows_the_attributes_that_no_item_had() {
    let mut world = World::new();
    let member = |field: &str| Member {
        name: field.to_owned(),
        field: field.to_owned(),
        kind: MemberKind::Own,
        required: false,
    };
    world.config.members = Some(vec![member("class"), member("clas"), member("late")]);
    world.table.items[6].insert("late".to_owned(), text("x"));
    world.run_with(&[(1, Event::DeathBehind)]).unwrap_err();

    let report = world.run().unwrap();

    assert_eq!(report.progress.absent, BTreeSet::from(["clas".to_owned()]));
}
