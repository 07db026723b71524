//! `overcom node`: a node for programs, in JSON Lines on standard input and output; or for everybody, until it is stopped.

use std::cell::Cell;
use std::fs::File;
use std::io::BufWriter;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use smol::Unblock;
use smol::future::or;
use smol::io::{AsyncWriteExt as _, copy};

use crate::client::{Found, find, made};
use crate::fail::Fail;
use crate::file::{self, Kind};
use crate::log;
use crate::proto::{Line, Lines};
use crate::redact::Redacted;
use crate::run::{Place, Recording, Running};
use crate::serve::{Lock, Reader, Writer};
use crate::session::Role;
use crate::signal::unless_asked;

/// How often a node that is to take over looks whether the present one has ended (guess: before somebody misses it).
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Run until stopped, without standard input and output: for the other verbs, and for a service manager
    #[arg(long)]
    serve: bool,
    /// Write down everything that goes into the node, for overcom-sim replay; it holds this device's keys
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Take keys, addresses and contents out of the recording; then it shows what happened, but cannot be replayed
    #[arg(long, requires = "record")]
    redact: bool,
    /// Tell on standard error what the node does; names and addresses of people at debug only, contents and keys never
    #[arg(long, value_name = "LEVEL")]
    log: Option<log::Level>,
    /// Tell what the node counts as OpenMetrics text at http://ADDR/metrics, to this machine only; port 0 takes any
    #[arg(long, value_name = "IP:PORT", value_parser = loopback)]
    metrics: Option<SocketAddr>,
}

/// An address that only this machine reaches: who asks proves nothing.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let wrong = "write IP:PORT, for instance 127.0.0.1:9575";
    let at: SocketAddr = text.parse().map_err(|_| wrong.to_owned())?;
    if at.ip().is_loopback() { Ok(at) } else { Err("not of this machine alone: name 127.0.0.1 or [::1]".to_owned()) }
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    arguments.log.into_iter().for_each(log::start);
    // Before anything is run: whoever names a place that cannot be written to hears so at once.
    let open = |path| -> Result<_, Fail> {
        file::keep_out(path, &arguments.place.data.folder()?)?;
        Ok((path, file::open(path, Kind::Recording)?))
    };
    let record = arguments.record.as_deref().map(open).transpose()?;
    let metrics = arguments.metrics.map(|at| {
        let wrong = |why| Fail::failed(format!("{at} cannot be listened on: {why}; name another port with --metrics"));
        TcpListener::bind(at).map_err(wrong)
    });
    let metrics = metrics.transpose()?;
    let done = smol::block_on(async {
        let look = async { if arguments.serve { next(&arguments.place).await } else { find(&arguments.place).await } };
        match unless_asked(look).await? {
            Found::Free(lock) => run_here(arguments, lock, record, metrics).await,
            Found::Taken(..) if record.is_some() => Err(Fail::failed("the node of this folder runs already: stop it, then record")),
            Found::Taken(..) if metrics.is_some() => Err(Fail::failed("the node of this folder runs already: stop it, then measure")),
            Found::Taken(lines, writer, hello) => unless_asked(pass_on(lines, writer, &hello)).await,
        }
    });
    match done {
        // A node runs until it is asked to end.
        Err(fail) if !fail.is_asked() => Err(fail),
        _ => Ok(String::new()),
    }
}

/// The right to run the node, once whoever runs it now has ended: that may be another command, which lasts shorter.
async fn next(place: &Place) -> Result<Found, Fail> {
    let folder = made(place)?;
    let mut has_told = false;
    loop {
        // Not by a session with it: the node of another command would last as long as this one waits.
        if let Some(lock) = Lock::try_take(&folder)? {
            return Ok(Found::Free(lock));
        }
        if !has_told {
            has_told = true;
            crate::say("a node runs on this folder already: this one takes over when it has ended");
        }
        smol::Timer::after(LOOK_EVERY).await;
    }
}

async fn run_here(arguments: &Arguments, lock: Lock, record: Option<(&Path, File)>, metrics: Option<TcpListener>) -> Result<(), Fail> {
    let recording = |(path, file): (&Path, File)| -> Result<Recording, Fail> {
        // Not before the lock says that no other node writes there, and not before the keys are read.
        file::empty(&file, path)?;
        let file = BufWriter::new(file);
        Ok(if arguments.redact { Box::new(Redacted::new(file)) } else { Box::new(file) })
    };
    let mut running = unless_asked(Running::start(&arguments.place, lock, || record.map(recording).transpose())).await?;
    if let Some(listener) = metrics {
        if let Ok(at) = listener.local_addr() {
            crate::say(&format!("what it counts is at http://{at}/metrics"));
        }
        running.measure(listener)?;
    }
    if arguments.serve {
        let at: Vec<String> = running.addresses.iter().map(ToString::to_string).collect();
        crate::say(&format!("the node runs at {}; overcom send, listen and the others speak with it", at.join(", ")));
        return running.ended().await;
    }
    let hold = running.entrance.clone().hold(Role::Master, Unblock::new(std::io::stdin()), Unblock::new(std::io::stdout()));
    let session = smol::spawn(hold);
    let ended = running.ended().await;
    // Answers may be written after the end of the input, and fail when the node has ended already.
    let written = session.await.map_err(Fail::deaf);
    ended.and(written)
}

/// The node runs elsewhere: its session is this one's.
async fn pass_on(mut lines: Lines<Reader>, mut writer: Writer, hello: &Value) -> Result<(), Fail> {
    let gone = |why| Fail::failed(format!("the node has ended ({why}); start again"));
    let mut out = Unblock::new(std::io::stdout());
    out.write_all(format!("{hello}\n").as_bytes()).await.map_err(Fail::deaf)?;
    out.flush().await.map_err(Fail::deaf)?;
    writer.write_all(b"{\"id\":null,\"op\":\"listen\"}\n").await.map_err(gone)?;
    // Its answer is the first one, and nobody's here: what stands before it are notices.
    let mut is_listening = false;
    let is_asked = Cell::new(false);
    let asking = async {
        let asked = copy(Unblock::new(std::io::stdin()), &mut writer).await;
        // The end of the input is the end of the requests; answers may still come.
        is_asked.set(true);
        match asked.and(writer.close().await) {
            Ok(()) => smol::future::pending().await,
            Err(why) => Err(gone(why)),
        }
    };
    let telling = async {
        loop {
            let mut line = match lines.next().await.map_err(gone)? {
                Some(Line::Text(line)) => line,
                Some(Line::TooLong) => {
                    return Err(Fail::failed("a line of the node is too long to be passed on; stop that node, and run this one"));
                }
                None if is_asked.get() => return Ok(()),
                None => return Err(Fail::failed("the node has ended; start again, and ask again what was not answered")),
            };
            if !is_listening && !line.starts_with(b"{\"notice\":") {
                is_listening = true;
                continue;
            }
            line.push(b'\n');
            out.write_all(&line).await.map_err(Fail::deaf)?;
            out.flush().await.map_err(Fail::deaf)?;
        }
    };
    or(telling, asking).await
}
