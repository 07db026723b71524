//! The node: the only place that knows two protocol machines.
//!
//! `mod.rs` is the face, `boot.rs` reads and writes what survives a restart, `commands.rs` takes wishes, `settle.rs` is
//! the wiring: one exhaustive match per machine that carries its effects to the others, and `seek.rs` is the long way
//! from "something waits for a user" to a link with them.

#[cfg(test)]
mod bench_tests;
mod bind;
#[cfg(test)]
mod bind_tests;
mod boot;
#[cfg(test)]
mod budget_tests;
mod commands;
mod dht;
#[cfg(test)]
mod embedder_tests;
mod explain;
#[cfg(test)]
mod explain_tests;
#[cfg(test)]
mod hostile_tests;
mod invite;
#[cfg(test)]
mod invite_tests;
#[cfg(test)]
mod limit_tests;
mod locate;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod search_tests;
mod seek;
mod settle;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::action::{Action, Packet};
use crate::command::Command;
use crate::config::Config;
use crate::cx::{Cx, Untaken};
use crate::error::{CommandError, ConfigError, StoreError};
use crate::event::{Event, Wake};
use crate::handshake::Own;
use crate::id::{BootId, NodeKey, OpId, Peer, PipeId, Tag, UserId};
use crate::identity::{Credentials, DelegationCache, Refusal, RevocationBook};
use crate::inbox::{Inbox, Ripe};
use crate::invites::{Invitations, Joins};
use crate::link::Links;
use crate::notice::Notice;
use crate::outbox::Outbox;
use crate::referral::book::Book;
use crate::referral::dial::{Dials, Target};
use crate::referral::search::Searches;
use crate::rng::{Rng, Seed};
use crate::time::{Time, WallTime};
use crate::timer::TimerKey;
use crate::trace::Observed;
use crate::view::{DhtView, Explanation, Inspection, InvitationView, LinkView, OutboxView, Phase, PublishView, Stats};
use crate::{CloseReason, LinkPeer};

/// Timers that one `Tick` runs at most (C6).
const TIMERS_PER_TICK: u32 = 1_024;

/// A device's protocol, whole: told of [`Event`]s, it asks for [`Action`]s.
///
/// One value, no threads, no I/O: `Send + 'static`. The promises C1 to C12 are in the crate's documentation.
pub struct Node(Box<Parts>);

struct Parts {
    cx: Cx,
    own: Own,
    phase: Phase,
    boot: boot::Boot,
    links: Links,
    outbox: Outbox,
    inbox: Inbox,
    book: Book,
    dials: Dials,
    searches: Searches,
    invitations: Invitations,
    joins: Joins,
    /// The DHT and what belongs to it, once there is any of it.
    joint: Option<Box<dht::Joint>>,
    /// Receiving devices of the present command; kept for its allocation.
    receivers: Vec<Peer>,
    /// Where the shell listens.
    listening: Vec<SocketAddr>,
    /// How far peers say that this clock is ahead, the last eight.
    clocks: Vec<(LinkPeer, i64)>,
    clock_told: bool,
    /// When links were last replaced because a peer had another life.
    twins: Vec<(Peer, Time)>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}, {:?})", self.me().user, self.0.phase)
    }
}

