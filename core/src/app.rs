//! An application that runs unchanged on mio, on smol and in the simulator.
//!
//! Optional: whoever drives a bare [`Node`](crate::Node) pays nothing for it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::{
    Batch, Command, CommandError, Driver, Event, Next, Node, Notice, OpId, Packet, Path, PipeId, Rng, Seed, Shell, Tag, Time, WallTime,
};

/// What an application saved earlier: its own keys and values.
pub type Saved = BTreeMap<Vec<u8>, Vec<u8>>;

/// An application as a state machine beside the node's: told of notices and of its own deadline, it answers through its context.
///
/// It holds no clock, generator or socket: whatever it needs comes with the context, so that a run can be repeated.
/// After a crash its factory runs again and `on_start` brings back what it saved.
pub trait App {
    /// The node has started; `saved` is what this application saved in its earlier lives.
    fn on_start(&mut self, cx: &mut AppCx<'_>, saved: Saved);

    /// Something happened. The notice counts as taken when this returns, in one atomic batch with what it saves and with
    /// the messages that it sends. If it panics and the program goes on, nothing of that call is saved, and the notice counts as
    /// taken with the next one.
    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice);

    /// The application's own deadline has come.
    fn on_deadline(&mut self, cx: &mut AppCx<'_>) {
        let _ = cx;
    }

    /// When `on_deadline` wants to be called; asked after every other call. It must move on once it has come.
    fn deadline(&self) -> Option<Time> {
        None
    }
}

/// What an application is handed: the time, a generator, the node's ear and a place in its store.
#[derive(Debug)]
pub struct AppCx<'a> {
    driver: &'a mut Driver,
    rng: &'a mut Rng,
    now: Time,
    batch: Batch,
}

impl AppCx<'_> {
    /// The monotonic time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The wall clock, for people's eyes and signed dates.
    pub fn wall(&self) -> WallTime {
        self.driver.node().wall(self.now)
    }

    /// A generator of the application's own: drawing from it shifts nothing of the node's.
    pub const fn rng(&mut self) -> &mut Rng {
        self.rng
    }

    /// The node, to look at.
    pub const fn node(&self) -> &Node {
        self.driver.node()
    }

    /// Asks the node for something.
    ///
    /// # Errors
    /// As [`Node::command`].
    pub fn command(&mut self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        self.driver.command(self.now, command.into())
    }

    /// Saves a value under the application's own key (at most 200 bytes), in one atomic batch with everything else of this call.
    pub fn save(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.batch.put(key, value);
    }

    /// Removes what was saved under this key.
    pub fn erase(&mut self, key: impl Into<Vec<u8>>) {
        self.batch.remove(key);
    }
}

/// An application and the notices that wait for it; drives a [`Driver`] for it.
#[derive(Debug)]
pub struct Hosted<A> {
    app: A,
    rng: Rng,
    saved: Saved,
    started: bool,
    waiting: VecDeque<Notice>,
    /// Notices that were handed over and not said to be taken yet: of calls that did not return.
    owed: u64,
}

impl<A: App> Hosted<A> {
    /// Hosts `app` beside a node that was made with the same `seed`; the application's generator is forked from it.
    pub fn new(app: A, seed: &Seed) -> Self {
        Self { app, rng: Rng::from_seed(seed).fork("app", 0), saved: Saved::new(), started: false, waiting: VecDeque::new(), owed: 0 }
    }

    /// The application, to look at.
    pub const fn app(&self) -> &A {
        &self.app
    }

    /// Lets something from outside speak with the application as if a notice had come; what it saves is stored.
    ///
    /// Returns what `speak` returns.
    pub fn with<R>(&mut self, driver: &mut Driver, now: Time, speak: impl FnOnce(&mut A, &mut AppCx<'_>) -> R) -> R {
        self.call(driver, now, 0, speak)
    }

    /// When to turn again at the latest.
    pub fn deadline(&self, driver: &Driver) -> Option<Time> {
        let app = if self.started { self.app.deadline() } else { None };
        [driver.deadline(), app].into_iter().flatten().min()
    }

    /// One turn: drives the node, hands its notices to the application, calls the application's deadline when it is
    /// due, until nothing is left or `budget` actions are carried out.
    pub fn turn(&mut self, driver: &mut Driver, shell: &mut impl Shell, now: Time, budget: u32) -> Next {
        let mut rounds = budget;
        loop {
            let next = driver.drive(&mut Catch { shell, waiting: &mut self.waiting }, now, budget);
            let mut quiet = true;
            while let Some(notice) = self.waiting.pop_front() {
                quiet = false;
                self.on_notice(driver, now, notice);
            }
            if self.started && self.app.deadline().is_some_and(|due| due <= now) {
                quiet = false;
                self.call(driver, now, 0, |app, cx| app.on_deadline(cx));
            }
            rounds = rounds.saturating_sub(1);
            if next == Next::Again || rounds == 0 {
                return Next::Again;
            }
            if quiet {
                return Next::Until(self.deadline(driver));
            }
        }
    }

    pub(crate) fn on_notice(&mut self, driver: &mut Driver, now: Time, notice: Notice) {
        if let Notice::Restored { items, .. } = notice {
            self.saved.extend(items.into_iter().map(|item| (item.key, item.value)));
            return self.call(driver, now, 1, |_, _| ());
        }
        if matches!(notice, Notice::Started { .. }) {
            self.started = true;
            let saved = core::mem::take(&mut self.saved);
            self.call(driver, now, 0, |app, cx| app.on_start(cx, saved));
        }
        self.call(driver, now, 1, |app, cx| app.on_notice(cx, notice));
    }

    fn call<R>(&mut self, driver: &mut Driver, now: Time, taken: u64, speak: impl FnOnce(&mut A, &mut AppCx<'_>) -> R) -> R {
        self.owed = self.owed.saturating_add(taken);
        let mut cx = AppCx { driver, rng: &mut self.rng, now, batch: Batch::default() };
        let result = speak(&mut self.app, &mut cx);
        let batch = cx.batch;
        let taken = core::mem::take(&mut self.owed);
        if taken > 0 || !batch.is_empty() {
            driver.handle(now, Event::taken(taken, &batch.changes));
        }
        result
    }
}

/// Passes everything on but notices, which it keeps for the application.
struct Catch<'a, S> {
    shell: &'a mut S,
    waiting: &'a mut VecDeque<Notice>,
}

impl<S: Shell> Shell for Catch<'_, S> {
    fn send_datagram(&mut self, path: Path, packet: &Packet) {
        self.shell.send_datagram(path, packet);
    }

    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool) {
        self.shell.connect(op, to, from_listening_port);
    }

    fn write(&mut self, pipe: PipeId, packet: Packet) {
        self.shell.write(pipe, packet);
    }

    fn close(&mut self, pipe: PipeId) {
        self.shell.close(pipe);
    }

    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        self.shell.resolve(op, name, port);
    }

    fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        self.shell.store(op, batch, durable);
    }

    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        self.shell.load(op, from, to, limit);
    }

    fn notify(&mut self, notice: Notice) {
        self.waiting.push_back(notice);
    }
}
