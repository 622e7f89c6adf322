//! What the demo says and shows: lines of the story that stay, and on a terminal a region below them that is drawn again and
//! again.
//!
//! Everything goes out in one write, each line over the one that was there, so that nothing flickers; no line is longer than
//! the screen, so that the cursor knows the way back.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cli::output;
use crate::clock::Clock;
use crate::fault::Fault;

/// How wide the name of a step is, with the time before it.
const MARGIN: usize = 17;

/// A terminal whose size is not known.
const SIZE: (usize, usize) = (80, 24);

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Paint {
    /// As it is.
    Plain,
    /// Bold.
    Strong,
    /// Less important.
    Dim,
    /// Something that moves.
    Busy,
    /// As promised.
    Good,
    /// Not as promised.
    Bad,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Busy => "36",
            Self::Good => "32",
            Self::Bad => "1;31",
        }
    }
}

/// A line of painted pieces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Line(Vec<(Paint, String)>);

impl Line {
    /// With another piece at its end.
    pub(super) fn with(mut self, paint: Paint, text: impl Into<String>) -> Self {
        self.0.push((paint, text.into()));
        self
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Its first `width` characters, painted or not.
    fn fit(&self, width: usize, is_painted: bool) -> String {
        let (mut left, mut fitted) = (width, String::new());
        for (paint, text) in &self.0 {
            let piece: String = text.chars().take(left).collect();
            left -= piece.chars().count();
            match is_painted && *paint != Paint::Plain {
                true => fitted.push_str(&format!("\x1b[{}m{piece}\x1b[0m", paint.code())),
                false => fitted.push_str(&piece),
            }
        }
        fitted
    }
}

/// Standard output, whatever it is.
pub(super) struct Screen {
    clock: Clock,
    is_terminal: bool,
    is_painted: bool,
    /// How many lines of the region are drawn, and what they show.
    region: Mutex<Region>,
}

#[derive(Default)]
struct Region {
    drawn: usize,
    lines: Vec<Line>,
}

impl Screen {
    /// Looks at what standard output is.
    pub(super) fn open(clock: &Clock) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let is_painted = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { clock: clock.clone(), is_terminal, is_painted, region: Mutex::default() }
    }

    /// Whether there is a region at all.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A line of the story, under the name of a step.
    ///
    /// # Errors
    /// `internal` when it cannot be written.
    pub(super) fn say(&self, step: &str, text: &str) -> Result<(), Fault> {
        let width = if self.is_terminal { size().0 } else { usize::MAX };
        let mut lines = wrap(text, width.saturating_sub(MARGIN + 1).max(20)).into_iter();
        let first = Line::default()
            .with(Paint::Dim, clock_face(self.clock.elapsed()))
            .with(Paint::Strong, format!("  {step:<8}  "))
            .with(Paint::Plain, lines.next().unwrap_or_default());
        let rest = lines.map(|line| Line::default().with(Paint::Plain, format!("{:MARGIN$}{line}", "")));
        self.put(std::iter::once(first).chain(rest).collect())
    }

    /// Lines that stay.
    ///
    /// # Errors
    /// `internal` when they cannot be written.
    pub(super) fn put(&self, lines: Vec<Line>) -> Result<(), Fault> {
        let mut region = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_terminal {
            let text: String = lines.iter().map(|line| format!("{}\n", line.text().trim_end())).collect();
            return output::print(&text);
        }
        let shown = region.lines.clone();
        self.draw(&mut region, &lines, &shown)
    }

    /// Draws the region.
    ///
    /// # Errors
    /// `internal` when it cannot be written.
    pub(super) fn show(&self, lines: Vec<Line>) -> Result<(), Fault> {
        let mut region = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_terminal {
            return Ok(());
        }
        region.lines = lines;
        let shown = region.lines.clone();
        self.draw(&mut region, &[], &shown)
    }

    fn draw(&self, region: &mut Region, story: &[Line], shown: &[Line]) -> Result<(), Fault> {
        let (width, height) = size();
        // The line below the region is the cursor's, and one of the story stays in sight.
        let shown = shown.get(..shown.len().min(height.saturating_sub(2))).unwrap_or_default();
        let mut text = String::from("\x1b[?2026h\x1b[?25l\r");
        if region.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", region.drawn));
        }
        for line in story.iter().chain(shown) {
            // A terminal that has written its last column is between two lines.
            text.push_str(&line.fit(width.saturating_sub(1), self.is_painted));
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J\x1b[?25h\x1b[?2026l");
        region.drawn = shown.len();
        output::print(&text)
    }
}

/// Minutes and seconds.
fn clock_face(elapsed: Duration) -> String {
    format!("{:02}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

/// Columns and rows of the terminal.
pub(super) fn size() -> (usize, usize) {
    let mut found = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes a winsize and nothing else, and that is where it is told to write.
    let status = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut found) };
    match (status, found.ws_col, found.ws_row) {
        (0, columns @ 1.., rows @ 1..) => (usize::from(columns), usize::from(rows)),
        _ => SIZE,
    }
}

/// Breaks a text between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let used = line.chars().count();
        match used == 0 || used + 1 + word.chars().count() <= width {
            true if used == 0 => line.push_str(word),
            true => line.push_str(&format!(" {word}")),
            false => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_draws_a_line_that_is_longer_than_the_screen() {
        let line = Line::default().with(Paint::Strong, "lag 12").with(Paint::Plain, " records");

        assert_eq!(line.fit(8, false), "lag 12 r");
        assert_eq!(line.fit(3, true), "\x1b[1mlag\x1b[0m");
        assert_eq!(line.text(), "lag 12 records");
    }

    #[test]
    fn breaks_lines_between_words() {
        assert_eq!(wrap("all of its items go out", 10), ["all of its", "items go", "out"]);
        assert_eq!(wrap("averyveryverylongword here", 5), ["averyveryverylongword", "here"]);
    }

    #[test]
    fn tells_minutes_and_seconds() {
        assert_eq!(clock_face(Duration::from_millis(61_900)), "01:01");
    }
}
