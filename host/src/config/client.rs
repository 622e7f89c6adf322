//! The options of `[kafka.client]`: passed through to librdkafka, except for those that the host owns.

use std::collections::BTreeMap;

use crate::config::document::Item;
use crate::config::env::{self, Lookup};
use crate::fault::{Code, Fault};

/// The options that the host sets itself because its guarantees depend on them, and what sets them instead. Aliases
/// are listed too: librdkafka takes either name.
pub const OWNED: &[(&str, &str)] = &[
    ("acks", "a transaction needs every acknowledgement"),
    ("allow.auto.create.topics", "a misspelt topic must be an error"),
    ("auto.commit.enable", "positions are committed in the transaction with the outputs"),
    ("auto.offset.reset", "`start` of the source decides where to begin"),
    ("bootstrap.servers", "set `[kafka] brokers`"),
    ("enable.auto.commit", "positions are committed in the transaction with the outputs"),
    ("enable.auto.offset.store", "positions are committed in the transaction with the outputs"),
    ("enable.gapless.guarantee", "the transactional producer settles it"),
    ("enable.idempotence", "the transactional producer settles it"),
    ("enable.partition.eof", "the host needs to see where a partition ends"),
    ("group.id", "it is `<app>.<transform>`"),
    ("group.instance.id", "it is made from `[app] instance`"),
    ("group.protocol", "co-partitioned sources need the classic protocol's assignor"),
    ("isolation.level", "records of open and aborted transactions must stay invisible"),
    ("max.in.flight", "the order of outputs depends on it"),
    ("max.in.flight.requests.per.connection", "the order of outputs depends on it"),
    ("message.send.max.retries", "the transactional producer settles it"),
    ("metadata.broker.list", "set `[kafka] brokers`"),
    ("partition.assignment.strategy", "co-partitioned sources need `range`"),
    ("partitioner", "keys must land where Java producers put them"),
    ("request.required.acks", "a transaction needs every acknowledgement"),
    ("retries", "the transactional producer settles it"),
    ("transaction.timeout.ms", "the bounds of a transaction are derived from it"),
    ("transactional.id", "it is made from `[app] instance`"),
];

/// Reads `[kafka.client]`. A dotted key without quotes is a table in TOML; here it means the same as one in quotes.
///
/// # Errors
/// `client_key_owned`, `invalid_value`, `variable_unset`.
pub fn parse(item: &Item, lookup: Lookup<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let mut options = BTreeMap::new();
    collect(item, "", lookup, &mut options)?;
    Ok(options)
}

fn collect(
    item: &Item,
    prefix: &str,
    lookup: Lookup<'_>,
    options: &mut BTreeMap<String, String>,
) -> Result<(), Fault> {
    for entry in item.open_table()?.entries() {
        let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        if entry.item.is_table() {
            collect(&entry.item, &key, lookup, options)?;
            continue;
        }
        if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == key) {
            let fault = entry.item.place().fault(Code::ClientKeyOwned, "is set by the host itself");
            return Err(fault.because(*reason));
        }
        options.insert(key, value(&entry.item, lookup)?);
    }
    Ok(())
}

/// librdkafka takes all values as text; numbers and truths may be written without quotes.
fn value(item: &Item, lookup: Lookup<'_>) -> Result<String, Fault> {
    match item.json() {
        serde_json::Value::Bool(truth) => Ok(truth.to_string()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => env::expand(item, lookup),
    }
}

/// Whether the value of an option must not be shown.
pub fn is_secret(key: &str) -> bool {
    let secret = ["password", "secret", "key.pem", "jaas", "oauthbearer.config", "token"];
    secret.iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;

    fn options(text: &str) -> Result<BTreeMap<String, String>, Fault> {
        let root = document::parse("shop.toml", text).unwrap();
        parse(&root, &|name| (name == "PASSWORD").then(|| "s3cret".to_owned()))
    }

    #[test]
    fn passes_options_through_as_text() {
        let read = options("'socket.timeout.ms' = 5000\n'sasl.password' = '${PASSWORD}'").unwrap();

        assert_eq!(read["socket.timeout.ms"], "5000");
        assert_eq!(read["sasl.password"], "s3cret");
    }

    #[test]
    fn takes_dotted_keys_without_quotes() {
        assert_eq!(options("security.protocol = 'ssl'").unwrap()["security.protocol"], "ssl");
    }

    #[test]
    fn refuses_every_option_that_the_host_owns_under_each_spelling() {
        for (key, _) in OWNED {
            assert_eq!(options(&format!("'{key}' = '1'")).unwrap_err().code(), Code::ClientKeyOwned, "{key}");
            assert_eq!(options(&format!("{key} = '1'")).unwrap_err().code(), Code::ClientKeyOwned, "{key}");
        }
    }

    #[test]
    fn hides_secrets() {
        assert!(
            is_secret("sasl.password")
                && is_secret("ssl.key.pem")
                && is_secret("sasl.oauthbearer.client.secret")
        );
        assert!(!is_secret("security.protocol"));
    }
}
