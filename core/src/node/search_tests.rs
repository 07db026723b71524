//! Whom a node asks for a user, whom it answers, and whom it dials for others.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::SocketAddr;
use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::tests::{WALL, credentials};
use crate::id::to_base64;
use crate::wire::line::{Line, SearchContent};
use crate::wire::signing_bytes;
use crate::*;

fn bench() -> Bench {
    Bench::new(Config::test())
}

fn user(name: &str) -> UserId {
    credentials(name, "test").delegation().user()
}

fn foes(bench: &mut Bench, count: usize) -> Vec<Foe> {
    (0..count).map(|n| Foe::linked(bench, &format!("foe {n}"))).collect()
}

/// The budget that a foe was given with the only search that it was told.
fn budget(foe: &Foe) -> Option<u32> {
    assert!(foe.heard.matches("\"search\":{").count() <= 1);
    foe.heard.split("\"search\":{\"budget\":").nth(1)?.split(',').next()?.parse().ok()
}

fn answer(id: u8, status: u16) -> String {
    format!("{{\"search_answer\":{{\"id\":\"{}\",\"status\":{status}}}}}\n", to_base64(&[id; 16]))
}

fn distance(foe: &Foe, wanted: UserId) -> Vec<u8> {
    let user = foe.own.credentials.delegation().user();
    user.as_bytes().iter().zip(wanted.as_bytes()).map(|(a, b)| a ^ b).collect()
}

// spec-test: FIND-10, FIND-11
#[test]
fn a_search_goes_on_to_the_four_nearest_with_shares_of_one_unit_less_and_their_last_answer_comes_back() {
    let mut bench = bench();
    let mut asker = Foe::linked(&mut bench, "asker");
    let mut searcher = Foe::linked(&mut bench, "eve");
    let mut foes = foes(&mut bench, 6);
    let wanted = user("carol");
    foes.sort_by_key(|foe| distance(foe, wanted));
    asker.say(&mut bench, search("carol", "eve", &[], WALL, 1, 1_000, true));
    for foe in foes.iter_mut().chain([&mut searcher]) {
        foe.listen(&mut bench);
    }
    // 64 at most, one for this node: 63 in four shares, the nearest with the rest.
    let budgets: Vec<Option<u32>> = foes.iter().map(budget).collect();
    assert_eq!(budgets, [Some(18), Some(15), Some(15), Some(15), None, None]);
    assert_eq!((budget(&searcher), budget(&asker)), (None, None));
    assert!(asker.heard.ends_with(&answer(1, 202)), "{}", asker.heard);
    for foe in &mut foes[..3] {
        foe.say(&mut bench, answer(1, 404));
        asker.listen(&mut bench);
        assert!(!asker.heard.contains("404"), "somebody may still know");
    }
    foes[3].say(&mut bench, answer(1, 404));
    asker.listen(&mut bench);
    assert!(asker.heard.ends_with(&answer(1, 404)), "{}", asker.heard);
}

/// How many bytes wait for a friend who reads nothing, and whether a search is passed on to them, when `more` bytes are
/// made to wait on top of what waits anyway. `own`: the search is the node's own.
fn passed_on_when(more: usize, own: bool) -> (usize, bool) {
    let mut bench = bench();
    let mut asker = (!own).then(|| Foe::linked(&mut bench, "asker"));
    let mut friend = Foe::linked(&mut bench, "friend");
    friend.listen(&mut bench);
    bench.reads = false;
    // The first answer is a write under way; the others wait for it.
    friend.say(&mut bench, "{\"ping\":1}\n");
    let pings = |count: usize, number: &str| format!("{{\"ping\":{number}}}\n").repeat(count);
    let length = |number: &str| format!("{{\"pong\":{number}}}\n").len();
    // Lines of 12 bytes as far as they go, and then longer ones, as many bytes as are left.
    let fill = (more / length("10")).saturating_sub(4);
    friend.say(&mut bench, pings(fill, "10"));
    let left = more - fill * length("10");
    if more > 0 {
        let numbers = ["1000", "1000", &"1".repeat(4 + left - 3 * length("1000"))];
        assert_eq!(numbers.iter().map(|number| length(number)).sum::<usize>(), left);
        numbers.iter().for_each(|number| friend.say(&mut bench, pings(1, number)));
    }
    match &mut asker {
        Some(asker) => asker.say(&mut bench, search("carol", "eve", &[], WALL, 1, 64, true)),
        None => drop(bench.node.command(bench.now, Command::find(user("carol"))).unwrap()),
    }
    let before = friend.heard.len();
    bench.reads = true;
    friend.listen(&mut bench);
    let first = friend.heard.len() - before;
    bench.handle(Event::pipe_written(friend.pipe));
    friend.listen(&mut bench);
    let told = friend.heard.split_off(before + first);
    let waited = told.split_inclusive('\n').filter(|line| !line.starts_with("{\"search\"")).map(str::len).sum();
    if let Some(asker) = &mut asker {
        bench.handle(Event::pipe_written(asker.pipe));
        asker.listen(&mut bench);
        let status = if told.contains("\"search\"") { 202 } else { 404 };
        assert!(asker.heard.ends_with(&answer(1, status)), "{}", asker.heard);
    }
    (waited, told.contains("\"search\""))
}

