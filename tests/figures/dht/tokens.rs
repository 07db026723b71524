//! `dht-tokens`: writes with tokens that were not given for them.

use std::net::SocketAddr;
use std::time::Duration;

use overcom_simulator::Draws;
use serde_json::{Value, json};

use super::door::{Door, Writable, stranger, unlimited};
use super::fields::Fields;
use super::net::{base64, server};
use crate::figure::{Measured, Size};

const SEED: u64 = 12;
/// Old tokens are shown each so often, for an hour.
const LATER: Duration = Duration::from_secs(100);

type Token = [u8; 16];
type Target = [u8; 32];

/// Writes accepted of so many with tokens that were not given for them: random, given to another address, to another port or for another
/// home, changed by a bit, the exclusive or of two true ones, or of three whose addresses or homes give the wanted one in the same way; and
/// old ones, for an hour. The control is a keeper whose tokens are a checksum of a secret, address, port and home.
pub(crate) fn tokens(size: Size) -> Result<Measured, String> {
    let forged = size.of(20_000, 200_000, 1_000_000);
    // Or the limits would refuse them first.
    let mut door = Door::new(SEED, unlimited(server()))?;
    let from = stranger(1);
    let writable = door.writable(from)?;
    let target = bytes_of::<32>(&writable.target);
    let mut draws = door.draws;
    let known = Known::of(from, target, &mut draws, |from, target| given(&mut door, from, target))?;
    if !accepts(&mut door, &writable, from, &writable.cookie, known.true_one())? {
        return Err("the token that was given is refused".into());
    }
    let mut accepted = [0_u64; Way::ALL.len()];
    let mut control = [0_u64; Way::ALL.len()];
    let other = (stranger(2), door.cookie(stranger(2))?);
    for n in 0..forged {
        let way = n as usize % Way::ALL.len();
        let token = known.forged(Way::ALL[way], &mut draws);
        let (at, cookie) = if Way::ALL[way] == Way::OfAnother { (other.0, &other.1) } else { (from, &writable.cookie) };
        accepted[way] += u64::from(accepts(&mut door, &writable, at, cookie, token)?);
    }
    let weak = Known::of(from, target, &mut draws, |from, target| Ok(checksum(from, target)))?;
    for n in 0..forged.min(10_000) {
        let way = n as usize % Way::ALL.len();
        let at = if Way::ALL[way] == Way::OfAnother { other.0 } else { from };
        control[way] += u64::from(weak.forged(Way::ALL[way], &mut draws) == checksum(at, target));
    }
    let old = shown_later(&mut door, &writable, known.true_one())?;
    let words = |counts: &[u64]| Way::ALL.iter().zip(counts).map(|(way, count)| format!("{way:?} {count}")).collect::<Vec<_>>().join(", ");
    Ok(Measured {
        value: (accepted.iter().sum::<u64>() + old) as f64,
        unit: "writes",
        target: 0.0,
        control: control.iter().sum::<u64>() as f64,
        size: forged,
        seeds: 1,
        detail: format!(
            "of {forged} {}; old ones in an hour {old}; control: checksums, of {} {}",
            words(&accepted),
            forged.min(10_000),
            words(&control)
        ),
    })
}

/// How a token is made up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Random,
    /// Said from another address than it was given to.
    OfAnother,
    OtherPort,
    OtherHome,
    OneBit,
    XorOfTwo,
    XorOfAddresses,
    XorOfHomes,
}

impl Way {
    const ALL: [Self; 8] = [
        Self::Random,
        Self::OfAnother,
        Self::OtherPort,
        Self::OtherHome,
        Self::OneBit,
        Self::XorOfTwo,
        Self::XorOfAddresses,
        Self::XorOfHomes,
    ];
}

/// What an attacker was given: the token that counts first, then that for another port, those of three addresses and of three homes.
struct Known {
    tokens: [Token; 8],
}

impl Known {
    fn of(
        from: SocketAddr,
        target: Target,
        draws: &mut Draws,
        mut give: impl FnMut(SocketAddr, Target) -> Result<Token, String>,
    ) -> Result<Self, String> {
        // What begins as the home does is kept by who keeps that.
        let mut near = || {
            let (mut other, drawn) = (target, draws.bytes());
            other[16..].copy_from_slice(&drawn[16..]);
            other
        };
        let (one, two) = (near(), near());
        let mut three = target;
        three.iter_mut().zip(one.iter().zip(&two)).for_each(|(byte, (one, two))| *byte ^= one ^ two);
        let mut port = from;
        port.set_port(from.port() ^ 1);
        // 2, 4 and 7 make 1.
        let asked = [
            (from, target),
            (port, target),
            (stranger(2), target),
            (stranger(4), target),
            (stranger(7), target),
            (from, one),
            (from, two),
            (from, three),
        ];
        let mut tokens = [[0; 16]; 8];
        for (token, (from, target)) in tokens.iter_mut().zip(asked) {
            *token = give(from, target)?;
        }
        Ok(Self { tokens })
    }

