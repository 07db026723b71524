use alloc::string::{String, ToString as _};
use core::net::SocketAddr;

use super::*;
use crate::dht::estimate::Size;
use crate::dht::key::Hint;
use crate::dht::lookup::{Start, View, Wants};
use crate::dht::realm::Realm;
use crate::dht::record::tests::{FROM, credentials, device_record, granted, home, identity, revocation, signed_at};
use crate::dht::table::Rtt;
use crate::dht::wire::{Got, Listed};
use crate::identity::DeviceKeys;
use crate::rng::{Rng, Seed};

const MS: Duration = Duration::from_millis(1);
/// The reader's clock shows a minute after the first moment.
const CLOCK: u64 = FROM + 60_000;
const LATEST: u64 = CLOCK + 600_000;

fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7))
}

/// The n-th nearest to the home.
fn hint(n: u8) -> Hint {
    Hint(home().hint().0 ^ u64::from(n) << 40)
}

fn device() -> DeviceId {
    credentials().delegation().device()
}

/// An address record that says this sequence after the first moment.
fn address(n: u64) -> String {
    signed_at(FROM + n, Scope::Global, &["203.0.113.97:51820"], &[]).expect("a record").to_json()
}

fn listed(n: u64) -> Got<'static> {
    Got { index: Some([Listed { device: DeviceHint::of(device()), number: FROM + n }].into_iter().collect()), ..Got::default() }
}

fn with_record(record: &str) -> Got<'_> {
    Got { record: Some(record), ..Got::default() }
}

/// A reader with a look-up among the nodes 1 to n, all of which are known from the beginning.
struct Reader {
    finding: Finding,
    look_up: LookUp,
    memory: RollbackMemory,
    known: DelegationCache,
    checked: u64,
    now: Time,
}

impl Reader {
    fn new(what: What, is_contact: bool, nodes: u8) -> Self {
        let user = credentials().delegation().user();
        let sought = Sought { user, home: home(), scope: Scope::Global, what, latest: LATEST };
        let finding = Finding::new(sought, is_contact.then(|| credentials().delegation().clone()), None);
        let seeds = (1..=nodes).map(|n| Start { hint: Some(hint(n)), at: at(n), rtt: Rtt::UNKNOWN });
        let realm = Realm { is_v6: false, scope: Scope::Private };
        let view = View { own: Hint(0), realm, is_hard: false, size: Size::of(nodes.into()), servers: nodes.into() };
        let look_up = LookUp::new(home().hint(), Wants::Records, view, seeds, [], Rng::from_seed(&Seed::from_bytes([3; 32])), Time::ZERO);
        Self { finding, look_up, memory: RollbackMemory::new(8), known: DelegationCache::new(8), checked: 0, now: Time::ZERO }
    }

    fn contact(nodes: u8) -> Self {
        Self::new(What::Address(device()), true, nodes)
    }

    fn got_for(&mut self, n: u8, question: &Question, got: &Got<'_>) {
        let crypto = Crypto::standard();
        let now = WallTime::from_millis(CLOCK);
        let mut eyes = Eyes { crypto: &crypto, now, known: &mut self.known, checked: &mut self.checked };
        self.finding.on_got(hint(n), at(n), question, got, &mut eyes);
    }

    /// Node n answers what it is asked first, on path 0; what is told then.
    fn got(&mut self, n: u8, got: &Got<'_>) -> Vec<Tell> {
        while self.look_up.next().is_some() {}
        let question = self.finding.question(0);
        self.look_up.on_reply(at(n), Some(hint(n)), Rtt::UNKNOWN, []);
        self.got_for(n, &question, got);
        self.told()
    }

    fn again(&mut self) -> Vec<Again> {
        core::iter::from_fn(|| self.finding.next_again(&self.look_up)).collect()
    }

    fn told(&mut self) -> Vec<Tell> {
        core::iter::from_fn(|| self.finding.tell(&self.look_up, &mut self.memory, self.now)).collect()
    }

    fn sequence(&self) -> Option<u64> {
        self.finding.address(device()).map(|record| record.sequence() - FROM)
    }
}

fn first() -> Tell {
    Tell::First { device: device(), is_local: false }
}

fn last(is_newer: bool) -> Tell {
    Tell::Final { device: device(), is_newer }
}

const OVER: Tell = Tell::Over { is_found: true, is_partial: false };