// spec-test: FIND-10
#[test]
fn a_search_is_not_said_on_a_link_on_which_64_kib_wait() {
    const FULL: usize = 64 << 10;
    for own in [false, true] {
        let (base, is_passed) = passed_on_when(0, own);
        assert!(base < 100 && is_passed);
        assert_eq!(passed_on_when(FULL - 1 - base, own), (FULL - 1, true), "own: {own}");
        assert_eq!(passed_on_when(FULL - base, own), (FULL, false), "own: {own}");
    }
}

// spec-test: FIND-11
#[test]
fn an_answer_finds_its_way_back_for_a_minute_and_with_nobody_to_ask_there_is_one_at_once() {
    for (seconds, expected) in [(59, 200), (61, 202)] {
        let mut bench = bench();
        let mut asker = Foe::linked(&mut bench, "asker");
        asker.say(&mut bench, search("carol", "eve", &[], WALL, 1, 64, true));
        assert!(asker.heard.ends_with(&answer(1, 404)), "{}", asker.heard);
        let mut other = Foe::linked(&mut bench, "other");
        asker.say(&mut bench, search("carol", "eve", &[], WALL, 2, 64, true));
        bench.pass(Duration::from_secs(seconds));
        other.say(&mut bench, answer(2, 200));
        asker.listen(&mut bench);
        let last = asker.heard.rsplit("\"search_answer\"").next().unwrap();
        assert!(last.contains(&format!("\"status\":{expected}}}")), "{seconds} s: {last}");
    }
}

// spec-test: FIND-13
#[test]
fn the_wanted_node_dials_an_address_once_and_a_searcher_thrice_in_ten_seconds() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    let dialled = |bench: &Bench| -> Vec<SocketAddr> { bench.connects.iter().map(|(_, to)| *to).collect() };
    foe.say(&mut bench, search("bob", "eve", &["10.0.0.5:1"], WALL, 1, 64, true));
    foe.say(&mut bench, search("bob", "carol", &["10.0.0.5:1"], WALL, 2, 64, true));
    assert_eq!(dialled(&bench), [at("10.0.0.5:1")], "the second one is for the same address");
    assert!(foe.heard.ends_with(&answer(2, 404)), "{}", foe.heard);
    for (op, _) in core::mem::take(&mut bench.connects) {
        bench.handle(Event::connect_failed(op, ConnectError::Refused));
    }
    let refused = bench.node.stats().dials_refused;
    foe.say(&mut bench, search("bob", "eve", &["10.0.0.6:1", "10.0.0.7:1", "10.0.0.8:1"], WALL, 3, 64, true));
    assert_eq!(bench.node.stats().dials_refused - refused, 1, "one dial for this searcher was used up before");
    bench.pass(Duration::from_secs(11));
    let refused = bench.node.stats().dials_refused;
    foe.say(&mut bench, search("bob", "eve", &["10.0.0.5:1"], WALL, 4, 64, true));
    assert_eq!(bench.node.stats().dials_refused, refused);
}

