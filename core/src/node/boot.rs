//! What survives a restart: read page by page before anything else, counted up, then the node starts.
//!
//! Keys begin with a byte that says what they hold: `a` the application's, `b` address book, `c` the counter of starts,
//! `d` proven devices, `e` entry peers, `g` the renewed delegation, `i` own invitations, `j` joins under way, `m` marks,
//! `n` the node secret, `o` waiting messages, `p` who is told where this device is, `r` revocations, `s` messages that some
//! devices have and others have not, `t` what the DHT knows, `v` the version of all this (spec: STORE-2).

use alloc::vec::Vec;

use super::Parts;
use super::dht::ITEM_PREFIX;
use crate::action::{Action, Item};
use crate::cx::APP_PREFIX;
use crate::error::StoreError;
use crate::event::Page;
use crate::id::{OpId, Tag, UserId};
use crate::identity::{Delegation, NodeSecret, Revocation};
use crate::inbox::MARK_PREFIX;
use crate::invites::{INVITATION_PREFIX, JOIN_PREFIX};
use crate::notice::Notice;
use crate::outbox::{OUTBOX_PREFIX, SHARED_PREFIX};
use crate::referral::book::{BOOK_PREFIX, DEVICE_PREFIX};
use crate::rng::Rng;
use crate::view::Phase;

/// The version of the keys and values; a newer one is refused (spec: STORE-3).
const STORE_VERSION: &[u8] = b"1";
const VERSION_KEY: &[u8] = b"v";
const COUNTER_KEY: &[u8] = b"c";
const NODE_KEY: &[u8] = b"n";
const DELEGATION_KEY: &[u8] = b"g";
const REVOCATION_PREFIX: u8 = b'r';
/// Past every key.
const END_KEY: &[u8] = &[0xFF];
/// Items that one page asks for (guess: a few hundred KiB at most).
const PAGE_ITEMS: u32 = 256;

/// Where a start stands.
pub(super) struct Boot {
    loading: Option<(OpId, Vec<u8>)>,
    /// Where the next page begins, while the application has to take notices before it is read.
    held: Option<Vec<u8>>,
    /// The batch that counts this start.
    counting: Option<OpId>,
    starts: u64,
    /// Something that was read makes no sense. Whether it is damaged or newer shows at the end.
    is_unreadable: bool,
    /// Drawn for a first start; replaced by what is stored.
    secret: NodeSecret,
    has_secret: bool,
    next_tag: u64,
}

impl Boot {
    pub(super) const fn new(secret: NodeSecret) -> Self {
        Self { loading: None, held: None, counting: None, starts: 0, is_unreadable: false, secret, has_secret: false, next_tag: 0 }
    }
}

pub(super) fn draw_node_secret(rng: &Rng) -> NodeSecret {
    NodeSecret::from_bytes(rng.fork("node secret", 0).array())
}

impl Parts {
    /// Asks for the next page of the state (spec: STORE-1).
    pub(super) fn load_from(&mut self, from: Vec<u8>) {
        let op = self.cx.op();
        self.boot.loading = Some((op, from.clone()));
        self.cx.actions.push_back(Action::Load { op, from, to: END_KEY.to_vec(), limit: PAGE_ITEMS });
    }

    pub(super) fn on_loaded(&mut self, op: OpId, outcome: Result<Page<'_>, StoreError>) {
        let Some((_, from)) = self.boot.loading.take_if(|(asked, _)| *asked == op && self.phase != Phase::Stopped) else {
            self.cx.stats.events_dropped = self.cx.stats.events_dropped.saturating_add(1);
            return;
        };
        let page = match outcome {
            Ok(page) if is_in_order(&from, page.items) => page,
            Ok(_) => return self.stop(StoreError::Failed),
            Err(why) => return self.stop(why),
        };
        let mut restored = Vec::new();
        for item in page.items {
            match self.on_item(item) {
                Ok(Some(saved)) => restored.push(saved),
                Ok(None) => {}
                // The version is read last, and explains more.
                Err(StoreError::Corrupt) => self.boot.is_unreadable = true,
                Err(why) => return self.stop(why),
            }
        }
        // A page that ends and says more without an item would never end.
        let next = page.items.last().filter(|_| page.more).map(|last| {
            let mut next = last.key.clone();
            next.push(0);
            next
        });
        if next.is_none() && self.boot.is_unreadable {
            return self.stop(StoreError::Corrupt);
        }
        if !restored.is_empty() || next.is_none() {
            self.cx.notify(Notice::Restored { items: restored, more: next.is_some() });
        }
        match next {
            Some(from) => {
                self.boot.held = Some(from);
                self.load_held();
            }
            None => self.count_start(),
        }
    }

    /// Asks for the page that is next once what it hands back can be told: what an application saved must not be among the
    /// notices that are dropped (spec: STORE-8, NODE-17).
    pub(super) fn load_held(&mut self) {
        if self.boot.held.is_none() || self.is_stopped() || !self.cx.has_notice_room() {
            return;
        }
        if let Some(from) = self.boot.held.take() {
            self.load_from(from);
        }
    }

