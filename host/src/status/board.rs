//! The board: a slot for each worker of the process, written by the worker and read by whoever asks.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::fault::Fault;
use crate::id::{AppId, InstanceName, Offset, TaskId, TopicPartition, TransformName};
use crate::status::ingest::IngestBoard;
use crate::status::question::{Answer, Ask, PATIENCE, Question, Refusal};
use crate::status::snapshot::{FaultStatus, TaskState, TaskStatus, WorkerStatus};

/// How often a worker publishes a snapshot.
const INTERVAL: Duration = Duration::from_secs(1);

/// A worker that publishes nothing for so long hangs: longer than a turn with the longest call and its commit takes.
const SILENT_AFTER: Duration = Duration::from_secs(20);

/// Questions that wait for a worker; one more is refused.
const QUESTIONS_MAX: usize = 16;

/// What a host process shows of itself.
#[derive(Debug)]
pub struct Board {
    app: AppId,
    instance: InstanceName,
    clock: Clock,
    transforms: Vec<TransformBoard>,
    ingests: Vec<IngestBoard>,
    ends: Mutex<BTreeMap<TopicPartition, Offset>>,
}

/// A transform on the board.
#[derive(Debug)]
pub struct TransformBoard {
    deployment: Deployment,
    places: Vec<Place>,
    stopped: Mutex<Option<FaultStatus>>,
}

/// The place of a worker on the board.
#[derive(Debug)]
struct Place {
    worker: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    shown: Mutex<Option<(Duration, Arc<WorkerStatus>)>>,
    questions: Mutex<Option<SyncSender<Question>>>,
}

/// The worker's side of its place. A default one belongs to no board and shows nothing.
#[derive(Debug, Default)]
pub struct Slot {
    link: Option<Link>,
    due: Duration,
}

#[derive(Debug)]
struct Link {
    clock: Clock,
    shared: Arc<Shared>,
    questions: Receiver<Question>,
}

/// A worker as it was seen last.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name in the group and in transactions.
    pub worker: String,
    /// What it is up to.
    pub standing: Standing,
    /// How old the snapshot is.
    pub age: Duration,
    /// The snapshot; empty before the first one.
    pub status: Arc<WorkerStatus>,
}

/// What a worker is up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It has not published anything yet, or it has ended.
    Absent,
    /// It has no producer yet, or lost it.
    WithoutProducer,
    /// It works.
    Working,
    /// It has published nothing for a long time.
    Silent,
}

impl Board {
    /// The board of a process that is about to run a pipeline.
    pub fn new(pipeline: &Pipeline, instance: &InstanceName, clock: Clock) -> Self {
        let transforms = pipeline.deployments.iter().map(|deployment| TransformBoard {
            places: (0..deployment.workers)
                .map(|number| Place {
                    worker: deployment.worker_id(instance, number),
                    shared: Arc::default(),
                })
                .collect(),
            deployment: deployment.clone(),
            stopped: Mutex::default(),
        });
        Self {
            app: pipeline.app.id.clone(),
            instance: instance.clone(),
            clock,
            transforms: transforms.collect(),
            ingests: pipeline.ingests.iter().map(IngestBoard::new).collect(),
            ends: Mutex::default(),
        }
    }

    /// The application.
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// The name of this process.
    pub fn instance(&self) -> &InstanceName {
        &self.instance
    }

    /// The transforms, in the order of the pipeline file.
    pub fn transforms(&self) -> &[TransformBoard] {
        &self.transforms
    }

    /// The ingests, in the order of the pipeline file.
    pub fn ingests(&self) -> &[IngestBoard] {
        &self.ingests
    }

    /// An ingest by its name.
    pub fn ingest(&self, name: &str) -> Option<&IngestBoard> {
        self.ingests.iter().find(|board| board.ingest().name.as_str() == name)
    }

    /// The slot of a worker of a transform. One that the board does not know shows nothing.
    pub fn slot(&self, transform: &TransformName, worker: &str) -> Slot {
        let places = self.transform(transform).map(|transform| transform.places.as_slice());
        let place = places.unwrap_or_default().iter().find(|place| place.worker == worker);
        let link = place.map(|place| {
            let (sender, questions) = mpsc::sync_channel(QUESTIONS_MAX);
            *lock(&place.shared.questions) = Some(sender);
            Link { clock: self.clock.clone(), shared: Arc::clone(&place.shared), questions }
        });
        Slot { link, due: Duration::ZERO }
    }

    /// A transform cannot go on.
    pub fn stop(&self, transform: &TransformName, fault: &Fault) {
        if let Some(transform) = self.transform(transform) {
            *lock(&transform.stopped) = Some(fault.into());
        }
    }

