//! Ids of nodes, bound to their address and their key (spec: DHT-4).
//!
//! Whoever picks a key freely gets an id that begins as its address says: eight places in the whole key space for an
//! IPv4 address, eight for an IPv6 network. The masks are those of BEP 42: the nearer two addresses, the fewer ids.

use core::net::{IpAddr, SocketAddr};

use super::key::{Hint, Key};
use crate::address::{Scope, bound, scope};
use crate::crypto::sha256;
use crate::id::NodeKey;

const V4_MASK: [u8; 4] = [0x03, 0x0F, 0x3F, 0xFF];
const V6_MASK: [u8; 8] = [0x01, 0x03, 0x07, 0x0F, 0x1F, 0x3F, 0x7F, 0xFF];
/// How many leading bits the address decides, with those of the variant behind them.
const ADDRESS_BITS: u32 = 20;
const BOUND_BITS: u32 = 23;

/// Which of the eight ids of its address a node has: 0 to 7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Variant(u8);

impl Variant {
    /// From the three lowest bits.
    pub(crate) const fn from_low_bits(drawn: u8) -> Self {
        Self(drawn & 7)
    }

    /// 0 to 7.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }
}

/// The id of a node with this key at this address: its port plays no part.
///
/// `None` if nobody can be reached there.
pub(crate) fn node_id(key: &NodeKey, at: SocketAddr, variant: Variant) -> Option<Key> {
    if scope(at)? != Scope::Global {
        return Some(Key::from_bytes(sha256(&[b"overcom/1 id key\0", key.as_bytes(), &[0]])));
    }
    let (masked, length) = masked(bound(at.ip()));
    let masked = masked.get(..length)?;
    let mut id = sha256(&[b"overcom/1 id key\0", key.as_bytes(), masked, &[variant.0]]);
    let [a, b, c, ..] = &mut id;
    let front = prefix(masked, variant);
    let rest = u32::from_be_bytes([0, *a, *b, *c]) & 1;
    [*a, *b, *c] = [byte(front >> 16), byte(front >> 8), byte(front | rest)];
    Some(Key::from_bytes(id))
}

/// Whether an id that begins like this may be at this address: true for all of addresses that are not global, since
/// these are no scarce good (spec: DHT-5). One hash.
pub(crate) fn fits(hint: Hint, at: SocketAddr) -> bool {
    match scope(at) {
        None => false,
        Some(Scope::Loopback | Scope::Private) => true,
        Some(Scope::Global) => {
            let (masked, length) = masked(bound(at.ip()));
            let front = hint.0 >> (64 - BOUND_BITS);
            // Three bits.
            let variant = Variant::from_low_bits(u8::try_from(front & 7).unwrap_or_default());
            masked.get(..length).is_some_and(|masked| u64::from(prefix(masked, variant) >> 1) == front)
        }
    }
}

/// Whether `id` is the one of a node with this key at this address, in whichever of its variants (spec: DHT-4).
pub(crate) fn is_of(id: &Key, key: &NodeKey, at: SocketAddr) -> bool {
    // Three bits; where the address is not global they mean nothing, and are not looked at.
    let variant = Variant::from_low_bits(u8::try_from((id.hint().0 >> (64 - BOUND_BITS)) & 7).unwrap_or_default());
    node_id(key, at, variant) == Some(*id)
}

/// The id of a node with this key at this address, in the variant that its hint says; `None` if it does not begin like that.
pub(crate) fn of_hint(key: &NodeKey, at: SocketAddr, hint: Hint) -> Option<Key> {
    let variant = Variant::from_low_bits(u8::try_from((hint.0 >> (64 - BOUND_BITS)) & 7).unwrap_or_default());
    node_id(key, at, variant).filter(|id| id.hint() == hint)
}

/// The first 24 bits of an id: twenty of the address, three of the variant, and a zero.
fn prefix(masked: &[u8], variant: Variant) -> u32 {
    let [a, b, c, ..] = sha256(&[b"overcom/1 id address\0", masked, &[variant.0]]);
    let address = u32::from_be_bytes([0, a, b, c]) >> (24 - ADDRESS_BITS) << (24 - ADDRESS_BITS);
    address | u32::from(variant.0) << (24 - BOUND_BITS)
}

