//! Messages on their way: one entry for each receiving device, in the order in which they were sent.

mod give_up;
mod queue;
mod stored;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::ops::RangeFrom;

use crate::command::{Keep, Send};
use crate::cx::Cx;
use crate::id::{DeviceId, OpId, Peer, StreamId, Tag, UserId};
use crate::message::Message;
use crate::notice::Notice;
use crate::time::WallTime;
use crate::timer::TimerKey;
use crate::view::OutboxView;
use crate::wire::line::{Acknowledged, MESSAGE_FRAME_BYTES, Resume, StreamStart};

pub(crate) use give_up::GiveUp;
pub(crate) use queue::Held;
use queue::Queue;
use stored::{key, save, shared_key, unstore};

/// Keys of waiting messages start with this byte.
pub(crate) const OUTBOX_PREFIX: u8 = b'o';
/// Keys of messages that a device has and others have not start with this byte.
pub(crate) const SHARED_PREFIX: u8 = b's';
/// Streams that a peer may say it remembers (spec: LINK-27); more are not read.
const RECEIVED_MAX: usize = 4;

/// A message for one device.
struct Entry {
    tag: Tag,
    message: Message,
    until: WallTime,
    /// Position in the stream: with it the message keeps its id, whatever becomes of it.
    stream: StreamId,
    number: u64,
    /// The device that it is for; `None`: the first one that will be known.
    device: Option<DeviceId>,
    /// The batch that keeps it; `None`: in RAM.
    store: Option<OpId>,
    /// `Queued` was said.
    queued: bool,
    tries: u8,
}

/// What waits for a user of whom no device is known, oldest first.
struct Waiting {
    entries: VecDeque<Entry>,
    /// The stream that the first device takes over (spec: LINK-20).
    stream: StreamId,
    next: u64,
}

/// How a tag with several entries stands.
#[derive(Default)]
struct Shared {
    /// Entries that are not over.
    left: u32,
    /// A device has the message.
    delivered: bool,
}

#[derive(Default)]
pub(crate) struct Outbox {
    /// Boxed, so that the map's nodes, which are half empty, are small.
    queues: BTreeMap<Peer, Box<Queue>>,
    /// Devices with a link for which a message was accepted and not offered to it yet; each once.
    ready: Vec<Peer>,
    /// Messages for users of whom no device is known.
    waiting: BTreeMap<UserId, Waiting>,
    /// Tags that went to more than one device.
    shared: BTreeMap<Tag, Shared>,
    /// The last batch that is stored.
    stored: Option<OpId>,
    count: u32,
    bytes: u64,
    /// A caller was refused for want of room and waits for `Ready`.
    refused: bool,
    /// Counts up whenever a stream is left, so that no device is ever given the same one again.
    streams_left: u64,
}

/// The next message of a device.
pub(crate) struct Out<'a> {
    pub(crate) stream: StreamId,
    pub(crate) number: u64,
    pub(crate) disk: bool,
    pub(crate) message: &'a Message,
}

impl Outbox {
    /// Whether a message for `devices` devices has room; if not, `Ready` will be said (spec: MSG-15).
    pub(crate) fn has_room(&mut self, cx: &Cx, message: &Message, devices: usize) -> bool {
        let (count, bytes) = (u32::try_from(devices).unwrap_or(u32::MAX), message.bytes().saturating_mul(devices) as u64);
        self.count.saturating_add(count) <= cx.config.outbox_messages_max
            && self.bytes.saturating_add(bytes) <= u64::from(cx.config.outbox_bytes_max)
    }

    /// A caller was refused: tell it when there is room.
    pub(crate) const fn set_refused(&mut self) {
        self.refused = true;
    }

    /// Takes a message for these devices, or for the first one that will be known (spec: MSG-11). Whether it waits for a link.
    pub(crate) fn accept(&mut self, cx: &mut Cx, tag: Tag, send: Send, devices: &[Peer]) -> bool {
        let until = cx.wall + send.life.min(crate::command::MESSAGE_LIFE);
        let meant = send.device.map(|device| Peer { user: send.to, device });
        let Some((last, rest)) = devices.split_last().or_else(|| meant.as_ref().map(|peer| (peer, &[][..]))) else {
            self.wait(cx, tag, until, send);
            return true;
        };
        if !rest.is_empty() {
            self.shared.insert(tag, Shared { left: u32::try_from(devices.len()).unwrap_or(u32::MAX), delivered: false });
        }
        let mut waits = false;
        for peer in rest {
            waits |= self.push(cx, tag, until, send.message.clone(), send.keep, *peer);
        }
        waits | self.push(cx, tag, until, send.message, send.keep, *last)
    }

