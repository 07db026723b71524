//! Every queue, table and list at its bound and beyond it (C8), and what one call costs when all of them are full (C7).
//!
//! | what grows | bound | filled by |
//! |---|---|---|
//! | outbox, its bytes, tags with several devices | `outbox_messages_max`, `outbox_bytes_max` | `sends_beyond_the_outbox_are_refused_and_ready_follows` |
//! | outbox queues | `book_users_max`, links and messages | `devices_that_got_a_message_once_are_forgotten_and_met_again_in_a_new_stream` |
//! | messages not taken, from how many peers | `links_user_max` windows, `book_users_max` | `strangers_who_leave_messages_one_after_another_fill_no_more_than_the_windows_of_all_links` |
//! | what gathers for the store | `gathering_max` | `a_store_that_hangs_stops_wishes_but_not_for_ever` |
//! | address book, finds, rounds of dials | `book_users_max`, 64 a user | `users_finds_and_dials_are_bounded_whatever_is_wished` |
//! | stored devices and revocations | as the book | `who_is_forgotten_leaves_nothing_in_the_store` |
//! | own invitations, joins and their callers, answers that wait for the store | `invitations_max`, 8 a join, a link | `invitations_and_joins_are_bounded_and_those_that_are_over_make_room` |
//! | searches, units, dials for others | `searches_max`, a minute's | `searches_are_remembered_up_to_their_bound`, `a_flood_of_searches_costs_at_most_its_link_s_units_and_few_dials` |
//! | pipes not proven | `pipes_pending_max` | `ten_thousand_half_open_pipes_are_bounded_and_a_link_and_own_dials_go_on` |
//! | links, and what waits on one | by class; a line and two windows, at most 128 KiB | `a_user_too_many_is_told_that_it_is_full`, `a_peer_that_asks_and_never_reads_is_let_go` |
//! | links that were closed and have lines to write | links and dials | `who_links_and_is_closed_again_and_again_leaves_no_more_than_there_may_be_links` |
//! | part of a line | `line_bytes_max`, 4 KiB before the other end is proven | `a_line_that_never_ends_takes_bounded_memory`, `a_hello_is_no_longer_than_it_has_to_be` |
//! | what a store that hangs is told again and again | each message once | `streams_that_are_given_up_again_and_again_are_stored_once` |
//! | notices | `notices_max` | `notices_that_nobody_takes_are_bounded_and_counted` |
//! | actions | what the shell has not answered | `actions_that_nobody_polls_do_not_pile_up` |
//! | observations, swaps, clocks, cached delegations | 65,536, 64, 8, `links_user_max` | `small_memories_stay_small` |
//!
//! Pipes that were turned away are remembered until the shell says `PipeClosed`: its own table bounds those.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::search_tests::signed_search;
use super::tests::{WALL, credentials};
use crate::handshake::Kind;
use crate::invitation::InvitationSecret;
use crate::wire::line::SearchContent;
use crate::*;

const STREAM: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn someone(n: u32) -> UserId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    UserId::from_bytes(bytes)
}

fn hello() -> Message {
    Message::new("bla", "hello").unwrap()
}

fn wish(bench: &mut Bench, command: impl Into<Command>) -> Result<Tag, CommandError> {
    bench.node.command(bench.now, command.into())
}

fn resume() -> String {
    format!(
        "{{\"resume\":{{\"streams\":[{{\"id\":\"{STREAM}\",\"first\":1,\"disk\":0}}],\"received\":[],\"messages\":64,\"bytes\":65536}}}}\n"
    )
}

fn message(number: u64) -> String {
    format!("{{\"message\":{{\"number\":{number},\"type\":\"bla\",\"payload\":1}}}}\n")
}

fn messages(bench: &Bench) -> usize {
    bench.notices.iter().filter(|notice| matches!(notice, Notice::Message(_))).count()
}

/// A node with `n` links, each with somebody else.
fn linked(config: Config, n: usize) -> (Bench, Vec<Foe>) {
    let mut bench = Bench::new(config);
    let foes = (0..n).map(|n| Foe::linked(&mut bench, &format!("friend {n}"))).collect();
    (bench, foes)
}

