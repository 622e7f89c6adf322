//! Where a secret is, and how it is read: it never stands in the pipeline file, and is shown nowhere.

use std::fmt;
use std::path::PathBuf;

use crate::config::env::Lookup;
use crate::fault::{Code, Fault};

/// Where a secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// In this environment variable.
    Env(String),
    /// In this file; a line break at its end is not part of it.
    File(PathBuf),
}

/// A secret. Neither `Debug` nor a message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SecretSource {
    /// The place, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Env(variable) => format!("the environment variable `{variable}`"),
            Self::File(path) => format!("the file `{}`", path.display()),
        }
    }

    /// Reads the secret of `owner`, such as ``endpoint `details` ``.
    ///
    /// # Errors
    /// `secret_missing`, which names the place and never the value.
    pub fn read(&self, owner: &str, lookup: Lookup<'_>) -> Result<Secret, Fault> {
        let text = match self {
            Self::Env(variable) => {
                lookup(variable).ok_or_else(|| self.missing(owner, "is not set, or is no text"))?
            }
            // The error of a file that is no text could quote it; its kind cannot.
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| self.missing(owner, "cannot be read").because(error.kind().to_string()))?,
        };
        // Editors and `echo` end a file with a line break.
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(self.missing(owner, "is empty"));
        }
        Ok(Secret(text.to_owned()))
    }

    /// The fault of a secret that is not there, or cannot be used.
    pub fn missing(&self, owner: &str, problem: &str) -> Fault {
        let message = format!("{owner} has no secret: {} {problem}", self.describe());
        Fault::new(Code::SecretMissing, message)
    }
}
