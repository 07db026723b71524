//! One pipe and, once its other end is proven, the link on it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::{Deref, DerefMut, Range};
use core::time::Duration;

use crate::LinkPeer;
use crate::close::CloseReason;
use crate::config::Config;
use crate::crypto::noise::{NoiseError, Opener, Sealer};
use crate::crypto::{Crypto, TAG_BYTES};
use crate::handshake::State;
use crate::id::{BootId, MessageId, OpId, Peer, PipeId, StreamId};
use crate::identity::Delegation;
use crate::message::{Received, is_kind};
use crate::time::{Time, WallTime};
use crate::view::LinkView;
use crate::wire::line::{Acknowledged, MessageLine, write_acknowledged};

/// A pipe, from its opening to its end.
pub(super) struct Pipe {
    /// This end, as the network names it.
    pub(super) local: IpAddr,
    pub(super) remote: SocketAddr,
    /// The `Connect` that it came of, if it was dialled.
    pub(super) op: Option<OpId>,
    pub(super) stage: Stage,
    pub(super) sealer: Option<Sealer>,
    pub(super) opener: Option<Opener>,
    pub(super) buffers: Buffers,
    pub(super) last_in: Time,
    /// A `Write` is outstanding.
    pub(super) writing: bool,
    /// `Close` was asked for.
    pub(super) hung_up: bool,
    /// It is in the list of pipes to flush.
    pub(super) dirty: bool,
}

/// A pipe's buffers. They look empty while they are not there, as for most of the life of an idle link.
pub(super) struct Buffers(Option<Box<Filled>>);

/// What a pipe's buffers hold.
pub(super) struct Filled {
    /// Part of a unit.
    pub(super) raw: Vec<u8>,
    /// Part of a line.
    pub(super) line: Vec<u8>,
    /// Bytes to write as they are.
    pub(super) clear: Vec<u8>,
    /// Lines to seal.
    pub(super) out: Vec<u8>,
}

impl Filled {
    const EMPTY: Self = Self { raw: Vec::new(), line: Vec::new(), clear: Vec::new(), out: Vec::new() };
}

impl Buffers {
    /// Gives the memory back with whatever is in it.
    pub(super) fn empty(&mut self) {
        self.0 = None;
    }

    /// Gives the memory back if nothing is in it.
    pub(super) fn shrink(&mut self) {
        if [&self.raw, &self.line, &self.clear, &self.out].into_iter().all(Vec::is_empty) {
            self.0 = None;
        }
    }
}

impl Deref for Buffers {
    type Target = Filled;

    fn deref(&self) -> &Filled {
        self.0.as_deref().unwrap_or(const { &Filled::EMPTY })
    }
}

impl DerefMut for Buffers {
    fn deref_mut(&mut self) -> &mut Filled {
        self.0.get_or_insert_with(|| Box::new(Filled::EMPTY))
    }
}

/// Where a pipe is in its life.
pub(super) enum Stage {
    /// The other end is not proven. (`None` only while a step runs.)
    Shaking(Option<State>),
    /// A link.
    Up(Link),
    /// Ended; what is left is to write the last bytes and to go.
    Gone,
}

/// A link that is up.
pub(crate) struct Link {
    pub(crate) with: LinkPeer,
    /// What the peer has shown; only on user links, see [`shown`](Self::shown).
    pub(super) shown: Shown,
    /// It is, or was, the link that its peer is reached on.
    pub(super) up: bool,
    /// The peer's life; `None` until its hello has come.
    pub(crate) boot: Option<BootId>,
    pub(crate) since: Time,
    /// When a message or an acknowledgement passed last.
    pub(crate) last_use: Time,
    /// When the last ping went out; its token is this time.
    pub(crate) ping: Time,
    /// It is not answered.
    pub(crate) pinged: bool,
    /// Microseconds, at most an hour.
    pub(crate) rtt_us: Option<u32>,
    /// The stream of the messages that come (spec: LINK-24).
    pub(crate) stream_in: Option<StreamId>,
    /// The peer has said where its streams stand.
    pub(crate) resumed: bool,
    /// The stream that was named last on the way out.
    pub(crate) stream_out: Option<StreamId>,
    /// What to acknowledge with the next record.
    pub(crate) acknowledge: Option<Acknowledged>,
    /// It must not wait.
    pub(crate) acknowledge_now: bool,
    /// Messages that it stands for.
    pub(crate) acknowledge_count: u32,
    /// Messages on their way to the peer.
    pub(crate) unacknowledged: u32,
}