impl Node {
    /// A node that begins by reading its state: commands are refused until `Notice::Started`.
    ///
    /// `seed` must be fresh for every start: it decides every key that the node draws. `now` and `wall` are the shell's clocks.
    ///
    /// # Errors
    /// [`ConfigError`] when a bound is out of its range, or the credentials do not fit each other or have ended.
    pub fn new(config: Config, credentials: Credentials, seed: Seed, now: Time, wall: WallTime) -> Result<Self, ConfigError> {
        config.check()?;
        let delegation = credentials.delegation();
        delegation.verify(&config.crypto).map_err(ConfigError::Delegation)?;
        if !credentials.fits(&config.crypto) {
            return Err(ConfigError::Keys);
        }
        if delegation.check_window(wall) == Err(Refusal::Expired) {
            return Err(ConfigError::Expired);
        }
        let rng = Rng::from_seed(&seed);
        let boot = BootId::from_bytes(rng.fork("boot", 0).array());
        let node_secret = boot::draw_node_secret(&rng);
        let delegation_user = delegation.user();
        let own = Own {
            user_keys: credentials.noise_pair(&config.crypto),
            node_keys: node_secret.noise_pair(&config.crypto),
            credentials,
            boot,
            delegations: DelegationCache::new(config.links_user_max as usize),
            revocations: RevocationBook::new(config.book_users_max as usize).keeping(delegation_user),
        };
        let mut parts = Parts {
            cx: Cx::new(config, rng.fork("node", 0), now, wall),
            own,
            phase: Phase::Starting,
            boot: boot::Boot::new(node_secret),
            links: Links::new(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            book: Book::default(),
            dials: Dials::default(),
            searches: Searches::default(),
            invitations: Invitations::default(),
            joins: Joins::default(),
            joint: None,
            receivers: Vec::new(),
            listening: Vec::new(),
            clocks: Vec::new(),
            clock_told: false,
            twins: Vec::new(),
        };
        parts.load_from(Vec::new());
        Ok(Self(Box::new(parts)))
    }

    /// Takes in what happened. Total: it cannot fail (C3) (spec: NODE-3).
    #[doc(alias = "handle_input")]
    pub fn handle(&mut self, now: Time, event: Event<'_>) {
        self.0.cx.set_now(now);
        self.0.on_event(event);
        self.0.pump_ready();
        self.0.settle();
        self.0.settle_dht();
        self.0.settle_storage();
    }

    /// Takes a wish; what becomes of it is told by notices with its tag.
    ///
    /// What it has to say to peers and to store is issued with the next event, a `Tick` that is due at once if nothing
    /// else comes: so a caller's commands are sealed together, and with the `Taken` after them are one atomic batch.
    ///
    /// # Errors
    /// [`CommandError`]; then nothing has changed (C3).
    pub fn command(&mut self, now: Time, command: Command) -> Result<Tag, CommandError> {
        self.0.cx.set_now(now);
        let outcome = self.0.on_command(command);
        if outcome.is_ok() {
            self.0.carry();
            self.0.settle_dht();
            self.0.rest();
        }
        outcome
    }

    /// The next thing to do, in order (C4). Changes nothing that can be observed later (spec: NODE-4).
    pub fn poll(&mut self) -> Option<Action> {
        self.0.cx.actions.pop_front()
    }

    /// When the next `Tick` is wanted at the latest; `None`: only an outside event can matter (C5). O(1).
    #[doc(alias = "poll_timeout")]
    #[doc(alias = "poll_at")]
    pub const fn deadline(&self) -> Option<Time> {
        if self.0.cx.storage.is_due() || self.0.has_said() {
            return Some(self.0.cx.now);
        }
        match self.0.cx.timers.first() {
            Some((at, _)) => Some(at),
            None => None,
        }
    }

    /// What the deadline is for.
    pub const fn wake(&self) -> Wake {
        if self.0.cx.storage.is_due() {
            return Wake::Store;
        }
        if self.0.has_said() {
            return Wake::Say;
        }
        match self.0.cx.timers.first() {
            None => Wake::Nothing,
            Some((_, key)) => match key {
                TimerKey::Handshake(_) | TimerKey::Linger(_) => Wake::Handshake,
                TimerKey::KeepAlive(_) => Wake::KeepAlive,
                TimerKey::Acknowledge(_) => Wake::Acknowledge,
                TimerKey::LinkEnd(_) | TimerKey::Ends(_) | TimerKey::Renewal | TimerKey::Invitation => Wake::Expiry,
                TimerKey::Retry(_) => Wake::Retry,
                TimerKey::Dial(_) | TimerKey::Entry(_) => Wake::Dial,
                TimerKey::Dht => Wake::Dht,
            },
        }
    }

    /// Takes a written buffer back, to use it again.
    pub fn recycle(&mut self, packet: Packet) {
        self.0.cx.recycle(packet.into_vec());
    }

    /// Starts or stops to keep what is said on links, for [`observed`](Self::observed). A driver does it for a journal.
    pub fn observe(&mut self, on: bool) {
        self.0.cx.observe(on);
    }

    /// The next thing that was said or heard on a link, oldest first.
    pub fn observed(&mut self) -> Option<Observed> {
        self.0.cx.observed()
    }

    /// The wall clock as last told, moved on by the monotonic time since.
    pub fn wall(&self, now: Time) -> WallTime {
        self.0.cx.wall_at(now)
    }

    /// This node's user and device.
    pub fn me(&self) -> Peer {
        self.0.me()
    }

    /// The key of this installation's service links, once it is read or drawn.
    pub fn node_key(&self) -> Option<NodeKey> {
        (self.0.phase != Phase::Starting).then(|| self.0.node_key())
    }

    /// The links that are up, in the order in which their pipes were opened.
    #[doc(alias = "connected_peers")]
    pub fn links(&self) -> impl Iterator<Item = LinkView> + '_ {
        self.0.links.views()
    }

