//! Giving records to nodes that lack them: from one family to the other, and from a reader to who had an older one.

use alloc::sync::Arc;

use super::ask::Whom;
use super::home::{Name, Slot};
use super::lookup::Near;
use super::rpc::{Asked, Question};
use super::seek::Goal;
use super::table::Rtt;
use super::turn::number_of;
use super::wire::{Answer, Contact, DeviceHint, Reply};
use super::{Dht, Purpose};
use crate::cx::Cx;

impl Dht {
    /// Begins to carry the next record that came to be carried (spec: DHT-115).
    pub(super) fn drive_carry(&mut self, cx: &Cx) {
        while let Some((name, is_v6)) = self.carry.next(cx.now) {
            // Who holds it there, too, is one of its holders there.
            let is_to = |net: &super::net::Net| net.realm.scope == name.scope && net.realm.is_v6 != is_v6 && net.local.is_some();
            if let Some(at) = self.nets.iter().position(is_to) {
                self.seek(cx, at, name.home, Goal::Carry(name));
            }
        }
    }

    /// Offers a record to those who are to hold it in the other family, before an address the device record that it leans on.
    pub(super) fn carry_to(&mut self, cx: &mut Cx, name: &Name, holders: &[Near]) {
        let device = match name.slot {
            Slot::Address(device) => Some(Name { slot: Slot::Device(device), ..*name }),
            Slot::Device(_) | Slot::Revocation => None,
        };
        for name in device.iter().chain([name]) {
            let Some(held) = self.home.find(name) else { continue };
            let (number, record): (u64, Arc<str>) = (held.number(), Arc::from(held.json()));
            for holder in holders {
                let device = name.slot.device().map(DeviceHint::of);
                let question = Question::Offer { target: name.home, kind: name.slot.kind(), device, number, record: record.clone() };
                self.ask_contact(cx, Contact { hint: holder.hint, at: holder.at }, question, Purpose::Give);
            }
        }
    }

    /// Who was offered a record has said what it holds.
    pub(super) fn on_offered(&mut self, cx: &mut Cx, at: usize, asked: &Asked<Purpose>, reply: &Reply<'_>) {
        let (Answer::Get(got), Question::Offer { target, kind, device, number, record }) = (&reply.answer, &asked.question) else { return };
        let has_it = number_of(got, *kind, *device).is_some_and(|held| held >= *number);
        let Some(token) = got.token.filter(|_| !has_it) else { return };
        let question = Question::Put { target: *target, kind: *kind, token: Some(token), record: record.clone(), carry: false };
        self.ask(cx, at, Whom { at: asked.to, hint: asked.hint, rtt: Rtt::UNKNOWN }, question, Purpose::Give);
    }
}
