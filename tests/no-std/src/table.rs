//! Two nodes on one table: every byte is carried by hand, and there is no clock but a number.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use overcom_core::{
    Action, AppId, Command, Config, ConnectError, Credentials, Delegation, DeviceKeys, Event, IdentitySecret, Item, Keep, LinkPeer,
    Message, Node, Notice, OpId, Page, PipeId, ResolveError, Rng, Seed, Send, Tag, Time, UserId, WallTime,
};

/// What went wrong, as an exit code: each step has its own, listed in the crate's documentation.
pub(crate) type Step = u32;

pub(crate) const WALL: WallTime = WallTime::from_millis(1_767_225_600_000);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
/// More actions than this in one go and the two nodes talk in circles.
const ACTIONS_MAX: usize = 1_000;

/// A new user's device, whose delegation is good for a week.
pub(crate) fn credentials(rng: &mut Rng) -> Result<(IdentitySecret, Credentials), Step> {
    let identity = IdentitySecret::from_bytes(rng.array());
    let device = DeviceKeys::draw(rng);
    let app = AppId::new("no-std.proof").map_err(|_| 1_u32)?;
    let delegation = Delegation::sign(&identity, &device.grant(app, WALL, WALL + WEEK)).map_err(|_| 2_u32)?;
    Ok((identity, device.credentials(delegation)))
}

/// What one side's application was told.
#[derive(Default)]
struct Told {
    started: bool,
    linked: Option<UserId>,
    heard: Option<(UserId, bool)>,
    queued: Option<Tag>,
    delivered: Option<Tag>,
    down: bool,
    quiet: bool,
}

struct Side {
    node: Node,
    at: SocketAddr,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    told: Told,
}

struct Table {
    sides: [Side; 2],
    now: Time,
    pipes: u64,
}

/// Two nodes start, shake hands, pass a message and its acknowledgement, fall silent at their deadlines, and part.
pub(crate) fn talk(rng: &mut Rng) -> Result<(), Step> {
    let mut table = Table { sides: [Side::new(rng, 1)?, Side::new(rng, 2)?], now: Time::from_secs(1), pipes: 0 };
    table.run()?;
    require(table.sides.iter().all(|side| side.told.started), 11)?;
    let [alice, bob] = table.users();
    let to = table.sides[1].at;
    table.wish(0, Command::introduce(bob, [to.into()]), 12)?;
    let message = Message::new("greeting", "hello Bob").map_err(|_| 13_u32)?;
    let tag = table.wish(0, Send::new(bob, message).keep(Keep::Disk).into(), 14)?;
    table.run()?;
    require(table.told(0).linked == Some(bob) && table.told(1).linked == Some(alice), 15)?;
    require(table.told(1).heard == Some((alice, true)), 16)?;
    require(table.told(0).queued == Some(tag), 17)?;
    // The acknowledgement waits for something to ride on, at most until a deadline.
    table.sleep()?;
    require(table.told(0).delivered == Some(tag), 18)?;
    require(!table.sides[0].store.keys().any(|key| key.starts_with(b"o")), 19)?;
    require(table.sides[1].store.keys().any(|key| key.starts_with(b"m")), 20)?;
    table.wish(0, Command::Suspend, 21)?;
    table.run()?;
    require(table.told(0).quiet && table.sides[0].node.deadline().is_none(), 22)?;
    require(table.told(1).down && table.sides[1].node.links().next().is_none(), 23)
}

fn require(held: bool, step: Step) -> Result<(), Step> {
    if held { Ok(()) } else { Err(step) }
}

