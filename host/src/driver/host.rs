//! A host process of the driver: the workers of all transforms, each made of the production worker over ports in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::pipeline::Deployment;
use crate::driver::setup::Staged;
use crate::fault::Fault;
use crate::id::{InstanceName, Partition, TaskId, TopicName, TransformName};
use crate::io;
use crate::io::{CalloutMode, Callouts, NoCallouts};
use crate::memory::{
    Clients, Cluster, Member, MemoryBroadcast, MemoryCallouts, MemoryServer, MemorySink, MemorySource,
    MemoryStores, Process,
};
use crate::status::{Answer, Ask, Refusal, TaskStatus};
use crate::worker::{Ports, Settings, Turned, Worker};

/// Broadcast topics that the readers of a transform do not read at the moment.
pub(super) type Held = BTreeSet<(TransformName, TopicName)>;

/// The disks of a process, one for each transform: they outlive it.
pub(super) type Disks = BTreeMap<TransformName, MemoryStores>;

/// A running process.
pub(super) struct Host {
    posts: Vec<Post>,
    /// The HTTP clients of transforms, with their inboxes.
    clients: Vec<(TopicName, Arc<MemoryCallouts>)>,
}

/// A worker with what a process keeps beside it.
struct Post {
    staged: Rc<Staged>,
    /// Its name in the group and in transactions.
    id: String,
    worker: Worker<MemorySource, MemorySink>,
    readers: Vec<(TopicName, MemoryBroadcast)>,
}

/// What becomes of a process's place in its groups when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Departure {
    /// Its partitions wait for it until the session time-out.
    Stay,
    /// The others get them at once.
    Leave,
}

impl Host {
    /// Starts a process under a name that no other one has.
    pub(super) fn start(
        name: &InstanceName,
        transforms: &[Rc<Staged>],
        (cluster, clock, server): (&Cluster, &Clock, Option<&MemoryServer>),
        disks: &mut Disks,
    ) -> Self {
        let process = Process::default();
        let (mut posts, mut clients) = (Vec::new(), Vec::new());
        for staged in transforms {
            let client = server.and_then(|server| client(&staged.deployment, server, clock));
            clients.extend(client.clone().map(|client| (staged.deployment.inbox(), client)));
            let callouts: Arc<dyn Callouts> = match client {
                Some(client) => client,
                None => Arc::new(NoCallouts),
            };
            let disk = disks.entry(staged.deployment.name.clone()).or_default();
            for number in 0..staged.deployment.workers {
                let id = staged.deployment.worker_id(name, number);
                let callouts = Arc::clone(&callouts);
                posts.push(Post::new(staged, id, (cluster, clock, &process), (disk, callouts)));
            }
        }
        Self { posts, clients }
    }

    /// A turn of each worker.
    ///
    /// # Errors
    /// What ends the process.
    pub(super) fn turn(&mut self, held: &Held) -> Result<Turned, Fault> {
        let mut turned = Turned::Idle;
        for post in &mut self.posts {
            post.read(held);
            if post.worker.turn()? == Turned::Busy {
                turned = Turned::Busy;
            }
        }
        Ok(turned)
    }

    /// Answers of tasks that have left the host, with their inboxes: each once.
    pub(super) fn orphans(&self) -> Vec<(TopicName, Partition, io::Answer)> {
        let of = |(inbox, client): &(TopicName, Arc<MemoryCallouts>)| {
            let inbox = inbox.clone();
            client.orphans().into_iter().map(move |(task, answer)| (inbox.clone(), task, answer))
        };
        self.clients.iter().flat_map(of).collect()
    }

    /// Commits what is done, and ends.
    ///
    /// # Errors
    /// The first fault of a worker; what it had not committed is processed again.
    pub(super) fn shut_down(self, departure: Departure) -> Result<(), Fault> {
        let mut ended = Ok(());
        for post in self.posts {
            let source = post.worker.shutdown().map(|source| match departure {
                Departure::Stay => drop(source),
                Departure::Leave => source.leave_group(),
            });
            ended = ended.and(source);
        }
        ended
    }

    /// Whether all that was done is committed.
    pub(super) fn is_at_rest(&self) -> bool {
        self.posts.iter().all(|post| post.worker.is_at_rest())
    }

    /// The clock has jumped: its groups heard of it all the time.
    pub(super) fn keep_alive(&self, cluster: &Cluster) {
        self.posts.iter().for_each(|post| cluster.keep_alive(&post.staged.deployment.group(), &post.id));
    }

    pub(super) fn status(&self) -> impl Iterator<Item = TaskStatus> {
        self.posts.iter().flat_map(|post| post.worker.status())
    }

    /// Rows of a task, if it is here.
    pub(super) fn answer(&self, task: &TaskId, store: &str, ask: &Ask) -> Answer {
        let answers = self.posts.iter().map(|post| post.worker.answer(task, store, ask));
        answers.into_iter().find(|answer| *answer != Err(Refusal::NotHere)).unwrap_or(Err(Refusal::NotHere))
    }
}

/// The HTTP client of a transform that has endpoints. All of them take as many calls at the same time as the first.
fn client(deployment: &Deployment, server: &MemoryServer, clock: &Clock) -> Option<Arc<MemoryCallouts>> {
    let concurrency = deployment.endpoints.first()?.concurrency as usize;
    let mut modes = Vec::new();
    for endpoint in &deployment.endpoints {
        modes.resize(endpoint.index.0 as usize, CalloutMode::AtMostOnce);
        modes.push(endpoint.mode);
    }
    Some(Arc::new(MemoryCallouts::new(server, clock, modes, concurrency)))
}

impl Post {
    fn new(
        staged: &Rc<Staged>,
        id: String,
        (cluster, clock, process): (&Cluster, &Clock, &Process),
        (disk, callouts): (&MemoryStores, Arc<dyn Callouts>),
    ) -> Self {
        let deployment = &staged.deployment;
        let topics: Vec<_> = deployment.subscription().collect();
        let member = Member {
            group: &deployment.group(),
            name: &id,
            transactional_id: &id,
            topics: &topics,
            chunk_records: deployment.batch.records,
        };
        let Clients { source, sink, restorer } = cluster.join(process, &member);
        let readers: Vec<_> = deployment
            .broadcast_sources()
            .map(|source| (source.index, source.topic.clone(), MemoryBroadcast::new(cluster, &source.topic)))
            .collect();
        let views = readers.iter().map(|(index, _, reader)| (*index, Arc::clone(reader.view())));
        let ports = Ports {
            source,
            sink,
            transform: staged.transform(),
            views: views.collect(),
            stores: Box::new(disk.clone()),
            callouts,
            restorer: Box::new(restorer),
            clock: clock.clone(),
        };
        let settings = Settings { commit: deployment.commit, ..Settings::default() };
        let worker = Worker::new(ports, Arc::clone(&staged.spec), settings);
        let readers = readers.into_iter().map(|(_, topic, reader)| (topic, reader)).collect();
        Self { staged: Rc::clone(staged), id, worker, readers }
    }

    fn read(&self, held: &Held) {
        let is_held =
            |topic: &TopicName| held.contains(&(self.staged.deployment.name.clone(), topic.clone()));
        self.readers.iter().filter(|(topic, _)| !is_held(topic)).for_each(|(_, reader)| reader.read());
    }
}