/// What of a peer's delegation counts while its link is up, whatever the address book remembers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shown {
    /// The first half of the key that the link was proven with: enough to know it again, and half as long.
    noise: [u8; 16],
    pub(crate) from: WallTime,
    pub(crate) until: WallTime,
}

impl Shown {
    pub(super) fn of(delegation: &Delegation) -> Self {
        Self { noise: half(delegation.noise()), from: delegation.from(), until: delegation.until() }
    }

    /// Whether `delegation` is for the key that the link was proven with.
    pub(crate) fn is_key_of(&self, delegation: &Delegation) -> bool {
        self.noise == half(delegation.noise())
    }
}

fn half(key: &[u8; 32]) -> [u8; 16] {
    key.first_chunk().copied().unwrap_or_default()
}

impl Pipe {
    pub(super) fn new(ends: (SocketAddr, SocketAddr), op: Option<OpId>, state: State, clear: Vec<u8>, now: Time) -> Self {
        let buffers = Buffers(Some(Box::new(Filled { clear, ..Filled::EMPTY })));
        Self {
            local: ends.0.ip(),
            remote: ends.1,
            op,
            stage: Stage::Shaking(Some(state)),
            sealer: None,
            opener: None,
            buffers,
            last_in: now,
            writing: false,
            hung_up: false,
            dirty: false,
        }
    }

    /// A pipe that is closed before it begins.
    pub(super) const fn gone(ends: (SocketAddr, SocketAddr)) -> Self {
        Self {
            local: ends.0.ip(),
            remote: ends.1,
            op: None,
            stage: Stage::Gone,
            sealer: None,
            opener: None,
            buffers: Buffers(None),
            last_in: Time::ZERO,
            writing: false,
            hung_up: true,
            dirty: false,
        }
    }

    /// Whether it takes more messages now.
    pub(super) fn has_room(&self, config: &Config) -> bool {
        self.buffers.out.len() < config.waiting_bytes_max() && self.is_up()
    }

    /// Whether the other end is proven. Before that, spare buffers are not for it: strangers get what they need.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
    }

    /// Gives empty buffers back, unless the link is in use: then they are wanted again soon.
    pub(super) fn rest(&mut self, now: Time, period: Duration) {
        if self.link().is_some_and(|link| now.since(link.last_use) >= period) {
            self.buffers.shrink();
        }
    }

    pub(super) const fn link(&mut self) -> Option<&mut Link> {
        match &mut self.stage {
            Stage::Up(link) => Some(link),
            Stage::Shaking(_) | Stage::Gone => None,
        }
    }

    pub(super) const fn with(&self) -> Option<LinkPeer> {
        match &self.stage {
            Stage::Up(link) => Some(link.with),
            Stage::Shaking(_) | Stage::Gone => None,
        }
    }

    /// Seals lines into `packet`, at most about `bytes_max`, in records of at most `record_bytes_max`; how many records.
    pub(super) fn seal_into(
        &mut self,
        packet: &mut Vec<u8>,
        crypto: &Crypto,
        bytes_max: usize,
        record_bytes_max: usize,
    ) -> Result<u64, NoiseError> {
        if self.buffers.out.is_empty() {
            return Ok(0);
        }
        let Some(sealer) = &mut self.sealer else { return Ok(0) };
        packet.reserve_exact(sealed_bytes(self.buffers.out.len(), bytes_max.saturating_sub(packet.len()), record_bytes_max));
        let mut records = 0_u64;
        let mut done = 0;
        while done < self.buffers.out.len() && packet.len() < bytes_max {
            let rest = self.buffers.out.get(done..).unwrap_or_default();
            let plain = rest.get(..rest.len().min(record_bytes_max.saturating_sub(TAG_BYTES))).unwrap_or_default();
            let length = plain.len().saturating_add(TAG_BYTES);
            packet.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            let start = packet.len();
            packet.extend_from_slice(plain);
            packet.extend_from_slice(&[0; TAG_BYTES]);
            sealer.seal(crypto, packet.get_mut(start..).unwrap_or_default())?;
            done = done.saturating_add(plain.len());
            records = records.saturating_add(1);
        }
        if done >= self.buffers.out.len() {
            self.buffers.out.clear();
        } else {
            self.buffers.out.drain(..done);
        }
        Ok(records)
    }

    pub(super) fn view(&self, pipe: PipeId) -> Option<LinkView> {
        let Stage::Up(link) = &self.stage else { return None };
        Some(LinkView {
            with: link.with,
            pipe,
            remote: self.remote,
            dialled: self.op.is_some(),
            since: link.since,
            rtt: link.rtt_us.map(|us| Duration::from_micros(u64::from(us))),
            unacknowledged: link.unacknowledged,
            until: link.shown().map(|shown| shown.until),
        })
    }
}

