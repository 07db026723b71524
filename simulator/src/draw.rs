//! Chance: every draw is a pure function of (run seed, purpose, entity, counter).
//!
//! Nothing is shared between streams, so that one node, fault or log line more shifts nobody else's draws. Integers
//! only. The generator is SplitMix64, frozen: its golden vectors are a test.

/// The step of SplitMix64 (Steele, Lea and Flood, 2014).
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of draws of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The stream of this run seed, purpose and entities.
    pub fn new(seed: u64, purpose: &str, entities: &[u64]) -> Self {
        Self { state: mix(seed ^ name_key(purpose)) }.of(entities)
    }

    /// The stream of these entities among those of a seed and purpose, on which nothing has been drawn yet.
    pub(crate) fn of(&self, entities: &[u64]) -> Self {
        Self { state: entities.iter().fold(self.state, |key, entity| mix(key.wrapping_add(STEP) ^ *entity)) }
    }

    /// Any number.
    pub const fn u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number below `n`; 0 if `n` is 0. The bias is below n / 2⁶⁴.
    pub fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.u64()).wrapping_mul(u128::from(n)) >> 64;
        u64::try_from(wide).unwrap_or(0)
    }

    /// Whether something happens that has this probability in parts per million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }

    /// Thirty-two bytes, for seeds and keys.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        for part in out.chunks_exact_mut(8) {
            part.copy_from_slice(&self.u64().to_le_bytes());
        }
        out
    }

    /// A short made-up word of consonants and vowels, for workloads.
    pub fn word(&mut self) -> String {
        let mut word = String::new();
        for _ in 0..3 {
            for letters in [&b"bdfgklmnprst"[..], &b"aeiou"[..]] {
                let at = usize::try_from(self.below(letters.len() as u64)).unwrap_or(0);
                word.push(char::from(letters.get(at).copied().unwrap_or(b'a')));
            }
        }
        word
    }
}

/// The number that stands for a name in keys: FNV-1a, 64 bits.
pub(crate) fn name_key(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |key, byte| (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64_bit_for_bit() {
        let mut draws = Draws { state: 0 };
        assert_eq!([draws.u64(), draws.u64(), draws.u64()], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    /// If this fails, no run is that of earlier builds any more.
    #[test]
    fn keyed_streams_are_those_of_every_build() {
        let draws = |purpose, entities: &[u64]| Draws::new(0xC0FFEE, purpose, entities);
        let streams = [draws("link", &[]), draws("link", &[1, 2]), draws("link", &[2, 1]), draws("node", &[1, 2])];
        let expected = [0x713D_8738_EC69_2A93, 0x218C_7116_36D4_AC26, 0x1058_51BA_AA8C_DF02, 0x4399_2F0F_6268_66A9];
        assert_eq!(streams.map(|mut draws| draws.u64()), expected);
        let mut drawn = draws("all", &[7]);
        assert_eq!((drawn.below(1_000), drawn.chance(500_000), drawn.word()), (692, false, "fudafa".into()));
        assert_eq!(drawn.bytes()[..8], [127, 41, 22, 252, 174, 62, 75, 240]);
        assert_eq!(draws("link", &[]).of(&[1, 2]), draws("link", &[1, 2]));
    }

    #[test]
    fn streams_differ_by_seed_purpose_entity_and_order() {
        let first = |seed, purpose, entities: &[u64]| Draws::new(seed, purpose, entities).u64();
        let all = [
            first(1, "loss", &[1, 2]),
            first(2, "loss", &[1, 2]),
            first(1, "jitter", &[1, 2]),
            first(1, "loss", &[2, 1]),
            first(1, "loss", &[1, 2, 0]),
        ];
        let distinct: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn draws_stay_in_their_range_and_use_all_of_it() {
        let mut draws = Draws::new(7, "range", &[]);
        let mut seen = [0_u32; 5];
        for _ in 0..1_000 {
            seen[usize::try_from(draws.below(5)).expect("below five")] += 1;
        }
        assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
        assert!(!draws.chance(0) && draws.chance(1_000_000));
        assert_eq!(draws.below(0), 0);
    }
}
