//! Asking: what somebody gets for what, and what they can make a node do to others.

use super::*;
use crate::address::{Scope, scope};
use crate::dht::id::{Variant, node_id};
use crate::dht::record::{AddressRecord, DeviceRecord};
use crate::dht::wire::Kind;

/// Where the server and one who asks are, in each realm.
fn places() -> [(SocketAddr, SocketAddr); 5] {
    let at = |text: &str| text.parse().expect("an address");
    [
        (lan(50), lan(9)),
        (wan(50), wan(9)),
        (wan6(50), wan6(9)),
        (at("127.0.0.1:7000"), at("127.0.0.1:9")),
        (at("[fd00::50]:7000"), at("[fd00::9]:65535")),
    ]
}

fn id_at(at: SocketAddr, n: u8) -> Key {
    node_id(&node_key(n), at, Variant::from_low_bits(1)).expect("an id")
}

/// The records of the first device of user 1, at `n` ms.
fn records(scope: Scope, n: u64) -> (DeviceRecord, AddressRecord) {
    let own = credentials(1, 1, WEEK);
    let prekey = crate::dht::record::Prekey::sign(&crypto(), &own, [5; 32], WALL + n).expect("a prekey");
    let device = DeviceRecord::new(Some(own.delegation().clone()), Some(prekey)).expect("a record");
    let at = match scope {
        Scope::Global => wan(77),
        Scope::Private => lan(77),
        Scope::Loopback => SocketAddr::from(([127, 0, 0, 1], 77)),
    };
    (device, AddressRecord::sign(&crypto(), &own, scope, WALL + n, vec![at], Vec::new()).expect("a record"))
}

impl Alone {
    /// A token for the home of user 1, to who asks from there.
    fn token(&mut self, from: SocketAddr, target: Key) -> (Cookie, Token) {
        let cookie = self.cookie(from);
        let get = Request::Get { target, kind: Kind::Device, device: None, known: None, write: true, is_fair: false };
        let (told, _, _) = self.ask(from, None, Some(cookie), &get);
        (cookie, told.and_then(|told| told.token).expect("a token"))
    }

    fn put(
        &mut self,
        from: SocketAddr,
        cookie: Option<Cookie>,
        token: Option<Token>,
        target: Key,
        kind: Kind,
        record: &str,
    ) -> Option<Told> {
        self.ask(from, None, cookie, &Request::Put { target, kind, token, record, carry: false }).0
    }

    /// Takes the records of user 1 in.
    fn fill(&mut self, from: SocketAddr) {
        let (device, address) = records(scope(self.at).expect("a scope"), 1);
        let (cookie, token) = self.token(from, home(1));
        for (kind, record) in [(Kind::Device, device.to_json()), (Kind::Address, address.to_json())] {
            let told = self.put(from, Some(cookie), Some(token), home(1), kind, &record).expect("an answer");
            assert!(!told.is_denied, "{}", told.letter.text());
        }
    }
}

fn requests<'a>(token: Option<Token>, record: &'a str, asker: SocketAddr) -> Vec<Request<'a>> {
    let target = home(1);
    let mut all = vec![
        Request::Ping { to: None },
        Request::Ping { to: Some(Key::from_bytes([9; 32]).hint()) },
        Request::Find { target, is_fair: false },
        Request::Hello { challenge: [9; 32] },
        Request::Probe,
        Request::Knock { at: asker },
        Request::Put { target, kind: Kind::Device, token, record, carry: false },
        Request::Put { target, kind: Kind::Address, token, record: "{}", carry: true },
    ];
    for kind in [Kind::Address, Kind::Device, Kind::Revocation] {
        for known in [None, Some(0), Some(u64::MAX >> 11)] {
            for write in [false, true] {
                all.push(Request::Get { target, kind, device: None, known, write, is_fair: false });
            }
        }
    }
    all
}