// spec-test: FIND-15
#[test]
fn who_has_no_link_dials_four_people_to_ask_them() {
    let mut bench = bench();
    for n in 0..6 {
        let address = at(&format!("10.0.1.{n}:7575"));
        bench.node.command(bench.now, Command::introduce(user(&format!("friend {n}")), [address.into()])).unwrap();
    }
    bench.run();
    assert_eq!(bench.connects, []);
    bench.node.command(bench.now, Command::find(user("carol"))).unwrap();
    bench.run();
    assert_eq!(bench.connects.len(), 4);
}

// spec-test: FIND-15, MSG-13
#[test]
fn two_wanted_users_who_refuse_at_once_are_dialled_at_their_own_times_only() {
    let mut bench = bench();
    for (name, address) in [("carol", "10.0.1.1:7575"), ("dave", "10.0.1.2:7575")] {
        bench.node.command(bench.now, Command::introduce(user(name), [at(address).into()])).unwrap();
        bench.node.command(bench.now, Command::send(user(name), Message::new("bla", "hello").unwrap())).unwrap();
    }
    let mut dials = Vec::new();
    for second in 0..20 {
        bench.run();
        // Whatever a refusal leads to, as long as it leads to more, within reason.
        for _ in 0..100 {
            for (op, _) in core::mem::take(&mut bench.connects) {
                dials.push(second);
                bench.handle(Event::connect_failed(op, ConnectError::Refused));
            }
        }
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(dials, [0, 0, 1, 1, 3, 3, 7, 7, 15, 15]);
}

// spec-test: FIND-6
#[test]
fn an_entry_peer_that_is_not_there_is_dialled_every_five_minutes_at_last() {
    let mut bench = bench();
    bench.node.command(bench.now, Command::enter([Entry { address: at("10.0.0.9:7575").into(), key: None }])).unwrap();
    bench.run();
    let mut dials = Vec::new();
    for second in 0..1_420 {
        for (op, _) in core::mem::take(&mut bench.connects) {
            dials.push(second);
            bench.handle(Event::connect_failed(op, ConnectError::Refused));
        }
        bench.pass(Duration::from_secs(1));
    }
    let waits: Vec<u64> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
}

// spec-test: FIND-1, FIND-2
#[test]
fn one_to_eight_addresses_that_can_be_dialled_are_taken_and_a_new_introduction_replaces_them() {
    let mut bench = bench();
    let carol = user("carol");
    let addresses = |count: u8| (0..count).map(|n| Address::from(at(&format!("10.0.2.{n}:7575")))).collect::<Vec<_>>();
    let introduce =
        |bench: &mut Bench, addresses: Vec<Address>| bench.node.command(bench.now, Command::introduce(carol, addresses)).map(|_| ());
    for wrong in [addresses(0), addresses(9)] {
        assert_eq!(introduce(&mut bench, wrong), Err(CommandError::Address));
    }
    for nowhere in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "240.0.0.1:1", "10.0.0.1:0", "[fe80::1]:1"] {
        let address = Address::from(at(nowhere));
        let why = address.undialled().map(CommandError::Undialled);
        assert_eq!((introduce(&mut bench, vec![address]).err(), why.is_some()), (why, true), "{nowhere}");
    }
    assert_eq!((bench.node.explain(carol).addresses.len(), bench.stored(b'b')), (0, 0));
    let known = |bench: &Bench| bench.node.explain(carol).addresses.iter().map(|view| view.address.clone()).collect::<Vec<_>>();
    assert_eq!(introduce(&mut bench, addresses(8)), Ok(()));
    assert_eq!(known(&bench), addresses(8));
    assert_eq!(introduce(&mut bench, vec![at("10.0.3.1:1").into()]), Ok(()));
    assert_eq!(known(&bench), [at("10.0.3.1:1").into()]);
}

