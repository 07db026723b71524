//! Primitives as a value: a table of plain functions, chosen in the configuration. The only place that names a crypto crate.
//!
//! [`Crypto::standard`] is what goes over real networks. [`Crypto::with_aead`] speaks the same bytes with a faster
//! cipher. `Crypto::ideal`, under the feature `ideal`, has the same sizes and refuses tampering, but keeps no secret.

use alloc::vec::Vec;
use core::fmt;
use core::hash::Hasher as _;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use subtle::ConstantTimeEq;

#[cfg(feature = "ideal")]
mod ideal;
pub(crate) mod noise;
mod standard;

pub use standard::{standard_agree, standard_open, standard_public_of_agreement, standard_seal};

/// How many bytes a seal adds.
pub const TAG_BYTES: usize = 16;

/// A sealed buffer that was changed, cut, or sealed with another key or nonce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tampered;

impl fmt::Display for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sealed buffer does not open")
    }
}

impl core::error::Error for Tampered {}

/// Seals in place: key, nonce, associated data, and a buffer with the plaintext in front and [`TAG_BYTES`] of room behind.
pub type SealFn = fn(&[u8; 32], u64, &[u8], &mut [u8]);
/// Opens in place: key, nonce, associated data, and a buffer whose last [`TAG_BYTES`] are the tag. Returns the plaintext's length.
pub type OpenFn = fn(&[u8; 32], u64, &[u8], &mut [u8]) -> Result<usize, Tampered>;
/// X25519: one's own secret and the other's public key; `None` if the result is all zero.
pub type AgreeFn = fn(&[u8; 32], &[u8; 32]) -> Option<[u8; 32]>;
/// The public key of a secret.
pub type PublicFn = fn(&[u8; 32]) -> [u8; 32];

/// A record cipher that a shell brings along, for instance ring's. It must be ChaCha20-Poly1305 with Noise's nonce:
/// four zero bytes, then the counter in little endian (spec: CRYPTO-2).
///
/// `seal` must erase the buffer if it cannot seal, so that no plaintext leaves by mistake.
#[derive(Clone, Copy)]
pub struct AeadFns {
    /// Like [`standard_seal`].
    pub seal: SealFn,
    /// Like [`standard_open`].
    pub open: OpenFn,
}

impl AeadFns {
    /// Whether it gives and takes the same bytes as the standard cipher, for lengths around its block sizes and for
    /// changed tags. Whoever brings a cipher along calls this in a test. Costs about 100 seals.
    pub fn agrees_with_standard(&self) -> bool {
        let lengths = [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 1_024, 16_384, 65_519];
        lengths.into_iter().zip([0, 1, u64::MAX - 1].into_iter().cycle()).all(|(length, nonce)| self.agrees_on(length, nonce))
    }

    fn agrees_on(&self, length: usize, nonce: u64) -> bool {
        let (key, ad) = ([0x5A; 32], b"associated".as_slice());
        let plain: Vec<u8> = (0..=250).cycle().take(length).chain([0; TAG_BYTES]).collect();
        let (mut theirs, mut ours) = (plain.clone(), plain.clone());
        (self.seal)(&key, nonce, ad, &mut theirs);
        standard_seal(&key, nonce, ad, &mut ours);
        let mut changed = ours.clone();
        if let Some(byte) = changed.last_mut() {
            *byte ^= 1;
        }
        let opened = (self.open)(&key, nonce, ad, &mut ours);
        theirs.len() == ours.len()
            && opened == Ok(length)
            && ours.get(..length) == plain.get(..length)
            && (self.open)(&key, nonce, ad, &mut changed).is_err()
            && standard_open(&key, nonce, ad, &mut theirs) == Ok(length)
            && (self.open)(&key, nonce, ad, &mut [0; TAG_BYTES - 1]).is_err()
    }
}

/// Key agreement that a measurement brings along, to count calls of [`standard_agree`] and
/// [`standard_public_of_agreement`]. It must be X25519.
#[derive(Clone, Copy)]
pub struct AgreeFns {
    /// Like [`standard_agree`].
    pub agree: AgreeFn,
    /// Like [`standard_public_of_agreement`].
    pub public_of: PublicFn,
}

/// The primitives a node uses. Opaque, `Copy`, and of one wire format per [`name`](Self::name).
#[derive(Clone, Copy)]
pub struct Crypto {
    name: &'static str,
    seal: SealFn,
    open: OpenFn,
    sign: fn(&[u8; 32], &[u8]) -> [u8; 64],
    verify: fn(&[u8; 32], &[u8], &[u8; 64]) -> bool,
    public_of_signing: PublicFn,
    agree: AgreeFn,
    public_of_agreement: PublicFn,
}

