//! Invitations between nodes: made, used once, kept over crashes, ended to the second.

use super::*;
use crate::id::to_base64;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

impl Net {
    /// The invitation that a node makes for so long.
    pub(super) fn invite(&mut self, at: usize, life: Duration) -> Invitation {
        let tag = self.command(at, Command::invite(life, [])).unwrap();
        self.run();
        let made = |notice: &Notice| {
            if let Notice::Invited { tag: told, invitation } = notice { (*told == tag).then(|| invitation.clone()) } else { None }
        };
        let all: Vec<Invitation> = self.seats[at].table.notices.iter().filter_map(made).collect();
        assert_eq!(all.len(), 1);
        all[0].clone()
    }

    pub(super) fn join(&mut self, at: usize, invitation: &Invitation) -> Tag {
        self.command(at, Command::join(invitation.clone())).unwrap()
    }

    pub(super) fn count(&self, at: usize, wanted: impl Fn(&Notice) -> bool) -> usize {
        self.seats[at].table.notices.iter().filter(|notice| wanted(notice)).count()
    }

    pub(super) fn joined(&self, at: usize) -> usize {
        self.count(at, |notice| matches!(notice, Notice::Joined { .. }))
    }

    pub(super) fn joined_by(&self, at: usize) -> usize {
        self.count(at, |notice| matches!(notice, Notice::JoinedBy { .. }))
    }

    /// Why a join came to nothing.
    pub(super) fn failed(&self, at: usize, tag: Tag) -> Option<FailReason> {
        let why = |notice: &Notice| if let Notice::Failed { tag: told, why } = notice { (*told == tag).then_some(*why) } else { None };
        self.seats[at].table.notices.iter().find_map(why)
    }

    /// The addresses that a node knows of another one's user.
    pub(super) fn knows(&self, at: usize, other: usize) -> Vec<Address> {
        let known = self.seats[at].driver.node().explain(self.user(other)).addresses;
        known.into_iter().map(|view| view.address).collect()
    }

    pub(super) fn stored(&self, at: usize, prefix: u8) -> usize {
        self.seats[at].store.keys().filter(|key| key.first() == Some(&prefix)).count()
    }

    pub(super) fn invitations(&self, at: usize) -> Vec<InvitationView> {
        self.seats[at].driver.node().invitations().collect()
    }

    /// What a node's wall clock says from now on.
    fn set_clock(&mut self, at: usize, wall: WallTime) {
        let now = self.now;
        self.seats[at].driver.handle(now, Event::clock(wall));
        self.run();
    }

    fn wall(&self, at: usize) -> WallTime {
        self.seats[at].driver.node().wall(self.now)
    }
}

pub(super) fn alice_and_eve() -> Net {
    Net::new(&["alice", "eve"])
}

// spec-test: INVITE-3, INVITE-6, INVITE-9, INVITE-10
#[test]
fn an_invitation_brings_two_strangers_into_each_other_s_book_and_leaves_no_more_than_that() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    assert_eq!((invitation.user(), invitation.addresses()), (net.user(0), [net.seats[0].at.into()].as_slice()));
    assert_eq!(net.invitations(0).iter().map(|it| (it.id, it.used_by)).collect::<Vec<_>>(), [(invitation.id(), None)]);
    let line: Invitation = invitation.to_secret_text().as_str().parse().unwrap();
    let tag = net.join(1, &line);
    net.pass(Duration::from_secs(1));
    let (alice, eve) = (net.seats[0].driver.node().me(), net.seats[1].driver.node().me());
    assert!(net.has(1, |notice| *notice == Notice::Joined { tag, peer: alice }), "{}", net.ladder());
    assert!(net.has(0, |notice| *notice == Notice::JoinedBy { peer: eve, invitation: line.id() }), "{}", net.ladder());
    assert_eq!((net.joined(1), net.joined_by(0)), (1, 1));
    assert_eq!((net.knows(0, 1), net.knows(1, 0)), ([net.seats[1].at.into()].to_vec(), [net.seats[0].at.into()].to_vec()));
    assert_eq!(net.invitations(0)[0].used_by, Some(eve.user));
    assert_eq!(net.seats[0].driver.node().inspect().invitations, net.invitations(0));
    assert_eq!((net.stored(0, b'i'), net.stored(1, b'j'), net.stored(0, b'b'), net.stored(1, b'b')), (1, 0, 1, 1));
    // Both reach each other by what they know now.
    net.cut_all(0);
    net.send(0, 1, "to eve", Keep::Disk);
    net.pass(Duration::from_secs(1));
    net.cut_all(0);
    net.send(1, 0, "to alice", Keep::Disk);
    net.pass(Duration::from_secs(5));
    assert_eq!((net.got(0), net.got(1)), (vec!["\"to alice\"".to_string()], vec!["\"to eve\"".to_string()]));
}

