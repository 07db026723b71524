//! Delegations: an identity lets a device speak for it, within one app and for a while.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::IdentitySecret;
use super::signed::{self, Signed};
use crate::crypto::{Crypto, sha256};
use crate::error::WireError;
use crate::id::{AppId, Base64, DeviceId, IdentityKey, Peer, UserId, deserialize_base64, serialize_base64};
use crate::time::WallTime;
use crate::wire::{INTEGER_MAX, signing_bytes};

/// A delegation lives no longer, in milliseconds: 30 days (spec: ID-7).
pub const DELEGATION_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long a delegation lives unless somebody says otherwise, in milliseconds: 7 days (a decision: short enough that
/// a lost device ends by itself, long enough for a holiday without the identity at hand).
pub const DELEGATION_MS_DEFAULT: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How far two clocks may differ, in milliseconds: ten minutes, the one tolerance there is (spec: ID-8).
pub const CLOCK_TOLERANCE_MS: u64 = 10 * 60 * 1_000;

const LABEL: &str = "overcom/1 delegation";

/// What a device asks its identity to sign: public keys, place and time. It holds no secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The device's Ed25519 public key, which signs what the device writes.
    #[serde(serialize_with = "serialize_base64", deserialize_with = "deserialize_base64")]
    pub signing: [u8; 32],
    /// The device's X25519 public key, which its links prove.
    #[serde(serialize_with = "serialize_base64", deserialize_with = "deserialize_base64")]
    pub noise: [u8; 32],
    /// The only app it is for.
    pub app: AppId,
    /// Which device.
    pub device: DeviceId,
    /// From when, in the identity's clock.
    pub from: WallTime,
    /// Until when; after `from` by at most [`DELEGATION_MS_MAX`].
    pub until: WallTime,
}

impl Grant {
    /// Whether the dates can be signed (spec: ID-7).
    fn check(&self) -> Result<(), WireError> {
        let (from, until) = (self.from.as_millis(), self.until.as_millis());
        if from > INTEGER_MAX || until > INTEGER_MAX {
            return Err(WireError::Number);
        }
        match until.checked_sub(from) {
            Some(1..=DELEGATION_MS_MAX) => Ok(()),
            _ => Err(WireError::Window),
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signing: _, noise: _, app, device, from, until } = self;
        let (app, from, until) = (app.as_str(), from.as_millis(), until.as_millis());
        f.debug_struct("Grant")
            .field("app", &app)
            .field("device", device)
            .field("from", &from)
            .field("until", &until)
            .finish_non_exhaustive()
    }
}

/// Why a delegation that is genuine does not count just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its window has not begun, even with the tolerance: one of the clocks is wrong.
    NotYet,
    /// Its window has ended, even with the tolerance.
    Expired,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "the delegation's time has not come; is a clock wrong?",
            Self::Expired => "the delegation has ended",
        })
    }
}

impl core::error::Error for Refusal {}

/// A grant signed by an identity. Anyone may read it; it says nothing secret.
///
/// Its JSON has one form only, so that this parsed form gives back the signed bytes (spec: ID-6). It takes about
/// 220 bytes of memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Delegation {
    identity: IdentityKey,
    /// The hash of `identity`, which is asked for all the time.
    user: UserId,
    grant: Grant,
    signature: [u8; 64],
}

impl Delegation {
    /// Signs a grant. Only who holds the identity can; a node never does.
    ///
    /// # Errors
    /// [`WireError::Window`] for a window that is empty, reversed or longer than 30 days, [`WireError::Number`] for a
    /// date above 2⁵³−1.
    pub fn sign(identity: &IdentitySecret, grant: &Grant) -> Result<Self, WireError> {
        grant.check()?;
        let mut delegation = Self { identity: identity.public(), user: identity.user(), grant: grant.clone(), signature: [0; 64] };
        delegation.signature = identity.sign(&delegation.signing_bytes());
        Ok(delegation)
    }

    /// Reads the JSON form and checks all but the signature, for which see [`verify`](Self::verify).
    ///
    /// # Errors
    /// What is wrong with the bytes, first what is cheapest to find.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, WireError> {
        signed::from_json(json.as_ref())
    }

    /// Whether the identity signed it. Says nothing about dates and revocations, which are looked at on each use.
    ///
    /// # Errors
    /// [`WireError::Signature`].
    pub fn verify(&self, crypto: &Crypto) -> Result<(), WireError> {
        if crypto.verify(self.identity.as_bytes(), &self.signing_bytes(), &self.signature) { Ok(()) } else { Err(WireError::Signature) }
    }

    /// The JSON form, byte for byte as it was read.
    pub fn to_json(&self) -> String {
        signed::to_json(self)
    }

    /// What it is cited by: SHA-256 over the signed bytes, label included (spec: ID-5).
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.signing_bytes()])
    }

    /// Whether it counts at `now`, with a tolerance of [`CLOCK_TOLERANCE_MS`] at both ends (spec: ID-8).
    ///
    /// # Errors
    /// [`Refusal::NotYet`] or [`Refusal::Expired`].
    pub fn check_window(&self, now: WallTime) -> Result<(), Refusal> {
        let now = now.as_millis();
        if now.saturating_add(CLOCK_TOLERANCE_MS) < self.grant.from.as_millis() {
            Err(Refusal::NotYet)
        } else if now >= self.grant.until.as_millis().saturating_add(CLOCK_TOLERANCE_MS) {
            Err(Refusal::Expired)
        } else {
            Ok(())
        }
    }

    /// Whose delegation it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The device of the user.
    pub fn peer(&self) -> Peer {
        Peer { user: self.user, device: self.grant.device }
    }

    /// The identity that signed it.
    pub fn identity(&self) -> IdentityKey {
        self.identity
    }

    /// The device's Ed25519 public key.
    pub fn signing(&self) -> &[u8; 32] {
        &self.grant.signing
    }

    /// The device's X25519 public key.
    pub fn noise(&self) -> &[u8; 32] {
        &self.grant.noise
    }

    /// The only app it is for.
    pub fn app(&self) -> &AppId {
        &self.grant.app
    }

    /// Which device.
    pub fn device(&self) -> DeviceId {
        self.grant.device
    }

    /// From when it counts.
    pub fn from(&self) -> WallTime {
        self.grant.from
    }

    /// Until when it counts.
    pub fn until(&self) -> WallTime {
        self.grant.until
    }

    /// All that was signed but the identity; sign it again with other dates to renew.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    fn signing_bytes(&self) -> alloc::vec::Vec<u8> {
        signing_bytes(LABEL, &[self.content().as_bytes()])
    }
}

