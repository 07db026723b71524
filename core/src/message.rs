//! The message that applications pass each other: a type and any JSON (OC-47).

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire;
use crate::wire::line::{PAYLOAD, TYPE};
use crate::{CommandError, MessageId, Peer, WireError};

/// How long a type may be, in bytes (guess: names, not texts).
pub const KIND_BYTES_MAX: usize = 64;

/// A message to send: `{"type": …, "payload": …}`, checked and compact from the moment it exists (spec: MSG-1).
///
/// It is one allocation of just its size; sending it makes no other.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The payload and, behind it, the type.
    text: Box<str>,
    payload_bytes: u32,
}

impl Message {
    /// A message of type `kind` whose payload is any value that serde can write as JSON.
    ///
    /// # Errors
    /// [`CommandError::Kind`] for a type that is empty, over 64 bytes, or holds a quote, a backslash or a control
    /// character; [`CommandError::Payload`] for what is not JSON, repeats a key, is nested deeper than 12 or longer
    /// than 1 MiB less 1 KiB.
    pub fn new<T: Serialize + ?Sized>(kind: &str, payload: &T) -> Result<Self, CommandError> {
        Self::from_text(kind, &serde_json::to_string(payload).map_err(|_| CommandError::Payload(WireError::Json))?)
    }

    /// A message whose payload is JSON text already; white space in it is taken out, numbers stay as written.
    ///
    /// # Errors
    /// As [`Message::new`].
    pub fn from_text(kind: &str, payload: &str) -> Result<Self, CommandError> {
        if !is_kind(kind) {
            return Err(CommandError::Kind);
        }
        match wire::walk_text(payload, wire::Limits::MESSAGE) {
            Ok(()) => Self::of(kind, payload),
            Err(WireError::Space) => {
                let compact = wire::compact_within(payload.as_bytes(), wire::Limits::MESSAGE).map_err(CommandError::Payload)?;
                Self::of(kind, core::str::from_utf8(&compact).map_err(|_| CommandError::Payload(WireError::Utf8))?)
            }
            Err(why) => Err(CommandError::Payload(why)),
        }
    }

    /// A message from its whole JSON: `{"type": …, "payload": …}`; a missing payload is `null`.
    ///
    /// # Errors
    /// As [`Message::new`]; other keys are refused.
    pub fn from_json(text: &str) -> Result<Self, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole<'a> {
            r#type: alloc::borrow::Cow<'a, str>,
            #[serde(borrow)]
            payload: Option<&'a RawValue>,
        }
        let whole: Whole<'_> = serde_json::from_str(text).map_err(|_| CommandError::Payload(WireError::Json))?;
        Self::from_text(&whole.r#type, whole.payload.map_or("null", RawValue::get))
    }

    /// Both are what they must be. Written once more in just its size, since what was written into is given back whole:
    /// cutting off its end costs an allocator more than the copy does.
    fn of(kind: &str, payload: &str) -> Result<Self, CommandError> {
        let payload_bytes = u32::try_from(payload.len()).map_err(|_| CommandError::Payload(WireError::TooLong))?;
        Ok(Self { text: [payload, kind].concat().into_boxed_str(), payload_bytes })
    }

    /// The type.
    #[doc(alias = "type")]
    pub fn kind(&self) -> &str {
        self.split().1
    }

    /// The payload as JSON text.
    pub fn payload(&self) -> &str {
        self.split().0
    }

    /// The whole as JSON text: `{"type":…,"payload":…}`.
    pub fn to_json(&self) -> String {
        let (payload, kind) = self.split();
        alloc::format!("{{{TYPE}{kind}{PAYLOAD}{payload}}}")
    }

    /// How many bytes it takes in a line.
    pub fn bytes(&self) -> usize {
        self.text.len().saturating_add(TYPE.len()).saturating_add(PAYLOAD.len())
    }

    /// The payload and the type.
    fn split(&self) -> (&str, &str) {
        self.text.split_at_checked(self.payload_bytes as usize).unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    /// The type and the size: payloads are nobody else's business (C12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {} bytes)", self.kind(), self.payload().len())
    }
}

impl Serialize for Message {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_json())
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_json(&text).map_err(serde::de::Error::custom)
    }
}

/// Whether `kind` may be a message's type (spec: MSG-2).
pub(crate) fn is_kind(kind: &str) -> bool {
    let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    // Most are a word or two in lower case.
    let is_simple = kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    !kind.is_empty() && kind.len() <= KIND_BYTES_MAX && (is_simple || kind.chars().all(plain))
}

/// A message that a verified peer sent. The sender comes from the link, never from the message (OC-49) (spec: MSG-3).
///
/// It is one allocation: the received line.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Who sent it: the user and the device that the link was proven for.
    pub from: Peer,
    /// Its id: the same id is handed over once while this process lives.
    pub id: MessageId,
    line: Box<str>,
    kind: Range<u32>,
    payload: Range<u32>,
}

impl Received {
    pub(crate) const fn new(from: Peer, id: MessageId, line: Box<str>, kind: Range<u32>, payload: Range<u32>) -> Self {
        Self { from, id, line, kind, payload }
    }

    /// The type.
    #[doc(alias = "type")]
    pub fn kind(&self) -> &str {
        self.part(&self.kind)
    }

    /// The payload as JSON text.
    pub fn payload(&self) -> &str {
        self.part(&self.payload)
    }

    /// The payload as a value.
    ///
    /// # Errors
    /// [`WireError::Json`] when the payload has another shape than `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, WireError> {
        serde_json::from_str(self.payload()).map_err(|_| WireError::Json)
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.line.len()
    }

    fn part(&self, range: &Range<u32>) -> &str {
        self.line.get(range.start as usize..range.end as usize).unwrap_or_default()
    }
}

impl fmt::Debug for Received {
    /// Sender, type and size: payloads are nobody else's business (C12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({:?} from {}, {} bytes)", self.kind(), self.from.user, self.payload().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec-test: MSG-2
    #[test]
    fn a_type_is_1_to_64_bytes_that_need_no_escapes() {
        let longest = "é".repeat(32);
        for good in ["a", "to-do/1 done", "search", "Ünïcode", longest.as_str()] {
            assert_eq!(Message::new(good, &1).unwrap().kind(), good);
        }
        let too_long = "a".repeat(65);
        for bad in ["", too_long.as_str(), "a\"b", "a\\b", "a\nb", "a\u{7f}", "\u{0}", "\u{85}"] {
            assert_eq!(Message::new(bad, &1), Err(CommandError::Kind), "{bad:?}");
        }
    }

    // spec-test: MSG-1
    #[test]
    fn a_payload_is_any_json_nested_at_most_12_deep() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for good in ["null", "-1.5e300", "\"\\u00e9\"", "{\"a\":[]}", nested(12).as_str()] {
            assert_eq!(Message::from_text("bla", good).unwrap().payload(), good);
        }
        assert_eq!(Message::from_text("bla", " { \"a\" : [ 1 ] } ").unwrap().payload(), "{\"a\":[1]}");
        for bad in ["", "{", "01", "{\"a\":1,\"a\":2}", "[\"\\ud800\"]", nested(13).as_str()] {
            assert!(matches!(Message::from_text("bla", bad), Err(CommandError::Payload(_))), "{bad}");
        }
    }
}
