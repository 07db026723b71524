//! `overcom demo`, played for figures: over real sockets, on mio and on smol.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What runs the nodes of the demo.
pub(crate) const RUNTIMES: [&str; 2] = ["mio", "smol"];

/// The demo's program, and a file that it may write to.
pub(crate) struct Demo {
    program: PathBuf,
    file: PathBuf,
}

/// What came of one run.
pub(crate) struct Played {
    /// What it prints with `--json`.
    pub(crate) answer: Value,
    /// What its three nodes recorded, one after the other.
    pub(crate) recording: String,
}

impl Demo {
    pub(crate) fn build() -> Result<Self, String> {
        let file = std::env::temp_dir().join(format!("overcom-figures-{}.jsonl", std::process::id()));
        Ok(Self { program: crate::program::overcom()?, file })
    }

    pub(crate) fn play(&self, runtime: &str) -> Result<Played, String> {
        let mut command = Command::new(&self.program);
        command.args(["demo", "--json", "--runtime", runtime, "--record"]).arg(&self.file);
        let output = command.output().map_err(|why| format!("overcom demo: {why}"))?;
        let recording = take(&self.file);
        if !output.status.success() {
            return Err(format!("overcom demo --runtime {runtime}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let answer = serde_json::from_slice(&output.stdout).map_err(|why| format!("overcom demo does not print JSON: {why}"))?;
        Ok(Played { answer, recording: recording? })
    }
}

/// Reads a recording and takes it away: it holds keys.
fn take(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    let _ = std::fs::remove_file(file);
    text.map_err(|why| format!("{}: {why}", file.display()))
}
