//! What a peer can do with joins, answers and what it has overheard, by keeping no rules.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::tests::{WALL, credentials};
use crate::handshake::Kind;
use crate::id::to_base64;
use crate::invitation::InvitationSecret;
use crate::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn inviting() -> (Bench, Invitation) {
    let mut bench = Bench::new(Config::test());
    let invitation = invite(&mut bench);
    (bench, invitation)
}

fn invite(bench: &mut Bench) -> Invitation {
    bench.node.command(bench.now, Command::invite(HOUR, [at("10.0.0.1:7575").into()])).unwrap();
    bench.handle(Event::Tick);
    let made = |notice: &Notice| if let Notice::Invited { invitation, .. } = notice { Some(invitation.clone()) } else { None };
    bench.notices.iter().rev().find_map(made).unwrap()
}

fn join_line(id: InvitationId, proof: &[u8], addresses: &[&str]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|text| format!("\"{text}\"")).collect();
    format!("{{\"join\":{{\"id\":\"{id}\",\"proof\":\"{}\",\"addresses\":[{}]}}}}\n", to_base64(proof), addresses.join(","))
}

impl Foe {
    fn me(&self) -> Peer {
        self.own.credentials.delegation().peer()
    }

    /// The line that an honest joiner would say on this link.
    fn join(&self, invitation: &Invitation, addresses: &[&str]) -> String {
        join_line(invitation.id(), &invitation.secret().proof(&self.link_name(), self.me()), addresses)
    }

    /// The statuses of the joins that it was answered.
    fn statuses(&self) -> Vec<u16> {
        let answers = self.heard.lines().filter_map(|line| line.strip_prefix("{\"joined\":"));
        answers.map(|rest| rest.split("\"status\":").nth(1).unwrap().trim_end_matches('}').parse().unwrap()).collect()
    }
}

fn joins(bench: &Bench) -> usize {
    bench.notices.iter().filter(|notice| matches!(notice, Notice::JoinedBy { .. })).count()
}

// spec-test: INVITE-6, INVITE-7
#[test]
fn a_proof_is_worth_nothing_on_another_link_for_another_device_or_under_another_secret() {
    let (mut bench, invitation) = inviting();
    let eve = Foe::linked(&mut bench, "eve");
    let overheard = eve.join(&invitation, &[]);
    // Mallory has overheard the line, and eve's own second link is another one.
    let mut mallory = Foe::linked(&mut bench, "mallory");
    mallory.say(&mut bench, &overheard);
    let mut again = Foe::linked(&mut bench, "eve");
    again.say(&mut bench, &overheard);
    let of_another = invitation.secret().proof(&mallory.link_name(), again.me());
    mallory.say(&mut bench, join_line(invitation.id(), &of_another, &[]));
    let guess = InvitationSecret::from_bytes([0; 16]);
    mallory.say(&mut bench, join_line(invitation.id(), &guess.proof(&mallory.link_name(), mallory.me()), &[]));
    mallory.say(&mut bench, join_line(guess.id(), &guess.proof(&mallory.link_name(), mallory.me()), &[]));
    mallory.say(&mut bench, join_line(invitation.id(), &[0; 32], &[]));
    assert_eq!((mallory.statuses(), again.statuses()), (vec![404; 5], vec![404]));
    assert_eq!((bench.node.stats().joins_refused, joins(&bench), bench.node.inspect().book), (6, 0, Vec::new()));
    assert_eq!(bench.node.invitations().next().unwrap().used_by, None);
    // The right one on the right link still counts.
    let right = again.join(&invitation, &[]);
    again.say(&mut bench, right);
    assert_eq!((again.statuses(), joins(&bench)), (vec![404, 200], 1));
    assert_eq!(bench.node.stats().faults, 0);
}

