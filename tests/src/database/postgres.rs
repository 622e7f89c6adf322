//! How PostgreSQL is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{PASSWORD, USER, find, run, tls, write};

pub(super) fn prepare(dir: &Path) -> Result<()> {
    let password = dir.join("password");
    write(&password, PASSWORD)?;
    let mut initdb = Command::new(program("initdb")?);
    initdb.args([
        "--username",
        USER,
        "--auth",
        "scram-sha-256",
        "--encoding",
        "UTF8",
        "--no-locale",
        "--no-sync",
    ]);
    initdb.arg("--pwfile").arg(password).arg("--pgdata").arg(dir.join("data"));
    run(&mut initdb)?;
    // A single-user server needs no port; the user is the owner of the data.
    let mut create = Command::new("sh");
    create.args(["-c", "echo 'CREATE DATABASE logistics' | \"$0\" --single -F -D \"$1\" postgres"]);
    create.arg(program("postgres")?).arg(dir.join("data"));
    run(&mut create)
}

pub(super) fn command(dir: &Path, port: u16) -> Result<Command> {
    let mut command = Command::new(program("postgres")?);
    command.arg("-D").arg(dir.join("data")).arg("-p").arg(port.to_string());
    for setting in
        ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=32MB"]
    {
        command.args(["-c", setting]);
    }
    command.args(["-c", "ssl=on"]);
    command.arg("-c").arg(format!("ssl_cert_file={}", tls::certificate(dir).display()));
    command.arg("-c").arg(format!("ssl_key_file={}", tls::key(dir).display()));
    Ok(command)
}

/// Debian has a folder for each version.
fn program(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    find(name, &folders, "postgresql")
}
