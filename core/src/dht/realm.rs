//! The networks that never mix: a family of addresses together with how far they reach.

use core::net::SocketAddr;

use super::id;
use super::key::Hint;
use crate::address::{Scope, bound, is_lasting, plain_socket, scope};

/// A family and a reach: at most six in all, each with its own table, id and estimate (spec: DHT-50).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Realm {
    pub(crate) is_v6: bool,
    pub(crate) scope: Scope,
}

impl Realm {
    /// Where this address belongs, which is without IPv6 clothes; `None` if nobody can be reached there.
    pub(crate) fn of(at: SocketAddr) -> Option<Self> {
        Some(Self { is_v6: at.is_ipv6(), scope: scope(at)? })
    }

    /// Whether a node with this hint may stand at this address, and be kept and named to others: of this realm, lasting,
    /// and fitting. One hash.
    pub(crate) fn takes(self, hint: Hint, at: SocketAddr) -> bool {
        Self::of(at) == Some(self) && is_lasting(at) && id::fits(hint, at)
    }

    /// Whether two addresses are one sender's: of one ip where these are scarce, else the same endpoint.
    pub(crate) fn is_one(self, a: SocketAddr, b: SocketAddr) -> bool {
        if self.is_global() { bound(a.ip()) == bound(b.ip()) } else { plain_socket(a) == plain_socket(b) }
    }

    /// Its family as people count: 4 or 6.
    pub(crate) const fn family(self) -> u8 {
        if self.is_v6 { 6 } else { 4 }
    }

    /// Its reach as one letter, wherever it is stored (spec: DHT-130).
    pub(crate) const fn letter(self) -> u8 {
        match self.scope {
            Scope::Loopback => b'l',
            Scope::Private => b'p',
            Scope::Global => b'g',
        }
    }

    /// Whether addresses are a scarce good here, so that groups are capped.
    pub(crate) const fn is_global(self) -> bool {
        matches!(self.scope, Scope::Global)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec-test: DHT-50
    #[test]
    fn a_realm_takes_lasting_addresses_of_its_family_and_reach_only() {
        let at = |text: &str| text.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let private = Realm { is_v6: false, scope: Scope::Private };
        assert_eq!(Realm::of(at("10.0.0.1:1")), Some(private));
        assert!(private.takes(Hint(1), at("10.0.0.1:1")));
        for other in ["127.0.0.1:1", "203.0.113.7:1", "[fd00::1]:1", "224.0.0.1:1", "10.0.0.1:0"] {
            assert!(!private.takes(Hint(1), at(other)), "{other}");
        }
        let private = Realm { is_v6: true, scope: Scope::Private };
        assert!(private.takes(Hint(1), at("[fd00::1]:1")) && !private.takes(Hint(1), at("[fe80::1]:1")), "no link-local address");
        let global = Realm { is_v6: false, scope: Scope::Global };
        assert!(!global.takes(Hint(1), at("203.0.113.7:1")), "a hint that is not of this address");
    }
}
