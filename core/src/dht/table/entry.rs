//! One node as a table keeps it, and how it is packed.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use crate::dht::key::Hint;
use crate::dht::log2::{exp2, log2};
use crate::time::Time;

/// A node of the table, unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) hint: Hint,
    /// Without IPv6 clothes.
    pub(crate) at: SocketAddr,
    pub(crate) rtt: Rtt,
    pub(super) seen: Tick,
    pub(super) state: State,
}

impl Entry {
    /// Whether it has answered a request of this process, or had answered within the hour before it began.
    pub(crate) const fn is_verified(&self) -> bool {
        self.state.misses() < UNVERIFIED
    }

    /// Whether it has left the last request without an answer, and will be asked again.
    pub(crate) const fn has_missed(&self) -> bool {
        self.state.has_missed()
    }

    /// Whether it said that it serves in the other family too.
    pub(crate) const fn is_dual(&self) -> bool {
        self.state.has(State::DUAL)
    }

    /// How long it is known: 0 below half an hour, then 1, 2 from two hours on, 3 from eight (spec: DHT-60).
    pub(crate) const fn age_class(&self) -> u8 {
        self.state.class()
    }

    /// How long ago it answered last, in steps of 8 s; at most three days.
    pub(crate) fn idle(&self, now: Time) -> Duration {
        Duration::from_secs(u64::from(self.seen.age(now)).saturating_mul(TICK_SECS))
    }

    pub(super) const fn has(&self, bit: u8) -> bool {
        self.state.has(bit)
    }
}

/// Seconds of a [`Tick`].
pub(super) const TICK_SECS: u64 = 8;
/// Ages are cut here, long before they would wrap: three days (spec: DHT-64).
pub(super) const AGE_MAX: u16 = 0x7FFF;

/// A time in units of 8 s of which only the lowest 16 bits are kept: right for 6 days (spec: DHT-64).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tick(u16);

impl Tick {
    pub(super) fn at(now: Time) -> Self {
        Self(low(ticks(now)))
    }

    /// So many units before `now`.
    pub(super) fn before(now: Time, age: u16) -> Self {
        Self(low(ticks(now)).wrapping_sub(age))
    }

    /// How many units have passed since.
    pub(super) fn age(self, now: Time) -> u16 {
        self.until(Self::at(now))
    }

    /// How many units lie between the two.
    pub(super) const fn until(self, now: Self) -> u16 {
        now.0.wrapping_sub(self.0)
    }
}

/// Units of 8 s since the epoch.
pub(super) const fn ticks(now: Time) -> u64 {
    now.as_micros() / (TICK_SECS * 1_000_000)
}

/// The lowest 16 bits.
fn low(ticks: u64) -> u16 {
    u16::try_from(ticks & 0xFFFF).unwrap_or_default()
}

/// A round trip in one byte: 0.25 ms × 2^(n/16), or 0 if it is not known. Steps of 4 %, at most 15 s.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Rtt(pub(super) u8);

/// The logarithm of 250 µs.
const SHORTEST: u32 = log2(250);
/// How many units a round trip must be shorter to take a slower one's place: 2^(−7/16) is just below ¾ (spec: DHT-56).
const SHORTER: u8 = 7;

/// The first of the lengths that are stored, 21 ms, and how far apart they are: 31, 50, 76, 116, 184 and 272 ms follow.
const COARSE_FIRST: u8 = 101;
const COARSE_STEP: u8 = 10;
const COARSE_MAX: u8 = 7;

impl Rtt {
    pub(crate) const UNKNOWN: Self = Self(0);

    /// The nearest step below; the shortest step for all that is shorter.
    pub(crate) fn of(length: Duration) -> Self {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let steps = log2(micros).saturating_sub(SHORTEST) / 16;
        Self(u8::try_from(steps).unwrap_or(u8::MAX).max(1))
    }

    /// `None` if it is not known.
    pub(crate) fn length(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_micros(exp2((u32::from(self.0) * 16).saturating_add(SHORTEST))))
    }

    /// What to keep when `newer` was measured: the (geometric) mean, so that one late reply does not lengthen every time-out.
    pub(super) const fn with(self, newer: Self) -> Self {
        match (self.0, newer.0) {
            (0, _) => newer,
            (_, 0) => self,
            (old, new) => Self(old.midpoint(new)),
        }
    }

    /// Whether it is at most ¾ of `slower`; both must be known.
    pub(super) const fn is_much_shorter(self, slower: Self) -> bool {
        self.0 > 0 && self.0.saturating_add(SHORTER) <= slower.0
    }

    /// In three bits, as it is stored: 0 if it is not known, else which of seven lengths is nearest (spec: DHT-63).
    pub(super) const fn coarse(self) -> u8 {
        if self.0 == 0 {
            return 0;
        }
        let steps = self.0.saturating_sub(COARSE_FIRST - COARSE_STEP / 2) / COARSE_STEP;
        if steps >= COARSE_MAX { COARSE_MAX } else { steps.saturating_add(1) }
    }

    /// The length that three bits say.
    pub(super) const fn of_coarse(bits: u8) -> Self {
        match bits {
            0 => Self::UNKNOWN,
            1..COARSE_MAX => Self(COARSE_FIRST.saturating_add((bits - 1).saturating_mul(COARSE_STEP))),
            COARSE_MAX.. => Self(COARSE_FIRST + (COARSE_MAX - 1) * COARSE_STEP),
        }
    }

    /// In the order of preference: what is not known comes last.
    pub(crate) const fn rank(self) -> u8 {
        self.0.wrapping_sub(1)
    }
}

