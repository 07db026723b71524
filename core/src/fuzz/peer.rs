//! A node and a peer that says anything: before, in and after a handshake that it can finish with keys of its own.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::{WALL, draw_credentials, node_of};
use crate::crypto::noise::{Handshake, KeyPair, Opener, Sealer};
use crate::crypto::{TAG_BYTES, sha256};
use crate::handshake::Kind;
use crate::id::to_base64;
use crate::identity::Credentials;
use crate::wire::check_line;
use crate::wire::line::{Hello, Line};
use crate::{Action, BootId, Command, Crypto, Event, Node, OpId, Page, PipeId, ResolveError, Rng, Seed, Time};

const PIPE: PipeId = PipeId::new(1);
/// Stand in an input for what only a whole handshake can tell: who is wanted, and who the peer is.
const WANT: &str = "WANT";
const HELLO: &str = "HELLO";

/// A node stands any peer. Of `bytes` the first says which: 0 no keys at all, 1 the third Noise message holds the rest,
/// 2 the rest are lines on a link that is up, 3 they are the lines of who was dialled, 4 the third message of a service
/// link holds them. The second says in which portions they come.
///
/// What the node says must open and be lines of the wire, and the node must come to rest again.
pub fn peer(bytes: &[u8]) -> bool {
    let Some((&[mode, portion], rest)) = bytes.split_first_chunk::<2>() else { return true };
    let portion = usize::from(portion).saturating_mul(8).saturating_add(1);
    let Some(mut meeting) = Meeting::new() else { return false };
    let held = match mode % 5 {
        0 => meeting.strange(rest, portion),
        1 => meeting.third(Kind::User, rest),
        2 => meeting.lines(rest, portion),
        3 => meeting.answer(rest, portion),
        _ => meeting.third(Kind::Service, rest),
    };
    held.is_some() && meeting.comes_to_rest()
}

struct Meeting {
    node: Node,
    now: Time,
    crypto: Crypto,
    /// The peer's own.
    keys: KeyPair,
    credentials: Credentials,
    rng: Rng,
    sealer: Option<Sealer>,
    opener: Option<Opener>,
    /// What the node wrote and the peer has not read.
    written: Vec<u8>,
    /// The lines that it has read.
    heard: Vec<u8>,
    connect: Option<OpId>,
    open: bool,
}

impl Meeting {
    fn new() -> Option<Self> {
        let node = node_of(draw_credentials(7)?, WALL)?;
        let (credentials, crypto) = (draw_credentials(8)?, Crypto::standard());
        let mut meeting = Self {
            node,
            now: Time::from_secs(2),
            keys: credentials.noise_pair(&crypto),
            crypto,
            credentials,
            rng: Rng::from_seed(&Seed::from_bytes([5; 32])),
            sealer: None,
            opener: None,
            written: Vec::new(),
            heard: Vec::new(),
            connect: None,
            open: false,
        };
        meeting.carry();
        Some(meeting)
    }

    /// Bytes of somebody who has no keys.
    fn strange(&mut self, bytes: &[u8], portion: usize) -> Option<()> {
        self.open(None);
        for part in bytes.chunks(portion) {
            self.give(part);
        }
        Some(())
    }

    /// A dialler whose third Noise message holds `payload`.
    fn third(&mut self, kind: Kind, payload: &[u8]) -> Option<()> {
        let (noise, tag) = self.dial(kind)?;
        let payload = self.fill(payload, &tag);
        self.finish(noise, &payload)?;
        self.read();
        Some(())
    }

    /// A dialler whose link is up, and who then says `lines`.
    fn lines(&mut self, lines: &[u8], portion: usize) -> Option<()> {
        let (noise, tag) = self.dial(Kind::User)?;
        let payload = self.fill(br#"{"want":"WANT","hello":HELLO}"#, &tag);
        self.finish(noise, &payload)?;
        if self.node.links().count() != 1 {
            return None;
        }
        let lines = self.fill(lines, &tag);
        for part in lines.chunks(portion) {
            self.say(part)?;
        }
        self.read();
        Some(())
    }

    /// A listener that the node dials, and who says `lines` once they are sealed.
    fn answer(&mut self, lines: &[u8], portion: usize) -> Option<()> {
        let user = self.credentials.delegation().user();
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 7575);
        self.node.command(self.now, Command::introduce(user, [at.into()])).ok()?;
        self.node.command(self.now, Command::find(user)).ok()?;
        self.carry();
        let op = self.connect?;
        self.open(Some(op));
        let mut noise = Handshake::listen(self.crypto, &prologue(Kind::User, &self.crypto), &self.keys, self.rng.fork("listen", 0));
        self.take(Kind::User.preamble().len())?;
        let first = self.take_unit()?;
        noise.read(&first).ok()?;
        let second = noise.write(&[]).ok()?;
        self.give(Kind::User.preamble());
        self.give(&unit(&second)?);
        let third = self.take_unit()?;
        noise.read(&third).ok()?;
        self.seal(noise)?;
        let lines = self.fill(lines, "");
        for part in lines.chunks(portion) {
            self.say(part)?;
        }
        self.read();
        Some(())
    }

