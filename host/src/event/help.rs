//! What each metric of the host counts, for the page of metrics.

/// Names with what they count; a test proves that no event's metric is missing.
const HELP: &[(&str, &str)] = &[
    ("gristmill_assignments_total", "Times that a group gave partitions to a worker or took them."),
    ("gristmill_bogus_causal_headers_total", "Records that named a position that its topic does not hold."),
    (
        "gristmill_broadcasts_restarted_total",
        "Broadcast topics that ended before the position that a task had reached.",
    ),
    ("gristmill_build_info", "The version of the host; always 1."),
    (
        "gristmill_calls_failed_total",
        "Calls of a plugin that failed and were tried again in smaller batches.",
    ),
    (
        "gristmill_callout_answers_ignored_total",
        "Answers that came for callouts that had ended in another way.",
    ),
    (
        "gristmill_callout_answers_total",
        "Calls of an endpoint that came to an end: a class of statuses, or why there is none.",
    ),
    (
        "gristmill_callout_circuit_open",
        "Whether an endpoint cannot be reached, so that its callouts wait: 1 or 0.",
    ),
    ("gristmill_callout_retries_total", "Attempts at a call after one that was not answered."),
    (
        "gristmill_callout_seconds",
        "How long calls took that were answered, pauses between attempts included.",
    ),
    ("gristmill_callouts_sent_total", "Requests of which a byte was handed to a connection."),
    ("gristmill_callouts_ended_total", "Callouts that have ended, by their outcome."),
    ("gristmill_callouts_ignored_total", "Callouts that a plugin wanted under an id that is known."),
    ("gristmill_client_warnings_total", "Troubles that a Kafka client got over by itself."),
    ("gristmill_commit_seconds", "How long commits took."),
    ("gristmill_dead_letters_total", "Records that went to the dead-letter topic."),
    ("gristmill_groups_rejoined_total", "Consumers that were made anew."),
    ("gristmill_ingest_changes_total", "Records that runs of an ingest have published, by what they change."),
    ("gristmill_ingest_run_seconds", "How long runs of an ingest took."),
    ("gristmill_ingest_runs_total", "Runs of an ingest, by their outcome: done, or the code of a fault."),
    ("gristmill_ingest_http_commit_seconds", "How long transactions of requests took."),
    ("gristmill_ingest_http_connections_refused_total", "Connections beyond the limit of the listener."),
    (
        "gristmill_ingest_http_keys_forgotten_total",
        "Idempotency keys that were forgotten before their time, because there are too many.",
    ),
    ("gristmill_ingest_http_open", "Whether an ingest takes requests: 1 or 0."),
    ("gristmill_ingest_http_queue_requests", "Requests that wait for their transaction."),
    ("gristmill_ingest_http_records_total", "Records that requests have written."),
    ("gristmill_ingest_http_requests_total", "Requests by the class of their answer's status."),
    ("gristmill_job_emitted_records", "Records that a job has put out."),
    ("gristmill_job_records_total", "Records that steps of jobs have put out."),
    ("gristmill_job_rows", "Rows that a job has to look at, where that is known."),
    ("gristmill_job_rows_total", "Rows that steps of jobs have looked at."),
    ("gristmill_job_steps_failed_total", "Steps of jobs that failed."),
    ("gristmill_orders_total", "Orders of an operator that tasks have taken from their inbox."),
    ("gristmill_job_steps_total", "Steps of jobs that were kept."),
    ("gristmill_job_visited_rows", "Rows that a job has looked at."),
    ("gristmill_jobs_ended_total", "Jobs that came to their end, or were given up."),
    (
        "gristmill_kafka_troubles_total",
        "Requests to Kafka outside a transaction that failed and were tried again.",
    ),
    (
        "gristmill_orphaned_answers_total",
        "Answers to callouts whose task has moved: written into the inbox, or lost because it does not take them.",
    ),
    ("gristmill_plugin_log_lines_cut_total", "Log lines of plugins beyond their limit."),
    ("gristmill_producers_replaced_total", "Producers that were made."),
    ("gristmill_ready", "Whether everything works: 1 or 0."),
    ("gristmill_records_in_total", "Source records that a plugin has taken."),
    ("gristmill_records_out_total", "Records that a plugin has put out."),
    ("gristmill_records_skipped_total", "Source records that a plugin left without effect on purpose."),
    ("gristmill_restore_left_records", "Offsets of a partition that are still to be read to rebuild state."),
    ("gristmill_restore_seconds", "How long it took to bring the state of a task up to date."),
    ("gristmill_restore_stills_total", "Times that a restore stood still for long."),
    ("gristmill_restored_records_total", "Records that were applied to bring state up to date."),
    ("gristmill_rows_not_indexed_total", "Rows without terms because the index function failed on them."),
    ("gristmill_source_committed_offset", "The next offset to process, as committed."),
    ("gristmill_source_lag_records", "Offsets between what is committed and the end of the partition."),
    ("gristmill_source_position_offset", "The next offset to process, committed or not."),
    ("gristmill_store_bytes", "What a local store takes on the disk, roughly."),
    ("gristmill_store_rows", "Rows of a local store."),
    ("gristmill_stores_awaited_total", "Times that a task waited for a local store that cannot be used."),
    ("gristmill_stores_discarded_total", "Local stores that a task had no use for any more."),
    ("gristmill_stores_dropped_total", "Local stores that were found foreign or damaged."),
    ("gristmill_task_state", "What a task is doing: 1 for its state, 0 for the others."),
    ("gristmill_task_waiting_records", "Records that wait in the buffers of a task."),
    ("gristmill_tasks_closed_total", "Tasks that were closed."),
    ("gristmill_tasks_opened_total", "Tasks that were opened."),
    ("gristmill_tasks_stopped_total", "Tasks that stopped until an operator acts."),
    ("gristmill_transactions_committed_total", "Transactions that were committed."),
    ("gristmill_transactions_failed_total", "Transactions that did not commit, or of which nobody knows."),
    ("gristmill_transforms_stopped_total", "Transforms that stopped."),
    ("gristmill_worker_age_seconds", "How long ago a worker was seen."),
    ("gristmill_worker_up", "Whether a worker has its producer and was seen lately: 1 or 0."),
];

/// What a plugin's metric says of itself.
const OF_A_PLUGIN: &str = "Measured by a plugin.";

/// What the metric with this name counts.
pub fn help(metric: &str) -> &'static str {
    HELP.iter().find(|(name, _)| *name == metric).map_or(OF_A_PLUGIN, |(_, help)| help)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The names of metrics in the source text of this module and of the pages that add more.
    fn names() -> Vec<String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let folders = [source.join("event"), source.join("api")];
        let listed = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let files = listed.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("help.rs"));
        let texts = files.chain([source.join("event.rs")]).map(|path| std::fs::read_to_string(path).unwrap());
        let is_name = |text: &&str| {
            text.starts_with("gristmill_")
                && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
        };
        let found = |text: String| text.split('"').filter(is_name).map(str::to_owned).collect::<Vec<_>>();
        texts.flat_map(found).filter(|name| name != "gristmill_plugin_").collect()
    }

    #[test]
    fn explains_every_metric_of_the_host() {
        let names = names();
        let open: Vec<_> = names.iter().filter(|name| help(name) == OF_A_PLUGIN).collect();
        let unknown: Vec<_> =
            HELP.iter().filter(|(name, _)| !names.iter().any(|other| other == name)).collect();

        assert!(names.len() > 20, "{names:?}");
        assert!(open.is_empty(), "no help for {open:?}");
        assert!(unknown.is_empty(), "help for what is not there: {unknown:?}");
    }
}
