//! What a reader makes of a look-up's replies: the newest records that verify, when to tell them, and who held older ones.
//!
//! It sends nothing and holds no timer. The glue asks as [`LookUp`] says with the question of [`Finding::question`], hands
//! in what was got, asks whom [`Finding::next_again`] names, and tells what [`Finding::tell`] says.

use alloc::vec::Vec;
use core::time::Duration;

use super::key::Key;
use super::lookup::LookUp;
use super::record::{AddressRecord, DeviceRecord};
use super::wire::{DeviceHint, Kind};
use crate::address::Scope;
use crate::crypto::Crypto;
use crate::id::{DeviceId, UserId};
use crate::identity::{Delegation, DelegationCache, Revocation};
use crate::time::{Time, WallTime};

mod again;
mod holders;
mod known;
mod memory;

#[cfg(test)]
mod tests;

pub(crate) use again::Again;
pub(crate) use holders::WriteBack;
pub(crate) use memory::{RollbackMemory, Subject};

use again::Running;
use holders::Holder;
use known::Device;

/// Signatures that one look-up has checked at most: 32 answers, a device record with its two each (spec: DHT-91).
pub(crate) const VERIFIES_MAX: u32 = 64;
/// How many of a user's devices are known at most: as many as a home keeps (spec: DHT-91).
pub(crate) const DEVICES_MAX: usize = 8;
/// How long after the first record the newest one counts (spec: DHT-92).
const SETTLE: Duration = Duration::from_millis(300);
/// So many of the five nearest must have answered for that (spec: DHT-92).
const QUORUM: usize = 3;

/// Whose records are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sought {
    pub(crate) user: UserId,
    /// Where these lie.
    pub(crate) home: Key,
    /// Of the realm that is asked.
    pub(crate) scope: Scope,
    pub(crate) what: What,
    /// The highest sequence that counts by the reader's clock when it begins to look.
    pub(crate) latest: u64,
}

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// Where one device is.
    Address(DeviceId),
    /// Where each device is, and which there are.
    Addresses,
    /// Which devices there are.
    Devices,
    /// What was taken back.
    Revocation,
}

/// What to ask a node for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    pub(crate) kind: Kind,
    /// `None`: whichever is newest.
    pub(crate) device: Option<DeviceHint>,
    /// The number of what is there already.
    pub(crate) known: Option<u64>,
}

/// What signatures are checked with.
pub(crate) struct Eyes<'a> {
    pub(crate) crypto: &'a Crypto,
    pub(crate) now: WallTime,
    pub(crate) known: &'a mut DelegationCache,
    pub(crate) checked: &'a mut u64,
}

/// What whoever waits is to be told. The records are told by [`Finding::address`] and [`Finding::device`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tell {
    /// A newer revocation was found: [`Finding::revocation`] has it.
    Revoked,
    /// The first record of a device that verifies; `is_local` if only the own store has it.
    First { device: DeviceId, is_local: bool },
    /// What enough holders agree on, or time has settled; `is_newer` if another was told before.
    Final { device: DeviceId, is_newer: bool },
    /// There will be no more. Partial: time ran out before all had answered who should. Of a revocation: whether one is known.
    Over { is_found: bool, is_partial: bool },
}

/// A search for records that goes on.
pub(crate) struct Finding {
    sought: Sought,
    revocation: Option<Revocation>,
    devices: Vec<Device>,
    /// Address records of devices of which nothing is known yet.
    early: Vec<AddressRecord>,
    holders: Vec<Holder>,
    running: Running,
    verifies: u32,
    /// When the first record was told.
    first: Option<Time>,
    is_settled: bool,
    is_over: bool,
    /// The revocation is one that was found, and not told yet.
    has_revoked: bool,
    rolled_back: u32,
}

impl Finding {
    /// One for which the reader knows these delegations, which it has verified, and this revocation.
    pub(crate) fn new(sought: Sought, delegations: impl IntoIterator<Item = Delegation>, revocation: Option<Revocation>) -> Self {
        let devices = delegations.into_iter().take(DEVICES_MAX).map(Device::new).collect();
        Self {
            sought,
            revocation,
            devices,
            early: Vec::new(),
            holders: Vec::new(),
            running: Running::default(),
            verifies: 0,
            first: None,
            is_settled: false,
            is_over: false,
            has_revoked: false,
            rolled_back: 0,
        }
    }

    /// The devices of which something was told.
    pub(crate) fn told(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.devices.iter().filter(|known| known.told.is_some()).map(Device::id)
    }

    /// What it is for.
    pub(crate) const fn sought(&self) -> &Sought {
        &self.sought
    }

