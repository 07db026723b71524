//! `link-throughput-disk`: messages that survive a crash on both sides, over a commit for each.

use std::path::Path;
use std::time::Duration;

use overcom_core::{Batch, Config, Keep, Time};
use overcom_std::{Clock, DelayedSync, RedbStore, Store};

use crate::figure::{Measured, Size};
use crate::scratch::Scratch;
use crate::wired::{Pace, UNDER_WAY_MAX, Wired};

/// A disk whose sync takes less is delayed: what is gathered while it works must matter.
const SYNC_MIN: Duration = Duration::from_micros(100);
/// An application with much to say.
const GATHERED: Pace = Pace { batch: 128, under_way: UNDER_WAY_MAX };
/// One that waits until each message is delivered, and so stored on both sides.
const ALONE: Pace = Pace { batch: 1, under_way: 1 };
/// As much as a message and its place in an outbox.
const ITEM_BYTES: usize = 350;

/// Time of a message over that of one put and commit into such a store, without a node. In the control each message is
/// delivered before the next is said, and acknowledged at once, so that nothing shares a commit.
///
/// The files lie in memory where the system has such a place, and their sync is a delay: the fastest disk of the promise,
/// on which sharing commits gains least, and one that nobody else writes to. What the machine's own disk does is in the detail.
pub(crate) fn link_throughput_disk(size: Size) -> Result<Measured, String> {
    let (blocks, messages, single) = (size.of(8, 15, 30), size.of(5_000, 20_000, 100_000), size.of(50, 100, 500));
    let mut bench = Bench::new(Some(Path::new("/dev/shm")))?;
    bench.block(messages, single)?;
    let mut best = [f64::INFINITY; 3];
    for _ in 0..blocks {
        // Whatever else the machine does makes a block longer, never shorter.
        best.iter_mut().zip(bench.block(messages, single)?).for_each(|(best, time)| *best = best.min(time));
    }
    let [each, message, control] = best;
    let mut disk = Bench::new(None)?;
    let [disk_each, disk_message, _] = disk.block(messages, single)?;
    Ok(Measured {
        value: message / each,
        unit: "time of a message / commit",
        target: 0.1,
        control: control / each,
        size: blocks * messages,
        seeds: 1,
        detail: format!(
            "overcom-mio over loopback, redb on both sides, a commit of {:.0} µs: {:.0} messages/s; control: each message delivered before the \
             next, {:.0} messages/s; on this machine's disk, with commits of {:.0} µs: {:.0} messages/s",
            each * 1e6,
            1.0 / message,
            1.0 / control,
            disk_each * 1e6,
            1.0 / disk_message,
        ),
    })
}

type Disk = DelayedSync<RedbStore>;

/// Stores in one directory: one without a node, and two pairs of nodes.
struct Bench {
    bare: Disk,
    gathered: Wired,
    alone: Wired,
    /// Goes last.
    _scratch: Scratch,
}

impl Bench {
    /// In this place if the system has it, else where temporary files are.
    fn new(place: Option<&Path>) -> Result<Self, String> {
        let place = place.filter(|place| place.is_dir());
        let scratch = place.map_or_else(|| Scratch::new("figures"), |place| Scratch::within(place, "figures"));
        let open = |name: &str| RedbStore::open(scratch.path().join(name)).map_err(|why| why.to_string());
        let mut probe = open("probe")?;
        let syncs = (0..5).map(|_| commit(&mut probe, 20)).collect::<Result<Vec<_>, _>>()?;
        let delay = SYNC_MIN.saturating_sub(syncs.into_iter().min().unwrap_or_default());
        let slow = |name| Ok::<_, String>(DelayedSync::new(open(name)?, delay));
        let at_once = Config::desktop().acknowledge_ms_max(0);
        Ok(Self {
            bare: slow("bare")?,
            gathered: Wired::start(Config::desktop(), Keep::Disk, [slow("sender")?, slow("reader")?])?,
            alone: Wired::start(at_once, Keep::Disk, [slow("single-sender")?, slow("single-reader")?])?,
            _scratch: scratch,
        })
    }

    /// Seconds: of a commit, of a message among `messages`, of a message among `single` of which each is alone.
    fn block(&mut self, messages: u64, single: u64) -> Result<[f64; 3], String> {
        let each = commit(&mut self.bare, single)?.as_secs_f64();
        let message = self.gathered.block(messages, GATHERED)?.wall.as_secs_f64() / messages as f64;
        let alone = self.alone.block(single, ALONE)?.wall.as_secs_f64() / single as f64;
        Ok([each, message, alone])
    }
}

/// Time of one put of a message's size and its commit, the mean of `times`. As in an outbox, a few places are used again
/// and again, so that it is the file's own pages that are written and not the file system's lists of them.
fn commit(store: &mut impl Store, times: u64) -> Result<Duration, String> {
    let clock = Clock::start();
    for number in 0..times {
        let mut batch = Batch::default();
        batch.put([u8::try_from(number % 16).unwrap_or(0)], [b'x'; ITEM_BYTES]);
        store.store(&[(batch, true)]).map_err(|why| format!("{why:?}"))?;
    }
    Ok(clock.now().since(Time::ZERO) / u32::try_from(times).unwrap_or(u32::MAX))
}
