//! Nodes that find each other through the DHT: datagrams are delivered at once, whoever is dialled answers.

use super::super::explain_tests::identity;
use super::*;

/// The first is everybody's entry peer, and has none itself.
pub(super) fn entered(names: &[&str]) -> Net {
    let mut net = Net::new(names);
    for at in 1..names.len() {
        enter(&mut net, at, 0);
    }
    net.pass(Duration::from_secs(10));
    net
}

pub(super) fn entry(net: &Net, at: usize) -> Entry {
    Entry { address: net.seats[at].at.into(), key: None }
}

pub(super) fn enter(net: &mut Net, at: usize, peer: usize) {
    let entry = entry(net, peer);
    net.command(at, Command::enter([entry])).unwrap();
}

fn locate(net: &mut Net, at: usize, whom: usize) -> Tag {
    let user = net.user(whom);
    net.command(at, Command::locate(user)).unwrap()
}

/// Where each device was found for good, and whether the search has ended, and how.
fn located(net: &Net, at: usize, tag: Tag) -> (Vec<Vec<SocketAddr>>, Option<Result<bool, FailReason>>) {
    let mut places = Vec::new();
    let mut end = None;
    for notice in &net.seats[at].table.notices {
        if let Notice::Dht(DhtNotice::Found { tag: of, addresses, is_final: true, .. }) = notice
            && *of == tag
        {
            places.push(addresses.to_vec());
        } else if let Notice::Dht(DhtNotice::Ended { tag: of, is_partial, .. }) = notice
            && *of == tag
        {
            end = Some(Ok(*is_partial));
        } else if let Notice::Failed { tag: of, why } = notice
            && *of == tag
        {
            end = Some(Err(*why));
        }
    }
    (places, end)
}

pub(super) fn ask(net: &mut Net, at: usize, whom: usize) -> (Vec<Vec<SocketAddr>>, Option<Result<bool, FailReason>>) {
    let tag = locate(net, at, whom);
    net.pass(Duration::from_secs(6));
    located(net, at, tag)
}

fn published(net: &Net, at: usize, record: DhtRecord) -> usize {
    let is_it = |notice: &&Notice| matches!(notice, Notice::Dht(DhtNotice::Published { record: of, is_enough: true, .. }) if *of == record);
    net.seats[at].table.notices.iter().filter(is_it).count()
}

pub(super) fn suspend(net: &mut Net, at: usize) {
    net.command(at, Command::Suspend).unwrap();
    net.pass(Duration::from_secs(1));
    assert!(net.has(at, |notice| *notice == Notice::Quiet));
}

fn wake(net: &mut Net, at: usize) {
    let (now, place) = (net.now, net.seats[at].at);
    net.seats[at].driver.handle(now, Event::addresses(&[place], true));
    net.pass(Duration::from_secs(10));
}

// spec-test: DHT-158, DHT-165
#[test]
fn who_is_known_by_id_only_is_found_through_an_entry_peer_and_gets_the_message() {
    let mut net = entered(&["seed", "alice", "carol"]);
    assert!(published(&net, 1, DhtRecord::Device) > 0 && published(&net, 1, DhtRecord::Address) > 0, "{:#?}", net.seats[1].table.notices);
    assert!(net.seats[0].driver.node().dht().is_some_and(|view| view.realms.iter().any(|realm| realm.standing == DhtStanding::Serving)));
    let tag = net.send(2, 1, "hello", Keep::Disk);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.got(1), ["\"hello\""], "{}", net.ladder());
    assert!(net.has(2, |notice| *notice == Notice::Delivered { tag, device: None }));
    let user = net.user(1);
    let explanation = net.seats[2].driver.node().explain(user);
    assert_eq!(explanation.look_up.map(|look_up| look_up.outcome), Some(LookUpOutcome::Found));
    assert_eq!(explanation.located[0].attempt.map(|attempt| attempt.outcome), Some(AttemptOutcome::Linked));
    // Nobody was searched for through links, and nobody's address book has changed.
    assert_eq!((explanation.searches.len(), explanation.addresses.len()), (0, 0));
}

