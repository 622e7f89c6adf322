//! How MariaDB is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{PASSWORD, USER, find, run, tls, write};

pub(super) fn prepare(dir: &Path) -> Result<()> {
    let statements = format!(
        "CREATE DATABASE IF NOT EXISTS logistics CHARACTER SET utf8mb4;\n\
         CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON logistics.* TO {USER}@'127.0.0.1';\n"
    );
    write(&dir.join("init.sql"), &statements)?;
    let mut install = Command::new(program("mariadb-install-db")?);
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    run(install.arg(datadir(dir)))
}

pub(super) fn command(dir: &Path, port: u16) -> Result<Command> {
    let mut command = Command::new(program("mariadbd")?);
    command.arg("--no-defaults").arg(datadir(dir));
    command.arg(format!("--port={port}")).args(["--bind-address=127.0.0.1", "--skip-name-resolve"]);
    command.arg(format!("--socket={}", dir.join("socket").display()));
    command.arg(format!("--init-file={}", dir.join("init.sql").display()));
    command.args(["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M", "--skip-log-bin"]);
    command.arg(format!("--ssl-cert={}", tls::certificate(dir).display()));
    command.arg(format!("--ssl-key={}", tls::key(dir).display()));
    Ok(command)
}

fn datadir(dir: &Path) -> String {
    format!("--datadir={}", dir.join("data").display())
}

fn program(name: &str) -> Result<PathBuf> {
    find(name, &["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from), "mariadb-server-core")
}
