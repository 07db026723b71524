//! What machines of a gang do together: they name only each other and hide records, or they hand out the oldest that they were given.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use overcom_core::{Path, Time};
use overcom_simulator::swarm::byzantine::{Letter, Plan};
use serde_json::json;
use serde_json::value::RawValue;

use super::atlas::Atlas;
use super::fields::Fields;
use super::net::base64;

/// Requests that have not been answered yet, at most (guess: an answer follows at once, if one does).
const ASKED_MAX: usize = 1_000;

/// Denies that there is a record, and leads whoever looks for one to its own members that are nearest.
pub(crate) struct Denies {
    atlas: Rc<Atlas>,
    pub(crate) is_member: fn(u32) -> bool,
    asked: Asked,
}

impl Denies {
    /// A plan that all members share.
    pub(crate) fn of(atlas: &Rc<Atlas>, is_member: fn(u32) -> bool) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { atlas: Rc::clone(atlas), is_member, asked: Asked::default() }))
    }
}

/// What requests were about, by exchange.
#[derive(Default)]
pub(crate) struct Asked(BTreeMap<String, (String, String)>);

impl Asked {
    fn note(&mut self, request: &Fields) {
        if self.0.len() >= ASKED_MAX {
            self.0.clear();
        }
        if let (Some(exchange), Some(target)) = (request.text("t"), request.text("target")) {
            let kind = request.text("kind").unwrap_or_default();
            self.0.insert(exchange.to_owned(), (target.to_owned(), kind.to_owned()));
        }
    }

    fn take(&mut self, reply: &Fields) -> Option<(String, String)> {
        self.0.remove(reply.text("t")?)
    }
}

impl Plan for Denies {
    fn on_send(&mut self, _now: Time, mut letter: Letter, out: &mut Vec<Letter>) {
        if let Some(mut reply) = Fields::read(&letter.bytes)
            && matches!(reply.text("r"), Some("find" | "get"))
            && let Some((target, _)) = self.asked.take(&reply)
        {
            let named: Vec<&RawValue> = reply.json("nodes").and_then(|nodes| serde_json::from_str(nodes).ok()).unwrap_or_default();
            let near = self.atlas.nearest(hint(&target), named.len(), self.is_member);
            let places = near.iter().filter_map(|machine| self.atlas.place(*machine));
            let nodes: Vec<_> = places.map(|place| json!([base64(&place.hint().to_be_bytes()), place.at.to_string()])).collect();
            reply.replace("nodes", &json!(nodes).to_string());
            reply.replace("index", "[]");
            reply.remove("record");
            letter.bytes = reply.bytes();
        }
        out.push(letter);
    }

    fn on_hear(&mut self, _now: Time, _path: Path, bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        if let Some(request) = Fields::read(bytes)
            && matches!(request.text("q"), Some("find" | "get"))
        {
            self.asked.note(&request);
        }
        true
    }
}

/// Hands out, of all records that any member was given for a home, the first.
#[derive(Default)]
pub(crate) struct Rewinds {
    asked: Asked,
    oldest: BTreeMap<(String, String), String>,
}

impl Plan for Rewinds {
    fn on_send(&mut self, _now: Time, mut letter: Letter, out: &mut Vec<Letter>) {
        if let Some(mut reply) = Fields::read(&letter.bytes)
            && reply.text("r") == Some("get")
            && let Some(about) = self.asked.take(&reply)
            && let Some(record) = self.oldest.get(&about)
        {
            reply.replace("record", record);
            if let Some(index) = older(reply.json("index"), record) {
                reply.replace("index", &index);
            }
            letter.bytes = reply.bytes();
        }
        out.push(letter);
    }

    fn on_hear(&mut self, _now: Time, _path: Path, bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        let Some(request) = Fields::read(bytes) else { return true };
        match (request.text("q"), request.text("target"), request.text("kind"), request.json("record")) {
            (Some("get"), ..) => self.asked.note(&request),
            (Some("put"), Some(target), Some("address"), Some(record)) => {
                self.oldest.entry((target.to_owned(), "address".to_owned())).or_insert_with(|| record.to_owned());
            }
            _ => {}
        }
        true
    }
}

/// An index that agrees with an old record of its only device.
fn older(index: Option<&str>, record: &str) -> Option<String> {
    let index: Vec<(String, u64)> = serde_json::from_str(index?).ok()?;
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    let sequence = record["content"]["sequence"].as_u64()?;
    let index: Vec<_> = index.into_iter().map(|(device, newest)| json!([device, newest.min(sequence)])).collect();
    Some(json!(index).to_string())
}

/// What nearness to a key is judged by: its first eight bytes.
pub(crate) fn hint(key: &str) -> u64 {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = key.chars().take(11).fold(0_u128, |bits, c| bits << 6 | DIGITS.find(c).unwrap_or(0) as u128);
    (bits >> 2) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_of_a_key_is_its_first_eight_bytes() {
        let key: Vec<u8> = (1..=32).collect();
        assert_eq!(hint(&base64(&key)), 0x0102_0304_0506_0708);
        assert_eq!(hint(&base64(&[0xFF; 32])), u64::MAX);
    }

    #[test]
    fn an_index_is_made_as_old_as_the_record() {
        let record = r#"{"content":{"device":"x","sequence":7},"signature":"s"}"#;
        assert_eq!(older(Some(r#"[["x",9]]"#), record).as_deref(), Some(r#"[["x",7]]"#));
        assert_eq!(older(None, record), None);
    }
}
