use core::sync::atomic::{AtomicU32, Ordering};

use alloc::string::String;
use serde::Deserialize;

use super::super::{AgreeFns, standard_agree, standard_public_of_agreement};
use super::*;
use crate::id::to_base64;
use crate::rng::Seed;

/// Both sides with keys and generators from fixed seeds.
fn pair(crypto: Crypto, prologues: [&[u8]; 2]) -> (Handshake, Handshake) {
    let side = |seed: u8| (KeyPair::new(&crypto, [seed; 32]), Rng::from_seed(&Seed::from_bytes([seed; 32])));
    let ((one, one_rng), (other, other_rng)) = (side(1), side(2));
    (Handshake::dial(crypto, prologues[0], &one, one_rng), Handshake::listen(crypto, prologues[1], &other, other_rng))
}

/// The three messages of a handshake with payloads, and both sides at its end.
fn shake(crypto: Crypto) -> ([Vec<u8>; 3], Handshake, Handshake) {
    let (mut dialler, mut listener) = pair(crypto, [b"p", b"p"]);
    let first = dialler.write(b"one").unwrap();
    assert_eq!(listener.read(&first).unwrap(), b"one");
    let second = listener.write(b"two").unwrap();
    assert_eq!(dialler.read(&second).unwrap(), b"two");
    let third = dialler.write(b"three").unwrap();
    assert_eq!(listener.read(&third).unwrap(), b"three");
    ([first, second, third], dialler, listener)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    prologue: String,
    payloads: [String; 3],
    static_secrets: [String; 2],
    ephemeral_secrets: [String; 2],
    messages: [String; 3],
    hash: String,
    record_of_dialler: String,
    record_of_listener: String,
}

// spec-test: CRYPTO-5
#[test]
fn a_handshake_with_fixed_seeds_is_the_committed_one() {
    let vector: Vector = serde_json::from_str(include_str!("../../../vectors/handshake.json")).unwrap();
    let crypto = Crypto::standard();
    let (messages, dialler, listener) = shake(crypto);
    let (mut dialler, _, hash) = dialler.finish().unwrap();
    let (mut listener, _, _) = listener.finish().unwrap();
    assert_eq!((vector.prologue, vector.payloads), ("p".into(), ["one", "two", "three"].map(String::from)));
    assert_eq!(vector.static_secrets, [1, 2].map(|seed| to_base64(&[seed; 32])));
    let ephemeral = |seed| Rng::from_seed(&Seed::from_bytes([seed; 32])).array::<32>();
    assert_eq!(vector.ephemeral_secrets, [1, 2].map(|seed| to_base64(&ephemeral(seed))));
    let record = |sealer: &mut Sealer| {
        let mut record = [b"record".as_slice(), &[0; TAG_BYTES]].concat();
        sealer.seal(&crypto, &mut record).unwrap();
        to_base64(&record)
    };
    assert_eq!(messages.map(|message| to_base64(&message)), vector.messages);
    assert_eq!(to_base64(&hash), vector.hash);
    assert_eq!(record(&mut dialler), vector.record_of_dialler);
    assert_eq!(record(&mut listener), vector.record_of_listener);
}

// spec-test: CRYPTO-5
#[test]
fn both_sides_end_with_the_same_hash_and_each_others_keys() {
    let crypto = Crypto::standard();
    let (_, dialler, listener) = shake(crypto);
    assert_eq!(dialler.hash(), listener.hash());
    assert_eq!(dialler.remote_static(), Some(*KeyPair::new(&crypto, [2; 32]).public()));
    assert_eq!(listener.remote_static(), Some(*KeyPair::new(&crypto, [1; 32]).public()));
    let ((mut seal, mut open, _), (mut seal_back, mut open_back, _)) = (dialler.finish().unwrap(), listener.finish().unwrap());
    for round in 0..3_u8 {
        for (sealer, opener) in [(&mut seal, &mut open_back), (&mut seal_back, &mut open)] {
            let mut record = [&[round; 9][..], &[0; TAG_BYTES]].concat();
            sealer.seal(&crypto, &mut record).unwrap();
            let length = opener.open(&crypto, &mut record).unwrap();
            assert_eq!(record.get(..length), Some([round; 9].as_slice()));
        }
    }
}

static AGREEMENTS: AtomicU32 = AtomicU32::new(0);
static FIXED_BASE: AtomicU32 = AtomicU32::new(0);

fn counted_agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
    AGREEMENTS.fetch_add(1, Ordering::Relaxed);
    standard_agree(secret, public)
}

fn counted_public_of(secret: &[u8; 32]) -> [u8; 32] {
    FIXED_BASE.fetch_add(1, Ordering::Relaxed);
    standard_public_of_agreement(secret)
}

#[test]
fn a_handshake_costs_six_agreements_and_two_fixed_base_multiplications() {
    let crypto = Crypto::with_agreement(AgreeFns { agree: counted_agree, public_of: counted_public_of });
    // Two more for the static pairs, which nodes keep.
    let (_, _, _) = shake(crypto);
    assert_eq!((AGREEMENTS.load(Ordering::Relaxed), FIXED_BASE.load(Ordering::Relaxed)), (6, 2 + 2));
}

