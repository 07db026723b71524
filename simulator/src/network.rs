//! What lies between the machines: delays, losses, partitions, and which address can be reached from where.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use overcom_core::Time;
use serde::{Deserialize, Serialize};

use crate::draw::Draws;
use crate::scenario::ScenarioError;

/// What one direction of a link does to what travels on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// One way, in microseconds; default 20 ms (guess: within a country).
    pub delay_us: u64,
    /// Up to so much more, drawn anew each time, in microseconds; default 5 ms (guess).
    pub jitter_us: u64,
    /// How many segments and datagrams in a million are lost; default 0.
    pub loss_ppm: u32,
    /// How many datagrams in a million come twice; default 0.
    pub duplicate_ppm: u32,
    /// How many datagrams in a million take four times as long, and so are overtaken; default 0.
    pub reorder_ppm: u32,
    /// Bytes a second; default no limit.
    pub bytes_per_second: Option<u64>,
}

impl Default for Network {
    fn default() -> Self {
        Self { delay_us: 20_000, jitter_us: 5_000, loss_ppm: 0, duplicate_ppm: 0, reorder_ppm: 0, bytes_per_second: None }
    }
}

impl Network {
    /// The default with another delay.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self
    }

    /// So many in a million are lost.
    #[must_use]
    pub const fn loss_ppm(mut self, loss_ppm: u32) -> Self {
        self.loss_ppm = loss_ppm;
        self
    }

    /// At most so many bytes a second.
    #[must_use]
    pub const fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// Checks the numbers; `place` says whose they are.
    pub(crate) fn check(&self, place: &str) -> Result<(), ScenarioError> {
        let (ppm, hour) = (1_000_000, 3_600_000_000);
        let numbers = [
            ("loss_ppm", u64::from(self.loss_ppm), ppm, "at most 1000000"),
            ("duplicate_ppm", u64::from(self.duplicate_ppm), ppm, "at most 1000000"),
            ("reorder_ppm", u64::from(self.reorder_ppm), ppm, "at most 1000000"),
            ("delay_us", self.delay_us, hour, "at most 3600000000, an hour"),
            ("jitter_us", self.jitter_us, hour, "at most 3600000000, an hour"),
        ];
        let wrong = |name: &str, range| Err(ScenarioError::Range(format!("\"{name}\" of {place}"), range));
        match numbers.into_iter().find(|(_, value, most, _)| value > most) {
            Some((name, _, _, range)) => wrong(name, range),
            None if self.bytes_per_second == Some(0) => wrong("bytes_per_second", "at least 1, or left out"),
            None => Ok(()),
        }
    }

    /// How long one crossing takes.
    pub(crate) fn crossing(&self, draws: &mut Draws) -> Duration {
        Duration::from_micros(self.delay_us.saturating_add(draws.below(self.jitter_us.saturating_add(1))))
    }

    /// When a datagram arrives that leaves now through a line that may be busy: once, twice, or not at all.
    pub(crate) fn carry(&self, draws: &mut Draws, now: Time, busy_until: &mut Time, bytes: usize) -> [Option<Time>; 2] {
        let is_lost = draws.chance(self.loss_ppm);
        let mut crossing = self.crossing(draws);
        if is_lost {
            return [None; 2];
        }
        if draws.chance(self.reorder_ppm) {
            crossing *= 4;
        }
        let departs = depart(now, busy_until, self.busy(bytes));
        let is_doubled = draws.chance(self.duplicate_ppm);
        [Some(departs + crossing), is_doubled.then(|| departs + crossing * 2)]
    }

    /// How long so many bytes keep the line busy.
    pub(crate) fn busy(&self, bytes: usize) -> Duration {
        match self.bytes_per_second {
            Some(rate) => Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate.max(1)),
            None => Duration::ZERO,
        }
    }
}

/// All links: never a table of N², only what differs from the default.
#[derive(Debug)]
pub(crate) struct Links {
    seed: u64,
    standard: Network,
    special: BTreeMap<(usize, usize), Network>,
    blocked: BTreeSet<(usize, usize)>,
    counters: HashMap<(u64, u64), u64>,
}

impl Links {
    pub(crate) fn new(seed: u64, standard: Network) -> Self {
        Self { seed, standard, special: BTreeMap::new(), blocked: BTreeSet::new(), counters: HashMap::new() }
    }

    pub(crate) fn network(&self, from: usize, to: usize) -> Network {
        self.special.get(&(from, to)).copied().unwrap_or(self.standard)
    }

    pub(crate) fn set(&mut self, from: usize, to: usize, network: Network) {
        self.special.insert((from, to), network);
    }

    pub(crate) fn set_all(&mut self, network: Network) {
        self.special.clear();
        self.standard = network;
    }