// spec-test: DHT-15
// spec-test: DHT-16
#[test]
fn whatever_is_asked_without_a_cookie_that_holds_nothing_comes_that_is_longer_than_it_and_no_refusal() {
    let record = records(Scope::Private, 1).0.to_json();
    for (at, asker) in places() {
        let mut alone = Alone::new(Config::test(), at);
        alone.fill(asker);
        let elsewhere = match asker {
            SocketAddr::V4(_) if scope(at) == Some(Scope::Global) => wan(8),
            SocketAddr::V4(_) | SocketAddr::V6(_) => SocketAddr::new(asker.ip(), 8),
        };
        let of_other = alone.cookie(elsewhere);
        for cookie in [None, Some(Cookie::from_bytes([7; 8])), Some(of_other)] {
            for id in [None, Some(id_at(asker, 9)), Some(Key::from_bytes([9; 32]))] {
                for request in requests(Some(Token::from_bytes([7; 16])), &record, elsewhere) {
                    alone.now = alone.now + Duration::from_secs(1);
                    let (told, others, bytes) = alone.ask(asker, id, cookie, &request);
                    assert_eq!(others, [], "{at} {request:?}");
                    let Some(told) = told else { continue };
                    assert!(told.letter.bytes.len() <= bytes, "{at} {request:?} {}", told.letter.text());
                    assert!(!told.is_denied && told.token.is_none());
                    let is_open = matches!(request, Request::Ping { .. } | Request::Find { .. } | Request::Get { .. });
                    assert!(is_open, "{request:?} is answered to who is proven only");
                }
            }
        }
    }
}

// spec-test: DHT-15
#[test]
fn who_shows_its_cookie_gets_1200_bytes_at_most_and_neither_id_cookie_nor_seen() {
    let record = records(Scope::Private, 1).0.to_json();
    for (at, asker) in places() {
        let mut alone = Alone::new(Config::test(), at);
        alone.fill(asker);
        let cookie = alone.cookie(asker);
        // Nobody who is not known of the table has others pinged.
        let other = if asker == wan(9) { wan(8) } else { SocketAddr::new(asker.ip(), 8) };
        let mut answered = 0;
        for request in requests(Some(Token::from_bytes([7; 16])), &record, other) {
            alone.now = alone.now + Duration::from_secs(1);
            let (told, others, _) = alone.ask(asker, None, Some(cookie), &request);
            assert_eq!(others, [], "{request:?}");
            let Some(told) = told else { continue };
            answered += 1;
            assert!(told.letter.bytes.len() <= 1_200 && told.id.is_none() && told.cookie.is_none() && !told.letter.text().contains("seen"));
            let wants_token = matches!(request, Request::Get { write: true, kind: Kind::Address | Kind::Device, .. });
            assert!(told.token.is_some() || !wants_token, "{}", told.letter.text());
            assert_eq!(told.is_denied, matches!(request, Request::Put { .. } | Request::Knock { .. } | Request::Probe));
        }
        assert!(answered >= 25, "{answered}");
    }
}

#[test]
fn who_does_not_serve_answers_pings_alone_and_without_an_id() {
    let mut alone = Alone::new(Config::test(), lan(50));
    alone.solo = begin(Config::test().dht_serve(0), (50, 0), alone.now, &[lan(50)], &[]);
    alone.wait(Duration::from_secs(1));
    for request in requests(None, "{}", lan(9)) {
        alone.now = alone.now + Duration::from_secs(1);
        let (told, others, _) = alone.ask(lan(9), None, None, &request);
        assert_eq!(others, []);
        assert_eq!(told.is_some(), request == Request::Ping { to: None }, "{request:?}");
        assert!(told.is_none_or(|told| told.id.is_none() && told.cookie.is_none()));
    }
}

