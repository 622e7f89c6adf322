//! Real databases for the tests of SQL ingests: PostgreSQL and MariaDB from the packages of the system, on loopback.
//!
//! Dropping one kills it; so does the end of the test program, however it ends, because the shell that started it waits for the end
//! of a pipe and removes the files as well.

mod mariadb;
mod postgres;
mod tls;

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use sqlx::{AssertSqlSafe, Connection};

use crate::cluster::free_ports;
use crate::process::{signal, tail};
use crate::wait::{self, Seen};

/// The user that the tests connect as.
pub const USER: &str = "logistics";

/// The user's password.
pub const PASSWORD: &str = "geheim-4711";

/// An unprivileged user, because servers refuse to run as root.
const NOBODY: u32 = 65_534;

/// Starts a server, waits for the end of the pipe, kills it and removes its files.
const KEEPER: &str = r#"dir=$1; signal=$2; shift 2; trap '' INT TERM
"$@" </dev/null & pid=$!; echo "$pid" >"$dir/pid.new"; mv "$dir/pid.new" "$dir/pid"
read -r _; kill "-$signal" "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$dir""#;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// MariaDB, which speaks the protocol of MySQL.
    Mariadb,
}

impl Server {
    /// The signal that ends it like a crash.
    fn end(self) -> i32 {
        match self {
            // A killed postmaster would leave its children at work; told to quit, it kills them too and writes nothing.
            Self::Postgres => libc::SIGQUIT,
            Self::Mariadb => libc::SIGKILL,
        }
    }
}

/// A database server with an empty database `logistics`.
#[derive(Debug)]
pub struct Database {
    server: Server,
    /// Its data, its log and its process id. Removed with it.
    dir: PathBuf,
    port: u16,
    keeper: Keeper,
}

/// The shell that guards a server.
#[derive(Debug)]
struct Keeper {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Database {
    /// The server that all tests of this program share.
    ///
    /// # Errors
    /// When its programs are missing, with a hint; when it does not start.
    pub fn shared(server: Server) -> Result<&'static Self> {
        static POSTGRES: OnceLock<Result<Database>> = OnceLock::new();
        static MARIADB: OnceLock<Result<Database>> = OnceLock::new();
        let shared = match server {
            Server::Postgres => &POSTGRES,
            Server::Mariadb => &MARIADB,
        };
        shared.get_or_init(|| Self::start(server)).as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    /// Starts a server for a test that kills it.
    ///
    /// # Errors
    /// As [`Database::shared`].
    pub fn start(server: Server) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("gristmill-database-").tempdir()?.keep();
        if is_root() {
            chown(&dir, Some(NOBODY), Some(NOBODY))?;
        }
        let [port] = free_ports(1)?[..] else { anyhow::bail!("there is no port") };
        tls::prepare(&dir)?;
        match server {
            Server::Postgres => postgres::prepare(&dir)?,
            Server::Mariadb => mariadb::prepare(&dir)?,
        }
        let keeper = keep(server, &dir, port)?;
        let database = Self { server, dir, port, keeper };
        database.await_ready()?;
        Ok(database)
    }

    /// The certificate of the authority that vouches for it.
    pub fn authority(&self) -> PathBuf {
        tls::authority(&self.dir)
    }

