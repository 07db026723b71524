//! Every measurable promise of Overcom, by name: `figures NAME… | --list | --quick | --full | --seeds=N | --write`; and `figures --digests N`,
//! to compare builds. `figures --calls …` is no measurement but what `stdio` starts to kill it.
//!
//! One JSON line per figure: `{"figure","value","unit","target","pass","control","size","seeds","detail"}`; the process
//! exits with 1 if one misses. `--quick` leaves out those that build crates of others, unless they are named, and `--list --quick` does too.
//! With `--seeds=N` figures of simulated networks are the worst of N seeds.
//! `control` is the same figure with the mechanism or the defence off, and must miss.

mod allocations;
mod bound;
mod conformance;
mod demo;
mod determinism;
mod dht;
mod disk;
mod engine;
mod figure;
mod frame;
mod handshake;
mod hostile;
mod identity;
mod join;
mod ladder;
#[path = "../load.rs"]
mod load;
mod memory;
mod meter;
#[path = "../../simulator/tests/whole/ping/mod.rs"]
mod ping;
#[path = "../piped.rs"]
mod piped;
mod planted;
mod poison;
#[path = "../program.rs"]
mod program;
mod renewal;
mod rtt;
#[path = "../scratch.rs"]
mod scratch;
mod seeds;
mod sleep;
mod speed;
mod stdio;
#[path = "../street.rs"]
mod street;
mod table;
mod threads;
mod throughput;
mod transcript;
mod weight;
mod wired;
mod written;

use std::io::Write as _;
use std::process::ExitCode;

use figure::{FIGURES, Figure, Size};

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "figures: {why}");
            ExitCode::from(2)
        }
    }
}

/// Runs what the arguments ask for; whether every figure passed.
fn run(arguments: Vec<String>) -> Result<bool, String> {
    if let [flag, seeds] = &arguments[..]
        && flag == "--digests"
    {
        let seeds = seeds.parse().map_err(|why| format!("--digests {seeds}: {why}"))?;
        determinism::digests(seeds)?.iter().try_for_each(|line| say(line))?;
        return Ok(true);
    }
    if let [flag, rest @ ..] = &arguments[..]
        && flag == stdio::CALLS
    {
        return stdio::call(rest).map(|()| true);
    }
    let (flags, names): (Vec<String>, Vec<String>) = arguments.into_iter().partition(|argument| argument.starts_with("--"));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let seeds_of =
        |flag: &String| flag.strip_prefix("--seeds=").map(|number| number.parse::<u64>().map_err(|why| format!("{flag}: {why}")));
    let seeds = flags.iter().find_map(seeds_of).transpose()?.unwrap_or(1);
    let is_known = |flag: &&String| ["--list", "--quick", "--full", "--write"].contains(&flag.as_str()) || seeds_of(flag).is_some();
    if let Some(unknown) = flags.iter().find(|flag| !is_known(flag)) {
        return Err(format!("unknown option {unknown}; there are --list, --quick, --full, --seeds=N and --write, and --digests N alone"));
    }
    let is_left_out = |figure: &Figure| has("--quick") && names.is_empty() && !figure.is_quick();
    if has("--list") {
        FIGURES
            .iter()
            .filter(|figure| !is_left_out(figure))
            .try_for_each(|figure| say(&format!("{:16} {}", figure.name, figure.promise)))?;
        return Ok(true);
    }
    if let Some(unknown) = names.iter().find(|name| FIGURES.iter().all(|figure| figure.name != **name)) {
        return Err(format!("no figure is called {unknown}; --list names them"));
    }
    let size = if has("--quick") {
        Size::Quick
    } else if has("--full") {
        Size::Full
    } else {
        Size::Default
    };
    let mut all_pass = true;
    let mut lines = Vec::new();
    let is_wanted = |figure: &&Figure| !is_left_out(figure) && (names.is_empty() || names.iter().any(|name| name == figure.name));
    for figure in FIGURES.iter().filter(is_wanted) {
        let measured = if seeds::is_seeded(figure) { seeds::worst_of(seeds, figure, size)? } else { (figure.measure)(size)? };
        all_pass &= measured.passes();
        say(&measured.to_json(figure.name))?;
        lines.push((figure, measured));
    }
    if has("--write") {
        written::update(&lines)?;
    }
    Ok(all_pass)
}

fn say(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|why| why.to_string())
}

/// The figures and what came of them, as [`written`] keeps them.
type Lines<'a> = [(&'a Figure, figure::Measured)];
