//! Documents for the property tests: every kind of value, duplicate names, every way to write them.

use proptest::prelude::*;

/// A value, with the order and the duplicates of its members.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A number, `true`, `false` or `null`, as written.
    Plain(String),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Pieces of JSON, right and wrong.
pub(crate) const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"a\":",
    "\"\\u0061\":",
    "1",
    "-",
    "0",
    ".5",
    "e9",
    "E+",
    "true",
    "fals",
    "null",
    " ",
    "\n",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\x\"",
    "\"\t\"",
    "\"",
    "\\",
    "ä",
];

impl Node {
    /// Writes it, with whitespace and escapes as the seed has it.
    pub(crate) fn render(&self, seed: u64) -> String {
        let mut writer = Writer { seed, out: String::new() };
        writer.space();
        writer.node(self);
        writer.space();
        writer.out
    }
}

struct Writer {
    seed: u64,
    out: String,
}

impl Writer {
    /// The next of a few choices. Zero seeds choose the first always: the plainest document.
    fn choose(&mut self, choices: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % choices
    }

    fn space(&mut self) {
        for _ in 0..self.choose(3) {
            let kind = self.choose(4);
            self.out.push(match kind {
                0 => ' ',
                1 => '\n',
                2 => '\t',
                _ => '\r',
            });
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Plain(text) => self.out.push_str(text),
            Node::Text(text) => self.text(text),
            Node::Array(nodes) => self.list('[', ']', nodes, Self::node),
            Node::Object(members) => self.list('{', '}', members, |writer, (name, value)| {
                writer.text(name);
                writer.space();
                writer.out.push(':');
                writer.space();
                writer.node(value);
            }),
        }
    }

    fn list<T>(&mut self, open: char, close: char, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.out.push(open);
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            self.space();
            write(self, item);
            self.space();
        }
        if items.is_empty() {
            self.space();
        }
        self.out.push(close);
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            let must = character < ' ' || character == '"' || character == '\\';
            if !must && self.choose(8) < 6 {
                self.out.push(character);
                continue;
            }
            let short = match character {
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '/' => Some("\\/"),
                '\n' => Some("\\n"),
                '\t' => Some("\\t"),
                _ => None,
            };
            match short.filter(|_| self.choose(2) == 0) {
                Some(short) => self.out.push_str(short),
                None => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        self.out.push('"');
    }
}

/// Names of members, few, so that they meet; some are positions.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&["a", "b", "0", "1", "", "a/b", "~", "ä😀", "q\"\\\n"][..]).prop_map(str::to_owned),
        1 => "[a-c0-2]{0,3}",
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        prop::sample::select(
            &["true", "false", "null", "0", "-0", "1.5", "-2e-3", "6E+2", "18446744073709551615"][..]
        )
        .prop_map(|text| Node::Plain(text.to_owned())),
        any::<i64>().prop_map(|number| Node::Plain(number.to_string())),
        any::<String>().prop_map(Node::Text),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Node::Array),
            prop::collection::vec((name(), inner), 0..6).prop_map(Node::Object),
        ]
    })
}

/// The text of any document.
pub(crate) fn document() -> impl Strategy<Value = String> {
    (node(), any::<u64>()).prop_map(|(node, seed)| node.render(seed))
}

/// The text of a document that is an object.
pub(crate) fn object() -> impl Strategy<Value = String> {
    (prop::collection::vec((name(), node()), 0..6), any::<u64>())
        .prop_map(|(members, seed)| Node::Object(members).render(seed))
}
