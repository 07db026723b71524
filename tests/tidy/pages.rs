//! What the pages say about the repository: links lead somewhere, the README names every test that does not run, and its code
//! is that of an example.

use super::{File, Finding, source};

const README: &str = "README.md";
/// What the README shows, built and run like the other examples.
const SHOWN: &str = "core/examples/readme.rs";

fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&page.text) {
            let path = resolve(&page.path, &target);
            let leads = path.is_empty() || files.iter().any(|file| file.path == path || file.path.starts_with(&format!("{path}/")));
            if !leads {
                findings.push(Finding::new(&page.path, line, format!("{target} leads nowhere: link to a file or folder that exists")));
            }
        }
    }
    let readme = files.iter().find(|file| file.path == README).map_or("", |file| &file.text);
    let shown = files.iter().find(|file| file.path == SHOWN).and_then(|file| file.text.split_once("\n\n"));
    if let Some((_, code)) = shown.filter(|(_, code)| !readme.contains(&format!("```rust\n{code}```\n"))) {
        let lines = code.lines().count();
        findings.push(Finding::new(README, 1, format!("the {lines} lines of {SHOWN} below its first do not stand in it as they are")));
    }
    for file in files.iter().filter(|file| file.is_rust()) {
        for (line, name) in ignored(&file.text) {
            if !readme.contains(&format!("`{name}`")) {
                findings.push(Finding::new(&file.path, line, format!("{name} is ignored: name it in {README} and say until when")));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` within the repository, with lines; code blocks are left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_example = false;
    for (index, line) in text.lines().enumerate() {
        is_example ^= line.trim_start().starts_with("```");
        for (at, _) in line.match_indices("](").filter(|_| !is_example) {
            let target = line[at + 2..].split([')', '#']).next().unwrap_or_default();
            if !target.contains("://") && !target.is_empty() {
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

/// A relative target as a path from the repository's root.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Tests under `#[ignore]`, with lines.
fn ignored(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_marked = false;
    for (index, line) in source::lines(text).iter().enumerate() {
        is_marked |= line.code.contains("#[ignore");
        let words: Vec<&str> = source::words(&line.code).into_iter().map(|(_, word)| word).collect();
        if let Some(name) = words.iter().position(|word| *word == "fn").and_then(|at| words.get(at + 1)) {
            if is_marked {
                found.push((index + 1, (*name).to_owned()));
            }
            is_marked = false;
        }
    }
    found
}

#[test]
fn pages_link_to_what_exists_and_the_readme_names_ignored_tests() {
    super::expect_none(&check(&super::repository()));
}

#[cfg(test)]
mod tests {
    use super::{File, check};

    fn advice(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files.iter().map(|(path, text)| File::new(path, text)).collect();
        check(&files).into_iter().map(|finding| finding.advice).collect()
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let spec = ("core/SPEC.md", "");
        let links = "[a](../core/SPEC.md#links) [b](https://example.org) [c](../core) [d](#here)\n```\n[e](none)\n```\n";
        assert_eq!(advice(&[spec, ("tests/A.md", links)]), Vec::<String>::new());
        assert!(advice(&[spec, ("tests/A.md", "[a](core/SPEC.md)")])[0].contains("leads nowhere"));
    }

    #[test]
    fn a_readme_whose_code_is_not_the_example_s_is_found() {
        let shown = (super::SHOWN, "//! It is shown.\n\nfn main() {}\n");
        assert_eq!(advice(&[shown, ("README.md", "```rust\nfn main() {}\n```\n")]), Vec::<String>::new());
        assert_eq!(advice(&[shown, ("README.md", "```rust\nfn main() { }\n```\n")]).len(), 1);
    }

    #[test]
    fn an_ignored_test_that_the_readme_keeps_quiet_about_is_found() {
        let test = ("core/src/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn it_is_slow() {}\n#[test]\nfn it_runs() {}\n");
        assert_eq!(advice(&[test, ("README.md", "Ignored: `it_is_slow`.")]), Vec::<String>::new());
        assert_eq!(advice(&[test, ("README.md", "")]), ["it_is_slow is ignored: name it in README.md and say until when"]);
    }
}
