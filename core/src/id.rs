//! Every id is a type of its own. On the wire bytes are base64url without padding; people see bech32m.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bech32::{Bech32m, Hrp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::WireError;

/// Bytes as they stand in JSON: base64url without padding (spec: WIRE-9).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`to_base64`]; non-canonical trailing bits are refused.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, WireError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| WireError::Base64)
}

/// Exactly `N` bytes from base64url, without an allocation.
pub(crate) fn array_from_base64<const N: usize>(text: &str) -> Result<[u8; N], WireError> {
    let mut out = [0; N];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut out).map_err(|_| WireError::Base64)?;
    if length == N { Ok(out) } else { Err(WireError::Base64) }
}

/// Bytes as people see them: bech32m. Empty beyond its limit of 1,023 characters.
pub(crate) fn to_bech32(prefix: &str, bytes: &[u8]) -> String {
    // The prefixes are constants of this crate, and so are the bounds of what is written.
    Hrp::parse(prefix).ok().and_then(|hrp| bech32::encode::<Bech32m>(hrp, bytes).ok()).unwrap_or_default()
}

/// The bytes of a bech32m text of any length, in the form in which it is written only.
pub(crate) fn all_from_bech32(prefix: &str, text: &str) -> Result<Vec<u8>, WireError> {
    use bech32::primitives::decode::CheckedHrpstring;
    let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| WireError::IdText)?;
    let bytes: Vec<u8> = checked.byte_iter().collect();
    // What is left over at the end may be written in several ways, of which one counts.
    if to_bech32(prefix, &bytes) == text { Ok(bytes) } else { Err(WireError::IdText) }
}

fn from_bech32(prefix: &str, text: &str) -> Result<[u8; 32], WireError> {
    use bech32::primitives::decode::CheckedHrpstring;
    let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| WireError::IdText)?;
    if !checked.hrp().as_str().eq_ignore_ascii_case(prefix) {
        return Err(WireError::IdText);
    }
    let mut out = [0; 32];
    let mut bytes = checked.byte_iter();
    for slot in &mut out {
        *slot = bytes.next().ok_or(WireError::IdText)?;
    }
    if bytes.next().is_some() { Err(WireError::IdText) } else { Ok(out) }
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// How many bytes it has.
            pub const BYTES: usize = $length;

            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_base64(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_base64(deserializer).map(Self)
            }
        }
    };
}

/// For `#[serde(serialize_with)]`: bytes as base64url, without an allocation up to 64 bytes.
pub(crate) fn serialize_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = [0; 88];
    match short_base64(bytes, &mut text) {
        Some(text) => serializer.serialize_str(text),
        None => serializer.serialize_str(&to_base64(bytes)),
    }
}

/// Up to 64 bytes as base64url, written into `text`.
pub(crate) fn short_base64<'a>(bytes: &[u8], text: &'a mut [u8; 88]) -> Option<&'a str> {
    let length = URL_SAFE_NO_PAD.encode_slice(bytes, text).ok()?;
    core::str::from_utf8(text.get(..length)?).ok()
}

/// Bytes as text in base64url, for `format!`; up to 64 bytes without an allocation.
pub(crate) struct Base64<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 88];
        match short_base64(self.0, &mut text) {
            Some(text) => f.write_str(text),
            None => f.write_str(&to_base64(self.0)),
        }
    }
}

/// For `#[serde(deserialize_with)]`: exactly `N` bytes from base64url.
pub(crate) fn deserialize_base64<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    struct Visitor<const N: usize>;
    impl<const N: usize> serde::de::Visitor<'_> for Visitor<N> {
        type Value = [u8; N];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes in base64url")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; N], E> {
            array_from_base64(text).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_str(Visitor)
}

/// The text for people, with a checksum (spec: ID-2).
macro_rules! text_id {
    ($name:ident, $prefix:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_bech32($prefix, &self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = WireError;
            /// Reads the text form; upper case is taken too, mixed case and a wrong checksum are refused.
            fn from_str(text: &str) -> Result<Self, WireError> {
                from_bech32($prefix, text).map(Self)
            }
        }
    };
}

