//! Reads Rust source as far as the guards need: its words, and which modules of the crate it names.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file of the host.
pub(crate) struct File {
    /// From the top of the repository.
    pub(crate) path: String,
    module: Vec<String>,
    tokens: Vec<Token>,
}

/// A word of a file.
pub(crate) struct Word {
    pub(crate) text: String,
    /// With the word that follows it in a path, such as `Instant::now`.
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) in_tests: bool,
}

/// A module of the crate that a file names.
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) line: usize,
    pub(crate) in_tests: bool,
}

/// A word, or one character of punctuation.
struct Token {
    text: String,
    line: usize,
    in_tests: bool,
    /// How many inline modules it lies in.
    inline_modules: usize,
}

/// The directory of the package `gristmill-host`.
pub(crate) fn host() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The source files of the host, without `lib.rs`, which names every module.
pub(crate) fn host_files() -> Vec<File> {
    let top = host().parent().unwrap().to_owned();
    let paths = rust_files(&host().join("src"));
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
        File::new(&name, &fs::read_to_string(path).unwrap())
    };
    let files = paths.iter().filter(|path| !path.ends_with("src/lib.rs")).map(read).collect();
    with_test_modules_marked(files)
}

/// A file that another one declares with `#[cfg(test)] mod x;` is a test from end to end, and so are those below it.
pub(crate) fn with_test_modules_marked(mut files: Vec<File>) -> Vec<File> {
    let tests: Vec<_> = files.iter().flat_map(File::test_modules).collect();
    for file in &mut files {
        if tests.iter().any(|module| file.module.starts_with(module)) {
            file.tokens.iter_mut().for_each(|token| token.in_tests = true);
        }
    }
    files
}

/// All Rust files below a directory, in order.
pub(crate) fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(rust_files(&path));
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl File {
    /// Reads a file's text. The path begins with `host/src/`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let inner = path.trim_start_matches("host/src/").trim_end_matches(".rs");
        let module: Vec<_> = inner.split('/').map(str::to_owned).collect();
        let is_test_file = module.iter().any(|part| part == "tests");
        Self { path: path.to_owned(), module, tokens: mark(tokens(&plain(text)), is_test_file) }
    }

    /// The modules in files of their own that it declares for tests only.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let declares =
            |at: &usize| self.tokens[*at].in_tests && self.text(*at) == "mod" && self.text(at + 2) == ";";
        let module = |at: usize| self.module.iter().cloned().chain([self.text(at + 1).to_owned()]).collect();
        (0..self.tokens.len()).filter(declares).map(module).collect()
    }

    /// The module of the crate that it is a part of.
    pub(crate) fn module(&self) -> &str {
        &self.module[0]
    }

    /// Its words.
    pub(crate) fn words(&self) -> impl Iterator<Item = Word> {
        self.words_with_places().into_iter().map(|(_, word)| word)
    }

    fn words_with_places(&self) -> Vec<(usize, Word)> {
        let words = self.tokens.iter().enumerate().filter(|(_, token)| token.text.starts_with(is_word));
        let word = |(at, token): (usize, &Token)| {
            let next = if self.is_path(at) { self.text(at + 3) } else { "" };
            let path = format!("{}::{next}", token.text);
            (at, Word { text: token.text.clone(), path, line: token.line, in_tests: token.in_tests })
        };
        words.map(word).collect()
    }

    /// The words that follow `start::`, unless these words and signs come before.
    pub(crate) fn paths_after(&self, start: &str, unless: &[&str]) -> Vec<Word> {
        let mut words = self.words_with_places();
        words.retain(|(at, word)| {
            let before = at.checked_sub(unless.len());
            let is_used =
                before.is_some_and(|before| (before..*at).map(|at| self.text(at)).eq(unless.iter().copied()));
            word.text == start && self.is_path(*at) && !is_used
        });
        let next = |(at, word): (usize, Word)| Word { text: self.text(at + 3).to_owned(), ..word };
        words.into_iter().map(next).collect()
    }

    /// The modules of the crate that it names, in `use` lines and in paths.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let start = at;
            at += 1;
            let token = &self.tokens[start];
            match token.text.as_str() {
                "crate" | "gristmill_host" if self.is_path(start) => self.tree(start + 3, &mut imports),
                "super" if start == 0 || self.tokens[start - 1].text != ":" => {
                    let mut end = start;
                    while self.text(end) == "super" && self.is_path(end) {
                        end += 3;
                    }
                    let supers = (end - start) / 3;
                    if supers == self.module.len() + token.inline_modules {
                        self.tree(end, &mut imports);
                    }
                    at = end.max(at);
                }
                _ => {}
            }
        }
        imports
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    fn is_path(&self, at: usize) -> bool {
        self.text(at + 1) == ":" && self.text(at + 2) == ":"
    }

    /// The first words of a path or of each path of a group.
    fn tree(&self, at: usize, imports: &mut Vec<Import>) {
        let add = |at: usize, imports: &mut Vec<Import>| {
            if let Some(Token { text, line, in_tests, .. }) = self.tokens.get(at) {
                imports.push(Import { module: text.clone(), line: *line, in_tests: *in_tests });
            }
        };
        if self.text(at) != "{" {
            return add(at, imports);
        }
        let (mut depth, mut at, mut is_first) = (1, at + 1, true);
        while depth > 0 && at < self.tokens.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => is_first = true,
                _ if is_first && depth == 1 => {
                    add(at, imports);
                    is_first = false;
                }
                _ => {}
            }
            at += 1;
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text with comments, strings and character literals blanked out, line by line as before.
fn plain(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut plain = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => {
                chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |len| at + len)
            }
            ('/', Some('*')) => block_comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            ('r', Some('"' | '#')) if at == 0 || !is_word(chars[at - 1]) => raw_string_end(&chars, at),
            ('\'', _) => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            plain.push(chars[at]);
            at += 1;
            continue;
        }
        plain.push(' ');
        plain.extend(chars[at..end].iter().filter(|c| **c == '\n'));
        at = end;
    }
    plain
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (1, start + 2);
    while depth > 0 && at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r#"..."#`, or the start itself when it is a raw identifier.