    /// Up to where partitions can be read, as the cluster said last.
    pub fn ends(&self) -> BTreeMap<TopicPartition, Offset> {
        lock(&self.ends).clone()
    }

    /// The cluster was asked for the ends of partitions.
    pub fn set_ends(&self, ends: BTreeMap<TopicPartition, Offset>) {
        *lock(&self.ends) = ends;
    }

    /// The workers of a transform as they were seen last.
    pub fn workers(&self, transform: &TransformBoard) -> Vec<Seen> {
        let now = self.clock.elapsed();
        transform.places.iter().map(|place| place.seen(now)).collect()
    }

    /// The tasks of this process that are open or stopped here, each with its worker.
    pub fn tasks(&self) -> Vec<(Seen, TaskStatus)> {
        let workers = self.transforms.iter().flat_map(|transform| self.workers(transform));
        let tasks = workers.flat_map(|seen| {
            let tasks = seen.status.tasks.iter().filter(|task| task.state != TaskState::Closed);
            tasks.map(|task| (seen.clone(), task.clone())).collect::<Vec<_>>()
        });
        let mut tasks: Vec<_> = tasks.collect();
        tasks.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        tasks
    }

    /// Asks the worker of a task and waits for its answer, for [`PATIENCE`] at most. None when there is none by then.
    pub fn ask(&self, task: &TaskId, store: &str, ask: Ask) -> Option<Answer> {
        let Some(place) = self.place_of(task) else { return Some(Err(Refusal::NotHere)) };
        let sender = lock(&place.shared.questions).clone()?;
        let (reply, answer) = mpsc::sync_channel(1);
        sender.try_send(Question { task: task.clone(), store: store.to_owned(), ask, reply }).ok()?;
        answer.recv_timeout(PATIENCE).ok()
    }

    fn place_of(&self, task: &TaskId) -> Option<&Place> {
        let holds = |place: &&Place| {
            let shown = lock(&place.shared.shown);
            let mut tasks = shown.iter().flat_map(|(_, status)| &status.tasks);
            tasks.any(|other| other.id == *task && other.state != TaskState::Closed)
        };
        self.transform(&task.transform)?.places.iter().find(holds)
    }

    fn transform(&self, name: &TransformName) -> Option<&TransformBoard> {
        self.transforms.iter().find(|transform| transform.deployment.name == *name)
    }
}

impl TransformBoard {
    /// What runs.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Why it cannot go on, if it cannot.
    pub fn stopped(&self) -> Option<FaultStatus> {
        lock(&self.stopped).clone()
    }
}

impl Place {
    fn seen(&self, now: Duration) -> Seen {
        let shown = lock(&self.shared.shown).clone();
        let (standing, age, status) = match shown {
            None => (Standing::Absent, Duration::ZERO, Arc::default()),
            Some((at, status)) => {
                let age = now.saturating_sub(at);
                let standing = match status.has_producer {
                    _ if age >= SILENT_AFTER => Standing::Silent,
                    true => Standing::Working,
                    false => Standing::WithoutProducer,
                };
                (standing, age, status)
            }
        };
        Seen { worker: self.worker.clone(), standing, age, status }
    }
}

impl Slot {
    /// Whether it is time for a snapshot; `elapsed` is the worker's own time.
    pub fn is_due(&self, elapsed: Duration) -> bool {
        self.link.is_some() && elapsed >= self.due
    }

    /// Publishes a snapshot.
    pub fn show(&mut self, elapsed: Duration, status: WorkerStatus) {
        self.due = elapsed.saturating_add(INTERVAL);
        if let Some(link) = &self.link {
            *lock(&link.shared.shown) = Some((link.clock.elapsed(), Arc::new(status)));
        }
    }

    /// The next question, if there is one. Never waits.
    pub fn question(&self) -> Option<Question> {
        self.link.as_ref()?.questions.try_recv().ok()
    }
}

impl Drop for Slot {
    /// A worker that has ended shows nothing any more.
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            *lock(&link.shared.shown) = None;
            *lock(&link.shared.questions) = None;
        }
    }
}

