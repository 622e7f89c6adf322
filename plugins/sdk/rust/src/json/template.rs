//! What to look for in documents, and what to set in them: made once, used for every record.

use std::ops::Range;

use super::Error;
use super::Pointer;
use super::Value;
use super::scanner::Scanner;

/// Pointers to read and members to set. Reading a document is one walk over it and allocates nothing
/// after the first ones.
#[derive(Debug)]
pub struct Template {
    pointers: Vec<Pointer>,
    members: Vec<Member>,
    /// For each pointer, what the last document has there.
    found: Vec<Option<Range<usize>>>,
    /// The members that the last document has already, in its order.
    edits: Vec<Edit>,
    /// Where a member can be appended to the last document.
    end: Option<End>,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// `"name":`
    prefix: Vec<u8>,
}

#[derive(Debug)]
struct Edit {
    member: usize,
    value: Range<usize>,
}

/// The end of the root object's last member, or its opening bracket.
#[derive(Clone, Copy, Debug)]
struct End {
    at: usize,
    empty: bool,
}

/// A set of pointers: bit i stands for pointer i.
type Set = u32;

impl Template {
    /// Pointers to values anywhere, and names of members of the root object. At most 32 of each.
    ///
    /// # Errors
    /// A pointer is none, a member is named twice, or there are too many.
    pub fn new(pointers: &[&str], members: &[&str]) -> Result<Self, Error> {
        let bits = Set::BITS as usize;
        let twice = members.iter().enumerate().any(|(i, name)| members.iter().skip(i + 1).any(|o| o == name));
        if twice || pointers.len() > bits || members.len() > bits {
            return Err(Error::Template);
        }
        let pointers = pointers.iter().map(|text| Pointer::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let members = members.iter().map(|name| Member::new(name)).collect();
        let found = vec![None; pointers.len()];
        Ok(Self { pointers, members, found, edits: Vec::new(), end: None })
    }

    /// Walks over a document: checks all of it and remembers what the template asks for.
    ///
    /// # Errors
    /// It is not JSON, or nested too deep.
    pub fn read<'d>(&mut self, document: &'d [u8]) -> Result<Document<'_, 'd>, Error> {
        let text =
            std::str::from_utf8(document).map_err(|error| Error::Syntax { at: error.valid_up_to() })?;
        self.edits.clear();
        self.end = None;
        self.found.fill(None);

        let mut scanner = Scanner::new(text);
        scanner.space();
        let start = scanner.at;
        let all = self.select(|_| true);
        self.value(&mut scanner, 0, all)?;
        self.settle(0, all, &(start..scanner.at));
        scanner.space();
        if scanner.peek().is_some() {
            return scanner.error();
        }
        Ok(Document { template: self, text })
    }

    /// Passes a value that the pointers of `set` have led to with their first `level` steps. It only goes
    /// down as deep as a pointer is long, so that [`Pointer::parse`] bounds the recursion, and the depth.
    fn value(&mut self, scanner: &mut Scanner<'_>, level: usize, set: Set) -> Result<(), Error> {
        let deeper = self.select_from(set, |pointer| pointer.len() > level);
        match scanner.peek() {
            Some(b'{') if deeper != 0 || level == 0 => self.object(scanner, level, deeper),
            Some(b'[') if deeper != 0 => self.array(scanner, level, deeper),
            _ => scanner.skip(level),
        }
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, level: usize, set: Set) -> Result<(), Error> {
        scanner.at += 1;
        let root = level == 0;
        let mut end = End { at: scanner.at, empty: true };
        scanner.space();
        if scanner.peek() != Some(b'}') {
            loop {
                scanner.space();
                let name = scanner.name()?;
                let taken = self.select_from(set, |pointer| pointer.takes_member(level, name));
                let start = scanner.at;
                self.child(scanner, level, taken)?;
                if root && let Some(member) = self.members.iter().position(|member| name.is(&member.name)) {
                    self.edits.push(Edit { member, value: start..scanner.at });
                }
                end = End { at: scanner.at, empty: false };
                scanner.space();
                if scanner.peek() != Some(b',') {
                    break;
                }
                scanner.at += 1;
            }
        }
        if root {
            self.end = Some(end);
        }
        scanner.expect(b'}')
    }

