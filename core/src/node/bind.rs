//! Binding: lasting service links to those who keep the own home, and the binds of other devices here (spec: DHT-152).
//!
//! Who is bound to is decided by the DHT's [`Binder`], who is bound here by the DHT; this file has links opened, says what is
//! to be said on them, and hands on what is heard. A node that binds nowhere has no binder.

use alloc::boxed::Box;
use alloc::string::String;
use core::net::SocketAddr;

use serde_json::value::RawValue;

use super::Parts;
use crate::CloseReason;
use crate::address::plain_socket;
use crate::command::Address;
use crate::dht::bind::{Bind, Binder, Bound, Do, LinkName, is_at};
use crate::dht::key::Key;
use crate::dht::realm::Realm;
use crate::dht::wire::Contact;
use crate::dht::{Dht, Heard};
use crate::id::{NodeKey, PipeId};
use crate::referral::dial::Target;
use crate::trace::Said;
use crate::view::Phase;
use crate::wire::line::Line;

impl Parts {
    /// Who is to keep the own records was looked up. Of several realms it binds in the one that reaches farthest, of two that reach
    /// as far in the first.
    pub(super) fn on_home(&mut self, realm: Realm, home: Key, nearest: &[Contact]) {
        if !self.is_to_be_bound() || nearest.is_empty() {
            return;
        }
        let (links, now) = (self.cx.config.dht_binds as usize, self.cx.now);
        let before = self.binder().map(|binder| (binder.realm(), binder.is_idle()));
        if before.is_some_and(|(before, is_idle)| before != realm && before.scope >= realm.scope && !is_idle) {
            return;
        }
        if before.map(|(before, _)| before) != Some(realm) {
            self.end_binding();
            self.joint().binder = Some(Box::new(Binder::new(home.hint(), realm, links)));
        }
        if let Some(binder) = &mut self.joint().binder {
            binder.on_looked(nearest, now);
        }
    }

    /// Does one thing that binding needs to have done; whether there was one.
    pub(super) fn drive_binder(&mut self) -> bool {
        let Some(scope) = self.binder().map(|binder| binder.realm().scope) else { return false };
        if !self.is_to_be_bound() {
            self.end_binding();
            return true;
        }
        let (now, number) = (self.cx.now, self.dht().and_then(|(dht, _)| dht.own_number(scope)));
        let Some(binder) = self.binder() else { return false };
        binder.on_record(number, now);
        let Some(step) = binder.next(now) else { return false };
        match step {
            Do::Open { to } => self.open_bind(&to),
            Do::Say { pipe, link } => self.say_bind(pipe, &link),
            Do::Deposit { pipe, link } => {
                let record = self.dht().and_then(|(dht, _)| dht.own_device());
                if let Some(record) = record.and_then(|json| RawValue::from_string(json).ok()) {
                    self.links.say(&mut self.cx, pipe, &Line::Device(&record), || Said::Device);
                }
                self.say_bind(pipe, &link);
            }
            Do::Close { pipe } => self.links.close(&mut self.cx, pipe, CloseReason::Idle),
            Do::Older => {
                if let Some((dht, cx)) = self.dht() {
                    dht.look_for_newer(cx, scope);
                }
            }
        }
        true
    }

    /// A service link that this node has dialled is up.
    pub(super) fn on_home_up(&mut self, at: SocketAddr, pipe: PipeId, tracker: NodeKey) {
        let _ = self.dials.finish(&mut self.cx, Target::Home(at));
        let (now, name) = (self.cx.now, self.links.name(pipe));
        match self.binder().zip(name) {
            Some((binder, name)) => binder.on_up(at, pipe, LinkName { tracker, name }, true, now),
            None => self.links.close(&mut self.cx, pipe, CloseReason::Idle),
        }
    }

    /// Nobody could be linked there.
    pub(super) fn on_home_failed(&mut self, at: SocketAddr) {
        let now = self.cx.now;
        if let Some(binder) = self.binder() {
            binder.on_failed(at, now);
        }
    }

    /// A service link is down, whoever opened it.
    pub(super) fn on_service_down(&mut self, pipe: PipeId, why: CloseReason) {
        let now = self.cx.now;
        if let Some(binder) = self.binder() {
            binder.on_closed(pipe, why == CloseReason::Replaced, now);
        }
        let _ = self.dials.finish(&mut self.cx, Target::Claim(pipe));
        if let Some((dht, _)) = self.dht() {
            dht.on_bind_closed(pipe);
        }
    }

    /// Every dial was given up.
    pub(super) fn on_binds_stopped(&mut self) {
        let now = self.cx.now;
        if let Some(binder) = self.binder() {
            binder.on_stopped(now);
        }
    }

    /// A device wants to be bound here.
    pub(super) fn on_bind(&mut self, pipe: PipeId, json: &str) {
        self.saw(pipe, Said::Bind);
        let Ok(bind) = Bind::from_json(json) else { return self.links.fault(&mut self.cx, pipe, CloseReason::Malformed) };
        let (Some(name), Some((_, remote))) = (self.links.name(pipe), self.links.ends(pipe)) else { return };
        let link = LinkName { tracker: self.node_key(), name };
        let heard = match self.dht() {
            Some((dht, cx)) => dht.on_bind(cx, pipe, &link, remote, &bind),
            None => Heard::Answer(Dht::KEEPS_NOTHING),
        };
        match heard {
            Heard::Answer(bound) => self.say_bound(pipe, bound),
            Heard::Dial(to) => self.dials.start(&mut self.cx, Target::Claim(pipe), [Address::Ip(to)]),
            Heard::Flood => self.links.fault(&mut self.cx, pipe, CloseReason::Flood),
        }
    }

