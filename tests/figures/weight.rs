//! `core-size`: what an embedder takes on: crates, text and the time to build them.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use overcom_std::Clock;

use crate::figure::{Measured, Size};
use crate::program::{ROOT, text_of};
use crate::scratch::Scratch;

/// Crates that belong to command lines.
const COMMAND_LINES: [&str; 6] = ["clap", "clap-builder", "clap-derive", "indicatif", "tracing-subscriber", "argh"];
/// What embedders depend on.
const EMBEDDED: [&str; 4] = ["overcom-core", "overcom-std", "overcom-mio", "overcom-smol"];

/// Crates of command lines in the trees of what embedders take. The control is the tree of the command line. The size of
/// the text and the time to build are recorded, and held to nothing: compilers and machines differ.
pub(crate) fn core_size(size: Size) -> Result<Measured, String> {
    let mut counts = Vec::new();
    let mut found = BTreeSet::new();
    for name in EMBEDDED {
        let tree = tree(name)?;
        counts.push(format!("{name} {}", tree.len()));
        found.extend(of_command_lines(&tree));
    }
    let control = of_command_lines(&tree("overcom")?).len();
    Ok(Measured {
        value: found.len() as f64,
        unit: "crates",
        target: 0.0,
        control: control as f64,
        size: counts.len() as u64,
        seeds: 1,
        detail: format!(
            "crates in all: {}; two nodes that shake hands and talk, with core and nothing below it: {} KiB of text; built in {}; control: the \
             command line's tree",
            counts.join(", "),
            bare_text_bytes()? / 1_024,
            if size == Size::Quick {
                "a time that was not taken".into()
            } else {
                format!("{} s, core and its crates alone", build_time()?.as_secs())
            },
        ),
    })
}

fn of_command_lines(tree: &BTreeSet<String>) -> Vec<String> {
    tree.iter().filter(|name| COMMAND_LINES.contains(&name.as_str())).cloned().collect()
}

/// Every crate that a package is built of.
fn tree(package: &str) -> Result<BTreeSet<String>, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{lib}", "--package", package]).current_dir(ROOT);
    let text = text_of(&mut cargo)?;
    let names: BTreeSet<String> =
        text.lines().map(|line| line.trim_end_matches(" (*)").replace('_', "-")).filter(|name| !name.is_empty()).collect();
    if names.len() < 10 { Err(format!("the tree of {package} has {} crates", names.len())) } else { Ok(names) }
}

/// The text of a program that is two nodes and nothing else, for this machine's architecture.
fn bare_text_bytes() -> Result<u64, String> {
    let scratch = Scratch::new("core-size");
    let (library, program) = (format!("{ROOT}/tests/no-std/target/release/libovercom_no_std.a"), scratch.path().join("bare"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--release", "--target-dir"]).arg(format!("{ROOT}/tests/no-std/target"));
    text_of(cargo.arg("--manifest-path").arg(format!("{ROOT}/tests/no-std/Cargo.toml")))?;
    let entry = scratch.path().join("main.c");
    std::fs::write(&entry, "unsigned overcom_no_std_proof(void);\nint main(void) { return (int)overcom_no_std_proof(); }\n")
        .map_err(|why| why.to_string())?;
    text_of(Command::new("cc").arg("-Wl,--gc-sections").arg(&entry).arg(&library).arg("-o").arg(&program))?;
    let sizes = text_of(Command::new("size").arg(&program))?;
    let text = sizes.lines().nth(1).and_then(|line| line.split_whitespace().next()).and_then(|field| field.parse().ok());
    text.ok_or_else(|| format!("size said {sizes}"))
}

/// How long core and what it is built of take from nothing, in release.
fn build_time() -> Result<Duration, String> {
    let (scratch, clock) = (Scratch::new("core-build"), Clock::start());
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--release", "--package", "overcom-core", "--target-dir"]).arg(scratch.path());
    text_of(cargo.current_dir(ROOT))?;
    Ok(clock.now().since(overcom_core::Time::ZERO))
}
