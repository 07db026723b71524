//! `hostile-input`: what a stranger or somebody in the middle can send.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Action, Command, Config, Crypto, Delegation, Event, Message, NodeSecret, Notice, Path, Rng, Solo, Time};

use crate::figure::{Measured, Size};
use crate::meter::heap_bytes;
use crate::table::{Person, Table, WALL, seed_of};
use crate::threads::each;

/// Parts of the figure, each with draws of its own.
const PARTS: u64 = 20;

/// Writes of a handshake in which each side has shown itself: two of the dialler, then both sides' hellos.
const HANDSHAKE_WRITES: u64 = 5;

/// Where a stranger is.
const STRANGER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 255, 0, 1), 7575));
/// Inputs of strangers for which the heap is looked at, two times.
const HEAP_INPUTS: u64 = 60_000;

/// Panics, sessions with whoever was changed on the way, messages out of changed records, changed delegations that
/// verify, pipes or links left over, records that a DHT keeps for who has no token, answers of it longer than the questions,
/// and heap beyond what a node says it may hold or that stays behind. Of one record every bit is changed once. The control
/// changes nothing: sessions come up and messages arrive; and it lets every stranger in.
pub(crate) fn hostile_input(size: Size) -> Result<Measured, String> {
    // A trial is 22 inputs: 44,000 of them, a million, ten millions.
    let trials = size.of(2_000, 45_460, 454_560);
    // Alone, since all of the process is counted.
    let (mut found, peak) = heap(small())?;
    let (mut control, flooded) = heap(small().pipes_pending_max(65_536))?;
    for (part, untouched) in each(PARTS, |part| trials_of(part, trials / PARTS))? {
        found.add(&part);
        control.add(&untouched);
    }
    Ok(Measured {
        value: found.sum(),
        unit: "breaches",
        target: 0.0,
        control: control.sum(),
        size: trials * 22,
        seeds: 1,
        detail: format!(
            "{found:?} of {trials} changed handshakes, {trials} changed records, {} strangers' inputs, half of them datagrams of \
             a DHT, changed or said to another, and as many delegations; heap at most {} of {} KiB; control: {} handshakes and records left as they are, and {} KiB with strangers unbounded",
            trials * 10,
            peak >> 10,
            small().memory_bytes_max() >> 10,
            trials / PARTS / 100 * PARTS,
            flooded >> 10
        ),
    })
}

/// One part's trials, and the control's.
fn trials_of(part: u64, trials: u64) -> Result<(Found, Found), String> {
    let mut rng = Rng::from_seed(&seed_of(1, 0)).fork("hostile", part);
    let (mut found, mut control) = (Found::default(), Found::default());
    let people = [Person::draw(1, 0)?, Person::draw(1, 1)?];
    for _ in 0..trials {
        found.add(&guarded(|| handshake(&people, Some((rng.below(HANDSHAKE_WRITES), rng.u64()))))?);
        let how = rng.u64();
        // What is appended or cut is a matter of the next record: here the record itself is changed.
        found.add(&guarded(|| record(&people, move |bytes| change(bytes, how | 2)))?);
    }
    // Every bit of one record, a part's share of them.
    for bit in (0..).map(|n| n * PARTS + part) {
        let is_past = Rc::new(Cell::new(false));
        let seen = Rc::clone(&is_past);
        let flip = move |bytes: &mut Vec<u8>| match bytes.get_mut((bit / 8) as usize) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            None => seen.set(true),
        };
        let outcome = guarded(|| record(&people, flip))?;
        if is_past.get() {
            break;
        }
        found.add(&outcome);
        found.bits += 1;
    }
    for _ in 0..trials / 100 {
        control.add(&guarded(|| handshake(&people, None))?);
        control.add(&guarded(|| record(&people, |_| {}))?);
    }
    found.add(&guarded(|| strangers(&people[0], &mut rng, trials * 10))?);
    found.add(&guarded(|| delegations(&people[0], &mut rng, trials * 10))?);
    Ok((found, control))
}

