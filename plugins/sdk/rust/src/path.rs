//! Paths of callouts, with parts that come from data and cannot leave their place.

use std::fmt;

use crate::Reject;

/// The path and query of a callout, below the base URL of its endpoint: safe to be appended to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path(String);

impl Path {
    /// A path from a template and what comes in place of each `{}`: `Path::new("/products/{}", &[&id])`. An argument is
    /// percent-encoded as a part of one segment of the path, or of a value of the query: it cannot add segments, leave the
    /// base URL with `..`, or begin a query.
    ///
    /// # Errors
    /// The code is `path-invalid`: an argument of the path is empty, or a segment would be `.` or `..`; or the template itself
    /// makes no path.
    pub fn new(template: &str, arguments: &[&str]) -> Result<Self, Reject> {
        PathTemplate::parse(template).map_err(refuse)?.fill(arguments)
    }

    /// The text, as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path with places for data: `/products/{externalId}?lang={/texts/language}`. What stands between the braces means what
/// the plugin likes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathTemplate {
    /// What stands before each place.
    literals: Vec<String>,
    places: Vec<Place>,
    /// What stands behind the last place.
    rest: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    name: String,
    in_query: bool,
}

impl PathTemplate {
    /// Reads a template: `/`, then segments, then perhaps `?` and a query. What is no place is taken as it stands, so it must
    /// be percent-encoded where a URL needs it.
    ///
    /// # Errors
    /// What is wrong with it, for the one who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut template = Self { literals: Vec::new(), places: Vec::new(), rest: String::new() };
        let mut rest = text;
        let mut in_query = false;
        while let Some((literal, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a `{` is not closed")?;
            in_query |= literal.contains('?');
            template.literals.push(literal.to_owned());
            template.places.push(Place { name: name.to_owned(), in_query });
            rest = behind;
        }
        template.rest = rest.to_owned();
        template.literals.iter().chain([&template.rest]).try_for_each(|literal| check_literal(literal))?;
        // Whatever comes in, a template that is wrong by itself is wrong.
        let whole: Vec<&str> = template.places.iter().map(|_| "x").collect();
        check(&template.write(&whole))?;
        Ok(template)
    }

    /// What stands between the braces, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.name.as_str())
    }

    /// The path with these values in its places.
    ///
    /// # Errors
    /// As [`Path::new`], and with another number of values than there are places.
    pub fn fill(&self, values: &[&str]) -> Result<Path, Reject> {
        if values.len() != self.places.len() {
            let (given, places) = (values.len(), self.places.len());
            return Err(refuse(format!("it has {places} places and is given {given} values")));
        }
        for (place, value) in self.places.iter().zip(values) {
            if value.is_empty() && !place.in_query {
                return Err(refuse(format!("the value of `{{{}}}` is empty", place.name)));
            }
        }
        let text = self.write(values);
        check(&text).map_err(refuse)?;
        Ok(Path(text))
    }

    fn write(&self, values: &[&str]) -> String {
        let mut text = String::new();
        for (literal, value) in self.literals.iter().zip(values) {
            text.push_str(literal);
            encode(value, &mut text);
        }
        text.push_str(&self.rest);
        text
    }
}

fn refuse(why: impl fmt::Display) -> Reject {
    Reject::new("path-invalid", format!("no path of a callout: {why}"))
}

