//! How many nodes there are, and how near a key so many of them lie.

use super::key::Distance;
use super::log2::{ONE, exp2, log2};

/// 256 times the logarithm of a number of nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Size(u32);

/// The logarithm of the whole space, in 1/256.
const SPACE: u32 = 64 * ONE;
/// The eighth nearest of N nodes lies in the middle at 7.669 N-ths of the space, whose logarithm is 2.939 (spec: DHT-77).
const EIGHTH: u32 = 752;
/// Look-ups that the estimate is of.
const RING: usize = 16;

impl Size {
    /// Of a number that is known.
    pub(crate) fn of(nodes: usize) -> Self {
        Self(log2(u64::try_from(nodes).unwrap_or(u64::MAX)))
    }

    /// What one look-up says: from the distance of the eighth nearest answer, counted by distinct group.
    fn from_eighth(distance: Distance) -> Self {
        Self(SPACE.saturating_add(EIGHTH).saturating_sub(log2(distance.0)))
    }

    /// The number itself.
    pub(crate) const fn nodes(self) -> u64 {
        exp2(self.0)
    }

    /// In 1/256 of a doubling.
    pub(crate) const fn log2(self) -> u32 {
        self.0
    }
}

/// How many nodes a radius is to hold, as 256 times its logarithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held(u32);

impl Held {
    /// 16/3: when it holds 16, somebody has placed them (spec: DHT-78).
    pub(crate) const DENSE: Self = Self(618);
    #[cfg(test)]
    pub(crate) const FIVE: Self = Self(594);
    pub(crate) const EIGHT: Self = Self(768);
    pub(crate) const SIXTEEN: Self = Self(1_024);
    /// Four times the radius of five: what is beyond is not ours to keep.
    pub(crate) const TWENTY: Self = Self(594 + 2 * ONE);
    /// Eight times the radius of eight: who is within may have what is looked for.
    pub(crate) const SIXTY_FOUR: Self = Self(1_536);
}

/// A distance that is to hold so many nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Radius(u32);

impl Radius {
    /// In a network of this size (spec: DHT-78).
    pub(crate) const fn of(held: Held, size: Size) -> Self {
        Self(SPACE.saturating_add(held.0).saturating_sub(size.0))
    }

    /// How far it reaches.
    pub(crate) const fn span(self) -> u64 {
        exp2(self.0)
    }

    /// Whether a node so far away is inside.
    pub(crate) const fn holds(self, distance: Distance) -> bool {
        log2(distance.0) < self.0
    }
}

/// Whether the 16 nearest answers of distinct groups lie nearer than chance would have them: once in 7,000 keys (spec: DHT-78).
pub(crate) const fn is_dense(sixteenth: Distance, size: Size) -> bool {
    Radius::of(Held::DENSE, size).holds(sixteenth)
}

/// What the last 16 completed look-ups said. 36 bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimate {
    ring: [u16; RING],
    count: u8,
    next: u8,
}

impl Estimate {
    /// A look-up is complete: the eighth of its answers, counted by distinct group, is so far from what it looked for.
    pub(crate) fn on_look_up(&mut self, eighth: Distance) {
        self.push(u16::try_from(Size::from_eighth(eighth).0).unwrap_or(u16::MAX));
    }

    /// The middle one; `None` before the first look-up.
    pub(crate) fn size(&self) -> Option<Size> {
        let mut sorted = self.ring;
        let sorted = sorted.get_mut(..self.count.into())?;
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map(|log| Size((*log).into()))
    }

