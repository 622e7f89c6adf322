//! JSON pointers, RFC 6901.

use super::Error;
use super::scanner::Name;

/// The way to a value: names of members and positions in arrays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    /// Parses a pointer: empty for the whole document, else like `/parent/member` or `/list/0`.
    ///
    /// # Errors
    /// The text is no pointer, or it is longer than a document can be deep.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self { tokens: Vec::new() });
        }
        let rest = text.strip_prefix('/').ok_or(Error::Pointer)?;
        let tokens = rest.split('/').map(unescape).collect::<Result<Vec<_>, _>>()?;
        if tokens.len() > super::MAX_DEPTH {
            return Err(Error::Pointer);
        }
        Ok(Self { tokens })
    }

    /// The name of the member that it leads to: its last step. None for the whole document.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.tokens.last().map(String::as_str)
    }

    /// How many steps it has.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether its step at this level leads to a member.
    pub(super) fn takes_member(&self, level: usize, name: Name<'_>) -> bool {
        self.tokens.get(level).is_some_and(|token| name.is(token))
    }

    /// The position in an array that its step at this level leads to: digits without leading zeros.
    pub(super) fn position(&self, level: usize) -> Option<usize> {
        let token = self.tokens.get(level)?;
        let digits = token.bytes().all(|byte| byte.is_ascii_digit());
        let leading = token.len() > 1 && token.starts_with('0');
        if digits && !leading { token.parse().ok() } else { None }
    }
}

fn unescape(token: &str) -> Result<String, Error> {
    let mut parts = token.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', part.get(1..)),
            Some(b'1') => ('/', part.get(1..)),
            _ => return Err(Error::Pointer),
        };
        text.push(escaped);
        text.push_str(rest.unwrap_or_default());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes_tilde_and_slash() {
        let pointer = Pointer::parse("/a~1b/m~0n/~01").unwrap();

        assert_eq!(pointer.tokens, ["a/b", "m~n", "~1"]);
        assert_eq!((pointer.last(), Pointer::parse("").unwrap().last()), (Some("~1"), None));
    }

    #[test]
    fn refuses_what_is_no_pointer() {
        for text in ["a", "a/b", "/~", "/~2", "/a~"] {
            assert_eq!(Pointer::parse(text), Err(Error::Pointer), "{text}");
        }
    }

    #[test]
    fn knows_empty_names() {
        assert_eq!(Pointer::parse("").unwrap().tokens, Vec::<String>::new());
        assert_eq!(Pointer::parse("/").unwrap().tokens, [""]);
    }
}
