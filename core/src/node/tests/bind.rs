//! Devices that keep themselves bound to those who keep their home, whatever becomes of links.

use super::super::explain_tests::identity;
use super::dht::{enter, entered, suspend};
use super::*;

fn view(net: &Net, at: usize) -> (u64, u64) {
    net.seats[at].driver.node().dht().map_or((0, 0), |view| (view.bound_at, view.binds))
}

/// The devices that a look-up says are bound, and those that it says are not.
fn looked(net: &mut Net, at: usize, whom: usize) -> (usize, usize) {
    let user = net.user(whom);
    let tag = net.command(at, Command::locate(user)).unwrap();
    net.pass(Duration::from_secs(6));
    let is = |notice: &&Notice, wanted: bool| matches!(notice, Notice::Dht(DhtNotice::Found { tag: of, is_final: true, is_bound, .. }) if *of == tag && *is_bound == wanted);
    let count = |wanted| net.seats[at].table.notices.iter().filter(|notice| is(notice, wanted)).count();
    (count(true), count(false))
}

/// What was said between two of them, in all detail.
fn wire(net: &Net, words: &str) -> usize {
    let journals: Vec<Journal> = net.seats.iter().filter_map(|seat| seat.driver.journal().cloned()).collect();
    Ladder::of(journals).detail(Detail::Wire).to_string().lines().filter(|line| line.ends_with(words)).count()
}

fn services(net: &Net, at: usize, dialled: bool) -> usize {
    net.seats[at].driver.node().links().filter(|link| matches!(link.with, LinkPeer::Service(_)) && link.dialled == dialled).count()
}

// spec-test: DHT-108, DHT-152, DHT-157
#[test]
fn a_device_is_bound_to_those_who_keep_its_home_and_a_look_up_says_so_as_long_as_a_link_is_up() {
    let mut net = entered(&["seed", "alice", "carol"]);
    net.pass(Duration::from_secs(10));
    assert_eq!([0, 1, 2].map(|at| view(&net, at)), [(2, 2); 3], "each at both others\n{}", net.ladder());
    assert_eq!((services(&net, 1, true), services(&net, 1, false)), (2, 2), "the link with its entry peer serves for both");
    assert_eq!(looked(&mut net, 2, 1), (1, 0));
    // Her links fall: the record stands, but nobody says that she is there, until she is again.
    net.cut_all(1);
    assert_eq!((view(&net, 0).1, view(&net, 2).1, view(&net, 1)), (1, 1, (0, 0)));
    assert_eq!(looked(&mut net, 2, 1), (0, 1));
    net.pass(Duration::from_secs(30));
    assert_eq!([0, 1, 2].map(|at| view(&net, at)), [(2, 2); 3], "{}", net.ladder());
    assert_eq!(looked(&mut net, 2, 1), (1, 0));
}

// spec-test: DHT-157, NODE-5
#[test]
fn binds_are_said_again_in_time_and_none_is_refused() {
    let mut net = entered(&["seed", "alice"]);
    net.pass(Duration::from_secs(30));
    let before = wire(&net, "alice -> seed: bind");
    assert!(before > 0);
    // The record is signed anew each 35 to 55 minutes, a bind said anew each 45.
    net.pass(Duration::from_secs(6 * 3_600));
    let said = wire(&net, "alice -> seed: bind") - before;
    assert!((8..=20).contains(&said), "{said}");
    assert_eq!(wire(&net, "seed -> alice: bound"), before + said, "{}", net.ladder());
    assert_eq!((view(&net, 0), view(&net, 1)), ((1, 1), (1, 1)));
    assert_eq!(looked(&mut net, 1, 0), (1, 0));
}

// spec-test: DHT-108, DHT-156
#[test]
fn two_devices_of_a_user_are_bound_and_listed_side_by_side() {
    let mut net = entered(&["seed", "alice"]);
    let mut rng = Rng::from_seed(&Seed::from_bytes([8; 32]));
    let keys = DeviceKeys::draw(&mut rng);
    let grant = keys.grant(AppId::new("test").unwrap(), WALL, WALL + Duration::from_secs(7 * 24 * 3_600));
    let tablet = keys.credentials(Delegation::sign(&identity("alice"), &grant).unwrap());
    net.add("tablet", tablet, BTreeMap::new(), 0);
    net.add("carol", credentials("carol", "test"), BTreeMap::new(), 0);
    net.run();
    for at in [2, 3] {
        enter(&mut net, at, 0);
    }
    net.pass(Duration::from_secs(30));
    assert_eq!(looked(&mut net, 3, 1), (2, 0), "{}", net.ladder());
    net.cut_all(2);
    assert_eq!(looked(&mut net, 3, 1), (1, 1));
    // A device that has gone for good is listed until its record ends, and then no more.
    suspend(&mut net, 2);
    assert_eq!(looked(&mut net, 3, 1), (1, 1));
    net.pass(Duration::from_secs(2 * 3_600 + 600));
    assert_eq!(looked(&mut net, 3, 1), (1, 0));
}

// spec-test: DHT-157, DHT-162
#[test]
fn who_is_not_to_be_found_is_bound_nowhere_and_after_sleep_it_is_bound_again() {
    let mut net = entered(&["seed", "alice"]);
    net.pass(Duration::from_secs(10));
    assert_eq!((view(&net, 1).0, view(&net, 0).1), (1, 1));
    for policy in [DhtPolicy::Nobody, DhtPolicy::Contacts] {
        net.command(1, Command::publish(policy, [])).unwrap();
        net.pass(Duration::from_millis(500));
        assert_eq!((view(&net, 1).0, view(&net, 0).1), (0, 0), "nor does its entry peer say so any more");
        assert_eq!(looked(&mut net, 0, 1), (0, 1));
        assert_eq!((view(&net, 0).1, services(&net, 1, true)), (0, 1), "the link with it was dialled again");
        net.command(1, Command::publish(DhtPolicy::Everyone, [])).unwrap();
        net.pass(Duration::from_secs(60));
        assert_eq!((view(&net, 1).0, view(&net, 0).1), (1, 1), "{}", net.ladder());
    }
    suspend(&mut net, 1);
    assert_eq!(view(&net, 0).1, 0);
    let (now, place) = (net.now, net.seats[1].at);
    net.seats[1].driver.handle(now, Event::addresses(&[place], true));
    net.pass(Duration::from_secs(60));
    assert_eq!((view(&net, 1).0, view(&net, 0).1), (1, 1), "{}", net.ladder());
}

// spec-test: DHT-157, LINK-13
#[test]
fn it_opens_no_more_links_than_it_may_and_none_if_it_is_not_to_be_bound() {
    for (config, bound) in
        [(Config::test().dht_binds(0), 0), (Config::test().dht_binds(2), 2), (Config::test().links_service_out_max(3), 3)]
    {
        let mut net = Net::new(&["seed", "b", "c", "d", "e"]);
        net.config = config;
        net.add("alice", credentials("alice", "test"), BTreeMap::new(), 0);
        net.run();
        for at in 1..6 {
            enter(&mut net, at, 0);
        }
        net.pass(Duration::from_secs(60));
        assert_eq!(view(&net, 5).0, bound, "{}", net.ladder());
        assert!(services(&net, 5, true) <= 3, "an entry peer, and those that it is bound to");
    }
}
