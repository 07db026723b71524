//! Devices that bind themselves here: whoever keeps a home takes the address records of its devices over links too, and knows
//! from then on over which link each can be told what comes (spec: DHT-152).

use super::Dht;
use super::bind::{Admission, Bind, Binds, Bound, Here, LinkName, Status, Step};
use super::home::{Name, NotKept, Slot};
use super::key::Key;
use super::rate::Rate;
use super::realm::Realm;
use super::record::{DeviceRecord, Judge};
use super::serve::Put;
use super::wire::{Denied, Kind};
use crate::address::{group, plain_socket};
use crate::cx::Cx;
use crate::id::PipeId;
use crate::identity::Revocation;
use core::net::SocketAddr;

/// What is to be done with a bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// This is the answer.
    Answer(Bound),
    /// See once whether somebody takes a pipe there, and call [`Dht::on_claim`].
    Dial(SocketAddr),
    /// It keeps coming: the link is to be closed.
    Flood,
}

impl Dht {
    /// What a bind is answered where there is no DHT.
    pub(crate) const KEEPS_NOTHING: Bound = Bound { status: Status::Far, sequence: None };

    /// A device says a bind on a service link, whose end here is the tracker of its name.
    pub(crate) fn on_bind(&mut self, cx: &mut Cx, pipe: PipeId, link: &LinkName, remote: SocketAddr, bind: &Bind) -> Heard {
        let remote = plain_socket(remote);
        let mut binds = self.binds.take().unwrap_or_default();
        self.home.expire(cx.wall);
        binds.keep(|name| self.home.find(name).is_some());
        let heard = match binds.admit(pipe, group(remote), cx.now) {
            Admission::Flood => Heard::Flood,
            Admission::Refuse(status) => Heard::Answer(Bound { status, sequence: None }),
            Admission::Take => self.judge_bind(cx, &mut binds, pipe, link, remote, bind),
        };
        self.binds = Some(binds);
        self.settle(cx);
        heard
    }

    /// Whether somebody took a pipe at the port that a device has claimed; the answer to its bind.
    pub(crate) fn on_claim(&mut self, pipe: PipeId, is_reached: bool) -> Option<Bound> {
        self.binds.as_mut()?.on_dialled(pipe, is_reached)
    }

    /// A device gives its record on a service link. `false`: it was not asked for it.
    pub(crate) fn on_bind_device(&mut self, cx: &mut Cx, pipe: PipeId, remote: SocketAddr, json: &str) -> bool {
        let remote = plain_socket(remote);
        if !self.binds.as_mut().is_some_and(|binds| binds.on_device(pipe)) {
            return false;
        }
        let record = DeviceRecord::from_json(json).ok();
        let home = record.as_ref().and_then(|record| record.delegation()).map(|delegation| Key::home(delegation.user(), delegation.app()));
        if let Some((at, home)) = self.net_at(remote).zip(home) {
            // What came of it is told by the answer to the bind that follows.
            let kept = self.put_at_home(cx, at, (home, Kind::Device), json, group(remote), Put::Others { carry: false });
            self.is_dirty |= kept.is_ok_and(|kept| kept.is_new);
            self.settle(cx);
        }
        true
    }

    /// A service link has ended: whoever was bound over it is no more.
    pub(crate) fn on_bind_closed(&mut self, pipe: PipeId) {
        if let Some(binds) = &mut self.binds {
            binds.on_closed(pipe);
        }
        self.binds.take_if(|binds| binds.is_empty());
    }

    fn judge_bind(&mut self, cx: &mut Cx, binds: &mut Binds, pipe: PipeId, link: &LinkName, remote: SocketAddr, bind: &Bind) -> Heard {
        let kept = self.check_bind(cx, link, remote, bind).and_then(|at| {
            let record = bind.record().to_json();
            let kept = self.put_at_home(cx, at, (*bind.home(), Kind::Address), &record, group(remote), Put::Others { carry: false });
            kept.map_err(|why| Bound { status: status_of(why), sequence: None })
        });
        match kept {
            Ok(kept) => {
                self.is_dirty |= kept.is_new;
                match binds.on_bind(pipe, bind, remote) {
                    Step::Answer(bound) => Heard::Answer(bound),
                    Step::Dial(to) => Heard::Dial(to),
                }
            }
            Err(bound) => {
                // For want of time nothing was looked at.
                if bound.status != Status::Often {
                    binds.on_refused(pipe, bound.status);
                }
                Heard::Answer(bound)
            }
        }
    }

    /// Whether a bind is good here; in which realm.
    fn check_bind(&mut self, cx: &mut Cx, link: &LinkName, remote: SocketAddr, bind: &Bind) -> Result<usize, Bound> {
        let refuse = |status| Bound { status, sequence: None };
        let realm = Realm::of(remote).ok_or(refuse(Status::Far))?;
        let net = self.net_in(realm);
        let (home, device, scope) = (*bind.home(), bind.device(), realm.scope);
        let is_kept = |net: &super::net::Net| {
            net.served_id().is_some() && net.kept_radius().is_none_or(|radius| radius.holds(net.own.hint().distance(home.hint())))
        };
        let is_near = net.and_then(|at| self.nets.get(at)).is_some_and(is_kept);
        let name = |slot| Name { home, scope, slot };
        let record = self.home.find(&name(Slot::Device(device))).and_then(|held| DeviceRecord::from_json(held.json()).ok());
        let held = record.as_ref().and_then(DeviceRecord::delegation);
        let number = self.home.find(&name(Slot::Address(device))).map(|held| held.number());
        let revocation = self.home.find(&name(Slot::Revocation)).and_then(|held| Revocation::from_json(held.json()).ok());
        let checked = &mut cx.stats.signatures_checked;
        let judge =
            Judge { crypto: &cx.config.crypto, home, now: cx.wall, revocation: revocation.as_ref(), known: &mut self.delegations, checked };
        let here = Here { judge: &judge, link, scope, is_near, held, number };
        let refused = |status| Bound { status, sequence: number };
        let held = bind.check_cheap(&here).map_err(refused)?;
        let rate = Rate { per_second: cx.config.dht_verifies_per_second, burst: cx.config.dht_verifies_per_second };
        // Its own signature and its record's.
        if !self.verifies.spend(2, rate, cx.now) {
            return Err(refuse(Status::Often));
        }
        bind.check_signed(&here, held).map_err(refused)?;
        net.ok_or(refuse(Status::Far))
    }
}

/// What a device is told whose record is not kept.
const fn status_of(why: NotKept) -> Status {
    match why {
        NotKept::Wrong => Status::Proof,
        NotKept::Denied(Denied::Device) => Status::NoDevice,
        NotKept::Denied(Denied::Old { .. }) => Status::Older,
        NotKept::Denied(Denied::Full) => Status::Full,
        NotKept::Denied(Denied::Far) => Status::Far,
        NotKept::Denied(Denied::Clock) => Status::Clock,
        NotKept::Denied(Denied::Token | Denied::Busy { .. }) => Status::Often,
    }
}
