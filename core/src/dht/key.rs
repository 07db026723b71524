//! The key space: 256 bits, near by exclusive or. Nearness is judged by the first 64 bits, the *hint*.

use core::fmt;

use crate::crypto;
use crate::error::WireError;
use crate::id::{AppId, Base64, UserId, array_from_base64};

/// A point of the key space: a node's id, or where a record lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where the records of a user in an app lie (spec: DHT-1).
    pub(crate) fn home(user: UserId, app: &AppId) -> Self {
        Self(crypto::sha256(&[b"overcom/1 home\0", user.as_bytes(), app.as_str().as_bytes()]))
    }

    /// Its first 64 bits.
    pub(crate) const fn hint(&self) -> Hint {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        Hint(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// With other first 64 bits.
    pub(crate) fn with_hint(mut self, hint: Hint) -> Self {
        if let Some(first) = self.0.first_chunk_mut() {
            *first = hint.to_bytes();
        }
        self
    }

    /// From its text on the wire.
    pub(crate) fn from_text(text: &str) -> Result<Self, WireError> {
        array_from_base64(text).map(Self)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64(&self.0).fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first 64 bits of a [`Key`], in big endian: enough to order a network by nearness (spec: DHT-2).
///
/// Two nodes with one hint take 2⁶⁴ draws of a key for one side, and whoever finds them gains nothing: whole ids are
/// compared where something is stored for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hint(pub(crate) u64);

impl Hint {
    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// From its text on the wire.
    pub(crate) fn from_text(text: &str) -> Result<Self, WireError> {
        array_from_base64(text).map(Self::from_bytes)
    }

    /// How far the two are apart.
    pub(crate) const fn distance(self, other: Self) -> Distance {
        Distance(self.0 ^ other.0)
    }

    /// How many leading bits both share, at most 64.
    pub(crate) const fn shared_bits(self, other: Self) -> u32 {
        (self.0 ^ other.0).leading_zeros()
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64(&self.to_bytes()).fmt(f)
    }
}

impl fmt::Debug for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far two hints are apart, in units of 2⁻⁶⁴ of the whole space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Distance(pub(crate) u64);

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;

    use super::*;

    // spec-test: DHT-1
    #[test]
    fn a_home_depends_on_user_and_app_and_keeps_its_golden_value() {
        let user = UserId::from_bytes([7; 32]);
        let home = |user, app: &str| AppId::new(app).map(|app| Key::home(user, &app));
        let [chat, other] = ["demo.chat", "demo.other"].map(|app| home(user, app).unwrap_or(Key::from_bytes([0; 32])));
        assert_ne!(chat, other);
        assert_ne!(Ok(chat), home(UserId::from_bytes([8; 32]), "demo.chat"));
        assert_eq!(chat.to_string(), GOLDEN_HOME);
        assert_eq!(Key::from_text(GOLDEN_HOME), Ok(chat));
        assert_eq!(Key::from_text(&GOLDEN_HOME[1..]), Err(WireError::Base64));
    }

    const GOLDEN_HOME: &str = "GXF4ZR_gOX6EWiYBhafp5Vfs2V1r2_dWuXm8L3529Nk";

    // spec-test: DHT-2
    #[test]
    fn nearness_is_the_exclusive_or_of_the_first_64_bits() {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 1]);
        let (one, zero) = (Key::from_bytes(bytes).hint(), Hint(0));
        assert_eq!(one.distance(zero), Distance(0x8000_0000_0000_0001));
        assert_eq!((one.shared_bits(zero), one.shared_bits(Hint(0x8000_0000_0000_0000)), one.shared_bits(one)), (0, 63, 64));
        assert!(one.distance(Hint(0x8000_0000_0000_0000)) < one.distance(zero));
        assert_eq!(Hint::from_text(&format!("{one}")), Ok(one));
    }
}
