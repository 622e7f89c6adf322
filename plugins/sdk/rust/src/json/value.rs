//! A value as it stands in a document.

use std::borrow::Cow;

use super::scanner::Scanner;

/// The text of a value in a document that was checked, without whitespace around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Value<'d>(&'d str);

/// The kinds of JSON values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number of any size.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl<'d> Value<'d> {
    /// `text` is one JSON value that a scanner has passed.
    pub(super) fn new(text: &'d str) -> Self {
        Self(text)
    }

    /// The bytes of the document: good as a value to splice in elsewhere.
    #[must_use]
    pub fn text(self) -> &'d str {
        self.0
    }

    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'"') => Kind::String,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The characters of a string; borrowed if it has no escapes. None for other kinds, and for a string
    /// that escapes half a surrogate pair, which is no text.
    #[must_use]
    pub fn string(self) -> Option<Cow<'d, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') { unescape(inner).map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
    }

    /// A number that is written as a whole one, from 0 to 2^64 - 1. None for all others, `1.0` and `1e3`
    /// included.
    #[must_use]
    pub fn whole(self) -> Option<u64> {
        let digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        if digits { self.0.parse().ok() } else { None }
    }

    /// The elements of an array; nothing for other kinds.
    #[must_use]
    pub fn elements(self) -> Elements<'d> {
        let rest = self.0.strip_prefix('[').unwrap_or_default();
        Elements { text: rest, scanner: Scanner::new(rest) }
    }
}

/// The elements of an array, in order.
pub struct Elements<'d> {
    text: &'d str,
    scanner: Scanner<'d>,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        self.scanner.space();
        if self.scanner.peek() == Some(b',') {
            self.scanner.at += 1;
            self.scanner.space();
        }
        let start = self.scanner.at;
        if self.scanner.peek()? == b']' {
            return None;
        }
        // The document was checked as a whole, so neither its syntax nor its depth can fail here.
        self.scanner.skip(0).ok()?;
        self.text.get(start..self.scanner.at).map(Value)
    }
}

/// Resolves the escapes of a string without its quotes. None if one is half a surrogate pair.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        out.push_str(rest.get(..backslash)?);
        let escape = *rest.as_bytes().get(backslash + 1)?;
        rest = rest.get(backslash + 2..)?;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let (character, used) = unicode(rest)?;
                out.push(character);
                rest = rest.get(used..)?;
            }
            // Quote, backslash and slash mean themselves.
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
    Some(out)
}

/// The character of one `\u` escape, or of two that make a pair, and how many bytes it took.
fn unicode(digits: &str) -> Option<(char, usize)> {
    let unit = |text: Option<&str>| u32::from_str_radix(text?, 16).ok();
    let first = unit(digits.get(..4))?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 4));
    }
    digits.get(4..6).filter(|escape| *escape == "\\u")?;
    let second = unit(digits.get(6..10))?;
    if !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let character = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((char::from_u32(character)?, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrows_strings_without_escapes() {
        assert!(matches!(Value("\"Größe\"").string(), Some(Cow::Borrowed("Größe"))));
        assert_eq!(Value(r#""a\u00e9\ud83d\ude00\/\n""#).string().unwrap(), "aé😀/\n");
    }

    #[test]
    fn gives_no_text_for_half_a_surrogate_pair() {
        for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#] {
            assert_eq!(Value(text).string(), None, "{text}");
        }
    }

    #[test]
    fn iterates_over_arrays_only() {
        let elements = |text| Value(text).elements().map(Value::text).collect::<Vec<_>>();

        assert_eq!(elements(r#"[ 1 ,"]", [2, [3]],{"a":[]} ]"#), ["1", "\"]\"", "[2, [3]]", "{\"a\":[]}"]);
        assert_eq!(elements("[ ]"), [""; 0]);
        assert_eq!(elements("{\"a\":1}"), [""; 0]);
        assert_eq!(elements("7"), [""; 0]);
    }

    #[test]
    fn takes_only_whole_numbers_for_whole() {
        assert_eq!(Value("18446744073709551615").whole(), Some(u64::MAX));
        for text in ["18446744073709551616", "-1", "1.0", "1e3", "\"1\"", "null"] {
            assert_eq!(Value(text).whole(), None, "{text}");
        }
    }
}