// spec-test: DHT-20
#[test]
fn a_token_lets_write_from_its_address_to_its_target_for_five_to_ten_minutes_and_a_cookie_likewise() {
    let record = records(Scope::Private, 1).0.to_json();
    let mut alone = Alone::new(Config::test(), lan(50));
    let (cookie, token) = alone.token(lan(9), home(1));
    let (other_cookie, other_token) = alone.token(lan(8), home(1));
    let (_, far_token) = alone.token(lan(9), home(2));
    let put = |alone: &mut Alone, cookie, token| {
        alone.now = alone.now + Duration::from_millis(200);
        alone
            .put(lan(9), cookie, token, home(1), Kind::Device, &record)
            .map(|told| if told.is_denied { text_of(&told.letter, "e") } else { None })
    };
    let refused = Some(Some(String::from("token")));
    assert_eq!(put(&mut alone, Some(cookie), Some(other_token)), refused);
    assert_eq!(put(&mut alone, Some(cookie), Some(far_token)), refused);
    assert_eq!(put(&mut alone, Some(cookie), None), refused);
    assert_eq!(put(&mut alone, Some(other_cookie), Some(other_token)), None, "neither is its own: silence");
    assert_eq!(alone.solo.view().records, 0);
    assert_eq!(alone.solo.stats().signatures_checked, 0, "nothing was checked for any of them");
    assert_eq!(put(&mut alone, Some(other_cookie), Some(token)), Some(None), "a token proves as a cookie does");
    assert_eq!(alone.solo.view().records, 1);
    alone.wait(Duration::from_secs(601));
    assert_eq!(put(&mut alone, Some(cookie), Some(token)), None, "ten minutes later neither holds");
    let fresh = alone.cookie(lan(9));
    assert_eq!(put(&mut alone, Some(fresh), Some(token)), refused);
}

// spec-test: DHT-15
#[test]
fn who_shows_an_ageing_cookie_gets_the_next_one_and_who_shows_a_fresh_one_none() {
    let mut alone = Alone::new(Config::test(), lan(50));
    let first = alone.cookie(lan(9));
    let (mut shown, mut given) = (first, 0);
    for _ in 0..60 {
        alone.wait(Duration::from_secs(60));
        let (told, _, _) = alone.ask(lan(9), None, Some(shown), &Request::Find { target: home(1), is_fair: false });
        let told = told.expect("an answer");
        assert!(told.id.is_none(), "as to who is proven: {}", told.letter.text());
        given += usize::from(told.cookie.is_some());
        shown = told.cookie.unwrap_or(shown);
    }
    assert_eq!(given, 12, "one in each five minutes of an hour");
    // A token proves whoever shows a cookie that is long dead.
    let (_, token) = alone.token(lan(9), home(1));
    let record = records(Scope::Private, 1).0.to_json();
    let told = alone.put(lan(9), Some(first), Some(token), home(1), Kind::Device, &record).expect("an answer");
    assert!(told.cookie.is_some_and(|cookie| cookie != first));
}

