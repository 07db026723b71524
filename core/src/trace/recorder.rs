//! The recorder: what goes into a node is written down, what comes out is digested.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::digest::Digester;
use super::schema::{BUILD, Digest, Header, Line, RecordedEvent, Start, TRACE_VERSION};
use crate::config::Config;
use crate::{Action, Command, Credentials, Event, Seed, Time, WallTime};

/// How many bytes wait for the shell before a recording is cut (guess: a second of a busy node).
pub const RECORDER_BYTES_MAX: usize = 64 << 20;
/// A digest is written at least after so many actions, so that a difference is narrowed down (guess).
const DIGEST_ACTIONS: u64 = 256;

/// Writes down what goes through a [`Driver`](crate::Driver), as JSON Lines, into a bounded buffer that the shell drains.
///
/// **A recording holds the seed and the device's keys, so everything secret.** It is off unless somebody asks for it.
/// The recorder does no I/O, never blocks and never fails: when the shell does not drain it, the recording is cut and
/// its end says so (spec: TRACE-6). A line costs its JSON: about 350 ns for a read of 340 bytes (measured on a draft).
pub struct Recorder {
    buffer: Vec<u8>,
    bytes_max: usize,
    outputs: bool,
    inputs: u64,
    digest: Digester,
    digest_written: u64,
    cut: bool,
    finished: bool,
}

impl Recorder {
    /// Starts with the header. Hand in exactly what [`Node::new`](crate::Node::new) gets, and nothing else before it.
    ///
    /// `shell` says what drives the node (`mio`, `smol`, `simulator`), `node` is its name for people.
    pub fn start(shell: &str, node: &str, config: &Config, credentials: &Credentials, seed: &Seed, now: Time, wall: WallTime) -> Self {
        let mut recorder = Self {
            buffer: Vec::new(),
            bytes_max: RECORDER_BYTES_MAX,
            outputs: false,
            inputs: 0,
            digest: Digester::new(),
            digest_written: 0,
            cut: false,
            finished: false,
        };
        let header = RawValue::from_string(credentials.to_secret_json().as_str().into()).map(|credentials| Header {
            overcom_trace: TRACE_VERSION,
            build: BUILD.into(),
            shell: shell.into(),
            node: node.into(),
            crypto: config.crypto.name().into(),
            secret: true,
            start: Start { config: *config, credentials, seed: *seed.as_bytes(), now, wall },
        });
        match header {
            Ok(header) => recorder.write_always(&header),
            // Credentials write themselves as JSON; a recording without a header would be no recording.
            Err(_) => recorder.cut = true,
        }
        recorder
    }

    /// How many bytes may wait to be drained; default [`RECORDER_BYTES_MAX`]. Header and end do not count.
    #[must_use]
    pub const fn bytes_max(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Also writes a line for each action, without bytes: a difference is then named to the action. Default: no.
    #[must_use]
    pub const fn outputs(mut self, outputs: bool) -> Self {
        self.outputs = outputs;
        self
    }

    /// Whether inputs are missing because the buffer was full.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Takes what has gathered, whole lines only. Call it after each turn.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.buffer)
    }

    /// Like [`take`](Self::take), but keeps the buffer's memory for the next lines.
    pub fn drain_into(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.buffer);
    }

    /// Writes the end with the last digest; then drain a last time. What happens after it is not recorded.
    pub fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            let end = Line::End { digest: self.covered(), cut: self.cut };
            self.write_always(&end);
        }
    }

    pub(crate) fn on_event(&mut self, now: Time, event: &Event<'_>) {
        self.input(&Line::Event { at: now, is: RecordedEvent::of(event) });
    }

    pub(crate) fn on_command(&mut self, now: Time, command: &Command) {
        self.input(&Line::Command { at: now, is: Cow::Borrowed(command) });
    }

    pub(crate) fn on_action(&mut self, now: Time, action: &Action) {
        if self.cut || self.finished {
            return;
        }
        self.digest.add(action);
        if self.outputs {
            let (is, digest) = (Cow::Owned(format!("{action:?}")), Cow::Owned(self.digest.text()));
            self.write(&Line::Action { at: now, number: self.digest.actions(), is, digest });
        }
        if self.digest.actions().saturating_sub(self.digest_written) >= DIGEST_ACTIONS {
            self.digest_written = self.digest.actions();
            let covered = self.covered();
            self.write(&Line::Digest(covered));
        }
    }

    /// Before the call, so that an input that kills the process is on record (spec: TRACE-2).
    fn input(&mut self, line: &Line<'_>) {
        if !self.cut && !self.finished && self.write(line) {
            self.inputs = self.inputs.saturating_add(1);
        }
    }

    fn covered(&self) -> Digest<'static> {
        Digest { inputs: self.inputs, actions: self.digest.actions(), digest: Cow::Owned(self.digest.text()) }
    }

    /// Returns whether it was written; a recording with a gap is worth nothing after it, so nothing follows.
    fn write(&mut self, line: &Line<'_>) -> bool {
        if let Ok(text) = serde_json::to_vec(line)
            && self.buffer.len().saturating_add(text.len()) < self.bytes_max
        {
            self.buffer.extend_from_slice(&text);
            self.buffer.push(b'\n');
            return true;
        }
        self.cut = true;
        false
    }

    fn write_always<T: Serialize>(&mut self, line: &T) {
        match serde_json::to_vec(line) {
            Ok(text) => {
                self.buffer.extend_from_slice(&text);
                self.buffer.push(b'\n');
            }
            Err(_) => self.cut = true,
        }
    }
}

impl fmt::Debug for Recorder {
    /// Counts only: the buffer holds secrets (C12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions = self.digest.actions();
        write!(f, "Recorder({} inputs, {actions} actions, {} bytes wait)", self.inputs, self.buffer.len())
    }
}
