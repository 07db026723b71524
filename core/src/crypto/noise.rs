//! Noise XX over the crypto table: the handshake through `snow`, the records by hand, because an idle link should
//! hold two keys and two counters and nothing more.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use sha2::{Digest, Sha256};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Crypto, TAG_BYTES, derive};
use crate::rng::Rng;

/// The one handshake there is (spec: CRYPTO-5).
pub(crate) const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
/// No Noise message is longer, its tag included.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_535;
/// What a handshake message holds at most beside its payload: an ephemeral key, a sealed static key and a tag.
const OVERHEAD_BYTES_MAX: usize = 32 + 48 + TAG_BYTES;

/// Why a handshake or a record failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoiseError {
    /// A message out of turn, or after the end: the caller's mistake.
    Turn,
    /// Too long, or too short for its parts.
    Length,
    /// A key of small order.
    Key,
    /// Tampered with, or from a peer with another prologue or key.
    Tampered,
    /// The nonces are used up: 2⁶⁴−1 records.
    Exhausted,
}

impl fmt::Display for NoiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn => "a handshake message out of turn",
            Self::Length => "a Noise message of impossible length",
            Self::Key => "a Noise key of small order",
            Self::Tampered => "a Noise message does not open",
            Self::Exhausted => "the link's nonces are used up",
        })
    }
}

impl core::error::Error for NoiseError {}

/// A static X25519 key pair whose public half is computed once.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct KeyPair {
    secret: [u8; 32],
    public: [u8; 32],
}

impl KeyPair {
    /// Computes the public half.
    pub(crate) fn new(crypto: &Crypto, secret: [u8; 32]) -> Self {
        let public = crypto.public_of_agreement(&secret);
        Self { secret, public }
    }

    /// The public half.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// What its owner and who holds the secret of `other` have in common; `None` for a key of small order.
    pub(crate) fn agree(&self, crypto: &Crypto, other: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        crypto.agree(&self.secret, other).map(Zeroizing::new)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

/// One side of a handshake that is under way. After an error it must be dropped.
///
/// Building one cannot fail, since pattern and keys are of fixed form; should snow ever refuse, the handshake is
/// `None` and its first step fails with [`NoiseError::Turn`].
pub(crate) struct Handshake(Option<Box<snow::HandshakeState>>);

impl Handshake {
    /// The side that opened the pipe and writes first. `rng` is a fork for this handshake alone.
    pub(crate) fn dial(crypto: Crypto, prologue: &[u8], keypair: &KeyPair, rng: Rng) -> Self {
        Self(build(crypto, prologue, keypair, rng, |builder| builder.build_initiator()).ok())
    }

    /// The side that reads first. `rng` is a fork for this handshake alone.
    pub(crate) fn listen(crypto: Crypto, prologue: &[u8], keypair: &KeyPair, rng: Rng) -> Self {
        Self(build(crypto, prologue, keypair, rng, |builder| builder.build_responder()).ok())
    }

    /// The next message, with `payload` in it: in the clear in message 1, sealed in 2 and 3.
    ///
    /// # Errors
    /// [`NoiseError::Turn`] out of turn, [`NoiseError::Length`] when it would pass 65,535 bytes, [`NoiseError::Key`]
    /// for a peer's key of small order.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let room = payload.len().saturating_add(OVERHEAD_BYTES_MAX);
        if room > MESSAGE_BYTES_MAX {
            return Err(NoiseError::Length);
        }
        let mut message = vec![0; room];
        let length = self.0.as_mut().ok_or(NoiseError::Turn)?.write_message(payload, &mut message).map_err(error)?;
        message.truncate(length);
        Ok(message)
    }

    /// Takes the peer's message and returns its payload.
    ///
    /// # Errors
    /// Each of [`NoiseError`]'s but `Exhausted`.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut payload = vec![0; message.len()];
        let length = self.0.as_mut().ok_or(NoiseError::Turn)?.read_message(message, &mut payload).map_err(error)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// The peer's static key, once its message has come: message 2 for who dialled, message 3 for who listened.
    pub(crate) fn remote_static(&self) -> Option<[u8; 32]> {
        self.0.as_ref()?.get_remote_static()?.try_into().ok()
    }

    /// Noise's `h` after the latest message, prologue included.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.0.as_ref().and_then(|state| state.get_handshake_hash().try_into().ok()).unwrap_or_default()
    }

