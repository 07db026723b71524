//! Shares of what is for all: no group has more than a quarter of it while others may want it (spec: DHT-79).

use core::net::SocketAddr;

use super::cells::{AHEAD_MAX, Cells};
use super::rate::{Name, Rate, TICK_MICROS, tick};
use super::realm::Realm;
use crate::time::Time;

/// What there are shares of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Good {
    /// Bytes of replies to who shows a cookie that holds.
    Replies,
    /// Those to who shows none, and may be anybody.
    ColdReplies,
    /// Addresses that are met for upkeep.
    Upkeep,
    /// Strangers who are asked where one is.
    Strangers,
    /// Proofs of the own key.
    Hellos,
    /// Records that are carried to the other family.
    Carries,
}

/// A group has one part of so many.
pub(super) const PARTS: u32 = 4;
/// While so much of a budget stays left, in hundredths, a group may have more: nobody goes without for it.
const PLENTY: u32 = 75;
/// Groups at the beginning: who does not serve answers pings alone. And most: 2 KiB.
const GROUPS_MIN: usize = 4;
const GROUPS_MAX: usize = 256;

/// What each group has had lately.
pub(crate) struct Shares {
    cells: Cells,
}

impl Shares {
    /// Allocates nothing yet; `key` comes from the node's generator.
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self { cells: Cells::new(key, GROUPS_MIN, GROUPS_MAX) }
    }

    /// The share of an address's group; none where an endpoint is a group, of which anybody has as many as it likes.
    pub(crate) fn of(&mut self, good: Good, at: SocketAddr, realm: Realm) -> Option<Share<'_>> {
        if !realm.is_global() {
            return None;
        }
        let is_forgeable = matches!(good, Good::ColdReplies | Good::Strangers);
        let mut name = Name::new(!is_forgeable);
        name.push(&[good as u8]);
        name.push_group(at);
        let tag = self.cells.tag(&name, !is_forgeable);
        let is_asked_for = matches!(good, Good::Replies | Good::ColdReplies | Good::Hellos | Good::Carries);
        Some(Share { cells: &mut self.cells, tag, is_asked_for })
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.cells.heap_bytes()
    }
}

/// One group's share of one good.
pub(crate) struct Share<'a> {
    cells: &'a mut Cells,
    tag: u32,
    /// The others ask for it, as much as they like.
    is_asked_for: bool,
}

impl Share<'_> {
    /// Who the group is, here; never 0.
    pub(super) const fn tag(&self) -> u32 {
        self.tag
    }

    /// Whether the group may have so much of a budget of which so many hundredths stay left then. O(1).
    pub(crate) fn lets(&self, amount: u32, rate: Rate, left_percent: u32, now: Time) -> bool {
        let ahead = self.cells.ahead(self.tag, tick(now));
        left_percent >= PLENTY || ahead.saturating_add(self.price(amount, rate, left_percent)) <= cost_max(rate)
    }

    /// It has had it. Expected O(1).
    pub(crate) fn charge(&mut self, amount: u32, rate: Rate, left_percent: u32, now: Time) {
        let now = tick(now);
        self.cells.sweep(now);
        let ahead = self.cells.ahead(self.tag, now).saturating_add(self.price(amount, rate, left_percent));
        // What it had beyond its share, when there was plenty, is not held against it.
        self.cells.set(self.tag, now, ahead.min(cost_max(rate)));
    }

    /// How long the group pays for so much. Of what is asked for it is the longer, the less is left: so of however many that take all
    /// they can each has an equal part, and what is left never runs out.
    fn price(&self, amount: u32, rate: Rate, left_percent: u32) -> u32 {
        let left = if self.is_asked_for { left_percent.clamp(1, PLENTY) } else { PLENTY };
        let price = u64::from(cost(amount, rate)).saturating_mul(PLENTY.into()) / u64::from(left);
        u32::try_from(price).unwrap_or(AHEAD_MAX).min(AHEAD_MAX)
    }
}

/// How long a group pays for so much at its part of the rate.
fn cost(amount: u32, rate: Rate) -> u32 {
    let ticks = u64::from(1_000_000 / TICK_MICROS).saturating_mul(PARTS.into()).saturating_mul(amount.into());
    u32::try_from(ticks / u64::from(rate.per_second.max(1))).unwrap_or(AHEAD_MAX).min(AHEAD_MAX)
}

