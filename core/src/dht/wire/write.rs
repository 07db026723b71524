//! Writing datagrams: into a caller's buffer, in one order of fields, up to a limit.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Answer, Contact, DATAGRAM_BYTES_MAX, Denied, Exchange, Got, Head, Listed, Reply, Request};
use crate::dht::key::Key;
use crate::dht::proof::Cookie;
use crate::dht::text::write_address;
use crate::id::short_base64;
use crate::wire::line::write_number;

/// What `,"more":true` takes; it stays free until it is known whether something found no room.
const MORE_BYTES: usize = 12;
/// What `,"pad":""` takes.
const PAD_FRAME_BYTES: usize = 9;
/// Room that is asked for at once, instead of in seven steps: longer are only records and what names many nodes (guess).
const USUAL_BYTES: usize = 512;

/// To whom a reply goes, which decides how long it may be (spec: DHT-15).
#[derive(Clone, Copy)]
pub(crate) enum Asker {
    /// Its cookie or its token holds. If the cookie that it showed is not of the current secret, this one is.
    Proven { renewed: Option<Cookie> },
    /// It may be anybody: nobody gets more than was sent in their name.
    Unproven {
        /// How long the request was.
        bytes: usize,
        /// The own id and a cookie, from who serves.
        own: Option<(Key, Cookie)>,
    },
}

/// Adds a request to `to`, padded as its kind and the family of `to` say. `false`, and nothing added, if it is too long.
pub(crate) fn write_request(out: &mut Vec<u8>, to: SocketAddr, head: &Head, request: &Request<'_>) -> bool {
    let mut filler = Filler::begin(out, head.exchange, "q", request.word().text(), DATAGRAM_BYTES_MAX);
    let is_in = filler.fits(|out| {
        if let Some(id) = head.id {
            put_bytes(out, "id", id.as_bytes());
        }
        if let Some(cookie) = head.cookie {
            put_bytes(out, "cookie", cookie.as_bytes());
        }
        request_fields(out, request);
    });
    if let Some(bytes) = request.bytes_min(to, head.cookie.is_some()) {
        filler.pad(bytes);
    }
    filler.end(is_in)
}

/// Adds a knock: a ping that is as short as can be, since whoever had it sent may not be who gets it (spec: DHT-134).
pub(crate) fn write_knock(out: &mut Vec<u8>, exchange: Exchange) {
    let word = Request::Ping { to: None }.word();
    Filler::begin(out, exchange, "q", word.text(), DATAGRAM_BYTES_MAX).end(true);
}

fn request_fields(out: &mut Vec<u8>, request: &Request<'_>) {
    match request {
        Request::Ping { to: None } | Request::Probe => {}
        Request::Ping { to: Some(to) } => put_bytes(out, "to", &to.to_bytes()),
        Request::Find { target, is_fair } => {
            put_bytes(out, "target", target.as_bytes());
            if *is_fair {
                put_true(out, "fair");
            }
        }
        Request::Get { target, kind, device, known, write, is_fair } => {
            put_bytes(out, "target", target.as_bytes());
            put_text(out, "kind", kind.word());
            if let Some(device) = device {
                put_bytes(out, "device", device.as_bytes());
            }
            if let Some(known) = known {
                put_number(out, "known", *known);
            }
            if *write {
                put_true(out, "write");
            }
            if *is_fair {
                put_true(out, "fair");
            }
        }
        Request::Put { target, kind, token, record, carry } => {
            if let Some(token) = token {
                put_bytes(out, "token", token.as_bytes());
            }
            put_bytes(out, "target", target.as_bytes());
            put_text(out, "kind", kind.word());
            put_json(out, "record", record);
            if *carry {
                put_true(out, "carry");
            }
        }
        Request::Hello { challenge } => put_bytes(out, "challenge", challenge),
        Request::Knock { at } => put_address(out, "at", *at),
    }
}

