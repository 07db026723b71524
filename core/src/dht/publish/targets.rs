//! Whom to give one's records.

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::address::{Group, block, group};
use crate::dht::estimate::{Held, Radius, Size};
use crate::dht::key::Hint;
use crate::dht::proof::Token;
use crate::dht::table::Entry;
use crate::dht::wire::Contact;

/// Who is to hold a record (spec: DHT-142).
const HOLDERS: usize = 5;
/// At most so many are given it, however many lie within the radius (spec: DHT-142).
pub(super) const TARGETS_MAX: usize = 16;
/// How many of one block the five are, as far as others are there (spec: DHT-142).
const BLOCK_MAX: usize = 2;
/// How many are asked to carry (spec: DHT-147).
pub(super) const CARRIERS: usize = 2;

/// One who answered a look-up of the own home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answered {
    pub(crate) contact: Contact,
    /// What it lets us write with, if it was asked for that and gave it.
    pub(crate) token: Option<Token>,
}

/// Those to write to, of answers that stand nearest first: the five nearest, chosen with one a group and two a block as far as
/// there are as many, and all within the radius that is to hold eight, in a hard table sixteen; at most sixteen (spec: DHT-142).
/// O(n²) for n answers.
pub(crate) fn choose(home: Hint, answers: &[Answered], size: Size, is_soft: bool) -> Vec<Answered> {
    let mut chosen: Vec<Answered> = Vec::with_capacity(HOLDERS);
    let mut networks: Vec<(Group, Group)> = Vec::with_capacity(HOLDERS);
    let is_new = |chosen: &[Answered], one: &Answered| chosen.iter().all(|other| other.contact.at != one.contact.at);
    for one in answers {
        let (group, block) = (group(one.contact.at), block(one.contact.at));
        let of_block = networks.iter().filter(|(_, other)| *other == block).count();
        let is_free = of_block < BLOCK_MAX && networks.iter().all(|(other, _)| *other != group);
        if chosen.len() < HOLDERS && is_free && is_new(&chosen, one) {
            chosen.push(*one);
            networks.push((group, block));
        }
    }
    let radius = Radius::of(if is_soft { Held::EIGHT } else { Held::SIXTEEN }, size);
    for one in answers {
        let is_inside = radius.holds(one.contact.hint.distance(home));
        if (chosen.len() < HOLDERS || (is_inside && chosen.len() < TARGETS_MAX)) && is_new(&chosen, one) {
            chosen.push(*one);
        }
    }
    chosen
}

/// Who is asked to carry a record into the other family: of the table's nodes that serve in both the two known longest, of
/// these the nearest to the home, so that the same are asked again (spec: DHT-147). O(n).
pub(crate) fn carriers(home: Hint, table: impl Iterator<Item = Entry>) -> Vec<Contact> {
    let mut best: Vec<(Reverse<u8>, u64, Contact)> = Vec::new();
    for entry in table.filter(|entry| entry.is_dual() && entry.is_verified()) {
        let contact = Contact { hint: entry.hint, at: entry.at };
        let found = (Reverse(entry.age_class()), entry.hint.distance(home).0, contact);
        let place = best.partition_point(|(age, distance, _)| (*age, *distance) <= (found.0, found.1));
        best.insert(place, found);
        best.truncate(CARRIERS);
    }
    best.into_iter().map(|(_, _, contact)| contact).collect()
}

/// Of these at most two, and if there are fewer all holders too: some of those may serve in both families (spec: DHT-147).
pub(super) fn carrying(carriers: &[Contact], holders: &[Answered]) -> Vec<Contact> {
    let mut asked: Vec<Contact> = carriers.iter().copied().take(CARRIERS).collect();
    if asked.len() < CARRIERS {
        asked.extend(holders.iter().map(|holder| holder.contact));
    }
    asked
}