/// What is on the board stays readable when a thread died while it wrote.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Code;
    use crate::id::{Partition, Timestamp};
    use crate::status::testing::{pipeline, task};

    fn board(clock: &Clock) -> Board {
        Board::new(&pipeline(&["t"], 2), &InstanceName::new("a"), clock.clone())
    }

    fn standings(board: &Board) -> Vec<Standing> {
        board.workers(&board.transforms()[0]).iter().map(|seen| seen.standing).collect()
    }

    fn working(tasks: Vec<TaskStatus>) -> WorkerStatus {
        WorkerStatus { has_producer: true, tasks }
    }

    #[test]
    fn tells_a_worker_that_works_from_one_that_never_came_one_that_hangs_and_one_that_ended() {
        let clock = Clock::manual(Timestamp(0));
        let board = board(&clock);
        let mut slot = board.slot(&"t".into(), "shop.t.a.1");
        assert_eq!(standings(&board), [Standing::Absent, Standing::Absent]);

        slot.show(clock.elapsed(), WorkerStatus::default());
        assert_eq!(standings(&board), [Standing::Absent, Standing::WithoutProducer]);

        slot.show(clock.elapsed(), working(vec![]));
        assert_eq!(standings(&board), [Standing::Absent, Standing::Working]);

        clock.advance(SILENT_AFTER);
        assert_eq!(standings(&board), [Standing::Absent, Standing::Silent]);

        drop(slot);
        assert_eq!(standings(&board), [Standing::Absent, Standing::Absent]);
    }

    #[test]
    fn wants_a_snapshot_a_second_and_none_for_nobody() {
        let clock = Clock::manual(Timestamp(0));
        let mut slot = board(&clock).slot(&"t".into(), "shop.t.a.0");
        assert!(slot.is_due(Duration::ZERO));

        slot.show(Duration::ZERO, WorkerStatus::default());

        assert!(!slot.is_due(INTERVAL - Duration::from_millis(1)));
        assert!(slot.is_due(INTERVAL));
        assert!(!Slot::default().is_due(INTERVAL));
    }

    #[test]
    fn lists_tasks_in_their_order_without_those_that_are_elsewhere() {
        let clock = Clock::manual(Timestamp(0));
        let board = board(&clock);
        let (mut one, mut two) =
            (board.slot(&"t".into(), "shop.t.a.0"), board.slot(&"t".into(), "shop.t.a.1"));
        let closed = TaskStatus { state: TaskState::Closed, ..task("t", 0) };
        one.show(Duration::ZERO, working(vec![task("t", 2), closed]));
        two.show(Duration::ZERO, working(vec![task("t", 1)]));

        let tasks: Vec<_> =
            board.tasks().into_iter().map(|(seen, task)| (seen.worker, task.id.to_string())).collect();

        let expected = [("shop.t.a.1", "t/1"), ("shop.t.a.0", "t/2")];
        assert_eq!(tasks, expected.map(|(worker, task)| (worker.to_owned(), task.to_owned())));
    }

    #[test]
    fn takes_a_question_to_the_worker_of_the_task() {
        let board = board(&Clock::manual(Timestamp(0)));
        let mut slot = board.slot(&"t".into(), "shop.t.a.1");
        slot.show(Duration::ZERO, working(vec![task("t", 7)]));
        let row = crate::status::Row { key: b"k".to_vec(), value: b"v".to_vec() };

        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| board.ask(&task("t", 7).id, "items", Ask::Get(b"k".to_vec())));
            let question = loop {
                match slot.question() {
                    Some(question) => break question,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!((question.store.as_str(), &question.ask), ("items", &Ask::Get(b"k".to_vec())));
            question.reply.try_send(Ok((vec![row.clone()], None))).unwrap();
            asked.join().unwrap()
        });

        assert_eq!(answer, Some(Ok((vec![row], None))));
    }

    #[test]
    fn does_not_ask_for_a_task_that_is_elsewhere_nor_wait_for_a_worker_that_has_ended() {
        let board = board(&Clock::manual(Timestamp(0)));
        let mut slot = board.slot(&"t".into(), "shop.t.a.0");
        slot.show(Duration::ZERO, working(vec![task("t", 7)]));
        let ask = |partition| board.ask(&task("t", partition).id, "items", Ask::Get(vec![]));

        assert_eq!(ask(8), Some(Err(Refusal::NotHere)));

        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(7));
            while slot.question().is_none() {
                std::thread::yield_now();
            }
            asked.join().unwrap()
        });
        assert_eq!(answer, None);
    }

    #[test]
    fn remembers_why_a_transform_stopped_and_where_partitions_end() {
        let board = board(&Clock::manual(Timestamp(0)));
        let place = TopicPartition::new(&"items".into(), Partition(1));

        board.stop(&"t".into(), &Fault::new(Code::PositionLost, "gone"));
        board.set_ends([(place.clone(), Offset(5))].into());

        assert_eq!(board.transforms()[0].stopped().unwrap().code, Code::PositionLost);
        assert_eq!(board.ends().get(&place), Some(&Offset(5)));
    }
}
