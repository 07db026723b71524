//! One node and everybody who speaks with it: requests go in one after the other, notices go to whoever listens.

use std::collections::BTreeMap;
use std::time::Duration;

use overcom_core::{Command, DhtNotice, DhtStanding, Notice, StoreError, Time};
use overcom_smol::{Handle, Node};
use overcom_std::Clock;
use smol::channel::{Receiver, Sender, bounded};
use smol::future::or;

use crate::book::Book;
use crate::keeper::Keeper;
use crate::log;
use crate::proto::{Hello, Request, answer, line_of, missed_line};
use crate::verbs::dht::{ADDRESS, ECLIPSE, ENTER, FORK};

mod clock;
mod ledger;
mod ops;

use clock::ClockOff;
pub(crate) use clock::clock_sentence;
pub(crate) use ledger::SessionId;
use ledger::{Kind, Ledger};

/// Lines of all sessions that wait for the hub (guess: a turn's).
const WAITING_MAX: usize = 256;
/// How long good-byes and the last store may take (guess: a slow disk's worst).
const QUIET_MAX: Duration = Duration::from_secs(10);

/// How long after the last taken message its acknowledgement may take to leave: 20 ms, and a store (guess).
const GRACE: Duration = Duration::from_millis(80);

/// What sessions tell the hub.
pub(crate) enum Told {
    /// A session begins; lines for it go out there.
    Enter { session: SessionId, out: Sender<Out>, is_listening: bool },
    /// A request.
    Ask { session: SessionId, request: Request },
    /// So many notices were written and flushed.
    Flushed { session: SessionId, notices: u64 },
    /// A session is over.
    Leave { session: SessionId },
    /// The node ends: what was asked is answered, what was to be stored is stored.
    End(Ending),
    /// The node ends once nobody is there.
    EndWhenAlone,
}

/// A line on its way out, with its newline.
pub(crate) enum Out {
    Answer(String),
    Notice(String),
}

/// Why the node ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It was asked to, or nobody needs it any more.
    Asked,
    /// Whom it was run for cannot be written to.
    Deaf,
    /// Its storage failed.
    Storage(StoreError),
    /// It stopped by itself, which only a recording that cannot be written does.
    Gone,
}

/// Who listens to what.
struct Session {
    out: Sender<Out>,
    /// Kinds of notices; `None`: all.
    notices: Option<Vec<String>>,
    /// Types of messages; `None`: all.
    types: Option<Vec<String>>,
    /// Whether it says itself what it is through with.
    is_explicit: bool,
}

impl Session {
    fn hears(&self, kind: &str) -> bool {
        self.notices.as_ref().is_none_or(|kinds| kinds.iter().any(|known| known == kind))
    }

    fn wants(&self, kind: &str, notice: &Notice) -> bool {
        let fits =
            |received: &overcom_core::Received| self.types.as_ref().is_none_or(|types| types.iter().any(|known| known == received.kind()));
        self.hears(kind) && if let Notice::Message(received) = notice { fits(received) } else { true }
    }
}

/// See the module.
pub(crate) struct Hub {
    node: Node,
    handle: Handle,
    told: Receiver<Told>,
    sessions: BTreeMap<SessionId, Session>,
    ledger: Ledger,
    hello: Hello,
    book: Book,
    keeper: Keeper,
    /// What peers have said of this machine's clock, if they did.
    clock_off: Option<ClockOff>,
    /// When somebody seemed to surround a key that was looked for.
    eclipse: Option<Time>,
    /// Whether somebody else publishes with this device's key.
    is_forked: bool,
    ends_when_alone: bool,
    is_told_first: bool,
    /// What the node was told last of notices behind a message that nobody takes.
    passed: u64,
    clock: Clock,
    /// When a message was taken last.
    taken_at: Option<Time>,
    /// Set when the node is to end.
    ending: Option<Ending>,
}

/// One of the two things that a hub waits for.
enum Input {
    Notice(Option<Notice>),
    Told(Option<Told>),
}

impl Hub {
    /// A hub for a node that has started.
    pub(crate) fn new(node: Node, hello: Hello, book: Book, keeper: Keeper) -> (Self, Sender<Told>) {
        let (tell, told) = bounded(WAITING_MAX);
        let hub = Self {
            handle: node.handle(),
            node,
            told,
            sessions: BTreeMap::new(),
            ledger: Ledger::default(),
            hello,
            book,
            keeper,
            clock_off: None,
            eclipse: None,
            is_forked: false,
            ends_when_alone: false,
            is_told_first: false,
            passed: 0,
            clock: Clock::start(),
            taken_at: None,
            ending: None,
        };
        (hub, tell)
    }

