//! Invitations that this node has made: which are open, who has used which, and what may be said once that is stored.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::command::Address;
use crate::cx::Cx;
use crate::error::InvitationError;
use crate::id::{AppId, InvitationId, OpId, Peer, PipeId, Tag, UserId, deserialize_base64, serialize_base64};
use crate::identity::CLOCK_TOLERANCE_MS;
use crate::invitation::{Invitation, InvitationSecret};
use crate::time::WallTime;
use crate::view::InvitationView;
use crate::wire::line::JoinLine;

/// Keys of own invitations start with this byte.
pub(crate) const INVITATION_PREFIX: u8 = b'i';

/// One that was made and is not forgotten.
struct Own {
    until: WallTime,
    secret: InvitationSecret,
    used_by: Option<UserId>,
    /// The batch that holds who has used it, while it is on its way.
    storing: Option<OpId>,
    /// The application has heard of the use.
    told: bool,
}

/// What a join deserves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nobody has used it before.
    Fresh,
    /// The same user has used it before: it counts again, as the answer may have been lost.
    Again,
    /// Another user has used it.
    Used,
    /// Its time is over.
    Over,
    /// There is none, or the secret is not proven: who cannot prove it learns nothing.
    Unknown,
}

/// What may be said after a store.
pub(crate) enum Ripe {
    /// An invitation is stored: to the application.
    Made(Tag, Invitation),
    /// A use is stored: to the peer, and to the application if it has not heard of it.
    Used { pipe: PipeId, id: InvitationId, peer: Peer, is_news: bool },
}

/// An answer that waits for a store.
struct Answer {
    op: OpId,
    pipe: PipeId,
    id: InvitationId,
    peer: Peer,
    /// The application is to hear of it, whether or not its link is still there.
    is_first: bool,
}

#[derive(Default)]
pub(crate) struct Invitations {
    own: BTreeMap<InvitationId, Own>,
    /// How many were drawn in this life.
    drawn: u64,
    making: VecDeque<(OpId, Tag, Invitation)>,
    answers: VecDeque<Answer>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(serialize_with = "serialize_base64", deserialize_with = "deserialize_base64")]
    secret: [u8; 16],
    until: WallTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_by: Option<UserId>,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    told: bool,
}

impl Invitations {
    /// Whether one more fits; those that are over or used make room (spec: INVITE-3).
    pub(crate) fn has_room(&self, cx: &Cx) -> bool {
        self.own.values().filter(|own| !own.makes_room(cx.wall)).count() < cx.config.invitations_max as usize
    }

    /// The next one, with a secret from a generator of its own. Changes nothing (C3).
    pub(crate) fn draft(
        &self,
        cx: &Cx,
        app: &AppId,
        user: UserId,
        addresses: &[Address],
        until: WallTime,
    ) -> Result<Invitation, InvitationError> {
        let secret = InvitationSecret::from_bytes(cx.rng.fork("invitation", self.drawn).array());
        Invitation::new(app.clone(), user, addresses, until, secret)
    }

    /// Takes the drafted one in force and stores it.
    pub(crate) fn keep(&mut self, cx: &mut Cx, tag: Tag, invitation: Invitation) {
        self.drawn = self.drawn.saturating_add(1);
        while self.own.len() >= cx.config.invitations_max as usize {
            let spare = self.own.iter().filter(|(_, own)| own.makes_room(cx.wall)).min_by_key(|(_, own)| own.until);
            let Some(id) = spare.map(|(id, _)| *id) else { break };
            self.forget(cx, id, false);
        }
        let id = invitation.id();
        let own = Own { until: invitation.until(), secret: invitation.secret().clone(), used_by: None, storing: None, told: false };
        let op = store(cx, id, &own, true);
        self.own.insert(id, own);
        self.making.push_back((op, tag, invitation));
    }

    /// What a join deserves that `peer` said on the link of this name (spec: INVITE-7).
    pub(crate) fn check(&self, cx: &Cx, join: &JoinLine, link: &[u8; 32], peer: Peer) -> Verdict {
        let Some(own) = self.own.get(&join.id).filter(|own| own.secret.is_proven(&join.proof, link, peer)) else { return Verdict::Unknown };
        match own.used_by {
            Some(user) if user == peer.user => Verdict::Again,
            Some(_) => Verdict::Used,
            None if own.until <= cx.wall => Verdict::Over,
            None => Verdict::Fresh,
        }
    }

    /// A user has used an invitation: stored, and told after that (spec: INVITE-9).
    pub(crate) fn on_used(&mut self, cx: &mut Cx, id: InvitationId, pipe: PipeId, peer: Peer) {
        let Some(own) = self.own.get_mut(&id) else { return };
        own.used_by = Some(peer.user);
        let op = store(cx, id, own, true);
        own.storing = Some(op);
        self.answers.push_back(Answer { op, pipe, id, peer, is_first: true });
    }

