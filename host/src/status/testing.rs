//! Pipelines and tasks to put on a board in tests.

use std::path::Path;

use crate::config::assembly::assemble;
use crate::config::pipeline::Pipeline;
use crate::config::{manifest, raw};
use crate::id::{Digest, Offset, Partition, TaskId, TopicPartition};
use crate::status::{PartitionStatus, TaskState, TaskStatus};

const MANIFEST: &str = r#"
[plugin]
name = "delivery-time"
version = "0.1.0"
interface = "0.1"
[[source]]
name = "items"
kind = "table"
[[sink]]
name = "enriched"
"#;

/// The pipeline `shop` with transforms of these names, each from `items` to `items-enriched`.
pub(crate) fn pipeline(transforms: &[&str], workers: usize) -> Pipeline {
    let section = |name: &&str| {
        format!(
            "[transforms.{name}]\nplugin = \"builtin:delivery-time\"\nworkers = {workers}\nsources.items = \"items\"\n\
             sinks.enriched = \"items-enriched\"\ndead_letter.topic = \"shop.dead\"\n"
        )
    };
    let transforms: String = transforms.iter().map(section).collect();
    parsed(&transforms)
}

/// The pipeline `shop` with the transform `t` and the ingests `classes`, of SQL, and `rest`, of HTTP.
pub(crate) fn pipeline_with_ingests() -> Pipeline {
    parsed(
        "[transforms.t]\nplugin = \"builtin:delivery-time\"\nsources.items = \"items\"\nsinks.enriched = \"items-enriched\"\n\
         [ingest.classes]\nkind = \"sql\"\ntopic = \"c\"\ndatabase = \"sqlite:c.db\"\nquery = \"SELECT 1\"\nkey = \"k\"\n\
         schedule.every = \"10m\"\n\
         [ingest.rest]\nkind = \"http\"\ntopic = \"c\"\ntoken.from_env = \"T\"\n",
    )
}

fn parsed(sections: &str) -> Pipeline {
    let text = format!("[app]\nid = \"shop\"\n[kafka]\nbrokers = \"localhost:1\"\n{sections}");
    let raw = raw::parse(Path::new("shop.toml"), &text, &|_| None).unwrap();
    assemble(&raw, &mut |_| Ok((manifest::parse(MANIFEST)?, Digest([7; 32])))).unwrap()
}

/// A running task that has processed 3 records of its partition of `items` and committed 2.
pub(crate) fn task(transform: &str, partition: i32) -> TaskStatus {
    let partition = Partition(partition);
    TaskStatus {
        id: TaskId { transform: transform.into(), partition },
        state: TaskState::Running,
        waiting: 4,
        positions: vec![PartitionStatus {
            place: TopicPartition::new(&"items".into(), partition),
            position: Offset(3),
            committed: Some(Offset(2)),
        }],
        restores: vec![],
        jobs: vec![],
        stores: vec![],
        callouts: crate::status::CalloutCounts::default(),
    }
}
