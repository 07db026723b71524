//! The loop's order, written once, without I/O. Both runtimes and the simulator run it, so they cannot drift.
//!
//! One turn of a shell: hand in finished stores and loads, then commands; [`Driver::drive`] with a budget, which also
//! gives the node its `Tick`s when they are due; hand in a bounded number of inputs; drive again; wait until
//! [`Next::Until`] or an outside event.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::trace::{Journal, Recorder};
use crate::{Action, Batch, Command, CommandError, Event, Node, Notice, OpId, Packet, Path, PipeId, Tag, Time};

/// What carries actions out: sockets, a store, a clock, somebody who listens. See [`Action`] for what each call promises.
///
/// No call may block, call back into the driver, or fail: what goes wrong comes back as an [`Event`].
pub trait Shell {
    /// Sends one datagram, or drops and counts it.
    fn send_datagram(&mut self, path: Path, packet: &Packet);
    /// Starts to open a pipe.
    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool);
    /// Starts to write to a pipe; hand the packet to [`Driver::recycle`] when it is written.
    fn write(&mut self, pipe: PipeId, packet: Packet);
    /// Closes a pipe once its earlier write is handed over, within a second.
    fn close(&mut self, pipe: PipeId);
    /// Starts to look a name up.
    fn resolve(&mut self, op: OpId, name: &str, port: u16);
    /// Starts to store a batch.
    fn store(&mut self, op: OpId, batch: Batch, durable: bool);
    /// Starts to read a range: `from` inclusive, `to` exclusive, at most `limit` items.
    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32);
    /// Hands a notice to the application; say [`Event::Taken`] when it has come back for more.
    fn notify(&mut self, notice: Notice);
}

/// What a turn left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The budget ran out: hand in a few inputs if there are any, then drive again at once.
    Again,
    /// Nothing to do before this time, or before an outside event.
    Until(Option<Time>),
}

/// Owns a node and is the one door to it, so that a recorder misses nothing.
#[derive(Debug)]
pub struct Driver {
    node: Node,
    recorder: Option<Recorder>,
    journal: Option<Journal>,
}

impl Driver {
    /// A driver for `node`.
    pub const fn new(node: Node) -> Self {
        Self { node, recorder: None, journal: None }
    }

    /// Records everything from now on; start it with what `node` was made from, before the first event.
    #[must_use]
    pub fn recorded(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The recorder, to drain it.
    pub const fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// Keeps a journal from now on, to make ladders of.
    #[must_use]
    pub fn observed(mut self, journal: Journal) -> Self {
        self.node.observe(true);
        self.journal = Some(journal);
        self
    }

    /// The journal, if one is kept.
    pub const fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// The node, to look at.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Tells the node what happened.
    pub fn handle(&mut self, now: Time, event: Event<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.on_event(now, &event);
        }
        if let Some(journal) = &mut self.journal {
            journal.on_event(now, &event);
        }
        self.node.handle(now, event);
        self.note_observed(now);
    }

    /// Asks the node for something.
    ///
    /// # Errors
    /// As [`Node::command`].
    pub fn command(&mut self, now: Time, command: Command) -> Result<Tag, CommandError> {
        if let Some(recorder) = &mut self.recorder {
            recorder.on_command(now, &command);
        }
        let asked = self.journal.as_ref().map(|journal| journal.begins(&command));
        let outcome = self.node.command(now, command);
        if let (Some(journal), Some(asked)) = (&mut self.journal, asked) {
            journal.on_command(now, asked, outcome);
        }
        self.note_observed(now);
        outcome
    }

    fn note_observed(&mut self, now: Time) {
        if let Some(journal) = &mut self.journal {
            while let Some(observed) = self.node.observed() {
                journal.on_observed(now, observed);
            }
        }
    }

    /// Gives a written packet back.
    pub fn recycle(&mut self, packet: Packet) {
        self.node.recycle(packet);
    }

    /// When to drive again at the latest, if nothing happens before.
    pub const fn deadline(&self) -> Option<Time> {
        self.node.deadline()
    }

    /// Carries out what is queued and what is due, at most `budget` actions.
    pub fn drive(&mut self, shell: &mut impl Shell, now: Time, budget: u32) -> Next {
        let mut left = budget;
        loop {
            while let Some(action) = self.node.poll() {
                self.carry_out(shell, now, action);
                left = left.saturating_sub(1);
                if left == 0 {
                    return Next::Again;
                }
            }
            match self.node.deadline() {
                Some(due) if due <= now => {
                    self.handle(now, Event::Tick);
                    // A tick that leaves the deadline in the past has 1,024 timers behind it (C6); it counts as an action.
                    left = left.saturating_sub(1);
                    if left == 0 {
                        return Next::Again;
                    }
                }
                until => return Next::Until(until),
            }
        }
    }

    fn carry_out(&mut self, shell: &mut impl Shell, now: Time, action: Action) {
        if let Some(recorder) = &mut self.recorder {
            recorder.on_action(now, &action);
        }
        if let Some(journal) = &mut self.journal {
            journal.on_action(now, &action);
        }
        match action {
            Action::SendDatagram { path, packet } => {
                shell.send_datagram(path, &packet);
                self.node.recycle(packet);
            }
            Action::Connect { op, to, from_listening_port } => shell.connect(op, to, from_listening_port),
            Action::Write { pipe, packet } => shell.write(pipe, packet),
            Action::Close { pipe } => shell.close(pipe),
            Action::Resolve { op, name, port } => shell.resolve(op, &name, port),
            Action::Store { op, batch, durable } => shell.store(op, batch, durable),
            Action::Load { op, from, to, limit } => shell.load(op, from, to, limit),
            Action::Notify { notice } => shell.notify(notice),
        }
    }
}
