//! `stdio`: requests through `overcom node` from another process; the node, its peer and the program that asks are killed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use overcom_core::Time;
use overcom_std::Clock;
use serde_json::{Value, json};

use crate::figure::{Measured, Size};
use crate::piped::Piped;
use crate::scratch::Scratch;

/// The option with which this program is started as the one that asks.
pub(crate) const CALLS: &str = "--calls";
/// Requests under way at once.
const UNDER_WAY: usize = 128;
/// How long the last of them may take, retries after kills included.
const PATIENCE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(5);

/// Requests that were lost, not answered or answered wrongly. The reader is killed when a third of them is answered,
/// the node that is asked when half is; both come back, and what was not answered, or not said to be kept, is asked
/// again. Then the program that asks is killed while its node holds messages for a reader who is away: whatever was said to be
/// queued arrives. The control asks for messages in memory only, and the kill takes them.
pub(crate) fn stdio(size: Size) -> Result<Measured, String> {
    let program = crate::program::overcom()?;
    let count = size.of(2_000, 10_000, 10_000);
    let (wrong, told) = run(&program, count, "disk", PATIENCE)?;
    let (control, _) = run(&program, 500, "memory", Duration::from_secs(5))?;
    let (queued, lost) = caller_killed(&program, count / 10)?;
    Ok(Measured {
        value: (wrong + lost) as f64,
        unit: "requests",
        target: 0.0,
        control: control as f64,
        size: count,
        seeds: 1,
        detail: format!(
            "{told}; {lost} lost of {queued} queued for a program that was killed; control: 500 requests, messages in memory only"
        ),
    })
}

/// What one request is to come to.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    /// A message.
    Send,
    /// An answer.
    Plain,
    /// An error of this code, with or without its id.
    Wrong(&'static str, bool),
}

/// Every fourth is malformed, in four ways; every eighth asks for something else than a message.
fn asked(number: u64) -> Asked {
    match number % 16 {
        1 => Asked::Wrong("unknown_op", true),
        5 => Asked::Wrong("missing_field", true),
        9 => Asked::Wrong("json", false),
        13 if number.is_multiple_of(7) => Asked::Wrong("line_too_long", false),
        13 => Asked::Wrong("bad_field", true),
        3 | 11 => Asked::Plain,
        _ => Asked::Send,
    }
}

fn line(number: u64, keep: &str) -> String {
    match asked(number) {
        Asked::Send => {
            json!({ "id": number, "op": "send", "to": "reader", "type": "n", "payload": number, "keep": keep }).to_string() + "\n"
        }
        Asked::Plain => format!("{{\"id\":{number},\"op\":\"links\"}}\n"),
        Asked::Wrong("unknown_op", _) => format!("{{\"id\":{number},\"op\":\"sned\"}}\n"),
        Asked::Wrong("missing_field", _) => format!("{{\"id\":{number},\"op\":\"send\",\"to\":\"reader\"}}\n"),
        Asked::Wrong("bad_field", _) => format!("{{\"id\":{number},\"op\":\"send\",\"to\":7,\"type\":\"n\"}}\n"),
        Asked::Wrong("line_too_long", _) => "x".repeat(1_100_000) + "\n",
        Asked::Wrong(..) => format!("{{\"id\":{number},\n"),
    }
}