// spec-test: DHT-90
#[test]
fn who_knows_the_delegation_asks_for_addresses_and_a_stranger_for_both_kinds() {
    let kinds = |reader: &Reader| [0, 1, 2, 3].map(|path| reader.finding.question(path).kind);
    let one = Some(DeviceHint::of(device()));
    let mut contact = Reader::contact(5);
    assert_eq!(kinds(&contact), [Kind::Address; 4]);
    assert_eq!(contact.finding.question(1), Question { kind: Kind::Address, device: one, known: None });
    contact.got(1, &with_record(&address(7)));
    assert_eq!(contact.finding.question(1).known, Some(FROM + 7), "what is there is not asked for again");
    assert_eq!(kinds(&Reader::new(What::Addresses, true, 5)), [Kind::Address; 4], "those of all, of whom one is known");
    for what in [What::Address(device()), What::Addresses] {
        let stranger = Reader::new(what, false, 5);
        assert_eq!(kinds(&stranger), [Kind::Address, Kind::Device, Kind::Address, Kind::Device]);
    }
    assert_eq!(kinds(&Reader::new(What::Devices, false, 5)), [Kind::Device; 4]);
    assert_eq!(kinds(&Reader::new(What::Revocation, false, 5)), [Kind::Revocation; 4]);
}

// spec-test: DHT-92
#[test]
fn the_first_record_is_told_at_once_and_the_final_one_when_three_of_five_have_answered() {
    let mut reader = Reader::contact(5);
    assert_eq!(reader.got(1, &with_record(&address(7))), [first()]);
    assert_eq!(reader.got(2, &with_record(&address(9))), []);
    assert_eq!(reader.got(3, &Got::default()), [last(true)]);
    assert_eq!(reader.sequence(), Some(9));
    assert_eq!(reader.got(4, &with_record(&address(8))), []);
    assert_eq!(reader.got(5, &with_record(&address(11))), [last(true), OVER], "newer still, at completeness");
    assert_eq!(reader.told(), []);
}

// spec-test: DHT-92
#[test]
fn after_300_ms_the_newest_is_final_whoever_is_silent() {
    let mut reader = Reader::contact(5);
    reader.now = Time::from_millis(50);
    assert_eq!(reader.got(1, &with_record(&address(7))), [first()]);
    assert_eq!(reader.finding.due(&reader.look_up), Some(Time::from_millis(350)));
    reader.now = Time::from_millis(349);
    assert_eq!(reader.told(), []);
    reader.now = reader.now + MS;
    assert_eq!(reader.told(), [last(false)]);
    assert_eq!(reader.finding.due(&reader.look_up), Some(Time::from_secs(5)));
    reader.now = Time::from_secs(5);
    assert_eq!(reader.told(), [Tell::Over { is_found: true, is_partial: true }]);
    assert_eq!(reader.finding.due(&reader.look_up), None);
}

// spec-test: DHT-92
#[test]
fn of_two_nodes_both_are_enough_and_of_nothing_nothing_is_told() {
    let mut reader = Reader::contact(2);
    assert_eq!(reader.got(2, &with_record(&address(7))), [first()]);
    assert_eq!(reader.got(1, &Got::default()), [last(false), OVER]);
    let mut reader = Reader::contact(2);
    assert_eq!(reader.got(1, &Got::default()), []);
    assert_eq!(reader.got(2, &Got::default()), [Tell::Over { is_found: false, is_partial: false }]);
}

// spec-test: DHT-92
#[test]
fn what_only_the_own_store_has_is_told_as_its_own_and_never_final_nor_found() {
    let begin = || {
        let mut reader = Reader::contact(5);
        let crypto = Crypto::standard();
        let now = WallTime::from_millis(FROM + 60_000);
        let mut eyes = Eyes { crypto: &crypto, now, known: &mut reader.known, checked: &mut reader.checked };
        reader.finding.on_own(Kind::Address, &address(7), &mut eyes);
        assert_eq!(reader.told(), [Tell::First { device: device(), is_local: true }]);
        reader
    };
    let mut reader = begin();
    assert!((1..=4).all(|n| reader.got(n, &Got::default()).is_empty()));
    assert_eq!(reader.got(5, &Got::default()), [Tell::Over { is_found: false, is_partial: false }]);
    // Who has an older one does not say that it is the newest; who has the same says so without showing it.
    let mut reader = begin();
    assert!((1..=3).all(|n| reader.got(n, &listed(5)).is_empty()));
    assert_eq!(reader.got(4, &listed(7)), [last(false)]);
    assert_eq!(reader.got(5, &Got::default()), [OVER]);
    // Nor is whoever served what is false believed.
    let mut reader = begin();
    let forged = address(9).replacen(":51820", ":51821", 1);
    assert!((1..=4).all(|n| reader.got(n, &Got { record: Some(&forged), ..listed(7) }).is_empty()));
    assert_eq!(reader.got(5, &Got::default()), [Tell::Over { is_found: false, is_partial: false }]);
}