    /// The two directions and the final `h`, which names the link.
    ///
    /// # Errors
    /// [`NoiseError::Turn`] before the third message.
    pub(crate) fn finish(mut self) -> Result<(Sealer, Opener, [u8; 32]), NoiseError> {
        let hash = self.hash();
        let state = self.0.as_mut().filter(|state| state.is_handshake_finished()).ok_or(NoiseError::Turn)?;
        let (dialler, listener) = state.dangerously_get_raw_split();
        let (dialler, listener) = (Zeroizing::new(dialler), Zeroizing::new(listener));
        let (out, into) = if state.is_initiator() { (&dialler, &listener) } else { (&listener, &dialler) };
        Ok((Sealer(Direction { key: **out, nonce: 0 }), Opener(Direction { key: **into, nonce: 0 }), hash))
    }
}

/// A key and the nonce of its next record.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Direction {
    key: [u8; 32],
    nonce: u64,
}

impl Direction {
    /// Noise keeps the last nonce for itself (spec: CRYPTO-7).
    fn next(&self) -> Result<u64, NoiseError> {
        if self.nonce == u64::MAX { Err(NoiseError::Exhausted) } else { Ok(self.nonce) }
    }
}

/// Seals the records of one direction of a link.
pub(crate) struct Sealer(Direction);

impl Sealer {
    /// Seals in place: the plaintext in front, [`TAG_BYTES`] of room behind.
    ///
    /// # Errors
    /// [`NoiseError::Length`] if there is no room for the tag or a Noise message cannot be so long,
    /// [`NoiseError::Exhausted`] when the nonces are used up. The counter then stays.
    pub(crate) fn seal(&mut self, crypto: &Crypto, buffer: &mut [u8]) -> Result<(), NoiseError> {
        if buffer.len() < TAG_BYTES || buffer.len() > MESSAGE_BYTES_MAX {
            return Err(NoiseError::Length);
        }
        let nonce = self.0.next()?;
        crypto.seal(&self.0.key, nonce, &[], buffer);
        self.0.nonce = nonce.saturating_add(1);
        Ok(())
    }
}

/// Opens the records of the other direction, in their order.
pub(crate) struct Opener(Direction);

impl Opener {
    /// Opens in place and returns the plaintext's length.
    ///
    /// # Errors
    /// [`NoiseError::Tampered`] for anything but the next record, [`NoiseError::Exhausted`] when the nonces are used
    /// up. The counter then stays, but a stream that lost a record has no next one: close the pipe.
    pub(crate) fn open(&mut self, crypto: &Crypto, buffer: &mut [u8]) -> Result<usize, NoiseError> {
        let nonce = self.0.next()?;
        let length = crypto.open(&self.0.key, nonce, &[], buffer).map_err(|_| NoiseError::Tampered)?;
        self.0.nonce = nonce.saturating_add(1);
        Ok(length)
    }
}

/// What names a link, for proofs that are to be worth nothing on another one: derived from the keys of both directions, which
/// no other link has and nobody but its two ends knows. A link keeps no hash for it (spec: INVITE-6).
pub(crate) fn link_name(sealer: &Sealer, opener: &Opener, is_dialler: bool) -> [u8; 32] {
    let (out, into) = (&sealer.0.key, &opener.0.key);
    let (dialler, listener) = if is_dialler { (out, into) } else { (into, out) };
    name_of(dialler, listener)
}

/// The name of the link with these keys: the dialler's records', then the listener's.
pub(crate) fn name_of(dialler: &[u8; 32], listener: &[u8; 32]) -> [u8; 32] {
    derive(dialler, b"overcom/1 link", &[listener])
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("nonce", &self.0.nonce).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("nonce", &self.0.nonce).finish_non_exhaustive()
    }
}

