//! What is shown in datagrams: cookies and tokens, which only their maker checks, and the proof that a node has its key.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use zeroize::ZeroizeOnDrop;

use super::id;
use super::key::Key;
use super::wire::Exchange;
use crate::address::plain_socket;
use crate::crypto::noise::KeyPair;
use crate::crypto::{Crypto, derive, is_same_proof, mac, short_mac};
use crate::error::WireError;
use crate::id::{NodeKey, array_from_base64};
use crate::rng::Rng;
use crate::time::Time;

/// How long a secret makes cookies and tokens; it checks them for as long again (spec: DHT-20).
const EPOCH: Duration = Duration::from_secs(5 * 60);

macro_rules! proof {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name([u8; $length]);

        impl $name {
            #[cfg_attr(not(test), allow(dead_code, reason = "only cookies come in bytes, from where they are kept"))]
            pub(crate) const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            pub(crate) const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// From its text on the wire.
            pub(crate) fn from_text(text: &str) -> Result<Self, WireError> {
                array_from_base64(text).map(Self)
            }
        }

        /// In a time that does not tell where two differ.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                is_same_proof(&self.0, &other.0)
            }
        }

        impl Eq for $name {}
    };
}

proof! {
    /// Shows that its bearer gets what is sent to its address.
    Cookie, 8
}
proof! {
    /// Shows that its bearer has asked for a target from its address, and lets it write there.
    Token, 16
}
proof! {
    /// Shows that a node has the secret of its key.
    Hello, 16
}

/// A cookie that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// Under the secret of now, so that it holds for five minutes more.
    Current,
    Previous,
}

/// The secrets behind a node's own cookies and tokens: one of each five minutes, of which the last two count.
///
/// They are drawn from a generator of this run and never kept, so that a restart ends them. 80 bytes.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Secrets {
    rng: Rng,
    #[zeroize(skip)]
    epoch: u64,
    current: [u8; 16],
    previous: [u8; 16],
}

impl Secrets {
    /// `rng` is a fork for these secrets alone.
    pub(crate) fn new(rng: Rng, now: Time) -> Self {
        let mut secrets = Self { rng, epoch: 0, current: [0; 16], previous: [0; 16] };
        secrets.draw(epoch(now));
        secrets
    }

    /// To be called before each use: takes the secrets of `now`. Nothing happens within five minutes.
    pub(crate) fn turn(&mut self, now: Time) {
        let epoch = epoch(now);
        if epoch != self.epoch {
            self.draw(epoch);
        }
    }

    fn draw(&mut self, epoch: u64) {
        // That of the epoch before is what it was then, also when no packet came in it.
        let of = |epoch| self.rng.fork("epoch", epoch).array();
        (self.current, self.previous) = (of(epoch), of(epoch.wrapping_sub(1)));
        self.epoch = epoch;
    }

    /// The cookie for who asks from `from`.
    pub(crate) fn cookie(&self, from: SocketAddr) -> Cookie {
        cookie(&self.current, from)
    }

    /// Whether it is a cookie that was given to `from` in this epoch or the one before.
    pub(crate) fn check(&self, given: Cookie, from: SocketAddr) -> Option<Shown> {
        // Both, whatever the first says.
        let (current, previous) = (cookie(&self.current, from), cookie(&self.previous, from));
        match (current == given, previous == given) {
            (true, _) => Some(Shown::Current),
            (false, true) => Some(Shown::Previous),
            (false, false) => None,
        }
    }

    /// The token for who asks from `from` about `target`.
    pub(crate) fn token(&self, from: SocketAddr, target: &Key) -> Token {
        token(&self.current, from, target)
    }

    /// Whether it is a token that was given to `from` for `target` in this epoch or the one before.
    pub(crate) fn lets_write(&self, given: Token, from: SocketAddr, target: &Key) -> bool {
        (token(&self.current, from, target) == given) | (token(&self.previous, from, target) == given)
    }
}

fn epoch(now: Time) -> u64 {
    now.since(Time::ZERO).as_secs() / EPOCH.as_secs()
}

fn cookie(secret: &[u8; 16], from: SocketAddr) -> Cookie {
    let [a, b, c, d, e, f, g, h, ..] = keyed(secret, b'c', from, &[]);
    Cookie([a, b, c, d, e, f, g, h])
}

fn token(secret: &[u8; 16], from: SocketAddr, target: &Key) -> Token {
    Token(keyed(secret, b't', from, target.as_bytes()))
}

