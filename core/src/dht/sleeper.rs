//! A device whose delegation has ended: how it finds the next one by itself (spec: DHT-150).
//!
//! Whoever holds the identity puts a renewal at the device's home, also while the device sleeps. Reading needs no delegation.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::SocketAddr;
use core::time::Duration;

use super::realm::Realm;
use super::record::{DeviceRecord, delegation_order};
use super::wire::{Contact, DeviceHint};
use crate::crypto::Crypto;
use crate::identity::{Delegation, Revocation};
use crate::time::{Time, WallTime};

/// How far apart it asks, first and later, and how long the first lasts (spec: DHT-150).
const EARLY: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(60);
const EARLY_FOR: Duration = Duration::from_secs(15 * 60);
/// Who is to hold the records of a home in each realm (spec: DHT-142).
const HOLDERS: usize = 5;
/// With fewer left of those who were looked up it looks again (guess: more than half of them are gone).
const FEW: usize = 3;
/// Each so often it looks who that is now (guess: as often as a bucket is refreshed).
const LOOK_EACH: Duration = Duration::from_secs(15 * 60);

/// What the glue is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    /// Look the home up in each realm in which somebody is known; then [`Sleeper::on_looked`] for each.
    Look,
    /// Ask for the own device record; what comes goes through [`renewal`].
    Get { to: Contact, device: DeviceHint, known: u64 },
}

/// Asks those who keep a home for a newer delegation of one device, one after another.
pub(crate) struct Sleeper {
    device: DeviceHint,
    /// The end of the delegation that has ended. A record that has ended with it is kept by nobody, so that who holds the
    /// renewal holds a higher number, with or without a prekey.
    known: u64,
    holders: Vec<Contact>,
    /// Whose turn it is.
    turn: usize,
    woke: Time,
    ask_at: Time,
    /// When it looked last; `None` if it is to look at once.
    looked: Option<Time>,
    /// Of those who were looked up too many are silent.
    is_short: bool,
    /// Who was asked twice in a row, last.
    again: Option<SocketAddr>,
}

impl Sleeper {
    /// For the delegation that has ended.
    pub(crate) fn new(ended: &Delegation, now: Time) -> Self {
        let (device, known) = (DeviceHint::of(ended.device()), ended.until().as_millis());
        Self { device, known, holders: Vec::new(), turn: 0, woke: now, ask_at: now, looked: None, is_short: false, again: None }
    }

    /// The machine woke, or its network is another: it asks often again.
    pub(crate) const fn on_wake(&mut self, now: Time) {
        (self.woke, self.ask_at, self.looked) = (now, now, None);
    }

    /// Who is nearest to the home in a realm, nearest first.
    pub(crate) fn on_looked(&mut self, realm: Realm, nearest: &[Contact]) {
        if nearest.is_empty() {
            return;
        }
        self.holders.retain(|holder| Realm::of(holder.at) != Some(realm));
        self.holders.extend(nearest.iter().filter(|holder| Realm::of(holder.at) == Some(realm)).take(HOLDERS));
    }

    /// It answered neither time: others are asked until the next look, the next one at once. If few are left it looks soon.
    pub(crate) fn on_silent(&mut self, from: SocketAddr, now: Time) {
        let Some(index) = self.holders.iter().position(|holder| holder.at == from) else { return };
        self.holders.remove(index);
        if index < self.turn {
            self.turn = self.turn.saturating_sub(1);
        }
        self.ask_at = self.ask_at.min(now);
        self.is_short = self.holders.len() < FEW;
    }

    /// It has something newer that had no room in its reply, since it was shown no cookie that holds: now that it has given one it is
    /// asked once more, at once.
    pub(crate) fn on_cut(&mut self, from: SocketAddr, now: Time) {
        let Some(index) = self.holders.iter().position(|holder| holder.at == from) else { return };
        if self.again != Some(from) {
            (self.again, self.turn, self.ask_at) = (Some(from), index, self.ask_at.min(now));
        }
    }

    /// What to do next; to be called until there is nothing.
    pub(crate) fn next(&mut self, now: Time) -> Option<Do> {
        if self.look_at() <= now {
            (self.looked, self.is_short) = (Some(now), false);
            return Some(Do::Look);
        }
        if self.ask_at > now {
            return None;
        }
        let to = self.holders.get(self.turn).or_else(|| self.holders.first()).copied()?;
        self.turn = if self.turn < self.holders.len() { self.turn.saturating_add(1) } else { 1 };
        self.again = self.again.filter(|again| *again == to.at);
        self.ask_at = now + self.interval(now);
        Some(Do::Get { to, device: self.device, known: self.known })
    }

    /// When [`next`](Self::next) has something again.
    pub(crate) fn due(&self) -> Time {
        if self.holders.is_empty() { self.look_at() } else { self.look_at().min(self.ask_at) }
    }

    /// Where nobody is known, or too few, it looks as often as it would ask somebody.
    fn look_at(&self) -> Time {
        let Some(looked) = self.looked else { return self.woke };
        looked + if self.holders.is_empty() || self.is_short { self.interval(looked) } else { LOOK_EACH }
    }