impl Link {
    /// What the peer has shown; `None` on service links.
    pub(crate) fn shown(&self) -> Option<Shown> {
        matches!(self.with, LinkPeer::User(_)).then_some(self.shown)
    }

    pub(super) fn new(with: LinkPeer, shown: Option<Shown>, boot: Option<BootId>, now: Time) -> Self {
        Self {
            with,
            shown: shown.unwrap_or_default(),
            up: false,
            boot,
            since: now,
            last_use: now,
            ping: Time::ZERO,
            pinged: false,
            rtt_us: None,
            stream_in: None,
            resumed: false,
            stream_out: None,
            acknowledge: None,
            acknowledge_now: false,
            acknowledge_count: 0,
            unacknowledged: 0,
        }
    }
}

/// How many bytes so many bytes of lines become in records of at most `record_bytes_max`, of which the one that passes
/// `bytes_max` is the last.
const fn sealed_bytes(plain: usize, bytes_max: usize, record_bytes_max: usize) -> usize {
    let (whole, frame) = (record_bytes_max.saturating_add(2), TAG_BYTES.saturating_add(2));
    let records = plain.div_ceil(record_bytes_max.saturating_sub(TAG_BYTES));
    let (most, all) = (bytes_max.div_ceil(whole).saturating_mul(whole), plain.saturating_add(records.saturating_mul(frame)));
    if most < all { most } else { all }
}

/// Writes the acknowledgement that waits; up to which number.
pub(super) fn ack_line(link: &mut Link, out: &mut Vec<u8>) -> Option<u64> {
    link.acknowledge_now = false;
    link.acknowledge_count = 0;
    let acknowledged = link.acknowledge.take()?;
    let upto = acknowledged.upto;
    write_acknowledged(out, &acknowledged);
    Some(upto)
}

/// A message as the application will get it: one allocation, the line.
pub(super) fn received(from: Peer, stream: StreamId, line: &str, message: &MessageLine<'_>) -> Result<(Received, bool), CloseReason> {
    if !is_kind(message.r#type) || message.number == 0 {
        return Err(CloseReason::Malformed);
    }
    let kind = place(line, message.r#type);
    let payload = place(line, message.payload);
    let id = MessageId { stream, number: message.number };
    Ok((Received::new(from, id, line.into(), kind, payload), message.disk))
}

/// Where `part` stands in `line`, of which it is a slice.
fn place(line: &str, part: &str) -> Range<u32> {
    let start = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    let end = start.saturating_add(part.len());
    u32::try_from(start).unwrap_or(0)..u32::try_from(end).unwrap_or(0)
}
