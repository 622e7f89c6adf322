//! Names and numbers that must not be mixed up, each as a type of its own.

use std::fmt;
use std::sync::Arc;

/// Declares a cheaply cloned name: a shared, immutable string with a type of its own.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps `name` without checking it; configuration checks names where they are read.
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

/// Declares a position or count with a type of its own.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name! {
    /// The name of an ingest in a pipeline file.
    IngestName
}

name! {
    /// The id of an application: the prefix of everything that the host creates in Kafka.
    AppId
}
name! {
    /// The name under which a plugin is deployed in a pipeline file.
    TransformName
}
name! {
    /// A topic of the Kafka cluster.
    TopicName
}
name! {
    /// The stable name of one host process; part of its transactional and group instance ids.
    InstanceName
}

number! {
    /// A partition of a topic, counted from 0.
    Partition(i32)
}
number! {
    /// A place in a partition. As a position it is the next record to read, never the last one read.
    Offset(i64)
}
number! {
    /// Milliseconds since 1970, as Kafka stores them.
    Timestamp(i64)
}
number! {
    /// Position of a source in the manifest.
    SourceIndex(u32)
}
number! {
    /// Position of a sink in the manifest.
    SinkIndex(u32)
}
number! {
    /// Position of an endpoint in the manifest.
    EndpointIndex(u32)
}

impl Offset {
    /// The position after the record at this offset.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One partition of one topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition in it.
    pub partition: Partition,
}

impl TopicPartition {
    /// Names a partition of a topic.
    pub fn new(topic: &TopicName, partition: Partition) -> Self {
        Self { topic: topic.clone(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A transform and a partition number: the unit of order, state and commit. Printed `delivery-time/3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId {
    /// The transform.
    pub transform: TransformName,
    /// The partition number that the task owns in each of its partitioned sources.
    pub partition: Partition,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.transform, self.partition)
    }
}

/// A SHA-256: of a plugin's component, or of the settings that an index depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_task_as_transform_and_partition() {
        let task = TaskId { transform: "delivery-time".into(), partition: Partition(3) };

        assert_eq!(task.to_string(), "delivery-time/3");
    }
}
