//! Machines that name victims: what those are sent by whoever looks for somebody and believes it, for each byte of those replies.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Path, Time};
use overcom_simulator::Draws;
use overcom_simulator::swarm::byzantine::{Colludes, Letter, Plan};
use serde_json::json;

use super::atlas::{Atlas, prefix};
use super::attack::{network, publish};
use super::fields::Fields;
use super::gang::hint;
use super::looks::lost;
use super::net::{Member, Owner, Reader, Spoken, base64};
use crate::seeds::shifted;

const SEED: u64 = 27;
const MACHINES: u32 = 1_000;
/// One machine in so many is hostile.
const HOSTILE_EACH: u32 = 5;
/// Addresses of victims, of each of which eight ids are possible.
const VICTIMS: usize = 20_000;
/// Those that are named share so many bits with what is looked for: more than any machine does.
const SHARED: u32 = 12;
/// A look-up, and whatever comes of it in the table.
const MINUTE: Duration = Duration::from_secs(60);
/// So many look at once.
const READERS: usize = 50;

const fn is_hostile(machine: u32) -> bool {
    machine.is_multiple_of(HOSTILE_EACH)
}

/// Names so many victims, others each time, to whoever asks for nodes or records.
struct Names {
    count: usize,
    /// So many of its kind, the nearest, are named in front, and answer: what a reply names is then not all in vain.
    fronts: usize,
    atlas: Rc<Atlas>,
    /// By the beginning of an id that may be there.
    victims: BTreeMap<u32, Vec<(u32, Ipv4Addr)>>,
    draws: Draws,
    targets: BTreeMap<String, u64>,
    /// What was said so that victims are asked: nothing else need be.
    sent: Spoken,
}

impl Names {
    fn new(count: usize, fronts: usize, atlas: Rc<Atlas>) -> Self {
        let mut draws = Draws::new(shifted(SEED), "victims", &[]);
        let mut victims: BTreeMap<u32, Vec<(u32, Ipv4Addr)>> = BTreeMap::new();
        for _ in 0..VICTIMS {
            let ip = Ipv4Addr::from_bits(96 << 24 | draws.below(1 << 24) as u32);
            for variant in 0..8 {
                let [first, second, third] = prefix(ip.into(), variant);
                let begins = u32::from_be_bytes([first, second, third, 0]);
                victims.entry(begins >> (32 - SHARED)).or_default().push((begins, ip));
            }
        }
        Self { count, fronts, atlas, victims, draws, targets: BTreeMap::new(), sent: Spoken::default() }
    }

    /// Victims near a target, under ids that are as near as may be.
    fn near(&mut self, target: u64) -> String {
        let Some(all) = self.victims.get(&((target >> (64 - SHARED)) as u32)) else { return "[]".into() };
        let near = self.atlas.nearest(target, self.fronts, is_hostile);
        let fronts = near.iter().filter_map(|machine| self.atlas.place(*machine));
        let mut nodes: Vec<_> = fronts.map(|place| json!([base64(&place.hint().to_be_bytes()), place.at.to_string()])).collect();
        for _ in 0..self.count {
            let (begins, ip) = all[self.draws.below(all.len() as u64) as usize];
            let hint = u64::from(begins) << 32 | target & ((1 << 41) - 1);
            nodes.push(json!([base64(&hint.to_be_bytes()), SocketAddrV4::new(ip, 7_575).to_string()]));
        }
        json!(nodes).to_string()
    }
}

impl Plan for Names {
    fn on_send(&mut self, _now: Time, mut letter: Letter, out: &mut Vec<Letter>) {
        if let Some(mut reply) = Fields::read(&letter.bytes)
            && matches!(reply.text("r"), Some("find" | "get"))
            && let Some(target) = reply.text("t").and_then(|exchange| self.targets.remove(exchange))
        {
            let nodes = self.near(target);
            reply.replace("nodes", &nodes);
            reply.replace("index", "[]");
            reply.remove("record");
            letter.bytes = reply.bytes();
            self.sent.datagrams += 1;
            self.sent.bytes += letter.bytes.len() as u64;
        }
        out.push(letter);
    }

