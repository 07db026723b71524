//! `overcom node`: a node for programs, in JSON Lines on standard input and output; or for everybody, until it is stopped.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use smol::Unblock;
use smol::future::or;
use smol::io::{AsyncWriteExt as _, copy};

use crate::client::{Found, find};
use crate::fail::Fail;
use crate::proto::{Line, Lines};
use crate::redact::Redacted;
use crate::run::{Place, Recording, Running};
use crate::serve::{Reader, Writer};
use crate::session::Role;

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
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    smol::block_on(async {
        // Before anything is run: whoever names a place that cannot be written to hears so at once.
        let file = arguments.record.as_deref().map(create).transpose()?.map(BufWriter::new);
        let record = file.map(|file| -> Recording {
            if arguments.redact { Box::new(Redacted::new(file)) } else { Box::new(file) }
        });
        match find(&arguments.place).await? {
            Found::Free(lock) => {
                let running = Running::start(&arguments.place, lock, record).await?;
                if arguments.serve {
                    crate::say("the node runs; overcom send, listen and the others speak with it");
                    return running.ended().await;
                }
                let hold = running.entrance.clone().hold(Role::Master, Unblock::new(std::io::stdin()), Unblock::new(std::io::stdout()));
                let session = smol::spawn(hold);
                let ended = running.ended().await;
                session.await;
                ended
            }
            Found::Taken(..) if record.is_some() => Err(Fail::failed("the node of this folder runs already: stop it, then record")),
            Found::Taken(..) if arguments.serve => Err(Fail::failed("the node of this folder runs already: there is nothing to do")),
            Found::Taken(lines, writer, hello) => pass_on(lines, writer, &hello).await,
        }
    })?;
    Ok(String::new())
}

/// The node runs elsewhere: its session is this one's.
async fn pass_on(mut lines: Lines<Reader>, mut writer: Writer, hello: &Value) -> Result<(), Fail> {
    let gone = |why| Fail::failed(format!("the node has ended ({why}); start again"));
    let deaf = |why| Fail::failed(format!("standard output was closed ({why}); read every line until its end"));
    let mut out = Unblock::new(std::io::stdout());
    out.write_all(format!("{hello}\n").as_bytes()).await.map_err(deaf)?;
    out.flush().await.map_err(deaf)?;
    writer.write_all(b"{\"id\":null,\"op\":\"listen\"}\n").await.map_err(gone)?;
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
            line.push(b'\n');
            out.write_all(&line).await.map_err(deaf)?;
            out.flush().await.map_err(deaf)?;
        }
    };
    or(telling, asking).await
}

/// For its owner only, also if it was there before: it holds keys.
pub(crate) fn create(path: &Path) -> Result<File, Fail> {
    let wrong = |why| Fail::failed(format!("{} cannot be written: {}", path.display(), overcom_std::advice(&why)));
    if std::fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink()) {
        return Err(Fail::usage(format!("{} is a link to somewhere else; name the file itself", path.display())));
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(wrong)?;
    #[cfg(unix)]
    if file.metadata().is_ok_and(|it| it.is_file()) {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(wrong)?;
    }
    Ok(file)
}
