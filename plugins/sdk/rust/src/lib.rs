//! Write Gristmill plugins in Rust: records in, records out, one record at a time.
