//! When a node looks for its own neighbourhood and for far parts of the network, and when it stores what it knows
//! (spec: DHT-137, DHT-138).

use core::time::Duration;

use super::entries::spread;
use super::estimate::Size;
use super::key::Key;
use super::log2::ONE;
use crate::rng::Rng;
use crate::time::Time;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// Look up the own id; `with_id` if others are to learn of this node thereby.
    OwnLookUp { with_id: bool },
    /// Look up this point of a far bucket.
    FarLookUp { target: Key },
    /// Store the table and what the node knows of itself.
    Store,
}

/// A join that nobody answered is tried again after this (guess: as long as a crowd takes to pass a busy entry peer).
const JOIN_AGAIN: Duration = Duration::from_secs(4);
/// After it began to serve a node looks up itself at 0, 1, 2, 4, 16, 64 and 256 s, then each quarter of an hour ± 20 %.
const OWN_FIRST: Duration = Duration::from_secs(1);
/// Small networks come into being within these seconds; from then on each time is four times as late.
const OWN_DOUBLED: Duration = Duration::from_secs(4);
const OWN_LAST: Duration = Duration::from_secs(300);
/// Who kept its neighbours over a restart looks itself up as the doubling would, but from somewhen between its 16 and 64 s on.
const KEPT_FROM: Duration = Duration::from_secs(16);
const KEPT_SPREAD_MS: u64 = 48_000;
const ROUND_MS: u64 = 900_000;
/// One thin bucket is looked up so long after the one before (measured: with 4 and 8 s a node has spoken to all 60 addresses that
/// it may after 30 s, spec: DHT-74).
const FILL_EACH: Duration = Duration::from_secs(10);
/// Where no router counts whom a node speaks to: outside the global realms (measured: of 200 nodes on one machine that begin
/// within a second some still end their look-ups in the wrong quarter after five, with 10 s).
const FILL_EACH_NEAR: Duration = Duration::from_secs(1);
/// The table is stored this often.
const STORE_EACH: Duration = Duration::from_secs(600);

/// One realm's schedule. 96 bytes.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// The next look-up of the own id; of who does not serve only the one with which it joins.
    own: Option<Time>,
    far: Option<Time>,
    /// When the next thin bucket is looked up, and the first that may be it.
    fill: Option<(Time, usize)>,
    store: Time,
    /// When it began to serve, and how far the doubling has come.
    serving: Option<(Time, Duration)>,
    /// It serves among neighbours from before a restart, none of which is known to be gone.
    is_among_kept: bool,
    has_joined: bool,
    is_global: bool,
    /// How long it waits before it joins again, if nobody answers.
    again: Duration,
}

impl Upkeep {
    /// Of a node that starts now.
    pub(crate) fn new(is_global: bool, now: Time) -> Self {
        Self {
            own: None,
            far: None,
            fill: None,
            store: now + STORE_EACH,
            serving: None,
            is_among_kept: false,
            has_joined: false,
            is_global,
            again: JOIN_AGAIN,
        }
    }

    /// There is somebody to ask: an entry peer has answered, or a table was restored. The first time a node joins.
    pub(crate) fn on_contact(&mut self, now: Time) {
        if !core::mem::replace(&mut self.has_joined, true) && self.own.is_none() {
            self.own = Some(now);
        }
    }

    /// A look-up of the own id has ended with so many answers. Without any, whom it asked may have too much to do: the node
    /// joins with the next contact, or some seconds later, each time twice as many. With some, who serves fills its table.
    pub(crate) fn on_own_look_up(&mut self, answers: usize, now: Time) {
        self.has_joined = answers > 0;
        if self.has_joined {
            self.again = JOIN_AGAIN;
            if self.serving.is_some() {
                self.fill.get_or_insert((now, 0));
            }
        } else if self.own.is_none() {
            self.own = Some(now + self.again);
            self.again = self.again.saturating_mul(2).min(OWN_LAST);
        }
    }

    /// The sockets are others, or nobody was heard for long: the node joins anew with the next contact.
    pub(crate) const fn on_lost(&mut self) {
        self.has_joined = false;
    }