    /// The messages that are not delivered yet, by receiver and number.
    pub fn outbox(&self) -> impl Iterator<Item = OutboxView> + '_ {
        self.0.outbox.views()
    }

    /// The invitations of this node that have not ended by the time of its last call, by id; without their secrets.
    pub fn invitations(&self) -> impl Iterator<Item = InvitationView> + '_ {
        self.0.invitations.views(self.0.cx.wall)
    }

    /// The DHT at a glance: `None` as long as this node has had nothing to do with it (spec: DHT-158).
    pub fn dht(&self) -> Option<DhtView> {
        self.0.dht_view()
    }

    /// Who is told where this device is, also while this node has nothing to do with the DHT (spec: DHT-162). While the node
    /// starts this is not known yet.
    pub fn publishing(&self) -> PublishView {
        self.0.publish_view()
    }

    /// Until when others may say where this device is, by what they acknowledged last, in this life or one before: its address
    /// lasts two hours. `None` if that is over, or if enough of them were told since that it is nowhere; and while there is no DHT.
    pub fn told_until(&self) -> Option<WallTime> {
        self.0.told_until()
    }

    /// Whether a narrower [`publishing`](Self::publishing) is being told those who were told where this device is, for a minute
    /// (spec: DHT-162).
    pub fn is_leaving(&self) -> bool {
        self.0.is_leaving()
    }

    /// Everything that was tried to reach `user`, and what came of it.
    pub fn explain(&self, user: UserId) -> Explanation {
        self.0.explain(user)
    }

    /// The counters.
    pub const fn stats(&self) -> &Stats {
        &self.0.cx.stats
    }

    /// The node at a glance.
    pub fn inspect(&self) -> Inspection {
        let parts = &self.0;
        Inspection {
            me: parts.me(),
            node: self.node_key(),
            phase: parts.phase,
            links: parts.links.views().collect(),
            pipes_pending: parts.links.pending(),
            outbox: parts.outbox.views().collect(),
            book: parts.book.users().filter(|(_, known)| known.introduced).map(|(user, _)| *user).collect(),
            entries: parts.book.entry_views().collect(),
            invitations: self.invitations().collect(),
            dht: self.dht(),
            wake: self.wake(),
            stats: parts.cx.stats,
        }
    }
}

impl Parts {
    fn me(&self) -> Peer {
        self.own.credentials.delegation().peer()
    }

    fn node_key(&self) -> NodeKey {
        NodeKey::from_bytes(*self.own.node_keys.public())
    }

    fn on_event(&mut self, event: Event<'_>) {
        match event {
            Event::Tick => self.on_tick(),
            Event::Datagram { path, bytes } => self.on_datagram(path, bytes),
            Event::PipeOpened { pipe, op, local, remote } => self.on_pipe_opened(pipe, op, (local, remote)),
            Event::PipeBytes { pipe, bytes } => self.links.on_bytes(&mut self.cx, &mut self.own, pipe, bytes),
            Event::PipeWritten { pipe } => self.links.on_written(&mut self.cx, pipe),
            Event::PipeClosed { pipe } => self.links.on_closed(&mut self.cx, pipe),
            Event::ConnectFailed { op, why } => self.dials.on_failed(&mut self.cx, op, why),
            Event::Addresses { local, rebound } => self.on_addresses(local, rebound),
            Event::Clock { wall } => self.on_clock(wall),
            Event::Entropy { bytes } => self.cx.rng.stir(bytes),
            Event::Resolved { op, outcome } => {
                self.on_entry_resolved(op, outcome);
                self.dials.on_resolved(&mut self.cx, op, outcome);
            }
            Event::Stored { op, outcome } => self.on_stored(op, outcome),
            Event::Loaded { op, outcome } => self.on_loaded(op, outcome),
            Event::Taken { notices, save } => {
                self.on_taken(notices);
                if !save.is_empty() && !self.is_stopped() {
                    self.cx.store_for_app(save);
                }
                self.load_held();
            }
            Event::Passed { notices } => {
                self.cx.pass_notices(notices);
                self.load_held();
            }
        }
    }