/// In the place of a count of misses: never answered.
pub(super) const UNVERIFIED: u8 = 3;

/// What else is known of a node, in one byte: bits 0–1 misses, of which 3 says "never answered", 2 crowded, 3 by own
/// look-up, 4 dual, 5–6 age class, 7 postponed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct State(u8);

impl State {
    /// Over a cap (spec: DHT-53).
    pub(super) const CROWDED: u8 = 1 << 2;
    /// Met by a look-up of our own (spec: DHT-55).
    pub(super) const OWN: u8 = 1 << 3;
    pub(super) const DUAL: u8 = 1 << 4;
    /// A request of its own has put off its probe (spec: DHT-59).
    pub(super) const POSTPONED: u8 = 1 << 7;
    const CLASS_SHIFT: u32 = 5;
    const MISSES: u8 = 0b11;
    const CLASS: u8 = 0b11 << Self::CLASS_SHIFT;

    pub(super) const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    #[must_use]
    pub(super) const fn with(self, bit: u8, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }

    pub(super) const fn misses(self) -> u8 {
        self.0 & Self::MISSES
    }

    /// Whether it has left the last request without an answer.
    pub(super) const fn has_missed(self) -> bool {
        matches!(self.misses(), 1..UNVERIFIED)
    }

    #[must_use]
    pub(super) const fn with_misses(self, misses: u8) -> Self {
        Self((self.0 & !Self::MISSES) | (misses & Self::MISSES))
    }

    /// 0 to 3: how long it has been known.
    pub(super) const fn class(self) -> u8 {
        (self.0 & Self::CLASS) >> Self::CLASS_SHIFT
    }

    #[must_use]
    pub(super) const fn with_class(self, class: u8) -> Self {
        Self((self.0 & !Self::CLASS) | ((class << Self::CLASS_SHIFT) & Self::CLASS))
    }
}

/// The form in memory, for addresses of `N` bytes: 14 + `N` bytes, without gaps.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Packed<const N: usize> {
    hint: [u8; 8],
    ip: [u8; N],
    port: [u8; 2],
    seen: [u8; 2],
    rtt: u8,
    state: u8,
}

/// Of IPv4, 18 bytes.
pub(super) type Packed4 = Packed<4>;
/// Of IPv6, 30 bytes.
pub(super) type Packed6 = Packed<16>;

const _: () = assert!(size_of::<Packed4>() == 18 && size_of::<Packed6>() == 30 && align_of::<Packed6>() == 1);

impl<const N: usize> Packed<N> {
    /// `None` if the address is of the other family.
    pub(super) fn pack(entry: &Entry) -> Option<Self> {
        let (v4, v6);
        let ip: &[u8] = match entry.at.ip() {
            IpAddr::V4(ip) => {
                v4 = ip.octets();
                &v4
            }
            IpAddr::V6(ip) => {
                v6 = ip.octets();
                &v6
            }
        };
        Some(Self {
            hint: entry.hint.to_bytes(),
            ip: ip.try_into().ok()?,
            port: entry.at.port().to_be_bytes(),
            seen: entry.seen.0.to_be_bytes(),
            rtt: entry.rtt.0,
            state: entry.state.0,
        })
    }

    pub(super) fn unpack(&self) -> Entry {
        Entry {
            hint: self.hint(),
            at: SocketAddr::new(self.ip(), u16::from_be_bytes(self.port)),
            rtt: Rtt(self.rtt),
            seen: self.seen(),
            state: self.state(),
        }
    }

    pub(super) const fn hint(&self) -> Hint {
        Hint::from_bytes(self.hint)
    }

    pub(super) const fn seen(&self) -> Tick {
        Tick(u16::from_be_bytes(self.seen))
    }

    pub(super) const fn set_seen(&mut self, seen: Tick) {
        self.seen = seen.0.to_be_bytes();
    }

    pub(super) const fn state(&self) -> State {
        State(self.state)
    }

    pub(super) fn is_at(&self, other: &Self) -> bool {
        // Both, so that rows are compared without a branch.
        (self.port == other.port) & (self.ip == other.ip)
    }

    pub(super) fn has_ip_of(&self, other: &Self) -> bool {
        self.ip == other.ip
    }

    /// Whether both are of one /24 or /48. Entries are lasting addresses, so the first bytes are the group (spec: DHT-3).
    pub(super) fn has_group_of(&self, other: &Self) -> bool {
        self.group() == other.group()
    }

