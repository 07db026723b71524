//! When peers are dialled again.

use super::*;

/// At which seconds links of node `at` went down, looked at every tenth of a second.
fn downs(net: &mut Net, at: usize, seconds: u64) -> Vec<u64> {
    let count = |net: &Net| net.seats[at].table.notices.iter().filter(|notice| matches!(notice, Notice::LinkDown { .. })).count();
    let (start, mut before, mut times) = (net.now, count(net), Vec::new());
    while net.now.since(start) <= Duration::from_secs(seconds) {
        net.run();
        times.extend((before..count(net)).map(|_| net.now.since(start).as_secs()));
        before = count(net);
        net.pass(Duration::from_millis(100));
    }
    times
}

fn set_clock(net: &mut Net, at: usize, wall: WallTime) {
    let now = net.now;
    net.seats[at].driver.handle(now, Event::clock(wall));
}

// spec-test: MSG-16, MSG-13
#[test]
fn a_known_peer_that_refuses_is_dialled_less_and_less_often_until_it_is_of_use() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Memory);
    net.pass(Duration::from_secs(20));
    // For a clock that is behind, Bob's delegation has not begun. Bob knows Alice's device, so to him the link is up at first.
    set_clock(&mut net, 1, WALL - Duration::from_secs(3_600));
    net.cut_all(0);
    let tag = net.send(0, 1, "kept", Keep::Disk);
    assert_eq!(downs(&mut net, 0, 36), [0, 1, 3, 7, 15, 25, 35]);
    let alice = net.user(1);
    let explanation = net.seats[0].driver.node().explain(alice);
    assert_eq!((explanation.why.as_slice(), explanation.next_try.is_some()), (&[Waiting::Retry][..], true));
    assert!(explanation.to_string().contains("10.0.0.2:7575: closed: a delegation is not valid yet"), "{explanation}");
    let lost = net.send(0, 1, "lost", Keep::Memory);
    net.pass(Duration::from_secs(10));
    assert!(net.has(0, |n| *n == Notice::Failed { tag: lost, why: FailReason::Refused(CloseReason::NotYet) }));
    // Of use again, and from the start when it is not the next time.
    set_clock(&mut net, 1, WALL);
    net.pass(Duration::from_secs(10));
    assert!(net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    set_clock(&mut net, 1, WALL - Duration::from_secs(3_600));
    net.cut_all(0);
    net.send(0, 1, "again", Keep::Disk);
    assert_eq!(downs(&mut net, 0, 8), [0, 1, 3, 7]);
}

// spec-test: FIND-6
#[test]
fn an_entry_peer_that_refuses_is_dialled_less_and_less_often() {
    // He does not try to be bound there, too.
    let mut net = Net::empty(Config::test().dht_binds(0));
    net.add("bob", credentials("bob", "test"), BTreeMap::new(), 0);
    net.config = Config::test().links_service_in_max(0);
    net.add("alice", credentials("alice", "test"), BTreeMap::new(), 0);
    net.run();
    let address = net.seats[1].at.into();
    net.command(0, Command::enter([Entry { address, key: None }])).unwrap();
    assert_eq!(downs(&mut net, 0, 70), [0, 1, 3, 7, 15, 31, 63]);
}
