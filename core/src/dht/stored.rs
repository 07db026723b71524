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
                        } else if let Some(before) = net.reach.id_before(&self.key) {
                            net.stand_around(before, cx.now);
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
    use core::net::SocketAddr;

    use super::super::id::{Variant, node_id};
    use super::super::table::{Answer, Mode, Rtt, Shape, Table};
    use super::*;
    use crate::id::NodeKey;
    use crate::{Config, Crypto, Event, NodeSecret, Seed, Solo, Time, WallTime};

    /// Around another point there would be places for a few of each bucket only.
    // spec-test: DHT-63
    #[test]
    fn a_server_that_begins_again_where_it_was_has_all_of_its_table() {
        let (now, wall, at) = (Time::from_secs(9), WallTime::from_millis(1 << 40), SocketAddr::from(([20, 1, 1, 1], 7)));
        let secret = NodeSecret::from_bytes([1; 32]);
        let own = node_id(&secret.key(&Crypto::standard()), at, Variant::from_low_bits(3)).expect("an address");
        let shape = Shape { is_wide: false, ..Shape::SERVER };
        let mut table = Table::new(Realm { is_v6: false, scope: Scope::Global }, own.hint(), shape);
        table.set_mode(Mode::Hard, now);
        for n in 0..4_000_u16 {
            let [a, b] = n.to_be_bytes();
            let at = SocketAddr::from(([30 + a, b, 1, 1], 7));
            let id = node_id(&NodeKey::from_bytes([b; 32]), at, Variant::from_low_bits(a)).expect("an address");
            let answer = Answer { hint: id.hint(), at, rtt: Rtt::UNKNOWN, by_look_up: true, is_dual: None, descent: None };
            table.on_answer(&answer, now);
        }
        let nodes = u64::try_from(table.len()).unwrap_or(0);
        assert!(nodes > 110, "{nodes}");
        let reach = [&[1, 4, b'g', 3, 3][..], &[20, 1, 1, 1, 0, 7], &[0]].concat();
        let items = [(&b"4gr"[..], reach), (b"4gt", table.store(now, wall))].map(|(key, value)| Item { key: key.to_vec(), value });
        let mut solo = Solo::new(Config::desktop().dht_wide(0), &secret, &Seed::from_bytes([2; 32]), now, wall).expect("a profile");
        assert_eq!(solo.restore(&items), 0);
        solo.handle(now, Event::addresses(&[at], false));
        assert_eq!(solo.view().realms.iter().map(|realm| realm.nodes).collect::<Vec<_>>(), [nodes]);
    }

    // spec-test: DHT-116
    #[test]
    fn who_may_not_serve_keeps_no_leaves_of_before() {
        let (now, at, leaf) = (Time::from_secs(9), SocketAddr::from(([20, 1, 1, 1], 7)), SocketAddr::from(([30, 1, 1, 1], 7)));
        let key = NodeKey::from_bytes([5; 32]);
        let id = node_id(&key, leaf, Variant::from_low_bits(1)).expect("an address");
        let ip = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 30, 1, 1, 1];
        let value = [&[1, 1][..], id.as_bytes(), key.as_bytes(), &ip, &[0, 7]].concat();
        for (config, leaves) in [(Config::desktop(), 1), (Config::mobile(), 0)] {
            let mut solo =
                Solo::new(config, &NodeSecret::from_bytes([1; 32]), &Seed::from_bytes([2; 32]), now, WallTime::from_millis(1 << 40))
                    .expect("a profile");
            assert_eq!(solo.restore(&[Item { key: b"4gl".to_vec(), value: value.clone() }]), 0);
            solo.handle(now, Event::addresses(&[at], false));
            assert_eq!(solo.view().realms.iter().map(|realm| realm.leaves).sum::<u64>(), leaves);
        }
    }

    #[test]
    fn each_realm_has_letters_of_its_own() {
        let scopes = [Scope::Loopback, Scope::Private, Scope::Global];
        for one in scopes.into_iter().flat_map(|scope| [false, true].map(|is_v6| Realm { is_v6, scope })) {
            assert_eq!(realm(letters(one)), Some(one));
        }
        assert_eq!([realm(*b"5g"), realm(*b"4x")], [None; 2]);
    }
}
