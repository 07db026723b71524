//! Revocations: an identity takes delegations back before they end, per device or all at once.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::IdentitySecret;
use super::delegation::{CLOCK_TOLERANCE_MS, Delegation};
use super::signed::{self, Signed};
use crate::crypto::Crypto;
use crate::error::WireError;
use crate::id::{AppId, DeviceId, IdentityKey, UserId};
use crate::time::WallTime;
use crate::wire::{INTEGER_MAX, signing_bytes};

/// How many entries a revocation has at most: as many as a user has devices (spec: ID-11).
pub const REVOKED_MAX: usize = 8;

const LABEL: &str = "overcom/1 revocation";
/// The key that stands for every device.
const ALL: &str = "*";

/// Whose delegations an entry takes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RevocationTarget {
    /// Those of every device; `*` on the wire.
    All,
    /// Those of one device.
    Device(DeviceId),
}

impl<'de> Deserialize<'de> for RevocationTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Keys have no escapes (the walk saw to that), so that this borrows.
        let text = <&str>::deserialize(deserializer)?;
        if text == ALL { Ok(Self::All) } else { text.parse().map(Self::Device).map_err(de::Error::custom) }
    }
}

/// Until when delegations are taken back, and how long this has to be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationEntry {
    /// Delegations that begin before this are refused. Far in the future: the device is never trusted again.
    pub before: WallTime,
    /// When no delegation that this takes back can be alive any more, so that the entry may be forgotten.
    pub end: WallTime,
}

/// What an identity takes back within one app. The highest version counts, and replaces all before it (spec: ID-10).
///
/// Its JSON has one form only, like that of a delegation: entries stand in the order of [`RevocationTarget`].
#[derive(Clone, PartialEq, Eq)]
pub struct Revocation {
    identity: IdentityKey,
    app: AppId,
    version: u64,
    devices: BTreeMap<RevocationTarget, RevocationEntry>,
    signature: [u8; 64],
}

impl Revocation {
    /// Signs a revocation. Only who holds the identity can; a node never does.
    ///
    /// # Errors
    /// [`WireError::Number`] for a date or version above 2⁵³−1, [`WireError::TooLong`] for no entry or more than
    /// [`REVOKED_MAX`].
    pub fn sign(
        identity: &IdentitySecret,
        app: AppId,
        version: u64,
        devices: BTreeMap<RevocationTarget, RevocationEntry>,
    ) -> Result<Self, WireError> {
        let mut revocation = Self { identity: identity.public(), app, version, devices, signature: [0; 64] };
        revocation.check()?;
        revocation.signature = identity.sign(&revocation.signing_bytes());
        Ok(revocation)
    }

    /// Reads the JSON form and checks all but the signature, for which see [`verify`](Self::verify).
    ///
    /// # Errors
    /// What is wrong with the bytes, first what is cheapest to find.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, WireError> {
        signed::from_json(json.as_ref())
    }

    fn check(&self) -> Result<(), WireError> {
        if self.devices.is_empty() || self.devices.len() > REVOKED_MAX {
            return Err(WireError::TooLong);
        }
        let dates = self.devices.values().flat_map(|entry| [entry.before.as_millis(), entry.end.as_millis()]);
        if dates.chain([self.version]).any(|number| number > INTEGER_MAX) { Err(WireError::Number) } else { Ok(()) }
    }

    /// Whether the identity signed it.
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

    /// Whether it takes `delegation` back: same identity and app, and begun before the date of its device or of all
    /// (spec: ID-11).
    pub fn revokes(&self, delegation: &Delegation) -> bool {
        self.identity == delegation.identity() && self.app == *delegation.app() && self.takes_back(delegation.device(), delegation.from())
    }

    /// Whether it takes back what a device of its user was granted in its app from `from` on.
    pub(crate) fn takes_back(&self, device: DeviceId, from: WallTime) -> bool {
        let is_before = |target| self.devices.get(&target).is_some_and(|entry| from < entry.before);
        is_before(RevocationTarget::All) || is_before(RevocationTarget::Device(device))
    }

    /// Whose revocation it is. Hashes the identity key.
    pub fn user(&self) -> UserId {
        self.identity.user()
    }

    /// The identity that signed it.
    pub fn identity(&self) -> IdentityKey {
        self.identity
    }

    /// The only app it is for.
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// Which revocation of this identity and app it is; the next one needs a higher number.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What it takes back.
    pub fn devices(&self) -> &BTreeMap<RevocationTarget, RevocationEntry> {
        &self.devices
    }

    /// When its last entry may be forgotten.
    pub fn end(&self) -> WallTime {
        self.devices.values().map(|entry| entry.end).max().unwrap_or_default()
    }

    fn signing_bytes(&self) -> Vec<u8> {
        signing_bytes(LABEL, &[self.content().as_bytes()])
    }
}