    /// What a path of the look-up asks for next. Who knows no delegation by which an address can be judged asks for addresses on
    /// paths 0 and 2 and for devices on 1 and 3 (spec: DHT-90).
    pub(crate) fn question(&self, path: u8) -> Question {
        let knows_one = match self.sought.what {
            What::Address(device) => self.devices.iter().any(|known| known.id() == device),
            What::Addresses | What::Devices | What::Revocation => !self.devices.is_empty(),
        };
        let kind = match self.sought.what {
            What::Revocation => Kind::Revocation,
            What::Devices => Kind::Device,
            What::Address(_) | What::Addresses if knows_one || path.is_multiple_of(2) => Kind::Address,
            What::Address(_) | What::Addresses => Kind::Device,
        };
        self.question_for(kind, self.named_device())
    }

    /// The newest address record of a device that verifies.
    pub(crate) fn address(&self, device: DeviceId) -> Option<&AddressRecord> {
        self.devices.iter().find(|known| known.id() == device)?.address.as_ref()
    }

    /// The newest device record that verifies.
    pub(crate) fn device(&self, device: DeviceId) -> Option<&DeviceRecord> {
        self.devices.iter().find(|known| known.id() == device)?.record.as_ref()
    }

    /// The delegation by which a device's records were judged.
    pub(crate) fn delegation(&self, device: DeviceId) -> Option<&Delegation> {
        self.devices.iter().find(|known| known.id() == device).map(|known| &known.delegation)
    }

    /// The newest revocation that is known.
    pub(crate) const fn revocation(&self) -> Option<&Revocation> {
        self.revocation.as_ref()
    }

    /// How many records that verified were older than what the reader has accepted before.
    pub(crate) const fn rolled_back(&self) -> u32 {
        self.rolled_back
    }

    /// Whether a node has given what may be told: nobody needs to be asked who is farther off (spec: DHT-86).
    pub(crate) fn is_found(&self, memory: &RollbackMemory) -> bool {
        let kind = self.told_kind();
        let may_tell = |known: &Device| !known.is_local && known.number(kind) >= Some(self.floor(memory, kind, known.id()));
        if kind == Kind::Revocation { self.revocation.is_some() } else { self.devices.iter().any(may_tell) }
    }

    /// When [`tell`](Self::tell) has something to say without anything happening.
    pub(crate) fn due(&self, look_up: &LookUp) -> Option<Time> {
        let settles = self.first.filter(|_| !self.is_settled).map(|first| first + SETTLE);
        (!self.is_over).then(|| settles.map_or(look_up.due(), |settles| settles.min(look_up.due())))
    }

    /// What is to be told now, one thing a call (spec: DHT-92, DHT-93). After `Over` nothing follows.
    pub(crate) fn tell(&mut self, look_up: &LookUp, memory: &mut RollbackMemory, now: Time) -> Option<Tell> {
        if self.is_over {
            return None;
        }
        if core::mem::take(&mut self.has_revoked) {
            return Some(Tell::Revoked);
        }
        let is_late = now >= look_up.due();
        if !is_late && self.is_revocation_awaited() {
            return None;
        }
        let is_complete = look_up.end().is_some() && self.running.is_idle() && !self.has_again(look_up);
        if let Some(first) = self.tell_first(memory) {
            self.first.get_or_insert(now);
            return Some(first);
        }
        let is_settled_by_time = self.first.is_some_and(|first| now >= first + SETTLE);
        self.is_settled = self.is_settled || is_settled_by_time || is_complete || is_late || self.is_agreed(look_up);
        let is_last = is_complete || is_late;
        if let Some(told) = self.tell_final(is_last, memory) {
            return Some(told);
        }
        if !is_last {
            return None;
        }
        self.is_over = true;
        let is_revocation_found = self.sought.what == What::Revocation && self.revocation.is_some();
        let is_found = is_revocation_found || self.devices.iter().any(|device| device.told.is_some() && !self.is_own_alone(device));
        Some(Tell::Over { is_found, is_partial: !is_complete })
    }

    /// Whether this kind of record is of use.
    fn wants(&self, kind: Kind) -> bool {
        match (self.sought.what, kind) {
            (What::Address(device), Kind::Device) => !self.devices.iter().any(|known| known.id() == device),
            (What::Address(_) | What::Addresses, Kind::Address)
            | (What::Addresses | What::Devices, Kind::Device)
            | (What::Revocation, Kind::Revocation) => true,
            _ => false,
        }
    }

