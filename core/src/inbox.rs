//! What came from peers: which messages were seen, which the application has taken, which may be acknowledged.
//!
//! A message is seen when it comes (and never handed over again), taken when the application says so, and acknowledged
//! when it is taken and, for *disk* messages, when its mark is stored (spec: MSG-7).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::cx::Cx;
use crate::id::{DeviceId, OpId, Peer, StreamId, UserId};
use crate::wire::line::StreamStart;

/// How many streams of one peer are remembered, beside those of which a message waits (spec: LINK-27).
const STREAMS_MAX: usize = 4;
/// Keys of marks start with this byte.
pub(crate) const MARK_PREFIX: u8 = b'm';

/// How far one stream of one peer has come.
struct Mark {
    stream: StreamId,
    seen: u64,
    acknowledged: u64,
    /// Messages that were handed over and are not acknowledged.
    waiting: u32,
    /// Taken messages that wait for a store.
    storing: u32,
    /// It is in the store.
    stored: bool,
}

/// A peer's streams, the one that was named last at the end, and what is not acknowledged of them.
#[derive(Default)]
struct From {
    marks: Vec<Mark>,
    waiting_messages: u32,
    waiting_bytes: u32,
    /// When it was used last, counted in uses.
    used: u64,
}

/// A message that the application has not taken.
#[derive(Clone, Copy)]
struct Due {
    peer: Peer,
    stream: StreamId,
    number: u64,
    bytes: u32,
    disk: bool,
}

/// What to do with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Hand it over; this number goes with its notice.
    Fresh(u64),
    /// It came before; say again how far this stream is acknowledged.
    Repeat(u64),
    /// The peer sends more than its window.
    Flood,
    /// The application is behind with everybody, or too many peers are remembered for what it has not taken of theirs.
    Full,
}

/// A run of numbers that nobody can fill any more.
pub(crate) struct Gap {
    pub(crate) stream: StreamId,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// An acknowledgement that has become possible.
pub(crate) struct Ripe {
    pub(crate) peer: Peer,
    pub(crate) stream: StreamId,
    pub(crate) upto: u64,
    /// How many messages were taken for it.
    pub(crate) count: u32,
}

impl Ripe {
    /// Whether `next` is of the same stream.
    pub(crate) fn is_of(&self, next: &Self) -> bool {
        self.stream == next.stream && self.peer == next.peer
    }

