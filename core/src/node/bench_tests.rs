//! A node on a bench, and a foe with real keys at the other end of its pipes. Shared by the tests around it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::tests::{WALL, credentials};
use crate::crypto::noise::{Opener, Sealer, link_name};
use crate::handshake::{Hx, Kind, Next, Own, State, Unit, Want};
use crate::identity::{DelegationCache, RevocationBook};
use crate::*;

/// A node and everything that it asked for.
pub(super) struct Bench {
    pub(super) node: Node,
    pub(super) now: Time,
    /// What was written to each pipe and not looked at.
    pub(super) written: BTreeMap<PipeId, Vec<u8>>,
    pub(super) closed: Vec<PipeId>,
    pub(super) connects: Vec<(OpId, SocketAddr)>,
    pub(super) notices: Vec<Notice>,
    pub(super) store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Writes are handed over, notices are taken.
    pub(super) reads: bool,
    pub(super) takes: bool,
    /// Its disk is full.
    pub(super) is_full: bool,
    /// Its disk does not answer; how many changes each batch had that did.
    pub(super) hangs: bool,
    pub(super) hung: Option<OpId>,
    pub(super) batches: Vec<usize>,
    /// What every name is looked up to; with none it is unknown.
    pub(super) names: Vec<IpAddr>,
    pipes: u64,
}

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Bench {
    pub(super) fn new(config: Config) -> Self {
        let now = Time::from_secs(1);
        let node = Node::new(config, credentials("bob", "test"), Seed::from_bytes([9; 32]), now, WALL).unwrap();
        let (written, closed, connects, notices) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        let (store, names) = (BTreeMap::new(), Vec::new());
        let mut bench = Self {
            node,
            now,
            written,
            closed,
            connects,
            notices,
            store,
            reads: true,
            takes: true,
            is_full: false,
            hangs: false,
            hung: None,
            batches: Vec::new(),
            names,
            pipes: 0,
        };
        bench.run();
        assert!(bench.has(|notice| matches!(notice, Notice::Started { .. })));
        bench
    }

    pub(super) fn handle(&mut self, event: Event<'_>) {
        self.node.handle(self.now, event);
        self.run();
    }

    pub(super) fn run(&mut self) {
        if matches!(self.node.wake(), Wake::Store | Wake::Say) {
            self.node.handle(self.now, Event::Tick);
        }
        while let Some(action) = self.node.poll() {
            match action {
                Action::Write { pipe, packet } => {
                    self.written.entry(pipe).or_default().extend_from_slice(packet.bytes());
                    if self.reads {
                        self.node.handle(self.now, Event::pipe_written(pipe));
                    }
                }
                Action::Close { pipe } => {
                    self.closed.push(pipe);
                    self.node.handle(self.now, Event::pipe_closed(pipe));
                }
                Action::Connect { op, to, .. } => self.connects.push((op, to)),
                Action::Resolve { op, .. } => {
                    let found = if self.names.is_empty() { Err(ResolveError::Unknown) } else { Ok(&self.names[..]) };
                    self.node.handle(self.now, Event::resolved(op, found));
                }
                Action::Store { op, .. } if self.is_full => self.node.handle(self.now, Event::stored(op, Err(StoreError::Full))),
                Action::Store { op, batch, .. } if self.hangs => {
                    self.hung = Some(op);
                    self.batches.push(batch.changes.len());
                }
                Action::Store { op, batch, .. } => {
                    self.batches.push(batch.changes.len());
                    for change in batch.changes {
                        match change.value {
                            Some(value) => drop(self.store.insert(change.key, value)),
                            None => drop(self.store.remove(&change.key)),
                        }
                    }
                    self.node.handle(self.now, Event::stored(op, Ok(())));
                }
                Action::Load { op, .. } => self.node.handle(self.now, Event::loaded(op, Ok(Page { items: &[], more: false }))),
                Action::Notify { notice } => {
                    self.notices.push(notice);
                    if self.takes {
                        self.node.handle(self.now, Event::taken(1, &[]));
                    }
                }
                Action::SendDatagram { .. } => {}
            }
        }
    }

    /// Lets time pass, tick by tick; fails if ticks do not lead on.
    pub(super) fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        let mut ticks = 0;
        while let Some(due) = self.node.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
            ticks += 1;
            assert!(ticks < 20_000, "a busy loop: {:?}", self.node.wake());
        }
        self.now = end;
    }

    /// Opens a pipe to the node as somebody else.
    pub(super) fn open(&mut self, from: &str) -> PipeId {
        self.pipes += 1;
        let pipe = PipeId::new(self.pipes);
        self.handle(Event::pipe_opened(pipe, None, at("10.0.0.1:7575"), at(from)));
        pipe
    }

    /// How many keys of one kind are stored.
    pub(super) fn stored(&self, prefix: u8) -> usize {
        self.store.keys().filter(|key| key.first() == Some(&prefix)).count()
    }

    pub(super) fn has(&self, wanted: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(wanted)
    }

    /// Why links went down, in order.
    pub(super) fn downs(&self) -> Vec<CloseReason> {
        let why = |notice: &Notice| if let Notice::LinkDown { why, .. } = notice { Some(*why) } else { None };
        self.notices.iter().filter_map(why).collect()
    }

    /// Why pipes did not become links, in order.
    pub(super) fn refusals(&self) -> Vec<CloseReason> {
        let why = |notice: &Notice| if let Notice::Refused { why, .. } = notice { Some(*why) } else { None };
        self.notices.iter().filter_map(why).collect()
    }
}