// spec-test: NODE-8, MSG-15
#[test]
fn sends_beyond_the_outbox_are_refused_and_ready_follows() {
    for (config, bound) in [(Config::test(), 8_192), (Config::test().outbox_bytes_max(64 << 10), (64 << 10) / hello().bytes())] {
        let mut bench = Bench::new(config);
        let sent = (0..100_000).filter(|n| wish(&mut bench, Send::new(someone(n % 7), hello()).keep(Keep::Memory)).is_ok()).count();
        assert_eq!((sent, bench.node.outbox().count()), (bound, bound));
        assert!(!bench.has(|notice| *notice == Notice::Ready));
        for n in 0..7 {
            wish(&mut bench, Command::forget(someone(n))).unwrap();
        }
        bench.run();
        assert_eq!((bench.node.outbox().count(), bench.notices.iter().filter(|it| **it == Notice::Ready).count()), (0, 1));
    }
}

// spec-test: NODE-8
#[test]
fn a_store_that_hangs_stops_wishes_but_not_for_ever() {
    let config = Config::test().outbox_messages_max(64).book_users_max(36);
    let mut bench = Bench::new(config);
    let now = bench.now;
    let mut wish = |command: Command| bench.node.command(now, command);
    wish(Command::introduce(someone(0), [at("10.0.0.9:1").into()])).unwrap();
    let node = &mut bench.node;
    node.handle(now, Event::Tick);
    // The batch with it is on its way, and nothing comes back.
    let op = core::iter::from_fn(|| node.poll()).find_map(|action| if let Action::Store { op, .. } = action { Some(op) } else { None });
    let mut outcomes = Vec::new();
    for n in 0..100_000_u32 {
        let command = match n % 3 {
            0 => Command::introduce(someone(n % 5), [at("10.0.0.9:1").into()]),
            1 => Command::send(someone(n % 5), hello()),
            _ => Command::forget(someone(n % 5)),
        };
        outcomes.push(node.command(now, command));
        node.handle(now, Event::Tick);
    }
    let granted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((100..=200).contains(&granted), "{granted}");
    assert_eq!(outcomes.last(), Some(&Err(CommandError::Full)));
    assert!(
        !core::iter::from_fn(|| node.poll())
            .any(|action| matches!(action, Action::Store { .. } | Action::Notify { notice: Notice::Ready }))
    );
    node.handle(now, Event::stored(op.unwrap(), Ok(())));
    let mut gathered = 0;
    while let Some(action) = bench.node.poll() {
        if let Action::Store { op, batch, .. } = action {
            gathered = gathered.max(batch.changes.len());
            bench.node.handle(now, Event::stored(op, Ok(())));
        } else if let Action::Notify { notice } = action {
            bench.notices.push(notice);
        }
    }
    assert!((200..=203).contains(&gathered), "{gathered}");
    assert!(bench.has(|notice| *notice == Notice::Ready));
    assert!(bench.node.command(now, Command::introduce(someone(1), [at("10.0.0.9:1").into()])).is_ok());
}

// spec-test: NODE-8
#[test]
fn users_finds_and_dials_are_bounded_whatever_is_wished() {
    let mut bench = Bench::new(Config::test().book_users_max(1_000));
    let introduced = (0..10_000).filter(|n| wish(&mut bench, Command::introduce(someone(*n), [at("10.0.0.9:1").into()])).is_ok()).count();
    let wanted = (0..10_000).filter(|n| wish(&mut bench, Command::find(someone(*n))).is_ok()).count();
    let again = (0..10_000).filter(|_| wish(&mut bench, Command::find(someone(1))).is_ok()).count();
    assert_eq!((introduced, wanted, again), (1_000, 1_000, 63));
    assert_eq!(wish(&mut bench, Command::find(someone(1))), Err(CommandError::Full));
    assert_eq!(bench.node.0.book.users().count(), 1_000);
    bench.run();
    assert_eq!(bench.connects.len(), 16);
    for _ in 0..3 {
        bench.pass(Duration::from_secs(10));
        bench.handle(Event::addresses(&[at("10.0.0.1:7575")], false));
    }
    // Sixteen at once, anew when they time out and when addresses change.
    assert!(bench.connects.len() <= 16 * 7, "{}", bench.connects.len());
}

