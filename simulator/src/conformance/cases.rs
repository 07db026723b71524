//! The cases, each a claim about a shell and the node in it.

use std::time::Duration;

use overcom_core::{Address, Command, CommandError, Keep, Message, Notice, Send};

use super::{SILENCE, Stage, holds};

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
    while let Some(notice) = stage.launcher.next(a.place, SILENCE) {
        holds(!matches!(notice, Notice::Delivered { .. }), "nothing is delivered before it is taken")?;
    }
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
    let tried = stage.launcher.explain(a.place, b.user).addresses;
    holds(tried.iter().any(|address| address.attempt.is_some()), "explain names the attempt")
}

pub(super) fn unknown_name(stage: &mut Stage<'_>) -> Held {
    let (a, b) = (stage.person()?, stage.person()?);
    let address: Address = "nobody.invalid:7".parse().map_err(|why| format!("{why}"))?;
    stage.command(a, Command::introduce(b.user, vec![address]))?;
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect_failed(a, find)?;
    let tried = stage.launcher.explain(a.place, b.user).addresses;
    holds(tried.iter().any(|address| address.attempt.is_some()), "explain names the attempt")
}

pub(super) fn wrong_peer(stage: &mut Stage<'_>) -> Held {
    let (a, b, other) = (stage.person()?, stage.person()?, stage.person()?);
    let address = stage.launcher.address(other.place);
    stage.command(a, Command::introduce(b.user, vec![Address::Ip(address)]))?;
    let find = stage.command(a, Command::find(b.user))?;
    stage.expect_failed(a, find)?;
    holds(stage.launcher.explain(a.place, b.user).linked.is_empty(), "no link with the user")
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
    let [a, b] = stage.pair()?;
    stage.command(b, Command::Suspend)?;
    stage.expect(b.place, "Quiet", |notice| matches!(notice, Notice::Quiet))?;
    stage.launcher.rebind(b.place);
    stage.send(a, b, "note", "1")?;
    stage.expect_message(b, "1")
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
    let [a, b] = stage.pair()?;
    stage.command(a, Command::Suspend)?;
    stage.expect(a.place, "Quiet", |notice| matches!(notice, Notice::Quiet))?;
    let refused = stage.launcher.command(a.place, Command::find(b.user));
    holds(refused == Err(CommandError::Suspended), "a suspended node refuses")
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
    while let Some(notice) = stage.launcher.next(a.place, SILENCE) {
        holds(!ended(&notice), "a link ends once")?;
    }
    Ok(())
}
