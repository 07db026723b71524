//! `join`: from a fresh data folder to the first delivered message, by one pasted line.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use overcom_core::{AppId, Command as Wish, Config, Invitation, Message, Notice, Time};
use overcom_std::keys::{DeviceFile, IdentityFile};
use overcom_std::{Clock, RedbStore};
use serde_json::json;

use crate::figure::{Measured, Size, median};
use crate::piped::Piped;
use crate::scratch::Scratch;

/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Seconds from nothing to a delivered message, the slower median of both runtimes: on smol `overcom join` and
/// `overcom send`, each a process; on mio a program of its own with a new identity, device and store. The control has
/// no line: the same person is sent to by id.
pub(crate) fn join(size: Size) -> Result<Measured, String> {
    let program = crate::program::overcom()?;
    let count = size.of(3, 20, 20);
    let theirs = Scratch::new("join-inviter");
    let mut inviter = Piped::on(&program, theirs.path(), "127.0.0.1:0")?;
    let (mut smol, mut mio) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let line = invite(&mut inviter)?;
        smol.push(by_verbs(&program, &line)?);
        let line = invite(&mut inviter)?;
        mio.push(on_mio(&line)?);
    }
    let worst = smol.iter().chain(&mio).copied().fold(0.0, f64::max);
    let (smol, mio) = (median(smol), median(mio));
    Ok(Measured {
        value: smol.max(mio),
        unit: "s",
        target: 2.0,
        control: without(&program, inviter.user())?,
        size: 2 * count,
        seeds: 1,
        detail: format!(
            "overcom join and send, on smol {smol:.3}; a program on mio {mio:.3}; the slowest of all {worst:.3}; control: no line, given up"
        ),
    })
}

/// Has the inviter make a line.
fn invite(inviter: &mut Piped) -> Result<String, String> {
    inviter.write(b"{\"id\":1,\"op\":\"invite\"}\n")?;
    loop {
        let line = inviter.line(PATIENCE)?.ok_or("no invitation came")?;
        if let Some(text) = line["line"].as_str() {
            return Ok(text.to_owned());
        }
        if let Some(fault) = line.get("error") {
            return Err(format!("no invitation: {fault}"));
        }
    }
}

fn by_verbs(program: &Path, line: &str) -> Result<f64, String> {
    let folder = Scratch::new("join-smol");
    let clock = Clock::start();
    verb(program, folder.path(), &["join", line, "--as", "ann"])?;
    verb(program, folder.path(), &["send", "ann", "note", "{\"milk\":2}"])?;
    Ok(clock.now().as_micros() as f64 / 1e6)
}

fn verb(program: &Path, folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).args(["--listen", "127.0.0.1:0", "--data"]).arg(folder).stdin(Stdio::null());
    let output = command.output().map_err(|why| why.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("overcom {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn on_mio(line: &str) -> Result<f64, String> {
    let folder = Scratch::new("join-mio");
    let said = |why: &dyn std::fmt::Display| why.to_string();
    let clock = Clock::start();
    let invitation: Invitation = line.parse().map_err(|why| said(&why))?;
    let identity = IdentityFile::open_or_create(folder.path().join("identity.json")).map_err(|why| said(&why))?;
    let mut device = DeviceFile::open_or_create(folder.path().join("device.json")).map_err(|why| said(&why))?;
    let app: &AppId = invitation.app();
    let credentials = device.delegated(identity.secret(), app, clock.wall()).map_err(|why| said(&why))?;
    let store = RedbStore::open(folder.path().join("store.redb")).map_err(|why| said(&why))?;
    let mut node = overcom_mio::Runtime::bind("127.0.0.1:0", Config::desktop(), credentials, store).map_err(|why| said(&why))?;
    let user = invitation.user();
    let (mut wishes, mut is_delivered) = (Vec::new(), false);
    while !is_delivered {
        if clock.now() > Time::ZERO + PATIENCE {
            return Err("no message was delivered on mio".into());
        }
        let mut failed = None;
        node.run_once(Duration::from_millis(50), |notice| {
            if let Notice::Started { .. } = &notice {
                wishes.push(Wish::join(invitation.clone()));
            }
            if let Notice::Joined { .. } = &notice {
                wishes.extend(Message::new("note", &json!({ "milk": 2 })).map(|message| Wish::send(user, message)));
            }
            if let Notice::Failed { why, .. } = &notice {
                failed = Some(why.to_string());
            }
            is_delivered |= matches!(notice, Notice::Delivered { .. });
        })
        .map_err(|why| said(&why))?;
        if let Some(why) = failed {
            return Err(why);
        }
        for wish in wishes.drain(..) {
            node.command(wish).map_err(|why| said(&why))?;
        }
    }
    Ok(clock.now().as_micros() as f64 / 1e6)
}

/// The same without a line: how long it takes until it is given up.
fn without(program: &Path, user: &str) -> Result<f64, String> {
    let folder = Scratch::new("join-control");
    let clock = Clock::start();
    let sent = verb(program, folder.path(), &["send", user, "note", "{\"milk\":2}", "--wait", "3"]);
    let took = clock.now().as_micros() as f64 / 1e6;
    match sent {
        Ok(()) => Err("a message was delivered without an invitation".into()),
        Err(_) => Ok(took),
    }
}
