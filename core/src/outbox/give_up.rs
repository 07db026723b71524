//! When messages are given up, and what is left of the queues then.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::stored::key;
use super::{Entry, Outbox, message_bytes};
use crate::cx::Cx;
use crate::id::{Peer, UserId};
use crate::notice::{FailReason, Notice};

impl Outbox {
    /// Gives up messages to `user`: those whose life is over, those in RAM for devices without a link, those that their device
    /// does not read, or every one (spec: MSG-14, MSG-17).
    pub(crate) fn give_up(&mut self, cx: &mut Cx, user: UserId, which: GiveUp) {
        let (wall, mut lost) = (cx.wall, Vec::new());
        let goes = |entry: &Entry, linked: bool, line_max: u32| match which {
            GiveUp::Ended => entry.until <= wall,
            GiveUp::InRam(_) => entry.store.is_none() && !linked,
            GiveUp::TooLong => message_bytes(&entry.message) > line_max,
            GiveUp::All(_) => true,
        };
        if let Some(mut waiting) = self.waiting.remove(&user) {
            let (gone, kept): (VecDeque<Entry>, VecDeque<Entry>) =
                waiting.entries.into_iter().partition(|entry| goes(entry, false, u32::MAX));
            lost.extend(gone.into_iter().map(|entry| (None, entry, false)));
            if !kept.is_empty() {
                waiting.entries = kept;
                self.waiting.insert(user, waiting);
            }
        }
        let peers: Vec<Peer> = self.queues_of(user).map(|(peer, _)| *peer).collect();
        for peer in peers {
            let Some(queue) = self.queues.get_mut(&peer) else { continue };
            let (linked, line_max) = (queue.is_linked(), queue.line_bytes_max());
            let gone = queue.give_up(|entry| goes(entry, linked, line_max));
            lost.extend(gone.into_iter().map(|(entry, was_sent)| (Some(peer), entry, was_sent)));
        }
        for (peer, entry, was_sent) in lost {
            self.on_lost(cx, peer, &entry, which.reason(was_sent));
        }
        self.arm_end(cx, user);
    }

    fn on_lost(&mut self, cx: &mut Cx, peer: Option<Peer>, entry: &Entry, why: FailReason) {
        cx.stats.messages_failed = cx.stats.messages_failed.saturating_add(1);
        if entry.store.is_some() {
            cx.store(false, |batch| batch.remove(key(entry.tag, peer)));
        }
        self.forget(cx, entry);
        if self.settle_shared(cx, entry, false) == (false, 0) {
            cx.notify(Notice::Failed { tag: entry.tag, why });
        }
    }
}

/// Which messages are given up, and what their senders are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GiveUp {
    Ended,
    InRam(FailReason),
    TooLong,
    All(FailReason),
}

impl GiveUp {
    const fn reason(self, was_sent: bool) -> FailReason {
        match self {
            Self::Ended if was_sent => FailReason::Unanswered,
            Self::Ended => FailReason::Ended,
            Self::TooLong => FailReason::TooLong,
            Self::InRam(why) | Self::All(why) => why,
        }
    }
}
