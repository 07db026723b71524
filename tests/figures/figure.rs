//! What a figure is, which ones there are, and the line that each prints.

use serde_json::{Value, json};

use crate::{
    allocations, bound, conformance, determinism, dht, disk, engine, frame, handshake, hostile, identity, join, ladder, memory, poison,
    renewal, rtt, sleep, stdio, throughput, transcript, weight,
};

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    /// All figures together within some 150 s.
    Quick,
    /// Each figure within 300 s on two cores.
    Default,
    /// What the promise speaks of.
    Full,
}

impl Size {
    /// One of three numbers.
    pub(crate) const fn of(self, quick: u64, default: u64, full: u64) -> u64 {
        match self {
            Self::Quick => quick,
            Self::Default => default,
            Self::Full => full,
        }
    }
}

/// A named promise.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    /// In one line, for people.
    pub(crate) promise: &'static str,
    pub(crate) measure: fn(Size) -> Result<Measured, String>,
}

/// In the order in which they run: the exact ones first, so that a broken build shows early.
pub(crate) const FIGURES: &[Figure] = &[
    Figure { name: "determinism", promise: "runs of the same seed that differ: 0", measure: determinism::determinism },
    Figure { name: "replay", promise: "recordings that do not replay to their own digests: 0", measure: determinism::replay },
    Figure {
        name: "demo-transcript",
        promise: "lines in which the first example differs in the simulator, on mio and on smol: 0",
        measure: transcript::transcript,
    },
    Figure {
        name: "ladder-diff",
        promise: "events and shifts of time that change another number of lines than one and none: 0",
        measure: ladder::ladder_diff,
    },
    Figure {
        name: "link-identity",
        promise: "messages lost or repeated, and links late, under crashes and older disks: 0",
        measure: identity::link_identity,
    },
    Figure { name: "poison", promise: "contents accepted bare and refused in an envelope: 0", measure: poison::poison },
    Figure { name: "hostile-input", promise: "panics, sessions and leftovers from mutated input: 0", measure: hostile::hostile_input },
    Figure { name: "renewal", promise: "seconds without service in 60 days of weekly renewals: 0", measure: renewal::renewal },
    Figure { name: "conformance", promise: "claims of the published suite that a shell breaks: 0", measure: conformance::conformance },
    Figure { name: "sleep", promise: "first message after a sleep, over the round trips allowed: at most 1", measure: sleep::sleep },
    Figure { name: "core-size", promise: "crates of command lines in what embedders take: 0", measure: weight::core_size },
    Figure { name: "memory-bound", promise: "the most a node holds over what it says it may: at most 1", measure: bound::memory_bound },
    Figure {
        name: "stdio",
        promise: "requests through overcom node lost, unanswered or answered wrongly, across kills of both sides: 0",
        measure: stdio::stdio,
    },
    Figure {
        name: "dht-small",
        promise: "networks of 2 to 50 in which a device is not found 5 s after the last one began: 0",
        measure: dht::small,
    },
    Figure {
        name: "dht-join",
        promise: "10,000 joins through one seed over 60 s of CPU, and look-ups then lost over one in 1,000: at most 1",
        measure: dht::join,
    },
    Figure { name: "dht-hops", promise: "hops to the first record, in the mean: at most 2.9", measure: dht::hops },
    Figure {
        name: "dht-requests",
        promise: "requests over 12, datagrams over 20 and bytes over 9,500, or 6,500 with cookies, to the first answer: at most 1",
        measure: dht::requests,
    },
    Figure {
        name: "dht-latency",
        promise: "first answer over 1.9, 3.1, 3.8 round trips at p50, p95, p99: at most 1",
        measure: dht::latency,
    },
    Figure {
        name: "dht-loss",
        promise: "first answer over 850 and 1,150 ms at p95 and p99 with 10 % loss and 30 % gone; lost over 1 in 10,000: at most 1",
        measure: dht::loss,
    },
    Figure {
        name: "dht-churn",
        promise: "look-ups lost over 1 in 1,000, and p95 over 1.5 of a still network's, under churn: at most 1",
        measure: dht::churn,
    },
    Figure {
        name: "dht-survival",
        promise: "records lost over 1 in 1,000, and bytes a second over 300, under churn without owners: at most 1",
        measure: dht::survival,
    },
    Figure {
        name: "dht-exodus",
        promise: "look-ups and records lost over 1.2 in 100, p95 over 1.2, when two in five go within 10 s, three times: at most 1",
        measure: dht::exodus,
    },
    Figure {
        name: "dht-devices",
        promise: "fewer than 8 devices found, or records after 3 days away, over 1 in 1,000; sleepers back over 10 s; 1,200 bytes: at most 1",
        measure: dht::devices,
    },
    Figure {
        name: "dht-families",
        promise: "devices with one family of addresses that who has the other alone does not find, over 1 in 1,000: at most 1",
        measure: dht::families,
    },
    Figure {
        name: "service-privacy",
        promise: "identities shown to storers, and to who dials without knowing the user; users then not found: 0",
        measure: dht::privacy,
    },
    Figure {
        name: "dht-colluders",
        promise: "look-ups lost over 1 in 1,000 with 20 % of colluders, over 34 in 1,000 with half, near or not: at most 1",
        measure: dht::colluders,
    },
    Figure {
        name: "dht-eclipse",
        promise: "keys that one /24, one /32 or five /48 hide, or a hundred /16 beyond 1 in 1,000: 0",
        measure: dht::eclipse,
    },
    Figure {
        name: "dht-capture",
        promise: "look-ups lost over 1 in 100 of newcomers with three of four entry peers hostile, and their tables over a half: at most 1",
        measure: dht::capture,
    },
    Figure {
        name: "dht-poison",
        promise: "the part of their victims' tables that a tenth of all machines have who ask all the time, over 1.5 of that tenth: at most 1",
        measure: dht::poison,
    },
    Figure {
        name: "dht-votes",
        promise: "starts that tell a false address of their own where a quarter of all machines lie of it, over 1 in 1,000, or never the right one, over 1 in 100: at most 1",
        measure: dht::votes,
    },
    Figure {
        name: "dht-restart",
        promise: "keys that who comes back does not find where fifteen hostile neighbours answer: 0",
        measure: dht::restart,
    },
    Figure {
        name: "dht-rollback",
        promise: "records that were replaced, over 1 in 1,000 for who knew better, over 1 in 100 else; none over 1 in 1,000: at most 1",
        measure: dht::rollback,
    },
    Figure {
        name: "dht-flood",
        promise: "records lost to a flood from one /24 over 1 in 1,000, from 64 over 1 in 100: at most 1",
        measure: dht::flood,
    },
    Figure {
        name: "dht-hostile",
        promise: "p95 of answers under 20,000 hostile datagrams a second over twice that before, and cores: at most 1",
        measure: dht::hostile,
    },
    Figure {
        name: "dht-start",
        promise: "first record after a cold start over 6 round trips and none over 1 in 20, after one with an old table over 1.5 s: at most 1",
        measure: dht::start,
    },
    Figure {
        name: "dht-million",
        promise: "a million machines over 20 GiB, ten minutes, and 15 million requests over theirs: at most 1",
        measure: dht::million,
    },
    Figure { name: "dht-memory", promise: "heap of a server over 64 KiB, of a client over 16: at most 1", measure: dht::memory },
    Figure { name: "dht-idle", promise: "bytes a day of a server over 40 MB, of a client over 3: at most 1", measure: dht::idle_bytes },
    Figure {
        name: "dht-endpoints",
        promise: "addresses spoken to in the first 30 s over 60, in a client's idle hour over 200: at most 1",
        measure: dht::endpoints,
    },
    Figure {
        name: "dht-serve-rate",
        promise: "CPU of an answered request over 4 µs in core alone, over 6.67 µs with its sockets: at most 1",
        measure: dht::serve_rate,
    },
    Figure {
        name: "dht-amplification",
        promise: "bytes back for a byte of an unproven request; elsewhere over 0.3: at most 1",
        measure: dht::amplification,
    },
    Figure { name: "dht-tokens", promise: "writes with forged tokens that are accepted: 0", measure: dht::tokens },
    Figure {
        name: "dht-replay",
        promise: "datagrams said again, at once, later or after a restart, that change a server: 0",
        measure: dht::replay,
    },
    Figure { name: "bind", promise: "recorded binds that are taken again: 0", measure: dht::bind },
    Figure {
        name: "dht-vs-peers",
        promise: "joining, writing, reading, packets and memory over those of other DHTs at the same work: at most 1",
        measure: dht::peers,
    },
    Figure { name: "join", promise: "from nothing to a delivered message by one pasted line: at most 2 s", measure: join::join },
    Figure { name: "node-memory", promise: "heap and own size of a node without links: at most 5 KiB", measure: memory::node_memory },
    Figure { name: "idle-link-memory", promise: "heap of one end of an idle link: at most 1.5 KiB", measure: memory::idle_link_memory },
    Figure {
        name: "sim-engine",
        promise: "CPU of a simulated event over 667 ns with 100,000 machines, over 1 µs with a million; idle bytes over 200: at most 1",
        measure: engine::sim_engine,
    },
    Figure { name: "allocations", promise: "allocations for a delivered message, both ends: at most 1", measure: allocations::allocations },
    Figure {
        name: "handshake-cost",
        promise: "CPU of a handshake over its curve operations: at most 1.15",
        measure: handshake::handshake_cost,
    },
    Figure {
        name: "link-throughput",
        promise: "CPU of a message over its codec and cipher: at most 1.6",
        measure: throughput::link_throughput,
    },
    Figure {
        name: "link-throughput-disk",
        promise: "time of a message that is stored on both sides, over a commit: at most 0.1",
        measure: disk::link_throughput_disk,
    },
    Figure { name: "frame-cost", promise: "99th percentile of a frame with 100 idle links: at most 200 µs", measure: frame::frame_cost },
    Figure {
        name: "link-rtt",
        promise: "a round trip of messages over one of bare bytes: at most 1.5 on mio, 2.0 on smol",
        measure: rtt::link_rtt,
    },
];

