//! The JSON helper against `serde_json`: what one reads and writes, the other understands the same way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "json/document.rs"]
mod document;

use document::Node;
use document::document;
use document::name;
use document::object;
use gristmill::json::Error;
use gristmill::json::Kind;
use gristmill::json::MAX_DEPTH;
use gristmill::json::Template;
use gristmill::json::field;
use gristmill::json::splice;
use proptest::prelude::*;
use serde_json::Value;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn spliced(document: &str, members: &[(&str, &[u8])]) -> String {
    let mut out = Vec::new();
    splice(document.as_bytes(), members, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn pointer(tokens: &[String]) -> String {
    tokens.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn finds_what_serde_json_finds(text in document(), ways in prop::collection::vec(prop::collection::vec(name(), 0..4), 1..6)) {
        let tree = parse(&text);
        let pointers: Vec<String> = ways.iter().map(|way| pointer(way)).collect();
        let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();

        // All in one walk, and each alone.
        let mut template = Template::new(&pointers, &[]).unwrap();
        let read = template.read(text.as_bytes()).unwrap();

        for (position, pointer) in pointers.iter().enumerate() {
            let found = read.get(position).map(|value| parse(value.text()));
            prop_assert_eq!(found.as_ref(), tree.pointer(pointer), "{} in {}", pointer, text);
            let alone = field(text.as_bytes(), pointer).unwrap();
            prop_assert_eq!(alone.map(|value| parse(value.text())), found);
        }
    }

    #[test]
    fn sets_members_and_nothing_else(text in object(), names in prop::collection::btree_set(name(), 1..4), value in document()) {
        let value = value.trim();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), value.as_bytes())).collect();

        let out = spliced(&text, &members);

        let mut expected = parse(&text);
        for name in &names {
            expected[name.as_str()] = parse(value);
        }
        prop_assert_eq!(parse(&out), expected, "{} became {}", text, out);
        // Once set, setting again changes no byte: so the rest is taken over as it is.
        prop_assert_eq!(spliced(&out, &members), out);
    }

    #[test]
    fn keeps_the_bytes_of_what_it_does_not_set(text in object(), value in document()) {
        let out = spliced(&text, &[("a name that no document has", value.as_bytes())]);

        let added = out.len() - text.len();
        let at = text.bytes().zip(out.bytes()).take_while(|(old, new)| old == new).count();
        // What was added may begin like what follows it, so look at the text from both ends.
        prop_assert!(at + out.bytes().rev().zip(text.bytes().rev()).take_while(|(new, old)| new == old).count() >= text.len());
        prop_assert!(added > value.len());
    }

    #[test]
    fn accepts_what_serde_json_accepts(text in document(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        agree(&bytes)?;
    }

    #[test]
    fn accepts_what_serde_json_accepts_of_any_tokens(tokens in prop::collection::vec(prop::sample::select(document::TOKENS), 0..12)) {
        agree(tokens.concat().as_bytes())?;
    }

    #[test]
    fn reads_strings_as_serde_json_does(string in any::<String>(), style in any::<u64>()) {
        let text = Node::Text(string.clone()).render(style);

        let value = field(text.as_bytes(), "").unwrap().unwrap();

        prop_assert_eq!(value.kind(), Kind::String);
        prop_assert_eq!(value.string().unwrap(), string.as_str());
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        agree(&bytes)?;
    }
}

/// Both accept the bytes, or both refuse them; but we convert nothing, so we take what is too large or no text.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = field(bytes, "/a/0");
    match (serde_json::from_slice::<Value>(bytes), ours) {
        (Ok(tree), Ok(found)) => {
            let found = found.map(|value| parse(value.text()));
            prop_assert_eq!(found.as_ref(), tree.pointer("/a/0"));
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => prop_assert!(false, "{} in {:?}", error, String::from_utf8_lossy(bytes)),
        (Err(error), Ok(_)) => {
            let message = error.to_string();
            let ours_alone = ["number out of range", "surrogate", "unexpected end of hex escape"];
            prop_assert!(ours_alone.iter().any(|known| message.contains(known)), "{}", message);
        }
    }
    Ok(())
}

