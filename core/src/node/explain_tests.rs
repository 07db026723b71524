//! What people are told of a message that has not arrived.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::tests::{WALL, credentials};
use crate::*;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

fn bench() -> Bench {
    Bench::new(Config::test().window_messages(16))
}

fn alice() -> UserId {
    credentials("alice", "test").delegation().user()
}

fn send(bench: &mut Bench, keep: Keep) {
    bench.node.command(bench.now, Send::new(alice(), Message::new("bla", &1).unwrap()).keep(keep).into()).unwrap();
}

/// What is told when a stored message for Alice waits, after `change`.
fn told(mut bench: Bench, change: impl FnOnce(&mut Bench)) -> Explanation {
    send(&mut bench, Keep::Disk);
    bench.handle(Event::Tick);
    change(&mut bench);
    bench.node.explain(alice())
}

pub(super) fn revocation(name: &str) -> Command {
    revocation_of(name, RevocationTarget::All)
}

fn revocation_of(name: &str, target: RevocationTarget) -> Command {
    let entry = RevocationEntry { before: WALL + WEEK, end: WALL + WEEK };
    let devices = [(target, entry)].into_iter().collect();
    Command::revoke(Revocation::sign(&identity(name), AppId::new("test").unwrap(), 1, devices).unwrap())
}

pub(super) fn identity(name: &str) -> IdentitySecret {
    IdentitySecret::from_bytes(Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0).array())
}

/// The only entry peer, as whoever looks sees it.
fn entry_view(bench: &Bench) -> (bool, Option<AttemptOutcome>) {
    let entries = bench.node.inspect().entries;
    assert_eq!(entries.len(), 1, "{entries:?}");
    (entries[0].linked, entries[0].attempt.map(|attempt| attempt.outcome))
}

// spec-test: FIND-6
#[test]
fn each_entry_peer_is_shown_with_how_its_last_attempt_ended() {
    let mut bench = bench();
    assert_eq!(bench.node.inspect().entries, []);
    let enter = |bench: &mut Bench, address: Address| bench.node.command(bench.now, Command::enter([Entry { address, key: None }]));
    enter(&mut bench, at("10.0.0.9:7575").into()).unwrap();
    bench.run();
    assert_eq!(entry_view(&bench), (false, None), "it is being dialled");
    let (op, _) = bench.connects.remove(0);
    bench.handle(Event::connect_failed(op, ConnectError::Refused));
    let refused = AttemptOutcome::NotConnected(ConnectError::Refused);
    assert_eq!((entry_view(&bench), refused.explain()), ((false, Some(refused)), ConnectError::Refused.explain()));
    // Others are named in its place: nothing was tried of them.
    enter(&mut bench, at("10.0.0.8:7575").into()).unwrap();
    bench.run();
    assert_eq!(entry_view(&bench), (false, None));
    bench.node.command(bench.now, Command::enter([])).unwrap();
    assert_eq!(bench.node.inspect().entries, []);
}

fn introduced() -> Bench {
    let mut bench = bench();
    bench.node.command(bench.now, Command::introduce(alice(), [at("10.0.0.2:7575").into()])).unwrap();
    bench.handle(Event::Tick);
    bench
}

/// Alice is linked, and acknowledges nothing.
fn linked() -> Bench {
    let mut bench = bench();
    let _ = Foe::linked(&mut bench, "alice");
    bench
}

fn refuse(bench: &mut Bench) {
    let (op, _) = bench.connects[0];
    bench.handle(Event::connect_failed(op, ConnectError::Refused));
    bench.pass(Duration::from_millis(500));
}

fn state(waiting: Waiting) -> Explanation {
    match waiting {
        Waiting::Stopped => told(bench(), |bench| {
            bench.is_full = true;
            send(bench, Keep::Disk);
            bench.handle(Event::Tick);
        }),
        Waiting::Revoked => told(bench(), |bench| assert!(bench.node.command(bench.now, revocation("bob")).is_ok())),
        Waiting::Expired => told(bench(), |bench| bench.handle(Event::clock(WALL + WEEK + Duration::from_secs(601)))),
        Waiting::Suspended => told(bench(), |bench| assert!(bench.node.command(bench.now, Command::Suspend).is_ok())),
        Waiting::Store => {
            let mut bench = linked();
            send(&mut bench, Keep::Disk);
            bench.node.explain(alice())
        }
        Waiting::Taking => told(linked(), |_| {}),
        Waiting::Window => told(linked(), |bench| {
            (0..20).for_each(|_| send(bench, Keep::Memory));
            bench.handle(Event::Tick);
        }),
        Waiting::Dial => told(introduced(), |_| {}),
        Waiting::LookUp => {
            let mut bench = bench();
            bench.handle(Event::addresses(&[at("10.0.0.1:7575")], false));
            let entry = Entry { address: at("10.0.0.9:7575").into(), key: None };
            bench.node.command(bench.now, Command::enter([entry])).unwrap();
            told(bench, |_| {})
        }
        Waiting::Search => {
            let mut bench = bench();
            let _ = Foe::linked(&mut bench, "carol");
            told(bench, |_| {})
        }
        Waiting::PeerRevoked => {
            let mut bench = linked();
            bench.node.command(bench.now, revocation("alice")).unwrap();
            bench.run();
            told(bench, |_| {})
        }
        Waiting::Address => told(bench(), |_| {}),
        Waiting::Retry => told(introduced(), refuse),
    }
}

