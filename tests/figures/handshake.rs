//! `handshake-cost`: what two nodes compute for a link, over the curve operations in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overcom_core::{AgreeFns, Command, Config, Crypto, standard_agree, standard_public_of_agreement};

use crate::figure::{Measured, Size, median};
use crate::meter::{mean, monotonic};
use crate::table::{Person, Table};

/// Diffie-Hellman results of a Noise XX handshake, both sides together: ee, es and se, twice.
const AGREEMENTS: u64 = 6;
/// Public keys that it draws: one ephemeral key on each side.
const DRAWN: u64 = 2;
/// Peers in a block; the median block counts.
const BLOCK: u64 = 10;

static AGREED: AtomicU64 = AtomicU64::new(0);
static FIXED: AtomicU64 = AtomicU64::new(0);
/// Time inside the curve operations where they happen, in nanoseconds: caches are as cold for them as for the rest.
static CURVE: AtomicU64 = AtomicU64::new(0);

/// CPU of both sides from the wish to the link, over that of its 6 agreements, 2 public keys and delegation checks: the worse
/// of first contacts and of contacts between peers who know each other. The control forgives no check of a delegation,
/// as if the cache of their signatures were off.
///
/// One thread computes everything, so its time is its CPU but for what others on the machine take away; the median block counts.
pub(crate) fn handshake_cost(size: Size) -> Result<Measured, String> {
    let peers = size.of(50, 1_000, 1_000);
    let crypto = Crypto::with_agreement(AgreeFns { agree: counted_agree, public_of: counted_public_of });
    let mut table = Table::new(1, |_, _| {});
    let config = Config::desktop().crypto(crypto).links_user_max(65_536).pipes_pending_max(65_536);
    let hub = table.seat(config, &Person::draw(1, 0)?)?;
    table.run();
    let (mut cold, mut warm, mut unforgiven) = (Vec::new(), Vec::new(), Vec::new());
    let mut checks = 0;
    for block in 0..peers / BLOCK {
        let clock = mean(monotonic, 1_000, monotonic);
        let (mut first, mut again) = (Sum::default(), Sum::default());
        let mut check = Duration::ZERO;
        for number in 0..BLOCK {
            let person = Person::draw(1, 1 + block * BLOCK + number)?;
            let delegation = person.credentials.delegation();
            check +=
                mean(monotonic, 1, || delegation.verify(&Crypto::standard())).saturating_sub(clock) / u32::try_from(BLOCK).unwrap_or(1);
            let peer = table.seat(config, &person)?;
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
        let checked = check * u32::try_from(first.checks).map_err(|why| why.to_string())?;
        cold.push(first.ratio(clock, checked));
        warm.push(again.ratio(clock, Duration::ZERO));
        unforgiven.push(first.ratio(clock, Duration::ZERO));
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
    all: Duration,
    curve: Duration,
    agreed: u64,
    fixed: u64,
    checks: u64,
}

impl Sum {
    /// Everything over the curve operations, both without what reading the clock took.
    fn ratio(&self, clock: Duration, checks: Duration) -> f64 {
        let reads = u32::try_from(self.agreed + self.fixed).unwrap_or(u32::MAX);
        // Of two readings around an operation about one falls into it, and one beside it.
        let all = self.all.saturating_sub(clock * reads * 2);
        let curve = self.curve.saturating_sub(clock * reads) + checks;
        all.as_secs_f64() / curve.as_secs_f64()
    }

    fn add(&mut self, other: &Self) {
        self.all += other.all;
        self.curve += other.curve;
        self.agreed += other.agreed;
        self.fixed += other.fixed;
        self.checks += other.checks;
    }
}

fn link(table: &mut Table, peer: usize, hub: usize) -> Result<Sum, String> {
    let read = |table: &Table| {
        let checks = |seat: usize| table.seats[seat].node().map_or(0, |node| node.stats().signatures_checked);
        let counted = [&AGREED, &FIXED, &CURVE].map(|counter| counter.load(Ordering::Relaxed));
        (counted, checks(peer) + checks(hub))
    };
    let user = table.user(hub)?;
    let before = read(table);
    let begun = monotonic();
    table.command(peer, Command::find(user)).map_err(|why| why.to_string())?;
    table.run();
    let all = monotonic().saturating_sub(begun);
    let after = read(table);
    let links = table.seats[peer].node().map_or(0, |node| node.links().count());
    if links != 1 {
        return Err(format!("a peer has {links} links after its handshake"));
    }
    let [agreed, fixed, curve] = [0, 1, 2].map(|at| after.0[at] - before.0[at]);
    Ok(Sum { all, curve: Duration::from_nanos(curve), agreed, fixed, checks: after.1 - before.1 })
}

fn counted_agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
    AGREED.fetch_add(1, Ordering::Relaxed);
    timed(|| standard_agree(secret, public))
}

fn counted_public_of(secret: &[u8; 32]) -> [u8; 32] {
    FIXED.fetch_add(1, Ordering::Relaxed);
    timed(|| standard_public_of_agreement(secret))
}

/// Does `work` and adds its time to the curve's.
fn timed<T>(work: impl FnOnce() -> T) -> T {
    let begun = monotonic();
    let result = work();
    let spent = monotonic().saturating_sub(begun);
    CURVE.fetch_add(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    result
}
