//! Replay: a recording's inputs into a new node, its digests against the recording's.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use super::digest::Digester;
use super::journal::Journal;
use super::schema::{BUILD, Digest, HEADER_BEGIN, Header, Line, TRACE_VERSION};
use crate::crypto::Crypto;
use crate::{Action, Time};
use crate::{ConfigError, Credentials, Node, Seed};

/// Whether a recording of another build is replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Builds {
    /// Only by the build that recorded: what differs is then a bug.
    #[default]
    Same,
    /// By any build; [`Replay::same_build`] says which it was, and a difference proves nothing (spec: TRACE-5).
    Any,
}

/// What a replay found, when nothing differed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replay {
    /// The recording's header.
    pub header: Header,
    /// Whether this build recorded it.
    pub same_build: bool,
    /// How many inputs were handed in.
    pub inputs: u64,
    /// How many actions the digests cover.
    pub actions: u64,
    /// How many digests were compared; 0 means that nothing was proven.
    pub compared: u64,
    /// How the recording ends.
    pub ends: Ends,
    /// What the node understood, for a [`Ladder`](super::Ladder).
    pub journal: Journal,
    /// The node as it stands after the last input, to look at.
    pub node: Node,
}

/// How a recording ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// With its end line: everything is there.
    Whole,
    /// The shell did not drain in time: inputs after the last one are missing.
    Cut,
    /// Without an end line, as after a crash.
    Open,
}

/// Why a recording is not replayed, or not the same.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// The text does not begin with a recording's header.
    NoHeader,
    /// A line that is none of a recording's; counted from 1.
    Line(u64),
    /// The lines are of another version than [`TRACE_VERSION`](super::TRACE_VERSION).
    Version(u32),
    /// Another build recorded it.
    Build(Box<str>),
    /// A crypto table that this build does not have.
    Crypto(Box<str>),
    /// The node refuses the recorded start.
    Start(ConfigError),
    /// The actions differ from the recorded ones.
    Differs {
        /// The node's name.
        node: Box<str>,
        /// Up to this action everything was the same.
        same: u64,
        /// The first action that differs is not after this one; `same + 1` when the recording has its outputs.
        by: u64,
        /// How many inputs had been handed in when it showed.
        inputs: u64,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => {
                f.write_str("this is no recording: it does not begin with a header; name a file that a node was recorded into")
            }
            Self::Line(line) => write!(f, "line {line} is not a line of a recording; was the file cut or changed? Record again"),
            Self::Version(version) => {
                write!(
                    f,
                    "a recording of version {version}; this build reads version {TRACE_VERSION}: replay it with the build that made it"
                )
            }
            Self::Build(build) => {
                write!(f, "build {build} recorded this, and this is build {BUILD}: replay it with the same build, or force it")
            }
            Self::Crypto(name) => {
                write!(f, "the recording used the crypto table `{name}`, which this build does not have: replay it with one that has it")
            }
            Self::Start(why) => write!(f, "the node refuses the recorded start: {why}"),
            Self::Differs { node, same, by, inputs } => {
                write!(f, "{node} differs at an action from {} to {by}, by input {inputs}", same.saturating_add(1))
            }
        }
    }
}

impl core::error::Error for ReplayError {}

/// Replays every recording of a text, one after another (spec: TRACE-3). Costs what the nodes' own work costs.
///
/// # Errors
/// The first [`ReplayError`].
pub fn replay(text: &str, builds: Builds) -> Result<Vec<Replay>, ReplayError> {
    let mut replays = Vec::new();
    let mut current: Option<Replayer> = None;
    for (number, line) in (1_u64..).zip(text.lines()) {
        let wrong = |why| if why == ReplayError::Line(0) { ReplayError::Line(number) } else { why };
        if line.starts_with(HEADER_BEGIN) {
            replays.extend(current.take().map(Replayer::finish));
            current = Some(Replayer::start(line, builds).map_err(wrong)?);
        } else {
            current.as_mut().ok_or(ReplayError::NoHeader)?.line(line).map_err(wrong)?;
        }
    }
    replays.push(current.ok_or(ReplayError::NoHeader)?.finish());
    Ok(replays)
}

/// Replays one recording line by line, for files that are larger than memory.
#[derive(Debug)]
pub struct Replayer {
    replay: Replay,
    digest: Digester,
    /// The digest after action `base`, `base + 1`, …: recordings compare a little later than actions appear.
    digests: VecDeque<u128>,
    base: u64,
}

