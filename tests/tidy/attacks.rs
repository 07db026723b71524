//! `tests/ATTACKS.md`: what it names as proof must exist.

use std::collections::BTreeSet;

use super::behaviours::test_names;
use super::{File, Finding};

const LIST: &str = "tests/ATTACKS.md";
const FIGURES: &str = "tests/figures/figure.rs";

fn check(list: &str, names: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, row) in (1..).zip(list.lines()).filter(|(_, row)| row.starts_with("| ") && !row.starts_with("| attack |")) {
        let proofs: Vec<&str> = row.rsplit(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2).collect();
        if proofs.is_empty() {
            findings.push(Finding::new(LIST, line, "names neither a figure nor a test: name what fails without the defence"));
        }
        for proof in proofs.into_iter().filter(|proof| !names.contains(*proof)) {
            findings.push(Finding::new(LIST, line, format!("no figure or test is called {proof}: name one that exists")));
        }
    }
    findings
}

/// The figures that the list of figures names.
fn figures(list: &str) -> impl Iterator<Item = String> {
    list.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned)
}

#[test]
fn every_attack_is_held_by_figures_or_tests_that_exist() {
    let files = super::repository();
    let text = |path: &str| files.iter().find(|file: &&File| file.path == path).map(|file| file.text.as_str()).expect("it exists");
    let mut names = test_names(&files);
    names.extend(figures(text(FIGURES)));
    super::expect_none(&check(text(LIST), &names));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_whose_proof_does_not_exist_is_found_and_so_is_one_without() {
        let names =
            BTreeSet::from_iter(figures("Figure { name: \"dht-x\", promise: \"\" }")).into_iter().chain(["it_holds".to_owned()]).collect();
        let advice = |list: &str| check(list, &names).into_iter().map(|finding| finding.advice).collect::<Vec<_>>();
        assert_eq!(advice("| attack | defence | proofs |\n|---|---|---|\n| a | b | `dht-x`, `it_holds` |"), Vec::<String>::new());
        assert!(advice("| a | b | `dht-y` |")[0].contains("dht-y"));
        assert!(advice("| a | b | - |")[0].contains("neither"));
    }
}