fn raw_string_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let mut at = start + 2 + hashes;
    while at < chars.len() {
        let closes = chars[at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

/// The end of a character literal, or the start itself when it is a lifetime.
fn char_end(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            let close = chars[start + 3..].iter().position(|c| *c == '\'');
            close.map_or(chars.len(), |len| start + 3 + len + 1)
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

fn tokens(plain: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (number, line) in plain.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len()).max(first.len_utf8());
            let (text, tail) = rest.split_at(len);
            rest = tail;
            if !first.is_whitespace() {
                let (text, line) = (text.to_owned(), number + 1);
                tokens.push(Token { text, line, in_tests: false, inline_modules: 0 });
            }
        }
    }
    tokens
}

/// Marks what belongs to tests, and how deep in inline modules each token lies.
fn mark(mut tokens: Vec<Token>, is_test_file: bool) -> Vec<Token> {
    let texts: Vec<String> = tokens.iter().map(|token| token.text.clone()).collect();
    let is = |at: usize, wanted: &[&str]| {
        wanted.iter().enumerate().all(|(offset, text)| texts.get(at + offset).is_some_and(|t| t == text))
    };
    let mut tests_until = 0;
    let (mut depth, mut modules) = (0_usize, Vec::new());
    for at in 0..tokens.len() {
        if is(at, &["#", "[", "cfg", "(", "test", ")", "]"]) && at >= tests_until {
            tests_until = item_end(&texts, at + 7);
        }
        if is(at, &["mod"]) && is(at + 2, &["{"]) {
            modules.push(depth);
        }
        match texts[at].as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if is(at, &["}"]) && modules.last() == Some(&depth) {
            modules.pop();
        }
        tokens[at].in_tests = is_test_file || at < tests_until;
        tokens[at].inline_modules = modules.len();
    }
    tokens
}

/// The end of the item that begins at a token: its semicolon, or the brace that closes it.
fn item_end(texts: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (at, text) in texts.iter().enumerate().skip(start) {
        match text.as_str() {
            "{" => depth += 1,
            "}" if depth <= 1 => return at + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    texts.len()
}

#[test]
fn blanks_out_comments_and_literals_but_not_lifetimes() {
    let text = "a // b\nc /* d /* e */ \n f */ g \"h \\\" i\" r#\"j \" k\"# 'l' '\\'' &'m n r#o";

    let words: Vec<_> = File::new("host/src/x.rs", text).words().map(|word| word.text).collect();

    assert_eq!(words, ["a", "c", "g", "m", "n", "r", "o"]);
}
