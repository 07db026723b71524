//! Invitations of others that this node uses: who is to be asked, on which links they were, and whom to tell what came of it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{NO_ROOM, OVER, TAKEN, UNKNOWN, USED};
use crate::close::CloseReason;
use crate::cx::Cx;
use crate::id::{InvitationId, OpId, PipeId, Tag, UserId};
use crate::invitation::{Invitation, InvitationSecret};
use crate::notice::FailReason;
use crate::time::WallTime;

/// Keys of joins under way start with this byte.
pub(crate) const JOIN_PREFIX: u8 = b'j';
/// Commands that wait for one join (guess: more than people paste one line).
const TAGS_MAX: usize = 8;

/// One join under way.
struct Join {
    invitation: Invitation,
    /// Whom to tell.
    tags: Vec<Tag>,
    /// The batch that holds it, while it is on its way: nothing is said before (spec: INVITE-9).
    storing: Option<OpId>,
    /// Links on which it was said and not answered.
    asked: Vec<PipeId>,
}

/// What an answer means.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Answered {
    /// Nobody waits for it.
    Unasked,
    /// Another device of the user may know more.
    Wait,
    /// That is it.
    Done(Vec<Tag>, Result<(), FailReason>),
}

#[derive(Default)]
pub(crate) struct Joins {
    joins: BTreeMap<InvitationId, Join>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    tags: Vec<Tag>,
    invitation: Invitation,
}

impl Joins {
    /// Whether one more command for this invitation fits.
    pub(crate) fn has_room(&self, cx: &Cx, id: InvitationId) -> bool {
        match self.joins.get(&id) {
            Some(join) => join.tags.len() < TAGS_MAX,
            None => self.joins.len() < cx.config.invitations_max as usize,
        }
    }

    /// Begins a join, or adds a command to one that is under way.
    pub(crate) fn begin(&mut self, cx: &mut Cx, tag: Tag, invitation: Invitation) {
        let id = invitation.id();
        let join = self.joins.entry(id).or_insert_with(|| Join { invitation, tags: Vec::new(), storing: None, asked: Vec::new() });
        join.tags.push(tag);
        let stored = Stored { tags: join.tags.clone(), invitation: join.invitation.clone() };
        // Numbers and text always serialise.
        let value = serde_json::to_vec(&stored).unwrap_or_default();
        join.storing = Some(cx.store(true, |batch| batch.put(key(id), value)));
    }

    /// Whether something is to be asked of `user`.
    pub(crate) fn waits_for(&self, user: UserId) -> bool {
        self.joins.values().any(|join| join.invitation.user() == user)
    }

    /// Who is to be asked.
    pub(crate) fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        self.joins.values().map(|join| join.invitation.user())
    }

    /// What is to be asked of `user` on a link, each once on each link.
    pub(crate) fn ask(&mut self, user: UserId, pipe: PipeId) -> Vec<(InvitationId, InvitationSecret)> {
        let mut questions = Vec::new();
        for (id, join) in &mut self.joins {
            if join.invitation.user() == user && join.storing.is_none() && !join.asked.contains(&pipe) {
                join.asked.push(pipe);
                questions.push((*id, join.invitation.secret().clone()));
            }
        }
        questions
    }

    /// A batch is stored: who can be asked now.
    pub(crate) fn on_stored(&mut self, op: OpId) -> Vec<UserId> {
        let mut users = Vec::new();
        for join in self.joins.values_mut().filter(|join| join.storing.is_some_and(|waits| waits <= op)) {
            join.storing = None;
            users.push(join.invitation.user());
        }
        users
    }

    /// A link is gone, and with it what was asked on it.
    pub(crate) fn on_unlink(&mut self, pipe: PipeId) {
        for join in self.joins.values_mut() {
            join.asked.retain(|asked| *asked != pipe);
        }
    }

    /// An answer came (spec: INVITE-8).
    pub(crate) fn on_answer(&mut self, cx: &mut Cx, pipe: PipeId, id: InvitationId, status: u16) -> Answered {
        let asked = self.joins.get_mut(&id).and_then(|join| join.asked.iter().position(|asked| *asked == pipe).map(|at| (join, at)));
        let Some((join, at)) = asked else { return Answered::Unasked };
        join.asked.swap_remove(at);
        let outcome = match status {
            TAKEN => Ok(()),
            UNKNOWN if !join.asked.is_empty() => return Answered::Wait,
            UNKNOWN => Err(FailReason::InvitationUnknown),
            USED => Err(FailReason::InvitationUsed),
            OVER => Err(FailReason::InvitationEnded),
            NO_ROOM => Err(FailReason::Refused(CloseReason::Full)),
            other => Err(FailReason::Refused(CloseReason::Unknown(other))),
        };
        Answered::Done(self.end(cx, id), outcome)
    }

    /// Gives up what is to be asked of `user`: whom to tell.
    pub(crate) fn give_up(&mut self, cx: &mut Cx, user: UserId) -> Vec<Tag> {
        let theirs: Vec<InvitationId> = self.joins.iter().filter(|(_, join)| join.invitation.user() == user).map(|(id, _)| *id).collect();
        theirs.into_iter().flat_map(|id| self.end(cx, id)).collect()
    }

    /// When the first invitation ends.
    pub(crate) fn due(&self) -> Option<WallTime> {
        self.joins.values().map(|join| join.invitation.until()).min()
    }

    /// Gives up those whose invitation has ended: whom to tell, and who need not be sought for it any more.
    pub(crate) fn on_due(&mut self, cx: &mut Cx) -> Vec<(UserId, Vec<Tag>)> {
        let over = self.joins.iter().filter(|(_, join)| join.invitation.until() <= cx.wall);
        let over: Vec<(InvitationId, UserId)> = over.map(|(id, join)| (*id, join.invitation.user())).collect();
        over.into_iter().map(|(id, user)| (user, self.end(cx, id))).collect()
    }

    fn end(&mut self, cx: &mut Cx, id: InvitationId) -> Vec<Tag> {
        cx.store(true, |batch| batch.remove(key(id)));
        self.joins.remove(&id).map(|join| join.tags).unwrap_or_default()
    }

    /// Reads a stored one. What does not fit into a smaller configuration than it was begun in leaves the store.
    pub(crate) fn on_loaded(&mut self, cx: &mut Cx, key: &[u8], value: &[u8]) -> Option<()> {
        let stored: Stored = serde_json::from_slice(value).ok()?;
        let id = stored.invitation.id();
        if key.get(1..)? != id.as_bytes() {
            return None;
        }
        let tags = stored.tags.into_iter().take(TAGS_MAX).collect();
        self.joins.insert(id, Join { invitation: stored.invitation, tags, storing: None, asked: Vec::new() });
        if self.joins.len() > cx.config.invitations_max as usize {
            let _ = self.end(cx, id);
        }
        Some(())
    }
}

fn key(id: InvitationId) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(JOIN_PREFIX);
    key.extend_from_slice(id.as_bytes());
    key
}
