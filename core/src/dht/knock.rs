//! Who is sent to knock at whose address, and who goes (spec: DHT-133, DHT-134).

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::rate::Name;
use super::realm::Realm;
use super::table::Entry;
use crate::address::{Group, group, is_lasting, plain_socket};
use crate::rng::Rng;
use crate::time::Time;

/// One of these, by chance, that is verified and whose group is none of those: whom to ask for a probe (not the group of the
/// server before), or whom to send when one was asked for (neither the asker's group nor one's own). O(n).
pub(crate) fn pick(nodes: impl Iterator<Item = Entry> + Clone, except: &[Group], rng: &mut Rng) -> Option<Entry> {
    let mut fit = nodes.filter(|entry| entry.is_verified() && !except.contains(&group(entry.at)));
    let count = u64::try_from(fit.clone().count()).unwrap_or(u64::MAX);
    let drawn = usize::try_from(rng.below(count)).unwrap_or_default();
    fit.nth(drawn)
}

/// Somebody asks us to ping an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand {
    /// Who asks, with a cookie that holds.
    pub(crate) by: SocketAddr,
    /// Whether that is a verified node of the table or a leaf.
    pub(crate) is_known: bool,
    /// What is to be pinged.
    pub(crate) at: SocketAddr,
    /// Where we are ourselves, if that is known.
    pub(crate) own: Option<SocketAddr>,
}

/// All of these are counted over so long.
const SPAN: Duration = Duration::from_secs(10);
/// What one node may ask for.
const BY_MAX: usize = 1;
/// How often one address is pinged, whoever asks.
const AT_MAX: usize = 3;
/// How many are obeyed in whichever second.
const SECOND_MAX: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

/// One that was obeyed: hashes of the two, of which a clash refuses somebody for ten seconds. 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Obeyed {
    when: Time,
    by: [u8; 4],
    at: [u8; 4],
}

/// The errands of the last ten seconds, in one realm: at most 20, 512 bytes; none, and no memory, when all is quiet.
pub(crate) struct Knocks {
    key: [u64; 2],
    realm: Realm,
    obeyed: Vec<Obeyed>,
}

impl Knocks {
    /// Allocates nothing yet; `key` comes from the node's generator.
    pub(crate) const fn new(realm: Realm, key: [u64; 2]) -> Self {
        Self { key, realm, obeyed: Vec::new() }
    }

    /// Whether to send one ping to the address, once. Only what is obeyed counts. O(n), n ≤ 20.
    pub(crate) fn obeys(&mut self, errand: &Errand, now: Time) -> bool {
        let (by, at) = (plain_socket(errand.by), plain_socket(errand.at));
        let are_here = [by, at].into_iter().all(|it| Realm::of(it) == Some(self.realm));
        let is_ours = errand.own.is_some_and(|own| self.realm.is_one(own, at));
        if !errand.is_known || !are_here || !is_lasting(at) || self.realm.is_one(by, at) || is_ours {
            return false;
        }
        self.obeyed.retain(|old| now.since(old.when) < SPAN);
        let new = Obeyed { when: now, by: self.tag(by), at: self.tag(at) };
        let count = |is_same: &dyn Fn(&Obeyed) -> bool| self.obeyed.iter().filter(|old| is_same(old)).count();
        let is_too_many = count(&|old| old.by == new.by) >= BY_MAX
            || count(&|old| old.at == new.at) >= AT_MAX
            || count(&|old| now.since(old.when) < SECOND) >= SECOND_MAX;
        if self.obeyed.is_empty() {
            self.obeyed = Vec::new();
        }
        if !is_too_many {
            self.obeyed.push(new);
        }
        !is_too_many
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.obeyed.capacity().saturating_mul(size_of::<Obeyed>())
    }

