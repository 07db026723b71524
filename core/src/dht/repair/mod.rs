//! Repair: when one of the five that hold a record is another one, those who have the record see to it that it has it too
//! (spec: DHT-112).
//!
//! What is to be done is not queued: it is found again from which leaves there were and which there are, record by record,
//! so that a mass leave costs as little memory as one.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::home::{Home, Name};
use super::key::{Distance, Hint};
use super::leaf::{Five, HOLDERS, LeafSet};
use super::recent::Recent;
use crate::rng::Rng;
use crate::time::Time;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

/// Changes that are worked on at once; what changes meanwhile waits for the next walk.
const WALKS_MAX: usize = 4;
/// Checks whose answers are awaited.
const CHECKS_MAX: usize = 16;
/// A check without an answer is given up: longer than any time-out and its repetition.
const CHECK_LENGTH: Duration = Duration::from_secs(10);
/// The same record goes to the same server this often at most, and a server that comes back counts as new this often
/// (spec: DHT-114).
const AGAIN: Duration = Duration::from_secs(600);
/// As many pushes as 2 KiB a second let through in that time, at 600 bytes for a check and a push.
const PUSHES_MAX: usize = 2_048;
/// Servers that came lately.
const COMERS_MAX: usize = 64;
/// Bytes a second (spec: DHT-113).
const BYTES_PER_SECOND: u64 = 2_048;
/// What a check costs: a `get` with all its fields.
const CHECK_BYTES: u64 = 200;
/// What a push has beside its record.
const PUSH_BYTES: u64 = 240;
/// Records that are looked at in one call.
const STEPS_MAX: u32 = 256;

/// Ask this leaf whether it has the record; its number is what [`Repair::on_checked`] is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Check {
    pub(crate) number: u16,
    pub(crate) name: Name,
    pub(crate) to: Hint,
}

/// What came of a check, or of the push after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// It holds this number of it; `None` if nothing.
    Holds(Option<u64>),
    /// It did not answer, or did not take what was pushed.
    Failed,
}

/// Put this record to this leaf, with the token that it just gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Push {
    pub(crate) name: Name,
    pub(crate) to: Hint,
}

/// The repair of one realm's records. Nothing on the heap while the leaves stay the same, or nothing is held.
pub(crate) struct Repair {
    is_v6: bool,
    /// The leaves that the newest walk ends with.
    settled: Vec<Hint>,
    walks: Vec<Walk>,
    /// The leaves before the first change for which late records have still to be gone through.
    late: Option<Vec<Hint>>,
    checks: Vec<(Check, Time)>,
    /// Which records went where.
    pushed: Recent,
    /// The first to be over in front.
    comers: VecDeque<Comer>,
    /// When what was sent will have been paid for.
    paid: Time,
    numbers: u16,
}

/// A server that is not to count as new for a while.
struct Comer {
    hint: Hint,
    until: Time,
    /// Not all went well: then it counts as new again, even if it has stayed.
    is_owed: bool,
}

/// All records that are late, or all others, once for each rank, for one change of the leaves.
struct Walk {
    is_late: bool,
    own: Hint,
    before: Vec<Hint>,
    after: Vec<Hint>,
    /// When the records of the next rank are looked at, and how long the one after waits.
    from: Time,
    each: Duration,
    rank: u32,
    /// Behind which record to go on, and who was asked last about the next one, by the distance from it.
    done: Option<Name>,
    asked: Option<Distance>,
}

/// How long each rank waits: less where few servers are quickly done, at most 20 s (spec: DHT-112).
fn delay(servers: usize) -> Duration {
    let servers = u64::try_from(servers).unwrap_or(u64::MAX);
    Duration::from_millis(servers.saturating_mul(servers).saturating_mul(25).min(20_000))
}

impl Repair {
    /// For a realm of this family; `key` comes from the node's generator. Allocates nothing yet.
    pub(crate) const fn new(is_v6: bool, key: [u64; 2]) -> Self {
        Self {
            is_v6,
            settled: Vec::new(),
            walks: Vec::new(),
            late: None,
            checks: Vec::new(),
            pushed: Recent::new(key, AGAIN, PUSHES_MAX),
            comers: VecDeque::new(),
            paid: Time::ZERO,
            numbers: 0,
        }
    }