    const fn true_one(&self) -> Token {
        self.tokens[0]
    }

    fn forged(&self, way: Way, draws: &mut Draws) -> Token {
        let [own, port, addresses @ .., one, two, three] = self.tokens;
        match way {
            Way::Random => *draws.bytes().first_chunk().unwrap_or(&own),
            Way::OfAnother => own,
            Way::OtherPort => port,
            Way::OtherHome => [one, two, three][draws.below(3) as usize],
            Way::OneBit => {
                let mut token = own;
                token[draws.below(16) as usize] ^= 1 << draws.below(8);
                token
            }
            Way::XorOfTwo => {
                let first = draws.below(8) as usize;
                let second = (first + 1 + draws.below(7) as usize) % 8;
                xor(self.tokens[first], self.tokens[second])
            }
            Way::XorOfAddresses => addresses.into_iter().fold([0; 16], xor),
            Way::XorOfHomes => xor(xor(one, two), three),
        }
    }
}

fn xor(mut one: Token, other: Token) -> Token {
    one.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
    one
}

/// The token that the machine gives an address for a home.
fn given(door: &mut Door, from: SocketAddr, target: Target) -> Result<Token, String> {
    let cookie = door.cookie(from)?;
    let get =
        json!({"v": 1, "t": door.exchange(), "q": "get", "cookie": cookie, "target": base64(&target), "kind": "address", "write": true});
    let answer = door.say(from, get.to_string().as_bytes())?;
    let token = answer.back.first().and_then(|bytes| Fields::read(bytes)?.text("token").map(bytes_of::<16>));
    token.ok_or_else(|| format!("{from} was given no token"))
}

fn accepts(door: &mut Door, writable: &Writable, from: SocketAddr, cookie: &str, token: Token) -> Result<bool, String> {
    let put = writable.put(&door.exchange(), cookie, &base64(&token));
    let answer = door.say(from, put.as_bytes())?;
    Ok(answer.back.iter().any(|bytes| serde_json::from_slice::<Value>(bytes).is_ok_and(|reply| reply["r"] == "put")))
}

/// Two epochs of five minutes later it is over: how often it is accepted in an hour from then on.
fn shown_later(door: &mut Door, writable: &Writable, token: Token) -> Result<u64, String> {
    let (mut accepted, from) = (0, stranger(1));
    door.net.run(Duration::from_secs(501))?;
    for _ in 0..36 {
        door.net.run(LATER)?;
        let cookie = door.cookie(from)?;
        accepted += u64::from(accepts(door, writable, from, &cookie, token)?);
    }
    Ok(accepted)
}

/// A token as another DHT makes it (dht.md, section 3): four sums of CRC-32C, whose exclusive or is that of what they are sums of.
fn checksum(from: SocketAddr, target: Target) -> Token {
    let ip = match from.ip() {
        std::net::IpAddr::V4(ip) => u128::from(ip.to_bits()),
        std::net::IpAddr::V6(ip) => ip.to_bits(),
    };
    let mut token = [0; 16];
    for (nth, part) in (0_u8..).zip(token.chunks_exact_mut(4)) {
        let said = [b"secret".as_slice(), &[nth], &ip.to_be_bytes(), &from.port().to_be_bytes(), &target].concat();
        part.copy_from_slice(&crc(&said).to_be_bytes());
    }
    token
}

/// CRC-32C.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// The first bytes of what stands on the wire.
fn bytes_of<const N: usize>(text: &str) -> [u8; N] {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = text.chars().flat_map(|c| (0..6).rev().map(move |bit| (DIGITS.find(c).unwrap_or(0) >> bit & 1) as u8)).collect();
    let mut bytes = [0; N];
    for (byte, bits) in bytes.iter_mut().zip(bits.chunks_exact(8)) {
        *byte = bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_standard_and_bytes_are_read_as_they_are_written() {
        assert_eq!(crc(b"123456789"), 0xE306_9283);
        let bytes: [u8; 32] = std::array::from_fn(|index| index as u8 * 7);
        assert_eq!(bytes_of::<32>(&base64(&bytes)), bytes);
        assert_eq!(bytes_of::<16>(&base64(&bytes[..16])), bytes[..16]);
    }
}
