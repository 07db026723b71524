//! What a record is judged by, wherever it comes from: at a node that is to keep it, and at a reader.

use core::fmt;

use super::{AddressRecord, DeviceRecord, Prekey, home_of};
use crate::address::Scope;
use crate::crypto::Crypto;
use crate::dht::key::Key;
use crate::dht::wire::Denied;
use crate::error::WireError;
use crate::identity::{CLOCK_TOLERANCE_MS, Delegation, DelegationCache, Refusal, Revocation};
use crate::time::WallTime;

/// The home, the moment, and what is known of the user there.
pub(crate) struct Judge<'a> {
    pub(crate) crypto: &'a Crypto,
    /// Where the record is to lie, or was found.
    pub(crate) home: Key,
    /// The own clock.
    pub(crate) now: WallTime,
    /// The newest revocation of the home's user and app.
    pub(crate) revocation: Option<&'a Revocation>,
    /// Delegations whose signatures were checked before.
    pub(crate) known: &'a mut DelegationCache,
    /// Counts the signatures of delegations that are checked.
    pub(crate) checked: &'a mut u64,
}

/// Why a record does not count here and now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It belongs at another home.
    Home,
    /// There is no delegation of its device.
    NoDevice,
    /// The delegation has ended.
    Expired,
    /// The delegation was taken back.
    Revoked,
    /// Not the signing key that the device has (spec: ID-12).
    Keys,
    /// It is for another scope.
    Scope,
    /// It is of more than ten minutes from now, or is over.
    Clock,
    /// Not signed by whom it should be.
    Signature,
}

impl Refused {
    /// What who put it is told: `None` is silence (spec: DHT-37).
    pub(crate) const fn answer(self) -> Option<Denied> {
        match self {
            Self::Home | Self::Keys | Self::Signature => None,
            Self::NoDevice | Self::Expired | Self::Revoked => Some(Denied::Device),
            Self::Scope => Some(Denied::Far),
            Self::Clock => Some(Denied::Clock),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Home => "a record of another home",
            Self::NoDevice => "no delegation of the record's device is known",
            Self::Expired => "the record's delegation has ended",
            Self::Revoked => "the record's delegation was taken back",
            Self::Keys => "the device had another signing key",
            Self::Scope => "a record of another scope",
            Self::Clock => "a record from the future, or one that is over",
            Self::Signature => "the record's signature does not verify",
        })
    }
}

impl core::error::Error for Refused {}

impl Judge<'_> {
    /// Whether a device record counts, beside the delegation that is held of its device. What is cheap comes first; at most two
    /// signatures (spec: DHT-33).
    ///
    /// # Errors
    /// The first reason against it.
    pub(crate) fn device(&mut self, record: &DeviceRecord, held: Option<&Delegation>) -> Result<(), Refused> {
        let held = held.filter(|held| held.device() == record.device());
        let delegation = record.delegation().or(held).ok_or(Refused::NoDevice)?;
        if held.is_some_and(|held| held.signing() != delegation.signing()) {
            return Err(Refused::Keys);
        }
        self.delegation(delegation)?;
        if record.prekey().is_some_and(|prekey| prekey.sequence() > latest(self.now)) {
            return Err(Refused::Clock);
        }
        if record.delegation().is_some() && self.known.check(self.crypto, delegation, self.checked).is_err() {
            return Err(Refused::Signature);
        }
        let is_signed = |prekey: &Prekey| prekey.is_signed_by(self.crypto, delegation.signing(), &self.home);
        if record.prekey().is_none_or(is_signed) { Ok(()) } else { Err(Refused::Signature) }
    }

    /// Whether an address record counts in `scope`, by the delegation that is held of its device, which was judged when it came:
    /// what time may have changed is looked at again. One signature (spec: DHT-34).
    ///
    /// # Errors
    /// The first reason against it.
    pub(crate) fn address(&self, record: &AddressRecord, held: Option<&Delegation>, scope: Scope) -> Result<(), Refused> {
        let delegation = self.address_cheap(record, held, scope)?;
        if record.is_signed_by(self.crypto, delegation.signing(), &self.home) { Ok(()) } else { Err(Refused::Signature) }
    }

    /// All of an address record but its signature. The delegation that it is checked by.
    ///
    /// # Errors
    /// The first reason against it.
    pub(crate) fn address_cheap<'d>(
        &self,
        record: &AddressRecord,
        held: Option<&'d Delegation>,
        scope: Scope,
    ) -> Result<&'d Delegation, Refused> {
        if record.scope() != scope {
            return Err(Refused::Scope);
        }
        if record.sequence() > latest(self.now) || record.end() <= self.now {
            return Err(Refused::Clock);
        }
        let delegation = held.filter(|held| held.device() == record.device()).ok_or(Refused::NoDevice)?;
        self.delegation(delegation)?;
        Ok(delegation)
    }

    /// Whether a revocation counts. One signature (spec: DHT-33).
    ///
    /// # Errors
    /// The first reason against it.
    pub(crate) fn revocation(&self, revocation: &Revocation) -> Result<(), Refused> {
        if Key::home(revocation.user(), revocation.app()) != self.home {
            return Err(Refused::Home);
        }
        if revocation.end() <= self.now {
            return Err(Refused::Clock);
        }
        revocation.verify(self.crypto).map_err(|_: WireError| Refused::Signature)
    }

    /// All of a delegation but its signature: where it belongs, and whether it counts now (spec: ID-8, ID-11).
    fn delegation(&self, delegation: &Delegation) -> Result<(), Refused> {
        if home_of(delegation) != self.home {
            return Err(Refused::Home);
        }
        delegation.check_window(self.now).map_err(|refusal| match refusal {
            Refusal::NotYet => Refused::Clock,
            Refusal::Expired => Refused::Expired,
        })?;
        if self.revocation.is_some_and(|revocation| revocation.revokes(delegation)) { Err(Refused::Revoked) } else { Ok(()) }
    }
}

/// The highest sequence that counts by a clock: of ten minutes later (spec: DHT-33, DHT-34).
pub(crate) const fn latest(now: WallTime) -> u64 {
    now.as_millis().saturating_add(CLOCK_TOLERANCE_MS)
}
