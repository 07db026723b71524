//! A peer without a node, who says on a link what no node would: to see what honest nodes hand on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::peer::{prologue, unit};
use crate::crypto::noise::{Handshake, KeyPair, Sealer};
use crate::crypto::{TAG_BYTES, sha256};
use crate::handshake::Kind;
use crate::id::to_base64;
use crate::identity::Credentials;
use crate::referral::search::LABEL;
use crate::wire::line::{Hello, SearchContent};
use crate::wire::{Limits, signing_bytes, walk};
use crate::{BootId, Crypto, Rng, SearchId, UserId, WallTime};

/// A dialler with keys of its own. What it returns is to be written to its pipe; it hears nothing once its link is up.
pub struct Speaker {
    crypto: Crypto,
    keys: KeyPair,
    credentials: Credentials,
    wanted: UserId,
    rng: Rng,
    noise: Option<Handshake>,
    sealer: Option<Sealer>,
    heard: Vec<u8>,
}

impl Speaker {
    /// Somebody who wants to speak to `wanted`.
    pub fn new(credentials: Credentials, wanted: UserId, rng: Rng) -> Self {
        let crypto = Crypto::standard();
        let keys = credentials.noise_pair(&crypto);
        Self { crypto, keys, credentials, wanted, rng, noise: None, sealer: None, heard: Vec::new() }
    }

    /// Begins on a new pipe.
    pub fn greet(&mut self) -> Option<Vec<u8>> {
        let rng = self.rng.fork("dial", 0);
        self.rng = self.rng.fork("next", 0);
        let mut noise = Handshake::dial(self.crypto, &prologue(Kind::User, &self.crypto), &self.keys, rng);
        let first = unit(&noise.write(&[]).ok()?)?;
        (self.noise, self.sealer) = (Some(noise), None);
        self.heard.clear();
        Some([Kind::User.preamble(), &first].concat())
    }

    /// Hears the answer; once that is whole, what ends the handshake with a hello that says this time.
    pub fn hear(&mut self, bytes: &[u8], time: WallTime) -> Option<Vec<u8>> {
        if self.sealer.is_some() {
            return None;
        }
        self.heard.extend_from_slice(bytes);
        let (length, rest) = self.heard.get(Kind::User.preamble().len()..)?.split_first_chunk::<2>()?;
        let second = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        let mut noise = self.noise.take()?;
        noise.read(second).ok()?;
        let tag = sha256(&[b"overcom/1 want\0", self.wanted.as_bytes(), &noise.hash()]);
        let delegation = Some(self.credentials.delegation().clone());
        let hello = serde_json::to_string(&Hello { delegation, boot: BootId::from_bytes([8; 8]), time }).ok()?;
        let payload = format!(r#"{{"want":"{}","hello":{hello}}}"#, to_base64(tag.get(..16)?));
        let third = unit(&noise.write(payload.as_bytes()).ok()?)?;
        self.sealer = noise.finish().ok().map(|(sealer, ..)| sealer);
        Some(third)
    }

    /// A record that holds a search with this content, well signed, whatever it is.
    pub fn search(&mut self, content: &str) -> Option<Vec<u8>> {
        let signature = self.credentials.sign(&self.crypto, &signing_bytes(LABEL, &[content.as_bytes()]));
        let (signature, delegation) = (to_base64(&signature), self.credentials.delegation().to_json());
        let rest = format!(r#""signature":"{signature}","delegation":{delegation}}}}}"#);
        let mut record = format!("{{\"search\":{{\"budget\":64,\"content\":{content},{rest}\n").into_bytes();
        record.extend_from_slice(&[0; TAG_BYTES]);
        self.sealer.as_mut()?.seal(&self.crypto, &mut record).ok()?;
        unit(&record)
    }
}

/// A search's content with one more field, which has this value: whatever text that is.
pub fn search_content(id: SearchId, wanted: UserId, time: WallTime, more: &str) -> Option<String> {
    let content = SearchContent { id, wanted, addresses: Vec::<SocketAddr>::new(), time };
    let text = serde_json::to_string(&content).ok()?;
    Some(format!("{},\"more\":{more}}}", text.strip_suffix('}')?))
}

/// Whether a node takes this as the content of a search, as it takes it before it looks at the signature.
pub fn is_search(content: &str) -> bool {
    walk(content.as_bytes(), Limits::CONTENT).is_ok() && serde_json::from_str::<SearchContent>(content).is_ok()
}
