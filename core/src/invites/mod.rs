//! Both halves of an invitation at a node: its own ones, which others use, and those of others, which it uses.

mod joins;
mod own;

pub(crate) use joins::{Answered, JOIN_PREFIX, Joins};
pub(crate) use own::{INVITATION_PREFIX, Invitations, Ripe, Verdict};

/// A join is taken.
pub(crate) const TAKEN: u16 = 200;
/// The invitation is not known, or the proof is wrong.
pub(crate) const UNKNOWN: u16 = 404;
/// Another user has used it.
pub(crate) const USED: u16 = 409;
/// Its time is over.
pub(crate) const OVER: u16 = 410;
/// The address book or the store has no room now.
pub(crate) const NO_ROOM: u16 = 503;
