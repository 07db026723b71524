//! Probes and knocks: who is sent, for how many datagrams, and when it is said that somebody went.

use super::*;
use crate::dht::id::{Variant, node_id};
use crate::id::to_base64;

/// A server that knows one other server, at `wan(8)`, whose cookie it has not; and the cookie of `wan(9)`.
fn with_neighbour() -> (Alone, Cookie) {
    let mut alone = Alone::new(Config::test(), wan(50));
    let id = node_id(&node_key(8), wan(8), Variant::from_low_bits(0)).expect("an id");
    let cookie = alone.cookie(wan(8));
    let (_, sent, _) = alone.ask(wan(8), Some(id), Some(cookie), &Request::Find { target: home(1), is_fair: false });
    assert!(sent.len() == 1 && sent[0].is("q", "ping"), "it is met: {sent:?}");
    let hello = alone.hear(wan(8), &says(&sent[0], &alloc::format!("\"r\":\"ping\",\"id\":\"{}\"", to_base64(id.as_bytes()))));
    assert_eq!(alone.solo.view().realms[0].verified, 1);
    assert!(hello.iter().all(|letter| letter.to == wan(8) && letter.is("q", "ping")), "{hello:?}");
    let cookie = alone.cookie(wan(9));
    (alone, cookie)
}

/// What answers this letter.
fn says(letter: &Letter, what: &str) -> Vec<u8> {
    alloc::format!("{{\"v\":1,\"t\":\"{}\",{what}}}", text_of(letter, "t").expect("an exchange")).into_bytes()
}

/// Asks for a probe: whether it was answered, whether it was refused, and what went elsewhere.
fn probe(alone: &mut Alone, cookie: Cookie) -> (bool, bool, Vec<Letter>) {
    let (told, sent, _) = alone.ask(wan(9), None, Some(cookie), &Request::Probe);
    (told.as_ref().is_some_and(|told| !told.is_denied), told.is_some_and(|told| told.is_denied), sent)
}

/// The server gives its cookie.
fn open(alone: &mut Alone, ping: &Letter) -> Vec<Letter> {
    let id = node_id(&node_key(8), wan(8), Variant::from_low_bits(0)).expect("an id");
    alone.hear(wan(8), &says(ping, &alloc::format!("\"r\":\"ping\",\"id\":\"{}\",\"cookie\":\"AAAAAAAAAAA\"", to_base64(id.as_bytes()))))
}

// spec-test: DHT-133
#[test]
fn for_each_probe_one_datagram_goes_out_and_it_is_answered_when_the_knock_is() {
    let (mut alone, cookie) = with_neighbour();
    let (is_answered, is_denied, sent) = probe(&mut alone, cookie);
    assert!(!is_answered && !is_denied && sent.len() == 1, "{sent:?}");
    assert!(sent[0].to == wan(8) && sent[0].is("q", "ping") && sent[0].bytes.len() <= 240, "without a cookie a ping: {sent:?}");
    let after = open(&mut alone, &sent[0]);
    assert!(!after.iter().any(|letter| letter.is("q", "knock")), "nothing more for the one datagram: {after:?}");
    let (is_answered, is_denied, sent) = probe(&mut alone, cookie);
    assert!(!is_answered && !is_denied && sent.len() == 1, "{sent:?}");
    let knock = &sent[0];
    assert!(knock.to == wan(8) && knock.is("q", "knock") && knock.is("at", &alloc::format!("{}", wan(9))), "{knock:?}");
    let (is_answered, is_denied, sent) = probe(&mut alone, cookie);
    assert!(!is_answered && !is_denied && sent.is_empty(), "one is on its way: {sent:?}");
    let told = alone.hear(wan(8), &says(knock, "\"r\":\"knock\""));
    let last = alone.drawn | 1 << 63;
    let answer = told.iter().find(|letter| letter.to == wan(9)).expect("an answer");
    assert!(answer.is("r", "probe") && read(&answer.bytes).is_ok_and(|it| it.head.exchange == Exchange::from_bytes(last.to_be_bytes())));
    let (is_answered, _, sent) = probe(&mut alone, cookie);
    assert!(is_answered && sent.is_empty(), "whoever missed that is told again, and nobody knocks for it");
}

// spec-test: DHT-133
#[test]
fn a_knock_that_is_refused_or_not_answered_is_no_answer_to_the_probe_and_goes_out_once() {
    let (mut alone, cookie) = with_neighbour();
    let (_, _, sent) = probe(&mut alone, cookie);
    open(&mut alone, &sent[0]);
    let (_, _, sent) = probe(&mut alone, cookie);
    let refused = alone.hear(wan(8), &says(&sent[0], "\"e\":\"busy\",\"wait\":10"));
    assert!(refused.len() == 1 && refused[0].to == wan(9) && refused[0].is("e", "busy"), "{refused:?}");
    let (_, _, sent) = probe(&mut alone, cookie);
    assert!(sent.len() == 1 && sent[0].is("q", "knock"), "{sent:?}");
    let later = alone.wait(Duration::from_secs(4));
    assert!(!later.iter().any(|letter| letter.is("q", "knock") || letter.to == wan(9)), "{later:?}");
}

// spec-test: DHT-133, DHT-134
#[test]
fn who_sends_less_than_a_whole_knock_or_probe_has_nobody_sent_anything() {
    let (mut alone, _) = with_neighbour();
    let cookie = alone.cookie(wan(8));
    let say = |alone: &mut Alone, what: &str| {
        let exchange = to_base64(alone.exchange().as_bytes());
        let cookie = to_base64(cookie.as_bytes());
        alone.hear(wan(8), &alloc::format!("{{\"v\":1,\"t\":\"{exchange}\",\"cookie\":\"{cookie}\",{what}}}").into_bytes())
    };
    let knock = alloc::format!("\"q\":\"knock\",\"at\":\"{}\"", wan(77));
    for short in [knock.as_str(), "\"q\":\"probe\""] {
        let is_of_it = |letter: &Letter| letter.to != wan(8) || letter.text().contains("\"r\":") || letter.text().contains("\"e\":");
        assert!(!say(&mut alone, short).iter().any(is_of_it), "{short}");
    }
    let whole = alloc::format!("{knock},\"pad\":\"{}\"", ".".repeat(150));
    let sent = say(&mut alone, &whole);
    assert!(sent.iter().any(|letter| letter.to == wan(77) && letter.bytes.len() * 10 <= 240 * 3), "{sent:?}");
}
