//! Reading a datagram: the strict walk, then one pass over the members of the object.

use core::net::SocketAddr;

use super::{
    Answer, Body, Contact, DATAGRAM_BYTES_MAX, Datagram, Denied, DeviceHint, Exchange, Few, Got, Head, Kind, LISTED_MAX, Listed, Reply,
    Request, WAIT_SECS_MAX, Word,
};
use crate::dht::key::{Hint, Key};
use crate::dht::proof::{Cookie, Hello, Token};
use crate::dht::text::read_address;
use crate::error::WireError;
use crate::id::{NodeKey, array_from_base64};
use crate::wire::{INTEGER_MAX, Limits, Numbers, string_end, walk_text};

/// How deep a datagram may be nested: a revocation in it has five levels (spec: DHT-10).
const LIMITS: Limits = Limits { bytes_max: DATAGRAM_BYTES_MAX, depth_max: 6, numbers: Numbers::Any };

/// Reads a datagram of any kind; records in it stay JSON. O(n), without an allocation unless more than 32 fields are open.
///
/// # Errors
/// What is wrong with it, first what is cheapest to find. Whoever gets one drops it without an answer (spec: DHT-10).
pub(crate) fn read(bytes: &[u8]) -> Result<Datagram<'_>, WireError> {
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return Err(WireError::TooLong);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| WireError::Utf8)?;
    walk_text(text, LIMITS)?;
    if !text.starts_with('{') {
        return Err(WireError::Json);
    }
    let mut fields = Fields::default();
    for (key, value) in Members(text) {
        fields.take(key, value)?;
    }
    let head = Head { exchange: fields.t.filter(|_| fields.v).ok_or(WireError::Json)?, id: fields.id, cookie: fields.cookie };
    let body = match (fields.q, fields.r, fields.e) {
        (Some(word), None, None) => Body::Request(fields.request(word)?),
        (None, Some(word), None) => Body::Reply(fields.reply(word)?),
        (None, None, Some(word)) => Body::Denied(fields.denied(word)?),
        _ => return Err(WireError::Json),
    };
    Ok(Datagram { head, body })
}

/// Every field that is known, whatever kind of datagram it stands in. The walk has seen that none stands twice.
#[derive(Default)]
struct Fields<'a> {
    /// Whether there is the one version.
    v: bool,
    t: Option<Exchange>,
    q: Option<Word>,
    r: Option<Word>,
    e: Option<&'a str>,
    id: Option<Key>,
    cookie: Option<Cookie>,
    token: Option<Token>,
    target: Option<Key>,
    kind: Option<Kind>,
    device: Option<DeviceHint>,
    known: Option<u64>,
    write: bool,
    fair: bool,
    record: Option<&'a str>,
    index: Option<Few<Listed>>,
    bound: u64,
    nodes: Few<Contact>,
    seen: Option<SocketAddr>,
    other: Option<SocketAddr>,
    at: Option<SocketAddr>,
    to: Option<Hint>,
    challenge: Option<[u8; 32]>,
    key: Option<NodeKey>,
    proof: Option<Hello>,
    revoked: Option<u64>,
    sequence: Option<u64>,
    wait: Option<u64>,
    more: bool,
    carry: bool,
}

impl<'a> Fields<'a> {
    /// One member. What is not known is ignored (spec: DHT-11).
    fn take(&mut self, key: &str, value: &'a str) -> Result<(), WireError> {
        match key {
            "v" => self.v = if value == "1" { true } else { return Err(WireError::Number) },
            "t" => self.t = Some(Exchange(bytes(value)?)),
            "q" => self.q = Some(word(value)?),
            "r" => self.r = Some(word(value)?),
            "e" => self.e = Some(string(value)?),
            "id" => self.id = Some(Key::from_text(string(value)?)?),
            "cookie" => self.cookie = Some(Cookie::from_text(string(value)?)?),
            "token" => self.token = Some(Token::from_text(string(value)?)?),
            "target" => self.target = Some(Key::from_text(string(value)?)?),
            "kind" => self.kind = Some(kind(value)?),
            "device" => self.device = Some(DeviceHint::from_text(string(value)?)?),
            "known" => self.known = Some(integer(value)?),
            "write" => self.write = flag(value)?,
            "fair" => self.fair = flag(value)?,
            "record" => self.record = Some(if value.starts_with('{') { value } else { return Err(WireError::Json) }),
            "index" => {
                self.index = Some(few(value, |first, second| {
                    Ok(Listed { device: DeviceHint::from_text(string(first)?)?, number: integer(second)? })
                })?)
            }
            "nodes" => {
                self.nodes = few(value, |first, second| Ok(Contact { hint: Hint::from_text(string(first)?)?, at: address(second)? }))?
            }
            "seen" => self.seen = Some(address(value)?),
            "other" => self.other = Some(address(value)?),
            "at" => self.at = Some(address(value)?),
            "to" => self.to = Some(Hint::from_text(string(value)?)?),
            "challenge" => self.challenge = Some(bytes(value)?),
            "key" => self.key = Some(NodeKey::from_bytes(bytes(value)?)),
            "proof" => self.proof = Some(Hello::from_text(string(value)?)?),
            "bound" => self.bound = integer(value)?,
            "revoked" => self.revoked = Some(integer(value)?),
            "sequence" => self.sequence = Some(integer(value)?),
            "wait" => self.wait = Some(integer(value)?.min(WAIT_SECS_MAX)),
            "more" => self.more = flag(value)?,
            "carry" => self.carry = flag(value)?,
            "pad" => drop(string(value)?),
            _ => {}
        }
        Ok(())
    }

