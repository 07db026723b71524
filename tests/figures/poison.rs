//! `poison`: what a node takes as content it also takes inside everything that carries it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use overcom_core::fuzz::{self, Speaker};
use overcom_core::{
    CloseReason, Command, Config, Delegation, Event, Message, Notice, PipeId, Revocation, RevocationEntry, RevocationTarget, Rng, SearchId,
    UserId,
};
use serde_json::value::RawValue;

use crate::figure::{Measured, Size};
use crate::table::{Person, Table, WALL, WEEK, seed_of};
use crate::threads::each;

/// Parts of the figure, each with draws of its own.
const PARTS: u64 = 4;
/// Messages that wait for the second hop at once.
const BATCH: usize = 256;

/// Where mutation begins: every kind of value, at depths and with escapes that walkers get wrong.
const CORPUS: &[&str] = &[
    r#"{"type":"bla","payload":{"a":[1,2,{"b":null}],"c":"\u00e9\n"}}"#,
    r#"[[[[[[[[[["deep"]]]]]]]]]]"#,
    r#"{"a":1,"b":{"a":2,"aa":[true,false,null,-7,9007199254740991]}}"#,
    r#"["\ud83d\ude00","\\\"","\/","\b\f\r\t",""]"#,
    r#"{"":{"":{"":[]}},"k":"0123456789abcdefghijklmnopqrstuvwxyz"}"#,
    r#"[0,-0,1,10,100,4503599627370496,1.5,1e9,-1E-3]"#,
    "\"pl\u{e4}in \u{1F600} text\"",
];
/// What mutation puts in.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\u{0}",
    "\\u0000",
    "\\ud800",
    "\"a\":1,",
    "1e999",
    "9007199254740993",
    "-0",
    "\u{feff}",
    "\\u0061",
    "null",
    "[[[[[[[[",
    "]]]]]]]]",
    "\u{2028}",
];

/// Contents that were accepted bare and refused in an envelope, and links between honest nodes that were closed over them.
/// Every content is tried: by core's own walkers in each line that carries it; as a message that goes one hop, waits on disk at
/// a node that is then started again, and goes the second hop; and in a search that its searcher signed, over two nodes that pass
/// it on. Delegations and revocations have one form each, so that of their changed texts only the lines are tried.
///
/// In the control who takes messages and who passes on searches reads plain JSON: contents that are then refused, and links of
/// who passed them on in good faith that are closed.
pub(crate) fn poison(size: Size) -> Result<Measured, String> {
    let contents = size.of(100_000, 1_000_000, 10_000_000);
    let found = each(PARTS, |part| part_of(part, contents / PARTS))?.into_iter().fold(Found::default(), Found::with);
    let Found { refused, closed, messages, restarts, searches, signed, control_refused, control_closed } = found;
    Ok(Measured {
        value: (refused + closed) as f64,
        unit: "contents and links",
        target: 0.0,
        control: (control_refused + control_closed) as f64,
        size: contents,
        seeds: 1,
        detail: format!(
            "{refused} contents refused, {closed} honest links closed; {messages} accepted contents went over two hops unchanged, on disk \
             over {restarts} restarts between them; {searches} searches were passed on twice; {signed} changed delegations and \
             revocations accepted; control: a plain JSON reader at the door, {control_refused} contents refused in an envelope, \
             {control_closed} links of forwarders closed"
        ),
    })
}

/// What came of some contents.
#[derive(Clone, Copy, Default)]
struct Found {
    refused: u64,
    closed: u64,
    messages: u64,
    restarts: u64,
    searches: u64,
    signed: u64,
    control_refused: u64,
    control_closed: u64,
}

impl Found {
    const fn with(self, other: Self) -> Self {
        Self {
            refused: self.refused + other.refused,
            closed: self.closed + other.closed,
            messages: self.messages + other.messages,
            restarts: self.restarts + other.restarts,
            searches: self.searches + other.searches,
            signed: self.signed + other.signed,
            control_refused: self.control_refused + other.control_refused,
            control_closed: self.control_closed + other.control_closed,
        }
    }
}