    /// The same user comes again: what to say, if that need not wait for a store.
    pub(crate) fn on_again(&mut self, cx: &mut Cx, id: InvitationId, pipe: PipeId, peer: Peer) -> Option<Ripe> {
        let own = self.own.get_mut(&id)?;
        match own.storing {
            None => Some(Ripe::Used { pipe, id, peer, is_news: own.is_news(cx, id) }),
            Some(op) => {
                // One answer to each on a link is enough.
                if !self.answers.iter().any(|answer| answer.pipe == pipe && answer.id == id) {
                    self.answers.push_back(Answer { op, pipe, id, peer, is_first: false });
                }
                None
            }
        }
    }

    /// A batch is stored: the next thing that waited for it.
    pub(crate) fn on_stored(&mut self, cx: &mut Cx, op: OpId) -> Option<Ripe> {
        if self.making.front().is_some_and(|(waits, ..)| *waits <= op) {
            return self.making.pop_front().map(|(_, tag, invitation)| Ripe::Made(tag, invitation));
        }
        let at = self.answers.iter().position(|answer| answer.op <= op)?;
        let Answer { pipe, id, peer, is_first, .. } = self.answers.remove(at)?;
        let is_news = match self.own.get_mut(&id) {
            Some(own) => {
                own.storing = None;
                own.is_news(cx, id)
            }
            // Withdrawn or forgotten meanwhile.
            None => is_first,
        };
        Some(Ripe::Used { pipe, id, peer, is_news })
    }

    /// A link is gone.
    pub(crate) fn on_unlink(&mut self, pipe: PipeId) {
        self.answers.retain(|answer| answer.pipe != pipe || answer.is_first);
    }

    /// When the next one is to be forgotten: ten minutes after its end, so that who comes late hears why (spec: INVITE-5).
    pub(crate) fn due(&self) -> Option<WallTime> {
        self.own.values().map(forgotten_at).min()
    }

    /// Forgets those whose time for it has come.
    pub(crate) fn on_due(&mut self, cx: &mut Cx) {
        let over: Vec<InvitationId> = self.own.iter().filter(|(_, own)| forgotten_at(own) <= cx.wall).map(|(id, _)| *id).collect();
        for id in over {
            self.forget(cx, id, false);
        }
    }

    /// One is good for nobody from now on (spec: INVITE-11).
    pub(crate) fn withdraw(&mut self, cx: &mut Cx, id: InvitationId) {
        if self.own.contains_key(&id) {
            self.forget(cx, id, true);
        }
    }

    /// Withdraws what a user has used, who would be let in by it once more otherwise (spec: INVITE-11).
    pub(crate) fn withdraw_used_by(&mut self, cx: &mut Cx, user: UserId) {
        let theirs: Vec<InvitationId> = self.own.iter().filter(|(_, own)| own.used_by == Some(user)).map(|(id, _)| *id).collect();
        for id in theirs {
            self.forget(cx, id, true);
        }
        self.answers.retain(|answer| answer.peer.user != user);
    }

    fn forget(&mut self, cx: &mut Cx, id: InvitationId, durable: bool) {
        self.own.remove(&id);
        cx.store(durable, |batch| batch.remove(key(id)));
    }

    /// Those that have not ended, by id.
    pub(crate) fn views(&self, wall: WallTime) -> impl Iterator<Item = InvitationView> + '_ {
        let open = self.own.iter().filter(move |(_, own)| own.until > wall);
        open.map(|(id, own)| InvitationView { id: *id, until: own.until, used_by: own.used_by })
    }

    /// Reads a stored one. What does not fit into a smaller configuration than it was made in leaves the store.
    pub(crate) fn on_loaded(&mut self, cx: &mut Cx, key: &[u8], value: &[u8]) -> Option<()> {
        let stored: Stored = serde_json::from_slice(value).ok()?;
        let secret = InvitationSecret::from_bytes(stored.secret);
        let id = secret.id();
        if key.get(1..)? != id.as_bytes() {
            return None;
        }
        let own = Own { until: stored.until, secret, used_by: stored.used_by, storing: None, told: stored.told };
        self.own.insert(id, own);
        if self.own.len() > cx.config.invitations_max as usize {
            self.forget(cx, id, false);
        }
        Some(())
    }
}

impl Own {
    /// Whether a new one may take its place: it is over, or its use is stored.
    fn makes_room(&self, wall: WallTime) -> bool {
        self.until <= wall || (self.used_by.is_some() && self.storing.is_none())
    }

    /// Whether the application has not heard of the use. From now on it has, in later lives too; after a crash it may hear
    /// of it once more.
    fn is_news(&mut self, cx: &mut Cx, id: InvitationId) -> bool {
        let is_news = !core::mem::replace(&mut self.told, true);
        if is_news {
            store(cx, id, self, false);
        }
        is_news
    }
}

fn forgotten_at(own: &Own) -> WallTime {
    own.until + core::time::Duration::from_millis(CLOCK_TOLERANCE_MS)
}

fn store(cx: &mut Cx, id: InvitationId, own: &Own, durable: bool) -> OpId {
    let stored = Stored { secret: *own.secret.as_bytes(), until: own.until, used_by: own.used_by, told: own.told };
    // Bytes and numbers always serialise.
    let value = serde_json::to_vec(&stored).unwrap_or_default();
    cx.store(durable, |batch| batch.put(key(id), value))
}

fn key(id: InvitationId) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(INVITATION_PREFIX);
    key.extend_from_slice(id.as_bytes());
    key
}