    /// Whether somebody took a pipe where a device says that it can be dialled.
    pub(super) fn on_claim(&mut self, pipe: PipeId, is_reached: bool) {
        let _ = self.dials.finish(&mut self.cx, Target::Claim(pipe));
        if let Some(bound) = self.dht().and_then(|(dht, _)| dht.on_claim(pipe, is_reached)) {
            self.say_bound(pipe, bound);
        }
    }

    /// A device that was not known here gives its record.
    pub(super) fn on_bind_device(&mut self, pipe: PipeId, json: &str) {
        self.saw(pipe, Said::Device);
        let Some((_, remote)) = self.links.ends(pipe) else { return };
        let is_asked = self.dht().is_some_and(|(dht, cx)| dht.on_bind_device(cx, pipe, remote, json));
        if !is_asked {
            self.links.fault(&mut self.cx, pipe, CloseReason::NotAllowed);
        }
    }

    /// What became of a bind of this device's.
    pub(super) fn on_bound(&mut self, pipe: PipeId, json: &str) {
        let Ok(bound) = Bound::from_json(json) else { return self.links.fault(&mut self.cx, pipe, CloseReason::Malformed) };
        self.saw(pipe, Said::Bound { status: bound.status.code() });
        let now = self.cx.now;
        if let Some(binder) = self.binder() {
            binder.on_bound(pipe, bound, now);
        }
    }

    /// This device is bound nowhere any more.
    pub(super) fn end_binding(&mut self) {
        let Some(binder) = self.joint.as_mut().and_then(|joint| joint.binder.take()) else { return };
        let (pipes, dials) = binder.into_links();
        for at in dials {
            let _ = self.dials.finish(&mut self.cx, Target::Home(at));
        }
        for pipe in pipes {
            self.links.close(&mut self.cx, pipe, CloseReason::Idle);
        }
    }

    fn binder(&mut self) -> Option<&mut Binder> {
        self.joint.as_mut()?.binder.as_deref_mut()
    }

    fn is_to_be_bound(&self) -> bool {
        let joint = self.joint.as_ref().filter(|_| self.phase == Phase::Running && self.cx.config.dht_binds > 0);
        let is_told = joint.and_then(|joint| joint.dht.as_ref()).is_some_and(|dht| dht.is_to_be_bound(self.cx.wall));
        is_told && !joint.is_some_and(|joint| joint.is_leaving())
    }

    /// Takes a link that this node has dialled to the same node, or dials one if there may be one more (spec: LINK-13).
    fn open_bind(&mut self, to: &Contact) {
        let (now, most) = (self.cx.now, self.cx.config.links_service_out_max as usize);
        let is_it = |key: &NodeKey, remote: SocketAddr| is_at(to, key) && Realm::of(plain_socket(remote)) == Realm::of(to.at);
        let there = self.links.services_out().find(|(_, key, remote)| is_it(key, *remote));
        let name = there.and_then(|(pipe, tracker, _)| Some((pipe, LinkName { tracker, name: self.links.name(pipe)? })));
        let entries = self.book.entries.len().min(most);
        let Some(binder) = self.joint.as_mut().and_then(|joint| joint.binder.as_deref_mut()) else { return };
        if let Some((pipe, link)) = name {
            binder.on_up(to.at, pipe, link, false, now);
        } else if binder.own_links().saturating_add(entries) > most {
            binder.on_failed(to.at, now);
        } else {
            self.dials.start(&mut self.cx, Target::Home(to.at), [Address::Ip(to.at)]);
        }
    }

    fn say_bind(&mut self, pipe: PipeId, link: &LinkName) {
        let Some(scope) = self.binder().map(|binder| binder.realm().scope) else { return };
        let Some(record) = self.dht().and_then(|(dht, cx)| dht.own_address(cx, scope)) else { return };
        let (number, now) = (record.sequence(), self.cx.now);
        // Where it says that it is, it takes pipes too (spec: SHELL-4).
        let port = record.addresses().first().map_or(0, SocketAddr::port);
        let bind = Bind::sign(&self.cx.config.crypto, &self.own.credentials, record, link, port, self.cx.wall);
        if let Some(binder) = self.binder() {
            binder.on_said(pipe, number, now);
        }
        self.say_raw(pipe, bind.to_json(), Said::Bind, |raw| Line::Bind(raw));
    }

    fn say_bound(&mut self, pipe: PipeId, bound: Bound) {
        self.say_raw(pipe, bound.to_json(), Said::Bound { status: bound.status.code() }, |raw| Line::Bound(raw));
    }

    fn say_raw(&mut self, pipe: PipeId, json: String, said: Said, line: impl FnOnce(&RawValue) -> Line<'_>) {
        // What is written here is JSON.
        if let Ok(raw) = RawValue::from_string(json) {
            self.links.say(&mut self.cx, pipe, &line(&raw), || said);
        }
    }

    fn saw(&mut self, pipe: PipeId, said: Said) {
        let with = self.links.link(pipe).map(|link| link.with);
        self.cx.saw(with, false, || said);
    }
}