// spec-test: DHT-92
#[test]
fn the_copy_that_a_node_keeps_itself_is_told_as_its_own_and_is_not_found_in_the_network() {
    let mut net = entered(&["seed", "alice"]);
    assert_eq!(ask(&mut net, 0, 1), (vec![vec![net.seats[1].at]], Some(Ok(false))), "she says so herself");
    suspend(&mut net, 1);
    let tag = locate(&mut net, 0, 1);
    net.pass(Duration::from_secs(6));
    let own =
        |notice: &Notice| matches!(notice, Notice::Dht(DhtNotice::Found { tag: of, is_final: false, is_local: true, .. }) if *of == tag);
    assert!(net.has(0, own), "{:#?}", net.seats[0].table.notices);
    let (places, end) = located(&net, 0, tag);
    assert!(places.is_empty() && matches!(end, Some(Err(_))), "{places:?} {end:?}");
    // It is tried all the same, but no word of the network.
    let send = net.send(0, 1, "are you there?", Keep::Memory);
    net.pass(Duration::from_secs(30));
    let explanation = net.seats[0].driver.node().explain(net.user(1));
    let outcome = explanation.look_up.map(|look_up| look_up.outcome);
    assert!(outcome.is_some_and(|outcome| outcome != LookUpOutcome::Found), "{explanation}");
    assert!(explanation.located.iter().any(|place| place.attempt.is_some()), "{explanation}");
    assert!(net.has(0, |notice| matches!(notice, Notice::Failed { tag, .. } if *tag == send)));
}

// spec-test: DHT-92
#[test]
fn a_look_up_that_nobody_waits_for_any_more_has_found_only_what_others_have_said() {
    for is_awake in [true, false] {
        let mut net = entered(&["seed", "alice"]);
        if !is_awake {
            suspend(&mut net, 1);
        }
        let user = net.user(1);
        net.command(0, Command::find(user)).unwrap();
        net.pass(Duration::from_millis(1));
        let look_up = |net: &Net| net.seats[0].driver.node().explain(user);
        assert_eq!(look_up(&net).located.len(), 1, "its own copy is tried at once");
        net.command(0, Command::Forget { user }).unwrap();
        let outcome = look_up(&net).look_up.map(|look_up| look_up.outcome);
        assert_eq!(outcome, Some(if is_awake { LookUpOutcome::Found } else { LookUpOutcome::Unsure }));
    }
}

// spec-test: DHT-158
#[test]
fn a_node_that_knows_nobody_has_no_dht_until_somebody_asks_it_and_none_at_all_without_leave() {
    for takes_part in [1, 0] {
        let mut net = Net::empty(Config::test().dht(takes_part));
        net.add("seed", credentials("seed", "test"), BTreeMap::new(), 0);
        net.config = Config::test();
        net.add("alice", credentials("alice", "test"), BTreeMap::new(), 0);
        net.pass(Duration::from_secs(60));
        let has_dht = |net: &Net| net.seats[0].driver.node().dht().is_some();
        assert!(!has_dht(&net) && net.seats[0].driver.node().stats().dht_in == 0);
        let (now, place) = (net.now, net.seats[0].at);
        for junk in [&b""[..], b"{}", b"hello", br#"{"v":1,"t":"R9xUDJTOtwQ","r":"ping"}"#] {
            let path = Path { local: place, remote: "10.0.0.9:1".parse().unwrap() };
            net.seats[0].driver.handle(now, Event::datagram(path, junk));
            assert!(!has_dht(&net), "who asks for nothing begins nothing");
        }
        enter(&mut net, 1, 0);
        net.pass(Duration::from_secs(10));
        assert_eq!(has_dht(&net), takes_part == 1);
        let stats = net.seats[0].driver.node().stats();
        assert_eq!((stats.dht_in > 0, stats.datagrams_dropped > 4), (takes_part == 1, takes_part == 0));
        assert_eq!(published(&net, 1, DhtRecord::Address) > 0, takes_part == 1);
    }
}

// spec-test: DHT-165
#[test]
fn a_user_whose_address_has_changed_is_found_while_the_old_one_is_still_dialled() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let user = net.user(1);
    net.command(2, Command::introduce(user, ["10.0.0.77:7575".parse().unwrap()])).unwrap();
    net.send(2, 1, "moved", Keep::Memory);
    net.pass(Duration::from_millis(10));
    assert_eq!(net.got(1), ["\"moved\""], "the old one refuses at once");
    // The link falls; where she was found is tried first the next time, without asking anybody.
    net.cut_all(2);
    let asked = net.seats[2].driver.node().stats().dht_requests_out;
    net.send(2, 1, "again", Keep::Memory);
    net.pass(Duration::from_secs(2));
    let requests = net.seats[2].driver.node().stats().dht_requests_out - asked;
    assert_eq!((net.got(1).len(), requests), (2, 0));
}