/// What should not have happened.
#[derive(Default, Debug)]
struct Found {
    panics: u64,
    sessions: u64,
    messages: u64,
    delegations: u64,
    leftovers: u64,
    heap: u64,
    /// What a DHT keeps for strangers who never had a token.
    records: u64,
    /// Its answers that are longer than the questions.
    longer: u64,
    /// Its answers to strangers: no breach.
    answered: u64,
    /// Bits of a record that were changed: no breach.
    bits: u64,
}

impl Found {
    fn add(&mut self, other: &Self) {
        self.panics += other.panics;
        self.sessions += other.sessions;
        self.messages += other.messages;
        self.delegations += other.delegations;
        self.leftovers += other.leftovers;
        self.heap += other.heap;
        self.records += other.records;
        self.longer += other.longer;
        self.answered += other.answered;
        self.bits += other.bits;
    }

    fn sum(&self) -> f64 {
        let breaches = [self.panics, self.sessions, self.messages, self.delegations, self.leftovers, self.heap, self.records, self.longer];
        breaches.iter().sum::<u64>() as f64
    }
}

fn guarded(trial: impl FnOnce() -> Result<Found, String>) -> Result<Found, String> {
    catch_unwind(AssertUnwindSafe(trial)).unwrap_or_else(|_| Ok(Found { panics: 1, ..Found::default() }))
}

/// Changes one bit, or cuts or repeats a piece.
fn change(bytes: &mut Vec<u8>, how: u64) {
    let (kind, rest) = (how % 8, how / 8);
    if bytes.is_empty() {
        return bytes.push(1);
    }
    let at = (rest % bytes.len() as u64) as usize;
    match kind {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, (rest >> 32) as u8),
        _ => bytes[at] ^= 1 << ((rest >> 32) % 8),
    }
}

/// Somebody in the middle changes one write of a handshake: no session may come up at who reads it.
fn handshake(people: &[Person; 2], changed: Option<(u64, u64)>) -> Result<Found, String> {
    let ups = Rc::new(Cell::new([0_u64; 2]));
    let counter = Rc::clone(&ups);
    let mut table = Table::new(1, move |seat, notice| {
        if matches!(notice, Notice::LinkUp { .. }) {
            let mut counts = counter.get();
            counts[seat] += 1;
            counter.set(counts);
        }
    });
    let reader = Rc::new(Cell::new(None));
    let (told, mut writes) = (Rc::clone(&reader), 0);
    for person in people {
        table.seat(Config::test(), person)?;
    }
    table.run();
    table.introduce(0, 1)?;
    let user = table.user(1)?;
    let at_read = Rc::new(Cell::new(0));
    let (before, seen) = (Rc::clone(&at_read), Rc::clone(&ups));
    table.tap = Some(Box::new(move |seat, _, bytes| {
        if changed.is_some_and(|(which, _)| which == writes) {
            change(bytes, changed.map_or(0, |(_, how)| how));
            told.set(Some(1 - seat));
            before.set(seen.get()[1 - seat]);
        }
        writes += 1;
    }));
    table.command(0, Command::find(user)).map_err(|why| why.to_string())?;
    table.run();
    let sessions = match reader.get() {
        // A dialler that knows its peer is up before the last hello comes: only what comes up after the change counts.
        Some(seat) => ups.get()[seat] - at_read.get(),
        None => ups.get().iter().sum(),
    };
    table.tap = None;
    Ok(Found { sessions, leftovers: if changed.is_some() { leftovers(&mut table) } else { 0 }, ..Found::default() })
}

/// Somebody in the middle changes a record of a link: nothing may come out of it.
fn record(people: &[Person; 2], mut changed: impl FnMut(&mut Vec<u8>) + 'static) -> Result<Found, String> {
    let messages = Rc::new(Cell::new(0));
    let counter = Rc::clone(&messages);
    let mut table = Table::new(1, move |_, notice| {
        if matches!(notice, Notice::Message(_)) {
            counter.set(counter.get() + 1);
        }
    });
    table.linked_pair(Config::test(), [&people[0], &people[1]])?;
    let user = table.user(1)?;
    let mut is_first = true;
    table.tap = Some(Box::new(move |seat, _, bytes| {
        if seat == 0 && std::mem::take(&mut is_first) {
            changed(bytes);
        }
    }));
    let message = Message::new("text", "once").map_err(|why| why.to_string())?;
    table.send(0, user, message).map_err(|why| why.to_string())?;
    table.run();
    Ok(Found { messages: messages.get(), ..Found::default() })
}

