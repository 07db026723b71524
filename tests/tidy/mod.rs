//! Rules about the repository itself that no compiler checks: what is promised, cited, allowed, too long or badly named.
//!
//! Each rule is a pure function from text to findings, so that a test can show it failing on bad text as well as
//! passing on the repository.

mod attacks;
mod behaviours;
mod cites;
mod modules;
mod pages;
mod sizes;
mod source;
mod words;

use std::path::{Path, PathBuf};

/// One broken rule: where it is, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    line: usize,
    advice: String,
}

impl Finding {
    fn new(file: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, advice: advice.into() }
    }
}

/// A text file of the repository: its path from the root, with `/`, and its content.
struct File {
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests lie in a folder of the repository").to_owned()
}

/// Every text file of the repository in path order, without build output, history and the lock file.
fn repository() -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository can be listed") {
            let path = entry.expect("an entry of a folder can be read").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // In a linked working tree `.git` is a file.
            if matches!(name.as_str(), "target" | ".git" | "corpus" | "artifacts" | "Cargo.lock") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let relative = path.strip_prefix(&root).expect("what was found under the root lies under it");
                let path = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "only {} files found under {}: the walk is broken", found.len(), root.display());
    found
}

/// Fails with one line for each finding.
fn expect_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(|finding| format!("{}:{}: {}", finding.file, finding.line, finding.advice)).collect();
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), lines.join("\n"));
}