fn part_of(part: u64, contents: u64) -> Result<Found, String> {
    let mut rng = Rng::from_seed(&seed_of(1, 0)).fork("poison", part);
    let corpus: Vec<Vec<u8>> = CORPUS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let signed = signed_corpus()?;
    let mut found = Found::default();
    let mut messages = Messages::new()?;
    let mut searches = Searches::new(3)?;
    let mut trusting = Searches::new(1)?;
    for _ in 0..contents {
        let content = mutated(&mut rng, &corpus);
        found.refused += u64::from(!(fuzz::line(&content) && fuzz::strict(&content)));
        let paper = mutated(&mut rng, &signed);
        found.refused += u64::from(!fuzz::carried_signed(&paper));
        found.signed += u64::from(Delegation::from_json(&paper).is_ok() || Revocation::from_json(&paper).is_ok());
        let Ok(text) = std::str::from_utf8(&content) else { continue };
        found.refused += u64::from(is_poisoned(text, by_core));
        found.control_refused += u64::from(is_poisoned(text, by_plain_json));
        if let Ok(message) = Message::from_text("poison", text) {
            found.refused += messages.first_hop(message)?;
            found.messages += 1;
        }
        if messages.waiting.len() == BATCH {
            found.refused += messages.second_hop()?;
        }
        let id = SearchId::from_bytes(rng.array());
        let wanted = UserId::from_bytes(rng.array());
        let search = fuzz::search_content(id, wanted, WALL, text).ok_or("a search is not written")?;
        // What nobody would take for JSON nobody passes on.
        if serde_json::from_str::<&RawValue>(&search).is_ok() {
            let is_one = fuzz::is_search(&search);
            found.searches += u64::from(is_one);
            found.refused += searches.say(&search, u64::from(is_one))?;
            found.control_closed += if is_one { 0 } else { trusting.pass_on(&search)? };
        }
    }
    found.refused += messages.second_hop()?;
    found.restarts = messages.restarts;
    found.closed = messages.closed.get() + searches.closed.get();
    Ok(found)
}

/// Honest nodes in a row: messages go from the first one's application to the second's, who sends them on to the third.
struct Messages {
    table: Table,
    people: [Person; 3],
    got: Rc<RefCell<[Vec<String>; 3]>>,
    closed: Rc<Cell<u64>>,
    /// What the second one is to send on.
    waiting: Vec<String>,
    restarts: u64,
}

impl Messages {
    fn new() -> Result<Self, String> {
        let (got, closed) = (Rc::new(RefCell::new([const { Vec::new() }; 3])), Rc::new(Cell::new(0)));
        let (reader, ends) = (Rc::clone(&got), Rc::clone(&closed));
        let mut table = Table::new(1, move |seat, notice| {
            if let Notice::Message(message) = &notice {
                reader.borrow_mut()[seat].push(message.payload().to_string());
            }
            // Restarts lose links; any other end is somebody's choice.
            if matches!(notice, Notice::LinkDown { why, .. } if why != CloseReason::Lost) {
                ends.set(ends.get() + 1);
            }
        });
        let people = [Person::draw(1, 0)?, Person::draw(1, 1)?, Person::draw(1, 2)?];
        table.linked_pair(Config::test(), [&people[0], &people[1]])?;
        table.seat(Config::test(), &people[2])?;
        table.run();
        Ok(Self { table, people, got, closed, waiting: Vec::new(), restarts: 0 })
    }

    /// Over the link; 1 if it does not come unchanged.
    fn first_hop(&mut self, message: Message) -> Result<u64, String> {
        let sent = message.payload().to_string();
        let user = self.table.user(1)?;
        self.table.send(0, user, message).map_err(|why| why.to_string())?;
        self.table.run();
        let is_same = self.got.borrow_mut()[1].pop().as_deref() == Some(sent.as_str());
        self.waiting.push(sent);
        Ok(u64::from(!is_same))
    }

    /// Sent on while the reader is away, kept on disk, and delivered in another life of both; how many do not come unchanged.
    fn second_hop(&mut self) -> Result<u64, String> {
        let user = self.table.user(2)?;
        self.table.unseat(2);
        self.table.cut_all(2);
        let mut refused = 0;
        let mut sent = Vec::new();
        for text in self.waiting.drain(..) {
            match Message::from_text("poison", &text) {
                Ok(message) => drop(self.table.send_kept(1, user, message).map_err(|why| why.to_string())?),
                Err(_) => refused += 1,
            }
            sent.push(text);
        }
        self.table.run();
        self.restarts += 1;
        for seat in [1, 2] {
            self.table.restart(seat, Config::test(), &self.people[seat])?;
        }
        self.table.run();
        for (from, to) in [(1, 2), (0, 1)] {
            self.table.introduce(from, to)?;
            let user = self.table.user(to)?;
            self.table.command(from, Command::find(user)).map_err(|why| why.to_string())?;
        }
        self.table.pass(Duration::from_secs(5));
        if [0, 1, 2].map(|seat| self.table.seats[seat].node().map_or(0, |node| node.links().count())) != [1, 2, 1] {
            return Err("nodes do not link again after a restart".into());
        }
        let got = std::mem::take(&mut self.got.borrow_mut()[2]);
        let is_same = |(at, text): (usize, &String)| got.get(at) == Some(text);
        Ok(refused + sent.iter().enumerate().filter(|it| !is_same(*it)).count() as u64 + got.len().saturating_sub(sent.len()) as u64)
    }
}

/// Honest nodes in a row, and somebody who says any search to the first one.
struct Searches {
    table: Table,
    speaker: Speaker,
    pipe: Option<PipeId>,
    /// What the first node wrote to the speaker.
    heard: Rc<RefCell<Vec<u8>>>,
    /// Links between honest nodes that ended.
    closed: Rc<Cell<u64>>,
}