    /// Runs until the node is to end, and ends it: sockets and store are free when this returns.
    pub(crate) async fn run(mut self) -> Ending {
        log::started(&self.hello.app);
        while self.ending.is_none() {
            let told = async { Input::Told(self.told.recv().await.ok()) };
            let noticed = async { Input::Notice(self.node.receive().await) };
            // By turns, so that neither keeps the other waiting.
            self.is_told_first = !self.is_told_first;
            let input = if self.is_told_first { or(told, noticed).await } else { or(noticed, told).await };
            match input {
                Input::Notice(Some(notice)) => self.on_notice(notice).await,
                Input::Notice(None) => self.ending = Some(Ending::Gone),
                Input::Told(Some(told)) => self.on_told(told).await,
                Input::Told(None) => self.ending = Some(Ending::Asked),
            }
            self.settle();
        }
        let ending = self.ending.take().unwrap_or(Ending::Asked);
        self.close().await;
        ending
    }

    async fn on_told(&mut self, told: Told) {
        match told {
            Told::Enter { session, out, is_listening } => self.on_enter(session, out, is_listening),
            Told::Ask { session, request } => {
                let outcome = match request.op {
                    Ok(op) => self.carry_out(session, op).await,
                    Err(fault) => Err(fault),
                };
                self.give(session, Out::Answer(answer(&request.id, &outcome) + "\n"));
            }
            Told::Flushed { session, notices } => {
                if self.sessions.get(&session).is_some_and(|session| !session.is_explicit) {
                    self.ledger.taken(session, notices);
                    self.hand_out(session, None);
                }
            }
            Told::Leave { session } => {
                self.sessions.remove(&session);
                self.ledger.leave(session);
                self.offer();
                if self.ends_when_alone && self.sessions.is_empty() {
                    self.ending = Some(Ending::Asked);
                }
            }
            Told::End(why) => self.ending = Some(why),
            Told::EndWhenAlone => {
                self.ends_when_alone = true;
                if self.sessions.is_empty() {
                    self.ending = Some(Ending::Asked);
                }
            }
        }
    }

    fn on_enter(&mut self, session: SessionId, out: Sender<Out>, is_listening: bool) {
        let hello = serde_json::json!({ "hello": self.hello });
        let notices = if is_listening { None } else { Some(Vec::new()) };
        self.sessions.insert(session, Session { out, notices, types: None, is_explicit: false });
        self.give(session, Out::Answer(format!("{hello}\n")));
        self.offer();
    }

    async fn on_notice(&mut self, notice: Notice) {
        if matches!(notice, Notice::RenewalDue { .. } | Notice::Expired) {
            self.renew_or_say().await;
        }
        if let Notice::ClockOff { ahead_ms, .. } = &notice {
            self.clock_off = Some(ClockOff::new(*ahead_ms, &self.clock));
            crate::say(&clock_sentence(*ahead_ms));
        }
        if let Notice::Dht(notice) = &notice {
            self.on_dht(notice);
        }
        if let Notice::Stopped { why, .. } = &notice {
            self.ending = Some(Ending::Storage(*why));
        }
        let (name, line) = line_of(&notice, |user| self.book.name_of(user)).unwrap_or_default();
        if !name.is_empty() {
            log::notice(name, &notice);
        }
        let to = self.who_wants(name, &notice);
        // A message waits until somebody listens to messages; one of a type that no listener wants is passed over.
        let kind = Kind::of(&notice);
        let waits = kind == Kind::Message && !self.is_heard();
        let number = self.ledger.add(notice, kind, &to, waits);
        to.into_iter().for_each(|session| self.hand_out(session, Some((number, &line))));
    }

    /// What a person at this machine is to know of the network; programs and other terminals hear the notice.
    fn on_dht(&mut self, notice: &DhtNotice) {
        if let DhtNotice::EclipseSuspected = notice {
            self.eclipse = Some(self.clock.now());
            crate::say(&format!("somebody seems to surround what is looked for in the network: {ECLIPSE}"));
        } else if let DhtNotice::Fork = notice {
            self.is_forked = true;
            crate::say(&format!("somebody else publishes with this device's key: {FORK}"));
        } else if let DhtNotice::Standing { standing: DhtStanding::Isolated, .. } = notice {
            crate::say(&format!("nobody of the network answers: {ENTER}"));
        } else if let DhtNotice::Standing { standing: DhtStanding::AddressUnknown, .. } = notice {
            crate::say(&format!("nobody of the network has said where this node is: {ADDRESS}"));
        }
    }

