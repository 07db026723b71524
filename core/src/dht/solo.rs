//! The DHT alone: a machine that lives on datagrams and time, for simulations of large networks and for tools that look at one.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::Dht;
use super::find::What;
use super::reach::Choice;
use super::search::Known;
use crate::action::{Action, Item, Packet};
use crate::config::Config;
use crate::cx::Cx;
use crate::error::{CommandError, ConfigError};
use crate::event::Event;
use crate::id::{AppId, DeviceId, NodeKey, Tag, UserId};
use crate::identity::{Credentials, Delegation, NodeSecret, Revocation};
use crate::notice::DhtNotice;
use crate::rng::{Rng, Seed};
use crate::time::{Time, WallTime};
use crate::view::{DhtPolicy, DhtView, Stats};

/// The DHT of a node without the node: no links, no messages, no store.
///
/// It keeps the contract of [`Node`](crate::Node): told of events, it asks for [`Action`]s, of which it knows
/// [`Action::SendDatagram`] alone. Of events it takes `Datagram`, `Tick`, `Addresses`, `Clock` and `Entropy`, and begins with
/// the first `Addresses`. What it has to tell is taken from [`told`](Self::told).
pub struct Solo(Box<Parts>);

struct Parts {
    cx: Cx,
    dht: Dht,
    tags: u64,
}

impl fmt::Debug for Solo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Solo({})", self.0.dht.key())
    }
}

impl Solo {
    /// A DHT that waits for its first `Addresses`. `seed` must be fresh for every start, `secret` is the installation's and
    /// stays the same.
    ///
    /// # Errors
    /// [`ConfigError`] when a bound is out of its range.
    pub fn new(config: Config, secret: &NodeSecret, seed: &Seed, now: Time, wall: WallTime) -> Result<Self, ConfigError> {
        config.check()?;
        // It has no links.
        let config = config.dht_binds(0);
        let rng = Rng::from_seed(seed);
        let cx = Cx::new(config, rng.fork("node", 0), now, wall);
        let dht = Dht::new(&cx, secret.noise_pair(&config.crypto), rng.fork("dht", 0));
        Ok(Self(Box::new(Parts { cx, dht, tags: 0 })))
    }

