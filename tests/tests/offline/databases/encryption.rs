//! Connections to a database that are encrypted, and know whom they talk to.

use std::fs;

use gristmill_host::config::ingest::DatabaseUrl;
use gristmill_host::config::secret::SecretSource;
use gristmill_host::fault::{Code, Fault};
use gristmill_tests::database::{Database, Server};
use gristmill_tests::rundir;

use super::{Target, read};

/// What an ingest reads that asks the server whether their connection is encrypted.
fn encryption(database: &Database, options: &str) -> Result<String, Fault> {
    let query = match database.url().starts_with("postgres") {
        true => "SELECT 'k' AS k, ssl::text AS v FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        false => {
            "SELECT 'k' AS k, IF(VARIABLE_VALUE = '', 'false', 'true') AS v \
             FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'"
        }
    };
    let mut ingest = Target::sqlite().ingest(query);
    ingest.database = DatabaseUrl::Plain(format!("{}{options}", database.url()));
    ingest.password = Some(SecretSource::Env("PASSWORD".to_owned()));
    Ok(read(&ingest)?.concat())
}

#[test]
fn encrypts_where_the_server_does_and_not_where_it_is_switched_off() {
    for (server, off) in [(Server::Postgres, "?sslmode=disable"), (Server::Mariadb, "?ssl-mode=disabled")] {
        let database = Database::shared(server).unwrap();

        let [own, off] = ["", off].map(|options| encryption(database, options).unwrap());
        assert_eq!([own, off], ["k {\"v\":\"true\"}", "k {\"v\":\"false\"}"], "{server:?}");
    }
}

#[test]
fn talks_to_a_server_only_if_an_authority_vouches_for_it() {
    let stranger = rundir::make("authority").unwrap().join("stranger.crt");
    let other = Database::start(Server::Postgres).unwrap();
    fs::copy(other.authority(), &stranger).unwrap();
    for (server, mode, file) in [
        (Server::Postgres, "sslmode=verify-full", "sslrootcert"),
        (Server::Mariadb, "ssl-mode=verify_identity", "ssl-ca"),
    ] {
        let database = Database::shared(server).unwrap();
        let with = |authority: &std::path::Path| format!("?{mode}&{file}={}", authority.display());

        let known = encryption(database, &with(&database.authority())).unwrap();
        let strange = encryption(database, &with(&stranger)).unwrap_err();
        let unknown = encryption(database, &format!("?{mode}")).unwrap_err();

        assert_eq!(known, "k {\"v\":\"true\"}", "{server:?}");
        for fault in [strange, unknown] {
            assert_eq!(fault.code(), Code::DatabaseUnreachable, "{}", fault.report());
            assert!(fault.report().to_lowercase().contains("certificate"), "{}", fault.report());
        }
    }
}
