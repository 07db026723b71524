//! `handshake-cost`: what two nodes compute for a link, over the curve operations in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overcom_core::{AgreeFns, Command, Config, Crypto, standard_agree, standard_public_of_agreement};

use crate::figure::{Measured, Size, median};
use crate::meter::{cpu, cpu_of};
use crate::table::{Person, Table};

/// Diffie-Hellman results of a Noise XX handshake, both sides together: ee, es and se, twice.
const AGREEMENTS: u64 = 6;
/// Public keys that it draws: one ephemeral key on each side.
const DRAWN: u64 = 2;
/// Peers between two looks at what a curve operation costs, so that a slow minute of the machine slows both.
const BLOCK: u64 = 10;

static AGREED: AtomicU64 = AtomicU64::new(0);
static FIXED: AtomicU64 = AtomicU64::new(0);

/// CPU of both sides from the wish to the link, over 6 agreements, 2 public keys and the delegations checked: the worse
/// of first contacts and of contacts between peers who know each other. The control forgives no check of a delegation,
/// as if the cache of their signatures were off.
pub(crate) fn handshake_cost(size: Size) -> Result<Measured, String> {
    let peers = size.of(50, 300, 1_000);
    let crypto = Crypto::with_agreement(AgreeFns { agree: counted_agree, public_of: counted_public_of });
    let mut table = Table::new(1, |_, _| {});
    let config = Config::desktop().crypto(crypto).links_user_max(65_536).pipes_pending_max(65_536);
    let hub = table.seat(config, &Person::draw(1, 0)?)?;
    table.run();
    let (mut cold, mut warm, mut unforgiven) = (Vec::new(), Vec::new(), Vec::new());
    let mut checks = 0;
    for block in 0..peers / BLOCK {
        let unit = Units::measure()?;
        let (mut first, mut again) = (Sum::default(), Sum::default());
        for number in 0..BLOCK {
            let peer = table.seat(config, &Person::draw(1, 1 + block * BLOCK + number)?)?;
            table.run();
            table.introduce(peer, hub)?;
            first.add(&link(&mut table, peer, hub)?);
            table.cut_all(peer);
            again.add(&link(&mut table, peer, hub)?);
            table.unseat(peer);
            table.cut_all(hub);
            table.run();
        }
        checks += first.checks + again.checks;
        cold.push(first.cpu.as_secs_f64() / unit.floor(BLOCK, first.checks).as_secs_f64());
        warm.push(again.cpu.as_secs_f64() / unit.floor(BLOCK, again.checks).as_secs_f64());
        unforgiven.push(first.cpu.as_secs_f64() / unit.floor(BLOCK, 0).as_secs_f64());
        for sum in [&first, &again] {
            if sum.agreed != AGREEMENTS * BLOCK || sum.fixed != DRAWN * BLOCK {
                return Err(format!("{BLOCK} handshakes took {} agreements and {} public keys", sum.agreed, sum.fixed));
            }
        }
    }
    let (cold, warm) = (median(cold), median(warm));
    Ok(Measured {
        value: cold.max(warm),
        unit: "CPU / curve CPU",
        target: 1.15,
        control: median(unforgiven),
        size: peers,
        seeds: 1,
        detail: format!(
            "in core, no sockets; first contact {cold:.3}, known peers {warm:.3}; counted {AGREEMENTS} agreements, {DRAWN} public keys a \
             handshake and {checks} delegation checks in all; control: first contacts without forgiving the checks"
        ),
    })
}

/// One handshake's cost on both sides.
#[derive(Default)]
struct Sum {
    cpu: Duration,
    agreed: u64,
    fixed: u64,
    checks: u64,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.agreed += other.agreed;
        self.fixed += other.fixed;
        self.checks += other.checks;
    }
}

fn link(table: &mut Table, peer: usize, hub: usize) -> Result<Sum, String> {
    let read = |table: &Table| {
        let checks = |seat: usize| table.seats[seat].node().map_or(0, |node| node.stats().signatures_checked);
        (AGREED.load(Ordering::Relaxed), FIXED.load(Ordering::Relaxed), checks(peer) + checks(hub))
    };
    let user = table.user(hub)?;
    let before = read(table);
    let begun = cpu();
    table.command(peer, Command::find(user)).map_err(|why| why.to_string())?;
    table.run();
    let cpu = cpu().saturating_sub(begun);
    let after = read(table);
    let links = table.seats[peer].node().map_or(0, |node| node.links().count());
    if links != 1 {
        return Err(format!("a peer has {links} links after its handshake"));
    }
    Ok(Sum { cpu, agreed: after.0 - before.0, fixed: after.1 - before.1, checks: after.2 - before.2 })
}

/// What one curve operation costs now.
struct Units {
    agree: Duration,
    public_of: Duration,
    verify: Duration,
}

impl Units {
    fn measure() -> Result<Self, String> {
        let crypto = Crypto::standard();
        let person = Person::draw(2, 0)?;
        let delegation = person.credentials.delegation();
        let (secret, public) = ([0x42; 32], standard_public_of_agreement(&[0x17; 32]));
        Ok(Self {
            agree: cpu_of(60, || standard_agree(&secret, &public)),
            public_of: cpu_of(60, || standard_public_of_agreement(&secret)),
            verify: cpu_of(60, || delegation.verify(&crypto)),
        })
    }

    fn floor(&self, handshakes: u64, checks: u64) -> Duration {
        let times = |unit: Duration, count: u64| unit.mul_f64(count as f64);
        times(self.agree, handshakes * AGREEMENTS) + times(self.public_of, handshakes * DRAWN) + times(self.verify, checks)
    }
}

fn counted_agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
    AGREED.fetch_add(1, Ordering::Relaxed);
    standard_agree(secret, public)
}

fn counted_public_of(secret: &[u8; 32]) -> [u8; 32] {
    FIXED.fetch_add(1, Ordering::Relaxed);
    standard_public_of_agreement(secret)
}
