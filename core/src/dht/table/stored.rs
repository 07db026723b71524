//! How a table outlives the process.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::entry::{AGE_MAX, Entry, Rtt, State, TICK_SECS, Tick, UNVERIFIED};
use super::{NAMED_AGE_MAX, Table};
use crate::dht::key::Hint;
use crate::time::{Time, WallTime};

/// Why stored bytes are no table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// Of another format, which is this one.
    Format(u8),
    /// Of the other family, or cut short.
    Content,
}

/// How many nodes a stored table gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Restored {
    pub(crate) kept: usize,
    /// That do not fit their addresses, or for which there was no place.
    pub(crate) dropped: usize,
}

/// The only format (spec: DHT-63).
const FORMAT: u8 = 0x01;
/// More nodes are not stored: 860 are what a network of 10⁶ gives; 19.1 KiB of IPv4, 31.1 KiB of IPv6, within what an item may have
/// (spec: DHT-161).
const ENTRIES_MAX: usize = 1_024;
const VERIFIED: u8 = 1;
const OWN: u8 = 1 << 1;
const DUAL: u8 = 1 << 2;
const CLASS_SHIFT: u32 = 3;
const RTT_SHIFT: u32 = 5;
/// In the time: it is there for being near, or may be (spec: DHT-56).
const UNFAIR: u32 = 1 << 31;

impl Table {
    /// The nodes with a place as bytes, nearest buckets first, at most 1,024 (spec: DHT-63).
    pub(crate) fn store(&self, now: Time, wall: WallTime) -> Vec<u8> {
        let count = self.mains.len().min(ENTRIES_MAX);
        let size = if self.realm.is_v6 { 31 } else { 19 };
        let mut out = Vec::with_capacity(size * count + 4);
        out.extend_from_slice(&[FORMAT, self.realm.family()]);
        out.extend_from_slice(&u16::try_from(count).unwrap_or_default().to_be_bytes());
        for (index, entry) in (0..self.mains.len()).rev().filter_map(|index| Some((index, self.mains.get(index)?))).take(count) {
            out.extend_from_slice(&entry.hint.to_bytes());
            match entry.at.ip() {
                IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
            }
            out.extend_from_slice(&entry.at.port().to_be_bytes());
            let unfair = if self.unfair(self.mains.bucket_of(index)).contains(&index) { UNFAIR } else { 0 };
            out.extend_from_slice(&(wall_ticks(wall).saturating_sub(entry.seen.age(now).into()) | unfair).to_be_bytes());
            let flag = |is_so: bool, bit: u8| if is_so { bit } else { 0 };
            let flags = flag(entry.is_verified(), VERIFIED) | flag(entry.has(State::OWN), OWN) | flag(entry.is_dual(), DUAL);
            out.push(flags | entry.state.class() << CLASS_SHIFT | entry.rtt.coarse() << RTT_SHIFT);
        }
        out
    }

    /// Takes stored nodes in, as far as they fit and there is room. Who was seen within the hour counts as verified; others
    /// are there to be asked (spec: DHT-63). O(n²), one hash each.
    pub(crate) fn restore(&mut self, bytes: &[u8], now: Time, wall: WallTime) -> Result<Restored, Broken> {
        self.sweep(now);
        let mut reader = Reader(bytes);
        match reader.take() {
            Some([FORMAT]) => {}
            Some([other]) => return Err(Broken::Format(other)),
            None => return Err(Broken::Content),
        }
        if reader.take() != Some([self.realm.family()]) {
            return Err(Broken::Content);
        }
        let count = reader.take().map(u16::from_be_bytes).map(usize::from).filter(|count| *count <= ENTRIES_MAX).ok_or(Broken::Content)?;
        let entries = (0..count).map(|_| reader.entry(self.realm.is_v6, now, wall)).collect::<Option<Vec<_>>>().ok_or(Broken::Content)?;
        if !reader.0.is_empty() {
            return Err(Broken::Content);
        }
        let before = self.mains.len();
        self.mains.reserve(count);
        // The farthest were stored last.
        for (entry, is_fair) in entries.into_iter().rev() {
            if entry.hint == self.own || !self.realm.takes(entry.hint, entry.at) || self.mains.position(entry.at).is_some() {
                continue;
            }
            if is_fair {
                self.place(entry, None, now);
            } else {
                self.place_unfair(entry);
            }
        }
        let kept = self.mains.len().saturating_sub(before);
        if kept < count {
            self.mains.shrink();
        }
        Ok(Restored { kept, dropped: count.saturating_sub(kept) })
    }
}

/// Units of 8 s since 1970.
fn wall_ticks(wall: WallTime) -> u32 {
    u32::try_from(wall.as_millis() / (TICK_SECS * 1_000)).unwrap_or(u32::MAX).min(!UNFAIR)
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// A node, and whether it is fair.
    fn entry(&mut self, is_v6: bool, now: Time, wall: WallTime) -> Option<(Entry, bool)> {
        let hint = Hint::from_bytes(self.take()?);
        let ip: IpAddr = if is_v6 { Ipv6Addr::from(self.take::<16>()?).into() } else { Ipv4Addr::from(self.take::<4>()?).into() };
        let at = SocketAddr::new(ip, u16::from_be_bytes(self.take()?));
        let seen = u32::from_be_bytes(self.take()?);
        let [flags] = self.take()?;
        // A clock that went back makes everything old.
        let age = wall_ticks(wall).checked_sub(seen & !UNFAIR).and_then(|age| u16::try_from(age).ok()).unwrap_or(AGE_MAX).min(AGE_MAX);
        let is_verified = flags & VERIFIED != 0 && age <= NAMED_AGE_MAX;
        let state = State::default().with_misses(if is_verified { 0 } else { UNVERIFIED }).with_class(flags >> CLASS_SHIFT & 0b11);
        let state = state.with(State::OWN, flags & OWN != 0).with(State::DUAL, flags & DUAL != 0);
        Some((Entry { hint, at, rtt: Rtt::of_coarse(flags >> RTT_SHIFT), seen: Tick::before(now, age), state }, seen & UNFAIR == 0))
    }
}
