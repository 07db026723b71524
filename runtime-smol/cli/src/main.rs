//! The command line of Overcom.

mod data;
mod delegate;
mod demo;
mod fail;
mod id;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fail::Fail;

const HELP: &str = "\
Examples:
  overcom demo                            three nodes in this process find each other and talk
  overcom id                              who am I? The first time this makes an identity and the keys of this device
  overcom delegate --days 14              sign again what this device may do
  overcom id --request > request.json     an identity that is kept elsewhere: ask for a delegation here,
  overcom delegate --request request.json > delegation.json      sign it there,
  overcom delegate --install delegation.json                     and take it here

Exit codes: 0 done; 1 it did not work, and the message says what to do; 2 wrong usage or input.

Secrets are kept in $XDG_DATA_HOME/overcom, or ~/.local/share/overcom, unless --data says where. Nothing secret is printed.";

/// What bumps each number stands in core's ARCHITECTURE.md.
const VERSIONS: &str = concat!(env!("CARGO_PKG_VERSION"), "\nwire      1", "\ntrace     1", "\nstore     1", "\nscenario  0");

#[derive(Parser)]
#[command(name = "overcom", version = VERSIONS, about, after_help = HELP, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs three nodes in this process, over real sockets: one finds another through the third, and talks with it
    Demo(demo::Arguments),
    /// Shows the user id, the device and its delegation; makes them the first time
    Id(id::Arguments),
    /// Signs a delegation: what a device may do in the identity's name, in which app, and until when
    Delegate(delegate::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Id(arguments) => id::run(&arguments),
        Verb::Delegate(arguments) => delegate::run(&arguments),
    };
    let result = result.and_then(|text| {
        // Not println!, which panics when the reader has gone, as `head` does.
        std::io::stdout().lock().write_all(text.as_bytes()).map_err(|why| Fail::failed(format!("the answer could not be written: {why}")))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            let _ = writeln!(std::io::stderr(), "overcom: {fail}");
            fail.code()
        }
    }
}
