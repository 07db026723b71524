//! Entrances for fuzzers: each takes any bytes and answers whether its parser kept its promises. Not part of the API.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use crate::identity::{Credentials, Delegation, DeviceKeys, IdentitySecret, Revocation};
use crate::wire::{Limits, check_line, compact, walk};
use crate::{
    AppId, Change, Command, Config, ConnectError, Event, Keep, Message, Node, OpId, Page, PipeId, Rng, Seed, Send, StoreError, Time,
    UserId, WallTime,
};

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

/// A delegation that is read is written again byte for byte.
pub fn delegation(bytes: &[u8]) -> bool {
    Delegation::from_json(bytes).map_or(true, |read| read.to_json().as_bytes() == bytes)
}

/// A revocation that is read is written again byte for byte.
pub fn revocation(bytes: &[u8]) -> bool {
    Revocation::from_json(bytes).map_or(true, |read| read.to_json().as_bytes() == bytes)
}

/// What the strict walk accepts as content is accepted as a line, alone and in an envelope.
pub fn line(bytes: &[u8]) -> bool {
    let walked = walk(bytes, Limits::PAYLOAD).is_ok();
    let envelope = [br#"{"content":"#.as_slice(), bytes, b"}"].concat();
    !walked || (check_line(bytes).is_ok() && check_line(&envelope).is_ok())
}

/// A node takes any sequence of events and wishes without a panic; twice the same one gives the same actions; and
/// enough ticks lead past every deadline. Each step is [`STEP_BYTES`] long; a rest that is shorter is left out.
pub fn node(bytes: &[u8]) -> bool {
    let Some(credentials) = draw_credentials() else { return false };
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

fn draw_credentials() -> Option<Credentials> {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32]));
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
        _ => {
            let keep = if what < 128 { Keep::Disk } else { Keep::Memory };
            let Ok(message) = Message::new("bla", &what) else { return };
            Send::new(user, message).keep(keep).into()
        }
    };
    // Whether it is granted does not matter here.
    let _ = node.command(now, command);
}
