//! The running digest of a run, its last events, and where two runs part.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

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
    ring: VecDeque<Kept>,
    names: Vec<Arc<str>>,
    /// What is hashed next, kept for its memory.
    bytes: Vec<u8>,
}

/// A mark as the ring keeps it: the number follows from its place, the name from `node`.
#[derive(Clone, Copy, Debug)]
struct Kept {
    digest: Digest,
    at: Time,
    kind: &'static str,
    node: u32,
}

impl Marks {
    /// The name of the next node, counted from 0. Nodes without one are called by their number.
    pub(crate) fn name(&mut self, name: &str) {
        self.names.push(name.into());
    }

    /// One event of a node. Asks for no memory once it has seen a large one.
    pub(crate) fn add(&mut self, at: Time, node: u32, kind: &'static str, payload: impl FnOnce(&mut Parts<'_>)) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.digest.0.to_le_bytes());
        self.bytes.extend_from_slice(&at.as_micros().to_le_bytes());
        let mut parts = Parts(&mut self.bytes);
        match self.names.get(node as usize) {
            Some(name) => parts.bytes(name.as_bytes()),
            None => parts.bytes(&node.to_le_bytes()),
        }
        parts.bytes(kind.as_bytes());
        payload(&mut parts);
        self.digest = Digest(xxh3_128(&self.bytes));
        if self.ring.len() == MARKS_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(Kept { digest: self.digest, at, kind, node });
        self.count = self.count.saturating_add(1);
    }

    /// The digest so far.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The last 65,536 events, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = Mark> {
        (self.oldest()..self.count).filter_map(|number| self.get(number))
    }

    /// How many events there were.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The number of the oldest event that is remembered.
    fn oldest(&self) -> u64 {
        self.count - self.ring.len() as u64
    }

    fn kept(&self, number: u64) -> Option<&Kept> {
        self.ring.get(usize::try_from(number.checked_sub(self.oldest())?).ok()?)
    }

    fn get(&self, number: u64) -> Option<Mark> {
        let Kept { digest, at, kind, node } = *self.kept(number)?;
        let node = self.names.get(node as usize).map_or_else(|| format!("n{node}"), ToString::to_string);
        Some(Mark { number, at, node, kind, digest })
    }
}

/// The payload of an event, part by part, each with its length before it.
pub(crate) struct Parts<'a>(&'a mut Vec<u8>);

impl Parts<'_> {
    pub(crate) fn bytes(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.0.extend_from_slice(part);
    }

    pub(crate) fn text(&mut self, part: fmt::Arguments<'_>) {
        let length = self.0.len();
        self.0.extend_from_slice(&[0; 8]);
        // A Vec takes all that is written.
        let _ = self.0.write_fmt(part);
        let written = (self.0.len() - length - 8) as u64;
        self.0[length..length + 8].copy_from_slice(&written.to_le_bytes());
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
    let start = a.oldest().max(b.oldest());
    let digest = |marks: &Marks, number: u64| marks.kept(number).map(|kept| kept.digest);
    let same = |number: u64| digest(a, number).is_some() && digest(a, number) == digest(b, number);
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
    Some(Divergence::At(a.get(low), b.get(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kinds: &[&'static str]) -> Marks {
        let mut marks = Marks::default();
        marks.name("ann");
        for kind in kinds {
            marks.add(Time::ZERO, 0, kind, |parts| parts.bytes(b"x"));
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
                marks.add(Time::ZERO, 0, "more", |_| {});
            }
            marks
        };
        assert_eq!(compare(&long("a"), &long("b")), Some(Divergence::Before(1)));
    }

    #[test]
    fn the_digest_tells_parts_apart() {
        let digest = |first: &[u8], second: &[u8]| {
            let mut marks = Marks::default();
            marks.add(Time::ZERO, 0, "k", |parts| [first, second].into_iter().for_each(|part| parts.bytes(part)));
            marks.digest()
        };
        assert_ne!(digest(b"ab", b"c"), digest(b"a", b"bc"));
    }

    #[test]
    fn words_and_their_bytes_are_the_same_part() {
        let digest = |payload: fn(&mut Parts<'_>)| {
            let mut marks = Marks::default();
            marks.add(Time::ZERO, 0, "k", payload);
            marks.digest()
        };
        let written = digest(|parts| parts.text(format_args!("{}{}", 4, "2")));
        assert_eq!(written, digest(|parts| parts.bytes(b"42")));
    }

    #[test]
    fn a_node_without_a_name_is_called_by_its_number() {
        let mut marks = run(&["a"]);
        marks.add(Time::ZERO, 17, "b", |_| {});
        let called: Vec<String> = marks.recent().map(|mark| mark.to_string()).collect();
        assert_eq!(called, ["event 0 at 0.000000s: ann a", "event 1 at 0.000000s: n17 b"]);
    }
}