impl Signed for Revocation {
    /// The longest one has 859 bytes.
    const JSON_BYTES_MAX: usize = 1_024;

    fn from_content(content: &str, signature: [u8; 64]) -> Result<Self, WireError> {
        let Content { identity, app, version, devices } = serde_json::from_str(content).map_err(|_| WireError::Json)?;
        let revocation = Self { identity, app, version, devices, signature };
        revocation.check()?;
        Ok(revocation)
    }

    fn content(&self) -> String {
        let mut out = format!(r#"{{"identity":"{}","app":"{}","version":{},"devices":{{"#, self.identity, self.app, self.version);
        let mut comma = "";
        for (target, RevocationEntry { before, end }) in &self.devices {
            let (before, end) = (before.as_millis(), end.as_millis());
            // Writing to a string cannot fail.
            let _ = match target {
                RevocationTarget::All => write!(out, r#"{comma}"{ALL}":{{"before":{before},"end":{end}}}"#),
                RevocationTarget::Device(device) => write!(out, r#"{comma}"{device}":{{"before":{before},"end":{end}}}"#),
            };
            comma = ",";
        }
        out.push_str("}}");
        out
    }

    fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

impl fmt::Debug for Revocation {
    /// Whose and what; keys and signature are left out, since nobody reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Revocation");
        shown.field("user", &self.user()).field("app", &self.app.as_str()).field("version", &self.version);
        shown.field("devices", &self.devices).finish_non_exhaustive()
    }
}

impl Serialize for Revocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        signed::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Revocation {
    /// From JSON that is borrowed (a slice or a string); the content is checked as in [`Revocation::from_json`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        signed::deserialize(deserializer)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    identity: IdentityKey,
    app: AppId,
    version: u64,
    devices: BTreeMap<RevocationTarget, RevocationEntry>,
}

/// The newest revocation of each user and app that this node has to do with. About 1 KiB an entry.
///
/// Anyone can make identities and sign revocations for them, so ask it to learn only about users that matter here.
pub(crate) struct RevocationBook {
    newest: BTreeMap<(UserId, AppId), Revocation>,
    entries_max: usize,
    /// Whose revocation makes room for no other.
    own: Option<UserId>,
    /// Whose revocations were dropped since somebody asked.
    dropped: Vec<UserId>,
}

impl RevocationBook {
    /// Empty; it keeps at most `entries_max`, at least one.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { newest: BTreeMap::new(), entries_max: entries_max.max(1), own: None, dropped: Vec::new() }
    }

    /// The same, but the revocation of `own` makes room for no other: a revoked device must not forget that it is.
    pub(crate) fn keeping(mut self, own: UserId) -> Self {
        self.own = Some(own);
        self
    }

    /// Keeps `revocation` if it is newer than what is known of its user and app; whether it was. A signature is
    /// checked only then. When the book is full, the one that ends first goes.
    ///
    /// # Errors
    /// [`WireError::Signature`].
    pub(crate) fn learn(&mut self, crypto: &Crypto, revocation: Revocation) -> Result<bool, WireError> {
        let key = (revocation.user(), revocation.app.clone());
        if self.newest.get(&key).is_some_and(|known| known.version >= revocation.version) {
            return Ok(false);
        }
        revocation.verify(crypto)?;
        if !self.newest.contains_key(&key) && self.newest.len() >= self.entries_max {
            let others = self.newest.iter().filter(|((user, _), _)| self.own != Some(*user));
            let first = others.min_by_key(|(_, known)| known.end()).map(|(key, _)| key.clone());
            if let Some(first) = first {
                self.newest.remove(&first);
                self.dropped.push(first.0);
            }
        }
        self.newest.insert(key, revocation);
        Ok(true)
    }

    /// Whether a known revocation takes `delegation` back. O(log n).
    pub(crate) fn is_revoked(&self, delegation: &Delegation) -> bool {
        !self.newest.is_empty() && self.of(delegation.user(), delegation.app()).is_some_and(|known| known.revokes(delegation))
    }

    /// The newest known revocation of a user within an app.
    pub(crate) fn of(&self, user: UserId, app: &AppId) -> Option<&Revocation> {
        self.newest.get(&(user, app.clone()))
    }

    /// Drops what takes back nothing that could still be alive at `now`. O(n).
    pub(crate) fn forget_ended(&mut self, now: WallTime) {
        let dropped = &mut self.dropped;
        self.newest.retain(|(user, _), known| {
            let is_alive = known.end().as_millis().saturating_add(CLOCK_TOLERANCE_MS) > now.as_millis();
            if !is_alive {
                dropped.push(*user);
            }
            is_alive
        });
    }

    /// Whose revocations were dropped since the last call: what is stored of them may go.
    pub(crate) fn take_dropped(&mut self) -> Vec<UserId> {
        core::mem::take(&mut self.dropped)
    }
}