/// Another end that holds real keys and keeps no rules.
pub(super) struct Foe {
    pub(super) own: Own,
    config: Config,
    pub(super) pipe: PipeId,
    /// What its wall clock says.
    pub(super) wall: WallTime,
    keys: Option<(Sealer, Opener)>,
    state: Option<State>,
    raw: Vec<u8>,
    /// Every byte that it ever said.
    pub(super) said: Vec<u8>,
    /// The lines that it was told.
    pub(super) heard: String,
}

impl Foe {
    pub(super) fn new(bench: &mut Bench, name: &str, app: &str) -> Self {
        Self::at(bench, name, app, "10.0.0.66:6666")
    }

    /// One that comes from an address of its choice.
    pub(super) fn at(bench: &mut Bench, name: &str, app: &str, from: &str) -> Self {
        let config = Config::test();
        let credentials = credentials(name, app);
        let rng = Rng::from_seed(&Seed::from_bytes([3; 32])).fork(name, 0);
        let own = Own {
            user_keys: credentials.noise_pair(&config.crypto),
            node_keys: NodeSecret::from_bytes(rng.fork("node", 0).array()).noise_pair(&config.crypto),
            credentials,
            boot: BootId::from_bytes(rng.fork("boot", 0).array()),
            delegations: DelegationCache::new(8),
            revocations: RevocationBook::new(8),
        };
        let pipe = bench.open(from);
        Self { own, config, pipe, wall: WALL, keys: None, state: None, raw: Vec::new(), said: Vec::new(), heard: String::new() }
    }

    /// A foe whose user link is up.
    pub(super) fn linked(bench: &mut Bench, name: &str) -> Self {
        let mut foe = Self::new(bench, name, "test");
        foe.shake(bench, Kind::User);
        let me = foe.own.credentials.delegation().peer();
        assert!(bench.node.links().any(|link| link.with == LinkPeer::User(me)), "{:?}", bench.notices);
        foe
    }

