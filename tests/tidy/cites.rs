//! `core/SPEC.md`: every MUST has a test that claims it, and every citation leads somewhere.

use super::{File, Finding, source};
use std::collections::{BTreeMap, BTreeSet};

const SPEC: &str = "core/SPEC.md";

/// The sections of the specification; other words that look like an id (SHA-256) are words.
const SECTIONS: [&str; 14] =
    ["ID", "WIRE", "CRYPTO", "HS", "LINK", "MSG", "FIND", "DHT", "INVITE", "STORE", "NODE", "SHELL", "SIM", "TRACE"];

/// What marks a citation in a comment of the code, and in one of a test.
const MARKS: [&str; 2] = ["(spec: ", TEST_MARK];
const TEST_MARK: &str = "spec-test: ";

struct Clause {
    line: usize,
    is_must: bool,
}

/// The ids of all clauses.
pub(super) fn clause_ids(files: &[File]) -> BTreeSet<String> {
    clauses(spec(files)).0.into_keys().collect()
}

fn check(files: &[File]) -> Vec<Finding> {
    let (clauses, mut findings) = clauses(spec(files));
    let mut tested = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for (index, line) in source::lines(&file.text).iter().enumerate() {
            for id in citations(&line.comment) {
                if clauses.contains_key(&id) {
                    if line.comment.contains(TEST_MARK) {
                        tested.insert(id);
                    }
                } else {
                    findings.push(Finding::new(&file.path, index + 1, format!("{SPEC} has no clause {id}: cite one that exists")));
                }
            }
        }
    }
    for (id, clause) in &clauses {
        if clause.is_must && !tested.contains(id) {
            let advice =
                format!("{id} says MUST, and no test claims it: write the test that fails without it, with `spec-test: {id}` above it");
            findings.push(Finding::new(SPEC, clause.line, advice));
        }
    }
    findings
}

fn spec(files: &[File]) -> &str {
    files.iter().find(|file| file.path == SPEC).map_or("", |file| &file.text)
}

/// Clauses by id. A clause begins at a line whose first word is its id and ends at the next one or at a heading.
fn clauses(spec: &str) -> (BTreeMap<String, Clause>, Vec<Finding>) {
    let mut clauses: BTreeMap<String, Clause> = BTreeMap::new();
    let mut findings = Vec::new();
    let (mut current, mut last): (Option<String>, Option<String>) = (None, None);
    let mut is_example = false;
    for (index, text) in spec.lines().enumerate() {
        if text.trim_start().starts_with("```") {
            is_example = !is_example;
        }
        if is_example {
            continue;
        }
        if let Some(id) = opening_id(text) {
            if let Some(first) = clauses.get(&id) {
                findings.push(Finding::new(
                    SPEC,
                    index + 1,
                    format!("{id} stands at line {} already: give it a number of its own", first.line),
                ));
            } else {
                if let Some(before) = last.as_ref().filter(|before| is_after(before, &id)) {
                    findings.push(Finding::new(
                        SPEC,
                        index + 1,
                        format!("{id} stands behind {before}: put clauses in the order of their numbers"),
                    ));
                }
                clauses.insert(id.clone(), Clause { line: index + 1, is_must: false });
            }
            last = Some(id.clone());
            current = Some(id);
        } else if text.starts_with('#') {
            current = None;
        }
        if source::holds(text, "MUST")
            && let Some(clause) = current.as_ref().and_then(|id| clauses.get_mut(id))
        {
            clause.is_must = true;
        }
    }
    (clauses, findings)
}

/// Whether one id has a higher number than another of its section.
fn is_after(one: &str, other: &str) -> bool {
    let parts = |id: &str| id.split_once('-').and_then(|(section, number)| Some((section.to_owned(), number.parse::<u32>().ok()?)));
    matches!((parts(one), parts(other)), (Some((a, one)), Some((b, other))) if a == b && one > other)
}

/// The clause id that a line begins with, whatever marks stand before it.
fn opening_id(text: &str) -> Option<String> {
    let text = text.trim_start_matches(['#', '*', '-', '|', '`', ' ']);
    let id: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    is_id(&id).then_some(id)
}

fn is_id(word: &str) -> bool {
    word.split_once('-')
        .is_some_and(|(section, number)| SECTIONS.contains(&section) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The ids cited in a comment. A citation without a readable id is returned as it stands, so that it is reported.
fn citations(comment: &str) -> Vec<String> {
    let mut found = Vec::new();
    for mark in MARKS {
        for (at, _) in comment.match_indices(mark) {
            let list = &comment[at + mark.len()..];
            let list = list.split([')', ';']).next().unwrap_or_default();
            for part in list.split(',') {
                let word = part.split_whitespace().next().unwrap_or_default();
                let word = word.trim_matches(|c: char| matches!(c, '.' | ':' | '`'));
                // After at least one id, the comment may go on in words.
                if is_id(word) || !found.iter().any(|id: &String| is_id(id)) {
                    found.push(word.to_owned());
                } else {
                    break;
                }
            }
        }
    }
    found
}

#[test]
fn every_must_has_a_test_and_every_citation_exists() {
    super::expect_none(&check(&super::repository()));
}

#[cfg(test)]
mod tests {
    use super::{File, check, citations};

    fn advice(spec: &str, code: &str) -> Vec<String> {
        let files = [File::new("core/SPEC.md", spec), File::new("core/src/a.rs", code)];
        check(&files).into_iter().map(|finding| finding.advice).collect()
    }

    #[test]
    fn a_must_without_a_test_is_found() {
        let spec = "## Links\n\n**LINK-1** A node MUST answer.\n\n**LINK-2** A node may wait.\n";
        assert_eq!(advice(spec, "// spec-test: LINK-1\nfn a() {}\n"), Vec::<String>::new());
        assert!(advice(spec, "// Answers at once (spec: LINK-1).\n")[0].contains("no test claims it"));
        assert!(advice(spec, "fn a() {}\n")[0].contains("LINK-1 says MUST"));
    }

    #[test]
    fn a_must_in_a_later_line_belongs_to_its_clause() {
        let spec = "LINK-1 A node\nMUST answer.\n# Notes\nYou MUST read this.\n```\nLINK-3 MUST not count\n```\n";
        assert_eq!(advice(spec, "").len(), 1);
    }

    #[test]
    fn a_citation_of_nothing_and_a_doubled_clause_are_found() {
        assert!(advice("LINK-1 may.\n", "// (spec: LINK-9)\n")[0].contains("no clause LINK-9"));
        assert!(advice("LINK-1 may.\n", "// (spec: link one)\n")[0].contains("no clause link"));
        assert!(advice("LINK-1 may.\nLINK-1 may.\n", "")[0].contains("already"));
    }

    #[test]
    fn a_clause_out_of_the_order_of_its_section_is_found() {
        assert!(advice("LINK-2 may.\n\nText.\n\nLINK-1 may.\n", "")[0].contains("LINK-1 stands behind LINK-2"));
        assert_eq!(advice("LINK-2 may.\nLINK-10 may.\nMSG-1 may.\n", ""), Vec::<String>::new());
    }

    #[test]
    fn a_citation_in_a_literal_is_none() {
        assert!(advice("LINK-1 MUST.\n", "let a = \"(spec: LINK-1)\";\n")[0].contains("no test claims it"));
    }

    #[test]
    fn lists_of_clauses_are_read() {
        assert_eq!(citations("as told (spec: LINK-1, MSG-22) here"), ["LINK-1", "MSG-22"]);
        assert_eq!(citations(" spec-test: LINK-1, MSG-2"), ["LINK-1", "MSG-2"]);
    }
}
