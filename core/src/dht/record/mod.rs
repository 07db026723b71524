//! Records: what a device says of itself at its user's home, in one form each (spec: DHT-30).
//!
//! Whoever keeps or reads one checks it by a [`Judge`]; which of two counts is decided by numbers that their makers sign.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Deserializer};

use super::key::Key;
use super::text::{read_address, write_address};
use crate::address::{Scope, is_lasting, scope};
use crate::crypto::{Crypto, sha256};
use crate::error::WireError;
use crate::id::{Base64, DeviceId, NodeKey, deserialize_base64};
use crate::identity::signed::{self, Signed};
use crate::identity::{CLOCK_TOLERANCE_MS, Credentials, Delegation};
use crate::time::WallTime;
use crate::wire::{INTEGER_MAX, Limits, signing_bytes, walk};

mod judge;

pub(crate) use judge::{Judge, Refused, latest};

/// How many addresses an address record has at most (spec: DHT-32).
pub(crate) const ADDRESSES_MAX: usize = 3;
/// How many relays an address record has at most (spec: DHT-32).
pub(crate) const RELAYS_MAX: usize = 2;
/// How long an address record lasts from its sequence on, in milliseconds: two hours (spec: DHT-36).
pub(crate) const ADDRESS_MS: u64 = 2 * 60 * 60 * 1_000;

const PREKEY_LABEL: &str = "overcom/1 prekey";
const ADDRESS_LABEL: &str = "overcom/1 address";

/// The second part of a device record: the X25519 key under which mail for the device is sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Prekey {
    device: DeviceId,
    prekey: [u8; 32],
    sequence: u64,
    signature: [u8; 64],
}

impl Prekey {
    /// Signs one for the home that its delegation names. One signature.
    ///
    /// # Errors
    /// [`WireError::Number`] for a sequence above 2⁵³−1.
    pub(crate) fn sign(crypto: &Crypto, own: &Credentials, prekey: [u8; 32], sequence: u64) -> Result<Self, WireError> {
        let mut part = Self { device: own.delegation().device(), prekey, sequence, signature: [0; 64] };
        part.check()?;
        part.signature = own.sign(crypto, &part.signing_bytes(&home_of(own.delegation())));
        Ok(part)
    }

    /// Which device it is of.
    pub(crate) fn device(&self) -> DeviceId {
        self.device
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.prekey
    }

    /// By which newer ones are told.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Which of two of one device counts: the greater. Equal ones are the same but for the signature.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        by_sequence((self.sequence, self), (other.sequence, other))
    }

    /// Whether the holder of this signing key signed it for this home. One signature.
    pub(crate) fn is_signed_by(&self, crypto: &Crypto, signing: &[u8; 32], home: &Key) -> bool {
        crypto.verify(signing, &self.signing_bytes(home), &self.signature)
    }

    fn check(&self) -> Result<(), WireError> {
        if self.sequence <= INTEGER_MAX { Ok(()) } else { Err(WireError::Number) }
    }

    fn signing_bytes(&self, home: &Key) -> Vec<u8> {
        signing_bytes(PREKEY_LABEL, &[home.as_bytes(), self.content().as_bytes()])
    }
}

impl Signed for Prekey {
    /// The longest one has 231 bytes.
    const JSON_BYTES_MAX: usize = 256;

    fn from_content(content: &str, signature: [u8; 64]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Content {
            device: DeviceId,
            #[serde(deserialize_with = "deserialize_base64")]
            prekey: [u8; 32],
            sequence: u64,
        }
        let Content { device, prekey, sequence } = serde_json::from_str(content).map_err(|_| WireError::Json)?;
        let part = Self { device, prekey, sequence, signature };
        part.check()?;
        Ok(part)
    }

    fn content(&self) -> String {
        format!(r#"{{"device":"{}","prekey":"{}","sequence":{}}}"#, self.device, Base64(&self.prekey), self.sequence)
    }

    fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

impl<'de> Deserialize<'de> for Prekey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        signed::deserialize(deserializer)
    }
}

/// Whose a device is, and its key for mail. The two parts are signed, ordered and renewed apart, since who renews a delegation
/// cannot sign for the device (spec: DHT-31).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DeviceRecord {
    delegation: Option<Delegation>,
    prekey: Option<Prekey>,
}

impl DeviceRecord {
    /// The longest one has 661 bytes.
    const JSON_BYTES_MAX: usize = 672;

    /// From one part or both; `None` for none, or if they are of two devices.
    pub(crate) fn new(delegation: Option<Delegation>, prekey: Option<Prekey>) -> Option<Self> {
        let is_one = match (&delegation, &prekey) {
            (None, None) => false,
            (Some(delegation), Some(prekey)) => delegation.device() == prekey.device,
            (Some(_), None) | (None, Some(_)) => true,
        };
        is_one.then_some(Self { delegation, prekey })
    }