    /// A foe on another device of its user, whose link is up.
    pub(super) fn linked_elsewhere(bench: &mut Bench, name: &str) -> Self {
        let mut foe = Self::new(bench, name, "test");
        let identity = IdentitySecret::from_bytes(Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0).array());
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([8; 32])));
        let grant = keys.grant(AppId::new("test").unwrap(), WALL, WALL + Duration::from_secs(3_600));
        foe.own.credentials = keys.credentials(Delegation::sign(&identity, &grant).unwrap());
        foe.own.user_keys = foe.own.credentials.noise_pair(&foe.config.crypto);
        foe.shake(bench, Kind::User);
        foe
    }

    /// Goes through the handshake as the dialler of a known device, as far as the node lets it.
    pub(super) fn shake(&mut self, bench: &mut Bench, kind: Kind) {
        let known = bench.node.0.own.credentials.delegation().clone();
        let want = match kind {
            Kind::User => Want::User { user: known.user(), known: [known].into() },
            Kind::Service => Want::Service { key: None },
        };
        self.shake_as(bench, want);
    }

    /// Goes through the handshake without showing itself: it waits for the node's proof, and then says nothing.
    pub(super) fn shake_unproven(&mut self, bench: &mut Bench) {
        let want = Want::User { user: bench.node.me().user, known: Vec::new() };
        self.shake_as(bench, want);
    }

    fn shake_as(&mut self, bench: &mut Bench, want: Want) {
        let (mut out, mut checked) = (Vec::new(), 0);
        let rng = Rng::from_seed(&Seed::from_bytes([5; 32])).fork("foe", self.pipe.number());
        let mut hx = Hx { own: &mut self.own, config: &self.config, wall: self.wall, out: &mut out, checked: &mut checked };
        self.state = State::dial(want, rng, &mut hx).ok();
        self.say_raw(bench, &out);
        self.listen(bench);
    }

    pub(super) fn say_raw(&mut self, bench: &mut Bench, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        bench.handle(Event::pipe_bytes(self.pipe, bytes));
    }

    /// Takes in what the node wrote, and answers it while the handshake goes on.
    pub(super) fn listen(&mut self, bench: &mut Bench) {
        loop {
            self.raw.append(bench.written.entry(self.pipe).or_default());
            let Some(out) = self.step() else { return };
            self.say_raw(bench, &out);
        }
    }

    /// Takes one unit: what to answer; `None` if there is no whole one.
    fn step(&mut self) -> Option<Vec<u8>> {
        let is_preamble = self.state.as_ref().is_some_and(State::wants_preamble);
        let length = match is_preamble {
            true => self.raw.iter().position(|byte| *byte == b'\n')? + 1,
            false => 2 + usize::from(u16::from_be_bytes(*self.raw.first_chunk::<2>()?)),
        };
        if self.raw.len() < length {
            return None;
        }
        let mut unit: Vec<u8> = self.raw.drain(..length).collect();
        if let Some((_, opener)) = &mut self.keys {
            let plain = opener.open(&self.config.crypto, &mut unit[2..]).unwrap();
            self.heard.push_str(core::str::from_utf8(&unit[2..2 + plain]).unwrap());
            return Some(Vec::new());
        }
        let (mut out, mut checked) = (Vec::new(), 0);
        let mut hx = Hx { own: &mut self.own, config: &self.config, wall: self.wall, out: &mut out, checked: &mut checked };
        let state = self.state.take()?;
        match state.handle(if is_preamble { Unit::Preamble(&unit) } else { Unit::Noise(&unit[2..]) }, &mut hx) {
            Ok(Next::Wait(state)) => self.state = Some(state),
            Ok(Next::Proven { sealed: Some(sealed), .. } | Next::Sealed { sealed, .. }) => self.keys = Some((sealed.sealer, sealed.opener)),
            Ok(_) | Err(_) => return None,
        }
        Some(out)
    }

    /// Says plaintext in records that open.
    pub(super) fn say(&mut self, bench: &mut Bench, plain: impl AsRef<[u8]>) {
        let sealed = self.seal(plain.as_ref());
        self.say_raw(bench, &sealed);
        self.listen(bench);
    }

    /// What names the link to both its ends; a foe has dialled.
    pub(super) fn link_name(&self) -> [u8; 32] {
        let (sealer, opener) = self.keys.as_ref().unwrap();
        link_name(sealer, opener, true)
    }

    pub(super) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let (sealer, _) = self.keys.as_mut().unwrap();
        let mut all = Vec::new();
        for part in plain.chunks(16_000) {
            let mut record = part.to_vec();
            record.extend_from_slice(&[0; TAG_BYTES]);
            sealer.seal(&self.config.crypto, &mut record).unwrap();
            all.extend_from_slice(&u16::try_from(record.len()).unwrap().to_be_bytes());
            all.append(&mut record);
        }
        all
    }
}
