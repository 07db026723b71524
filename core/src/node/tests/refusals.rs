//! Who is turned away, with which reason on both sides, and how links end.

use super::*;

fn made(name: &str, app: &str, from: WallTime, until: WallTime) -> (IdentitySecret, Credentials) {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0);
    let identity = IdentitySecret::from_bytes(rng.array());
    let keys = DeviceKeys::draw(&mut rng);
    let delegation = Delegation::sign(&identity, &keys.grant(AppId::new(app).unwrap(), from, until)).unwrap();
    (identity, keys.credentials(delegation))
}

/// Bob, and an Alice of another making.
fn bob_and(credentials: Credentials) -> Net {
    let mut net = Net::new(&["bob"]);
    net.add("alice", credentials, BTreeMap::new(), 0);
    net.run();
    net
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// The reason that node `at` gave for a pipe that it dialled, or that somebody dialled.
fn refused(net: &Net, at: usize, dialled: bool) -> Option<CloseReason> {
    let why = |notice: &Notice| {
        if let Notice::Refused { dialled: it, why, .. } = notice { (*it == dialled).then_some(*why) } else { None }
    };
    net.seats[at].table.notices.iter().find_map(why)
}

fn down(net: &Net, at: usize) -> Option<CloseReason> {
    net.seats[at].table.notices.iter().find_map(|notice| if let Notice::LinkDown { why, .. } = notice { Some(*why) } else { None })
}

fn linked() -> Net {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Memory);
    net.run();
    assert_eq!(net.seats[0].driver.node().links().count(), 1);
    net
}

// spec-test: HS-6, HS-8, LINK-30
#[test]
fn each_refusal_has_its_own_reason_on_both_sides_and_delivers_nothing() {
    let week = WALL + hours(24 * 7);
    let revocation = |identity: &IdentitySecret| {
        let entry = RevocationEntry { before: WALL + hours(1), end: week + hours(1) };
        Revocation::sign(identity, AppId::new("test").unwrap(), 1, [(RevocationTarget::All, entry)].into()).unwrap()
    };
    let (identity, alice) = made("alice", "test", WALL, week);
    let cases = [
        (CloseReason::App, made("alice", "other", WALL, week).1, Duration::ZERO, false),
        (CloseReason::Expired, made("alice", "test", WALL - hours(2), WALL + hours(1)).1, hours(2), false),
        (CloseReason::NotYet, made("alice", "test", WALL + hours(1), week).1, Duration::ZERO, false),
        (CloseReason::Revoked, alice, Duration::ZERO, true),
    ];
    for (why, credentials, ahead, revoked) in cases {
        let mut net = bob_and(credentials);
        let now = net.now;
        net.seats[0].driver.handle(now, Event::clock(WALL + ahead));
        if revoked {
            net.command(0, Command::revoke(revocation(&identity))).unwrap();
        }
        net.introduce(0, 1);
        net.send(0, 1, "hello", Keep::Memory);
        net.run();
        assert_eq!((refused(&net, 0, true), refused(&net, 1, false)), (Some(why), Some(why)));
        assert_eq!((net.got(1), net.seats[0].driver.node().links().count()), (vec![], 0));
    }
}

// spec-test: HS-6, ID-8
#[test]
fn a_peer_whose_clock_is_a_day_off_is_linked_to_the_millisecond_at_which_its_delegation_counts() {
    let (day, tolerance, millisecond) = (hours(24), Duration::from_millis(CLOCK_TOLERANCE_MS), Duration::from_millis(1));
    let (begin, end) = (WALL - day, WALL + day);
    for (from, until, ahead, why) in [
        (WALL, end, day, None),
        (WALL, end - tolerance + millisecond, day, None),
        (WALL, end - tolerance, day, Some(CloseReason::Expired)),
        (WALL, end + day, day, None),
    ] {
        assert_eq!(outcome(from, until, WALL + ahead), why, "a day ahead");
    }
    for (from, why) in [
        (begin, None),
        (begin + tolerance, None),
        (begin + tolerance + millisecond, Some(CloseReason::NotYet)),
        (WALL, Some(CloseReason::NotYet)),
    ] {
        assert_eq!(outcome(from, end, WALL - day), why, "a day behind");
    }
}

/// Why a node whose clock says `wall` refuses an Alice with a delegation for this time. `None`: they talk.
fn outcome(from: WallTime, until: WallTime, wall: WallTime) -> Option<CloseReason> {
    let (_, bob) = made("bob", "test", WALL - hours(48), WALL + hours(48));
    let (_, alice) = made("alice", "test", from, until);
    let mut net = Net::new(&[]);
    for (name, credentials) in [("bob", bob), ("alice", alice)] {
        net.add(name, credentials, BTreeMap::new(), 0);
    }
    let now = net.now;
    net.seats[0].driver.handle(now, Event::clock(wall));
    net.run();
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Memory);
    net.run();
    assert_eq!(net.got(1).len(), usize::from(refused(&net, 0, true).is_none()));
    refused(&net, 0, true)
}

