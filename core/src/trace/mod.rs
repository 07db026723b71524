//! Recordings that replay bit for bit, and ladders that people read in a diff.
//!
//! A [`Recorder`] in a [`Driver`](crate::Driver) writes down every input and digests every action; [`replay`] hands the
//! inputs to a new node and compares. A [`Journal`] in a driver keeps what the node was asked, told and understood;
//! a [`Ladder`] of one or several journals shows it, one line an event. Both are off unless asked for.
//!
//! **A recording holds the seed and the device's keys.** A journal and a ladder hold no secret, and no payload unless asked.

mod digest;
mod journal;
mod ladder;
mod observed;
mod recorder;
mod replay;
mod schema;

pub use journal::{Asked, Entry, Happened, JOURNAL_ENTRIES_MAX, Journal, Step, Told};
pub use ladder::{Detail, Grain, Ladder, Rung, RungKind};
pub use observed::{Observed, Said};
pub use recorder::{RECORDER_BYTES_MAX, Recorder};
pub use replay::{Builds, Ends, Replay, ReplayError, Replayer, replay};
pub use schema::{BUILD, Bytes, Digest, Header, Line, RecordedEvent, RecordedPage, TRACE_VERSION};

#[cfg(test)]
mod tests;
