//! What is known of users: addresses, proven devices, attempts. And the entry peers.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::close::CloseReason;
use crate::command::{Address, Entry};
use crate::cx::Cx;
use crate::id::{NodeKey, Peer, Tag, UserId};
use crate::identity::{Delegation, Devices};
use crate::notice::FailReason;
use crate::time::Time;
use crate::view::{AddressView, Attempt, AttemptOutcome, EntryView, SearchView};

/// Keys of the address book, of proven devices and of the entry peers start with these bytes.
pub(crate) const BOOK_PREFIX: u8 = b'b';
pub(crate) const DEVICE_PREFIX: u8 = b'd';
pub(crate) const ENTRIES_KEY: &[u8] = b"e";
/// Addresses of one user, entry peers, and searches that are remembered for `explain` (guess: what a person reads).
pub(crate) const ADDRESSES_MAX: usize = 8;
pub(crate) const ENTRIES_MAX: usize = 8;
const SEARCHES_MAX: usize = 4;
/// Finds of one user that wait at once (guess: more callers than one application has parts).
pub(crate) const FINDS_MAX: usize = 64;

/// What is known of one user.
#[derive(Default)]
pub(crate) struct User {
    pub(crate) addresses: Vec<AddressView>,
    /// The application has introduced them.
    pub(crate) introduced: bool,
    pub(crate) devices: Devices,
    /// The last ones, oldest first.
    #[expect(clippy::box_collection, reason = "few users are searched for, and all the others pay for the room")]
    pub(crate) searches: Option<Box<VecDeque<SearchView>>>,
    pub(crate) finds: Box<[Tag]>,
    /// How many tries were made since something began to wait; `None`: nothing waits.
    pub(crate) tries: Option<u32>,
    /// How many tries came, one after the other, to a link that fell at once without having been of use.
    pub(crate) spent: u32,
    pub(crate) last: Option<AttemptOutcome>,
    pub(crate) failure: Option<FailReason>,
}

/// An entry peer and how it goes with it.
pub(crate) struct EntryPeer {
    pub(crate) entry: Entry,
    /// The key that it had first, or has now.
    pub(crate) known: Option<NodeKey>,
    pub(crate) tries: u32,
    pub(crate) linked: bool,
    /// How the last one ended, for whoever looks.
    attempt: Option<Attempt>,
}

impl EntryPeer {
    const fn new(entry: Entry, known: Option<NodeKey>) -> Self {
        Self { entry, known, tries: 0, linked: false, attempt: None }
    }
}

#[derive(Default)]
pub(crate) struct Book {
    /// Boxed, so that the map's nodes, which are half empty, are small.
    users: BTreeMap<UserId, Box<User>>,
    pub(crate) entries: Vec<EntryPeer>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    entry: Entry,
    #[serde(default)]
    known: Option<NodeKey>,
}

impl Book {
    /// What is known of a user.
    pub(crate) fn user(&self, user: UserId) -> Option<&User> {
        self.users.get(&user).map(|known| &**known)
    }

    /// What is known of a user, to change it; `None` when the book is full of users that matter more. Whoever makes room
    /// leaves the store too (spec: STORE-9).
    pub(crate) fn user_mut(&mut self, cx: &mut Cx, user: UserId) -> Option<&mut User> {
        if !self.users.contains_key(&user) && self.users.len() >= cx.config.book_users_max as usize {
            let is_spare = |known: &User| !known.introduced && known.tries.is_none() && known.finds.is_empty();
            let spare = self.users.iter().find(|(_, known)| is_spare(known)).map(|(user, _)| *user)?;
            for device in self.users.remove(&spare).iter().flat_map(|known| known.devices.iter()) {
                cx.store(false, |batch| batch.remove(device_key(device.peer())));
            }
        }
        Some(&mut **self.users.entry(user).or_default())
    }

    /// What is known of a user that is known.
    pub(crate) fn known_mut(&mut self, user: UserId) -> Option<&mut User> {
        self.users.get_mut(&user).map(|known| &mut **known)
    }

