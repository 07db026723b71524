//! `service-privacy`: what strangers who keep somebody's records, and strangers who dial, learn of who it is.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{AppId, Command, Config, Crypto, Delegation, DeviceKeys, DhtNotice, Entry, IdentitySecret, Notice, Rng, UserId};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::net::base64;
use crate::figure::{Measured, Size};
use crate::seeds::shifted;
use crate::table::{Person, Table, WALL, WEEK, seed_of};

const SEED: u64 = 23;
/// Until everybody has joined, published and is bound.
const SETTLE: Duration = Duration::from_secs(600);
/// Longer than a refresh takes; meanwhile leaves are found dead and their records go to others.
const LATER: Duration = Duration::from_secs(3_600);
/// Longer than a look-up may take.
const LOOK: Duration = Duration::from_secs(10);
/// One storer in so many goes away.
const GONE: usize = 8;
/// Into so many bytes, again and again, goes the pad under which ideal cryptography seals.
const PAD: usize = 8;
/// What is not a record's own at its end.
const TAG: usize = 16;

/// How often one's own identity key, user id, device id, signing key or Noise key stands in what a node sends to those who keep records and
/// binds, who are all of other apps than it, but for records of one's own and the lines `bind` and `device` that hold them; how often
/// identity key or user id is shown to who dials without knowing the user, as somebody else's contact or for a service link;
/// and how many users are then not found, or not as bound: the sum. Telephones that keep nothing themselves look each other up, some
/// storers go, and records are refreshed meanwhile. All that is sealed is read, since ideal cryptography keeps no secret. A device's
/// Noise key stands in the second message of a handshake for a user; who dials sees it, without a name. In the control the same is looked
/// for on links between users, and shown to diallers who know the user; its value is the smaller of the two.
pub(crate) fn privacy(size: Size) -> Result<Measured, String> {
    let (storers, users) = (size.of(10, 40, 40) as usize, size.of(20, 100, 100) as usize);
    let probes = size.of(1_000, 100_000, 1_000_000);
    let kept = kept(storers, users)?;
    let probed = probed(probes, false)?;
    let known = probed_known(100)?;
    Ok(Measured {
        value: (kept.shown + kept.unfound) as f64 + probed.identities as f64,
        unit: "identities shown, and users not found",
        target: 0.0,
        control: (kept.linked as f64).min(known),
        size: kept.deposits,
        seeds: 1,
        detail: format!(
            "{} acknowledged puts and {} binds of {users} users and {storers} storers, all with storers of other apps: {} of {} datagrams and {} of {} \
             writes to links show who sends them{}; {} of {users} users not found as bound; {} identities in {probes} handshakes of who does not \
             know the user, half of them for service links, and the device's Noise key in {}; control: {} writes between users, and \
             {known} of 100 handshakes of who knows the user",
            kept.deposits,
            kept.binds,
            kept.datagrams_shown,
            kept.datagrams,
            kept.shown - kept.datagrams_shown,
            kept.writes,
            kept.example.map(|example| format!(" ({example})")).unwrap_or_default(),
            kept.unfound,
            probed.identities,
            probed.noise_keys,
            kept.linked,
        ),
    })
}

/// Somebody's device in an app, in the ideal mode of cryptography.
fn person(n: u64, app: &str) -> Result<Person, String> {
    let crypto = Crypto::ideal();
    let mut rng = Rng::from_seed(&seed_of(shifted(SEED), 0)).fork("person", n);
    let (identity, keys) = (IdentitySecret::with_crypto(crypto, rng.array()), DeviceKeys::draw(&mut rng));
    let app = AppId::new(app).map_err(|why| why.to_string())?;
    let delegation = Delegation::sign(&identity, &keys.grant_with(&crypto, app, WALL, WALL + WEEK)).map_err(|why| why.to_string())?;
    Ok(Person { credentials: keys.credentials(delegation), identity, keys })
}

fn config() -> Config {
    Config::desktop().crypto(Crypto::ideal())
}

/// What names somebody, in each form in which it may be said.
struct Names {
    /// Identity key and user id.
    identity: Vec<Vec<u8>>,
    /// Device id and signing key.
    device: Vec<Vec<u8>>,
    noise: Vec<Vec<u8>>,
    /// Of the device's id, as records have it.
    device_text: String,
}

