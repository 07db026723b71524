//! The cookies that others gave us.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::key::Hint;
use super::rate::Name;
use crate::time::Time;

/// Cookies by address *and* hint, so that whoever names a known address under another hint makes us ask in the cold form,
/// which shows the id (spec: DHT-76). 14 bytes each.
pub(crate) struct Jar {
    key: [u64; 2],
    /// In the order in which they came.
    cookies: Vec<Kept>,
    cookies_max: usize,
    /// When one came last: by then all that had grown old were gone.
    last: Time,
}

/// As packed as it can be: no part needs alignment.
#[derive(Clone, Copy)]
#[repr(C)]
struct Kept {
    tag: [u8; 4],
    cookie: [u8; 8],
    /// Seconds / 8, the lowest 16 bits.
    at: [u8; 2],
}

const _: () = assert!(size_of::<Kept>() == 14);

/// A cookie is used this long: its giver's epochs last five minutes and it knows the last two, so that it holds for
/// certain (spec: DHT-76).
const USED: Duration = Duration::from_secs(300);
const UNIT_MICROS: u64 = 8_000_000;
/// A cookie that holds on is put back in its place after so many units: more often would be work for nothing.
const KEPT_EACH: u64 = 8;
const GROWTH: usize = 16;

impl Jar {
    /// For so many cookies, at least one (256 for who serves, 128 for who asks only, 64 where a million live together). Allocates nothing
    /// yet; `key` comes from the node's generator.
    pub(crate) const fn new(key: [u64; 2], cookies_max: usize) -> Self {
        Self { key, cookies: Vec::new(), cookies_max: if cookies_max == 0 { 1 } else { cookies_max }, last: Time::ZERO }
    }

    /// Somebody gave a cookie in a reply. The oldest may be forgotten for it. O(n).
    pub(crate) fn put(&mut self, at: SocketAddr, hint: Hint, cookie: [u8; 8], now: Time) {
        let is_all_old = now.since(self.last) >= USED;
        self.last = now;
        let kept = Kept { tag: self.tag(at, hint), cookie, at: unit(now).to_be_bytes() };
        self.cookies.retain(|old| !is_all_old && old.tag != kept.tag && old.holds(now));
        if self.cookies.len() >= self.cookies_max {
            // A move of 3.5 KB at most; so the oldest is always the first.
            self.cookies.drain(..1);
        }
        if self.cookies.len() == self.cookies.capacity() {
            self.cookies.reserve_exact(GROWTH);
        }
        self.cookies.push(kept);
    }

    /// The cookie that was shown holds for five minutes more, since no other came with the answer. O(n).
    pub(crate) fn keep(&mut self, at: SocketAddr, hint: Hint, now: Time) {
        let tag = self.tag(at, hint);
        let aged = |kept: &&Kept| kept.tag == tag && kept.holds(now) && kept.age(now) >= KEPT_EACH;
        if let Some(cookie) = self.cookies.iter().find(aged).map(|kept| kept.cookie) {
            self.put(at, hint, cookie, now);
        }
    }

    /// The cookie to show to this node, if it is sure to hold. O(n).
    pub(crate) fn get(&self, at: SocketAddr, hint: Hint, now: Time) -> Option<[u8; 8]> {
        // By then all are old, and their times would come round.
        if self.cookies.is_empty() || now.since(self.last) >= USED {
            return None;
        }
        let tag = self.tag(at, hint);
        self.cookies.iter().find(|kept| kept.tag == tag && kept.holds(now)).map(|kept| kept.cookie)
    }

    /// Forgets a cookie that did not hold. O(n).
    pub(crate) fn drop_cookie(&mut self, at: SocketAddr, hint: Hint) {
        let tag = self.tag(at, hint);
        self.cookies.retain(|kept| kept.tag != tag);
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.cookies.capacity().saturating_mul(size_of::<Kept>())
    }

