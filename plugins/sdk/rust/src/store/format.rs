//! How keys and values of stores are written.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The formats of a manifest, as types.
pub(crate) mod formats {
    /// Text in UTF-8.
    #[derive(Debug)]
    pub struct Text;
    /// Any bytes.
    #[derive(Debug)]
    pub struct Bytes;
    /// Several parts.
    #[derive(Debug)]
    pub struct Tuple;
    /// A JSON text.
    #[derive(Debug)]
    pub struct Json;
    /// A record.
    #[derive(Debug)]
    pub struct Record;
}

/// What can be the key of a store. The order of keys is that of their bytes.
pub trait Key {
    /// `key` in the manifest's `[[store]]`.
    type Format;
    /// What reading gives.
    type Got;

    /// Appends the key.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads a key.
    ///
    /// # Errors
    /// Why these bytes are none.
    fn read(bytes: &[u8]) -> Result<Self::Got, String>;
}

/// What can be the values of a store.
pub trait Value {
    /// `value` in the manifest's `[[store]]`.
    type Format;
    /// What is put.
    type Given: ?Sized;
    /// What reading gives.
    type Got;

    /// Appends a value.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn write(value: &Self::Given, bytes: &mut Vec<u8>) -> Result<(), String>;

    /// Reads a value.
    ///
    /// # Errors
    /// Why these bytes are none.
    fn read(bytes: &[u8]) -> Result<Self::Got, String>;
}

impl Key for str {
    type Format = formats::Text;
    type Got = String;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }

    fn read(bytes: &[u8]) -> Result<String, String> {
        text(bytes)
    }
}

impl Key for [u8] {
    type Format = formats::Bytes;
    type Got = Vec<u8>;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(bytes.to_vec())
    }
}

impl Value for str {
    type Format = formats::Text;
    type Given = str;
    type Got = String;

    fn write(value: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
        bytes.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn read(bytes: &[u8]) -> Result<String, String> {
        text(bytes)
    }
}

impl Value for [u8] {
    type Format = formats::Bytes;
    type Given = [u8];
    type Got = Vec<u8>;

    fn write(value: &[u8], bytes: &mut Vec<u8>) -> Result<(), String> {
        bytes.extend_from_slice(value);
        Ok(())
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(bytes.to_vec())
    }
}

/// Values that are written as JSON; only a name, there are none of this type.
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T: Serialize + DeserializeOwned> Value for Json<T> {
    type Format = formats::Json;
    type Given = T;
    type Got = T;

    fn write(value: &T, bytes: &mut Vec<u8>) -> Result<(), String> {
        serde_json::to_writer(bytes, value).map_err(|error| error.to_string())
    }

    fn read(bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| error.to_string())
}
