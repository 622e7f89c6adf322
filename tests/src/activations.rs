//! The second problem on a cluster: three transforms from unknown messages to details, an HTTP server, and all that can be seen
//! of them from outside.
//!
//! ```text
//! product-inbox -> product-intake -> product-information -.
//!                                    product-activation ----> activation -> activation-notifications -> rest-lookup
//!                                                              '-> activations-expired                    |  |  |
//!                                                     product-details <- answered ------------------------'  |  |
//!                                                     callouts-review <- in doubt, given up -----------------'  |
//!                                                     dead letters    <- answered otherwise --------------------'
//! ```

mod feed;
mod progress;
mod secret;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::checker::{self, Promise, Report, Topic};
use crate::client::{Client, Producer, unique};
use crate::process::Process;
use crate::rest_server::{Behaviour, Request, RestServer};
use crate::{host, http, rundir};

pub use feed::{Event, Feed};
pub use progress::Progress;
pub use secret::SECRET;

/// The consumer session of the hosts: short, so that a test need not wait long for a death to be noticed.
const SESSION_MS: u32 = 6_000;

/// Where the hosts find the secret.
const VARIABLE: &str = "GRISTMILL_TEST_TOKEN";

/// A pipeline with its cluster and its server.
pub struct Desk {
    /// Makes clients of the cluster.
    pub client: Client,
    /// The external service.
    pub server: RestServer,
    /// The application's id.
    pub app: String,
    dir: PathBuf,
    mode: Promise,
}

/// All that was seen of a pipeline at its end.
pub struct Seen {
    /// What was asked for.
    pub activations: Topic,
    /// What intake has made of the inbox.
    pub information: Topic,
    /// What activation has sent.
    pub notifications: Topic,
    /// What it has given up.
    pub expired: Topic,
    /// What the server answered.
    pub details: Topic,
    /// What is in doubt or given up.
    pub review: Topic,
    /// What the server answered otherwise.
    pub dead_letters: Topic,
    /// What the server wrote down.
    pub requests: Vec<Request>,
}

impl Desk {
    /// Starts the server and makes all topics, with the host's own command.
    ///
    /// # Errors
    /// When something of it does not start.
    pub fn new(client: Client, mode: Promise, behaviour: &Behaviour) -> Result<Self> {
        let app = unique("desk");
        let dir = rundir::make(&app)?;
        let server = RestServer::start(&dir, behaviour)?;
        let desk = Self { client, server, app, dir, mode };
        let file = desk.pipeline("setup")?;
        let output = desk.gristmill(&["topics", "--create", "--partitions", "4"], &file)?.output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(desk)
    }

