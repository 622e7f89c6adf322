//! Random schedules of items, classes, steps, restarts, cancellations and repetitions, against a model of
//! the join that knows nothing of how changes are followed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use delivery_time::DeliveryTime;
use delivery_time::MANIFEST;
use delivery_time::jobs;
use delivery_time::sources;
use gristmill::test::Output;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

/// A class with its times, or its deletion.
type Class = (String, Option<u64>);

#[derive(Clone, Debug)]
enum Action {
    /// An item with its classes, or its deletion.
    Item(u8, Option<Vec<String>>),
    /// An item that is rejected.
    BadItem(u8),
    /// Class records of one batch.
    Classes(Vec<Class>),
    /// A class that is rejected.
    BadClass(String),
    /// More changes of one class than are remembered.
    Burst(String),
    /// A step of one of the jobs, with this budget.
    Step(usize, u32),
    /// An operator ends one of the jobs.
    Cancel(usize),
    /// An operator has an item sent again.
    Reemit(u8),
    /// A command to send an item again.
    Update(u8),
    Restart,
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&["a", "b", "c"][..]).prop_map(str::to_owned)
}

fn action() -> impl Strategy<Value = Action> {
    let classes = prop::option::weighted(0.85, prop::collection::vec(name(), 0..3));
    let class = (name(), prop::option::weighted(0.8, 0..3_u64));
    prop_oneof![
        20 => (0..6_u8, classes).prop_map(|(sku, classes)| Action::Item(sku, classes)),
        1 => (0..6_u8).prop_map(Action::BadItem),
        16 => prop::collection::vec(class, 1..3).prop_map(Action::Classes),
        1 => name().prop_map(Action::BadClass),
        1 => name().prop_map(Action::Burst),
        24 => (0..3_usize, 1..4_u32).prop_map(|(job, budget)| Action::Step(job, budget)),
        1 => (0..3_usize).prop_map(Action::Cancel),
        2 => (0..6_u8).prop_map(Action::Reemit),
        2 => (0..6_u8).prop_map(Action::Update),
        3 => Just(Action::Restart),
    ]
}

/// Whether something may be sent that was sent before.
#[derive(Clone, Copy, PartialEq)]
enum Repeats {
    Fine,
    /// Unless the history was lost.
    Wrong,
}

/// The shop as it should be.
struct Shop {
    task: Task<DeliveryTime>,
    classes: BTreeMap<String, u64>,
    /// None: it was rejected, and what was sent before stays.
    items: BTreeMap<u8, Option<Vec<String>>>,
    /// What was sent last; none is a tombstone.
    sent: BTreeMap<u8, Option<String>>,
    /// Classes one of whose walks was cancelled.
    cancelled: BTreeSet<String>,
    burst: bool,
}

