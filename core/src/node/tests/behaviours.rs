//! What the designs before this one promised, as far as no other test shows it: see `tests/BEHAVIOURS.md`.

use super::*;

fn linked() -> Net {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Memory);
    net.run();
    net
}

fn views(net: &Net, at: usize) -> Vec<LinkView> {
    net.seats[at].driver.node().links().collect()
}

// spec-test: NODE-10, ID-5
#[test]
fn a_node_is_made_of_what_it_is_handed_and_never_sees_the_identity_s_key() {
    let identity = IdentitySecret::from_bytes([0x42; 32]);
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([1; 32])));
    let grant = keys.grant(AppId::new("test").unwrap(), WALL, WALL + Duration::from_secs(60));
    let credentials = keys.credentials(Delegation::sign(&identity, &grant).unwrap());
    // All that it knows of itself is this text: the identity's seed, 32 bytes of 0x42, is not in it.
    let secrets = credentials.to_secret_json();
    assert!(!secrets.as_str().contains("QkJCQkJC") && secrets.as_str().contains(&identity.public().to_string()));
    let node = Node::new(Config::test(), credentials, Seed::from_bytes([2; 32]), Time::ZERO, WALL).unwrap();
    assert_eq!((node.me().user, node.me().device), (identity.user(), keys.device()));
    assert_eq!(node.outbox().count() + node.links().count(), 0, "a new node knows nobody");
}

// spec-test: HS-6, NODE-10
#[test]
fn nodes_of_two_apps_in_one_process_show_one_user_and_meet_only_their_own() {
    let mut net = Net::new(&[]);
    for (name, app) in [("bob", "test"), ("alice", "test"), ("bob", "other"), ("alice", "other")] {
        net.add(name, credentials(name, app), BTreeMap::new(), 0);
    }
    net.run();
    assert_eq!((net.user(0), net.user(1)), (net.user(2), net.user(3)));
    net.introduce(0, 1);
    net.introduce(2, 3);
    net.send(0, 1, "in test", Keep::Memory);
    net.send(2, 3, "in other", Keep::Memory);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.got(1), net.got(3)), (vec!["\"in test\"".to_string()], vec!["\"in other\"".to_string()]));
    for at in 0..4 {
        assert_eq!(views(&net, at).len(), 1);
    }
}

// spec-test: FIND-4, HS-7
#[test]
fn a_link_carries_both_directions_is_used_again_and_is_known_by_its_peer() {
    let mut net = linked();
    // Alice was told nothing of Bob: his proof on the link is enough to answer.
    net.send(1, 0, "and you", Keep::Memory);
    net.send(0, 1, "again", Keep::Memory);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.got(0), net.got(1).len()), (vec!["\"and you\"".to_string()], 2));
    for (at, other) in [(0, 1), (1, 0)] {
        let (node, peer) = (net.seats[at].driver.node(), net.seats[other].driver.node().me());
        let view = views(&net, at).remove(0);
        assert_eq!((node.stats().links_up, view.with, view.dialled), (1, LinkPeer::User(peer), at == 0));
        assert_eq!(node.explain(peer.user).known, [peer.device]);
    }
    let known = net.seats[0].driver.node().explain(net.user(1)).addresses;
    assert_eq!((known.len(), &known[0].address), (1, &Address::from(net.seats[1].at)));
    assert_eq!(known[0].attempt.unwrap().outcome, AttemptOutcome::Linked);
    assert_eq!(net.seats[1].driver.node().explain(net.user(0)).addresses, []);
}