    /// Reads the JSON form; signatures are not looked at.
    ///
    /// # Errors
    /// What is wrong with the bytes, first what is cheapest to find.
    pub(crate) fn from_json(json: &str) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            delegation: Option<Delegation>,
            prekey: Option<Prekey>,
        }
        walk(json.as_bytes(), Limits { bytes_max: Self::JSON_BYTES_MAX, ..Limits::CONTENT })?;
        let Parts { delegation, prekey } = serde_json::from_str(json).map_err(|_| WireError::Json)?;
        Self::new(delegation, prekey).filter(|read| read.to_json() == json).ok_or(WireError::Json)
    }

    /// The JSON form, byte for byte as it was read.
    pub(crate) fn to_json(&self) -> String {
        let delegation = self.delegation.as_ref().map(|part| format!(r#""delegation":{}"#, part.to_json()));
        let prekey = self.prekey.as_ref().map(|part| format!(r#""prekey":{}"#, signed::to_json(part)));
        let comma = if delegation.is_some() && prekey.is_some() { "," } else { "" };
        format!("{{{}{comma}{}}}", delegation.unwrap_or_default(), prekey.unwrap_or_default())
    }

    /// Which device it is of.
    pub(crate) fn device(&self) -> DeviceId {
        let of_prekey = self.prekey.as_ref().map(Prekey::device);
        // One of the two is there.
        self.delegation.as_ref().map(Delegation::device).or(of_prekey).unwrap_or(DeviceId::from_bytes([0; 16]))
    }

    /// The part that the identity signed.
    pub(crate) fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref()
    }

    /// The part that the device signed.
    pub(crate) fn prekey(&self) -> Option<&Prekey> {
        self.prekey.as_ref()
    }

    /// Grows when either part is renewed (spec: DHT-35).
    pub(crate) fn number(&self) -> u64 {
        let until = self.delegation.as_ref().map_or(0, |part| part.until().as_millis());
        until.saturating_add(self.prekey.as_ref().map_or(0, Prekey::sequence)).min(INTEGER_MAX)
    }

    /// When it is to be forgotten: with its delegation, tolerance included. `None` without one (spec: DHT-36).
    pub(crate) fn end(&self) -> Option<WallTime> {
        self.delegation.as_ref().map(|part| part.until() + Duration::from_millis(CLOCK_TOLERANCE_MS))
    }

    /// Takes of `other`, a record of the same device, the parts that are newer; whether there was one (spec: DHT-35).
    pub(crate) fn merge(&mut self, other: Self) -> bool {
        let is_newer =
            |held: &Option<Delegation>, new: &Delegation| held.as_ref().is_none_or(|held| delegation_order(held, new) == Ordering::Less);
        let delegation = other.delegation.filter(|new| is_newer(&self.delegation, new));
        let prekey = other.prekey.filter(|new| self.prekey.as_ref().is_none_or(|held| held.order(new) == Ordering::Less));
        let is_newer = delegation.is_some() || prekey.is_some();
        self.delegation = delegation.or_else(|| self.delegation.take());
        self.prekey = prekey.or_else(|| self.prekey.take());
        is_newer
    }
}

/// Which of two delegations of one device counts: the greater (spec: DHT-35).
pub(crate) fn delegation_order(one: &Delegation, other: &Delegation) -> Ordering {
    let dates = |delegation: &Delegation| (delegation.until(), delegation.from());
    dates(one).cmp(&dates(other)).then_with(|| one.hash().cmp(&other.hash()))
}

/// Where a device is, or that it is nowhere (spec: DHT-32).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AddressRecord {
    device: DeviceId,
    sequence: u64,
    addresses: Vec<SocketAddr>,
    relays: Vec<Relay>,
    scope: Scope,
    signature: [u8; 64],
}

/// A node that passes on what is sent to a device: its key, and where it is.
pub(crate) type Relay = (NodeKey, SocketAddr);

impl AddressRecord {
    /// Signs one for the home that its delegation names. One signature.
    ///
    /// # Errors
    /// [`WireError::Number`] for a sequence above 2⁵³−1, [`WireError::TooLong`] for too many addresses or relays,
    /// [`WireError::Address`] for one that is of another scope, not lasting, or there twice.
    pub(crate) fn sign(
        crypto: &Crypto,
        own: &Credentials,
        scope: Scope,
        sequence: u64,
        addresses: Vec<SocketAddr>,
        relays: Vec<Relay>,
    ) -> Result<Self, WireError> {
        let device = own.delegation().device();
        let mut record = Self { device, sequence, addresses, relays, scope, signature: [0; 64] };
        record.check()?;
        record.signature = own.sign(crypto, &record.signing_bytes(&home_of(own.delegation())));
        Ok(record)
    }

    /// Reads the JSON form; the signature is not looked at.
    ///
    /// # Errors
    /// What is wrong with the bytes, first what is cheapest to find.
    pub(crate) fn from_json(json: &str) -> Result<Self, WireError> {
        signed::from_json(json.as_bytes())
    }

    /// The JSON form, byte for byte as it was read.
    pub(crate) fn to_json(&self) -> String {
        signed::to_json(self)
    }

    /// Which device it is of.
    pub(crate) fn device(&self) -> DeviceId {
        self.device
    }

    /// By which newer ones are told: milliseconds since 1970, or a little more.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where to dial it, the best first.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who passes on to it.
    pub(crate) fn relays(&self) -> &[Relay] {
        &self.relays
    }

    /// From where all of these can be reached.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether it says that the device is to be found nowhere.
    pub(crate) const fn is_nowhere(&self) -> bool {
        self.addresses.is_empty() && self.relays.is_empty()
    }

    /// When it is to be forgotten (spec: DHT-36).
    pub(crate) const fn end(&self) -> WallTime {
        Self::end_of(self.sequence)
    }

    /// When one of this sequence is.
    pub(crate) const fn end_of(sequence: u64) -> WallTime {
        WallTime::from_millis(sequence.saturating_add(ADDRESS_MS))
    }

    /// Which of two of one device and scope counts: the greater. Equal ones are the same but for the signature.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        by_sequence((self.sequence, self), (other.sequence, other))
    }

    /// Whether the holder of this signing key signed it for this home. One signature.
    pub(crate) fn is_signed_by(&self, crypto: &Crypto, signing: &[u8; 32], home: &Key) -> bool {
        crypto.verify(signing, &self.signing_bytes(home), &self.signature)
    }

    fn check(&self) -> Result<(), WireError> {
        if self.sequence > INTEGER_MAX {
            return Err(WireError::Number);
        }
        if self.addresses.len() > ADDRESSES_MAX || self.relays.len() > RELAYS_MAX {
            return Err(WireError::TooLong);
        }
        let fits = |address: &SocketAddr| scope(*address) == Some(self.scope) && is_lasting(*address);
        let all = self.addresses.iter().chain(self.relays.iter().map(|(_, address)| address));
        let is_twice = has_twice(&self.addresses) || has_twice(&self.relays);
        if is_twice || !all.into_iter().all(fits) { Err(WireError::Address) } else { Ok(()) }
    }

    fn signing_bytes(&self, home: &Key) -> Vec<u8> {
        signing_bytes(ADDRESS_LABEL, &[home.as_bytes(), self.content().as_bytes()])
    }
}

