//! A game: one call a frame that never waits, moves as messages that are not kept, and links to look at for the display.
//!
//! ```sh
//! cargo run -p overcom-tests --example game_frame
//! ```
#![allow(clippy::wildcard_enum_match_arm, reason = "an application looks at the notices that it knows")]

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use overcom_core::{AppId, Command, CommandError, Config, Keep, Message, Notice, Send};
use overcom_mio::Runtime;
use overcom_std::{Clock, MemoryStore, keys};
use serde::{Deserialize, Serialize};

const FRAME: Duration = Duration::from_millis(16);
const FRAMES: u32 = 120;

#[derive(Serialize, Deserialize)]
struct Move {
    x: i32,
    y: i32,
}

struct Player {
    net: Runtime,
    is_started: bool,
    /// Where the other one is, as far as this one knows.
    other: Option<Move>,
}

impl Player {
    fn new(clock: &Clock) -> Result<Self, Box<dyn Error>> {
        let credentials = keys::ephemeral(&AppId::new("example.game")?, clock.wall())?;
        let net = Runtime::bind("127.0.0.1:0", Config::desktop(), credentials, MemoryStore::new())?;
        Ok(Self { net, is_started: false, other: None })
    }

    /// What happened since the last frame. Never waits; its work is bounded.
    fn update(&mut self) -> Result<(), Box<dyn Error>> {
        let Self { net, is_started, other } = self;
        net.run_once(Duration::ZERO, |notice| match notice {
            Notice::Started { .. } => *is_started = true,
            // Whoever sends is proven; what they send is not: a game would check it.
            Notice::Message(message) if message.kind() == "move" => *other = message.parse().ok().or_else(|| other.take()),
            Notice::LinkDown { why, .. } => println!("the other one left: {why}"),
            _ => {}
        })?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = Clock::start();
    let [mut ann, mut ben] = [Player::new(&clock)?, Player::new(&clock)?];
    while !(ann.is_started && ben.is_started) {
        ann.update()?;
        ben.update()?;
    }
    let to = ben.net.node().me().user;
    ann.net.command(Command::introduce(to, [ben.net.local_addr().into()]))?;

    let mut slowest = Duration::ZERO;
    for frame in 0..FRAMES {
        let begin = clock.now();
        ann.update()?;
        ben.update()?;
        // A move is worth nothing once the next one is made, so it is kept in memory only.
        let step = Move { x: i32::try_from(frame)?, y: 0 };
        match ann.net.command(Send::new(to, Message::new("move", &step)?).keep(Keep::Memory)) {
            // Too many are under way: this frame says nothing.
            Ok(_) | Err(CommandError::Full) => {}
            Err(why) => return Err(why.into()),
        }
        slowest = slowest.max(clock.now().since(begin));
        sleep(FRAME.saturating_sub(clock.now().since(begin)));
    }

    for link in ann.net.node().links() {
        println!(
            "linked with {} for {} ms, {} moves under way",
            link.remote,
            clock.now().since(link.since).as_millis(),
            link.unacknowledged
        );
    }
    let seen = ben.other.ok_or("no move arrived")?;
    println!("ben saw ann at {}, {}; two players' slowest frame took {} µs", seen.x, seen.y, slowest.as_micros());
    Ok(())
}