    /// The kind that is told.
    const fn told_kind(&self) -> Kind {
        match self.sought.what {
            What::Address(_) | What::Addresses => Kind::Address,
            What::Devices => Kind::Device,
            What::Revocation => Kind::Revocation,
        }
    }

    fn named_device(&self) -> Option<DeviceHint> {
        if let What::Address(device) = self.sought.what { Some(DeviceHint::of(device)) } else { None }
    }

    fn question_for(&self, kind: Kind, device: Option<DeviceHint>) -> Question {
        Question { kind, device, known: self.best(kind, device) }
    }

    /// The highest number of a kind that has verified, of one device or of all.
    fn best(&self, kind: Kind, device: Option<DeviceHint>) -> Option<u64> {
        if kind == Kind::Revocation {
            return self.revocation.as_ref().map(Revocation::version);
        }
        let devices = self.devices.iter().filter(|known| device.is_none_or(|device| device == DeviceHint::of(known.id())));
        devices.filter_map(|known| known.number(kind)).max()
    }

    fn subject(&self, device: DeviceId) -> Subject {
        Subject::new(self.sought.user, self.told_kind(), device, self.sought.scope)
    }

    /// Below this a device's records are older than what the reader has accepted.
    fn floor(&self, memory: &RollbackMemory, kind: Kind, device: DeviceId) -> u64 {
        memory.floor(Subject::new(self.sought.user, kind, device, self.sought.scope), self.latest(kind))
    }

    /// Above this a number was accepted by a clock that was ahead; that of a device record is no time (spec: DHT-35, DHT-93).
    const fn latest(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Address => self.sought.latest,
            Kind::Device | Kind::Revocation => u64::MAX,
        }
    }

    /// Of each device the first record, unless the reader has accepted a newer one before (spec: DHT-93).
    fn tell_first(&mut self, memory: &mut RollbackMemory) -> Option<Tell> {
        let kind = self.told_kind();
        for index in 0..self.devices.len() {
            let known = self.devices.get(index)?;
            let (Some(number), device) = (known.number(kind), known.id()) else { continue };
            let is_below = number < self.floor(memory, kind, device);
            let is_counted = known.refused >= Some(number);
            if is_below && !is_counted {
                self.rolled_back = self.rolled_back.saturating_add(1);
            }
            let (subject, latest) = (self.subject(device), self.latest(kind));
            let is_local = self.is_own_alone(self.devices.get(index)?);
            let known = self.devices.get_mut(index)?;
            if is_below {
                known.refused = known.refused.max(Some(number));
            } else if known.told.is_none() {
                known.told = Some(number);
                memory.note(subject, number, latest);
                return Some(Tell::First { device, is_local });
            }
        }
        None
    }

    /// Of each device that was told of, once when it is settled, and again at the end if there is something newer.
    fn tell_final(&mut self, is_last: bool, memory: &mut RollbackMemory) -> Option<Tell> {
        let kind = self.told_kind();
        let latest = self.latest(kind);
        if !self.is_settled {
            return None;
        }
        for index in 0..self.devices.len() {
            let known = self.devices.get(index)?;
            let (subject, is_local) = (self.subject(known.id()), self.is_own_alone(known));
            let known = self.devices.get_mut(index)?;
            let (Some(number), Some(told)) = (known.number(kind), known.told) else { continue };
            let is_newer = number > told;
            if is_local || known.is_final && !(is_last && is_newer) {
                continue;
            }
            known.told = Some(number.max(told));
            known.is_final = true;
            memory.note(subject, number, latest);
            return Some(Tell::Final { device: known.id(), is_newer });
        }
        None
    }

    /// Whether only the own store has what is told of a device: whoever else says that it has the same need not show it, as it is
    /// asked for newer ones alone (spec: DHT-92).
    fn is_own_alone(&self, known: &Device) -> bool {
        let kind = self.told_kind();
        let (device, number) = (DeviceHint::of(known.id()), known.number(kind).unwrap_or(0));
        let mut honest = self.holders.iter().filter(|holder| !holder.is_false);
        known.is_local && !honest.any(|holder| holder.said(kind).is_some_and(|said| said.number(device) == number))
    }

    /// Whether three of the five nearest have said what they hold; fewer where there are fewer (spec: DHT-92).
    fn is_agreed(&self, look_up: &LookUp) -> bool {
        let Some(near) = look_up.near() else { return false };
        let kind = self.told_kind();
        let said = near.iter().filter(|near| self.holder(near.hint, near.at).is_some_and(|holder| holder.has_said(kind))).count();
        self.first.is_some() && said >= QUORUM.min(near.len())
    }
}
