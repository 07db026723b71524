//! `overcom report`: what somebody who helps needs to see, in one file without what is nobody else's business.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::doctor;
use crate::client::Client;
use crate::fail::Fail;
use crate::file::{self, Kind};
use crate::redact::{Redacted, Redactor};
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to write it
    #[arg(default_value = "overcom-report.txt")]
    file: PathBuf,
    /// A recording (overcom node --record) to put in, redacted
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let trace = arguments.trace.as_deref().map(|path| File::open(path).map_err(|why| unread(path, &why)));
    let trace = trace.transpose()?;
    // Written beside its place first: whatever it is made of stays whole, and so does an older one if this fails.
    let mut part = arguments.file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let is_itself = |trace: &PathBuf| {
        let is = |file: &Path| file.canonicalize().is_ok_and(|file| trace.canonicalize().is_ok_and(|trace| trace == file));
        is(&arguments.file) || is(&part)
    };
    if arguments.trace.as_ref().is_some_and(is_itself) {
        return Err(Fail::usage("the report would take the place of the recording that it is made of; name another file for it"));
    }
    file::keep_out(&arguments.file, &arguments.place.data.path()?)?;
    file::may_replace(&arguments.file, Kind::Report)?;
    let part_file = file::open(&part, Kind::Report)?;
    let written = file::empty(&part_file, &part)
        .and_then(|()| write(arguments, part_file, trace))
        .and_then(|()| fs::rename(&part, &arguments.file).map_err(|why| file::unwritten(&arguments.file, &why)));
    if let Err(why) = written {
        // Half a report is of no use; if it stays, the next one takes its place.
        let _ = fs::remove_file(&part);
        return Err(why);
    }
    let advice = "Read it before you send it: the doctor's part names this machine's folders and addresses.";
    Ok(format!("{} is written. {advice}\n", arguments.file.display()))
}

fn unread(path: &Path, why: &std::io::Error) -> Fail {
    Fail::usage(format!("{} cannot be read: {}", path.display(), overcom_std::advice(why)))
}

fn write(arguments: &Arguments, mut out: File, trace: Option<File>) -> Result<(), Fail> {
    let wrong = |why| file::unwritten(&arguments.file, &why);
    let mut redactor = Redactor::default();
    let mut write = |title: &str, text: &str| writeln!(out, "== {title}\n{text}").map_err(wrong);
    write("versions", crate::VERSIONS)?;
    write("system", &format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))?;
    write("doctor", &doctor::told(&arguments.place)?)?;
    // A node that does not start is told of by the doctor.
    if let Ok(answers) = smol::block_on(Client::with(&arguments.place, ask)) {
        for (op, answer) in answers {
            write(op, &redactor.value(&answer).to_string())?;
        }
    }
    if let Some(trace) = trace {
        write("trace, which cannot be replayed: keys, addresses and contents are taken out", "")?;
        let mut redacted = Redacted::new(&mut out);
        for line in BufReader::new(trace).split(b'\n') {
            let line = line.map_err(|why| unread(arguments.trace.as_deref().unwrap_or(Path::new("the trace")), &why))?;
            redacted.write_all(&[&line[..], b"\n"].concat()).map_err(wrong)?;
        }
    }
    Ok(())
}

async fn ask(client: &mut Client) -> Result<Vec<(&'static str, Value)>, Fail> {
    let mut answers = Vec::new();
    for op in ["status", "links", "outbox", "dht"] {
        answers.push((op, client.call(op, json!({})).await?));
    }
    Ok(answers)
}
