//! The members of product information: where they come from, and what they are called.

use gristmill::json::Pointer;
use gristmill::json::Value;

use crate::Config;

/// A member of the information.
pub(crate) struct Member {
    /// Where its value is in a message.
    pub(crate) pointer: String,
    pub(crate) name: String,
    /// Whether a message without it is rejected.
    pub(crate) is_required: bool,
    /// `"name":`
    prefix: Vec<u8>,
}

/// The members that the settings describe: those of `copy`, then those of `rename`.
pub(crate) fn of(config: &Config) -> Result<Vec<Member>, String> {
    let mut members: Vec<Member> = Vec::new();
    let mut add = |pointer: &str, name: &str| {
        if members.iter().any(|member| member.name == name) {
            return Err(format!("`copy` and `rename` make two members with the name `{name}`"));
        }
        let is_required = config.required.iter().any(|required| required == name);
        let mut prefix = serde_json::to_vec(name).map_err(|error| error.to_string())?;
        prefix.push(b':');
        members.push(Member { pointer: pointer.to_owned(), name: name.to_owned(), is_required, prefix });
        Ok(())
    };
    for pointer in &config.copy {
        let parsed = Pointer::parse(pointer).map_err(|error| format!("`{pointer}` in `copy`: {error}"))?;
        let name =
            parsed.last().ok_or("`copy` has the whole message in it, which has no name: use `rename`")?;
        add(pointer, name)?;
    }
    for (pointer, name) in &config.rename {
        let name = name.as_str().ok_or_else(|| format!("the name of `{pointer}` in `rename` is no text"))?;
        add(pointer, name)?;
    }
    if members.is_empty() {
        return Err("`copy` and `rename` are empty, so the information would be".to_owned());
    }
    let known = |name: &&String| members.iter().all(|member| member.name != **name);
    match config.required.iter().find(known) {
        Some(name) => Err(format!("`required` has `{name}`, which neither `copy` nor `rename` makes")),
        None => Ok(members),
    }
}

/// Writes information. Values keep their bytes.
pub(crate) fn write<'m, 'd>(values: impl Iterator<Item = (&'m Member, Value<'d>)>, buffer: &mut Vec<u8>) {
    buffer.push(b'{');
    for (position, (member, value)) in values.enumerate() {
        if position > 0 {
            buffer.push(b',');
        }
        buffer.extend_from_slice(&member.prefix);
        buffer.extend_from_slice(value.text().as_bytes());
    }
    buffer.push(b'}');
}
