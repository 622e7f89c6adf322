//! Reads members of JSON documents and splices new ones in, without building trees.
//!
//! A document is walked once. What is not asked for is checked and passed over; what is not replaced
//! keeps its bytes: order, whitespace, escapes, and numbers that no float can hold.
//!
//! ```
//! use gristmill::json::Template;
//!
//! let mut template = Template::new(&["/class"], &["days"]).unwrap();
//! let document = template.read(br#"{"sku": "A-1", "class": "bulky"}"#).unwrap();
//!
//! assert_eq!(document.get(0).unwrap().string().unwrap(), "bulky");
//!
//! let mut out = Vec::new();
//! document.splice(&[b"5"], &mut out).unwrap();
//! assert_eq!(out, br#"{"sku": "A-1", "class": "bulky","days":5}"#);
//! ```
//!
//! **What is accepted**: RFC 8259 in UTF-8, as `serde_json` reads it, nested as deep as it goes
//! ([`MAX_DEPTH`]). Beyond it, since nothing is converted: numbers of any size, and escapes of lone
//! surrogates, which only [`Value::string`] cannot give.
//!
//! **Duplicate members**: the last one wins when reading, as in `serde_json` and JavaScript. A splice
//! replaces every one of them, so that readers of either habit see the new value.

mod error;
mod pointer;
mod scanner;
mod template;
mod value;

pub use error::Error;
pub use pointer::Pointer;
pub use scanner::MAX_DEPTH;
pub use serde_json::Value as Any;
pub use template::Document;
pub use template::Template;
pub use value::Elements;
pub use value::Kind;
pub use value::Value;

/// The value at a JSON pointer; none if there is none. For more than one look-up make a [`Template`].
///
/// # Errors
/// The pointer is none, or the document is not JSON.
pub fn field<'d>(document: &'d [u8], pointer: &str) -> Result<Option<Value<'d>>, Error> {
    let mut template = Template::new(&[pointer], &[])?;
    let value = template.read(document)?.get(0);
    Ok(value)
}

/// Appends the document to `out`, with these members of its root object set: replaced in place where
/// they are there, appended where not. Values are JSON texts, which are not checked. For more than one
/// document make a [`Template`].
///
/// # Errors
/// A name is given twice, or the document is not a JSON object; `out` is then as it was.
pub fn splice(document: &[u8], members: &[(&str, &[u8])], out: &mut Vec<u8>) -> Result<(), Error> {
    let (names, values): (Vec<&str>, Vec<&[u8]>) = members.iter().copied().unzip();
    Template::new(&[], &names)?.read(document)?.splice(&values, out)
}
