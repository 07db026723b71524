//! Peers with other bounds than this node's, and applications that fail.

extern crate std;

use self::std::panic::{AssertUnwindSafe, catch_unwind};
use super::*;

/// Alice on a desktop, and `bob` with these bounds; they have exchanged a message.
fn with_bob(config: Config) -> Net {
    let mut net = Net::new(&["alice"]);
    net.config = config;
    net.add("bob", credentials("bob", "test"), BTreeMap::new(), 0);
    net.run();
    net.introduce(0, 1);
    net
}

fn message(bytes: usize) -> Message {
    Message::new("bla", &"x".repeat(bytes)).unwrap()
}

fn failed(net: &Net, tag: Tag) -> bool {
    net.has(0, |n| *n == Notice::Failed { tag, why: FailReason::TooLong })
}

fn delivered(net: &Net, tag: Tag) -> bool {
    net.has(0, |n| *n == Notice::Delivered { tag, device: None })
}

// spec-test: MSG-17, LINK-21
#[test]
fn what_a_small_reader_cannot_read_fails_and_holds_up_nothing_behind_it() {
    for keep in [Keep::Disk, Keep::Memory] {
        let mut net = with_bob(Config::embedded());
        let bob = net.user(1);
        // Before there is a link, and so before anything is known of the reader.
        let before = net.command(0, Send::new(bob, message(17_000)).keep(keep)).unwrap();
        let short: Vec<Tag> = (0..6).map(|n| net.send(0, 1, &n.to_string(), keep)).collect();
        net.pass(Duration::from_secs(2));
        assert!(failed(&net, before) && short.iter().all(|tag| delivered(&net, *tag)), "{keep:?}");
        // And on the link.
        let over = net.command(0, Send::new(bob, message(17_000)).keep(keep)).unwrap();
        let within = net.command(0, Send::new(bob, message(15_000)).keep(keep)).unwrap();
        let last = net.send(0, 1, "last", keep);
        net.pass(Duration::from_secs(2));
        assert!(failed(&net, over) && delivered(&net, within) && delivered(&net, last), "{keep:?}");
        assert_eq!(net.got(1).len(), 8);
        assert!(!net.has(0, |n| matches!(n, Notice::LinkDown { .. })));
        assert_eq!(net.seats[0].driver.node().stats().messages_failed, 2);
        assert!(net.seats[0].store.keys().all(|key| key.first() != Some(&b'o')), "nothing of it is left on disk");
    }
}

// spec-test: MSG-17, WIRE-1
#[test]
fn each_length_up_to_what_the_reader_says_arrives_and_the_next_one_fails() {
    let mut net = with_bob(Config::test().line_bytes_max(8 << 10));
    let bob = net.user(1);
    net.send(0, 1, "first", Keep::Memory);
    net.pass(Duration::from_secs(1));
    let frame = message(0).bytes() + 64;
    let longest = (8 << 10) - frame;
    let fits = net.command(0, Send::new(bob, message(longest)).keep(Keep::Memory)).unwrap();
    let over = net.command(0, Send::new(bob, message(longest + 1)).keep(Keep::Memory)).unwrap();
    net.pass(Duration::from_secs(1));
    assert!(delivered(&net, fits) && failed(&net, over));
    assert!(!failed(&net, fits) && !delivered(&net, over));
}

// spec-test: MSG-17
#[test]
fn nothing_longer_than_every_peer_reads_leaves_before_the_peer_has_said_what_it_reads() {
    let mut net = with_bob(Config::test());
    let bob = net.user(1);
    let long = net.command(0, Send::new(bob, message(5_000)).keep(Keep::Memory)).unwrap();
    // Bob's answers are kept back from his `resume` on: three writes of the handshake have gone before.
    net.seats[1].writes_left = Some(1);
    net.run();
    assert_eq!(net.got(1).len(), 0, "it waits");
    net.let_go(1);
    net.pass(Duration::from_secs(1));
    assert!(delivered(&net, long));
}

// spec-test: MSG-9, NODE-8
#[test]
fn the_smallest_window_takes_what_every_peer_may_send_unasked() {
    assert_eq!(Config::test().window_messages(15).check(), Err(ConfigError::OutOfRange("window_messages")));
    let mut net = with_bob(Config::test().window_messages(16).window_bytes(16 << 10));
    let tags: Vec<Tag> = (0..50).map(|n| net.send(0, 1, &n.to_string(), Keep::Disk)).collect();
    net.pass(Duration::from_secs(2));
    assert!(tags.iter().all(|tag| delivered(&net, *tag)));
    assert!(!net.has(0, |n| matches!(n, Notice::LinkDown { .. })));
}

/// Panics at every message that says so.
#[derive(Default)]
struct Nervous {
    taken: usize,
}

impl App for Nervous {
    fn on_start(&mut self, _: &mut AppCx<'_>, _: Saved) {}

    fn on_notice(&mut self, _: &mut AppCx<'_>, notice: Notice) {
        if let Notice::Message(message) = notice {
            assert_ne!(message.payload(), "\"panic\"");
            self.taken += 1;
        }
    }
}

// spec-test: MSG-7
#[test]
fn a_call_that_panics_leaves_no_later_message_unacknowledged() {
    let mut net = with_bob(Config::test());
    net.seats[1].takes = false;
    let mut hosted = Hosted::new(Nervous::default(), &Seed::from_bytes([9; 32]));
    let texts = ["one", "panic", "two", "three"];
    let tags: Vec<Tag> = texts.iter().map(|text| net.send(0, 1, text, Keep::Memory)).collect();
    net.pass(Duration::from_secs(1));
    let (now, notices) = (net.now, core::mem::take(&mut net.seats[1].table.notices));
    let panics = notices.into_iter().filter_map(|notice| {
        let driver = &mut net.seats[1].driver;
        catch_unwind(AssertUnwindSafe(|| hosted.on_notice(driver, now, notice))).err()
    });
    assert_eq!(panics.count(), 1);
    net.pass(Duration::from_secs(1));
    assert_eq!(hosted.app().taken, 3);
    assert!(tags.iter().all(|tag| delivered(&net, *tag)));
}
