//! Of whom there is but somebody's word: how often it is asked, and when it never is.

use super::network::GLOBAL;
use super::tests::{asked, at, contact, drain, fitting, look_up, rng, sixteen, start, view};
use super::*;

// spec-test: DHT-41
// spec-test: DHT-84
#[test]
fn who_is_named_by_somebody_of_whose_others_no_more_have_answered_than_are_late_is_asked_once_and_after_two_the_rest_never() {
    for has_answered in [false, true] {
        let mut look_up = look_up(&[start(1, 1 << 60), start(2, 1 << 61)]);
        drain(&mut look_up);
        assert!(look_up.on_slow(at(2)), "it is of the own table");
        look_up.on_reply(at(1), Some(Hint(1 << 60)), Rtt::UNKNOWN, (51..=58).map(|n| contact(n, n.into())));
        assert_eq!(asked(&mut look_up), [at(51)]);
        if !has_answered {
            assert!(!look_up.on_slow(at(51)), "not asked again");
            assert_eq!(asked(&mut look_up), [at(52)]);
            assert!(!look_up.on_slow(at(52)));
            assert_eq!(asked(&mut look_up), [], "two are late, and none has answered");
            continue;
        }
        look_up.on_reply(at(51), Some(Hint(51)), Rtt::UNKNOWN, []);
        assert_eq!(asked(&mut look_up), [52, 53, 54, 55].map(at));
        assert!(!look_up.on_slow(at(52)), "one that answers vouches for none that is late");
        look_up.on_reply(at(53), Some(Hint(53)), Rtt::UNKNOWN, []);
        look_up.on_reply(at(54), Some(Hint(54)), Rtt::UNKNOWN, []);
        assert!(look_up.on_slow(at(55)), "three have answered, and two are late");
        assert_eq!(asked(&mut look_up), [56, 57, 58].map(at));
        assert!(!look_up.on_slow(at(56)), "three have answered, and three are late");
    }
}

// spec-test: DHT-41
#[test]
fn who_is_named_by_two_is_asked_again_and_once_by_whoever_names_it_more_often() {
    let far = |n: u8| (at(n), Some(Hint((1 << 63) + (u64::from(n - 1) << 40))));
    let near = (1 << 62) + 5;
    for (first, second, is_repeated) in [
        (&[50, 50][..], &[][..], false),
        (&[50][..], &[50][..], true),
        // The second means another at that address.
        (&[50][..], &[150][..], false),
    ] {
        let mut look_up = look_up(&sixteen());
        drain(&mut look_up);
        for (n, named) in [(1, first), (2, second)] {
            let (at, hint) = far(n);
            look_up.on_reply(at, hint, Rtt::UNKNOWN, named.iter().map(|n| Contact { hint: Hint(near + n), at: self::at(50) }));
            let asks = asked(&mut look_up);
            assert!(n == 2 || asks == [self::at(50)], "{asks:?}");
        }
        assert_eq!(look_up.on_slow(at(50)), is_repeated, "{first:?} {second:?}");
    }
}

// spec-test: DHT-84
#[test]
fn one_that_answers_does_not_vouch_for_two_that_are_late() {
    for others_answer in [false, true] {
        let mut look_up = look_up(&[start(1, 1 << 60)]);
        drain(&mut look_up);
        look_up.on_reply(at(1), Some(Hint(1 << 60)), Rtt::UNKNOWN, (51..=58).map(|n| contact(n, n.into())));
        assert_eq!(asked(&mut look_up), [at(51)]);
        look_up.on_reply(at(51), Some(Hint(51)), Rtt::UNKNOWN, []);
        assert_eq!(asked(&mut look_up), [52, 53, 54, 55].map(at));
        if others_answer {
            look_up.on_reply(at(52), Some(Hint(52)), Rtt::UNKNOWN, []);
        }
        look_up.on_slow(at(54));
        look_up.on_slow(at(55));
        assert_eq!(asked(&mut look_up).is_empty(), !others_answer, "the rest is forgotten if more are late than have answered");
    }
}

// spec-test: DHT-41
// spec-test: DHT-84
#[test]
fn who_is_late_is_judged_as_itself_though_others_before_it_are_forgotten() {
    let mut look_up = look_up(&[start(1, 1 << 61), start(2, 1 << 61 | 1)]);
    drain(&mut look_up);
    look_up.on_reply(at(2), Some(Hint(1 << 61 | 1)), Rtt::UNKNOWN, [contact(51, 60)]);
    assert_eq!(asked(&mut look_up), [at(51)]);
    // Its nearest waits, as somebody else is being asked at that address.
    look_up.on_reply(at(1), Some(Hint(1 << 61)), Rtt::UNKNOWN, [contact(51, 1), contact(52, 70), contact(53, 71)]);
    for late in [52, 53] {
        assert_eq!(asked(&mut look_up), [at(late)]);
        assert!(!look_up.on_slow(at(late)), "{late}");
    }
}