/// Those that a quick run leaves out unless it names them: they build crates that are none of Overcom's.
const BUILDS_OTHERS: [&str; 1] = ["dht-vs-peers"];

impl Figure {
    /// Whether a quick run that names no figure runs this one.
    pub(crate) fn is_quick(&self) -> bool {
        !BUILDS_OTHERS.contains(&self.name)
    }
}

/// What a figure found. All targets are upper bounds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: f64,
    /// The same with the mechanism off.
    pub(crate) control: f64,
    /// How much was measured, of what.
    pub(crate) size: u64,
    pub(crate) seeds: u64,
    /// Where it comes from, for people.
    pub(crate) detail: String,
}

impl Measured {
    /// What a share of one thing that is allowed is told with: one seed, at most the whole.
    pub(crate) const OF_ALLOWED: Self =
        Self { value: 0.0, unit: "of what is allowed", target: 1.0, control: 0.0, size: 0, seeds: 1, detail: String::new() };

    /// Kept, and shown by its control that it could have been missed.
    pub(crate) fn passes(&self) -> bool {
        self.value <= self.target && !self.control_passes()
    }

    fn control_passes(&self) -> bool {
        self.control <= self.target
    }

    /// The line.
    pub(crate) fn to_json(&self, name: &str) -> String {
        let control = json!({ "value": rounded(self.control), "pass": self.control_passes() });
        let line = json!({
            "figure": name,
            "value": rounded(self.value),
            "unit": self.unit,
            "target": rounded(self.target),
            "pass": self.passes(),
            "control": control,
            "size": self.size,
            "seeds": self.seeds,
            "detail": self.detail,
        });
        line.to_string()
    }
}

/// Four digits behind the point: more is noise.
fn rounded(value: f64) -> Value {
    json!((value * 10_000.0).round() / 10_000.0)
}

/// The middle one; of an even number the lower middle. 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64, control: f64) -> Measured {
        Measured { value, unit: "x", target: 1.0, control, size: 1, seeds: 1, detail: String::new() }
    }

    #[test]
    fn a_figure_whose_control_keeps_the_target_too_does_not_pass() {
        assert!(measured(1.0, 1.1).passes());
        assert!(!measured(1.1, 2.0).passes());
        assert!(!measured(0.5, 1.0).passes());
    }

    #[test]
    fn the_median_does_not_depend_on_the_order() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(vec![]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn what_a_quick_run_leaves_out_is_a_figure() {
        assert_eq!(FIGURES.iter().filter(|figure| !figure.is_quick()).count(), BUILDS_OTHERS.len());
    }

    #[test]
    fn every_name_is_there_once() {
        for (index, figure) in FIGURES.iter().enumerate() {
            assert!(FIGURES.iter().skip(index + 1).all(|other| other.name != figure.name), "{}", figure.name);
        }
    }
}
