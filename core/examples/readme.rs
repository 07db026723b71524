//! The README's example: it stands there line by line, and a test compares them.
#![allow(clippy::wildcard_enum_match_arm, reason = "an application looks at the notices that it knows")]

use std::time::Duration;

use overcom_core::{AppId, Command, Config, Message, Notice};
use overcom_mio::Runtime;
use overcom_std::{Clock, MemoryStore, keys};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, wall) = (AppId::new("example.hello")?, Clock::start().wall());
    let node = || Runtime::bind("127.0.0.1:0", Config::desktop(), keys::ephemeral(&app, wall)?, MemoryStore::new());
    let (mut ann, mut ben) = (node()?, node()?);
    let (to, address) = (ben.node().me().user, ben.local_addr());
    let (mut is_started, mut is_over) = (false, false);
    while !is_over {
        // Each waits a millisecond at most: a game's frame would say zero, a thread of its own would say a day.
        ann.run_once(Duration::from_millis(1), |notice| {
            is_started |= matches!(notice, Notice::Started { .. });
            is_over |= matches!(notice, Notice::Delivered { .. } | Notice::Failed { .. });
            println!("ann: {notice:?}");
        })?;
        if std::mem::take(&mut is_started) {
            ann.command(Command::introduce(to, [address.into()]))?;
            ann.command(Command::send(to, Message::new("note", "hello")?))?;
        }
        ben.run_once(Duration::from_millis(1), |notice| match notice {
            Notice::Message(message) => println!("ben got {} from {}", message.payload(), message.from.user),
            other => println!("ben: {other:?}"),
        })?;
    }
    Ok(())
}
