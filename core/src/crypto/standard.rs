//! The primitives of real networks, on one curve and one hash stack.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use cryptoxide::poly1305::Poly1305 as ShortMac;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use poly1305::Poly1305 as LongMac;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};

use super::{TAG_BYTES, Tampered};

/// Bytes of Poly1305's blocks; what is authenticated is filled up to them.
const MAC_BLOCK_BYTES: usize = 16;
/// Bytes of ChaCha20's block 0, of which Poly1305's key is the first half.
const KEY_BLOCK_BYTES: usize = 64;
/// Bytes of key stream that the cipher makes in one go where it has wide registers: asked for at once they cost no more
/// than the first block does.
const FRONT_BYTES: usize = 256;
/// From this length on the authenticator with wide registers is the faster one: it takes a microsecond before its first
/// byte and half of the other's time for each (measured; they meet between 4 and 5 KiB).
const LONG_BYTES_MIN: usize = 4_096;

/// ChaCha20-Poly1305 as Noise uses it, in portable code; see [`SealFn`](super::SealFn) (spec: CRYPTO-2).
///
/// A buffer that cannot be sealed, because it has no room for the tag, is erased.
pub fn standard_seal(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
    let length = buffer.len().saturating_sub(TAG_BYTES);
    if let Some((plain, room)) = buffer.split_at_mut_checked(length)
        && room.len() == TAG_BYTES
    {
        let mut stream = KeyStream::new(key, nonce);
        if stream.apply(plain) {
            return room.copy_from_slice(&stream.tag(ad, plain));
        }
    }
    buffer.fill(0);
}

/// The inverse of [`standard_seal`]; the tag is compared in constant time.
///
/// # Errors
/// [`Tampered`] if it is too short or the tag is another; the buffer's content is then of no use.
pub fn standard_open(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) -> Result<usize, Tampered> {
    let length = buffer.len().checked_sub(TAG_BYTES).ok_or(Tampered)?;
    let (sealed, tag) = buffer.split_at_mut_checked(length).ok_or(Tampered)?;
    let mut stream = KeyStream::new(key, nonce);
    let is_whole: bool = stream.tag(ad, sealed).ct_eq(tag).into();
    if is_whole && stream.apply(sealed) { Ok(length) } else { Err(Tampered) }
}

/// The key stream of one seal (RFC 8439, section 2.8), put together from a cipher and an authenticator here because the
/// crate that joins them takes five times as long for a record of one short message.
struct KeyStream {
    /// The first bytes: block 0, then what the buffer begins with.
    front: [u8; FRONT_BYTES],
    /// What follows them.
    rest: ChaCha20,
}

impl KeyStream {
    fn new(key: &[u8; 32], nonce: u64) -> Self {
        let mut rest = ChaCha20::new(key.into(), &noise_nonce(nonce).into());
        let mut front = [0; FRONT_BYTES];
        rest.apply_keystream(&mut front);
        Self { front, rest }
    }

    /// Encrypts or decrypts a buffer from its beginning on; `false`, with the buffer in any state, if it is longer than
    /// the key stream.
    fn apply(&mut self, buffer: &mut [u8]) -> bool {
        let front = self.front.get(KEY_BLOCK_BYTES..).unwrap_or_default();
        let (begin, rest) = buffer.split_at_mut(buffer.len().min(front.len()));
        begin.iter_mut().zip(front).for_each(|(byte, key)| *byte ^= key);
        self.rest.try_apply_keystream(rest).is_ok()
    }

    /// The tag of what is sealed.
    fn tag(&self, ad: &[u8], sealed: &[u8]) -> [u8; TAG_BYTES] {
        let key = self.front.first_chunk().unwrap_or(&[0; 32]);
        let (ad_bytes, sealed_bytes) = ((ad.len() as u64).to_le_bytes(), (sealed.len() as u64).to_le_bytes());
        if sealed.len() < LONG_BYTES_MIN {
            let mut mac = ShortMac::new(key);
            for part in [ad, sealed] {
                mac.update_mut(part);
                let padding = part.len().next_multiple_of(MAC_BLOCK_BYTES).saturating_sub(part.len());
                mac.update_mut([0; MAC_BLOCK_BYTES].get(..padding).unwrap_or_default());
            }
            mac.update_mut(&ad_bytes);
            mac.update_mut(&sealed_bytes);
            mac.finalize().0
        } else {
            let mut mac = LongMac::new(key.into());
            mac.update_padded(ad);
            mac.update_padded(sealed);
            mac.update_padded([ad_bytes, sealed_bytes].as_flattened());
            mac.finalize().into()
        }
    }
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
