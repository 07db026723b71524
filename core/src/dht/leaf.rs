//! The leaf set: the nearest servers to one's own id, whose keys are proven and whose deaths are seen soon (spec: DHT-109).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::id;
use super::key::{Hint, Key};
use super::realm::Realm;
use super::table::Broken;
use crate::address::{plain, plain_socket};
use crate::id::NodeKey;
use crate::rng::Rng;
use crate::time::Time;

/// How many servers it has.
pub(crate) const LEAVES_MAX: usize = 16;
/// How many hold a record.
pub(crate) const HOLDERS: usize = 5;
/// How many wait for their key to be proven.
const CANDIDATES_MAX: usize = 16;
/// One of the nearest eight leaves is asked this often, give or take a fifth, and another one half as often: the five that hold a record
/// are most often among those (spec: DHT-110; measured: a tenth of what a server sends in all).
const PING_MICROS: u64 = 60_000_000;
const NEAR: usize = 8;
const PING_SPREAD: u64 = PING_MICROS / 5;
/// Who did not answer is asked again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// So many misses in a row are a death.
const MISSES_MAX: u8 = 3;
/// Who could not prove its key is not asked again for this long (guess: as long as a cookie lasts at most).
const REFUTED: Duration = Duration::from_secs(600);
/// A hello costs both sides an agreement: four a second, 16 at once (spec: DHT-109).
const HELLO_EACH: Duration = Duration::from_millis(250);
const HELLO_BURST: Duration = Duration::from_millis(250 * 16);

/// A server whose key is proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leaf {
    pub(crate) id: Key,
    pub(crate) key: NodeKey,
    pub(crate) at: SocketAddr,
}

/// Whom to ask what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// To prove its key.
    Hello { hint: Hint, at: SocketAddr },
    /// Whether it is there.
    Alive { hint: Hint, at: SocketAddr },
}

/// The leaf set of one realm.
pub(crate) struct LeafSet {
    realm: Realm,
    own: Hint,
    /// Nearest first.
    leaves: Vec<Packed>,
    candidates: Vec<Candidate>,
    /// When all hellos so far will have been paid for.
    paid: Time,
}

/// The only format of stored leaves, and how long one of them is in it (spec: DHT-116).
const FORMAT: u8 = 0x01;
const STORED_BYTES: usize = 82;

/// The leaves that [`LeafSet::store`] gave, for [`LeafSet::restore`].
///
/// # Errors
/// [`Broken`] for another format, or what is not whole.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Leaf>, Broken> {
    let (count, rows) = match bytes {
        [FORMAT, count, rows @ ..] => (*count, rows),
        [FORMAT] | [] => return Err(Broken::Content),
        [other, ..] => return Err(Broken::Format(*other)),
    };
    let (rows, behind) = rows.as_chunks::<STORED_BYTES>();
    if !behind.is_empty() || rows.len() != usize::from(count) || rows.len() > LEAVES_MAX {
        return Err(Broken::Content);
    }
    rows.iter().map(|row| stored(row).ok_or(Broken::Content)).collect()
}

fn stored(row: &[u8]) -> Option<Leaf> {
    let (id, rest) = row.split_first_chunk::<32>()?;
    let (key, rest) = rest.split_first_chunk::<32>()?;
    let (ip, rest) = rest.split_first_chunk::<16>()?;
    let port = u16::from_be_bytes(*rest.first_chunk()?);
    let at = SocketAddr::new(plain(Ipv6Addr::from(*ip).into()), port);
    Some(Leaf { id: Key::from_bytes(*id), key: NodeKey::from_bytes(*key), at })
}

/// A leaf without gaps: 91 bytes.
#[derive(Clone, Copy)]
struct Packed {
    id: [u8; 32],
    key: [u8; 32],
    ip: [u8; 16],
    port: [u8; 2],
    due: [u8; 8],
    misses: u8,
}

/// A server near enough whose key is not proven yet.
#[derive(Clone, Copy)]
struct Candidate {
    hint: Hint,
    at: SocketAddr,
    /// When it is asked (again), or forgotten.
    due: Time,
    /// How often it was asked; with all it was given up.
    tries: u8,
}

