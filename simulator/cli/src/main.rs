//! `overcom-sim`: runs scenario files and scripts, and replays recordings.
//!
//! Exit codes: 0 all is well, 1 a check failed or a replay differs, 2 an input that cannot be used.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use overcom_core::trace::{Builds, ReplayError, replay};
use overcom_simulator::{CryptoMode, Report, Scenario, Sim, script};

/// Runs scenarios of Overcom nodes in a simulated network, and replays recordings.
#[derive(Parser)]
#[command(version, about, after_help = "Exit codes: 0 all is well, 1 a check failed or a replay differs, 2 the input cannot be used.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a scenario file; prints what happened, the digest and what failed.
    Run {
        /// The scenario, JSON: {"overcom_scenario":0,"seed":1,"nodes":[{"name":"ann"}],"steps":[…]}.
        file: PathBuf,
        /// Another seed than the file's, decimal or 0x….
        #[arg(long, value_parser = read_seed)]
        seed: Option<u64>,
        /// Other cryptography than the file's: standard, or ideal, which is next to free and keeps no secret.
        #[arg(long, value_parser = read_crypto)]
        crypto: Option<CryptoMode>,
        /// Writes the recordings of all nodes there, for `replay`. They hold the simulated nodes' keys.
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
        /// One JSON object on stdout instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Runs a script: a text file of commands; prints it with what nodes then said under each command.
    Script {
        /// The script: `nodes ann ben`, `introduce ann ben`, `send ann ben note "hello"`, `wait 5s`, …
        file: PathBuf,
        /// The scenario file that the script stands for, in the place of what was said.
        #[arg(long)]
        scenario: bool,
    },
    /// Replays a recording of a simulated or a real node, and compares every digest.
    Replay {
        /// The recording, JSON Lines.
        file: PathBuf,
        /// Also replay what another build recorded; a difference proves nothing then.
        #[arg(long)]
        any_build: bool,
        /// One JSON object on stdout instead of text.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run { file, seed, crypto, record, json } => run(&file, (seed, crypto), record.as_deref(), json),
        Command::Script { file, scenario } => run_script(&file, scenario),
        Command::Replay { file, any_build, json } => replay_file(&file, any_build, json),
    };
    match outcome {
        Ok(code) => code,
        Err(why) => {
            eprintln!("overcom-sim: {why}");
            ExitCode::from(2)
        }
    }
}

fn read_seed(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    number.map_err(|_| "a number is needed, decimal or 0x…".into())
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|why| format!("{} cannot be read: {why}", file.display()))
}

fn read_crypto(text: &str) -> Result<CryptoMode, String> {
    let all = [CryptoMode::Standard, CryptoMode::Ideal];
    all.into_iter().find(|mode| mode.to_string() == text).ok_or_else(|| "it is standard or ideal".into())
}

fn run(file: &Path, (seed, crypto): (Option<u64>, Option<CryptoMode>), record: Option<&Path>, json: bool) -> Result<ExitCode, String> {
    let in_file = |why: overcom_simulator::ScenarioError| format!("{}: {why}", file.display());
    let mut scenario = Scenario::from_json(&read(file)?).map_err(in_file)?;
    scenario.seed = seed.unwrap_or(scenario.seed);
    scenario.crypto = crypto.unwrap_or(scenario.crypto);
    let mut sim = Sim::from_scenario(scenario).map_err(in_file)?;
    if record.is_some() {
        sim.record();
    }
    let report = sim.run().map_err(in_file)?;
    if let Some(path) = record {
        std::fs::write(path, sim.trace()).map_err(|why| format!("{} cannot be written: {why}", path.display()))?;
    }
    if json {
        println!("{}", as_json(&report));
    } else {
        print!("{}", report.ladder());
        let Report { digest, marks, end, seed, crypto, .. } = &report;
        println!("digest {digest}  events {}  end {end}  seed {seed:#x}  crypto {crypto}", marks.count());
    }
    let Some(failure) = &report.failure else { return Ok(ExitCode::SUCCESS) };
    eprintln!("FAIL {} at {}: {}", failure.check, failure.at, failure.detail);
    eprintln!("again   overcom-sim run {} --seed {:#x} --crypto {}", file.display(), report.seed, report.crypto);
    Ok(ExitCode::from(1))
}

fn run_script(file: &Path, scenario: bool) -> Result<ExitCode, String> {
    let text = read(file)?;
    let in_file = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    if scenario {
        let scenario = script::scenario(&text).map_err(|why| in_file(&why))?;
        println!("{}", scenario.to_json().map_err(|why| in_file(&why))?);
    } else {
        print!("{}", script::run(&text).map_err(|why| in_file(&why))?);
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(report: &Report) -> serde_json::Value {
    let failure = report.failure.as_ref();
    serde_json::json!({
        "seed": report.seed,
        "crypto": report.crypto,
        "digest": report.digest.to_string(),
        "events": report.marks.count(),
        "end_us": report.end.as_micros(),
        "failure": failure.map(|failure| serde_json::json!({
            "check": failure.check, "at_us": failure.at.as_micros(), "detail": failure.detail,
        })),
        "ladder": report.ladder().lines().collect::<Vec<_>>(),
    })
}

/// `1 digest`, `2 digests`.
fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn replay_file(file: &Path, any_build: bool, json: bool) -> Result<ExitCode, String> {
    let builds = if any_build { Builds::Any } else { Builds::Same };
    match replay(&read(file)?, builds) {
        Ok(replays) => {
            for replay in &replays {
                if replay.compared == 0 {
                    return Err(format!("{}: the recording holds no digest, so nothing was proven", file.display()));
                }
                let (node, inputs, actions, compared) = (&replay.header.node, replay.inputs, replay.actions, replay.compared);
                if json {
                    let line = serde_json::json!({"same": true, "node": node, "inputs": inputs, "actions": actions, "compared": compared});
                    println!("{line}");
                } else {
                    let counts = [count(inputs, "input"), count(actions, "action"), count(compared, "digest")].join(", ");
                    // A recording is a stranger's text: its name must not steer a terminal.
                    println!("same: {}: {counts} compared", node.escape_debug());
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(why @ ReplayError::Differs { .. }) => {
            if json {
                println!("{}", serde_json::json!({"same": false, "why": why.to_string()}));
            }
            eprintln!("overcom-sim: {}: {why}", file.display());
            Ok(ExitCode::from(1))
        }
        Err(why) => Err(format!("{}: {why}", file.display())),
    }
}