impl Signed for Delegation {
    /// The longest one has 405 bytes.
    const JSON_BYTES_MAX: usize = 512;

    fn from_content(content: &str, signature: [u8; 64]) -> Result<Self, WireError> {
        let content: Content = serde_json::from_str(content).map_err(|_| WireError::Json)?;
        let Content { identity, signing, noise, app, device, from, until } = content;
        let grant = Grant { signing, noise, app, device, from, until };
        grant.check()?;
        Ok(Self { identity, user: identity.user(), grant, signature })
    }

    /// App ids need no escapes.
    fn content(&self) -> String {
        let Grant { signing, noise, app, device, from, until } = &self.grant;
        let (signing, noise, from, until) = (Base64(signing), Base64(noise), from.as_millis(), until.as_millis());
        let mut text = String::with_capacity(Self::JSON_BYTES_MAX);
        // A string takes whatever is written to it.
        let _ = write!(
            text,
            r#"{{"identity":"{}","signing":"{signing}","noise":"{noise}","app":"{app}","device":"{device}","from":{from},"until":{until}}}"#,
            self.identity
        );
        text
    }

    fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

impl fmt::Debug for Delegation {
    /// Whose, for what and when; keys and signature are left out, since nobody reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delegation").field("user", &self.user()).field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl Serialize for Delegation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        signed::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Delegation {
    /// From JSON that is borrowed (a slice or a string); the content is checked as in [`Delegation::from_json`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        signed::deserialize(deserializer)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    identity: IdentityKey,
    #[serde(deserialize_with = "deserialize_base64")]
    signing: [u8; 32],
    #[serde(deserialize_with = "deserialize_base64")]
    noise: [u8; 32],
    app: AppId,
    device: DeviceId,
    from: WallTime,
    until: WallTime,
}

/// Which delegations were seen with a valid signature, so that a peer who comes back costs no public-key work.
///
/// Signature validity only: dates and revocations change and are looked at on each use (spec: ID-9). Takes about
/// 50 bytes an entry. When it is full the one next in order goes: keys are hashes, so that is any one.
pub(crate) struct DelegationCache {
    known: BTreeSet<[u8; 32]>,
    entries_max: usize,
}

impl DelegationCache {
    /// Empty; with `entries_max` 0 it never keeps anything.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { known: BTreeSet::new(), entries_max }
    }

    /// [`Delegation::verify`], unless this very delegation with this very signature was verified before; `checked`
    /// counts what was verified now, in vain or not. O(log n).
    ///
    /// # Errors
    /// [`WireError::Signature`].
    pub(crate) fn check(&mut self, crypto: &Crypto, delegation: &Delegation, checked: &mut u64) -> Result<(), WireError> {
        let key = key(delegation);
        if self.known.contains(&key) {
            return Ok(());
        }
        *checked = checked.saturating_add(1);
        delegation.verify(crypto)?;
        if self.entries_max > 0 {
            if self.known.len() >= self.entries_max
                && let Some(next) = self.known.range(key..).next().or_else(|| self.known.first()).copied()
            {
                self.known.remove(&next);
            }
            self.known.insert(key);
        }
        Ok(())
    }

    /// Whether a check of this delegation costs no public-key work.
    pub(crate) fn is_known(&self, delegation: &Delegation) -> bool {
        self.known.contains(&key(delegation))
    }

    /// How many are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

/// What a cached delegation is found by. The signature is part of it: else a copy with a broken signature would pass
/// and be handed on.
fn key(delegation: &Delegation) -> [u8; 32] {
    let Delegation { identity, user: _, grant, signature } = delegation;
    let Grant { signing, noise, app, device, from, until } = grant;
    let (from, until) = (from.as_millis().to_le_bytes(), until.as_millis().to_le_bytes());
    // All but the last are of one length, so no two delegations give the same bytes.
    sha256(&[identity.as_bytes(), signing, noise, device.as_bytes(), &from, &until, signature, app.as_str().as_bytes()])
}
