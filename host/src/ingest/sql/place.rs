//! Where a database is, and what of it must never be shown.

use std::fmt::Display;

use percent_encoding::percent_decode_str;

use crate::config::env::Lookup;
use crate::config::ingest::DatabaseUrl;
use crate::config::secret::SecretSource;
use crate::fault::{Code, Fault};

/// The options that a URL of PostgreSQL may have.
const POSTGRES_OPTIONS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The options that a URL of MySQL may have.
const MYSQL_OPTIONS: &[&str] = &["ssl-mode", "sslmode", "ssl-ca", "ssl-cert", "ssl-key", "socket"];

/// The databases that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
    Mysql,
}

/// A database with its secrets.
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) url: String,
    pub(super) password: Option<String>,
    /// How messages call it.
    name: String,
    /// What messages must not have in them.
    hidden: Vec<String>,
}

impl Place {
    /// Reads URL and password.
    ///
    /// # Errors
    /// `secret_missing`, `invalid_value`.
    pub(super) fn read(
        database: &DatabaseUrl,
        password: Option<&SecretSource>,
        owner: &str,
        lookup: Lookup<'_>,
    ) -> Result<Self, Fault> {
        let password = password.map(|source| source.read(owner, lookup)).transpose()?;
        let password = password.map(|secret| secret.expose().to_owned());
        let (url, name) = match database {
            DatabaseUrl::Plain(url) => (url.clone(), format!("`{url}`")),
            DatabaseUrl::Secret(source) => {
                let url = source.read(owner, lookup)?.expose().to_owned();
                (url, format!("whose URL is in {}", source.describe()))
            }
        };
        let kind = kind_of(&url);
        let kind = kind.ok_or_else(|| invalid(&name, "is no SQLite, PostgreSQL or MySQL"))?;
        let mut hidden: Vec<_> = password.iter().cloned().chain(passwords_in(&url)).collect();
        if matches!(database, DatabaseUrl::Secret(_)) {
            hidden.push(url.clone());
        }
        // The longest first: one may be a part of another.
        hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let place = Self { kind, url, password, name, hidden };
        place.check_options()?;
        Ok(place)
    }

    /// How messages call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// An error of a driver as it may be shown: drivers quote what they were given.
    pub(super) fn shown(&self, error: &dyn Display) -> String {
        let is_filled = |secret: &&String| !secret.is_empty();
        let hide = |text: String, secret: &String| text.replace(secret.as_str(), "***");
        self.hidden.iter().filter(is_filled).fold(error.to_string(), hide)
    }

    /// The fault of a URL that a driver does not take.
    pub(super) fn refused(&self, error: &sqlx::Error) -> Fault {
        invalid(&self.name, "has a URL that its driver does not take").because(self.shown(error))
    }

    /// Drivers ignore options that they do not know, or write them into the log with their values.
    fn check_options(&self) -> Result<(), Fault> {
        let known = match self.kind {
            // Its driver refuses them.
            Kind::Sqlite if self.password.is_none() => return Ok(()),
            Kind::Sqlite => return Err(invalid(&self.name, "is SQLite, which has no password")),
            Kind::Postgres => POSTGRES_OPTIONS,
            Kind::Mysql => MYSQL_OPTIONS,
        };
        let options = self.url.split_once('?').map_or("", |(_, options)| options);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let name = option.split('=').next().unwrap_or_default();
            if !known.contains(&name) && !name.starts_with("options[") {
                let problem = format!("has the unknown option `{name}` in its URL");
                let hint = format!("there are `{}`", known.join("`, `"));
                return Err(invalid(&self.name, &problem).hint(hint));
            }
        }
        Ok(())
    }
}

fn invalid(name: &str, problem: &str) -> Fault {
    Fault::new(Code::InvalidValue, format!("the database {name} {problem}"))
}

fn kind_of(url: &str) -> Option<Kind> {
    match url.split_once(':')?.0 {
        "sqlite" => Some(Kind::Sqlite),
        "postgres" | "postgresql" => Some(Kind::Postgres),
        "mysql" => Some(Kind::Mysql),
        _ => None,
    }
}

/// The passwords in a URL, as they stand there and as they are meant.
fn passwords_in(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let user = rest.rsplit_once('@').map(|(user, _)| user);
    let in_user = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
    let options = rest.split_once('?').map_or("", |(_, options)| options).split('&');
    let in_options = options.filter_map(|option| option.strip_prefix("password="));
    let written: Vec<_> = in_user.into_iter().chain(in_options).map(str::to_owned).collect();
    let decoded = written.iter().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
    decoded.chain(written.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, password: Option<&str>) -> Result<Place, Fault> {
        let lookup = |name: &str| match name {
            "URL" => Some(url.to_owned()),
            _ => password.map(str::to_owned),
        };
        let source = |name: &str| SecretSource::Env(name.to_owned());
        let password = password.map(|_| source("PASSWORD"));
        Place::read(&DatabaseUrl::Secret(source("URL")), password.as_ref(), "ingest `classes`", &lookup)
    }

    #[test]
    fn shows_no_password_whatever_a_driver_quotes() {
        let url = "postgres://shop:p%40ss-word@db/shop?password=other-one";
        let place = read(url, Some("third-one")).ok().unwrap();

        let shown = place.shown(&format!("{url} p@ss-word p%40ss-word other-one third-one"));

        assert_eq!(shown, "*** *** *** *** ***");
        assert_eq!(place.name(), "whose URL is in the environment variable `URL`");
    }

    #[test]
    fn refuses_options_that_drivers_would_ignore_without_showing_their_values() {
        for (url, option) in
            [("postgres://db/shop?sslmod=require", "sslmod"), ("mysql://db/shop?pasword=geheim", "pasword")]
        {
            let fault = read(url, None).err().unwrap();

            assert_eq!(fault.code(), Code::InvalidValue);
            assert!(fault.message().contains(&format!("unknown option `{option}`")), "{fault}");
            assert!(!fault.report().contains("geheim"), "{fault}");
        }
    }

    #[test]
    fn refuses_what_is_no_database_of_the_three() {
        for url in ["redis://db", "no URL", "sqlite"] {
            assert_eq!(read(url, None).err().unwrap().code(), Code::InvalidValue, "{url}");
        }
        assert_eq!(read("sqlite:a.db", Some("x")).err().unwrap().code(), Code::InvalidValue);
    }
}
