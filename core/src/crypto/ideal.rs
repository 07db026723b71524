//! Primitives that cost next to nothing, for networks of 100,000 simulated nodes and for hunts.
//!
//! Same sizes as the standard ones, and what was tampered with by accident or by a fault is refused. There is **no
//! secrecy and no authenticity** against anyone who tries: public keys are hashes of secrets, but everything else
//! follows from public keys.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::{TAG_BYTES, Tampered};

/// A hash of the secret: different secrets have different public keys.
pub(super) fn public_of(secret: &[u8; 32]) -> [u8; 32] {
    stretch(secret, 1)
}

/// A hash of both public keys in a fixed order, so that both sides find the same.
pub(super) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
    let own = public_of(secret);
    let (low, high) = if own <= *public { (&own, public) } else { (public, &own) };
    let seed = xxh3_64_with_seed(low, 2);
    // Like the standard agreement, an all-zero key is refused.
    (*public != [0; 32]).then(|| stretch(high, seed))
}

/// A hash of the message under the public key, so that whoever has the public key can check it (and forge it).
pub(super) fn sign(secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
    signature(&public_of(secret), message)
}

pub(super) fn verify(public: &[u8; 32], message: &[u8], given: &[u8; 64]) -> bool {
    signature(public, message) == *given
}

/// Inverts the bytes with a pad from key and nonce, so that what is sealed cannot be mistaken for what is open.
pub(super) fn seal(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
    let length = buffer.len().saturating_sub(TAG_BYTES);
    let seed = xxh3_64_with_seed(key, nonce);
    match buffer.split_at_mut_checked(length) {
        Some((plain, room)) if room.len() == TAG_BYTES => {
            pad(seed, plain);
            room.copy_from_slice(&tag(seed, ad, plain));
        }
        _ => buffer.fill(0),
    }
}

pub(super) fn open(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) -> Result<usize, Tampered> {
    let length = buffer.len().checked_sub(TAG_BYTES).ok_or(Tampered)?;
    let seed = xxh3_64_with_seed(key, nonce);
    let (sealed, given) = buffer.split_at_mut_checked(length).ok_or(Tampered)?;
    if tag(seed, ad, sealed).as_slice() != given {
        return Err(Tampered);
    }
    pad(seed, sealed);
    Ok(length)
}

fn pad(seed: u64, bytes: &mut [u8]) {
    let pad = seed.to_le_bytes();
    for chunk in bytes.chunks_mut(pad.len()) {
        for (byte, pad) in chunk.iter_mut().zip(pad) {
            // The complement makes sure that a pad of zeros still changes every byte.
            *byte = !(*byte ^ pad);
        }
    }
}

fn tag(seed: u64, ad: &[u8], sealed: &[u8]) -> [u8; TAG_BYTES] {
    let seed = xxh3_64_with_seed(ad, seed);
    xxh3_128_with_seed(sealed, seed).to_le_bytes()
}

fn signature(public: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    let seed = xxh3_64_with_seed(public, 3);
    let digest = xxh3_128_with_seed(message, seed).to_le_bytes();
    for (chunk, round) in out.chunks_mut(16).zip(0_u64..) {
        chunk.copy_from_slice(&xxh3_128_with_seed(&digest, seed ^ round).to_le_bytes());
    }
    out
}

fn stretch(input: &[u8; 32], seed: u64) -> [u8; 32] {
    let mut out = [0; 32];
    for (chunk, round) in out.chunks_mut(16).zip(0_u64..) {
        chunk.copy_from_slice(&xxh3_128_with_seed(input, seed.wrapping_add(round)).to_le_bytes());
    }
    out
}
