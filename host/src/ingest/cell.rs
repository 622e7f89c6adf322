//! A value of a row, whatever database it comes from.

/// A value of a column or of an attribute. Numbers with more digits than the language's own are kept as they are written.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// NULL, or an attribute that is not there.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number as JSON writes it, with all its digits.
    Number(String),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A JSON value, as the database wrote it.
    Json(String),
}

impl Cell {
    /// What it is, as messages call it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Json(_) => "JSON",
        }
    }
}
