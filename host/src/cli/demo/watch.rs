//! What the demo sees coming out, and how it shows it: bars on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::child::Host;
use super::job::{JobProgress, Told};
use super::observer::Observer;
use crate::cli::output;
use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};

/// How long nothing may come out before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many characters a full bar has.
const BAR: usize = 30;

/// How many lines tell of one bar where there is no terminal.
const PLAIN_STEPS: u64 = 8;

/// Somebody who looks at the outputs, the dead letters and the job.
pub(super) struct Watch {
    /// The sink.
    pub(super) enriched: Observer,
    /// The dead letters.
    pub(super) letters: Observer,
    job: JobProgress,
    sent: Arc<AtomicUsize>,
    clock: Clock,
    shown: Shown,
}

/// A bar, or the lines that stand for it.
struct Shown {
    bar: Option<ProgressBar>,
    what: String,
    /// The last step that a line has told.
    told: Option<u64>,
    /// How many updates had been sent when it began.
    sent: usize,
}

impl Watch {
    /// Begins to read.
    ///
    /// # Errors
    /// `topic_missing`, `kafka_failed`.
    pub(super) fn open(
        kafka: &Kafka,
        clock: &Clock,
        job: JobProgress,
        sent: &Arc<AtomicUsize>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            enriched: Observer::open(kafka, "items-enriched", clock)?,
            letters: Observer::open(kafka, "shop.delivery-time.dead-letters", clock)?,
            job,
            sent: Arc::clone(sent),
            clock: clock.clone(),
            shown: Shown { bar: None, what: String::new(), told: None, sent: 0 },
        })
    }

    /// Watches until so many records have come out.
    pub(super) fn until_count(&mut self, host: &mut Host, wanted: usize) -> Result<(), Fault> {
        self.shown.begin("the stock comes out", 0);
        self.look_until(host, |watch| {
            let count = watch.count();
            watch.shown.at(count.min(wanted) as u64, wanted as u64, "")?;
            Ok(count >= wanted)
        })?;
        self.shown.end();
        Ok(())
    }

    /// Watches for a while.
    pub(super) fn during(&mut self, host: &mut Host, time: Duration) -> Result<(), Fault> {
        let end = self.clock.elapsed().saturating_add(time);
        self.look_until(host, |watch| Ok(watch.clock.elapsed() >= end))
    }

    /// Watches the fan-out until so many records of it have come out.
    pub(super) fn until_fanned_out(&mut self, host: &mut Host, wanted: usize) -> Result<(), Fault> {
        self.shown.begin("follow-class bulky", self.sent.load(Ordering::Relaxed));
        self.look_until(host, |watch| {
            watch.show_job()?;
            Ok(watch.enriched.marked() >= wanted)
        })
    }

    /// Watches the fan-out of a host that was just started, until so many records of it have come out and the host has no
    /// such job any more.
    pub(super) fn until_job_is_done(&mut self, host: &mut Host, wanted: usize) -> Result<(), Fault> {
        self.job.forget_host();
        self.shown.begin("follow-class bulky", self.sent.load(Ordering::Relaxed));
        let (mut last, mut is_told) = (None, false);
        self.look_until(host, |watch| {
            let told = watch.show_job()?;
            if let Some(Told { visited, total, .. }) = told.filter(|told| told.is_whole && !is_told) {
                is_told = true;
                watch.say(&format!(
                    "the job goes on from its committed cursor; what the host tells of it first is {visited} of {total}"
                ))?;
            }
            last = told.or(last);
            Ok(watch.enriched.marked() >= wanted && told.is_some_and(|told| !told.is_there))
        })?;
        let total = last.map_or(0, |told| told.total);
        self.shown.at(total, total, "done")?;
        self.shown.end();
        Ok(())
    }

    /// Says something beside the bar.
    pub(super) fn say(&self, text: &str) -> Result<(), Fault> {
        match &self.shown.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// How many records have come out.
    pub(super) fn count(&self) -> usize {
        self.enriched.count() + self.letters.count()
    }

    fn look_until(
        &mut self,
        host: &mut Host,
        mut is_done: impl FnMut(&mut Self) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let (mut last, mut since) = (self.count(), self.clock.elapsed());
        while !is_done(self)? {
            self.look(host)?;
            if self.count() > last {
                (last, since) = (self.count(), self.clock.elapsed());
            }
            if self.clock.elapsed().saturating_sub(since) > PATIENCE {
                let what = format!("nothing came out for {PATIENCE:?}; {last} records had");
                return Err(Fault::new(Code::CheckFailed, what));
            }
        }
        Ok(())
    }

    fn look(&mut self, host: &mut Host) -> Result<(), Fault> {
        if let Some((status, words)) = host.ended() {
            return Err(Fault::new(Code::CheckFailed, format!("the host ended with {status}")).because(words));
        }
        self.enriched.look(Duration::from_millis(10))?;
        self.letters.look(Duration::ZERO)
    }

    fn show_job(&mut self) -> Result<Option<Told>, Fault> {
        let told = self.job.ask();
        if let Some(told) = told.filter(|told| told.is_there && told.is_whole && told.total > 0) {
            let meanwhile = self.sent.load(Ordering::Relaxed).saturating_sub(self.shown.sent);
            let beside = format!("{meanwhile} updates sent");
            self.shown.at(told.visited, told.total, &beside)?;
        }
        Ok(told)
    }
}

impl Shown {
    fn begin(&mut self, what: &str, sent: usize) {
        self.end();
        self.bar = std::io::stderr().is_terminal().then(|| {
            let template = "{prefix} [{bar:18.cyan}] {percent:>3} %  {pos}/{len}  {wide_msg}";
            let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style.progress_chars("#>-")).with_prefix(what.to_owned())
        });
        (self.what, self.told, self.sent) = (what.to_owned(), None, sent);
    }

    fn at(&mut self, position: u64, of: u64, beside: &str) -> Result<(), Fault> {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(position);
            bar.set_message(beside.to_owned());
            return Ok(());
        }
        let step = position * PLAIN_STEPS / of.max(1);
        if self.told.is_some_and(|told| told >= step) {
            return Ok(());
        }
        self.told = Some(step);
        let percent = position * 100 / of.max(1);
        let done = usize::try_from(position * BAR as u64 / of.max(1)).unwrap_or(BAR).min(BAR);
        let (full, rest) = ("#".repeat(done), "-".repeat(BAR - done));
        say(format!("{} [{full}{rest}] {percent:>3} %  {position}/{of}  {beside}", self.what).trim_end())
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
    }
}

/// A line of the story.
///
/// # Errors
/// `internal` when it cannot be written.
pub(super) fn say(text: &str) -> Result<(), Fault> {
    output::print(&format!("{text}\n"))?;
    // A closed standard output is not the demo's matter.
    drop(std::io::stdout().flush());
    Ok(())
}