    /// No device is known: numbered all the same, so that a sender whose disk forgets the device says the same id again.
    fn wait(&mut self, cx: &mut Cx, tag: Tag, until: WallTime, send: Send) {
        let store = self.count_in(cx, &send.message, send.keep);
        let waiting = self.waiting(cx, send.to, tag);
        set_end_after(cx, send.to, until, waiting.entries.back());
        let (stream, number) = (waiting.stream, waiting.next);
        waiting.next = waiting.next.saturating_add(1);
        let entry = Entry { tag, message: send.message, until, stream, number, device: None, store, queued: false, tries: 0 };
        if store.is_some() {
            let _ = save(cx, send.to, None, &entry);
        }
        waiting.entries.push_back(entry);
    }

    fn waiting(&mut self, cx: &Cx, user: UserId, first: Tag) -> &mut Waiting {
        self.waiting.entry(user).or_insert_with(|| {
            let stream = draw_stream(cx, &alloc::format!("stream {user}"), first.number());
            Waiting { entries: VecDeque::new(), stream, next: 1 }
        })
    }

    fn push(&mut self, cx: &mut Cx, tag: Tag, until: WallTime, message: Message, keep: Keep, peer: Peer) -> bool {
        let store = self.count_in(cx, &message, keep);
        let queue = self.queue(cx, peer);
        set_end_after(cx, peer.user, until, queue.entries.back());
        let (stream, number) = queue.number();
        let entry = Entry { tag, message, until, stream, number, device: Some(peer.device), store, queued: false, tries: 0 };
        if store.is_some() {
            let _ = save(cx, peer.user, Some(peer), &entry);
        }
        let is_too_long = queue.is_too_long(&entry.message);
        queue.entries.push_back(entry);
        let is_linked = queue.is_linked();
        if is_too_long {
            self.give_up(cx, peer.user, GiveUp::TooLong);
            return false;
        }
        if is_linked && !self.ready.contains(&peer) {
            self.ready.push(peer);
        }
        !is_linked
    }

    /// Whether messages were accepted that are to be offered to links.
    pub(crate) const fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The devices for which messages were accepted, in the order of the first ones.
    pub(crate) fn take_ready(&mut self) -> Vec<Peer> {
        core::mem::take(&mut self.ready)
    }

    /// Takes the list back for its allocation.
    pub(crate) fn keep_for_ready(&mut self, list: Vec<Peer>) {
        self.ready = list;
    }

    /// An entry more: the batch that will keep it.
    fn count_in(&mut self, cx: &mut Cx, message: &Message, keep: Keep) -> Option<OpId> {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(message.bytes() as u64);
        (keep == Keep::Disk).then(|| cx.store(true, |_| {}))
    }

    fn queue(&mut self, cx: &Cx, peer: Peer) -> &mut Queue {
        if self.queues.len() >= cx.config.book_users_max as usize && !self.queues.contains_key(&peer) {
            self.forget_queue();
        }
        let streams_left = self.streams_left;
        self.queues.entry(peer).or_insert_with(|| Box::new(Queue::new(draw_stream(cx, &label(peer), streams_left))))
    }

    /// Forgets the queue of one device for which nothing waits and that has no link; a new stream begins if it comes back.
    /// So there are at most as many queues as users in the book, links and messages together. O(queues).
    fn forget_queue(&mut self) {
        let idle = self.queues.iter().find(|(_, queue)| !queue.is_linked() && queue.entries.is_empty()).map(|(peer, _)| *peer);
        if idle.is_some_and(|peer| self.queues.remove(&peer).is_some()) {
            self.streams_left = self.streams_left.saturating_add(1);
        }
    }

    /// A device has a link: what waits for its user and has no device goes to it; where its streams stand.
    pub(crate) fn on_link(&mut self, cx: &mut Cx, peer: Peer) -> Vec<StreamStart> {
        self.assign(cx, peer);
        self.queue(cx, peer).on_link()
    }