// spec-test: DHT-91
#[test]
fn who_serves_what_does_not_verify_counts_for_nothing() {
    let mut reader = Reader::contact(5);
    reader.got(1, &with_record(&address(7)));
    let forged = address(9).replacen(":51820", ":51821", 1);
    for (n, bad) in [(2, forged.as_str()), (3, "{}"), (4, &device_record().to_json())] {
        assert_eq!(reader.got(n, &Got { record: Some(bad), ..listed(9) }), [], "{bad}");
    }
    assert_eq!((reader.sequence(), reader.again()), (Some(7), Vec::new()), "nor are they asked again");
    assert_eq!(reader.got(5, &with_record(&address(7))), [last(false), OVER], "two of five and three that count for nothing");
}

// spec-test: DHT-91
#[test]
fn no_more_than_64_signatures_are_checked_and_old_records_not_at_all() {
    let mut reader = Reader::contact(5);
    let question = reader.finding.question(0);
    reader.got_for(1, &question, &with_record(&address(7)));
    for n in 0..7 {
        reader.got_for(2, &question, &with_record(&address(n)));
    }
    assert_eq!(reader.finding.verifies, 1);
    for n in 0..100 {
        reader.got_for(3, &question, &with_record(&address(8).replacen("51820", &(1_000 + n).to_string(), 1)));
    }
    assert_eq!(reader.finding.verifies, VERIFIES_MAX);
    reader.got_for(4, &question, &with_record(&address(9)));
    assert_eq!(reader.sequence(), Some(7));
}

// spec-test: DHT-91
#[test]
fn an_address_that_comes_before_its_delegation_is_judged_when_that_has_come() {
    let mut reader = Reader::new(What::Address(device()), false, 5);
    assert_eq!(reader.got(1, &Got { record: Some(&address(7)), ..listed(7) }), []);
    let again = reader.again();
    assert_eq!(
        again.iter().map(|it| (it.at, it.question.kind, it.question.device)).collect::<Vec<_>>()[0],
        (at(1), Kind::Device, Some(DeviceHint::of(device())))
    );
    reader.got_for(1, &again[0].question, &with_record(&device_record().to_json()));
    assert_eq!((reader.told(), reader.sequence()), (alloc::vec![first()], Some(7)));
    assert_eq!(reader.finding.delegation(device()), Some(credentials().delegation()));
    assert_eq!(reader.finding.question(1).kind, Kind::Address, "the delegation is known now");
}

// spec-test: DHT-93
#[test]
fn what_is_older_than_what_was_accepted_before_is_counted_and_not_told() {
    let mut reader = Reader::contact(5);
    let subject = Subject::new(credentials().delegation().user(), Kind::Address, device(), Scope::Global);
    reader.memory.note(subject, FROM + 8, LATEST);
    assert_eq!(reader.got(1, &with_record(&address(7))), []);
    assert_eq!(reader.got(2, &with_record(&address(7))), []);
    assert_eq!(reader.finding.rolled_back(), 1);
    assert_eq!(reader.got(3, &with_record(&address(8)))[0], first());
    reader.got(4, &Got::default());
    assert_eq!(reader.memory.floor(subject, LATEST), FROM + 8);
    reader.got(5, &with_record(&address(9)));
    assert_eq!((reader.memory.floor(subject, LATEST), reader.finding.rolled_back()), (FROM + 9, 1));
    let mut rolled_back = Reader::contact(1);
    rolled_back.memory.note(subject, FROM + 8, LATEST);
    assert_eq!(rolled_back.got(1, &with_record(&address(7))), [Tell::Over { is_found: false, is_partial: false }]);
    assert_eq!(rolled_back.finding.write_backs(&rolled_back.look_up, &rolled_back.memory), []);
}