impl Crypto {
    /// Ed25519, X25519, ChaCha20-Poly1305 and SHA-256 in portable code (spec: CRYPTO-1).
    pub const fn standard() -> Self {
        Self {
            name: "standard",
            seal: standard_seal,
            open: standard_open,
            sign: standard::sign,
            verify: standard::verify,
            public_of_signing: standard::public_of_signing,
            agree: standard_agree,
            public_of_agreement: standard_public_of_agreement,
        }
    }

    /// [`standard`](Self::standard) with another implementation of its record cipher. Same bytes, same name.
    pub const fn with_aead(aead: AeadFns) -> Self {
        Self { seal: aead.seal, open: aead.open, ..Self::standard() }
    }

    /// [`standard`](Self::standard) with another implementation of its key agreement. Same bytes, same name.
    pub const fn with_agreement(agreement: AgreeFns) -> Self {
        Self { agree: agreement.agree, public_of_agreement: agreement.public_of, ..Self::standard() }
    }

    /// For simulations only: the sizes of [`standard`](Self::standard), refusal of what was tampered with, and **no secrecy**.
    ///
    /// Anyone can read and forge with it. Its name is part of every handshake, so ideal and standard nodes cannot meet
    /// (spec: CRYPTO-8).
    #[cfg(feature = "ideal")]
    pub const fn ideal() -> Self {
        Self {
            name: "ideal",
            seal: ideal::seal,
            open: ideal::open,
            sign: ideal::sign,
            verify: ideal::verify,
            public_of_signing: ideal::public_of,
            agree: ideal::agree,
            public_of_agreement: ideal::public_of,
        }
    }

    /// For tests of what must not be verified again: a table to which every signature is wrong.
    #[cfg(test)]
    pub(crate) fn that_verifies_nothing() -> Self {
        Self { verify: |_, _, _| false, ..Self::standard() }
    }

    /// The wire format's name, `standard` or `ideal`; part of the handshake's prologue.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Seals in place; see [`SealFn`]. A buffer without room for the tag is erased.
    pub fn seal(&self, key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
        (self.seal)(key, nonce, ad, buffer);
    }

    /// Opens in place and returns the plaintext's length; see [`OpenFn`].
    ///
    /// # Errors
    /// [`Tampered`] if the buffer is not what was sealed with this key, nonce and associated data.
    pub fn open(&self, key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) -> Result<usize, Tampered> {
        (self.open)(key, nonce, ad, buffer)
    }

    /// An Ed25519 signature by the seed `secret`.
    pub fn sign(&self, secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
        (self.sign)(secret, message)
    }

    /// Whether `signature` is `public`'s over `message`, by the one rule of `verify_strict` (spec: CRYPTO-3).
    pub fn verify(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        (self.verify)(public, message, signature)
    }

    /// The Ed25519 public key of the seed `secret`.
    pub fn public_of_signing(&self, secret: &[u8; 32]) -> [u8; 32] {
        (self.public_of_signing)(secret)
    }

    /// X25519; `None` when the other's key is of small order, so that the result would be all zero (spec: CRYPTO-4).
    pub fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        (self.agree)(secret, public)
    }

    /// The X25519 public key of `secret`.
    pub fn public_of_agreement(&self, secret: &[u8; 32]) -> [u8; 32] {
        (self.public_of_agreement)(secret)
    }

    /// SHA-256 over the parts, one behind the other. The same in every provider, because ids come from it.
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        sha256(parts)
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Crypto").field(&self.name).finish()
    }
}

/// SHA-256 over the parts, one behind the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// 32 bytes from `secret` for one purpose: HKDF-SHA256 without salt, info = label ‖ 0x00 ‖ parts (spec: CRYPTO-6).
pub(crate) fn derive(secret: &[u8; 32], label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let info: Vec<&[u8]> = [label, &[0]].into_iter().chain(parts.iter().copied()).collect();
    let mut out = [0; 32];
    // The only failure is an output of more than 8,160 bytes.
    let expanded = Hkdf::<Sha256>::new(None, secret).expand_multi_info(&info, &mut out);
    debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's limit");
    out
}

/// HMAC-SHA256 under `secret` over the parts, one behind the other (RFC 2104). The same in every provider.
pub(crate) fn mac(secret: &[u8; 16], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// SipHash-2-4 with 128 bits under `secret` over the parts, one behind the other: for what only its maker checks, and only for
/// minutes. A tenth of the time of [`mac`]. The same in every provider.
pub(crate) fn short_mac(secret: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(secret);
    for part in parts {
        hasher.write(part);
    }
    hasher.finish128().as_bytes()
}

/// Whether two proofs are the same, in a time that does not tell where they differ.
pub(crate) fn is_same_proof<const N: usize>(a: &[u8; N], b: &[u8; N]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests;