impl LeafSet {
    /// An empty one around the own id. Allocates nothing yet.
    pub(crate) const fn new(realm: Realm, own: Hint) -> Self {
        Self { realm, own, leaves: Vec::new(), candidates: Vec::new(), paid: Time::ZERO }
    }

    /// The own hint.
    pub(crate) const fn own(&self) -> Hint {
        self.own
    }

    /// How many are proven.
    pub(crate) fn len(&self) -> usize {
        self.leaves.len()
    }

    /// The leaves, nearest first.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Leaf> + '_ {
        self.leaves.iter().map(Packed::unpack)
    }

    /// Their hints, nearest first.
    pub(crate) fn hints(&self) -> impl Iterator<Item = Hint> + Clone + '_ {
        self.leaves.iter().map(Packed::hint)
    }

    /// The leaf with this hint.
    pub(crate) fn find(&self, hint: Hint) -> Option<Leaf> {
        self.leaves.iter().find(|leaf| leaf.hint() == hint).map(Packed::unpack)
    }

    /// Whether one of them is at this address, which is without IPv6 clothes.
    pub(crate) fn has_at(&self, at: SocketAddr) -> bool {
        let (ip, port) = packed(at);
        self.leaves.iter().any(|leaf| leaf.port == port && leaf.ip == ip)
    }

    /// The nearest five to a target, of the leaves and ourselves.
    #[cfg(test)]
    pub(crate) fn five(&self, target: Hint) -> Five {
        Five::of(target, self.hints().chain([self.own]))
    }

    /// A server has answered: whether it is wanted as a leaf, so that it will be asked to prove its key (spec: DHT-109).
    pub(crate) fn offer(&mut self, hint: Hint, at: SocketAddr, now: Time) -> bool {
        let at = plain_socket(at);
        if !self.wants(hint) || !self.realm.takes(hint, at) {
            return false;
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            // Who was given up goes first, then the farthest.
            let own = self.own;
            let rank = |known: &Candidate| (known.tries >= MISSES_MAX, known.hint.distance(own));
            let worst = self.candidates.iter().enumerate().max_by_key(|(_, known)| rank(known)).map(|(index, known)| (index, rank(known)));
            let Some((index, worst)) = worst else { return false };
            if worst <= (false, hint.distance(own)) {
                return false;
            }
            self.candidates.swap_remove(index);
        }
        self.candidates.push(Candidate { hint, at, due: now, tries: 0 });
        true
    }

    /// Whether it would be one of the leaves, and was not asked for its key yet.
    pub(crate) fn wants(&self, hint: Hint) -> bool {
        let is_known = self.leaves.iter().any(|leaf| leaf.hint() == hint) || self.candidates.iter().any(|known| known.hint == hint);
        !is_known && hint != self.own && self.is_near(hint)
    }

    /// A leaf of before a restart. It is asked at once whether it is there.
    pub(crate) fn restore(&mut self, leaf: &Leaf, now: Time) -> bool {
        let hint = leaf.id.hint();
        let fits = self.realm.takes(hint, leaf.at) && id::is_of(&leaf.id, &leaf.key, leaf.at);
        let is_taken = fits && hint != self.own && self.is_near(hint) && self.find(hint).is_none();
        if is_taken {
            self.insert(leaf, now);
        }
        is_taken
    }

    /// As bytes: 1, how many there are, and of each its id, key, ip (IPv4 in IPv6 clothes) and port.
    pub(crate) fn store(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.leaves.len().saturating_mul(STORED_BYTES).saturating_add(2));
        out.extend_from_slice(&[FORMAT, u8::try_from(self.leaves.len()).unwrap_or(u8::MAX)]);
        for leaf in &self.leaves {
            out.extend_from_slice(&leaf.id);
            out.extend_from_slice(&leaf.key);
            out.extend_from_slice(&leaf.ip);
            out.extend_from_slice(&leaf.port);
        }
        out
    }

    /// Whom to ask now; `None` if nobody is due.
    pub(crate) fn next(&mut self, now: Time) -> Option<Ask> {
        self.candidates.retain(|known| known.tries < MISSES_MAX || known.due > now);
        if let Some(leaf) = self.leaves.iter_mut().filter(|leaf| leaf.due() <= now).min_by_key(|leaf| leaf.due()) {
            leaf.set_due(now + AGAIN);
            return Some(Ask::Alive { hint: leaf.hint(), at: leaf.unpack().at });
        }
        if now < self.hello_from() {
            return None;
        }
        let own = self.own;
        let waiting = self.candidates.iter_mut().filter(|known| known.due <= now);
        let known = waiting.min_by_key(|known| known.hint.distance(own))?;
        known.tries = known.tries.saturating_add(1);
        known.due = now + if known.tries < MISSES_MAX { AGAIN } else { REFUTED };
        self.paid = self.paid.max(now) + HELLO_EACH;
        Some(Ask::Hello { hint: known.hint, at: known.at })
    }

    /// When [`next`](Self::next) has something.
    pub(crate) fn due(&self) -> Option<Time> {
        let leaves = self.leaves.iter().map(Packed::due).min();
        let candidates =
            self.candidates.iter().map(|known| if known.tries < MISSES_MAX { known.due.max(self.hello_from()) } else { known.due });
        leaves.into_iter().chain(candidates.min()).min()
    }

    /// A server has proven, from the address that was asked, that this id is of this key: whether it is a new leaf, which
    /// is what repair goes by. The farthest makes room.
    pub(crate) fn on_proven(&mut self, leaf: &Leaf, now: Time, rng: &mut Rng) -> bool {
        let hint = leaf.id.hint();
        let count = self.candidates.len();
        self.candidates.retain(|known| known.hint != hint);
        let was_asked = self.candidates.len() < count;
        if !was_asked || self.find(hint).is_some() || !self.is_near(hint) {
            return false;
        }
        self.insert(leaf, ping_at(0, now, rng));
        true
    }

    /// It could not, or had another id.
    pub(crate) fn on_refuted(&mut self, hint: Hint, now: Time) {
        if let Some(known) = self.candidates.iter_mut().find(|known| known.hint == hint) {
            (known.tries, known.due) = (MISSES_MAX, now + REFUTED);
        }
    }

    /// It has had too many to prove its key to: that says nothing of it.
    pub(crate) fn on_busy(&mut self, hint: Hint, now: Time) {
        if let Some(known) = self.candidates.iter_mut().find(|known| known.hint == hint) {
            (known.tries, known.due) = (known.tries.saturating_sub(1), now + AGAIN);
        }
    }

    /// A leaf has answered whatever it was asked.
    pub(crate) fn on_alive(&mut self, hint: Hint, now: Time, rng: &mut Rng) {
        if let Some((rank, leaf)) = self.leaves.iter_mut().enumerate().find(|(_, leaf)| leaf.hint() == hint) {
            leaf.misses = 0;
            leaf.set_due(ping_at(rank, now, rng));
        }
    }

    /// A leaf has not answered: its third time in a row is its death (spec: DHT-110). The leaf that died.
    pub(crate) fn on_silent(&mut self, hint: Hint, now: Time) -> Option<Leaf> {
        let leaf = self.leaves.iter_mut().find(|leaf| leaf.hint() == hint)?;
        leaf.misses = leaf.misses.saturating_add(1);
        leaf.set_due(now + AGAIN);
        if leaf.misses < MISSES_MAX { None } else { self.on_gone(hint) }
    }

    /// It is known to be gone: somebody else answers from its address.
    pub(crate) fn on_gone(&mut self, hint: Hint) -> Option<Leaf> {
        let index = self.leaves.iter().position(|leaf| leaf.hint() == hint)?;
        Some(self.leaves.remove(index).unpack())
    }

    /// Bytes of heap: 91 for a leaf, 56 for who waits.
    pub(crate) fn heap_bytes(&self) -> usize {
        let leaves = self.leaves.capacity().saturating_mul(size_of::<Packed>());
        leaves.saturating_add(self.candidates.capacity().saturating_mul(size_of::<Candidate>()))
    }

    /// Whether it would be one of the leaves.
    fn is_near(&self, hint: Hint) -> bool {
        let farthest = self.leaves.last().filter(|_| self.leaves.len() >= LEAVES_MAX);
        farthest.is_none_or(|leaf| hint.distance(self.own) < leaf.hint().distance(self.own))
    }

    fn insert(&mut self, leaf: &Leaf, due: Time) {
        let distance = leaf.id.hint().distance(self.own);
        let index = self.leaves.partition_point(|other| other.hint().distance(self.own) < distance);
        self.leaves.truncate(LEAVES_MAX - 1);
        self.leaves.reserve_exact(1);
        self.leaves.insert(index.min(self.leaves.len()), Packed::new(leaf, due));
    }

    /// From when there is budget for a hello.
    fn hello_from(&self) -> Time {
        self.paid + HELLO_EACH - HELLO_BURST
    }
}