// spec-test: NODE-8, MSG-9
#[test]
fn strangers_who_leave_messages_one_after_another_fill_no_more_than_the_windows_of_all_links() {
    let mut bench = Bench::new(Config::test().links_user_max(4).window_messages(16).book_users_max(32));
    bench.takes = false;
    for n in 0..40 {
        let mut foe = Foe::linked(&mut bench, &format!("stranger {n}"));
        foe.say(&mut bench, resume() + &(1..=8).map(message).collect::<String>());
        bench.handle(Event::pipe_closed(foe.pipe));
    }
    assert_eq!((messages(&bench), bench.node.0.inbox.peers() <= 32), (4 * 16, true));
    assert_eq!(bench.downs().iter().filter(|why| **why == CloseReason::Full).count(), 32);
    bench.takes = true;
    bench.handle(Event::taken(bench.notices.len() as u64, &[]));
    let mut foe = Foe::linked(&mut bench, "stranger 39");
    foe.say(&mut bench, resume() + &(1..=8).map(message).collect::<String>());
    assert_eq!(messages(&bench), 4 * 16 + 8, "what was refused comes again");
}

// spec-test: NODE-8
#[test]
fn more_peers_with_messages_than_are_remembered_wait_for_the_application() {
    let mut bench = Bench::new(Config::test().book_users_max(4));
    bench.takes = false;
    for n in 0..40 {
        let mut foe = Foe::linked(&mut bench, &format!("stranger {n}"));
        foe.say(&mut bench, resume() + &message(1));
        bench.handle(Event::pipe_closed(foe.pipe));
    }
    assert_eq!((messages(&bench), bench.node.0.inbox.peers()), (4, 4));
}

// spec-test: NODE-8, LINK-20
#[test]
fn devices_that_got_a_message_once_are_forgotten_and_met_again_in_a_new_stream() {
    let mut bench = Bench::new(Config::test().book_users_max(8));
    let mut streams = Vec::new();
    for n in (0..20).chain([0]) {
        let mut foe = Foe::linked(&mut bench, &format!("stranger {n}"));
        let to = foe.own.credentials.delegation().user();
        wish(&mut bench, Send::new(to, hello()).keep(Keep::Memory)).unwrap();
        bench.run();
        foe.listen(&mut bench);
        let stream = foe.heard.split("\"streams\":[{\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(foe.heard.contains("\"number\":1,"), "{}", foe.heard);
        let acknowledge = format!("{{\"acknowledged\":{{\"stream\":\"{stream}\",\"upto\":1}}}}\n");
        streams.push(String::from(stream));
        foe.say(&mut bench, acknowledge);
        bench.handle(Event::pipe_closed(foe.pipe));
    }
    assert_eq!(bench.node.stats().messages_delivered, 21);
    assert!(bench.node.0.outbox.queues() <= 8);
    assert_ne!(streams[0], streams[20], "a number is never used twice");
}

// spec-test: NODE-8
#[test]
fn who_is_forgotten_leaves_nothing_in_the_store() {
    let mut bench = Bench::new(Config::test().book_users_max(8));
    for n in 0..40 {
        let name = format!("stranger {n}");
        let mut foe = Foe::linked(&mut bench, &name);
        let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork(&name, 0);
        let devices = [(RevocationTarget::Device(DeviceId::from_bytes([1; 16])), RevocationEntry { before: WALL, end: WALL })].into();
        let signed = Revocation::sign(&IdentitySecret::from_bytes(rng.array()), AppId::new("test").unwrap(), 1, devices).unwrap();
        foe.say(&mut bench, format!("{{\"revocation\":{}}}\n", signed.to_json()));
        bench.handle(Event::pipe_closed(foe.pipe));
    }
    let count = |prefix: u8| bench.store.keys().filter(|key| key[0] == prefix).count();
    assert_eq!((count(b'd'), count(b'r')), (8, 8));
}

