//! Promises that are kept by comparing: the public face of core, the page of all errors, versions, and what is published.
//!
//! What is generated is compared with the file in the repository. `OVERCOM_WRITE=1 cargo test -p overcom-tests --test all
//! promises` writes it anew: the difference is then part of the change, and a reviewer sees it.

#[expect(clippy::wildcard_enum_match_arm, reason = "of the many kinds of items that a parser knows, few declare something public")]
mod api;
mod errors;
mod packages;
mod versions;

use std::path::{Path, PathBuf};

use quote::ToTokens;

const AGAIN: &str = "OVERCOM_WRITE=1 cargo test -p overcom-tests --test all promises";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in a folder of the repository").into()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Compares a generated file with the one in the repository, or writes it when asked to.
fn keep(path: &str, generated: &str) {
    if std::env::var("OVERCOM_WRITE").is_ok_and(|on| on == "1") {
        std::fs::write(root().join(path), generated).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let mut differences = Vec::new();
    differences.extend(kept.lines().filter(|line| !generated.lines().any(|other| other == *line)).map(|line| format!("-{line}")));
    differences.extend(generated.lines().filter(|line| !kept.lines().any(|other| other == *line)).map(|line| format!("+{line}")));
    assert!(kept == generated, "{path} is not what the sources say; write it anew with\n  {AGAIN}\n{}", differences.join("\n"));
}

/// Tokens as people write them.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" ,", ","),
        (" ;", ";"),
        (" :", ":"),
        ("& ", "&"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        ("' ", "'"),
        (" !", "!"),
        ("# [", "#["),
        (" <", "<"),
        ("(crate) ", "(crate) "),
        ("$ ", "$"),
    ] {
        text = text.replace(from, to);
    }
    text.replace("->", " -> ").replace("  ", " ").replace(">where", "> where").replace(")where", ") where")
}