/// Every part has a length of its own kind, so that no two inputs give the same bytes.
fn keyed(secret: &[u8; 16], kind: u8, from: SocketAddr, target: &[u8]) -> [u8; 16] {
    let from = plain_socket(from);
    let port = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(ip) => short_mac(secret, &[&[kind, 4], &ip.octets(), &port, target]),
        IpAddr::V6(ip) => short_mac(secret, &[&[kind, 6], &ip.octets(), &port, target]),
    }
}

/// The proof of the node `own`, whose id is `id`, to who asked with `challenge`; `None` if that is a key of small order. One
/// agreement.
pub(crate) fn say_hello(crypto: &Crypto, own: &KeyPair, id: &Key, challenge: &[u8; 32], exchange: Exchange) -> Option<Hello> {
    own.agree(crypto, challenge).map(|shared| hello(&shared, id, challenge, exchange))
}

/// Whether the node that answered from `at` as `id` has the secret of `key`, and its id is the one of this key at this address.
/// `challenge` is the pair that was drawn for this question, whose public half was sent. One agreement (spec: DHT-21).
pub(crate) fn is_hello(
    crypto: &Crypto,
    challenge: &KeyPair,
    exchange: Exchange,
    id: &Key,
    at: SocketAddr,
    key: &NodeKey,
    given: Hello,
) -> bool {
    let shared = || challenge.agree(crypto, key.as_bytes());
    id::is_of(id, key, at) && shared().is_some_and(|shared| hello(&shared, id, challenge.public(), exchange) == given)
}

fn hello(shared: &[u8; 32], id: &Key, challenge: &[u8; 32], exchange: Exchange) -> Hello {
    let (key, _) = halves(derive(shared, b"overcom/1 dht hello", &[]));
    let (proof, _) = halves(mac(&key, &[b"overcom/1 dht hello\0", challenge, id.as_bytes(), exchange.as_bytes()]));
    Hello(proof)
}