    /// Sessions that want a notice; nobody wants what has no name.
    fn who_wants(&self, kind: &str, notice: &Notice) -> Vec<SessionId> {
        if kind.is_empty() {
            return Vec::new();
        }
        self.sessions.iter().filter(|(_, session)| session.wants(kind, notice)).map(|(number, _)| *number).collect()
    }

    /// Whether somebody listens to messages.
    fn is_heard(&self) -> bool {
        self.sessions.values().any(|session| session.hears("message"))
    }

    /// Gives what nobody has to those who want it now.
    fn offer(&mut self) {
        let is_heard = self.is_heard();
        for number in self.ledger.unclaimed() {
            let Some(notice) = self.ledger.notice(number) else { continue };
            let (name, line) = line_of(notice, |user| self.book.name_of(user)).unwrap_or_default();
            let to = self.who_wants(name, notice);
            if to.is_empty() && (Kind::of(notice) == Kind::Other || is_heard) {
                self.ledger.pass(number);
            }
            for session in to {
                self.ledger.claim(number, session);
                self.hand_out(session, Some((number, &line)));
            }
        }
    }

    /// Hands a session what is due to it, as much as it may have; the line of one notice may be known already.
    fn hand_out(&mut self, session: SessionId, known: Option<(u64, &str)>) {
        if let Some(count) = self.ledger.missed(session) {
            self.give(session, Out::Notice(missed_line(count) + "\n"));
        }
        while let Some((number, notice)) = self.ledger.due(session) {
            let line = match known.filter(|(known, _)| *known == number) {
                Some((_, line)) => line.to_owned(),
                None => line_of(notice, |user| self.book.name_of(user)).unwrap_or_default().1,
            } + "\n";
            self.ledger.hand(session, line.len());
            self.give(session, Out::Notice(line));
        }
    }

    fn give(&self, session: SessionId, line: Out) {
        if let Some(session) = self.sessions.get(&session) {
            // A session that has just ended takes no more; its `Leave` is on its way.
            let _ = session.out.try_send(line);
        }
    }

    fn settle(&mut self) {
        let (taken, has_messages) = self.ledger.settle();
        if taken > 0 {
            self.handle.taken(taken);
        }
        let passed = self.ledger.passed();
        if std::mem::replace(&mut self.passed, passed) != passed {
            self.handle.passed(passed);
        }
        if has_messages {
            self.taken_at = Some(self.clock.now());
        }
    }

    /// Signs another delegation if the identity is kept here, and says what to do if it is not.
    async fn renew_or_say(&mut self) {
        let outcome = match self.keeper.next() {
            Ok(delegation) => self.renew(delegation).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            crate::say(&format!("this device's delegation is not renewed: {}; {}", fault.message, fault.hint));
        }
    }

    /// Hears which messages are taken just now, and lets their acknowledgements leave.
    async fn linger(&mut self) {
        let end = self.clock.now() + GRACE;
        while self.clock.now() < end
            && (self.ledger.has_messages_out() || self.taken_at.is_some_and(|taken| self.clock.now() < taken + GRACE))
        {
            let told = async { self.told.recv().await.ok() };
            let late = async {
                smol::Timer::after(GRACE / 8).await;
                None
            };
            if let Some(told @ Told::Flushed { .. }) = or(told, late).await {
                self.on_told(told).await;
                self.settle();
            }
        }
    }

    /// Acknowledgements, good-byes and the last store; whoever listens still hears of it. Then the node's end.
    async fn close(mut self) {
        self.linger().await;
        let farewell = async {
            if self.handle.send(Command::Suspend).await.is_err() {
                return;
            }
            while let Some(notice) = self.node.receive().await {
                let is_quiet = matches!(notice, Notice::Quiet);
                self.on_notice(notice).await;
                self.settle();
                if is_quiet {
                    return;
                }
            }
        };
        or(farewell, async {
            smol::Timer::after(QUIET_MAX).await;
        })
        .await;
        self.sessions.clear();
        self.node.abandon().await;
        log::ended();
    }
}