    fn assign(&mut self, cx: &mut Cx, peer: Peer) {
        let Some(waiting) = self.waiting.remove(&peer.user) else { return };
        unstore(cx, None, waiting.entries.iter());
        let queue = self.queue(cx, peer);
        queue.take_over(waiting.stream, waiting.next);
        for mut entry in waiting.entries {
            entry.device = Some(peer.device);
            if entry.store.is_some() {
                // Its device is stored before it leaves, in the place of the entry without one.
                cx.store(true, |batch| batch.remove(key(entry.tag, None)));
                entry.store = save(cx, peer.user, Some(peer), &entry);
            }
            queue.entries.push_back(entry);
        }
    }

    /// A device's link is gone: everything that was under way waits again.
    pub(crate) fn on_unlink(&mut self, peer: Peer) {
        if self.queues.get_mut(&peer).is_some_and(|queue| !queue.on_unlink()) {
            // Nothing was ever said to this device: strangers who come and go leave nothing behind.
            self.queues.remove(&peer);
        }
    }

    /// What the peer remembers of this side's streams, and its window (spec: LINK-21).
    pub(crate) fn on_resume(&mut self, cx: &mut Cx, peer: Peer, resume: &Resume) {
        for (stream, upto) in resume.received.iter().take(RECEIVED_MAX) {
            let Some(queue) = self.queues.get_mut(&peer) else { return };
            if *stream == queue.stream && *upto >= queue.next_number() {
                self.renumber(cx, peer);
            } else {
                let _ = self.on_acknowledged(cx, peer, &Acknowledged { stream: *stream, upto: *upto });
            }
        }
        if let Some(queue) = self.queues.get_mut(&peer) {
            queue.set_window(resume.messages, resume.bytes, resume.line);
            if queue.entries.iter().any(|entry| queue.is_too_long(&entry.message)) {
                self.give_up(cx, peer.user, GiveUp::TooLong);
            }
        }
    }

    /// The peer knows more of this stream than this store does: everything goes on in a new one (spec: LINK-23).
    fn renumber(&mut self, cx: &mut Cx, peer: Peer) {
        let Some(queue) = self.queues.get_mut(&peer) else { return };
        let old = queue.stream;
        self.streams_left = self.streams_left.saturating_add(1);
        queue.renew_stream(draw_stream(cx, &label(peer), self.streams_left));
        let mut entries = core::mem::take(&mut queue.entries);
        unstore(cx, Some(peer), entries.iter().filter(|entry| entry.stream == old));
        for entry in entries.iter_mut().filter(|entry| entry.stream == old) {
            (entry.stream, entry.number) = queue.number();
            if entry.store.is_some() {
                entry.store = save(cx, peer.user, Some(peer), entry);
            }
        }
        queue.entries = entries;
    }

