//! A real Apache Kafka, started by `tests/kafka/kafka.sh` and ended with the test program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Cluster, Kind, ports};
use crate::certificates::Certificates;
use crate::process::{signal, tail};
use crate::rundir;

/// How many nodes a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// Enough for most tests.
    One,
    /// Three copies of everything.
    Three,
}

impl Nodes {
    fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// The password of the user `gristmill` of a secured listener.
pub const PASSWORD: &str = "geheim-0815";

/// A listener for clients that encrypt and have a password ([`PASSWORD`]).
#[derive(Debug)]
pub struct Secured {
    /// Its port on `localhost`.
    pub port: u16,
    /// The certificate of the authority that vouches for it.
    pub authority: PathBuf,
}

/// A cluster of Apache Kafka nodes on loopback. Dropping it kills the nodes; so does the end of the test program,
/// however it ends, because the script that started them waits for the end of a pipe.
#[derive(Debug)]
pub struct Apache {
    run: PathBuf,
    nodes: Nodes,
    ports: Vec<u16>,
    script: Child,
    /// Its end is the script's signal to kill the nodes.
    pipe: Option<ChildStdin>,
}

impl Apache {
    /// The one-node cluster that all tests of this program share.
    ///
    /// # Errors
    /// When Java, Maven or the jars are missing, with a hint; when Kafka does not start.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Apache>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Nodes::One)).as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    /// Starts a cluster of its own, for a test that kills brokers.
    ///
    /// # Errors
    /// As [`Apache::shared`].
    pub fn start(nodes: Nodes) -> Result<Self> {
        Self::start_with(nodes, None)
    }

    /// Starts a node with one more listener, for clients that encrypt and have a password.
    ///
    /// # Errors
    /// As [`Apache::shared`].
    pub fn secured() -> Result<(Self, Secured)> {
        let [port] = ports::free(1)?[..] else { anyhow::bail!("there is no port") };
        let certificates = Certificates::make()?;
        let cluster = Self::start_with(Nodes::One, Some((port, &certificates)))?;
        let authority = cluster.run.join("authority.crt");
        fs::write(&authority, &certificates.authority)?;
        Ok((cluster, Secured { port, authority }))
    }

    fn start_with(nodes: Nodes, secured: Option<(u16, &Certificates)>) -> Result<Self> {
        fetch()?;
        let run = rundir::make("kafka")?;
        let ports = ports::free(2 * nodes.count())?;
        let mut command = kafka_sh(&run, &ports);
        if let Some((port, certificates)) = secured {
            fs::write(run.join("server.pem"), format!("{}{}", certificates.key, certificates.server))?;
            command.env("SECURE", port.to_string()).env("PASSWORD", PASSWORD);
        }
        let mut script = command
            .args(["hold", &nodes.count().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(run.join("script.log"))?)
            .spawn()
            .context("cannot start tests/kafka/kafka.sh")?;
        let pipe = script.stdin.take();
        let output = script.stdout.take().context("the script has no output")?;
        let cluster = Self { run, nodes, ports, script, pipe };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(
            line.trim() == cluster.bootstrap(),
            "Kafka did not start (logs in `{}`):\n{}\n{}",
            cluster.run.display(),
            tail(&cluster.run.join("script.log")),
            cluster.log()
        );
        Ok(cluster)
    }

    /// Ends a node with SIGKILL. Nodes are numbered from 1.
    ///
    /// # Errors
    /// When the node does not run.
    pub fn kill(&self, node: usize) -> Result<()> {
        let pid = self.pid(node)?;
        signal(pid, libc::SIGKILL)?;
        crate::wait::until("the broker's end", || {
            // Its parent is the script, a shell, which reaps it.
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let gone = state.is_empty() || state.contains(") Z ");
            Ok(if gone { crate::wait::Seen::Yes(()) } else { crate::wait::Seen::NotYet(state) })
        })
    }

    /// Stops a node with SIGSTOP, until [`Apache::resume`].
    ///
    /// # Errors
    /// When the node does not run.
    pub fn pause(&self, node: usize) -> Result<()> {
        signal(self.pid(node)?, libc::SIGSTOP)
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// When the node does not run.
    pub fn resume(&self, node: usize) -> Result<()> {
        signal(self.pid(node)?, libc::SIGCONT)
    }

    /// Starts a killed node again, on the same port and the same data.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&self, node: usize) -> Result<()> {
        let output = kafka_sh(&self.run, &self.ports)
            .args(["node", &node.to_string(), &self.nodes.count().to_string()])
            .output()
            .context("cannot run tests/kafka/kafka.sh")?;
        ensure!(
            output.status.success(),
            "node {node} did not restart: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// The process id of a node.
    ///
    /// # Errors
    /// When it was never started.
    pub fn pid(&self, node: usize) -> Result<u32> {
        let file = self.run.join(format!("node{node}/pid"));
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        Ok(text.trim().parse()?)
    }
}

impl Cluster for Apache {
    fn bootstrap(&self) -> String {
        let brokers = self.ports.iter().take(self.nodes.count());
        brokers.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    fn kind(&self) -> Kind {
        Kind::Apache
    }

    fn log(&self) -> String {
        let logs = (1..=self.nodes.count()).map(|node| {
            let log = self.run.join(format!("node{node}/broker.log"));
            format!("--- the end of `{}`:\n{}\n", log.display(), tail(&log))
        });
        logs.collect()
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The script ends by itself now; there is nothing to do about a failure.
        drop(self.script.wait());
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        } else {
            for node in 1..=self.nodes.count() {
                drop(fs::remove_dir_all(self.run.join(format!("node{node}/data"))));
            }
        }
    }
}

/// Fetches the jars, once.
fn fetch() -> Result<()> {
    static FETCHED: OnceLock<Result<(), String>> = OnceLock::new();
    let fetched = FETCHED.get_or_init(|| {
        let output = Command::new(script()).arg("fetch").output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    });
    fetched.clone().map_err(|error| anyhow!("cannot fetch Apache Kafka for the tests:\n{error}"))
}

fn kafka_sh(run: &PathBuf, ports: &[u16]) -> Command {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    let mut command = Command::new(script());
    command.env("RUN", run).env("PORTS", ports.join(" ")).env("HEAP", "-Xms128m -Xmx640m");
    command
}

fn script() -> PathBuf {
    rundir::repository().join("tests/kafka/kafka.sh")
}
