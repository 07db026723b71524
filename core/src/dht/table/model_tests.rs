//! A network that stands still, of nodes with tables as full as they become, built by the tables' own rules: how many
//! steps it takes from one node to where a record lies.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::ops::Range;

use super::*;
use crate::address::Scope;
use crate::dht::id::{Variant, node_id};
use crate::id::NodeKey;
use crate::rng::{Rng, Seed};

const REALM: Realm = Realm { is_v6: false, scope: Scope::Global };
const NOW: Time = Time::from_secs(100_000);
/// How many hints a reply holds, and how many nodes hold a record.
const HINTS: usize = 7;
const HOLDERS: usize = 5;
/// Paths of a look-up, and nodes that it begins with.
const PATHS: usize = 4;
const SEEDS: usize = 16;

struct Network {
    /// In the order of hints.
    nodes: Vec<(Hint, SocketAddr)>,
    tables: BTreeMap<Hint, Table>,
    shape: Shape,
    rng: Rng,
}

impl Network {
    /// Nodes at random addresses with the ids that these have.
    fn new(n: usize, shape: Shape) -> Self {
        let mut rng = Rng::from_seed(&Seed::from_bytes([6; 32]));
        let mut nodes = BTreeMap::new();
        let mut bytes = alloc::vec![0; 8 * 1_024];
        while nodes.len() < n {
            rng.fill(&mut bytes);
            for draw in bytes.chunks_exact(8).filter_map(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
                let [a, b, c, d, key @ .., r] = draw;
                let at = SocketAddr::from((Ipv4Addr::new(a, b, c, d), 7));
                let mut node_key = [0; 32];
                node_key[..3].copy_from_slice(&key);
                if Realm::of(at) == Some(REALM)
                    && nodes.len() < n
                    && let Some(id) = node_id(&NodeKey::from_bytes(node_key), at, Variant::from_low_bits(r))
                {
                    nodes.insert(id.hint(), at);
                }
            }
        }
        Self { nodes: nodes.into_iter().collect(), tables: BTreeMap::new(), shape, rng }
    }

    /// Those who share the first `bits` of `target`.
    fn within(&self, target: Hint, bits: u32) -> Range<usize> {
        let rest = u64::MAX.checked_shr(bits).unwrap_or(0);
        let start = self.nodes.partition_point(|(hint, _)| hint.0 < target.0 & !rest);
        start..self.nodes.partition_point(|(hint, _)| hint.0 <= target.0 | rest)
    }

    /// The nearest to a target.
    fn holders(&self, target: Hint) -> BTreeSet<Hint> {
        let bits = (0..64).rev().find(|bits| self.within(target, *bits).len() >= HOLDERS).unwrap_or(0);
        let mut all: Vec<Hint> = self.nodes[self.within(target, bits)].iter().map(|(hint, _)| *hint).collect();
        all.sort_unstable_by_key(|hint| hint.distance(target));
        all.into_iter().take(HOLDERS).collect()
    }

    /// Shows a node whom it would meet in the long run: for each bucket as many as it has places for, by chance, and some
    /// more, of whom some are over the caps.
    fn build(&mut self, own: Hint) {
        let mut table = Table::new(REALM, own, self.shape);
        table.set_mode(Mode::Hard, NOW);
        for bucket in 0..64 {
            let far = Hint(own.0 ^ 1 << (63 - bucket));
            let there = self.within(far, bucket + 1);
            let places = self.shape.places(usize::try_from(bucket).unwrap_or(BUCKETS)) * 5 / 4;
            for n in 0..there.len().min(places) {
                let index = if there.len() <= places { n } else { usize::try_from(self.rng.below(there.len() as u64)).unwrap_or(0) };
                let (hint, at) = self.nodes[there.start + index];
                table.on_answer(&Answer { hint, at, rtt: Rtt::UNKNOWN, by_look_up: true, is_dual: None, descent: None }, NOW);
            }
            if self.within(own, bucket + 1).len() <= 1 {
                break;
            }
        }
        self.tables.insert(own, table);
    }

    fn ask(&mut self, node: Hint, target: Hint, n: usize) -> Vec<Hint> {
        if !self.tables.contains_key(&node) {
            self.build(node);
        }
        let mut out = Vec::new();
        self.tables[&node].nearest(target, n, Wanted::Naming(Places::All), NOW, &mut out);
        out.iter().map(|entry| entry.hint).collect()
    }

    /// Four paths in step, each asking its nearest: steps and requests until a holder has been asked. `None` if none was.
    fn look_up(&mut self, target: Hint) -> Option<(u32, u32)> {
        let index = usize::try_from(self.rng.below(self.nodes.len() as u64)).unwrap_or(0);
        let holders = self.holders(target);
        let seeds = self.ask(self.nodes[index].0, target, SEEDS);
        let mut met: BTreeSet<Hint> = seeds.iter().copied().collect();
        let mut paths: [Vec<Hint>; PATHS] = core::array::from_fn(|path| seeds.iter().copied().skip(path).step_by(PATHS).collect());
        let mut asked = 0;
        for step in 1..20 {
            let mut answers = Vec::new();
            for (path, unasked) in paths.iter_mut().enumerate() {
                let Some(nearest) = (0..unasked.len()).min_by_key(|n| unasked[*n].distance(target)) else { continue };
                let node = unasked.swap_remove(nearest);
                asked += 1;
                if holders.contains(&node) {
                    return Some((step, asked));
                }
                answers.push((path, node));
            }
            for (path, node) in answers {
                let told = self.ask(node, target, HINTS);
                paths[path].extend(told.into_iter().filter(|hint| met.insert(*hint)));
            }
        }
        None
    }
}

/// Mean steps and requests, in hundredths, of so many look-ups.
fn hundredths(n: usize, shape: Shape, look_ups: u32) -> (u32, u32) {
    let mut network = Network::new(n, shape);
    let (mut steps, mut requests) = (0, 0);
    for _ in 0..look_ups {
        let target = Hint(network.rng.u64());
        let (step, request) = network.look_up(target).expect("nobody is missing, so each look-up ends at a holder");
        steps += step;
        requests += request;
    }
    (steps * 100 / look_ups, requests * 100 / look_ups)
}

/// A model in Python of the same rules, with tables drawn without caps, gave 1.63 steps and 3.5 requests for wide tables,
/// 2.03 and 5.4 for narrow ones.
#[test]
fn in_a_network_of_ten_or_a_hundred_thousand_a_record_is_two_steps_away() {
    let wide = hundredths(10_000, Shape::SERVER, 60);
    let narrow = hundredths(10_000, Shape::CLIENT, 60);
    assert!((140..=190).contains(&wide.0) && wide.1 <= 500, "{wide:?}");
    assert!((180..=240).contains(&narrow.0) && narrow.1 <= 700, "{narrow:?}");
    assert!(wide.0 < narrow.0, "what wide tables are for");
    let ten_times = hundredths(100_000, Shape::SERVER, 40);
    assert!((180..=250).contains(&ten_times.0), "{ten_times:?}");
}

/// Published models of such tables gave 2.4 to 2.9 steps.
#[test]
#[ignore = "a network of a million takes a minute"]
fn in_a_network_of_a_million_a_record_is_less_than_three_steps_away() {
    for (shape, steps) in [(Shape::SERVER, 225..=275), (Shape::CLIENT, 280..=345)] {
        let found = hundredths(1_000_000, shape, 300);
        assert!(steps.contains(&found.0), "{shape:?}: {found:?}");
    }
}