impl Searches {
    fn new(nodes: u64) -> Result<Self, String> {
        // As many as are said here.
        let config = Config::test().search_units_per_minute(65_536);
        let liar = Person::draw(1, 100)?;
        let (closed, strange) = (Rc::new(Cell::new(0)), liar.credentials.delegation().user());
        let ends = Rc::clone(&closed);
        let mut table = Table::new(1, move |_, notice| {
            if matches!(notice, Notice::LinkDown { .. }) && notice.user() != Some(strange) {
                ends.set(ends.get() + 1);
            }
        });
        for number in 0..nodes {
            let seat = table.seat(config, &Person::draw(1, number)?)?;
            table.run();
            if let Some(before) = seat.checked_sub(1) {
                table.introduce(before, seat)?;
                let user = table.user(seat)?;
                table.command(before, Command::find(user)).map_err(|why| why.to_string())?;
                table.pass(Duration::from_secs(1));
            }
        }
        let heard = Rc::new(RefCell::new(Vec::new()));
        let ear = Rc::clone(&heard);
        table.tap = Some(Box::new(move |seat, _, bytes| {
            if seat == 0 {
                ear.borrow_mut().extend_from_slice(bytes);
            }
        }));
        let speaker = Speaker::new(liar.credentials, table.user(0)?, Rng::from_seed(&seed_of(1, 1)));
        Ok(Self { table, speaker, pipe: None, heard, closed })
    }

    /// The speaker's link; a new one if the last one was closed.
    fn pipe(&mut self) -> Result<PipeId, String> {
        if let Some(pipe) = self.pipe.filter(|pipe| self.table.has_pipe(0, *pipe)) {
            return Ok(pipe);
        }
        let pipe = self.table.open_to(0);
        self.table.run();
        self.heard.borrow_mut().clear();
        let first = self.speaker.greet().ok_or("a greeting is not written")?;
        self.table.tell(0, Event::pipe_bytes(pipe, &first));
        self.table.run();
        let last = self.speaker.hear(&self.heard.take(), WALL).ok_or("a handshake does not end")?;
        self.table.tell(0, Event::pipe_bytes(pipe, &last));
        self.table.run();
        self.pipe = Some(pipe);
        if self.table.has_pipe(0, pipe) { Ok(pipe) } else { Err("nobody listens to the speaker".into()) }
    }

    /// Says a search that every node but the last is to pass on so often, once or never; 1 if one does otherwise.
    fn say(&mut self, search: &str, times: u64) -> Result<u64, String> {
        let last = self.table.seats.len() - 1;
        let passed = |table: &Table| -> Vec<u64> {
            table.seats[..last].iter().map(|seat| seat.node().map_or(0, |node| node.stats().searches_passed)).collect()
        };
        let pipe = self.pipe()?;
        let before = passed(&self.table);
        let record = self.speaker.search(search).ok_or("a search is not sealed")?;
        self.table.tell(0, Event::pipe_bytes(pipe, &record));
        // Slowly enough for what a minute may hold.
        self.table.pass(Duration::from_millis(1));
        Ok(u64::from(passed(&self.table).iter().zip(&before).any(|(after, before)| after - before != times)))
    }

    /// Says a search as a forwarder would that trusts who said it; 1 if that costs it its link.
    fn pass_on(&mut self, search: &str) -> Result<u64, String> {
        self.say(search, 0)?;
        Ok(u64::from(self.pipe.is_some_and(|pipe| !self.table.has_pipe(0, pipe))))
    }
}

/// A delegation and a revocation, as they are written.
fn signed_corpus() -> Result<Vec<Vec<u8>>, String> {
    let person = Person::draw(1, 0)?;
    let delegation = person.credentials.delegation();
    let entry = RevocationEntry { before: WALL, end: WALL + WEEK };
    let devices = [(RevocationTarget::Device(delegation.device()), entry)].into_iter().collect();
    let app = delegation.app().clone();
    let revocation = Revocation::sign(&person.identity, app, 7, devices).map_err(|why| why.to_string())?;
    Ok(vec![delegation.to_json().into_bytes(), revocation.to_json().into_bytes()])
}

/// Whether what this door lets in, as it hands it on, is refused in an envelope.
fn is_poisoned(text: &str, door: fn(&str) -> Option<String>) -> bool {
    door(text).is_some_and(|content| !fuzz::carried(content.as_bytes()))
}

fn by_core(text: &str) -> Option<String> {
    Message::from_text("poison", text).ok().map(|message| message.payload().to_string())
}

fn by_plain_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(text).ok().map(|_| text.to_string())
}

/// A content of the corpus, changed in one to four places.
fn mutated(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[rng.below(corpus.len() as u64) as usize].clone();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        match rng.below(4) {
            0 => drop(bytes.splice(at..at, PIECES[rng.below(PIECES.len() as u64) as usize].bytes())),
            1 => bytes.truncate(at),
            2 => {
                let end = at + rng.below((bytes.len() - at) as u64 + 1) as usize;
                let again: Vec<u8> = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
        }
    }
    bytes
}