fn build(
    crypto: Crypto,
    prologue: &[u8],
    keypair: &KeyPair,
    rng: Rng,
    finish: fn(snow::Builder<'_>) -> Result<snow::HandshakeState, snow::Error>,
) -> Result<Box<snow::HandshakeState>, snow::Error> {
    let params: NoiseParams = PATTERN.parse()?;
    let resolver = Resolver { crypto, own: keypair.clone(), rng: Cell::new(Some(rng)) };
    let builder = snow::Builder::with_resolver(params, Box::new(resolver));
    Ok(Box::new(finish(builder.prologue(prologue)?.local_private_key(&keypair.secret)?)?))
}

fn error(error: snow::Error) -> NoiseError {
    // `snow::Error` is open to new variants; whatever they will be, the handshake is over.
    match error {
        snow::Error::State(_) | snow::Error::Prereq(_) | snow::Error::Init(_) | snow::Error::Pattern(_) => NoiseError::Turn,
        snow::Error::Input => NoiseError::Length,
        snow::Error::Dh => NoiseError::Key,
        snow::Error::Decrypt | snow::Error::Rng | _ => NoiseError::Tampered,
    }
}

/// Hands snow the table's primitives, and the handshake's generator once.
struct Resolver {
    crypto: Crypto,
    own: KeyPair,
    rng: Cell<Option<Rng>>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Chance(self.rng.take()?)))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let pair = || Pair { crypto: self.crypto, own: self.own.clone() };
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(pair()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha(Sha256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let aead = || Aead { crypto: self.crypto, key: Zeroizing::new([0; 32]) };
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(aead()) as Box<dyn Cipher>)
    }
}

struct Chance(Rng);

impl Random for Chance {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill(out);
        Ok(())
    }
}

/// Starts as the static pair; `generate` turns it into an ephemeral one.
struct Pair {
    crypto: Crypto,
    own: KeyPair,
}

impl Dh for Pair {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        // snow sets the static secret, whose public half is known: no multiplication for it.
        if let Ok(secret) = <[u8; 32]>::try_from(secret)
            && secret != self.own.secret
        {
            self.own = KeyPair::new(&self.crypto, secret);
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = [0; 32];
        rng.try_fill_bytes(&mut secret)?;
        self.own = KeyPair::new(&self.crypto, secret);
        secret.zeroize();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.own.public
    }

    fn privkey(&self) -> &[u8] {
        &self.own.secret
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow hands over its buffer for the longest curve; the key is in front.
        let public = public.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let shared = Zeroizing::new(self.crypto.agree(&self.own.secret, public).ok_or(snow::Error::Dh)?);
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_slice());
        Ok(())
    }
}

struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash: [u8; 32] = self.0.finalize_reset().into();
        if let Some(front) = out.get_mut(..hash.len()) {
            front.copy_from_slice(&hash);
        }
    }
}

struct Aead {
    crypto: Crypto,
    key: Zeroizing<[u8; 32]>,
}

impl Cipher for Aead {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        *self.key = *key;
    }

    fn encrypt(&self, nonce: u64, ad: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let length = plain.len().saturating_add(TAG_BYTES);
        let Some((front, buffer)) = out.get_mut(..length).map(|buffer| (plain.len(), buffer)) else { return 0 };
        if let Some(front) = buffer.get_mut(..front) {
            front.copy_from_slice(plain);
        }
        self.crypto.seal(&self.key, nonce, ad, buffer);
        length
    }

    fn decrypt(&self, nonce: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, snow::Error> {
        // `out` has no room for the tag, so it cannot be opened there.
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let length = self.crypto.open(&self.key, nonce, ad, &mut buffer).map_err(|_| snow::Error::Decrypt)?;
        let (plain, room) = buffer.get(..length).zip(out.get_mut(..length)).ok_or(snow::Error::Decrypt)?;
        room.copy_from_slice(plain);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