// spec-test: INVITE-7, FIND-12
#[test]
fn a_flood_of_joins_is_answered_as_far_as_its_link_s_units_go() {
    let (mut bench, invitation) = inviting();
    let mut mallory = Foe::linked(&mut bench, "mallory");
    let wrong = join_line(invitation.id(), &[7; 32], &[]);
    mallory.say(&mut bench, wrong.repeat(1_000));
    // 384 units in a minute, eight for each.
    assert_eq!((mallory.statuses().len(), bench.node.stats().joins_refused, bench.node.stats().over_budget), (48, 48, 952));
    let right = mallory.join(&invitation, &[]);
    mallory.say(&mut bench, &right);
    assert_eq!(joins(&bench), 0);
    bench.pass(Duration::from_secs(60));
    mallory.say(&mut bench, &right);
    assert_eq!((joins(&bench), bench.node.links().count()), (1, 1));
    // The same one again and again costs units too, and is no news.
    mallory.say(&mut bench, right.repeat(1_000));
    assert_eq!((mallory.statuses().iter().filter(|status| **status == 200).count(), joins(&bench)), (48, 1));
}

// spec-test: INVITE-6, LINK-4, HS-10
#[test]
fn joins_and_answers_end_service_links_and_pipes_that_are_not_proven() {
    let (mut bench, invitation) = inviting();
    let joined = format!("{{\"joined\":{{\"id\":\"{}\",\"status\":200}}}}\n", invitation.id());
    for line in [join_line(invitation.id(), &[7; 32], &[]), joined] {
        let mut foe = Foe::new(&mut bench, "mallory", "test");
        foe.shake(&mut bench, Kind::Service);
        foe.say(&mut bench, &line);
        assert_eq!((bench.downs().last(), bench.node.links().count()), (Some(&CloseReason::NotAllowed), 0));
        let mut foe = Foe::new(&mut bench, "mallory", "test");
        foe.shake_unproven(&mut bench);
        foe.say(&mut bench, &line);
        assert_eq!(bench.refusals().last(), Some(&CloseReason::NotAllowed));
    }
    assert_eq!(bench.node.stats().joins_refused, 0);
}

// spec-test: INVITE-6
#[test]
fn a_join_in_no_form_of_its_own_ends_the_link() {
    let (mut bench, invitation) = inviting();
    let right = join_line(invitation.id(), &[7; 32], &[]);
    let nine = vec!["10.0.0.9:1"; 9];
    for line in [
        join_line(invitation.id(), &[7; 32], &nine),
        join_line(invitation.id(), &[7; 31], &[]),
        join_line(invitation.id(), &[7; 32], &["home.example:7575"]),
        right.replace("\"id\"", "\"what\""),
        right.replace("\"proof\":", "\"proof\":7,\"more\":"),
    ] {
        let mut foe = Foe::linked(&mut bench, "mallory");
        foe.say(&mut bench, &line);
        assert_eq!(bench.downs().last(), Some(&CloseReason::Malformed), "{line}");
    }
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, join_line(invitation.id(), &[7; 32], &nine[..8]));
    assert_eq!(foe.statuses(), [404]);
}

// spec-test: INVITE-10
#[test]
fn of_a_joiner_s_addresses_only_those_count_that_its_link_could_have_come_from() {
    // The foe's end of the link is 10.0.0.66:6666, and it has dialled.
    for (stated, expected) in [
        (&["10.0.0.66:7575", "192.168.1.5:7575"][..], &["10.0.0.66:7575", "192.168.1.5:7575"][..]),
        (&["127.0.0.1:22", "203.0.113.9:25", "10.0.0.66:7575", "0.0.0.0:1"], &["10.0.0.66:7575"]),
        (&["203.0.113.9:7575", "127.0.0.1:22"], &["10.0.0.66:7575"]),
        (&["[::ffff:10.0.0.66]:7575"], &["10.0.0.66:7575"]),
        (&["203.0.113.9:0"], &[]),
        (&[], &[]),
    ] {
        let (mut bench, invitation) = inviting();
        let mut eve = Foe::linked(&mut bench, "eve");
        let line = eve.join(&invitation, stated);
        eve.say(&mut bench, line);
        assert_eq!((eve.statuses(), joins(&bench)), (vec![200], 1));
        let known: Vec<String> = bench.node.explain(eve.me().user).addresses.iter().map(|view| view.address.to_string()).collect();
        assert_eq!(known, expected, "{stated:?}");
        assert_eq!(bench.node.inspect().book, [eve.me().user]);
        assert!(bench.connects.is_empty(), "nobody is dialled for it");
    }
}