// spec-test: DHT-165
#[test]
fn whoever_is_not_in_the_dht_is_not_found_and_without_anybody_in_it_that_is_said() {
    let mut net = entered(&["seed", "alice"]);
    let stranger = credentials("nobody", "test").delegation().user();
    let tag = net.command(1, Command::find(stranger)).unwrap();
    net.pass(Duration::from_millis(1));
    assert!(!net.has(1, |notice| matches!(notice, Notice::Failed { .. })), "it is tried again first");
    net.pass(Duration::from_secs(20));
    assert!(net.has(1, |notice| *notice == Notice::Failed { tag, why: FailReason::NotFound }), "{:#?}", net.seats[1].table.notices);
    let explanation = net.seats[1].driver.node().explain(stranger);
    assert_eq!(explanation.look_up.map(|look_up| look_up.outcome), Some(LookUpOutcome::NotFound));
    assert!(explanation.to_string().contains("nobody there knows the user"), "{explanation}");

    let mut net = Net::new(&["alice"]);
    net.command(0, Command::enter(["10.0.0.9:7575".parse().unwrap()])).unwrap();
    let (tag, only) = (net.command(0, Command::find(stranger)).unwrap(), net.command(0, Command::locate(stranger)).unwrap());
    net.pass(Duration::from_secs(20));
    for tag in [tag, only] {
        assert!(net.has(0, |notice| *notice == Notice::Failed { tag, why: FailReason::NoNetwork }), "{:#?}", net.seats[0].table.notices);
    }
    let explanation = net.seats[0].driver.node().explain(stranger);
    assert_eq!(explanation.look_up.map(|look_up| look_up.outcome), Some(LookUpOutcome::NoNetwork));
    net.pass(Duration::from_secs(120));
    let isolated = |notice: &Notice| matches!(notice, Notice::Dht(DhtNotice::Standing { standing: DhtStanding::Isolated, .. }));
    assert_eq!(net.seats[0].table.notices.iter().filter(|notice| isolated(notice)).count(), 1);
}

// spec-test: DHT-167
#[test]
fn locate_tells_each_device_once_for_good_and_links_with_nobody() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let place = net.seats[1].at;
    assert_eq!(ask(&mut net, 2, 1), (vec![vec![place]], Some(Ok(false))));
    assert_eq!(net.seats[2].driver.node().links().filter(|link| matches!(link.with, LinkPeer::User(_))).count(), 0);
    let (user, device) = (net.user(1), net.seats[1].driver.node().me().device);
    let other = DeviceId::from_bytes([9; 16]);
    for (app, device, count) in [(None, Some(device), 1), (None, Some(other), 0), (Some(AppId::new("other").unwrap()), None, 0)] {
        let tag = net.command(2, Command::Locate { user, app, device }).unwrap();
        net.pass(Duration::from_secs(6));
        let (places, end) = located(&net, 2, tag);
        assert_eq!((places.len(), end), (count, Some(if count > 0 { Ok(false) } else { Err(FailReason::NotFound) })));
    }
    // As many as the configuration says at once.
    let asked: Vec<_> = (0..100).map(|_| net.command(2, Command::locate(user)).map(|_| ())).collect();
    assert_eq!(asked.iter().filter(|asked| asked.is_ok()).count(), 64);
    assert_eq!(asked[64..], [Err(CommandError::Full); 36]);
}

// spec-test: DHT-162
#[test]
fn who_is_told_is_as_the_application_says_and_over_a_restart() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let place = net.seats[1].at;
    net.command(1, Command::publish(DhtPolicy::Nobody, [])).unwrap();
    net.pass(Duration::from_secs(30));
    assert_eq!(ask(&mut net, 2, 1), (vec![vec![]], Some(Ok(false))), "it is nowhere");
    net.pass(Duration::from_secs(40));
    let before = published(&net, 1, DhtRecord::Device);
    net.restart(1, "alice", 1);
    net.pass(Duration::from_secs(8_000));
    assert_eq!(net.seats[1].driver.node().publishing().policy, DhtPolicy::Nobody);
    assert_eq!(ask(&mut net, 2, 1).1, Some(Err(FailReason::NotFound)));
    assert_eq!(published(&net, 1, DhtRecord::Device), 0, "{before} before");
    net.command(1, Command::publish(DhtPolicy::Everyone, ["10.0.0.99:443".parse().unwrap()])).unwrap();
    net.pass(Duration::from_secs(30));
    assert_eq!(ask(&mut net, 2, 1).0, [vec!["10.0.0.99:443".parse().unwrap(), place]], "what was configured first");
    assert_eq!(net.command(1, Command::publish(DhtPolicy::Everyone, vec![place; 9])), Err(CommandError::Address));
    // A wider circle is closed to addresses alone.
    net.command(1, Command::publish(DhtPolicy::Contacts, [])).unwrap();
    net.pass(Duration::from_secs(3 * 3_600));
    assert_eq!(ask(&mut net, 2, 1), (vec![], Some(Err(FailReason::NotFound))));
    assert!(published(&net, 1, DhtRecord::Device) > 0);
}