// spec-test: DHT-93
#[test]
fn what_was_accepted_while_the_clock_was_ahead_hides_nothing_once_it_is_right() {
    let subject = Subject::new(credentials().delegation().user(), Kind::Address, device(), Scope::Global);
    for (accepted, is_told) in [(LATEST, false), (LATEST + 1, true)] {
        let mut reader = Reader::contact(5);
        reader.memory.note(subject, accepted, u64::MAX);
        reader.got(1, &with_record(&address(7)));
        assert_eq!((reader.finding.is_found(&reader.memory), reader.finding.rolled_back()), (is_told, u32::from(!is_told)));
        (2..=5).for_each(|n| drop(reader.got(n, &Got::default())));
        assert_eq!(!reader.finding.write_backs(&reader.look_up, &reader.memory).is_empty(), is_told);
        // What is right stands alone when the clock comes there.
        [LATEST, LATEST + 1].into_iter().for_each(|latest| reader.memory.reach(latest));
        assert_eq!(reader.memory.floor(subject, u64::MAX), if is_told { FROM + 7 } else { accepted });
    }
}

// spec-test: DHT-95
#[test]
fn who_says_that_something_was_taken_back_is_asked_what_before_anything_is_told() {
    let mut reader = Reader::contact(5);
    reader.finding.revocation = None;
    assert!(reader.got(1, &Got { revoked: Some(1), ..Got::default() }).is_empty());
    let again = reader.again();
    assert_eq!(again.iter().map(|it| (it.at, it.question.kind)).collect::<Vec<_>>(), [(at(1), Kind::Revocation)]);
    assert_eq!(reader.got(2, &with_record(&address(7))), [], "held back");
    let taken_back = revocation(FROM + 1, FROM + 1_000_000).to_json();
    reader.got_for(1, &again[0].question, &with_record(&taken_back));
    assert_eq!(reader.told(), [Tell::Revoked]);
    assert_eq!(reader.finding.revocation().map(|it| it.to_json()), Some(taken_back));
    let question = Question { kind: Kind::Device, device: None, known: None };
    reader.got_for(3, &question, &with_record(&device_record().to_json()));
    assert_eq!((reader.sequence(), reader.finding.delegation(device())), (None, None));
}

// spec-test: DHT-95
#[test]
fn who_lies_of_a_revocation_delays_an_answer_by_one_time_out() {
    let mut reader = Reader::contact(5);
    for n in 1..=5 {
        assert_eq!(reader.got(n, &Got { record: Some(&address(7)), revoked: Some(9), ..Got::default() }).len(), usize::from(n == 5));
        let again = reader.again();
        if n > 3 {
            assert!(again.is_empty(), "three were asked in vain");
            continue;
        }
        reader.finding.on_again_slow(at(n), &again[0].question);
        reader.told();
        reader.finding.on_again_lost(at(n), &again[0].question);
    }
    assert_eq!((reader.sequence(), reader.finding.is_over), (Some(7), true));
}

// spec-test: DHT-96
#[test]
fn who_says_that_it_has_a_newer_record_is_asked_for_it_by_name() {
    let mut reader = Reader::new(What::Addresses, true, 5);
    let question = reader.finding.question(0);
    reader.look_up.next();
    reader.got_for(1, &question, &Got { record: Some(&address(7)), ..listed(7) });
    reader.got_for(2, &question, &listed(9));
    reader.got_for(3, &question, &listed(8));
    let asked = |again: &Again| (again.at, again.question.kind, again.question.device, again.question.known);
    let one = Some(DeviceHint::of(device()));
    let again: Vec<_> = reader.again();
    let of_addresses: Vec<_> = again.iter().filter(|it| it.question.kind == Kind::Address).map(asked).collect();
    assert_eq!(of_addresses, [(at(2), Kind::Address, one, Some(FROM + 7))], "one at a time: {again:?}");
    for it in &again {
        let record = address(9);
        let n = it.at.to_string().as_bytes()[7] - b'0';
        reader.got_for(
            n,
            &it.question,
            &if it.question.kind == Kind::Address { Got { record: Some(&record), ..listed(9) } } else { Got::default() },
        );
    }
    assert_eq!(reader.sequence(), Some(9));
    assert!(reader.again().iter().all(|it| it.question.kind == Kind::Device), "nobody says that it has a newer one");
}

