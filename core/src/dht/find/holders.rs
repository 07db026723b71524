//! Who has said what it holds, and who is to be shown something newer.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::known::Taken;
use super::{Eyes, Finding, Question, RollbackMemory};
use crate::dht::key::Hint;
use crate::dht::lookup::LookUp;
use crate::dht::wire::{DeviceHint, Few, Got, Kind, Listed};
use crate::id::DeviceId;

/// Nodes whose answers are remembered: as many as a look-up asks.
const HOLDERS_MAX: usize = 96;
/// Puts of one look-up (spec: DHT-97).
const WRITE_BACKS_MAX: usize = 5;

/// One that has answered a `get`.
pub(super) struct Holder {
    pub(super) hint: Hint,
    pub(super) at: SocketAddr,
    /// It has served what does not verify.
    pub(super) is_false: bool,
    /// The version of the revocation that it says it holds.
    pub(super) revoked: u64,
    pub(super) answers: Vec<Said>,
}

/// What it has said of one kind.
pub(super) struct Said {
    pub(super) kind: Kind,
    /// Of each device that it has something of, the number; at most nine.
    pub(super) numbers: Vec<Listed>,
    /// How many of the first of these it says are bound there.
    pub(super) bound: usize,
    /// It could not say all.
    pub(super) is_cut: bool,
}

/// A put of the newest record to one of the five nearest, which answered with an older one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WriteBack {
    pub(crate) hint: Hint,
    pub(crate) at: SocketAddr,
    pub(crate) kind: Kind,
    pub(crate) device: DeviceId,
}

impl Holder {
    /// Whether it counts as one that has answered for this kind.
    pub(super) fn has_said(&self, kind: Kind) -> bool {
        !self.is_false && self.said(kind).is_some()
    }

    pub(super) fn said(&self, kind: Kind) -> Option<&Said> {
        self.answers.iter().find(|said| said.kind == kind)
    }
}

impl Said {
    pub(super) fn number(&self, device: DeviceHint) -> u64 {
        self.numbers.iter().filter(|listed| listed.device == device).map(|listed| listed.number).max().unwrap_or(0)
    }
}

impl Finding {
    /// A node has answered a question with what it holds. What does not verify makes it count for nothing (spec: DHT-91).
    pub(crate) fn on_got(&mut self, hint: Hint, at: SocketAddr, asked: &Question, got: &Got<'_>, eyes: &mut Eyes<'_>) {
        self.running.on_done(at, asked);
        let taken = got.record.map(|json| self.take(asked.kind, json, false, eyes));
        let is_other = |device: DeviceId| asked.device.is_some_and(|asked| asked != DeviceHint::of(device));
        let is_false = match taken {
            Some(Taken::False) => true,
            Some(Taken::Held(device, _)) => is_other(device),
            Some(Taken::Useless) | None => false,
        };
        let looks_for_all = self.named_device().is_none();
        let Some(holder) = self.holder_mut(hint, at) else { return };
        holder.is_false |= is_false;
        holder.revoked = holder.revoked.max(got.revoked.unwrap_or(0));
        let mut numbers: Vec<Listed> = got.index.iter().flat_map(|index| index.iter().copied()).collect();
        if let Some(Taken::Held(device, number)) = taken {
            numbers.push(Listed { device: DeviceHint::of(device), number });
        }
        // Who shows no cookie is told little. A record that had no room is asked for by its name, since the list has it; what else is cut
        // is the list, of which one device is all that matters to who looks for one.
        let is_listed = got.record.is_none() && got.index.iter().flat_map(|index| index.iter()).any(|it| Some(it.number) > asked.known);
        let is_cut = got.more && (got.index.is_none() || looks_for_all && !is_listed);
        let listed = got.index.as_ref().map_or(0, Few::len);
        let bound = usize::try_from(got.bound).unwrap_or(usize::MAX).min(listed);
        let new = Said { kind: asked.kind, numbers, bound, is_cut };
        match holder.answers.iter_mut().find(|said| said.kind == asked.kind) {
            Some(said) => *said = new,
            None => holder.answers.push(new),
        }
    }

    /// Whether somebody who keeps its records says that the device is bound there.
    pub(crate) fn is_bound(&self, device: DeviceId) -> bool {
        let named = DeviceHint::of(device);
        let says = |said: &Said| said.numbers.iter().take(said.bound).any(|listed| listed.device == named);
        let honest = self.holders.iter().filter(|holder| !holder.is_false);
        honest.filter_map(|holder| holder.said(Kind::Address)).any(says)
    }

    /// The own store has this record: good enough to be told first (spec: DHT-92).
    pub(crate) fn on_own(&mut self, kind: Kind, json: &str, eyes: &mut Eyes<'_>) {
        self.take(kind, json, true, eyes);
    }

    /// Of the five nearest, those that answered with an older record than the newest, or with none; once the look-up is over
    /// (spec: DHT-97). A device's record comes before its addresses.
    pub(crate) fn write_backs(&self, look_up: &LookUp, memory: &RollbackMemory) -> Vec<WriteBack> {
        let mut out = Vec::new();
        for near in look_up.holders() {
            let Some(holder) = self.holder(near.hint, near.at).filter(|holder| !holder.is_false) else { continue };
            for kind in [Kind::Device, Kind::Address] {
                let Some(said) = holder.said(kind).filter(|said| !said.is_cut) else { continue };
                for known in &self.devices {
                    let is_old =
                        |number| number >= self.floor(memory, kind, known.id()) && said.number(DeviceHint::of(known.id())) < number;
                    if known.number(kind).is_some_and(is_old) && out.len() < WRITE_BACKS_MAX {
                        out.push(WriteBack { hint: near.hint, at: near.at, kind, device: known.id() });
                    }
                }
            }
        }
        out
    }

    /// What such a put carries.
    pub(crate) fn record_json(&self, kind: Kind, device: DeviceId) -> Option<String> {
        match kind {
            Kind::Address => self.address(device).map(|record| record.to_json()),
            Kind::Device => self.device(device).map(|record| record.to_json()),
            Kind::Revocation => self.revocation().map(|revocation| revocation.to_json()),
        }
    }

    pub(super) fn holder(&self, hint: Hint, at: SocketAddr) -> Option<&Holder> {
        self.holders.iter().find(|holder| holder.hint == hint && holder.at == at)
    }

    fn holder_mut(&mut self, hint: Hint, at: SocketAddr) -> Option<&mut Holder> {
        let place = self.holders.iter().position(|holder| holder.hint == hint && holder.at == at);
        let place = match place {
            Some(place) => place,
            None if self.holders.len() < HOLDERS_MAX => {
                self.holders.push(Holder { hint, at, is_false: false, revoked: 0, answers: Vec::new() });
                self.holders.len().saturating_sub(1)
            }
            None => return None,
        };
        self.holders.get_mut(place)
    }
}