// spec-test: DHT-84
#[test]
fn who_names_somebody_four_times_does_not_drown_who_else_has() {
    let mut look_up = look_up(&[start(1, 1 << 60)]);
    drain(&mut look_up);
    let named = [50, 50, 50, 50, 20, 21, 22, 23].map(|n| contact(n, n.into()));
    look_up.on_reply(at(1), Some(Hint(1 << 60)), Rtt::UNKNOWN, named);
    assert_eq!(drain(&mut look_up).first().map(|ask| ask.at), Some(at(20)));
    look_up.on_reply(at(20), Some(Hint(20)), Rtt::UNKNOWN, [contact(24, 24), contact(50, 50)]);
    assert_eq!(asked(&mut look_up), [at(21), at(22), at(23), at(24)]);
    [21, 22].map(at).into_iter().for_each(|silent| look_up.on_miss(silent));
    look_up.on_reply(at(24), Some(Hint(24)), Rtt::UNKNOWN, []);
    assert_eq!(asked(&mut look_up), [at(50)], "20 has named it, too");
}

// spec-test: DHT-84
#[test]
fn who_named_two_that_are_silent_or_do_not_fit_loses_its_other_hints() {
    for wrong in [LookUp::on_miss as fn(&mut LookUp, SocketAddr), LookUp::on_unfit] {
        let mut look_up = look_up(&[start(1, 1 << 63), start(2, 1 << 62)]);
        drain(&mut look_up);
        look_up.on_reply(at(1), Some(Hint(1 << 63)), Rtt::UNKNOWN, (10..17).map(|n| contact(n, n.into())));
        look_up.on_reply(at(2), Some(Hint(1 << 62)), Rtt::UNKNOWN, [contact(16, 16), contact(30, 30)]);
        let mut asked = Vec::new();
        while let Some(ask) = look_up.next() {
            asked.push(ask.at);
            wrong(&mut look_up, ask.at);
        }
        assert_eq!(asked, [at(10), at(11), at(16), at(30)], "16 was named by another path too");
    }
}

// spec-test: DHT-84
#[test]
fn hints_that_cannot_be_there_are_blamed_at_once() {
    let seed = fitting([203, 0, 113, 7], 7, 9, 1);
    let start = Start { hint: Some(seed.hint), at: seed.at, rtt: Rtt::UNKNOWN };
    let good = fitting([198, 51, 100, 7], 7, 9, 2);
    let bad = Contact { hint: Hint(good.hint.0 ^ 1 << 50), at: good.at };
    let private = contact(3, 3);
    for (named, is_asked) in [([good, bad, good], true), ([good, bad, private], false), ([private, private, good], false)] {
        let mut look_up = LookUp::new(seed.hint, Wants::Nodes, view(GLOBAL, 4), [start], [], rng(), Time::ZERO);
        drain(&mut look_up);
        look_up.on_reply(seed.at, Some(seed.hint), Rtt::UNKNOWN, named);
        assert_eq!(look_up.next().map(|ask| ask.at), is_asked.then_some(good.at));
    }
}

// spec-test: DHT-84
#[test]
fn who_is_of_the_own_table_is_not_forgotten_because_a_liar_has_named_it_too() {
    let mut look_up = look_up(&[start(1, 1 << 60), start(2, 1 << 61), start(3, 1 << 61 | 1), start(4, 1 << 61 | 2), start(5, 9)]);
    let first = drain(&mut look_up);
    assert!(first.iter().any(|ask| ask.at == at(5)) && first.iter().all(|ask| ask.at != at(1)), "5 goes first on path 0: {first:?}");
    // It names who stands behind it on its path, and two that are not there.
    look_up.on_reply(at(5), Some(Hint(1 << 62)), Rtt::UNKNOWN, [contact(50, 1), contact(51, 2), contact(1, 1 << 60)]);
    let mut asked = Vec::new();
    while let Some(ask) = look_up.next() {
        asked.push(ask.at);
        assert_eq!(look_up.on_slow(ask.at), ask.at == at(1), "{ask:?}");
    }
    assert!(asked.contains(&at(1)), "{asked:?}");
}

// spec-test: DHT-84
#[test]
fn in_the_region_one_at_a_time_is_asked_on_the_word_of_who_has_named_nobody_that_answered() {
    let near = |n: u64| Hint(u64::MAX / (1 << 20) * n);
    let mut look_up = look_up(&sixteen());
    drain(&mut look_up);
    for n in 2..5 {
        look_up.on_reply(at(n), Some(near(5 + u64::from(n))), Rtt::UNKNOWN, []);
    }
    look_up.on_reply(at(1), Some(near(1)), Rtt::UNKNOWN, (40..47).map(|n| contact(n, u64::from(n))));
    assert_eq!(asked(&mut look_up), [at(40)]);
    assert_eq!((look_up.next(), look_up.end()), (None, None), "the others wait, and are not given up");
    look_up.on_slow(at(40));
    assert_eq!(asked(&mut look_up), [at(41)], "who is late holds nobody up");
    look_up.on_reply(at(41), Some(Hint(41)), Rtt::UNKNOWN, []);
    assert_eq!(asked(&mut look_up), [at(42), at(43), at(44), at(45)], "one has answered");
}