    /// Users in the book, in order.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&UserId, &User)> {
        self.users.iter().map(|(user, known)| (user, &**known))
    }

    /// Sets a user's addresses and stores them. `false`: the book is full (spec: FIND-1).
    pub(crate) fn introduce(&mut self, cx: &mut Cx, user: UserId, addresses: &[Address]) -> bool {
        let Some(known) = self.user_mut(cx, user) else { return false };
        known.introduced = true;
        known.addresses = addresses.iter().map(|address| AddressView { address: address.clone(), attempt: None }).collect();
        if let Ok(value) = serde_json::to_vec(addresses) {
            cx.store(true, |batch| batch.put(user_key(BOOK_PREFIX, user), value));
        }
        true
    }

    /// Adds to a user's addresses, the newest first, and stores them; what is too many at the end is left out. `false`: the
    /// book is full (spec: INVITE-10).
    pub(crate) fn add(&mut self, cx: &mut Cx, user: UserId, addresses: &[Address]) -> bool {
        let mut all = addresses.to_vec();
        let known = self.user(user).into_iter().flat_map(|known| known.addresses.iter().map(|view| &view.address));
        for address in known {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all.truncate(ADDRESSES_MAX);
        self.introduce(cx, user, &all)
    }

    /// Takes a user's addresses out. The devices that were proven stay known.
    pub(crate) fn forget(&mut self, cx: &mut Cx, user: UserId) -> Vec<Tag> {
        let Some(known) = self.users.get_mut(&user) else { return Vec::new() };
        let finds = core::mem::take(&mut known.finds).into_vec();
        (known.introduced, known.tries) = (false, None);
        known.addresses.clear();
        cx.store(true, |batch| batch.remove(user_key(BOOK_PREFIX, user)));
        finds
    }

    /// An address was tried.
    pub(crate) fn on_tried(&mut self, now: Time, user: UserId, address: &Address, outcome: AttemptOutcome) {
        let Some(known) = self.users.get_mut(&user) else { return };
        known.last = Some(outcome);
        if let Some(view) = known.addresses.iter_mut().find(|view| view.address == *address) {
            view.attempt = Some(Attempt { at: now, outcome });
        }
    }

    /// A link with a user fell as soon as it was up: who answers there refuses.
    pub(crate) fn on_fallen(&mut self, user: UserId, why: CloseReason) {
        let Some(known) = self.users.get_mut(&user) else { return };
        known.last = Some(AttemptOutcome::Closed(why));
        let attempts = known.addresses.iter_mut().filter_map(|view| view.attempt.as_mut());
        if let Some(attempt) = attempts.filter(|attempt| attempt.outcome == AttemptOutcome::Linked).max_by_key(|attempt| attempt.at) {
            attempt.outcome = AttemptOutcome::Closed(why);
        }
    }

    /// A device has proven itself: remembered, so that the next time it costs no round trip. `false`: it was known so.
    pub(crate) fn on_proven(&mut self, cx: &mut Cx, delegation: &Delegation) -> bool {
        let devices_max = cx.config.devices_per_user_max as usize;
        // Who comes while nothing can be stored is met again another time: a stranger is not even remembered.
        let has_room = cx.has_store_room();
        if !has_room && self.user(delegation.user()).is_none_or(|known| !known.introduced) {
            return false;
        }
        let Some(known) = self.user_mut(cx, delegation.user()) else { return false };
        if known.devices.get(delegation.device()).is_some_and(|old| old == delegation || old.until() > delegation.until()) {
            return false;
        }
        let gone = known.devices.keep(delegation.clone(), devices_max);
        if !has_room {
            return true;
        }
        if let Some(device) = gone {
            cx.store(false, |batch| batch.remove(device_key(Peer { user: delegation.user(), device })));
        }
        cx.store(false, |batch| batch.put(device_key(delegation.peer()), delegation.to_json().into_bytes()));
        true
    }

    /// A search went out for a user.
    pub(crate) fn on_search(&mut self, user: UserId, at: Time, asked: u32) {
        if let Some(known) = self.users.get_mut(&user) {
            let searches = known.searches.get_or_insert_default();
            if searches.len() >= SEARCHES_MAX {
                searches.pop_front();
            }
            searches.push_back(SearchView { at, asked, status: None });
        }
    }

    /// A search for a user was answered; the best answer counts (200 before 202 before the others).
    pub(crate) fn on_answer(&mut self, user: UserId, status: u16) {
        if let Some(search) = self.users.get_mut(&user).and_then(|known| known.searches.as_mut()?.back_mut()) {
            search.status = Some(search.status.map_or(status, |old| old.min(status)));
        }
    }

    /// Why a user cannot be reached, by what is known.
    pub(crate) fn reason(&self, user: UserId) -> FailReason {
        let Some(known) = self.users.get(&user) else { return FailReason::NotFound };
        match known.last {
            Some(AttemptOutcome::Closed(why)) if !matches!(why, CloseReason::Lost | CloseReason::Timeout) => FailReason::Refused(why),
            _ if known.addresses.is_empty() => FailReason::NotFound,
            _ => FailReason::Unreachable,
        }
    }

    /// Sets the entry peers and stores them; keys that are remembered stay with their addresses.
    pub(crate) fn set_entries(&mut self, cx: &mut Cx, entries: Vec<Entry>) {
        let old = core::mem::take(&mut self.entries);
        let known =
            |entry: &Entry| entry.key.or_else(|| old.iter().find(|peer| peer.entry.address == entry.address).and_then(|peer| peer.known));
        self.entries = entries.into_iter().map(|entry| EntryPeer::new(entry.clone(), known(&entry))).collect();
        self.store_entries(cx);
    }

    /// An attempt to reach an entry peer has ended, or its link.
    pub(crate) fn on_entry_tried(&mut self, at: Time, entry: u32, outcome: AttemptOutcome) {
        if let Some(peer) = self.entries.get_mut(entry as usize) {
            peer.attempt = Some(Attempt { at, outcome });
        }
    }

    /// The entry peers, as whoever looks sees them.
    pub(crate) fn entry_views(&self) -> impl Iterator<Item = EntryView> + '_ {
        self.entries.iter().map(|peer| EntryView { entry: peer.entry.clone(), linked: peer.linked, attempt: peer.attempt })
    }

    /// Stores the entry peers with their keys.
    pub(crate) fn store_entries(&self, cx: &mut Cx) {
        let stored: Vec<StoredEntry> =
            self.entries.iter().map(|peer| StoredEntry { entry: peer.entry.clone(), known: peer.known }).collect();
        if let Ok(value) = serde_json::to_vec(&stored) {
            cx.store(true, |batch| batch.put(ENTRIES_KEY, value));
        }
    }

    /// Reads what is stored of the book.
    pub(crate) fn on_loaded(&mut self, cx: &mut Cx, key: &[u8], value: &[u8]) -> Option<()> {
        match *key.first()? {
            BOOK_PREFIX => {
                let addresses: Vec<Address> = serde_json::from_slice(value).ok()?;
                // A book that is smaller now than it was leaves out what does not fit. What people have entered stays stored.
                let Some(known) = self.user_mut(cx, user_of(key)?) else { return Some(()) };
                known.introduced = true;
                known.addresses = addresses.into_iter().take(ADDRESSES_MAX).map(|address| AddressView { address, attempt: None }).collect();
            }
            DEVICE_PREFIX => {
                let delegation = Delegation::from_json(value).ok()?;
                let (peer, devices_max) = (delegation.peer(), cx.config.devices_per_user_max as usize);
                let gone = match self.user_mut(cx, peer.user) {
                    Some(known) => known.devices.keep(delegation, devices_max).map(|device| Peer { user: peer.user, device }),
                    None => Some(peer),
                };
                if let Some(gone) = gone {
                    cx.store(false, |batch| batch.remove(device_key(gone)));
                }
            }
            _ => {
                let stored: Vec<StoredEntry> = serde_json::from_slice(value).ok()?;
                self.entries = stored.into_iter().take(ENTRIES_MAX).map(|it| EntryPeer::new(it.entry, it.known)).collect();
            }
        }
        Some(())
    }
}

fn user_key(prefix: u8, user: UserId) -> Vec<u8> {
    let mut key = Vec::with_capacity(33);
    key.push(prefix);
    key.extend_from_slice(user.as_bytes());
    key
}

fn user_of(key: &[u8]) -> Option<UserId> {
    key.get(1..)?.first_chunk::<32>().map(|bytes| UserId::from_bytes(*bytes))
}

fn device_key(peer: Peer) -> Vec<u8> {
    let mut key = user_key(DEVICE_PREFIX, peer.user);
    key.extend_from_slice(peer.device.as_bytes());
    key
}
