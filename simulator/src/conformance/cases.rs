//! The cases, each a claim about a shell and the node in it.

use std::time::Duration;

use overcom_core::{
    Address, AttemptOutcome, CloseReason, Command, CommandError, Config, ConnectError, Keep, Message, Notice, ResolveError, Send,
    StoreError,
};

use super::{HOUR, SILENCE, Stage, holds};

type Held = Result<(), String>;

pub(super) fn starts(stage: &mut Stage<'_>) -> Held {
    stage.person().map(|_| ())
}

pub(super) fn one_message(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.send(a, b, "note", "{\"n\":1.50}")?;
    let notice = stage.expect(b.place, "a message", |notice| matches!(notice, Notice::Message(_)))?;
    let Notice::Message(message) = notice else { return Err("a message did not come".into()) };
    holds(
        (message.kind(), message.payload(), message.from.user) == ("note", "{\"n\":1.50}", a.user),
        "type, payload and sender are as sent",
    )
}

pub(super) fn both_ways(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.send(a, b, "ask", "1")?;
    stage.expect_message(b, "1")?;
    // b knows no address of a: the answer goes on the link that a dialled.
    stage.send(b, a, "answer", "2")?;
    stage.expect_message(a, "2")
}

pub(super) fn delivered_after_taken(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    let sent = stage.send(a, b, "note", "1")?;
    stage.expect_message(b, "1")?;
    // b has not come back for more: it has not taken the message.
    stage.expect_none(a.place, "nothing is delivered before it is taken", |notice| matches!(notice, Notice::Delivered { .. }))?;
    let _ = stage.launcher.next(b.place, SILENCE);
    stage.expect_delivered(a, sent)
}

pub(super) fn in_order(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    for n in 0..500 {
        stage.send(a, b, "count", &n.to_string())?;
    }
    (0..500).try_for_each(|n| stage.expect_message(b, &n.to_string()))
}

pub(super) fn slow_reader(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    let text = format!("\"{}\"", "x".repeat(20_000));
    for _ in 0..200 {
        stage.send(a, b, "bulk", &text)?;
    }
    // Four megabytes against a window of one: a must wait for b, who looks away meanwhile.
    while stage.launcher.next(a.place, SILENCE).is_some() {}
    (0..200).try_for_each(|_| stage.expect_message(b, &text))
}

pub(super) fn peer_restarts(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.send(a, b, "note", "1")?;
    stage.expect_message(b, "1")?;
    let _ = stage.launcher.next(b.place, SILENCE);
    stage.launcher.stop(b.place);
    stage.launcher.restart(b.place)?;
    stage.send(a, b, "note", "2")?;
    stage.expect(b.place, "the second message", |notice| matches!(notice, Notice::Message(message) if message.payload() == "2")).map(|_| ())
}

pub(super) fn sender_restarts(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.launcher.stop(b.place);
    let sent = stage.send(a, b, "note", "1")?;
    stage.expect(a.place, "Queued", |notice| matches!(notice, Notice::Queued { tag, .. } if *tag == sent))?;
    stage.launcher.stop(a.place);
    stage.launcher.restart(b.place)?;
    stage.launcher.restart(a.place)?;
    stage.expect_message(b, "1")
}

pub(super) fn refused_dial(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.launcher.stop(b.place);
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect_failed(a, find)?;
    let attempts = stage.attempts(a, b.user)?;
    holds(attempts == [AttemptOutcome::NotConnected(ConnectError::Refused)], &format!("explain says that it was refused: {attempts:?}"))
}

pub(super) fn unknown_name(stage: &mut Stage<'_>) -> Held {
    let (a, b) = (stage.person()?, stage.person()?);
    let address: Address = "nobody.invalid:7".parse().map_err(|why| format!("{why}"))?;
    stage.command(a, Command::introduce(b.user, vec![address]))?;
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect_failed(a, find)?;
    let attempts = stage.attempts(a, b.user)?;
    // A resolver without a network cannot tell that there is no such name.
    let none = [ResolveError::Unknown, ResolveError::Failed].map(AttemptOutcome::NotResolved);
    holds(matches!(&attempts[..], [one] if none.contains(one)), &format!("explain says that there is no such name: {attempts:?}"))
}

pub(super) fn wrong_peer(stage: &mut Stage<'_>) -> Held {
    let (a, b, other) = (stage.person()?, stage.person()?, stage.person()?);
    let address = stage.launcher.address(other.place);
    stage.command(a, Command::introduce(b.user, vec![Address::Ip(address)]))?;
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect_failed(a, find)?;
    let attempts = stage.attempts(a, b.user)?;
    holds(attempts == [AttemptOutcome::Closed(CloseReason::WrongPeer)], &format!("explain says that it is somebody else: {attempts:?}"))
}

pub(super) fn two_apps(stage: &mut Stage<'_>) -> Held {
    let (a, b) = (stage.person_of("one")?, stage.person_of("two")?);
    stage.introduce(a, b)?;
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect_failed(a, find).map(|_| ())
}