    /// The next message that may leave for a device now (spec: MSG-9, STORE-5).
    pub(crate) fn next(&mut self, peer: Peer) -> Option<Out<'_>> {
        self.queues.get_mut(&peer)?.send(self.stored)
    }

    /// The peer's application has taken messages. `false`: it acknowledges what was never sent (spec: MSG-8).
    pub(crate) fn on_acknowledged(&mut self, cx: &mut Cx, peer: Peer, acknowledged: &Acknowledged) -> bool {
        if !self.queues.get(&peer).is_some_and(|queue| queue.can_be(acknowledged)) {
            return false;
        }
        while let Some(entry) = self.queues.get_mut(&peer).and_then(|queue| queue.take_acknowledged(acknowledged)) {
            self.on_delivered(cx, peer, &entry);
        }
        if let Some(queue) = self.queues.get_mut(&peer) {
            queue.spare(cx.config.queue_spare_max());
        }
        if self.queues.get(&peer).is_some_and(|queue| queue.entries.is_empty()) && self.count_of(peer.user) == 0 {
            cx.timers.cancel(TimerKey::Ends(peer.user));
        }
        true
    }

    /// A device has a message: its sender is told, the first time without a device (spec: MSG-12).
    fn on_delivered(&mut self, cx: &mut Cx, peer: Peer, entry: &Entry) {
        cx.stats.messages_delivered = cx.stats.messages_delivered.saturating_add(1);
        if entry.store.is_some() {
            if !entry.queued {
                cx.notify(Notice::Queued { tag: entry.tag });
            }
            cx.store(false, |batch| batch.remove(key(entry.tag, Some(peer))));
        }
        self.forget(cx, entry);
        if !self.settle_shared(cx, entry, true).0 {
            cx.notify(Notice::Delivered { tag: entry.tag, device: None });
        }
        cx.notify(Notice::Delivered { tag: entry.tag, device: Some(peer.device) });
    }

    /// One entry of a tag is over: whether a device had the message before, and how many entries are left. Stored with
    /// the entry's end, so that it is not told twice after a restart (spec: MSG-12).
    fn settle_shared(&mut self, cx: &mut Cx, entry: &Entry, is_delivered: bool) -> (bool, u32) {
        let Some(shared) = self.shared.get_mut(&entry.tag) else { return (false, 0) };
        shared.left = shared.left.saturating_sub(1);
        let (left, before) = (shared.left, shared.delivered);
        shared.delivered |= is_delivered;
        if left == 0 {
            self.shared.remove(&entry.tag);
        }
        if entry.store.is_some() && left == 0 && before {
            cx.store(false, |batch| batch.remove(shared_key(entry.tag)));
        } else if entry.store.is_some() && left > 0 && is_delivered && !before {
            cx.store(false, |batch| batch.put(shared_key(entry.tag), []));
        }
        (before, left)
    }

    /// An entry is out of the queue.
    fn forget(&mut self, cx: &mut Cx, entry: &Entry) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.message.bytes() as u64);
        self.tell_ready(cx);
    }

    /// Tells a caller who was refused that there is room: for a few, so that it does not come for one message each time.
    fn tell_ready(&mut self, cx: &mut Cx) {
        let is_roomy = self.count <= cx.config.outbox_messages_max / 2 && self.bytes <= u64::from(cx.config.outbox_bytes_max / 2);
        if self.refused && is_roomy && cx.has_store_room() {
            self.refused = false;
            cx.notify(Notice::Ready);
        }
    }

    /// A batch is stored, and with it every message that waited for it: says `Queued`. The devices that may have more to get.
    pub(crate) fn on_stored(&mut self, cx: &mut Cx, op: OpId) -> Vec<Peer> {
        self.stored = Some(op);
        self.tell_ready(cx);
        let mut ready = Vec::new();
        for entry in self.waiting.values_mut().flat_map(|waiting| &mut waiting.entries) {
            say_queued(cx, entry, op);
        }
        for (peer, queue) in &mut self.queues {
            // New messages are at the end: from there back to the first that was said.
            let before = cx.actions.len();
            let fresh = queue.entries.iter().rev().take_while(|entry| !(entry.store.is_some() && entry.queued)).count();
            let skip = queue.entries.len().saturating_sub(fresh);
            for entry in queue.entries.iter_mut().skip(skip) {
                say_queued(cx, entry, op);
            }
            if cx.actions.len() != before || queue.sent() < queue.entries.len() {
                ready.push(*peer);
            }
        }
        ready
    }

    /// The devices of `user` for which something waits although they have no link.
    pub(crate) fn is_stuck(&self, user: UserId) -> bool {
        self.waiting.contains_key(&user) || self.queues_of(user).any(|(_, queue)| !queue.is_linked() && !queue.entries.is_empty())
    }

    /// How much waits for a user.
    pub(crate) fn count_of(&self, user: UserId) -> u32 {
        let queued: usize = self.queues_of(user).map(|(_, queue)| queue.entries.len()).sum();
        let waiting = self.waiting.get(&user).map_or(0, |waiting| waiting.entries.len());
        u32::try_from(queued.saturating_add(waiting)).unwrap_or(u32::MAX)
    }

    /// What the messages for a user wait for: for each device, or for the first one.
    pub(crate) fn held(&self, user: UserId) -> impl Iterator<Item = (Option<DeviceId>, Held)> + '_ {
        let is_stored = |entry: &Entry| entry.store.is_none_or(|op| self.stored.is_some_and(|stored| op <= stored));
        let waiting = self.waiting.get(&user).into_iter().flat_map(|waiting| &waiting.entries);
        let nowhere = waiting.map(move |entry| (entry.device, if is_stored(entry) { Held::Link } else { Held::Store }));
        let queued = self.queues_of(user).flat_map(|(peer, queue)| {
            let under_way = (queue.sent() > 0).then_some(Held::Taking);
            under_way.into_iter().chain(queue.held(self.stored)).map(|held| (Some(peer.device), held))
        });
        nowhere.chain(queued)
    }

    /// Every user for whom something waits.
    pub(crate) fn users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.waiting.keys().copied().collect();
        users.extend(self.queues.iter().filter(|(_, queue)| !queue.entries.is_empty()).map(|(peer, _)| peer.user));
        users.sort_unstable();
        users.dedup();
        users
    }

    fn queues_of(&self, user: UserId) -> impl Iterator<Item = (&Peer, &Queue)> {
        self.queues.range(devices_of(user)).take_while(move |(peer, _)| peer.user == user).map(|(peer, queue)| (peer, &**queue))
    }

    /// One more try was made for a user.
    pub(crate) fn on_try(&mut self, user: UserId) {
        let queues = self.queues.range_mut(devices_of(user)).take_while(|(peer, _)| peer.user == user);
        let of_user = queues.filter(|(_, queue)| !queue.is_linked()).flat_map(|(_, queue)| &mut queue.entries);
        for entry in of_user.chain(self.waiting.get_mut(&user).into_iter().flat_map(|waiting| &mut waiting.entries)) {
            entry.tries = entry.tries.saturating_add(1);
        }
    }

    /// Sets when the first message to a user ends (spec: MSG-14).
    pub(crate) fn arm_end(&self, cx: &mut Cx, user: UserId) {
        let queued = self.queues_of(user).flat_map(|(_, queue)| &queue.entries);
        let first = queued.chain(self.waiting.get(&user).into_iter().flat_map(|waiting| &waiting.entries)).map(|entry| entry.until).min();
        cx.timers.cancel(TimerKey::Ends(user));
        if let Some(first) = first {
            set_end(cx, user, first);
        }
    }

    /// Gives a device's spare memory back.
    pub(crate) fn shrink(&mut self, peer: Peer) {
        if let Some(queue) = self.queues.get_mut(&peer).filter(|queue| queue.entries.is_empty()) {
            queue.entries = VecDeque::new();
        }
    }

    /// How many messages are under way to a device.
    pub(crate) fn under_way(&self, peer: Peer) -> u32 {
        self.queues.get(&peer).map_or(0, |queue| u32::try_from(queue.sent()).unwrap_or(u32::MAX))
    }

    /// How many devices have a queue.
    #[cfg(test)]
    pub(crate) fn queues(&self) -> usize {
        self.queues.len()
    }

    /// What is not delivered, by receiver.
    pub(crate) fn views(&self) -> impl Iterator<Item = OutboxView> + '_ {
        let waiting = self.waiting.iter().flat_map(|(user, waiting)| waiting.entries.iter().map(|entry| view(entry, *user, None, false)));
        let queued = self.queues.iter().flat_map(|(peer, queue)| {
            queue.entries.iter().enumerate().map(|(at, entry)| view(entry, peer.user, Some(peer.device), at < queue.sent()))
        });
        waiting.chain(queued)
    }
}

