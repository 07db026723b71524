//! Binding: a put of the own address record over a lasting service link to a node that keeps the home, which can then push
//! what lies there (spec: DHT-152).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::Deserialize;

use super::key::Key;
use super::record::{AddressRecord, Judge, Refused};
use crate::address::{Scope, scope};
use crate::crypto::Crypto;
use crate::error::WireError;
use crate::id::{Base64, DeviceId, NodeKey, deserialize_base64};
use crate::identity::signed::{self, Signed};
use crate::identity::{CLOCK_TOLERANCE_MS, Credentials, Delegation};
use crate::time::WallTime;
use crate::wire::{INTEGER_MAX, Limits, signing_bytes, walk_text};

mod binder;
mod server;

#[cfg(test)]
mod tests;

pub(crate) use binder::{Binder, Do, is_at};
pub(crate) use server::{Admission, Binds, Step};

const LABEL: &str = "overcom/1 bind";

/// What the device signs: that this link, to this node, is one to itself (spec: DHT-153).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Proof {
    device: DeviceId,
    tracker: NodeKey,
    link: [u8; 32],
    port: u16,
    time: u64,
    signature: [u8; 64],
}

impl Proof {
    fn signing_bytes(&self, home: &Key) -> Vec<u8> {
        signing_bytes(LABEL, &[home.as_bytes(), self.content().as_bytes()])
    }
}

impl Signed for Proof {
    /// The longest one has 294 bytes.
    const JSON_BYTES_MAX: usize = 304;

    fn from_content(content: &str, signature: [u8; 64]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Content {
            device: DeviceId,
            tracker: NodeKey,
            #[serde(deserialize_with = "deserialize_base64")]
            link: [u8; 32],
            port: u16,
            time: u64,
        }
        let Content { device, tracker, link, port, time } = serde_json::from_str(content).map_err(|_| WireError::Json)?;
        if time > INTEGER_MAX {
            return Err(WireError::Number);
        }
        Ok(Self { device, tracker, link, port, time, signature })
    }

    fn content(&self) -> String {
        let (tracker, link) = (Base64(self.tracker.as_bytes()), Base64(&self.link));
        format!(r#"{{"device":"{}","tracker":"{tracker}","link":"{link}","port":{},"time":{}}}"#, self.device, self.port, self.time)
    }

    fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// What stands under `bind` in a line (spec: DHT-153).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bind {
    home: Key,
    record: AddressRecord,
    proof: Proof,
}

/// Which link a line goes over: the node at the end that is bound to, as the handshake proved it, and the link's name, which no
/// other link has (spec: INVITE-6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LinkName {
    pub(crate) tracker: NodeKey,
    pub(crate) name: [u8; 32],
}

impl Bind {
    /// The longest one has 932 bytes.
    const JSON_BYTES_MAX: usize = 960;

    /// Signs one for a link, with the port at which the device can be dialled there, or 0. One signature.
    pub(crate) fn sign(crypto: &Crypto, own: &Credentials, record: AddressRecord, link: &LinkName, port: u16, now: WallTime) -> Self {
        let delegation = own.delegation();
        let home = Key::home(delegation.user(), delegation.app());
        let LinkName { tracker, name } = *link;
        let time = now.as_millis().min(INTEGER_MAX);
        let mut proof = Proof { device: delegation.device(), tracker, link: name, port, time, signature: [0; 64] };
        proof.signature = own.sign(crypto, &proof.signing_bytes(&home));
        Self { home, record, proof }
    }

