//! The secret of an endpoint: read once, put into requests, and shown nowhere.

use std::fmt;

use hyper::header::{HeaderName, HeaderValue};

use crate::config::endpoint::Credentials;
use crate::config::env::Lookup;
use crate::fault::Fault;

/// A header with a secret value. Neither `Debug` nor `Display` shows the value.
#[derive(Clone)]
pub(super) struct Secret {
    name: HeaderName,
    value: HeaderValue,
}

impl Secret {
    /// Reads the secret of the endpoint `endpoint`.
    ///
    /// # Errors
    /// `secret_missing`, which names the place and never the value.
    pub(super) fn read(endpoint: &str, from: &Credentials, lookup: Lookup<'_>) -> Result<Self, Fault> {
        let owner = format!("endpoint `{endpoint}`");
        let text = from.from.read(&owner, lookup)?;
        let fault = |problem: &str| from.from.missing(&owner, problem);
        let name = HeaderName::from_bytes(from.header.as_bytes())
            .map_err(|_| fault("is for a header whose name is none"))?;
        let mut value = HeaderValue::from_str(text.expose()).map_err(|_| {
            fault("holds what cannot be the value of a header, such as a line break in its middle")
        })?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    /// The header's name.
    pub(super) fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The secret itself, marked as sensitive, so that HTTP's own `Debug` does not show it either.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::secret::SecretSource;
    use crate::fault::Code;

    fn credentials(from: SecretSource) -> Credentials {
        Credentials { header: "Authorization".to_owned(), from }
    }

    fn from_env(value: Option<&str>) -> Result<Secret, Fault> {
        let lookup = |name: &str| value.filter(|_| name == "TOKEN").map(str::to_owned);
        Secret::read("details", &credentials(SecretSource::Env("TOKEN".to_owned())), &lookup)
    }

    fn from_file(bytes: &[u8]) -> Result<Secret, Fault> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key"), bytes).unwrap();
        Secret::read("details", &credentials(SecretSource::File(dir.path().join("key"))), &|_| None)
    }

    #[test]
    fn reads_a_variable_or_a_file_without_its_last_line_break() {
        for secret in
            [from_env(Some("Bearer s3cret")), from_file(b"Bearer s3cret\n"), from_file(b"Bearer s3cret\r\n")]
        {
            let secret = secret.unwrap();
            assert_eq!(
                (secret.name().as_str(), secret.value().as_bytes()),
                ("authorization", &b"Bearer s3cret"[..])
            );
        }
    }

    #[test]
    fn reports_a_secret_that_is_not_there() {
        assert_eq!(
            from_env(None).unwrap_err().report(),
            "error: endpoint `details` has no secret: the environment variable `TOKEN` is not set, or is no text\n\
             hint: set the environment variable or write the file that the message names, and start the host again\n\
             code: secret_missing"
        );
        let missing = credentials(SecretSource::File("/nowhere/key".into()));
        let report = Secret::read("details", &missing, &|_| None).unwrap_err().report();
        assert!(report.contains("the file `/nowhere/key` cannot be read"), "{report}");
        for secret in [from_env(Some("")), from_file(b""), from_file(b"\n")] {
            let fault = secret.unwrap_err();
            assert!(fault.code() == Code::SecretMissing && fault.message().ends_with("is empty"), "{fault}");
        }
    }

    #[test]
    fn shows_a_secret_nowhere() {
        let secret = from_env(Some("Bearer s3cret")).unwrap();
        let shown = format!("{secret:?} {:?} {:?}", secret.value(), Some(&secret));
        assert!(shown.contains("authorization") && !shown.contains("s3cret"), "{shown}");

        for secret in
            [from_env(Some("s3cret\r\nHost: evil")), from_env(Some("s3cret\0")), from_file(b"s3cret\xff")]
        {
            let fault = secret.unwrap_err();
            assert_eq!(fault.code(), Code::SecretMissing);
            assert!(!format!("{fault:?} {}", fault.report()).contains("s3cret"), "{}", fault.report());
        }
    }
}