/// How many messages were said to be queued when the program that asked was killed, and how many of them never came.
fn caller_killed(program: &Path, count: u64) -> Result<(usize, u64), String> {
    let (ours, theirs) = (Scratch::new("stdio-killed"), Scratch::new("stdio-away"));
    let away = Piped::on(program, theirs.path(), "127.0.0.1:0")?;
    let (user, address) = (away.user().to_owned(), away.address().to_owned());
    away.kill()?;
    let itself = std::env::current_exe().map_err(|why| why.to_string())?;
    let mut caller = Command::new(itself);
    caller.arg(CALLS).arg(program).arg(ours.path()).args([&user, &address]).stdout(Stdio::piped());
    let mut caller = caller.spawn().map_err(|why| why.to_string())?;
    let lines = BufReader::new(caller.stdout.take().ok_or("a program without output")?).lines();
    let mut queued = BTreeSet::new();
    for line in lines.map_while(Result::ok) {
        queued.extend(line.parse::<u64>());
        if queued.len() as u64 == count {
            // It goes on meanwhile: what it said before its end is read to the last line.
            caller.kill().map_err(|why| why.to_string())?;
        }
    }
    caller.wait().map_err(|why| why.to_string())?;
    if (queued.len() as u64) < count {
        return Err(format!("stdio: the program that asks ended by itself, after {} messages", queued.len()));
    }
    // Its node ends with its input, and lets the folder go.
    let clock = Clock::start();
    let again = loop {
        match Piped::on(program, ours.path(), "127.0.0.1:0") {
            Ok(node) => break node,
            Err(why) if clock.now() > Time::ZERO + PATIENCE => return Err(format!("the node of a killed program stays: {why}")),
            Err(_) => std::thread::sleep(MOMENT * 20),
        }
    };
    let reader = Piped::on(program, theirs.path(), &address)?;
    let (mut book, end) = (Book::default(), clock.now() + PATIENCE);
    while !queued.is_subset(&book.arrived) && clock.now() < end {
        again.rest().for_each(drop);
        reader.line(MOMENT)?.iter().for_each(|line| book.on_reader(line));
    }
    Ok((queued.len(), queued.difference(&book.arrived).count() as u64))
}

/// The program that asks until it is killed: says the number of each message that its node says is queued, a line each.
pub(crate) fn call(arguments: &[String]) -> Result<(), String> {
    let [program, folder, user, address] = arguments else { return Err(format!("{CALLS} PROGRAM FOLDER USER ADDRESS")) };
    let mut node = Piped::on(Path::new(program), Path::new(folder), "127.0.0.1:0")?;
    let reader = json!({ "id": 0, "op": "introduce", "user": user, "addresses": [address], "name": "reader" });
    node.write(format!("{reader}\n").as_bytes())?;
    let (mut by_tag, mut open) = (BTreeMap::new(), 0_usize);
    for number in 1.. {
        while open == UNDER_WAY {
            let line = node.line(PATIENCE)?.ok_or("the node says nothing")?;
            if let (Some(tag), Some(id)) = (line["ok"]["tag"].as_u64(), line["id"].as_u64()) {
                by_tag.insert(tag, id);
            }
            if line["notice"] == "queued"
                && let Some(id) = line["tag"].as_u64().and_then(|tag| by_tag.remove(&tag))
            {
                writeln!(std::io::stdout(), "{id}").map_err(|why| why.to_string())?;
                open -= 1;
            }
        }
        let ask = json!({ "id": number, "op": "send", "to": "reader", "type": "n", "payload": number, "keep": "disk" });
        node.write(format!("{ask}\n").as_bytes())?;
        open += 1;
    }
    Ok(())
}

/// What is known so far.
#[derive(Default)]
struct Book {
    /// Asked and not answered, in order.
    under_way: VecDeque<u64>,
    /// To be asked, again or for the first time.
    next: VecDeque<u64>,
    answered: BTreeSet<u64>,
    by_tag: BTreeMap<u64, u64>,
    /// Messages that are kept, or need not be.
    kept: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
    wrong: u64,
    asked_again: u64,
}

impl Book {
    fn on_answer(&mut self, line: &Value, keep: &str) {
        let Some(number) = self.under_way.pop_front() else {
            self.wrong += 1;
            return;
        };
        let code = line["error"]["code"].as_str();
        if code == Some("full") {
            self.next.push_back(number);
            return;
        }
        let has_id = line["id"] == number;
        let is_right = match asked(number) {
            Asked::Wrong(expected, shows_id) => code == Some(expected) && (has_id || !shows_id && line["id"].is_null()),
            Asked::Send | Asked::Plain => has_id && line.get("ok").is_some(),
        };
        self.wrong += u64::from(!is_right);
        self.answered.insert(number);
        if let Some(tag) = line["ok"]["tag"].as_u64() {
            self.by_tag.insert(tag, number);
            if keep == "memory" {
                self.kept.insert(number);
            }
        }
    }

