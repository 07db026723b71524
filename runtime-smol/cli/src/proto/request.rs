//! Requests: what a line asks, read strictly, with every mistake named.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use overcom_core::{Address, AppId, DeviceId, DhtPolicy, Entry, InvitationId, Keep};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Fault, LINE_BYTES_MAX};

/// No program needs a longer id (guess: a UUID in quotes has 38 bytes).
const ID_BYTES_MAX: usize = 128;
/// Names that are so much alike may be meant for each other (guess: 0 to 1).
const ALIKE_MIN: f64 = 0.6;

/// What a request calls itself: a number, a text or null, given back as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Id(String);

impl Id {
    /// Of a line whose id cannot be read.
    pub(crate) fn unknown() -> Self {
        Self("null".into())
    }

    /// As JSON.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One line that asks.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: Id,
    pub(crate) op: Result<Op, Fault>,
}

/// What is asked. People and devices are named as they were written; the address book knows whom they mean.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Op {
    /// Send a message.
    Send { to: String, device: Option<DeviceId>, kind: String, payload: Option<Box<str>>, keep: Keep, life_s: Option<u64> },
    /// Find a user and link with one of their devices.
    Find { user: String },
    /// Ask the DHT where a user's devices are, without linking.
    Locate { user: String, app: Option<AppId>, device: Option<DeviceId> },
    /// The DHT at a glance.
    Dht,
    /// Say who is told by the DHT where this device is.
    Publish { policy: DhtPolicy, addresses: Vec<SocketAddr> },
    /// Put a user's addresses into the address book, and a name with them.
    Introduce { user: String, addresses: Vec<Address>, name: Option<String> },
    /// Take a user out of the address book and give up what waits for them.
    Forget { user: String },
    /// Make an invitation, good for one user; without addresses at the node's own.
    Invite { life_s: Option<u64>, addresses: Vec<Address> },
    /// Take an invitation.
    Join { line: String },
    /// The invitations of this node that have not ended.
    Invitations,
    /// Make an invitation good for nobody.
    Withdraw { invitation: InvitationId },
    /// The names of the address book.
    Names,
    /// Give a user a name, or take it away.
    Name { name: String, user: Option<String> },
    /// Why a user is not reached.
    Why { user: String },
    /// The node at a glance.
    Status,
    /// Links that are up.
    Links,
    /// Messages that are not delivered.
    Outbox,
    /// Put a newer delegation in the place of the present one; without one, the identity signs, if it is kept here.
    Renew { delegation: Option<Box<str>> },
    /// Make what the identity takes back known to everybody.
    Revoke { revocation: Box<str> },
    /// Set the entry peers.
    Enter { entries: Vec<Entry> },
    /// The entry peers, and how it goes with each.
    Entries,
    /// Be told: of these notices, and of messages of these types; of all, if none is named.
    Listen { notices: Option<Vec<String>>, types: Option<Vec<String>> },
    /// From now on notices are taken when the op `taken` says so, not when they are written.
    Credit,
    /// The program is through with so many more notices.
    Taken { notices: u64 },
    /// End the node.
    Stop,
}

