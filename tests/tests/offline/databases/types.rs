//! What becomes of the types of columns.

use gristmill_host::config::ingest::MemberKind;
use gristmill_host::fault::Code;

use super::{Target, member, read, table};

/// Fills a table with one row, reads it and compares it member by member.
fn assert_row(target: &Target, columns: &[(&str, &str, &str)]) {
    let name = table("types", target);
    let column = |(at, (kind, _, _)): (usize, &(&str, &str, &str))| format!("c{at} {kind}");
    let declared: Vec<_> = columns.iter().enumerate().map(column).collect();
    let values: Vec<_> = columns.iter().map(|(_, value, _)| *value).collect();
    target.execute(&format!("CREATE TABLE {name} (k INT, {})", declared.join(", ")));
    target.execute(&format!("INSERT INTO {name} VALUES (7, {})", values.join(", ")));
    let mut ingest = target.ingest(&format!("SELECT * FROM {name}"));
    let kind = |wanted: &str| if wanted == "\"AP8=\"" { MemberKind::Base64 } else { MemberKind::Own };
    let named = |(at, (_, _, wanted)): (usize, &(&str, &str, &str))| member(&format!("c{at}"), kind(wanted));
    ingest.members = Some(columns.iter().enumerate().map(named).collect());

    let rows = read(&ingest).unwrap();

    let wanted: Vec<_> =
        columns.iter().enumerate().map(|(at, (_, _, wanted))| format!("\"c{at}\":{wanted}")).collect();
    assert_eq!(rows, [format!("7 {{{}}}", wanted.join(","))]);
}

#[test]
fn reads_the_types_of_postgresql() {
    let target = Target::postgres();
    target
        .execute("CREATE TYPE speed AS ENUM ('slow', 'fast'); CREATE DOMAIN days AS int CHECK (VALUE >= 0)");

    assert_row(
        &target,
        &[
            ("smallint", "-2", "-2"),
            ("int", "2147483647", "2147483647"),
            ("bigint", "-9223372036854775808", "-9223372036854775808"),
            ("numeric", "12345678901234567890.123456789000", "12345678901234567890.123456789000"),
            ("numeric(8,2)", "-0.05", "-0.05"),
            ("numeric(8,2)", "20000", "20000.00"),
            ("real", "0.1", "0.1"),
            ("double precision", "1.5e-7", "1.5e-7"),
            ("boolean", "true", "true"),
            ("text", "'Größe \"L\"'", "\"Größe \\\"L\\\"\""),
            ("varchar(10)", "'abc'", "\"abc\""),
            ("char(4)", "'ab'", "\"ab  \""),
            ("speed", "'fast'", "\"fast\""),
            ("days", "3", "3"),
            ("date", "'2026-11-26'", "\"2026-11-26\""),
            ("time", "'07:05:09.25'", "\"07:05:09.250\""),
            ("timestamp", "'2026-11-26 07:05:09'", "\"2026-11-26T07:05:09\""),
            ("timestamptz", "'2026-11-26 07:05:09.123456+02'", "\"2026-11-26T05:05:09.123456Z\""),
            ("uuid", "'0f8fad5b-d9cb-469f-a165-70867728950e'", "\"0f8fad5b-d9cb-469f-a165-70867728950e\""),
            ("json", "'{\"b\": 1,  \"a\": [1.50]}'", "{\"b\":1,\"a\":[1.50]}"),
            ("jsonb", "'{\"a\": \"x y\"}'", "{\"a\":\"x y\"}"),
            ("bytea", "'\\x00ff'", "\"AP8=\""),
            ("int", "NULL", "null"),
        ],
    );
}

#[test]
fn reads_the_types_of_mariadb() {
    assert_row(
        &Target::mariadb(),
        &[
            ("tinyint", "-2", "-2"),
            ("tinyint unsigned", "255", "255"),
            ("smallint", "-300", "-300"),
            ("mediumint unsigned", "16777215", "16777215"),
            ("int", "-2147483648", "-2147483648"),
            ("int unsigned", "4294967295", "4294967295"),
            ("bigint", "-9223372036854775808", "-9223372036854775808"),
            ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
            ("decimal(30,10)", "12345678901234567890.1234567890", "12345678901234567890.1234567890"),
            ("decimal(8,2) zerofill", "12.5", "12.50"),
            ("float", "0.1", "0.1"),
            ("double", "1.5e-7", "1.5e-7"),
            ("boolean", "true", "true"),
            ("bit(12)", "b'100000000001'", "2049"),
            ("year", "2026", "2026"),
            ("varchar(10)", "'Größe'", "\"Größe\""),
            ("varchar(10) collate utf8mb4_bin", "'abc'", "\"abc\""),
            ("char(4)", "'ab'", "\"ab\""),
            ("text", "'x'", "\"x\""),
            ("enum('slow', 'fast')", "'fast'", "\"fast\""),
            ("set('a', 'b', 'c')", "'a,c'", "\"a,c\""),
            ("date", "'2026-11-26'", "\"2026-11-26\""),
            ("time(2)", "'-25:05:09.25'", "\"-25:05:09.250000\""),
            ("datetime(6)", "'2026-11-26 07:05:09.123456'", "\"2026-11-26T07:05:09.123456\""),
            ("timestamp", "from_unixtime(1795676709)", "\"2026-11-26T07:05:09Z\""),
            ("uuid", "'0f8fad5b-d9cb-469f-a165-70867728950e'", "\"0f8fad5b-d9cb-469f-a165-70867728950e\""),
            ("varbinary(8)", "x'00ff'", "\"AP8=\""),
            ("blob", "x'00ff'", "\"AP8=\""),
            ("int", "NULL", "null"),
        ],
    );
}

