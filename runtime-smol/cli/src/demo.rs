//! `overcom demo`: Alice, Bob and Eve in one process, over real sockets; Eve finds Bob through Alice.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::Args;
use overcom_core::trace::{Journal, Ladder, RungKind};
use overcom_core::{Message, Notice, Received, Send, Tag, Time};
use overcom_std::Clock;

use crate::fail::Fail;
use crate::file::{self, Kind};

mod node;
mod show;

use node::{Draft, News, Running, Runtime};
use show::{Cast, Screen};

const ALICE: usize = 0;
const BOB: usize = 1;
const EVE: usize = 2;
const NAMES: [&str; 3] = ["alice", "bob", "eve"];
/// Who says what to whom: type and text are those of the first description of Overcom.
const KIND: &str = "bla";
const TO_ALICE: &str = "hello Alice";
const TO_BOB: &str = "hello Bob I got your IP from Alice";
/// A busy machine takes a second; who waits longer waits in vain (guess).
const PATIENCE: Duration = Duration::from_secs(20);
/// How often lines that have come are shown (guess: at once, to an eye).
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Args)]
pub(crate) struct Arguments {
    /// What runs the nodes
    #[arg(long, value_enum, default_value_t = Runtime::Smol)]
    runtime: Runtime,
    /// Write the recordings of all three nodes there, for overcom-sim replay; the keys in it are used by nobody else
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, conflicts_with = "mermaid")]
    json: bool,
    /// Print what happened as a Mermaid sequence diagram instead of text
    #[arg(long)]
    mermaid: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    // Before anything is played: whoever names a place that cannot be written to hears so at once.
    let record = arguments
        .record
        .as_deref()
        .map(|path| file::open(path, Kind::Recording).and_then(|file| file::empty(&file, path).map(|()| file)))
        .transpose()?;
    let mut stage = Stage::open(arguments)?;
    let played = stage.play();
    let (journals, cast) = (std::mem::take(&mut stage.journals), stage.cast.clone());
    // What went wrong is worth a recording too.
    let recordings = stage.close()?;
    if let (Some(path), Some(mut file)) = (&arguments.record, record) {
        file.write_all(&recordings).map_err(|why| file::unwritten(path, &why))?;
    }
    let ending = played?;
    let ladder = Ladder::of(journals);
    if arguments.mermaid {
        return Ok(ladder.mermaid());
    }
    if arguments.json {
        return Ok(show::json(arguments.runtime, &cast, &ladder, &ending));
    }
    let record = arguments.record.as_deref().map(show::advice).unwrap_or_default();
    Ok(show::text(arguments.runtime, &cast, &ending) + &record)
}

/// What the play has shown.
struct Ending {
    /// Who got what.
    got: Vec<(usize, Received)>,
    took: Duration,
}

/// The nodes, and what is known of them.
struct Stage {
    cast: Cast,
    running: Vec<Running>,
    news: Receiver<News>,
    journals: Vec<Journal>,
    told: Vec<(usize, Notice)>,
    clock: Clock,
    begun: Time,
    patience: Duration,
    screen: Screen,
}

impl Stage {
    fn open(arguments: &Arguments) -> Result<Self, Fail> {
        let wrong = |why: std::io::Error| Fail::failed(format!("the nodes cannot be started: {}", overcom_std::advice(&why)));
        let clock = Clock::start();
        let drafts = NAMES.into_iter().map(|name| Draft::new(name, &clock)).collect::<std::io::Result<Vec<_>>>().map_err(wrong)?;
        let cast: Cast = drafts.iter().map(|draft| (draft.name, draft.user, draft.at)).collect();
        let screen = Screen::new(!arguments.json && !arguments.mermaid);
        screen.open(arguments.runtime, &cast)?;
        let (begun, (give, news)) = (clock.now(), channel());
        let alice = cast.first().map(|(_, user, at)| (*user, *at));
        let mut running = Vec::new();
        for (place, draft) in drafts.into_iter().enumerate() {
            let knows = alice.filter(|_| place != ALICE);
            running.push(draft.start(arguments.runtime, place, knows, clock, give.clone()).map_err(wrong)?);
        }
        let journals = NAMES.map(Journal::new).into();
        Ok(Self { cast, running, news, journals, told: Vec::new(), clock, begun, patience: PATIENCE, screen })
    }

    fn play(&mut self) -> Result<Ending, Fail> {
        self.wait("the three nodes had read their stores", |stage| (0..NAMES.len()).all(|place| stage.has_started(place)))?;
        let tag = self.send(BOB, ALICE, TO_ALICE)?;
        self.wait("Alice had Bob's message", |stage| stage.is_delivered(BOB, tag))?;
        let tag = self.send(EVE, BOB, TO_BOB)?;
        self.wait("Bob had Eve's message", |stage| stage.is_delivered(EVE, tag))?;
        let took = self.clock.now().since(self.begun);
        // A look is answered after everything earlier has been told, so nothing is missing from the journals.
        let dialled = self.running.iter().map(|node| node.look(|node| node.links().filter(|link| link.dialled).count()));
        let dialled = dialled.collect::<Result<Vec<_>, _>>().map_err(|why| Fail::failed(format!("a node has stopped: {why}")))?;
        while let Ok(news) = self.news.try_recv() {
            self.on_news(news);
        }
        self.screen.show(&self.journals, None)?;
        self.check(&dialled)?;
        Ok(Ending { got: self.got().map(|(place, received)| (place, received.clone())).collect(), took })
    }

