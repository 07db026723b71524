//! The line of an invitation: bytes in one layout, as bech32m, and what can be said of a line that is wrong (spec: INVITE-1, INVITE-2).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zeroize::Zeroizing;

use super::{ADDRESSES_MAX, Invitation, InvitationSecret};
use crate::command::Address;
use crate::error::InvitationError;
use crate::id::{AppId, UserId, all_from_bech32, to_bech32};
use crate::time::WallTime;

/// What a line begins with; bech32m puts a `1` behind it.
const PREFIX: &str = "oci";
const BEGIN: &str = "oci1";
/// The layout of the bytes.
const VERSION: u8 = 1;
/// The most bytes: bech32m finds a wrong character in words of up to 1,023.
const BYTES_MAX: usize = 600;
/// The longest word: the beginning, five bits a character, and the checksum.
const WORD_CHARS_MAX: usize = BEGIN.len() + (BYTES_MAX * 8).div_ceil(5) + CHECKSUM_CHARS;
const CHECKSUM_CHARS: usize = 6;

/// How addresses are told apart.
const NAME: u8 = 0;
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// Whether the line of an invitation is within its bound.
pub(super) fn fits(invitation: &Invitation) -> bool {
    bytes_of(invitation).len() <= BYTES_MAX
}

/// The line.
pub(super) fn write(invitation: &Invitation) -> String {
    to_bech32(PREFIX, &bytes_of(invitation))
}

fn bytes_of(invitation: &Invitation) -> Zeroizing<Vec<u8>> {
    // Room for the longest, so that no copy of the secret is left behind when it grows.
    let mut out = Zeroizing::new(Vec::with_capacity(BYTES_MAX.saturating_mul(4)));
    out.push(VERSION);
    out.extend_from_slice(invitation.user.as_bytes());
    out.extend_from_slice(invitation.secret.as_bytes());
    let [_, _, _, until @ ..] = invitation.until_secs.to_be_bytes();
    out.extend_from_slice(&until);
    push_text(&mut out, invitation.app.as_str());
    out.push(u8::try_from(invitation.addresses.len()).unwrap_or(u8::MAX));
    for address in &invitation.addresses {
        let port = match address {
            Address::Name { name, port } => {
                out.push(NAME);
                push_text(&mut out, name);
                *port
            }
            Address::Ip(socket) => {
                match socket.ip() {
                    IpAddr::V4(ip) => {
                        out.push(IPV4);
                        out.extend_from_slice(&ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        out.push(IPV6);
                        out.extend_from_slice(&ip.octets());
                    }
                }
                socket.port()
            }
        };
        out.extend_from_slice(&port.to_be_bytes());
    }
    out
}

/// App ids have at most 32 bytes and host names 253.
fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

/// Reads a line.
pub(super) fn read(text: &str) -> Result<Invitation, InvitationError> {
    let word = word_of(text);
    let begins = word.starts_with(BEGIN);
    match all_from_bech32(PREFIX, &word) {
        Ok(bytes) if begins && bytes.len() <= BYTES_MAX => {
            let bytes = Zeroizing::new(bytes);
            let (invitation, used) = fields(&bytes).map_err(|why| match why {
                Broken::Version(version) => InvitationError::Version(version),
                Broken::Ended | Broken::Nonsense => InvitationError::Content,
            })?;
            // One invitation has one line.
            let is_whole = used == bytes.len() && *bytes_of(&invitation) == *bytes;
            if is_whole { Ok(invitation) } else { Err(InvitationError::Content) }
        }
        _ => Err(fault(&word)),
    }
}

/// The word in a text: without white space, also that which mail programs put inside, in lower case. Cut behind what is too long.
fn word_of(text: &str) -> Zeroizing<String> {
    let is_seen = |c: &char| !c.is_whitespace() && !matches!(c, '\u{AD}' | '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}');
    let seen = text.chars().filter(is_seen).map(|c| c.to_ascii_lowercase());
    let mut word = Zeroizing::new(String::with_capacity(4 * (WORD_CHARS_MAX + 1)));
    word.extend(seen.take(WORD_CHARS_MAX + 1));
    word
}

/// Why a text's bytes are no invitation.
enum Broken {
    /// They end too early.
    Ended,
    Version(u8),
    Nonsense,
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Broken::Ended)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn text(&mut self) -> Result<&'a str, Broken> {
        let length = usize::from(self.byte()?);
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Broken::Ended)?;
        self.0 = rest;
        core::str::from_utf8(taken).map_err(|_| Broken::Nonsense)
    }

    fn address(&mut self) -> Result<Address, Broken> {
        let ip: IpAddr = match self.byte()? {
            NAME => {
                let (name, port) = (self.text()?, u16::from_be_bytes(self.array()?));
                let address = format!("{name}:{port}").parse().map_err(|_| Broken::Nonsense)?;
                return if matches!(address, Address::Name { .. }) { Ok(address) } else { Err(Broken::Nonsense) };
            }
            IPV4 => Ipv4Addr::from(self.array::<4>()?).into(),
            IPV6 => Ipv6Addr::from(self.array::<16>()?).into(),
            _ => return Err(Broken::Nonsense),
        };
        Ok(Address::Ip(SocketAddr::new(ip, u16::from_be_bytes(self.array()?))))
    }
}