impl Signed for AddressRecord {
    /// The longest one has 565 bytes.
    const JSON_BYTES_MAX: usize = 576;

    fn from_content(content: &str, signature: [u8; 64]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Content<'a> {
            device: DeviceId,
            sequence: u64,
            #[serde(borrow)]
            addresses: Vec<&'a str>,
            #[serde(borrow, default)]
            relays: Vec<(NodeKey, &'a str)>,
            #[serde(default)]
            scope: Option<&'a str>,
        }
        let Content { device, sequence, addresses, relays, scope } = serde_json::from_str(content).map_err(|_| WireError::Json)?;
        let scope = match scope {
            None => Scope::Global,
            Some("private") => Scope::Private,
            Some("loopback") => Scope::Loopback,
            Some(_) => return Err(WireError::Json),
        };
        let addresses = addresses.into_iter().map(read_address).collect::<Result<_, _>>()?;
        let relays = relays.into_iter().map(|(key, at)| Ok((key, read_address(at)?))).collect::<Result<_, _>>()?;
        let record = Self { device, sequence, addresses, relays, scope, signature };
        record.check()?;
        Ok(record)
    }

    fn content(&self) -> String {
        let mut out = Vec::with_capacity(Self::JSON_BYTES_MAX);
        out.extend_from_slice(format!(r#"{{"device":"{}","sequence":{},"addresses":["#, self.device, self.sequence).as_bytes());
        let mut comma = "";
        for address in &self.addresses {
            out.extend_from_slice(comma.as_bytes());
            quote(&mut out, *address);
            comma = ",";
        }
        out.push(b']');
        comma = r#","relays":["#;
        for (key, address) in &self.relays {
            out.extend_from_slice(format!(r#"{comma}["{}","#, Base64(key.as_bytes())).as_bytes());
            quote(&mut out, *address);
            out.push(b']');
            comma = ",";
        }
        if !self.relays.is_empty() {
            out.push(b']');
        }
        out.extend_from_slice(match self.scope {
            Scope::Global => b"}",
            Scope::Private => br#","scope":"private"}"#,
            Scope::Loopback => br#","scope":"loopback"}"#,
        });
        // All of it is text.
        String::from_utf8(out).unwrap_or_default()
    }

    fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// Where the records of a delegation's device lie.
fn home_of(delegation: &Delegation) -> Key {
    Key::home(delegation.user(), delegation.app())
}

/// Of two with the same sequence the one with the larger hash counts, so that all nodes end with the same (spec: DHT-35).
fn by_sequence<T: Signed>((one_sequence, one): (u64, &T), (other_sequence, other): (u64, &T)) -> Ordering {
    let hash = |record: &T| sha256(&[record.content().as_bytes()]);
    one_sequence.cmp(&other_sequence).then_with(|| hash(one).cmp(&hash(other)))
}

fn has_twice<T: PartialEq>(few: &[T]) -> bool {
    few.iter().enumerate().any(|(index, one)| few.iter().take(index).any(|earlier| earlier == one))
}

fn quote(out: &mut Vec<u8>, address: SocketAddr) {
    out.push(b'"');
    write_address(out, address);
    out.push(b'"');
}

#[cfg(test)]
pub(super) mod tests;