#[test]
fn a_ladder_shows_who_joins_whom_and_no_secret() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    // All of it happened at one time, of which a ladder keeps each node's own order.
    let lines = |text: &str| text.lines().map(String::from).collect::<alloc::collections::BTreeSet<_>>();
    assert_eq!(lines(&net.ladder()), lines("eve -> alice: link up\neve -> alice: join\nalice -> eve: joined"));
    let journals: Vec<Journal> = net.seats.iter().filter_map(|seat| seat.driver.journal().cloned()).collect();
    let app = Ladder::of(journals.clone()).detail(Detail::App).to_string();
    assert_eq!(lines(&app), lines("alice: invite\nalice: has an invitation\neve: join alice\nalice: joined by eve\neve: joined alice"));
    let secret = to_base64(invitation.secret().as_bytes());
    let whole = serde_json::to_string(&journals).unwrap() + &format!("{:?}", net.seats[0].table.notices);
    assert!(!whole.contains(&secret) && !whole.contains(&invitation.to_secret_text().as_str()[10..40]));
}

// spec-test: INVITE-7
#[test]
fn an_invitation_is_good_for_one_user_and_for_that_one_again() {
    let mut net = Net::new(&["alice", "eve", "mallory"]);
    let invitation = net.invite(0, HOUR);
    net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    let tag = net.join(2, &invitation);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.failed(2, tag), net.joined(2)), (Some(FailReason::InvitationUsed), 0));
    assert_eq!((net.knows(0, 2), net.stored(2, b'j')), (Vec::new(), 0));
    assert_eq!(net.seats[0].driver.node().stats().joins_refused, 1);
    for _ in 0..3 {
        net.join(1, &invitation);
        net.pass(Duration::from_secs(1));
    }
    assert_eq!((net.joined(1), net.joined_by(0)), (4, 1), "whoever has joined may join again, and it is no news");
    net.cut_all(0);
    let tag = net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    assert!(net.has(1, |notice| matches!(notice, Notice::Joined { tag: told, .. } if *told == tag)));
    assert_eq!(net.joined_by(0), 1);
}

// spec-test: INVITE-9
#[test]
fn two_commands_for_one_invitation_are_one_join_and_both_are_answered() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    let tags = [net.join(1, &invitation), net.join(1, &invitation)];
    net.pass(Duration::from_secs(1));
    for tag in tags {
        assert_eq!(net.count(1, |notice| matches!(notice, Notice::Joined { tag: told, .. } if *told == tag)), 1);
    }
    assert_eq!((net.joined_by(0), net.ladder().matches("eve -> alice: join\n").count()), (1, 1));
    // Not more than can be told.
    net.seats[1].hold_stores = true;
    for _ in 0..8 {
        net.join(1, &invitation);
    }
    assert_eq!(net.command(1, Command::join(invitation)), Err(CommandError::Invitations));
}

