//! `link-throughput`: what a message costs from one application to the other, over its codec and cipher.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Config, Crypto, Message, Notice};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::figure::{Measured, Size, median};
use crate::meter::{cpu, cpu_of};
use crate::table::{Person, Table};

/// Messages in one block; the floor is measured after each block, so that a slow minute of the machine slows both.
const BLOCK: u64 = 20_000;
/// Messages that an application sends before it lets the node turn.
const BATCH: u64 = 128;
/// The whole line is of some 300 bytes.
const TEXT_BYTES: usize = 240;

/// CPU per message of both nodes over the CPU of encoding, decoding, sealing and opening the same lines at the run's mean
/// record size. The control sends a message only when the one before is out, so that each is a record of its own.
pub(crate) fn link_throughput(size: Size) -> Result<Measured, String> {
    let blocks = size.of(5, 25, 250);
    let mut together = Run::new()?;
    let mut alone = Run::new()?;
    let (mut ratios, mut controls, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    together.block(BATCH)?;
    for _ in 0..blocks {
        let (cost, bytes) = together.block(BATCH)?;
        let floor = floor(bytes)?;
        costs.push(cost.as_secs_f64());
        ratios.push(cost.as_secs_f64() / floor.as_secs_f64());
        // Against the same floor: what the lack of gathering costs.
        controls.push(alone.block(1)?.0.as_secs_f64() / floor.as_secs_f64());
    }
    let (cost, bytes) = (median(costs), together.record_bytes());
    Ok(Measured {
        value: median(ratios),
        unit: "CPU / codec and cipher CPU",
        target: 1.6,
        control: median(controls),
        size: blocks * BLOCK,
        seeds: 1,
        detail: format!(
            "two nodes on a table in one thread, without sockets; {:.0} messages/s of one core for both ends, records of {bytes} bytes on \
             average; control: one message a record",
            1.0 / cost
        ),
    })
}

struct Run {
    table: Table,
    arrived: Rc<Cell<u64>>,
    sent: u64,
}

impl Run {
    fn new() -> Result<Self, String> {
        let arrived = Rc::new(Cell::new(0));
        let counter = Rc::clone(&arrived);
        let mut table = Table::new(1, move |_, notice| {
            if let Notice::Message(message) = notice {
                let (number, text): (u64, &str) = message.parse().unwrap_or_default();
                // Only a message in order and whole counts.
                if number == counter.get() && text.len() == TEXT_BYTES {
                    counter.set(number + 1);
                }
            }
        });
        table.linked_pair(Config::desktop(), [&Person::draw(1, 0)?, &Person::draw(1, 1)?])?;
        Ok(Self { table, arrived, sent: 0 })
    }

    /// Sends a block and has it read; CPU per message and the mean record's bytes.
    fn block(&mut self, batch: u64) -> Result<(Duration, usize), String> {
        let user = self.table.user(1)?;
        let text = "x".repeat(TEXT_BYTES);
        let before = cpu();
        for _ in 0..BLOCK {
            let message = Message::new("text", &(self.sent, &text)).map_err(|why| why.to_string())?;
            self.table.send(0, user, message).map_err(|why| why.to_string())?;
            self.sent += 1;
            if self.sent.is_multiple_of(batch) {
                self.table.run();
            }
        }
        self.table.pass(Duration::from_millis(100));
        let cost = cpu().saturating_sub(before) / u32::try_from(BLOCK).unwrap_or(u32::MAX);
        if self.arrived.get() != self.sent {
            return Err(format!("{} of {} messages arrived in order", self.arrived.get(), self.sent));
        }
        Ok((cost, self.record_bytes()))
    }

    /// The mean size of the sender's records.
    fn record_bytes(&self) -> usize {
        let records = self.table.seats[0].node().map_or(1, |node| node.stats().records_out).max(1);
        usize::try_from(self.sent * LINE_BYTES / records).unwrap_or(usize::MAX)
    }
}

/// A line of this run, about.
const LINE_BYTES: u64 = 300;

/// The line as it goes over the link.
#[derive(Serialize, Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    message: Inner<'a>,
}

#[derive(Serialize, Deserialize)]
struct Inner<'a> {
    number: u64,
    r#type: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// CPU of encoding and decoding one such line, payload included, and of its share of a record's seal and opening.
fn floor(record_bytes: usize) -> Result<Duration, String> {
    let text = "x".repeat(TEXT_BYTES);
    let wrong = |why: serde_json::Error| why.to_string();
    let payload = serde_json::value::to_raw_value(&(7_u64, &text)).map_err(wrong)?;
    let line = Outer { message: Inner { number: 1_000, r#type: "text", payload: &payload } };
    let line = serde_json::to_vec(&line).map_err(wrong)?;
    let times = 20_000;
    let encode = cpu_of(times, || serde_json::to_vec(&(7_u64, &text)));
    let decode = cpu_of(times, || {
        let read: Option<Outer<'_>> = serde_json::from_slice(std::hint::black_box(&line)).ok();
        let payload: Option<(u64, &str)> = read.and_then(|read| serde_json::from_str(read.message.payload.get()).ok());
        std::hint::black_box(payload);
    });
    let crypto = Crypto::standard();
    let mut record = vec![b'x'; record_bytes + 16];
    let records = 200;
    let cipher = cpu_of(records, || {
        crypto.seal(&[7; 32], 1, &[], &mut record);
        std::hint::black_box(crypto.open(&[7; 32], 1, &[], &mut record).is_ok());
    });
    Ok(encode + decode + cipher.mul_f64(line.len() as f64 / record_bytes as f64))
}