impl Side {
    fn new(rng: &mut Rng, host: u8) -> Result<Self, Step> {
        let (_, credentials) = credentials(rng)?;
        let seed = Seed::from_bytes(rng.array());
        let node = Node::new(Config::embedded(), credentials, seed, Time::from_secs(1), WALL).map_err(|_| 10_u32)?;
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 7575);
        Ok(Self { node, at, store: BTreeMap::new(), told: Told::default() })
    }

    fn hear(&mut self, notice: &Notice) {
        match notice {
            Notice::Started { .. } => self.told.started = true,
            Notice::LinkUp { with: LinkPeer::User(peer), .. } => self.told.linked = Some(peer.user),
            Notice::Message(message) => {
                let is_it = message.kind() == "greeting" && message.payload() == "\"hello Bob\"";
                self.told.heard = Some((message.from.user, is_it));
            }
            Notice::Queued { tag, .. } => self.told.queued = Some(*tag),
            Notice::Delivered { tag, device: None, .. } => self.told.delivered = Some(*tag),
            Notice::LinkDown { .. } => self.told.down = true,
            Notice::Quiet => self.told.quiet = true,
            _ => {}
        }
    }

    fn load(&self, from: &[u8], to: &[u8], limit: u32) -> Vec<Item> {
        let range = self.store.range(from.to_vec()..to.to_vec());
        range.take(limit as usize).map(|(key, value)| Item { key: key.clone(), value: value.clone() }).collect()
    }
}

impl Table {
    fn users(&self) -> [UserId; 2] {
        [self.sides[0].node.me().user, self.sides[1].node.me().user]
    }

    fn told(&self, at: usize) -> &Told {
        &self.sides[at].told
    }

    fn wish(&mut self, at: usize, command: Command, step: Step) -> Result<Tag, Step> {
        self.sides[at].node.command(self.now, command).map_err(|_| step)
    }

    fn handle(&mut self, at: usize, event: Event<'_>) {
        self.sides[at].node.handle(self.now, event);
    }

    /// Carries every action out until both sides are at rest.
    fn run(&mut self) -> Result<(), Step> {
        for at in [0, 1] {
            // What a command has to store is due at once.
            if self.sides[at].node.deadline().is_some_and(|due| due <= self.now) {
                self.handle(at, Event::Tick);
            }
        }
        for _ in 0..ACTIONS_MAX {
            let next = [0, 1].into_iter().find_map(|at| self.sides[at].node.poll().map(|action| (at, action)));
            let Some((at, action)) = next else { return Ok(()) };
            self.carry(at, action);
        }
        Err(30)
    }

    /// Lets time pass to the next deadline.
    fn sleep(&mut self) -> Result<(), Step> {
        let due = self.sides.iter().filter_map(|side| side.node.deadline()).min().ok_or(31_u32)?;
        self.now = self.now.max(due);
        self.run()
    }

    fn carry(&mut self, at: usize, action: Action) {
        let other = 1 - at;
        match action {
            Action::Load { op, from, to, limit } => {
                let items = self.sides[at].load(&from, &to, limit);
                let more = items.len() == limit as usize;
                self.handle(at, Event::loaded(op, Ok(Page { items: &items, more })));
            }
            Action::Store { op, batch, .. } => {
                for change in batch.changes {
                    match change.value {
                        Some(value) => drop(self.sides[at].store.insert(change.key, value)),
                        None => drop(self.sides[at].store.remove(&change.key)),
                    }
                }
                self.handle(at, Event::stored(op, Ok(())));
            }
            Action::Notify { notice } => {
                self.sides[at].hear(&notice);
                self.handle(at, Event::taken(1, &[]));
            }
            Action::Connect { op, to, .. } if to == self.sides[other].at => self.connect(at, op),
            Action::Connect { op, .. } => self.handle(at, Event::connect_failed(op, ConnectError::Refused)),
            Action::Write { pipe, packet } => {
                self.handle(other, Event::pipe_bytes(pipe, packet.bytes()));
                self.handle(at, Event::pipe_written(pipe));
                self.sides[at].node.recycle(packet);
            }
            Action::Close { pipe } => {
                self.handle(at, Event::pipe_closed(pipe));
                self.handle(other, Event::pipe_closed(pipe));
            }
            Action::Resolve { op, .. } => self.handle(at, Event::resolved(op, Err(ResolveError::Unknown))),
            Action::SendDatagram { .. } => {}
        }
    }

    /// A pipe from one side to the other; it has the same number on both.
    fn connect(&mut self, at: usize, op: OpId) {
        self.pipes += 1;
        let (pipe, here, there) = (PipeId::new(self.pipes), self.sides[at].at, self.sides[1 - at].at);
        self.handle(at, Event::pipe_opened(pipe, Some(op), here, there));
        self.handle(1 - at, Event::pipe_opened(pipe, None, there, here));
    }
}