// spec-test: DHT-76
#[test]
fn who_asks_now_and_then_never_asks_as_a_stranger() {
    let mut world = World::small(6);
    world.run_secs(20);
    for round in 0..40 {
        world.log = Some(Vec::new());
        world.with(5, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
        world.run_secs(2);
        let asked = world.log.take().unwrap_or_default();
        let asked = asked.into_iter().map(|(_, letter)| letter).filter(|letter| letter.from == lan(5) && letter.is("q", "get"));
        let (live, cold): (Vec<Letter>, Vec<Letter>) = asked.partition(|letter| letter.text().contains("\"cookie\""));
        assert!(live.len() >= 3 && (cold.is_empty() || round < 1), "{round}: {cold:?}");
        world.run_secs(98);
    }
}

// spec-test: DHT-44
#[test]
fn four_hellos_a_second_are_answered_and_sixteen_at_once() {
    let mut alone = Alone::new(Config::test(), lan(50));
    let cookies: Vec<_> = (100..150).map(|n| (lan(n), alone.cookie(lan(n)))).collect();
    let flood = |alone: &mut Alone| {
        let answers = cookies.iter().map(|(from, cookie)| alone.ask(*from, None, Some(*cookie), &Request::Hello { challenge: [9; 32] }).0);
        answers.flatten().filter(|told| !told.is_denied).count()
    };
    assert_eq!(flood(&mut alone), 16);
    let later: Vec<_> = (0..4)
        .map(|_| {
            alone.now = alone.now + Duration::from_secs(1);
            flood(&mut alone)
        })
        .collect();
    assert_eq!(later, [4; 4]);
}

// spec-test: DHT-44
#[test]
fn whoever_says_hello_all_the_time_leaves_others_their_part() {
    let mut alone = Alone::new(Config::test(), wan(50));
    let (greedy, other) = ((wan(9), alone.cookie(wan(9))), (wan(8), alone.cookie(wan(8))));
    let hello = |alone: &mut Alone, (from, cookie): (SocketAddr, Cookie)| {
        let told = alone.ask(from, None, Some(cookie), &Request::Hello { challenge: [9; 32] }).0;
        told.is_some_and(|told| !told.is_denied)
    };
    let mut answered = Vec::new();
    for tenth in 0..200 {
        alone.now = alone.now + Duration::from_millis(100);
        answered.extend(hello(&mut alone, greedy).then_some(tenth));
    }
    assert_eq!(answered, [0, 80, 160]);
    assert!(hello(&mut alone, other));
}

// spec-test: DHT-103
#[test]
fn a_put_that_is_played_again_is_acknowledged_and_checked_no_more() {
    let mut alone = Alone::new(Config::test(), lan(50));
    alone.fill(lan(9));
    let (checked, view) = (alone.solo.stats().signatures_checked, alone.solo.view());
    assert!(checked > 0);
    for _ in 0..30 {
        alone.now = alone.now + Duration::from_secs(1);
        alone.fill(lan(9));
    }
    assert_eq!(alone.solo.stats().signatures_checked, checked);
    assert_eq!((alone.solo.view().records, alone.solo.view().record_bytes), (view.records, view.record_bytes));
}

// spec-test: DHT-71
#[test]
fn a_storm_from_one_address_is_answered_at_its_rate_and_others_as_ever() {
    let mut alone = Alone::new(Config::test(), wan(50));
    let cookie = alone.cookie(wan(9));
    let find = Request::Find { target: home(1), is_fair: false };
    let answered = (0..500).filter(|_| alone.ask(wan(9), None, Some(cookie), &find).0.is_some_and(|told| !told.is_denied)).count();
    assert!((30..=40).contains(&answered), "{answered}");
    // Whoever sends in the name of somebody honest does not silence it.
    let honest = alone.cookie(wan(8));
    for _ in 0..2_000 {
        let told = alone.ask(wan(8), None, None, &Request::Ping { to: None }).0;
        assert!(told.is_none_or(|told| !told.is_denied), "who may be anybody gets no refusal");
    }
    assert!(alone.ask(wan(8), None, Some(honest), &find).0.is_some_and(|told| !told.is_denied));
}

// spec-test: DHT-105
#[test]
fn a_flood_of_records_from_one_network_neither_grows_the_store_nor_drives_the_records_of_others_out() {
    let mut alone = Alone::new(Config::test().dht_store_bytes(64 << 10).dht_group_requests_per_second(1_000_000), wan(50));
    alone.fill(wan(9));
    for n in 2..150_u8 {
        let own = credentials(n, n, WEEK);
        let record = DeviceRecord::new(Some(own.delegation().clone()), None).expect("a record").to_json();
        let from = SocketAddr::from(([45, 1, 1, n], 7));
        let (cookie, token) = alone.token(from, home(n));
        let _ = alone.put(from, Some(cookie), Some(token), home(n), Kind::Device, &record);
        alone.now = alone.now + Duration::from_secs(1);
        assert!(alone.solo.view().record_bytes <= 64 << 10);
    }
    assert!(alone.solo.view().records < 140 && alone.solo.view().record_bytes > 56 << 10, "{:?}", alone.solo.view());
    let (told, _, _) = alone.ask(
        wan(9),
        None,
        None,
        &Request::Get { target: home(1), kind: Kind::Address, device: None, known: None, write: false, is_fair: false },
    );
    assert!(told.is_some_and(|told| told.letter.text().contains("\"record\"")), "the first one is still there");
}

/// Four servers in four networks, three quarters of an hour: each asks for a probe, somebody knocks, and all go on serving.
// spec-test: DHT-133
// spec-test: DHT-134
#[test]
fn servers_have_each_other_knock_with_thirty_six_bytes_and_go_on_serving() {
    let mut world = World::new();
    for n in 0..4 {
        world.add(n, &[wan(n)], &[wan(0)][..usize::from(n > 0)]);
    }
    world.run_secs(20);
    world.log = Some(Vec::new());
    world.run_secs(3_600);
    let log = world.log.take().unwrap_or_default();
    let is_closed = |letter: &Letter| ["hello", "probe", "knock"].iter().any(|word| letter.is("q", word));
    assert!(log.iter().all(|(_, letter)| !is_closed(letter) || letter.text().contains("\"cookie\":")), "nothing is asked in vain");
    let probes = log.iter().filter(|(_, letter)| letter.is("q", "probe")).count();
    let knocks: Vec<_> = log.iter().filter(|(_, letter)| letter.is("q", "knock")).collect();
    assert!(probes > 0 && knocks.len() <= probes, "{probes} {}", knocks.len());
    for (_, knock) in knocks {
        assert_ne!(text_of(knock, "at").and_then(|at| at.parse().ok()), Some(knock.to));
    }
    let (short, long): (Vec<_>, Vec<_>) =
        log.iter().filter(|(_, letter)| letter.is("q", "ping")).partition(|(_, letter)| letter.bytes.len() < 50);
    assert!(short.len() <= probes && short.iter().all(|(_, letter)| letter.bytes.len() == 36), "{} {}", short.len(), long.len());
    for n in 0..4 {
        assert!(world.solo(n).view().realms.iter().all(|realm| realm.standing == crate::DhtStanding::Serving), "{n}");
    }
}

// spec-test: DHT-73
#[test]
fn whoever_asks_gets_half_a_minutes_bytes_at_once_and_who_shows_no_cookie_half_of_these() {
    let mut alone = Alone::new(Config::test(), wan(50));
    let all: Vec<SocketAddr> = (0..3_000_u16).map(|n| SocketAddr::from(([45, n.to_be_bytes()[0], n.to_be_bytes()[1], 1], 7))).collect();
    let mut cookies = Vec::new();
    let (mut cold, mut live) = (0, 0);
    for from in &all {
        if let Some(told) = alone.ask(*from, None, None, &Request::Ping { to: None }).0 {
            cold += told.letter.bytes.len();
            cookies.extend(told.cookie.map(|cookie| (*from, cookie)));
        }
    }
    let half = 16_384 * 15;
    assert!((half - 1_000..=half + 1_000).contains(&cold), "{cold}");
    let find = Request::Find { target: home(1), is_fair: false };
    for (from, cookie) in cookies.iter().cycle().take(20_000) {
        live += alone.ask(*from, None, Some(*cookie), &find).0.filter(|told| !told.is_denied).map_or(0, |told| told.letter.bytes.len());
    }
    assert!(live <= half + 1_000 && live > half / 2, "{live}");
    // A sixth of the bytes is back: too few for a cold find, enough for a ping.
    alone.now = alone.now + Duration::from_secs(5);
    assert!(alone.ask(wan(1), None, None, &find).0.is_none());
    assert!(alone.ask(wan(1), None, None, &Request::Ping { to: None }).0.is_some());
    alone.now = alone.now + Duration::from_secs(20);
    assert!(alone.ask(wan(1), None, None, &find).0.is_some());
}

// spec-test: DHT-100
#[test]
fn signatures_are_checked_as_fast_as_the_budget_says_and_then_it_is_busy() {
    let mut alone = Alone::new(Config::test().dht_verifies_per_second(3), lan(50));
    let put = |alone: &mut Alone, n: u8| {
        let record = DeviceRecord::new(Some(credentials(n, n, WEEK).delegation().clone()), None).expect("a record").to_json();
        let (cookie, token) = alone.token(lan(n), home(n));
        let told = alone.put(lan(n), Some(cookie), Some(token), home(n), Kind::Device, &record).expect("an answer");
        text_of(&told.letter, "e")
    };
    let answers: Vec<_> = (1..6).map(|n| put(&mut alone, n)).collect();
    let busy = Some(String::from("busy"));
    assert_eq!(answers, [None, None, None, busy.clone(), busy]);
    alone.now = alone.now + Duration::from_secs(1);
    assert_eq!(put(&mut alone, 4), None);
}

#[test]
fn a_clock_that_jumps_has_what_ends_by_it_go_at_once_without_anything_else_happening() {
    let mut alone = Alone::new(Config::test(), lan(50));
    let (cookie, token) = alone.token(lan(1), home(1));
    let record = DeviceRecord::new(Some(credentials(1, 1, WEEK).delegation().clone()), None).expect("a record").to_json();
    alone.put(lan(1), Some(cookie), Some(token), home(1), Kind::Device, &record).expect("an answer");
    let now = alone.now;
    assert!(alone.solo.view().records == 1 && alone.solo.deadline() > Some(now));
    alone.solo.handle(now, Event::clock(WallTime::from_millis(WALL) + WEEK + WEEK));
    assert_eq!(alone.solo.deadline(), Some(now));
    alone.solo.handle(now, Event::Tick);
    assert_eq!(alone.solo.view().records, 0);
    assert!(alone.solo.deadline() > Some(now), "and nobody spins");
}

#[test]
fn what_comes_from_the_own_address_is_dropped() {
    let mut alone = Alone::new(Config::test(), lan(50));
    let (told, others, _) = alone.ask(lan(50), None, None, &Request::Ping { to: None });
    assert!(told.is_none() && others.is_empty());
    assert_eq!(alone.solo.stats().dht_dropped, 1);
}

/// Somebody of one network.
fn neighbour(n: u16) -> SocketAddr {
    let [_, last] = n.to_be_bytes();
    SocketAddr::from(([45, 1, 1, last], 7_000))
}

// spec-test: DHT-79
#[test]
fn one_network_that_asks_all_the_time_and_shows_its_cookies_leaves_the_others_their_answers() {
    let mut alone = Alone::new(Config::test(), wan(50));
    alone.fill(wan(9));
    let cookies: Vec<Cookie> = (0..200).map(|n| alone.cookie(neighbour(n))).collect();
    let get = Request::Get { target: home(1), kind: Kind::Device, device: None, known: None, write: true, is_fair: false };
    let (mut flooded, mut sent, mut answered) = (0, 0, 0);
    for second in 0..120_u8 {
        for n in 0..100_u16 {
            let of = (u16::from(second) * 100 + n) % 200;
            let (told, _, _) = alone.ask(neighbour(of), None, Some(cookies[usize::from(of)]), &get);
            sent += told.as_ref().map_or(0, |told| told.letter.bytes.len());
            flooded += usize::from(told.is_some());
        }
        // Who is new, and comes without a cookie, and asks again with it.
        let cookie = alone.cookie(wan(100 + second));
        answered +=
            usize::from(alone.ask(wan(100 + second), None, Some(cookie), &Request::Find { target: home(2), is_fair: false }).0.is_some());
        alone.wait(Duration::from_secs(1));
    }
    assert_eq!(answered, 120);
    assert!(flooded < 120 * 100 / 2 && sent <= 16_384 * (120 + 30), "{flooded} of {sent} bytes: it asks for more than there is");
}

// spec-test: DHT-79
#[test]
fn one_network_of_which_ever_others_want_to_be_known_leaves_those_of_others_their_part() {
    let mut alone = Alone::new(Config::test(), wan6(50));
    let at = |n: u16| SocketAddr::from(([0x2601, 1, 1, n, 0, 0, 0, 1], 7_000));
    let (mut of_one, mut others) = (0, 0);
    let want = |alone: &mut Alone, from: SocketAddr, n: u8| {
        let cookie = alone.cookie(from);
        let (_, sent, _) = alone.ask(from, Some(id_at(from, n)), Some(cookie), &Request::Find { target: home(1), is_fair: false });
        usize::from(sent.iter().any(|letter| letter.to == from))
    };
    for n in 0..6_000_u16 {
        let [_, low] = n.to_be_bytes();
        of_one += want(&mut alone, at(n), low % 50);
        if n % 600 == 599 {
            others += want(&mut alone, wan6(60 + low), 9);
        }
        alone.wait(Duration::from_millis(50));
    }
    assert!(others == 10 && (1_000..5_000).contains(&of_one), "{others} of 10, {of_one} of its own");
}