// spec-test: INVITE-7, INVITE-9
#[test]
fn a_full_book_or_a_full_store_leaves_the_invitation_unused() {
    let mut bench = Bench::new(Config::test().book_users_max(2).outbox_messages_max(1));
    let invitation = invite(&mut bench);
    for n in 1..=2 {
        let command = Command::introduce(UserId::from_bytes([n; 32]), [at("10.0.0.9:1").into()]);
        bench.node.command(bench.now, command).unwrap();
    }
    let mut eve = Foe::linked(&mut bench, "eve");
    let line = eve.join(&invitation, &[]);
    eve.say(&mut bench, &line);
    assert_eq!((eve.statuses(), joins(&bench), bench.node.invitations().next().unwrap().used_by), (vec![503], 0, None));
    bench.node.command(bench.now, Command::forget(UserId::from_bytes([1; 32]))).unwrap();
    eve.say(&mut bench, &line);
    assert_eq!((eve.statuses(), joins(&bench)), (vec![503, 200], 1));
}

// spec-test: INVITE-9, STORE-5
#[test]
fn a_use_is_one_batch_with_the_book_and_is_answered_after_it_however_often_it_is_asked() {
    let (mut bench, invitation) = inviting();
    let mut eve = Foe::linked(&mut bench, "eve");
    let line = eve.join(&invitation, &["10.0.0.66:7575"]);
    // The store does not answer for a while.
    let sealed = eve.seal(line.repeat(5).as_bytes());
    bench.node.handle(bench.now, Event::pipe_bytes(eve.pipe, &sealed));
    let mut stores = Vec::new();
    while let Some(action) = bench.node.poll() {
        assert!(!matches!(action, Action::Write { .. }), "it answers before it has stored");
        if let Action::Store { op, batch, durable } = action {
            stores.push((op, batch, durable));
        }
    }
    let [(op, batch, true)] = &stores[..] else { panic!("{stores:?}") };
    let keys: Vec<u8> = batch.changes.iter().map(|change| change.key[0]).collect();
    assert!(keys.contains(&b'b') && keys.contains(&b'i'), "{keys:?}");
    bench.handle(Event::stored(*op, Ok(())));
    eve.listen(&mut bench);
    assert_eq!(joins(&bench), 1);
    assert!((1..=2).contains(&eve.statuses().len()) && eve.statuses().iter().all(|status| *status == 200), "{:?}", eve.statuses());
}

// spec-test: INVITE-6, INVITE-8
#[test]
fn a_joiner_never_says_its_secret_and_takes_answers_only_where_it_has_asked() {
    let mut bench = Bench::new(Config::test());
    let mut alice = Foe::linked(&mut bench, "alice");
    let mut mallory = Foe::linked(&mut bench, "mallory");
    let app = AppId::new("test").unwrap();
    let secret = InvitationSecret::from_bytes([9; 16]);
    let invitation = Invitation::new(app, alice.me().user, &[at("10.0.0.2:7575").into()], WALL + HOUR, secret).unwrap();
    let tag = bench.node.command(bench.now, Command::join(invitation.clone())).unwrap();
    bench.handle(Event::Tick);
    for foe in [&mut alice, &mut mallory] {
        foe.listen(&mut bench);
    }
    let me = bench.node.me();
    let proof = to_base64(&invitation.secret().proof(&alice.link_name(), me));
    assert!(
        alice.heard.contains(&format!("{{\"join\":{{\"id\":\"{}\",\"proof\":\"{proof}\",\"addresses\":[", invitation.id())),
        "{}",
        alice.heard
    );
    assert!(!alice.heard.contains(&to_base64(invitation.secret().as_bytes())) && !mallory.heard.contains("join"));
    let answer = |id: InvitationId, status: u16| format!("{{\"joined\":{{\"id\":\"{id}\",\"status\":{status}}}}}\n");
    mallory.say(&mut bench, answer(invitation.id(), 200));
    alice.say(&mut bench, answer(InvitationId::from_bytes([1; 8]), 200));
    let is_told = |bench: &Bench| bench.has(|notice| matches!(notice, Notice::Joined { .. } | Notice::Failed { .. }));
    assert!(!is_told(&bench));
    assert_eq!(bench.node.stats().join_answers_dropped, 2);
    alice.say(&mut bench, answer(invitation.id(), 200).repeat(3));
    assert!(bench.has(|notice| *notice == Notice::Joined { tag, peer: alice.me() }));
    assert_eq!((bench.node.stats().join_answers_dropped, bench.node.stats().faults), (4, 0));
}

