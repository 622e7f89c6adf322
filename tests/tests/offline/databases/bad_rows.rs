//! Queries and rows that an ingest must refuse, on every database.

use gristmill_host::config::ingest::MemberKind;
use gristmill_host::fault::{Code, Fault};
use gristmill_host::memory::MemoryTopics;

use super::{Target, member, open, read, run, table};

/// A table with the columns `k` and `v` and these rows, and the query that reads it.
fn filled(test: &str, target: &Target, rows: &str) -> String {
    let name = table(test, target);
    target.execute(&format!("CREATE TABLE {name} (k VARCHAR(20), v VARCHAR(20))"));
    if !rows.is_empty() {
        target.execute(&format!("INSERT INTO {name} VALUES {rows}"));
    }
    format!("SELECT k, v FROM {name}")
}

/// Runs an ingest that must fail, and proves that nothing was published.
fn refused(target: &Target, query: &str) -> Fault {
    let topics = MemoryTopics::default();
    let ingest = target.ingest(query);
    let fault = run(&topics, &ingest, &mut open(&ingest)).unwrap_err();
    assert!(topics.transactions().is_empty(), "{fault}");
    fault
}

#[test]
fn refuses_a_key_that_is_null_or_empty() {
    for target in Target::all() {
        for (test, rows) in [("null_key", "('a', '1'), (NULL, '2')"), ("empty_key", "('a', '1'), ('', '2')")]
        {
            let query = filled(test, &target, rows);

            let fault = refused(&target, &query);

            assert_eq!(fault.code(), Code::IngestKeyNull);
            assert!(fault.message().contains("the key column `k`"), "{fault}");
        }
    }
}

#[test]
fn refuses_a_key_that_comes_twice() {
    for target in Target::all() {
        let query = filled("twice", &target, "('a', '1'), ('b', '2'), ('a', '1')");

        let fault = refused(&target, &query);

        assert_eq!(fault.code(), Code::IngestKeyTwice);
        assert!(fault.message().contains("`a`"), "{fault}");
    }
}

#[test]
fn refuses_a_value_that_is_not_what_its_member_says() {
    for target in Target::all() {
        let query = filled("unfit_member", &target, "('bulky', 'three')");
        let mut ingest = target.ingest(&query);
        ingest.members = Some(vec![member("v", MemberKind::Integer)]);

        let fault = read(&ingest).unwrap_err();

        assert_eq!(fault.code(), Code::IngestValueUnfit);
        assert!(fault.message().contains("`bulky`") && fault.message().contains("`three`"), "{fault}");
    }
}

#[test]
fn names_a_column_that_is_not_there_even_when_there_is_no_row() {
    for target in Target::all() {
        let query = filled("no_column", &target, "");
        let mut ingest = target.ingest(&query);
        ingest.members = Some(vec![member("maximum", MemberKind::Own)]);

        let fault = read(&ingest).unwrap_err();

        assert_eq!((fault.code(), fault.message()), (Code::ColumnMissing, "there is no column `maximum`"));
        assert!(fault.remedy().contains("`k`, `v`"), "{}", fault.remedy());
    }
}

#[test]
fn says_what_the_database_says_about_a_query_that_is_not_valid() {
    for target in Target::all() {
        for query in ["SELEKT 1", "SELECT k FROM no_such_table"] {
            let fault = refused(&target, query);

            assert_eq!(fault.code(), Code::DatabaseFailed, "{query}");
            assert!(!fault.cause().is_empty() && fault.remedy().contains("`query`"), "{}", fault.report());
        }
    }
}

#[test]
fn takes_one_statement_that_reads() {
    for target in Target::all() {
        let query = filled("one_statement", &target, "('a', '1')");
        let name = table("one_statement", &target);

        for wrong in [format!("{query}; {query}"), format!("DELETE FROM {name}")] {
            let fault = refused(&target, &wrong);

            assert_eq!(fault.code(), Code::DatabaseFailed, "{wrong}");
        }
        assert_eq!(read(&target.ingest(&query)).unwrap(), ["a {\"v\":\"1\"}"], "nothing was deleted");
    }
}

#[test]
fn writes_nothing_even_when_a_query_could() {
    // PostgreSQL and MariaDB have statements that write and give rows.
    for target in [Target::postgres(), Target::mariadb(), Target::sqlite()] {
        let query = filled("writes", &target, "('a', '1')");
        let name = table("writes", &target);

        let fault = refused(&target, &format!("DELETE FROM {name} RETURNING k, v"));

        assert_eq!(fault.code(), Code::DatabaseFailed);
        assert_eq!(read(&target.ingest(&query)).unwrap(), ["a {\"v\":\"1\"}"]);
    }
}

#[test]
fn refuses_columns_of_one_name() {
    for target in Target::all() {
        let query = filled("one_name", &target, "('a', '1')").replace("k, v", "k, v, k AS v");

        let fault = refused(&target, &query);

        assert_eq!(fault.code(), Code::DatabaseFailed);
        assert!(fault.message().contains("more than one column `v`"), "{fault}");
    }
}

#[test]
fn stops_at_a_table_that_was_emptied() {
    for target in Target::all() {
        let query = filled("emptied", &target, "('a', '1'), ('b', '2')");
        let (topics, ingest) = (MemoryTopics::default(), target.ingest(&query));
        assert_eq!(run(&topics, &ingest, &mut open(&ingest)).unwrap(), 2);
        assert_eq!(run(&topics, &ingest, &mut open(&ingest)).unwrap(), 0, "nothing has changed");
        target.execute(&format!("DELETE FROM {}", table("emptied", &target)));

        let fault = run(&topics, &ingest, &mut open(&ingest)).unwrap_err();

        assert_eq!(fault.code(), Code::IngestDeletes);
        assert_eq!(topics.table(&super::topic()).len(), 2);
    }
}
