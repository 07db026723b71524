//! `tests/BEHAVIOURS.md`: every behaviour has one row, and a row that says `done` can prove it.

use super::{File, Finding, cites, source};
use std::collections::{BTreeMap, BTreeSet};

/// How many behaviours each of the five designs had: 309 together.
const RANGES: [(&str, usize); 5] = [("OC", 64), ("ME", 73), ("DI", 41), ("OT", 56), ("BC", 75)];

/// The later parts that a row may wait for, and the one being built.
const PARTS: [&str; 6] = ["engine", "dht", "referral", "rounds", "mail", "devices"];

const LIST: &str = "tests/BEHAVIOURS.md";

struct Row<'a> {
    line: usize,
    id: &'a str,
    behaviour: &'a str,
    clauses: &'a str,
    tests: &'a str,
    state: &'a str,
}

fn check(list: &str, clauses: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<Finding> {
    let (rows, mut findings) = rows(list);
    let mut seen = BTreeMap::new();
    for row in &rows {
        if let Some(first) = seen.insert(row.id, row.line) {
            findings.push(Finding::new(LIST, row.line, format!("{} has a row at line {first} already: keep one", row.id)));
        }
        if !is_expected(row.id) {
            findings.push(Finding::new(LIST, row.line, format!("{} is no known behaviour: correct the id", row.id)));
        }
        if row.behaviour.is_empty() {
            findings.push(Finding::new(LIST, row.line, format!("{} says nothing: describe it in a sentence", row.id)));
        }
        findings.extend(names(row, clauses, tests));
        if let Some(advice) = state(row) {
            findings.push(Finding::new(LIST, row.line, format!("{}: {advice}", row.id)));
        }
    }
    for (design, count) in RANGES {
        for number in 1..=count {
            let id = format!("{design}-{number:02}");
            if !seen.contains_key(id.as_str()) {
                findings.push(Finding::new(LIST, 1, format!("{id} has no row: add it")));
            }
        }
    }
    findings
}

/// Whatever a row names must exist, in any state.
fn names(row: &Row<'_>, clauses: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for clause in entries(row.clauses).filter(|clause| !clauses.contains(*clause)) {
        findings.push(Finding::new(LIST, row.line, format!("{}: core/SPEC.md has no clause {clause}: cite one that exists", row.id)));
    }
    for test in entries(row.tests).filter(|test| !tests.contains(*test)) {
        findings.push(Finding::new(LIST, row.line, format!("{}: no test is called {test}: name one that exists", row.id)));
    }
    findings
}

/// What is wrong with a row's state, if anything.
fn state(row: &Row<'_>) -> Option<String> {
    if row.state == "done" {
        let is_proven = entries(row.clauses).next().is_some() && entries(row.tests).next().is_some();
        return (!is_proven).then(|| "done needs a clause and a test: name both, or set it open".to_owned());
    }
    if let Some(part) = row.state.strip_prefix("open: ") {
        return (!PARTS.contains(&part)).then(|| format!("open for {part:?}, which is none of {PARTS:?}"));
    }
    match row.state.strip_prefix("left out: ") {
        Some(reason) if reason.split_whitespace().count() >= 3 => None,
        Some(_) => Some("left out needs a reason that a reader can judge".to_owned()),
        None => Some(format!("state {:?} is neither done, open: PART nor left out: WHY", row.state)),
    }
}

fn rows(list: &str) -> (Vec<Row<'_>>, Vec<Finding>) {
    let mut rows = Vec::new();
    let mut findings = Vec::new();
    for (index, text) in list.lines().enumerate() {
        let Some(inner) = text.strip_prefix("| ").and_then(|text| text.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = inner.split(" | ").map(str::trim).collect();
        if !cells.first().is_some_and(|id| looks_like_an_id(id)) {
            continue;
        }
        match cells[..] {
            [id, behaviour, clauses, tests, state] => rows.push(Row { line: index + 1, id, behaviour, clauses, tests, state }),
            _ => findings.push(Finding::new(LIST, index + 1, format!("{} cells: a row has five", cells.len()))),
        }
    }
    (rows, findings)
}

fn looks_like_an_id(cell: &str) -> bool {
    cell.split_once('-').is_some_and(|(design, number)| {
        design.len() == 2 && design.bytes().all(|b| b.is_ascii_uppercase()) && number.bytes().all(|b| b.is_ascii_digit())
    })
}

fn is_expected(id: &str) -> bool {
    RANGES.iter().any(|(design, count)| (1..=*count).any(|number| id == format!("{design}-{number:02}")))
}

/// The entries of a cell, `-` being none.
fn entries(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(',').map(|entry| entry.trim().trim_matches('`')).filter(|entry| !matches!(*entry, "-" | ""))
}

/// The names of all tests: functions under `#[test]`, and the cases of suites that bring their own harness.
pub(super) fn test_names(files: &[File]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let is_suite = file.path.contains("conformance");
        let mut is_marked = false;
        for line in source::lines(&file.text) {
            let code = line.code.trim();
            is_marked |= code.contains("#[test]");
            let words: Vec<&str> = source::words(code).into_iter().map(|(_, word)| word).collect();
            if let Some(name) = words.iter().position(|word| *word == "fn").and_then(|at| words.get(at + 1)) {
                if is_marked || is_suite {
                    names.insert((*name).to_owned());
                }
                is_marked = false;
            }
        }
    }
    names
}