// spec-test: INVITE-8
#[test]
fn a_device_that_does_not_know_the_invitation_is_not_the_last_word_while_another_is_asked() {
    for statuses in [[404, 200], [404, 404], [409, 200], [410, 200], [503, 200], [599, 200]] {
        let mut bench = Bench::new(Config::test());
        let mut foes = [Foe::linked(&mut bench, "alice"), Foe::linked_elsewhere(&mut bench, "alice")];
        let secret = InvitationSecret::from_bytes([9; 16]);
        let user = foes[0].me().user;
        let invitation = Invitation::new(AppId::new("test").unwrap(), user, &[at("10.0.0.2:7575").into()], WALL + HOUR, secret).unwrap();
        let tag = bench.node.command(bench.now, Command::join(invitation.clone())).unwrap();
        bench.handle(Event::Tick);
        for (foe, status) in foes.iter_mut().zip(statuses) {
            foe.say(&mut bench, format!("{{\"joined\":{{\"id\":\"{}\",\"status\":{status}}}}}\n", invitation.id()));
        }
        let expected = match statuses {
            [404, 200] => Notice::Joined { tag, peer: foes[1].me() },
            [404, _] => Notice::Failed { tag, why: FailReason::InvitationUnknown },
            [409, _] => Notice::Failed { tag, why: FailReason::InvitationUsed },
            [410, _] => Notice::Failed { tag, why: FailReason::InvitationEnded },
            [503, _] => Notice::Failed { tag, why: FailReason::Refused(CloseReason::Full) },
            [other, _] => Notice::Failed { tag, why: FailReason::Refused(CloseReason::Unknown(other)) },
        };
        let told: Vec<&Notice> = bench.notices.iter().filter(|it| matches!(it, Notice::Joined { .. } | Notice::Failed { .. })).collect();
        assert_eq!(told, [&expected], "{statuses:?}");
    }
}

// spec-test: INVITE-9
#[test]
fn who_refuses_the_line_itself_is_dialled_ever_less_often_and_given_up() {
    let mut bench = Bench::new(Config::test());
    let alice = credentials("alice", "test").delegation().user();
    let secret = InvitationSecret::from_bytes([9; 16]);
    let invitation = Invitation::new(AppId::new("test").unwrap(), alice, &[at("10.0.0.2:7575").into()], WALL + HOUR, secret).unwrap();
    let tag = bench.node.command(bench.now, Command::join(invitation)).unwrap();
    bench.handle(Event::Tick);
    assert_eq!((bench.connects.len(), bench.stored(b'j')), (1, 1));
    // An older version knows no such line.
    for _ in 0..4 {
        let mut foe = Foe::linked(&mut bench, "alice");
        foe.listen(&mut bench);
        assert!(foe.heard.contains("{\"join\":"), "{}", foe.heard);
        foe.say(&mut bench, "{\"close\":{\"status\":400,\"reason\":\"malformed\"}}\n");
        bench.pass(Duration::from_secs(4));
    }
    bench.pass(Duration::from_secs(60));
    assert!(bench.has(|notice| matches!(notice, Notice::Failed { tag: told, .. } if *told == tag)), "{:?}", bench.notices);
    assert_eq!(bench.stored(b'j'), 0);
}

// spec-test: NODE-8, INVITE-3
#[test]
fn used_invitations_make_room_once_that_is_stored_and_open_ones_never_do() {
    let mut bench = Bench::new(Config::test().invitations_max(2));
    let (open, used) = (invite(&mut bench), invite(&mut bench));
    let refused = |bench: &mut Bench| {
        bench.node.command(bench.now, Command::invite(HOUR, [at("10.0.0.1:7575").into()])) == Err(CommandError::Invitations)
    };
    assert!(refused(&mut bench));
    let mut eve = Foe::linked(&mut bench, "eve");
    let line = eve.join(&used, &[]);
    eve.say(&mut bench, &line);
    assert_eq!(eve.statuses(), [200]);
    let next = invite(&mut bench);
    let mut left: Vec<InvitationId> = bench.node.invitations().map(|it| it.id).collect();
    let mut expected = [open.id(), next.id()];
    left.sort();
    expected.sort();
    assert_eq!((left.as_slice(), bench.stored(b'i')), (expected.as_slice(), 2));
    assert!(refused(&mut bench));
}
