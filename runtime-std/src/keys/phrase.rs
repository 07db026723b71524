//! Identities from a name and a phrase: stretched slowly, and refused when they could be guessed all the same.

use std::collections::BTreeSet;
use std::{fmt, io};

use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::common::COMMON;
use crate::entropy::entropy;

/// A phrase must be worth this many bits by [`estimate_bits`]: 2⁶⁰ guesses at 256 MiB each cost more than any account (guess).
pub const PASSPHRASE_BITS_MIN: u32 = 60;

/// The label names the version of the parameters below; both are frozen, or ids would change.
const LABEL: &[u8] = b"overcom/1 passphrase argon2id m=262144 t=3 p=1\0";
const MEMORY_KIB: u32 = 256 << 10;
const ROUNDS: u32 = 3;
const LANES: u32 = 1;

/// Words of a drawn phrase: 6 words of 12 bits are 72 bits.
const WORDS: usize = 6;
const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";

/// A phrase that guessing programs would find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WeakPhrase {
    /// Among the first that are tried.
    Common,
    /// Worth this many bits only.
    Short(u32),
}

impl fmt::Display for WeakPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Common => f.write_str("this phrase is among the first that anyone tries")?,
            Self::Short(bits) => write!(f, "this phrase is worth about {bits} bits, {PASSPHRASE_BITS_MIN} are needed")?,
        }
        f.write_str("; whoever guesses it is you for good. Have one drawn")
    }
}

impl std::error::Error for WeakPhrase {}

/// Why no secret came of a phrase.
#[derive(Debug)]
#[non_exhaustive]
pub enum StretchError {
    /// It is too weak, and weak ones were not asked for.
    Weak(WeakPhrase),
    /// There is no memory for it: 256 MiB are needed.
    Memory,
}

impl fmt::Display for StretchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weak(why) => why.fmt(f),
            Self::Memory => f.write_str("stretching a phrase takes 256 MiB of memory, which are not there"),
        }
    }
}

impl std::error::Error for StretchError {}

/// The 32 secret bytes of an identity from a name and a phrase: the same ones on every machine, for ever (spec: SHELL-12).
///
/// The name is the salt, so that two users with one phrase differ. Takes 256 MiB and about a second. `allow_weak`
/// takes any phrase; **for tests and toys only**.
///
/// # Errors
/// [`StretchError`].
pub fn stretch(name: &str, phrase: &str, allow_weak: bool) -> Result<Zeroizing<[u8; 32]>, StretchError> {
    if !allow_weak {
        judge(phrase).map_err(StretchError::Weak)?;
    }
    let salt = Sha256::new().chain_update(LABEL).chain_update(name.as_bytes()).finalize();
    let params = Params::new(MEMORY_KIB, ROUNDS, LANES, Some(32)).map_err(|_| StretchError::Memory)?;
    let mut secret = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(phrase.as_bytes(), &salt, secret.as_mut_slice())
        .map_err(|_| StretchError::Memory)?;
    Ok(secret)
}

fn judge(phrase: &str) -> Result<(), WeakPhrase> {
    let plain: String = phrase.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let stem = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    if is_common(&plain) || is_common(stem) {
        return Err(WeakPhrase::Common);
    }
    let bits = estimate_bits(phrase);
    if bits < PASSPHRASE_BITS_MIN { Err(WeakPhrase::Short(bits)) } else { Ok(()) }
}

fn is_common(text: &str) -> bool {
    COMMON.split_ascii_whitespace().any(|common| common == text)
}

/// How many bits a phrase is worth at most, by counting low: at most 12 for each different word (7 if it is common), 4
/// for each character that continues neither a repetition nor a run like `abc` or `321`; of the two sums the smaller.
pub fn estimate_bits(phrase: &str) -> u32 {
    let words: BTreeSet<String> = phrase.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect();
    let by_character = fresh_characters(phrase).saturating_mul(4);
    let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
    // One long "word" may be a string of random characters; several are most likely words.
    if count > 1 { by_character.min(words.iter().map(|word| word_bits(word)).sum()) } else { by_character }
}

