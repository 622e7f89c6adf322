//! The options of `[kafka.client]`: passed through to librdkafka, except for those that the host owns.

use std::collections::BTreeMap;

use crate::config::document::Item;
use crate::config::env::{self, Lookup};
use crate::fault::{Code, Fault};

/// The options that the host sets itself because its guarantees depend on them, and what sets them instead. Aliases
/// are listed too: librdkafka takes either name.
pub const OWNED: &[(&str, &str)] = &[
    ("acks", TRANSACTIONAL),
    ("allow.auto.create.topics", "a misspelt topic must be an error"),
    ("auto.commit.enable", POSITIONS),
    ("auto.commit.interval.ms", POSITIONS),
    ("auto.offset.reset", "`start` of the source decides where to begin"),
    ("batch.size", "it follows from the sizes that the topics allow"),
    ("bootstrap.servers", "set `[kafka] brokers`"),
    ("delivery.report.only.error", TRANSACTIONAL),
    ("delivery.timeout.ms", TRANSACTIONAL),
    ("enable.auto.commit", POSITIONS),
    ("enable.auto.offset.store", POSITIONS),
    ("enable.gapless.guarantee", TRANSACTIONAL),
    ("enable.idempotence", TRANSACTIONAL),
    ("enable.partition.eof", "the host needs to see where a partition ends"),
    ("group.id", "it is `<app>.<transform>`"),
    ("group.instance.id", "it is made from `[app] instance`"),
    ("group.protocol", "co-partitioned sources need an assignor of the classic protocol"),
    ("group.remote.assignor", "co-partitioned sources need an assignor of the classic protocol"),
    ("isolation.level", "records of open and aborted transactions must stay invisible"),
    ("log.queue", "the host logs what the client says"),
    ("max.in.flight", TRANSACTIONAL),
    ("max.in.flight.requests.per.connection", TRANSACTIONAL),
    ("message.max.bytes", "it follows from the sizes that the topics allow"),
    ("message.send.max.retries", TRANSACTIONAL),
    ("message.timeout.ms", TRANSACTIONAL),
    ("metadata.broker.list", "set `[kafka] brokers`"),
    ("msg_order_cmp", TRANSACTIONAL),
    ("partition.assignment.strategy", "co-partitioned sources need `range`"),
    ("partitioner", "keys must land where Java producers put them"),
    ("queuing.strategy", TRANSACTIONAL),
    ("request.required.acks", TRANSACTIONAL),
    ("retries", TRANSACTIONAL),
    ("transaction.timeout.ms", "the bounds of a transaction are derived from it"),
    ("transactional.id", "it is made from `[app] instance`"),
];

const POSITIONS: &str = "positions are committed in the transaction with the outputs";
const TRANSACTIONAL: &str = "the transactional producer settles it: no record lost, none twice, all in order";

/// Whether the host sets an option itself.
pub fn is_owned(key: &str) -> bool {
    OWNED.iter().any(|(owned, _)| *owned == key)
}

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