#[test]
fn reads_the_types_of_values_in_sqlite() {
    assert_row(
        &Target::sqlite(),
        &[
            ("INTEGER", "-9223372036854775808", "-9223372036854775808"),
            ("REAL", "2", "2.0"),
            ("NUMERIC", "0.1", "0.1"),
            ("BOOLEAN", "1", "true"),
            ("BOOLEAN", "7", "7"),
            ("TEXT", "'Größe'", "\"Größe\""),
            ("TEXT", "''", "\"\""),
            ("ANYTHING", "'12 days'", "\"12 days\""),
            ("DATE", "'2026-11-26'", "\"2026-11-26\""),
            ("INTEGER", "'seven'", "\"seven\""),
            ("BLOB", "x'00ff'", "\"AP8=\""),
            ("INTEGER", "NULL", "null"),
        ],
    );
}

#[test]
fn makes_texts_that_hold_json_a_part_of_the_value() {
    for target in Target::all() {
        let name = table("json", &target);
        target.execute(&format!("CREATE TABLE {name} (k INT, v TEXT)"));
        target.execute(&format!("INSERT INTO {name} VALUES (1, '{{\"a\": [1, 2]}}')"));
        let mut ingest = target.ingest(&format!("SELECT k, v FROM {name}"));
        ingest.members = Some(vec![member("v", MemberKind::Json)]);

        assert_eq!(read(&ingest).unwrap(), ["1 {\"v\":{\"a\":[1,2]}}"]);
    }
}

#[test]
fn refuses_numbers_that_json_does_not_have_and_names_the_row() {
    for (target, values) in [
        (Target::postgres(), &["'NaN'::float8", "'-Infinity'::real", "'NaN'::numeric"][..]),
        (Target::sqlite(), &["9e999", "-9e999"]),
    ] {
        for value in values {
            let fault = read(&target.ingest(&format!("SELECT 'bulky' AS k, {value} AS v"))).unwrap_err();

            assert_eq!(fault.code(), Code::IngestValueUnfit);
            assert!(fault.message().starts_with("the row `bulky` does not fit: column `v` is "), "{fault}");
        }
    }
}

#[test]
fn refuses_dates_beyond_every_calendar_and_booleans_that_are_none() {
    for (target, value) in [
        (Target::postgres(), "'infinity'::timestamptz"),
        (Target::postgres(), "'-infinity'::date"),
        (Target::mariadb(), "v"),
    ] {
        let name = table("unfit", &target);
        target.execute(&format!("CREATE TABLE IF NOT EXISTS {name} (v BOOLEAN)"));
        if matches!(value, "v") {
            target.execute(&format!("INSERT INTO {name} VALUES (7)"));
        } else {
            target.execute(&format!("INSERT INTO {name} VALUES (true)"));
        }

        let fault = read(&target.ingest(&format!("SELECT 1 AS k, {value} AS v FROM {name}"))).unwrap_err();

        assert_eq!(fault.code(), Code::IngestValueUnfit, "{value}");
    }
}

#[test]
fn names_a_column_of_an_unknown_type_before_there_is_a_row() {
    for (target, column, kind) in [
        (Target::postgres(), "interval", "INTERVAL"),
        (Target::postgres(), "int[]", "INT4[]"),
        (Target::mariadb(), "point", "GEOMETRY"),
    ] {
        let name = table(&format!("unknown_{}", column.len()), &target);
        target.execute(&format!("CREATE TABLE {name} (k INT, v {column})"));
        let query = format!("SELECT k, v FROM {name}");

        let fault = super::open(&target.ingest(&query)).check().unwrap_err();

        assert_eq!(fault.code(), Code::IngestValueUnfit);
        assert!(fault.message().contains(&format!("column `v` has the type {kind}")), "{fault}");
        assert!(fault.remedy().contains("CAST(v AS "), "{}", fault.remedy());

        // What is not used does not matter.
        let mut ingest = target.ingest(&query);
        ingest.members = Some(vec![member("k", MemberKind::Own)]);
        super::open(&ingest).check().unwrap();
    }
}
