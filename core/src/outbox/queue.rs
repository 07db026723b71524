//! What waits for one device: its streams and numbers, what is under way, and the window.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Entry, Out, message_bytes};
use crate::id::{OpId, StreamId};
use crate::message::Message;
use crate::wire::line::{Acknowledged, StreamStart};

/// What may be under way before the peer has said its window (guess: the smallest profile's window).
const FIRST_WINDOW: (u32, u32) = (16, 16 << 10);
/// How long a line may be before the peer has said what it reads: as long as every peer reads (spec: MSG-17).
const FIRST_LINE_BYTES: u32 = 4 << 10;
/// Without a link.
const NO_WINDOW: (u32, u32) = (0, 0);
/// Streams of which messages may be under way at once: a reader remembers no more (spec: LINK-27).
const STREAMS_MAX: usize = 4;

/// What waits for one device, oldest first, each stream's messages together and in their order.
pub(super) struct Queue {
    pub(super) entries: VecDeque<Entry>,
    /// How many of the first entries are on their way on the present link.
    sent: u16,
    /// The longest line that the peer reads, in KiB, rounded down; 0 until it has said so.
    line_kib: u16,
    sent_bytes: u32,
    /// What was given up while it was under way: the reader counts it until it acknowledges it.
    given_up: Box<[GivenUp]>,
    /// Messages and bytes that may be under way; none without a link.
    window: (u32, u32),
    /// This life's stream to this device (spec: LINK-20).
    pub(super) stream: StreamId,
    next: u64,
    /// The highest number of this stream that has left.
    reached: u64,
    /// The highest number of this stream that was acknowledged and that the reader was to store.
    disk: u64,
}

/// A message that was given up under way.
struct GivenUp {
    stream: StreamId,
    number: u64,
    bytes: u32,
}