macro_rules! ops {
    ($($name:literal => $read:expr;)*) => {
        /// Every op.
        pub(super) const OPS: &[&str] = &[$($name),*];

        fn read(op: &str, fields: &mut Fields<'_>) -> Result<Op, Fault> {
            match op {
                $($name => {
                    let read: fn(&mut Fields<'_>) -> Result<Op, Fault> = $read;
                    read(fields)
                })*
                unknown => Err(Fault::new("unknown_op", format!("there is no op {unknown}"), hint(unknown, OPS))),
            }
        }
    };
}

ops! {
    "send" => |fields| Ok(Op::Send {
        to: fields.need("to", "a name of the address book, or an id oc1…")?,
        device: fields.may("device", "the device as a message from it shows it")?,
        kind: fields.need("type", "a short text, for instance \"note\"")?,
        payload: fields.raw("payload"),
        keep: fields.may("keep", "\"disk\" or \"memory\"")?.unwrap_or_default(),
        life_s: fields.may("life_s", "whole seconds, at most 604800")?,
    });
    "find" => |fields| Ok(Op::Find { user: fields.need("user", WHO)? });
    "locate" => |fields| Ok(Op::Locate {
        user: fields.need("user", WHO)?,
        app: fields.may("app", "an app's id, for instance overcom")?,
        device: fields.may("device", "the device as a message from it shows it")?,
    });
    "dht" => |_| Ok(Op::Dht);
    "publish" => |fields| Ok(Op::Publish {
        policy: fields.need("policy", "\"everyone\", \"contacts\" or \"nobody\"")?,
        addresses: fields.may("addresses", "a list of at most 8 texts IP:PORT or [IPv6]:PORT")?.unwrap_or_default(),
    });
    "introduce" => |fields| Ok(Op::Introduce {
        user: fields.need("user", WHO)?,
        addresses: fields.need("addresses", "a list of 1 to 8 texts HOST:PORT or [IPv6]:PORT")?,
        name: fields.may("name", "a text, or leave it out")?,
    });
    "forget" => |fields| Ok(Op::Forget { user: fields.need("user", WHO)? });
    "invite" => |fields| Ok(Op::Invite {
        life_s: fields.may("life_s", "whole seconds, at most 2592000")?,
        addresses: fields.may("addresses", "a list of at most 8 texts HOST:PORT or [IPv6]:PORT")?.unwrap_or_default(),
    });
    "join" => |fields| Ok(Op::Join { line: fields.need("line", "an invitation oci1…")? });
    "invitations" => |_| Ok(Op::Invitations);
    "withdraw" => |fields| Ok(Op::Withdraw { invitation: fields.need("invitation", "an invitation's id, as invited and invitations show it")? });
    "names" => |_| Ok(Op::Names);
    "name" => |fields| Ok(Op::Name { name: fields.need("name", "a text")?, user: fields.may("user", "an id oc1…, or null to take the name away")? });
    "why" => |fields| Ok(Op::Why { user: fields.need("user", WHO)? });
    "status" => |_| Ok(Op::Status);
    "links" => |_| Ok(Op::Links);
    "outbox" => |_| Ok(Op::Outbox);
    "renew" => |fields| Ok(Op::Renew { delegation: fields.raw("delegation") });
    "revoke" => |fields| {
        let hint = "a revocation, as overcom revoke --json prints it";
        let revocation = fields.raw("revocation");
        Ok(Op::Revoke { revocation: revocation.ok_or_else(|| Fault::new("missing_field", "the field revocation is missing", format!("it is to be {hint}")))? })
    };
    "enter" => |fields| Ok(Op::Enter { entries: fields.need("entries", "a list of at most 8 texts HOST:PORT or HOST:PORT#KEY")? });
    "entries" => |_| Ok(Op::Entries);
    "listen" => |fields| Ok(Op::Listen {
        notices: fields.may("notices", "a list of kinds, for instance [\"message\",\"delivered\"]")?,
        types: fields.may("types", "a list of message types, for instance [\"note\"]")?,
    });
    "credit" => |_| Ok(Op::Credit);
    "taken" => |fields| Ok(Op::Taken { notices: fields.need("notices", "how many more")? });
    "stop" => |_| Ok(Op::Stop);
}

const WHO: &str = "a name of the address book, or an id oc1…";

/// Reads one line.
pub(crate) fn parse(line: &[u8]) -> Request {
    let whole = std::str::from_utf8(line).map_err(|why| why.to_string());
    let fields = whole.and_then(|text| serde_json::from_str::<Object<'_>>(text).map_err(|why| why.to_string()));
    let mut fields = match fields {
        Ok(object) => Fields(object.0),
        Err(why) => {
            let hint = "send one JSON object a line, for instance {\"id\":1,\"op\":\"status\"}";
            return Request { id: Id::unknown(), op: Err(Fault::new("json", format!("this is no JSON object: {why}"), hint)) };
        }
    };
    let repeated = fields.repeated();
    if let Some((fault, true)) = repeated {
        // Which of the two its answer is to carry, nobody knows.
        return Request { id: Id::unknown(), op: Err(fault) };
    }
    match fields.id() {
        Ok(id) => Request { id, op: repeated.map_or_else(|| fields.op(), |(fault, _)| Err(fault)) },
        Err(fault) => Request { id: Id::unknown(), op: Err(fault) },
    }
}

/// What is asked by a line that was too long to be read.
pub(crate) fn too_long() -> Request {
    let message = format!("the line is longer than {LINE_BYTES_MAX} bytes and was passed over");
    Request {
        id: Id::unknown(),
        op: Err(Fault::new(
            "line_too_long",
            message,
            "send shorter lines: a payload has at most 1 MiB less 1 KiB; large things go in parts",
        )),
    }
}

/// What is meant by a name that is not there.
pub(crate) fn hint(unknown: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (strsim::jaro_winkler(unknown, name), *name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((alike, name)) if alike >= ALIKE_MIN => format!("did you mean {name}? There are: {}", known.join(", ")),
        _ => format!("there are: {}", known.join(", ")),
    }
}

/// A JSON object whose values are read later, in their own words.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut all = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    all.push((key.0, value));
                }
                Ok(Object(all))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// A key, which holds escapes or does not.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of a request that were not read yet.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Fields<'_> {
    fn id(&mut self) -> Result<Id, Fault> {
        let Some(raw) = self.raw("id") else { return Ok(Id::unknown()) };
        let is_plain = raw.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
        // Half a character, or a number beyond all range: its answer could not be read.
        let is_readable = serde_json::from_str::<serde_json::Value>(&raw).is_ok();
        if is_plain && raw.len() <= ID_BYTES_MAX && is_readable {
            return Ok(Id(raw.into()));
        }
        Err(Fault::new("id", "an id is a number, a text of at most 126 bytes, or null", "count your requests: 1, 2, 3"))
    }

    /// A field that is there twice, and whether it is the id.
    fn repeated(&self) -> Option<(Fault, bool)> {
        let is_again = |at: usize, name: &str| self.0.iter().take(at).any(|(earlier, _)| earlier == name);
        let twice = |is_meant: fn(&str) -> bool| self.0.iter().enumerate().find(|(at, (name, _))| is_meant(name) && is_again(*at, name));
        let (_, (name, _)) = twice(|name| name == "id").or_else(|| twice(|_| true))?;
        let fault = Fault::new("repeated_field", format!("the field {name} is there twice"), "leave one of them out");
        Some((fault, name == "id"))
    }

    fn op(&mut self) -> Result<Op, Fault> {
        let op: String = self.need("op", &format!("one of {}", OPS.join(", ")))?;
        let op = read(&op, self)?;
        match self.0.first() {
            None => Ok(op),
            Some((name, _)) => {
                let hint = "leave it out, or look at the op's fields in the schema";
                Err(Fault::new("unknown_field", format!("this op has no field {name}"), hint))
            }
        }
    }

    /// The JSON of a field, unless it is null.
    fn raw(&mut self, name: &str) -> Option<Box<str>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        let (_, raw) = self.0.remove(at);
        (raw.get() != "null").then(|| raw.get().into())
    }

    fn may<T: DeserializeOwned>(&mut self, name: &str, hint: &str) -> Result<Option<T>, Fault> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(&raw).map(Some).map_err(|why| {
            // serde counts lines and columns within the field; people see the field's name instead.
            let why = why.to_string();
            let why = why.split(" at line ").next().unwrap_or_default().to_owned();
            Fault::field(name, why, format!("it is to be {hint}"))
        })
    }

    fn need<T: DeserializeOwned>(&mut self, name: &str, hint: &str) -> Result<T, Fault> {
        let missing = || Fault::new("missing_field", format!("the field {name} is missing"), format!("it is to be {hint}"));
        self.may(name, hint)?.ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> (String, Fault) {
        let request = parse(line.as_bytes());
        (request.id.as_str().to_owned(), request.op.expect_err(line))
    }

    #[test]
    fn every_mistake_is_named_with_its_way_out_and_the_id_of_its_request() {
        for (line, id, code, named) in [
            ("{", "null", "json", "JSON"),
            ("[1]", "null", "json", "object"),
            ("\u{fffd}", "null", "json", "JSON"),
            (r#"{"id":[1],"op":"status"}"#, "null", "id", "number"),
            (r#"{"id":"\ud83d","op":"status"}"#, "null", "id", "number"),
            (r#"{"id":1}"#, "1", "missing_field", "op"),
            (r#"{"id":"a","op":7}"#, "\"a\"", "bad_field", "op"),
            (r#"{"id":2,"op":"sned"}"#, "2", "unknown_op", "sned"),
            (r#"{"id":3,"op":"send","type":"a"}"#, "3", "missing_field", "to"),
            (r#"{"id":4,"op":"send","to":5,"type":"a"}"#, "4", "bad_field", "to"),
            (r#"{"id":5,"op":"send","to":"a","tpye":"a"}"#, "5", "missing_field", "type"),
            (r#"{"id":6,"op":"status","tpye":"a"}"#, "6", "unknown_field", "tpye"),
            (r#"{"id":7,"op":"status","op":"stop"}"#, "7", "repeated_field", "op"),
            (r#"{"id":7,"op":"status","id":8}"#, "null", "repeated_field", "id"),
            (r#"{"id":7,"id":7,"op":"stop","op":"stop"}"#, "null", "repeated_field", "id"),
            (r#"{"id":8,"op":"send","to":"a","type":"a","keep":"tape"}"#, "8", "bad_field", "keep"),
            (r#"{"id":9,"op":"introduce","user":"a","addresses":["x"]}"#, "9", "bad_field", "addresses"),
            (r#"{"id":10,"op":"taken","notices":-1}"#, "10", "bad_field", "notices"),
            (r#"{"id":11,"op":"publish","policy":"friends"}"#, "11", "bad_field", "policy"),
            (r#"{"id":12,"op":"publish","policy":"nobody","addresses":["host:1"]}"#, "12", "bad_field", "addresses"),
        ] {
            let (told, fault) = fault(line);
            assert_eq!((told.as_str(), fault.code.as_str()), (id, code), "{line}: {fault:?}");
            assert!(fault.message.contains(named) && !fault.hint.is_empty(), "{line}: {fault:?}");
            assert!(super::super::tests::listed("/$defs/error/properties/code/enum").contains(&fault.code));
        }
        assert!(fault(r#"{"id":2,"op":"sned"}"#).1.hint.contains("did you mean send?"));
        assert!(fault(r#"{"id":2}"#).1.hint.starts_with("it is to be one of send, "));
    }

    #[test]
    fn a_payload_stays_as_it_was_written() {
        let request = parse(br#"{"id":null,"op":"send","to":"a","type":"n","payload":{"x":1.50,"y":123456789012345678901234567890}}"#);
        let Ok(Op::Send { payload, .. }) = request.op else { panic!("{request:?}") };
        assert_eq!(payload.as_deref(), Some(r#"{"x":1.50,"y":123456789012345678901234567890}"#));
        assert_eq!(request.id, Id::unknown());
    }
}