/// What of an address counts, and how many bytes it is.
fn masked(ip: IpAddr) -> ([u8; 8], usize) {
    let mut out = [0; 8];
    let (bytes, mask): ([u8; 16], &[u8]) = match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            ([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &V4_MASK)
        }
        IpAddr::V6(v6) => (v6.octets(), &V6_MASK),
    };
    for ((out, byte), mask) in out.iter_mut().zip(bytes).zip(mask) {
        *out = byte & mask;
    }
    (out, mask.len())
}

/// The lowest eight bits.
const fn byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec::Vec;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    fn id(byte: u8, address: &str, variant: u8) -> Option<Key> {
        node_id(&NodeKey::from_bytes([byte; 32]), at(address), Variant::from_low_bits(variant))
    }

    // spec-test: DHT-4
    #[test]
    fn an_id_keeps_its_golden_value() {
        let ids = ["203.0.113.7:51820", "[2001:db8:85a3::1]:51820", "192.168.1.9:51820"].map(|text| id(7, text, 5));
        let texts: Vec<_> = ids.iter().flatten().map(Key::to_string).collect();
        assert_eq!(texts, GOLDEN);
    }

    const GOLDEN: [&str; 3] = [
        "VzRqhu4v-Qps-xHmphAancZDBmzSLak1KEqB3jAIc0Y",
        "6N6bLFRLZ88X9NJRHH_LoZ7GwRlA-QREQhPhOR3DZZc",
        "nWGV1zpUHKuwu3Jjm4m0tHrkXdVb02GXxSjzf8WLd18",
    ];

    // spec-test: DHT-4
    #[test]
    fn an_address_allows_eight_beginnings_whatever_the_key() {
        let mut fronts: Vec<u64> = (0..=255).filter_map(|n| id(n, "203.0.113.7:1", n)).map(|id| id.hint().0 >> 41).collect();
        fronts.sort_unstable();
        fronts.dedup();
        assert_eq!(fronts.len(), 8);
        assert_ne!(id(1, "203.0.113.7:1", 1), id(2, "203.0.113.7:1", 1), "the key decides the rest");
        assert_eq!(id(1, "203.0.113.7:1", 1), id(1, "203.0.113.7:9", 1), "the port nothing");
    }

    // spec-test: DHT-5
    #[test]
    fn an_id_fits_the_address_that_it_was_made_for_and_hardly_another() {
        for text in ["203.0.113.7:1", "[2001:db8:85a3::1]:1", "[64:ff9b::203.0.113.7]:1"] {
            for n in 0..=255 {
                assert!(id(n, text, n).is_some_and(|id| fits(id.hint(), at(text))), "{text}");
            }
        }
        let strangers = (0..=255).filter_map(|n| id(n, "203.0.113.7:1", n)).filter(|id| fits(id.hint(), at("198.51.100.4:1"))).count();
        assert_eq!(strangers, 0, "2⁻²⁰ each");
        assert!(fits(Hint(0), at("192.168.1.1:1")) && fits(Hint(u64::MAX), at("127.0.0.1:1")), "addresses that are no scarce good");
        assert!(!fits(Hint(0), at("224.0.0.1:1")));
    }

    // spec-test: DHT-4
    #[test]
    fn an_id_is_of_its_key_and_address_in_each_variant() {
        for text in ["203.0.113.7:1", "[2001:db8:85a3::1]:1", "192.168.1.9:1"] {
            for n in 0..8 {
                let own = id(3, text, n).map(|id| (is_of(&id, &NodeKey::from_bytes([3; 32]), at(text)), id));
                assert!(own.is_some_and(|(is_own, id)| is_own && !is_of(&id, &NodeKey::from_bytes([4; 32]), at(text))), "{text}");
            }
        }
        assert!(id(3, "203.0.113.7:1", 0).is_some_and(|id| !is_of(&id, &NodeKey::from_bytes([3; 32]), at("198.51.100.4:1"))));
    }

    // spec-test: DHT-4
    #[test]
    fn a_nat64_address_is_the_ipv4_address_that_it_leads_to() {
        assert_eq!(id(3, "[64:ff9b::203.0.113.7]:1", 2), id(3, "203.0.113.7:1", 2));
    }
}
