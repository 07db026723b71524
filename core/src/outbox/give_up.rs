//! When messages are given up, and what is left of the queues then.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Entry, Outbox};
use crate::cx::Cx;
use crate::id::{Peer, UserId};
use crate::notice::FailReason;

impl Outbox {
    /// Gives up messages to `user`: those over their time; with `unlinked`, those in RAM for devices without a link;
    /// with `all`, every one (spec: MSG-14).
    pub(crate) fn give_up(&mut self, cx: &mut Cx, user: UserId, which: GiveUp) {
        let (wall, mut lost) = (cx.wall, Vec::new());
        let goes = |entry: &Entry, linked: bool| match which {
            GiveUp::Ended => entry.until <= wall,
            GiveUp::InRam(_) => entry.store.is_none() && !linked,
            GiveUp::All(_) => true,
        };
        if let Some(mut waiting) = self.waiting.remove(&user) {
            let kept = take_out(&mut waiting, |entry| goes(entry, false), |entry| lost.push((None, entry)));
            if !kept.is_empty() {
                self.waiting.insert(user, kept);
            }
        }
        let peers: Vec<Peer> = self.queues_of(user).map(|(peer, _)| *peer).collect();
        for peer in peers {
            let Some(queue) = self.queues.get_mut(&peer) else { continue };
            let linked = queue.linked;
            let (mut at, sent) = (0_usize, queue.sent);
            let kept = take_out(
                &mut queue.entries,
                |entry| {
                    // What is under way may arrive yet; its acknowledgement would name a number that is gone.
                    let under_way = at < sent;
                    at = at.saturating_add(1);
                    goes(entry, linked) && !(under_way && which == GiveUp::Ended)
                },
                |entry| lost.push((Some(peer), entry)),
            );
            queue.entries = kept;
            if matches!(which, GiveUp::All(_)) {
                (queue.sent, queue.sent_bytes) = (0, 0);
            }
        }
        for (peer, entry) in lost {
            self.on_lost(cx, peer, &entry, which.reason());
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
    const fn reason(self) -> FailReason {
        match self {
            Self::Ended => FailReason::Ended,
            Self::InRam(why) | Self::All(why) => why,
        }
    }
}

fn take_out(entries: &mut VecDeque<Entry>, mut goes: impl FnMut(&Entry) -> bool, mut lost: impl FnMut(Entry)) -> VecDeque<Entry> {
    let mut kept = VecDeque::new();
    for entry in entries.drain(..) {
        if goes(&entry) {
            lost(entry);
        } else {
            kept.push_back(entry);
        }
    }
    kept
}