/// 12 bits for a word of letters; a longer jumble of letters and digits counts by its characters.
fn word_bits(word: &str) -> u32 {
    if is_common(word) {
        return 7;
    }
    let mixed = word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(char::is_alphabetic);
    let by_character = fresh_characters(word).saturating_mul(4);
    if mixed { by_character } else { by_character.min(12) }
}

fn fresh_characters(text: &str) -> u32 {
    let mut fresh: u32 = 0;
    let mut seen: Vec<char> = Vec::new();
    for c in text.chars() {
        let step = seen.last().map(|last| i64::from(u32::from(c)) - i64::from(u32::from(*last)));
        let is_run = matches!(step, Some(-1..=1));
        let again = seen.windows(2).any(|pair| Some(&pair[0]) == seen.last() && pair[1] == c);
        if !is_run && !again {
            fresh = fresh.saturating_add(1);
        }
        seen.push(c);
    }
    fresh
}

/// A phrase of six words that nobody can guess and most can say: 72 bits.
///
/// A word is two syllables of a consonant (16) and a vowel (4): 4,096 words, 12 bits each, systematic instead of a list.
///
/// # Errors
/// If the operating system has no entropy.
pub fn draw_phrase() -> io::Result<Zeroizing<String>> {
    let random = Zeroizing::new(entropy()?);
    let mut phrase = Zeroizing::new(String::new());
    for word in random.chunks_exact(2).take(WORDS) {
        if !phrase.is_empty() {
            phrase.push(' ');
        }
        for byte in word {
            phrase.push(char::from(CONSONANTS[usize::from(byte & 15)]));
            phrase.push(char::from(VOWELS[usize::from(byte >> 4 & 3)]));
        }
    }
    Ok(phrase)
}

#[cfg(test)]
mod tests {
    use overcom_core::IdentitySecret;

    use super::*;

    // spec-test: SHELL-12
    #[test]
    fn the_same_name_and_phrase_give_the_same_user_for_ever() {
        let user = |name| IdentitySecret::from_bytes(*stretch(name, "tiger boat lamp seven quiet moss", false).unwrap()).user().to_string();
        assert_eq!(user("ann"), "oc1x3wza7vv0t9t83p6e0hdw608hp3ezzgl0clpay3ap5a9tpy0funsudhfhd");
        assert_ne!(user("bob"), user("ann"));
    }

    #[test]
    fn phrases_that_are_guessed_first_are_refused_unless_asked_for() {
        for common in ["password", "Password123", "qwerty", "i love you", "LetMeIn!!"] {
            assert_eq!(judge(common), Err(WeakPhrase::Common), "{common}");
        }
        for weak in [
            "",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrstuvwxyz",
            "tiger boat",
            "abababababababababababab",
            "dog dog dog dog dog dog",
        ] {
            assert!(matches!(judge(weak), Err(WeakPhrase::Short(_))), "{weak}: {}", estimate_bits(weak));
        }
        for strong in ["tiger boat lamp seven quiet moss", "k4Vw9zQx7LmT2pRb", "Zu viele Köche verderben bestimmt unseren Brei"] {
            assert_eq!(judge(strong), Ok(()), "{strong}: {}", estimate_bits(strong));
        }
        assert!(matches!(stretch("ann", "password", false), Err(StretchError::Weak(WeakPhrase::Common))));
    }

    #[test]
    fn drawn_phrases_differ_and_pass() {
        let phrases: BTreeSet<String> = (0..200).map(|_| draw_phrase().unwrap().to_string()).collect();
        assert_eq!(phrases.len(), 200);
        for phrase in &phrases {
            assert_eq!(phrase.split(' ').filter(|word| word.len() == 4).count(), WORDS);
        }
        let refused = phrases.iter().filter(|phrase| judge(phrase).is_err()).count();
        assert!(refused <= 20, "{refused} of 200 drawn phrases are refused");
    }
}
