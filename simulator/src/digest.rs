//! The running digest of a run, its last events, and where two runs part.

use std::collections::VecDeque;
use std::fmt;

use overcom_core::Time;
use xxhash_rust::xxh3::xxh3_128;

/// How many events are remembered one by one (guess: longer than any scenario that a person reads).
const MARKS_MAX: usize = 1 << 16;

/// XXH3-128 chained over (time, node, kind, payload) of every delivered input and every action carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One event and the digest after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Its number in the run, from 0.
    pub number: u64,
    /// When.
    pub at: Time,
    /// The node's name.
    pub node: String,
    /// What: an event's or an action's name.
    pub kind: &'static str,
    /// The digest up to and with it.
    pub digest: Digest,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} at {}: {} {}", self.number, self.at, self.node, self.kind)
    }
}

/// The digest and the ring of the last 65,536 marks.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    digest: Digest,
    count: u64,
    ring: VecDeque<Mark>,
}

impl Marks {
    pub(crate) fn add(&mut self, at: Time, node: &str, kind: &'static str, payload: &[&[u8]]) {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&self.digest.0.to_le_bytes());
        bytes.extend_from_slice(&at.as_micros().to_le_bytes());
        for part in [node.as_bytes(), kind.as_bytes()].iter().chain(payload) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        self.digest = Digest(xxh3_128(&bytes));
        if self.ring.len() == MARKS_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(Mark { number: self.count, at, node: node.into(), kind, digest: self.digest });
        self.count = self.count.saturating_add(1);
    }

    /// The digest so far.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The last 65,536 events, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Mark> {
        self.ring.iter()
    }

    /// How many events there were.
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// Where two runs part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Divergence {
    /// The first event that differs, as each run has it; `None` where a run had ended.
    At(Option<Mark>, Option<Mark>),
    /// They part before the oldest event that is still remembered; its number.
    Before(u64),
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |mark: &Option<Mark>| mark.as_ref().map_or_else(|| "the run has ended".into(), ToString::to_string);
        match self {
            Self::At(a, b) => write!(f, "first difference: {} / {}", show(a), show(b)),
            Self::Before(number) => write!(f, "the runs part before event {number}, the oldest one remembered"),
        }
    }
}

/// Compares two runs: `None` when they are the same. Binary search over the marks.
pub fn compare(a: &Marks, b: &Marks) -> Option<Divergence> {
    if a.digest == b.digest && a.count == b.count {
        return None;
    }
    let oldest = |marks: &Marks| marks.ring.front().map_or(marks.count, |mark| mark.number);
    let start = oldest(a).max(oldest(b));
    let at = |marks: &Marks, number: u64| {
        let index = number.checked_sub(oldest(marks)).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| marks.ring.get(index).cloned())
    };
    let same = |number: u64| at(a, number).is_some() && at(a, number).map(|mark| mark.digest) == at(b, number).map(|mark| mark.digest);
    if start > 0 && !same(start) {
        return Some(Divergence::Before(start));
    }
    // The digest is chained: once it differs it stays different.
    let (mut low, mut high) = (start, a.count.min(b.count));
    while low < high {
        let middle = low + (high - low) / 2;
        if same(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Some(Divergence::At(at(a, low), at(b, low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kinds: &[&'static str]) -> Marks {
        let mut marks = Marks::default();
        for kind in kinds {
            marks.add(Time::ZERO, "ann", kind, &[b"x"]);
        }
        marks
    }

    #[test]
    fn the_first_event_that_differs_is_named() {
        let (a, b) = (run(&["a", "b", "c", "d"]), run(&["a", "b", "x", "d"]));
        let Some(Divergence::At(Some(left), Some(right))) = compare(&a, &b) else { panic!("they differ") };
        assert_eq!((left.number, left.kind, right.kind), (2, "c", "x"));
        assert_eq!(compare(&a, &a.clone()), None);
    }

    #[test]
    fn a_run_that_ends_early_differs_after_its_last_event() {
        let Some(Divergence::At(left, right)) = compare(&run(&["a", "b"]), &run(&["a"])) else { panic!("they differ") };
        assert_eq!((left.map(|mark| mark.number), right), (Some(1), None));
    }

    #[test]
    fn what_is_no_longer_remembered_is_said_so() {
        let long = |first| {
            let mut marks = run(&[first]);
            for _ in 0..MARKS_MAX {
                marks.add(Time::ZERO, "ann", "more", &[]);
            }
            marks
        };
        assert_eq!(compare(&long("a"), &long("b")), Some(Divergence::Before(1)));
    }

    #[test]
    fn the_digest_tells_parts_apart() {
        let mut a = Marks::default();
        a.add(Time::ZERO, "ann", "k", &[b"ab", b"c"]);
        let mut b = Marks::default();
        b.add(Time::ZERO, "ann", "k", &[b"a", b"bc"]);
        assert_ne!(a.digest(), b.digest());
    }
}
