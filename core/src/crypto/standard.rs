//! The primitives of real networks, on one curve and one hash stack.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};

use super::{TAG_BYTES, Tampered};

/// ChaCha20-Poly1305 as Noise uses it, in portable code; see [`SealFn`](super::SealFn) (spec: CRYPTO-2).
///
/// A buffer that cannot be sealed, because it has no room for the tag, is erased.
pub fn standard_seal(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
    let length = buffer.len().saturating_sub(TAG_BYTES);
    if let Some((plain, room)) = buffer.split_at_mut_checked(length)
        && room.len() == TAG_BYTES
        && let Ok(tag) = ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(&noise_nonce(nonce), ad, plain.into())
    {
        room.copy_from_slice(&tag);
    } else {
        buffer.fill(0);
    }
}

/// The inverse of [`standard_seal`]; the tag is compared in constant time.
///
/// # Errors
/// [`Tampered`] if it is too short or the tag is another; the buffer's content is then of no use.
pub fn standard_open(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) -> Result<usize, Tampered> {
    let length = buffer.len().checked_sub(TAG_BYTES).ok_or(Tampered)?;
    let (sealed, tag) = buffer.split_at_mut_checked(length).ok_or(Tampered)?;
    let tag = Tag::try_from(&*tag).map_err(|_| Tampered)?;
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(&noise_nonce(nonce), ad, sealed.into(), &tag).map_err(|_| Tampered)?;
    Ok(length)
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
fn noise_nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    if let Some(tail) = nonce.get_mut(4..) {
        tail.copy_from_slice(&counter.to_le_bytes());
    }
    nonce.into()
}
