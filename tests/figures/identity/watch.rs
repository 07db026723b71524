//! One link or not, at every moment of a run, and how long it took from the pipe's opening.

use std::time::Duration;

use overcom_core::{PipeId, Time};
use overcom_simulator::{Marks, NodeId, World};

use super::ledger::Ledger;

/// From the open pipe both ends of a link are up after so many half round trips, when the dialler knows the device and
/// when it does not (the round trips of HS-3 and one of TCP).
const KNOWN_HALVES: u32 = 3;
const UNKNOWN_HALVES: u32 = 5;

/// One device at a moment.
#[derive(Clone, Copy, Default)]
struct Side {
    /// Its link, and whether it dialled it.
    current: Option<(PipeId, bool)>,
    /// Since when it knows the other one's delegation; forgotten with the process.
    knows: Option<Time>,
}

/// Looks at both devices after everything that happens.
#[derive(Default)]
pub(super) struct Watch {
    sides: [Side; 2],
    /// The two ends of the one link that there is, and since when it is the only one.
    one: Option<([PipeId; 2], Time)>,
    /// How often a link took the place of another one that had not ended.
    pub(super) replaced: u64,
}

impl Watch {
    pub(super) fn look(&mut self, world: &World<'_, Ledger>, nodes: [NodeId; 2]) {
        for side in 0..2 {
            self.look_at(side, world, nodes[side], nodes[1 - side]);
        }
        let ends = match self.sides.map(|side| side.current) {
            [Some((a, a_dialled)), Some((b, b_dialled))] if a_dialled != b_dialled => Some([a, b]),
            _ => None,
        };
        if ends != self.one.map(|(ends, _)| ends) {
            self.one = ends.map(|ends| (ends, world.now()));
        }
    }

    fn look_at(&mut self, side: usize, world: &World<'_, Ledger>, node: NodeId, other: NodeId) {
        let it = &mut self.sides[side];
        let links = world.node(node).links();
        let before = it.current;
        // A link that waits beside another one for its peer's hello is not the peer's link (spec: LINK-16).
        let is_still = |pipe: PipeId| links.len() > 1 && links.iter().any(|link| link.pipe == pipe);
        if !before.is_some_and(|(pipe, _)| is_still(pipe)) {
            it.current = links.iter().max_by_key(|link| link.since).map(|link| (link.pipe, link.dialled));
        }
        self.replaced += u64::from(before.is_some() && it.current.is_some() && before != it.current);
        let known = world.node(node).explain(world.user(other)).is_some_and(|explained| !explained.known.is_empty());
        it.knows = if known { it.knows.or_else(|| Some(world.now())) } else { None };
    }

    /// Whether there is one link now, and nothing beside it.
    pub(super) fn is_one(&self, world: &World<'_, Ledger>, nodes: [NodeId; 2]) -> bool {
        self.one.is_some() && nodes.into_iter().all(|node| world.node(node).links().len() == 1)
    }

    /// How long the one link took from the opening of the last pipe before it, at its dialler, beyond what it may take;
    /// `None` when there is no such link.
    pub(super) fn late_by(&self, marks: &Marks, names: [&str; 2], delay: Duration) -> Option<Duration> {
        let (_, since) = self.one?;
        let dialled = dialled(marks, names, delay, since);
        let (last, side) = dialled.last().copied()?;
        // When both dial, the later hello decides.
        let is_alone = dialled.iter().all(|(at, by)| *by == side || *at + delay * UNKNOWN_HALVES < last);
        let halves = if is_alone && self.sides[side].knows.is_some_and(|knew| knew <= last) { KNOWN_HALVES } else { UNKNOWN_HALVES };
        Some(since.since(last).saturating_sub(delay * halves))
    }
}

/// When pipes opened at their diallers until then, and at which side, in the order of time.
fn dialled(marks: &Marks, names: [&str; 2], delay: Duration, until: Time) -> Vec<(Time, usize)> {
    // A listener's pipe opens half a round trip after the dialler's.
    let (mut dialled, mut listeners) = (Vec::new(), Vec::new());
    for mark in marks.recent().filter(|mark| mark.kind == "pipe opened" && mark.at <= until) {
        let side = usize::from(mark.node == names[1]);
        match listeners.iter().position(|expected| *expected == (mark.at, side)) {
            Some(place) => drop(listeners.swap_remove(place)),
            None => {
                dialled.push((mark.at, side));
                listeners.push((mark.at + delay, 1 - side));
            }
        }
    }
    dialled
}