    fn request(&self, word: Word) -> Result<Request<'a>, WireError> {
        let target = || self.target.ok_or(WireError::Json);
        let kind = || self.kind.ok_or(WireError::Json);
        Ok(match word {
            Word::Ping => Request::Ping { to: self.to },
            Word::Find => Request::Find { target: target()?, is_fair: self.fair },
            Word::Get => {
                let (device, known) = (self.device, self.known);
                Request::Get { target: target()?, kind: kind()?, device, known, write: self.write, is_fair: self.fair }
            }
            Word::Put => {
                let record = self.record.ok_or(WireError::Json)?;
                Request::Put { target: target()?, kind: kind()?, token: self.token, record, carry: self.carry }
            }
            Word::Hello => Request::Hello { challenge: self.challenge.ok_or(WireError::Json)? },
            Word::Probe => Request::Probe,
            Word::Knock => Request::Knock { at: self.at.ok_or(WireError::Json)? },
        })
    }

    fn reply(self, word: Word) -> Result<Reply<'a>, WireError> {
        let Self { record, index, bound, revoked, token, more, nodes, seen, other, .. } = self;
        let answer = match word {
            Word::Ping => Answer::Ping,
            Word::Find => Answer::Find,
            Word::Get => Answer::Get(Got { record, index, bound, revoked, token, more }),
            Word::Put => Answer::Put { sequence: self.sequence.ok_or(WireError::Json)? },
            Word::Hello => Answer::Hello { key: self.key.ok_or(WireError::Json)?, proof: self.proof.ok_or(WireError::Json)? },
            Word::Probe => Answer::Probe,
            Word::Knock => Answer::Knock,
        };
        Ok(Reply { answer, nodes, seen, other })
    }

    fn denied(&self, word: &str) -> Result<Denied, WireError> {
        Ok(match word {
            "token" => Denied::Token,
            "device" => Denied::Device,
            "old" => Denied::Old { sequence: self.sequence.ok_or(WireError::Json)? },
            "full" => Denied::Full,
            "far" => Denied::Far,
            "clock" => Denied::Clock,
            "busy" => Denied::Busy { wait: self.wait.ok_or(WireError::Json)? },
            _ => return Err(WireError::Json),
        })
    }
}

/// The members of an object that was walked over: keys without their quotes, values as they stand. Each item takes the
/// separator in front of it.
struct Members<'a>(&'a str);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // Keys hold no escapes.
        let (key, rest) = self.0.strip_prefix(['{', ','])?.strip_prefix('"')?.split_once('"')?;
        let (value, rest) = first_value(rest.strip_prefix(':')?)?;
        self.0 = rest;
        Some((key, value))
    }
}

/// The elements of an array that was walked over, as they stand.
struct Elements<'a>(&'a str);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let (value, rest) = first_value(self.0.strip_prefix(['[', ','])?)?;
        self.0 = rest;
        Some(value)
    }
}

/// The value that `text` begins with, and what follows it.
fn first_value(text: &str) -> Option<(&str, &str)> {
    let end = match text.as_bytes().first()? {
        b'"' => string_end(text.as_bytes(), 1).ok()?,
        b'{' | b'[' => container_end(text.as_bytes())?,
        // The end of what is around it.
        b']' | b'}' => return None,
        _ => text.bytes().position(|byte| matches!(byte, b',' | b'}' | b']'))?,
    };
    text.split_at_checked(end)
}

/// Where the object or array that begins here ends. Brackets match, since it was walked over.
fn container_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0_usize, 0_usize);
    loop {
        let byte = *bytes.get(at)?;
        at = at.saturating_add(1);
        match byte {
            b'"' => at = string_end(bytes, at).ok()?,
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth == 1 => return Some(at),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// A string as it stands between its quotes; what has escapes is no word, no base64 and no address.
fn string(value: &str) -> Result<&str, WireError> {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(WireError::Json)
}

fn bytes<const N: usize>(value: &str) -> Result<[u8; N], WireError> {
    array_from_base64(string(value)?)
}

fn address(value: &str) -> Result<SocketAddr, WireError> {
    read_address(string(value)?)
}

fn word(value: &str) -> Result<Word, WireError> {
    let text = string(value)?;
    Word::ALL.into_iter().find(|word| word.text() == text).ok_or(WireError::Json)
}

fn kind(value: &str) -> Result<Kind, WireError> {
    let text = string(value)?;
    Kind::ALL.into_iter().find(|kind| kind.word() == text).ok_or(WireError::Json)
}

/// A number of the protocol's own (spec: WIRE-6).
fn integer(value: &str) -> Result<u64, WireError> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|number| is_plain && *number <= INTEGER_MAX).ok_or(WireError::Number)
}

/// What is not so is left out, never `false`.
fn flag(value: &str) -> Result<bool, WireError> {
    if value == "true" { Ok(true) } else { Err(WireError::Json) }
}

/// An array of pairs; those beyond the eighth are not looked at.
fn few<'a, T>(value: &'a str, of: impl Fn(&'a str, &'a str) -> Result<T, WireError>) -> Result<Few<T>, WireError> {
    if !value.starts_with('[') {
        return Err(WireError::Json);
    }
    let pair = |value: &'a str| {
        let mut elements = Elements(value);
        match (elements.next(), elements.next(), elements.next()) {
            (Some(first), Some(second), None) => of(first, second),
            _ => Err(WireError::Json),
        }
    };
    Elements(value).take(LISTED_MAX).map(pair).collect()
}