// spec-test: DHT-96
#[test]
fn what_found_no_room_is_asked_for_once_more_and_the_whole_is_bounded() {
    let mut reader = Reader::contact(1);
    assert_eq!(reader.got(1, &Got { more: true, ..Got::default() }), [], "not over yet");
    let again = reader.again();
    assert_eq!(again.len(), 1);
    reader.got_for(1, &again[0].question, &Got { more: true, ..Got::default() });
    assert_eq!(reader.again(), []);
    assert_eq!(reader.told(), [Tell::Over { is_found: false, is_partial: false }]);
    let mut reader = Reader::new(What::Devices, false, 16);
    let mut count = 0;
    for n in 1..=16 {
        let liars = (0..8).map(|m| Listed { device: DeviceHint::of(DeviceId::from_bytes([16 * m + n; 16])), number: u64::MAX });
        reader.got(n, &Got { index: Some(liars.collect()), ..Got::default() });
    }
    loop {
        let again = reader.again();
        assert!(again.len() <= 4);
        if again.is_empty() {
            break;
        }
        count += again.len();
        again.iter().for_each(|it| reader.finding.on_again_lost(it.at, &it.question));
    }
    assert_eq!(count, 64);
    assert_eq!(reader.told(), [Tell::Over { is_found: false, is_partial: false }]);
}

// spec-test: DHT-96
#[test]
fn a_list_that_is_cut_behind_a_record_is_asked_for_again_and_one_that_names_what_had_no_room_is_not() {
    let cut = |what, got: &Got<'_>| {
        let mut reader = Reader::new(what, true, 1);
        reader.got(1, got);
        reader.again().iter().filter(|it| it.question.kind == Kind::Address).map(|it| it.question.device).collect::<Vec<_>>()
    };
    let record = address(7);
    let shown = |more| Got { record: Some(&record), more, ..listed(7) };
    assert_eq!(cut(What::Addresses, &shown(true)), [None], "of which other devices there may be nothing is known");
    assert_eq!(cut(What::Addresses, &shown(false)), []);
    assert_eq!(cut(What::Address(device()), &shown(true)), [], "the others do not matter");
    assert_eq!(cut(What::Addresses, &Got { more: true, ..listed(9) }), [Some(DeviceHint::of(device()))]);
}

// spec-test: DHT-97
#[test]
fn those_of_the_five_who_answered_with_an_older_record_are_shown_the_newest() {
    let mut reader = Reader::contact(8);
    for (n, sequence) in [(1, 9), (2, 7), (3, 9), (5, 8), (6, 7), (7, 7), (8, 7)] {
        reader.got(n, &Got { record: Some(&address(sequence)), ..listed(sequence) });
    }
    reader.got(4, &Got { index: Some([].into_iter().collect()), ..Got::default() });
    let backs = reader.finding.write_backs(&reader.look_up, &reader.memory);
    assert_eq!(
        backs.iter().map(|it| (it.at, it.kind)).collect::<Vec<_>>(),
        [(at(2), Kind::Address), (at(4), Kind::Address), (at(5), Kind::Address)]
    );
    assert_eq!(reader.finding.record_json(Kind::Address, device()), Some(address(9)));
    let mut reader = Reader::contact(5);
    (1..=5).for_each(|n| drop(reader.got(n, &with_record(&address(9)))));
    assert_eq!(reader.finding.write_backs(&reader.look_up, &reader.memory), [], "nobody was staler");
}

// spec-test: DHT-91
#[test]
fn of_nine_devices_the_one_whose_delegation_ends_first_is_forgotten() {
    let mut reader = Reader::new(What::Devices, false, 5);
    let question = Question { kind: Kind::Device, device: None, known: None };
    let mut ids = Vec::new();
    for n in [4, 2, 3, 5, 6, 7, 8, 9, 10, 1] {
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([n; 32])));
        let own = granted(&identity(), &keys, "demo.chat", FROM + u64::from(n));
        let record = DeviceRecord::new(Some(own.delegation().clone()), None).expect("one part");
        ids.push((n, record.device()));
        reader.got_for(1, &question, &with_record(&record.to_json()));
    }
    let mut kept: Vec<u8> = ids.iter().filter(|(_, id)| reader.finding.device(*id).is_some()).map(|(n, _)| *n).collect();
    kept.sort_unstable();
    assert_eq!(kept, [3, 4, 5, 6, 7, 8, 9, 10]);
}
