//! The port to a table: pages of items, and whether what failed is worth another try.

use crate::fault::Fault;
use crate::ingest::dynamodb::attribute::Item;

/// What a table says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableFacts {
    /// The attributes of its key, the partition key first.
    pub key: Vec<String>,
    /// How many items it has, about: the servers count every few hours.
    pub items: u64,
}

/// Some items of a table.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// The items, in the table's own order.
    pub items: Vec<Item>,
    /// The place behind them; none when the table has ended.
    pub next: Option<Item>,
    /// What reading them has cost, in read capacity units.
    pub read_units: f64,
}

/// Why there is no page.
#[derive(Debug)]
pub enum PageError {
    /// The table has given more than it may for now. It will go on, if it is asked less often.
    Throttled(Fault),
    /// The server does not answer, or says that it cannot now.
    Unavailable(Fault),
    /// It will fail again until somebody changes something.
    Failed(Fault),
}

/// A table that is read from its beginning to its end. Calls block.
pub trait Pages {
    /// What the table says of itself.
    ///
    /// # Errors
    /// Why it does not.
    fn table(&mut self) -> Result<TableFacts, PageError>;

    /// The page behind a place; none is the table's beginning.
    ///
    /// # Errors
    /// Why there is none.
    fn page(&mut self, after: Option<&Item>) -> Result<Page, PageError>;
}