// spec-test: NODE-8, INVITE-3
#[test]
fn invitations_and_joins_are_bounded_and_those_that_are_over_make_room() {
    let mut bench = Bench::new(Config::test().invitations_max(5).book_users_max(16));
    let life = |n: u64| Command::invite(Duration::from_secs(n), [at("10.0.0.1:7575").into()]);
    let made: Vec<_> = (0..100).map(|n| wish(&mut bench, life(60 + n))).collect();
    assert_eq!((made.iter().filter(|it| it.is_ok()).count(), made[99]), (5, Err(CommandError::Invitations)));
    bench.handle(Event::Tick);
    assert_eq!((bench.node.invitations().count(), bench.stored(b'i')), (5, 5));
    // Two are over, though not forgotten: two more fit, in their place.
    bench.pass(Duration::from_secs(61));
    let made = (0..100).filter(|_| wish(&mut bench, life(60)).is_ok()).count();
    bench.handle(Event::Tick);
    assert_eq!((made, bench.node.invitations().count(), bench.stored(b'i')), (2, 5, 5));
    bench.pass(Duration::from_secs(700));
    assert_eq!((bench.node.invitations().count(), bench.stored(b'i')), (0, 0));
    let line = |n: u8| {
        let secret = InvitationSecret::from_bytes([n; 16]);
        let addresses: Vec<Address> = (0..8).map(|at| format!("{}{at}.example:1", "a".repeat(40)).parse().unwrap()).collect();
        Invitation::new(AppId::new("test").unwrap(), someone(u32::from(n)), &addresses, WALL + Duration::from_secs(3_600), secret).unwrap()
    };
    let begun = (0..200).filter(|n| wish(&mut bench, Command::join(line(n % 20))).is_ok()).count();
    assert_eq!(begun, 5 * 8, "eight commands for each of five");
    bench.handle(Event::Tick);
    assert_eq!(bench.stored(b'j'), 5);
    bench.pass(Duration::from_secs(60));
    let failed = bench.notices.iter().filter(|it| matches!(it, Notice::Failed { .. })).count();
    assert_eq!((failed, bench.stored(b'j')), (40, 0));
}

/// A search for `wanted` by somebody, signed.
fn search(wanted: UserId, id: u32) -> String {
    let keys = credentials("eve", "test");
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&id.to_be_bytes());
    let content = SearchContent { id: SearchId::from_bytes(bytes), wanted, addresses: Vec::new(), time: WALL };
    signed_search(&serde_json::to_string(&content).unwrap(), &keys, 8)
}

// spec-test: NODE-8, FIND-9
#[test]
fn searches_are_remembered_up_to_their_bound() {
    let mut bench = Bench::new(Config::test().searches_max(16).search_units_per_minute(65_536));
    let mut foe = Foe::linked(&mut bench, "mallory");
    for n in 0..200 {
        foe.say(&mut bench, search(someone(n), n));
    }
    assert_eq!(bench.node.0.searches.remembered(), 16);
    assert_eq!(bench.node.links().count(), 1);
}

// spec-test: NODE-8, LINK-13
#[test]
fn a_user_too_many_is_told_that_it_is_full() {
    let (mut bench, _foes) = linked(Config::test().links_user_max(3), 3);
    let mut foe = Foe::new(&mut bench, "one too many", "test");
    foe.shake(&mut bench, Kind::User);
    assert_eq!((bench.node.links().count(), bench.refusals()), (3, [CloseReason::Full].into()));
    assert!(foe.heard.contains("\"reason\":\"full\""), "{}", foe.heard);
}

// spec-test: NODE-8
#[test]
fn small_memories_stay_small() {
    let (mut bench, mut foes) = linked(Config::test().links_user_max(12), 12);
    let parts = &mut bench.node.0;
    assert_eq!((parts.clocks.len(), parts.own.delegations.len() <= 12), (8, true));
    for n in 0..10_000_u32 {
        parts.on_swap(Peer { user: someone(n), device: DeviceId::from_bytes([1; 16]) });
    }
    assert_eq!(parts.twins.len(), 64);
    bench.node.observe(true);
    for _ in 0..80 {
        foes[0].say(&mut bench, "{\"ping\":1}\n".repeat(500));
    }
    assert_eq!(core::iter::from_fn(|| bench.node.observed()).count(), 65_536);
}

