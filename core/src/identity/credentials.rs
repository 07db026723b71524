//! Secrets of a device and of an installation: what a key file holds and a node is started with.

use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::delegation::{Delegation, Grant};
use crate::crypto::noise::KeyPair;
use crate::crypto::{Crypto, derive};
use crate::error::WireError;
use crate::id::{AppId, DeviceId, NodeKey, deserialize_base64, to_base64};
use crate::rng::Rng;
use crate::time::WallTime;

/// Text that holds secrets. It leaves memory when dropped and is never shown.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Whoever copies it answers for the copy.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// The keys of one device, made once and kept for its life: renewal signs them again (spec: ID-12).
///
/// They leave memory when dropped and are never shown.
#[derive(Clone, ZeroizeOnDrop)]
pub struct DeviceKeys {
    signing: [u8; 32],
    noise: [u8; 32],
    #[zeroize(skip)]
    device: DeviceId,
}

impl DeviceKeys {
    /// How many bytes [`to_secret_bytes`](Self::to_secret_bytes) gives.
    pub const BYTES: usize = 80;

    /// New keys and a new device id.
    pub fn draw(rng: &mut Rng) -> Self {
        Self { signing: rng.array(), noise: rng.array(), device: DeviceId::from_bytes(rng.array()) }
    }

    /// The device's id.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// What the identity has to sign for this device. Two multiplications on the curve.
    pub fn grant(&self, app: AppId, from: WallTime, until: WallTime) -> Grant {
        self.grant_with(&Crypto::standard(), app, from, until)
    }

    /// [`grant`](Self::grant) for another table of primitives, so that simulated networks can be ideal.
    pub fn grant_with(&self, crypto: &Crypto, app: AppId, from: WallTime, until: WallTime) -> Grant {
        let (signing, noise) = (crypto.public_of_signing(&self.signing), crypto.public_of_agreement(&self.noise));
        Grant { signing, noise, app, device: self.device, from, until }
    }

    /// What a node is started with, once the identity has signed.
    pub fn credentials(&self, delegation: Delegation) -> Credentials {
        Credentials::new(delegation, self.signing, self.noise)
    }

    /// For a key file: the signing secret, the Noise secret, the device id. **Erase it after use.**
    pub fn to_secret_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let all = self.signing.iter().chain(&self.noise).chain(self.device.as_bytes());
        for (slot, byte) in out.iter_mut().zip(all) {
            *slot = *byte;
        }
        out
    }

    /// The inverse of [`to_secret_bytes`](Self::to_secret_bytes).
    pub fn from_secret_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut rest = bytes.iter().copied();
        let mut take = || rest.next().unwrap_or_default();
        let signing = core::array::from_fn(|_| take());
        let noise = core::array::from_fn(|_| take());
        let device = DeviceId::from_bytes(core::array::from_fn(|_| take()));
        Self { signing, noise, device }
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKeys({}, ..)", self.device)
    }
}

/// What a node is started with: a delegation and the secrets of the two keys that it names.
///
/// The secrets leave memory when dropped and are never shown.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Credentials {
    #[zeroize(skip)]
    delegation: Delegation,
    signing: [u8; 32],
    noise: [u8; 32],
}

impl Credentials {
    /// From its parts; whether they belong together is checked by [`fits`](Self::fits), which a new node calls.
    pub fn new(delegation: Delegation, mut signing_secret: [u8; 32], mut noise_secret: [u8; 32]) -> Self {
        let credentials = Self { delegation, signing: signing_secret, noise: noise_secret };
        signing_secret.zeroize();
        noise_secret.zeroize();
        credentials
    }

    /// The delegation.
    pub fn delegation(&self) -> &Delegation {
        &self.delegation
    }

    /// Whether the secrets are those of the keys that the delegation names. Two multiplications on the curve.
    pub fn fits(&self, crypto: &Crypto) -> bool {
        crypto.public_of_signing(&self.signing) == *self.delegation.signing()
            && crypto.public_of_agreement(&self.noise) == *self.delegation.noise()
    }

    /// The same keys under another delegation; whether its grant is of the same device is the caller's to check.
    #[must_use]
    pub fn renewed(&self, delegation: Delegation) -> Self {
        Self::new(delegation, self.signing, self.noise)
    }

    /// The key pair that links prove.
    pub(crate) fn noise_pair(&self, crypto: &Crypto) -> KeyPair {
        KeyPair::new(crypto, self.noise)
    }

    /// The public half of the first key for mail, whose secret follows from the device's own until it is replaced (spec: DHT-31).
    pub(crate) fn first_prekey(&self, crypto: &Crypto) -> [u8; 32] {
        crypto.public_of_agreement(&derive(&self.noise, b"overcom/1 first prekey", &[]))
    }

    /// A signature of this device, over bytes made with `wire::signing_bytes`.
    pub(crate) fn sign(&self, crypto: &Crypto, message: &[u8]) -> [u8; 64] {
        crypto.sign(&self.signing, message)
    }

    /// For a key file: JSON **with the secret keys in it**.
    pub fn to_secret_json(&self) -> SecretText {
        let (signing, noise) = (Zeroizing::new(to_base64(&self.signing)), Zeroizing::new(to_base64(&self.noise)));
        let delegation = self.delegation.to_json();
        SecretText(format!(r#"{{"delegation":{delegation},"signing":"{}","noise":"{}"}}"#, signing.as_str(), noise.as_str()))
    }

    /// The inverse of [`to_secret_json`](Self::to_secret_json). The delegation's signature is not checked.
    ///
    /// # Errors
    /// [`WireError::Json`] for anything else.
    pub fn from_secret_json(json: &str) -> Result<Self, WireError> {
        #[derive(Deserialize, ZeroizeOnDrop)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[zeroize(skip)]
            delegation: Delegation,
            #[serde(deserialize_with = "deserialize_base64")]
            signing: [u8; 32],
            #[serde(deserialize_with = "deserialize_base64")]
            noise: [u8; 32],
        }
        let file: File = serde_json::from_str(json).map_err(|_| WireError::Json)?;
        Ok(Self::new(file.delegation.clone(), file.signing, file.noise))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("delegation", &self.delegation).finish_non_exhaustive()
    }
}

/// The secret of an installation: 32 random bytes of no user, from which its service links get their key (spec: ID-3).
///
/// It leaves memory when dropped and is never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct NodeSecret([u8; 32]);

impl NodeSecret {
    /// From 32 random bytes, drawn at the first start and kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to keep.
    pub(crate) const fn to_secret_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The public key of its service links. One multiplication on the curve.
    pub fn key(&self, crypto: &Crypto) -> NodeKey {
        NodeKey::from_bytes(*self.noise_pair(crypto).public())
    }

    /// The key pair of its service links.
    pub(crate) fn noise_pair(&self, crypto: &Crypto) -> KeyPair {
        KeyPair::new(crypto, derive(&self.0, b"overcom/1 node", &[]))
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret(..)")
    }
}
