//! The pure functions that every rule about addresses goes through: how far an address reaches, and
//! which addresses belong to one keeper.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// From where an address can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Scope {
    /// From this machine only.
    Loopback,
    /// From this network only.
    Private,
    /// From everywhere.
    Global,
}

/// How far `address` reaches; `None` if nobody can be reached there (wildcards, multicast, port 0, reserved ranges) (spec: FIND-2).
pub(crate) fn scope(address: SocketAddr) -> Option<Scope> {
    if address.port() == 0 {
        return None;
    }
    match plain(address.ip()) {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

/// Addresses that one keeper has many of: a /24 of IPv4, a /48 of IPv6. Where addresses are no scarce good, in scopes that
/// are not global, each endpoint is its own (spec: DHT-3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Group {
    /// The first 24 bits.
    V4([u8; 3]),
    /// The first 48 bits.
    V6([u8; 6]),
    /// One endpoint.
    Endpoint(SocketAddr),
}

/// The [`Group`] of an address.
pub(crate) fn group(address: SocketAddr) -> Group {
    match (scope(address), bound(address.ip())) {
        (Some(Scope::Global), IpAddr::V4(ip)) => {
            let [a, b, c, _] = ip.octets();
            Group::V4([a, b, c])
        }
        (Some(Scope::Global), IpAddr::V6(ip)) => {
            let [a, b, c, d, e, f, ..] = ip.octets();
            Group::V6([a, b, c, d, e, f])
        }
        _ => Group::Endpoint(plain_socket(address)),
    }
}

/// The larger neighbourhood: a /16 of IPv4, a /32 of IPv6, of which a provider gives one away (spec: DHT-3).
pub(crate) fn block(address: SocketAddr) -> Group {
    match group(address) {
        Group::V4([a, b, _]) => Group::V4([a, b, 0]),
        Group::V6([a, b, c, d, _, _]) => Group::V6([a, b, c, d, 0, 0]),
        endpoint @ Group::Endpoint(_) => endpoint,
    }
}

/// The address that a rule is about: what NAT64 (RFC 6052) leads to, otherwise the address itself, without IPv6 clothes.
pub(crate) fn bound(ip: IpAddr) -> IpAddr {
    match plain(ip) {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, ..] => translated(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
            _ => IpAddr::V6(v6),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether it is an address of its own, fit to be kept and handed on: not one that a gateway makes up (NAT64, 6to4,
/// Teredo), nor one that means something else on each link (spec: DHT-3).
pub(crate) fn is_lasting(address: SocketAddr) -> bool {
    match plain(address.ip()) {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) if v6.is_loopback() => true,
        IpAddr::V6(v6) => translated(v6).is_none() && !matches!(v6.segments(), [0x2001, 0, ..] | [0xfe80..=0xfebf, ..]),
    }
}

/// What one machine can have for the asking: an IPv4 address, a /64 of IPv6.
pub(crate) fn host(ip: IpAddr) -> IpAddr {
    match plain(ip) {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// An IPv4 address in IPv6 clothes is the IPv4 address.
pub(crate) fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// `address` without IPv6 clothes, so that one endpoint has one form.
pub(crate) fn plain_socket(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(plain(address.ip()), address.port())
}

fn scope_v4(ip: Ipv4Addr) -> Option<Scope> {
    let [a, b, ..] = ip.octets();
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || a == 0 || a >= 240 {
        None
    } else if ip.is_loopback() {
        Some(Scope::Loopback)
    } else if ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b)) {
        Some(Scope::Private)
    } else {
        Some(Scope::Global)
    }
}

fn scope_v6(ip: Ipv6Addr) -> Option<Scope> {
    if ip.is_unspecified() || ip.is_multicast() {
        None
    } else if ip.is_loopback() {
        Some(Scope::Loopback)
    } else if ip.is_unique_local() || ip.is_unicast_link_local() || is_local_once(ip) {
        Some(Scope::Private)
    } else if let Some(inner) = translated(ip) {
        // A gateway would reach its own network's addresses for whoever asks: only those that are global may be named so.
        scope_v4(inner).filter(|scope| *scope == Scope::Global)
    } else {
        Some(Scope::Global)
    }
}

/// Site-local (RFC 3879) and a network's own translation prefix (RFC 8215): no address of everybody.
fn is_local_once(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..])
}

/// The IPv4 address that a gateway makes of an IPv6 one: NAT64 (RFC 6052), 6to4 (RFC 3056), the two old forms (RFC 4291, RFC 2765).
fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0, 0, 0, 0, 0, 0, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] | [0x2002, a, b, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec-test: DHT-3
    #[test]
    fn a_keeper_has_a_group_and_a_provider_a_block_where_addresses_are_scarce() {
        let of = |text: &str| text.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let same = |by: fn(SocketAddr) -> Group, one: &str, other: &str| by(of(one)) == by(of(other));
        assert!(same(group, "203.0.113.7:1", "203.0.113.200:9") && !same(group, "203.0.113.7:1", "203.0.114.7:1"));
        assert!(same(block, "203.0.113.7:1", "203.0.114.7:9") && !same(block, "203.0.113.7:1", "203.1.113.7:1"));
        assert!(same(group, "[2001:db8:1::1]:1", "[2001:db8:1:ffff::1]:1") && !same(group, "[2001:db8:1::1]:1", "[2001:db8:2::1]:1"));
        assert!(same(block, "[2001:db8:1::1]:1", "[2001:db8:2::1]:1") && !same(block, "[2001:db8::1]:1", "[2001:db9::1]:1"));
        assert!(same(group, "[64:ff9b::203.0.113.7]:1", "203.0.113.9:1"), "what a gateway leads to");
        for by in [group, block] {
            assert!(!same(by, "192.168.1.1:1", "192.168.1.2:1") && !same(by, "127.0.0.1:1", "127.0.0.1:2"), "not where they are many");
            assert!(same(by, "[::ffff:10.0.0.1]:7", "10.0.0.1:7"));
        }
        for lasting in ["203.0.113.7:1", "10.0.0.1:1", "[2001:db8::1]:1", "[fd00::1]:1", "[::1]:1", "[::ffff:203.0.113.7]:1"] {
            assert!(is_lasting(of(lasting)), "{lasting}");
        }
        for made_up in ["[64:ff9b::203.0.113.7]:1", "[2002:cb00:7109::1]:1", "[2001::1]:1", "[fe80::1]:1"] {
            assert!(!is_lasting(of(made_up)), "{made_up}");
        }
    }

    #[test]
    fn a_host_is_an_ipv4_address_or_a_64_of_ipv6() {
        let of = |text: &str| text.parse().map(host).ok();
        assert_eq!(of("2001:db8::1:2:3:4"), of("2001:db8::"));
        assert_ne!(of("2001:db8:0:1::"), of("2001:db8::"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.8"), of("192.0.2.7"));
    }

    #[test]
    fn an_address_reaches_as_far_as_its_range_says() {
        let of = |text: &str| text.parse().ok().and_then(scope);
        for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(of(loopback), Some(Scope::Loopback), "{loopback}");
        }
        for private in [
            "10.0.0.5:22",
            "192.168.1.1:1",
            "172.16.0.1:1",
            "169.254.1.1:1",
            "100.64.0.1:1",
            "[fd00::1]:1",
            "[fe80::1]:1",
            "[::ffff:10.1.1.1]:1",
            "[fec0::1]:1",
            "[64:ff9b:1::10.0.0.1]:1",
        ] {
            assert_eq!(of(private), Some(Scope::Private), "{private}");
        }
        for global in ["203.0.113.9:7575", "[2001:db8::1]:1", "100.128.0.1:1", "[64:ff9b::203.0.113.9]:1", "[2002:cb00:7109::1]:1"] {
            assert_eq!(of(global), Some(Scope::Global), "{global}");
        }
        for nowhere in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "255.255.255.255:1", "8.8.8.8:0", "[ff02::1]:1", "0.1.2.3:1", "250.1.1.1:1"] {
            assert_eq!(of(nowhere), None, "{nowhere}");
        }
        for inside in
            ["[64:ff9b::10.0.0.1]:22", "[64:ff9b::127.0.0.1]:22", "[::127.0.0.1]:22", "[::ffff:0:192.168.1.1]:22", "[2002:a00:1::1]:22"]
        {
            assert_eq!(of(inside), None, "{inside}");
        }
    }
}
