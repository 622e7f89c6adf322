//! Checks that a request is sound before the codec decodes it.
//!
//! The codec reserves memory for as many elements as an array claims to have, before it reads the first:
//! sixteen hostile bytes would end the process. So a request is walked along the [shape](super::shapes) of its
//! API first, without allocating: every length must lie inside the frame, and all arrays together must stay
//! under a number of elements.

use bytes::Buf;

/// What a field is made of. Strings, bytes and arrays may be null wherever they occur; the codec refuses the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A number, a flag or an id of this many bytes.
    Fixed(usize),
    Text,
    Blob,
    List(&'static Element),
}

/// What an array is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Element {
    Fixed(usize),
    Text,
    Struct(&'static [Field]),
}

/// A field and the versions that have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) from: i16,
    pub(crate) to: i16,
    pub(crate) kind: Kind,
}

/// Why a request is not sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsound {
    #[error("a length points beyond the end of the request")]
    Truncated,
    #[error("a length is negative or not well formed")]
    BadLength,
    #[error("the request has more elements than the limit allows")]
    TooManyElements,
}

/// How the lengths of a request are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// 16 and 32 bit lengths.
    Plain,
    /// Varints, and tagged fields at the end of every struct.
    Flexible,
}

/// Walks a request's body; gives the bytes behind it.
///
/// # Errors
/// [`Unsound`].
pub(crate) fn check<'a>(
    body: &'a [u8],
    shape: &[Field],
    version: i16,
    encoding: Encoding,
    max_elements: usize,
) -> Result<&'a [u8], Unsound> {
    let mut walk = Walk { rest: body, version, encoding, elements_left: max_elements };
    walk.fields(shape)?;
    Ok(walk.rest)
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    encoding: Encoding,
    elements_left: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), Unsound> {
        let version = self.version;
        for field in fields.iter().filter(|field| (field.from..=field.to).contains(&version)) {
            match field.kind {
                Kind::Fixed(size) => self.skip(size)?,
                Kind::Text => self.text()?,
                Kind::Blob => self.blob()?,
                Kind::List(element) => self.list(element)?,
            }
        }
        match self.encoding {
            Encoding::Flexible => self.tagged_fields(),
            Encoding::Plain => Ok(()),
        }
    }

    fn list(&mut self, element: &Element) -> Result<(), Unsound> {
        let count = self.long_length()?;
        // Every element takes at least a byte.
        if count > self.rest.len() {
            return Err(Unsound::Truncated);
        }
        self.elements_left = self.elements_left.checked_sub(count).ok_or(Unsound::TooManyElements)?;
        for _ in 0..count {
            match element {
                Element::Fixed(size) => self.skip(*size)?,
                Element::Text => self.text()?,
                Element::Struct(fields) => self.fields(fields)?,
            }
        }
        Ok(())
    }

    fn text(&mut self) -> Result<(), Unsound> {
        let length = match self.encoding {
            Encoding::Flexible => self.compact_length()?,
            Encoding::Plain => length(i32::from(self.rest.try_get_i16().map_err(|_| Unsound::Truncated)?))?,
        };
        self.skip(length)
    }

    fn blob(&mut self) -> Result<(), Unsound> {
        let length = self.long_length()?;
        self.skip(length)
    }

    /// The codec keeps each unknown tagged field, so they count as elements.
    fn tagged_fields(&mut self) -> Result<(), Unsound> {
        let count = self.varint()?;
        self.elements_left = self.elements_left.checked_sub(count).ok_or(Unsound::TooManyElements)?;
        for _ in 0..count {
            self.varint()?;
            let size = self.varint()?;
            self.skip(size)?;
        }
        Ok(())
    }

    fn long_length(&mut self) -> Result<usize, Unsound> {
        match self.encoding {
            Encoding::Flexible => self.compact_length(),
            Encoding::Plain => length(self.rest.try_get_i32().map_err(|_| Unsound::Truncated)?),
        }
    }

    /// One more than the length; 0 is null.
    fn compact_length(&mut self) -> Result<usize, Unsound> {
        Ok(self.varint()?.saturating_sub(1))
    }

    fn varint(&mut self) -> Result<usize, Unsound> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.rest.try_get_u8().map_err(|_| Unsound::Truncated)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let value = u32::try_from(value).map_err(|_| Unsound::BadLength)?;
                return usize::try_from(value).map_err(|_| Unsound::BadLength);
            }
        }
        Err(Unsound::BadLength)
    }

    fn skip(&mut self, size: usize) -> Result<(), Unsound> {
        self.rest = self.rest.get(size..).ok_or(Unsound::Truncated)?;
        Ok(())
    }
}

/// A plain length; -1 is null.
fn length(length: i32) -> Result<usize, Unsound> {
    if length == -1 { Ok(0) } else { usize::try_from(length).map_err(|_| Unsound::BadLength) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: &[Field] = &[Field { from: 0, to: 9, kind: Kind::List(&Element::Fixed(4)) }];

    fn plain(body: &[u8]) -> Result<&[u8], Unsound> {
        check(body, NUMBERS, 0, Encoding::Plain, 3)
    }

    fn flexible(body: &[u8]) -> Result<&[u8], Unsound> {
        check(body, NUMBERS, 0, Encoding::Flexible, 3)
    }

    #[test]
    fn passes_sound_arrays_and_leaves_what_follows() {
        assert_eq!(plain(&[0, 0, 0, 1, 9, 9, 9, 9, 7]), Ok([7].as_slice()));
        assert_eq!(plain(&[255, 255, 255, 255]), Ok([].as_slice()));
        assert_eq!(flexible(&[2, 9, 9, 9, 9, 0]), Ok([].as_slice()));
        assert_eq!(flexible(&[0, 1, 5, 2, 8, 8]), Ok([].as_slice()));
    }

    #[test]
    fn refuses_counts_that_the_bytes_cannot_hold() {
        assert_eq!(plain(&[127, 255, 255, 255]), Err(Unsound::Truncated));
        assert_eq!(plain(&[0, 0, 0, 1, 9]), Err(Unsound::Truncated));
        assert_eq!(flexible(&[255, 255, 255, 255, 15, 0]), Err(Unsound::Truncated));
        assert_eq!(flexible(&[1, 1, 0, 200]), Err(Unsound::Truncated));
    }

    #[test]
    fn refuses_lengths_that_are_none() {
        assert_eq!(plain(&[255, 255, 255, 254]), Err(Unsound::BadLength));
        assert_eq!(flexible(&[255, 255, 255, 255, 127]), Err(Unsound::BadLength));
        assert_eq!(flexible(&[255, 255, 255, 255, 255, 1]), Err(Unsound::BadLength));
    }

    #[test]
    fn refuses_more_elements_than_the_limit() {
        assert_eq!(plain(&[&[0, 0, 0, 4][..], &[0; 16]].concat()), Err(Unsound::TooManyElements));
        assert_eq!(flexible(&[1, 100]), Err(Unsound::TooManyElements));
    }
}