// spec-test: HS-4, HS-6
#[test]
fn somebody_else_at_the_address_and_oneself_are_told_apart() {
    let mut net = Net::new(&["bob", "alice", "carol"]);
    let (carol, alice) = (net.user(2), net.seats[1].at);
    net.command(0, Command::introduce(carol, [alice.into()])).unwrap();
    net.command(0, Command::find(carol)).unwrap();
    net.run();
    assert_eq!((refused(&net, 0, true), refused(&net, 1, false)), (Some(CloseReason::WrongPeer), Some(CloseReason::WrongPeer)));
    let mut net = Net::new(&["bob"]);
    net.introduce(0, 0);
    let me = net.user(0);
    net.command(0, Command::find(me)).unwrap();
    net.run();
    assert_eq!((refused(&net, 0, true), refused(&net, 0, false)), (Some(CloseReason::Oneself), Some(CloseReason::Oneself)));
}

// spec-test: HS-9, FIND-3
#[test]
fn an_entry_peer_with_another_key_than_the_given_one_is_refused_and_else_the_first_one_is_kept() {
    let mut net = Net::new(&["bob", "alice"]);
    let (address, key) = (net.seats[1].at, net.seats[1].driver.node().node_key().unwrap());
    let wrong = net.seats[0].driver.node().node_key();
    net.command(0, Command::enter([Entry { address: address.into(), key: wrong }])).unwrap();
    net.run();
    assert_eq!((refused(&net, 0, true), refused(&net, 1, false)), (Some(CloseReason::WrongKey), Some(CloseReason::WrongKey)));
    let entry = Entry { address: address.into(), key: None };
    net.command(0, Command::enter([entry.clone()])).unwrap();
    net.run();
    assert!(net.has(0, |n| matches!(n, Notice::LinkUp { with: LinkPeer::Service(found), dialled: true, .. } if *found == key)));
    let shown =
        |net: &Net| net.seats[0].driver.node().inspect().entries.into_iter().map(|view| (view.linked, view.attempt)).collect::<Vec<_>>();
    let is = |outcome| move |(linked, attempt): &(bool, Option<Attempt>)| (*linked, attempt.map(|attempt| attempt.outcome)) == outcome;
    assert!(shown(&net).iter().all(is((true, Some(AttemptOutcome::Linked)))), "{:?}", shown(&net));
    // Alice's machine is made anew: another key under the same address.
    net.seats[1].store.clear();
    net.restart(1, "alice", 1);
    net.pass(Duration::from_secs(10));
    let new = net.seats[1].driver.node().node_key().unwrap();
    assert!(net.has(0, |n| matches!(n, Notice::EntryChanged { entry: it, key } if *it == entry && *key == new)));
}

// spec-test: HS-1, HS-2
#[test]
fn bytes_that_are_no_preamble_get_no_answer() {
    let mut net = Net::new(&["bob"]);
    let (now, pipe, at) = (net.now, PipeId::new(900), net.seats[0].at);
    let seat = &mut net.seats[0];
    seat.driver.handle(now, Event::pipe_opened(pipe, None, at, at));
    seat.driver.handle(now, Event::pipe_bytes(pipe, b"GET / HTTP/1.1\r\n\r\n"));
    let _ = seat.driver.drive(&mut seat.table, now, 100);
    assert!(matches!(seat.table.done.make_contiguous(), [Done::Close(it)] if *it == pipe));
    assert_eq!(refused(&net, 0, false), Some(CloseReason::Preamble));
}

// spec-test: LINK-10, LINK-11
#[test]
fn a_link_that_is_silent_for_three_periods_is_closed() {
    let mut net = linked();
    net.seats[0].pipes.clear();
    net.seats[1].pipes.clear();
    net.pass(Duration::from_secs(74));
    assert_eq!(down(&net, 0), None);
    net.pass(Duration::from_secs(1));
    assert_eq!(down(&net, 0), Some(CloseReason::Silent));
}

// spec-test: LINK-12
#[test]
fn a_link_without_messages_is_given_up_and_comes_back_for_the_next_one() {
    let mut net = linked();
    net.pass(Duration::from_secs(59));
    assert_eq!(down(&net, 0), None);
    net.pass(Duration::from_secs(60));
    assert_eq!((down(&net, 0), down(&net, 1)), (Some(CloseReason::Idle), Some(CloseReason::Idle)));
    net.send(0, 1, "again", Keep::Memory);
    net.run();
    assert_eq!(net.got(1), ["\"hello\"", "\"again\""]);
}

// spec-test: LINK-15
#[test]
fn a_peer_that_restarted_replaces_its_old_link_at_once() {
    let mut net = linked();
    net.introduce(1, 0);
    net.run();
    // Nobody tells Bob that Alice has crashed.
    net.seats[0].pipes.clear();
    net.seats[1].pipes.clear();
    net.restart(1, "alice", 1);
    net.run();
    net.send(1, 0, "I am back", Keep::Memory);
    net.pass(Duration::from_secs(1));
    assert_eq!((down(&net, 0), net.got(0)), (Some(CloseReason::Replaced), vec!["\"I am back\"".to_string()]));
}