/// Bytes of nobody, in pipes and datagrams: the pipes are a node's, the datagrams go to it and to a DHT that serves.
fn strangers(person: &Person, rng: &mut Rng, inputs: u64) -> Result<Found, String> {
    let ups = Rc::new(Cell::new(0));
    let counter = Rc::clone(&ups);
    let mut table = Table::new(1, move |_, notice| {
        if matches!(notice, Notice::LinkUp { .. } | Notice::Message(_)) {
            counter.set(counter.get() + 1);
        }
    });
    // Its DHT is the one beside it, so that its own state can be compared.
    table.seat(Config::test().dht(0), person)?;
    table.run();
    let before = state(&table);
    let (letters, mut alone) = (letters()?, Alone::new()?);
    for _ in 0..inputs / 2 {
        alone.take(&mut table, &letter(&letters, rng), rng);
        stranger(&mut table, rng);
        table.cut_all(0);
    }
    let leftovers = leftovers(&mut table) + u64::from(state(&table) != before);
    let (records, answered) = (alone.solo.view().records, alone.answered);
    Ok(Found { sessions: ups.get(), leftovers, records, longer: alone.longer, answered, ..Found::default() })
}

/// Datagrams of the DHT, of every kind, from the corpus of its fuzzer.
fn letters() -> Result<Vec<Vec<u8>>, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/datagram");
    let entries = std::fs::read_dir(folder).map_err(|why| format!("{folder}: {why}"))?;
    let mut paths: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(|why| why.to_string())?;
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).map_err(|why| why.to_string())).collect()
}

/// One of them, changed three times out of four, in one to three places.
fn letter(letters: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = letters[rng.below(letters.len() as u64) as usize].clone();
    if rng.below(4) > 0 {
        (0..=rng.below(3)).for_each(|_| change(&mut bytes, rng.u64()));
    }
    bytes
}

/// A DHT that serves whoever asks, and what it did for strangers.
struct Alone {
    solo: Solo,
    now: Time,
    /// Answers; no breach.
    answered: u64,
    /// Answers that are longer than what was asked by somebody who has not proven where they are.
    longer: u64,
}

impl Alone {
    const AT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 7575));

    fn new() -> Result<Self, String> {
        let now = Time::from_secs(1);
        let secret = NodeSecret::from_bytes([7; 32]);
        let mut solo = Solo::new(Config::test(), &secret, &seed_of(1, 0), now, WALL).map_err(|why| why.to_string())?;
        solo.set_serving(now, true);
        solo.handle(now, Event::addresses(&[Self::AT], false));
        Ok(Self { solo, now, answered: 0, longer: 0 })
    }

    /// A datagram from anywhere, in its own millisecond; the node on the table has it too.
    fn take(&mut self, table: &mut Table, bytes: &[u8], rng: &mut Rng) {
        let remote = SocketAddr::from((Ipv4Addr::from(0x0A40_0000 | rng.below(1 << 20) as u32), 7575));
        table.tell(0, Event::datagram(Path { local: table.seats[0].at, remote }, bytes));
        self.now = self.now + Duration::from_millis(1);
        if self.solo.deadline().is_some_and(|due| due <= self.now) {
            self.solo.handle(self.now, Event::Tick);
        }
        self.sent(None);
        self.solo.handle(self.now, Event::datagram(Path { local: Self::AT, remote }, bytes));
        self.sent(Some((remote, bytes.len())));
    }

    /// Takes what it has to send; `asked` is who has just asked, with how many bytes.
    fn sent(&mut self, asked: Option<(SocketAddr, usize)>) {
        while let Some(action) = self.solo.poll() {
            let Action::SendDatagram { path, packet } = action else { continue };
            if let Some((_, bytes)) = asked.filter(|(remote, _)| *remote == path.remote) {
                self.answered += 1;
                self.longer += u64::from(packet.bytes().len() > bytes);
            }
        }
        while self.solo.told().is_some() {}
    }
}

