//! How messages outlive the process: one key each, with the device once it is known.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Entry, OUTBOX_PREFIX, Outbox, SHARED_PREFIX};
use crate::cx::Cx;
use crate::id::{DeviceId, OpId, Peer, StreamId, Tag, UserId};
use crate::message::Message;
use crate::time::WallTime;

/// What of an entry is stored.
#[derive(Serialize, Deserialize)]
struct Record {
    to: UserId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    device: Option<DeviceId>,
    position: (StreamId, u64),
    until: WallTime,
    message: Message,
}

impl Outbox {
    /// Reads a stored message.
    pub(crate) fn on_loaded(&mut self, cx: &Cx, key: &[u8], value: &[u8]) -> Option<()> {
        let tag = Tag::new(u64::from_be_bytes(*key.get(1..)?.first_chunk::<8>()?));
        let Record { to, device, position, until, message } = serde_json::from_slice(value).ok()?;
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(message.bytes() as u64);
        let (stream, number) = position;
        let entry = Entry { tag, message, until, stream, number, device, store: Some(OpId::new(0)), queued: true, tries: 0 };
        self.stored = Some(self.stored.unwrap_or(OpId::new(0)));
        match device {
            Some(device) => {
                if key.get(9..)? != device.as_bytes() {
                    return None;
                }
                let shared = self.shared.entry(tag).or_default();
                shared.left = shared.left.saturating_add(1);
                self.queue(cx, Peer { user: to, device }).restore(entry);
            }
            None => self.waiting(cx, to, tag).entries.push_back(entry),
        }
        Some(())
    }

    /// Reads that a device has a message; it comes after the messages (spec: STORE-2).
    pub(crate) fn on_shared_loaded(&mut self, cx: &mut Cx, key: &[u8]) -> Option<()> {
        let tag = Tag::new(u64::from_be_bytes(*key.get(1..)?.first_chunk::<8>()?));
        match self.shared.get_mut(&tag) {
            Some(shared) => shared.delivered = true,
            // Nothing of it waits any more.
            None => drop(cx.store(false, |batch| batch.remove(shared_key(tag)))),
        }
        Some(())
    }

    /// Everything is read: which tags have one entry only needs no memory. Sets when messages end.
    pub(crate) fn on_all_loaded(&mut self, cx: &mut Cx) {
        self.shared.retain(|_, shared| shared.left > 1 || shared.delivered);
        self.arm_ends(cx);
    }

    /// Sets anew when messages end: after a start, a sleep, or a jump of the wall clock.
    pub(crate) fn arm_ends(&self, cx: &mut Cx) {
        for user in self.users() {
            self.arm_end(cx, user);
        }
    }
}

/// What says that a device has the message of this tag while others have not.
pub(super) fn shared_key(tag: Tag) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(SHARED_PREFIX);
    key.extend_from_slice(&tag.number().to_be_bytes());
    key
}

pub(super) fn key(tag: Tag, peer: Option<Peer>) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    key.push(OUTBOX_PREFIX);
    key.extend_from_slice(&tag.number().to_be_bytes());
    if let Some(peer) = peer {
        key.extend_from_slice(peer.device.as_bytes());
    }
    key
}

pub(super) fn save(cx: &mut Cx, to: UserId, peer: Option<Peer>, entry: &Entry) -> Option<OpId> {
    let device = peer.map(|peer| peer.device);
    let record = Record { to, device, position: (entry.stream, entry.number), until: entry.until, message: entry.message.clone() };
    // The record's types always serialise.
    let value = serde_json::to_vec(&record).ok()?;
    Some(cx.store(true, |batch| batch.put(key(entry.tag, peer), value)))
}

/// Takes entries out of the batch that gathers, since they are saved anew: it holds each message once.
pub(super) fn unstore<'a>(cx: &mut Cx, peer: Option<Peer>, entries: impl Iterator<Item = &'a Entry>) {
    let gathering = entries.filter(|entry| entry.store.is_some_and(|op| cx.is_gathering(op)));
    let keys = gathering.map(|entry| key(entry.tag, peer)).collect();
    cx.unstore(&keys);
}
