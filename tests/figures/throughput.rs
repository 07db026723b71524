//! `link-throughput`: what a message costs from one application to the other over loopback sockets, over its codec and cipher.

use std::time::Duration;

use overcom_core::{Config, Crypto, Keep, TAG_BYTES};
use overcom_std::{MemoryStore, ring_aead};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::figure::{Measured, Size, median};
use crate::meter::{Spent, cpu_of};
use crate::wired::{Block, Pace, Payload, UNDER_WAY_MAX, Wired, data};

/// An application with much to say.
const GATHERED: Pace = Pace { batch: 128, under_way: UNDER_WAY_MAX };
/// One that lets each message leave before it says the next.
const ALONE: Pace = Pace { batch: 1, under_way: UNDER_WAY_MAX };

/// CPU of both ends' threads per message, the kernel's work for their sockets with it, over the CPU of encoding, decoding,
/// sealing and opening the same lines at the run's mean record size. The control lets the node turn after every message,
/// so that none is gathered with another.
pub(crate) fn link_throughput(size: Size) -> Result<Measured, String> {
    let (blocks, messages) = (size.of(5, 20, 40), size.of(20_000, 100_000, 250_000));
    let mut standard = Wired::start(Config::desktop(), Keep::Memory, [MemoryStore::new(), MemoryStore::new()])?;
    let fast = Crypto::with_aead(ring_aead());
    let mut ring = Wired::start(Config::desktop().crypto(fast), Keep::Memory, [MemoryStore::new(), MemoryStore::new()])?;
    let (mut ours, mut rings, mut controls) = (Series::new(Crypto::standard()), Series::new(fast), Vec::new());
    standard.block(messages, GATHERED)?;
    ring.block(messages, GATHERED)?;
    for _ in 0..blocks {
        let floor = ours.add(&standard.block(messages, GATHERED)?)?;
        rings.add(&ring.block(messages, GATHERED)?)?;
        // Against the same floor: what the lack of gathering costs.
        controls.push(standard.block(messages / 5, ALONE)?.cpu.as_secs_f64() / floor);
    }
    Ok(Measured {
        value: median(ours.ratios.clone()),
        unit: "CPU / codec and cipher CPU",
        target: 1.6,
        control: median(controls),
        size: blocks * messages,
        seeds: 1,
        detail: format!(
            "overcom-mio over loopback, the sockets' kernel time in the ratio; {ours}; with ring {rings}; control: each message a record and a write of its own"
        ),
    })
}

/// What the blocks of one pair of nodes came to.
struct Series {
    crypto: Crypto,
    ratios: Vec<f64>,
    rates: Vec<f64>,
    costs: Vec<f64>,
    floors: Vec<f64>,
    spent: Spent,
    records: u64,
    messages: u64,
}

impl Series {
    fn new(crypto: Crypto) -> Self {
        Self {
            crypto,
            ratios: Vec::new(),
            rates: Vec::new(),
            costs: Vec::new(),
            floors: Vec::new(),
            spent: Spent::default(),
            records: 0,
            messages: 0,
        }
    }

    /// Adds a block and measures its floor right after it; the floor in seconds.
    fn add(&mut self, block: &Block) -> Result<f64, String> {
        self.records += block.records;
        self.messages += block.messages;
        self.spent = self.spent.plus(&block.spent);
        let floor = floor(&self.crypto, block.messages as f64 / block.records.max(1) as f64)?.as_secs_f64();
        self.floors.push(floor);
        self.costs.push(block.cpu.as_secs_f64());
        self.ratios.push(block.cpu.as_secs_f64() / floor);
        self.rates.push(block.messages as f64 / block.wall.as_secs_f64());
        Ok(floor)
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |values: &[f64]| median(values.to_vec());
        let kernel = self.spent.system as f64 / (self.spent.user + self.spent.system).max(1) as f64;
        write!(
            f,
            "{:.2} of {:.0} ns: {:.0} messages/s, {:.0} ns of CPU a message, {:.0} % of it in the kernel, {:.0} messages a record",
            of(&self.ratios),
            of(&self.floors) * 1e9,
            of(&self.rates),
            of(&self.costs) * 1e9,
            kernel * 100.0,
            self.messages as f64 / self.records.max(1) as f64,
        )
    }
}

/// The line as it goes over the link.
#[derive(Serialize, Deserialize)]
struct Outer<'a, P> {
    #[serde(borrow)]
    message: Inner<'a, P>,
}

#[derive(Serialize, Deserialize)]
struct Inner<'a, P> {
    number: u64,
    r#type: &'a str,
    payload: P,
}

/// CPU of one line through the codec, both ways, and of its share of a record's seal and opening. The buffer is reused, so
/// that no memory is asked for; the payload is read after the line, because only the line says of what type it is.
fn floor(crypto: &Crypto, messages_per_record: f64) -> Result<Duration, String> {
    const LINES: u64 = 500;
    let data = data();
    let outer = |number| Outer { message: Inner { number, r#type: "text", payload: Payload::cut(&data, number) } };
    let values: Vec<Outer<'_, Payload<'_>>> = (0..LINES).map(outer).collect();
    let mut line = Vec::new();
    let mut write = |value: &Outer<'_, Payload<'_>>| {
        line.clear();
        serde_json::to_writer(&mut line, value).is_ok()
    };
    let encode = cpu_of(40, || values.iter().filter(|value| write(value)).count());
    let lines = values.iter().map(serde_json::to_vec).collect::<Result<Vec<Vec<u8>>, _>>().map_err(|why| why.to_string())?;
    let read = |line: &[u8]| -> bool {
        let outer: Option<Outer<'_, &RawValue>> = serde_json::from_slice(line).ok();
        let payload: Option<Payload<'_>> = outer.as_ref().and_then(|outer| serde_json::from_str(outer.message.payload.get()).ok());
        std::hint::black_box(payload).is_some()
    };
    let decode = cpu_of(40, || lines.iter().filter(|line| read(std::hint::black_box(line))).count());
    // Each line with its newline.
    let line_bytes = lines.iter().map(|line| line.len() + 1).sum::<usize>() as f64 / LINES as f64;
    let mut record = vec![b'x'; (line_bytes * messages_per_record) as usize + TAG_BYTES];
    let cipher = cpu_of(400, || {
        crypto.seal(&[7; 32], 1, &[], &mut record);
        std::hint::black_box(crypto.open(&[7; 32], 1, &[], &mut record).is_ok());
    });
    Ok((encode + decode) / u32::try_from(LINES).unwrap_or(1) + cipher.div_f64(messages_per_record))
}
