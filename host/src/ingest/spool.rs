//! Rows that wait for the end of a comparison: in memory while they are few, in a temporary file beyond that.
//!
//! ```text
//! length of the key (4 bytes, little-endian)  length of the value (4)  key  value
//! ```

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::fault::{Code, Fault};
use crate::ingest::mapping::Row;

/// More bytes go to the disk.
const MEMORY_BYTES: usize = 16 << 20;

/// Rows in the order in which they were put in.
pub struct Spool {
    file: BufWriter<SpooledTempFile>,
    rows: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { file: BufWriter::new(SpooledTempFile::new(MEMORY_BYTES)), rows: 0 }
    }
}

impl Spool {
    /// Puts a row in.
    ///
    /// # Errors
    /// `disk_full` and other failures of the directory of temporary files.
    pub fn push(&mut self, row: &Row) -> Result<(), Fault> {
        let head = [row.key.len(), row.value.len()].map(|len| u32::try_from(len).unwrap_or(u32::MAX));
        self.rows += 1;
        let [key_len, value_len] = head.map(u32::to_le_bytes);
        let parts = [&key_len[..], &value_len, &row.key, &row.value];
        parts.iter().try_for_each(|part| self.file.write_all(part)).map_err(|error| failed(&error))
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows.
    ///
    /// # Errors
    /// As of [`Spool::push`].
    pub fn rewind(self) -> Result<SpooledRows, Fault> {
        let mut file = self.file.into_inner().map_err(|error| failed(error.error()))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| failed(&error))?;
        Ok(SpooledRows { file: BufReader::new(file), left: self.rows })
    }
}

/// The rows of a spool, first in, first out.
pub struct SpooledRows {
    file: BufReader<SpooledTempFile>,
    left: u64,
}

impl SpooledRows {
    fn read(&mut self) -> std::io::Result<Row> {
        let (mut key_len, mut value_len) = ([0; 4], [0; 4]);
        self.file.read_exact(&mut key_len)?;
        self.file.read_exact(&mut value_len)?;
        let mut row = Row {
            key: vec![0; u32::from_le_bytes(key_len) as usize],
            value: vec![0; u32::from_le_bytes(value_len) as usize],
        };
        self.file.read_exact(&mut row.key)?;
        self.file.read_exact(&mut row.value)?;
        Ok(row)
    }
}

impl Iterator for SpooledRows {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read().map_err(|error| failed(&error)))
    }
}

fn failed(error: &std::io::Error) -> Fault {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => Code::DiskFull,
        _ => Code::StoreFailed,
    };
    let place = std::env::temp_dir();
    let message = format!("changed rows cannot be kept below `{}`", place.display());
    Fault::new(code, message).because(error.to_string()).hint("set `TMPDIR` to a directory with room")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize, value_bytes: usize) -> Row {
        Row { key: format!("key-{number}").into_bytes(), value: vec![number as u8; value_bytes] }
    }

    #[test]
    fn gives_rows_back_in_their_order_from_memory_and_from_the_disk() {
        for value_bytes in [0, 10, 100_000] {
            let mut spool = Spool::default();
            (0..400).for_each(|number| spool.push(&row(number, value_bytes)).unwrap());

            assert_eq!(spool.rows(), 400);
            let rows: Vec<_> = spool.rewind().unwrap().map(Result::unwrap).collect();

            assert_eq!(rows, (0..400).map(|number| row(number, value_bytes)).collect::<Vec<_>>());
        }
    }
}
