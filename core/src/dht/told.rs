//! What a DHT tells the node around it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::health::Standing;
use super::key::Key;
use super::publish::Tally;
use super::reach::Ended;
use super::realm::Realm;
use super::record::{AddressRecord, DeviceRecord};
use super::views::{reach_of, record_of, standing_of};
use super::wire::{Contact, Kind};
use crate::address::Scope;
use crate::id::{DeviceId, Tag, UserId};
use crate::identity::{Delegation, Revocation};
use crate::notice::DhtNotice;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// How the node stands in a realm now.
    Standing { realm: Realm, standing: Standing },
    /// It began to serve there.
    Serves { realm: Realm, at: Option<SocketAddr> },
    /// It serves there no more.
    Resigned { realm: Realm, why: Ended },
    /// Somebody may have surrounded this key.
    Eclipse { realm: Realm, target: Key },
    /// What is known of this realm is to be stored.
    Store { realm: Realm },
    /// The numbers of the own records are to be stored.
    Numbers,
    /// A round of writing own records has ended.
    Stored { realm: Realm, kind: Kind, tally: Tally, is_enough: bool },
    /// Who is to hold the own records was looked up, the best first.
    Home { realm: Realm, home: Key, nearest: Vec<Contact> },
    /// Somebody else signs with this device's key.
    Fork { kind: Kind },
    /// There is a newer delegation of this device.
    Renewed(Delegation),
    /// A search has found something of a device.
    Found(Box<Found>),
    /// Something newer was taken back by somebody who is looked for.
    Revoked(Revocation),
    /// A search has ended. Partial: not all answered who should have.
    Over { tag: Tag, is_found: bool, is_partial: bool },
}

/// What was found of a device; of what is not looked for there may be nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) tag: Tag,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    /// From where its addresses can be reached.
    pub(crate) scope: Scope,
    pub(crate) address: Option<AddressRecord>,
    pub(crate) record: Option<DeviceRecord>,
    /// By which the records were judged.
    pub(crate) delegation: Option<Delegation>,
    /// Enough nodes agree on it; else it is the first that was found.
    pub(crate) is_final: bool,
    /// Nobody but this node itself has said that they have it.
    pub(crate) is_local: bool,
    /// Somebody who keeps its address says that it is bound there.
    pub(crate) is_bound: bool,
}

impl Found {
    /// Where the device is, in the words of the face, if that was looked for.
    pub(crate) fn notice(&self) -> Option<DhtNotice> {
        let address = self.address.as_ref()?;
        Some(DhtNotice::Found {
            tag: self.tag,
            user: self.user,
            device: self.device,
            addresses: address.addresses().into(),
            relays: address.relays().into(),
            prekey: self.record.as_ref().and_then(|record| record.prekey()).map(|prekey| Box::new(*prekey.key())),
            sequence: address.sequence(),
            is_final: self.is_final,
            is_local: self.is_local,
            is_bound: self.is_bound,
        })
    }
}

impl Told {
    /// In the words of the face; `None` for what is not an application's affair.
    pub(crate) fn notice(&self) -> Option<DhtNotice> {
        Some(match self {
            Self::Found(found) => return found.notice(),
            Self::Over { tag, is_found, is_partial } => DhtNotice::Ended { tag: *tag, is_found: *is_found, is_partial: *is_partial },
            Self::Stored { realm, kind, tally, is_enough } => DhtNotice::Published {
                record: record_of(*kind),
                reach: reach_of(realm.scope),
                acknowledged: tally.acks,
                of: tally.of,
                is_enough: *is_enough,
            },
            Self::Standing { realm, standing } => {
                DhtNotice::Standing { family: realm.family(), reach: reach_of(realm.scope), standing: standing_of(*standing) }
            }
            Self::Eclipse { .. } => DhtNotice::EclipseSuspected,
            Self::Fork { .. } => DhtNotice::Fork,
            Self::Renewed(delegation) => DhtNotice::Renewed(Box::new(delegation.clone())),
            Self::Revoked(revocation) => DhtNotice::RevocationFound { user: revocation.user() },
            Self::Serves { .. } | Self::Resigned { .. } | Self::Store { .. } | Self::Numbers | Self::Home { .. } => return None,
        })
    }
}
