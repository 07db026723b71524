use alloc::vec::Vec;

use super::*;

fn providers() -> Vec<Crypto> {
    let aead = AeadFns { seal: standard_seal, open: standard_open };
    let agreement = AgreeFns { agree: standard_agree, public_of: standard_public_of_agreement };
    let mut all = alloc::vec![Crypto::standard(), Crypto::with_aead(aead), Crypto::with_agreement(agreement)];
    #[cfg(feature = "ideal")]
    all.push(Crypto::ideal());
    all.shrink_to_fit();
    all
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digits: Vec<u8> =
        text.bytes().filter_map(|byte| char::from(byte).to_digit(16)).filter_map(|digit| u8::try_from(digit).ok()).collect();
    let mut out = [0; N];
    assert_eq!(digits.len(), 2 * N);
    for (slot, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *slot = pair.iter().fold(0, |byte, digit| (byte << 4) | digit);
    }
    out
}

// spec-test: CRYPTO-2
#[test]
fn a_seal_opens_only_unchanged_and_with_the_same_key_nonce_and_data() {
    for crypto in providers() {
        let mut sealed = *b"attack at dawn, or later________________";
        let plain = sealed;
        crypto.seal(&[1; 32], 7, b"ad", &mut sealed);
        assert_ne!(sealed.get(..24), plain.get(..24), "{crypto:?}");
        let opens = |key: u8, nonce, ad: &[u8], flip: usize| {
            let mut copy = sealed;
            if let Some(byte) = copy.get_mut(flip) {
                *byte ^= 1;
            }
            crypto.open(&[key; 32], nonce, ad, &mut copy).map(|length| (length, copy))
        };
        let (length, opened) = opens(1, 7, b"ad", usize::MAX).unwrap();
        assert_eq!((length, opened.get(..24)), (24, plain.get(..24)));
        assert!((0..sealed.len()).all(|at| opens(1, 7, b"ad", at).is_err()), "{crypto:?}");
        assert!(opens(2, 7, b"ad", usize::MAX).is_err());
        assert!(opens(1, 8, b"ad", usize::MAX).is_err());
        assert!(opens(1, 7, b"aD", usize::MAX).is_err());
        assert_eq!(crypto.open(&[1; 32], 7, b"ad", &mut [0; 15]), Err(Tampered));
    }
}

// spec-test: CRYPTO-2
#[test]
fn a_cipher_that_a_shell_brings_is_told_from_one_with_other_bytes() {
    let standard = AeadFns { seal: standard_seal, open: standard_open };
    assert!(standard.agrees_with_standard());
    let other_nonce = AeadFns {
        seal: |key, nonce, ad, buffer| standard_seal(key, nonce ^ 1, ad, buffer),
        open: |key, nonce, ad, buffer| standard_open(key, nonce ^ 1, ad, buffer),
    };
    let careless = AeadFns { open: |_, _, _, buffer| buffer.len().checked_sub(TAG_BYTES).ok_or(Tampered), ..standard };
    assert!(!other_nonce.agrees_with_standard());
    assert!(!careless.agrees_with_standard());
    assert!(!AeadFns { seal: |_, _, _, _| {}, ..standard }.agrees_with_standard());
}

#[test]
fn a_buffer_without_room_for_the_tag_is_erased() {
    for crypto in providers() {
        let mut short = [9; 15];
        crypto.seal(&[1; 32], 0, b"", &mut short);
        assert_eq!(short, [0; 15]);
    }
}

// spec-test: CRYPTO-2
#[test]
fn the_seal_is_that_of_rfc_8439_with_noises_nonce() {
    // RFC 8439, A.5: its nonce is 00000000 0102030405060708, so Noise's counter is those eight bytes.
    let key = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    let ad: [u8; 12] = hex("f33388860000000000004e91");
    let tag: [u8; 16] = hex("eead9d67890cbb22392336fea1851f38");
    let plain = b"Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or obsoleted \
                  by other documents at any time. It is inappropriate to use Internet-Drafts as reference material or to cite them \
                  other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
    let mut buffer = plain.to_vec();
    buffer.extend_from_slice(&[0; TAG_BYTES]);
    standard_seal(&key, u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]), &ad, &mut buffer);
    assert_eq!(buffer.split_last_chunk::<16>().map(|(sealed, found)| (sealed.len(), *found)), Some((265, tag)));
}