// spec-test: DHT-162
#[test]
fn who_says_twice_that_nobody_is_told_is_forgotten_as_soon() {
    for first in [DhtPolicy::Contacts, DhtPolicy::Nobody] {
        let mut net = entered(&["seed", "alice", "carol"]);
        net.pass(Duration::from_secs(30));
        net.command(1, Command::publish(DhtPolicy::Nobody, [])).unwrap();
        net.command(1, Command::publish(DhtPolicy::Everyone, [])).unwrap();
        net.pass(Duration::from_secs(2));
        for policy in [first, DhtPolicy::Nobody] {
            net.command(1, Command::publish(policy, [])).unwrap();
            net.pass(Duration::from_secs(1));
        }
        net.pass(Duration::from_secs(30));
        assert!(ask(&mut net, 2, 1).0.iter().all(Vec::is_empty), "{first:?} first");
    }
}

// spec-test: DHT-161
#[test]
fn a_node_that_starts_again_knows_the_network_from_its_store_and_leaves_out_what_is_damaged() {
    let mut net = entered(&["seed", "alice", "carol"]);
    suspend(&mut net, 2);
    let items = |net: &Net| net.seats[2].store.keys().filter(|key| key.first() == Some(&b't')).count();
    assert_eq!(items(&net), 5, "reach, table, leaves, numbers, and what was accepted");
    // Its entry peers are forgotten, and nobody asks it: all that it has is the stored table.
    net.seats[2].store.remove(&b"e"[..]);
    let healthy = net.seats[2].store.clone();
    net.restart(2, "carol", 1);
    net.pass(Duration::from_secs(10));
    assert_eq!(ask(&mut net, 2, 1).0.len(), 1);
    assert_eq!(net.seats[2].driver.node().stats().dht_items_refused, 0);
    // Damaged, of another version, of another kind, too long.
    for (life, value) in [(2, vec![0xFF; 40]), (3, vec![9]), (4, vec![]), (5, vec![1; 1 << 20])] {
        let mut store = healthy.clone();
        store.iter_mut().filter(|(key, _)| key.first() == Some(&b't')).for_each(|(_, stored)| stored.clone_from(&value));
        store.insert(b"tunknown".to_vec(), vec![1]);
        net.seats[2].store = store;
        net.restart(2, "carol", life);
        net.run();
        let stats = *net.seats[2].driver.node().stats();
        assert!(net.has(2, |notice| matches!(notice, Notice::Started { .. })), "{value:?}");
        assert!((5..=6).contains(&stats.dht_items_refused), "{life}: {stats:?}");
        enter(&mut net, 2, 0);
        net.pass(Duration::from_secs(10));
        assert_eq!(ask(&mut net, 2, 1).0.len(), 1, "{life}");
    }
}

// spec-test: DHT-164
#[test]
fn a_node_that_sleeps_sends_nothing_and_when_it_wakes_it_is_found_and_finds() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let waits = locate(&mut net, 1, 2);
    suspend(&mut net, 1);
    assert!(matches!(located(&net, 1, waits).1, Some(Ok(_) | Err(FailReason::NoNetwork))));
    assert_eq!((net.seats[1].driver.deadline(), net.seats[1].driver.node().dht()), (None, None));
    let sent = net.seats[1].driver.node().stats().dht_bytes_out;
    // What it has published stands.
    assert_eq!(ask(&mut net, 2, 1).0.len(), 1);
    net.pass(Duration::from_secs(2 * 3_600));
    assert_eq!(net.seats[1].driver.node().stats().dht_bytes_out, sent);
    assert_eq!(ask(&mut net, 2, 1).0.len(), 0, "until it ends");
    let before = published(&net, 1, DhtRecord::Address);
    wake(&mut net, 1);
    assert!(
        published(&net, 1, DhtRecord::Address) > before,
        "{:?} {:?}",
        net.seats[1].driver.node().dht(),
        net.seats[1].driver.node().stats()
    );
    assert_eq!((ask(&mut net, 2, 1).0.len(), ask(&mut net, 1, 2).0.len()), (1, 1));
}

