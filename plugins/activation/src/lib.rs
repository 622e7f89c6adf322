//! Sends one notification for each activation of a product, with the ID that only its information has.
//!
//! Information and activations come in any order. An activation whose product has an external ID goes out at once; another
//! one waits in a store, with a timer. Information that brings an ID takes out what waits. So an activation goes out when it
//! is taken out, exactly once, and an update of information finds nothing that it could send again.

mod external_id;
mod input;
mod repeats;
mod room;
mod waiting;

use std::time::Duration;

use gristmill::Batch;
use gristmill::Clock;
use gristmill::Context;
use gristmill::Failure;
use gristmill::Job;
use gristmill::Jobs;
use gristmill::Kept;
use gristmill::Packed;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Source;
use gristmill::Step;
use gristmill::Timer;
use gristmill::Timers;
use gristmill::json::Template;
use serde::Deserialize;

use crate::external_id::ExternalId;
use crate::repeats::Repeats;
use crate::room::Room;
use crate::waiting::Sequence;

gristmill::manifest!("plugin.toml");
gristmill::export!(Activation: Timers, Jobs);

/// The settings: see `plugin.toml`. Durations are in milliseconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    external_id_pointer: String,
    wait: u64,
    #[serde(default)]
    business_id_pointer: Option<String>,
    window: u64,
}

/// The plugin.
pub struct Activation {
    external_id: ExternalId,
    /// Finds the business ID if there is one; sets the member with the external ID.
    template: Template,
    wait: Duration,
    /// Why an activation expires.
    reason: String,
    repeats: Option<Repeats>,
    sequence: Sequence,
    /// For what waits, in the call at hand.
    room: Room,
}

impl Plugin for Activation {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let external_id = ExternalId::new(&config.external_id_pointer)
            .map_err(|error| format!("`external_id_pointer`: {error}"))?;
        let pointers: Vec<&str> = config.business_id_pointer.as_deref().into_iter().collect();
        let template = Template::new(&pointers, &[external_id.member()])
            .map_err(|error| format!("`business_id_pointer`: {error}"))?;
        let wait = Duration::from_millis(config.wait);
        Ok(Self {
            external_id,
            template,
            wait,
            reason: format!("no-information-within-{}", input::shown(config.wait)),
            repeats: config.business_id_pointer.map(|_| Repeats::new(config.window)),
            sequence: Sequence::default(),
            room: Room::of_a_call(),
        })
    }

    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        match source {
            sources::INFORMATION => self.information(record, ctx),
            _ => self.activation(record, ctx),
        }
    }

    fn batch(&mut self, batch: &Batch<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.room = Room::of_a_call();
        batch.each(self, ctx)
    }
}

impl Activation {
    /// Information notifies what waits for it. Without an ID it is rejected, and what waits goes on waiting: the table shows
    /// the record, and there is no ID in it.
    fn information(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = input::key(record)?;
        // Activations that come behind a tombstone wait for new information.
        let Some(value) = record.value else { return Ok(()) };
        // The record's own: the table may show a later one of this batch already.
        let id = self.external_id.of(value)?;
        let mut room = self.room;
        let is_done = self.notify_waiting(key, id, &mut room, ctx);
        self.room = room;
        if !is_done {
            self.start(key, ctx);
        }
        Ok(())
    }

    fn activation(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = input::key(record)?;
        let value = input::value(record)?;
        let document = self.template.read(value).map_err(input::refuse)?;
        if !document.is_object() {
            return Err(input::refuse(gristmill::json::Error::NotAnObject));
        }
        if let Some(repeats) = &self.repeats
            && let Some(id) = input::business_id(document.get(0), key)?
            && repeats.is_repeat(key, &id, record.timestamp, &mut self.sequence, ctx)
        {
            return ctx.skip("repeated-activation");
        }
        let id = ctx.table(tables::INFORMATION).get(key);
        let id = id.as_deref().and_then(|information| self.external_id.of(information).ok());
        match id {
            Some(id) if !waiting::is_any(key, ctx) => {
                let output = ctx.send(sinks::NOTIFICATIONS).key(key).headers(record.headers);
                output.try_write(|buffer| document.splice(&[id.as_bytes()], buffer)).map_err(input::refuse)
            }
            // Those before it are still on their way out, and it goes behind them.
            Some(_) => {
                self.sequence.wait(key, &Kept::without_key(record), self.wait, ctx);
                self.start(key, ctx);
                Ok(())
            }
            None => {
                self.sequence.wait(key, &Kept::without_key(record), self.wait, ctx);
                Ok(())
            }
        }
    }

