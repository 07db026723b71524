//! Requests of our own that are on their way: each goes out at most twice, and a reply counts only if it answers one.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::key::{Hint, Key};
use super::proof::Token;
use super::table::Rtt;
use super::wire::{DeviceHint, Exchange, Kind, Request, Word};
use crate::crypto::noise::KeyPair;
use crate::time::Time;

/// What is asked, with all that it takes to ask it again.
pub(crate) enum Question {
    /// Who is there?
    Ping,
    /// Is the node with this hint there?
    Alive(Hint),
    Find {
        target: Key,
        is_fair: bool,
    },
    Get {
        target: Key,
        kind: Kind,
        device: Option<DeviceHint>,
        known: Option<u64>,
        write: bool,
        is_fair: bool,
    },
    Put {
        target: Key,
        kind: Kind,
        token: Option<Token>,
        record: Arc<str>,
        carry: bool,
    },
    /// Do you lack this record, of this number? A `get` that shows the number and asks for a token.
    Offer {
        target: Key,
        kind: Kind,
        device: Option<DeviceHint>,
        number: u64,
        record: Arc<str>,
    },
    /// With the pair that was drawn for it.
    Hello(Box<KeyPair>),
    Probe,
    Knock(SocketAddr),
}

impl Question {
    /// What it is about, if it is about a point of the key space.
    pub(crate) const fn target(&self) -> Option<Key> {
        match self {
            Self::Find { target, .. } | Self::Get { target, .. } | Self::Put { target, .. } | Self::Offer { target, .. } => Some(*target),
            Self::Ping | Self::Alive(_) | Self::Hello(_) | Self::Probe | Self::Knock(_) => None,
        }
    }

    /// Whether only who shows a cookie is answered.
    pub(crate) const fn needs_cookie(&self) -> bool {
        matches!(self, Self::Hello(_) | Self::Probe | Self::Knock(_))
    }

    /// Whether it sends somebody to knock there.
    pub(crate) fn is_knock_at(&self, at: SocketAddr) -> bool {
        matches!(self, Self::Knock(knocked) if *knocked == at)
    }

    /// Whether a token is wanted, which only who shows a cookie is given.
    pub(crate) const fn wants_token(&self) -> bool {
        matches!(self, Self::Get { write: true, .. } | Self::Offer { .. })
    }

    /// As it stands on the wire.
    pub(crate) fn request(&self) -> Request<'_> {
        match self {
            Self::Ping => Request::Ping { to: None },
            Self::Alive(hint) => Request::Ping { to: Some(*hint) },
            Self::Find { target, is_fair } => Request::Find { target: *target, is_fair: *is_fair },
            Self::Get { target, kind, device, known, write, is_fair } => {
                Request::Get { target: *target, kind: *kind, device: *device, known: *known, write: *write, is_fair: *is_fair }
            }
            Self::Put { target, kind, token, record, carry } => {
                Request::Put { target: *target, kind: *kind, token: *token, record, carry: *carry }
            }
            Self::Offer { target, kind, device, number, .. } => {
                Request::Get { target: *target, kind: *kind, device: *device, known: Some(*number), write: true, is_fair: false }
            }
            Self::Hello(challenge) => Request::Hello { challenge: *challenge.public() },
            Self::Probe => Request::Probe,
            Self::Knock(at) => Request::Knock { at: *at },
        }
    }
}

/// One request on its way.
pub(crate) struct Asked<P> {
    /// To whom it went, without IPv6 clothes.
    pub(crate) to: SocketAddr,
    /// Who is to be there; `None` if that is not known yet.
    pub(crate) hint: Option<Hint>,
    pub(crate) question: Question,
    /// What for.
    pub(crate) purpose: P,
    /// Whether its last datagram showed a cookie.
    pub(crate) has_cookie: bool,
    /// Whether a ping goes in its place, to be given a cookie.
    pub(crate) is_opening: bool,
    /// Whether it goes once more because it was asked without a cookie that holds.
    pub(crate) is_renewed: bool,
    /// The round trip that is known of the other, which the time-out follows from.
    timeout: Duration,
    /// Its datagrams: by which exchange, and when.
    sent: [Option<(Exchange, Time)>; 2],
    due: Time,
}

/// What has become of a request in time.
pub(crate) enum Late<P> {
    /// The first time-out has passed: it is to be sent again, and whoever waits for it may go on with somebody else. It has
    /// been taken out.
    Slow(Asked<P>),
    /// The second has passed.
    Missed(Asked<P>),
}

