//! Stores: where a node's state is kept between its lives.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io, thread};

use overcom_core::{Batch, Item, StoreError};

mod durable;
mod memory;

pub use durable::{RedbStore, STORE_SCHEMA};
pub use memory::MemoryStore;

/// One page of a range: the items in key order, and whether the limit cut the range.
pub type Loaded = (Vec<Item>, bool);

/// What keeps keys and values in bytewise key order. A shell runs it on a thread of its own, so it may block.
pub trait Store: Send {
    /// Stores batches in this order, with at most one sync for all of them (spec: SHELL-9).
    ///
    /// Each comes with whether it must survive a loss of power. When one must, so do all before it. Either all of
    /// them are stored when this returns, or an error says why not; then any first few may be.
    ///
    /// # Errors
    /// What storage says. The node stops then (C11).
    fn store(&mut self, batches: &[(Batch, bool)]) -> Result<(), StoreError>;

    /// Reads from `from` (inclusive) to `to` (exclusive), at most `limit` items.
    ///
    /// # Errors
    /// What storage says.
    fn load(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, StoreError>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn store(&mut self, batches: &[(Batch, bool)]) -> Result<(), StoreError> {
        (**self).store(batches)
    }

    fn load(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, StoreError> {
        (**self).load(from, to, limit)
    }
}

/// A store that takes at least a given time for each sync, to measure what slow disks cost.
#[derive(Debug)]
pub struct DelayedSync<S> {
    store: S,
    delay: Duration,
}

impl<S: Store> DelayedSync<S> {
    /// `store`, with `delay` more for every call that holds a durable batch.
    pub const fn new(store: S, delay: Duration) -> Self {
        Self { store, delay }
    }
}

impl<S: Store> Store for DelayedSync<S> {
    fn store(&mut self, batches: &[(Batch, bool)]) -> Result<(), StoreError> {
        if batches.iter().any(|(_, durable)| *durable) {
            thread::sleep(self.delay);
        }
        self.store.store(batches)
    }

    fn load(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, StoreError> {
        self.store.load(from, to, limit)
    }
}

/// Why a store could not be opened. What it says names the file and the way out.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    Locked(PathBuf),
    /// It is no store, or a damaged one.
    Corrupt(PathBuf),
    /// A database of the right kind, but of another program.
    Foreign(PathBuf),
    /// A newer version wrote it, with this schema.
    Newer(PathBuf, u64),
    /// There is no room to open or make it.
    Full(PathBuf),
    /// Anything else that the operating system says.
    Io(PathBuf, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => {
                write!(f, "{}: another process uses this store; stop it, or give this one another directory", path.display())
            }
            Self::Corrupt(path) => {
                write!(f, "{}: damaged, or not a store; put a copy back, or move it away to start with an empty one", path.display())
            }
            Self::Foreign(path) => write!(f, "{}: a database of another program; name another file", path.display()),
            Self::Newer(path, schema) => write!(
                f,
                "{}: written by a newer version (schema {schema}, this one knows {STORE_SCHEMA}); use that version",
                path.display()
            ),
            Self::Full(path) => write!(f, "{}: the disk is full; make room, then start again", path.display()),
            Self::Io(path, why) => write!(f, "{}: {}", path.display(), crate::advice::advice(why)),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, why) => Some(why),
            Self::Locked(_) | Self::Corrupt(_) | Self::Foreign(_) | Self::Newer(..) | Self::Full(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) use tests::test_directory;