    /// Reads the JSON form; signatures are not looked at.
    ///
    /// # Errors
    /// What is wrong with the bytes, first what is cheapest to find.
    pub(crate) fn from_json(json: &str) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            #[serde(deserialize_with = "deserialize_base64")]
            home: [u8; 32],
            #[serde(deserialize_with = "signed::deserialize")]
            record: AddressRecord,
            #[serde(deserialize_with = "signed::deserialize")]
            proof: Proof,
        }
        walk_text(json, Limits { bytes_max: Self::JSON_BYTES_MAX, ..Limits::CONTENT })?;
        let Parts { home, record, proof } = serde_json::from_str(json).map_err(|_| WireError::Json)?;
        let read = Self { home: Key::from_bytes(home), record, proof };
        if read.to_json() == json && read.record.device() == read.proof.device { Ok(read) } else { Err(WireError::Json) }
    }

    /// The JSON form, byte for byte as it was read.
    pub(crate) fn to_json(&self) -> String {
        format!(r#"{{"home":"{}","record":{},"proof":{}}}"#, self.home, self.record.to_json(), signed::to_json(&self.proof))
    }

    /// Where the record is to lie.
    pub(crate) const fn home(&self) -> &Key {
        &self.home
    }

    /// What is put.
    pub(crate) const fn record(&self) -> &AddressRecord {
        &self.record
    }

    /// Which device it is of.
    pub(crate) const fn device(&self) -> DeviceId {
        self.proof.device
    }

    /// Where it says that it can be dialled, seen from the end of the link; `None` if it does not, or if that is no address of the
    /// record's scope.
    fn claimed(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let at = SocketAddr::new(remote.ip(), self.proof.port);
        (scope(at) == Some(self.record.scope())).then_some(at)
    }

    /// All but its two signatures: whether it may be good on this link (spec: DHT-154). The delegation that they are checked by.
    ///
    /// # Errors
    /// What the other end is answered.
    pub(crate) fn check_cheap<'a>(&self, here: &Here<'a>) -> Result<&'a Delegation, Status> {
        let LinkName { tracker, name } = *here.link;
        if self.proof.tracker != tracker || self.proof.link != name {
            return Err(Status::Proof);
        }
        if self.proof.time.abs_diff(here.judge.now.as_millis()) > CLOCK_TOLERANCE_MS {
            return Err(Status::Clock);
        }
        if !here.is_near || self.home != here.judge.home {
            return Err(Status::Far);
        }
        let held = here.held.filter(|held| held.device() == self.proof.device).ok_or(Status::NoDevice)?;
        if here.number.is_some_and(|number| number > self.record.sequence()) {
            return Err(Status::Older);
        }
        here.judge.address_cheap(&self.record, Some(held), here.scope).map_err(Status::of)
    }

    /// Whether its record and itself are signed by the device (spec: DHT-154). Two signatures.
    ///
    /// # Errors
    /// [`Status::Proof`].
    pub(crate) fn check_signed(&self, here: &Here<'_>, held: &Delegation) -> Result<(), Status> {
        let crypto = here.judge.crypto;
        let is_signed = self.record.is_signed_by(crypto, held.signing(), &self.home)
            && crypto.verify(held.signing(), &self.proof.signing_bytes(&self.home), &self.proof.signature);
        if is_signed { Ok(()) } else { Err(Status::Proof) }
    }
}

/// What a bind is judged by at the node that gets it.
pub(crate) struct Here<'a> {
    /// With the bind's home.
    pub(crate) judge: &'a Judge<'a>,
    /// This link, with this node's own key as its tracker.
    pub(crate) link: &'a LinkName,
    /// The reach of its other end.
    pub(crate) scope: Scope,
    /// Whether this node is one of those that keep the home.
    pub(crate) is_near: bool,
    /// Of the device, from its record here.
    pub(crate) held: Option<&'a Delegation>,
    /// The sequence of the device's address record here, in this scope.
    pub(crate) number: Option<u64>,
}

/// What a bind is answered (spec: DHT-155).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// The record is kept, and the link is known as one to the device.
    Bound,
    /// The record is kept; nobody answers at the claimed port.
    Unreachable,
    /// For another link or node, or not signed by the device.
    Proof,
    /// The device's delegation has ended or was taken back.
    Delegation,
    /// No device record is held: put it first.
    NoDevice,
    /// More than ten minutes off.
    Clock,
    /// A newer record is held.
    Older,
    /// Others keep this home, or the record is of another scope.
    Far,
    /// Too soon after the last one.
    Often,
    /// There is no room for more.
    Full,
}

impl Status {
    const ALL: [Self; 10] = [
        Self::Bound,
        Self::Unreachable,
        Self::Proof,
        Self::Delegation,
        Self::NoDevice,
        Self::Clock,
        Self::Older,
        Self::Far,
        Self::Often,
        Self::Full,
    ];

    /// Its number in a line.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Bound => 200,
            Self::Unreachable => 202,
            Self::Proof => 401,
            Self::Delegation => 403,
            Self::NoDevice => 404,
            Self::Clock => 408,
            Self::Older => 409,
            Self::Far => 421,
            Self::Often => 429,
            Self::Full => 503,
        }
    }

    const fn of(refused: Refused) -> Self {
        match refused {
            Refused::Home | Refused::Scope => Self::Far,
            Refused::NoDevice => Self::NoDevice,
            Refused::Expired | Refused::Revoked => Self::Delegation,
            Refused::Keys | Refused::Signature => Self::Proof,
            Refused::Clock => Self::Clock,
        }
    }
}

/// What stands under `bound` in a line: the status, and the sequence of what is held now, if there is something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    pub(crate) status: Status,
    pub(crate) sequence: Option<u64>,
}

impl Bound {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`WireError::Json`] for anything else, also for a status that is not known.
    pub(crate) fn from_json(json: &str) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            status: u16,
            sequence: Option<u64>,
        }
        let Parts { status, sequence } = serde_json::from_str(json).map_err(|_| WireError::Json)?;
        let status = Status::ALL.into_iter().find(|known| known.code() == status).ok_or(WireError::Json)?;
        let read = Self { status, sequence };
        let is_plain = sequence.is_none_or(|sequence| sequence <= INTEGER_MAX);
        if is_plain && read.to_json() == json { Ok(read) } else { Err(WireError::Json) }
    }

    /// The JSON form.
    pub(crate) fn to_json(self) -> String {
        let code = self.status.code();
        match self.sequence {
            Some(sequence) => format!(r#"{{"status":{code},"sequence":{sequence}}}"#),
            None => format!(r#"{{"status":{code}}}"#),
        }
    }
}