    fn interval(&self, now: Time) -> Duration {
        if now.since(self.woke) < EARLY_FOR { EARLY } else { LATE }
    }
}

/// The delegation of a device record that was found, if it can take the place of `own`: of the same device with the same keys,
/// newer, counting now, and signed by the identity (spec: DHT-151). One signature, of what else fits.
pub(crate) fn renewal(
    crypto: &Crypto,
    own: &Delegation,
    revocation: Option<&Revocation>,
    found: &DeviceRecord,
    wall: WallTime,
) -> Option<Delegation> {
    let newer = found.delegation()?;
    let keys = |it: &Delegation| (it.identity(), it.device(), *it.signing(), *it.noise());
    let fits = keys(newer) == keys(own) && newer.app() == own.app() && delegation_order(own, newer) == Ordering::Less;
    let counts = newer.check_window(wall).is_ok() && revocation.is_none_or(|revocation| !revocation.revokes(newer));
    (fits && counts && newer.verify(crypto).is_ok()).then(|| newer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scope;
    use crate::dht::key::Hint;
    use crate::dht::record::tests::{FROM, credentials, granted, identity, keys, revocation};
    use crate::identity::{DELEGATION_MS_DEFAULT, DeviceKeys, IdentitySecret};
    use crate::rng::{Rng, Seed};

    const V4: Realm = Realm { is_v6: false, scope: Scope::Global };
    const V6: Realm = Realm { is_v6: true, scope: Scope::Global };

    fn node(n: u8) -> Contact {
        Contact { hint: Hint(n.into()), at: SocketAddr::from(([100, n, 1, 1], 7)) }
    }

    fn sleeper() -> Sleeper {
        Sleeper::new(credentials().delegation(), Time::ZERO)
    }

    /// Until `end`, with the time of each.
    fn run(sleeper: &mut Sleeper, mut now: Time, end: Time) -> Vec<(u64, Do)> {
        let mut out = Vec::new();
        loop {
            while let Some(action) = sleeper.next(now) {
                out.push((now.as_micros() / 1_000_000, action));
            }
            assert!(sleeper.due() > now, "what was due is done");
            now = sleeper.due();
            if now >= end {
                return out;
            }
        }
    }

    /// Whom it asks next, if anybody.
    fn next_asked(sleeper: &mut Sleeper, secs: u64) -> Option<Contact> {
        match sleeper.next(Time::from_secs(secs)) {
            Some(Do::Get { to, .. }) => Some(to),
            _ => None,
        }
    }

    // spec-test: DHT-150
    #[test]
    fn it_asks_one_of_five_in_turn_each_5_seconds_for_a_quarter_of_an_hour_and_then_each_minute() {
        let mut sleeper = sleeper();
        assert_eq!(sleeper.next(Time::ZERO), Some(Do::Look));
        sleeper.on_looked(V4, &(1..=8).map(node).collect::<Vec<_>>());
        let asked = run(&mut sleeper, Time::ZERO, Time::from_secs(1_800));
        let gets: Vec<_> =
            asked.iter().filter_map(|(secs, it)| if let Do::Get { to, .. } = it { Some((*secs, *to)) } else { None }).collect();
        let early: Vec<_> = (0..=180).map(|n: u8| (u64::from(n) * 5, node(n % 5 + 1))).collect();
        assert_eq!(gets[..181], early, "five of the eight");
        assert_eq!(gets[181..].iter().map(|(secs, _)| *secs).collect::<Vec<_>>(), (16..30).map(|minute| minute * 60).collect::<Vec<_>>());
        let until = credentials().delegation().until().as_millis();
        let device = DeviceHint::of(credentials().delegation().device());
        assert!(
            asked.iter().all(
                |(_, it)| matches!(it, Do::Look) || matches!(it, Do::Get { device: of, known, .. } if *of == device && *known == until)
            )
        );
        assert_eq!(asked.iter().filter(|(_, it)| *it == Do::Look).count(), 1, "after a quarter of an hour");
        sleeper.on_wake(Time::from_secs(2_000));
        let again = run(&mut sleeper, Time::from_secs(2_000), Time::from_secs(2_020));
        assert_eq!(again.iter().map(|(secs, _)| *secs).collect::<Vec<_>>(), [2_000, 2_000, 2_005, 2_010, 2_015]);
    }

    // spec-test: DHT-150
    #[test]
    fn who_is_silent_is_left_out_and_without_anybody_it_looks_again() {
        let mut sleeper = sleeper();
        let looks = run(&mut sleeper, Time::ZERO, Time::from_secs(20));
        assert_eq!(looks, [0, 5, 10, 15].map(|secs| (secs, Do::Look)), "nobody is known");
        sleeper.on_looked(V4, &[node(1), node(2)]);
        sleeper.on_looked(V6, &[node(3)]);
        let _ = run(&mut sleeper, Time::from_secs(20), Time::from_secs(21));
        assert_eq!(sleeper.holders, [node(1), node(2)], "of its realm only");
        sleeper.on_silent(node(1).at, Time::from_secs(21));
        let asked = run(&mut sleeper, Time::from_secs(21), Time::from_secs(40));
        let is_of_the_other = |it: &Do| matches!(it, Do::Get { to, .. } if *to == node(2));
        assert!(asked[0] == (21, Do::Look) && asked[1..].iter().all(|(_, it)| is_of_the_other(it)), "{asked:?}");
        assert_eq!(asked[1..].iter().map(|(secs, _)| *secs).collect::<Vec<_>>(), [21, 26, 31, 36], "at once, and then as before");
        sleeper.on_silent(node(2).at, Time::from_secs(40));
        assert_eq!(run(&mut sleeper, Time::from_secs(40), Time::from_secs(50)), [40, 45].map(|secs| (secs, Do::Look)));
    }

    // spec-test: DHT-150
    #[test]
    fn the_next_one_is_asked_at_once_after_one_that_is_silent_and_each_has_its_turn() {
        let mut sleeper = sleeper();
        assert_eq!(sleeper.next(Time::ZERO), Some(Do::Look));
        sleeper.on_looked(V4, &(1..=5).map(node).collect::<Vec<_>>());
        let mut asked = |from: u64, silent: Option<u8>| {
            silent.into_iter().for_each(|n| sleeper.on_silent(node(n).at, Time::from_secs(from)));
            next_asked(&mut sleeper, from)
        };
        assert_eq!([asked(0, None), asked(1, None), asked(5, None)], [Some(node(1)), None, Some(node(2))]);
        assert_eq!([asked(6, Some(2)), asked(7, Some(3)), asked(8, None)], [Some(node(3)), Some(node(4)), None]);
        assert_eq!([asked(12, None), asked(17, None), asked(22, None)], [Some(node(5)), Some(node(1)), Some(node(4))]);
        assert_eq!(asked(23, Some(5)), None, "two of five are few: it looks");
    }

    // spec-test: DHT-150
    #[test]
    fn whoever_had_no_room_for_the_renewal_is_asked_once_more_at_once() {
        let mut sleeper = sleeper();
        assert_eq!(sleeper.next(Time::ZERO), Some(Do::Look));
        sleeper.on_looked(V4, &(1..=3).map(node).collect::<Vec<_>>());
        let mut asked = |from: u64, cut: Option<u8>| {
            cut.into_iter().for_each(|n| sleeper.on_cut(node(n).at, Time::from_secs(from)));
            next_asked(&mut sleeper, from)
        };
        assert_eq!([asked(0, None), asked(1, Some(1)), asked(2, Some(1))], [Some(node(1)), Some(node(1)), None], "not a third time");
        assert_eq!([asked(6, None), asked(7, Some(2)), asked(12, None)], [Some(node(2)), Some(node(2)), Some(node(3))]);
        assert_eq!([asked(13, Some(9)), asked(17, None)], [None, Some(node(1))], "a stranger says nothing");
    }

    // spec-test: DHT-151
    #[test]
    fn a_renewal_is_newer_of_the_same_keys_counts_now_and_is_signed() {
        let crypto = Crypto::standard();
        let own = credentials();
        let later = FROM + DELEGATION_MS_DEFAULT;
        let record = |delegation: &Delegation| DeviceRecord::new(Some(delegation.clone()), None).unwrap();
        let found_at = |found: &DeviceRecord, revocation: Option<&Revocation>, wall: u64| {
            renewal(&crypto, own.delegation(), revocation, found, WallTime::from_millis(wall))
        };
        let renewed = granted(&identity(), &keys(), "demo.chat", later);
        let newer = record(renewed.delegation());
        assert_eq!(found_at(&newer, None, later).as_ref(), Some(renewed.delegation()));
        assert_eq!(found_at(&record(own.delegation()), None, FROM), None, "the one it has");
        assert_eq!(found_at(&newer, None, FROM), None, "its time has not come");
        assert_eq!(found_at(&newer, None, later + 2 * DELEGATION_MS_DEFAULT), None, "it has ended too");
        assert_eq!(found_at(&newer, Some(&revocation(later + 1, u64::MAX >> 12)), later), None, "taken back");
        assert!(found_at(&newer, Some(&revocation(later, u64::MAX >> 12)), later).is_some());
        let other_keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([3; 32])));
        let mut secrets = keys().to_secret_bytes();
        secrets[0] ^= 1;
        let same_device = DeviceKeys::from_secret_bytes(&secrets);
        let strangers = [
            granted(&identity(), &other_keys, "demo.chat", later),
            granted(&identity(), &same_device, "demo.chat", later),
            granted(&identity(), &keys(), "demo.other", later),
            granted(&IdentitySecret::from_bytes([9; 32]), &keys(), "demo.chat", later),
        ];
        for stranger in strangers {
            assert_eq!(found_at(&record(stranger.delegation()), None, later), None);
        }
        let (from, to) = (later + DELEGATION_MS_DEFAULT, later + DELEGATION_MS_DEFAULT + 1);
        let forged = renewed.delegation().to_json().replace(&alloc::format!("{from}"), &alloc::format!("{to}"));
        assert_eq!(found_at(&record(&Delegation::from_json(forged).unwrap()), None, later), None, "forged");
    }
}