#[test]
fn every_behaviour_has_one_row_and_done_rows_are_proven() {
    let files = super::repository();
    let list = files.iter().find(|file| file.path == LIST).expect("tests/BEHAVIOURS.md exists");
    super::expect_none(&check(&list.text, &cites::clause_ids(&files), &test_names(&files)));
}

#[cfg(test)]
mod tests {
    use super::{File, RANGES, check, test_names};
    use std::collections::BTreeSet;

    fn list_without(left_out: &str) -> String {
        let ids = RANGES.iter().flat_map(|(design, count)| (1..=*count).map(move |number| format!("{design}-{number:02}")));
        ids.filter(|id| id != left_out).map(|id| format!("| {id} | something | - | - | open: dht |\n")).collect()
    }

    fn advice(list: &str) -> Vec<String> {
        let clauses = BTreeSet::from(["LINK-1".to_owned()]);
        let tests = BTreeSet::from(["it_works".to_owned()]);
        check(list, &clauses, &tests).into_iter().map(|finding| finding.advice).collect()
    }

    #[test]
    fn a_whole_list_passes_and_a_missing_row_is_named() {
        assert_eq!(advice(&list_without("")), Vec::<String>::new());
        assert_eq!(advice(&list_without("OT-56")), ["OT-56 has no row: add it"]);
    }

    #[test]
    fn the_designs_had_309_behaviours() {
        assert_eq!(RANGES.iter().map(|(_, count)| count).sum::<usize>(), 309);
    }

    #[test]
    fn a_done_row_needs_a_clause_and_a_test_that_exist() {
        let with = |row: &str| advice(&(list_without("OC-01") + row));
        assert!(with("| OC-01 | a | LINK-1 | `it_works` | done |\n").is_empty());
        assert!(with("| OC-01 | a | LINK-1 | - | done |\n")[0].contains("needs a clause and a test"));
        assert!(with("| OC-01 | a | LINK-2 | `it_works` | done |\n")[0].contains("no clause LINK-2"));
        assert!(with("| OC-01 | a | LINK-1 | `it_fails` | done |\n")[0].contains("no test is called it_fails"));
    }

    #[test]
    fn unknown_states_doubled_rows_and_unknown_ids_are_found() {
        let with = |row: &str| advice(&(list_without("OC-01") + row));
        assert!(with("| OC-01 | a | - | - | open: later |\n")[0].contains("none of"));
        assert!(with("| OC-01 | a | - | - | left out: no |\n")[0].contains("reason"));
        assert!(with("| OC-01 | a | - | - | almost |\n")[0].contains("neither"));
        assert!(with("| OC-01 | a | - | open: dht |\n")[0].contains("4 cells"));
        assert!(with("| OC-01 | a | - | - | open: dht |\n| OC-65 | a | - | - | open: dht |\n")[0].contains("no known behaviour"));
        assert!(with("| OC-01 | a | - | - | open: dht |\n| OC-01 | a | - | - | open: dht |\n")[0].contains("already"));
    }

    #[test]
    fn only_functions_that_run_as_tests_count() {
        let file = File::new("core/src/a.rs", "fn helper() {}\n#[test]\nfn claim() {}\n// #[test]\nfn other() {}\n");
        assert_eq!(test_names(&[file]), BTreeSet::from(["claim".to_owned()]));
        let suite = File::new("simulator/src/conformance.rs", "fn a_case() {}");
        assert!(test_names(&[suite]).contains("a_case"));
    }
}
