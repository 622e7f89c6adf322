//! What the story is played with: the host as a child process, those who look at everything, and waiting for things to be so.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::child::Host;
use super::consumers::Desk;
use super::errand::Errand;
use super::eyes::Eyes;
use super::gauges::Gauges;
use super::panel::{self, Sights};
use super::place::Place;
use super::screen::Screen;
use crate::app::shutdown::Shutdown;
use crate::clock::Clock;
use crate::fault::{Code, Fault};

/// How long nothing may come out before the demo gives up. Calls that are in doubt after a kill wait for 17 s of it.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long the host may take to stop.
const STOP: Duration = Duration::from_secs(60);

/// The stage. Its parts end in the order in which they stand here.
pub(super) struct Stage<'a> {
    host: Option<Host>,
    panel: Errand,
    /// What comes out.
    pub(super) eyes: Eyes,
    /// What is to be seen.
    pub(super) sights: Sights,
    /// Where it is.
    pub(super) place: &'a Place,
    /// The pipeline file.
    pub(super) file: PathBuf,
    /// Those who play.
    pub(super) company: Company,
}

/// What everybody in the demo needs.
#[derive(Clone)]
pub(super) struct Company {
    /// The demo's clock.
    pub(super) clock: Clock,
    /// Where the story is told.
    pub(super) screen: Arc<Screen>,
    /// Whether somebody has had enough.
    pub(super) shutdown: Shutdown,
}

impl<'a> Stage<'a> {
    /// Opens all eyes, and starts the host and the live view.
    ///
    /// # Errors
    /// `kafka_failed`, `internal`.
    pub(super) fn open(
        place: &'a Place,
        company: &Company,
        sights: Sights,
        file: PathBuf,
        is_side_by_side: bool,
    ) -> Result<Self, Fault> {
        let eyes = Eyes::open(place, &company.clock, is_side_by_side)?;
        let gauges = Gauges::new(&file, &company.clock);
        let panel = panel::start(&sights, gauges, &company.screen, &company.clock)?;
        let mut stage = Self { host: None, panel, eyes, sights, place, file, company: company.clone() };
        stage.start_host()?;
        Ok(stage)
    }

    /// The time since the demo began.
    pub(super) fn now(&self) -> Duration {
        self.company.clock.elapsed()
    }

    /// A line of the story.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn say(&self, step: &str, text: &str) -> Result<(), Fault> {
        self.company.screen.say(step, text)
    }

    /// Starts the host.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn start_host(&mut self) -> Result<(), Fault> {
        self.host = Some(Host::start(&self.file, &self.place.file("host.log"))?);
        Ok(())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn kill_host(&mut self) -> Result<(), Fault> {
        self.host.take().map_or(Ok(()), Host::kill)
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// `check_failed` when it does not end, or with a fault.
    pub(super) fn stop_host(&mut self) -> Result<(), Fault> {
        self.host.take().map_or(Ok(()), |host| host.stop(&self.company.clock, STOP))
    }

    /// Ends the live view, and gives what was seen.
    pub(super) fn close(self) -> (Eyes, Sights) {
        drop(self.panel);
        (self.eyes, self.sights)
    }

    /// Looks at everything for a while.
    ///
    /// # Errors
    /// As for [`until`](Self::until).
    pub(super) fn during(&mut self, time: Duration) -> Result<(), Fault> {
        let end = self.now().saturating_add(time);
        self.until(|stage| Ok(stage.now() >= end))
    }

    /// Looks at everything until something is so.
    ///
    /// # Errors
    /// `check_failed` when the host ends, nothing comes out for long, or somebody has had enough; what a part of the demo ends
    /// with.
    pub(super) fn until(
        &mut self,
        mut is_so: impl FnMut(&mut Self) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let (mut count, mut since) = (self.eyes.count(), self.now());
        while !is_so(self)? {
            self.look()?;
            if self.eyes.count() > count {
                (count, since) = (self.eyes.count(), self.now());
            }
            if self.now().saturating_sub(since) > PATIENCE {
                let what = format!("nothing came out for {PATIENCE:?}; {count} records had");
                return Err(Fault::new(Code::CheckFailed, what));
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Fault> {
        if self.company.shutdown.is_requested() {
            return Err(Fault::new(Code::CheckFailed, "the demo was interrupted before its end"));
        }
        if let Some((status, words)) = self.host.as_mut().and_then(Host::ended) {
            return Err(Fault::new(Code::CheckFailed, format!("the host ended with {status}")).because(words));
        }
        if let Some(fault) = self.sights.desks.iter().find_map(Desk::failure) {
            return Err(fault);
        }
        self.eyes.look()?;
        self.sights.classes.store(self.eyes.classes.count(), Ordering::Relaxed);
        Ok(())
    }
}
