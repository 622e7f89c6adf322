//! Walks over JSON text and checks it.

use super::Error;
use super::value;

/// The deepest nesting that is read: what `serde_json` reads too.
pub const MAX_DEPTH: usize = 127;

/// A cursor over a document that is UTF-8.
pub(super) struct Scanner<'d> {
    text: &'d [u8],
    pub(super) at: usize,
}

/// A member's name as it stands in the document, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Name<'d> {
    raw: &'d [u8],
    escaped: bool,
}

impl Name<'_> {
    /// Whether this is how a document may write `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        if self.escaped {
            // Rare: names are hardly ever escaped.
            std::str::from_utf8(self.raw).ok().and_then(value::unescape).is_some_and(|own| own == name)
        } else {
            self.raw == name.as_bytes()
        }
    }
}

impl<'d> Scanner<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn error<T>(&self) -> Result<T, Error> {
        Err(Error::Syntax { at: self.at })
    }

    /// Passes a byte that must be there.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.error()
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes a member's name and its colon, up to the value.
    pub(super) fn name(&mut self) -> Result<Name<'d>, Error> {
        self.expect(b'"')?;
        let start = self.at;
        let escaped = self.string()?;
        let raw = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(Name { raw, escaped })
    }

    /// Passes a value of any kind that begins here, inside of `depth` others. Not recursive: one bit for
    /// each open bracket says which it is.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), Error> {
        let mut objects = 0_u128;
        let mut open = 0_usize;
        loop {
            let container = match self.peek() {
                Some(b'{') => Some(true),
                Some(b'[') => Some(false),
                _ => None,
            };
            if let Some(object) = container {
                self.at += 1;
                open += 1;
                if depth + open > MAX_DEPTH {
                    return Err(Error::TooDeep);
                }
                objects = objects << 1 | u128::from(object);
                self.space();
                if self.peek() != Some(closing(object)) {
                    if object {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.scalar()?;
            }
            // Behind a value, or before the bracket that closes an empty container.
            loop {
                if open == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                self.space();
                match self.peek() {
                    Some(byte) if byte == closing(object) => {
                        self.at += 1;
                        open -= 1;
                        objects >>= 1;
                    }
                    Some(b',') => {
                        self.at += 1;
                        self.space();
                        if object {
                            self.name()?;
                        }
                        break;
                    }
                    _ => return self.error(),
                }
            }
        }
    }

    fn scalar(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(drop)
            }
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.error(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Error> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(());
        }
        self.error()
    }

    fn number(&mut self) -> Result<(), Error> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.error() } else { Ok(()) }
    }

    /// Passes a string whose opening quote lies behind, with its closing one. True if it has escapes.
    fn string(&mut self) -> Result<bool, Error> {
        let mut escaped = false;
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                // A control character, or the end.
                Some(0..0x20) | None => return self.error(),
                Some(_) => self.at += 1,
            }
        }
    }

    /// Passes the characters that mean themselves, eight at a time.
    fn plain(&mut self) {
        while let Some(chunk) = self.text.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let special = specials(u64::from_le_bytes(*chunk));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
    }

    fn escape(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.error();
                    }
                    self.at += 1;
                }
            }
            _ => return self.error(),
        }
        Ok(())
    }
}

fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// Marks the bytes that end a run of plain characters: quote, backslash, control characters. The lowest
/// mark is right; those above it may not be, since a borrow can run on.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equals(b'"') | equals(b'\\')) & HIGH
}
