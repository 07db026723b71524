//! Replicas that lie: the reader finds the newest record all the same, and the publisher gets its acknowledgements.

use super::*;
use crate::address::Scope;
use crate::dht::record::AddressRecord;

/// What a liar makes of its answer to a `get`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lie {
    Older,
    OtherUser,
    OtherDevice,
    Forged,
    Future,
    Garbage,
    HugeIndex,
    HugeRevoked,
    Nothing,
    Silent,
    Busy,
    Slow,
}

const LIES: [Lie; 12] = [
    Lie::Older,
    Lie::OtherUser,
    Lie::OtherDevice,
    Lie::Forged,
    Lie::Future,
    Lie::Garbage,
    Lie::HugeIndex,
    Lie::HugeRevoked,
    Lie::Nothing,
    Lie::Silent,
    Lie::Busy,
    Lie::Slow,
];

fn address(user: u8, device: u8, sequence: u64, at: SocketAddr) -> String {
    AddressRecord::sign(&crypto(), &credentials(user, device, WEEK), Scope::Private, sequence, vec![at], Vec::new())
        .expect("a record")
        .to_json()
}

/// The text of a field that is neither a string nor the last one before it is one.
fn list(letter: &Letter, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_slice(&letter.bytes).unwrap_or_default();
    value.get(name).map(|value| alloc::format!(",\"{name}\":{value}")).unwrap_or_default()
}

fn lied(lie: Lie, letter: &Letter) -> Option<String> {
    let huge = 9_007_199_254_740_991_u64;
    let hint = crate::id::to_base64(&credentials(1, 1, WEEK).delegation().device().as_bytes()[..8]);
    let said = match lie {
        Lie::Silent => return None,
        Lie::Slow => return Some(letter.text().into()),
        Lie::Busy => return Some(alloc::format!("{{\"v\":1{},\"e\":\"busy\",\"wait\":60}}", list(letter, "t"))),
        _ if !letter.is("r", "get") => return Some(letter.text().into()),
        Lie::Older => alloc::format!(",\"record\":{},\"index\":[[\"{hint}\",{}]]", address(1, 1, WALL + 1, lan(99)), WALL + 1),
        Lie::OtherUser => alloc::format!(",\"record\":{}", address(2, 1, WALL + 900_000, lan(99))),
        Lie::OtherDevice => alloc::format!(",\"record\":{}", address(1, 2, WALL + 900_000, lan(99))),
        Lie::Forged => alloc::format!(",\"record\":{}", address(1, 1, WALL + 30_000, lan(98)).replace("10.0.0.98", "10.0.0.99")),
        Lie::Future => alloc::format!(",\"record\":{}", address(1, 1, WALL + 90_000_000, lan(99))),
        Lie::Garbage => String::from(",\"record\":{\"content\":{\"device\":7}}"),
        Lie::HugeIndex => alloc::format!(",\"index\":[[\"{hint}\",{huge}],[\"AAAAAAAAAAE\",{huge}],[\"AAAAAAAAAAI\",{huge}]]"),
        Lie::HugeRevoked => alloc::format!(",\"revoked\":{huge}"),
        Lie::Nothing => String::from(",\"index\":[]"),
    };
    let rest: String = ["id", "cookie", "token", "nodes"].iter().map(|name| list(letter, name)).collect();
    Some(alloc::format!("{{\"v\":1{},\"r\":\"get\"{said}{rest}}}", list(letter, "t")))
}

/// Three of eight lie (the entry peer does not). Device 1 publishes, moves, and is looked for.
fn run(lie: Lie) {
    let mut world = World::small(8);
    world.run_secs(6);
    let is_liar = |at: SocketAddr| [lan(2), lan(3), lan(4)].contains(&at);
    world.weather = Some(Box::new(move |_, mut letter| {
        let is_reply = letter.text().contains("\"r\":") || letter.text().contains("\"e\":");
        if !is_liar(letter.from) || !is_reply {
            return vec![letter];
        }
        let Some(text) = lied(lie, &letter) else { return Vec::new() };
        letter.bytes = text.into_bytes();
        vec![letter]
    }));
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(30);
    assert!(is_published(&world.told(1)), "{lie:?}: enough have acknowledged");
    // It has moved.
    world.peers[1].places = vec![lan(1), lan(71)];
    world.with(1, |solo, now| solo.handle(now, Event::addresses(&[lan(71)], false)));
    world.run_secs(30);
    let told = world.told(1);
    assert!(is_published(&told), "{lie:?}: {told:?}");
    for known in [Vec::new(), vec![credentials(1, 1, WEEK).delegation().clone()]] {
        let _ = world.told(7);
        world.with(7, |solo, now| solo.find(now, user(1), &app(), None, &known)).expect("a search");
        world.run_ms(5_100);
        let told = world.told(7);
        let last = addresses(&told, true).pop();
        assert_eq!(last, Some((credentials(1, 1, WEEK).delegation().device(), vec![lan(71)])), "{lie:?}: {told:?}");
        assert!(told.iter().any(|told| matches!(told, DhtNotice::Ended { is_found: true, .. })), "{lie:?}");
        assert!(addresses(&told, false).iter().all(|(_, all)| *all != [lan(99)]) || lie == Lie::Older);
        assert!(addresses(&told, true).iter().all(|(_, all)| *all != [lan(99)]), "{lie:?}: {told:?}");
    }
    // A liar is a node like others, to whom others still speak.
    let verified: Vec<u64> = world.solo(7).view().realms.iter().map(|realm| realm.verified).collect();
    assert!(verified >= vec![if matches!(lie, Lie::Silent) { 3 } else { 5 }], "{lie:?}: {verified:?}");
}

#[test]
fn the_newest_record_is_found_and_published_whatever_three_of_eight_say() {
    for lie in LIES {
        run(lie);
    }
}

/// One of the holders slept through the change: the first reader gives it what it lacks.
// spec-test: DHT-97
#[test]
fn who_finds_a_newer_record_gives_it_to_the_holder_that_has_an_older_one() {
    let mut world = World::small(5);
    world.run_secs(6);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(20);
    // Nothing reaches the third while the device moves.
    world.weather = Some(Box::new(|_, letter| if letter.to == lan(3) { Vec::new() } else { vec![letter] }));
    world.peers[1].places = vec![lan(1), lan(71)];
    world.with(1, |solo, now| solo.handle(now, Event::addresses(&[lan(71)], false)));
    world.run_secs(18);
    world.weather = None;
    world.log = Some(Vec::new());
    for _ in 0..3 {
        world.with(4, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
        world.run_secs(8);
    }
    let log = world.log.take().unwrap_or_default();
    let is_given =
        |letter: &Letter| letter.from == lan(4) && letter.to == lan(3) && letter.is("q", "put") && letter.text().contains("10.0.0.71");
    assert_eq!(log.iter().filter(|(_, letter)| is_given(letter)).count(), 1, "once, and then it has it");
}
