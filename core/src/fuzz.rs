//! Entrances for fuzzers: each takes any bytes and answers whether its parser kept its promises. Not part of the API.

mod peer;
mod replays;
mod speaker;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;

use crate::dht::record::{AddressRecord, DeviceRecord};
use crate::dht::wire::{Asker, Body, DATAGRAM_BYTES_MAX, Datagram, read, write_error, write_reply, write_request};
use crate::id::to_bech32;
use crate::identity::{Credentials, Delegation, DeviceKeys, Grant, IdentitySecret, Revocation};
use crate::invitation::InvitationSecret;
use crate::trace::{Builds, Line as Recorded, replay};
use crate::wire::line::{CloseLine, Line, MessageLine};
use crate::wire::{Limits, check_line, compact, walk};
use crate::{
    Action, Address, AppId, BootId, Change, CloseReason, Command, Config, ConnectError, DeviceId, Entry, Event, Invitation,
    InvitationError, Item, Keep, Message, Node, NodeKey, Notice, OpId, Page, PipeId, Rng, SearchId, Seed, Send, StoreError, StreamId, Time,
    UserId, WallTime,
};

pub use peer::peer;
pub use replays::{Replay, Replays};
pub use speaker::{Speaker, is_search, search_content};

/// How many bytes one step of [`node`] takes.
pub const STEP_BYTES: usize = 8;
/// What the wall clock of [`node`] says at first.
const WALL: WallTime = WallTime::from_millis(1_800_000_000_000);

/// What the strict walk accepts is a fixed point of compaction; what compaction yields is accepted by the walk.
pub fn strict(bytes: &[u8]) -> bool {
    let walked = walk(bytes, Limits::PAYLOAD).is_ok();
    match compact(bytes) {
        Ok(compacted) => walk(&compacted, Limits::PAYLOAD).is_ok() && (!walked || compacted == bytes),
        Err(_) => !walked,
    }
}

/// A delegation that is read is written again byte for byte, and a request for one keeps its meaning.
pub fn delegation(bytes: &[u8]) -> bool {
    let is_same = |asked: Grant| {
        serde_json::to_vec(&asked).is_ok_and(|written| serde_json::from_slice::<Grant>(&written).is_ok_and(|again| again == asked))
    };
    serde_json::from_slice::<Grant>(bytes).map_or(true, is_same)
        && Delegation::from_json(bytes).map_or(true, |read| read.to_json().as_bytes() == bytes)
}

/// A revocation that is read is written again byte for byte.
pub fn revocation(bytes: &[u8]) -> bool {
    Revocation::from_json(bytes).map_or(true, |read| read.to_json().as_bytes() == bytes)
}