    fn on_sender(&mut self, line: &Value, keep: &str) {
        match line["notice"].as_str() {
            None if line.get("hello").is_none() => self.on_answer(line, keep),
            Some("queued") => self.kept.extend(line["tag"].as_u64().and_then(|tag| self.by_tag.get(&tag))),
            _ => {}
        }
    }

    fn on_reader(&mut self, line: &Value) {
        if line["notice"] == "message" {
            self.arrived.extend(line["payload"].as_u64());
        }
    }

    /// The node is gone: what it did not answer, or did not say to be kept, is asked again.
    fn on_kill(&mut self) {
        self.by_tag.clear();
        let forgotten: Vec<u64> =
            self.answered.iter().filter(|number| asked(**number) == Asked::Send && !self.kept.contains(number)).copied().collect();
        self.asked_again += (self.under_way.len() + forgotten.len()) as u64;
        self.next.extend(self.under_way.drain(..).chain(forgotten));
    }

    /// Whether something is still awaited.
    fn is_waiting(&self, count: u64, messages: usize) -> bool {
        (self.answered.len() as u64) < count || !self.next.is_empty() || self.arrived.len() < messages
    }

    fn missing(&self, count: u64) -> u64 {
        let is_missing = |number: &u64| !self.answered.contains(number) || asked(*number) == Asked::Send && !self.arrived.contains(number);
        (0..count).filter(is_missing).count() as u64
    }
}

/// What was wrong, and how it went.
fn run(program: &Path, count: u64, keep: &str, patience: Duration) -> Result<(u64, String), String> {
    let (ours, theirs) = (Scratch::new("stdio-asked"), Scratch::new("stdio-reader"));
    let mut sender = Piped::on(program, ours.path(), "127.0.0.1:0")?;
    let mut reader = Some(Piped::on(program, theirs.path(), "127.0.0.1:0")?);
    let (user, address) = reader.as_ref().map(|reader| (reader.user().to_owned(), reader.address().to_owned())).unwrap_or_default();
    sender
        .write(format!("{}\n", json!({ "id": 0, "op": "introduce", "user": user, "addresses": [address], "name": "reader" })).as_bytes())?;
    while sender.line(patience)?.ok_or("no answer")?.get("id").is_none() {}
    let clock = Clock::start();
    let mut book = Book { next: (0..count).collect(), ..Book::default() };
    let messages = (0..count).filter(|number| asked(*number) == Asked::Send).count();
    let (mut was_killed, mut end) = (false, Time::MAX);
    while book.is_waiting(count, messages) && clock.now() < end {
        while book.under_way.len() < UNDER_WAY
            && let Some(number) = book.next.pop_front()
        {
            book.under_way.push_back(number);
            sender.write(line(number, keep).as_bytes())?;
        }
        if let Some(line) = sender.line(MOMENT)? {
            book.on_sender(&line, keep);
        }
        sender.rest().for_each(|line| book.on_sender(&line, keep));
        reader.iter().flat_map(Piped::rest).for_each(|line| book.on_reader(&line));
        let answered = book.answered.len() as u64;
        if !was_killed && answered >= count / 3 && reader.is_some() {
            reader.take().map(Piped::kill).transpose()?.iter().flatten().for_each(|line| book.on_reader(line));
        }
        if !was_killed && answered >= count / 2 {
            was_killed = true;
            sender.kill()?.iter().for_each(|line| book.on_sender(line, keep));
            book.on_kill();
            sender = Piped::on(program, ours.path(), "127.0.0.1:0")?;
            reader = Some(Piped::on(program, theirs.path(), &address)?);
        }
        if end == Time::MAX && book.answered.len() as u64 == count && book.next.is_empty() {
            end = clock.now() + patience;
        }
    }
    let took = clock.now().as_micros() as f64 / 1e6;
    let (missing, wrong) = (book.missing(count), book.wrong);
    let again = book.asked_again;
    Ok((
        missing + wrong,
        format!(
            "{missing} lost or unanswered, {wrong} answered wrongly, {again} asked again after the kill; {took:.1} s, kills of both sides included"
        ),
    ))
}