    fn array(&mut self, scanner: &mut Scanner<'_>, level: usize, set: Set) -> Result<(), Error> {
        scanner.at += 1;
        scanner.space();
        if scanner.peek() != Some(b']') {
            for position in 0.. {
                scanner.space();
                let taken = self.select_from(set, |pointer| pointer.position(level) == Some(position));
                self.child(scanner, level, taken)?;
                scanner.space();
                if scanner.peek() != Some(b',') {
                    break;
                }
                scanner.at += 1;
            }
        }
        scanner.expect(b']')
    }

    /// Passes a member's or an element's value. What the pointers of `taken` found in an earlier member of
    /// the same name is forgotten: the last one wins.
    fn child(&mut self, scanner: &mut Scanner<'_>, level: usize, taken: Set) -> Result<(), Error> {
        if taken == 0 {
            return scanner.skip(level + 1);
        }
        for (position, found) in self.found.iter_mut().enumerate() {
            if taken & 1 << position != 0 {
                *found = None;
            }
        }
        let start = scanner.at;
        self.value(scanner, level + 1, taken)?;
        self.settle(level + 1, taken, &(start..scanner.at));
        Ok(())
    }

    /// Notes a value for the pointers of `set` that end at this level.
    fn settle(&mut self, level: usize, set: Set, value: &Range<usize>) {
        for (position, (pointer, found)) in self.pointers.iter().zip(&mut self.found).enumerate() {
            if set & 1 << position != 0 && pointer.len() == level {
                *found = Some(value.clone());
            }
        }
    }

    fn select(&self, wanted: impl Fn(&Pointer) -> bool) -> Set {
        self.select_from(Set::MAX, wanted)
    }

    fn select_from(&self, set: Set, wanted: impl Fn(&Pointer) -> bool) -> Set {
        if set == 0 {
            return 0;
        }
        let bit = |(position, pointer): (usize, &Pointer)| {
            if set & 1 << position != 0 && wanted(pointer) { 1 << position } else { 0 }
        };
        self.pointers.iter().enumerate().map(bit).fold(0, |set, bit| set | bit)
    }
}

impl Member {
    fn new(name: &str) -> Self {
        // A string always serializes.
        let mut prefix = serde_json::to_vec(name).unwrap_or_default();
        prefix.push(b':');
        Self { name: name.to_owned(), prefix }
    }
}

/// A document that a template has read.
#[derive(Debug)]
pub struct Document<'t, 'd> {
    template: &'t Template,
    text: &'d str,
}

impl<'d> Document<'_, 'd> {
    /// The value at the template's pointer with this position; none if there is none.
    #[must_use]
    pub fn get(&self, pointer: usize) -> Option<Value<'d>> {
        let span = self.template.found.get(pointer)?.clone()?;
        self.text.get(span).map(Value::new)
    }

    /// Whether its root is an object, so that members can be set.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.template.end.is_some()
    }

    /// Appends the document to `out` with the template's members set to these values, in their order:
    /// replaced in place where they are there, appended where not. Values are JSON texts, which are not
    /// checked; a member whose value is missing stays as it is.
    ///
    /// # Errors
    /// Its root is not an object; `out` is then as it was.
    pub fn splice(&self, values: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Error> {
        let Template { members, edits, end, .. } = self.template;
        let end = end.ok_or(Error::NotAnObject)?;
        let bytes = self.text.as_bytes();
        let piece = |span: Range<usize>| bytes.get(span).unwrap_or_default();
        let mut copied = 0;
        let mut present: Set = 0;
        for Edit { member, value } in edits {
            present |= 1 << member;
            if let Some(new) = values.get(*member) {
                out.extend_from_slice(piece(copied..value.start));
                out.extend_from_slice(new);
                copied = value.end;
            }
        }
        out.extend_from_slice(piece(copied..end.at));
        let mut first = end.empty;
        for (position, (member, value)) in members.iter().zip(values).enumerate() {
            if present & 1 << position == 0 {
                if !first {
                    out.push(b',');
                }
                first = false;
                out.extend_from_slice(&member.prefix);
                out.extend_from_slice(value);
            }
        }
        out.extend_from_slice(piece(end.at..bytes.len()));
        Ok(())
    }
}