/// Appends a value with everything encoded but what never needs it: RFC 3986 calls it unreserved.
fn encode(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Checks the characters of a literal: those of RFC 3986, with `%` before two digits only.
fn check_literal(literal: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    if let Some(other) = literal.chars().find(|character| !character.is_ascii() || !fits(*character as u8)) {
        return Err(format!("`{}` must be percent-encoded", other.escape_default()));
    }
    let mut escapes = literal.split('%').skip(1);
    let whole = |digits: &str| {
        digits.get(..2).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    if escapes.all(whole) { Ok(()) } else { Err("`%` must be written `%25`".to_owned()) }
}

/// Checks that a path stays below the base URL, whoever reads it: also a server that decodes before it looks for `..`.
fn check(text: &str) -> Result<(), String> {
    let path = text.split('?').next().unwrap_or_default();
    let Some(segments) = path.strip_prefix('/') else { return Err("it must begin with `/`".to_owned()) };
    let last = segments.split('/').count();
    for (number, segment) in (1..).zip(segments.split('/')) {
        if segment.is_empty() && number < last {
            return Err("it has `//` in it".to_owned());
        }
        let decoded = segment.replace("%2E", ".").replace("%2e", ".");
        let decoded = decoded.replace("%2F", "/").replace("%2f", "/");
        let decoded = decoded.replace("%5C", "/").replace("%5c", "/");
        if decoded.split('/').any(|part| part == "." || part == "..") {
            return Err("a segment of it is `.` or `..`".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, arguments: &[&str]) -> Result<String, String> {
        let path = Path::new(template, arguments).map_err(|reject| {
            assert_eq!(reject.code(), "path-invalid");
            reject.message().replace("no path of a callout: ", "")
        });
        path.map(|path| path.to_string())
    }

    #[test]
    fn encodes_each_argument_as_a_part_of_one_segment() {
        for (argument, expected) in [
            ("X-1", "/products/X-1"),
            ("a/b", "/products/a%2Fb"),
            ("a b?c#d&e=f", "/products/a%20b%3Fc%23d%26e%3Df"),
            ("Größe", "/products/Gr%C3%B6%C3%9Fe"),
            ("100%", "/products/100%25"),
            ("@host:1\\x", "/products/%40host%3A1%5Cx"),
            ("\r\n\0", "/products/%0D%0A%00"),
            ("~._-", "/products/~._-"),
            ("...", "/products/..."),
            ("a..b", "/products/a..b"),
        ] {
            assert_eq!(path("/products/{}", &[argument]), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn lets_no_argument_leave_its_segment() {
        for argument in [".", "..", "../admin", "a/../b", "..\\admin", "a/."] {
            let refused = Err("a segment of it is `.` or `..`".to_owned());
            assert_eq!(path("/products/{}", &[argument]), refused, "{argument}");
        }
        assert_eq!(path("/a/{}{}", &[".", "."]), Err("a segment of it is `.` or `..`".to_owned()));
        assert_eq!(path("/a/.{}/b", &["."]), Err("a segment of it is `.` or `..`".to_owned()));
        assert_eq!(path("/a/{}/b", &[""]), Err("the value of `{}` is empty".to_owned()));
        assert_eq!(path("/a{}", &[""]), Err("the value of `{}` is empty".to_owned()));
    }

    #[test]
    fn fills_the_query_too() {
        let filled = path("/search?name={}&kind={}", &["a&b=..", ""]);

        assert_eq!(filled, Ok("/search?name=a%26b%3D..&kind=".to_owned()));
    }

    #[test]
    fn takes_literals_as_they_are() {
        for whole in ["/", "/a", "/a/", "/a%20b", "/a;v=1/@me", "/a?b//c=../d"] {
            assert_eq!(path(whole, &[]), Ok(whole.to_owned()));
        }
    }

    #[test]
    fn refuses_templates_that_make_no_path() {
        for (template, why) in [
            ("", "must begin with `/`"),
            ("a/{}", "must begin with `/`"),
            ("http://host/{}", "must begin with `/`"),
            ("{}/a", "must begin with `/`"),
            ("//host/{}", "has `//` in it"),
            ("/a//{}", "has `//` in it"),
            ("/a/../{}", "is `.` or `..`"),
            ("/a/%2e%2E/{}", "is `.` or `..`"),
            ("/a/{", "is not closed"),
            ("/a b/{}", "` ` must be percent-encoded"),
            ("/ü/{}", "must be percent-encoded"),
            ("/a#b{}", "`#` must be percent-encoded"),
            ("/a}{}", "`}` must be percent-encoded"),
            ("/100%/{}", "`%` must be written `%25`"),
            ("/a%{}", "`%` must be written `%25`"),
        ] {
            let refused = path(template, &["x"]).unwrap_err();
            assert!(refused.contains(why), "{template}: {refused}");
        }
        assert_eq!(path("/{}/{}", &["x"]), Err("it has 2 places and is given 1 values".to_owned()));
    }

    #[test]
    fn names_its_places() {
        let template = PathTemplate::parse("/p/{externalId}?l={/texts/0}").unwrap();

        assert_eq!(template.names().collect::<Vec<_>>(), ["externalId", "/texts/0"]);
        assert_eq!(template.fill(&["X-1", "de"]).unwrap().as_str(), "/p/X-1?l=de");
    }
}