    fn tag(&self, at: SocketAddr, hint: Hint) -> [u8; 4] {
        let mut name = Name::new(true);
        name.push_endpoint(at);
        name.push(&hint.to_bytes());
        name.tag(self.key)
    }
}

impl Kept {
    fn holds(&self, now: Time) -> bool {
        self.age(now) < USED.as_secs() / 8
    }

    /// In units of 8 s.
    fn age(&self, now: Time) -> u64 {
        unit(now).wrapping_sub(u16::from_be_bytes(self.at)).into()
    }
}

/// The lowest 16 bits of the time in 8 s.
fn unit(now: Time) -> u16 {
    u16::try_from((now.as_micros() / UNIT_MICROS) & 0xFFFF).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, 7], n))
    }

    // spec-test: DHT-76
    #[test]
    fn a_cookie_is_shown_to_the_node_that_gave_it_and_under_no_other_hint_for_five_minutes() {
        let mut jar = Jar::new([1, 2], 4);
        let now = Time::from_secs(1_000);
        jar.put(at(1), Hint(7), [1; 8], now);
        assert_eq!(jar.get(at(1), Hint(7), now), Some([1; 8]));
        assert_eq!((jar.get(at(1), Hint(8), now), jar.get(at(2), Hint(7), now)), (None, None));
        jar.put(at(1), Hint(7), [2; 8], now);
        assert_eq!((jar.get(at(1), Hint(7), now), jar.cookies.len()), (Some([2; 8]), 1));
        assert_eq!(jar.get(at(1), Hint(7), now + Duration::from_secs(290)), Some([2; 8]));
        assert_eq!(jar.get(at(1), Hint(7), now + USED), None);
        jar.drop_cookie(at(1), Hint(7));
        assert_eq!(jar.get(at(1), Hint(7), now), None);
    }

    // spec-test: DHT-76
    #[test]
    fn a_cookie_that_is_known_to_hold_is_shown_for_five_minutes_more() {
        let mut jar = Jar::new([1, 2], 4);
        let after = |seconds: u64| Time::from_secs(1_000 + seconds);
        jar.put(at(1), Hint(7), [1; 8], after(0));
        jar.keep(at(1), Hint(7), after(200));
        jar.keep(at(2), Hint(7), after(200));
        assert_eq!((jar.get(at(1), Hint(7), after(490)), jar.get(at(2), Hint(7), after(490))), (Some([1; 8]), None));
        jar.keep(at(1), Hint(7), after(500));
        assert_eq!(jar.get(at(1), Hint(7), after(500)), None, "too late");
    }

    #[test]
    fn a_full_jar_forgets_the_oldest_and_takes_14_bytes_a_cookie() {
        for (cookies_max, bytes) in [(256, 3_584), (128, 1_792), (64, 896)] {
            let mut jar = Jar::new([1, 2], cookies_max);
            assert_eq!(jar.heap_bytes(), 0);
            for n in 1..=1_000 {
                jar.put(at(n), Hint(n.into()), [7; 8], Time::from_millis(n.into()));
            }
            let now = Time::from_secs(2);
            let kept = (1..=1_000).filter(|n| jar.get(at(*n), Hint((*n).into()), now).is_some());
            assert!(kept.eq(1_000 - u16::try_from(cookies_max).unwrap_or_default() + 1..=1_000));
            assert_eq!(jar.heap_bytes(), bytes);
        }
    }

    // spec-test: DHT-64
    #[test]
    fn a_cookie_does_not_come_back_when_its_time_comes_round() {
        let mut jar = Jar::new([1, 2], 4);
        jar.put(at(1), Hint(7), [1; 8], Time::from_secs(1_000));
        for hours in 1..24 * 10 {
            assert_eq!(jar.get(at(1), Hint(7), Time::from_secs(1_000 + hours * 3_600)), None);
        }
        let round = Time::from_secs(1_000 + 8 * 65_536);
        jar.put(at(2), Hint(7), [2; 8], round);
        assert_eq!(jar.get(at(1), Hint(7), round), None);
    }
}