// spec-test: FIND-9
#[test]
fn a_search_is_passed_on_once_in_twenty_minutes_however_often_it_comes() {
    let mut bench = bench();
    let passed = |foe: &Foe| foe.heard.matches("\"search\":{").count();
    let answers = |foe: &Foe| foe.heard.matches("\"status\":202").count();
    let line = search("carol", "eve", &["10.0.0.5:1"], WALL, 9, 64, true);
    let (mut foe, mut friend) = (Foe::linked(&mut bench, "mallory"), Foe::linked(&mut bench, "friend"));
    for times in 1..=3 {
        foe.say(&mut bench, &line);
        friend.listen(&mut bench);
        assert_eq!((passed(&friend), answers(&foe)), (1, times));
    }
    // By another way it is the same search, and so it is just before the twenty minutes are over.
    let mut other = Foe::linked(&mut bench, "trudy");
    other.say(&mut bench, &line);
    friend.listen(&mut bench);
    assert_eq!((passed(&friend), answers(&other)), (1, 1));
    bench.pass(Duration::from_secs(20 * 60 - 1));
    let (mut foe, mut friend) = (Foe::linked(&mut bench, "mallory"), Foe::linked(&mut bench, "friend"));
    foe.say(&mut bench, &line);
    friend.listen(&mut bench);
    assert_eq!((passed(&friend), answers(&foe)), (0, 1));
}

// spec-test: FIND-5
#[test]
fn a_round_tries_each_address_once_in_order_and_of_a_name_the_first_four_for_ten_seconds_each() {
    let mut bench = bench();
    // Wildcards and the like are none that could be tried.
    let answers = ["0.0.0.0", "10.0.3.1", "fd00::2", "224.0.0.1", "10.0.3.3", "10.0.3.4", "10.0.3.5", "10.0.3.6"];
    bench.names = answers.iter().map(|text| text.parse().unwrap()).collect();
    let addresses = ["10.0.2.1:1", "home.example:7575", "10.0.2.2:2"].map(|text| text.parse::<Address>().unwrap());
    bench.node.command(bench.now, Command::introduce(user("carol"), addresses)).unwrap();
    bench.node.command(bench.now, Command::send(user("carol"), Message::new("bla", "hello").unwrap())).unwrap();
    bench.run();
    let mut dialled = Vec::new();
    while let Some((_, to)) = bench.connects.pop() {
        assert_eq!(bench.connects, [], "one after the other");
        dialled.push(to);
        bench.pass(Duration::from_millis(9_999));
        assert_eq!(bench.connects, [], "{to} has ten seconds to open");
        bench.pass(Duration::from_millis(1));
        if dialled.len() == 6 {
            break;
        }
    }
    let expected = ["10.0.2.1:1", "10.0.3.1:7575", "[fd00::2]:7575", "10.0.3.3:7575", "10.0.3.4:7575", "10.0.2.2:2"];
    assert_eq!(dialled, expected.map(at));
    // The round is over; the next one is another try.
    assert_eq!(bench.connects, []);
}

// spec-test: FIND-5
#[test]
fn sixteen_rounds_of_dials_run_at_once_and_further_ones_wait_for_their_turn() {
    let mut bench = bench();
    let address = |n: u8| at(&format!("10.0.4.{n}:7575"));
    for n in 0..20 {
        bench.node.command(bench.now, Command::introduce(user(&format!("friend {n}")), [address(n).into()])).unwrap();
        let message = Message::new("bla", "hello").unwrap();
        bench.node.command(bench.now, Command::send(user(&format!("friend {n}")), message)).unwrap();
    }
    bench.run();
    let dialled = |bench: &Bench| bench.connects.iter().map(|(_, to)| *to).collect::<Vec<_>>();
    assert_eq!(dialled(&bench), (0..16).map(address).collect::<Vec<_>>());
    let (op, _) = bench.connects[3];
    bench.handle(Event::connect_failed(op, ConnectError::Refused));
    assert_eq!(dialled(&bench), (0..17).map(address).collect::<Vec<_>>());
}

/// A search by `searcher` for `wanted`, signed by the searcher or by nobody.
pub(super) fn search(wanted: &str, searcher: &str, addresses: &[&str], time: WallTime, id: u8, budget: u32, is_signed: bool) -> String {
    let content = search_content(wanted, addresses, time, id);
    let keys = credentials(searcher, "test");
    if is_signed { signed_search(&content, &keys, budget) } else { search_line(&content, &[7; 64], keys.delegation(), budget) }
}

