//! A node inside an epoll loop of one's own, beside something else that the loop waits for: a line on a pipe.
//!
//! ```sh
//! cargo run -p overcom-tests --example own_loop
//! ```
#![allow(clippy::wildcard_enum_match_arm, reason = "an application looks at the notices that it knows")]

#[cfg(target_os = "linux")]
mod shell;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::time::Duration;

    use overcom_core::{AppId, Command, Config, Message, Notice, Time};
    use overcom_std::{Clock, MemoryStore, Setup, keys};
    use shell::Loop;

    let (app, clock) = (AppId::new("example.loop")?, Clock::start());
    let start = || Loop::start(Setup::bind("127.0.0.1:0", Config::desktop(), keys::ephemeral(&app, clock.wall())?)?, MemoryStore::new());
    let (mut ann, mut ben) = (start()?, start()?);
    let (mut started, mut is_delivered) = (0, false);
    while !is_delivered {
        if clock.now() > Time::from_secs(30) {
            return Err("it was not delivered within 30 s".into());
        }
        for node in [&mut ann, &mut ben] {
            node.step(Duration::from_millis(1))?;
            while let Some(notice) = node.next_notice() {
                match notice {
                    Notice::Started { .. } => started += 1,
                    Notice::Message(message) => println!("ben got {}", message.payload()),
                    Notice::Delivered { .. } => is_delivered = true,
                    _ => {}
                }
            }
        }
        if started == 2 {
            started = 0;
            let ben = (ben.node().me().user, ben.local_addr());
            ann.command(Command::introduce(ben.0, [ben.1.into()]))?;
            ann.command(Command::send(ben.0, Message::new("note", "out of my own loop")?))?;
        }
    }
    println!("delivered");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("epoll is Linux's: look at runtime-mio for the same on every system");
}