/// A time-out lies between these; where no round trip is known it is that (dht.md 2.4, measured).
const TIMEOUT_MIN: Duration = Duration::from_millis(80);
const TIMEOUT_MAX: Duration = Duration::from_secs(1);
pub(crate) const TIMEOUT_UNKNOWN: Duration = Duration::from_millis(400);
/// What a time-out has beside two round trips.
const SLACK: Duration = Duration::from_millis(40);

/// How long to wait for somebody whose round trip is this long, or, if nobody knows, seldom longer than `usual` (spec: DHT-41).
pub(crate) fn timeout(rtt: Rtt, usual: Option<Duration>) -> Duration {
    match rtt.length() {
        Some(length) => (length * 2 + SLACK).clamp(TIMEOUT_MIN, TIMEOUT_MAX),
        None => usual.map_or(TIMEOUT_UNKNOWN, |usual| (usual * 2).clamp(TIMEOUT_MIN, TIMEOUT_MAX)),
    }
}

impl<P> Asked<P> {
    pub(crate) fn new(to: SocketAddr, hint: Option<Hint>, question: Question, purpose: P, timeout: Duration) -> Self {
        Self {
            to,
            hint,
            question,
            purpose,
            has_cookie: false,
            is_opening: false,
            is_renewed: false,
            timeout,
            sent: [None; 2],
            due: Time::MAX,
        }
    }

    /// A datagram of it goes out. The second has twice as long, since the first may still be answered.
    pub(crate) fn on_sent(&mut self, exchange: Exchange, now: Time) {
        let is_first = self.sent[0].is_none();
        let slot = if is_first { &mut self.sent[0] } else { &mut self.sent[1] };
        *slot = Some((exchange, now));
        self.due = now + if is_first { self.timeout } else { self.timeout * 2 };
    }

    /// It is not repeated, and may still be answered until a repetition might.
    pub(crate) fn wait_on(&mut self, now: Time) {
        self.sent[1] = self.sent[0];
        self.due = now + self.timeout * 2;
    }

    /// It goes once more, from the beginning, now with a cookie.
    pub(crate) const fn begin_again(&mut self) {
        (self.is_renewed, self.is_opening, self.sent) = (true, false, [None; 2]);
    }

    fn word(&self) -> Word {
        if self.is_opening { Word::Ping } else { self.question.request().word() }
    }

    fn sent_at(&self, exchange: Exchange) -> Option<Time> {
        self.sent.iter().flatten().find(|(sent, _)| *sent == exchange).map(|(_, at)| *at)
    }
}

/// All that are on their way.
pub(crate) struct InFlight<P> {
    asked: Vec<Asked<P>>,
    /// The earliest `due`.
    due: Option<Time>,
}

impl<P> InFlight<P> {
    /// Allocates nothing yet.
    pub(crate) const fn new() -> Self {
        Self { asked: Vec::new(), due: None }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether one is on its way to this address.
    pub(crate) fn is_asked(&self, at: SocketAddr) -> bool {
        self.asked.iter().any(|asked| asked.to == at)
    }

    /// Whether one of those on their way is such.
    pub(crate) fn any(&self, is_such: impl Fn(&Asked<P>) -> bool) -> bool {
        self.asked.iter().any(is_such)
    }

    /// Bytes of heap, without what questions hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.asked.capacity().saturating_mul(size_of::<Asked<P>>())
    }

    /// One that has just been sent. Room is given in steps of eight, and given back when none is left.
    pub(crate) fn add(&mut self, asked: Asked<P>) {
        if self.asked.len() == self.asked.capacity() {
            self.asked.reserve_exact(self.asked.len().max(4));
        }
        self.due = Some(self.due.map_or(asked.due, |due| due.min(asked.due)));
        self.asked.push(asked);
    }

    /// The request that was sent with this exchange to this address and asked for this: it has been answered (spec: DHT-40). With
    /// how long it took.
    pub(crate) fn answered(&mut self, exchange: Exchange, from: SocketAddr, word: Option<Word>, now: Time) -> Option<(Asked<P>, Rtt)> {
        let fits = |asked: &Asked<P>| asked.to == from && asked.sent_at(exchange).is_some() && word.is_none_or(|word| asked.word() == word);
        let index = self.asked.iter().position(fits)?;
        let asked = self.remove(index)?;
        let rtt = asked.sent_at(exchange).map_or(Rtt::UNKNOWN, |sent| Rtt::of(now.since(sent)));
        Some((asked, rtt))
    }