pub(super) fn large(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    let text = format!("\"{}\"", "y".repeat(900 << 10));
    stage.send(a, b, "large", &text)?;
    stage.expect_message(b, &text)
}

pub(super) fn sixteen(stage: &mut Stage<'_>) -> Held {
    let hub = stage.person()?;
    let mut others = Vec::new();
    for _ in 0..16 {
        let other = stage.person()?;
        stage.introduce(other, hub)?;
        others.push((other, stage.send(other, hub, "hello", "null")?));
    }
    (0..16).try_for_each(|_| stage.expect_message(hub, "null"))?;
    let _ = stage.launcher.next(hub.place, SILENCE);
    others.into_iter().try_for_each(|(other, sent)| stage.expect_delivered(other, sent))
}

pub(super) fn suspend_and_wake(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.friends()?;
    stage.command(b, Command::Suspend)?;
    stage.expect(b.place, "Quiet", |notice| matches!(notice, Notice::Quiet))?;
    stage.launcher.rebind(b.place);
    stage.send(a, b, "note", "2")?;
    stage.expect_message(b, "2")
}

pub(super) fn rebound(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.send(a, b, "note", "1")?;
    stage.expect_message(b, "1")?;
    stage.launcher.rebind(a.place);
    stage.send(a, b, "note", "2")?;
    stage.expect_message(b, "2")
}

pub(super) fn suspended_refuses(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.friends()?;
    stage.command(a, Command::Suspend)?;
    stage.expect(a.place, "Quiet", |notice| matches!(notice, Notice::Quiet))?;
    let refused = stage.launcher.command(a.place, Command::find(b.user));
    holds(refused == Err(CommandError::Suspended), &format!("a suspended node refuses: {refused:?}"))
}

pub(super) fn forgotten(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.launcher.stop(b.place);
    let sent = stage.send(a, b, "note", "1")?;
    stage.command(a, Command::forget(b.user))?;
    stage.expect_failed(a, sent).map(|_| ())
}

pub(super) fn memory_fails(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.launcher.stop(b.place);
    let message = Message::from_text("note", "1").map_err(|why| why.to_string())?;
    let send = Send::new(b.user, message).keep(Keep::Memory).life(Duration::from_secs(60));
    let sent = stage.command(a, send.into())?;
    stage.expect_failed(a, sent).map(|_| ())
}

pub(super) fn link_ends_once(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect(a.place, "Found", |notice| matches!(notice, Notice::Found { tag, .. } if *tag == find))?;
    stage.launcher.stop(b.place);
    let ended = |notice: &Notice| matches!(notice, Notice::LinkDown { .. });
    stage.expect(a.place, "LinkDown", ended)?;
    stage.expect_none(a.place, "a link ends once", ended)
}

pub(super) fn named(stage: &mut Stage<'_>) -> Held {
    let (a, b) = (stage.person()?, stage.person()?);
    let (name, port) = (stage.launcher.host_name(b.place), stage.launcher.address(b.place).port());
    let address: Address = format!("{name}:{port}").parse().map_err(|why| format!("{why}"))?;
    stage.command(a, Command::introduce(b.user, vec![address]))?;
    stage.send(a, b, "note", "1")?;
    stage.expect_message(b, "1")?;
    let attempts = stage.attempts(a, b.user)?;
    holds(attempts == [AttemptOutcome::Linked], &format!("explain says that the name led to a link: {attempts:?}"))
}

pub(super) fn found_through_a_friend(stage: &mut Stage<'_>) -> Held {
    let (friend, seeker, sought) = (stage.person()?, stage.person()?, stage.person()?);
    for who in [seeker, sought] {
        stage.introduce(who, friend)?;
        let find = stage.command(who, Command::find(friend.user))?;
        stage.expect(who.place, "Found", |notice| matches!(notice, Notice::Found { tag, .. } if *tag == find))?;
    }
    // The search carries the addresses that the seeker's shell has told it of; the sought one dials them.
    stage.send(seeker, sought, "note", "1")?;
    stage.expect_message(sought, "1")
}

pub(super) fn not_taken_comes_again(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.send(a, b, "note", "1")?;
    stage.expect_message(b, "1")?;
    stage.expect_none(a.place, "nothing is delivered before it is taken", |notice| matches!(notice, Notice::Delivered { .. }))?;
    // b falls before it comes back for more.
    stage.launcher.stop(b.place);
    stage.launcher.restart(b.place)?;
    stage.expect_message(b, "1")
}

pub(super) fn long_outbox(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.launcher.stop(b.place);
    // More than one page of a load.
    let sent = (0..300).map(|n| stage.send(a, b, "count", &n.to_string())).collect::<Result<Vec<_>, _>>()?;
    for each in sent {
        stage.expect(a.place, "Queued", |notice| matches!(notice, Notice::Queued { tag, .. } if *tag == each))?;
    }
    stage.launcher.stop(a.place);
    stage.launcher.restart(b.place)?;
    stage.launcher.restart(a.place)?;
    (0..300).try_for_each(|n| stage.expect_message(b, &n.to_string()))
}