    fn on_hear(&mut self, _now: Time, _path: Path, bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        if let Some(request) = Fields::read(bytes)
            && let (Some("find" | "get"), Some(exchange), Some(target)) = (request.text("q"), request.text("t"), request.text("target"))
        {
            self.targets.insert(exchange.to_owned(), hint(target));
        }
        true
    }
}

/// What came of it.
pub(super) struct Named {
    /// What the hostile said for it.
    pub(super) sent: Spoken,
    /// What came to victims.
    pub(super) reached: Spoken,
    pub(super) victims: usize,
    pub(super) looks: usize,
    pub(super) lost: f64,
}

impl Named {
    /// Bytes that reach victims for each byte of replies that name them.
    pub(super) fn ratio(&self) -> f64 {
        self.reached.bytes as f64 / self.sent.bytes.max(1) as f64
    }

    /// The same of datagrams.
    pub(super) fn datagrams(&self) -> f64 {
        self.reached.datagrams as f64 / self.sent.datagrams.max(1) as f64
    }

    pub(super) fn words(&self) -> String {
        format!(
            "{} look-ups, {:.2} % lost: {} bytes of {} replies that name victims, {} in {} datagrams to {} of these",
            self.looks,
            self.lost * 100.0,
            self.sent.bytes,
            self.sent.datagrams,
            self.reached.bytes,
            self.reached.datagrams,
            self.victims
        )
    }
}

/// So many look-ups among machines of which one in five names so many victims in all its replies, after so many of these machines.
pub(super) fn named(looks: usize, count: usize, fronts: usize) -> Result<Named, String> {
    let atlas = Rc::new(Atlas::of(MACHINES));
    let plan = Rc::new(RefCell::new(Names::new(count, fronts, Rc::clone(&atlas))));
    let shared = Rc::clone(&plan);
    let make = move |machine, peer| {
        if is_hostile(machine) { Member::turned(peer, Colludes::new(Rc::clone(&shared))) } else { Member::honest(peer) }
    };
    let mut net = network(&atlas, make)?;
    let mut draws = Draws::new(shifted(SEED), "named", &[count as u64]);
    let pick = |draws: &mut Draws| 1 + draws.below(u64::from(MACHINES / HOSTILE_EACH)) as u32 * HOSTILE_EACH;
    let owners: Vec<Owner> = publish(&mut net, 20, &mut draws, pick)?.into_iter().map(|(_, owner)| owner).collect();
    plan.borrow_mut().sent = Spoken::default();
    let (mut reached, mut victims, mut looked) = (Spoken::default(), BTreeSet::<SocketAddr>::new(), Vec::new());
    while looked.len() < looks {
        let mut readers = BTreeSet::new();
        while readers.len() < READERS.min(looks - looked.len()) {
            readers.insert(pick(&mut draws) + 1);
        }
        for (reader, owner) in readers.iter().zip(owners.iter().cycle()) {
            net.ask(*reader, |peer, now| {
                peer.spoken = Some(BTreeMap::new());
                peer.watch(now, owner.home.clone());
                owner.find(peer, now, Reader::Contact).map(|_| ())
            })??;
        }
        net.run(MINUTE)?;
        for reader in readers {
            let spoken = net.ask(reader, |peer, _| peer.spoken.take().unwrap_or_default())?;
            for (at, sent) in spoken.into_iter().filter(|(at, _)| net.swarm.machine_at(*at).is_none()) {
                victims.insert(at);
                (reached.datagrams, reached.bytes) = (reached.datagrams + sent.datagrams, reached.bytes + sent.bytes);
            }
            looked.extend(net.looked_up(reader)?);
        }
    }
    let sent = plan.borrow().sent;
    Ok(Named { sent, reached, victims: victims.len(), looks: looked.len(), lost: lost(&looked) })
}