/// Where the devices of a user stand among all: from here to the next user's.
fn devices_of(user: UserId) -> RangeFrom<Peer> {
    Peer { user, device: DeviceId::from_bytes([0; 16]) }..
}

fn say_queued(cx: &mut Cx, entry: &mut Entry, op: OpId) {
    if !entry.queued && entry.store.is_some_and(|store| store <= op) {
        entry.queued = true;
        cx.notify(Notice::Queued { tag: entry.tag });
    }
}

/// A message to `user` ends then, at the latest.
fn set_end(cx: &mut Cx, user: UserId, until: WallTime) {
    cx.timers.set_at_latest(TimerKey::Ends(user), cx.now + until.since(cx.wall));
}

/// A message that follows `last` ends then; nothing is to be set if the one before it ends no later.
fn set_end_after(cx: &mut Cx, user: UserId, until: WallTime, last: Option<&Entry>) {
    if last.is_none_or(|last| last.until > until) {
        set_end(cx, user, until);
    }
}

fn message_bytes(message: &Message) -> u32 {
    u32::try_from(message.bytes().saturating_add(MESSAGE_FRAME_BYTES)).unwrap_or(u32::MAX)
}

fn label(peer: Peer) -> alloc::string::String {
    alloc::format!("stream {} {}", peer.user, peer.device)
}

fn draw_stream(cx: &Cx, label: &str, n: u64) -> StreamId {
    StreamId::from_bytes(cx.rng.fork(label, n).array())
}

fn view(entry: &Entry, to: UserId, device: Option<DeviceId>, sent: bool) -> OutboxView {
    let keep = if entry.store.is_some() { Keep::Disk } else { Keep::Memory };
    OutboxView { tag: entry.tag, to, device, kind: entry.message.kind().into(), keep, tries: u32::from(entry.tries), sent }
}