/// Adds a reply: what finds no room is left out, the least important first. `false`, and nothing added, if there is no room for
/// any reply (spec: DHT-15).
pub(crate) fn write_reply(out: &mut Vec<u8>, exchange: Exchange, asker: Asker, reply: &Reply<'_>) -> bool {
    let (limit, own, renewed) = match asker {
        Asker::Proven { renewed } => (DATAGRAM_BYTES_MAX, None, renewed),
        Asker::Unproven { bytes, own } => (bytes.min(DATAGRAM_BYTES_MAX), own, None),
    };
    let mut filler = Filler::begin(out, exchange, "r", reply.word().text(), limit);
    if matches!(reply.answer, Answer::Get(_)) {
        filler.kept = filler.kept.saturating_add(MORE_BYTES);
    }
    let mut is_in = filler.fits(|_| {});
    if let Some((id, cookie)) = own {
        filler.fits(|out| {
            put_bytes(out, "id", id.as_bytes());
            put_bytes(out, "cookie", cookie.as_bytes());
        });
    }
    if let Some(renewed) = renewed {
        is_in &= filler.fits(|out| put_bytes(out, "cookie", renewed.as_bytes()));
    }
    match &reply.answer {
        Answer::Ping | Answer::Find | Answer::Probe | Answer::Knock => {}
        Answer::Get(got) => got_fields(&mut filler, got, matches!(asker, Asker::Proven { .. })),
        // These two go to who is proven, or say nothing.
        Answer::Put { sequence } => is_in &= filler.fits(|out| put_number(out, "sequence", *sequence)),
        Answer::Hello { key, proof } => {
            is_in &= filler.fits(|out| {
                put_bytes(out, "key", key.as_bytes());
                put_bytes(out, "proof", proof.as_bytes());
            });
        }
    }
    if !reply.nodes.is_empty() {
        filler.list("nodes", reply.nodes.iter(), |out, Contact { hint, at }| {
            push_base64(out, &hint.to_bytes());
            out.extend_from_slice(b",\"");
            write_address(out, *at);
            out.push(b'"');
        });
    }
    if let Some(seen) = reply.seen.filter(|_| matches!(asker, Asker::Unproven { .. })) {
        filler.fits(|out| put_address(out, "seen", seen));
    }
    if let Some(other) = reply.other {
        filler.fits(|out| put_address(out, "other", other));
    }
    filler.end(is_in)
}

/// Writes what lies at a target, and in the room that was kept whether something of it found none.
fn got_fields(filler: &mut Filler<'_>, got: &Got<'_>, is_proven: bool) {
    let Got { record, index, bound, revoked, token, more } = got;
    let mut is_cut = *more;
    if let Some(record) = record {
        is_cut |= !filler.fits(|out| put_json(out, "record", record));
    }
    if let Some(index) = index {
        is_cut |= filler.list("index", index.iter(), |out, Listed { device, number }| {
            push_base64(out, device.as_bytes());
            out.push(b',');
            write_number(out, *number);
        }) < index.len();
    }
    // What is cut of the index is so for who is not bound first; without room for the number nobody is said to be.
    if *bound > 0 {
        filler.fits(|out| put_number(out, "bound", *bound));
    }
    if let Some(revoked) = revoked {
        is_cut |= !filler.fits(|out| put_number(out, "revoked", *revoked));
    }
    // Whoever has no cookie could not use it.
    if let Some(token) = token.filter(|_| is_proven) {
        is_cut |= !filler.fits(|out| put_bytes(out, "token", token.as_bytes()));
    }
    filler.kept = filler.kept.saturating_sub(MORE_BYTES);
    if is_cut {
        filler.fits(|out| put_true(out, "more"));
    }
}

/// Adds a refusal, to who is proven only (spec: DHT-16).
pub(crate) fn write_error(out: &mut Vec<u8>, exchange: Exchange, denied: Denied) {
    let mut filler = Filler::begin(out, exchange, "e", denied.word(), DATAGRAM_BYTES_MAX);
    let is_in = filler.fits(|out| match denied {
        Denied::Old { sequence } => put_number(out, "sequence", sequence),
        Denied::Busy { wait } => put_number(out, "wait", wait),
        Denied::Token | Denied::Device | Denied::Full | Denied::Far | Denied::Clock => {}
    });
    filler.end(is_in);
}

