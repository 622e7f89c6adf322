//! What is found in the end: every check of its own, put together to the table of promises.

use std::time::Duration;

use super::carried;
use super::corpus::Update;
use super::expected::{self, Classes, Expected, Standing};
use super::eyes::{Eyes, Second};
use super::figures::grouped;
use super::latency::{Latencies, Times};
use super::logistics::Logistics;
use super::observer::{Observer, open_reader};
use super::panel::Sights;
use super::place::Place;
use super::products::Event;
use super::promises::{self, Promise};
use super::stage::Stage;
use super::story::Sizes;
use super::supplier::Market;
use super::tally::{self, Outcome, Tally};
use super::verdict::{self, Verdict};
use crate::fault::Fault;
use crate::kafka::tail::Isolation;

/// The kill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    /// When.
    pub(super) at: Duration,
    /// How many items had come out with the new times.
    pub(super) marked: usize,
    /// How many requests were under way.
    pub(super) busy: usize,
}

/// What was done.
pub(super) struct Acts {
    /// How large everything was.
    pub(super) sizes: Sizes,
    /// How many item updates were sent.
    pub(super) updates: usize,
    /// The kill.
    pub(super) kill: Kill,
    /// When the fan-out was.
    pub(super) times: Times,
    /// What happened to products.
    pub(super) events: Vec<Event>,
    /// Who sent updates.
    pub(super) market: Market,
    /// The SKUs that were ordered again.
    pub(super) ordered: Vec<String>,
}

impl Acts {
    /// Compares what was done with what came out, and shows what was found.
    ///
    /// # Errors
    /// `check_failed` when a promise was broken.
    pub(super) fn judge(self, stage: Stage<'_>, mut logistics: Logistics) -> Result<(), Fault> {
        let (screen, place) = (stage.company.screen.clone(), stage.place);
        let (eyes, sights) = stage.close();
        let sent: Vec<_> = (0..self.updates).map(|number| self.market.corpus.update(number)).collect();
        let classes: Vec<_> = records(&eyes.classes).into_iter().cloned().collect();
        let (first, changes) = classes.split_at(logistics.first.min(classes.len()));
        let history = expected::history(first, changes);
        let verdict = judge_items(&sent, &self.ordered, &history, &eyes.enriched, &eyes.letters);
        let table = logistics.table()?;
        let carried = carried::judge(logistics.first, &logistics.deeds, &classes, &table);
        let expected = expected::expected(&sent, history.last().unwrap_or(&Classes::new()));
        let tally = judge_products(&self.events, &eyes, &sights);

        let mut found = verdict.promises();
        found.extend(carried.promises());
        found.push(only_suppliers(place, self.updates)?);
        found.extend(consumers(&sights, &expected));
        found.push(self.killed(&verdict));
        let mut details = vec![verdict.harm().map(|harm| format!("items: {harm}"))];
        if let Some(second) = &eyes.second {
            let (promise, harm) = side_by_side(&sent, &history, &eyes.enriched, second, &expected);
            found.push(promise);
            details.push(harm);
        }
        found.extend(tally.promises());
        found.push(self.killed_with_calls(&tally));
        details.push(carried.harm().map(|harm| format!("classes: {harm}")));
        details.push(tally.harm().map(|harm| format!("products: {harm}")));

        screen.put(promises::table(&found))?;
        screen.say("figures", &tally.outcomes())?;
        for line in Latencies::of(&eyes.enriched, &self.market, self.times).lines() {
            screen.say("figures", &line)?;
        }
        promises::conclude(&found, &details.into_iter().flatten().collect::<Vec<_>>())?;
        screen.say("promises", "all of them were kept")
    }

    fn killed(&self, verdict: &Verdict) -> Promise {
        let (marked, items) = (self.kill.marked, self.sizes.corpus.items);
        let counted = format!("at {} %", marked * 100 / items.max(1));
        Promise::new("A13", "a kill in a fan-out loses and doubles nothing", counted)
            .holds(marked < items && verdict.lost + verdict.doubled == 0)
    }