// spec-test: INVITE-5
#[test]
fn an_invitation_ends_to_the_millisecond_and_is_forgotten_ten_minutes_later() {
    for (early_ms, outcome) in [(1, None), (0, Some(FailReason::InvitationEnded))] {
        let mut net = alice_and_eve();
        // Eve's clock is behind, so that she does not refuse by herself.
        let behind = WallTime::from_millis(WALL.as_millis() - 300_000);
        net.set_clock(1, behind);
        let invitation = net.invite(0, Duration::from_secs(60));
        let until = invitation.until();
        assert_eq!(until.as_millis() % 1_000, 0);
        net.pass(until.since(net.wall(0)) - Duration::from_millis(early_ms));
        let now = net.now;
        net.seats[0].driver.handle(now, Event::Tick);
        assert_eq!((net.invitations(0).len(), net.stored(0, b'i')), (usize::from(early_ms > 0), 1));
        let tag = net.join(1, &invitation);
        net.run();
        assert_eq!((net.failed(1, tag), net.joined(1)), (outcome, usize::from(outcome.is_none())), "{early_ms}");
        // Sleeping exactly to the deadlines.
        net.pass(until.since(net.wall(0)) + Duration::from_millis(599_999));
        assert_eq!(net.stored(0, b'i'), 1);
        net.pass(Duration::from_millis(1));
        assert_eq!(net.stored(0, b'i'), 0);
        net.set_clock(1, WALL);
        let tag = net.join(1, &invitation);
        net.pass(Duration::from_secs(1));
        assert_eq!(net.failed(1, tag), Some(FailReason::InvitationUnknown));
        assert_eq!(net.joined_by(0), usize::from(early_ms > 0));
    }
}

// spec-test: INVITE-5
#[test]
fn a_join_whose_invitation_ends_while_nobody_answers_is_given_up_at_that_moment() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, Duration::from_secs(3));
    net.seats[0].hold_stores = true;
    let tag = net.join(1, &invitation);
    net.pass(invitation.until().since(net.wall(1)) - Duration::from_millis(1));
    assert_eq!((net.failed(1, tag), net.stored(1, b'j')), (None, 1));
    net.pass(Duration::from_millis(1));
    assert_eq!((net.failed(1, tag), net.stored(1, b'j')), (Some(FailReason::InvitationEnded), 0));
    // What comes too late is no news.
    net.seats[0].hold_stores = false;
    net.pass(Duration::from_secs(1));
    assert_eq!((net.joined(1), net.seats[1].driver.node().stats().join_answers_dropped), (0, 1));
}

// spec-test: INVITE-5
#[test]
fn a_clock_that_jumps_ends_invitations_when_it_says_so() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    net.set_clock(0, invitation.until());
    assert_eq!((net.invitations(0), net.stored(0, b'i')), (Vec::new(), 1));
    net.set_clock(0, invitation.until() + Duration::from_secs(600));
    net.pass(Duration::from_millis(1));
    assert_eq!(net.stored(0, b'i'), 0);
}

// spec-test: INVITE-9
#[test]
fn a_joiner_that_falls_before_the_answer_joins_once_and_is_told_under_its_old_tag() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    net.seats[0].hold_stores = true;
    let tag = net.join(1, &invitation);
    net.pass(Duration::from_millis(10));
    assert!(net.ladder().contains("eve -> alice: join\n"));
    net.restart(1, "eve", 1);
    net.pass(Duration::from_millis(10));
    assert_eq!((net.joined(1), net.joined_by(0)), (0, 0));
    net.seats[0].hold_stores = false;
    net.pass(Duration::from_secs(2));
    let alice = net.seats[0].driver.node().me();
    assert_eq!(net.count(1, |notice| *notice == Notice::Joined { tag, peer: alice }), 1);
    assert_eq!((net.joined(1), net.joined_by(0), net.stored(1, b'j')), (1, 1, 0));
    net.restart(1, "eve", 2);
    net.pass(Duration::from_secs(60));
    assert_eq!((net.joined(1), net.joined_by(0)), (0, 1), "it is over");
}

