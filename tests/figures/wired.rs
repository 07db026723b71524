//! Two nodes of overcom-mio and a real link between them: loopback sockets, a loop and a thread each.
//!
//! The sender's loop runs on the thread that measures, the reader's on its own, as in two processes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use overcom_core::{Command, CommandError, Config, Credentials, Keep, Message, Notice, Received, Send, Time, UserId};
use overcom_mio::{Handle, Runtime};
use overcom_std::{Clock, Setup, Store};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::meter::{Spent, spent};
use crate::table::{Person, delegation};

/// Messages that the sending application has under way at most: four windows, so that it never holds the link back.
pub(crate) const UNDER_WAY_MAX: u64 = 4_096;
/// No block takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// The whole line of a message is of some 300 bytes, by this text.
const TEXT_BYTES: usize = 190;

/// What the sending application sends: the reader can tell whether it is the next one, and whole.
#[derive(Serialize, Deserialize)]
pub(crate) struct Payload<'a> {
    number: u64,
    hash: u64,
    text: &'a str,
}

impl<'a> Payload<'a> {
    /// The message with this number, made of a stretch of `data` that no message before it had.
    pub(crate) fn cut(data: &'a str, number: u64) -> Self {
        let start = usize::try_from(number * 61).unwrap_or(0) % (data.len() - TEXT_BYTES);
        let text = data.get(start..start + TEXT_BYTES).unwrap_or_default();
        Self { number, hash: xxh3_64_with_seed(text.as_bytes(), number), text }
    }

    fn is_whole(&self) -> bool {
        self.text.len() == TEXT_BYTES && self.hash == xxh3_64_with_seed(self.text.as_bytes(), self.number)
    }
}

/// The sending application's data: letters without a pattern.
pub(crate) fn data() -> String {
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 40) % 26).unwrap_or(0))
    };
    (0..64 << 10).map(|_| letter()).collect()
}

/// How an application sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages before it lets the node turn.
    pub(crate) batch: u64,
    /// Messages that may be undelivered.
    pub(crate) under_way: u64,
}

/// What a block took.
pub(crate) struct Block {
    /// CPU of both ends' threads, per message.
    pub(crate) cpu: Duration,
    /// CPU of both threads as the kernel tells it apart, for the whole block.
    pub(crate) spent: Spent,
    /// From the first message's making to the last one's delivery.
    pub(crate) wall: Duration,
    /// The records of the block: the sender's.
    pub(crate) records: u64,
    pub(crate) messages: u64,
}

/// A sender and a reader that are linked.
pub(crate) struct Wired {
    sender: Runtime,
    to: UserId,
    keep: Keep,
    data: String,
    sent: u64,
    delivered: u64,
    reader: Handle,
    /// How many messages the reader has taken, in order and whole.
    arrived: Arc<AtomicU64>,
    running: Option<JoinHandle<()>>,
    clock: Clock,
}

impl Wired {
    /// Starts both nodes with these stores.
    pub(crate) fn start(config: Config, keep: Keep, [ours, theirs]: [impl Store + 'static; 2]) -> Result<Self, String> {
        let (mut sender, mut reader) = (node(0, config, ours)?, node(1, config, theirs)?);
        let to = reader.node().me().user;
        let command = Command::introduce(to, [reader.local_addr().into()]);
        sender.command(command).map_err(|why| why.to_string())?;
        let (handle, arrived) = (reader.handle(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&arrived);
        let running = thread::Builder::new().name("reader".into()).spawn(move || {
            // An error of its loop shows as a block that never ends.
            let _ = reader.run(|notice| {
                if let Notice::Message(message) = notice
                    && is_next(&message, count.load(Ordering::Relaxed))
                {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        let running = Some(running.map_err(|why| why.to_string())?);
        Ok(Self { sender, to, keep, data: data(), sent: 0, delivered: 0, reader: handle, arrived, running, clock: Clock::start() })
    }

    /// Sends so many messages and waits for their deliveries.
    pub(crate) fn block(&mut self, messages: u64, pace: Pace) -> Result<Block, String> {
        let begun = self.clock.now();
        let records = self.sender.node().stats().records_out;
        let theirs = self.reader.look(|_| spent()).map_err(|why| why.to_string())?;
        let ours = spent();
        let end = self.sent + messages;
        while self.delivered < end {
            let room = (self.delivered + pace.under_way).min(end).saturating_sub(self.sent).min(pace.batch);
            for _ in 0..room {
                if !self.send()? {
                    break;
                }
            }
            self.turn(if room == pace.batch { Duration::ZERO } else { Duration::MAX }, begun)?;
        }
        let spent = spent().since(&ours).plus(&self.reader.look(|_| spent()).map_err(|why| why.to_string())?.since(&theirs));
        let arrived = self.arrived.load(Ordering::Relaxed);
        if arrived != self.sent {
            return Err(format!("{arrived} of {} messages arrived in order and whole", self.sent));
        }
        Ok(Block {
            cpu: spent.cpu / u32::try_from(messages).unwrap_or(u32::MAX),
            spent,
            wall: self.clock.now().since(begun),
            records: self.sender.node().stats().records_out - records,
            messages,
        })
    }

    /// `false` if the node has no room.
    fn send(&mut self) -> Result<bool, String> {
        let payload = Payload::cut(&self.data, self.sent);
        let message = Message::new("text", &payload).map_err(|why| why.to_string())?;
        match self.sender.command(Send::new(self.to, message).keep(self.keep)) {
            Ok(_) => self.sent += 1,
            Err(CommandError::Full) => return Ok(false),
            Err(why) => return Err(why.to_string()),
        }
        Ok(true)
    }

    fn turn(&mut self, timeout: Duration, begun: Time) -> Result<(), String> {
        let delivered = &mut self.delivered;
        let mut failed = None;
        let outcome = self.sender.run_once(timeout.min(PATIENCE), |notice| {
            if let Notice::Delivered { device: None, .. } = notice {
                *delivered += 1;
            } else if let Notice::Failed { why, .. } = notice {
                failed = Some(why.to_string());
            }
        });
        outcome.map_err(|why| why.to_string())?;
        if self.clock.now().since(begun) > PATIENCE {
            failed = Some(format!("{} of {} messages were delivered in time", self.delivered, self.sent));
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        // A loop that has ended by itself needs no stopping.
        let _ = self.reader.stop();
        let _ = self.running.take().map(JoinHandle::join);
    }
}

fn is_next(message: &Received, number: u64) -> bool {
    message.parse::<Payload<'_>>().is_ok_and(|payload| payload.number == number && payload.is_whole())
}

/// A node on loopback that has started.
pub(crate) fn node(number: u64, config: Config, store: impl Store + 'static) -> Result<Runtime, String> {
    let setup = Setup::bind((Ipv4Addr::LOCALHOST, 0), config, credentials(number)?).map_err(|why| why.to_string())?;
    let mut runtime = Runtime::start(setup, store).map_err(|why| why.to_string())?;
    let mut has_started = false;
    while !has_started {
        let step = runtime.run_once(Duration::MAX, |notice| has_started |= matches!(notice, Notice::Started { .. }));
        step.map_err(|why| why.to_string())?;
    }
    Ok(runtime)
}

/// A device of the present, for nodes that go by the machine's clock.
pub(crate) fn credentials(number: u64) -> Result<Credentials, String> {
    let person = Person::draw(1, number)?;
    let now = Clock::start().wall();
    Ok(person.keys.credentials(delegation(&person.identity, &person.keys, now - Duration::from_secs(3_600))?))
}