    fn killed_with_calls(&self, tally: &Tally) -> Promise {
        let counted = format!("{} under way", self.kill.busy);
        Promise::new("B6", "a kill with calls under way repeats none", counted)
            .holds(self.kill.busy > 0 && tally.harm().is_none())
    }
}

fn records(observer: &Observer) -> Vec<&Update> {
    observer.seen().map(|seen| &seen.record).collect()
}

fn judge_items(
    sent: &[Update],
    ordered: &[String],
    history: &[Classes],
    enriched: &Observer,
    letters: &Observer,
) -> Verdict {
    verdict::judge(sent, ordered, history, records(enriched).into_iter(), records(letters).into_iter())
}

fn judge_products(events: &[Event], eyes: &Eyes, sights: &Sights) -> Tally {
    let outcome = Outcome {
        notifications: records(&eyes.notifications),
        details: records(&eyes.details),
        review: records(&eyes.review),
        dead_letters: records(&eyes.refused),
        expired: records(&eyes.expired),
        requests: sights.server.log(),
    };
    tally::judge(events, &outcome)
}

/// The suppliers' topic holds what they have sent, and nothing else.
fn only_suppliers(place: &Place, sent: usize) -> Result<Promise, Fault> {
    let reader = open_reader(&place.kafka, &place.names.topic("items"), Isolation::Uncommitted)?;
    let held: i64 = reader.bounds().iter().map(|(_, bounds)| bounds.stable_end.0 - bounds.start.0).sum();
    let counted = format!("{} records", grouped(usize::try_from(held).unwrap_or(0)));
    let promise = Promise::new("A9", "nobody but suppliers writes the items' topic", counted);
    Ok(promise.holds(usize::try_from(held) == Ok(sent)))
}

/// Each consumer sees what there is.
fn consumers(sights: &Sights, expected: &Expected) -> Vec<Promise> {
    let there = expected.values().filter(|standing| matches!(standing, Standing::There { .. })).count();
    let texts = [
        ("A10", "the shop's table is the join"),
        ("A11", "the search's index is the join"),
        ("A12", "the partner's feed ends as the join"),
    ];
    let promise = |((name, what), desk): ((&'static str, &'static str), &super::consumers::Desk)| {
        let errors = desk.errors(expected);
        let counted = match errors {
            0 => format!("{} items", grouped(there)),
            errors => format!("{} items differ", grouped(errors)),
        };
        Promise::new(name, what, counted).holds(errors == 0 && there > 0)
    };
    texts.into_iter().zip(sights.desks.iter()).map(promise).collect()
}

/// Both options end with the same records. In option 2 a command that was under way may repeat one.
fn side_by_side(
    sent: &[Update],
    history: &[Classes],
    first: &Observer,
    second: &Second,
    expected: &Expected,
) -> (Promise, Option<String>) {
    let verdict = judge_items(sent, &[], history, &second.enriched, &second.letters);
    let harm = Verdict { doubled: 0, ..verdict }.harm().map(|harm| format!("option 2: {harm}"));
    let last = |observer: &Observer| {
        let mut last = std::collections::BTreeMap::new();
        for seen in observer.seen() {
            last.insert(seen.record.key.clone(), seen.record.value.clone());
        }
        last
    };
    let (first, second) = (last(first), last(&second.enriched));
    let is_clear = |sku: &&String| expected.get(*sku).is_some_and(|standing| *standing != Standing::Unclear);
    let apart = first.keys().filter(is_clear).filter(|sku| first.get(*sku) != second.get(*sku)).count();
    let counted = match apart {
        0 => format!("{} SKUs", grouped(first.len())),
        apart => format!("{} SKUs differ", grouped(apart)),
    };
    let promise = Promise::new("A14", "options 1 and 2 end with the same bytes", counted);
    (promise.holds(apart == 0 && first.len() == second.len() && harm.is_none()), harm)
}