    /// The first two messages as a dialler; the tag that says who is wanted.
    fn dial(&mut self, kind: Kind) -> Option<(Handshake, String)> {
        self.open(None);
        let mut noise = Handshake::dial(self.crypto, &prologue(kind, &self.crypto), &self.keys, self.rng.fork("dial", 0));
        let first = noise.write(&[]).ok()?;
        self.give(kind.preamble());
        self.give(&unit(&first)?);
        self.take(kind.preamble().len())?;
        let second = self.take_unit()?;
        noise.read(&second).ok()?;
        let wanted = sha256(&[b"overcom/1 want\0", self.node.me().user.as_bytes(), &noise.hash()]);
        Some((noise, to_base64(wanted.get(..16)?)))
    }

    fn finish(&mut self, mut noise: Handshake, payload: &[u8]) -> Option<()> {
        // Longer than a Noise message can be: nobody can send that.
        let Ok(third) = noise.write(payload) else { return Some(()) };
        self.give(&unit(&third)?);
        self.seal(noise)
    }

    fn seal(&mut self, noise: Handshake) -> Option<()> {
        let (sealer, opener, _) = noise.finish().ok()?;
        (self.sealer, self.opener) = (Some(sealer), Some(opener));
        Some(())
    }

    /// Puts what the peer knows in the place of the words that stand for it.
    fn fill(&self, bytes: &[u8], tag: &str) -> Vec<u8> {
        let Ok(text) = core::str::from_utf8(bytes) else { return bytes.to_vec() };
        let delegation = Some(self.credentials.delegation().clone());
        let hello = Hello { delegation, boot: BootId::from_bytes([8; 8]), time: WALL };
        text.replace(WANT, tag).replace(HELLO, &serde_json::to_string(&hello).unwrap_or_default()).into_bytes()
    }

    fn say(&mut self, plain: &[u8]) -> Option<()> {
        let mut record = plain.to_vec();
        record.extend_from_slice(&[0; TAG_BYTES]);
        self.sealer.as_mut()?.seal(&self.crypto, &mut record).ok()?;
        let record = unit(&record)?;
        self.give(&record);
        Some(())
    }

    fn open(&mut self, op: Option<OpId>) {
        let end = |host| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 7575);
        self.open = true;
        self.node.handle(self.now, Event::pipe_opened(PIPE, op, end(1), end(2)));
        self.carry();
    }

    fn give(&mut self, bytes: &[u8]) {
        if self.open {
            self.node.handle(self.now, Event::pipe_bytes(PIPE, bytes));
            self.carry();
        }
    }

    fn carry(&mut self) {
        while let Some(action) = self.node.poll() {
            let event = match action {
                Action::Write { pipe, packet } => {
                    self.written.extend_from_slice(packet.bytes());
                    Event::pipe_written(pipe)
                }
                Action::Close { pipe } => {
                    self.open = false;
                    Event::pipe_closed(pipe)
                }
                Action::Connect { op, .. } => {
                    self.connect = Some(op);
                    continue;
                }
                Action::Resolve { op, .. } => Event::resolved(op, Err(ResolveError::Unknown)),
                Action::Store { op, .. } => Event::stored(op, Ok(())),
                Action::Load { op, .. } => Event::loaded(op, Ok(Page { items: &[], more: false })),
                Action::Notify { .. } => Event::taken(1, &[]),
                Action::SendDatagram { .. } => continue,
            };
            self.node.handle(self.now, event);
        }
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let taken = self.written.get(..length)?.to_vec();
        self.written.drain(..length);
        Some(taken)
    }

    fn take_unit(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes(*self.written.first_chunk::<2>()?));
        self.take(length.saturating_add(2)).map(|unit| unit.get(2..).unwrap_or_default().to_vec())
    }

    /// Opens everything that the node said.
    fn read(&mut self) {
        while let (Some(mut record), Some(opener)) = (self.take_unit(), self.opener.as_mut()) {
            let Ok(length) = opener.open(&self.crypto, &mut record) else {
                // Not a line: `comes_to_rest` will say so.
                return self.heard.extend_from_slice(b"a record that does not open\n");
            };
            self.heard.extend_from_slice(record.get(..length).unwrap_or_default());
        }
    }

    /// Whether the node said nothing but lines, and comes to rest.
    fn comes_to_rest(mut self) -> bool {
        let are_lines = self.heard.split_inclusive(|byte| *byte == b'\n').all(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            check_line(line).is_ok() && core::str::from_utf8(line).is_ok_and(|text| Line::parse(text).is_ok())
        });
        if self.open {
            self.node.handle(self.now, Event::pipe_closed(PIPE));
            self.carry();
        }
        self.now = self.now + Duration::from_secs(60);
        for _ in 0..20 {
            self.node.handle(self.now, Event::Tick);
            self.carry();
        }
        are_lines && self.node.links().count() == 0 && self.node.deadline().is_none_or(|due| due > self.now)
    }
}

pub(super) fn prologue(kind: Kind, crypto: &Crypto) -> Vec<u8> {
    [kind.preamble(), crypto.name().as_bytes()].concat()
}

/// Bytes with their length in front.
pub(super) fn unit(bytes: &[u8]) -> Option<Vec<u8>> {
    Some([&u16::try_from(bytes.len()).ok()?.to_be_bytes(), bytes].concat())
}