    /// The earliest time-out.
    pub(crate) const fn due(&self) -> Option<Time> {
        self.due
    }

    /// The next request whose time-out has passed, which is taken out.
    pub(crate) fn late(&mut self, now: Time) -> Option<Late<P>> {
        self.due.filter(|due| *due <= now)?;
        let (index, _) = self.asked.iter().enumerate().min_by_key(|(_, asked)| asked.due)?;
        let asked = self.remove(index)?;
        Some(if asked.sent[1].is_none() { Late::Slow(asked) } else { Late::Missed(asked) })
    }

    fn remove(&mut self, index: usize) -> Option<Asked<P>> {
        let asked = (index < self.asked.len()).then(|| self.asked.swap_remove(index))?;
        self.settle();
        Some(asked)
    }

    fn settle(&mut self) {
        self.due = self.asked.iter().map(|asked| asked.due).min();
        if self.asked.is_empty() {
            self.asked = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 1))
    }

    fn exchange(n: u8) -> Exchange {
        Exchange::from_bytes([n; 8])
    }

    fn one(n: u8, timeout_ms: u64, now: Time) -> Asked<u8> {
        let mut asked = Asked::new(at(n), None, Question::Ping, n, Duration::from_millis(timeout_ms));
        asked.on_sent(exchange(n), now);
        asked
    }

    // spec-test: DHT-40
    #[test]
    fn a_reply_counts_for_the_exchange_the_address_and_the_word_that_were_asked() {
        let mut flight = InFlight::new();
        flight.add(one(1, 100, Time::from_millis(1_000)));
        let now = Time::from_millis(1_050);
        assert!(flight.answered(exchange(2), at(1), Some(Word::Ping), now).is_none(), "another exchange");
        assert!(flight.answered(exchange(1), at(2), Some(Word::Ping), now).is_none(), "from elsewhere");
        assert!(flight.answered(exchange(1), at(1), Some(Word::Find), now).is_none(), "to another question");
        let (asked, rtt) = flight.answered(exchange(1), at(1), Some(Word::Ping), now).expect("the answer");
        assert_eq!((asked.purpose, rtt), (1, Rtt::of(Duration::from_millis(50))));
        assert!(flight.answered(exchange(1), at(1), Some(Word::Ping), now).is_none(), "twice");
        assert_eq!((flight.len(), flight.due()), (0, None));
    }

    // spec-test: DHT-41
    #[test]
    fn a_request_goes_twice_and_both_may_be_answered() {
        let mut flight = InFlight::new();
        flight.add(one(1, 100, Time::ZERO));
        flight.add(one(2, 50, Time::ZERO));
        assert_eq!(flight.due(), Some(Time::from_millis(50)));
        assert!(flight.late(Time::from_millis(49)).is_none());
        let Some(Late::Slow(mut again)) = flight.late(Time::from_millis(50)) else { panic!("the first time-out") };
        assert_eq!(again.purpose, 2);
        again.on_sent(exchange(9), Time::from_millis(50));
        flight.add(again);
        assert_eq!(flight.due(), Some(Time::from_millis(100)));
        let (_, rtt) = flight.answered(exchange(2), at(2), None, Time::from_millis(90)).expect("the first one's answer");
        assert_eq!(rtt, Rtt::of(Duration::from_millis(90)));
        let Some(Late::Slow(mut again)) = flight.late(Time::from_millis(100)) else { panic!("the first time-out") };
        again.on_sent(exchange(8), Time::from_millis(100));
        flight.add(again);
        assert_eq!(flight.due(), Some(Time::from_millis(300)), "twice as long");
        assert!(matches!(flight.late(Time::from_millis(300)), Some(Late::Missed(_))));
        assert_eq!(flight.len(), 0);
    }

    // spec-test: DHT-41
    #[test]
    fn a_time_out_is_two_round_trips_and_a_little_within_bounds() {
        let ms = Duration::from_millis;
        let known = |length| timeout(Rtt::of(ms(length)), None);
        assert_eq!((known(1), known(10_000)), (TIMEOUT_MIN, TIMEOUT_MAX));
        assert!((ms(220)..=ms(240)).contains(&known(100)));
        assert_eq!(timeout(Rtt::UNKNOWN, None), TIMEOUT_UNKNOWN);
        assert_eq!(timeout(Rtt::UNKNOWN, Some(ms(70))), ms(140));
    }
}
