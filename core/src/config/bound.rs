//! What a node holds at most, reckoned from its bounds: one term for each thing that they bound.
//!
//! The numbers are bytes on a 64-bit machine. A list that grows by doubling counts twice, a map whose nodes may be half
//! empty too; a text counts once. The figure `memory-bound` drives each term.

use super::Config;

/// The largest sealed record and its length (spec: LINK-2).
const RECORD: u64 = (16 << 10) + 2;
/// The longest line before the other end is proven; see `Links`.
const HELLO: u64 = 4 << 10;
/// What one write takes at most, and one wait for it.
const WRITE_BYTES_MAX: usize = 64 << 10;

impl Config {
    /// The most heap that a node with these bounds ever holds, in bytes: the sum of [`memory_terms`](Self::memory_terms).
    ///
    /// An upper bound, not an estimate: a node at rest needs a few KiB. What it has asked of its shell and was not answered
    /// counts: writes, the batch on its way, notices. Not in it is what its owner decides: what an application saves, what
    /// an observer or recorder keeps, where the shell says that it listens, actions that nobody polls for minutes, pipes
    /// that the shell keeps open after it was asked to close them, and reads of more than 64 KiB at a time; nor what the
    /// allocator takes for itself, and for the copy when it cannot grow a block where it lies.
    pub const fn memory_bytes_max(&self) -> u64 {
        let (terms, mut sum) = (self.memory_terms(), 0);
        let mut rest: &[(&str, u64)] = &terms;
        while let [(_, bytes), others @ ..] = rest {
            sum += *bytes;
            rest = others;
        }
        sum
    }