// spec-test: NODE-8
#[test]
fn actions_that_nobody_polls_do_not_pile_up() {
    let (mut bench, mut foes) = linked(Config::test(), 4);
    for n in 0..100 {
        wish(&mut bench, Command::introduce(someone(n), [at("10.0.0.9:1").into()])).unwrap();
        wish(&mut bench, Send::new(someone(n), hello())).unwrap();
    }
    for foe in &mut foes {
        let sealed = foe.seal(&b"{\"ping\":1}\n".repeat(2_000));
        for part in sealed.chunks(100) {
            bench.node.handle(bench.now, Event::pipe_bytes(foe.pipe, part));
        }
    }
    let end = bench.now + Duration::from_secs(60);
    while let Some(due) = bench.node.deadline().filter(|due| *due <= end) {
        bench.node.handle(due, Event::Tick);
    }
    let (mut writes, mut stores, mut connects) = (0, 0, 0);
    while let Some(action) = bench.node.poll() {
        match action {
            Action::Write { .. } => writes += 1,
            Action::Store { .. } => stores += 1,
            Action::Connect { .. } => connects += 1,
            Action::Notify { .. } | Action::Close { .. } => {}
            Action::SendDatagram { .. } | Action::Resolve { .. } | Action::Load { .. } => panic!("{action:?}"),
        }
    }
    // One write a pipe, one batch, and as many dials as time out in a minute.
    assert_eq!((writes, stores), (4, 1));
    assert!(connects <= 16 * 7, "{connects}");
}

/// The actions of one event, unpolled before.
fn actions_of(bench: &mut Bench, event: Event<'_>) -> usize {
    bench.node.handle(bench.now, event);
    let mut actions = 0;
    while bench.node.poll().is_some() {
        actions += 1;
    }
    actions
}

// spec-test: NODE-7
#[test]
fn a_call_costs_what_it_is_about_and_what_is_about_all_links_costs_a_few_actions_each() {
    for links in [10, 300] {
        let (mut bench, mut foes) = linked(Config::test().links_user_max(1_000), links);
        // One pipe's bytes: as many actions, however many other links there are.
        let sealed = foes[0].seal((resume() + &message(1)).as_bytes());
        assert!(actions_of(&mut bench, Event::pipe_bytes(foes[0].pipe, &sealed)) <= 3);
        bench.node.handle(bench.now, Event::taken(1, &[]));
        // All that wake at one time: one write each (a ping), and no more than 1,024 in one call.
        bench.now = bench.now + Duration::from_secs(26);
        let woken = actions_of(&mut bench, Event::Tick);
        assert!((links - 1..=links).contains(&woken), "{woken}");
        // All pipes gone: one notice each. All closed: a notice, a write or nothing (a write is outstanding), a close.
        let rebound = actions_of(&mut bench, Event::addresses(&[at("10.0.0.1:7575")], true));
        assert!((links..=links + 2).contains(&rebound), "{rebound}");
        for (n, foe) in foes.iter_mut().enumerate() {
            *foe = Foe::linked(&mut bench, &format!("friend {n}"));
        }
        wish(&mut bench, Command::Suspend).unwrap();
        let closed = actions_of(&mut bench, Event::Tick);
        assert!((2 * links..=3 * links + 2).contains(&closed), "{closed}");
    }
}

// spec-test: NODE-6, NODE-7
#[test]
fn ten_thousand_wanted_users_wake_in_portions_and_do_not_flood_the_one_link_that_may_know_them() {
    let config = Config::test().book_users_max(10_000).outbox_messages_max(20_000).searches_max(100_000);
    let (mut bench, mut foes) = linked(config, 1);
    for n in 0..10_000 {
        wish(&mut bench, Send::new(someone(n), hello()).keep(Keep::Memory)).unwrap();
        bench.run();
    }
    let signatures = |bench: &Bench| bench.node.0.searches.signed();
    let most = 128; // 64 KiB of searches of more than 512 bytes each.
    assert_eq!(signatures(&bench), 10_000, "each was searched for at once, since the link was read in between");
    for event in [Event::addresses(&[at("10.0.0.1:7575")], false), Event::Tick, Event::Tick] {
        let before = signatures(&bench);
        bench.now = bench.now + Duration::from_secs(3);
        bench.node.handle(bench.now, event);
        let signed = signatures(&bench) - before;
        assert!((1..=most).contains(&signed), "{signed}");
        bench.run();
    }
    // A new link is asked for no more in its first call either.
    let before = signatures(&bench);
    foes.push(Foe::linked(&mut bench, "another"));
    assert!(signatures(&bench) - before <= 2 * most);
    assert_eq!((bench.node.links().count(), bench.downs()), (2, Vec::new()));
}