    fn tag(&self, at: SocketAddr) -> [u8; 4] {
        let mut name = Name::new(false);
        name.push_address(at, self.realm);
        name.tag(self.key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;
    use crate::address::Scope;
    use crate::dht::id::{Variant, node_id};
    use crate::dht::key::Hint;
    use crate::dht::table::{Answer, Rtt, Shape, Table};
    use crate::id::NodeKey;
    use crate::rng::Seed;

    const GLOBAL: Realm = Realm { is_v6: false, scope: Scope::Global };
    const LOOPBACK: Realm = Realm { is_v6: false, scope: Scope::Loopback };
    const START: Time = Time::from_secs(1_000);

    fn ip(b: u8, d: u8) -> SocketAddr {
        SocketAddr::from(([20, b, 1, d], 7))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn errand(by: SocketAddr, at: SocketAddr) -> Errand {
        Errand { by, is_known: true, at, own: Some(ip(200, 1)) }
    }

    fn later(millis: u64) -> Time {
        START + Duration::from_millis(millis)
    }

    fn table(groups: u8) -> Table {
        let mut table = Table::new(GLOBAL, Hint(0), Shape::SERVER);
        for n in 1..=groups {
            let at = ip(n, 1);
            let hint = node_id(&NodeKey::from_bytes([n; 32]), at, Variant::from_low_bits(n)).map_or(Hint(1), |id| id.hint());
            table.on_answer(&Answer { hint, at, rtt: Rtt::UNKNOWN, by_look_up: true, is_dual: None, descent: None }, START);
        }
        table
    }

    // spec-test: DHT-133
    #[test]
    fn a_verified_node_of_neither_group_is_sent_each_as_likely() {
        let mut table = table(6);
        let mut rng = Rng::from_seed(&Seed::from_bytes([5; 32]));
        let except = [group(ip(1, 99)), group(ip(2, 99))];
        let mut drawn = [0; 7];
        for _ in 0..4_000 {
            let picked = pick(table.mains(), &except, &mut rng).expect("four are left");
            let [_, n, ..] = match picked.at.ip() {
                core::net::IpAddr::V4(ip) => ip.octets(),
                core::net::IpAddr::V6(_) => [0; 4],
            };
            drawn[usize::from(n)] += 1;
        }
        assert_eq!(drawn[..3], [0, 0, 0]);
        assert!(drawn[3..].iter().all(|count| (850..=1_150).contains(count)), "{drawn:?}");
        for n in 3..=6 {
            for _ in 0..3 {
                table.on_miss(ip(n, 1), START);
            }
        }
        assert_eq!(pick(table.mains(), &except, &mut rng), None, "who is gone");
        assert_eq!(pick(Table::new(GLOBAL, Hint(0), Shape::SERVER).mains(), &[], &mut rng), None);
    }

    // spec-test: DHT-134
    #[test]
    fn only_known_nodes_have_us_knock_and_only_at_addresses_of_others() {
        let obeys = |realm: Realm, errand: &Errand| Knocks::new(realm, [1, 2]).obeys(errand, START);
        assert!(obeys(GLOBAL, &errand(ip(1, 1), ip(2, 1))));
        assert!(obeys(GLOBAL, &errand(ip(1, 1), ip(1, 2))), "a neighbour of the asker's");
        assert!(!obeys(GLOBAL, &Errand { is_known: false, ..errand(ip(1, 1), ip(2, 1)) }));
        for (by, bad) in [
            (ip(1, 1), "20.1.1.1:9"),
            (ip(1, 1), "20.200.1.1:9"),
            (ip(1, 1), "10.0.0.1:7"),
            (ip(1, 1), "127.0.0.1:7"),
            (ip(1, 1), "[2001:db8::1]:7"),
            (ip(1, 1), "20.2.1.1:0"),
            (ip(1, 1), "224.0.0.1:7"),
            (at("10.0.0.9:7"), "20.2.1.1:7"),
        ] {
            assert!(!obeys(GLOBAL, &errand(by, at(bad))), "{by} {bad}");
        }
        let v6 = Realm { is_v6: true, scope: Scope::Global };
        let by = at("[2001:db8::1]:7");
        assert!(obeys(v6, &errand(by, at("[2001:db8:9::1]:7"))));
        for made_up in ["[2002:1401:101::1]:7", "[64:ff9b::20.2.1.1]:7", "[2001::1]:7"] {
            assert!(!obeys(v6, &errand(by, at(made_up))), "{made_up}");
        }
        let here = Errand { own: Some(at("127.0.0.1:3")), ..errand(at("127.0.0.1:1"), at("127.0.0.1:2")) };
        assert!(obeys(LOOPBACK, &here) && !obeys(LOOPBACK, &Errand { at: at("127.0.0.1:3"), ..here }));
    }

    // spec-test: DHT-134
    #[test]
    fn one_asker_has_one_knock_and_one_address_gets_three_in_ten_seconds() {
        let mut knocks = Knocks::new(GLOBAL, [1, 2]);
        assert!(knocks.obeys(&errand(ip(1, 1), ip(2, 1)), START));
        for millis in (1_000..10_000).step_by(500) {
            assert!(!knocks.obeys(&errand(ip(1, 1), ip(3, 1)), later(millis)), "{millis}");
        }
        assert!(knocks.obeys(&errand(ip(1, 1), ip(3, 1)), later(10_000)), "what was refused was not counted");
        let mut knocks = Knocks::new(GLOBAL, [1, 2]);
        let victim = ip(100, 1);
        let obeyed: Vec<u64> =
            (0..40_u8).filter(|n| knocks.obeys(&errand(ip(n + 1, 1), victim), later(u64::from(*n) * 1_000))).map(u64::from).collect();
        assert_eq!(obeyed, [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]);
    }

    // spec-test: DHT-134
    #[test]
    fn no_more_than_two_a_second_go_out_whoever_asks_and_memory_is_bounded_and_given_back() {
        let mut knocks = Knocks::new(GLOBAL, [1, 2]);
        assert_eq!(knocks.heap_bytes(), 0);
        let mut obeyed: Vec<Time> = Vec::new();
        for n in 0..60_000_u32 {
            let [a, b, ..] = n.to_le_bytes();
            let now = later(u64::from(n));
            if knocks.obeys(&errand(SocketAddr::from(([30, a, b, 1], 7)), SocketAddr::from(([40, a, b, 1], 7))), now) {
                obeyed.push(now);
            }
            assert!(knocks.heap_bytes() <= 512);
        }
        assert!(obeyed.windows(3).all(|three| three[2].since(three[0]) >= SECOND));
        assert_eq!(obeyed.len(), 120);
        assert!(!knocks.obeys(&errand(ip(1, 1), ip(1, 1)), later(200_000)));
        assert!(knocks.obeys(&errand(ip(1, 1), ip(2, 1)), later(200_000)));
        assert!(knocks.heap_bytes() <= 64, "{}", knocks.heap_bytes());
    }

    proptest! {
        // spec-test: DHT-134
        #[test]
        fn in_no_ten_seconds_is_a_limit_passed(steps in prop::collection::vec((0_u8..30, 0_u8..6, any::<bool>(), 0_u64..1_500), 1..300)) {
            let mut knocks = Knocks::new(GLOBAL, [1, 2]);
            let mut now = START;
            let mut obeyed: Vec<(Time, u8, u8)> = Vec::new();
            for (by, at, is_known, millis) in steps {
                now = now + Duration::from_millis(millis);
                let errand = Errand { is_known, ..errand(ip(by, 1), ip(100 + at, 1)) };
                let within = |span: Duration| obeyed.iter().filter(move |(when, ..)| now.since(*when) < span);
                let is_allowed = is_known
                    && within(SECOND).count() < 2
                    && within(SPAN).all(|(_, other, _)| *other != by)
                    && within(SPAN).filter(|(.., other)| *other == at).count() < 3;
                prop_assert!(knocks.obeys(&errand, now) == is_allowed);
                if is_allowed {
                    obeyed.push((now, by, at));
                }
            }
        }
    }
}