/// What the strict walk accepts as content is accepted as a line, alone and in an envelope. A line that is read is
/// written in one form, which reads back; and all ways to read a message agree, also the one that comes before the check.
pub fn line(bytes: &[u8]) -> bool {
    let walked = walk(bytes, Limits::PAYLOAD).is_ok();
    let envelope = [br#"{"content":"#.as_slice(), bytes, b"}"].concat();
    let is_line = check_line(bytes).is_ok();
    let framed = core::str::from_utf8(bytes).ok().and_then(MessageLine::parse_as_written);
    let Some(text) = core::str::from_utf8(bytes).ok().filter(|_| is_line) else { return !walked && framed.is_none() };
    if walked && check_line(&envelope).is_err() {
        return false;
    }
    let (read, message) = (Line::parse(text), MessageLine::parse_as_json(text));
    let agree = message.is_none_or(|message| message.is_ok() == matches!(read, Ok(Line::Message(_))));
    let agree = agree && framed.is_none_or(|framed| matches!(&read, Ok(Line::Message(message)) if *message == framed));
    agree && read.map_or(true, |read| is_written_once(&read))
}

/// Whether a reader takes a message with this payload, whatever its sender made of it.
pub fn carried(payload: &[u8]) -> bool {
    let line = [br#"{"message":{"number":1,"type":"bla","payload":"#.as_slice(), payload, b"}}"].concat();
    let text = core::str::from_utf8(&line).ok().filter(|_| check_line(&line).is_ok());
    text.is_some_and(|text| matches!(Line::parse(text), Ok(Line::Message(_))))
}

/// Whether a delegation or a revocation that is taken bare is also taken in every line that carries one, with every byte.
pub fn carried_signed(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else { return true };
    let is_read = |line: String| check_line(line.as_bytes()).is_ok() && Line::parse(&line).is_ok_and(|read| is_said_again(&read, &line));
    let delegation = Delegation::from_json(bytes).map_or(true, |_| {
        is_read(format!(r#"{{"delegation":{text}}}"#))
            && is_read(format!(r#"{{"hello":{{"delegation":{text},"boot":"AAAAAAAAAAA","time":1}}}}"#))
            && is_read(format!(r#"{{"search":{{"budget":1,"content":{{}},"signature":"","delegation":{text}}}}}"#))
    });
    delegation && Revocation::from_json(bytes).map_or(true, |_| is_read(format!(r#"{{"revocation":{text}}}"#)))
}

fn is_said_again(line: &Line<'_>, text: &str) -> bool {
    let mut out = Vec::new();
    line.write(&mut out);
    out.strip_suffix(b"\n") == Some(text.as_bytes())
}

fn is_written_once(line: &Line<'_>) -> bool {
    if let Line::Close(CloseLine { reason: CloseReason::Unknown(_), .. }) = line {
        // A node has reasons of its own; those of newer versions it only reads.
        return true;
    }
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    line.write(&mut once);
    let Some(text) = once.strip_suffix(b"\n").and_then(|text| core::str::from_utf8(text).ok()) else { return false };
    let Ok(again) = Line::parse(text) else { return false };
    again.write(&mut twice);
    once == twice
}

/// A datagram that is read is written within its bound, in one form that reads back.
pub fn datagram(bytes: &[u8]) -> bool {
    let Ok(once) = read(bytes) else { return true };
    // A reply may have no room for what must stay free while it is written, so that it loses something: but only once.
    let Some(once) = said_again(&once) else { return bytes.len() > DATAGRAM_BYTES_MAX - SPARE_BYTES };
    once.len() <= DATAGRAM_BYTES_MAX && read(&once).is_ok_and(|twice| said_again(&twice).is_some_and(|twice| twice == once))
}

/// How much longer a datagram may become when it is written again: the longest pad's frame, and what must stay free.
const SPARE_BYTES: usize = 32;

/// What its sender would have written for what was read.
pub(crate) fn said_again(read: &Datagram<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let exchange = read.head.exchange;
    let is_in = match &read.body {
        Body::Request(request) => write_request(&mut out, SocketAddr::from(([203, 0, 113, 97], 1)), &read.head, request),
        Body::Reply(reply) => {
            let own = read.head.id.zip(read.head.cookie);
            // Who is told where it is, or who answers, has not proven anything.
            let is_unproven = own.is_some() || reply.seen.is_some();
            let proven = Asker::Proven { renewed: read.head.cookie };
            let asker = if is_unproven { Asker::Unproven { bytes: DATAGRAM_BYTES_MAX, own } } else { proven };
            write_reply(&mut out, exchange, asker, reply)
        }
        Body::Denied(denied) => {
            write_error(&mut out, exchange, *denied);
            true
        }
    };
    is_in.then_some(out)
}

/// A record that is read is written again byte for byte.
pub fn record(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else { return true };
    AddressRecord::from_json(text).map_or(true, |read| read.to_json() == text)
        && DeviceRecord::from_json(text).map_or(true, |read| read.to_json() == text)
}

/// Addresses, entry peers, ids and messages that are read as text are the same when they are written and read again.
pub fn text(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else { return true };
    let ids = is_same::<UserId>(text)
        && is_same::<NodeKey>(text)
        && is_same::<DeviceId>(text)
        && is_same::<StreamId>(text)
        && is_same::<SearchId>(text)
        && is_same::<BootId>(text)
        && is_same::<AppId>(text);
    let messages = [Message::from_text("bla", text), Message::from_json(text), Message::from_text(text, "1")];
    let whole = |message: Message| {
        walk(message.payload().as_bytes(), Limits::PAYLOAD).is_ok() && Message::from_json(&message.to_json()).is_ok_and(|it| it == message)
    };
    ids && is_same::<Address>(text) && is_same::<Entry>(text) && messages.into_iter().flatten().all(whole)
}

fn is_same<T: FromStr + ToString + PartialEq>(text: &str) -> bool {
    text.parse::<T>().map_or(true, |read| read.to_string().parse::<T>().is_ok_and(|again| again == read))
}

/// An invitation that is read, from a line or from the bytes in one, is written again as the same line; and a wrong character
/// in it is named.
pub fn invitation(bytes: &[u8]) -> bool {
    let is_kept = |text: &str| {
        let Ok(read) = text.parse::<Invitation>() else { return true };
        let line = read.to_secret_text();
        let at = bytes.len() % line.as_str().len();
        let changed: String =
            line.as_str().char_indices().map(|(n, c)| if n == at { if c == 'q' { 'p' } else { 'q' } } else { c }).collect();
        let position = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
        let is_named = changed.parse::<Invitation>() == Err(InvitationError::Typo { position });
        is_named && line.as_str().parse::<Invitation>().is_ok_and(|again| again == read)
    };
    let sealed = to_bech32("oci", bytes);
    let is_own = sealed.parse::<Invitation>().map_or(true, |read| read.to_secret_text().as_str() == sealed);
    is_own && is_kept(&sealed) && core::str::from_utf8(bytes).map_or(true, is_kept)
}

/// The secrets of a device that are read from a key file are the same when they are written and read again.
pub fn secrets(bytes: &[u8]) -> bool {
    let Ok(read) = core::str::from_utf8(bytes).map_or(Err(()), |text| Credentials::from_secret_json(text).map_err(|_| ())) else {
        return true;
    };
    let written = read.to_secret_json();
    Credentials::from_secret_json(written.as_str()).is_ok_and(|again| again.to_secret_json().as_str() == written.as_str())
}

/// A recording that is read is replayed or refused, and its lines are the same when they are written and read again.
pub fn recording(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else { return true };
    let _ = replay(text, Builds::Any);
    text.lines().all(|line| {
        let Ok(read) = serde_json::from_str::<Recorded<'_>>(line) else { return true };
        let Ok(written) = serde_json::to_string(&read) else { return false };
        serde_json::from_str::<Recorded<'_>>(&written).is_ok_and(|again| again == read)
    })
}

/// A node that starts on any store starts or stops and says which; one that stops has written nothing, and one that
/// starts has handed back all that is the application's. `bytes` are items: two lengths, a key, a value.
pub fn boot(bytes: &[u8]) -> bool {
    let mut items = Vec::new();
    let mut rest = bytes;
    while let Some((&[key, high, low], after)) = rest.split_first_chunk::<3>() {
        let (key, after) = after.split_at(usize::from(key).min(after.len()));
        let (value, after) = after.split_at(usize::from(u16::from_be_bytes([high, low])).min(after.len()));
        items.push(Item { key: key.to_vec(), value: value.to_vec() });
        rest = after;
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items.dedup_by(|a, b| a.key == b.key);
    let (Some(one), Some(other)) = (boot_of(&items), boot_of(&items)) else { return false };
    let told = |wanted: fn(&Notice) -> bool| one.iter().any(|it| matches!(it, Action::Notify { notice } if wanted(notice)));
    let (started, stopped) = (told(|it| matches!(it, Notice::Started { .. })), told(|it| matches!(it, Notice::Stopped { .. })));
    let wrote = one.iter().any(|it| matches!(it, Action::Store { .. }));
    let mut restored = one
        .iter()
        .filter_map(|it| if let Action::Notify { notice: Notice::Restored { items, .. } } = it { Some(items.len()) } else { None });
    let saved = items.iter().filter(|item| item.key.starts_with(b"a")).count();
    one == other && started != stopped && started == wrote && (stopped || restored.by_ref().sum::<usize>() == saved)
}

/// All actions of a start on these items, page by page, and of the minute after it.
fn boot_of(items: &[Item]) -> Option<Vec<Action>> {
    let (seed, mut now) = (Seed::from_bytes([9; 32]), Time::from_secs(1));
    let mut node = Node::new(Config::test(), draw_credentials(7)?, seed, now, WALL).ok()?;
    let mut actions = Vec::new();
    for _ in 0..1_000 {
        let Some(action) = node.poll() else {
            // A stopped node has no deadline.
            let Some(due) = node.deadline().filter(|due| *due <= Time::from_secs(60)) else { break };
            now = due.max(now);
            node.handle(now, Event::Tick);
            continue;
        };
        match &action {
            Action::Load { op, from, to, limit } => {
                let page: Vec<Item> = items.iter().filter(|it| it.key >= *from && it.key < *to).take(*limit as usize).cloned().collect();
                let more = page.len() == *limit as usize;
                node.handle(now, Event::loaded(*op, Ok(Page { items: &page, more })));
            }
            Action::Store { op, .. } => node.handle(now, Event::stored(*op, Ok(()))),
            Action::Notify { .. } => node.handle(now, Event::taken(1, &[])),
            Action::Connect { op, .. } => node.handle(now, Event::connect_failed(*op, ConnectError::Refused)),
            Action::Close { .. } | Action::Write { .. } | Action::Resolve { .. } | Action::SendDatagram { .. } => {}
        }
        actions.push(action);
    }
    Some(actions)
}

/// A node takes any sequence of events and wishes without a panic; twice the same one gives the same actions; and
/// enough ticks lead past every deadline. Each step is [`STEP_BYTES`] long; a rest that is shorter is left out.
pub fn node(bytes: &[u8]) -> bool {
    let Some(credentials) = draw_credentials(7) else { return false };
    let (Some(mut one), Some(mut other)) = (node_of(credentials.clone(), WALL), node_of(credentials, WALL)) else { return false };
    let mut now = Time::from_secs(1);
    for bytes in bytes.as_chunks::<STEP_BYTES>().0 {
        let mut again = now;
        step(&mut one, &mut now, bytes);
        step(&mut other, &mut again, bytes);
        loop {
            match (one.poll(), other.poll()) {
                (None, None) => break,
                (a, b) if a == b => {}
                _ => return false,
            }
        }
    }
    let late = now + Duration::from_secs(30);
    for _ in 0..200 {
        one.handle(late, Event::Tick);
    }
    one.deadline().is_none_or(|due| due > late)
}

fn draw_credentials(seed: u8) -> Option<Credentials> {
    let mut rng = Rng::from_seed(&Seed::from_bytes([seed; 32]));
    let identity = IdentitySecret::from_bytes(rng.array());
    let keys = DeviceKeys::draw(&mut rng);
    let grant = keys.grant(AppId::new("fuzz").ok()?, WALL, WALL + Duration::from_secs(7 * 24 * 3_600));
    Some(keys.credentials(Delegation::sign(&identity, &grant).ok()?))
}

/// A node that has started on an empty store.
pub(crate) fn node_of(credentials: Credentials, wall: WallTime) -> Option<Node> {
    let (seed, now) = (Seed::from_bytes([9; 32]), Time::from_secs(1));
    let mut node = Node::new(Config::test(), credentials, seed, now, wall).ok()?;
    node.handle(now, Event::loaded(OpId::new(1), Ok(Page { items: &[], more: false })));
    node.handle(now, Event::stored(OpId::new(2), Ok(())));
    Some(node)
}

/// One event or wish, as `bytes` say: what, for which pipe or operation, and a number of its own.
pub(crate) fn step(node: &mut Node, now: &mut Time, bytes: &[u8; STEP_BYTES]) {
    let [what, id, a, b, c, d, e, f] = *bytes;
    // Few pipes and operations, so that they meet; some numbers that nobody gave.
    let (pipe, op) = (PipeId::new(u64::from(id % 8)), OpId::new(u64::from(id % 24)));
    let number = u64::from(u32::from_be_bytes([a, b, c, d]));
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([e, f]));
    let user = UserId::from_bytes([id % 4; 32]);
    let few = [a, b, c, d, e, f];
    // A record as long as a handshake's first message.
    let first: Vec<u8> = [0, 32].into_iter().chain([a; 32]).collect();
    let event = match what % 20 {
        0 => Event::Tick,
        1 => {
            *now = *now + Duration::from_micros(number);
            Event::Tick
        }
        2 | 3 => Event::pipe_opened(pipe, (e % 2 == 0).then_some(op), address, address),
        4 => Event::pipe_bytes(pipe, b"overcom/1 user\n"),
        5 => Event::pipe_bytes(pipe, b"overcom/1 service\n"),
        6 => Event::pipe_bytes(pipe, &first),
        7 => Event::pipe_bytes(pipe, &few),
        8 => Event::pipe_written(pipe),
        9 => Event::pipe_closed(pipe),
        10 => Event::connect_failed(op, ConnectError::Refused),
        11 => return node.handle(*now, Event::addresses(&[address], e % 4 == 0)),
        12 => Event::clock(WallTime::from_millis(WALL.as_millis().saturating_sub(1 << 40).saturating_add(number << (e % 16)))),
        13 => return node.handle(*now, Event::resolved(op, Ok(&[address.ip()]))),
        14 => Event::stored(op, if e == 0 { Err(StoreError::Full) } else { Ok(()) }),
        15 => Event::loaded(op, Ok(Page { items: &[], more: e % 2 == 0 })),
        16 => {
            node.handle(*now, Event::passed(u64::from(c)));
            let save = [Change { key: Vec::from([a]), value: (b % 2 == 0).then(|| Vec::from([c])) }];
            return node.handle(*now, Event::taken(u64::from(d), if e % 2 == 0 { &save } else { &[] }));
        }
        _ => return wish(node, *now, what, user, address),
    };
    node.handle(*now, event);
}

fn wish(node: &mut Node, now: Time, what: u8, user: UserId, address: SocketAddr) {
    let command = match what % 60 {
        17 => Command::introduce(user, [address.into()]),
        18 => Command::find(user),
        37 => Command::forget(user),
        38 => Command::Suspend,
        57 => Command::invite(Duration::from_secs(u64::from(address.port())), []),
        58 => {
            let secret = InvitationSecret::from_bytes([what; 16]);
            // One of them is the node's, whoever made it.
            let Ok(app) = AppId::new(if what < 128 { "fuzz" } else { "test" }) else { return };
            let until = WALL + Duration::from_secs(u64::from(address.port()));
            let Ok(invitation) = Invitation::new(app, user, &[address.into()], until, secret) else { return };
            Command::join(invitation)
        }
        _ => {
            let keep = if what < 128 { Keep::Disk } else { Keep::Memory };
            let Ok(message) = Message::new("bla", &what) else { return };
            Send::new(user, message).keep(keep).into()
        }
    };
    // Whether it is granted does not matter here.
    let _ = node.command(now, command);
}
