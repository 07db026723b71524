//! A record that is to be kept, read from its JSON, and what the store asks of it.

use alloc::string::String;

use super::Slot;
use crate::address::Scope;
use crate::dht::record::{AddressRecord, DeviceRecord};
use crate::dht::wire::Kind;
use crate::identity::Revocation;
use crate::time::WallTime;

/// A record of whichever kind, read.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, for as long as one put is looked at")]
pub(super) enum Parsed {
    Device(DeviceRecord),
    Address(AddressRecord),
    Revocation(Revocation),
}

impl Parsed {
    pub(super) fn read(kind: Kind, json: &str) -> Option<Self> {
        match kind {
            Kind::Device => DeviceRecord::from_json(json).ok().map(Self::Device),
            Kind::Address => AddressRecord::from_json(json).ok().map(Self::Address),
            Kind::Revocation => Revocation::from_json(json).ok().map(Self::Revocation),
        }
    }

    pub(super) fn slot(&self) -> Slot {
        match self {
            Self::Device(record) => Slot::Device(record.device()),
            Self::Address(record) => Slot::Address(record.device()),
            Self::Revocation(_) => Slot::Revocation,
        }
    }

    /// Only an address says from where it can be reached.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self {
            Self::Address(record) => Some(record.scope()),
            Self::Device(_) | Self::Revocation(_) => None,
        }
    }

    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Device(record) => record.number(),
            Self::Address(record) => record.sequence(),
            Self::Revocation(revocation) => revocation.version(),
        }
    }

    /// `None` for a prekey alone, which ends with what is held.
    pub(super) fn end(&self) -> Option<WallTime> {
        match self {
            Self::Device(record) => record.end(),
            Self::Address(record) => Some(record.end()),
            Self::Revocation(revocation) => Some(revocation.end()),
        }
    }

    /// How many have to be checked at most.
    pub(super) fn signatures(&self) -> u32 {
        match self {
            Self::Device(record) => u32::from(record.delegation().is_some()) + u32::from(record.prekey().is_some()),
            Self::Address(_) | Self::Revocation(_) => 1,
        }
    }
}

/// How what is put stands to what is held.
pub(super) enum Order {
    /// What is to be kept then.
    Newer(String),
    Same,
    /// The number of what is held.
    Older(u64),
}
