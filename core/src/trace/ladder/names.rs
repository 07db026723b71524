//! Names for keys: a journal's own, then one that was given, then a number by first appearance.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::super::journal::Journal;
use super::Ladder;
use crate::{LinkPeer, NodeKey, Peer, UserId};

/// Somebody whom an entry names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// The node of the journal with this index.
    Journal(usize),
    /// A user without a journal, or with several.
    User(UserId),
    /// An installation without a journal.
    Service(NodeKey),
    /// The other end of a link that was never proven.
    Unproven,
}

pub(super) struct Names<'a> {
    journals: &'a [Journal],
    users: BTreeMap<UserId, Box<str>>,
    services: BTreeMap<NodeKey, Box<str>>,
    users_numbered: u32,
}

impl<'a> Names<'a> {
    pub(super) fn new(ladder: &'a Ladder) -> Self {
        let users = ladder.renamed.iter().cloned().collect();
        Self { journals: &ladder.journals, users, services: BTreeMap::new(), users_numbered: 0 }
    }

    pub(super) fn link_peer(&self, with: Option<LinkPeer>) -> Who {
        match with {
            Some(LinkPeer::User(peer)) => self.peer(peer),
            Some(LinkPeer::Service(key)) => {
                self.journals.iter().position(|journal| journal.node == Some(key)).map_or(Who::Service(key), Who::Journal)
            }
            None => Who::Unproven,
        }
    }

    pub(super) fn peer(&self, peer: Peer) -> Who {
        self.journals.iter().position(|journal| journal.me == Some(peer)).map_or(Who::User(peer.user), Who::Journal)
    }

    /// The user's only journal here, or else the user.
    pub(super) fn user(&self, user: UserId) -> Who {
        let mut own = self.journals.iter().enumerate().filter(|(_, journal)| journal.me.is_some_and(|me| me.user == user));
        match (own.next(), own.next()) {
            (Some((index, _)), None) => Who::Journal(index),
            _ => Who::User(user),
        }
    }

    pub(super) fn show(&mut self, who: Who) -> String {
        match who {
            Who::Journal(index) => self.journals.get(index).map(|journal| self.renamed_or_own(journal)).unwrap_or_default(),
            Who::User(user) => {
                let numbered = &mut self.users_numbered;
                let name = self.users.entry(user).or_insert_with(|| {
                    *numbered = numbered.saturating_add(1);
                    format!("user{numbered}").into()
                });
                name.to_string()
            }
            Who::Service(key) => {
                let number = self.services.len().saturating_add(1);
                self.services.entry(key).or_insert_with(|| format!("node{number}").into()).to_string()
            }
            Who::Unproven => "?".into(),
        }
    }

    /// A name given to a user beats the journal's, unless the user has several journals here.
    fn renamed_or_own(&self, journal: &Journal) -> String {
        let given = journal.me.filter(|me| matches!(self.user(me.user), Who::Journal(_))).and_then(|me| self.users.get(&me.user));
        given.map_or_else(|| journal.name.to_string(), ToString::to_string)
    }
}