impl Names {
    fn of(person: &Person) -> Self {
        let delegation = person.credentials.delegation();
        let forms = |bytes: &[u8]| vec![bytes.to_vec(), base64(bytes).into_bytes()];
        let mut identity = [forms(delegation.identity().as_bytes()), forms(delegation.user().as_bytes())].concat();
        identity.push(delegation.user().to_string().into_bytes());
        Self {
            identity,
            device: [forms(delegation.device().as_bytes()), forms(delegation.signing())].concat(),
            noise: forms(delegation.noise()),
            device_text: base64(delegation.device().as_bytes()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.identity.iter().chain(&self.device).chain(&self.noise)
    }
}

/// Whether one of these stands in what was written, open or sealed by ideal cryptography: a pad of eight bytes goes into it again and
/// again, so that each byte differs from the eighth after it as it did before.
fn shows<'a>(bytes: &[u8], mut names: impl Iterator<Item = &'a Vec<u8>>) -> bool {
    let apart = |bytes: &[u8]| bytes.iter().zip(bytes.iter().skip(PAD)).map(|(one, other)| one ^ other).collect::<Vec<u8>>();
    let written = apart(bytes);
    names.any(|name| {
        let name = apart(name);
        written.windows(name.len()).any(|window| window == name)
    })
}

/// What a datagram says without records of whoever sends it.
fn without_own(bytes: &[u8], names: &Names) -> Vec<u8> {
    let Some(mut fields) = Fields::read(bytes) else { return bytes.to_vec() };
    if fields.json("record").is_some_and(|record| record.contains(&names.device_text)) {
        fields.remove("record");
    }
    fields.bytes()
}

/// What a write to a link says without the lines that are deposits; what cannot be opened stays as it is.
fn without_deposits(bytes: &[u8]) -> Vec<u8> {
    // A preamble is a line without a length (HS-1).
    let line = bytes.iter().position(|byte| *byte == b'\n').filter(|_| bytes.starts_with(b"overcom/")).map_or(0, |end| end + 1);
    let (preamble, mut rest) = bytes.split_at(line);
    let mut said = preamble.to_vec();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let Some((record, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
        match opened(record) {
            Some(text) => text.lines().filter(|line| !is_deposit(line)).for_each(|line| said.extend(line.as_bytes())),
            None => said.extend(record),
        }
        rest = after;
    }
    said.extend(rest);
    said
}

fn is_deposit(line: &str) -> bool {
    line.starts_with(r#"{"bind":"#) || line.starts_with(r#"{"device":"#)
}

/// The lines of a record that ideal cryptography has sealed, if it begins with the beginning of one and all are JSON.
fn opened(record: &[u8]) -> Option<String> {
    const BEGINNINGS: [&[u8; PAD]; 7] =
        [b"{\"bind\":", b"{\"device", b"{\"bound\"", b"{\"hello\"", b"{\"ping\":", b"{\"pong\":", b"{\"close\""];
    let sealed = record.get(..record.len().checked_sub(TAG)?)?;
    let first = sealed.first_chunk::<PAD>()?;
    BEGINNINGS.iter().find_map(|beginning| {
        let pad = |index: usize| first[index % PAD] ^ beginning[index % PAD];
        let text = String::from_utf8(sealed.iter().enumerate().map(|(index, byte)| byte ^ pad(index)).collect()).ok()?;
        text.lines().all(|line| serde_json::from_str::<&RawValue>(line).is_ok()).then_some(text)
    })
}

/// What is seen of what nodes send, by their seats.
#[derive(Default)]
struct Log {
    names: Vec<Names>,
    datagrams: u64,
    datagrams_shown: u64,
    writes: u64,
    writes_shown: u64,
    acknowledged: u64,
    example: Option<String>,
    /// Users who were found as bound.
    found: BTreeSet<UserId>,
}

impl Log {
    fn on_datagram(&mut self, seat: usize, bytes: &[u8]) {
        self.datagrams += 1;
        self.acknowledged += u64::from(bytes.starts_with(br#"{"v":1,"#) && contains(bytes, br#""r":"put""#));
        let Some(names) = self.names.get(seat) else { return };
        if shows(bytes, names.all()) && shows(&without_own(bytes, names), names.all()) {
            self.datagrams_shown += 1;
            self.example.get_or_insert_with(|| String::from_utf8_lossy(bytes).chars().take(200).collect());
        }
    }

    fn on_write(&mut self, seat: usize, bytes: &[u8]) {
        self.writes += 1;
        let Some(names) = self.names.get(seat) else { return };
        if shows(bytes, names.all()) && shows(&without_deposits(bytes), names.all()) {
            self.writes_shown += 1;
            self.example.get_or_insert_with(|| format!("a write of {} bytes", bytes.len()));
        }
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

struct Kept {
    deposits: u64,
    binds: u64,
    datagrams: u64,
    datagrams_shown: u64,
    writes: u64,
    /// In datagrams and in writes.
    shown: u64,
    unfound: u64,
    /// Writes on links between users that show who sends them.
    linked: u64,
    example: Option<String>,
}

/// Users of one app, whose telephones keep nothing, among storers each of an app of its own.
fn kept(storers: usize, users: usize) -> Result<Kept, String> {
    let log: Rc<RefCell<Log>> = Rc::default();
    let mut table = grown(storers, users, &log)?;
    table.pass(SETTLE);
    let ids = (storers..storers + users).map(|seat| table.user(seat)).collect::<Result<Vec<UserId>, String>>()?;
    look(&mut table, storers, &ids)?;
    for seat in (1..storers).filter(|seat| seat % GONE == 0) {
        table.unseat(seat);
        table.cut_all(seat);
    }
    table.pass(LATER);
    log.borrow_mut().found.clear();
    look(&mut table, storers, &ids)?;
    let nodes = table.seats.iter().filter_map(|seat| seat.node());
    let binds = nodes.filter_map(|node| node.dht()).map(|view| view.binds).sum();
    let seen = std::mem::take(&mut log.borrow_mut().example);
    let (kept, writes_shown) = {
        let log = log.borrow();
        let kept = Kept {
            deposits: log.acknowledged,
            binds,
            datagrams: log.datagrams,
            datagrams_shown: log.datagrams_shown,
            writes: log.writes,
            shown: log.datagrams_shown + log.writes_shown,
            unfound: ids.iter().filter(|user| !log.found.contains(user)).count() as u64,
            linked: 0,
            example: seen,
        };
        (kept, log.writes_shown)
    };
    // The control: the same on links between users.
    table.introduce(storers, storers + 1)?;
    table.command(storers, Command::find(ids[1])).map_err(|why| why.to_string())?;
    table.pass(LOOK);
    let linked = log.borrow().writes_shown - writes_shown;
    Ok(Kept { linked, ..kept })
}

/// A table with all of them, each of whom knows one storer's address.
fn grown(storers: usize, users: usize, log: &Rc<RefCell<Log>>) -> Result<Table, String> {
    let told = Rc::clone(log);
    let mut table = Table::new(shifted(SEED), move |_, notice| {
        if let Notice::Dht(DhtNotice::Found { user, is_bound: true, .. }) = notice {
            told.borrow_mut().found.insert(user);
        }
    });
    table.has_datagrams = true;
    let (heard, written) = (Rc::clone(log), Rc::clone(log));
    table.ear = Some(Box::new(move |seat, bytes| heard.borrow_mut().on_datagram(seat, bytes)));
    table.tap = Some(Box::new(move |seat, _, bytes| written.borrow_mut().on_write(seat, bytes)));
    for n in 0..storers + users {
        let is_storer = n < storers;
        let person = person(n as u64, &if is_storer { format!("storer.{n}") } else { "figures".into() })?;
        log.borrow_mut().names.push(Names::of(&person));
        table.seat(if is_storer { config() } else { config().dht_serve(0) }, &person)?;
    }
    table.run();
    for seat in 1..storers + users {
        let entry = if seat < storers { 0 } else { seat % storers };
        let entry = Entry { address: table.seats[entry].at.into(), key: None };
        table.command(seat, Command::enter([entry])).map_err(|why| why.to_string())?;
    }
    Ok(table)
}

/// Each user looks for the next one.
fn look(table: &mut Table, storers: usize, ids: &[UserId]) -> Result<(), String> {
    for (index, user) in ids.iter().cycle().skip(1).take(ids.len()).enumerate() {
        table.command(storers + index, Command::locate(*user)).map_err(|why| why.to_string())?;
    }
    table.pass(LOOK);
    Ok(())
}

#[derive(Default)]
struct Probed {
    identities: u64,
    noise_keys: u64,
}

/// How many of so many diallers who know the user are shown who it is.
fn probed_known(probes: u64) -> Result<f64, String> {
    Ok(probed(probes, true)?.identities as f64)
}

/// So many handshakes of somebody who knows the address; every other one for a service link unless the user is known.
fn probed(probes: u64, is_known: bool) -> Result<Probed, String> {
    let (prober, wanted) = (person(1_000, "figures")?, person(1_001, "figures")?);
    let names = Rc::new(Names::of(&wanted));
    let mut rng = Rng::from_seed(&seed_of(shifted(SEED), 1));
    let mut all = Probed::default();
    for n in 0..probes {
        // Whether it answered, was named and was shown by its Noise key.
        let seen = Rc::new(RefCell::new([false; 3]));
        let (shown, names) = (Rc::clone(&seen), Rc::clone(&names));
        let mut table = Table::new(rng.u64(), |_, _| {});
        table.tap = Some(Box::new(move |seat, _, bytes| {
            if seat == 1 {
                let mut seen = shown.borrow_mut();
                seen[0] = true;
                seen[1] |= shows(bytes, names.identity.iter().chain(&names.device));
                seen[2] |= shows(bytes, names.noise.iter());
            }
        }));
        table.seat(config(), &prober)?;
        table.seat(config(), &wanted)?;
        table.run();
        let at = table.seats[1].at;
        if is_known || n % 2 == 0 {
            let user = if is_known { table.user(1)? } else { UserId::from_bytes(rng.array()) };
            table.command(0, Command::introduce(user, [at.into()])).map_err(|why| why.to_string())?;
            table.command(0, Command::find(user)).map_err(|why| why.to_string())?;
        } else {
            table.command(0, Command::enter([Entry { address: at.into(), key: None }])).map_err(|why| why.to_string())?;
        }
        table.run();
        let [has_answered, is_named, is_keyed] = *seen.borrow();
        if !has_answered {
            return Err(format!("handshake {n} was not answered"));
        }
        all.identities += u64::from(is_named);
        all.noise_keys += u64::from(is_keyed);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_seen_open_and_under_a_pad_and_not_where_it_is_not() {
        let names = Names::of(&person(7, "figures").expect("a person"));
        let text = format!("{{\"close\":{{\"reason\":\"{}\"}}}}\n", names.device_text);
        let sealed: Vec<u8> =
            text.bytes().enumerate().map(|(index, byte)| byte ^ [1, 9, 200, 3, 77, 0, 255, 8][index % PAD]).chain([0; TAG]).collect();
        assert!(shows(text.as_bytes(), names.all()) && shows(&sealed, names.all()));
        assert_eq!(opened(&sealed), Some(text));
        let other = Names::of(&person(8, "figures").expect("a person"));
        assert!(!shows(&sealed, other.all()));
    }

    #[test]
    fn deposits_of_ones_own_are_taken_out_and_nothing_else() {
        let names = Names::of(&person(7, "figures").expect("a person"));
        let put = |field: &str| format!(r#"{{"v":1,"q":"put","{field}":{{"content":{{"device":"{}"}}}}}}"#, names.device_text);
        assert!(!shows(&without_own(put("record").as_bytes(), &names), names.all()));
        assert!(shows(&without_own(put("other").as_bytes(), &names), names.all()));
        let record = |line: &str| {
            let sealed = [line.as_bytes(), &[0; TAG]].concat();
            [&(sealed.len() as u16).to_be_bytes()[..], &sealed].concat()
        };
        let (bind, ping) = (record("{\"bind\":{\"home\":\"x\"}}\n"), record("{\"ping\":7}\n"));
        assert_eq!(without_deposits(&[bind, ping].concat()), b"{\"ping\":7}");
    }
}
