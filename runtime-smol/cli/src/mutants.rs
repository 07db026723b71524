//! The program's own parsers under its corpus, and under mutants of it, the same ones each time: no bytes make them panic, and
//! what each promises holds. See `tests/fuzz/README.md`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use overcom_core::UserId;
use serde_json::Value;

use crate::book::Book;
use crate::door::Door;
use crate::proto::{answer, parse};
use crate::redact::{KEPT, NO_JSON, Redacted, WORDS};

/// Mutants of each file (guess: some seconds for all of them).
const MUTANTS: usize = 2_000;

/// Draws of a xorshift generator, whose quality is enough to choose places.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end.max(1) as u64)).expect("it is below a usize")
    }

    /// One to four changes of a file.
    fn mutant(&mut self, of: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = of.to_vec();
        for _ in 0..=self.below(4) {
            let (a, b) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            let (from, to) = (a.min(b), a.max(b));
            match self.below(6) {
                0 if from < bytes.len() => bytes[from] ^= 1 << self.below(8),
                1 if from < bytes.len() => bytes[from] = b"\"\\{}[],:0-\n\x00\xff"[self.below(13)],
                2 => drop(bytes.drain(from..to)),
                3 => {
                    let part = bytes[from..to].to_vec();
                    let at = self.below(bytes.len() + 1);
                    bytes.splice(at..at, part);
                }
                4 => {
                    let other = &others[self.below(others.len())];
                    let (a, b) = (self.below(other.len() + 1), self.below(other.len() + 1));
                    bytes.splice(from..to, other[a.min(b)..a.max(b)].iter().copied());
                }
                _ => bytes.truncate(to),
            }
        }
        bytes
    }
}

/// Each file of a corpus, and its mutants.
fn each(corpus: &str, mut check: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(corpus);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    let users = [1, 2].map(|n| UserId::from_bytes([n; 32]).to_string());
    let read =
        |path: &PathBuf| fs::read_to_string(path).expect("text").replace("USER1", &users[0]).replace("USER2", &users[1]).into_bytes();
    let files: Vec<Vec<u8>> = paths.iter().map(read).collect();
    assert!(files.len() >= 3, "the corpus of {corpus} is empty");
    let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
    for file in &files {
        check(file);
        (0..MUTANTS).for_each(|_| check(&draws.mutant(file, &files)));
    }
}

#[test]
fn no_mutants_of_requests_break_the_protocol() {
    let (mut taken, mut refused) = (0, 0);
    each("request", |bytes| {
        let request = parse(bytes);
        let line = answer(&request.id, &request.op.as_ref().map(|_| Value::Null).map_err(Clone::clone));
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(!line.contains('\n') && told.get("id").is_some_and(|id| id.is_null() || id.is_number() || id.is_string()), "{line}");
        match request.op {
            Ok(_) => taken += 1,
            Err(fault) => {
                refused += 1;
                assert!(!fault.message.is_empty() && !fault.hint.is_empty(), "{fault:?}");
            }
        }
    });
    assert!(taken > 100 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn no_mutants_of_names_are_read_as_somebody_else_and_what_is_refused_stays() {
    let folder = std::env::temp_dir().join(format!("overcom-mutants-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is room");
    let path = folder.join("names.json");
    let (mut taken, mut refused) = (0, 0);
    each("names", |bytes| {
        fs::write(&path, bytes).expect("there is room");
        match Book::open(&folder) {
            Ok(book) => {
                taken += 1;
                for (name, user) in book.names() {
                    assert_eq!(book.find(name), Ok(user));
                    let text = String::from_utf8_lossy(bytes);
                    assert!(text.contains(&user.to_string()) || text.contains('\\'), "{user} is not in {text}");
                }
            }
            Err(why) => {
                refused += 1;
                assert!(why.contains("names.json: "), "{why}");
            }
        }
        assert_eq!(fs::read(&path).expect("it is there"), bytes);
    });
    fs::remove_dir_all(&folder).expect("it is there");
    assert!(taken > 10 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn no_mutants_of_the_control_file_are_read_otherwise_than_they_are_written() {
    let path = std::env::temp_dir().join(format!("overcom-mutants-door-{}", std::process::id()));
    let (mut taken, mut refused) = (0, 0);
    each("control", |bytes| {
        fs::write(&path, bytes).expect("there is room");
        let Ok(door) = Door::read(&path) else {
            refused += 1;
            return;
        };
        taken += 1;
        let written = serde_json::to_value(door.expect("the file is there")).expect("it is JSON");
        let read: Value = serde_json::from_slice(bytes).expect("what is read is JSON");
        assert_eq!((&written["port"], &written["secret"]), (&read["port"], &read["secret"]));
    });
    fs::remove_file(&path).expect("it is there");
    assert!(taken > 10 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn no_mutants_of_recordings_get_a_text_through_the_redaction() {
    let mut texts = 0;
    each("redact", |bytes| {
        let mut redacted = Redacted::new(Vec::new());
        // In two parts, as writers hand lines over.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        redacted.write_all(first).and_then(|()| redacted.write_all(second)).expect("memory takes it");
        let out = String::from_utf8(redacted.into_inner()).expect("it is text");
        assert_eq!(out.lines().count(), bytes.iter().filter(|byte| **byte == b'\n').count());
        for line in out.lines() {
            let told: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
            texts += is_redacted("", &told);
        }
    });
    assert!(texts > 1_000, "{texts}");
}

/// How many texts are in a value, each of which may be: a number, or a word of this program.
fn is_redacted(name: &str, value: &Value) -> usize {
    match value {
        Value::String(text) => {
            let is_number = text.strip_prefix('#').is_some_and(|number| number.parse::<usize>().is_ok());
            let is_word = KEPT.contains(&name) || name == "is" && WORDS.contains(&text.as_str()) || name == "redacted" && text == NO_JSON;
            assert!(is_number || is_word, "{name}: {text}");
            1
        }
        Value::Array(all) => all.iter().map(|one| is_redacted(name, one)).sum(),
        Value::Object(object) => object.iter().map(|(name, value)| is_redacted(name, value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