/// An object on its way into a buffer, which grows field by field as long as it stays within a limit.
struct Filler<'a> {
    out: &'a mut Vec<u8>,
    /// Where the object begins.
    from: usize,
    /// How long it may become.
    limit: usize,
    /// What must stay free: at least the closing brace.
    kept: usize,
}

impl<'a> Filler<'a> {
    fn begin(out: &'a mut Vec<u8>, exchange: Exchange, mode: &str, word: &str, limit: usize) -> Self {
        let from = out.len();
        out.reserve(limit.min(USUAL_BYTES));
        out.extend_from_slice(b"{\"v\":1");
        put_bytes(out, "t", exchange.as_bytes());
        put_text(out, mode, word);
        Self { out, from, limit, kept: 1 }
    }

    /// Writes something whole, or takes it back because it is too long; whether it is in.
    fn fits(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.out.len();
        write(self.out);
        let is_in = self.out.len().saturating_sub(self.from).saturating_add(self.kept) <= self.limit;
        if !is_in {
            self.out.truncate(before);
        }
        is_in
    }

    /// Writes an array of pairs with as many items as have room, the first ones first; how many. Without room for one of
    /// several, nothing.
    fn list<'i, T: 'i>(&mut self, key: &str, items: impl Iterator<Item = &'i T>, write: impl Fn(&mut Vec<u8>, &T)) -> usize {
        let before = self.out.len();
        if !self.fits(|out| {
            put_key(out, key);
            out.extend_from_slice(b"[]");
        }) {
            return 0;
        }
        self.out.pop();
        // The bracket is kept free from now on.
        self.kept = self.kept.saturating_add(1);
        let (mut wanted, mut written) = (0_usize, 0_usize);
        for item in items {
            wanted = wanted.saturating_add(1);
            let is_in = self.fits(|out| {
                out.extend_from_slice(if wanted == 1 { b"[" } else { b",[" });
                write(out, item);
                out.push(b']');
            });
            if !is_in {
                break;
            }
            written = wanted;
        }
        self.kept = self.kept.saturating_sub(1);
        if written == 0 && wanted > 0 {
            self.out.truncate(before);
        } else {
            self.out.push(b']');
        }
        written
    }

    /// Fills up to a length, if there is room for a pad at all.
    fn pad(&mut self, bytes: usize) {
        let used = self.out.len().saturating_sub(self.from).saturating_add(self.kept);
        if let Some(dots) = bytes.checked_sub(used.saturating_add(PAD_FRAME_BYTES)) {
            put_key(self.out, "pad");
            self.out.push(b'"');
            self.out.resize(self.out.len().saturating_add(dots), b'.');
            self.out.push(b'"');
        }
    }

    /// Closes the object, or takes all of it back.
    fn end(self, is_in: bool) -> bool {
        if is_in {
            self.out.push(b'}');
        } else {
            self.out.truncate(self.from);
        }
        is_in
    }
}

fn put_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_text(out: &mut Vec<u8>, key: &str, text: &str) {
    put_key(out, key);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn put_json(out: &mut Vec<u8>, key: &str, json: &str) {
    put_key(out, key);
    out.extend_from_slice(json.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, key: &str, bytes: &[u8]) {
    put_key(out, key);
    push_base64(out, bytes);
}

fn put_number(out: &mut Vec<u8>, key: &str, number: u64) {
    put_key(out, key);
    write_number(out, number);
}

fn put_true(out: &mut Vec<u8>, key: &str) {
    put_json(out, key, "true");
}

fn put_address(out: &mut Vec<u8>, key: &str, address: SocketAddr) {
    put_key(out, key);
    out.push(b'"');
    write_address(out, address);
    out.push(b'"');
}

/// At most 64 bytes, in quotes.
fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(short_base64(bytes, &mut [0; 88]).unwrap_or_default().as_bytes());
    out.push(b'"');
}
