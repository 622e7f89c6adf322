//! How far a command is: one line that changes on a terminal, a line every few seconds elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Clock;

/// How often something else than a terminal gets a line.
const INTERVAL: Duration = Duration::from_secs(5);

/// The line, on standard error.
pub(super) struct ProgressLine {
    bar: ProgressBar,
    clock: Clock,
    said: Duration,
}

impl ProgressLine {
    /// Nothing is shown yet.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, clock: Clock::system(), said: Duration::ZERO }
    }

    /// Shows this.
    pub(super) fn show(&mut self, text: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(text.to_owned());
            return self.bar.tick();
        }
        let now = self.clock.elapsed();
        if now.saturating_sub(self.said) >= INTERVAL {
            self.said = now;
            eprintln!("{text}");
        }
    }

    /// Takes it away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