    /// Whether it happened as it should have, and not some other way.
    fn check(&self, dialled: &[usize]) -> Result<(), Fail> {
        let expected = [(ALICE, BOB, TO_ALICE), (BOB, EVE, TO_BOB)];
        let is_right = |(place, received): (usize, &Received), (to, from, text): (usize, usize, &str)| {
            let sender = self.cast.get(from).map(|(_, user, _)| *user);
            place == to
                && Some(received.from.user) == sender
                && received.kind() == KIND
                && received.parse::<String>().as_deref() == Ok(text)
        };
        let are_right = self.got().count() == expected.len() && self.got().zip(expected).all(|(got, expected)| is_right(got, expected));
        let called_back = Ladder::of(self.journals.clone())
            .rungs()
            .into_iter()
            .any(|rung| rung.kind == RungKind::Link && rung.told_by == "bob" && rung.from == "bob" && rung.to.as_deref() == Some("eve"));
        if are_right && called_back && dialled.first() == Some(&0) {
            return Ok(());
        }
        Err(Fail::failed("everything arrived, but not in the way that it should: please report what stands above, with a --record"))
    }

    fn send(&self, from: usize, to: usize, text: &str) -> Result<Tag, Fail> {
        let (Some(node), Some((_, user, _))) = (self.running.get(from), self.cast.get(to)) else {
            return Err(Fail::failed("there is no such node"));
        };
        let message = Message::new(KIND, text).map_err(|why| Fail::failed(why.to_string()))?;
        node.command(Send::new(*user, message)).map_err(|why| Fail::failed(format!("a message was not taken: {why}")))
    }

    fn wait(&mut self, what: &str, is_done: impl Fn(&Self) -> bool) -> Result<(), Fail> {
        while !is_done(self) {
            if self.clock.now() >= self.begun + self.patience {
                let secs = self.patience.as_secs();
                let advice =
                    "is this machine very busy, or does it forbid connections over loopback? Look at the lines above and try again";
                return Err(Fail::failed(format!("{secs} s passed before {what}: {advice}, or with another --runtime")));
            }
            if let Ok(news) = self.news.recv_timeout(LOOK_EVERY) {
                self.on_news(news);
            }
            if let Some(why) = self.told.iter().find_map(|(_, notice)| failure(notice)) {
                return Err(Fail::failed(why));
            }
            self.screen.show(&self.journals, Some(self.clock.now()))?;
        }
        Ok(())
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Told(place, notice) => self.told.push((place, notice)),
            News::Journal(place, journal) => {
                if let Some(slot) = self.journals.get_mut(place) {
                    *slot = journal;
                }
            }
        }
    }

    fn has_started(&self, place: usize) -> bool {
        self.told.iter().any(|(by, notice)| *by == place && matches!(notice, Notice::Started { .. }))
    }

    fn is_delivered(&self, place: usize, sent: Tag) -> bool {
        self.told.iter().any(|(by, notice)| *by == place && matches!(notice, Notice::Delivered { tag, device: None, .. } if *tag == sent))
    }

    fn got(&self) -> impl Iterator<Item = (usize, &Received)> {
        self.told.iter().filter_map(|(place, notice)| if let Notice::Message(received) = notice { Some((*place, received)) } else { None })
    }

    /// Ends the nodes and gives what they recorded, one after the other.
    fn close(self) -> Result<Vec<u8>, Fail> {
        self.running.iter().for_each(Running::stop);
        let ended = self.running.into_iter().map(Running::end).collect::<std::io::Result<Vec<_>>>();
        ended.map(|recordings| recordings.concat()).map_err(|why| Fail::failed(format!("a node ended badly: {why}")))
    }
}

fn failure(notice: &Notice) -> Option<String> {
    if let Notice::Failed { why, .. } = notice {
        let (cause, advice) = why.explain();
        return Some(format!("a message failed: {cause}; {advice}"));
    }
    if let Notice::Stopped { why, .. } = notice {
        let (cause, advice) = why.explain();
        return Some(format!("a node has stopped: {cause}; {advice}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_that_takes_too_long_says_where_it_stands_and_what_to_do_and_ends_its_nodes() {
        for runtime in [Runtime::Mio, Runtime::Smol] {
            let arguments = Arguments { runtime, record: None, json: true, mermaid: false };
            let mut stage = Stage::open(&arguments).expect("loopback is there");
            stage.patience = Duration::ZERO;
            let why = stage.play().map(|ending| ending.took).expect_err("nothing happens in no time").to_string();
            assert!(why.starts_with("0 s passed before the three nodes had read their stores: is this machine very busy"), "{why}");
            assert!(!why.contains('\n') && why.contains("--runtime"), "{why}");
            assert!(stage.close().is_ok());
        }
    }
}
