//! Protocol tests as text: commands, each followed by what nodes then said to each other, as a reviewer reads it in a diff.
//!
//! A script is a text file of one command a line. [`run`] gives the same text back, under each command the lines of the
//! [`Ladder`](overcom_core::trace::Ladder) that followed it, indented:
//!
//! ```
//! let text = "\
//! nodes alice bob
//! introduce bob alice
//! send bob alice bla \"hello Alice\"
//! wait 5s
//! ";
//! assert_eq!(overcom_simulator::script::run(text)?, "\
//! nodes alice bob
//! introduce bob alice
//! send bob alice bla \"hello Alice\"
//! wait 5s
//!     bob -> alice: link up
//!     bob -> alice: message bla
//!     alice: got bla from bob
//!     alice -> bob: acknowledged
//! ");
//! # Ok::<(), overcom_simulator::script::ScriptError>(())
//! ```
//!
//! Indented lines of a script are what an earlier run said; they are read over. So what comes out can be run again, and a
//! script may carry its own expectation: `assert_eq!(script::run(text)?, text)`. Or keep a folder of them:
//!
//! ```text
//! insta::glob!("scripts/*.txt", |path| {
//!     insta::assert_snapshot!(overcom_simulator::script::run(&std::fs::read_to_string(path).unwrap()).unwrap());
//! });
//! ```
//!
//! # The language
//!
//! Words are separated by spaces. `#` begins a line for people. What comes before anything happens:
//!
#![doc = include_str!("set_up.md")]
//!
//! What happens, each a millisecond after the line before it; the nodes have started one second before the first of them:
//!
#![doc = include_str!("acts.md")]
//!
//! What is looked at:
//!
#![doc = include_str!("looks.md")]
//!
//! `GROUP` is names with commas between them. A `DURATION` is a number and `ms`, `s`, `m`, `h` or `d`. `JSON` reaches to the
//! end of the line. A script is a [`Scenario`] and runs on the same engine: [`scenario`] gives the one that stands behind it.

mod read;
mod show;

use std::fmt;
use std::time::Duration;

use overcom_core::Time;
use overcom_core::trace::Detail;

use crate::inbox::Inbox;
use crate::scenario::Scenario;
use crate::sim::Sim;
use read::{Act, Script};

/// What is wrong with a script: where, and what would be right there.
#[derive(Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub why: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.why)
    }
}

impl fmt::Debug for ScriptError {
    /// The sentence itself, so that `unwrap` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for ScriptError {}

/// Runs a script; the text with what followed each line under it. The same text gives the same text.
///
/// # Errors
/// [`ScriptError`] with the first line that is wrong, or at which the run broke a promise of the contract.
pub fn run(text: &str) -> Result<String, ScriptError> {
    let script = Script::read(text)?;
    let at_line = |line: usize, why: String| ScriptError { line, column: 1, why };
    let mut sim = Sim::from_scenario(script.scenario()).map_err(|why| at_line(script.last_set_up(), why.to_string()))?;
    sim.start().map_err(|why| at_line(script.last_set_up(), why.to_string()))?;
    let (mut out, mut detail) = (String::new(), Detail::default());
    for line in &script.lines {
        push(&mut out, line.text);
        match &line.act {
            Act::Nothing => {}
            Act::Detail(chosen) => detail = *chosen,
            Act::Look(look) => look.lines(&sim).iter().for_each(|said| push(&mut out, &format!("    {said}"))),
        }
        if let Some((from, to)) = line.span {
            followed(&mut sim, detail, (from, to), &mut out).map_err(|why| at_line(line.number, why))?;
        }
    }
    Ok(out)
}

/// The scenario that a script stands for, for `overcom-sim run` and [`Sim::from_scenario`]. What is looked at is not in it.
///
/// # Errors
/// As [`run`].
pub fn scenario(text: &str) -> Result<Scenario, ScriptError> {
    Ok(Script::read(text)?.scenario())
}

/// Lets the time from the one to the other pass, without its last instant, and writes down what was said in it.
fn followed(sim: &mut Sim<Inbox>, detail: Detail, (from, to): (u64, u64), out: &mut String) -> Result<(), String> {
    let just_before = Duration::from_millis(to).saturating_sub(Duration::from_micros(1));
    sim.run_until(just_before).map_err(|why| why.to_string())?;
    if let Some(failure) = sim.report().failure {
        return Err(format!("{} failed at {}: {}", failure.check, failure.at, failure.detail));
    }
    let ladder = sim.ladder().detail(detail);
    let rungs = ladder.rungs().into_iter().filter(|rung| (Time::from_millis(from)..Time::from_millis(to)).contains(&rung.at));
    rungs.for_each(|rung| push(out, &format!("    {rung}")));
    match ladder.dropped() {
        0 => Ok(()),
        dropped => Err(format!("so much happened that {dropped} entries were not kept: make the script shorter")),
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests;
