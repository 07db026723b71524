//! What a DHT keeps over restarts: a few items under keys of its own, each of which may be missing or of another format.

use alloc::vec::Vec;

use super::find::RollbackMemory;
use super::leaf;
use super::publish::Last;
use super::realm::Realm;
use super::table::Broken;
use super::{ACCEPTED_MAX, Dht};
use crate::action::Item;
use crate::address::Scope;
use crate::cx::Cx;

/// The letter that a key of a realm ends with.
const REACH: u8 = b'r';
const TABLE: u8 = b't';
const LEAVES: u8 = b'l';
/// The keys of what belongs to no realm.
const ACCEPTED: &[u8] = b"a";
const NUMBERS: &[u8] = b"n";

impl Dht {
    /// All of it as items, or of the realms one alone, to be handed to [`restore`](Self::restore) after the next start
    /// (spec: DHT-138). O(n).
    pub(crate) fn save(&self, cx: &Cx, only: Option<Realm>) -> Vec<Item> {
        let mut items = Vec::new();
        let mut put = |key: &[u8], value: Vec<u8>| items.push(Item { key: key.to_vec(), value });
        for net in self.nets.iter().filter(|net| only.is_none_or(|realm| net.realm == realm)) {
            let [family, reach] = letters(net.realm);
            put(&[family, reach, REACH], net.reach.store(&net.estimate));
            put(&[family, reach, TABLE], net.table.store(cx.now, cx.wall));
            put(&[family, reach, LEAVES], net.leaves.store());
        }
        put(ACCEPTED, self.accepted.to_bytes());
        items.push(self.save_numbers());
        items
    }

    /// The numbers of the own records alone (spec: DHT-145).
    pub(crate) fn save_numbers(&self) -> Item {
        Item { key: NUMBERS.to_vec(), value: self.numbers.to_bytes().to_vec() }
    }

    /// Takes one item back, before the first [`on_addresses`](Self::on_addresses).
    ///
    /// # Errors
    /// [`Broken`] for what is of another format or damaged; the node then goes on without it.
    pub(crate) fn restore(&mut self, cx: &Cx, item: &Item) -> Result<(), Broken> {
        match item.key.as_slice() {
            ACCEPTED => self.accepted = RollbackMemory::from_bytes(&item.value, ACCEPTED_MAX).ok_or(Broken::Content)?,
            NUMBERS => self.numbers = Last::from_bytes(&item.value).ok_or(Broken::Content)?,
            [family, reach, part] => {
                let realm = realm([*family, *reach]).ok_or(Broken::Content)?;
                let at = self.net_of(cx, realm, None).ok_or(Broken::Content)?;
                let net = self.nets.get_mut(at).ok_or(Broken::Content)?;
                match *part {
                    REACH => {
                        net.estimate = net.reach.restore(&item.value, cx.now)?.estimate;
                        // The variant that it has brought is part of the id.
                        if let Some(id) = net.reach.id(&self.key) {
                            net.move_to(id, cx.now);
                        }
                    }
                    TABLE => {
                        net.table.restore(&item.value, cx.now, cx.wall)?;
                        net.on_table(cx.now);
                        net.upkeep.on_contact(cx.now);
                    }
                    LEAVES => net.restore_leaves(leaf::read(&item.value)?, cx.now),
                    _ => return Err(Broken::Content),
                }
            }
            _ => return Err(Broken::Content),
        }
        Ok(())
    }
}

/// A realm in two letters, in the order of its family and its reach.
const fn letters(realm: Realm) -> [u8; 2] {
    [b'0' + realm.family(), realm.letter()]
}

fn realm(wanted: [u8; 2]) -> Option<Realm> {
    let scopes = [Scope::Loopback, Scope::Private, Scope::Global];
    let all = scopes.into_iter().flat_map(|scope| [false, true].map(|is_v6| Realm { is_v6, scope }));
    all.into_iter().find(|realm| letters(*realm) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_realm_has_letters_of_its_own() {
        let scopes = [Scope::Loopback, Scope::Private, Scope::Global];
        for one in scopes.into_iter().flat_map(|scope| [false, true].map(|is_v6| Realm { is_v6, scope })) {
            assert_eq!(realm(letters(one)), Some(one));
        }
        assert_eq!([realm(*b"5g"), realm(*b"4x")], [None; 2]);
    }
}
