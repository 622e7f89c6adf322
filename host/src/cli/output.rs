//! What commands print: tables for people, JSON for machines.

use std::io::{self, Write};

use serde_json::Value as Json;

use crate::fault::{Code, Fault};

/// Prints a text to standard output. A reader that has gone away, such as `head`, is no fault.
///
/// # Errors
/// `internal` when the output cannot be written.
pub(super) fn print(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::new(Code::Internal, "the output cannot be written").because(error))
        }
        _ => Ok(()),
    }
}

/// Prints a listing as JSON.
///
/// # Errors
/// As for [`print()`].
pub(super) fn print_json(json: &Json) -> Result<(), Fault> {
    print(&format!("{json:#}\n"))
}

/// Reports all faults but the last, which becomes the command's own.
pub(super) fn all_but_last(mut faults: Vec<Fault>) -> Fault {
    let last = faults.pop();
    for fault in faults {
        eprintln!("{}\n", fault.report());
    }
    last.unwrap_or_else(|| Fault::new(Code::Internal, "something failed without a fault"))
}

/// Rows of text in columns that are as wide as they must be, the last one as long as it is.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_columns_up_without_trailing_blanks() {
        let rows = [["a", "bcd"], ["efg", ""]].map(|row| row.map(str::to_owned));

        assert_eq!(columns(&rows), "a    bcd\nefg\n");
    }
}