// spec-test: NODE-8, LINK-6
#[test]
fn who_links_and_is_closed_again_and_again_leaves_no_more_than_there_may_be_links() {
    let config = Config::test().links_user_max(2).links_service_in_max(0).links_service_out_max(0).dials_max(1);
    let mut bench = Bench::new(config);
    for n in 0..20 {
        bench.reads = true;
        let mut foe = Foe::linked(&mut bench, &format!("stranger {n}"));
        bench.reads = false;
        // Its answers wait for a write that it does not read, when it breaks a rule.
        foe.say(&mut bench, "{\"ping\":1}\n".repeat(100));
        foe.say(&mut bench, "nonsense\n");
    }
    assert_eq!((bench.downs().len(), bench.node.links().count()), (20, 0));
    assert_eq!(bench.node.0.links.count(), 3, "two links and a dial");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.node.0.links.count(), 0);
}

// spec-test: NODE-8, HS-10
#[test]
fn a_hello_is_no_longer_than_it_has_to_be() {
    let mut bench = Bench::new(Config::test());
    let mut foe = Foe::new(&mut bench, "mallory", "test");
    foe.shake_unproven(&mut bench);
    foe.say(&mut bench, "x".repeat(4_096));
    assert!(bench.refusals().is_empty());
    foe.say(&mut bench, "x");
    assert_eq!(bench.refusals(), [CloseReason::Malformed]);
}

// spec-test: NODE-8, LINK-23
#[test]
fn streams_that_are_given_up_again_and_again_are_stored_once() {
    let mut bench = Bench::new(Config::test());
    let mut foe = Foe::linked(&mut bench, "mallory");
    let to = foe.own.credentials.delegation().user();
    bench.handle(Event::pipe_closed(foe.pipe));
    for _ in 0..10 {
        wish(&mut bench, Send::new(to, hello())).unwrap();
    }
    bench.run();
    bench.hangs = true;
    wish(&mut bench, Command::introduce(to, [at("10.0.0.9:1").into()])).unwrap();
    bench.run();
    // It claims to have more of each stream than was ever sent, so that all goes on in another one.
    let mut streams = Vec::new();
    for _ in 0..20 {
        foe = Foe::linked(&mut bench, "mallory");
        foe.listen(&mut bench);
        let stream = foe.heard.rsplit("{\"id\":\"").next().unwrap().split('"').next().unwrap();
        streams.push(String::from(stream));
        let resume = format!("{{\"resume\":{{\"streams\":[],\"received\":[[\"{stream}\",1000]],\"messages\":64,\"bytes\":65536}}}}\n");
        foe.say(&mut bench, resume);
        bench.handle(Event::pipe_closed(foe.pipe));
    }
    streams.dedup();
    assert_eq!(streams.len(), 20);
    bench.hangs = false;
    bench.handle(Event::stored(bench.hung.unwrap(), Ok(())));
    let last = bench.batches.last().unwrap();
    assert!((10..20).contains(last), "{last}");
    assert_eq!((bench.node.outbox().count(), bench.stored(b'o')), (10, 10));
}

// spec-test: LINK-7
#[test]
fn a_node_with_a_small_window_writes_in_small_parts() {
    let mut bench = Bench::new(Config::test().window_bytes(16 << 10));
    let mut foe = Foe::linked(&mut bench, "friend");
    bench.reads = false;
    foe.say(&mut bench, "{\"ping\":1}\n".repeat(3_500));
    bench.written.clear();
    bench.handle(Event::pipe_written(foe.pipe));
    let written = bench.written[&foe.pipe].len();
    assert!((16 << 10..=(32 << 10) + 4).contains(&written), "{written}");
}