// spec-test: DHT-166
#[test]
fn a_revoked_device_is_not_dialled_wherever_its_records_are_and_who_looks_learns_why() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let user = net.user(1);
    // Alice's identity takes her device back; her node tells the network, and itself acts no more.
    let targets = |before: WallTime| {
        let entry = RevocationEntry { before, end: WALL + Duration::from_secs(7 * 24 * 3_600) };
        [(RevocationTarget::All, entry)].into_iter().collect()
    };
    let revocation =
        Revocation::sign(&identity("alice"), AppId::new("test").unwrap(), 1, targets(WALL + Duration::from_secs(3_600))).unwrap();
    net.add("phone", credentials_of("alice", WALL + Duration::from_secs(7_200)), BTreeMap::new(), 0);
    net.run();
    let wall = WALL + Duration::from_secs(7_300);
    let now = net.now;
    net.seats.iter_mut().for_each(|seat| seat.driver.handle(now, Event::clock(wall)));
    enter(&mut net, 3, 0);
    net.pass(Duration::from_secs(10));
    net.command(3, Command::revoke(revocation)).unwrap();
    net.pass(Duration::from_secs(60));
    let before = net.seats[1].pipes.len();
    let tag = net.send(2, 1, "hello", Keep::Memory);
    net.pass(Duration::from_secs(5));
    assert_eq!((net.got(1).len(), net.got(3)), (0, vec!["\"hello\"".to_string()]), "{:#?}", net.seats[2].driver.node().explain(user));
    assert!(net.has(2, |notice| *notice == Notice::Delivered { tag, device: None }));
    assert_eq!(net.seats[1].pipes.len(), before, "the old device was not dialled");
    assert!(net.has(2, |notice| *notice == Notice::Dht(DhtNotice::RevocationFound { user })), "{:#?}", net.seats[2].table.notices);
}

/// Another device of somebody, whose delegation begins then.
fn credentials_of(name: &str, from: WallTime) -> Credentials {
    let mut rng = Rng::from_seed(&Seed::from_bytes([77; 32])).fork(name, 0);
    let keys = DeviceKeys::draw(&mut rng);
    let grant = keys.grant(AppId::new("test").unwrap(), from, from + Duration::from_secs(7 * 24 * 3_600));
    keys.credentials(Delegation::sign(&identity(name), &grant).unwrap())
}

// spec-test: DHT-159
#[test]
fn an_entry_peer_with_a_name_is_looked_up_and_found_again_where_the_name_leads_later() {
    for out in [8, 0] {
        let mut net = Net::new(&["seed", "alice"]);
        net.config = Config::test().links_service_out_max(out);
        net.add("carol", credentials("carol", "test"), BTreeMap::new(), 0);
        net.run();
        enter(&mut net, 1, 0);
        net.command(2, Command::enter(["seed.test:7575".parse().unwrap()])).unwrap();
        net.pass(Duration::from_secs(10));
        assert_eq!(net.seats[2].driver.node().dht().unwrap().realms[0].nodes, 0, "the name is unknown");
        net.names.insert("seed.test".into(), net.seats[0].at);
        let (now, place) = (net.now, net.seats[2].at);
        net.seats[2].driver.handle(now, Event::addresses(&[place], false));
        net.pass(Duration::from_secs(10));
        assert_eq!(ask(&mut net, 2, 1).0.len(), 1, "{out}");
        // The seed is gone, and Alice has its name.
        net.seats[0].at = "10.0.0.250:7575".parse().unwrap();
        net.names.insert("seed.test".into(), net.seats[1].at);
        net.cut_all(2);
        net.restart(2, "carol", 1);
        net.pass(Duration::from_secs(20));
        assert_eq!(ask(&mut net, 2, 1).0.len(), 1, "{out}");
    }
}

// spec-test: NODE-5, NODE-6
#[test]
fn between_its_deadlines_a_node_with_a_dht_has_nothing_to_do() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let end = net.now + Duration::from_secs(3_600);
    let mut wakes = 0;
    while let Some(next) = net.seats.iter().filter_map(|seat| seat.driver.deadline()).min().filter(|next| *next <= end) {
        // Early by a microsecond nothing happens.
        net.now = Time::from_micros(next.as_micros() - 1).max(net.now);
        for seat in &mut net.seats {
            let before = (seat.driver.deadline(), *seat.driver.node().stats());
            seat.driver.handle(net.now, Event::Tick);
            assert!(seat.driver.deadline() == before.0 || net.now == next);
            assert!(*seat.driver.node().stats() == before.1 || net.now == next);
        }
        net.now = next;
        net.run();
        wakes += 1;
    }
    assert!((100..4_000).contains(&wakes), "{wakes} wakes of three nodes in an hour");
}

