//! The protocol of Overcom as a pure state machine: events in, actions out; no clock, entropy, socket or thread inside.
//!
//! A [`Node`] is told what happened by [`Node::handle`], asked for something by [`Node::command`], and says by
//! [`Node::poll`] what it wants done. [`Driver`] is the same loop written once, with a recorder in it; [`App`] is an
//! application that runs on every shell. The protocol itself stands in `core/SPEC.md`.
//!
//! ```
//! use overcom_core::*;
//!
//! let (mut rng, wall) = (Rng::from_seed(&Seed::from_bytes([1; 32])), WallTime::from_millis(1_800_000_000_000));
//! let (identity, keys) = (IdentitySecret::from_bytes(rng.array()), DeviceKeys::draw(&mut rng));
//! let grant = keys.grant(AppId::new("demo.chat")?, wall, WallTime::from_millis(1_800_600_000_000));
//! let credentials = keys.credentials(Delegation::sign(&identity, &grant)?);
//! let mut node = Node::new(Config::embedded(), credentials, Seed::from_bytes([2; 32]), Time::ZERO, wall)?;
//! let now = Time::from_millis(1);
//! let mut started = false;
//! while let Some(action) = node.poll() {
//!     match action {
//!         Action::Load { op, .. } => node.handle(now, Event::loaded(op, Ok(Page { items: &[], more: false }))),
//!         Action::Store { op, .. } => node.handle(now, Event::stored(op, Ok(()))), // Once the disk has it.
//!         Action::Notify { notice } => {
//!             started |= matches!(notice, Notice::Started { .. });
//!             node.handle(now, Event::taken(1, &[])); // Once the application has come back.
//!         }
//!         other => unreachable!("nobody is known yet: {other:?}"), // Sockets and names.
//!     }
//! }
//! let deadline = node.deadline().ok_or("a delegation ends some day")?; // Sleep until then, or until something happens.
//! node.handle(deadline, Event::Tick);
//! assert!(started);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The contract
//!
//! | | promise | shown by |
//! |---|---|---|
//! | C1 | Any number of events may be handled between polls; there is no drain rule. | `events_may_gather_between_polls_and_the_actions_are_the_same` |
//! | C2 | `now` going back is clamped and counted, never a panic. | `an_early_tick_does_nothing_and_time_does_not_go_back` |
//! | C3 | `handle` is total: no panic, no error. A refused `command` changes nothing, not even the generator. | `a_refused_command_changes_nothing_not_even_what_is_drawn_later` |
//! | C4 | `poll` gives actions in the order to carry them out. What may leave only after a write is not in the queue before `Stored`. | `what_was_asked_first_is_done_first_and_a_driver_hands_it_on_in_this_order`, `one_batch_is_under_way_and_what_gathers_meanwhile_is_the_next` |
//! | C5 | `deadline()` covers everything pending; `None` means that only an outside event can matter. | `suspend_says_goodbye_and_quiet_and_addresses_wake_the_node`; every test that sleeps exactly to it |
//! | C6 | A `Tick` at or past the deadline runs at most 1,024 due timers, in order, each once; repeated at the same `now` they reach a later deadline. [`Driver::drive`] does that. | `one_tick_runs_at_most_1024_timers_and_the_next_one_goes_on` |
//! | C7 | An early `Tick` does nothing; no call's work is unbounded: it grows at most with what the call is about, for `Addresses`, `Clock`, `Renew`, `Suspend` and a stop with the number of links and wanted users. | `an_early_tick_does_nothing_and_time_does_not_go_back`, `a_call_costs_what_it_is_about_and_what_is_about_all_links_costs_a_few_actions_each`, `ten_thousand_wanted_users_wake_in_portions_and_do_not_flood_the_one_link_that_may_know_them` |
//! | C8 | Every queue, table and list has a bound from [`Config`]; what is over it is refused or dropped, and counted. | `half_open_pipes_are_bounded_and_end_after_ten_seconds`, the table in `node/limit_tests.rs`, `no_load_makes_a_node_larger_than_it_says` |
//! | C9 | Same config, credentials, seed and inputs give the same actions, byte for byte, in debug and release. | `a_recording_replays_however_many_actions_were_polled_at_a_time` |
//! | C10 | Core keeps no reference to event data, calls nothing outside but the table in [`Crypto`], and has no globals. | `.ci/run no-std` |
//! | C11 | A failed `Store` or `Load` stops the node: it refuses commands and sends nothing that depends on storage. | `a_message_is_not_acknowledged_before_its_mark_is_stored_and_a_failed_store_stops_the_node` |
//! | C12 | No secret appears in `Debug`, counters or ladders, nor in notices but for the `Invited` that hands one out; a recording holds them and says so. | `only_header_events_and_commands_of_a_recording_hold_secrets_and_no_notice_counter_or_view_does`, `a_ladder_of_any_detail_shows_no_key_address_or_payload_that_the_nodes_know` |
//!
//! # Duties of a shell
//!
//! | event | say it | without it |
//! |---|---|---|
//! | `Tick` | when the deadline has come; earlier does nothing | nothing is tried again, nothing times out; what commands say and store waits for the next event |
//! | `Datagram` | for each one that arrives | the DHT is isolated: nobody is found by id, and nobody finds this node |
//! | `PipeOpened` | for each pipe, dialled (with its `op`) or accepted | nobody is met |
//! | `PipeBytes` | bytes in order, any number at a time | the other end falls silent and is closed |
//! | `PipeWritten` | once, when all of the write is handed over | the pipe never gets its next write |
//! | `PipeClosed` | once for each opened pipe, whoever ended it | links linger until they are silent; `Suspend` never ends |
//! | `ConnectFailed` | when a `Connect` came to nothing | the next address waits ten seconds |
//! | `Addresses` | at the start, at each change, after a suspension | nobody can dial back, the DHT sends nothing; a suspended node sleeps on |
//! | `Clock` | once a minute, after each change or sleep | delegations end at the wrong time |
//! | `Entropy` | whenever there is some | nothing: it only hardens the generator |
//! | `Resolved` | for each `Resolve` | the next address waits ten seconds; the DHT does not know an entry peer |
//! | `Stored` | when it is as durable as was asked; it answers for all before it | no message leaves that is kept on disk |
//! | `Loaded` | for each `Load`, in key order | the node never starts |
//! | `Taken` | when the application has come back for more | peers stall at their window, notices are dropped, a start with many saved items waits |
//! | `Passed` | when it is through with notices that are no messages, behind an older one that it has not taken | as above, if such notices are many |
//!
//! # Three kinds of time
//!
//! | | what | from | decides |
//! |---|---|---|---|
//! | [`Time`] | monotonic microseconds that count sleep too | every call | time-outs, retries, order |
//! | [`WallTime`] | milliseconds since 1970, as the machine believes | `Event::Clock`, moved on by `Time` | when delegations and messages end, never order |
//! | times of others | what a peer's `hello` or a signature says | the wire | refusal beyond ten minutes; a notice that the clock is off |
//!
//! # Coming from…
//!
//! | from | their words | ours |
//! |---|---|---|
//! | quinn-proto | `Endpoint::handle`, `poll_transmit`, `handle_timeout`, `Transmit` | [`Node::handle`], [`Node::poll`], [`Event::Tick`], [`Action`] |
//! | str0m | `handle_input`, `poll_output`, `Output::Timeout` | the same; no need to poll until a time-out comes (C1), ask [`Node::deadline`] |
//! | rustls | `read_tls`, `process_new_packets`, `write_tls` | [`Event::PipeBytes`], nothing, [`Action::Write`] |
//! | smoltcp | `poll(timestamp)`, `poll_at` | [`Driver::drive`], [`Driver::deadline`] |
//! | libp2p | `Swarm`, `NetworkBehaviour`, `PeerId`, `connected_peers` | [`Driver`], machines inside core, [`Peer`], [`Node::links`] |
//! | raft-rs | `step`, `ready`, `advance` | [`Node::handle`], [`Node::poll`], [`Event::Stored`] and [`Event::Taken`] |
//!
//! # Modules
//!
//! | layer | modules |
//! |---|---|
//! | face, all of it re-exported here | `event action command notice message close view config error id identity invitation time rng crypto` |
//! | around a node | `driver`, `app`, [`trace`] |
//! | wiring | `node` |
//! | machines that do not know each other | `handshake link outbox inbox invites referral dht` |
//! | below them | `cx wire timer map address` |
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::std_instead_of_core,
        clippy::std_instead_of_alloc
    )
)]

extern crate alloc;

mod action;
mod address;
mod app;
mod close;
mod command;
mod config;
mod crypto;
mod cx;
mod dht;
mod driver;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod id;
mod identity;
mod inbox;
mod invitation;
mod invites;
mod link;
mod map;
mod message;
mod node;
mod notice;
mod outbox;
mod referral;
mod rng;
mod time;
mod timer;
pub mod trace;
mod view;
mod wire;

pub use action::*;
pub use app::*;
pub use close::*;
pub use command::*;
pub use config::*;
pub use crypto::*;
pub use dht::Solo;
pub use driver::*;
pub use error::*;
pub use event::*;
pub use id::*;
pub use identity::*;
pub use invitation::*;
pub use message::*;
pub use node::*;
pub use notice::*;
pub use rng::*;
pub use time::*;
pub use view::*;
