//! What an ingest's section may say, and what is said about one that is wrong.

use std::path::Path;

use crate::config::ingest::{DatabaseUrl, HttpListener, Ingest, IngestKind, MemberKind, Schedule, SqlIngest};
use crate::config::raw::{self, Raw};
use crate::config::secret::SecretSource;
use crate::fault::Code;
use crate::fault::Fault;

fn parse(sections: &str) -> Result<Raw, Fault> {
    let text = format!("[app]\nid = \"shop\"\n[kafka]\nbrokers = \"localhost:9092\"\n{sections}");
    raw::parse(Path::new("etc/shop.toml"), &text, &|name| (name == "HOST").then(|| "db-1".to_owned()))
}

fn ingest(section: &str) -> Result<Ingest, Fault> {
    parse(&format!("[ingest.classes]\ntopic = \"delivery-classes\"\n{section}"))
        .map(|raw| raw.ingests.into_iter().next().unwrap())
}

fn sql(lines: &str) -> Result<SqlIngest, Fault> {
    let section = format!("kind = \"sql\"\nquery = \"SELECT * FROM class\"\nkey = \"name\"\n{lines}");
    ingest(&section).map(|ingest| match ingest.kind {
        IngestKind::Sql(sql) => *sql,
        other => panic!("{other:?}"),
    })
}

fn message(fault: Result<impl std::fmt::Debug, Fault>) -> String {
    fault.unwrap_err().report()
}

#[test]
fn reads_an_sql_ingest_with_its_defaults() {
    let sql = sql("database = \"postgres://logistics@${HOST}/logistics\"").unwrap();

    assert_eq!(sql.database, DatabaseUrl::Plain("postgres://logistics@db-1/logistics".to_owned()));
    assert_eq!((sql.schedule, sql.deletes_max, sql.members), (Schedule::ByHand, 0.2, None));
}

#[test]
fn resolves_a_file_of_sqlite_against_the_pipeline_file() {
    for (written, resolved) in [
        ("sqlite:logistics.db", "sqlite:etc/logistics.db"),
        ("sqlite://logistics.db?mode=ro", "sqlite:etc/logistics.db?mode=ro"),
        ("sqlite:/var/logistics.db", "sqlite:/var/logistics.db"),
    ] {
        let sql = sql(&format!("database = \"{written}\"")).unwrap();
        assert_eq!(sql.database, DatabaseUrl::Plain(resolved.to_owned()));
    }
}

#[test]
fn reads_members_short_and_long() {
    let sql = sql("database = \"sqlite:x.db\"\nvalue.minimumTime = \"min\"\n\
         value.maximumTime = { column = \"max\", type = \"integer\", required = true }")
    .unwrap();

    let members = sql.members.unwrap();
    assert_eq!(
        (members[0].field.as_str(), members[0].kind, members[0].required),
        ("min", MemberKind::Own, false)
    );
    assert_eq!(
        (members[1].name.as_str(), members[1].kind, members[1].required),
        ("maximumTime", MemberKind::Integer, true)
    );
}

#[test]
fn reads_schedules_and_refuses_wrong_ones() {
    let with = |schedule: &str| sql(&format!("database = \"sqlite:x.db\"\nschedule = {schedule}"));

    assert_eq!(
        with("{ every = \"10m\" }").unwrap().schedule,
        Schedule::Every(std::time::Duration::from_secs(600))
    );
    assert_eq!(
        with("{ cron = \"0 6 * * 1-5\" }").unwrap().schedule,
        Schedule::Cron("0 6 * * 1-5".to_owned())
    );
    for wrong in
        ["{ cron = \"six o'clock\" }", "{ every = \"0s\" }", "{ every = \"1m\", cron = \"0 6 * * *\" }"]
    {
        assert_eq!(with(wrong).unwrap_err().code(), Code::InvalidValue, "{wrong}");
    }
}

#[test]
fn refuses_a_password_in_the_file_without_repeating_it() {
    for url in ["postgres://joe:s3cret@db/x", "mysql://joe:s3cret@db/x", "postgres://db/x?password=s3cret"] {
        let report = message(sql(&format!("database = \"{url}\"")));
        assert!(report.contains("password = {") && !report.contains("s3cret"), "{report}");
    }
    let report = message(ingest("kind = \"http\"\ntoken = \"s3cret\""));
    assert!(report.contains("from_env") && !report.contains("s3cret"), "{report}");
}

#[test]
fn takes_the_whole_url_from_the_environment() {
    let sql = sql("database = { from_env = \"DATABASE_URL\" }").unwrap();

    assert_eq!(sql.database, DatabaseUrl::Secret(SecretSource::Env("DATABASE_URL".to_owned())));
}

#[test]
fn refuses_what_is_no_database_and_no_kind() {
    assert_eq!(sql("database = \"oracle://db/x\"").unwrap_err().code(), Code::InvalidValue);
    assert_eq!(sql("database = \"sqlite:\"").unwrap_err().code(), Code::InvalidValue);
    assert!(message(ingest("kind = \"ftp\"")).contains("`sql`, `http`, `dynamodb`"));
    assert!(message(sql("database = \"sqlite:x.db\"\nquerry = \"x\"")).contains("did you mean `query`?"));
}

#[test]
fn reads_an_http_ingest_and_where_it_listens() {
    let raw =
        parse("[ingest.classes]\nkind = \"http\"\ntopic = \"t\"\ntoken = { from_env = \"T\" }\nrate = 5\n")
            .unwrap();

    let IngestKind::Http(http) = &raw.ingests[0].kind else { panic!("{raw:?}") };
    assert_eq!((http.path.as_str(), http.per_second), ("/ingest/classes", Some(5)));
    assert_eq!(raw.http.listen, HttpListener::LISTEN);
    assert!(raw.transforms.is_empty());
}

#[test]
fn listens_beyond_this_machine_only_with_tls() {
    let listen = |more: &str| {
        parse(&format!(
            "[ingest.c]\nkind = \"http\"\ntopic = \"t\"\ntoken = {{ from_env = \"T\" }}\n[http]\nlisten = \"0.0.0.0:1\"\n{more}"
        ))
    };

    assert!(message(listen("")).contains("without encryption"));
    assert!(listen("tls = { certificate = \"c.pem\", key = \"k.pem\" }").is_ok());
}

#[test]
fn reads_a_carry_over() {
    let carry_over = ingest(
        "kind = \"dynamodb\"\ntable = \"classes\"\nkey = \"class\"\nvalue.min = { attribute = \"m\" }",
    )
    .unwrap();

    assert_eq!(carry_over.transactional_id(), "shop.ingest.classes");
    assert_eq!(carry_over.progress_topic().as_str(), "shop.ingest.classes.progress");
    assert_eq!(carry_over.kind.as_str(), "dynamodb");
}
