//! When messages are given up, and what is left of the queues then.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::stored::key;
use super::{Entry, Outbox};
use crate::cx::Cx;
use crate::id::{Peer, UserId};
use crate::notice::{FailReason, Notice};

impl Outbox {
    /// Gives up messages to `user`: those whose life is over, those in RAM for devices without a link, or every one (spec: MSG-14).
    pub(crate) fn give_up(&mut self, cx: &mut Cx, user: UserId, which: GiveUp) {
        let (wall, mut lost) = (cx.wall, Vec::new());
        let goes = |entry: &Entry, linked: bool| match which {
            GiveUp::Ended => entry.until <= wall,
            GiveUp::InRam(_) => entry.store.is_none() && !linked,
            GiveUp::All(_) => true,
        };
        if let Some(mut waiting) = self.waiting.remove(&user) {
            let (gone, kept): (VecDeque<Entry>, VecDeque<Entry>) = waiting.entries.into_iter().partition(|entry| goes(entry, false));
            lost.extend(gone.into_iter().map(|entry| (None, entry, false)));
            if !kept.is_empty() {
                waiting.entries = kept;
                self.waiting.insert(user, waiting);
            }
        }
        let peers: Vec<Peer> = self.queues_of(user).map(|(peer, _)| *peer).collect();
        for peer in peers {
            let Some(queue) = self.queues.get_mut(&peer) else { continue };
            let linked = queue.is_linked();
            let gone = queue.give_up(|entry| goes(entry, linked));
            lost.extend(gone.into_iter().map(|(entry, was_sent)| (Some(peer), entry, was_sent)));
        }
        for (peer, entry, was_sent) in lost {
            self.on_lost(cx, peer, &entry, which.reason(was_sent));
        }
        self.arm_end(cx, user);
    }

    /// Gives up what is longer than any line that a device reads, so that it holds up nothing behind it (spec: MSG-17).
    pub(super) fn give_up_too_long(&mut self, cx: &mut Cx, peer: Peer) {
        let Some(queue) = self.queues.get_mut(&peer) else { return };
        let long = queue.take_too_long();
        if long.is_empty() {
            return;
        }
        for entry in long {
            self.on_lost(cx, Some(peer), &entry, FailReason::TooLong);
        }
        self.arm_end(cx, peer.user);
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
    All(FailReason),
}

impl GiveUp {
    const fn reason(self, was_sent: bool) -> FailReason {
        match self {
            Self::Ended if was_sent => FailReason::Unanswered,
            Self::Ended => FailReason::Ended,
            Self::InRam(why) | Self::All(why) => why,
        }
    }
}
