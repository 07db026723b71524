//! ring's ChaCha20-Poly1305 as a record cipher: the bytes of the standard one, faster for small records.

use overcom_core::{AeadFns, TAG_BYTES, Tampered};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// For [`Crypto::with_aead`](overcom_core::Crypto::with_aead).
pub const fn ring_aead() -> AeadFns {
    AeadFns { seal, open }
}

fn seal(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
    let sealed = buffer.split_last_chunk_mut::<TAG_BYTES>().and_then(|(plain, room)| {
        let tag = cipher(key)?.seal_in_place_separate_tag(counter(nonce), Aad::from(ad), plain).ok()?;
        room.copy_from_slice(tag.as_ref());
        Some(())
    });
    if sealed.is_none() {
        buffer.fill(0);
    }
}

fn open(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) -> Result<usize, Tampered> {
    let cipher = cipher(key).ok_or(Tampered)?;
    cipher.open_in_place(counter(nonce), Aad::from(ad), buffer).map(|plain| plain.len()).map_err(|_| Tampered)
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}

/// Noise's nonce: four zero bytes, then the counter in little endian (spec: CRYPTO-2).
fn counter(nonce: u64) -> Nonce {
    let mut bytes = [0; 12];
    if let Some(tail) = bytes.last_chunk_mut::<8>() {
        *tail = nonce.to_le_bytes();
    }
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_and_the_standard_cipher_give_the_same_bytes() {
        assert!(ring_aead().agrees_with_standard());
    }

    #[test]
    fn a_buffer_without_room_for_the_tag_is_erased() {
        let mut buffer = *b"too short";
        (ring_aead().seal)(&[1; 32], 0, b"", &mut buffer);
        assert_eq!(buffer, [0; 9]);
    }
}