fn halves(bytes: [u8; 32]) -> ([u8; 16], [u8; 16]) {
    let mut bytes = bytes.into_iter();
    let mut half = || core::array::from_fn(|_| bytes.next().unwrap_or_default());
    (half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::id::{Variant, node_id};
    use crate::id::to_base64;
    use crate::rng::Seed;

    const FORGERIES: u32 = 100_000;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn from_number(n: u32) -> SocketAddr {
        SocketAddr::from((n.to_be_bytes(), 51_820))
    }

    fn rng() -> Rng {
        Rng::from_seed(&Seed::from_bytes([7; 32]))
    }

    fn secrets(now: Time) -> Secrets {
        Secrets::new(rng(), now)
    }

    // spec-test: DHT-20
    #[test]
    fn a_cookie_and_a_token_hold_for_five_to_ten_minutes() {
        let (from, target) = (at("203.0.113.7:1"), Key::from_bytes([5; 32]));
        for began in [0, 299] {
            let mut secrets = secrets(Time::from_secs(900 + began));
            let (cookie, token) = (secrets.cookie(from), secrets.token(from, &target));
            for now in 900 + began..1_800 {
                secrets.turn(Time::from_secs(now));
                let is_alive = now < 1_500;
                assert_eq!(
                    (secrets.check(cookie, from).is_some(), secrets.lets_write(token, from, &target)),
                    (is_alive, is_alive),
                    "{now}"
                );
            }
            // Nobody came for an hour.
            secrets.turn(Time::from_secs(5_400));
            assert_ne!(secrets.cookie(from), cookie);
        }
    }

    // spec-test: DHT-20
    #[test]
    fn a_cookie_is_of_one_address_and_a_token_of_one_target_too() {
        let secrets = secrets(Time::ZERO);
        let (one, other) = (Key::from_bytes([5; 32]), Key::from_bytes([6; 32]));
        let addresses = ["203.0.113.7:1", "203.0.113.7:2", "203.0.113.8:1", "[2001:db8::7]:1", "[2001:db8::7]:2"].map(at);
        for (index, from) in addresses.iter().enumerate() {
            let (cookie, token) = (secrets.cookie(*from), secrets.token(*from, &one));
            for (number, to) in addresses.iter().enumerate() {
                assert_eq!(
                    (secrets.check(cookie, *to).is_some(), secrets.lets_write(token, *to, &one)),
                    (index == number, index == number)
                );
                assert!(!secrets.lets_write(token, *to, &other));
            }
        }
        assert_eq!(secrets.cookie(at("[::ffff:203.0.113.7]:1")), secrets.cookie(at("203.0.113.7:1")), "in whatever clothes");
        let [a, b, c, d, e, f, g, h, ..] = *secrets.token(addresses[0], &one).as_bytes();
        assert_ne!(secrets.cookie(addresses[0]), Cookie([a, b, c, d, e, f, g, h]), "a token's beginning is no cookie");
    }

    // spec-test: DHT-20
    #[test]
    fn no_forgery_holds() {
        let secrets = secrets(Time::from_secs(300_000));
        let mut rng = rng().fork("forger", 1);
        let (victim, target) = (at("198.51.100.7:51820"), Key::from_bytes([5; 32]));
        let other_node = Secrets::new(rng.fork("other node", 1), Time::from_secs(300_000));
        let mut own: [[u8; 8]; 3] = [[0; 8]; 3];
        for n in 0..FORGERIES {
            let (place, port) = (from_number(0x0B00_0000 | n), SocketAddr::new(victim.ip(), u16::try_from(n % 50_000).unwrap()));
            own.rotate_left(1);
            own[0] = *secrets.cookie(place).as_bytes();
            let other_target = Key::from_bytes(core::array::from_fn(|at| if at < 4 { n.to_le_bytes()[at] } else { 5 }));
            let (cookie, token) = match n % 6 {
                0 => (Cookie(rng.array()), Token(rng.array())),
                1 => (Cookie(own[0]), secrets.token(place, &target)),
                // What an attacker has been given, mixed.
                2 => (Cookie(core::array::from_fn(|at| own[0][at] ^ own[1][at] ^ own[2][at])), secrets.token(victim, &other_target)),
                3 => (secrets.cookie(port), secrets.token(port, &target)),
                4 => (other_node.cookie(victim), other_node.token(victim, &target)),
                _ => {
                    // All epochs but the last two of a thousand.
                    let long_ago = Secrets::new(self::rng(), Time::from_secs(u64::from(n % 999) * 300));
                    (long_ago.cookie(victim), long_ago.token(victim, &target))
                }
            };
            assert!(secrets.check(cookie, victim).is_none() && !secrets.lets_write(token, victim, &target), "{n}");
        }
        assert!(
            secrets.check(secrets.cookie(victim), victim) == Some(Shown::Current)
                && secrets.lets_write(secrets.token(victim, &target), victim, &target)
        );
    }

    // spec-test: DHT-21
    #[test]
    fn hello_proves_the_key_of_who_answers_at_an_address_to_who_asked() {
        let crypto = Crypto::standard();
        let (node, asker) = (KeyPair::new(&crypto, [7; 32]), KeyPair::new(&crypto, [8; 32]));
        let (key, place) = (NodeKey::from_bytes(*node.public()), at("203.0.113.97:51820"));
        let id = node_id(&key, place, Variant::from_low_bits(5)).unwrap();
        let exchange = Exchange::from_bytes([3; 8]);
        let proof = say_hello(&crypto, &node, &id, asker.public(), exchange).unwrap();
        assert_eq!(to_base64(proof.as_bytes()), GOLDEN_HELLO);
        let is =
            |asker: &KeyPair, exchange, id: &Key, place, key: &NodeKey, proof| is_hello(&crypto, asker, exchange, id, place, key, proof);
        assert!(is(&asker, exchange, &id, place, &key, proof));
        assert!(is(&asker, exchange, &id, at("203.0.113.97:9"), &key, proof), "the port is no part of an id");
        assert!(!is(&asker, exchange, &id, at("198.51.100.4:51820"), &key, proof), "passed on by somebody else");
        assert!(!is(&asker, Exchange::from_bytes([4; 8]), &id, place, &key, proof));
        assert!(!is(&KeyPair::new(&crypto, [9; 32]), exchange, &id, place, &key, proof), "another challenge");
        let other_id = node_id(&key, place, Variant::from_low_bits(6)).unwrap();
        assert!(!is(&asker, exchange, &other_id, place, &key, proof));
        assert!(!is(&asker, exchange, &id, place, &NodeKey::from_bytes([1; 32]), proof));
        for bit in 0..128 {
            let mut changed = *proof.as_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!is(&asker, exchange, &id, place, &key, Hello::from_bytes(changed)), "{bit}");
        }
        // Whoever knows all but the secret has not the proof either.
        let liar = say_hello(&crypto, &KeyPair::new(&crypto, [1; 32]), &id, asker.public(), exchange).unwrap();
        assert!(!is(&asker, exchange, &id, place, &key, liar));
        assert_eq!(say_hello(&crypto, &node, &id, &[0; 32], exchange), None, "a key of small order");
    }

    const GOLDEN_HELLO: &str = "8AKWYvJTVrAanhDoMwfPHQ";
}
