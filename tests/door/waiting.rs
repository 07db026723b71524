//! Messages that nobody takes: they wait, and nothing else waits with them.

use serde_json::json;

use super::{LISTEN, PATIENCE, Talk};
use crate::cli::{Home, stderr, stdout};

/// More than a window of messages, and than a session is handed.
const MANY: u64 = 1_100;
/// As many as one peer may have unacknowledged.
const WINDOW: u64 = 1_024;

/// Sends many messages, and waits until as many are there as may be.
fn flood(from: &mut Talk, to: &mut Talk) {
    from.ok("listen", json!({ "notices": ["failed"] }));
    to.ok("listen", json!({ "notices": [] }));
    from.meet(to, "ann");
    for number in 0..MANY {
        from.ok("send", json!({ "to": "ann", "type": "note", "payload": number }));
    }
    let begun = overcom_std::Clock::start();
    while to.ok("status", json!({}))["stats"]["messages_received"] != WINDOW {
        assert!(begun.now().since(overcom_core::Time::ZERO) < PATIENCE, "they do not come");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn messages_that_nobody_listens_to_keep_no_other_notice_from_anybody() {
    let (ann, bob, carol) = (Home::new("waiting-ann"), Home::new("waiting-bob"), Home::new("waiting-carol"));
    let (mut anns, mut bobs, mut carols) = (Talk::start(&ann), Talk::start(&bob), Talk::start(&carol));
    flood(&mut bobs, &mut anns);
    carols.ok("invite", json!({}));
    let line = carols.notice("invited")["line"].as_str().expect("a line").to_owned();
    let verb = |arguments: &[&str]| {
        let output = ann.run(arguments.iter().copied().chain(LISTEN));
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    assert!(verb(&["invite"]).starts_with("oci1"));
    assert!(verb(&["join", &line, "--as", "carol"]).starts_with("connected with carol"));
    assert!(verb(&["send", "carol", "note", "1"]).starts_with("delivered"));
    anns.ok("listen", json!({ "notices": ["renewed"] }));
    anns.ok("renew", json!({}));
    anns.notice("renewed");
    // Whoever listens at last gets all of them, and their sender hears of it.
    bobs.ok("listen", json!({ "notices": ["delivered"] }));
    anns.ok("listen", json!({ "notices": ["message"] }));
    for number in 0..MANY {
        assert_eq!(anns.notice("message")["payload"], number);
        bobs.notice("delivered");
    }
}

#[test]
fn a_listener_that_takes_nothing_keeps_no_message_from_another_one() {
    let (ann, bob, carol) = (Home::new("stalled-ann"), Home::new("stalled-bob"), Home::new("stalled-carol"));
    let (mut anns, mut bobs, mut carols) = (Talk::start(&ann), Talk::start(&bob), Talk::start(&carol));
    let (mut stalled, mut chats) = (Talk::start(&ann), Talk::start(&ann));
    stalled.ok("credit", json!({}));
    stalled.ok("listen", json!({ "notices": ["message"], "types": ["note"] }));
    chats.ok("listen", json!({ "notices": ["message"], "types": ["chat"] }));
    flood(&mut bobs, &mut anns);
    carols.meet(&anns, "ann");
    carols.ok("send", json!({ "to": "ann", "type": "chat", "payload": "hello" }));
    assert_eq!(chats.notice("message")["payload"], "hello");
    // It is behind by what it was handed; as it takes, the rest follows.
    for number in 0..MANY {
        assert_eq!(stalled.notice("message")["payload"], number);
        stalled.ok("taken", json!({ "notices": 1 }));
    }
    // What is taken is acknowledged in the order in which it came.
    carols.notice("delivered");
}
