//! The classes of an item.

use std::borrow::Cow;

use gristmill::Reject;
use gristmill::json;
use gristmill::json::Document;
use gristmill::json::Error;
use gristmill::json::Kind;

use crate::Class;

/// The names of an item's classes.
#[derive(Debug)]
pub enum Names<'d> {
    /// The usual case, without a list.
    One([Cow<'d, [u8]>; 1]),
    /// None or several.
    Some(Vec<Cow<'d, [u8]>>),
}

impl<'d> Names<'d> {
    /// What is at the first pointer of the template that has read the item: a name, an array of names, or nothing.
    ///
    /// # Errors
    /// `not-an-object` when the item is none, `class-invalid` when something else is there.
    pub fn of(document: &Document<'_, 'd>) -> Result<Self, Reject> {
        if !document.is_object() {
            return Err(refuse(Error::NotAnObject));
        }
        let Some(named) = document.get(0).filter(|named| !named.is_null()) else {
            return Ok(Self::Some(Vec::new()));
        };
        if named.kind() == Kind::Array {
            return named.elements().map(name).collect::<Result<_, _>>().map(Self::Some);
        }
        name(named).map(|name| Self::One([name]))
    }

    /// All of them, in the order of the item.
    #[must_use]
    pub fn list(&self) -> &[Cow<'d, [u8]>] {
        match self {
            Self::One(one) => one,
            Self::Some(list) => list,
        }
    }

    /// The best class of those that are known, with its name.
    pub fn best<'c>(&self, get: impl Fn(&[u8]) -> Option<&'c Class>) -> Option<(&[u8], &'c Class)> {
        let known = self.list().iter().filter_map(|name| Some((name.as_ref(), get(name)?)));
        known.min_by_key(|(_, class)| class.rank())
    }
}

fn name(value: json::Value<'_>) -> Result<Cow<'_, [u8]>, Reject> {
    match value.string() {
        Some(Cow::Borrowed(name)) => Ok(Cow::Borrowed(name.as_bytes())),
        Some(Cow::Owned(name)) => Ok(Cow::Owned(name.into_bytes())),
        None => {
            Err(Reject::new("class-invalid", "the class of the item is neither text nor an array of texts"))
        }
    }
}

/// The rejection of an item that cannot be read.
#[must_use]
pub fn refuse(error: Error) -> Reject {
    Reject::new(error.code(), format!("the item is {error}"))
}