    /// The node serves from now on, and has those whom it asks learn of it: at once, unless it has `kept_neighbours` from before
    /// a restart, who know it as it knows them.
    pub(crate) fn on_begin_serving(&mut self, kept_neighbours: bool, rng: &mut Rng, now: Time) {
        self.begin(now);
        if kept_neighbours {
            let by_chance = Duration::from_millis(rng.below(KEPT_SPREAD_MS));
            (self.is_among_kept, self.own) = (true, Some(now + KEPT_FROM + by_chance));
        }
        self.far = Some(now + spread(ROUND_MS, rng));
        self.store = now;
    }

    /// A neighbour is gone. If it was one from before a restart, the neighbourhood is another: it is looked up as by a newcomer.
    pub(crate) const fn on_neighbour_gone(&mut self, now: Time) {
        if self.is_among_kept {
            self.begin(now);
        }
    }

    /// It does not any more.
    pub(crate) const fn on_end_serving(&mut self, now: Time) {
        (self.serving, self.own, self.far, self.fill, self.store) = (None, None, None, None, now);
        self.is_among_kept = false;
    }

    const fn begin(&mut self, now: Time) {
        (self.serving, self.own, self.is_among_kept) = (Some((now, Duration::ZERO)), Some(now), false);
    }

    /// When [`next`](Self::next) has something again.
    pub(crate) fn due(&self) -> Time {
        [self.own, self.far, self.fill.map(|(at, _)| at)].into_iter().flatten().fold(self.store, Time::min)
    }

    /// What is to be done now; to be asked until there is nothing. `own` is the id or whatever the table is around; `is_thin`
    /// says whether few of a bucket are known.
    pub(crate) fn next(&mut self, own: &Key, size: Size, is_thin: impl Fn(usize) -> bool, rng: &mut Rng, now: Time) -> Option<Task> {
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if is_due(self.own) {
            self.own = self.own_after(rng, now);
            return Some(Task::OwnLookUp { with_id: self.serving.is_some() });
        }
        if self.store <= now {
            self.store = now + STORE_EACH;
            return Some(Task::Store);
        }
        if is_due(self.far) {
            self.far = Some(now + spread(ROUND_MS, rng));
            return Some(Task::FarLookUp { target: far_target(own, size, rng) });
        }
        let (_, from) = self.fill.filter(|(at, _)| *at <= now)?;
        let thin = (from..crowded_buckets(size)).find(|bucket| is_thin(*bucket));
        let each = if self.is_global { FILL_EACH } else { FILL_EACH_NEAR };
        self.fill = thin.map(|bucket| (now + each, bucket.saturating_add(1)));
        thin.map(|bucket| Task::FarLookUp { target: point_in(bucket, own, rng) })
    }

    fn own_after(&mut self, rng: &mut Rng, now: Time) -> Option<Time> {
        let (began, passed) = self.serving.as_mut()?;
        self.is_among_kept = false;
        // Turns that were slept through are not made up for.
        loop {
            let times = if *passed < OWN_DOUBLED { 2 } else { 4 };
            *passed = passed.saturating_mul(times).max(OWN_FIRST);
            if *passed > OWN_LAST {
                return Some(now + spread(ROUND_MS, rng));
            }
            let at = *began + *passed;
            if at > now {
                return Some(at);
            }
        }
    }
}

/// How many buckets, the farthest ones, the network has about sixteen nodes or more for; whoever knows eight looks in the
/// farthest one, since there may be more than it knows.
fn crowded_buckets(size: Size) -> usize {
    const EIGHT: u32 = 3 * ONE;
    let at_least = u32::from(size.log2() >= EIGHT);
    usize::try_from((size.log2().saturating_sub(EIGHT + ONE) / ONE).clamp(at_least, 31)).unwrap_or_default()
}

/// A point by chance in a bucket by chance, of those that are farther than where the network has about eight nodes.
fn far_target(own: &Key, size: Size, rng: &mut Rng) -> Key {
    const EIGHT: u32 = 3 * ONE;
    let buckets = (size.log2().saturating_sub(EIGHT) / ONE).clamp(1, 31);
    point_in(usize::try_from(rng.below(buckets.into())).unwrap_or_default(), own, rng)
}

