//! Who somebody is: identities, the delegations they sign for their devices, and the revocations that take them back.
//!
//! A node never holds an identity. Whoever does calls [`Delegation::sign`] and [`Revocation::sign`] outside of it.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{Crypto, sha256};
use crate::id::{IdentityKey, UserId};

mod credentials;
mod delegation;
mod devices;
mod revocation;
pub(crate) mod signed;

pub use credentials::{Credentials, DeviceKeys, NodeSecret, SecretText};
pub(crate) use delegation::DelegationCache;
pub use delegation::{CLOCK_TOLERANCE_MS, DELEGATION_MS_DEFAULT, DELEGATION_MS_MAX, Delegation, Grant, Refusal};
pub(crate) use devices::Devices;
pub(crate) use revocation::RevocationBook;
pub use revocation::{REVOKED_MAX, Revocation, RevocationEntry, RevocationTarget};

/// The label in front of an identity key when it is hashed.
const USER_LABEL: &[u8] = b"overcom/1 user\0";

impl IdentityKey {
    /// The user that this key is: SHA-256 over a label and the key (spec: ID-1).
    pub fn user(&self) -> UserId {
        UserId::from_bytes(sha256(&[USER_LABEL, self.as_bytes()]))
    }
}

/// The secret half of an identity: an Ed25519 seed. It signs delegations and revocations and nothing else.
///
/// It leaves memory when dropped and is never shown.
#[derive(Clone, ZeroizeOnDrop)]
pub struct IdentitySecret {
    seed: [u8; 32],
    #[zeroize(skip)]
    public: IdentityKey,
    #[zeroize(skip)]
    crypto: Crypto,
}

impl IdentitySecret {
    /// From 32 random bytes, or from what a passphrase was stretched to. Costs one multiplication on the curve.
    pub fn from_bytes(seed: [u8; 32]) -> Self {
        Self::with_crypto(Crypto::standard(), seed)
    }

    /// [`from_bytes`](Self::from_bytes) for another table of primitives, so that simulated networks can be ideal.
    pub fn with_crypto(crypto: Crypto, mut seed: [u8; 32]) -> Self {
        let public = IdentityKey::from_bytes(crypto.public_of_signing(&seed));
        let secret = Self { seed, public, crypto };
        seed.zeroize();
        secret
    }

    /// The public half.
    pub fn public(&self) -> IdentityKey {
        self.public
    }

    /// Whose identity it is.
    pub fn user(&self) -> UserId {
        self.public.user()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.crypto.sign(&self.seed, message)
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentitySecret({})", self.user())
    }
}

#[cfg(test)]
mod tests;