fn search_content(wanted: &str, addresses: &[&str], time: WallTime, id: u8) -> String {
    let wanted = credentials(wanted, "test").delegation().user();
    let id = SearchId::from_bytes([id; 16]);
    let addresses: Vec<_> = addresses.iter().map(|text| at(text)).collect();
    serde_json::to_string(&SearchContent { id, wanted, addresses, time }).unwrap()
}

/// A search of any content, under a signature that holds.
pub(super) fn signed_search(content: &str, keys: &Credentials, budget: u32) -> String {
    let signature = keys.sign(&Crypto::standard(), &signing_bytes("overcom/1 search", &[content.as_bytes()]));
    search_line(content, &signature, keys.delegation(), budget)
}

fn search_line(content: &str, signature: &[u8; 64], delegation: &Delegation, budget: u32) -> String {
    let (signature, delegation) = (to_base64(signature), delegation.to_json());
    format!("{{\"search\":{{\"budget\":{budget},\"content\":{content},\"signature\":\"{signature}\",\"delegation\":{delegation}}}}}\n")
}

// spec-test: FIND-13
#[test]
fn a_search_makes_a_node_dial_only_addresses_of_the_scope_that_it_came_in() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    let outside = ["203.0.113.9:80", "127.0.0.1:22", "[::1]:22"];
    foe.say(&mut bench, search("bob", "eve", &outside, WALL, 1, 64, true));
    foe.say(&mut bench, search("bob", "eve", &["[::ffff:8.8.8.8]:53", "0.0.0.0:1", "255.255.255.255:1"], WALL, 2, 64, true));
    assert_eq!((bench.connects.len(), bench.node.stats().dials_refused), (0, 6));
    foe.say(&mut bench, search("bob", "eve", &["10.0.0.5:7575"], WALL, 3, 64, true));
    assert_eq!(bench.connects.iter().map(|(_, to)| *to).collect::<Vec<_>>(), [at("10.0.0.5:7575")]);
}

// spec-test: FIND-7
#[test]
fn a_search_names_who_is_wanted_and_where_the_searcher_listens_and_its_device_has_signed_it() {
    let mut bench = bench();
    let listening = ["10.0.0.1:7575", "0.0.0.0:7575", "10.0.0.11:7575", "10.0.0.12:7575", "10.0.0.13:7575"].map(at);
    bench.handle(Event::addresses(&listening, false));
    let mut foe = Foe::linked(&mut bench, "mallory");
    bench.node.command(bench.now, Command::find(UserId::from_bytes([4; 32]))).unwrap();
    bench.run();
    foe.listen(&mut bench);
    let line = foe.heard.lines().find(|line| line.starts_with("{\"search\"")).unwrap();
    let Ok(Line::Search(search)) = Line::parse(line) else { panic!("{line}") };
    let content: SearchContent = serde_json::from_str(search.content.get()).unwrap();
    assert_eq!((content.wanted, content.time), (UserId::from_bytes([4; 32]), WALL));
    assert_eq!(content.addresses, ["10.0.0.1:7575", "10.0.0.11:7575", "10.0.0.12:7575"].map(at));
    assert_eq!(search.delegation.peer(), bench.node.me());
    let signature = array_from_base64::<64>(&search.signature).unwrap();
    let signed = signing_bytes("overcom/1 search", &[search.content.get().as_bytes()]);
    assert!(Crypto::standard().verify(search.delegation.signing(), &signed, &signature));
}

