//! Turns a class change into one small update command for each item of the class: option 2 of following class changes.
//!
//! `delivery-time`, deployed with `follow_classes = false`, joins each item with the classes of now and obeys commands: it sends
//! the item of a SKU again. This plugin reads what `delivery-time` sends, as a table, and the same class topic. Each enriched item
//! shows the times that it was sent with, so nothing has to be remembered: an item needs a command when it shows other times than
//! its best class has now.
//!
//! ```text
//!  items ─────────> delivery-time ──> items-enriched ──┬──> shops
//!                    │         ^                       v
//!  delivery-classes ─┼──────── │ ────────────────> class-fanout
//!                    v         │                       │
//!                    (copy)    └──── item-updates <────┘
//! ```
//!
//! # Why no item is missed
//! The two transforms apply the class topic each at their own pace. Let `p` be how far `delivery-time` was when it made an
//! enriched record, and `q` how far this task is when it does something; for each partition of the class topic, so both are
//! vectors. Every enriched record carries its `p` and every command its `q`, in the header `gristmill-after`, and the host makes
//! whoever reads a record wait until it has applied the class topic as far as the record says. So:
//!
//! - **A.** When this task takes an enriched record, `q >= p`.
//! - **B.** What a command leads to is joined at `p' >= q`, whatever `delivery-time` had applied before.
//!
//! Let `R` be the last enriched record of an item, and `c` the last record of one of its classes. If `R` was joined at a position
//! behind `c`, it has the right times of that class. If not, there are three orders of events in this task:
//!
//! | order here | `R` and `c` meet |
//! |---|---|
//! | `R` is taken, then `c` applied | in the walk that `c` starts: `R` is in the table when it begins |
//! | `c` is applied, `R` taken, then the walk of `c` passes the key | when `R` is taken, and again in the walk |
//! | `c` is applied, the walk passes the key, then `R` is taken | when `R` is taken; the walk has seen an older row, or none |
//!
//! The third is the race that a walk alone loses: `delivery-time` has joined `R` with the old class, and `R` was under way while
//! the walk went by. Where the walk wrote a command for the older row, that one is answered after `R` was made, and makes it good.
//! Where it did not, since the item is new or had another class, nothing would. So each record is compared when it is taken, and
//! if its times differ and it is older than what this task has applied (`p < q` in some partition), it gets a command **at once**.
//!
//! A walk compares with all classes of an item, as they are now, so it does no harm that the other ones may change again: their last
//! records are applied some time, too, and meet `R` then. A walk that is superseded by a newer change of its class goes
//! on and comes round: every key is passed after the last change.
//!
//! One more thing must be looked at. A reader of a class topic does not see a record that was replaced already, so two tasks at the
//! same position can have other classes in force, until they come to the record that did the replacing. That one may change
//! nothing for this task (5 days, 0, 5: it has never seen the 0) and then starts no walk, while `R` was joined with the 0. If `R` is
//! older when it is taken, it gets its command. If it is not, its classes are **disputed**: their next records start a walk even if
//! they change nothing. An item that is wrong in the end has such a record before it.
//!
//! By B the command leads to a record `R'` that was joined with `c`. It cannot overtake `c`: that is the other race. If it is lost
//! with an aborted transaction, so is the position or the cursor that it came with, and it is made again. If the item was deleted or
//! filtered meanwhile, there is no row to be sent, and its tombstone went out when it came.
//!
//! # Why it comes to rest
//! A record is given a command at once only if it is older *and* its times differ. Its answer has `p' >= q`. For that to get a command, this task must have applied more of the class topic meanwhile: there are at
//! most as many commands in a row as there are class records, and then none. That needs no agreement about times: if the two
//! plugins are configured with other pointers, or have another record of a class in force because one of them never saw the good
//! one before a bad one, then records differ for ever, and are `not-older` all the same. Walks end by themselves, and only
//! a record of a class starts one. In them no position is looked at: should a class topic have been made anew, the positions
//! in older records mean nothing, and the change still reaches every item.
//!
//! The position is asked of the host ([`Context::is_older`]) and not taken from class records, since compaction may
//! have removed the deletion that makes the difference.
//!
//! # What may repeat
//! A command is written although one is under way for the item: when its walk passes before the answer is back, when a second class
//! changes, when the record was superseded before it was taken. The item then goes out twice with the same times.

mod in_force;
mod item;

use std::cell::RefCell;

use gristmill::Context;
use gristmill::Failure;
use gristmill::Index;
use gristmill::IndexName;
use gristmill::Job;
use gristmill::Jobs;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Row;
use gristmill::Source;
use gristmill::Step;
use gristmill::Terms;
use gristmill::job_name;
use gristmill::json::Template;
use serde::Deserialize;

use crate::in_force::Change;
use crate::in_force::InForce;
use crate::item::Item;