/// A new pipe with bytes of nobody.
fn stranger(table: &mut Table, rng: &mut Rng) {
    let mut bytes = b"overcom/1 user\n\0\x20".to_vec();
    let noise: [u8; 64] = rng.array();
    bytes.extend_from_slice(&noise[..rng.below(65) as usize]);
    if rng.below(4) > 0 {
        change(&mut bytes, rng.u64());
    }
    let pipe = table.open_to(0);
    table.tell(0, Event::pipe_bytes(pipe, &bytes));
    table.run();
}

/// A node for hardly anybody, so that its bound is near what it needs; what a DHT holds is not looked at here.
const fn small() -> Config {
    Config::embedded().dht(0).links_user_max(1).links_service_in_max(0).links_service_out_max(0).pipes_pending_max(2).dials_max(1)
}

/// How often a node holds more than [`small`] says it may, while strangers leave their pipes open, or holds more
/// after a second round of them than after the first; and the most that it held, with the table that it sits at.
fn heap(config: Config) -> Result<(Found, u64), String> {
    let person = Person::draw(1, 0)?;
    let mut rng = Rng::from_seed(&seed_of(1, 0)).fork("heap", 0);
    let letters = letters()?;
    let before = heap_bytes();
    let mut table = Table::new(1, |_, _| {});
    table.seat(config, &person)?;
    table.run();
    let path = Path { local: table.seats[0].at, remote: STRANGER };
    let (mut peak, mut rests) = (0, [0; 2]);
    for rest in &mut rests {
        for _ in 0..HEAP_INPUTS / 2 {
            table.tell(0, Event::datagram(path, &letter(&letters, &mut rng)));
            stranger(&mut table, &mut rng);
            peak = peak.max(heap_bytes().saturating_sub(before));
        }
        table.pass(Duration::from_secs(15));
        table.cut_all(0);
        table.run();
        *rest = heap_bytes().saturating_sub(before);
    }
    let breaches = u64::from(peak > small().memory_bytes_max()) + u64::from(rests[1] > rests[0]);
    Ok((Found { heap: breaches, ..Found::default() }, peak))
}

/// All of a node's state that can be looked at, without its counters, and what it has stored.
fn state(table: &Table) -> String {
    let Some(node) = table.seats[0].node() else { return String::new() };
    let mut inspection = node.inspect();
    inspection.stats = overcom_core::Stats::default();
    format!("{inspection:?} {:?}", table.seats[0].store)
}

/// Pipes that are still open once every handshake's time is over.
fn leftovers(table: &mut Table) -> u64 {
    table.pass(Duration::from_secs(15));
    let seats = table.seats.iter().filter_map(|seat| seat.node());
    let pending: u64 = seats.map(|node| u64::from(node.inspect().pipes_pending)).sum();
    let both = (0..table.seats.len()).map(|seat| table.pipes_of(seat)).collect::<Vec<_>>();
    // What the honest end dialled again after the change is a link on both sides and no leftover.
    pending + u64::from(both.iter().any(|pipes| *pipes != both[0]))
}

/// Changed delegations: none that reads may verify, unless it is the very same.
fn delegations(person: &Person, rng: &mut Rng, inputs: u64) -> Result<Found, String> {
    let crypto = Crypto::standard();
    let genuine = person.credentials.delegation().to_json().into_bytes();
    let mut found = Found::default();
    for _ in 0..inputs {
        let mut bytes = genuine.clone();
        change(&mut bytes, rng.u64());
        if let Ok(read) = Delegation::from_json(&bytes)
            && read.verify(&crypto).is_ok()
            && bytes != genuine
        {
            found.delegations += 1;
        }
    }
    Ok(found)
}