    pub(crate) fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.blocked.clear();
    }

    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains(&(from, to))
    }

    /// The draws of the next thing that crosses, keyed by the two machines and its number between them.
    pub(crate) fn draws(&mut self, from: u64, to: u64) -> Draws {
        let counter = self.counters.entry((from, to)).or_default();
        *counter = counter.saturating_add(1);
        Draws::new(self.seed, "link", &[from, to, *counter])
    }
}

/// When a segment's first copy gets through: after each loss max(200 ms, 2 RTT), doubling; `None` after six in a row.
pub(crate) fn segment_delay(network: &Network, draws: &mut Draws) -> Option<Duration> {
    let first = Duration::from_millis(200).max(Duration::from_micros(network.delay_us.saturating_mul(4)));
    let mut late = Duration::ZERO;
    for lost in 0..6_u32 {
        if !draws.chance(network.loss_ppm) {
            return Some(late);
        }
        late += first.saturating_mul(1 << lost);
    }
    None
}

/// Whether a machine at `from` has a way to `to`, by the scope of the two addresses alone.
///
/// Loopback reaches loopback; 10/8 and fc00::/7 reach each other and everybody global; 192.168.x reaches its own /24
/// and everybody global; global reaches global. There is no NAT: a global machine cannot begin towards a private one.
pub(crate) fn in_reach(from: IpAddr, to: IpAddr) -> bool {
    match (scope(from), scope(to)) {
        (Scope::Loopback, Scope::Loopback) | (Scope::Global | Scope::Private(_), Scope::Global) => from.is_ipv4() == to.is_ipv4(),
        (Scope::Private(a), Scope::Private(b)) => a == b,
        (Scope::Loopback, Scope::Global | Scope::Private(_)) | (Scope::Global | Scope::Private(_), Scope::Loopback) => false,
        (Scope::Global, Scope::Private(_)) => false,
    }
}

#[derive(PartialEq, Eq)]
enum Scope {
    Loopback,
    Private(u32),
    Global,
}

fn scope(ip: IpAddr) -> Scope {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [127, ..] => Scope::Loopback,
            [10, ..] => Scope::Private(10),
            [192, 168, net, _] => Scope::Private(0x0001_0000 + u32::from(net)),
            _ => Scope::Global,
        },
        IpAddr::V6(ip) if ip.is_loopback() => Scope::Loopback,
        IpAddr::V6(ip) if ip.octets()[0] & 0xFE == 0xFC => Scope::Private(6),
        IpAddr::V6(_) => Scope::Global,
    }
}

/// The address of the n-th machine when nobody says: `10.0.0.1:7575` and on.
pub(crate) fn standard_address(index: usize) -> SocketAddr {
    let n = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 7575))
}

/// When something that leaves now through a busy line is through.
pub(crate) fn depart(now: Time, busy_until: &mut Time, busy: Duration) -> Time {
    *busy_until = now.max(*busy_until) + busy;
    *busy_until
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_reach_what_they_reach_without_a_nat() {
        let reach = |a: &str, b: &str| in_reach(a.parse().expect("an address"), b.parse().expect("an address"));
        assert!(reach("10.0.0.1", "10.0.0.2") && reach("10.0.0.1", "203.0.113.1") && reach("127.0.0.1", "127.0.0.1"));
        assert!(reach("192.168.1.2", "192.168.1.3") && reach("2001:db8::1", "2001:db8::2") && reach("fd00::1", "fd00::2"));
        assert!(!reach("192.168.1.2", "192.168.2.3") && !reach("203.0.113.1", "10.0.0.1") && !reach("10.0.0.1", "127.0.0.1"));
        assert!(!reach("10.0.0.1", "2001:db8::1") && !reach("203.0.113.1", "2001:db8::1"));
    }

    #[test]
    fn a_lost_segment_comes_late_and_six_in_a_row_never() {
        let mut draws = Draws::new(1, "test", &[]);
        assert_eq!(segment_delay(&Network::default(), &mut draws), Some(Duration::ZERO));
        assert_eq!(segment_delay(&Network::default().loss_ppm(1_000_000), &mut draws), None);
        let half = Network::default().loss_ppm(500_000);
        let late: BTreeSet<_> = (0..200).filter_map(|_| segment_delay(&half, &mut draws)).map(|late| late.as_millis()).collect();
        assert!(late.iter().all(|late| [0, 200, 600, 1_400, 3_000, 6_200].contains(late)), "{late:?}");
        assert!(late.len() > 3);
    }

    #[test]
    fn a_limited_line_is_busy_in_proportion() {
        let network = Network::default().bytes_per_second(1_000);
        let mut busy = Time::ZERO;
        assert_eq!(depart(Time::ZERO, &mut busy, network.busy(500)), Time::from_millis(500));
        assert_eq!(depart(Time::from_millis(100), &mut busy, network.busy(500)), Time::from_secs(1));
    }

    #[test]
    fn default_addresses_are_distinct_and_private() {
        assert_eq!(standard_address(0).to_string(), "10.0.0.1:7575");
        assert_eq!(standard_address(299).to_string(), "10.0.1.44:7575");
    }
}
