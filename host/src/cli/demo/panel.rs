//! The live view: what the host tells of itself, what the consumers see, and what the world around is doing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::consumers::Desk;
use super::errand::Errand;
use super::figures::grouped;
use super::gauges::{Gauges, Ingested, Progress, Reading};
use super::rest::RestServer;
use super::screen::{Line, Paint, Screen, size};
use crate::clock::Clock;
use crate::fault::Fault;

/// How often the host is asked and the view is drawn.
const EVERY: Duration = Duration::from_millis(250);

/// How wide the first column is.
const NAME: usize = 16;

/// What the view shows, shared with those who do it.
#[derive(Clone)]
pub(super) struct Sights {
    /// What the host has told last.
    pub(super) reading: Arc<Mutex<Reading>>,
    /// How many item updates were sent.
    pub(super) sent: Arc<AtomicUsize>,
    /// The external service.
    pub(super) server: Arc<RestServer>,
    /// The consumers.
    pub(super) desks: Arc<Vec<Desk>>,
    /// How many records of classes were published.
    pub(super) classes: Arc<AtomicUsize>,
}

impl Sights {
    /// What the host has told last.
    pub(super) fn reading(&self) -> Reading {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Begins to ask and to draw.
///
/// # Errors
/// `internal`.
pub(super) fn start(
    sights: &Sights,
    mut gauges: Gauges,
    screen: &Arc<Screen>,
    clock: &Clock,
) -> Result<Errand, Fault> {
    let (sights, screen, clock) = (sights.clone(), Arc::clone(screen), clock.clone());
    Errand::start("panel", move |is_over| {
        let mut pace = Pace::default();
        while !is_over.load(Ordering::Acquire) {
            let reading = gauges.read();
            let sent = sights.sent.load(Ordering::Relaxed);
            let per_second = pace.of(clock.elapsed(), sent);
            if screen.is_terminal() {
                screen.show(lines(&reading, &sights, (sent, per_second), size().0))?;
            }
            *sights.reading.lock().unwrap_or_else(PoisonError::into_inner) = reading;
            std::thread::sleep(EVERY);
        }
        screen.show(Vec::new())
    })
}

/// How quickly a number grows.
#[derive(Default)]
struct Pace {
    past: Vec<(Duration, usize)>,
}

impl Pace {
    fn of(&mut self, now: Duration, count: usize) -> usize {
        self.past.push((now, count));
        self.past.retain(|(at, _)| now.saturating_sub(*at) <= Duration::from_secs(2));
        let Some((at, before)) = self.past.first() else { return 0 };
        let passed = usize::try_from(now.saturating_sub(*at).as_millis()).unwrap_or(usize::MAX).max(1);
        count.saturating_sub(*before) * 1_000 / passed
    }
}

fn lines(reading: &Reading, sights: &Sights, sent: (usize, usize), width: usize) -> Vec<Line> {
    let mut lines = vec![rule(reading, width), head()];
    for (name, progress) in &reading.transforms {
        let work = work(name, progress, reading, width);
        lines.push(transform(name, progress).with(work.0, work.1));
    }
    let row = |name: &str, text: String| {
        Line::default().with(Paint::Dim, format!(" {name:<NAME$}")).with(Paint::Plain, text)
    };
    lines.push(ingest(row("ingest", String::new()), reading, sights.classes.load(Ordering::Relaxed)));
    let (count, per_second) = (grouped(sent.0), grouped(sent.1));
    lines.push(row("suppliers", format!("{count} updates sent, {per_second}/s")));
    lines.extend(sights.desks.iter().map(|desk| row(desk.name, desk.sight())));
    let (asked, busy) = (grouped(sights.server.count()), sights.server.busy());
    lines.push(row("REST service", format!("{asked} requests, {busy} of them under way")));
    lines
}

fn rule(reading: &Reading, width: usize) -> Line {
    let (paint, host) = match reading.is_there {
        true => (Paint::Good, " host runs "),
        false if reading.transforms.is_empty() => (Paint::Busy, " host starts "),
        false => (Paint::Bad, " no host answers "),
    };
    let title = " gristmill demo ";
    let left = width.saturating_sub(title.len() + host.len() + 5);
    Line::default()
        .with(Paint::Dim, "──")
        .with(Paint::Strong, title)
        .with(Paint::Dim, "─".repeat(left))
        .with(paint, host)
        .with(Paint::Dim, "──")
}

fn head() -> Line {
    Line::default().with(Paint::Dim, format!(" {:<NAME$}{:>9}{:>11}  WORK", "TRANSFORM", "LAG", "RECORDS/S"))
}

fn transform(name: &str, progress: &Progress) -> Line {
    let lag = progress.lag.map_or("-".to_owned(), |lag| grouped(usize::try_from(lag).unwrap_or(0)));
    let rate = grouped(progress.per_second.round() as usize);
    Line::default()
        .with(Paint::Strong, format!(" {name:<NAME$}"))
        .with(Paint::Plain, format!("{lag:>9}{rate:>11}  "))
}

fn ingest(line: Line, reading: &Reading, published: usize) -> Line {
    let Ingested { runs, rows, is_refusing } = &reading.ingest;
    match is_refusing {
        true => line.with(Paint::Bad, "refuses to delete so much: ingest_deletes"),
        false => line
            .with(Paint::Plain, format!("{rows} rows in SQLite, {runs} runs, {published} records published")),
    }
}

/// What a transform does beside its records.
fn work(name: &str, progress: &Progress, reading: &Reading, width: usize) -> (Paint, String) {
    if progress.restoring > 0 {
        return (Paint::Busy, format!("{} of its tasks restore", progress.restoring));
    }
    if let Some((visited, total)) = progress.walk {
        return (Paint::Busy, bar(visited, total, width.saturating_sub(NAME + 49).clamp(10, 40)));
    }
    let Reading { queued, dispatching, in_doubt, .. } = reading;
    match name == "rest-lookup" && queued + dispatching + in_doubt > 0 {
        true => (Paint::Plain, format!("{queued} queued, {dispatching} under way, {in_doubt} in doubt")),
        false => (Paint::Plain, String::new()),
    }
}

fn bar(visited: u64, total: u64, width: usize) -> String {
    let done = usize::try_from(visited * width as u64 / total.max(1)).unwrap_or(width).min(width);
    let (full, rest) = ("#".repeat(done), "-".repeat(width - done));
    let percent = (visited * 100 / total.max(1)).min(100);
    format!("walk [{full}{rest}] {percent:>3} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_a_screen_of_80_columns() {
        let walk = Some((99_999_999, 100_000_000));
        let progress = Progress { lag: Some(99_999_999), per_second: 9_999_999.0, restoring: 0, walk };
        let reading = Reading::default();

        let work = work("delivery-time-2", &progress, &reading, 80);
        let line = transform("delivery-time-2", &progress).with(work.0, work.1);

        assert!(line.text().chars().count() < 80, "{}", line.text());
        assert!(rule(&reading, 80).text().chars().count() < 80);
        assert!(head().text().contains("LAG"));
    }

    #[test]
    fn draws_a_bar() {
        assert_eq!(bar(1, 4, 8), "walk [##------]  25 %");
        assert_eq!(bar(5, 4, 4), "walk [####] 100 %");
    }

    #[test]
    fn tells_how_quickly_a_number_grows() {
        let mut pace = Pace::default();

        assert_eq!(pace.of(Duration::from_secs(1), 100), 0);
        assert_eq!(pace.of(Duration::from_secs(2), 350), 250);
    }
}
