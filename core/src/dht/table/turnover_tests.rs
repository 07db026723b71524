//! A table through hours in which nodes come and go, and a gang stays: what it gains by being near.

use alloc::collections::BTreeMap;
use core::net::Ipv4Addr;
use core::ops::Range;

use super::*;
use crate::address::Scope;
use crate::dht::id::{Variant, node_id};
use crate::dht::log2::{ONE, log2};
use crate::id::NodeKey;
use crate::rng::{Rng, Seed};

const REALM: Realm = Realm { is_v6: false, scope: Scope::Global };
const OWN: Hint = Hint(0);
/// Somebody is met this often, who is new, and of the gang once in ten times.
const MEETS_MS: u64 = 4_000;
const GANG_ONE_IN: u64 = 10;
/// How long others stay on average; half of them not a quarter of an hour, one in twenty more than eight times as long.
const STAYS: Duration = Duration::from_secs(3_600);
/// The buckets that so many fill.
const FULL: Range<usize> = 0..5;
const HOURS: Range<u64> = 6..12;

struct Street {
    table: Table,
    rng: Rng,
    /// When who is there leaves, how far away it is and whether it is of the gang.
    there: BTreeMap<SocketAddr, (Time, Rtt, bool)>,
    /// Whom to ask again.
    again: Vec<(Time, SocketAddr)>,
    is_near: bool,
}

impl Street {
    fn new(seed: u8, is_near: bool) -> Self {
        let mut table = Table::new(REALM, OWN, Shape::SERVER);
        table.set_mode(Mode::Hard, Time::ZERO);
        Self { table, rng: Rng::from_seed(&Seed::from_bytes([seed; 32])), there: BTreeMap::new(), again: Vec::new(), is_near }
    }

    fn meet(&mut self, now: Time) {
        let (is_gang, by_look_up) = (self.rng.below(GANG_ONE_IN) == 0, self.rng.below(2) == 0);
        let [a, b, c, d, key @ .., r] = self.rng.array::<8>();
        let at = SocketAddr::from((Ipv4Addr::new(a, b, c, d), 7));
        let mut node_key = [0; 32];
        node_key[..3].copy_from_slice(&key);
        let id = node_id(&NodeKey::from_bytes(node_key), at, Variant::from_low_bits(r)).filter(|_| Realm::of(at) == Some(REALM));
        let Some(hint) = id.map(|id| id.hint()) else { return };
        let rtt = Rtt::of(Duration::from_millis(20 + self.rng.below(200)));
        let rtt = if is_gang && self.is_near { Rtt::of(Duration::from_millis(1)) } else { rtt };
        // The square of an exponential time is what a Weibull distribution of shape ½ gives.
        let log = u64::from(32 * ONE - log2(self.rng.below(1 << 32))) * 693 / 256;
        let stays = Duration::from_millis(u64::try_from(STAYS.as_millis()).unwrap_or(0) / 2 * log / 1_000 * log / 1_000);
        let leaves = if is_gang { Time::from_secs(1 << 40) } else { now + stays };
        self.there.insert(at, (leaves, rtt, is_gang));
        self.table.on_answer(&Answer { hint, at, rtt, by_look_up, is_dual: None, descent: None }, now);
    }

    fn ask(&mut self, at: SocketAddr, now: Time) {
        let Some(entry) = self.table.find_any(at) else { return };
        match self.there.get(&at) {
            Some((leaves, rtt, _)) if *leaves > now => {
                let answer = Answer { hint: entry.hint, at, rtt: *rtt, by_look_up: false, is_dual: None, descent: None };
                self.table.on_answer(&answer, now);
            }
            _ => {
                if let Miss::Again(after) = self.table.on_miss(at, now) {
                    self.again.push((now + after, at));
                }
            }
        }
    }

    /// Of the fair and of the other places, and of whoever is there, how many there are and how many are the gang's.
    fn count(&self, now: Time) -> [(u32, u32); 3] {
        let of = |range: Range<usize>| {
            let whose = self.table.mains.iter(range).map(|entry| self.there.get(&entry.at).is_some_and(|(.., is_gang)| *is_gang));
            whose.fold((0, 0), |(all, gang), is_gang| (all + 1, gang + u32::from(is_gang)))
        };
        let there = self.there.values().filter(|(leaves, ..)| *leaves > now);
        let there = there.fold((0, 0), |(all, gang), (.., is_gang)| (all + 1, gang + u32::from(*is_gang)));
        FULL.map(|bucket| [of(self.table.fair(bucket)), of(self.table.unfair(bucket)), (0, 0)]).fold([(0, 0), (0, 0), there], sums)
    }

    /// The gang's thousandths of these at the ends of the hours.
    fn run(mut self) -> [u32; 3] {
        let (mut met, mut probed) = (Time::ZERO, Time::ZERO);
        let mut counts = [(0, 0); 3];
        for hour in 0..HOURS.end {
            let end = Time::from_secs((hour + 1) * 3_600);
            loop {
                let again = self.again.iter().map(|(when, _)| *when).min();
                let now = again.into_iter().fold(met.min(probed), Time::min);
                if now >= end {
                    break;
                }
                if met <= now {
                    self.meet(now);
                    met = met + Duration::from_millis(MEETS_MS);
                } else if probed <= now {
                    if let Some(entry) = self.table.next_probe(now, |_| false) {
                        self.ask(entry.at, now);
                    }
                    probed = now + self.table.probe_interval(true);
                } else if let Some(index) = self.again.iter().position(|(when, _)| *when <= now) {
                    let (_, at) = self.again.swap_remove(index);
                    self.ask(at, now);
                }
            }
            if HOURS.contains(&hour) {
                counts = sums(counts, self.count(end));
            }
        }
        counts.map(|(all, gang)| gang * 1_000 / all.max(1))
    }
}

fn sums(one: [(u32, u32); 3], other: [(u32, u32); 3]) -> [(u32, u32); 3] {
    core::array::from_fn(|n| (one[n].0 + other[n].0, one[n].1 + other[n].1))
}

/// When spares stood in the order of their round trips, and the first half of a full bucket was fair whoever had come there, the
/// gang had 851 of a thousand, and 720 were it not near.
// spec-test: DHT-52, DHT-56
#[test]
fn who_stays_and_is_near_has_no_more_fair_places_than_who_stays() {
    const SEEDS: u8 = 4;
    let mean = |is_near: bool| {
        let runs = (0..SEEDS).map(|seed| Street::new(seed, is_near).run());
        runs.fold([0; 3], |sums, run| core::array::from_fn(|n| sums[n] + run[n])).map(|sum| sum / u32::from(SEEDS))
    };
    let ([fair, others, there], [stayers, ..]) = (mean(true), mean(false));
    let says = alloc::format!(
        "of thousand fair places {fair} are the gang's, {stayers} were it not near, {others} of others; {there} of who is there"
    );
    assert!(fair <= stayers + 20 && fair <= there + 20 && others > 900, "{says}");
}