// spec-test: CRYPTO-5
#[test]
fn sides_with_different_prologues_cannot_meet() {
    let (mut dialler, mut listener) = pair(Crypto::standard(), [b"standard", b"ideal"]);
    listener.read(&dialler.write(b"").unwrap()).unwrap();
    assert_eq!(dialler.read(&listener.write(b"").unwrap()), Err(NoiseError::Tampered));
}

#[test]
fn every_changed_cut_or_early_message_is_refused_without_panic() {
    let (mut dialler, mut listener) = pair(Crypto::standard(), [b"p", b"p"]);
    assert_eq!(listener.write(b""), Err(NoiseError::Turn));
    assert_eq!(dialler.read(b""), Err(NoiseError::Turn));
    let first = dialler.write(b"").unwrap();
    assert_eq!(dialler.write(b""), Err(NoiseError::Turn));
    assert_eq!(listener.read(first.get(..31).unwrap()), Err(NoiseError::Length));
    listener.read(&first).unwrap();
    let second = listener.write(b"hello").unwrap();
    for at in 0..second.len() {
        let (mut dialler, _) = pair(Crypto::standard(), [b"p", b"p"]);
        dialler.write(b"").unwrap();
        let mut changed = second.clone();
        changed[at] ^= 0x40;
        assert!(dialler.read(&changed).is_err(), "byte {at}");
        let (mut dialler, _) = pair(Crypto::standard(), [b"p", b"p"]);
        dialler.write(b"").unwrap();
        assert!(dialler.read(&second[..at]).is_err(), "cut at {at}");
    }
    assert!(dialler.finish().is_err_and(|error| error == NoiseError::Turn));
}

// spec-test: CRYPTO-4
#[test]
fn an_ephemeral_key_of_small_order_ends_the_handshake() {
    let (_, mut listener) = pair(Crypto::standard(), [b"p", b"p"]);
    listener.read(&[0; 32]).unwrap();
    assert_eq!(listener.write(b""), Err(NoiseError::Key));
}

// spec-test: CRYPTO-7
#[test]
fn the_last_nonce_is_never_used() {
    let crypto = Crypto::standard();
    let mut sealer = Sealer(Direction { key: [1; 32], nonce: u64::MAX - 1 });
    let mut opener = Opener(Direction { key: [1; 32], nonce: u64::MAX - 1 });
    let mut record = [0; 20];
    sealer.seal(&crypto, &mut record).unwrap();
    assert_eq!(opener.open(&crypto, &mut record), Ok(4));
    assert_eq!(sealer.seal(&crypto, &mut record), Err(NoiseError::Exhausted));
    assert_eq!(opener.open(&crypto, &mut record), Err(NoiseError::Exhausted));
}

#[test]
fn a_repeated_or_skipped_record_does_not_open() {
    let crypto = Crypto::standard();
    let mut sealer = Sealer(Direction { key: [1; 32], nonce: 0 });
    let mut opener = Opener(Direction { key: [1; 32], nonce: 0 });
    let mut sealed = || {
        let mut record = [7; 20];
        sealer.seal(&crypto, &mut record).unwrap();
        record
    };
    let (first, _skipped, third) = (sealed(), sealed(), sealed());
    assert_eq!(opener.open(&crypto, &mut first.clone()), Ok(4));
    assert_eq!(opener.open(&crypto, &mut first.clone()), Err(NoiseError::Tampered));
    assert_eq!(opener.open(&crypto, &mut third.clone()), Err(NoiseError::Tampered));
}

#[test]
fn impossible_lengths_are_refused_and_keep_the_counter() {
    let crypto = Crypto::standard();
    let mut sealer = Sealer(Direction { key: [1; 32], nonce: 0 });
    assert_eq!(sealer.seal(&crypto, &mut [0; 15]), Err(NoiseError::Length));
    assert_eq!(sealer.seal(&crypto, &mut vec![0; MESSAGE_BYTES_MAX + 1]), Err(NoiseError::Length));
    assert_eq!(sealer.0.nonce, 0);
    let (mut dialler, _) = pair(crypto, [b"p", b"p"]);
    assert_eq!(dialler.write(&vec![0; MESSAGE_BYTES_MAX]), Err(NoiseError::Length));
}

#[test]
fn an_idle_direction_takes_40_bytes_and_shows_no_key() {
    assert_eq!((size_of::<Sealer>(), size_of::<Opener>()), (40, 40));
    let sealer = Sealer(Direction { key: [0x5A; 32], nonce: 3 });
    assert_eq!(alloc::format!("{sealer:?}"), "Sealer { nonce: 3, .. }");
    assert_eq!(alloc::format!("{:?}", KeyPair::new(&Crypto::standard(), [1; 32])), "KeyPair(..)");
}

#[cfg(feature = "ideal")]
#[test]
fn ideal_handshakes_have_the_sizes_of_standard_ones() {
    let ((standard, _, _), (ideal, _, _)) = (shake(Crypto::standard()), shake(Crypto::ideal()));
    assert_eq!(standard.map(|message| message.len()), ideal.map(|message| message.len()));
}
