//! An own clock that is ahead or behind, and is set right.

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const PLACE: &str = "203.0.113.97:51820";

impl Net {
    /// One that is told of six servers a day after its delegation began, with a clock that is so far ahead.
    fn off(ahead: i64) -> Self {
        let mut net = Self::new(Policy::Everyone, 6);
        net.now = Time::from_secs(86_400);
        net.own_ahead = ahead;
        net.publisher.set_addresses(Scope::Global, vec![at(PLACE)], vec![], net.now);
        net.publisher.on_servers(V4, 6, net.now);
        net
    }

    /// The own clock is set so far ahead of the right one, and the publisher is told.
    fn set_clock(&mut self, ahead: i64) {
        self.own_ahead = ahead;
        self.publisher.on_clock(self.wall(), self.now);
    }

    fn both(&self) -> [usize; 2] {
        [Kind::Device, Kind::Address].map(|kind| self.holders(kind))
    }

    fn number(&self) -> Option<u64> {
        self.publisher.address(Scope::Global).map(AddressRecord::sequence)
    }
}

// spec-test: DHT-141
#[test]
fn what_a_clock_that_was_ahead_has_dated_is_signed_and_put_at_once_when_it_is_set() {
    for ahead in [11 * MINUTE, HOUR, 3 * 24 * HOUR] {
        let mut net = Net::off(ahead);
        net.run_for(40);
        assert_eq!(net.both(), [0, 0], "the others refuse it");
        let looks = net.looks.len();
        net.set_clock(0);
        net.run();
        assert_eq!((net.both(), net.looks.len()), ([5, 5], looks + 1));
        assert_eq!(net.node(1).address.as_ref().map(AddressRecord::sequence), Some(net.clock()));
        // And only once.
        net.set_clock(0);
        net.run_for(20 * 60);
        assert_eq!(net.looks.len(), looks + 1);
    }
}

/// A round that was refused is repeated later and later, and that does not count any more.
// spec-test: DHT-141
#[test]
fn who_was_refused_for_hours_does_not_wait_for_the_next_repetition() {
    let mut net = Net::off(3 * 24 * HOUR);
    net.run_for(5 * 3_600);
    let since = net.looks.last().map(|last| net.now.since(*last));
    assert!(since > Some(CHANGE_MIN), "{since:?}");
    net.set_clock(0);
    net.run();
    assert_eq!(net.both(), [5, 5]);
}

// spec-test: DHT-141
#[test]
fn what_was_signed_and_put_just_before_is_put_again_fifteen_seconds_later() {
    let mut net = Net::off(HOUR);
    net.run_for(2);
    let first = net.looks.clone();
    assert_eq!(first.len(), 1);
    net.set_clock(0);
    net.run();
    assert_eq!((net.publisher.due(), net.both()), (Some(first[0] + CHANGE_MIN), [0, 0]));
    net.run_for(15);
    assert_eq!(net.both(), [5, 5]);
}

// spec-test: DHT-141
#[test]
fn a_clock_that_is_set_a_little_changes_nothing_and_one_that_was_behind_what_has_little_time_left() {
    for (behind, is_signed) in [(0, false), (9 * MINUTE, false), (64 * MINUTE, false), (66 * MINUTE, true), (3 * HOUR, true)] {
        let mut net = Net::off(-behind);
        net.run_for(40);
        assert_eq!(net.both(), [5, if behind < 2 * HOUR { 5 } else { 0 }], "{behind}");
        let (signed, looks) = (net.number(), net.looks.len());
        net.set_clock(0);
        net.run();
        assert_eq!((net.both(), net.number() > signed, net.looks.len() > looks), ([5, 5], is_signed, is_signed), "{behind}");
    }
    // A few minutes ahead others take it, and what follows is above.
    let mut net = Net::off(9 * MINUTE);
    net.run_for(30);
    let (signed, looks) = (net.number(), net.looks.len());
    net.set_clock(0);
    net.run();
    assert_eq!((net.both(), net.number(), net.looks.len()), ([5, 5], signed, looks));
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.98:1")], vec![], net.now);
    net.run();
    assert_eq!(net.node(5).address.as_ref().map(AddressRecord::sequence), signed.map(|signed| signed + 1));
}

// spec-test: DHT-141
#[test]
fn what_was_refused_because_a_clock_was_behind_is_offered_again_when_it_is_set() {
    let mut net = Net::off(0);
    net.run_for(60);
    assert_eq!(net.both(), [5, 5]);
    // The clock goes back, and only then the device is somewhere else.
    net.set_clock(-HOUR / 2);
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.98:1")], vec![], net.now);
    net.run_for(1_200);
    let is_new = |node: &&Node| node.address.as_ref().is_some_and(|record| record.addresses()[0].port() == 1);
    let count = |net: &Net| net.nodes.values().filter(is_new).count();
    assert_eq!(count(&net), 0, "the others have a newer one");
    net.set_clock(0);
    net.run();
    assert_eq!(count(&net), 5);
}

/// Nobody is told of what was bound with, and what ends says nothing that has to be said again.
// spec-test: DHT-152
#[test]
fn a_record_that_says_nowhere_is_not_put_because_a_clock_is_set() {
    let mut net = Net::new(Policy::Everyone, 6);
    net.own_ahead = HOUR;
    net.publisher.on_servers(V4, 6, net.now);
    net.run_for(30);
    let (crypto, own) = (Crypto::standard(), net.own.renewed(net.own.delegation().clone()));
    let bound = |net: &mut Net| net.publisher.address_to_bind(Scope::Global, (&crypto, &own), net.wall(), net.now).unwrap();
    assert_eq!(bound(&mut net).sequence(), net.wall().as_millis());
    net.set_clock(0);
    net.run_for(60);
    assert_eq!(net.both(), [5, 0]);
    assert!(bound(&mut net).sequence() <= net.clock(), "another one is signed, for the next bind");
}