    /// A topic by its default name.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.app)
    }

    /// The group of a transform.
    pub fn group(&self, transform: &str) -> String {
        format!("{}.{transform}", self.app)
    }

    /// The topics whose records outsiders read.
    pub fn topics(&self) -> [String; 11] {
        [
            "product-inbox",
            "product-information",
            "product-activation",
            "activation-notifications",
            "activations-expired",
            "product-details",
            "rest-lookup.callouts-review",
            "product-intake.dead-letters",
            "activation.dead-letters",
            "rest-lookup.dead-letters",
            "rest-lookup.changelog",
        ]
        .map(|name| self.topic(name))
    }

    /// Writes the pipeline file of one host process.
    ///
    /// # Errors
    /// When it cannot be written, or a plugin does not build.
    pub fn pipeline(&self, instance: &str) -> Result<PathBuf> {
        let mut text = format!(
            "[app]\nid = \"{}\"\ninstance = \"{instance}\"\nstate_dir = \"{}\"\napi = \"127.0.0.1:0\"\n\n\
             [kafka]\nbrokers = \"{}\"\n[kafka.client]\n\"session.timeout.ms\" = {SESSION_MS}\n\
             \"heartbeat.interval.ms\" = 1000\n\n",
            self.app,
            self.dir.join(instance).display(),
            self.client.bootstrap()
        );
        let transform = |name: &str, bindings: &[(&str, &str)], more: &str| -> Result<String> {
            let plugin = host::plugin(&format!("plugins/{name}"))?;
            let mut text = format!("[transforms.{name}]\nplugin = \"{}\"\n", plugin.display());
            for (binding, topic) in bindings {
                text += &format!("{binding} = \"{}\"\n", self.topic(topic));
            }
            Ok(format!("{text}{more}\n"))
        };
        text += &transform(
            "product-intake",
            &[("sources.messages", "product-inbox"), ("sinks.information", "product-information")],
            feed::INTAKE,
        )?;
        text += &transform(
            "activation",
            &[
                ("sources.information", "product-information"),
                ("sources.activation", "product-activation"),
                ("sinks.notifications", "activation-notifications"),
                ("sinks.expired", "activations-expired"),
            ],
            "",
        )?;
        let mode = match self.mode {
            Promise::AtMostOnce => "at-most-once",
            Promise::Idempotent => "idempotent",
        };
        text += &transform(
            "rest-lookup",
            &[("sources.notifications", "activation-notifications"), ("sinks.details", "product-details")],
            &format!(
                "config.path = \"/products/{{externalId}}/{{activationId}}\"\n\
                 [transforms.rest-lookup.endpoints.details]\nbase_url = \"{}\"\nmode = \"{mode}\"\ntimeout = \"2s\"\n\
                 credentials = {{ header = \"Authorization\", from_env = \"{VARIABLE}\" }}\n",
                self.server.base_url()
            ),
        )?;
        let path = self.dir.join(format!("{instance}.toml"));
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }

    /// Starts a host process of that instance name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, instance: &str) -> Result<Process> {
        let file = self.pipeline(instance)?;
        let mut command = self.gristmill(&["run"], &file)?;
        command.env("RUST_BACKTRACE", "1");
        Process::start("the host", &mut command, file.with_extension("log"))
    }

    /// A command of the host about this file.
    ///
    /// # Errors
    /// When the program does not build.
    pub fn gristmill(&self, arguments: &[&str], file: &Path) -> Result<Command> {
        let mut command = Command::new(host::binary()?);
        command.args(arguments).arg(file).env(VARIABLE, SECRET);
        Ok(command)
    }

    /// A producer that puts keys where Java producers put them.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn producer(&self) -> Result<Producer> {
        self.client.producer(&[("partitioner", "murmur2_random"), ("message.timeout.ms", "300000")])
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn observe(&self) -> Result<Seen> {
        let read = |name: &str| Topic::read(&self.client, &self.topic(name));
        Ok(Seen {
            activations: read("product-activation")?,
            information: read("product-information")?,
            notifications: read("activation-notifications")?,
            expired: read("activations-expired")?,
            details: read("product-details")?,
            review: read("rest-lookup.callouts-review")?,
            dead_letters: read("rest-lookup.dead-letters")?,
            requests: self.server.requests()?,
        })
    }

    /// The invariants that concern a pipeline at rest.
    pub fn reports(&self, seen: &Seen) -> Vec<Report> {
        vec![
            checker::one_notification_for_each(
                &seen.activations,
                &seen.information,
                &seen.notifications,
                &seen.expired,
            ),
            checker::requests_keep_to(self.mode, &seen.requests),
            checker::one_outcome_for_each(
                &seen.notifications,
                &seen.details,
                &[&seen.review, &seen.dead_letters],
                &seen.requests,
            ),
        ]
    }

    /// A page of the admin API of a running host, with its headers.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn page(&self, instance: &str, path: &str) -> Result<String> {
        let file = self.dir.join(instance).join(&self.app).join("api");
        let text = fs::read_to_string(&file).with_context(|| format!("no `{}`", file.display()))?;
        let address = text.lines().next().context("an empty file")?;
        Ok(format!("{:?}", http::get(address, path)?))
    }

    /// The files that the hosts have written for people.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn logs(&self) -> Result<Vec<PathBuf>> {
        let paths = fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "log")).collect())
    }
}
