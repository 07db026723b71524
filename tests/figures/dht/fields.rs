//! A datagram's fields as they were said: what is changed of it leaves the rest as it is, and records stay signed.

use std::fmt;

use overcom_core::Packet;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Names and what stands behind them, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// `None` if it is no object.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// A field as JSON.
    pub(crate) fn json(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, json)| json.as_str())
    }

    /// A field that is a string, without escapes, as all words and keys of the protocol are.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.json(name)?.strip_prefix('"')?.strip_suffix('"')
    }

    /// Puts something else in the place of a field that is there.
    pub(crate) fn replace(&mut self, name: &str, json: &str) {
        if let Some((_, old)) = self.0.iter_mut().find(|(field, _)| field == name) {
            json.clone_into(old);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(field, _)| field != name);
    }

    /// The datagram.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let fields: Vec<String> = self.0.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    }
}

impl From<Fields> for Packet {
    fn from(fields: Fields) -> Self {
        Self::from(fields.bytes())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, json)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push((name, json.get().to_owned()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_byte_for_byte_as_it_was() {
        let said = br#"{"v":1,"t":"abc","r":"get","record":{"z":1,"a":[1,2]},"nodes":[["x","y"]]}"#;
        let mut fields = Fields::read(said).expect("an object");
        assert_eq!(fields.bytes(), said);
        assert_eq!((fields.text("t"), fields.text("v"), fields.json("v")), (Some("abc"), None, Some("1")));
        fields.replace("nodes", "[]");
        fields.remove("v");
        fields.replace("token", "1");
        assert_eq!(fields.bytes(), br#"{"t":"abc","r":"get","record":{"z":1,"a":[1,2]},"nodes":[]}"#);
    }
}
