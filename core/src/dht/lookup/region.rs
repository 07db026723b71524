//! Near the target: who must answer, who is asked next, and whether too many are there.

use alloc::vec::Vec;

use super::candidates::State;
use super::{LookUp, Near};
use crate::address::{Group, block, group};
use crate::dht::estimate::{Held, is_dense};
use crate::dht::key::Distance;

/// So many nearest of distinct groups must have answered (spec: DHT-86).
const NEAREST: usize = 8;
/// Answers of distinct groups that the radius is asked for, and in a dense region (spec: DHT-86, DHT-87).
const ANSWERS_MAX: usize = 16;
const ANSWERS_DENSE_MAX: usize = 32;
/// Answers of groups that have answered, beside these (spec: DHT-86).
const REPEATS_MAX: usize = 16;
/// So many of one block are chosen before others (spec: DHT-89).
const BLOCK_MAX: usize = 2;

/// Where a look-up stands.
pub(super) struct Survey {
    /// The place of whom to ask next.
    pub(super) next: Option<usize>,
    /// Whether all who must answer have, or never will.
    pub(super) is_complete: bool,
}

impl LookUp {
    /// Whether the region holds more nodes than chance would put there: somebody has placed them around the target
    /// (spec: DHT-87).
    pub(crate) fn is_dense(&self) -> bool {
        self.view.is_hard && self.nth_of_groups(ANSWERS_MAX).is_some_and(|distance| is_dense(distance, self.view.size))
    }

    /// Who must answer (spec: DHT-86). `is_hedged`: as if those that are slow will never.
    pub(super) fn survey(&self, is_hedged: bool) -> Survey {
        let is_known = |state| matches!(state, State::New | State::Asked | State::Answered) || (state == State::Slow && !is_hedged);
        let (held, answers_max) = if self.is_dense() { (Held::SIXTY_FOUR, ANSWERS_DENSE_MAX) } else { (Held::EIGHT, ANSWERS_MAX) };
        let radius = self.radius(held);
        let inside = || self.candidates.iter().filter(|it| it.hint.is_some() && radius.holds(it.distance));
        let started = || inside().filter(|it| matches!(it.state, State::Asked | State::Answered));
        let distinct = count_groups(started().map(|it| it.group()));
        let has_room = distinct < answers_max;
        let has_room_again = started().count().saturating_sub(distinct) < REPEATS_MAX;
        let is_few = count_groups(self.candidates.iter().filter(|it| is_known(it.state)).map(|it| it.group())) < NEAREST;

        let (mut seen, mut rank, mut before) = (Vec::new(), 0_usize, None);
        let (mut first, mut again, mut is_complete) = (None, None, true);
        for (index, it) in self.candidates.iter().enumerate().filter(|(_, it)| is_known(it.state)) {
            if before.replace((it.hint, it.at)) == Some((it.hint, it.at)) {
                continue;
            }
            let group = it.group();
            let is_first = !seen.contains(&group);
            if is_first {
                seen.push(group);
            }
            rank = rank.saturating_add(1);
            let is_near = (is_first && seen.len() <= NEAREST) || (is_few && rank <= NEAREST);
            let is_inside = it.hint.is_some() && radius.holds(it.distance);
            let may_ask = it.state != State::New || if is_first { has_room } else { has_room_again };
            if it.state == State::Answered || !(is_near || (is_inside && may_ask)) {
                continue;
            }
            is_complete = false;
            if it.state == State::New && !self.candidates.must_wait(index) {
                let next = if is_first { &mut first } else { &mut again };
                *next = next.or(Some(index));
            }
        }
        Survey { next: first.or(again), is_complete }
    }

    /// The distance of the n-th nearest answer, counted by distinct group.
    pub(super) fn nth_of_groups(&self, n: usize) -> Option<Distance> {
        let mut seen = Vec::new();
        for answer in self.answers() {
            let group = group(answer.at);
            if !seen.contains(&group) {
                seen.push(group);
            }
            if seen.len() >= n {
                return Some(answer.distance);
            }
        }
        None
    }
}

/// Of nodes that come nearest first, those that keep a record: first one of each group and two of each block, then the
/// others; nearest first (spec: DHT-89).
pub(crate) fn choose(nodes: impl Iterator<Item = Near>, n: usize) -> Vec<Near> {
    let nodes: Vec<Near> = nodes.collect();
    let mut chosen: Vec<Near> = Vec::with_capacity(n);
    for is_capped in [true, false] {
        for node in &nodes {
            let is_over = || {
                let of_block = chosen.iter().filter(|other| block(other.at) == block(node.at)).count();
                of_block >= BLOCK_MAX || chosen.iter().any(|other| group(other.at) == group(node.at))
            };
            if chosen.len() < n && !chosen.contains(node) && !(is_capped && is_over()) {
                chosen.push(*node);
            }
        }
    }
    chosen.sort_unstable_by_key(|node| (node.distance, node.at));
    chosen
}

fn count_groups(groups: impl Iterator<Item = Group>) -> usize {
    let mut seen = Vec::new();
    for group in groups {
        if !seen.contains(&group) {
            seen.push(group);
        }
    }
    seen.len()
}