    /// Takes in what happened; it cannot fail.
    pub fn handle(&mut self, now: Time, event: Event<'_>) {
        let parts = self.at(now);
        match event {
            Event::Datagram { path, bytes } => parts.dht.on_datagram(&mut parts.cx, path, bytes),
            Event::Tick => parts.dht.on_tick(&mut parts.cx),
            Event::Addresses { local, rebound } => parts.dht.on_addresses(&mut parts.cx, local, rebound),
            Event::Clock { wall } => {
                if parts.cx.set_wall(wall) {
                    parts.dht.on_clock(&mut parts.cx);
                }
            }
            Event::Entropy { bytes } => parts.cx.rng.stir(bytes),
            Event::PipeOpened { .. }
            | Event::PipeBytes { .. }
            | Event::PipeWritten { .. }
            | Event::PipeClosed { .. }
            | Event::ConnectFailed { .. }
            | Event::Resolved { .. }
            | Event::Stored { .. }
            | Event::Loaded { .. }
            | Event::Taken { .. }
            | Event::Passed { .. } => parts.cx.stats.events_dropped = parts.cx.stats.events_dropped.saturating_add(1),
        }
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Action> {
        let action = self.0.cx.actions.pop_front();
        if action.is_none() {
            self.0.cx.shrink();
        }
        action
    }

    /// When the next `Tick` is wanted at the latest; `None`: only an outside event can matter. O(1).
    pub const fn deadline(&self) -> Option<Time> {
        self.0.dht.due()
    }

    /// Takes a sent buffer back.
    pub fn recycle(&mut self, packet: Packet) {
        drop(packet);
    }

    /// The addresses to begin with, instead of those before; at most 16.
    pub fn set_entries(&mut self, now: Time, addresses: &[SocketAddr]) {
        let parts = self.at(now);
        parts.dht.set_entries(&mut parts.cx, addresses);
    }

    /// Whether it may serve others, instead of what [`Config::dht_serve`] says: it then does as soon as it can be reached.
    pub fn set_serving(&mut self, now: Time, may_serve: bool) {
        let parts = self.at(now);
        parts.dht.set_choice(&mut parts.cx, if may_serve { Choice::Auto } else { Choice::Never });
    }

    /// Who is told where the published device is; [`DhtPolicy::Everyone`] unless this was called before it is published.
    pub fn set_policy(&mut self, now: Time, policy: DhtPolicy) {
        let parts = self.at(now);
        parts.dht.set_policy(&mut parts.cx, policy);
    }

    /// Makes a device known from now on: who it is, and, as far as the policy says so, where it is in each realm in which
    /// this node knows its own address. Again with renewed credentials of the same device.
    pub fn publish(&mut self, now: Time, credentials: Credentials) {
        let parts = self.at(now);
        parts.dht.publish(&mut parts.cx, credentials);
        parts.dht.show(&mut parts.cx);
    }

    /// What the published device's identity has taken back: put wherever less is known.
    pub fn revoke(&mut self, now: Time, revocation: &Revocation) {
        let parts = self.at(now);
        parts.dht.set_revocation(&mut parts.cx, revocation);
    }

    /// Addresses at which the published device can be reached whatever others see; at most three of a reach are told.
    pub fn set_addresses(&mut self, now: Time, addresses: &[SocketAddr]) {
        let parts = self.at(now);
        parts.dht.set_configured(&mut parts.cx, addresses);
    }

    /// Says of the device that it is nowhere.
    pub fn withdraw(&mut self, now: Time) {
        let parts = self.at(now);
        parts.dht.withdraw(&mut parts.cx);
    }

    /// Looks for where a user's devices are, or one of them: [`DhtNotice::Found`] for each that is found and
    /// [`DhtNotice::Ended`] at the end, at the latest after about five seconds.
    ///
    /// `known` are delegations of the user's devices that the caller has verified: with them an answer comes a round trip
    /// sooner.
    ///
    /// # Errors
    /// [`CommandError::Full`] if as many look-ups go on as [`Config`] says.
    pub fn find(
        &mut self,
        now: Time,
        user: UserId,
        app: &AppId,
        device: Option<DeviceId>,
        known: &[Delegation],
    ) -> Result<Tag, CommandError> {
        let parts = self.at(now);
        let tag = Tag::new(parts.tags.saturating_add(1));
        let known = Known { delegations: known.to_vec(), revocation: None };
        let what = device.map_or(What::Addresses, What::Address);
        parts.dht.find(&mut parts.cx, tag, (user, app), what, &known)?;
        parts.tags = parts.tags.saturating_add(1);
        Ok(tag)
    }

    /// Gives up a look-up: nothing more is told of it.
    pub fn cancel(&mut self, now: Time, tag: Tag) {
        let parts = self.at(now);
        parts.dht.cancel(&mut parts.cx, tag);
    }

    fn at(&mut self, now: Time) -> &mut Parts {
        self.0.cx.set_now(now);
        &mut self.0
    }

    /// What it knows of the network and of itself, to be handed to [`restore`](Self::restore) after the next start. It
    /// holds addresses of others, and no secret. O(n).
    pub fn save(&self) -> Vec<Item> {
        self.0.dht.save(&self.0.cx, None)
    }

    /// Takes back what [`save`](Self::save) gave, before the first `Addresses`; how many items were of another format or
    /// damaged, and left out.
    pub fn restore(&mut self, items: &[Item]) -> usize {
        let parts = &mut *self.0;
        items.iter().filter(|item| parts.dht.restore(&parts.cx, item).is_err()).count()
    }

    /// What happened since it was asked last, oldest first.
    pub fn told(&mut self) -> Option<DhtNotice> {
        core::iter::from_fn(|| self.0.dht.told()).find_map(|told| told.notice())
    }

    /// The key of this installation.
    pub fn node_key(&self) -> NodeKey {
        self.0.dht.key()
    }

    /// The DHT at a glance.
    pub fn view(&self) -> DhtView {
        self.0.dht.view(self.0.cx.now)
    }

    /// The counters.
    pub const fn stats(&self) -> &Stats {
        &self.0.cx.stats
    }
}