// spec-test: NODE-18
#[test]
fn every_state_that_a_message_can_wait_in_is_told_with_a_way_out() {
    for waiting in Waiting::ALL {
        let explanation = state(waiting);
        assert!(explanation.why.contains(&waiting), "{waiting:?}: {explanation:?}");
        let (cause, advice) = waiting.explain();
        let text = explanation.to_string();
        assert!(text.contains(&format!("wait for {}", alice())) || text.contains(&format!("1 message waits for {}", alice())), "{text}");
        assert!(text.contains(&format!("  {cause}; what to do: {advice}\n")), "{text}");
    }
}

// spec-test: NODE-18
#[test]
fn who_was_asked_a_minute_ago_is_not_waited_for_and_a_device_that_is_not_revoked_is_tried() {
    let mut bench = bench();
    let _ = Foe::linked(&mut bench, "carol");
    send(&mut bench, Keep::Disk);
    bench.handle(Event::Tick);
    let mut told = Vec::new();
    for _ in 0..400 {
        let explanation = bench.node.explain(alice());
        let age = bench.now.since(explanation.searches.last().unwrap().at);
        let expected = if age <= Duration::from_secs(60) { Waiting::Search } else { Waiting::Retry };
        assert_eq!(explanation.why, [expected], "asked {age:?} ago");
        told.push(expected);
        bench.pass(Duration::from_secs(1));
        bench.handle(Event::Tick);
    }
    assert!(told.contains(&Waiting::Search) && told.contains(&Waiting::Retry));

    let mut bench = linked();
    let other = Foe::linked_elsewhere(&mut bench, "alice");
    let device = other.own.credentials.delegation().device();
    let pipes: Vec<PipeId> = bench.node.links().map(|link| link.pipe).collect();
    pipes.into_iter().for_each(|pipe| bench.handle(Event::pipe_closed(pipe)));
    send(&mut bench, Keep::Disk);
    bench.handle(Event::Tick);
    bench.node.command(bench.now, revocation_of("alice", RevocationTarget::Device(device))).unwrap();
    bench.run();
    let why = bench.node.explain(alice()).why;
    assert!(why.contains(&Waiting::PeerRevoked) && why.len() == 2, "one of her two devices: {why:?}");
}

/// The lines of an explanation without the user's id.
fn lines(explanation: &Explanation) -> String {
    explanation.to_string().replace(&alice().to_string(), "ALICE")
}

#[test]
fn an_explanation_names_each_address_and_search_and_when_it_goes_on() {
    assert_eq!(
        lines(&state(Waiting::Retry)),
        "1 message waits for ALICE\n  nobody has answered so far; what to do: is the other device on? has its address changed?\n  \
         the next try is in 1 s\n  10.0.0.2:7575: nobody listens there, 0 s ago\n"
    );
    assert_eq!(
        lines(&state(Waiting::Window)),
        "21 messages wait for ALICE\n  it is on its way, and the other application has not taken it; what to do: have them take it: \
         they run overcom listen, or their application is stuck\n  as much as the other side takes at once is on its way; what to do: \
         nothing; it goes on as they take what came before\n"
    );
    assert!(lines(&state(Waiting::Search)).ends_with("  1 peer asked 0 s ago: no answer yet\n"));
    assert_eq!(lines(&bench().node.explain(alice())), "nothing waits for ALICE\n");
}

#[test]
fn who_refuses_is_told_with_the_reason() {
    let mut bench = introduced();
    send(&mut bench, Keep::Memory);
    bench.handle(Event::Tick);
    let (op, to) = bench.connects[0];
    let pipe = PipeId::new(900);
    bench.handle(Event::pipe_opened(pipe, Some(op), at("10.0.0.1:50000"), to));
    bench.handle(Event::pipe_bytes(pipe, b"overcom/1 version\n"));
    let explanation = bench.node.explain(alice());
    assert_eq!(explanation.why, vec![Waiting::Retry]);
    assert!(lines(&explanation).contains("10.0.0.2:7575: closed: the other end speaks another version, 0 s ago"), "{explanation}");
}

#[test]
fn every_reason_that_people_meet_has_a_cause_and_a_way_out_and_no_two_sound_alike() {
    let mut told = vec![];
    told.extend(CloseReason::ALL.map(CloseReason::explain));
    told.push(CloseReason::Unknown(499).explain());
    told.extend(StoreError::ALL.map(StoreError::explain));
    told.extend(Waiting::ALL.map(Waiting::explain));
    for (cause, advice) in &told {
        assert!(cause.len() > 10 && advice.len() > 6 && !cause.ends_with('.') && !advice.ends_with('.'), "{cause}; {advice}");
    }
    let causes: alloc::collections::BTreeSet<&str> = told.iter().map(|(cause, _)| *cause).collect();
    assert_eq!(causes.len(), told.len());
}

// spec-test: NODE-13, NODE-14
#[test]
fn a_find_fails_when_the_own_delegation_ends_or_is_revoked() {
    for ends in [Event::clock(WALL + WEEK + Duration::from_secs(601)), Event::Tick] {
        let mut bench = bench();
        let tag = bench.node.command(bench.now, Command::find(alice())).unwrap();
        if ends == Event::Tick {
            bench.node.command(bench.now, revocation("bob")).unwrap();
        }
        bench.handle(ends);
        assert!(bench.has(|notice| *notice == Notice::Failed { tag, why: FailReason::Expired }), "{:?}", bench.notices);
        assert_eq!(bench.connects.len(), 0);
    }
}