// spec-test: HS-3, LINK-3
#[test]
fn a_dialler_that_knows_the_device_writes_at_once_and_what_comes_with_its_proof_is_kept_in_order() {
    let mut net = linked();
    net.pass(Duration::from_secs(15));
    let pipe = *net.seats[0].pipes.first_key_value().unwrap().0;
    net.cut(0, pipe);
    net.run();
    let before = net.got(1).len();
    // Bob's first write, the opening, passes; his proof and all that follows it come in one piece.
    net.seats[0].writes_left = Some(1);
    for text in ["one", "two", "three"] {
        net.send(0, 1, text, Keep::Memory);
    }
    net.pass(Duration::from_secs(2));
    assert_eq!((views(&net, 0).len(), views(&net, 1).len()), (1, 0), "Bob has verified Alice, she has heard no proof yet");
    net.let_go(0);
    net.run();
    assert_eq!(net.got(1)[before..], ["\"one\"", "\"two\"", "\"three\""]);
    let up = net.seats[1].table.notices.iter().rposition(|notice| matches!(notice, Notice::LinkUp { .. }));
    let first = net.seats[1].table.notices.iter().position(|notice| matches!(notice, Notice::Message(it) if it.payload() == "\"one\""));
    assert!(up < first);
    let ladder = net.ladder();
    let (up, first) = (ladder.rfind("bob -> alice: link up"), ladder.rfind("bob -> alice: message"));
    assert!(up.is_some() && up < first, "{ladder}");
}

// spec-test: MSG-1, MSG-3
#[test]
fn the_sender_is_the_one_that_the_link_proved_and_a_type_is_any_text() {
    let mut net = linked();
    let (bob, alice) = (net.seats[0].driver.node().me(), net.user(1));
    for kind in ["search", "close", "hello", "Ünïcode 7"] {
        let claim = format!("{{\"from\":\"{}\",\"number\":1,\"type\":\"message\"}}", alice);
        net.command(0, Send::new(alice, Message::from_text(kind, &claim).unwrap()).keep(Keep::Memory)).unwrap();
    }
    net.run();
    let messages = net.seats[1].table.notices.iter().filter_map(|it| if let Notice::Message(it) = it { Some(it) } else { None });
    let told: Vec<(Peer, &str)> = messages.map(|it| (it.from, it.kind())).collect();
    assert_eq!(told, [(bob, "bla"), (bob, "search"), (bob, "close"), (bob, "hello"), (bob, "Ünïcode 7")]);
    assert_eq!(views(&net, 1).len(), 1, "none of them was taken for the protocol's own");
}

// spec-test: LINK-2, HS-5
#[test]
fn nothing_but_preamble_and_lengths_can_be_read_on_a_pipe() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "a word that must not be seen", Keep::Disk);
    net.pass(Duration::from_secs(30));
    let users = [net.user(0), net.user(1)];
    for seat in &net.seats {
        let wrote = String::from_utf8_lossy(&seat.wrote);
        let rest = wrote.strip_prefix("overcom/1 user\n").unwrap();
        for word in ["overcom", "must not be seen", "bla", "message", "payload", "delegation", "identity", "{\"", "\":", "test"] {
            assert!(!rest.contains(word), "{word}");
        }
        for user in &users {
            assert!(!seat.wrote.windows(32).any(|bytes| bytes == user.as_bytes()));
        }
    }
    assert_eq!(net.got(1).len(), 1);
}

// spec-test: HS-6, FIND-5
#[test]
fn a_wrong_answer_ends_its_pipe_and_the_next_address_is_tried() {
    let mut net = Net::new(&["bob", "alice", "carol"]);
    let (alice, addresses) = (net.user(1), [net.seats[2].at, net.seats[1].at]);
    net.command(0, Command::introduce(alice, addresses.map(Address::from))).unwrap();
    net.send(0, 1, "to alice alone", Keep::Memory);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.got(1).len(), net.got(2).len(), views(&net, 2).len()), (1, 0, 0));
    let tried: Vec<AttemptOutcome> =
        net.seats[0].driver.node().explain(alice).addresses.iter().filter_map(|it| it.attempt).map(|it| it.outcome).collect();
    assert_eq!(tried, [AttemptOutcome::Closed(CloseReason::WrongPeer), AttemptOutcome::Linked]);
}
