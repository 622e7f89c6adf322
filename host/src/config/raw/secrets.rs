//! Where a secret is, as it is written: `from_env` or `from_file`.

use std::path::Path;

use super::parse_path;
use crate::config::document::{Item, Table};
use crate::config::secret::SecretSource;
use crate::fault::Fault;

/// Reads a table that has nothing but the place of a secret.
pub(super) fn parse(item: &Item, base: &Path) -> Result<SecretSource, Fault> {
    if !item.is_table() {
        let fault = item.place().invalid("must say where the secret is");
        return Err(fault.hint("write `{ from_env = \"VARIABLE\" }` or `{ from_file = \"path\" }`"));
    }
    parse_place(&item.table(&["from_env", "from_file"])?, base)
}

/// Reads the place of a secret from a table that has more in it. Without variables: a secret is never a part of the text of a
/// file.
pub(super) fn parse_place(table: &Table<'_>, base: &Path) -> Result<SecretSource, Fault> {
    match (table.get("from_env"), table.get("from_file")) {
        (Some(variable), None) => Ok(SecretSource::Env(parse_variable(variable)?)),
        (None, Some(file)) => Ok(SecretSource::File(parse_path(file, base)?)),
        (Some(_), Some(file)) => {
            Err(file.place().invalid("stands beside `from_env`").hint("leave one of them out"))
        }
        (None, None) => Err(table.place().missing("from_env").hint("set it, or `from_file`")),
    }
}

/// Whoever writes the secret itself here must not find it in a message.
fn parse_variable(item: &Item) -> Result<String, Fault> {
    let name = item.text()?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_part) {
        let fault = item.place().invalid("is no name of an environment variable");
        return Err(
            fault.hint("write its name alone, such as \"TOKEN\"; the secret itself does not belong here")
        );
    }
    Ok(name.to_owned())
}
