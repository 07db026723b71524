//! What one look-up says and hears, and what that comes to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{DhtNotice, Time};
use serde_json::Value;

use super::gang::hint;

/// A point beside a home shares so many bits with it, in networks of 128 and more (DHT-86); of what a machine looks for by itself one in 16
/// does, too.
const BESIDE_BITS: u32 = 4;

/// What IP and UDP put before a datagram.
pub(crate) const HEADERS: u64 = 28;

/// A machine's traffic about one home, and points beside it, from a moment on.
pub(crate) struct Trace {
    began: Time,
    home: String,
    /// Requests on their way, by exchange.
    asked: BTreeMap<String, SocketAddr>,
    /// How many hops away somebody is: one if it was known, one more than whoever named it.
    hops: BTreeMap<SocketAddr, u32>,
    /// So far.
    cost: Cost,
    first: Option<Seen>,
    ended: Option<Seen>,
    /// How many hops away the first was that gave a record.
    record_hops: Option<u32>,
    sequences: Option<(u64, u64)>,
    is_over: bool,
}

/// What was spent.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Cost {
    pub(crate) requests: u64,
    pub(crate) datagrams: u64,
    /// With [`HEADERS`].
    pub(crate) bytes: u64,
}

/// How long it took to somewhere, and what it cost until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) after: Duration,
    pub(crate) cost: Cost,
}

/// What came of a look-up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookedUp {
    /// The first valid answer.
    pub(crate) first: Option<Seen>,
    /// The whole.
    pub(crate) ended: Option<Seen>,
    pub(crate) hops: Option<u32>,
    /// The numbers of the first record that was told, and of the last.
    pub(crate) sequences: Option<(u64, u64)>,
}

impl Trace {
    pub(crate) fn new(began: Time, home: String) -> Self {
        Self {
            began,
            home,
            asked: BTreeMap::new(),
            hops: BTreeMap::new(),
            cost: Cost::default(),
            first: None,
            ended: None,
            record_hops: None,
            sequences: None,
            is_over: false,
        }
    }

    pub(crate) fn looked_up(&self) -> LookedUp {
        LookedUp { first: self.first, ended: self.ended, hops: self.record_hops, sequences: self.sequences }
    }

    pub(crate) fn on_sent(&mut self, to: SocketAddr, bytes: &[u8]) {
        let Ok(datagram) = serde_json::from_slice::<Value>(bytes) else { return };
        let word = datagram["q"].as_str();
        // Who has found something asks for no points.
        let is_beside = |target| self.first.is_none() && (hint(target) ^ hint(&self.home)).leading_zeros() >= BESIDE_BITS;
        let is_about = datagram["target"].as_str().is_some_and(|target| target == self.home || is_beside(target));
        // What a look-up gives to who has something older is upkeep.
        if self.is_over || !matches!(word, Some("find" | "get")) || !is_about || datagram["write"] == true {
            return;
        }
        self.hops.entry(to).or_insert(1);
        self.asked.insert(text(&datagram["t"]), to);
        self.cost.requests += 1;
        self.count(bytes);
    }

    pub(crate) fn on_received(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Ok(datagram) = serde_json::from_slice::<Value>(bytes) else { return };
        if self.is_over || self.asked.remove(&text(&datagram["t"])) != Some(from) {
            return;
        }
        self.count(bytes);
        let hops = self.hops.get(&from).copied().unwrap_or(1);
        if datagram["record"].is_object() && self.record_hops.is_none() {
            self.record_hops = Some(hops);
        }
        for named in datagram["nodes"].as_array().into_iter().flatten() {
            if let Some(at) = named[1].as_str().and_then(|at| at.parse().ok()) {
                self.hops.entry(at).or_insert(hops + 1);
            }
        }
    }

    pub(crate) fn on_told(&mut self, now: Time, told: &DhtNotice) {
        let seen = Seen { after: now.since(self.began), cost: self.cost };
        // A copy that the reader keeps itself is no answer of the network's.
        if let DhtNotice::Found { sequence, is_local: false, .. } = told {
            self.first.get_or_insert(seen);
            self.sequences = Some((self.sequences.map_or(*sequence, |(first, _)| first), *sequence));
        } else if let DhtNotice::Ended { .. } = told {
            self.is_over = true;
            self.ended = Some(seen);
        }
    }

    const fn count(&mut self, bytes: &[u8]) {
        self.cost.datagrams += 1;
        self.cost.bytes += bytes.len() as u64 + HEADERS;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
