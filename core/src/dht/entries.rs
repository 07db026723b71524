//! Entry peers: addresses that a node is told to begin with, and when each is pinged (spec: DHT-131, DHT-132).

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::realm::Realm;
use crate::address::plain_socket;
use crate::rng::Rng;
use crate::time::Time;

/// More are not taken: as many as descents are told apart in the first table (spec: DHT-62).
pub(crate) const ENTRIES_MAX: usize = 16;

/// Milliseconds between one ping and the next: at 0, 0.4 and 1 s, and from then on after as long again as has passed.
const GAPS_MS: [u64; 2] = [400, 600];
const GAP_FIRST_MS: u64 = 1_000;
/// The longest gap: ten minutes.
const GAP_MAX_MS: u64 = 600_000;
/// Who answers without an id may serve soon: it is pinged again after these, then each ten minutes.
const AGAIN_MS: [u64; 3] = [1_000, 5_000, 30_000];

/// How it goes with one of them.
#[derive(Clone, Copy, Debug)]
struct EntryPeer {
    at: SocketAddr,
    /// Which descent it is: its place among the sixteen.
    number: u8,
    /// Pings, or answers without an id, since the beginning.
    turn: u8,
    /// It has answered, but does not serve.
    is_client: bool,
    /// `None`: it serves, and need not be pinged.
    due: Option<Time>,
}

/// The entry peers of a node, in all its realms. 56 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    list: Vec<EntryPeer>,
}

impl Entries {
    /// These are the entry peers from now on; of more than 16, and of those where nobody can be, the rest is left out. Who
    /// was one already goes on as it was. O(n²), n ≤ 16.
    pub(crate) fn set(&mut self, addresses: &[SocketAddr], now: Time) {
        let mut wanted: Vec<SocketAddr> = Vec::new();
        for at in addresses.iter().copied().map(plain_socket).filter(|at| Realm::of(*at).is_some()) {
            if wanted.len() < ENTRIES_MAX && !wanted.contains(&at) {
                wanted.push(at);
            }
        }
        self.list.retain(|entry| wanted.contains(&entry.at));
        for at in wanted {
            let is_free = |number: &u8| self.list.iter().all(|entry| entry.number != *number);
            // As many numbers as places.
            let Some(number) = (0_u8..16).find(is_free).filter(|_| self.number(at).is_none()) else { continue };
            self.list.push(EntryPeer { at, number, turn: 0, is_client: false, due: Some(now) });
        }
    }

    /// Whether there is none in this realm.
    pub(crate) fn is_empty(&self, realm: Realm) -> bool {
        self.addresses().all(|at| Realm::of(at) != Some(realm))
    }

    /// Where they are: a user's own look-up asks them too, without waiting for the join.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.list.iter().map(|entry| entry.at)
    }

    /// The descent (spec: DHT-62) of the entry peer at this address and of whoever is learnt through it.
    pub(crate) fn number(&self, at: SocketAddr) -> Option<u8> {
        let at = plain_socket(at);
        self.list.iter().find(|entry| entry.at == at).map(|entry| entry.number)
    }

    /// It has answered a ping; `serves` says whether with an id.
    pub(crate) fn on_answer(&mut self, at: SocketAddr, serves: bool, rng: &mut Rng, now: Time) {
        let at = plain_socket(at);
        let Some(entry) = self.list.iter_mut().find(|entry| entry.at == at) else { return };
        if serves {
            entry.due = None;
            return;
        }
        if !entry.is_client {
            (entry.is_client, entry.turn) = (true, 0);
        }
        let again = AGAIN_MS.get(usize::from(entry.turn)).copied();
        entry.turn = entry.turn.saturating_add(1);
        entry.due = Some(now + again.map_or_else(|| spread(GAP_MAX_MS, rng), Duration::from_millis));
    }

    /// Nobody is heard any more: all are pinged from the beginning.
    pub(crate) fn on_isolated(&mut self, now: Time) {
        for entry in &mut self.list {
            *entry = EntryPeer { turn: 0, is_client: false, due: Some(now), ..*entry };
        }
    }

    /// When [`next`](Self::next) has something again.
    pub(crate) fn due(&self) -> Option<Time> {
        self.list.iter().filter_map(|entry| entry.due).min()
    }

    /// Whom to ping now, cold, and its descent; to be asked until there is nobody.
    pub(crate) fn next(&mut self, rng: &mut Rng, now: Time) -> Option<(SocketAddr, u8)> {
        let entry = self.list.iter_mut().find(|entry| entry.due.is_some_and(|due| due <= now))?;
        let gap = if entry.is_client { spread(GAP_MAX_MS, rng) } else { gap(entry.turn, rng) };
        if !entry.is_client {
            entry.turn = entry.turn.saturating_add(1);
        }
        entry.due = Some(now + gap);
        Some((entry.at, entry.number))
    }
}

