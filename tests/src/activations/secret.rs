//! I15: the secret of an endpoint is nowhere to be seen.

use std::fs;

use anyhow::{Context, Result};

use super::Desk;
use crate::checker::Topic;

/// What the hosts present to the server.
pub const SECRET: &str = "Bearer hunter2-is-not-a-good-token";

/// The part of it that would give it away.
const TELLING: &[u8] = b"hunter2";

impl Desk {
    /// Where the secret is that it must not be: in logs, in records, in these texts of the API and of commands. Empty when all
    /// is well.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn leaks(&self, texts: &[(&str, String)]) -> Result<Vec<String>> {
        let mut found: Vec<_> = texts
            .iter()
            .filter(|(_, text)| tells(text.as_bytes()))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for log in self.logs()? {
            let text = fs::read(&log).with_context(|| format!("cannot read `{}`", log.display()))?;
            if tells(&text) {
                found.push(log.display().to_string());
            }
        }
        for name in self.topics() {
            let topic = Topic::read(&self.client, &name)?;
            let is_leak = topic.uncommitted.iter().any(|record| {
                let headers = record.headers.iter().filter_map(|(_, value)| value.as_deref());
                [record.key.as_deref(), record.value.as_deref()]
                    .into_iter()
                    .flatten()
                    .chain(headers)
                    .any(tells)
            });
            if is_leak {
                found.push(name);
            }
        }
        Ok(found)
    }
}

fn tells(bytes: &[u8]) -> bool {
    bytes.windows(TELLING.len()).any(|window| window == TELLING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_secret_when_it_sees_it() {
        assert!(tells(format!("x {SECRET}").as_bytes()));
        assert!(!tells(b"Bearer of good news"));
    }
}