// spec-test: FIND-8, WIRE-3, WIRE-5
#[test]
fn a_search_that_is_forged_or_in_no_form_of_its_own_is_dropped_without_an_answer() {
    let eve = credentials("eve", "test");
    let right = |id: u8| search_content("bob", &["10.0.0.5:1"], WALL, id);
    let changed = |from: &str, to: &str| {
        let content = right(1).replacen(from, to, 1);
        assert_ne!(content, right(1), "{from}");
        signed_search(&content, &eve, 64)
    };
    let (time, foreign) = (format!("\"time\":{}", WALL.as_millis()), credentials("eve", "other"));
    let not_the_identity_s = {
        let (own, other) = (eve.delegation().to_json(), foreign.delegation().to_json());
        let signature = |text: &str| text.split("\"signature\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_string();
        Delegation::from_json(own.replace(&signature(&own), &signature(&other)).as_bytes()).unwrap()
    };
    let by_eve = eve.sign(&Crypto::standard(), &signing_bytes("overcom/1 search", &[right(1).as_bytes()]));
    for (what, line) in [
        ("nobody's signature", search("bob", "eve", &["10.0.0.5:1"], WALL, 1, 64, false)),
        ("a signature over something else", search_line(&right(2), &by_eve, eve.delegation(), 64)),
        ("another one's delegation", search_line(&right(1), &by_eve, credentials("carol", "test").delegation(), 64)),
        ("a delegation that nobody signed", search_line(&right(1), &by_eve, &not_the_identity_s, 64)),
        ("a delegation for another app", signed_search(&right(1), &foreign, 64)),
        ("four addresses", search("bob", "eve", &["10.0.0.5:1"; 4], WALL, 1, 64, true)),
        ("white space", changed(":", ": ")),
        ("a key twice", changed(&time, &format!("{time},{time}"))),
        ("an escape in a key", changed("\"time\"", "\"\\u0074ime\"")),
        ("half of a surrogate pair", changed(&time, &format!("{time},\"more\":\"\\ud800\""))),
        ("too deep", changed(&time, &format!("{time},\"more\":{}7{}", "[".repeat(8), "]".repeat(8)))),
        ("too long", changed(&time, &format!("{time},\"more\":\"{}\"", "x".repeat(65_536)))),
        ("a number past the largest", changed(&time, "\"time\":9007199254740992")),
    ] {
        let mut bench = bench();
        let mut friend = Foe::linked(&mut bench, "friend");
        let mut foe = Foe::linked(&mut bench, "mallory");
        let before = bench.node.stats().searches_dropped;
        foe.say(&mut bench, line);
        friend.listen(&mut bench);
        assert_eq!((bench.connects.len(), bench.node.stats().searches_dropped - before), (0, 1), "{what}");
        assert!(!foe.heard.contains("search_answer") && !friend.heard.contains("\"search\""), "{what}");
        assert_eq!(bench.node.links().count(), 2, "{what}");
        // It was not remembered either: the same id is still good for a search that holds.
        foe.say(&mut bench, signed_search(&right(1), &eve, 64));
        assert_eq!((bench.connects.len(), foe.heard.matches("search_answer").count()), (1, 1), "{what}");
    }
}

// spec-test: FIND-8
#[test]
fn a_search_from_a_clock_that_is_off_counts_to_the_tenth_minute_and_no_millisecond_longer() {
    const TOLERANCE: Duration = Duration::from_millis(CLOCK_TOLERANCE_MS);
    assert_eq!(TOLERANCE, Duration::from_secs(10 * 60));
    let (millisecond, day) = (Duration::from_millis(1), Duration::from_secs(24 * 3_600));
    for (time, dials) in [
        (WALL - TOLERANCE, 1),
        (WALL + TOLERANCE, 1),
        (WALL - TOLERANCE - millisecond, 0),
        (WALL + TOLERANCE + millisecond, 0),
        (WALL - day, 0),
        (WALL + day, 0),
    ] {
        let mut bench = bench();
        let mut foe = Foe::linked(&mut bench, "mallory");
        foe.say(&mut bench, search("bob", "eve", &["10.0.0.5:1"], time, 1, 64, true));
        assert_eq!((bench.connects.len(), foe.heard.matches("search_answer").count()), (dials, dials), "{time:?}");
    }
}

// spec-test: FIND-12, FIND-13
#[test]
fn a_flood_of_searches_costs_at_most_its_link_s_units_and_few_dials() {
    let mut bench = Bench::new(Config::test().search_units_per_minute(20).dials_for_others_per_minute(5));
    let mut foe = Foe::linked(&mut bench, "mallory");
    let before = bench.node.stats().signatures_checked;
    for n in 0..60 {
        let address = format!("10.0.{n}.5:7575");
        let searcher = format!("stranger {n}");
        foe.say(&mut bench, search("bob", &searcher, &[&address], WALL, n, u32::MAX, true));
    }
    assert!(bench.node.stats().signatures_checked - before <= 40);
    assert_eq!(bench.connects.len(), 5);
    assert_eq!(foe.heard.matches("\"status\":429").count(), 40);
}
