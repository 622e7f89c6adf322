//! What becomes of messages: a model, and a task of some plugin that is held against it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use activation::MANIFEST;
use activation::sinks;
use activation::sources;
use gristmill::Exported;
use gristmill::Source;
use gristmill::test::Input;
use gristmill::test::Outcome;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use serde_json::json;

/// How long activations wait, by the manifest.
const WAIT: Duration = Duration::from_secs(7 * 86_400);

/// A message of a product, or something else that happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Activation(u8),
    /// Information with an ID of its own.
    Information(u8),
    /// Information without an ID: it is rejected.
    Poor(u8),
    /// The information is deleted.
    Deletion(u8),
    /// More than half of the wait goes by.
    Time,
    Restart,
}

/// How messages reach the task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delivery {
    /// Those of one source that follow each other in one call; the driver cuts it in every way and crashes between the parts.
    Together,
    /// Each by itself, to an instance of its own.
    Alone,
}

/// What is sent: the sink, the number of the activation, and the number of the information whose ID it has.
type Sent = (&'static str, usize, Option<usize>);

/// A product as it should be.
#[derive(Default)]
struct Product {
    information: Option<usize>,
    /// Activations, and when they expire.
    waiting: Vec<(usize, Duration)>,
}

/// Plays events.
pub(crate) struct World<P> {
    task: Task<P>,
    products: BTreeMap<u8, Product>,
    now: Duration,
    /// How many events there were: each message has its number in it.
    count: usize,
    /// How often each activation was sent somewhere.
    ends: BTreeMap<usize, usize>,
}

impl<P: Exported + 'static> World<P> {
    pub(crate) fn new() -> Self {
        let task = Task::new(MANIFEST, json!({})).unwrap();
        Self { task, products: BTreeMap::new(), now: Duration::ZERO, count: 0, ends: BTreeMap::new() }
    }

    /// Plays events, then lets all time go by.
    ///
    /// # Errors
    /// What the plugin does that the model does not, or the other way round.
    pub(crate) fn play(mut self, events: &[Event], delivery: Delivery) -> Result<(), String> {
        let mut rest = events;
        while let Some(first) = rest.first() {
            let together = match delivery {
                Delivery::Together if source(*first).is_some() => {
                    rest.iter().take_while(|event| source(**event) == source(*first)).count()
                }
                Delivery::Together | Delivery::Alone => 1,
            };
            let (events, behind) = rest.split_at(together);
            self.step(events)?;
            if let Delivery::Alone = delivery {
                self.task.restart();
            }
            rest = behind;
        }
        (0..3).try_for_each(|_| self.step(&[Event::Time]))?;
        let rows = self.task.store("waiting").len() + self.task.timers().len() + self.task.jobs().len();
        same("rows, timers and jobs that are left", &rows, &0)?;
        match self.ends.iter().find(|(_, times)| **times != 1) {
            Some((number, times)) => Err(format!("activation {number} was sent {times} times")),
            None => Ok(()),
        }
    }

    /// Plays events of one source, or one that is no message.
    fn step(&mut self, events: &[Event]) -> Result<(), String> {
        let mut expected = Vec::new();
        let mut codes = Vec::new();
        let mut inputs = Vec::new();
        for event in events {
            let number = self.count;
            self.count += 1;
            self.model(*event, number, &mut expected);
            codes.extend(matches!(event, Event::Poor(_)).then_some("external-id-missing"));
            inputs.extend(input(*event, number));
        }
        let outcome = match (events, source(events[0])) {
            (_, Some(source)) => self.task.feed(source, inputs),
            ([Event::Time], None) => self.task.wait(WAIT / 2 + Duration::from_millis(1)),
            _ => {
                self.task.restart();
                Outcome::default()
            }
        };
        for (sink, activation, _) in &expected {
            assert!(["notifications", "expired"].contains(sink));
            *self.ends.entry(*activation).or_default() += 1;
        }
        same("what is sent", &outcome.outputs.iter().map(sent).collect::<Vec<_>>(), &expected)?;
        same("what is rejected", &outcome.codes(), &codes)
    }

    fn model(&mut self, event: Event, number: usize, sent: &mut Vec<Sent>) {
        match event {
            Event::Activation(product) => {
                self.ends.insert(number, 0);
                let product = self.products.entry(product).or_default();
                match product.information {
                    Some(information) => sent.push(("notifications", number, Some(information))),
                    None => product.waiting.push((number, self.now + WAIT)),
                }
            }
            Event::Information(product) => {
                let product = self.products.entry(product).or_default();
                product.information = Some(number);
                let waited = product.waiting.drain(..);
                sent.extend(waited.map(|(activation, _)| ("notifications", activation, Some(number))));
            }
            Event::Poor(product) | Event::Deletion(product) => {
                self.products.entry(product).or_default().information = None;
            }
            Event::Time => {
                self.now += WAIT / 2 + Duration::from_millis(1);
                let mut over = Vec::new();
                for product in self.products.values_mut() {
                    over.extend(product.waiting.extract_if(.., |(_, due)| *due <= self.now));
                }
                over.sort_by_key(|(activation, due)| (*due, *activation));
                sent.extend(over.into_iter().map(|(activation, _)| ("expired", activation, None)));
            }
            Event::Restart => {}
        }
    }
}

fn source(event: Event) -> Option<Source> {
    match event {
        Event::Activation(_) => Some(sources::ACTIVATION),
        Event::Information(_) | Event::Poor(_) | Event::Deletion(_) => Some(sources::INFORMATION),
        Event::Time | Event::Restart => None,
    }
}

fn input(event: Event, number: usize) -> Option<Input> {
    match event {
        Event::Activation(product) => Some(record([product], format!(r#"{{"number":{number}}}"#))),
        Event::Information(product) => Some(record([product], format!(r#"{{"externalId":{number}}}"#))),
        Event::Poor(product) => Some(record([product], r#"{"externalId":null}"#)),
        Event::Deletion(product) => Some(tombstone([product])),
        Event::Time | Event::Restart => None,
    }
}

fn sent(output: &gristmill::test::Output) -> Sent {
    let value: serde_json::Value = serde_json::from_str(&output.value()).unwrap();
    let number = |member: &str| value[member].as_u64().map(|number| number as usize);
    let sink = match output.sink {
        sinks::NOTIFICATIONS => "notifications",
        _ => "expired",
    };
    (sink, number("number").unwrap(), number("externalId"))
}

fn same<T: Debug + PartialEq>(what: &str, plugin: &T, model: &T) -> Result<(), String> {
    if plugin == model { Ok(()) } else { Err(format!("{what}: {plugin:?}, and it should be {model:?}")) }
}