// spec-test: LINK-25, NODE-13
#[test]
fn a_renewal_is_told_in_band_and_without_one_both_sides_end_the_link_ten_minutes_after() {
    let until = WALL - Duration::from_secs(590);
    for renew in [false, true] {
        let (identity, credentials) = made("alice", "test", WALL - hours(1), until);
        let mut net = bob_and(credentials.clone());
        net.introduce(0, 1);
        net.send(0, 1, "hello", Keep::Memory);
        net.pass(Duration::from_secs(1));
        let later = WALL + hours(24);
        if renew {
            let grant = Grant { from: WALL, until: later, ..credentials.delegation().grant().clone() };
            net.command(1, Command::renew(Delegation::sign(&identity, &grant).unwrap())).unwrap();
        }
        net.pass(Duration::from_secs(20));
        let ends = net.seats[0].driver.node().links().next().map(|link| link.until);
        if renew {
            assert_eq!((ends, down(&net, 0)), (Some(Some(later)), None));
            assert!(net.has(1, |n| *n == Notice::Renewed { until: later }));
        } else {
            assert_eq!((down(&net, 0), down(&net, 1)), (Some(CloseReason::Expired), Some(CloseReason::Expired)));
            assert!(net.has(1, |n| *n == Notice::Expired));
            assert_eq!(net.command(1, Command::find(UserId::from_bytes([1; 32]))), Err(CommandError::Expired));
        }
    }
}

// spec-test: NODE-13
#[test]
fn a_renewal_is_due_at_half_and_at_nine_tenths_of_a_life_and_it_ends_ten_minutes_after_its_end() {
    let (_, credentials) = made("bob", "test", WALL, WALL + hours(1));
    let mut net = Net::new(&[]);
    net.add("bob", credentials, BTreeMap::new(), 1);
    net.run();
    let due = |net: &Net| net.seats[0].table.notices.iter().filter(|n| **n == Notice::RenewalDue { until: WALL + hours(1) }).count();
    let start = net.now;
    for (minute, before, after) in [(30, 0, 1), (54, 1, 2)] {
        net.pass((start + Duration::from_secs(minute * 60)).since(net.now) - Duration::from_millis(1));
        assert_eq!(due(&net), before, "minute {minute}");
        net.pass(Duration::from_millis(1));
        assert_eq!(due(&net), after, "minute {minute}");
    }
    net.pass((start + Duration::from_secs(70 * 60)).since(net.now) - Duration::from_millis(1));
    assert!(!net.has(0, |n| *n == Notice::Expired));
    net.pass(Duration::from_millis(1));
    assert!(net.has(0, |n| *n == Notice::Expired) && due(&net) == 2);
}

// spec-test: LINK-26, NODE-14
#[test]
fn a_revocation_that_comes_on_a_link_ends_it_and_silences_its_device() {
    let mut net = linked();
    let (identity, _) = made("alice", "test", WALL, WALL + hours(1));
    let entry = RevocationEntry { before: WALL + hours(1), end: WALL + hours(24 * 30) };
    let revocation = Revocation::sign(&identity, AppId::new("test").unwrap(), 1, [(RevocationTarget::All, entry)].into()).unwrap();
    net.command(0, Command::revoke(revocation)).unwrap();
    net.run();
    assert_eq!((down(&net, 0), down(&net, 1)), (Some(CloseReason::Revoked), Some(CloseReason::Revoked)));
    assert!(net.has(1, |n| *n == Notice::Revoked));
}

// spec-test: NODE-14
#[test]
fn a_revoked_device_stays_silent_after_a_restart_and_a_renewal_of_what_is_revoked_is_refused() {
    let (identity, credentials) = made("alice", "test", WALL - hours(1), WALL + hours(1));
    let mut net = bob_and(credentials.clone());
    let entry = RevocationEntry { before: WALL + hours(1), end: WALL + hours(24 * 30) };
    let revocation = Revocation::sign(&identity, AppId::new("test").unwrap(), 1, [(RevocationTarget::All, entry)].into()).unwrap();
    net.command(1, Command::revoke(revocation)).unwrap();
    net.run();
    let store = net.seats[1].store.clone();
    net.add("alice", credentials.clone(), store, 3);
    net.run();
    assert!(net.has(2, |n| *n == Notice::Revoked));
    assert_eq!(net.command(2, Command::find(UserId::from_bytes([1; 32]))), Err(CommandError::Expired));
    let renewed = |from| {
        let grant = Grant { from, until: WALL + hours(24), ..credentials.delegation().grant().clone() };
        Command::renew(Delegation::sign(&identity, &grant).unwrap())
    };
    assert_eq!(net.command(2, renewed(WALL)), Err(CommandError::Renewal(WireError::Window)));
    assert!(net.command(2, renewed(WALL + hours(1))).is_ok());
}