pub(super) fn goodbye(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.pair()?;
    stage.send(a, b, "note", "1")?;
    stage.expect_message(b, "1")?;
    stage.command(b, Command::Suspend)?;
    stage.expect_link_down(a, CloseReason::Suspended)?;
    stage.expect_link_down(b, CloseReason::Suspended)
}

pub(super) fn idle_link(stage: &mut Stage<'_>) -> Held {
    let (config, until) = (Config::test().idle_ms_max(1_000).keep_alive_ms(1_000), stage.launcher.wall() + HOUR);
    let (a, b) = (stage.person_with("conformance", config, until)?, stage.person_with("conformance", config, until)?);
    stage.introduce(a, b)?;
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect(a.place, "Found", |notice| matches!(notice, Notice::Found { tag, .. } if *tag == find))?;
    stage.expect_link_down(a, CloseReason::Idle)?;
    stage.expect_link_down(b, CloseReason::Idle)
}

pub(super) fn delegation_ends(stage: &mut Stage<'_>) -> Held {
    // Two seconds before the ten minutes of grace are over.
    let until = stage.launcher.wall() - Duration::from_secs(598);
    let a = stage.person_with("conformance", Config::test(), until)?;
    stage.expect(a.place, "Expired", |notice| matches!(notice, Notice::Expired))?;
    let refused = stage.launcher.command(a.place, Command::find(a.user));
    holds(refused == Err(CommandError::Expired), &format!("an expired node refuses: {refused:?}"))
}

pub(super) fn failed_write(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.friends()?;
    stage.launcher.fail_store(a.place, StoreError::Full);
    let second = stage.send(a, b, "note", "2")?;
    let queued = |notice: &Notice| matches!(notice, Notice::Queued { tag, .. } if *tag == second);
    let stopped = stage.expect(a.place, "Stopped", |notice| queued(notice) || matches!(notice, Notice::Stopped { .. }))?;
    holds(matches!(stopped, Notice::Stopped { why: StoreError::Full, .. }), &format!("what is not stored stops the node: {stopped:?}"))?;
    let refused = stage.launcher.command(a.place, Command::find(b.user));
    holds(refused == Err(CommandError::Stopped), &format!("a stopped node refuses: {refused:?}"))?;
    stage.expect_link_down(b, CloseReason::Stopped)?;
    stage.expect_none(b.place, "nothing leaves a stopped node", |notice| matches!(notice, Notice::Message(_)))?;
    stage.expect_none(a.place, "a stopped node promises nothing", queued)
}

pub(super) fn unstored_unacknowledged(stage: &mut Stage<'_>) -> Held {
    let [a, b] = stage.friends()?;
    stage.launcher.fail_store(b.place, StoreError::Full);
    let sent = stage.send(a, b, "note", "2")?;
    stage.expect_message(b, "2")?;
    stage.expect(b.place, "Stopped", |notice| matches!(notice, Notice::Stopped { .. }))?;
    let delivered = |notice: &Notice| matches!(notice, Notice::Delivered { tag, .. } if *tag == sent);
    stage.expect_none(a.place, "what its reader could not store is not delivered", delivered)
}

pub(super) fn failed_read(stage: &mut Stage<'_>) -> Held {
    let a = stage.person()?;
    stage.launcher.stop(a.place);
    stage.launcher.fail_store(a.place, StoreError::Corrupt);
    stage.launcher.restart(a.place)?;
    let ends = |notice: &Notice| matches!(notice, Notice::Started { .. } | Notice::Stopped { .. });
    let notice = stage.expect(a.place, "Stopped", ends)?;
    let held = matches!(notice, Notice::Stopped { why: StoreError::Corrupt, .. });
    holds(held, &format!("a node that cannot read its state does not start: {notice:?}"))
}

pub(super) fn datagram_counted(stage: &mut Stage<'_>) -> Held {
    let a = stage.person()?;
    // Nobody's: whether a node reads it or drops it, it counts it.
    let counted = |stage: &mut Stage<'_>| stage.launcher.stats(a.place).map_or(0, |stats| stats.datagrams_dropped + stats.dht_in);
    let (before, start) = (counted(stage), stage.launcher.wall());
    for number in 1..=3_u8 {
        stage.launcher.datagram(a.place, &[b'?'; 40][..usize::from(number) * 10])?;
        while counted(stage) < before + u64::from(number) && stage.launcher.wall() < start + stage.patience {
            let _ = stage.launcher.next(a.place, Duration::from_millis(10));
        }
    }
    let _ = stage.launcher.next(a.place, SILENCE);
    let counted = counted(stage) - before;
    holds(counted == 3, &format!("three datagrams came, and the node counted {counted}"))
}
