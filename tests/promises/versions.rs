//! The five versions: what the programs and the README say is what the constants are.

use overcom_core::trace::TRACE_VERSION;
use overcom_simulator::SCENARIO_VERSION;

use super::read;

/// What stands between these two texts in a file of the repository.
fn between(file: &str, before: &str, after: &str) -> String {
    let source = read(file);
    let found = source.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(found, _)| found.to_owned());
    found.unwrap_or_else(|| panic!("{file} holds no {before}…{after}: where has the constant gone?"))
}

/// Name and value of each, from where it is defined.
fn versions() -> [(&'static str, String); 5] {
    [
        ("crate API", env!("CARGO_PKG_VERSION").into()),
        ("wire", between("core/src/identity/delegation.rs", "const LABEL: &str = \"overcom/", " delegation\"")),
        ("trace", TRACE_VERSION.to_string()),
        ("store", between("core/src/node/boot.rs", "const STORE_VERSION: &[u8] = b\"", "\";")),
        ("scenario", SCENARIO_VERSION.to_string()),
    ]
}

#[test]
fn the_command_line_and_the_readme_tell_the_five_versions_as_the_constants_are() {
    let output = std::process::Command::new(crate::cli::program()).arg("--version").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let readme = read("README.md");
    for (name, value) in versions() {
        let line = if name == "crate API" { format!("overcom {value}") } else { format!("{name:<10}{value}") };
        assert!(told.lines().any(|told| told == line), "overcom --version does not say `{line}`:\n{told}");
        assert!(readme.contains(&format!("| {name} | {value} |")), "the README's table does not say `| {name} | {value} |`");
    }
    let pages = read("core/ARCHITECTURE.md");
    assert!(versions().iter().all(|(name, _)| pages.contains(&format!("\n| {name} | "))), "the table of what bumps them is not whole");
}

#[test]
fn every_label_that_is_signed_or_sent_first_is_of_the_wires_version() {
    let [_, (_, wire), ..] = versions();
    let mut labels = 0;
    for file in
        ["identity/delegation.rs", "identity/revocation.rs", "identity/mod.rs", "identity/credentials.rs", "handshake/mod.rs", "rng.rs"]
    {
        for (at, _) in read(&format!("core/src/{file}")).match_indices("\"overcom/").collect::<Vec<_>>() {
            let source = read(&format!("core/src/{file}"));
            let rest = &source[at + "\"overcom/".len()..];
            if rest.starts_with(|c: char| c.is_ascii_digit()) {
                assert!(rest.starts_with(&format!("{wire} ")), "core/src/{file}: {}", &rest[..20.min(rest.len())]);
                labels += 1;
            }
        }
    }
    assert!(labels >= 4, "only {labels} labels were found");
}