impl Queue {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            entries: VecDeque::new(),
            sent: 0,
            line_kib: 0,
            sent_bytes: 0,
            given_up: Box::default(),
            window: NO_WINDOW,
            stream,
            next: 1,
            reached: 0,
            disk: 0,
        }
    }

    /// The next position in this life's stream.
    pub(super) const fn number(&mut self) -> (StreamId, u64) {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        (self.stream, number)
    }

    /// The number after the last one that was given.
    pub(super) const fn next_number(&self) -> u64 {
        self.next
    }

    /// What was numbered before this device was known is for it: its stream is the present one from now on.
    pub(super) const fn take_over(&mut self, stream: StreamId, next: u64) {
        (self.stream, self.next, self.reached, self.disk) = (stream, next, 0, 0);
    }

    /// A stored message is read: it goes to its stream's others, in order.
    pub(super) fn restore(&mut self, entry: Entry) {
        let is_before = |other: &Entry| other.stream == entry.stream && other.number < entry.number;
        let place = match self.entries.iter().rposition(is_before) {
            Some(before) => before.saturating_add(1),
            None => self.entries.iter().position(|other| other.stream == entry.stream).unwrap_or(self.entries.len()),
        };
        self.entries.insert(place, entry);
    }

    /// A link is up: nothing is under way on it. Where the streams stand, at most four (spec: LINK-21, LINK-27).
    pub(super) fn on_link(&mut self) -> Vec<StreamStart> {
        self.reset(FIRST_WINDOW);
        let mut starts: Vec<StreamStart> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.stream != self.stream) {
            if starts.last().is_none_or(|last| last.id != entry.stream) {
                starts.push(StreamStart { id: entry.stream, first: entry.number, disk: 0 });
            }
            if starts.len() >= STREAMS_MAX {
                return starts;
            }
        }
        let first = self.entries.iter().find(|entry| entry.stream == self.stream).map_or(self.next, |entry| entry.number);
        starts.push(StreamStart { id: self.stream, first, disk: self.disk });
        starts
    }

    /// The link is gone: everything that was under way waits again. Whether anything was ever said to this device.
    pub(super) fn on_unlink(&mut self) -> bool {
        self.reset(NO_WINDOW);
        self.entries.shrink_to_fit();
        self.next > 1 || !self.entries.is_empty()
    }

    fn reset(&mut self, window: (u32, u32)) {
        (self.sent, self.sent_bytes, self.window, self.line_kib) = (0, 0, window, 0);
        self.given_up = Box::default();
    }

    pub(super) const fn is_linked(&self) -> bool {
        self.window.0 > 0
    }

    /// The peer has said its window and the longest line that it reads.
    pub(super) fn set_window(&mut self, messages: u32, bytes: u32, line: u32) {
        self.window = (messages.clamp(1, u32::from(u16::MAX)), bytes.max(1));
        self.line_kib = u16::try_from(line.max(FIRST_LINE_BYTES) >> 10).unwrap_or(u16::MAX);
    }

    /// The longest line that the peer reads; without a bound until it has said so (spec: MSG-17).
    pub(super) fn line_bytes_max(&self) -> u32 {
        if self.line_kib == 0 { u32::MAX } else { u32::from(self.line_kib) << 10 }
    }

    /// Whether the peer has said that it does not read so long a line.
    pub(super) fn is_too_long(&self, message: &Message) -> bool {
        message_bytes(message) > self.line_bytes_max()
    }

    /// Everything of the present stream goes on in another one.
    pub(super) fn renew_stream(&mut self, stream: StreamId) {
        self.stream = stream;
        (self.next, self.reached, self.sent, self.sent_bytes, self.disk) = (1, 0, 0, 0, 0);
        self.given_up = Box::default();
    }

    /// Gives room back that many more messages had once, all but that of `messages`.
    pub(super) fn spare(&mut self, messages: usize) {
        let kept = self.entries.len().saturating_mul(2).max(messages);
        if self.entries.capacity() / 2 > kept {
            self.entries.shrink_to(kept);
        }
    }

    /// How many of the first entries are under way.
    pub(super) const fn sent(&self) -> usize {
        self.sent as usize
    }

    /// Why the next message does not leave; `None`: it may, or there is none (spec: MSG-9, STORE-5).
    pub(super) fn held(&self, stored: Option<OpId>) -> Option<Held> {
        let entry = self.entries.get(self.sent())?;
        if !self.is_linked() {
            return Some(Held::Link);
        }
        if entry.store.is_some_and(|op| stored.is_none_or(|stored| op > stored)) {
            return Some(Held::Store);
        }
        let line_bytes = message_bytes(&entry.message);
        if self.line_kib == 0 && line_bytes > FIRST_LINE_BYTES {
            return Some(Held::Window);
        }
        let count = self.sent().saturating_add(self.given_up.len());
        let bytes = self.given_up.iter().fold(self.sent_bytes, |sum, message| sum.saturating_add(message.bytes));
        let fits = count < self.window.0 as usize && bytes.saturating_add(line_bytes) <= self.window.1;
        if count > 0 && !(fits && self.may_name(entry.stream)) { Some(Held::Window) } else { None }
    }

    /// Whether a message of `stream` may leave next: it is of the stream of the last one, or the reader remembers one more.
    fn may_name(&self, stream: StreamId) -> bool {
        let Some(last) = self.sent().checked_sub(1).and_then(|at| self.entries.get(at)) else { return true };
        if last.stream == stream {
            return true;
        }
        let under_way = self.entries.iter().take(self.sent()).zip(self.entries.iter().skip(1));
        under_way.filter(|(one, next)| one.stream != next.stream).count() < STREAMS_MAX
    }

    /// Takes the next message under way.
    pub(super) fn send(&mut self, stored: Option<OpId>) -> Option<Out<'_>> {
        if self.held(stored).is_some() {
            return None;
        }
        let entry = self.entries.get(self.sent())?;
        self.sent = self.sent.saturating_add(1);
        self.sent_bytes = self.sent_bytes.saturating_add(message_bytes(&entry.message));
        if entry.stream == self.stream {
            self.reached = self.reached.max(entry.number);
        }
        Some(Out { stream: entry.stream, number: entry.number, disk: entry.store.is_some(), message: &entry.message })
    }

    /// Whether what is acknowledged can have been sent, as far as this life knows (spec: MSG-8).
    pub(super) fn can_be(&self, acknowledged: &Acknowledged) -> bool {
        acknowledged.stream != self.stream || acknowledged.upto <= self.reached
    }

    /// Takes out one message after the other that is acknowledged. Streams are acknowledged apart: what is of a later one
    /// need not wait for the reader's store.
    pub(super) fn take_acknowledged(&mut self, acknowledged: &Acknowledged) -> Option<Entry> {
        if !self.given_up.is_empty() {
            let mut given_up = core::mem::take(&mut self.given_up).into_vec();
            given_up.retain(|message| message.stream != acknowledged.stream || message.number > acknowledged.upto);
            self.given_up = given_up.into_boxed_slice();
        }
        let at = self.entries.iter().position(|entry| entry.stream == acknowledged.stream)?;
        if self.entries.get(at)?.number > acknowledged.upto {
            return None;
        }
        let entry = self.remove(at)?;
        if entry.store.is_some() && entry.stream == self.stream {
            self.disk = entry.number;
        }
        Some(entry)
    }

    /// Takes out what is given up, each with whether it was under way.
    pub(super) fn give_up(&mut self, goes: impl Fn(&Entry) -> bool) -> Vec<(Entry, bool)> {
        let mut gone = Vec::new();
        let mut at = 0_usize;
        while let Some(entry) = self.entries.get(at) {
            if !goes(entry) {
                at = at.saturating_add(1);
                continue;
            }
            let was_sent = at < self.sent();
            let Some(entry) = self.remove(at) else { break };
            if was_sent {
                // Its acknowledgement may come yet, and frees the reader's window then.
                let bytes = message_bytes(&entry.message);
                let mut given_up = core::mem::take(&mut self.given_up).into_vec();
                given_up.push(GivenUp { stream: entry.stream, number: entry.number, bytes });
                self.given_up = given_up.into_boxed_slice();
            }
            gone.push((entry, was_sent));
        }
        gone
    }

    fn remove(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        if at < self.sent() {
            self.sent = self.sent.saturating_sub(1);
            self.sent_bytes = self.sent_bytes.saturating_sub(message_bytes(&entry.message));
        }
        Some(entry)
    }
}

/// What a message waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// There is no link with its device.
    Link,
    /// It is not stored yet.
    Store,
    /// As much is under way as the reader takes at once.
    Window,
    /// It is under way, and not acknowledged.
    Taking,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Tag;
    use crate::time::WallTime;

    // spec-test: NODE-8
    #[test]
    fn a_queue_that_was_long_gives_its_room_back() {
        let mut queue = Queue::new(StreamId::from_bytes([1; 16]));
        for n in 1..=4_096 {
            let (stream, number) = queue.number();
            let message = Message::new("bla", &n).unwrap();
            let (tag, until) = (Tag::new(n), WallTime::from_millis(1));
            queue.entries.push_back(Entry { tag, message, until, stream, number, device: None, store: None, queued: false, tries: 0 });
        }
        for left in [4_096, 1_000, 100, 1] {
            queue.entries.drain(left..);
            queue.spare(64);
            assert!(queue.entries.capacity() <= (4 * left).max(128), "{} for {left}", queue.entries.capacity());
        }
        assert!(queue.entries.capacity() >= 64, "a steady stream asks for no memory");
        queue.on_unlink();
        assert!(queue.entries.capacity() < 8);
    }
}
