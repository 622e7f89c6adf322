//! The token of a running host: whoever can read its file may give orders.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use subtle::ConstantTimeEq as _;

/// Bytes of chance in a token.
const BYTES: usize = 16;

/// Made anew at each start, and written into a file that only the host's own user can read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(super) fn new() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The token as text.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is it. How long the answer takes does not tell how much of it is right.
    pub(super) fn is(&self, given: Option<&str>) -> bool {
        given.is_some_and(|given| given.as_bytes().ct_eq(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_nothing_else() {
        let token = Token::new().unwrap();

        assert!(token.is(Some(token.expose())));
        for other in [None, Some(""), Some(Token::new().unwrap().expose()), Some(&token.expose()[1..])] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "***");
    }
}
