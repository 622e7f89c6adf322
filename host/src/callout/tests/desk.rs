//! A client with its clock, and what tests ask of it.

use std::time::Duration;

use crate::callout::HttpCallouts;
use crate::clock::Clock;
use crate::config::base_url::BaseUrl;
use crate::config::endpoint::{BoundEndpoint, Credentials};
use crate::config::secret::SecretSource;
use crate::id::{EndpointIndex, Partition, Timestamp, TransformName};
use crate::io::{Answer, Call, CalloutMode, Callouts, Ended, Permit};

pub(super) const TASK: Partition = Partition(3);

/// The secret of every endpoint here.
pub(super) const SECRET: &str = "Bearer s3cret-token";

/// Nothing here may take so long.
const PATIENCE: u32 = 400;

pub(super) struct Desk {
    pub(super) callouts: HttpCallouts,
    pub(super) clock: Clock,
}

/// An endpoint of the mode at-most-once, with time-outs for tests.
pub(super) fn endpoint(url: &str) -> BoundEndpoint {
    BoundEndpoint {
        index: EndpointIndex(0),
        name: "details".to_owned(),
        methods: vec!["POST".to_owned()],
        base_url: BaseUrl::parse(url).unwrap(),
        mode: CalloutMode::AtMostOnce,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        concurrency: 16,
        per_second: None,
        response_bytes: 1 << 20,
        give_up_after: Some(Duration::from_secs(3600)),
        remember: Duration::from_secs(3600),
        credentials: Some(Credentials {
            header: "Authorization".to_owned(),
            from: SecretSource::Env("TOKEN".to_owned()),
        }),
        ca_file: None,
        proxy: None,
    }
}

pub(super) fn idempotent(url: &str) -> BoundEndpoint {
    BoundEndpoint { mode: CalloutMode::Idempotent, give_up_after: None, ..endpoint(url) }
}

/// A call whose intent is as old as the clock of [`Desk::new`]: a second.
pub(super) fn call(id: &str) -> Call {
    Call {
        id: id.to_owned(),
        endpoint: EndpointIndex(0),
        method: "POST".to_owned(),
        path: "/p?q=1".to_owned(),
        headers: vec![("Accept".to_owned(), "application/json".to_owned())],
        body: Some(b"body\0\xff".to_vec()),
        attempts: 0,
        intended: Timestamp(0),
        committed: Duration::ZERO,
    }
}

impl Desk {
    /// A client with a manual clock.
    pub(super) fn new(endpoint: BoundEndpoint) -> Self {
        let clock = Clock::manual(Timestamp(1_000));
        let transform = TransformName::new("lookup");
        let lookup = |name: &str| (name == "TOKEN").then(|| SECRET.to_owned());
        let callouts = HttpCallouts::new(&transform, &[endpoint], &clock, &lookup).unwrap();
        Self { callouts, clock }
    }

    /// A permit, waited for.
    pub(super) fn permit(&self) -> Permit {
        self.until(|| self.callouts.permit(EndpointIndex(0)))
    }

    /// Whether there is a permit now.
    pub(super) fn has_permit(&self) -> bool {
        self.callouts.permit(EndpointIndex(0)).is_some()
    }

    pub(super) fn send(&self, call: Call) {
        let permit = self.permit();
        self.callouts.send(TASK, call, permit);
    }

    /// The next answer, waited for, and settled.
    pub(super) fn answer(&self) -> Answer {
        let answer = self.until(|| self.callouts.poll(TASK));
        self.callouts.settled(TASK, &answer.id);
        answer
    }

    /// What becomes of a call.
    pub(super) fn outcome(&self, call: Call) -> Answer {
        self.send(call);
        self.answer()
    }

    /// Waits until there is something.
    pub(super) fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..PATIENCE {
            if let Some(found) = look() {
                return found;
            }
            self.callouts.wait(Duration::from_millis(25));
        }
        panic!("it did not come: {:?}", self.callouts)
    }
}

/// Code and status of an answer that is none.
pub(super) fn code(answer: &Answer) -> (&'static str, String, Option<u16>) {
    match &answer.ended {
        Ended::GaveUp(reason) => ("gave-up", reason.code.clone(), reason.last_status),
        Ended::InDoubt(reason) => ("in-doubt", reason.code.clone(), reason.last_status),
        Ended::NotSent => ("not-sent", String::new(), None),
        Ended::Answered { status, .. } => ("answered", String::new(), Some(*status)),
    }
}
