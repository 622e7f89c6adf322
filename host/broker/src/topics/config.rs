//! The settings of a topic: the table of names with their defaults and forms, and the values that the broker acts on.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use crate::error::Refusal;

/// Values are held as long as their topic is.
const MAX_VALUE: usize = 1_000;

/// What a setting's value must look like. The numbers are Kafka's for DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Boolean = 1,
    Text = 2,
    Integer = 3,
    Long = 5,
    Ratio = 6,
    /// Comma-separated words of `compact` and `delete`.
    Policy = 7,
}

/// One setting that topics have.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) form: Form,
}

const fn setting(name: &'static str, default: &'static str, form: Form) -> Setting {
    Setting { name, default, form }
}

/// Kafka's topic settings. Those marked have an effect here; the others are kept and described, and
/// concern files, replicas or formats that this broker does not have.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("cleanup.policy", "delete", Form::Policy), // effect
    setting("compression.type", "producer", Form::Text),
    setting("delete.retention.ms", "86400000", Form::Long), // effect
    setting("file.delete.delay.ms", "60000", Form::Long),
    setting("flush.messages", "9223372036854775807", Form::Long),
    setting("flush.ms", "9223372036854775807", Form::Long),
    setting("follower.replication.throttled.replicas", "", Form::Text),
    setting("index.interval.bytes", "4096", Form::Integer),
    setting("leader.replication.throttled.replicas", "", Form::Text),
    setting("max.compaction.lag.ms", "9223372036854775807", Form::Long),
    setting("max.message.bytes", "1048588", Form::Integer), // effect
    setting("message.timestamp.after.max.ms", "3600000", Form::Long), // effect
    setting("message.timestamp.before.max.ms", "9223372036854775807", Form::Long), // effect
    setting("message.timestamp.type", "CreateTime", Form::Text), // effect
    setting("min.cleanable.dirty.ratio", "0.5", Form::Ratio), // effect
    setting("min.compaction.lag.ms", "0", Form::Long),      // effect
    setting("min.insync.replicas", "1", Form::Integer),     // effect
    setting("preallocate", "false", Form::Boolean),
    setting("retention.bytes", "-1", Form::Long),     // effect
    setting("retention.ms", "604800000", Form::Long), // effect
    setting("segment.bytes", "1073741824", Form::Integer),
    setting("segment.index.bytes", "10485760", Form::Integer),
    setting("segment.jitter.ms", "0", Form::Long),
    setting("segment.ms", "604800000", Form::Long),
    setting("unclean.leader.election.enable", "false", Form::Boolean),
];

/// The settings of one topic: what differs from the defaults, every value of the right form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    overrides: BTreeMap<&'static str, String>,
}

impl TopicConfig {
    /// Sets one value.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for a name that topics do not have or a value of another form.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let setting = find(name)?;
        if !is_valid(setting, value) {
            let message = format!("invalid value `{value}` for topic setting `{name}`");
            return Err(Refusal::new(ResponseError::InvalidConfig, message));
        }
        self.overrides.insert(setting.name, value.to_owned());
        Ok(())
    }

    /// Sets one value back to its default.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for a name that topics do not have.
    pub(crate) fn reset(&mut self, name: &str) -> Result<(), Refusal> {
        self.overrides.remove(find(name)?.name);
        Ok(())
    }

    /// The value in force.
    pub(crate) fn value(&self, setting: &Setting) -> &str {
        self.overrides.get(setting.name).map_or(setting.default, String::as_str)
    }

    pub(crate) fn is_overridden(&self, setting: &Setting) -> bool {
        self.overrides.contains_key(setting.name)
    }

    pub(crate) fn compacts(&self) -> bool {
        self.text("cleanup.policy").split(',').any(|policy| policy.trim() == "compact")
    }

    pub(crate) fn deletes(&self) -> bool {
        self.text("cleanup.policy").split(',').any(|policy| policy.trim() == "delete")
    }

    /// `None` keeps records for ever.
    pub(crate) fn retention(&self) -> Option<Duration> {
        u64::try_from(self.number("retention.ms")).ok().map(Duration::from_millis)
    }

    /// `None` keeps any amount.
    pub(crate) fn retention_bytes(&self) -> Option<usize> {
        usize::try_from(self.number("retention.bytes")).ok()
    }

    pub(crate) fn delete_retention(&self) -> Duration {
        self.duration("delete.retention.ms")
    }

    pub(crate) fn min_compaction_lag(&self) -> Duration {
        self.duration("min.compaction.lag.ms")
    }

    pub(crate) fn min_dirty_ratio(&self) -> f64 {
        self.text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5)
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        usize::try_from(self.number("max.message.bytes")).unwrap_or(0)
    }

    pub(crate) fn min_insync_replicas(&self) -> i64 {
        self.number("min.insync.replicas")
    }

    pub(crate) fn stamps_on_append(&self) -> bool {
        self.text("message.timestamp.type") == "LogAppendTime"
    }

    /// How far a producer's timestamps may lie before and after the broker's time, in milliseconds.
    pub(crate) fn timestamp_bounds_ms(&self) -> (i64, i64) {
        (self.number("message.timestamp.before.max.ms"), self.number("message.timestamp.after.max.ms"))
    }

    fn text(&self, name: &str) -> &str {
        SETTINGS.iter().find(|setting| setting.name == name).map_or("", |setting| self.value(setting))
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(-1)
    }

    fn duration(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or(0))
    }
}

fn find(name: &str) -> Result<&'static Setting, Refusal> {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .ok_or_else(|| Refusal::new(ResponseError::InvalidConfig, format!("unknown topic setting `{name}`")))
}

fn is_valid(setting: &Setting, value: &str) -> bool {
    if value.len() > MAX_VALUE {
        return false;
    }
    match setting.form {
        Form::Boolean => ["true", "false"].contains(&value),
        Form::Integer => value.parse::<i32>().is_ok_and(|number| number >= 0),
        Form::Long => value.parse::<i64>().is_ok_and(|number| number >= -1),
        Form::Ratio => value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
        Form::Policy => value.split(',').all(|policy| ["compact", "delete"].contains(&policy.trim())),
        Form::Text if setting.name == "message.timestamp.type" => {
            ["CreateTime", "LogAppendTime"].contains(&value)
        }
        Form::Text => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_its_own_defaults() {
        for setting in SETTINGS {
            let mut config = TopicConfig::default();
            config.set(setting.name, setting.default).unwrap();

            assert_eq!(config.value(setting), setting.default);
        }
    }

    #[test]
    fn refuses_unknown_names_and_values_of_another_form() {
        let mut config = TopicConfig::default();

        for (name, value) in [
            ("cleanup.polizei", "compact"),
            ("cleanup.policy", "shred"),
            ("retention.ms", "soon"),
            ("preallocate", "1"),
            ("min.cleanable.dirty.ratio", "7"),
            ("message.timestamp.type", "Never"),
            ("max.message.bytes", "-5"),
        ] {
            assert_eq!(config.set(name, value).unwrap_err().error, ResponseError::InvalidConfig, "{name}");
        }
    }

    #[test]
    fn acts_on_what_was_set() {
        let mut config = TopicConfig::default();
        config.set("cleanup.policy", "compact,delete").unwrap();
        config.set("retention.ms", "-1").unwrap();
        config.set("delete.retention.ms", "100").unwrap();

        assert!(config.compacts() && config.deletes());
        assert_eq!(config.retention(), None);
        assert_eq!(config.delete_retention(), Duration::from_millis(100));
        config.reset("cleanup.policy").unwrap();
        assert!(!config.compacts());
    }
}
