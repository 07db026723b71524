//! The command line of Overcom.

mod book;
mod client;
mod data;
mod delegate;
mod demo;
mod door;
mod fail;
mod file;
mod hub;
mod id;
mod keeper;
mod log;
mod metrics;
#[cfg(test)]
mod mutants;
mod proto;
mod redact;
mod run;
mod serve;
mod session;
mod signal;
mod verbs;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fail::Fail;
use verbs::{dht, doctor, enter, find, forget, invite, listen, names, node, publish, report, revoke, send, stop, why};

const HELP: &str = "\
Examples:
  overcom demo                            three nodes in this process find each other and talk
  overcom id                              who am I? The first time this makes an identity and keys
  overcom invite                          one line for one other person, who says:
  overcom join oci1… --as ann             and both know each other
  overcom send ann note '{\"milk\":2}'     and wait until it is delivered
  overcom listen --type note | jq .payload
  overcom why ann                         why does it not arrive?
  overcom enter HOST:PORT                 take part in the network that finds people by id
  overcom find ann                        where does the network say that ann is?
  overcom dht                             how many nodes are there, and is all well?
  overcom publish contacts                who is told there where this device is?
  overcom doctor                          is everything there that a node needs?
  overcom node --serve                    a node for all these, until Ctrl-C or
  overcom stop                            ends it
  overcom node --serve --metrics 127.0.0.1:9575    and what it counts, for Prometheus and the like
  overcom node                            a node for a program, in JSON Lines
  overcom id --request > request.json     an identity that is kept elsewhere: ask here,
  overcom delegate --request request.json > delegation.json      sign it there,
  overcom delegate --install delegation.json                     and take it here
  overcom revoke DEVICE                   a device is lost: nobody takes it for yours any more

Exit codes: 0 done; 1 it did not work, and the message says what to do; 2 wrong usage or input;
3 a message is kept and will be tried again, but is not delivered yet; 128 and a signal's number:
it was ended before it was done (130: Ctrl-C; 141: nobody reads the answer).

Keys, names and messages are kept in $XDG_DATA_HOME/overcom, or ~/.local/share/overcom, unless
--data says where. Keys are never printed; the line of invite lets in whoever has it first, so give
it to one person only. One node runs for each such folder: every command speaks with the one that
runs, or runs one as long as it lasts.";

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
    /// Prints one line that brings somebody together with you
    Invite(invite::Invite),
    /// Takes such a line, and waits until both have each other in their address books
    Join(invite::Join),
    /// Sends a message, and waits until it is delivered
    Send(send::Arguments),
    /// Shows messages as they come
    Listen(listen::Arguments),
    /// Lists, gives and takes away people's names
    Names(names::Arguments),
    /// Says what was tried to reach somebody, and what came of it
    Why(why::Arguments),
    /// Asks the network where somebody's devices are
    Find(find::Arguments),
    /// Shows this node's place in the network that finds people, and how well it is there
    Dht(dht::Arguments),
    /// Says who is told by that network where this device is
    Publish(publish::Arguments),
    /// Looks at everything that a node needs, and says the next step where something is missing
    Doctor(doctor::Arguments),
    /// Takes somebody out of the address book, with their names and with what waits for them
    Forget(forget::Arguments),
    /// Names the peers to enter the network by, or shows how it goes with them
    Enter(enter::Arguments),
    /// Runs a node for a program, in JSON Lines on standard input and output; or with --serve for all other verbs
    Node(node::Arguments),
    /// Ends the node that runs, in order
    Stop(stop::Arguments),
    /// Writes what somebody who helps needs to see into one file, without keys and contents
    Report(report::Arguments),
    /// Signs a delegation: what a device may do in the identity's name, in which app, and until when
    Delegate(delegate::Arguments),
    /// Takes back what was signed for a device that is lost, or for all of them
    Revoke(revoke::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::try_parse() {
        Ok(arguments) => carry_out(arguments).and_then(|text| Ok(print(&text)?)),
        // Help and the version are answers too; clap knows whether colours suit their reader.
        Err(told) if !told.use_stderr() => told.print().and_then(|()| std::io::stdout().flush()).map_err(Fail::from),
        Err(wrong) => wrong.exit(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            if !fail.is_quiet() {
                let _ = writeln!(std::io::stderr(), "overcom: {fail}");
            }
            fail.code()
        }
    }
}

/// Carries a verb out, and gives its answer.
fn carry_out(arguments: Arguments) -> Result<String, Fail> {
    match arguments.verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Id(arguments) => id::run(&arguments),
        Verb::Invite(arguments) => invite::invite(&arguments),
        Verb::Join(arguments) => invite::join(&arguments),
        Verb::Send(arguments) => send::run(&arguments),
        Verb::Listen(arguments) => listen::run(&arguments),
        Verb::Names(arguments) => names::run(&arguments),
        Verb::Why(arguments) => why::run(&arguments),
        Verb::Find(arguments) => find::run(&arguments),
        Verb::Dht(arguments) => dht::run(&arguments),
        Verb::Publish(arguments) => publish::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Forget(arguments) => forget::run(&arguments),
        Verb::Enter(arguments) => enter::run(&arguments),
        Verb::Report(arguments) => report::run(&arguments),
        Verb::Node(arguments) => node::run(&arguments),
        Verb::Stop(arguments) => stop::run(&arguments),
        Verb::Delegate(arguments) => delegate::run(&arguments),
        Verb::Revoke(arguments) => revoke::run(&arguments),
    }
}

/// Writes a part of the answer, all of it: not println!, which panics when the reader has gone, as `head` does.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Tells the person at this machine something beside the answer.
fn say(sentence: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "overcom: {sentence}");
}
