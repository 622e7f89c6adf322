//! What an exactly-once client needs from a broker, one check each, in the same words for every broker.
//!
//! The checks run against the dev broker and against a real Apache Kafka: that is what keeps the dev broker honest. A
//! check that fails on Apache Kafka is wrong about Kafka; one that fails on the dev broker alone has found a fault of it.

#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod compaction;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod end;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod fencing;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod groups;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod offsets;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod processing;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod records;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod topics;
#[allow(missing_docs, reason = "a check's name is its sentence")]
pub mod transactions;

use anyhow::{Result, anyhow};

use crate::client::Client;
use crate::cluster::Cluster;

/// Puts one question to a cluster.
pub type Check = fn(&Client) -> Result<()>;

/// Puts a question to a cluster and adds the end of the broker's log to a failure.
///
/// # Errors
/// When the cluster does not start or does not do what the check asks for.
pub fn run<C: Cluster>(cluster: Result<&C>, check: Check) -> Result<()> {
    let cluster = cluster?;
    check(&cluster.client()).map_err(|error| anyhow!("{error:#}\n{}", cluster.log()))
}

/// Makes one test of each check, against the cluster that the expression gives.
#[macro_export]
macro_rules! conformance_tests {
    ($cluster:expr) => {
        $crate::conformance_tests! { @ $cluster;
            topics {
                makes_a_topic_with_its_settings,
                refuses_a_topic_that_exists,
                refuses_a_topic_with_a_setting_it_does_not_know,
                adds_partitions,
                deletes_a_topic,
                deletes_records_below_an_offset,
                says_that_a_topic_does_not_exist,
                alters_a_setting,
                names_the_cluster,
                lists_groups,
            }
            records {
                keeps_keys_values_headers_and_timestamps,
                tells_null_from_empty,
                keeps_header_names_that_are_not_text,
                keeps_ten_thousand_headers,
                keeps_a_record_of_a_megabyte,
                refuses_a_record_that_is_too_large,
                refuses_a_record_without_key_on_a_compacted_topic,
                reads_every_compression,
                finds_offsets_by_time,
                keeps_everything_that_was_acknowledged,
                writes_once_what_an_idempotent_producer_sends,
            }
            transactions {
                hides_aborted_records,
                hides_open_transactions_and_what_follows_them,
                spends_an_offset_on_each_control_record,
                commits_several_partitions_as_one,
                aborts_a_transaction_that_outlives_its_time,
                refuses_the_commit_of_a_transaction_that_timed_out,
                leaves_a_transaction_without_records_without_trace,
            }
            end {
                reports_the_end_at_the_last_stable_offset,
                reports_the_end_behind_control_records,
                shows_both_ends_while_a_transaction_is_open,
                reports_the_end_again_after_more_records,
            }
            offsets {
                commits_and_resumes,
                moves_offsets_with_the_commit,
                keeps_offsets_after_an_abort,
                makes_a_stable_reader_wait_for_pending_offsets,
                gives_an_unstable_reader_the_old_offset,
            }
            fencing {
                fences_a_predecessor_by_transactional_id,
                keeps_a_predecessor_from_ending_its_successors_transaction,
                aborts_the_open_transaction_of_a_predecessor,
                aborts_the_pending_offsets_of_a_predecessor,
                refuses_offsets_of_an_earlier_generation,
                refuses_offsets_of_an_unknown_member,
                fences_a_static_member_by_its_double,
                refuses_offsets_of_a_static_member_that_was_replaced,
            }
            groups {
                balances_when_members_join_and_leave,
                gives_the_same_partitions_of_two_topics_to_a_member,
                moves_partitions_one_by_one_when_cooperative,
                gives_a_static_member_its_partitions_back_without_a_rebalance,
                takes_partitions_from_a_static_member_that_stays_away,
                delivers_nothing_of_a_partition_that_was_assigned_paused,
                follows_a_topic_that_grows,
            }
            compaction {
                keeps_the_last_value_of_each_key,
                drops_tombstones_in_the_end,
                keeps_offsets_and_order,
                keeps_aborted_records_hidden,
                ends_behind_what_compaction_has_left,
            }
            processing {
                processes_each_record_once_through_aborts_and_a_crash,
            }
        }
    };
    (@ $cluster:expr; $($module:ident { $($check:ident,)* })*) => {
        $(mod $module {
            $(#[test]
            fn $check() -> anyhow::Result<()> {
                $crate::conformance::run($cluster, $crate::conformance::$module::$check)
            })*
        })*
    };
}