// spec-test: CRYPTO-2
#[test]
fn a_seal_of_any_length_has_the_bytes_that_both_of_its_libraries_give() {
    use chacha20poly1305::aead::{AeadInOut, KeyInit};
    use cryptoxide::chacha20poly1305::Context;
    // Each length around the blocks of both parts and around the change of libraries, and some long ones.
    for length in (0..600).chain([1_023, 16_368, 65_519]) {
        let number = u8::try_from(length % 251).unwrap();
        let (key, ad) = ([number; 32], &[number; 40][..length % 40]);
        let plain: Vec<u8> = (0..=number).cycle().take(length).collect();
        let mut ours = [&plain[..], &[0; TAG_BYTES]].concat();
        standard_seal(&key, length as u64, ad, &mut ours);
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&(length as u64).to_le_bytes());

        let mut theirs = plain.clone();
        let cipher = chacha20poly1305::ChaCha20Poly1305::new(&key.into());
        let tag = cipher.encrypt_inout_detached(&nonce.into(), ad, theirs.as_mut_slice().into()).unwrap();
        assert_eq!(ours, [&theirs[..], &tag].concat(), "{length} bytes");

        let (mut context, mut theirs) = (Context::<20>::new(&key, &nonce), plain.clone());
        context.add_data(ad);
        let mut context = context.to_encryption();
        context.encrypt_mut(&mut theirs);
        assert_eq!(ours, [&theirs[..], &context.finalize().0].concat(), "{length} bytes");

        let mut changed = ours.clone();
        changed[length / 2] ^= 1;
        assert_eq!(standard_open(&key, length as u64, ad, &mut changed), Err(Tampered), "{length} bytes");
        assert_eq!(standard_open(&key, length as u64, ad, &mut ours), Ok(length));
        assert_eq!(ours[..length], plain);
    }
}

// spec-test: CRYPTO-3
#[test]
fn a_signature_verifies_for_its_key_and_message_only() {
    for crypto in providers() {
        let public = crypto.public_of_signing(&[1; 32]);
        let signature = crypto.sign(&[1; 32], b"message");
        assert!(crypto.verify(&public, b"message", &signature));
        assert!(!crypto.verify(&public, b"massage", &signature));
        assert!(!crypto.verify(&crypto.public_of_signing(&[2; 32]), b"message", &signature));
        for at in 0..signature.len() {
            let mut changed = signature;
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1;
            }
            assert!(!crypto.verify(&public, b"message", &changed), "{crypto:?} at {at}");
        }
    }
}

/// A signer who knows the curve and keeps no rules: signatures that satisfy `8sB = 8R + 8kA`, and some the whole equation.
mod lax {
    use alloc::vec::Vec;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
    use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
    use curve25519_dalek::scalar::{Scalar, clamp_integer};
    use curve25519_dalek::traits::Identity;
    use sha2::{Digest, Sha512};