    /// The look-ups, oldest first, to be stored.
    pub(crate) fn values(&self) -> impl Iterator<Item = u16> + '_ {
        let oldest = usize::from(self.next).saturating_sub(self.count.into());
        let turned = if usize::from(self.count) == RING { usize::from(self.next) } else { oldest };
        self.ring.iter().cycle().skip(turned).take(self.count.into()).copied()
    }

    /// From [`values`](Self::values); of more than 16 the last are kept, and what no network can have is left out.
    pub(crate) fn from_values(values: impl IntoIterator<Item = u16>) -> Self {
        let mut estimate = Self::default();
        values.into_iter().filter(|value| u32::from(*value) <= SPACE + EIGHTH).for_each(|value| estimate.push(value));
        estimate
    }

    fn push(&mut self, value: u16) {
        if let Some(slot) = self.ring.get_mut(usize::from(self.next)) {
            *slot = value;
        }
        self.next = (self.next + 1) % 16;
        self.count = (self.count + 1).min(16);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::rng::{Rng, Seed};

    /// A network's hints in order.
    fn network(n: usize, rng: &mut Rng) -> Vec<u64> {
        let mut bytes = alloc::vec![0; 8 * n];
        rng.fill(&mut bytes);
        let mut hints: Vec<u64> = bytes.chunks_exact(8).map(|chunk| u64::from_be_bytes(chunk.try_into().unwrap_or_default())).collect();
        hints.sort_unstable();
        hints
    }

    /// The distances of the `k` nearest: all of the smallest subtree around the target that has as many.
    fn nearest(hints: &[u64], target: u64, k: usize) -> Vec<u64> {
        let mut bits = 64;
        loop {
            let mask = if bits == 0 { 0 } else { u64::MAX << (64 - bits) };
            let from = hints.partition_point(|hint| *hint < target & mask);
            let to = hints.partition_point(|hint| *hint <= target | !mask);
            if to - from >= k || bits == 0 {
                let mut distances: Vec<u64> = hints[from..to].iter().map(|hint| hint ^ target).collect();
                distances.sort_unstable();
                return distances;
            }
            bits -= 1;
        }
    }

    fn ring(hints: &[u64], rng: &mut Rng) -> Estimate {
        let mut estimate = Estimate::default();
        for _ in 0..RING {
            estimate.on_look_up(Distance(nearest(hints, rng.u64(), 8)[7]));
        }
        estimate
    }

    // spec-test: DHT-77
    #[test]
    fn ninety_nine_of_a_hundred_estimates_are_within_a_factor_of_two_and_from_300_nodes_on_of_1_6() {
        let mut rng = Rng::from_seed(&Seed::from_bytes([3; 32]));
        for (n, networks) in [(20, 200), (50, 200), (300, 100), (3_000, 40), (30_000, 10), (1_000_000, 1)] {
            let mut ratios = Vec::new();
            for _ in 0..networks {
                let hints = network(n, &mut rng);
                for _ in 0..1_000 / networks {
                    ratios.push(ring(&hints, &mut rng).size().map_or(0, Size::log2).abs_diff(Size::of(n).log2()));
                }
            }
            ratios.sort_unstable();
            // 174 of 256 are a factor of 1.6. In a network of 20 the eighth is nearly the half, and look-ups meet the same nodes.
            let most = if n < 300 { 256 } else { 174 };
            assert!(ratios[ratios.len() * 99 / 100] <= most, "{n}: {} / {}", ratios[ratios.len() / 2], ratios[ratios.len() * 99 / 100]);
        }
    }

    // spec-test: DHT-78
    #[test]
    fn a_radius_holds_as_many_as_it_is_for() {
        let mut rng = Rng::from_seed(&Seed::from_bytes([4; 32]));
        let hints = network(100_000, &mut rng);
        let size = ring(&hints, &mut rng).size().expect("sixteen look-ups");
        for (held, wanted) in [(Held::DENSE, 5.33), (Held::FIVE, 5.0), (Held::EIGHT, 8.0), (Held::SIXTEEN, 16.0), (Held::SIXTY_FOUR, 64.0)]
        {
            let radius = Radius::of(held, size);
            let inside = |target| nearest(&hints, target, 256).into_iter().filter(|distance| radius.holds(Distance(*distance))).count();
            let mean = (0..1_000).map(|_| inside(rng.u64())).sum::<usize>() as f64 / 1_000.0;
            assert!((mean / wanted - 1.0).abs() < 0.3, "{wanted}: {mean}");
        }
        assert!(Radius::of(Held::EIGHT, Size::of(6)).holds(Distance(u64::MAX)), "all of a network of six");
        assert!(!Radius::of(Held::EIGHT, Size::of(100)).holds(Distance(u64::MAX)));
    }

    // spec-test: DHT-78
    #[test]
    fn sixteen_where_five_belong_are_dense_and_chance_hardly_ever_is() {
        let mut rng = Rng::from_seed(&Seed::from_bytes([5; 32]));
        let mut hints = network(10_000, &mut rng);
        let size = Size::of(10_000);
        let false_alarms = (0..20_000).filter(|_| is_dense(Distance(nearest(&hints, rng.u64(), 16)[15]), size)).count();
        assert!(false_alarms <= 12, "20,000 × 1.4·10⁻⁴ are three: {false_alarms}");
        let target = rng.u64();
        hints.extend((0..16).map(|_| target ^ rng.below(u64::MAX / 10_000 * 4)));
        hints.sort_unstable();
        assert!(is_dense(Distance(nearest(&hints, target, 16)[15]), size));
    }

    // spec-test: DHT-77
    #[test]
    fn an_estimate_keeps_the_last_sixteen_look_ups_and_outlives_the_process() {
        let mut estimate = Estimate::default();
        assert_eq!((estimate.size(), estimate.values().count()), (None, 0));
        for n in 0..20 {
            estimate.on_look_up(Distance(1 << (60 - n)));
            let values: Vec<_> = estimate.values().collect();
            assert_eq!(values.len(), (n + 1).min(16));
            assert!(values.is_sorted());
            assert_eq!(Estimate::from_values(values.iter().copied()).size(), estimate.size());
        }
        assert_eq!(estimate.size(), Some(Size::from_eighth(Distance(1 << (60 - 12)))), "the middle of 4 to 19");
        assert_eq!(Estimate::from_values([u16::MAX]).size(), None);
        assert_eq!(Size::from_eighth(Distance(0)).log2(), SPACE + EIGHTH);
    }
}