impl Packed {
    fn new(leaf: &Leaf, due: Time) -> Self {
        let (ip, port) = packed(leaf.at);
        let mut packed = Self { id: *leaf.id.as_bytes(), key: *leaf.key.as_bytes(), ip, port, due: [0; 8], misses: 0 };
        packed.set_due(due);
        packed
    }

    fn unpack(&self) -> Leaf {
        let ip = plain(Ipv6Addr::from(self.ip).into());
        Leaf { id: Key::from_bytes(self.id), key: NodeKey::from_bytes(self.key), at: SocketAddr::new(ip, u16::from_be_bytes(self.port)) }
    }

    fn hint(&self) -> Hint {
        Key::from_bytes(self.id).hint()
    }

    fn due(&self) -> Time {
        Time::from_micros(u64::from_be_bytes(self.due))
    }

    fn set_due(&mut self, due: Time) {
        self.due = due.as_micros().to_be_bytes();
    }
}

/// An address as a leaf holds it.
fn packed(at: SocketAddr) -> ([u8; 16], [u8; 2]) {
    let ip = match plain(at.ip()) {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    (ip.octets(), at.port().to_be_bytes())
}

/// The five nearest of some servers to a target, nearest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Five([Option<Hint>; HOLDERS]);

impl Five {
    /// Of all of these.
    pub(crate) fn of(target: Hint, servers: impl Iterator<Item = Hint>) -> Self {
        let mut five: [Option<Hint>; HOLDERS] = [None; HOLDERS];
        for server in servers {
            let mut carried = Some(server);
            for slot in &mut five {
                let is_nearer = match (carried, *slot) {
                    (Some(new), Some(old)) => new.distance(target) < old.distance(target),
                    (new, None) => new.is_some(),
                    (None, Some(_)) => false,
                };
                if is_nearer {
                    core::mem::swap(&mut carried, slot);
                }
            }
        }
        Self(five)
    }

    /// Nearest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Hint> + '_ {
        self.0.iter().flatten().copied()
    }

    /// Which of them it is: 0 is the nearest.
    pub(crate) fn rank(&self, hint: Hint) -> Option<u32> {
        self.iter().zip(0..).find(|(member, _)| *member == hint).map(|(_, rank)| rank)
    }
}

