//! The one source of chance: a seeded generator, forked by label, so that a draw more in one place never shifts another.
//!
//! A generator is a key and a counter (40 bytes); ChaCha12 is expanded when something is drawn, because a kept ChaCha
//! state takes 304 bytes and there is one generator per machine and link.

use core::fmt;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto;

/// Bytes of one ChaCha block.
const BLOCK_BYTES: usize = 64;
/// 32-bit words of one ChaCha block.
const BLOCK_WORDS: u128 = 16;

/// 32 bytes of entropy that everything random in one run of a node comes from. A restart takes a fresh one.
///
/// Whoever knows it can predict every key that the run draws. It leaves memory when dropped and is never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// From 32 bytes of the operating system's entropy; from anything repeatable in a simulation.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For recordings, which say that they hold it.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A deterministic generator for keys and choices alike (spec: CRYPTO-9).
///
/// It is not `Clone`: two copies would draw the same values. Use [`fork`](Self::fork).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Rng {
    key: [u8; 32],
    /// The next ChaCha block. 2⁶⁴ blocks are more than any node draws.
    block: u64,
}

impl Rng {
    /// The root generator of a run.
    pub fn from_seed(seed: &Seed) -> Self {
        Self { key: crypto::derive(&seed.0, b"overcom/1 rng", &[]), block: 0 }
    }

    /// Another generator for `label` and `n`, whose values say nothing about this one's. This one does not advance.
    ///
    /// The same label and number give the same fork until [`stir`](Self::stir) is called.
    #[must_use]
    pub fn fork(&self, label: &str, n: u64) -> Self {
        Self { key: crypto::derive(&self.key, b"overcom/1 rng fork", &[label.as_bytes(), &[0], &n.to_le_bytes()]), block: 0 }
    }

    /// Mixes entropy in: what is drawn from now on depends on it and on all before.
    pub fn stir(&mut self, entropy: &[u8; 32]) {
        self.key = crypto::derive(&self.key, b"overcom/1 rng stir", &[&self.block.to_le_bytes(), entropy]);
        self.block = 0;
    }

    /// Fills `out`. Each call starts a new block, so that what one caller draws is not the tail of another's.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut expanded = ChaCha12Rng::from_seed(self.key);
        expanded.set_word_pos(u128::from(self.block).saturating_mul(BLOCK_WORDS));
        expanded.fill_bytes(out);
        let blocks = out.len().div_ceil(BLOCK_BYTES).max(1);
        self.block = self.block.wrapping_add(u64::try_from(blocks).unwrap_or(u64::MAX));
    }

    /// `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A number out of all 2⁶⁴.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number from 0 to `n` − 1, each equally likely; 0 if `n` is 0.
    ///
    /// A product's high half is the number; the few low halves that would favour some numbers are drawn again
    /// (Lemire, "Fast random integer generation in an interval", 2019). Expected draws: below 2.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // 2⁶⁴ mod n: that many low halves are one too many.
        let surplus = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.u64()) * u128::from(n);
            let [low, high] = halves(product);
            if low >= surplus {
                return high;
            }
        }
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng(..)")
    }
}

/// The low and the high 64 bits.
fn halves(value: u128) -> [u64; 2] {
    let mask = u128::from(u64::MAX);
    // Both fit after the mask and the shift.
    [u64::try_from(value & mask).unwrap_or_default(), u64::try_from(value >> 64).unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;
    use crate::id::to_base64;

    fn rng() -> Rng {
        Rng::from_seed(&Seed::from_bytes([7; 32]))
    }

    // spec-test: CRYPTO-9
    #[test]
    fn the_generator_draws_the_golden_values() {
        let mut root = rng();
        let mut fork = root.fork("link", 3);
        let mut stirred = root.fork("link", 3);
        stirred.stir(&[9; 32]);
        let drawn = [root.array::<16>(), root.array::<16>(), fork.array::<16>(), stirred.array::<16>()];
        let drawn: Vec<_> = drawn.iter().map(|bytes| to_base64(bytes)).collect();
        assert_eq!(drawn, GOLDEN);
    }

    const GOLDEN: [&str; 4] = ["fSvJ6eXRv5cWBmey7SFoSA", "Ae5sOSmzTpwnht8bItyEVw", "mmE1PRqaPeV8bTJTx9tX0g", "_soSHxo43kC9c_UkiMi8hg"];

    #[test]
    fn a_fork_depends_on_label_and_number_and_does_not_advance_its_parent() {
        let mut parent = rng();
        let forks = [parent.fork("a", 1).u64(), parent.fork("a", 2).u64(), parent.fork("b", 1).u64(), rng().u64()];
        for (index, one) in forks.iter().enumerate() {
            assert!(forks.iter().skip(index + 1).all(|other| other != one));
        }
        assert_eq!(parent.u64(), rng().u64());
    }

    #[test]
    fn long_draws_and_the_next_draw_never_share_a_block() {
        let mut one = rng();
        let mut long = [0; 130];
        one.fill(&mut long);
        let next: [u8; 64] = one.array();
        let mut other = rng();
        let mut whole = [0; 256];
        other.fill(&mut whole);
        assert_eq!(long.as_slice(), whole.get(..130).unwrap_or_default());
        assert_eq!(next.as_slice(), whole.get(192..).unwrap_or_default());
    }

    #[test]
    fn below_stays_below_and_reaches_every_number() {
        let mut rng = rng();
        let mut seen = [0_u32; 7];
        for _ in 0..700 {
            let drawn = rng.below(7);
            assert!(drawn < 7);
            if let Some(count) = usize::try_from(drawn).ok().and_then(|index| seen.get_mut(index)) {
                *count += 1;
            }
        }
        assert!(seen.iter().all(|count| *count > 60), "{seen:?}");
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
        assert!(rng.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn a_generator_is_small_and_shows_nothing() {
        assert!(size_of::<Rng>() <= 48);
        assert_eq!(format!("{:?} {:?}", rng(), Seed::from_bytes([7; 32])), "Rng(..) Seed(..)");
    }
}
