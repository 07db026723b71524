//! The primitives of real networks, on one curve and one hash stack.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};
use cryptoxide::chacha20poly1305::{Context, DecryptionResult};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};

use super::{TAG_BYTES, Tampered};

/// Up to here one crate's seal is the faster one, beyond it the other's: the second takes a microsecond before its first
/// byte, and a third of the time for each further one. Both give the same bytes.
const SHORT_BYTES_MAX: usize = 512;

/// ChaCha20 with its twenty rounds.
type Short = Context<20>;

/// ChaCha20-Poly1305 as Noise uses it, in portable code; see [`SealFn`](super::SealFn) (spec: CRYPTO-2).
///
/// A buffer that cannot be sealed, because it has no room for the tag, is erased.
pub fn standard_seal(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
    let length = buffer.len().saturating_sub(TAG_BYTES);
    if let Some((plain, room)) = buffer.split_at_mut_checked(length)
        && room.len() == TAG_BYTES
        && let Some(tag) = seal_in_place(key, &noise_nonce(nonce), ad, plain)
    {
        room.copy_from_slice(&tag);
    } else {
        buffer.fill(0);
    }
}

fn seal_in_place(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], plain: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
    if plain.len() <= SHORT_BYTES_MAX {
        let mut cipher = Short::new(key, nonce);
        cipher.add_data(ad);
        let mut cipher = cipher.to_encryption();
        cipher.encrypt_mut(plain);
        return Some(cipher.finalize().0);
    }
    ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(nonce.into(), ad, plain.into()).ok().map(Into::into)
}

/// The inverse of [`standard_seal`]; the tag is compared in constant time.
///
/// # Errors
/// [`Tampered`] if it is too short or the tag is another; the buffer's content is then of no use.
pub fn standard_open(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) -> Result<usize, Tampered> {
    let length = buffer.len().checked_sub(TAG_BYTES).ok_or(Tampered)?;
    let (sealed, tag) = buffer.split_at_mut_checked(length).ok_or(Tampered)?;
    let (tag, nonce) = (<[u8; TAG_BYTES]>::try_from(&*tag).map_err(|_| Tampered)?, noise_nonce(nonce));
    let is_whole = if length <= SHORT_BYTES_MAX {
        let mut cipher = Short::new(key, &nonce);
        cipher.add_data(ad);
        let mut cipher = cipher.to_decryption();
        cipher.decrypt_mut(sealed);
        cipher.finalize(&cryptoxide::poly1305::Tag(tag)) == DecryptionResult::Match
    } else {
        let cipher = ChaCha20Poly1305::new(key.into());
        cipher.decrypt_inout_detached((&nonce).into(), ad, sealed.into(), &Tag::from(tag)).is_ok()
    };
    if is_whole { Ok(length) } else { Err(Tampered) }
}

/// X25519 with a check of the result; see [`AgreeFn`](super::AgreeFn) (spec: CRYPTO-4).
pub fn standard_agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
    let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public));
    shared.was_contributory().then(|| shared.to_bytes())
}

/// The X25519 public key of a secret.
pub fn standard_public_of_agreement(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

pub(super) fn sign(secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(secret).sign(message).to_bytes()
}

pub(super) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    VerifyingKey::from_bytes(public).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

pub(super) fn public_of_signing(secret: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(secret).verifying_key().to_bytes()
}

/// Four zero bytes, then the counter in little endian (Noise, revision 34, section 12.3).
fn noise_nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    if let Some(tail) = nonce.get_mut(4..) {
        tail.copy_from_slice(&counter.to_le_bytes());
    }
    nonce
}