    /// Takes one stored item in: `Some` for the application's, without the prefix.
    fn on_item(&mut self, item: &Item) -> Result<Option<Item>, StoreError> {
        let (key, value) = (item.key.as_slice(), item.value.as_slice());
        let Some(prefix) = key.first() else { return Ok(None) };
        let read = match *prefix {
            APP_PREFIX => {
                let key = key.get(1..).unwrap_or_default().to_vec();
                return Ok(Some(Item { key, value: value.to_vec() }));
            }
            b'v' if value == STORE_VERSION => Some(()),
            b'v' => return Err(StoreError::Newer),
            b'c' => value.first_chunk::<8>().map(|bytes| self.boot.starts = u64::from_be_bytes(*bytes)),
            b'n' => value.first_chunk::<32>().map(|bytes| {
                self.boot.secret = NodeSecret::from_bytes(*bytes);
                self.boot.has_secret = true;
                self.own.node_keys = self.boot.secret.noise_pair(&self.cx.config.crypto);
            }),
            b'g' => Delegation::from_json(value).ok().map(|delegation| self.take_renewal(&delegation)),
            BOOK_PREFIX | DEVICE_PREFIX | b'e' => self.book.on_loaded(&mut self.cx, key, value),
            INVITATION_PREFIX => self.invitations.on_loaded(&mut self.cx, key, value),
            JOIN_PREFIX => self.joins.on_loaded(&mut self.cx, key, value),
            MARK_PREFIX => self.inbox.on_loaded(&mut self.cx, key, value),
            OUTBOX_PREFIX => self.outbox.on_loaded(&self.cx, key, value),
            SHARED_PREFIX => self.outbox.on_shared_loaded(&mut self.cx, key),
            b'p' => self.on_publishing_item(value),
            ITEM_PREFIX => {
                self.on_dht_item(key.get(1..).unwrap_or_default(), value);
                Some(())
            }
            REVOCATION_PREFIX => {
                let learned = Revocation::from_json(value).ok();
                learned.and_then(|revocation| self.own.revocations.learn(&self.cx.config.crypto, revocation).ok()).map(|_| ())
            }
            _ => return Err(StoreError::Newer),
        };
        read.map(|()| None).ok_or(StoreError::Corrupt)
    }

    /// A stored renewal of these very credentials that ends later than they do is used in their place.
    fn take_renewal(&mut self, delegation: &Delegation) {
        if self.check_renewal(delegation).is_ok() {
            self.own.credentials = self.own.credentials.renewed(delegation.clone());
        }
    }

    /// Everything is read: counts this start, so that tags are never used twice (spec: STORE-7).
    fn count_start(&mut self) {
        self.cx.storage.is_held = false;
        self.boot.starts = self.boot.starts.saturating_add(1);
        let (starts, secret) = (self.boot.starts, (!self.boot.has_secret).then(|| self.boot.secret.to_secret_bytes()));
        let op = self.cx.store(true, |batch| {
            batch.put(COUNTER_KEY, starts.to_be_bytes());
            batch.put(VERSION_KEY, STORE_VERSION);
            if let Some(secret) = secret {
                batch.put(NODE_KEY, secret);
            }
        });
        self.boot.counting = Some(op);
    }

    pub(super) fn on_stored(&mut self, op: OpId, outcome: Result<(), StoreError>) {
        if !self.cx.storage.on_stored(op) || self.is_stopped() {
            self.cx.stats.events_dropped = self.cx.stats.events_dropped.saturating_add(1);
            return;
        }
        if let Err(why) = outcome {
            return self.stop(why);
        }
        if self.boot.counting.is_some_and(|counting| counting <= op) {
            self.boot.counting = None;
            self.start();
        }
        while let Some(ripe) = self.inbox.on_stored(op) {
            self.acknowledge(&ripe);
        }
        for peer in self.outbox.on_stored(&mut self.cx, op) {
            self.pump(peer);
        }
        self.on_invites_stored(op);
    }

    fn start(&mut self) {
        self.phase = Phase::Running;
        self.own.revocations.forget_ended(self.cx.wall);
        self.store_dropped_revocations();
        self.cx.notify(Notice::Started { me: self.me(), node: self.node_key() });
        self.arm_renewal();
        self.outbox.on_all_loaded(&mut self.cx);
        self.arm_invitations();
        self.begin_dht_if_known();
        self.seek_all();
    }

    /// The next tag: never used before with this store (spec: STORE-7).
    pub(super) const fn tag(&mut self) -> Tag {
        let tag = self.next_tag();
        self.boot.next_tag = self.boot.next_tag.saturating_add(1);
        tag
    }

    /// What [`tag`](Self::tag) will give.
    pub(super) const fn next_tag(&self) -> Tag {
        Tag::new((self.boot.starts << 32) | self.boot.next_tag.saturating_add(1))
    }

    pub(super) fn store_renewal(&mut self) {
        let json = self.own.credentials.delegation().to_json();
        self.cx.store(true, |batch| batch.put(DELEGATION_KEY, json.into_bytes()));
    }

    pub(super) fn store_revocation(&mut self, revocation: &Revocation) {
        let json = revocation.to_json();
        self.cx.store(true, |batch| batch.put(revocation_key(revocation.user()), json.into_bytes()));
    }

    /// Takes out of the store what the node has forgotten (spec: STORE-9).
    pub(super) fn store_dropped_revocations(&mut self) {
        for user in self.own.revocations.take_dropped() {
            self.cx.store(false, |batch| batch.remove(revocation_key(user)));
        }
    }
}

fn revocation_key(user: UserId) -> Vec<u8> {
    let mut key = Vec::with_capacity(33);
    key.push(REVOCATION_PREFIX);
    key.extend_from_slice(user.as_bytes());
    key
}

/// Whether each key comes after the one before, and none before what was asked for: a page that goes back would be read
/// for ever (spec: STORE-1).
fn is_in_order(from: &[u8], items: &[Item]) -> bool {
    items.first().is_none_or(|first| first.key.as_slice() >= from) && items.is_sorted_by(|a, b| a.key < b.key)
}