// spec-test: INVITE-9
#[test]
fn an_inviter_that_falls_at_any_moment_enters_the_joiner_once_and_answers_it() {
    let mut moments = Vec::new();
    // After so many writes nothing of hers arrives any more; without any, her disk is stuck.
    for writes in 0..8 {
        let mut net = alice_and_eve();
        let invitation = net.invite(0, HOUR);
        (net.seats[0].hold_stores, net.seats[0].writes_left) = (writes == 0, (writes > 0).then_some(writes));
        let tag = net.join(1, &invitation);
        net.pass(Duration::from_millis(10));
        moments.push((
            net.ladder().contains("eve -> alice: join\n"),
            net.invitations(0)[0].used_by.is_some(),
            net.stored(0, b'b'),
            net.joined(1),
        ));
        net.restart(0, "alice", 1);
        net.pass(Duration::from_secs(30));
        assert_eq!(net.invitations(0)[0].used_by, Some(net.user(1)), "{writes}: {}", net.ladder());
        assert_eq!((net.joined(1), net.count(1, |it| matches!(it, Notice::Joined { tag: told, .. } if *told == tag))), (1, 1));
        assert_eq!((net.knows(0, 1), net.stored(0, b'b'), net.stored(1, b'j')), ([net.seats[1].at.into()].to_vec(), 1, 0));
    }
    for moment in [(false, false, 0, 0), (true, true, 0, 0), (true, true, 1, 0), (true, true, 1, 1)] {
        assert!(moments.contains(&moment), "{moments:?}");
    }
}

// spec-test: INVITE-3
#[test]
fn an_open_invitation_is_good_after_a_restart_and_a_used_one_stays_used() {
    let mut net = Net::new(&["alice", "eve", "mallory"]);
    let (one, other) = (net.invite(0, HOUR), net.invite(0, HOUR));
    assert_ne!(one.id(), other.id());
    net.join(1, &one);
    net.pass(Duration::from_secs(1));
    let before = net.invitations(0);
    net.restart(0, "alice", 1);
    net.run();
    assert_eq!(net.invitations(0), before);
    let third = net.invite(0, HOUR);
    assert!(third.id() != one.id() && third.id() != other.id(), "another life draws other secrets");
    net.pass(Duration::from_secs(11));
    let used = net.join(2, &one);
    net.pass(Duration::from_secs(1));
    let open = net.join(2, &other);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.failed(2, used), net.failed(2, open)), (Some(FailReason::InvitationUsed), None));
    assert_eq!((net.joined(2), net.joined_by(0)), (1, 1));
}

// spec-test: INVITE-3, INVITE-9, NODE-11
#[test]
fn nothing_is_told_or_answered_that_a_failing_disk_has_not_stored() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    net.seats[0].fail_store = true;
    let tag = net.join(1, &invitation);
    net.pass(Duration::from_secs(30));
    assert!(net.has(0, |notice| *notice == Notice::Stopped { why: StoreError::Full }));
    assert_eq!((net.joined(1), net.joined_by(0)), (0, 0), "{}", net.ladder());
    assert!(net.failed(1, tag).is_some());
    let mut net = alice_and_eve();
    net.seats[0].hold_stores = true;
    net.command(0, Command::invite(HOUR, [])).unwrap();
    net.pass(Duration::from_secs(1));
    assert!(!net.has(0, |notice| matches!(notice, Notice::Invited { .. })));
    (net.seats[0].hold_stores, net.seats[0].fail_store) = (false, true);
    net.pass(Duration::from_secs(1));
    assert!(!net.has(0, |notice| matches!(notice, Notice::Invited { .. })));
    // A joiner says nothing before its own disk has it.
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    net.seats[1].hold_stores = true;
    net.join(1, &invitation);
    net.pass(Duration::from_secs(5));
    assert!(!net.ladder().contains("join"), "{}", net.ladder());
    net.seats[1].hold_stores = false;
    net.pass(Duration::from_secs(1));
    assert_eq!((net.joined(1), net.joined_by(0)), (1, 1), "{}", net.ladder());
}