    /// Acknowledges what `next` does, too.
    pub(crate) fn add(&mut self, next: &Self) {
        self.upto = self.upto.max(next.upto);
        self.count = self.count.saturating_add(next.count);
    }
}

#[derive(Default)]
pub(crate) struct Inbox {
    peers: BTreeMap<Peer, From>,
    /// How often a peer was used.
    uses: u64,
    due: VecDeque<Due>,
    /// The number of the first of `due`.
    due_first: u64,
    /// Taken messages whose acknowledgement waits for a store, in the order of the stores.
    storing: VecDeque<(OpId, Due)>,
    /// What of all peers is not acknowledged.
    waiting_messages: u64,
    waiting_bytes: u64,
}

impl Inbox {
    /// A message came on a proven link (spec: MSG-6).
    pub(crate) fn on_message(&mut self, cx: &mut Cx, peer: Peer, stream: StreamId, number: u64, bytes: usize, disk: bool) -> Verdict {
        let is_full = self.is_full(cx);
        let Some(from) = self.make_mark(cx, peer, stream) else { return Verdict::Full };
        let Some(mark) = mark_of(from, stream) else { return Verdict::Flood };
        if number <= mark.seen {
            return Verdict::Repeat(mark.acknowledged);
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let is_over = from.waiting_messages >= cx.config.window_messages || from.waiting_bytes > cx.config.window_bytes;
        if is_over && from.waiting_messages > 0 {
            // Not seen: it may come again on another link.
            return Verdict::Flood;
        }
        if is_full {
            return Verdict::Full;
        }
        if let Some(mark) = mark_of(from, stream) {
            mark.seen = number;
            mark.waiting = mark.waiting.saturating_add(1);
        }
        from.waiting_messages = from.waiting_messages.saturating_add(1);
        from.waiting_bytes = from.waiting_bytes.saturating_add(bytes);
        self.waiting_messages = self.waiting_messages.saturating_add(1);
        self.waiting_bytes = self.waiting_bytes.saturating_add(u64::from(bytes));
        self.due.push_back(Due { peer, stream, number, bytes, disk });
        Verdict::Fresh(self.due_first.saturating_add(self.due.len() as u64).saturating_sub(1))
    }

    /// The application has taken the message with this number, the oldest one (spec: MSG-7).
    pub(crate) fn on_taken(&mut self, cx: &mut Cx, number: u64) -> Option<Ripe> {
        if number != self.due_first {
            return None;
        }
        let due = self.due.pop_front()?;
        self.due_first = self.due_first.saturating_add(1);
        if !due.disk && self.storing.is_empty() {
            return self.settle(&due);
        }
        let Some(mark) = self.peers.get_mut(&due.peer).and_then(|from| mark_of(from, due.stream)) else { return self.settle(&due) };
        if due.disk {
            let op = cx.store(true, |batch| batch.put(mark_key(due.peer, due.stream), due.number.to_be_bytes()));
            mark.stored = true;
            mark.storing = mark.storing.saturating_add(1);
            self.storing.push_back((op, due));
            return None;
        }
        if mark.storing > 0 {
            // Acknowledgements are cumulative: it waits for the store of an earlier one.
            let op = self.storing.back().map(|(op, _)| *op)?;
            mark.storing = mark.storing.saturating_add(1);
            self.storing.push_back((op, due));
            return None;
        }
        self.settle(&due)
    }

    /// A batch is stored: the next acknowledgement that waited for it.
    pub(crate) fn on_stored(&mut self, op: OpId) -> Option<Ripe> {
        let (_, due) = self.storing.front().filter(|(waits, _)| *waits <= op).copied()?;
        self.storing.pop_front();
        let from = self.peers.get_mut(&due.peer)?;
        if let Some(mark) = mark_of(from, due.stream) {
            mark.storing = mark.storing.saturating_sub(1);
        }
        self.settle(&due)
    }

    /// A message is taken, and stored where it must be: it counts no more, and may be acknowledged.
    fn settle(&mut self, due: &Due) -> Option<Ripe> {
        self.waiting_messages = self.waiting_messages.saturating_sub(1);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(u64::from(due.bytes));
        let from = self.peers.get_mut(&due.peer)?;
        from.waiting_messages = from.waiting_messages.saturating_sub(1);
        from.waiting_bytes = from.waiting_bytes.saturating_sub(due.bytes);
        let mark = mark_of(from, due.stream)?;
        mark.waiting = mark.waiting.saturating_sub(1);
        mark.acknowledged = mark.acknowledged.max(due.number);
        Some(Ripe { peer: due.peer, stream: due.stream, upto: mark.acknowledged, count: 1 })
    }

    /// Whether what waits would fill the windows of as many links as there may be: peers who left count too, so that
    /// strangers who come one after another cannot leave more behind (spec: MSG-9).
    fn is_full(&self, cx: &Cx) -> bool {
        let links = u64::from(cx.config.links_user_max);
        self.waiting_messages >= links.saturating_mul(u64::from(cx.config.window_messages))
            || self.waiting_bytes >= links.saturating_mul(u64::from(cx.config.window_bytes))
    }

    /// Where the peer's streams begin by its own account: gaps that it cannot fill, and where to go on (spec: LINK-22).
    pub(crate) fn on_resume(&mut self, cx: &mut Cx, peer: Peer, starts: &[StreamStart]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for start in starts.iter().take(STREAMS_MAX) {
            let is_new = !self.peers.get_mut(&peer).is_some_and(|from| touch(from, start.id));
            let Some(mark) = self.make_mark(cx, peer, start.id).and_then(|from| mark_of(from, start.id)) else { continue };
            let before = start.first.saturating_sub(1);
            let last = start.disk.min(before);
            if !is_new && mark.seen < last {
                gaps.push(Gap { stream: start.id, first: mark.seen.saturating_add(1), last });
            }
            if mark.seen < before {
                mark.seen = before;
                mark.acknowledged = before;
            }
        }
        gaps
    }

    /// What this side remembers of a peer's streams, the newest four (spec: LINK-21).
    pub(crate) fn received(&self, peer: Peer) -> Vec<(StreamId, u64)> {
        let Some(from) = self.peers.get(&peer) else { return Vec::new() };
        let older = from.marks.len().saturating_sub(STREAMS_MAX);
        from.marks.iter().skip(older).map(|mark| (mark.stream, mark.acknowledged)).collect()
    }

    /// Reads a stored mark.
    pub(crate) fn on_loaded(&mut self, cx: &mut Cx, key: &[u8], value: &[u8]) -> Option<()> {
        let (user, rest) = key.get(1..)?.split_first_chunk::<32>()?;
        let (device, rest) = rest.split_first_chunk::<16>()?;
        let stream = rest.first_chunk::<16>()?;
        let number = u64::from_be_bytes(*value.first_chunk::<8>()?);
        let peer = Peer { user: UserId::from_bytes(*user), device: DeviceId::from_bytes(*device) };
        let stream = StreamId::from_bytes(*stream);
        let mark = mark_of(self.make_mark(cx, peer, stream)?, stream)?;
        mark.seen = number;
        mark.acknowledged = number;
        mark.stored = true;
        Some(())
    }

    /// What is remembered of a peer, with a mark of this stream, made if there is none; when there are too many of which
    /// nothing waits, the one goes that was named first. A mark of which a message waits stays, or the message would come
    /// again, or never be acknowledged.
    fn make_mark(&mut self, cx: &mut Cx, peer: Peer, stream: StreamId) -> Option<&mut From> {
        if self.peers.len() >= cx.config.book_users_max as usize && !self.peers.contains_key(&peer) {
            self.forget_one(cx);
            if self.peers.len() >= cx.config.book_users_max as usize {
                // The application has something to take of each: this peer has to wait.
                return None;
            }
        }
        self.uses = self.uses.saturating_add(1);
        let from = self.peers.entry(peer).or_default();
        from.used = self.uses;
        if mark_of(from, stream).is_some() {
            return Some(from);
        }
        let is_idle = |mark: &Mark| mark.waiting == 0;
        if from.marks.iter().filter(|mark| is_idle(mark)).count() >= STREAMS_MAX
            && let Some(first) = from.marks.iter().position(is_idle)
        {
            forget_mark(cx, peer, &from.marks.remove(first));
        }
        // Most peers have one stream.
        from.marks.reserve_exact(1);
        from.marks.push(Mark { stream, seen: 0, acknowledged: 0, waiting: 0, storing: 0, stored: false });
        Some(from)
    }

    /// Gives spare memory back.
    pub(crate) fn shrink(&mut self) {
        if self.due.is_empty() {
            self.due = VecDeque::new();
        }
        if self.storing.is_empty() {
            self.storing = VecDeque::new();
        }
    }

    /// How many peers are remembered.
    #[cfg(test)]
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Forgets the peer that was used longest ago and of which nothing waits: strangers cost nothing to make. O(peers).
    fn forget_one(&mut self, cx: &mut Cx) {
        let idle = self.peers.iter().filter(|(_, from)| from.waiting_messages == 0);
        let Some(peer) = idle.min_by_key(|(_, from)| from.used).map(|(peer, _)| *peer) else { return };
        for mark in self.peers.remove(&peer).map(|from| from.marks).unwrap_or_default() {
            forget_mark(cx, peer, &mark);
        }
    }
}

/// Takes a mark that is gone out of the store.
fn forget_mark(cx: &mut Cx, peer: Peer, mark: &Mark) {
    if mark.stored {
        cx.store(false, |batch| batch.remove(mark_key(peer, mark.stream)));
    }
}

/// The mark of a stream.
fn mark_of(from: &mut From, stream: StreamId) -> Option<&mut Mark> {
    from.marks.iter_mut().find(|mark| mark.stream == stream)
}

/// Puts a stream's mark at the end, since its sender has named it. `false`: there is none.
fn touch(from: &mut From, stream: StreamId) -> bool {
    let Some(at) = from.marks.iter().position(|mark| mark.stream == stream) else { return false };
    let mark = from.marks.remove(at);
    from.marks.push(mark);
    true
}

fn mark_key(peer: Peer, stream: StreamId) -> Vec<u8> {
    let mut key = Vec::with_capacity(65);
    key.push(MARK_PREFIX);
    key.extend_from_slice(peer.user.as_bytes());
    key.extend_from_slice(peer.device.as_bytes());
    key.extend_from_slice(stream.as_bytes());
    key
}