/// Reads the layout from the front: the invitation, and how many bytes it took.
fn fields(bytes: &[u8]) -> Result<(Invitation, usize), Broken> {
    let mut reader = Reader(bytes);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(Broken::Version(version));
    }
    let user = UserId::from_bytes(reader.array()?);
    let secret = InvitationSecret::from_bytes(reader.array()?);
    let mut secs = [0; 8];
    for (slot, byte) in secs.iter_mut().skip(3).zip(reader.array::<5>()?) {
        *slot = byte;
    }
    let until = WallTime::from_millis(u64::from_be_bytes(secs).saturating_mul(1_000));
    let app = AppId::new(reader.text()?).map_err(|_| Broken::Nonsense)?;
    let count = usize::from(reader.byte()?);
    if count > ADDRESSES_MAX {
        return Err(Broken::Nonsense);
    }
    let addresses = (0..count).map(|_| reader.address()).collect::<Result<Vec<_>, _>>()?;
    let invitation = Invitation::new(app, user, &addresses, until, secret).map_err(|_| Broken::Nonsense)?;
    Ok((invitation, bytes.len().saturating_sub(reader.0.len())))
}

/// What is wrong with a word whose checksum does not hold (spec: INVITE-2).
fn fault(word: &str) -> InvitationError {
    let Some(data) = word.strip_prefix(BEGIN) else { return fault_before(word) };
    let strange = data.chars().filter(|c| value_of(*c).is_none()).count();
    if strange > 0 {
        let first = data.chars().position(|c| value_of(c).is_none()).unwrap_or_default();
        return if strange == 1 { InvitationError::Typo { position: place(first) } } else { InvitationError::Typos };
    }
    let values: Vec<u8> = data.chars().filter_map(value_of).collect();
    match locate(&values) {
        Some(at) => InvitationError::Typo { position: place(at) },
        None if is_cut(&values) => InvitationError::CutOff,
        None => InvitationError::Typos,
    }
}

/// The place of a character behind the beginning, counted from 1.
fn place(at: usize) -> u32 {
    u32::try_from(at.saturating_add(BEGIN.len()).saturating_add(1)).unwrap_or(u32::MAX)
}

/// What is wrong with a word that does not begin as it should: if one character of the beginning is all, which.
fn fault_before(word: &str) -> InvitationError {
    let mut differs = word.chars().zip(BEGIN.chars()).enumerate().filter(|(_, (is, should))| is != should).map(|(at, _)| at);
    let (Some(at), None) = (differs.next(), differs.next()) else { return InvitationError::NotOne };
    let rest: String = word.chars().skip(BEGIN.len()).collect();
    let mended = Zeroizing::new(format!("{BEGIN}{rest}"));
    match all_from_bech32(PREFIX, &mended) {
        Ok(_) => InvitationError::Typo { position: u32::try_from(at.saturating_add(1)).unwrap_or(u32::MAX) },
        Err(_) => InvitationError::NotOne,
    }
}

/// Whether the layout asks for more than there is.
fn is_cut(values: &[u8]) -> bool {
    let bytes = bytes_of_values(values);
    match fields(&bytes) {
        Err(Broken::Ended) => true,
        Err(Broken::Version(_) | Broken::Nonsense) => false,
        Ok((_, used)) => values.len() < used.saturating_mul(8).div_ceil(5).saturating_add(CHECKSUM_CHARS),
    }
}

/// Whole bytes out of five bits each.
fn bytes_of_values(values: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(values.len()));
    let (mut gathered, mut bits) = (0_u32, 0_u32);
    for value in values {
        gathered = (gathered << 5 | u32::from(*value)) & 0xFFFF;
        bits = bits.saturating_add(5);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            bytes.push(u8::try_from(gathered >> bits & 0xFF).unwrap_or_default());
        }
    }
    bytes
}

/// The characters of bech32 in the order of their values (BIP 173).
const ALPHABET: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// The generator of its checksum, times the powers of two (BIP 173).
const GENERATOR: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
/// What the checksum of a right word comes to (BIP 350).
const RIGHT: u32 = 0x2BC8_30A3;

fn value_of(c: char) -> Option<u8> {
    ALPHABET.chars().position(|known| known == c).and_then(|at| u8::try_from(at).ok())
}

/// The checksum's register after one more character.
fn step(register: u32, value: u32) -> u32 {
    let top = register >> 25;
    let shifted = (register & 0x01FF_FFFF) << 5 ^ value;
    GENERATOR.iter().enumerate().filter(|(bit, _)| top >> bit & 1 == 1).fold(shifted, |sum, (_, part)| sum ^ part)
}

/// Where the one wrong character is, if changing one makes the checksum hold; there is at most one such place.
///
/// The checksum is linear: a character that is off by `e` shifts it by what `e` alone becomes on its way to the end.
fn locate(values: &[u8]) -> Option<usize> {
    let prefix = PREFIX.bytes().map(|byte| u32::from(byte >> 5)).chain([0]).chain(PREFIX.bytes().map(|byte| u32::from(byte & 31)));
    let all = prefix.chain(values.iter().map(|value| u32::from(*value)));
    let off = all.fold(1, step) ^ RIGHT;
    // What the five bits of a character become, from the last one to the first.
    let mut bits = [1_u32, 2, 4, 8, 16];
    for at in (0..values.len()).rev() {
        let shift = |e: u32| bits.iter().enumerate().filter(|(bit, _)| e >> bit & 1 == 1).fold(0, |sum, (_, part)| sum ^ part);
        if (1..32).any(|e| shift(e) == off) {
            return Some(at);
        }
        bits = bits.map(|part| step(part, 0));
    }
    None
}