    /// Whom to ask about which record now; `None` if that has time. To be called until then whenever a leaf has joined or died,
    /// and when [`due`](Self::due) says so: the leaves themselves say what is to be done, so that changes that undo each other
    /// cost nothing. `servers` is how many are known, or what the estimate says.
    ///
    /// O(log n) for each record that is looked at, of which there are at most 256 a call.
    pub(crate) fn next(&mut self, leaves: &LeafSet, home: &Home, servers: usize, now: Time, rng: &mut Rng) -> Option<Check> {
        self.forget(leaves, now);
        self.begin(leaves, home, servers, now, rng);
        if now < self.paid || self.checks.len() >= CHECKS_MAX {
            return None;
        }
        let mut steps = STEPS_MAX;
        // The one that waits longest: none waits because another has much to do, but for late records, which all others precede.
        while steps > 0
            && let Some(walk) = self.walks.iter_mut().filter(|walk| walk.from <= now).min_by_key(|walk| (walk.is_late, walk.from))
        {
            let found = walk.next(self.is_v6, leaves, home, &mut steps);
            self.walks.retain(|walk| !walk.is_over());
            if let Some((name, to)) = found {
                if !self.pushed.has(&tag(&name, to), now) {
                    return Some(self.check(name, to, now));
                }
                self.on_failed(to, now);
            }
        }
        self.begin(leaves, home, servers, now, rng);
        None
    }

    /// When [`next`](Self::next) has something to do while the leaves stay the same; in the past when it had to stop early.
    pub(crate) fn due(&self) -> Option<Time> {
        let walks = self.walks.iter().map(|walk| walk.from).min().map(|from| from.max(self.paid));
        let places = if self.checks.len() < CHECKS_MAX { walks } else { self.checks.iter().map(|(_, until)| *until).min() };
        places.into_iter().chain(self.comers.front().map(|comer| comer.until)).min()
    }

    /// What a check has brought: what to push, if the leaf lacks the record or has an older one (spec: DHT-113).
    pub(crate) fn on_checked(&mut self, number: u16, answer: Answer, home: &Home, now: Time) -> Option<Push> {
        let index = self.checks.iter().position(|(check, _)| check.number == number)?;
        let (Check { name, to, .. }, _) = self.checks.remove(index);
        let Answer::Holds(theirs) = answer else {
            self.on_failed(to, now);
            return None;
        };
        let held = home.find(&name)?;
        if theirs.is_some_and(|theirs| theirs >= held.number()) {
            return None;
        }
        if self.pushed.has(&tag(&name, to), now) {
            self.on_failed(to, now);
            return None;
        }
        self.pushed.add(&tag(&name, to), now);
        self.pay(PUSH_BYTES.saturating_add(u64::try_from(held.json().len()).unwrap_or(u64::MAX)), now);
        Some(Push { name, to })
    }

    /// A leaf did not answer, or did not take a push: in ten minutes it counts as new again, if it is still there.
    pub(crate) fn on_failed(&mut self, to: Hint, now: Time) {
        self.comers.retain(|comer| comer.hint != to);
        self.put_off(to, true, now);
    }