    /// The application has taken so many notices. What becomes ripe of one stream is acknowledged together.
    fn on_taken(&mut self, notices: u64) {
        let mut ripe: Option<Ripe> = None;
        for _ in 0..notices {
            let next = match self.cx.take_notice() {
                None => break,
                Some(Untaken::Plain(_)) => None,
                Some(Untaken::Message(number)) => self.inbox.on_taken(&mut self.cx, number),
            };
            let Some(next) = next else { continue };
            match &mut ripe {
                Some(before) if before.is_of(&next) => before.add(&next),
                _ => {
                    if let Some(before) = ripe.replace(next) {
                        self.acknowledge(&before);
                    }
                }
            }
        }
        if let Some(ripe) = ripe {
            self.acknowledge(&ripe);
        }
    }

    /// Whether commands have left something to say to peers.
    const fn has_said(&self) -> bool {
        self.links.is_dirty() || self.outbox.has_ready()
    }

    const fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    /// Runs what is due, each once, in order, at most 1,024 (C6) (spec: NODE-6).
    fn on_tick(&mut self) {
        for _ in 0..TIMERS_PER_TICK {
            let Some(key) = self.cx.timers.pop_due(self.cx.now) else { return };
            match key {
                TimerKey::Handshake(pipe) => self.links.on_handshake_late(&mut self.cx, pipe),
                TimerKey::KeepAlive(pipe) => self.links.on_keep_alive(&mut self.cx, pipe),
                TimerKey::Acknowledge(pipe) => self.links.on_acknowledge_due(pipe),
                TimerKey::LinkEnd(pipe) => self.on_link_end(pipe),
                TimerKey::Linger(pipe) => self.links.on_linger(&mut self.cx, pipe),
                TimerKey::Retry(user) => self.on_retry(user),
                TimerKey::Ends(user) => self.on_ends(user),
                TimerKey::Dial(op) => self.dials.on_late(&mut self.cx, op),
                TimerKey::Entry(at) => self.dial_entry(at),
                TimerKey::Renewal => self.on_renewal(),
                TimerKey::Invitation => self.on_invitation_due(),
                TimerKey::Dht => self.on_dht_due(),
            }
        }
    }

    fn on_pipe_opened(&mut self, pipe: PipeId, op: Option<OpId>, ends: (SocketAddr, SocketAddr)) {
        let target = op.map(|op| self.dials.on_opened(&mut self.cx, op));
        let is_working = matches!(self.phase, Phase::Running | Phase::Expired);
        match target {
            _ if !is_working => self.links.turn_away(&mut self.cx, pipe, ends),
            Some(None) => self.links.turn_away(&mut self.cx, pipe, ends),
            Some(Some(Target::Claim(bound))) => {
                self.links.turn_away(&mut self.cx, pipe, ends);
                self.on_claim(bound, true);
            }
            Some(Some(target)) => {
                let want = self.want_of(target);
                self.links.on_opened(&mut self.cx, &mut self.own, pipe, op, ends, Some(want));
            }
            None => self.links.on_opened(&mut self.cx, &mut self.own, pipe, None, ends, None),
        }
    }

    fn on_addresses(&mut self, local: &[SocketAddr], rebound: bool) {
        self.listening = local.iter().copied().filter(|address| crate::address::scope(*address).is_some()).take(8).collect();
        if rebound {
            self.links.on_rebound(&mut self.cx);
            self.dials.stop(&mut self.cx);
            self.on_binds_stopped();
        }
        if matches!(self.phase, Phase::Suspended | Phase::Suspending) {
            self.phase = Phase::Running;
        }
        if matches!(self.phase, Phase::Running | Phase::Expired) {
            self.arm_renewal();
            self.outbox.arm_ends(&mut self.cx);
            self.arm_invitations();
            self.on_dht_addresses(rebound);
            self.seek_all();
        }
    }

    /// The wall clock is told: what ends by it is set anew if it has jumped.
    fn on_clock(&mut self, wall: WallTime) {
        let has_jumped = self.cx.set_wall(wall);
        if has_jumped && !matches!(self.phase, Phase::Starting | Phase::Suspended | Phase::Stopped) {
            self.clock_told = false;
            self.clocks.clear();
            self.arm_renewal();
            self.set_ends();
            self.outbox.arm_ends(&mut self.cx);
            self.arm_invitations();
            self.on_dht_clock();
        }
    }

    /// A write or read failed: nothing more is promised (C11) (spec: STORE-6, NODE-11).
    fn stop(&mut self, why: StoreError) {
        if self.is_stopped() {
            return;
        }
        self.phase = Phase::Stopped;
        self.cx.storage.failed = true;
        self.dials.stop(&mut self.cx);
        self.links.close_all(&mut self.cx, CloseReason::Stopped);
        self.stop_dht();
        self.cx.notify_state(Notice::Stopped { why });
    }
}