    /// What makes up [`memory_bytes_max`](Self::memory_bytes_max): names, and bytes at most. Which terms there are may change.
    ///
    /// - `links`: proven pipes, each with half a record, half a line, lines that wait for a slow reader, and one write.
    /// - `pending`: pipes whose other end is not proven, with half a record and half a hello.
    /// - `outbox`: messages on their way, and what is to be stored of them.
    /// - `inbox`: messages that the application has not taken or the store not marked.
    /// - `notices`: other notices that are not taken.
    /// - `users`: the address book with its devices, finds, rounds of dials and marks; revocations.
    /// - `changes`: other changes for the store, in the batch on its way and in the one that gathers.
    /// - `invitations`: own ones, joins, and answers that wait for the store.
    /// - `searches`: those that are remembered, and dials for others.
    /// - `dht`: tables, look-ups and what they have found, requests on their way, the records that are kept, and what is to be
    ///   stored of all this; nothing if the node takes no part in it.
    /// - `once`: spare buffers, and what one read becomes before it is settled.
    pub const fn memory_terms(&self) -> [(&'static str, u64); 11] {
        [
            ("links", self.pipes_proven_max() as u64 * self.link_memory_max()),
            ("pending", (self.pipes_pending_max as u64 + self.dials_max as u64) * self.pending_memory_max()),
            ("outbox", self.outbox_memory_max()),
            ("inbox", self.inbox_memory_max()),
            // An action and what is owed for it; the longest text in one is a host name.
            ("notices", (self.notices_max as u64 + 17) * (2 * (120 + 16) + 256)),
            ("users", self.book_users_max as u64 * self.user_memory_max()),
            // The longest value is that of eight entry peers with long names.
            ("changes", 2 * self.gathering_max() as u64 * (2 * 48 + 48 + 3_456)),
            // An own one that is not stored yet, a join with its callers; for each link an answer and a question.
            ("invitations", self.invitations_max as u64 * (3_072 + self.links_user_max as u64 * (2 * 80 + 2 * 8))),
            ("searches", self.searches_max as u64 * 288 + self.dials_for_others_per_minute as u64 * 2 * 72),
            ("dht", self.dht_memory_max()),
            ("once", (768 << 10) + 8 * self.buffer_bytes_max() as u64 + 8 * self.line_bytes_max as u64),
        ]
    }

    /// A proven pipe: itself in every list, its timers, its device's queue, and four buffers.
    const fn link_memory_max(&self) -> u64 {
        let (spare, line) = (self.buffer_bytes_max() as u64, 2 * self.line_bytes_max as u64);
        let part = if line > spare { line } else { spare };
        let write = self.waiting_bytes_max() as u64 + RECORD + 2_048;
        3_072
            + 2 * 96 * self.queue_spare_max() as u64
            + RECORD
            + part
            + 2 * self.said_bytes_max() as u64
            + if write > spare { write } else { spare }
    }

    /// A pipe before that: itself with its handshake, the devices that a dialler knows, half a record, half a hello, and
    /// some lines in each of three buffers.
    const fn pending_memory_max(&self) -> u64 {
        5_120 + self.devices_per_user_max as u64 * 288 + RECORD + 2 * HELLO + 3 * 2_048
    }

    /// Messages, each to another user, and twice in a batch, where each quote has an escape.
    const fn outbox_memory_max(&self) -> u64 {
        let (messages, bytes) = (self.outbox_messages_max as u64, self.outbox_bytes_max as u64);
        bytes + messages * 1_024 + 2 * (2 * bytes + messages * 768)
    }

    /// As many full windows as there may be links, and one message more. Of each message: its notice, what is owed for it, a
    /// mark, and the mark's change.
    const fn inbox_memory_max(&self) -> u64 {
        let links = self.links_user_max as u64;
        links * self.window_bytes as u64 + self.line_bytes_max as u64 + links * self.window_messages as u64 * 832
    }

    /// A user with eight addresses that are names, 64 finds, a round of dials, a revocation, marks, a queue and timers.
    const fn user_memory_max(&self) -> u64 {
        8_448 + self.devices_per_user_max as u64 * 288
    }

    /// Six realms with full tables, as many look-ups in each as may run, 512 requests that hold a record each, and two batches.
    const fn dht_memory_max(&self) -> u64 {
        if self.dht == 0 {
            return 0;
        }
        // Main and spare entries of 48 bytes and as many that are asked again, what was pushed, leaves, walks and checks; twice.
        let realm = 2 * ((1_440 + 1_024) * 48 + 1_440 * 40 + 2_048 * 40 + (24 << 10));
        // Four paths of 24 candidates, 32 holders, and eight devices with both records and a delegation.
        let look_up = (8 << 10) + 8 * 2_560;
        let look_ups = 6 * (self.dht_look_ups_max as u64 + 8) * look_up + self.dht_look_ups_max as u64 * (8 << 10);
        // Two ledgers of addresses and groups, cookies, delegations that were verified, numbers that were accepted, what was told.
        let once = (384 << 10) + 1_024 * 128 + 1_024 * 64 + 256 * 2_560 + 512 * 1_536;
        // Who is bound here, over as many links as there may be; and to whom this device is.
        let binds = (self.links_service_in_max as u64 + self.links_service_out_max as u64) * 384 + (8 << 10);
        6 * realm + look_ups + once + binds + 2 * self.dht_store_bytes as u64 + 3 * (6 * (32 << 10) + (32 << 10))
    }

    /// Plaintext that may wait for a pipe before messages are held back, and what one write takes: the reader's window, if it
    /// is small, so that small nodes have small buffers (spec: LINK-7).
    pub(crate) const fn waiting_bytes_max(&self) -> usize {
        if (self.window_bytes as usize) < WRITE_BYTES_MAX { self.window_bytes as usize } else { WRITE_BYTES_MAX }
    }

    /// What may wait for a pipe in all: a message more than that, and as much again of other lines (guess).
    pub(crate) const fn said_bytes_max(&self) -> usize {
        self.line_bytes_max as usize + 2 * self.waiting_bytes_max()
    }

    /// How large a buffer may be that is kept for reuse: a write with its last record fits, doubled as it grew.
    pub(crate) const fn buffer_bytes_max(&self) -> usize {
        2 * self.waiting_bytes_max() + 1_024
    }

    /// Pipes that are links, or were and have their last lines to write. A user may have a second link for a moment, and
    /// each of those was dialled: as many more as there are dials at once.
    pub(crate) const fn pipes_proven_max(&self) -> u32 {
        self.links_user_max + self.links_service_out_max + self.links_service_in_max + self.dials_max
    }

    /// Messages for which a device's queue keeps room when it has fewer; it gives back what is more than twice as much (guess:
    /// half a window, so that a steady stream asks for no memory).
    pub(crate) const fn queue_spare_max(&self) -> usize {
        if self.window_messages < 1_024 { self.window_messages as usize / 2 } else { 512 }
    }
}
