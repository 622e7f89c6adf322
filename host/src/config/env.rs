//! Environment variables in a pipeline file: `${NAME}`, in the few values where a host differs from the next one.

use crate::config::document::Item;
use crate::fault::{Code, Fault};

/// Looks up an environment variable. A function, so that tests need not change the process.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment.
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A text with its variables replaced. `$${` stands for a plain `${`.
///
/// # Errors
/// `invalid_value` when it is not text or a variable is not closed, `variable_unset`.
pub fn expand(item: &Item, lookup: Lookup<'_>) -> Result<String, Fault> {
    let mut rest = item.text()?;
    let mut expanded = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        let Some((name, tail)) = after.split_once('}') else {
            return Err(item.place().invalid("has a `${` without a `}`"));
        };
        expanded.push_str(before);
        expanded.push_str(&variable(item, name, lookup)?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn variable(item: &Item, name: &str, lookup: Lookup<'_>) -> Result<String, Fault> {
    lookup(name).ok_or_else(|| {
        let problem = format!("uses the environment variable `{name}`, which is not set");
        item.place().fault(Code::VariableUnset, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;

    fn expanded(text: &str) -> Result<String, Fault> {
        let root = document::parse("f.toml", &format!("key = '{text}'")).unwrap();
        let item = root.open_table().unwrap().require("key").unwrap();
        expand(item, &|name| (name == "HOST").then(|| "mill-1".to_owned()))
    }

    #[test]
    fn replaces_variables() {
        assert_eq!(expanded("a-${HOST}-b-${HOST}").unwrap(), "a-mill-1-b-mill-1");
    }

    #[test]
    fn leaves_other_dollars_alone() {
        assert_eq!(expanded("$5 $${HOST} $").unwrap(), "$5 ${HOST} $");
    }

    #[test]
    fn names_a_variable_that_is_not_set() {
        let fault = expanded("${NOPE}").unwrap_err();

        assert_eq!(fault.code(), Code::VariableUnset);
        assert!(fault.message().contains("`NOPE`"));
    }

    #[test]
    fn refuses_a_variable_that_is_not_closed() {
        assert_eq!(expanded("${HOST").unwrap_err().code(), Code::InvalidValue);
    }
}