impl Shop {
    fn new() -> Self {
        let mut task = Task::<DeliveryTime>::new(MANIFEST, json!({})).unwrap();
        // A task has handled the classes before its first item.
        task.feed(sources::CLASSES, [record("z", r#"{"minimumTime":0,"maximumTime":0}"#)]);
        Self {
            task,
            classes: BTreeMap::new(),
            items: BTreeMap::new(),
            sent: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            burst: false,
        }
    }

    /// What an item should look like now.
    fn join(&self, sku: u8) -> Option<String> {
        let names = self.items.get(&sku)?.as_ref()?;
        let best = names.iter().filter_map(|name| self.classes.get(name)).min();
        let mut item = json!({ "deliveryClass": names });
        item["minimumDeliveryTime"] = best.map_or(Value::Null, |days| (*days).into());
        item["maximumDeliveryTime"] = best.map_or(Value::Null, |days| (*days).into());
        Some(item.to_string())
    }

    fn take(&mut self, outputs: &[Output], repeats: Repeats) {
        for output in outputs {
            let sku = output.key.as_ref().unwrap()[0];
            let value = output.value.as_ref().map(|value| String::from_utf8(value.clone()).unwrap());
            assert_eq!(value, self.join(sku), "the item {sku} goes out as it is now");
            let names = self.items.get(&sku).cloned().flatten().unwrap_or_default();
            let lost = self.burst || names.iter().any(|name| self.cancelled.contains(name));
            if repeats == Repeats::Wrong && !lost {
                assert_ne!(self.sent.get(&sku), Some(&value), "the item {sku} goes out once");
            }
            self.sent.insert(sku, value);
        }
    }

    fn classes(&mut self, classes: &[Class]) {
        let records = classes.iter().map(|(name, days)| match days {
            Some(days) => record(name, json!({ "minimumTime": days, "maximumTime": days }).to_string()),
            None => tombstone(name),
        });
        let outcome = self.task.feed(sources::CLASSES, records.collect::<Vec<_>>());
        assert_eq!((outcome.outputs, outcome.rejected), (vec![], vec![]));
        for (name, days) in classes {
            match days {
                Some(days) => drop(self.classes.insert(name.clone(), *days)),
                None => drop(self.classes.remove(name)),
            }
        }
    }

    fn job(&self, number: usize) -> Option<String> {
        let jobs = self.task.jobs();
        (!jobs.is_empty()).then(|| jobs[number % jobs.len()].1.clone())
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::Item(sku, names) => {
                let input = match &names {
                    Some(names) => record([sku], json!({ "deliveryClass": names }).to_string()),
                    None => tombstone([sku]),
                };
                match names {
                    Some(names) => drop(self.items.insert(sku, Some(names))),
                    None => drop(self.items.remove(&sku)),
                }
                let outcome = self.task.feed(sources::ITEMS, [input]);
                assert_eq!(outcome.outputs.len(), 1);
                self.take(&outcome.outputs, Repeats::Fine);
            }
            Action::BadItem(sku) => {
                self.items.insert(sku, None);
                let outcome = self.task.feed(sources::ITEMS, [record([sku], r#"{"deliveryClass":["a",1]}"#)]);
                assert_eq!((outcome.codes(), outcome.outputs.len()), (vec!["class-invalid"], 0));
            }
            Action::Classes(classes) => self.classes(&classes),
            Action::BadClass(name) => {
                let outcome = self.task.feed(sources::CLASSES, [record(&name, r#"{"minimumTime":9}"#)]);
                assert_eq!(outcome.codes(), ["class-time-invalid"]);
            }
            Action::Burst(name) => {
                self.burst = true;
                for days in 0..70 {
                    self.classes(&[(name.clone(), Some(days % 2))]);
                }
            }
            Action::Step(number, budget) => {
                if let Some(job) = self.job(number) {
                    let stepped = self.task.step(jobs::FOLLOW_CLASS, &job, budget);
                    assert!(stepped.outputs.len() <= budget as usize);
                    self.take(&stepped.outputs, Repeats::Wrong);
                }
            }
            Action::Cancel(number) => {
                if let Some(job) = self.job(number) {
                    self.task.cancel_job(jobs::FOLLOW_CLASS, &job);
                    self.cancelled.insert(job);
                }
            }
            Action::Reemit(sku) => {
                if self.items.get(&sku).is_some_and(Option::is_some) {
                    let outcome = self.task.reemit(sources::ITEMS, [sku]);
                    assert_eq!(outcome.outputs.len(), 1);
                    self.take(&outcome.outputs, Repeats::Fine);
                }
            }
            Action::Update(sku) => {
                let outcome = self.task.feed(sources::UPDATES, [record([sku], "{}")]);
                let exists = self.items.get(&sku).is_some_and(Option::is_some);
                assert_eq!(outcome.outputs.len(), usize::from(exists));
                self.take(&outcome.outputs, Repeats::Fine);
            }
            Action::Restart => self.task.restart(),
        }
    }

    /// When all is quiet, everything is as it should be.
    fn settle(&mut self) {
        let outputs = self.task.run_jobs(3);
        self.take(&outputs, Repeats::Wrong);
        // A walk that was cancelled leaves items behind, until the next change of its class.
        for name in self.cancelled.clone() {
            let days = self.classes.get(&name).map_or(7, |days| days + 1);
            self.classes(&[(name, Some(days))]);
            let outputs = self.task.run_jobs(2);
            self.take(&outputs, Repeats::Wrong);
        }
        for (sku, names) in &self.items {
            if names.is_some() {
                assert_eq!(self.sent[sku], self.join(*sku), "the item {sku} in the end");
            }
        }
        let kinds = self.task.store("follow").into_iter().map(|(key, _)| key);
        assert_eq!(
            kinds.filter(|key| key.starts_with(b"\x02change") || key.starts_with(b"\x02walk")).count(),
            0
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn brings_every_item_up_to_date_and_sends_none_twice(actions in prop::collection::vec(action(), 0..60)) {
        let mut shop = Shop::new();

        for action in actions {
            shop.run(action);
        }

        shop.settle();
    }
}