gristmill::manifest!("plugin.toml");
gristmill::export!(ClassFanout: Index, Jobs);

/// A class with this mark has a walk that has not come to its end: it is under way, or was cancelled, or given up.
const OPEN: &[u8] = b"open";
/// With this one, its next record starts a walk even if it changes nothing.
const DISPUTED: &[u8] = b"disputed";

/// The settings: see `plugin.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    class_pointer: String,
}

/// The plugin.
pub struct ClassFanout {
    classes: InForce,
    template: Template,
    /// Another one for the index, whose function may not change the plugin.
    indexed: RefCell<Template>,
}

impl Plugin for ClassFanout {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Self {
            classes: InForce::default(),
            template: Item::template(&config.class_pointer)?,
            indexed: RefCell::new(Item::template(&config.class_pointer)?),
        })
    }

    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        match source {
            sources::CLASSES => self.change(record, ctx),
            _ => self.enriched(record, ctx),
        }
    }
}

impl ClassFanout {
    /// Takes over a record of a class, and starts a walk over its items if their times may differ now.
    fn change(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let name = record.key.ok_or_else(|| Reject::new("no-key", "a record of a table needs a key"))?;
        let change = self.classes.apply(name, record, ctx)?;
        let job = job_name(name);
        let mark = ctx.store(stores::WALKS).get(name);
        let is_well = match mark.as_deref() {
            None => true,
            Some(DISPUTED) => false,
            Some(_) => ctx.is_under_way(jobs::FAN_OUT, &job),
        };
        if change == Change::Nothing && is_well {
            return Ok(());
        }
        // Without rows there is nobody to be told: items that come later are compared when they come.
        if ctx.table(tables::ENRICHED).scan(None, 1).rows().next().is_none() {
            ctx.store(stores::WALKS).delete(name);
            return Ok(());
        }
        ctx.store(stores::WALKS).put(name, OPEN);
        ctx.start(jobs::FAN_OUT, &job, name);
        Ok(())
    }

    /// Compares an item with the classes of now, in case that a walk has passed its key before it came.
    fn enriched(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = record.key.ok_or_else(|| Reject::new("no-key", "the item has no key, so no SKU"))?;
        let Some(value) = record.value else { return ctx.skip("deleted-item") };
        let item = Item::read(&mut self.template, value)?;
        let Some(class) = item.outdated(self.classes.all(ctx)) else { return ctx.skip("up-to-date") };
        if !ctx.is_older(record.headers, sources::CLASSES) {
            for name in item.classes.list() {
                dispute(name, ctx);
            }
            return ctx.skip("not-older");
        }
        command(key, class, ctx);
        Ok(())
    }
}

/// Notes that an item of a class shows other times than it should, and that a command would be too early.
fn dispute(name: &[u8], ctx: &mut Context<'_>) {
    if ctx.store(stores::WALKS).get(name).as_deref() != Some(DISPUTED) {
        ctx.store(stores::WALKS).put(name, DISPUTED);
    }
}

/// Tells delivery-time to send an item again, because of a class.
fn command(key: &[u8], class: Option<&[u8]>, ctx: &mut Context<'_>) {
    let class = class.map(String::from_utf8_lossy);
    let command = serde_json::json!({ "cause": "delivery-class-changed", "class": class });
    ctx.send(sinks::UPDATES).key(key).value(command.to_string().as_bytes());
}

impl Index for ClassFanout {
    /// The classes of an item. One that is rejected has none.
    fn terms(&self, _: IndexName<'_>, row: &Row<'_>, terms: &mut Terms) {
        let mut template = self.indexed.borrow_mut();
        let item = Item::read(&mut template, row.value);
        for name in item.iter().flat_map(|item| item.classes.list()) {
            terms.add(name);
        }
    }
}

impl Jobs for ClassFanout {
    /// Writes commands for the next items of a class that show other times than they should.
    fn step(&mut self, job: &Job<'_>, ctx: &mut Context<'_>) -> Result<Step, Failure> {
        // An operator can start a walk too, by the name alone.
        let term = if job.payload.is_empty() { job.name.as_bytes() } else { job.payload };
        let (template, classes) = (&mut self.template, self.classes.all(ctx));
        let step = ctx.follow(job, tables::ENRICHED, indexes::BY_CLASS, term, |row, ctx| {
            // One that was rejected is left alone.
            let Ok(item) = Item::read(template, row.value) else { return Ok(()) };
            if item.outdated(classes).is_some() {
                command(row.key, Some(term), ctx);
            }
            Ok(())
        })?;
        // It may have passed the item that a dispute is about.
        if step.cursor.is_none() && ctx.store(stores::WALKS).get(term).as_deref() == Some(OPEN) {
            ctx.store(stores::WALKS).delete(term);
        }
        Ok(step)
    }
}