impl Replayer {
    /// Makes the node from a recording's first line.
    ///
    /// # Errors
    /// [`ReplayError`]; [`ReplayError::Line`] counts from 0 here.
    pub fn start(line: &str, builds: Builds) -> Result<Self, ReplayError> {
        let header: Header = serde_json::from_str(line).map_err(|_| ReplayError::Line(0))?;
        if header.overcom_trace != TRACE_VERSION {
            return Err(ReplayError::Version(header.overcom_trace));
        }
        let same_build = *header.build == *BUILD;
        if !same_build && builds == Builds::Same {
            return Err(ReplayError::Build(header.build));
        }
        let crypto = crypto(&header.crypto).ok_or_else(|| ReplayError::Crypto(header.crypto.clone()))?;
        let start = &header.start;
        let credentials = Credentials::from_secret_json(start.credentials.get()).map_err(|_| ReplayError::Line(0))?;
        let (seed, config) = (Seed::from_bytes(start.seed), start.config.crypto(crypto));
        let mut node = Node::new(config, credentials, seed, start.now, start.wall).map_err(ReplayError::Start)?;
        node.observe(true);
        let journal = Journal::new(&header.node).payloads(true);
        let digest = Digester::new();
        let digests = VecDeque::from([digest.value()]);
        let replay = Replay { header, same_build, inputs: 0, actions: 0, compared: 0, ends: Ends::Open, journal, node };
        let mut replayer = Self { replay, digest, digests, base: 0 };
        // A new node asks for its state before anything is handed in.
        replayer.poll(replayer.replay.header.start.now);
        Ok(replayer)
    }

    /// Takes one line after the header.
    ///
    /// # Errors
    /// [`ReplayError::Differs`], and [`ReplayError::Line`], which counts from 0 here.
    pub fn line(&mut self, line: &str) -> Result<(), ReplayError> {
        match serde_json::from_str(line).map_err(|_| ReplayError::Line(0))? {
            Line::Event { at, is } => {
                let event = is.as_event().ok_or(ReplayError::Line(0))?;
                self.replay.journal.on_event(at, &event);
                self.replay.node.handle(at, event);
                self.after_input(at);
            }
            Line::Command { at, is } => {
                let command = is.into_owned();
                let asked = self.replay.journal.begins(&command);
                let outcome = self.replay.node.command(at, command);
                self.replay.journal.on_command(at, asked, outcome);
                self.after_input(at);
            }
            Line::Digest(digest) => self.compare(digest.actions, &digest.digest)?,
            Line::Action { number, digest, .. } => self.compare(number, &digest)?,
            Line::End { digest: Digest { actions, digest, .. }, cut } => {
                self.compare(actions, &digest)?;
                self.replay.ends = if cut { Ends::Cut } else { Ends::Whole };
            }
        }
        Ok(())
    }

    /// What was found.
    pub fn finish(self) -> Replay {
        self.replay
    }

    /// Polls to the end: when the recording shell polled does not matter (C1).
    fn after_input(&mut self, at: Time) {
        self.replay.inputs = self.replay.inputs.saturating_add(1);
        self.poll(at);
    }

    fn poll(&mut self, at: Time) {
        while let Some(observed) = self.replay.node.observed() {
            self.replay.journal.on_observed(at, observed);
        }
        while let Some(action) = self.replay.node.poll() {
            self.digest.add(&action);
            self.digests.push_back(self.digest.value());
            self.replay.journal.on_action(at, &action);
            if let Action::SendDatagram { packet, .. } | Action::Write { packet, .. } = action {
                self.replay.node.recycle(packet);
            }
        }
    }

    fn compare(&mut self, actions: u64, digest: &str) -> Result<(), ReplayError> {
        let same = self.base;
        let at = actions.checked_sub(self.base).and_then(|at| usize::try_from(at).ok());
        let ours = at.and_then(|at| self.digests.get(at));
        if ours.copied() != u128::from_str_radix(digest, 16).ok() {
            let (node, inputs) = (self.replay.header.node.clone(), self.replay.inputs);
            return Err(ReplayError::Differs { node, same, by: actions, inputs });
        }
        self.digests.drain(..at.unwrap_or_default());
        self.base = actions;
        self.replay.actions = actions;
        self.replay.compared = self.replay.compared.saturating_add(1);
        Ok(())
    }
}

fn crypto(name: &str) -> Option<Crypto> {
    #[cfg(feature = "ideal")]
    if name == Crypto::ideal().name() {
        return Some(Crypto::ideal());
    }
    (name == Crypto::standard().name()).then(Crypto::standard)
}