/// How far ahead it may be: by its part of the burst.
fn cost_max(rate: Rate) -> u32 {
    cost(rate.burst / PARTS, rate)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::address::Scope;
    use crate::dht::budget::{Asked, Budget, EndpointRates, NewEndpoints, ReplyBytes};

    const GLOBAL: Realm = Realm { is_v6: false, scope: Scope::Global };
    const BYTES: Rate = Rate { per_second: 16_384, burst: 491_520 };
    const MEETS: EndpointRates = EndpointRates { upkeep: Rate { per_second: 4, burst: 60 }, look_ups: Rate { per_second: 16, burst: 96 } };

    /// Somebody of a group.
    fn of(group: u8, last: u32) -> SocketAddr {
        let [.., last] = last.to_be_bytes();
        SocketAddr::from(([20, group, 1, last], 7))
    }

    fn millis(millis: u64) -> Time {
        Time::from_millis(1_000_000 + millis)
    }

    // spec-test: DHT-79
    #[test]
    fn a_group_has_a_quarter_at_once_then_its_part_of_the_rate_and_all_that_fills_while_three_quarters_are_left() {
        let (mut shares, mut budget) = (Shares::new([1, 2]), Budget::default());
        let rate = Rate { per_second: 100, burst: 1_000 };
        let mut had = |group: u8, from: u64, to: u64| {
            let times = (from..to).flat_map(|at| [at; 4]);
            let had = times.filter(|at| budget.spend_shared(1, rate, shares.of(Good::Replies, of(group, 1), GLOBAL), millis(*at)));
            had.count()
        };
        assert_eq!(had(1, 0, 1_000), 349, "a quarter, and what came meanwhile while nobody else wanted it");
        assert_eq!(had(2, 1_000, 1_001), 4);
        // Two that take all they can: the second has its quarter at once, and both together what is left.
        let both: Vec<usize> = (1_001..4_000).map(|at| had(2, at, at + 1) * 1_000 + had(1, at, at + 1)).collect();
        let (second, first) = both.iter().fold((0, 0), |(second, first), both| (second + both / 1_000, first + both % 1_000));
        assert_eq!((second, first, had(3, 4_000, 4_100)), (270, 62, 203), "and the third still has its own");
    }

    // spec-test: DHT-79
    #[test]
    fn replies_to_one_group_leave_three_quarters_for_others_with_a_cookie_and_without() {
        for is_proven in [true, false] {
            let (mut shares, mut bytes) = (Shares::new([1, 2]), ReplyBytes::default());
            let good = ReplyBytes::good(is_proven);
            let mut spent = |group: u8| {
                let spent = (0..10_000).filter(|n| {
                    let share = shares.of(good, of(group, *n), GLOBAL);
                    bytes.spend(1_000, is_proven, BYTES, share, millis(0))
                });
                spent.count()
            };
            let all = if is_proven { 491 } else { 245 };
            assert!((all / 4..=all / 4 + 1).contains(&spent(1)), "{is_proven}");
            let others: Vec<usize> = (2..=5).map(&mut spent).collect();
            assert!(others.iter().is_sorted_by(|one, next| one > next), "{is_proven} {others:?}");
            assert!(others[0] >= all / 5 && others[3] >= all / 25, "each has less, of what is left: {is_proven} {others:?}");
        }
    }

    /// Each asks as often as one address may.
    // spec-test: DHT-79
    #[test]
    fn however_many_networks_flood_each_has_an_equal_part_and_one_that_asks_now_and_then_has_what_it_asks_for() {
        for floods in [1, 4, 8, 16, 32] {
            let (mut shares, mut bytes) = (Shares::new([1, 2]), ReplyBytes::default());
            let mut had = alloc::vec![0_u32; floods + 1];
            // Two minutes until it is so, and one that is counted.
            for step in 0..180 * 20_u64 {
                for group in (0..=floods).filter(|group| *group < floods || step % 20 == 7) {
                    let at = of(u8::try_from(group).expect("few"), 1);
                    let is_given = bytes.spend(484, true, BYTES, shares.of(Good::Replies, at, GLOBAL), millis(50 * step));
                    had[group] += u32::from(is_given && step >= 120 * 20);
                }
            }
            let (least, most) = had[..floods].iter().fold((u32::MAX, 0), |(least, most), had| (least.min(*had), most.max(*had)));
            let all = 484 * had.iter().sum::<u32>() / 60;
            let asked = 484 * (20 * u32::try_from(floods).expect("few") + 1);
            assert!(had[floods] >= 59, "{floods}: of 60 it had {}", had[floods]);
            assert!(all >= asked.min(16_384) * 19 / 20, "{floods}: {all} bytes a second");
            assert!(most <= least + least / 3 + 2, "{floods}: from {least} to {most}");
        }
    }

    /// How many new addresses, for each tenth of a second, a network has that always wants more; and three others that come later.
    fn met(asked: Asked, good: Good, late: u64, seconds: u64) -> Vec<(usize, usize)> {
        let (mut shares, mut meets) = (Shares::new([1, 2]), NewEndpoints::new(millis(0)));
        let mut met = |group: u8, at: u64| {
            let met = (0..200).filter(|n| meets.spend(asked, shares.of(good, of(group, *n), GLOBAL), MEETS, millis(at)));
            met.count()
        };
        let tenths = (0..seconds * 10).map(|tenth| tenth * 100);
        tenths.map(|at| (met(1, at), if at < late * 1_000 { 0 } else { (2..=4).map(|group| met(group, at)).sum() })).collect()
    }

    // spec-test: DHT-79
    #[test]
    fn one_network_leaves_others_three_quarters_of_new_addresses_at_every_moment_whenever_they_come() {
        // Of those met for upkeep there are no more than the first 60 in the first half minute.
        for (asked, good, at_once, still) in
            [(Asked::ForUpkeep { serves: true }, Good::Upkeep, 60, 300), (Asked::ForPlace, Good::Strangers, 16, 0)]
        {
            for late in [0, 1, 10, 29, 30, 31, 44, 60, 200] {
                let met = met(asked, good, late, late + 120);
                let first: usize = met[..still].iter().map(|(one, _)| one).sum();
                assert!(first <= at_once / 4, "{good:?}: one has {first} of the first 60");
                let late = usize::try_from(late * 10).expect("few");
                assert_eq!(met[late].1, at_once * 3 / 4, "{good:?}: all of it, after {late} tenths");
                let (mut one, mut others) = (0, 0);
                for (tenth, now) in (late..).zip(&met[late..]) {
                    (one, others) = (one + now.0, others + now.1);
                    let least = at_once * 3 / 4 + 3 * tenth.saturating_sub(still.max(late)) / 10;
                    assert!(others + 3 >= least, "{good:?}: {others} of {least} between {late} and {tenth}");
                    let most = at_once / 4 + (tenth - late) / 10 + 1;
                    assert!(one <= most, "{good:?}: one has {one}, {most} at most, between {late} and {tenth}");
                }
            }
        }
    }

    // spec-test: DHT-79
    #[test]
    fn one_network_alone_has_a_quarter_of_the_first_sixty_and_then_all_that_comes() {
        let met = met(Asked::ForUpkeep { serves: true }, Good::Upkeep, 300, 300);
        let until = |second: usize| met[..second * 10].iter().map(|(one, _)| one).sum::<usize>();
        assert_eq!((until(1), until(30)), (15, 15), "nobody knows who will still come");
        for second in 31..=300 {
            let all = 15 + 15 + 4 * (second - 30);
            assert!((all - 4..=all).contains(&until(second)), "{} of {all} after {second} s", until(second));
        }
    }

    // spec-test: DHT-79
    #[test]
    fn groups_beyond_the_room_take_no_memory_and_where_an_endpoint_is_a_group_there_are_no_shares() {
        let mut shares = Shares::new([1, 2]);
        for n in 0..60_000_u32 {
            let [_, _, b, c] = n.to_be_bytes();
            let at = SocketAddr::from(([30, b, c, 1], 7));
            shares.of(Good::ColdReplies, at, GLOBAL).expect("a share").charge(1_000, BYTES, 100, millis(0));
        }
        assert_eq!(shares.heap_bytes(), 2_048);
        let mut flood = shares.of(Good::Replies, of(1, 1), GLOBAL).expect("a share");
        flood.charge(400_000, BYTES, 100, millis(0));
        assert!(
            !flood.lets(1_000, BYTES, 74, millis(0)) && flood.lets(1_000, BYTES, 75, millis(0)),
            "who shows no cookie puts nobody out who does"
        );
        let private = Realm { is_v6: false, scope: Scope::Private };
        assert!(shares.of(Good::Replies, SocketAddr::from(([10, 0, 0, 1], 7)), private).is_none());
    }
}