    /// The largest prime factor of the curve's order, in little endian.
    const ORDER: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0x10,
    ];

    /// The secret scalar of a seed (RFC 8032, 5.1.5).
    pub(super) fn secret(seed: &[u8; 32]) -> Scalar {
        let hash = Sha512::digest(seed);
        Scalar::from_bytes_mod_order(clamp_integer(*hash.first_chunk::<32>().expect("64 bytes")))
    }

    fn challenge(r: &[u8; 32], public: &[u8; 32], message: &[u8]) -> Scalar {
        let hash = Sha512::new().chain_update(r).chain_update(public).chain_update(message).finalize();
        Scalar::from_bytes_mod_order_wide(&hash.into())
    }

    /// A signature with this `R`, whose nonce is `nonce`, under the key `public` whose secret is `secret`.
    pub(super) fn sign(r: [u8; 32], nonce: Scalar, secret: Scalar, public: &[u8; 32], message: &[u8]) -> [u8; 64] {
        let s = nonce + challenge(&r, public, message) * secret;
        joined(r, s.to_bytes())
    }

    /// Whether the equation holds when all of it is multiplied by the cofactor, and when it is not.
    pub(super) fn holds(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> (bool, bool) {
        let (r, s) = (half(signature, 0), half(signature, 32));
        let point = |bytes: [u8; 32]| CompressedEdwardsY(bytes).decompress().expect("a point");
        let difference = B * Scalar::from_bytes_mod_order(s) - point(r) - point(*public) * challenge(&r, public, message);
        (difference.mul_by_cofactor() == EdwardsPoint::identity(), difference == EdwardsPoint::identity())
    }

    /// `nonce` times the base, moved by a point of small order.
    pub(super) fn moved(nonce: Scalar, by: usize) -> [u8; 32] {
        (B * nonce + EIGHT_TORSION[by]).compress().to_bytes()
    }

    /// Every encoding of a point of small order: eight as they should be, the others with a sign that zero does not have, or
    /// with a coordinate of the prime or more.
    pub(super) fn small() -> Vec<[u8; 32]> {
        let mut all: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
        let (mut zero, mut one) = ([0xFF; 32], [0xFF; 32]);
        (zero[0], one[0]) = (0xED, 0xEE);
        for mut bytes in [zero, one] {
            bytes[31] = 0x7F;
            all.push(bytes);
            bytes[31] = 0xFF;
            all.push(bytes);
        }
        // The neutral element, and the one of order two, with a sign.
        for at in [0, 4] {
            let mut bytes = EIGHT_TORSION[at].compress().to_bytes();
            bytes[31] |= 0x80;
            all.push(bytes);
        }
        all
    }

    /// The same signature with `s` and the order added up, which is the same to whoever reduces it.
    pub(super) fn with_larger_s(signature: &[u8; 64]) -> [u8; 64] {
        let mut carry = 0;
        let mut s = half(signature, 32);
        for (byte, add) in s.iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        joined(half(signature, 0), s)
    }

    fn half(signature: &[u8; 64], at: usize) -> [u8; 32] {
        signature[at..at + 32].try_into().expect("32 bytes")
    }

    fn joined(r: [u8; 32], s: [u8; 32]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(&s);
        signature
    }
}

// spec-test: CRYPTO-3
#[test]
fn a_key_of_small_order_verifies_nothing() {
    let small = lax::small();
    assert_eq!(small.len(), 14);
    for public in &small {
        // Zero as secret: for keys of small order the equation holds with the cofactor, for some messages without it.
        let without = (0..32_u8).filter(|n| {
            let signature = lax::sign(lax::moved(SEVEN.into(), 0), SEVEN.into(), 0_u64.into(), public, &[*n]);
            assert!(lax::holds(public, &[*n], &signature).0);
            assert!(!Crypto::standard().verify(public, &[*n], &signature), "{public:?}");
            lax::holds(public, &[*n], &signature).1
        });
        assert!(without.count() > 0, "it would be refused by the equation alone: {public:?}");
    }
}

const SEVEN: u64 = 7;

// spec-test: CRYPTO-3
#[test]
fn an_r_of_small_order_or_in_another_encoding_is_refused_under_a_good_key() {
    let (public, secret) = (Crypto::standard().public_of_signing(&[1; 32]), lax::secret(&[1; 32]));
    let mut whole = 0;
    for r in lax::small() {
        // Without a nonce; the neutral element satisfies the whole equation, also under the names that it should not have.
        let signature = lax::sign(r, 0_u64.into(), secret, &public, b"message");
        let (with, without) = lax::holds(&public, b"message", &signature);
        assert!(with);
        whole += usize::from(without);
        assert!(!Crypto::standard().verify(&public, b"message", &signature), "{r:?}");
    }
    assert_eq!(whole, 4, "the neutral element, with a sign, and both with the prime added");
}

// spec-test: CRYPTO-3
#[test]
fn the_equation_is_that_without_the_cofactor() {
    let (public, secret) = (Crypto::standard().public_of_signing(&[1; 32]), lax::secret(&[1; 32]));
    for by in 0..8 {
        let signature = lax::sign(lax::moved(SEVEN.into(), by), SEVEN.into(), secret, &public, b"message");
        assert_eq!(lax::holds(&public, b"message", &signature), (true, by == 0));
        assert_eq!(Crypto::standard().verify(&public, b"message", &signature), by == 0, "{by}");
    }
}

