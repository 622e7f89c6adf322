//! Three transforms and an HTTP server on bad days: hosts that are killed with calls in flight, zombies, rebalances.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use gristmill_tests::activations::{Desk, Feed, Progress, Seen};
use gristmill_tests::checker::{self, Fault, Promise};
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::process::Process;
use gristmill_tests::rest_server::Behaviour;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen as Look};
use gristmill_tests::workload;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many activations there are in the mode that is the default, unless the environment variable `GRISTMILL_ACTIVATIONS` says
/// otherwise: 6 minutes on two busy processors.
const AT_MOST_ONCE: usize = 20_000;

/// The same in the other mode, fewer so that the whole suite does not take too long.
const IDEMPOTENT: usize = 2_000;

const KILLS: usize = 10;
const ZOMBIES: usize = 3;

/// P4 and P5 where a request is never repeated.
#[test]
fn keeps_every_promise_about_notifications_and_calls_at_most_once() -> Result<()> {
    let (desk, seen, disturbed) = run(Promise::AtMostOnce, AT_MOST_ONCE)?;

    let left = |reason: &str| {
        let is_it = |record: &&gristmill_tests::record::Record| {
            record.header("gristmill-callout-reason").as_deref() == Some(reason)
        };
        seen.review.committed.iter().filter(is_it).count()
    };
    let mut reports = desk.reports(&seen);
    let of_the_mode = [Fault { name: "calls in doubt after a kill", seen: left("host-lost"), wanted: 1 }];
    reports.push(checker::faults_hit(&[disturbed.as_slice(), &of_the_mode].concat()));
    checker::all_hold(&reports)
}

/// P4 and P5 where a request is repeated until there is an answer.
#[test]
fn keeps_every_promise_about_notifications_and_idempotent_calls() -> Result<()> {
    let (desk, seen, disturbed) = run(Promise::Idempotent, IDEMPOTENT)?;

    let keys: BTreeSet<_> = seen.requests.iter().map(|request| &request.key).collect();
    let repeated = seen.requests.len() - keys.len();
    let mut reports = desk.reports(&seen);
    let of_the_mode = [Fault { name: "repeated requests", seen: repeated, wanted: KILLS }];
    reports.push(checker::faults_hit(&[disturbed.as_slice(), &of_the_mode].concat()));
    checker::all_hold(&reports)
}

/// Lets everything go wrong, and gives what is to be seen in the end.
fn run(mode: Promise, activations: usize) -> Result<(Desk, Seen, Vec<Fault>)> {
    let _turn = turn::take();
    let seed = workload::seed();
    let activations = std::env::var("GRISTMILL_ACTIVATIONS").map_or(Ok(activations), |text| text.parse())?;
    let desk = Desk::new(Apache::shared()?.client(), mode, &Behaviour::bad(seed))?;
    let mut stage = Stage {
        random: ChaCha8Rng::seed_from_u64(seed),
        feed: Feed::new(seed, activations),
        progress: Progress::new(&desk)?,
        desk: &desk,
        open: Vec::new(),
    };
    let part = stage.feed.len() / (KILLS + ZOMBIES + 2) + 1;
    for _ in 0..KILLS {
        stage.kill(part)?;
    }
    for _ in 0..ZOMBIES {
        stage.wake_a_zombie(part)?;
    }
    stage.rebalance(part)?;
    let open = stage.open;
    let mut host = desk.start("a")?;
    stage.feed.send(&desk, &desk.producer()?, usize::MAX)?;
    stage.progress.await_outcomes(activations, &mut [&mut host])?;
    ensure_no_secret(&desk)?;
    ensure!(host.terminate(wait::PATIENCE)?.success(), "{}", host.tail());
    let seen = desk.observe()?;
    let disturbed = disturbances(&seen, activations, &open);
    Ok((desk, seen, disturbed))
}

/// A run under way.
struct Stage<'d> {
    desk: &'d Desk,
    feed: Feed,
    progress: Progress<'d>,
    random: ChaCha8Rng,
    /// For each kill and stop, the requests that had no answer at that moment.
    open: Vec<BTreeSet<u64>>,
}