// spec-test: NODE-9
#[test]
fn the_same_inputs_give_the_same_datagrams() {
    let log = || {
        let sent = alloc::rc::Rc::new(core::cell::RefCell::new(Vec::new()));
        let mut net = Net::new(&["seed", "alice", "carol"]);
        let all = sent.clone();
        net.weather = Some(alloc::boxed::Box::new(move |path, bytes| {
            all.borrow_mut().push((path, bytes.clone()));
            vec![(path, bytes)]
        }));
        enter(&mut net, 1, 0);
        enter(&mut net, 2, 0);
        net.pass(Duration::from_secs(60));
        net.send(2, 1, "hello", Keep::Disk);
        net.pass(Duration::from_secs(1_200));
        sent.take()
    };
    let (first, second) = (log(), log());
    assert!(first.len() > 100 && first == second, "{} and {}", first.len(), second.len());
}

// spec-test: DHT-160
#[test]
fn a_device_whose_delegation_has_ended_takes_its_renewal_from_the_dht() {
    let mut net = entered(&["seed", "alice"]);
    let (week, now) = (Duration::from_secs(7 * 24 * 3_600), net.now);
    let set_clock = |net: &mut Net, wall| {
        net.seats.iter_mut().for_each(|seat| seat.driver.handle(now, Event::clock(wall)));
        net.run();
    };
    set_clock(&mut net, WALL + week + Duration::from_secs(700));
    assert!(net.has(1, |notice| *notice == Notice::Expired));
    // Whoever holds the identity signs another for the same device, and has it published elsewhere.
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork("alice", 0);
    let (identity, keys) = (IdentitySecret::from_bytes(rng.array()), DeviceKeys::draw(&mut rng));
    let until = WALL + week + week;
    let delegation = Delegation::sign(&identity, &keys.grant(AppId::new("test").unwrap(), WALL + week, until)).unwrap();
    net.add("alice", keys.credentials(delegation), BTreeMap::new(), 3);
    net.run();
    set_clock(&mut net, WALL + week + Duration::from_secs(700));
    enter(&mut net, 2, 0);
    net.pass(Duration::from_secs(30));
    assert!(net.has(1, |notice| *notice == Notice::Renewed { until }), "{:#?}", net.seats[1].table.notices);
    assert_eq!(net.command(1, Command::find(net.user(0))).map(|_| ()), Ok(()), "commands are taken again");
}

// spec-test: DHT-163
#[test]
fn an_application_that_takes_nothing_hears_how_its_node_stands_once_there_is_room() {
    let mut net = Net::empty(Config::test().notices_max(64));
    for name in ["seed", "alice"] {
        net.add(name, credentials(name, "test"), BTreeMap::new(), 0);
    }
    net.run();
    net.seats[1].takes = false;
    let nobody = credentials("nobody", "test").delegation().user();
    let standings = |net: &Net| {
        let standing =
            |notice: &Notice| if let Notice::Dht(DhtNotice::Standing { standing, .. }) = notice { Some(*standing) } else { None };
        net.seats[1].table.notices.iter().filter_map(standing).collect::<Vec<_>>()
    };
    let before = net.seats[1].table.notices.len();
    // Its DHT begins with the first of these, and nobody is there who could be waited for.
    let asked = (0..40).filter(|_| net.command(1, Command::locate(nobody)).is_ok()).count();
    assert_eq!(asked, 40);
    enter(&mut net, 1, 0);
    // Nobody answers any more, then somebody does, and again nobody.
    let place = net.seats[0].at;
    for at in ["10.0.0.250:7575".parse().unwrap(), place, "10.0.0.250:7575".parse().unwrap()] {
        net.pass(Duration::from_secs(30));
        net.seats[0].at = at;
        net.pass(Duration::from_secs(7_200));
    }
    assert_eq!(standings(&net), [DhtStanding::Serving], "half of all places are for what else happens");
    let (now, waiting) = (net.now, net.seats[1].table.notices.len() - before);
    net.seats[1].driver.handle(now, Event::taken(waiting as u64, &[]));
    net.run();
    assert_eq!(standings(&net), [DhtStanding::Serving, DhtStanding::Isolated]);
}