/// A point by chance in the bucket of those that share so many bits with the own id.
fn point_in(shared: usize, own: &Key, rng: &mut Rng) -> Key {
    let mut target: [u8; 32] = rng.array();
    for (index, (slot, byte)) in target.iter_mut().zip(own.as_bytes()).enumerate() {
        // How many of this byte's bits lie before the one in which both part.
        let before = u32::try_from(shared.saturating_sub(index.saturating_mul(8))).unwrap_or(u32::MAX);
        let kept = !0xFF_u8.checked_shr(before).unwrap_or(0);
        let parts = shared / 8 == index;
        let turned = if parts { 0x80_u8 >> (shared % 8) } else { 0 };
        let mask = kept | turned;
        *slot = (*slot & !mask) | ((byte ^ turned) & mask);
    }
    Key::from_bytes(target)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::rng::Seed;

    const START: Time = Time::from_secs(1_000);
    const OWN: Key = Key::from_bytes([0b1010_0101; 32]);

    fn rng() -> Rng {
        Rng::from_seed(&Seed::from_bytes([5; 32]))
    }

    fn secs(n: u64) -> Time {
        START + Duration::from_secs(n)
    }

    /// What is done up to `to`, and when.
    fn run(upkeep: &mut Upkeep, rng: &mut Rng, to: Time) -> Vec<(u64, Task)> {
        let mut done = Vec::new();
        while upkeep.due() <= to {
            let now = upkeep.due();
            while let Some(task) = upkeep.next(&OWN, Size::of(1_000_000), |_| false, rng, now) {
                done.push((now.since(START).as_secs(), task));
            }
        }
        done
    }

    fn own(done: &[(u64, Task)], with_id: bool) -> Vec<u64> {
        done.iter().filter(|(_, task)| *task == Task::OwnLookUp { with_id }).map(|(at, _)| *at).collect()
    }

    // spec-test: DHT-137
    #[test]
    fn a_node_joins_once_as_a_client_and_looks_again_with_its_id_when_it_serves() {
        let (mut upkeep, mut rng) = (Upkeep::new(true, START), rng());
        assert_eq!(own(&run(&mut upkeep, &mut rng, secs(50)), false), [0; 0], "nobody is known");
        upkeep.on_contact(secs(50));
        upkeep.on_contact(secs(51));
        upkeep.on_own_look_up(3, secs(51));
        upkeep.on_contact(secs(52));
        let done = run(&mut upkeep, &mut rng, secs(9_000));
        assert_eq!((own(&done, false), own(&done, true)), (alloc::vec![50], Vec::new()), "once");
        assert!(!done.iter().any(|(_, task)| matches!(task, Task::FarLookUp { .. })));
        upkeep.on_begin_serving(false, &mut rng, secs(10_000));
        let done = run(&mut upkeep, &mut rng, secs(10_000 + 86_400));
        let times = own(&done, true);
        assert_eq!(times.get(..7), Some(&[0, 1, 2, 4, 16, 64, 256].map(|after| 10_000 + after)[..]));
        assert!(times.windows(2).skip(6).all(|pair| (720..=1_080).contains(&(pair[1] - pair[0]))), "{times:?}");
        let far = done.iter().filter(|(_, task)| matches!(task, Task::FarLookUp { .. })).count();
        assert!((90..=102).contains(&far) && (97..=109).contains(&times.len()), "{far} {}", times.len());
        upkeep.on_end_serving(secs(100_000));
        assert_eq!(own(&run(&mut upkeep, &mut rng, secs(200_000)), true), [0; 0]);
    }

    // spec-test: DHT-137
    #[test]
    fn a_join_that_nobody_answers_is_tried_again_ever_later_until_somebody_does() {
        let (mut upkeep, mut rng) = (Upkeep::new(true, START), rng());
        upkeep.on_contact(START);
        let mut times = Vec::new();
        while times.len() < 9 {
            let now = upkeep.due();
            let tasks: Vec<Task> = core::iter::from_fn(|| upkeep.next(&OWN, Size::of(9), |_| true, &mut rng, now)).collect();
            if tasks.contains(&Task::OwnLookUp { with_id: false }) {
                times.push(now.since(START).as_secs());
                // Another contact meanwhile does not hasten it.
                upkeep.on_own_look_up(0, now);
                upkeep.on_contact(now);
            }
        }
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, [4, 8, 16, 32, 64, 128, 256, 300]);
        let now = upkeep.due().max(secs(9_000));
        run(&mut upkeep, &mut rng, now);
        upkeep.on_own_look_up(2, now);
        let done = run(&mut upkeep, &mut rng, now + Duration::from_secs(9_000));
        assert!(own(&done, false).is_empty() && !done.iter().any(|(_, task)| matches!(task, Task::FarLookUp { .. })), "a client");
        upkeep.on_lost();
        upkeep.on_contact(secs(30_000));
        assert_eq!(own(&run(&mut upkeep, &mut rng, secs(30_000)), false), [30_000]);
        upkeep.on_own_look_up(0, secs(30_000));
        assert_eq!(upkeep.due(), secs(30_004), "from the beginning");
    }

    // spec-test: DHT-137
    #[test]
    fn turns_that_were_slept_through_come_once() {
        let (mut upkeep, mut rng) = (Upkeep::new(true, START), rng());
        upkeep.on_begin_serving(false, &mut rng, secs(40));
        let now = secs(40 + 100);
        let tasks: Vec<Task> = core::iter::from_fn(|| upkeep.next(&OWN, Size::of(9), |_| true, &mut rng, now)).collect();
        assert_eq!(tasks, [Task::OwnLookUp { with_id: true }, Task::Store]);
        assert_eq!(upkeep.due(), secs(40 + 256));
    }

    // spec-test: DHT-137
    #[test]
    fn who_kept_its_neighbours_over_a_restart_looks_itself_up_later_and_at_once_if_one_of_them_is_gone() {
        let begun = |rng: &mut Rng| {
            let mut upkeep = Upkeep::new(true, START);
            upkeep.on_contact(START);
            upkeep.on_begin_serving(true, rng, START);
            upkeep
        };
        let mut rng = rng();
        let mut firsts = alloc::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut upkeep = begun(&mut rng);
            let done = run(&mut upkeep, &mut rng, secs(300));
            let times = own(&done, true);
            let [first, 64, 256] = times[..] else { panic!("{times:?}") };
            firsts.insert(first);
            assert_eq!(own(&done, false), [0; 0]);
            upkeep.on_neighbour_gone(secs(300));
            assert!(own(&run(&mut upkeep, &mut rng, secs(310)), true).is_empty(), "it has looked since");
        }
        assert!(firsts.len() > 30 && firsts.iter().all(|first| (16..64).contains(first)), "{firsts:?}");
        let mut upkeep = begun(&mut rng);
        upkeep.on_neighbour_gone(secs(2));
        upkeep.on_neighbour_gone(secs(3));
        assert_eq!(own(&run(&mut upkeep, &mut rng, secs(299)), true), [2, 3, 4, 6, 18, 66, 258]);
        let mut upkeep = begun(&mut rng);
        upkeep.on_end_serving(secs(1));
        upkeep.on_neighbour_gone(secs(2));
        assert_eq!(own(&run(&mut upkeep, &mut rng, secs(299)), true), [0; 0]);
    }

    // spec-test: DHT-137
    #[test]
    fn who_serves_looks_up_thin_buckets_one_after_the_other_that_the_network_has_enough_nodes_for() {
        let fill_in = |is_global: bool, nodes: usize, thin: &[usize]| {
            let (mut upkeep, mut rng) = (Upkeep::new(is_global, START), rng());
            upkeep.on_begin_serving(false, &mut rng, START);
            let mut looked = Vec::new();
            upkeep.on_own_look_up(1, START);
            // One that ends meanwhile begins nothing anew.
            upkeep.on_own_look_up(1, START);
            while upkeep.due() < secs(300) {
                let now = upkeep.due();
                while let Some(task) = upkeep.next(&OWN, Size::of(nodes), |bucket| thin.contains(&bucket), &mut rng, now) {
                    if let Task::FarLookUp { target } = task {
                        looked.push((now.since(START).as_secs(), target.hint().shared_bits(OWN.hint())));
                    }
                }
            }
            looked
        };
        let fill = |nodes, thin: &[usize]| fill_in(true, nodes, thin);
        let all: Vec<usize> = (0..32).collect();
        assert_eq!(fill_in(false, 128, &all), [(0, 0), (1, 1), (2, 2)], "no router is there to be spared");
        assert_eq!(fill(1_024, &all), [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4), (50, 5)], "16 of 1,024 part at the sixth bit");
        assert_eq!(fill(1_024, &[1, 4, 9]), [(0, 1), (10, 4)]);
        assert_eq!(fill(1_024, &[]), []);
        assert_eq!((fill(8, &all), fill(7, &all)), (alloc::vec![(0, 0)], Vec::new()));
    }

    // spec-test: DHT-137
    #[test]
    fn a_far_look_up_goes_to_a_point_by_chance_in_a_bucket_by_chance() {
        let mut rng = rng();
        for (nodes, deepest) in [(1, 0), (8, 0), (17, 0), (64, 2), (1_000_000, 15)] {
            let mut met = [0_u32; 64];
            let mut points = alloc::collections::BTreeSet::new();
            for _ in 0..4_000 {
                let target = far_target(&OWN, Size::of(nodes), &mut rng);
                let shared = target.hint().shared_bits(OWN.hint());
                met[usize::try_from(shared).unwrap_or_default()] += 1;
                points.insert(target);
            }
            assert!(met[deepest + 1..].iter().all(|count| *count == 0), "{nodes}: {met:?}");
            let each = 4_000 / u32::try_from(deepest + 1).unwrap_or(1);
            assert!(met[..=deepest].iter().all(|count| (each * 2 / 3..=each * 4 / 3).contains(count)), "{nodes}: {met:?}");
            assert_eq!(points.len(), 4_000);
        }
    }

    // spec-test: DHT-138
    #[test]
    fn what_is_known_is_stored_each_ten_minutes_and_when_the_role_changes() {
        let (mut upkeep, mut rng) = (Upkeep::new(true, START), rng());
        let stores = |upkeep: &mut Upkeep, rng: &mut Rng, to: u64| {
            let done = run(upkeep, rng, secs(to)).into_iter();
            done.filter(|(_, task)| *task == Task::Store).map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(stores(&mut upkeep, &mut rng, 1_250), [600, 1_200]);
        upkeep.on_begin_serving(false, &mut rng, secs(1_300));
        assert_eq!(stores(&mut upkeep, &mut rng, 1_899), [1_300]);
        upkeep.on_end_serving(secs(1_899));
        assert_eq!(stores(&mut upkeep, &mut rng, 2_499), [1_899, 2_499]);
    }

    proptest! {
        // spec-test: DHT-137
        #[test]
        fn whatever_happens_what_was_done_is_due_later(steps in prop::collection::vec((0_u8..8, 0_u64..400_000), 1..200)) {
            let (mut upkeep, mut rng) = (Upkeep::new(true, START), rng());
            let (mut now, mut serves) = (START, false);
            for (what, millis) in steps {
                now = now + Duration::from_millis(millis);
                match what {
                    0 => upkeep.on_contact(now),
                    1 => upkeep.on_own_look_up(usize::from(millis % 2 == 0), now),
                    2 => upkeep.on_lost(),
                    3 if !serves => (serves, ()) = (true, upkeep.on_begin_serving(false, &mut rng, now)),
                    4 if serves => (serves, ()) = (false, upkeep.on_end_serving(now)),
                    _ => {}
                }
                let (due, fills) = (upkeep.due(), upkeep.fill.is_some());
                let tasks: Vec<Task> = core::iter::from_fn(|| upkeep.next(&OWN, Size::of(99), |_| true, &mut rng, now)).take(9).collect();
                // Of thin buckets there may be none left.
                prop_assert!(tasks.len() <= 4 && (tasks.is_empty() == (due > now) || (tasks.is_empty() && fills)));
                prop_assert!(upkeep.due() > now);
                for task in tasks {
                    if let Task::OwnLookUp { with_id } = task {
                        prop_assert_eq!(with_id, serves);
                    }
                }
            }
        }
    }
}
