//! Rust source as the rules see it: code without comments and literals, and where tests begin.

/// One line of Rust, split into what the compiler sees and what it does not.
#[derive(Debug, Default, Clone)]
pub(super) struct Line {
    /// The code, with the content of literals and all comments left out.
    pub(super) code: String,
    /// The text of comments on this line.
    pub(super) comment: String,
    /// Whether the line belongs to an inline `#[cfg(test)]` module.
    pub(super) is_test: bool,
}

impl Line {
    pub(super) fn is_blank(&self) -> bool {
        self.code.trim().is_empty()
    }
}

/// Splits source into lines. Total: whatever is not valid Rust is split somehow.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut lines = Scanner::new(text).run();
    mark_tests(&mut lines);
    lines
}

/// The identifiers of a line of code, with the byte at which each begins.
pub(super) fn words(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
        match (is_word(c), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push((from, &code[from..at]));
                start = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    found
}

/// Whether `wanted` stands in `code` as whole words: `Map<` does not match `BTreeMap<`.
pub(super) fn holds(code: &str, wanted: &str) -> bool {
    code.match_indices(wanted).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + wanted.len()..].chars().next();
        let open = wanted.starts_with(is_word) && before.is_some_and(is_word);
        let close = wanted.ends_with(is_word) && after.is_some_and(is_word);
        !open && !close
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Code,
    LineComment,
    /// With the depth of nesting.
    BlockComment(usize),
    Text,
    /// With the number of `#` that close it.
    RawText(usize),
}

struct Scanner<'a> {
    rest: &'a str,
    mode: Mode,
    lines: Vec<Line>,
    line: Line,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, mode: Mode::Code, lines: Vec::new(), line: Line::default() }
    }

    fn run(mut self) -> Vec<Line> {
        while let Some(c) = self.rest.chars().next() {
            if c == '\n' {
                self.skip(1);
                if self.mode == Mode::LineComment {
                    self.mode = Mode::Code;
                }
                self.lines.push(std::mem::take(&mut self.line));
                continue;
            }
            match self.mode {
                Mode::Code => self.code(c),
                Mode::LineComment => self.comment(c),
                Mode::BlockComment(depth) => self.block(c, depth),
                Mode::Text => self.text(c),
                Mode::RawText(hashes) => self.raw(c, hashes),
            }
        }
        self.lines.push(self.line);
        self.lines
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }

    fn code(&mut self, c: char) {
        if self.rest.starts_with("//") {
            self.mode = Mode::LineComment;
            self.skip(2);
        } else if self.rest.starts_with("/*") {
            self.mode = Mode::BlockComment(1);
            self.skip(2);
        } else if let Some(hashes) = self.raw_text_opens() {
            self.line.code.push('"');
            self.mode = Mode::RawText(hashes);
            self.skip(hashes + 2);
        } else if c == '"' {
            self.line.code.push('"');
            self.mode = Mode::Text;
            self.skip(1);
        } else if c == '\'' {
            self.quote();
        } else {
            self.line.code.push(c);
            self.skip(c.len_utf8());
        }
    }

    /// The number of `#` when a raw text begins here; `br` and `cr` have had their first letter taken as code.
    fn raw_text_opens(&self) -> Option<usize> {
        let after = self.rest.strip_prefix('r')?;
        let before = self.line.code.chars().next_back();
        if before.is_some_and(|c| is_word(c) && c != 'b' && c != 'c') {
            return None;
        }
        let hashes = after.chars().take_while(|c| *c == '#').count();
        after[hashes..].starts_with('"').then_some(hashes)
    }

    /// A character literal is left out, a lifetime stays.
    fn quote(&mut self) {
        let mut chars = self.rest.char_indices().skip(1);
        let first = chars.next();
        let second = chars.next();
        let length = match (first, second) {
            (Some((_, '\\')), _) => self.rest[3.min(self.rest.len())..].find('\'').map(|at| at + 4),
            (Some(_), Some((at, '\''))) => Some(at + 1),
            _ => None,
        };
        self.line.code.push('\'');
        self.skip(length.unwrap_or(1));
    }

    fn comment(&mut self, c: char) {
        self.line.comment.push(c);
        self.skip(c.len_utf8());
    }

    fn block(&mut self, c: char, depth: usize) {
        if self.rest.starts_with("*/") {
            self.mode = if depth == 1 { Mode::Code } else { Mode::BlockComment(depth - 1) };
            self.skip(2);
        } else if self.rest.starts_with("/*") {
            self.mode = Mode::BlockComment(depth + 1);
            self.skip(2);
        } else {
            self.comment(c);
        }
    }

    fn text(&mut self, c: char) {
        if c == '"' {
            self.line.code.push('"');
            self.mode = Mode::Code;
            self.skip(1);
        } else if c == '\\' && !self.rest.starts_with("\\\n") {
            self.skip(1);
            self.skip(self.rest.chars().next().map_or(0, char::len_utf8));
        } else {
            self.skip(c.len_utf8());
        }
    }

    fn raw(&mut self, c: char, hashes: usize) {
        let closes = c == '"' && self.rest[1..].chars().take(hashes).filter(|c| *c == '#').count() == hashes;
        if closes {
            self.line.code.push('"');
            self.mode = Mode::Code;
            self.skip(1 + hashes);
        } else {
            self.skip(c.len_utf8());
        }
    }
}

/// Marks inline modules under `#[cfg(test)]`, from the attribute to the closing brace.
fn mark_tests(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        let opens = lines[at].code.contains("#[cfg(test)]") && opens_module(&lines[at..]);
        if !opens {
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        let mut was_open = false;
        while at < lines.len() {
            let line = &mut lines[at];
            line.is_test = true;
            at += 1;
            for c in line.code.chars() {
                match c {
                    '{' => {
                        depth += 1;
                        was_open = true;
                    }
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            if was_open && depth == 0 {
                break;
            }
        }
    }
}

fn opens_module(lines: &[Line]) -> bool {
    let code = lines.iter().map(|line| line.code.replace("#[cfg(test)]", ""));
    let first = code.map(|code| code.trim().to_owned()).find(|code| !code.is_empty() && !code.starts_with("#["));
    first.is_some_and(|code| code.contains("mod ") && code.ends_with('{'))
}

#[cfg(test)]
mod tests {
    use super::{holds, lines, words};

    #[test]
    fn comments_and_literals_are_not_code() {
        let split = lines("let a = \"x // y\"; // z\nlet b = r#\"\"q\"#; /* c\nd */ let e = '\"'; fn f<'a>() {}");
        assert_eq!(split[0].code, "let a = \"\"; ");
        assert_eq!(split[0].comment, " z");
        assert_eq!(split[1].code, "let b = \"\"; ");
        assert_eq!(split[2].code, " let e = '; fn f<'a>() {}");
    }

    #[test]
    fn only_inline_test_modules_count_as_tests() {
        let split = lines("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod far;\nfn d() {}");
        let marked: Vec<bool> = split.iter().map(|line| line.is_test).collect();
        assert_eq!(marked, [false, true, true, true, true, false, false, false, false]);
    }

    #[test]
    fn words_are_found_whole() {
        assert_eq!(words("a_b::c(3)"), [(0, "a_b"), (5, "c"), (7, "3")]);
        assert!(holds("use std::HashMap;", "HashMap"));
        assert!(!holds("type MyHashMapX = u8;", "HashMap"));
    }
}