bytes_id! {
    /// A person: SHA-256 over a label and the Ed25519 identity key (spec: ID-1).
    ///
    /// `Display` and `FromStr` are the bech32m text `oc1…` that people read, type and paste.
    #[doc(alias = "PeerId")]
    UserId, 32
}
text_id!(UserId, "oc");

bytes_id! {
    /// An installation: the X25519 public key of its service links, of no user (spec: ID-3).
    ///
    /// `Display` and `FromStr` are the bech32m text `ocn1…`.
    NodeKey, 32
}
text_id!(NodeKey, "ocn");

macro_rules! short_debug {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Base64(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = WireError;
            /// Reads base64url without padding.
            fn from_str(text: &str) -> Result<Self, WireError> {
                array_from_base64(text).map(Self)
            }
        }
    };
}

bytes_id! {
    /// A person's Ed25519 public key, the identity itself; people see its hash, the [`UserId`].
    IdentityKey, 32
}
short_debug!(IdentityKey);

bytes_id! {
    /// One device of a user within one app: 16 random bytes drawn with its keys.
    DeviceId, 16
}
short_debug!(DeviceId);

bytes_id! {
    /// A run of message numbers of one sender: 16 random bytes (spec: LINK-20).
    StreamId, 16
}
short_debug!(StreamId);

bytes_id! {
    /// One search, drawn by the searcher.
    SearchId, 16
}
short_debug!(SearchId);

bytes_id! {
    /// One life of a process, so that a restarted peer is told from a second link (spec: LINK-15).
    BootId, 8
}
short_debug!(BootId);

bytes_id! {
    /// One invitation: the first 8 bytes of a hash of its secret, harmless to show (spec: INVITE-4).
    InvitationId, 8
}
short_debug!(InvitationId);

/// An application, or rather its protocol: programs that share an id talk with each other (OC-22).
///
/// 1 to 32 bytes of `a-z`, `0-9`, `.` and `-` (spec: ID-4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct AppId(alloc::boxed::Box<str>);

impl AppId {
    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`WireError::AppId`] when it is empty, longer than 32 bytes or holds another byte.
    pub fn new(text: &str) -> Result<Self, WireError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(allowed) {
            return Err(WireError::AppId);
        }
        Ok(Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppId {
    type Err = WireError;
    fn from_str(text: &str) -> Result<Self, WireError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for AppId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// A verified counterpart: one device of one user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Whose device it is.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
}

/// What a message is known by, whatever the path it came on: it is delivered once per id (spec: LINK-20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct MessageId {
    /// The sender's stream.
    pub stream: StreamId,
    /// From 1 within the stream, per receiving device.
    pub number: u64,
}

macro_rules! counter_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// From its number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Its number.
            pub const fn number(self) -> u64 {
                self.0
            }
        }
    };
}

counter_id! {
    /// A byte pipe, numbered by the shell; never used again within one run.
    PipeId
}
counter_id! {
    /// An operation that the node asked for (`Connect`, `Resolve`, `Store`, `Load`), numbered by the node.
    OpId
}
counter_id! {
    /// A command that was taken; later notices name it. Unique per database, growing.
    Tag
}

/// For `#[serde(with)]`: a byte vector as base64url.
pub(crate) mod base64_vec {
    use super::{Deserialize, Deserializer, Serializer, String, Vec, from_base64, to_base64};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        from_base64(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// For `#[serde(with)]`: an optional byte vector as base64url or `null`.
pub(crate) mod base64_option {
    use super::{Deserialize, Deserializer, Serializer, String, Vec, from_base64, to_base64};

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_some(&to_base64(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        match Option::<String>::deserialize(deserializer)? {
            Some(text) => from_base64(&text).map(Some).map_err(serde::de::Error::custom),
            None => Ok(None),
        }
    }
}