    /// Whether nothing is to be done.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.walks.is_empty() && self.checks.is_empty()
    }

    /// Bytes of heap, at most 21 KiB.
    pub(crate) fn heap_bytes(&self) -> usize {
        let late = self.late.as_ref().map_or(0, Vec::capacity);
        let hints =
            late + self.settled.capacity() + self.walks.iter().map(|walk| walk.before.capacity() + walk.after.capacity()).sum::<usize>();
        hints * size_of::<Hint>()
            + self.walks.capacity() * size_of::<Walk>()
            + self.checks.capacity() * size_of::<(Check, Time)>()
            + self.comers.capacity() * size_of::<Comer>()
            + self.pushed.heap_bytes()
    }

    /// Begins a walk if there are other leaves than the newest one ends with; one at a time through what is late, for all changes
    /// since the last one.
    fn begin(&mut self, leaves: &LeafSet, home: &Home, servers: usize, now: Time, rng: &mut Rng) {
        if self.walks.iter().filter(|walk| !walk.is_late).count() < WALKS_MAX {
            self.begin_early(leaves, home, servers, now, rng);
        }
        if self.walks.iter().all(|walk| !walk.is_late)
            && let Some(before) = self.late.take()
            && home.after(None).any(|(name, held)| home.is_late(name, held))
        {
            let after = self.settled.clone();
            self.walks.push(Walk::new(true, leaves.own(), (before, after), delay(servers), now, rng));
        }
    }

    fn begin_early(&mut self, leaves: &LeafSet, home: &Home, servers: usize, now: Time, rng: &mut Rng) {
        let is_settled = |hint: Hint| self.settled.binary_search(&hint).is_ok();
        let is_early = |hint: Hint| !is_settled(hint) && self.comers.iter().any(|comer| comer.hint == hint);
        let mut after: Vec<Hint> = leaves.hints().filter(|hint| !is_early(*hint)).collect();
        after.sort_unstable();
        if after == self.settled {
            return;
        }
        let before = core::mem::replace(&mut self.settled, after.clone());
        for comer in after.iter().filter(|hint| before.binary_search(hint).is_err()) {
            self.put_off(*comer, false, now);
        }
        if !home.is_empty() {
            self.late.get_or_insert_with(|| before.clone());
            self.walks.push(Walk::new(false, leaves.own(), (before, after), delay(servers), now, rng));
        }
    }

    /// It will not count as new for ten minutes.
    fn put_off(&mut self, hint: Hint, is_owed: bool, now: Time) {
        if self.comers.len() >= COMERS_MAX {
            self.comers.pop_front();
        }
        self.comers.push_back(Comer { hint, until: now + AGAIN, is_owed });
    }

    /// Drops what is over: checks without an answer, and who may count as new again.
    fn forget(&mut self, leaves: &LeafSet, now: Time) {
        while let Some((check, _)) = self.checks.first().filter(|(_, until)| *until <= now) {
            let to = check.to;
            self.checks.remove(0);
            self.on_failed(to, now);
        }
        while let Some(comer) = self.comers.front().filter(|comer| comer.until <= now) {
            let is_new = comer.is_owed && leaves.find(comer.hint).is_some();
            let hint = comer.hint;
            self.comers.pop_front();
            if is_new {
                self.settled.retain(|settled| *settled != hint);
            }
        }
        if self.comers.is_empty() && self.checks.is_empty() && self.walks.is_empty() {
            (self.comers, self.checks, self.walks) = (VecDeque::new(), Vec::new(), Vec::new());
        }
    }

    fn check(&mut self, name: Name, to: Hint, now: Time) -> Check {
        self.numbers = self.numbers.wrapping_add(1);
        let check = Check { number: self.numbers, name, to };
        self.checks.push((check, now + CHECK_LENGTH));
        self.pay(CHECK_BYTES, now);
        check
    }

    fn pay(&mut self, bytes: u64, now: Time) {
        self.paid = self.paid.max(now) + Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND);
    }
}

impl Walk {
    fn new(is_late: bool, own: Hint, (before, after): (Vec<Hint>, Vec<Hint>), each: Duration, now: Time, rng: &mut Rng) -> Self {
        Self { is_late, own, before, after, from: now + random(each, rng), each, rank: 0, done: None, asked: None }
    }

    /// The next record of this rank that somebody is to be asked about, and whom.
    fn next(&mut self, is_v6: bool, leaves: &LeafSet, home: &Home, steps: &mut u32) -> Option<(Name, Hint)> {
        while *steps > 0 {
            let Some((name, held)) = home.after(self.done.as_ref()).next() else {
                self.rank = self.rank.saturating_add(1);
                (self.done, self.asked) = (None, None);
                self.from = self.from + self.each;
                return None;
            };
            *steps -= 1;
            let is_ours = held.is_in(is_v6) && home.is_late(name, held) == self.is_late;
            let new = if is_ours { self.newcomer(name.home.hint(), leaves) } else { None };
            if let Some(to) = new {
                self.asked = Some(to.distance(name.home.hint()));
                return Some((*name, to));
            }
            (self.done, self.asked) = (Some(*name), None);
        }
        None
    }

    /// The next server who is one of a home's five now and was not before, and lives; `None` if ours is another rank.
    fn newcomer(&self, home: Hint, leaves: &LeafSet) -> Option<Hint> {
        let five = |leaves: &[Hint]| Five::of(home, leaves.iter().copied().chain([self.own]));
        let after = five(&self.after);
        if after.rank(self.own) != Some(self.rank) {
            return None;
        }
        let before = five(&self.before);
        let is_new = |hint: &Hint| before.rank(*hint).is_none() && *hint != self.own && leaves.find(*hint).is_some();
        after.iter().filter(|hint| self.asked.is_none_or(|asked| hint.distance(home) > asked)).find(is_new)
    }

    fn is_over(&self) -> bool {
        usize::try_from(self.rank).unwrap_or(HOLDERS) >= HOLDERS
    }
}

fn random(length: Duration, rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.below(u64::try_from(length.as_micros()).unwrap_or(u64::MAX)))
}

/// A record and a server, for [`Recent`].
fn tag(name: &Name, to: Hint) -> [u8; 58] {
    let mut tag = [0; 58];
    for (slot, byte) in tag.iter_mut().zip(name.to_bytes().into_iter().chain(to.to_bytes())) {
        *slot = byte;
    }
    tag
}
