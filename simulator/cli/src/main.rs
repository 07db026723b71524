//! `overcom-sim`: runs scenario files and scripts, and replays recordings.
//!
//! Exit codes: 0 all is well, 1 a check failed, a replay differs or the answer cannot be written, 2 an input that cannot be
//! used, 141 nobody reads the answer.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use overcom_core::trace::{Builds, ReplayError, replay};
use overcom_simulator::{CryptoMode, Report, Scenario, Sim, script};

const HELP: &str = "\
Exit codes: 0 all is well, 1 a check failed, a replay differs or the answer cannot be written,
2 the input cannot be used, 141 nobody reads the answer.";

/// As if the system had ended it for writing where nobody reads: 128 and SIGPIPE's number.
const NO_READER: u8 = 141;

/// Runs scenarios of Overcom nodes in a simulated network, and replays recordings.
#[derive(Parser)]
#[command(version, about, after_help = HELP)]
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

/// Why there is no whole answer.
enum Fail {
    /// What was handed in cannot be used, in a sentence with the way out.
    Unusable(String),
    /// The answer cannot be written.
    Unwritten(io::Error),
}

impl From<String> for Fail {
    fn from(sentence: String) -> Self {
        Self::Unusable(sentence)
    }
}

impl From<io::Error> for Fail {
    /// Of writing the answer: everything else that can go wrong is named where it does.
    fn from(why: io::Error) -> Self {
        Self::Unwritten(why)
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => carry_out(arguments),
        // Help and the version are answers too; clap knows whether colours suit their reader.
        Err(told) if !told.use_stderr() => told.print().and_then(|()| io::stdout().flush()).map(|()| ExitCode::SUCCESS).map_err(Fail::from),
        Err(wrong) => wrong.exit(),
    };
    match outcome {
        Ok(code) => code,
        Err(Fail::Unwritten(why)) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(NO_READER),
        Err(Fail::Unwritten(why)) => {
            say(&format!("overcom-sim: the answer could not be written: {}", overcom_std::advice(&why)));
            ExitCode::from(1)
        }
        Err(Fail::Unusable(why)) => {
            say(&format!("overcom-sim: {why}"));
            ExitCode::from(2)
        }
    }
}

fn carry_out(arguments: Arguments) -> Result<ExitCode, Fail> {
    match arguments.command {
        Command::Run { file, seed, crypto, record, json } => run(&file, (seed, crypto), record.as_deref(), json),
        Command::Script { file, scenario } => run_script(&file, scenario),
        Command::Replay { file, any_build, json } => replay_file(&file, any_build, json),
    }
}

/// Writes a part of the answer, all of it: not print!, which panics when the reader has gone, as `head` does.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Tells the person at this machine something beside the answer.
fn say(sentence: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "{sentence}");
}

fn read_seed(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    number.map_err(|_| "a number is needed, decimal or 0x…".into())
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|why| {
        let why = if why.kind() == io::ErrorKind::InvalidData {
            "it is no text; name a scenario, a script or a recording".into()
        } else if why.kind() == io::ErrorKind::NotFound {
            "it is not there; correct the name".into()
        } else {
            overcom_std::advice(&why)
        };
        format!("{} cannot be read: {why}", file.display())
    })
}

fn read_crypto(text: &str) -> Result<CryptoMode, String> {
    let all = [CryptoMode::Standard, CryptoMode::Ideal];
    all.into_iter().find(|mode| mode.to_string() == text).ok_or_else(|| "it is standard or ideal".into())
}

fn run(file: &Path, (seed, crypto): (Option<u64>, Option<CryptoMode>), record: Option<&Path>, json: bool) -> Result<ExitCode, Fail> {
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
        std::fs::write(path, sim.trace()).map_err(|why| format!("{} cannot be written: {}", path.display(), overcom_std::advice(&why)))?;
    }
    if json {
        print(&format!("{}\n", as_json(&report)))?;
    } else {
        let Report { digest, marks, end, seed, crypto, .. } = &report;
        let sum = format!("digest {digest}  events {}  end {end}  seed {seed:#x}  crypto {crypto}\n", marks.count());
        print(&format!("{}{sum}", report.ladder()))?;
    }
    let Some(failure) = &report.failure else { return Ok(ExitCode::SUCCESS) };
    say(&format!("FAIL {} at {}: {}", failure.check, failure.at, failure.detail));
    say(&format!("again   overcom-sim run {} --seed {:#x} --crypto {}", file.display(), report.seed, report.crypto));
    Ok(ExitCode::from(1))
}

fn run_script(file: &Path, scenario: bool) -> Result<ExitCode, Fail> {
    let text = read(file)?;
    let in_file = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    if scenario {
        let scenario = script::scenario(&text).map_err(|why| in_file(&why))?;
        print(&(scenario.to_json().map_err(|why| in_file(&why))? + "\n"))?;
    } else {
        print(&script::run(&text).map_err(|why| in_file(&why))?)?;
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

fn replay_file(file: &Path, any_build: bool, json: bool) -> Result<ExitCode, Fail> {
    let builds = if any_build { Builds::Any } else { Builds::Same };
    match replay(&read(file)?, builds) {
        Ok(replays) => {
            for replay in &replays {
                if replay.compared == 0 {
                    let advice = "record again, and let the node end in order";
                    return Err(format!("{}: the recording holds no digest, so nothing was proven; {advice}", file.display()).into());
                }
                let (node, inputs, actions, compared) = (&replay.header.node, replay.inputs, replay.actions, replay.compared);
                if json {
                    let line = serde_json::json!({"same": true, "node": node, "inputs": inputs, "actions": actions, "compared": compared});
                    print(&format!("{line}\n"))?;
                } else {
                    let counts = [count(inputs, "input"), count(actions, "action"), count(compared, "digest")].join(", ");
                    // A recording is a stranger's text: its name must not steer a terminal.
                    print(&format!("same: {}: {counts} compared\n", node.escape_debug()))?;
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(why @ ReplayError::Differs { .. }) => {
            if json {
                print(&format!("{}\n", serde_json::json!({"same": false, "why": why.to_string()})))?;
            }
            say(&format!("overcom-sim: {}: {why}", file.display()));
            Ok(ExitCode::from(1))
        }
        Err(why) => Err(format!("{}: {why}", file.display()).into()),
    }
}