#[test]
fn replaces_members_in_place_and_appends_the_others() {
    for (document, expected) in [
        (r#"{}"#, r#"{"a":1,"b":2}"#),
        ("{ \n}", "{\"a\":1,\"b\":2 \n}"),
        (r#"{"x":0}"#, r#"{"x":0,"a":1,"b":2}"#),
        (" {\"x\" : 0 }\n", " {\"x\" : 0,\"a\":1,\"b\":2 }\n"),
        (r#"{"b": 7 ,"x":0}"#, r#"{"b": 2 ,"x":0,"a":1}"#),
        (r#"{"a":{"a":[1]},"b":"a"}"#, r#"{"a":1,"b":2}"#),
        (r#"{"x":{"a":0,"b":0}}"#, r#"{"x":{"a":0,"b":0},"a":1,"b":2}"#),
        ("{\"\\u0061\":0,\"b\":0}", "{\"\\u0061\":1,\"b\":2}"),
    ] {
        assert_eq!(spliced(document, &[("a", b"1"), ("b", b"2")]), expected, "{document}");
    }
}

#[test]
fn replaces_every_duplicate_and_reads_the_last() {
    let document = r#"{"a":1,"x":{"y":1},"a":2,"x":{"z":3},"a":3}"#;

    assert_eq!(spliced(document, &[("a", b"9")]), r#"{"a":9,"x":{"y":1},"a":9,"x":{"z":3},"a":9}"#);
    assert_eq!(field(document.as_bytes(), "/a").unwrap().unwrap().text(), "3");
    assert_eq!(field(document.as_bytes(), "/x/y").unwrap(), None, "the last `x` has no `y`");
    assert_eq!(field(document.as_bytes(), "/x/z").unwrap().unwrap().text(), "3");
}

#[test]
fn escapes_the_names_that_it_appends() {
    assert_eq!(spliced("{}", &[("say \"ä\"\n", b"1")]), "{\"say \\\"ä\\\"\\n\":1}");
}

#[test]
fn leaves_numbers_that_no_float_holds() {
    let document = r#"{"n":123456789012345678901234567890.10,"m":-1e999,"x":0}"#;

    let out = spliced(document, &[("x", b"1")]);

    assert_eq!(out, r#"{"n":123456789012345678901234567890.10,"m":-1e999,"x":1}"#);
    assert_eq!(field(document.as_bytes(), "/m").unwrap().unwrap().text(), "-1e999");
}

#[test]
fn reads_as_deep_as_serde_json_and_no_deeper() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        // Passed over, walked into to the end, and walked into for a part of the way.
        for pointer in ["/x", &"/a".repeat(MAX_DEPTH), &"/0".repeat(MAX_DEPTH), "/a/a/a", "/0/0/0"] {
            let deepest = nested(MAX_DEPTH);
            assert!(serde_json::from_str::<Value>(&deepest).is_ok());
            assert!(field(deepest.as_bytes(), pointer).is_ok(), "{pointer}");
            let deeper = nested(MAX_DEPTH + 1);
            assert!(serde_json::from_str::<Value>(&deeper).is_err());
            assert_eq!(field(deeper.as_bytes(), pointer), Err(Error::TooDeep), "{pointer}");
        }
    }
    let bomb = "[".repeat(10_000_000);
    assert_eq!(field(bomb.as_bytes(), "/a"), Err(Error::TooDeep));
}

#[test]
fn sees_every_byte_wherever_it_stands_in_a_string() {
    for at in 1..20 {
        for byte in 0..=u8::MAX {
            let mut document = *b"\"aaaaaaaaaaaaaaaaaaa\"";
            document[at] = byte;
            agree(&document).unwrap();
        }
    }
}

#[test]
fn tells_where_a_document_breaks() {
    for (document, at) in
        [("", 0), ("  ", 2), (r#"{"a":1,}"#, 7), (r#"{"a":01}"#, 6), ("[1] x", 4), ("\u{feff}{}", 0)]
    {
        assert_eq!(field(document.as_bytes(), "/a"), Err(Error::Syntax { at }), "{document}");
    }
    assert_eq!(field(b"[\"\xff\"]", ""), Err(Error::Syntax { at: 2 }));
}

#[test]
fn sets_members_of_objects_only() {
    for document in ["[]", "1", "null", "\"{}\""] {
        let mut out = b"kept".to_vec();

        assert_eq!(splice(document.as_bytes(), &[("a", b"1")], &mut out), Err(Error::NotAnObject));
        assert_eq!(out, b"kept");
    }
}

#[test]
fn forgets_the_document_before() {
    let mut template = Template::new(&["/a"], &["b"]).unwrap();
    assert!(template.read(br#"{"a":1,"b":2}"#).unwrap().get(0).is_some());

    assert!(template.read(br#"{"a":1,"b":2"#).is_err());
    let read = template.read(b"{}").unwrap();

    assert_eq!(read.get(0), None);
    let mut out = Vec::new();
    read.splice(&[b"3"], &mut out).unwrap();
    assert_eq!(out, br#"{"b":3}"#);
}

#[test]
fn refuses_templates_that_cannot_be_meant() {
    assert!(matches!(Template::new(&[], &["a", "b", "a"]), Err(Error::Template)));
    assert!(matches!(Template::new(&["a"], &[]), Err(Error::Pointer)));
    assert!(matches!(Template::new(&["/a"; 33], &[]), Err(Error::Template)));
    assert!(Template::new(&["/a"; 32], &[]).is_ok());
}
