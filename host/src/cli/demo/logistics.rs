//! The demo's Logistics: a department with a database of its own, which it changes with SQL and never thinks of Kafka.

use std::path::Path;

use super::corpus::{BULKY, Corpus, class_name};
use super::expected::Times;
use crate::fault::Fault;
use crate::ingest::sqlite_file::SqliteFile;

/// The times of the large class at first, and after each of its changes. No other class has them.
const BULKY_TIMES: [Times; 3] = [(12, 19), (13, 20), (21, 34)];

const TABLE: &str = "CREATE TABLE delivery_class (name TEXT PRIMARY KEY, minimum_days INTEGER NOT NULL, \
                     maximum_days INTEGER NOT NULL, CHECK (minimum_days <= maximum_days))";

/// What a statement does to a class: its new times, or none when it is deleted.
pub(super) type Deed = (String, Option<Times>);

/// The department.
pub(super) struct Logistics {
    database: SqliteFile,
    corpus: Corpus,
    /// What its statements did, in their order; the first classes are not among them.
    pub(super) deeds: Vec<Deed>,
    /// How many classes there were at first.
    pub(super) first: usize,
}

impl Logistics {
    /// Makes the database, with all classes in it.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn begin(corpus: Corpus, file: &Path) -> Result<Self, Fault> {
        let mut database = SqliteFile::open(file)?;
        database.execute(TABLE)?;
        let [bulky, ..] = BULKY_TIMES;
        let classes = (0..corpus.classes).map(|number| corpus.class(number));
        let rows = classes.chain([(BULKY.to_owned(), bulky)]).map(row).collect::<Vec<_>>();
        database.execute(&format!("INSERT INTO delivery_class VALUES {}", rows.join(", ")))?;
        Ok(Self { database, corpus, deeds: Vec::new(), first: rows.len() })
    }

    /// Changes one class. Gives the statement, as for all that follow.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn change(&mut self) -> Result<String, Fault> {
        self.update(class_name(0), (10, 16))
    }

    /// Adds a class that items have named all the time.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn add(&mut self) -> Result<String, Fault> {
        let (name, times) = (class_name(self.corpus.classes), (11, 17));
        let statement = format!("INSERT INTO delivery_class VALUES {}", row((name.clone(), times)));
        self.execute(statement, [(name, Some(times))])
    }

    /// Deletes a class that items name.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn delete(&mut self) -> Result<String, Fault> {
        let name = class_name(self.corpus.classes - 1);
        let statement = format!("DELETE FROM delivery_class WHERE name = '{name}'");
        self.execute(statement, [(name, None)])
    }

    /// Changes the large class.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn change_the_large_one(&mut self) -> Result<String, Fault> {
        let [_, times, _] = BULKY_TIMES;
        self.update(BULKY.to_owned(), times)
    }

    /// Changes it again.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn think_again(&mut self) -> Result<String, Fault> {
        let [.., times] = BULKY_TIMES;
        self.update(BULKY.to_owned(), times)
    }

    /// Changes another class, whatever the host is doing.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn change_another(&mut self) -> Result<String, Fault> {
        self.update(class_name(1), (9, 15))
    }

    /// Empties the table by mistake.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn empty(&mut self) -> Result<String, Fault> {
        self.database.execute("CREATE TABLE backup AS SELECT * FROM delivery_class")?;
        self.execute("DELETE FROM delivery_class".to_owned(), [])
    }

    /// Puts everything back.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn put_back(&mut self) -> Result<String, Fault> {
        self.execute("INSERT INTO delivery_class SELECT * FROM backup".to_owned(), [])
    }

    /// The table, as the database has it.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn table(&mut self) -> Result<Vec<(String, Times)>, Fault> {
        let rows = self.database.texts(
            "SELECT name, CAST(minimum_days AS TEXT), CAST(maximum_days AS TEXT) FROM delivery_class",
        )?;
        let class = |row: Vec<String>| {
            let [name, minimum, maximum] = <[String; 3]>::try_from(row).ok()?;
            Some((name, (minimum.parse().ok()?, maximum.parse().ok()?)))
        };
        Ok(rows.into_iter().filter_map(class).collect())
    }

    /// How an item ends that has the last times of the large class. Good enough to show progress, not to judge.
    pub(super) fn mark() -> Vec<u8> {
        let [.., (minimum, maximum)] = BULKY_TIMES;
        format!("\"minimumDeliveryTime\":{minimum},\"maximumDeliveryTime\":{maximum}}}").into_bytes()
    }

    fn update(&mut self, name: String, (minimum, maximum): Times) -> Result<String, Fault> {
        let statement = format!(
            "UPDATE delivery_class SET minimum_days = {minimum}, maximum_days = {maximum} WHERE name = '{name}'"
        );
        self.execute(statement, [(name, Some((minimum, maximum)))])
    }

    fn execute<const N: usize>(&mut self, statement: String, deeds: [Deed; N]) -> Result<String, Fault> {
        self.database.execute(&statement)?;
        self.deeds.extend(deeds);
        Ok(statement)
    }
}

fn row((name, (minimum, maximum)): (String, Times)) -> String {
    format!("('{name}', {minimum}, {maximum})")
}