    /// Whether both are of one /32 of IPv6; never for IPv4, whose blocks are not capped in tables.
    pub(super) fn has_block_of(&self, other: &Self) -> bool {
        N == 16 && self.ip.first_chunk::<4>() == other.ip.first_chunk::<4>()
    }

    /// What names its group, as a number, which is compared at once.
    pub(super) fn group(&self) -> u64 {
        match (self.ip.first_chunk::<8>(), self.ip.first_chunk::<4>()) {
            (Some(front), _) => u64::from_be_bytes(*front) >> 16,
            (None, Some(ip)) => u64::from(u32::from_be_bytes(*ip) >> 8),
            (None, None) => 0,
        }
    }

    fn ip(&self) -> IpAddr {
        if let Ok(v4) = <[u8; 4]>::try_from(self.ip.as_slice()) {
            Ipv4Addr::from(v4).into()
        } else {
            Ipv6Addr::from(<[u8; 16]>::try_from(self.ip.as_slice()).unwrap_or_default()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_from_18_or_30_bytes_as_it_was() {
        for text in ["203.0.113.7:51820", "[2001:db8::7]:443"] {
            let state = State::default().with(State::OWN, true).with_misses(2).with_class(3);
            let at: SocketAddr = text.parse().expect("an address");
            let entry = Entry { hint: Hint(u64::MAX - 5), at, rtt: Rtt(9), seen: Tick(65_535), state };
            let back = Packed4::pack(&entry).map(|packed| packed.unpack()).or_else(|| Packed6::pack(&entry).map(|packed| packed.unpack()));
            assert_eq!(back, Some(entry));
            assert_eq!((Packed4::pack(&entry).is_some(), Packed6::pack(&entry).is_some()), (at.is_ipv4(), at.is_ipv6()));
        }
    }

    #[test]
    fn each_part_of_a_state_is_kept_apart() {
        let mut state = State::default();
        for bit in [State::CROWDED, State::OWN, State::DUAL, State::POSTPONED] {
            assert!(!state.has(bit));
            state = state.with(bit, true);
        }
        for n in 0..4 {
            let changed = state.with_misses(n).with_class(3 - n);
            assert_eq!((changed.misses(), changed.class()), (n, 3 - n));
            assert!(changed.has(State::CROWDED) && changed.has(State::OWN) && changed.has(State::DUAL) && changed.has(State::POSTPONED));
        }
        assert!(!state.with(State::OWN, false).has(State::OWN));
    }

    #[test]
    fn a_round_trip_keeps_its_length_within_a_step_and_a_line() {
        for micros in [300, 1_000, 33_333, 100_000, 999_999, 15_000_000] {
            let back = Rtt::of(Duration::from_micros(micros)).length().unwrap_or_default();
            let back = u64::try_from(back.as_micros()).unwrap_or_default();
            assert!(back <= micros && micros - back <= micros / 15, "{micros}: {back}");
        }
        assert_eq!((Rtt::of(Duration::ZERO), Rtt::of(Duration::MAX)), (Rtt(1), Rtt(255)));
        assert_eq!(Rtt::UNKNOWN.length(), None);
        assert!(Rtt::of(Duration::from_millis(70)).is_much_shorter(Rtt::of(Duration::from_millis(100))));
        assert!(!Rtt::of(Duration::from_millis(80)).is_much_shorter(Rtt::of(Duration::from_millis(100))));
        assert!(!Rtt::UNKNOWN.is_much_shorter(Rtt(200)) && !Rtt(1).is_much_shorter(Rtt::UNKNOWN));
        assert_eq!((Rtt(10).with(Rtt(20)), Rtt::UNKNOWN.with(Rtt(7)), Rtt(7).with(Rtt::UNKNOWN)), (Rtt(15), Rtt(7), Rtt(7)));
        assert!(Rtt(255).rank() < Rtt::UNKNOWN.rank());
    }

    // spec-test: DHT-63
    #[test]
    fn three_bits_keep_a_round_trip_within_three_tenths_between_17_and_340_ms() {
        let stored = |millis| {
            let coarse = Rtt::of(Duration::from_millis(millis)).coarse();
            (coarse, Rtt::of_coarse(coarse).length().map(|length| u64::try_from(length.as_millis()).unwrap_or_default()))
        };
        for millis in 17..=340 {
            let (coarse, back) = stored(millis);
            let back = back.unwrap_or_default();
            assert!((1..=7).contains(&coarse) && 10 * back <= 13 * millis && 10 * millis <= 13 * back, "{millis}: {back}");
        }
        assert_eq!([1, 20, 31, 48, 73, 113, 174, 269, 9_000].map(|millis| stored(millis).0), [1, 1, 2, 3, 4, 5, 6, 7, 7]);
        assert_eq!((Rtt::UNKNOWN.coarse(), Rtt::of_coarse(0)), (0, Rtt::UNKNOWN));
        assert!((1..=u8::MAX).all(|bits| Rtt::of_coarse(bits).coarse() == bits.min(7)));
    }
}