impl Stage<'_> {
    /// Kills the host at a random instant, with calls in flight.
    fn kill(&mut self, part: usize) -> Result<()> {
        let mut host = self.desk.start("a")?;
        self.feed.send(self.desk, &self.desk.producer()?, part)?;
        self.await_random_instant(part, &mut host)?;
        host.kill()?;
        self.count_in_flight()
    }

    /// Stops a host for longer than its session, lets a successor work, and wakes it.
    fn wake_a_zombie(&mut self, part: usize) -> Result<()> {
        let mut zombie = self.desk.start("a")?;
        self.feed.send(self.desk, &self.desk.producer()?, part / 2)?;
        self.await_random_instant(part / 2, &mut zombie)?;
        zombie.pause()?;
        self.count_in_flight()?;
        let mut successor = self.desk.start("b")?;
        self.feed.send(self.desk, &self.desk.producer()?, part - part / 2)?;
        let (_, ended) = self.progress.counts()?;
        self.progress.await_outcomes(ended + part / 10, &mut [&mut successor])?;
        zombie.resume()?;
        wait::until("the zombie to find its place", || {
            let ended = zombie.ended()?;
            let members = self.desk.client.members(&self.desk.group("rest-lookup"))?;
            Ok(match ended.is_some() || members == 2 {
                true => Look::Yes(()),
                false => Look::NotYet(format!("{members} members; {}", zombie.tail())),
            })
        })?;
        // It may have ended: it may not come back under a name that somebody else has.
        drop(zombie);
        ensure!(successor.terminate(wait::PATIENCE)?.success(), "{}", successor.tail());
        Ok(())
    }

    /// A second host comes and goes while calls are in flight.
    fn rebalance(&mut self, part: usize) -> Result<()> {
        let (part, producer) = (part / 3, self.desk.producer()?);
        let mut one = self.desk.start("a")?;
        self.feed.send(self.desk, &producer, part)?;
        self.await_random_instant(part, &mut one)?;
        let mut other = self.desk.start("b")?;
        self.feed.send(self.desk, &producer, part)?;
        self.await_random_instant(part, &mut other)?;
        ensure!(one.terminate(wait::PATIENCE)?.success(), "{}", one.tail());
        self.feed.send(self.desk, &producer, part)?;
        self.await_random_instant(part, &mut other)?;
        other.kill()
    }

    /// Waits until some of this part's notifications have ended.
    fn await_random_instant(&mut self, part: usize, host: &mut Process) -> Result<()> {
        let (_, ended) = self.progress.counts()?;
        let more = self.random.random_range(1..(part / 6).max(2));
        self.progress.await_outcomes(ended + more, &mut [host])
    }

    fn count_in_flight(&mut self) -> Result<()> {
        let requests = self.desk.server.requests()?;
        let open = requests.iter().filter(|request| request.status.is_none());
        self.open.push(open.map(|request| request.number).collect());
        Ok(())
    }
}

/// I16: what has really gone wrong.
fn disturbances(seen: &Seen, activations: usize, open: &[BTreeSet<u64>]) -> Vec<Fault> {
    // Those that got an answer afterwards were really under way; others never get one.
    let late: BTreeSet<_> = seen
        .requests
        .iter()
        .filter(|request| request.status.is_some())
        .map(|request| request.number)
        .collect();
    let in_flight = open.iter().filter(|open| !open.is_disjoint(&late)).count();
    let answered =
        |status: u16| seen.requests.iter().filter(|request| request.status == Some(status)).count();
    let unanswered = seen.requests.iter().filter(|request| request.status.is_none()).count();
    let aborted = seen.notifications.aborted() + seen.details.aborted() + seen.information.aborted();
    vec![
        Fault { name: "activations", seen: seen.activations.committed.len(), wanted: activations },
        Fault { name: "kills and stops with calls in flight", seen: in_flight, wanted: KILLS / 2 },
        Fault { name: "aborted records", seen: aborted, wanted: 1 },
        Fault { name: "answers 500", seen: answered(500), wanted: activations / 100 },
        Fault { name: "answers 503", seen: answered(503), wanted: activations / 100 },
        Fault { name: "answers 429", seen: answered(429), wanted: activations / 100 },
        Fault { name: "requests without an answer", seen: unanswered, wanted: activations / 100 },
    ]
}

/// I15: the server has seen the secret, and nobody else.
fn ensure_no_secret(desk: &Desk) -> Result<()> {
    let requests = desk.server.requests()?;
    ensure!(
        !requests.is_empty() && requests.iter().all(|request| request.authorized),
        "calls without the secret"
    );
    let pages = ["/metrics", "/api/v1/transforms", "/api/v1/tasks", "/api/v1/stores", "/api/v1/callouts"];
    let mut texts = Vec::new();
    for page in pages {
        texts.push((page, desk.page("a", page)?));
    }
    let file = desk.pipeline("a")?;
    let checked = desk.gristmill(&["check", "--show-defaults"], &file)?.output()?;
    texts.push(("check --show-defaults", String::from_utf8_lossy(&checked.stdout).into_owned()));
    let leaks = desk.leaks(&texts)?;
    ensure!(leaks.is_empty(), "the secret is in {leaks:?}");
    Ok(())
}