// spec-test: INVITE-9
#[test]
fn who_cannot_be_reached_is_told_after_the_retries_and_is_not_asked_again() {
    let mut net = alice_and_eve();
    net.command(0, Command::invite(HOUR, ["nowhere.test:7575".parse().unwrap()])).unwrap();
    net.run();
    let invitation = net.seats[0]
        .table
        .notices
        .iter()
        .find_map(|it| if let Notice::Invited { invitation, .. } = it { Some(invitation.clone()) } else { None });
    let tag = net.join(1, &invitation.unwrap());
    // 1, 2 and 4 s after the first try, and then there is nobody left to ask.
    net.pass(Duration::from_millis(6_999));
    assert_eq!(net.failed(1, tag), None);
    net.pass(Duration::from_millis(1));
    assert_eq!((net.failed(1, tag), net.stored(1, b'j')), (Some(FailReason::Unreachable), 0));
    net.pass(Duration::from_secs(8));
    assert_eq!(net.seats[1].driver.node().wake(), Wake::Expiry);
    // Who is forgotten meanwhile is not asked either.
    let invitation = net.invite(0, HOUR);
    net.seats[0].at = "10.0.0.9:1".parse().unwrap();
    let (tag, alice) = (net.join(1, &invitation), net.user(0));
    net.command(1, Command::forget(alice)).unwrap();
    net.pass(Duration::from_secs(1));
    assert_eq!((net.failed(1, tag), net.stored(1, b'j')), (Some(FailReason::Forgotten), 0));
}

// spec-test: INVITE-8
#[test]
fn a_join_on_a_link_that_is_up_needs_no_other_and_asks_every_device_of_the_inviter() {
    let mut net = alice_and_eve();
    net.introduce(1, 0);
    net.send(1, 0, "hello", Keep::Disk);
    net.pass(Duration::from_secs(1));
    let invitation = net.invite(0, HOUR);
    net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.joined(1), net.joined_by(0)), (1, 1));
    assert_eq!(net.seats[1].driver.node().stats().links_up, 1);
}

// spec-test: INVITE-5, INVITE-9
#[test]
fn a_sleeping_node_joins_when_it_wakes_and_a_sleeping_inviter_keeps_its_invitations() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    net.seats[0].hold_stores = true;
    net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    for at in [1, 0] {
        net.command(at, Command::Suspend).unwrap();
    }
    net.seats[0].hold_stores = false;
    net.pass(Duration::from_secs(60));
    assert!(net.has(0, |notice| *notice == Notice::Quiet) && net.has(1, |notice| *notice == Notice::Quiet));
    assert_eq!((net.seats[0].driver.deadline(), net.seats[1].driver.deadline()), (None, None));
    for at in [0, 1] {
        let (now, address) = (net.now, net.seats[at].at);
        net.seats[at].driver.handle(now, Event::addresses(&[address], true));
    }
    net.pass(Duration::from_secs(5));
    assert_eq!((net.joined(1), net.joined_by(0)), (1, 1), "{}", net.ladder());
}