/// How long after ping `turn` the next one follows. The first three come as they are: whoever starts within the same second
/// is met by 1.6 s.
fn gap(turn: u8, rng: &mut Rng) -> Duration {
    let turn = usize::from(turn);
    if let Some(gap) = GAPS_MS.get(turn) {
        return Duration::from_millis(*gap);
    }
    let doublings = u32::try_from(turn.saturating_sub(GAPS_MS.len())).unwrap_or(u32::MAX);
    let gap = 1_u64.checked_shl(doublings).map_or(GAP_MAX_MS, |times| GAP_FIRST_MS.saturating_mul(times));
    spread(gap.min(GAP_MAX_MS), rng)
}

/// A length ± 20 %, so that those who started together drift apart.
pub(super) fn spread(millis: u64, rng: &mut Rng) -> Duration {
    let fifth = millis / 5;
    let drawn = rng.below(fifth.saturating_mul(2).saturating_add(1));
    Duration::from_millis(millis.saturating_sub(fifth).saturating_add(drawn))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::address::Scope;
    use crate::rng::Seed;

    const START: Time = Time::from_secs(1_000);

    fn at(n: u16) -> SocketAddr {
        SocketAddr::from(([20, 1, 1, 1], n))
    }

    fn rng() -> Rng {
        Rng::from_seed(&Seed::from_bytes([5; 32]))
    }

    /// The pings up to `secs` after the start, in milliseconds.
    fn pings(entries: &mut Entries, rng: &mut Rng, secs: u64) -> Vec<u64> {
        let mut times = Vec::new();
        while let Some(due) = entries.due().filter(|due| due.since(START) <= Duration::from_secs(secs)) {
            while entries.next(rng, due).is_some() {
                times.push(u64::try_from(due.since(START).as_millis()).unwrap_or(u64::MAX));
            }
        }
        times
    }

    // spec-test: DHT-131
    #[test]
    fn an_entry_peer_is_pinged_ever_more_seldom_and_from_the_beginning_when_nobody_is_heard() {
        let (mut entries, mut rng) = (Entries::default(), rng());
        entries.set(&[at(1)], START);
        let times = pings(&mut entries, &mut rng, 86_400);
        assert_eq!(times.get(..3), Some(&[0, 400, 1_000][..]));
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (n, gap) in gaps.iter().enumerate().skip(2) {
            let wanted = 600_000.min(1_000_u64 << (n - 2).min(20));
            assert!((wanted * 8 / 10..=wanted * 12 / 10).contains(gap), "{n}: {gap}");
        }
        assert!((145..=165).contains(&times.len()), "{}", times.len());
        assert!(gaps.windows(2).any(|pair| pair[0] != pair[1] && pair[0] > 400_000), "they are spread");
        entries.on_isolated(START + Duration::from_secs(100_000));
        let again = pings(&mut entries, &mut rng, 100_001);
        assert_eq!(again, [100_000_000, 100_000_400, 100_001_000]);
    }

    // spec-test: DHT-131
    #[test]
    fn whoever_slept_pings_once_and_whoever_starts_within_the_same_second_is_met() {
        let (mut entries, mut rng) = (Entries::default(), rng());
        entries.set(&[at(1)], START);
        let late = START + Duration::from_secs(50_000);
        assert_eq!(entries.next(&mut rng, late), Some((at(1), 0)));
        assert_eq!(entries.next(&mut rng, late), None);
        assert!(entries.due() > Some(late));
        let mut entries = Entries::default();
        entries.set(&[at(1)], START);
        let times = pings(&mut entries, &mut rng, 10);
        for seed_up_ms in 0..1_000 {
            assert!(times.iter().find(|time| **time >= seed_up_ms).is_some_and(|met| *met <= 1_000), "{seed_up_ms}");
        }
    }

    // spec-test: DHT-132
    #[test]
    fn who_answers_with_an_id_is_left_alone_and_who_answers_without_has_not_missed() {
        let (mut entries, mut rng) = (Entries::default(), rng());
        entries.set(&[at(1), at(2)], START);
        while entries.next(&mut rng, START).is_some() {}
        entries.on_answer(at(1), true, &mut rng, START);
        entries.on_answer(at(9), true, &mut rng, START);
        // The other one always answers at once, and serves only after a while.
        let mut now = START;
        let mut times = Vec::new();
        entries.on_answer(at(2), false, &mut rng, now);
        for _ in 0..6 {
            now = entries.due().expect("it is still asked");
            assert_eq!(entries.next(&mut rng, now), Some((at(2), 1)), "the first is left alone");
            times.push(now.since(START).as_secs());
            entries.on_answer(at(2), false, &mut rng, now);
        }
        assert_eq!(times.get(..3), Some(&[1, 6, 36][..]));
        assert!(times.windows(2).skip(2).all(|pair| (480..=720).contains(&(pair[1] - pair[0]))), "{times:?}");
        entries.on_answer(at(2), true, &mut rng, now);
        assert_eq!(entries.due(), None);
        entries.on_isolated(now);
        assert_eq!(entries.due(), Some(now));
        // One that fell silent after such an answer is asked each ten minutes.
        let mut entries = Entries::default();
        entries.set(&[at(1)], START);
        entries.on_answer(at(1), false, &mut rng, START);
        let times = pings(&mut entries, &mut rng, 3_600);
        assert!(times.len() <= 9 && times.first() == Some(&1_000), "{times:?}");
    }

    // spec-test: DHT-132
    #[test]
    fn sixteen_are_taken_with_a_number_each_that_they_keep() {
        let (mut entries, mut rng) = (Entries::default(), rng());
        let many: Vec<SocketAddr> = (0..40).map(at).chain([at(1), SocketAddr::from(([224, 0, 0, 1], 7))]).collect();
        entries.set(&many, START);
        assert_eq!(entries.addresses().collect::<Vec<_>>(), (1..=16).map(at).collect::<Vec<_>>(), "port 0 is nobody's");
        let mut numbers: Vec<_> = entries.addresses().map(|at| entries.number(at)).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq((0..16).map(Some)));
        while entries.next(&mut rng, START).is_some() {}
        entries.on_answer(at(9), true, &mut rng, START);
        let kept = entries.number(at(9));
        entries.set(&[at(30), at(9)], START + Duration::from_secs(9));
        assert_eq!((entries.number(at(9)), entries.number(at(1))), (kept, None));
        assert_ne!(entries.number(at(30)), kept);
        let now = START + Duration::from_secs(9);
        assert_eq!(entries.next(&mut rng, now).map(|(at, _)| at), Some(at(30)), "only who is new");
        assert_eq!(entries.next(&mut rng, now), None);
        let realm = |is_v6| Realm { is_v6, scope: Scope::Global };
        assert!(!entries.is_empty(realm(false)) && entries.is_empty(realm(true)) && Entries::default().is_empty(realm(false)));
    }

    proptest! {
        // spec-test: DHT-131
        #[test]
        fn whatever_happens_a_ping_goes_out_only_when_it_is_due_and_the_next_is_later(steps in prop::collection::vec((0_u8..5, 1_u16..20, any::<bool>(), 0_u64..100_000), 1..200)) {
            let (mut entries, mut rng) = (Entries::default(), rng());
            let mut now = START;
            for (what, n, flag, millis) in steps {
                now = now + Duration::from_millis(millis);
                match what {
                    0 => entries.set(&(n..n.saturating_add(20)).map(at).collect::<Vec<_>>(), now),
                    1 if n == 1 => entries.on_isolated(now),
                    1 | 2 => entries.on_answer(at(n), flag, &mut rng, now),
                    _ => {}
                }
                let due = entries.due();
                let mut count = 0;
                while let Some((to, number)) = entries.next(&mut rng, now) {
                    count += 1;
                    prop_assert_eq!(entries.number(to), Some(number));
                }
                prop_assert!(count <= ENTRIES_MAX && (count > 0) == due.is_some_and(|due| due <= now));
                prop_assert!(entries.due().is_none_or(|due| due > now) && entries.addresses().count() <= ENTRIES_MAX);
            }
        }
    }
}
