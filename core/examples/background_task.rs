//! A background task of a phone: says good-bye before the system freezes it, and takes new sockets when it thaws.
//!
//! ```sh
//! cargo run -p overcom-tests --example background_task
//! ```

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use overcom_core::{AppId, Command, Config, Message, Notice};
use overcom_mio::Runtime;
use overcom_std::{Clock, MemoryStore, keys};

fn main() -> Result<(), Box<dyn Error>> {
    let (app, clock) = (AppId::new("example.phone")?, Clock::start());
    let start = |config| Runtime::bind("127.0.0.1:0", config, keys::ephemeral(&app, clock.wall())?, MemoryStore::new());
    let (mut phone, mut friend) = (start(Config::mobile())?, start(Config::desktop())?);
    until(&mut [&mut phone], |notice| matches!(notice, Notice::Started { .. }))?;
    until(&mut [&mut friend], |notice| matches!(notice, Notice::Started { .. }))?;
    let me = phone.node().me().user;
    friend.command(Command::introduce(me, [phone.local_addr().into()]))?;
    friend.command(Command::send(me, Message::new("note", "before the night")?))?;
    until(&mut [&mut phone, &mut friend], |notice| matches!(notice, Notice::Delivered { .. }))?;

    // The system is about to freeze this process: links hear good-bye, and what is to be stored is stored.
    phone.command(Command::Suspend)?;
    until(&mut [&mut phone, &mut friend], |notice| matches!(notice, Notice::Quiet))?;
    println!("quiet: the system may freeze us");

    // Frozen. The friend goes on, and writes something.
    friend.command(Command::send(me, Message::new("note", "while you slept")?))?;
    until(&mut [&mut friend], |notice| matches!(notice, Notice::Queued { .. }))?;
    sleep(Duration::from_millis(300));

    // Awake again. The old sockets are dead, whatever they say: take new ones, and the node is told so.
    phone.rebind()?;
    let woken = clock.now();
    until(&mut [&mut phone, &mut friend], |notice| matches!(notice, Notice::Message(_)))?;
    println!("awake: what was written meanwhile came after {} ms", clock.now().since(woken).as_millis());
    Ok(())
}

/// Runs these nodes until one of their notices is the one.
fn until(nodes: &mut [&mut Runtime], mut is_it: impl FnMut(&Notice) -> bool) -> Result<(), Box<dyn Error>> {
    let clock = Clock::start();
    let mut found = false;
    while !found {
        if clock.now() > overcom_core::Time::from_secs(30) {
            return Err("it did not come within 30 s".into());
        }
        for node in &mut *nodes {
            node.run_once(Duration::from_millis(1), |notice| found |= is_it(&notice))?;
        }
    }
    Ok(())
}
