//! The numbers by which newer records are told, as their owner gives them.

use crate::address::Scope;
use crate::dht::record::latest;
use crate::time::WallTime;
use crate::wire::INTEGER_MAX;

/// The last sequences that a node of the network acknowledged, to be kept over restarts. 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Last {
    /// Of the prekey.
    pub(crate) prekey: u64,
    /// Of the address records: loopback, private, global.
    addresses: [u64; 3],
}

impl Last {
    /// Bytes of its stored form.
    pub(crate) const BYTES: usize = 33;
    const VERSION: u8 = 1;

    /// That of the address record of a scope; 0 before the first.
    pub(crate) const fn address(&self, scope: Scope) -> u64 {
        let [loopback, private, global] = self.addresses;
        match scope {
            Scope::Loopback => loopback,
            Scope::Private => private,
            Scope::Global => global,
        }
    }

    pub(super) const fn set_address(&mut self, scope: Scope, sequence: u64) {
        let [loopback, private, global] = &mut self.addresses;
        *match scope {
            Scope::Loopback => loopback,
            Scope::Private => private,
            Scope::Global => global,
        } = sequence;
    }

    /// To be stored: the byte 1, then the four numbers in big endian (spec: DHT-145).
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let [loopback, private, global] = self.addresses;
        let mut out = [Self::VERSION; Self::BYTES];
        for (slot, number) in out.iter_mut().skip(1).zip([self.prekey, loopback, private, global].iter().flat_map(|n| n.to_be_bytes())) {
            *slot = number;
        }
        out
    }

    /// The inverse of [`to_bytes`](Self::to_bytes); `None` for another format.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (numbers, behind) = rest.as_chunks::<8>();
        let [prekey, addresses @ ..] = <[[u8; 8]; 4]>::try_from(numbers).ok()?.map(u64::from_be_bytes);
        (*version == Self::VERSION && behind.is_empty()).then_some(Self { prekey, addresses })
    }
}

/// The number for what is signed now: above what was acknowledged and what was seen of one's own, and not below the clock.
///
/// Neither may lift it above what nodes with a right clock take: so neither a clock that was ahead nor who acknowledged what
/// it should not have shuts the owner out (spec: DHT-145).
pub(super) fn sequence(last: u64, seen: u64, wall: WallTime) -> u64 {
    let plausible = |number: u64| Some(number.saturating_add(1)).filter(|next| *next <= latest(wall));
    [last, seen].into_iter().filter_map(plausible).fold(wall.as_millis(), u64::max).min(INTEGER_MAX)
}

/// Whether nodes with this clock would take this number (spec: DHT-33, DHT-34).
pub(super) fn is_plausible(sequence: u64, wall: WallTime) -> bool {
    sequence <= latest(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_225_600_000;

    fn at(last: u64, seen: u64) -> u64 {
        sequence(last, seen, WallTime::from_millis(NOW))
    }

    // spec-test: DHT-145
    #[test]
    fn a_sequence_is_above_the_clock_and_above_what_went_before_within_ten_minutes() {
        assert_eq!(at(0, 0), NOW);
        assert_eq!(at(NOW, 0), NOW + 1, "twice in a millisecond");
        assert_eq!(at(NOW + 599_999, 0), NOW + 600_000, "the clock went back a little");
        assert_eq!(at(NOW + 600_000, 0), NOW, "a number that nobody takes locks nobody out");
        assert_eq!((at(0, NOW + 599_999), at(0, NOW + 600_000), at(0, u64::MAX)), (NOW + 600_000, NOW, NOW));
        assert_eq!(at(NOW + 7, NOW + 9), NOW + 10);
        assert_eq!(sequence(u64::MAX, u64::MAX, WallTime::from_millis(u64::MAX)), INTEGER_MAX);
    }

    // spec-test: DHT-145
    #[test]
    fn the_last_sequences_come_back_from_their_bytes_and_other_formats_do_not() {
        let mut last = Last { prekey: NOW, ..Last::default() };
        for (scope, n) in [Scope::Loopback, Scope::Private, Scope::Global].into_iter().zip(1..) {
            last.set_address(scope, n);
            assert_eq!(last.address(scope), n);
        }
        let bytes = last.to_bytes();
        assert_eq!(Last::from_bytes(&bytes), Some(last));
        assert_eq!((bytes[0], &bytes[1..9], bytes[32]), (1, NOW.to_be_bytes().as_slice(), 3));
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(Last::from_bytes(&other), None);
        assert_eq!([Last::from_bytes(&bytes[..32]), Last::from_bytes(&[&bytes[..], &[0]].concat()), Last::from_bytes(&[])], [None; 3]);
    }
}