/// When the leaf with so many nearer ones is asked again.
fn ping_at(rank: usize, now: Time, rng: &mut Rng) -> Time {
    let micros = PING_MICROS - PING_SPREAD + rng.below(2 * PING_SPREAD + 1);
    now + Duration::from_micros(if rank < NEAR { micros } else { micros * 2 })
}

#[cfg(test)]
pub(super) mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::address::Scope;
    use crate::rng::Seed;

    pub(in crate::dht) const LAN: Realm = Realm { is_v6: false, scope: Scope::Private };

    pub(in crate::dht) fn leaf(hint: Hint) -> Leaf {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&hint.to_bytes());
        let [.., a, b] = hint.to_bytes();
        Leaf { id: Key::from_bytes(id), key: NodeKey::from_bytes(id), at: SocketAddr::from(([10, 1, a, b], 7)) }
    }

    fn rng() -> Rng {
        Rng::from_seed(&Seed::from_bytes([9; 32]))
    }

    /// Answers all that is asked until nothing more is due at `now`.
    fn answer_all(set: &mut LeafSet, now: Time, rng: &mut Rng) {
        while let Some(ask) = set.next(now) {
            match ask {
                Ask::Hello { hint, .. } => {
                    set.on_proven(&leaf(hint), now, rng);
                }
                Ask::Alive { hint, .. } => set.on_alive(hint, now, rng),
            }
        }
    }

    // spec-test: DHT-116
    #[test]
    fn leaves_come_back_from_their_bytes_and_from_nothing_else() {
        let (mut set, mut rng) = (LeafSet::new(LAN, Hint(0)), rng());
        assert_eq!(read(&set.store()), Ok(Vec::new()));
        for n in 1..=20 {
            set.offer(Hint(n), leaf(Hint(n)).at, Time::ZERO);
            answer_all(&mut set, Time::from_secs(60 * n), &mut rng);
        }
        let bytes = set.store();
        let leaves: Vec<Leaf> = set.leaves().collect();
        assert_eq!((read(&bytes), leaves.len()), (Ok(leaves), LEAVES_MAX));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Err(Broken::Content), "{end}");
        }
        let mut other = bytes.clone();
        other[0] = 2;
        assert_eq!(read(&other), Err(Broken::Format(2)));
        assert_eq!(read(&[&bytes[..], &[0; STORED_BYTES]].concat()), Err(Broken::Content));
    }

    // spec-test: DHT-109
    #[test]
    fn the_sixteen_nearest_who_prove_their_key_are_leaves_and_nobody_else() {
        let (mut set, mut rng) = (LeafSet::new(LAN, Hint(0)), rng());
        assert_eq!(set.heap_bytes(), 0);
        assert!(!set.on_proven(&leaf(Hint(5)), Time::ZERO, &mut rng), "nobody had asked it");
        for n in (1..=40).rev() {
            set.offer(Hint(n), leaf(Hint(n)).at, Time::ZERO);
            answer_all(&mut set, Time::from_secs(50 - n), &mut rng);
        }
        let hints: Vec<u64> = set.hints().map(|hint| hint.0).collect();
        assert_eq!(hints, (1..=16).collect::<Vec<_>>(), "nearest first");
        assert!(!set.offer(Hint(17), leaf(Hint(17)).at, Time::ZERO), "too far");
        assert!(!set.offer(Hint(3), leaf(Hint(3)).at, Time::ZERO) && !set.offer(Hint(0), leaf(Hint(9)).at, Time::ZERO));
        assert_eq!(set.find(Hint(3)), Some(leaf(Hint(3))));
        assert_eq!(set.leaves().count(), 16);
        assert!(set.heap_bytes() <= 16 * 92 + 16 * 64, "{}", set.heap_bytes());
        assert_eq!(size_of::<Packed>(), 91);
    }

    // spec-test: DHT-109
    #[test]
    fn hellos_are_four_a_second_and_sixteen_at_once_the_nearest_first() {
        let mut set = LeafSet::new(LAN, Hint(0));
        let mut asked = 0;
        for tenth in 0..100 {
            let now = Time::from_millis(1_000_000 + tenth * 100);
            for n in 0..40 {
                let hint = Hint(tenth * 100 + n + 1);
                set.offer(hint, leaf(hint).at, now);
            }
            while let Some(Ask::Hello { hint, .. }) = set.next(now) {
                assert!(tenth > 0 || hint.0 == asked + 1, "nearest first");
                asked += 1;
                set.on_refuted(hint, now);
            }
            assert!(asked <= 16 + 4 * tenth / 10 + 1, "{asked} at {tenth}");
            assert!(set.candidates.len() <= CANDIDATES_MAX);
        }
        assert!(asked >= 50, "{asked}");
    }

    // spec-test: DHT-109
    #[test]
    fn who_does_not_prove_its_key_is_asked_three_times_and_not_again_for_ten_minutes() {
        let mut set = LeafSet::new(LAN, Hint(0));
        let mut asked = Vec::new();
        for second in 0..1_300 {
            let now = Time::from_secs(second);
            set.offer(Hint(1), leaf(Hint(1)).at, now);
            asked.extend(set.next(now).map(|_| second));
        }
        // It is forgotten by a call, and wanted again by the offer after it.
        assert_eq!(asked, [0, 10, 20, 621, 631, 641, 1_242, 1_252, 1_262]);
        assert!(set.len() == 0);
    }

    // spec-test: DHT-109
    #[test]
    fn who_has_too_many_to_prove_its_key_to_is_asked_until_it_has_time() {
        let mut set = LeafSet::new(LAN, Hint(0));
        set.offer(Hint(1), leaf(Hint(1)).at, Time::ZERO);
        for n in 0..20 {
            let now = Time::from_secs(10 * n);
            assert!(set.next(now).is_some(), "{n}");
            set.on_busy(Hint(1), now);
        }
    }

    // spec-test: DHT-110
    #[test]
    fn a_leaf_is_asked_each_minute_and_dies_at_its_third_miss_in_a_row() {
        let (mut set, mut rng) = (LeafSet::new(LAN, Hint(0)), rng());
        set.offer(Hint(1), leaf(Hint(1)).at, Time::ZERO);
        answer_all(&mut set, Time::ZERO, &mut rng);
        let mut last = Time::ZERO;
        for _ in 0..200 {
            let due = set.due().unwrap();
            assert!((48..=72).contains(&due.since(last).as_secs()), "{due}");
            assert_eq!(set.next(due - Duration::from_micros(1)), None);
            assert_eq!(set.next(due), Some(Ask::Alive { hint: Hint(1), at: leaf(Hint(1)).at }));
            set.on_alive(Hint(1), due, &mut rng);
            last = due;
        }
        for (misses, died) in [(1, false), (2, false), (0, false), (1, false), (2, false), (3, true)] {
            let now = set.due().unwrap();
            assert!(set.next(now).is_some());
            if misses == 0 {
                set.on_alive(Hint(1), now, &mut rng);
                continue;
            }
            assert_eq!(set.on_silent(Hint(1), now), died.then(|| leaf(Hint(1))));
            assert!(died || set.due() == Some(now + AGAIN));
        }
        assert_eq!((set.len(), set.on_silent(Hint(1), Time::MAX), set.due()), (0, None, None));
    }

    // spec-test: DHT-110
    #[test]
    fn of_sixteen_leaves_the_farther_eight_are_asked_half_as_often() {
        let (mut set, mut rng) = (LeafSet::new(LAN, Hint(0)), rng());
        for n in (1..=16).rev() {
            set.offer(Hint(n), leaf(Hint(n)).at, Time::ZERO);
        }
        answer_all(&mut set, Time::ZERO, &mut rng);
        assert_eq!(set.len(), 16);
        let mut asked: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        while let Some(now) = set.due().filter(|due| *due < Time::from_secs(7_200)) {
            let Some(Ask::Alive { hint, .. }) = set.next(now) else { panic!("nobody else is asked") };
            set.on_alive(hint, now, &mut rng);
            asked.entry(hint.0).or_default().push(now.as_micros());
        }
        for (n, times) in &asked {
            let range = if *n <= 8 { 48_000_000..=72_000_000 } else { 96_000_000..=144_000_000 };
            assert!(times.windows(2).all(|pair| range.contains(&(pair[1] - pair[0]))), "{n}");
        }
        assert_eq!(asked.len(), 16);
    }

    // spec-test: DHT-110
    #[test]
    fn a_leaf_of_before_a_restart_is_asked_at_once_if_its_id_is_its_own() {
        let mut set = LeafSet::new(LAN, Hint(0));
        let key = NodeKey::from_bytes([7; 32]);
        let at = SocketAddr::from(([10, 0, 0, 1], 7));
        let id = id::node_id(&key, at, id::Variant::from_low_bits(0)).unwrap();
        assert!(!set.restore(&leaf(Hint(5)), Time::ZERO), "an id that is not of its key");
        assert!(set.restore(&Leaf { id, key, at }, Time::from_secs(9)));
        assert!(!set.restore(&Leaf { id, key, at }, Time::from_secs(9)));
        assert_eq!(set.next(Time::from_secs(9)), Some(Ask::Alive { hint: id.hint(), at }));
    }

    #[test]
    fn five_are_the_nearest_of_all_in_order() {
        let mut rng = rng();
        for n in [0, 1, 4, 5, 17] {
            let (target, all): (_, Vec<Hint>) = (Hint(rng.u64()), (0..n).map(|_| Hint(rng.u64())).collect());
            let mut sorted = all.clone();
            sorted.sort_by_key(|hint| hint.distance(target));
            let five = Five::of(target, all.iter().copied());
            assert!(five.iter().eq(sorted.iter().copied().take(5)));
            for (hint, rank) in sorted.iter().zip(0..) {
                assert_eq!(five.rank(*hint), (rank < 5).then_some(rank));
            }
        }
    }
}
