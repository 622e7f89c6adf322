//! The topics, the two tasks, and what the host does for them: causal headers, and copies of the class topic that each has
//! applied as far as it has.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt::Write;

use class_fanout::ClassFanout;
use delivery_time::DeliveryTime;
use gristmill::test::Input;
use gristmill::test::Output;
use gristmill::test::Splits;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use serde_json::Value;
use serde_json::json;

/// Partitions of the class topic.
pub(super) const PARTITIONS: usize = 2;

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    Join,
    Fanout,
}

/// What may happen next. What is not possible does nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// A supplier sends an item with its classes, or deletes it.
    Item(u8, Option<Vec<&'static str>>),
    /// Logistics sets the days of a class, or deletes it.
    Class(&'static str, Option<u64>),
    /// Logistics sends nonsense.
    BadClass(&'static str),
    /// A task applies the next record of a partition of the class topic.
    Apply(Who, usize),
    TakeItem,
    TakeCommand,
    TakeEnriched,
    /// A step of one of the walks, with this budget.
    Step(usize, u32),
    /// A new instance.
    Restart(Who),
    /// The class topic forgets what was replaced.
    Compact,
    /// Both hosts are down until the class topic has forgotten its deletions too, and start anew.
    LongNight,
    /// An operator ends one of the walks.
    Cancel(usize),
    /// An operator has a row given to a task again.
    Reemit(Who, u8),
}

/// Rules that a test may break.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Records wait for what their header names.
    pub(super) causal: bool,
    /// Enriched records are compared when they are taken.
    pub(super) at_once: bool,
    /// A class change starts a walk.
    pub(super) walks: bool,
}

pub(super) const ALL: Rules = Rules { causal: true, at_once: true, walks: true };

/// The next offset of each partition.
type Positions = [i64; PARTITIONS];

struct ClassRecord {
    partition: usize,
    offset: i64,
    name: &'static str,
    value: Option<String>,
}

/// How far a task has applied the class topic.
#[derive(Default)]
struct Copy {
    applied: Positions,
    /// Where the rows of its copy lie.
    rows: BTreeMap<&'static str, (usize, i64)>,
    in_force: BTreeMap<String, u64>,
}

/// A record on its way.
struct Sent {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    after: Positions,
}

pub(super) struct World {
    pub(super) rules: Rules,
    /// Whether both have the same classes in force in the end. It is not so when compaction removes a good record, or a deletion,
    /// that one of them has seen, in favour of a record that is rejected.
    pub(super) agree: bool,
    join: Task<DeliveryTime>,
    fanout: Task<ClassFanout>,
    copies: [Copy; 2],
    log: Vec<ClassRecord>,
    ends: Positions,
    days: BTreeMap<String, u64>,
    items: VecDeque<(u8, Option<String>)>,
    /// The last item of each key, whether or not it was taken.
    wanted: BTreeMap<u8, Option<Vec<&'static str>>>,
    enriched: VecDeque<Sent>,
    /// The last enriched record of each key, and the last that the fan-out has taken.
    last: BTreeMap<u8, Option<Value>>,
    rows: BTreeMap<u8, Value>,
    commands: VecDeque<Sent>,
    cancelled: Vec<String>,
    /// Commands in all.
    pub(super) written: usize,
}

fn partition(name: &str) -> usize {
    usize::from(name == "c")
}

fn class(days: u64) -> String {
    json!({ "minimumTime": days, "maximumTime": days }).to_string()
}

impl ClassRecord {
    fn is_bad(&self) -> bool {
        self.value.as_deref() == Some("{")
    }
}

impl World {
    pub(super) fn new(rules: Rules, splits: Splits) -> Self {
        let join =
            Task::<DeliveryTime>::new(delivery_time::MANIFEST, json!({ "follow_classes": false })).unwrap();
        let fanout = Task::<ClassFanout>::new(class_fanout::MANIFEST, json!({})).unwrap();
        Self {
            rules,
            agree: true,
            join: join.splits(splits),
            fanout: fanout.splits(splits),
            copies: Default::default(),
            log: Vec::new(),
            ends: Positions::default(),
            days: BTreeMap::new(),
            items: VecDeque::new(),
            wanted: BTreeMap::new(),
            enriched: VecDeque::new(),
            last: BTreeMap::new(),
            rows: BTreeMap::new(),
            commands: VecDeque::new(),
            cancelled: Vec::new(),
            written: 0,
        }
    }

    /// Does something, if it is possible. False: it is not.
    pub(super) fn run(&mut self, action: &Action) -> bool {
        match action {
            Action::Item(sku, classes) => self.supply(*sku, classes.clone()),
            Action::Class(name, days) => self.set(name, *days),
            Action::BadClass(name) => self.publish(name, Some("{".to_owned())),
            Action::Apply(who, partition) => return self.apply(*who, *partition),
            Action::TakeItem => return self.take_item(),
            Action::TakeCommand => return self.take_command(),
            Action::TakeEnriched => return self.take_enriched(),
            Action::Step(number, budget) => return self.step(*number, *budget),
            Action::Restart(Who::Join) => self.join.restart(),
            Action::Restart(Who::Fanout) => self.fanout.restart(),
            Action::Compact => self.compact(),
            Action::LongNight => {
                self.compact();
                let bad: Vec<_> = self.log.iter().filter(|record| record.is_bad()).map(|r| r.name).collect();
                self.log.retain(|record| record.value.is_some() || self.agree && bad.contains(&record.name));
                self.begin(Who::Join);
                self.begin(Who::Fanout);
            }
            Action::Cancel(number) => return self.cancel(*number),
            Action::Reemit(who, sku) => return self.reemit(*who, *sku),
        }
        true
    }

    /// Lets both get on until nothing is left to do, and checks that nothing is missing. Gives the number of commands that it
    /// took.
    pub(super) fn settle(&mut self) -> usize {
        let before = self.written;
        self.drain();
        // A walk that was cancelled leaves items behind, until its class comes again as it is.
        for name in std::mem::take(&mut self.cancelled) {
            let days = self.days.get(&name).copied();
            let name = ["a", "b", "c"].into_iter().find(|own| *own == name).unwrap();
            self.set(name, days);
        }
        self.drain();
        for (sku, wanted) in &self.wanted {
            let join = wanted.as_ref().map(|classes| join(classes, &self.days));
            if !self.agree {
                continue;
            }
            assert_eq!(self.last.get(sku).cloned().unwrap_or_default(), join, "item {sku} in the end");
        }
        assert!(self.fanout.store("walks").iter().all(|(_, mark)| mark == b"disputed"));
        self.written - before
    }

    /// Everything that can be done at once, and then the answers to the commands, to which there must be no more commands.
    fn drain(&mut self) {
        self.round();
        let before = self.written;
        self.round();
        assert_eq!(self.written, before, "the answers to commands have made more commands");
        assert!(self.items.is_empty() && self.enriched.is_empty() && self.commands.is_empty());
    }

    fn round(&mut self) {
        for partition in 0..PARTITIONS {
            while self.apply(Who::Join, partition) || self.apply(Who::Fanout, partition) {}
        }
        while self.take_item() || self.take_command() {}
        while self.take_enriched() || self.step(0, 2) {}
    }

    /// What could happen next, of what the two do.
    pub(super) fn moves(&self) -> Vec<Action> {
        let mut moves = Vec::new();
        for who in [Who::Join, Who::Fanout] {
            let behind = |p: &usize| self.copies[who as usize].applied[*p] < self.ends[*p];
            moves.extend((0..PARTITIONS).filter(behind).map(|partition| Action::Apply(who, partition)));
        }
        let waits = |record: Option<&Sent>, who| record.is_some_and(|record| self.is_ready(record, who));
        moves.extend((!self.items.is_empty()).then_some(Action::TakeItem));
        moves.extend(waits(self.commands.front(), Who::Join).then_some(Action::TakeCommand));
        moves.extend(waits(self.enriched.front(), Who::Fanout).then_some(Action::TakeEnriched));
        moves.extend((0..self.fanout.jobs().len()).map(|job| Action::Step(job, 1)));
        moves
    }

    fn supply(&mut self, sku: u8, classes: Option<Vec<&'static str>>) {
        let value = classes.as_ref().map(|classes| json!({ "deliveryClass": classes }).to_string());
        self.items.push_back((sku, value));
        self.wanted.insert(sku, classes);
    }

    fn set(&mut self, name: &'static str, days: Option<u64>) {
        self.publish(name, days.map(class));
        match days {
            Some(days) => self.days.insert(name.to_owned(), days),
            None => self.days.remove(name),
        };
    }

    fn publish(&mut self, name: &'static str, value: Option<String>) {
        let partition = partition(name);
        let offset = self.ends[partition];
        self.log.push(ClassRecord { partition, offset, name, value });
        // A control record lies behind each.
        self.ends[partition] += 2;
    }

    fn apply(&mut self, who: Who, partition: usize) -> bool {
        let from = self.copies[who as usize].applied[partition];
        if from >= self.ends[partition] {
            return false;
        }
        let behind = |record: &&ClassRecord| record.partition == partition && record.offset >= from;
        let mut behind = self.log.iter().filter(behind);
        let next = behind.next().map(|record| (record.name, record.value.clone(), record.offset));
        let is_all = behind.next().is_none();
        let mut until = self.ends[partition];
        if let Some((name, value, offset)) = next {
            self.feed_class(who, name, value, (partition, offset));
            until = if is_all { until } else { offset + 1 };
        }
        self.advance(who, partition, until);
        true
    }

    fn feed_class(
        &mut self,
        who: Who,
        name: &'static str,
        value: Option<String>,
        (partition, offset): (usize, i64),
    ) {
        let copy = &mut self.copies[who as usize];
        let is_bad = value.as_deref() == Some("{");
        let days = value
            .as_ref()
            .filter(|_| !is_bad)
            .map(|value| serde_json::from_str::<Value>(value).unwrap()["minimumTime"].as_u64().unwrap());
        match (&value, days) {
            (Some(_), None) => {}
            (_, Some(days)) => drop(copy.in_force.insert(name.to_owned(), days)),
            (None, None) => drop(copy.in_force.remove(name)),
        }
        match value {
            Some(_) => copy.rows.insert(name, (partition, offset)),
            None => copy.rows.remove(name),
        };
        let input = input(name.as_bytes(), value.map(String::into_bytes)).at(partition as u32, offset);
        let outcome = match who {
            Who::Join => self.join.feed(delivery_time::sources::CLASSES, [input]),
            Who::Fanout => self.fanout.feed(class_fanout::sources::CLASSES, [input]),
        };
        assert_eq!(outcome.outputs, [], "work that can be large is never done at once");
        assert_eq!(outcome.rejected.len(), usize::from(is_bad));
    }

    fn advance(&mut self, who: Who, partition: usize, until: i64) {
        self.copies[who as usize].applied[partition] = until;
        if who == Who::Fanout {
            self.fanout.advance(class_fanout::sources::CLASSES, partition as u32, until);
        }
    }

    /// A task starts with a new view of the class topic: it compares its copy with it, and applies all of it.
    fn begin(&mut self, who: Who) {
        let known: Vec<_> = self.log.iter().map(|record| record.name).collect();
        let rows = self.copies[who as usize].rows.clone();
        for (name, place) in rows.into_iter().filter(|(name, _)| !known.contains(name)) {
            self.feed_class(who, name, None, place);
        }
        for partition in 0..PARTITIONS {
            while self.apply(who, partition) {}
        }
    }

    fn is_ready(&self, record: &Sent, who: Who) -> bool {
        let applied = self.copies[who as usize].applied;
        !self.rules.causal || record.after.iter().zip(applied).all(|(after, applied)| *after <= applied)
    }

    fn take_item(&mut self) -> bool {
        let Some((sku, value)) = self.items.pop_front() else { return false };
        let input = input(&[sku], value.map(String::into_bytes));
        let outcome = self.join.feed(delivery_time::sources::ITEMS, [input]);
        assert_eq!(outcome.outputs.len(), 1);
        self.joined(outcome.outputs);
        true
    }

    fn take_command(&mut self) -> bool {
        if !self.commands.front().is_some_and(|record| self.is_ready(record, Who::Join)) {
            return false;
        }
        let command = self.commands.pop_front().unwrap();
        let outcome = self.join.feed(delivery_time::sources::UPDATES, [input(&command.key, command.value)]);
        self.joined(outcome.outputs);
        true
    }

    fn joined(&mut self, outputs: Vec<Output>) {
        let after = self.copies[Who::Join as usize].applied;
        for output in outputs {
            let key = output.key.clone().unwrap();
            let value = (!output.is_tombstone()).then(|| serde_json::from_str(&output.value()).unwrap());
            self.last.insert(key[0], value);
            self.enriched.push_back(Sent { key, value: output.value, after });
        }
    }

    fn take_enriched(&mut self) -> bool {
        if !self.enriched.front().is_some_and(|record| self.is_ready(record, Who::Fanout)) {
            return false;
        }
        let Sent { key, value, after } = self.enriched.pop_front().unwrap();
        match &value {
            Some(value) => self.rows.insert(key[0], serde_json::from_slice(value).unwrap()),
            None => self.rows.remove(&key[0]),
        };
        let mut header = String::new();
        for (partition, next) in after.into_iter().enumerate().filter(|(_, next)| *next > 0) {
            write!(header, "{}classes/{partition}@{}", if header.is_empty() { "" } else { "," }, next - 1)
                .unwrap();
        }
        let mut input = input(&key, value);
        if !header.is_empty() {
            input = input.header("gristmill-after", header);
        }
        let outcome = self.fanout.feed(class_fanout::sources::ENRICHED, [input]);
        assert_eq!(outcome.outputs.len() + outcome.skipped.len(), 1);
        if self.rules.at_once {
            self.told(&outcome.outputs);
        }
        true
    }

    fn job(&self, number: usize) -> Option<String> {
        let mut jobs = self.fanout.jobs();
        let number = number.checked_rem(jobs.len())?;
        Some(jobs.swap_remove(number).1)
    }

    fn step(&mut self, number: usize, budget: u32) -> bool {
        let Some(job) = self.job(number) else { return false };
        let stepped = self.fanout.step(class_fanout::jobs::FAN_OUT, &job, budget);
        assert!(stepped.outputs.len() <= budget as usize);
        if self.rules.walks {
            self.told(&stepped.outputs);
        }
        true
    }

    fn told(&mut self, outputs: &[Output]) {
        let copy = &self.copies[Who::Fanout as usize];
        for output in outputs {
            let key = output.key.clone().unwrap();
            let row = &self.rows[&key[0]];
            let names: Vec<_> = row["deliveryClass"].as_array().unwrap().iter().collect();
            let names: Vec<_> = names.into_iter().map(|name| name.as_str().unwrap()).collect();
            assert_ne!(*row, join(&names, &copy.in_force), "a command for an item that is up to date");
            self.commands.push_back(Sent { key, value: output.value.clone(), after: copy.applied });
        }
        self.written += outputs.len();
    }

    fn compact(&mut self) {
        let mut newest = BTreeMap::new();
        for record in self.log.iter().filter(|record| !(self.agree && record.is_bad())) {
            newest.insert(record.name, record.offset);
        }
        self.log.retain(|record| newest.get(record.name).is_none_or(|newest| record.offset >= *newest));
    }

    fn cancel(&mut self, number: usize) -> bool {
        let Some(job) = self.job(number) else { return false };
        self.fanout.cancel_job(class_fanout::jobs::FAN_OUT, &job);
        self.cancelled.push(job);
        true
    }

    fn reemit(&mut self, who: Who, sku: u8) -> bool {
        match who {
            Who::Join => {
                let taken = self.last.get(&sku).is_some_and(Option::is_some);
                if taken {
                    let outcome = self.join.reemit(delivery_time::sources::ITEMS, [sku]);
                    self.joined(outcome.outputs);
                }
                taken
            }
            Who::Fanout => {
                let taken = self.rows.contains_key(&sku);
                if taken {
                    let outcome = self.fanout.reemit(class_fanout::sources::ENRICHED, [sku]);
                    self.told(&outcome.outputs);
                }
                taken
            }
        }
    }
}

/// What an item should look like.
fn join(names: &[&str], days: &BTreeMap<String, u64>) -> Value {
    let best = names.iter().filter_map(|name| days.get(*name)).min();
    let time = best.map_or(Value::Null, |days| (*days).into());
    json!({ "deliveryClass": names, "minimumDeliveryTime": time, "maximumDeliveryTime": time })
}

fn input(key: &[u8], value: Option<Vec<u8>>) -> Input {
    match value {
        Some(value) => record(key, value),
        None => tombstone(key),
    }
}