    /// Notifies the activations of a product that wait, in order, as long as there is room. False if some are left.
    fn notify_waiting(&mut self, key: &[u8], id: &str, room: &mut Room, ctx: &mut Context<'_>) -> bool {
        loop {
            let first = waiting::first(key, room.rows(), ctx);
            if room.is_used_up() {
                return first.rows.is_empty();
            }
            for ((_, number), kept) in &first.rows {
                waiting::remove(key, *number, ctx);
                self.notify(key, kept, id, ctx);
                room.take(kept);
            }
            if !first.has_more {
                return true;
            }
        }
    }

    /// Sends an activation that has waited.
    fn notify(&mut self, key: &[u8], kept: &Kept, id: &str, ctx: &mut Context<'_>) {
        let value = kept.value.as_deref().unwrap_or_default();
        let output = ctx.send(sinks::NOTIFICATIONS).key(key).headers_of(kept.headers());
        let sent = self
            .template
            .read(value)
            .and_then(|document| output.try_write(|buffer| document.splice(&[id.as_bytes()], buffer)));
        if let Err(error) = sent {
            // It was a JSON object when it came. Whatever it is now, it is not lost.
            waiting::expire(key, kept, error.code(), ctx);
        }
    }

    /// Lets the job go on with what waits for a product.
    fn start(&mut self, key: &[u8], ctx: &mut Context<'_>) {
        let name = input::job_name(key).unwrap_or_else(|| self.sequence.next(ctx).to_string());
        if !ctx.is_under_way(jobs::NOTIFY, &name) {
            ctx.start(jobs::NOTIFY, &name, key);
        }
    }

    /// The external ID of a product as its information has it now.
    fn external_id(&mut self, key: &[u8], ctx: &mut Context<'_>) -> Option<String> {
        let information = ctx.table(tables::INFORMATION).get(key)?;
        self.external_id.of(&information).ok().map(str::to_owned)
    }
}

impl Timers for Activation {
    fn timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let row = Packed(timer.payload.to_vec());
        if timer.clock == Clock::StreamTime {
            Repeats::forget(&row, ctx);
            return Ok(());
        }
        let Some((key, kept)) = waiting::take(&row, ctx)? else { return ctx.skip("already-notified") };
        // It has an ID if it waits behind so many others that their job has not come to it yet.
        match self.external_id(&key, ctx) {
            Some(id) => self.notify(&key, &kept, &id, ctx),
            None => waiting::expire(&key, &kept, &self.reason, ctx),
        }
        Ok(())
    }
}

impl Jobs for Activation {
    /// Notifies some of the activations of a product. When it has no ID any more, they go on waiting.
    fn step(&mut self, job: &Job<'_>, ctx: &mut Context<'_>) -> Result<Step, Failure> {
        let key = job.payload;
        let Some(id) = self.external_id(key, ctx) else { return Ok(Step::done(0)) };
        let mut room = Room::of_a_step(job.budget);
        let is_done = self.notify_waiting(key, &id, &mut room, ctx);
        let visited = room.taken();
        if is_done {
            return Ok(Step::done(visited));
        }
        let before = job.cursor.and_then(|cursor| cursor.try_into().ok()).map_or(0, u64::from_be_bytes);
        Ok(Step::go_on((before + visited).to_be_bytes().to_vec(), visited))
    }
}
