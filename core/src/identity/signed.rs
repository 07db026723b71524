//! The envelope of what an identity or a device signs: the content's exact bytes, and the signature.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::error::WireError;
use crate::id::{Base64, deserialize_base64, serialize_base64};
use crate::wire::{Limits, walk};

/// What an identity or a device signs. Its content has one form only (spec: ID-6, DHT-30).
pub(crate) trait Signed: Sized {
    /// The longest JSON form is shorter.
    const JSON_BYTES_MAX: usize;

    /// From content that was walked over; everything but its form and the signature is checked.
    fn from_content(content: &str, signature: [u8; 64]) -> Result<Self, WireError>;

    /// The one way to write the content.
    fn content(&self) -> String;

    fn signature(&self) -> &[u8; 64];
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(deserialize_with = "deserialize_base64")]
    signature: [u8; 64],
}

/// Reads the whole JSON form: one walk over all of it.
pub(crate) fn from_json<T: Signed>(json: &[u8]) -> Result<T, WireError> {
    walk(json, limits::<T>())?;
    let envelope: Envelope<'_> = serde_json::from_slice(json).map_err(|_| WireError::Json)?;
    let read = open::<T>(&envelope)?;
    if to_json(&read).as_bytes() == json { Ok(read) } else { Err(WireError::Json) }
}

/// The JSON form, byte for byte as it was read.
pub(crate) fn to_json<T: Signed>(signed: &T) -> String {
    format!(r#"{{"content":{},"signature":"{}"}}"#, signed.content(), Base64(signed.signature()))
}

/// From JSON that is borrowed (a slice or a string), inside other JSON: the walk is over the content.
pub(crate) fn deserialize<'de, T: Signed, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let envelope = Envelope::deserialize(deserializer)?;
    walk(envelope.content.get().as_bytes(), limits::<T>()).and_then(|()| open(&envelope)).map_err(de::Error::custom)
}

pub(crate) fn serialize<T: Signed, S: Serializer>(signed: &T, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Out {
        content: Box<RawValue>,
        #[serde(serialize_with = "serialize_base64")]
        signature: [u8; 64],
    }
    let content = RawValue::from_string(signed.content()).map_err(ser::Error::custom)?;
    Out { content, signature: *signed.signature() }.serialize(serializer)
}

/// Only what can be said again byte for byte is taken: nothing but the parsed form is kept.
fn open<T: Signed>(envelope: &Envelope<'_>) -> Result<T, WireError> {
    let content = envelope.content.get();
    let read = T::from_content(content, envelope.signature)?;
    if read.content() == content { Ok(read) } else { Err(WireError::Json) }
}

const fn limits<T: Signed>() -> Limits {
    Limits { bytes_max: T::JSON_BYTES_MAX, ..Limits::CONTENT }
}