    /// Its URL, without the password.
    pub fn url(&self) -> String {
        self.url_with(USER)
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What the database answers.
    pub fn execute(&self, statements: &str) -> Result<()> {
        execute(&self.url_with(&format!("{USER}:{PASSWORD}")), statements)
    }

    /// Ends the server as a crash of the machine does, and waits for its end.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&self) -> Result<()> {
        let pid = fs::read_to_string(self.dir.join("pid"))?.trim().parse()?;
        signal(pid, self.server.end())?;
        wait::until("the server to end", || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let is_over = state.is_empty() || state.contains(") Z ");
            Ok(if is_over { Seen::Yes(()) } else { Seen::NotYet(state) })
        })
    }

    /// Starts a server that was killed again, with its data and on its port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        // The old keeper would remove the data.
        self.keeper.shell.kill()?;
        self.keeper.shell.wait()?;
        fs::remove_file(self.dir.join("pid"))?;
        self.keeper = keep(self.server, &self.dir, self.port)?;
        self.await_ready()
    }

    fn url_with(&self, user: &str) -> String {
        let scheme = match self.server {
            Server::Postgres => "postgres",
            Server::Mariadb => "mysql",
        };
        format!("{scheme}://{user}@127.0.0.1:{}/logistics", self.port)
    }

    fn await_ready(&self) -> Result<()> {
        wait::until("the database to answer", || match self.execute("SELECT 1") {
            Ok(()) => Ok(Seen::Yes(())),
            Err(error) => Ok(Seen::NotYet(format!("{error:#}\n{}", tail(&self.dir.join("log"))))),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.pipe.take());
        drop(self.shell.wait());
    }
}

/// Runs statements on the database of a URL, which may be one of SQLite as well.
///
/// # Errors
/// What the database answers.
pub fn execute(url: &str, statements: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sql = || sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    runtime.block_on(async {
        match url.split(':').next() {
            Some("postgres") => {
                let mut connection = sqlx::PgConnection::connect(url).await?;
                sql().execute(&mut connection).await?;
                connection.close().await
            }
            Some("mysql") => {
                let mut connection = sqlx::MySqlConnection::connect(url).await?;
                sql().execute(&mut connection).await?;
                connection.close().await
            }
            _ => {
                let mut connection = sqlx::SqliteConnection::connect(url).await?;
                sql().execute(&mut connection).await?;
                connection.close().await
            }
        }
    })?;
    Ok(())
}

fn keep(server: Server, dir: &Path, port: u16) -> Result<Keeper> {
    let command = match server {
        Server::Postgres => postgres::command(dir, port)?,
        Server::Mariadb => mariadb::command(dir, port)?,
    };
    let log = fs::File::options().create(true).append(true).open(dir.join("log"))?;
    let mut shell = Command::new("sh");
    shell.args(["-c", KEEPER, "keeper"]).arg(dir).arg(server.end().to_string());
    shell.arg(command.get_program()).args(command.get_args());
    let mut shell = unprivileged(&mut shell)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {server:?}"))?;
    let pipe = shell.stdin.take();
    let keeper = Keeper { shell, pipe };
    wait::until("the process id of the database", || {
        let is_there = dir.join("pid").exists();
        Ok(if is_there { Seen::Yes(()) } else { Seen::NotYet(tail(&dir.join("log"))) })
    })?;
    Ok(keeper)
}

/// Runs a program that prepares the data of a server to its end.
fn run(command: &mut Command) -> Result<()> {
    // Not through pipes: a program that stays behind would hold them open.
    let mut output = tempfile::tempfile()?;
    let program = command.get_program().display().to_string();
    let status = unprivileged(command)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .status()
        .with_context(|| format!("cannot run `{program}`"))?;
    let mut text = String::new();
    output.seek(SeekFrom::Start(0))?;
    output.read_to_string(&mut text)?;
    ensure!(status.success(), "`{program}` ended with {status}:\n{text}");
    Ok(())
}

fn unprivileged(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Finds a program in one of the folders, or says what to install.
fn find(program: &str, folders: &[PathBuf], package: &str) -> Result<PathBuf> {
    let paths = folders.iter().map(|folder| folder.join(program));
    paths.into_iter().find(|path| path.exists()).with_context(|| {
        format!("`{program}` is missing: run `make databases`, or install the package `{package}`")
    })
}

/// Writes a file that the server can read.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::File::create(path).with_context(|| format!("cannot make `{}`", path.display()))?;
    file.write_all(text.as_bytes())?;
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}