// spec-test: INVITE-3, INVITE-5, NODE-3
#[test]
fn what_no_node_can_do_is_refused_with_its_reason_and_changes_nothing() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    let before = net.seats[0].driver.node().inspect();
    let life = |secs| Command::invite(Duration::from_secs(secs), []);
    let anywhere: Address = "0.0.0.0:1".parse().unwrap();
    let somewhere: Address = "10.0.0.9:1".parse().unwrap();
    let long: Vec<Address> = (0..8).map(|n| format!("{}{n}.example:1", "a".repeat(62)).parse().unwrap()).collect();
    for (command, why) in [
        (life(0), CommandError::Life),
        (life(30 * 24 * 3_600 + 1), CommandError::Life),
        (Command::invite(HOUR, [anywhere]), CommandError::Undialled(Undialled::Unspecified)),
        (Command::invite(HOUR, vec![somewhere; 9]), CommandError::Address),
        (Command::invite(HOUR, long), CommandError::Invitation(InvitationError::TooLong)),
        (Command::join(invitation.clone()), CommandError::Invitation(InvitationError::Own)),
    ] {
        assert_eq!(net.command(0, command), Err(why));
    }
    net.run();
    assert_eq!(net.seats[0].driver.node().inspect(), before);
    net.add("eve", credentials("eve", "other"), BTreeMap::new(), 0);
    net.run();
    assert_eq!(net.command(2, Command::join(invitation.clone())), Err(CommandError::Invitation(InvitationError::App)));
    let now = net.now;
    net.seats[1].driver.handle(now, Event::addresses(&[], false));
    assert_eq!(net.command(1, Command::invite(HOUR, [])), Err(CommandError::Nowhere));
    net.set_clock(1, invitation.until());
    assert_eq!(net.command(1, Command::join(invitation.clone())), Err(CommandError::Invitation(InvitationError::Ended)));
    net.set_clock(1, WallTime::from_millis(invitation.until().as_millis() - 1));
    assert!(net.command(1, Command::join(invitation)).is_ok());
    assert!(net.command(0, life(30 * 24 * 3_600)).is_ok());
}

// spec-test: INVITE-3
#[test]
fn an_invitation_names_what_reaches_furthest_first_and_this_machine_alone_only_if_there_is_nothing_else() {
    let mut net = alice_and_eve();
    let mut named = |local: &[&str]| {
        let local: Vec<SocketAddr> = local.iter().map(|text| text.parse().unwrap()).collect();
        let now = net.now;
        net.seats[0].driver.handle(now, Event::addresses(&local, false));
        net.invite(0, HOUR).addresses().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let all = ["127.0.0.1:1", "[fe80::1]:1", "10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1", "203.0.113.7:1", "169.254.1.1:1"];
    assert_eq!(named(&all), ["[2001:db8::1]:1", "203.0.113.7:1", "10.0.0.1:1"]);
    assert_eq!(named(&["127.0.0.1:1", "[::1]:1"]), ["127.0.0.1:1", "[::1]:1"]);
}

// spec-test: INVITE-10
#[test]
fn addresses_that_are_known_stay_behind_those_that_come_with_an_invitation() {
    let mut net = alice_and_eve();
    let (alice, eve) = (net.user(0), net.user(1));
    let old: Vec<Address> = (1..=8).map(|n| format!("10.9.9.{n}:7575").parse().unwrap()).collect();
    net.command(0, Command::introduce(eve, old.clone())).unwrap();
    net.command(1, Command::introduce(alice, old.clone())).unwrap();
    let invitation = net.invite(0, HOUR);
    net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.joined(1), net.joined_by(0)), (1, 1));
    for (at, other) in [(0, 1), (1, 0)] {
        let expected: Vec<Address> = [net.seats[other].at.into()].into_iter().chain(old.iter().take(7).cloned()).collect();
        assert_eq!(net.knows(at, other), expected);
    }
}

// spec-test: INVITE-10
#[test]
fn where_an_inviter_has_dialled_a_joiner_comes_first_before_what_the_joiner_says_and_what_was_known() {
    let mut net = alice_and_eve();
    let (eve, now) = (net.user(1), net.now);
    // Eve says where she listens, on another port than the one at which alice dials her.
    net.seats[1].driver.handle(now, Event::addresses(&["10.0.0.77:1234".parse().unwrap()], false));
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Memory);
    net.pass(Duration::from_secs(1));
    assert!(net.seats[0].driver.node().links().all(|link| link.dialled) && net.got(1).len() == 1);
    net.command(0, Command::introduce(eve, ["10.9.9.9:1".parse().unwrap()])).unwrap();
    let invitation = net.invite(0, HOUR);
    net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.joined(1), net.joined_by(0)), (1, 1));
    let expected = ["10.0.0.2:7575", "10.0.0.2:1234", "10.0.0.77:1234", "10.9.9.9:1"].map(|text| text.parse::<Address>().unwrap());
    assert_eq!(net.knows(0, 1), expected);
}