// spec-test: CRYPTO-3
#[test]
fn an_s_that_is_not_below_the_order_is_refused() {
    let crypto = Crypto::standard();
    let public = crypto.public_of_signing(&[1; 32]);
    let signature = crypto.sign(&[1; 32], b"message");
    let larger = lax::with_larger_s(&signature);
    assert_eq!(lax::holds(&public, b"message", &larger), (true, true));
    assert_eq!((crypto.verify(&public, b"message", &signature), crypto.verify(&public, b"message", &larger)), (true, false));
}

// spec-test: CRYPTO-1
#[test]
fn the_signature_is_that_of_rfc_8032() {
    // RFC 8032, 7.1, test 2.
    let secret = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let crypto = Crypto::standard();
    assert_eq!(crypto.public_of_signing(&secret), hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"));
    let signature = hex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    assert_eq!(crypto.sign(&secret, &[0x72]), signature);
}

// spec-test: CRYPTO-1
#[test]
fn the_agreement_is_that_of_rfc_7748() {
    // RFC 7748, 6.1: Bob's keys, Alice's public key and what they share.
    let crypto = Crypto::standard();
    let bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let alice_public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_eq!(crypto.public_of_agreement(&bob), hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
    assert_eq!(crypto.agree(&bob, &alice_public), Some(hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")));
}

// spec-test: CRYPTO-4
#[test]
fn both_sides_agree_and_a_key_of_small_order_is_refused() {
    for crypto in providers() {
        let (one, other) = (crypto.public_of_agreement(&[1; 32]), crypto.public_of_agreement(&[2; 32]));
        let shared = crypto.agree(&[1; 32], &other);
        assert!(shared.is_some_and(|shared| shared != [0; 32]));
        assert_eq!(shared, crypto.agree(&[2; 32], &one));
        assert_ne!(shared, crypto.agree(&[3; 32], &other));
        assert_eq!(crypto.agree(&[1; 32], &[0; 32]), None);
    }
}

// spec-test: CRYPTO-8
#[test]
fn only_the_ideal_provider_has_another_name() {
    let names: Vec<_> = providers().iter().map(Crypto::name).collect();
    assert_eq!(names.get(..3), Some(["standard"; 3].as_slice()));
    #[cfg(feature = "ideal")]
    assert_eq!(names.get(3), Some(&"ideal"));
}

// spec-test: CRYPTO-6
#[test]
fn derived_keys_differ_by_label_and_part() {
    let base = derive(&[1; 32], b"a", &[b"x"]);
    assert_eq!(base, derive(&[1; 32], b"a", &[b"x"]));
    assert_ne!(base, derive(&[2; 32], b"a", &[b"x"]));
    assert_ne!(base, derive(&[1; 32], b"b", &[b"x"]));
    assert_ne!(base, derive(&[1; 32], b"a", &[b"y"]));
    assert_ne!(derive(&[1; 32], b"ax", &[]), derive(&[1; 32], b"a", &[b"x"]));
}

#[test]
fn the_hash_is_sha_256_of_the_parts_in_a_row() {
    let whole = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(providers().iter().all(|crypto| crypto.hash(&[b"a", b"", b"bc"]) == whole));
}

#[test]
fn the_short_mac_is_siphash_2_4_with_128_bits_over_the_parts_in_a_row() {
    // The vectors of its reference implementation.
    let secret = core::array::from_fn(|n| n as u8);
    assert_eq!(short_mac(&secret, &[]), hex::<16>("a3817f04ba25a8e66df67214c7550293"));
    assert_eq!(short_mac(&secret, &[&[0]]), hex::<16>("da87c1d86b99af44347659119b22fc45"));
    assert_eq!(short_mac(&secret, &[b"abc", b"", b"defghijk"]), short_mac(&secret, &[b"abcdefghijk"]));
    assert_ne!(short_mac(&secret, &[b"a"]), short_mac(&[0; 16], &[b"a"]));
}
