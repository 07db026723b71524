//! Every bound and period of a node, with what it costs and where its default comes from (spec: NODE-8).

mod bound;

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::crypto::Crypto;

macro_rules! config {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $min:expr, $max:expr;)*) => {
        /// The bounds of a node. Profiles: [`Config::desktop`], [`Config::mobile`], [`Config::embedded`], [`Config::test`];
        /// each number has a setter that takes and gives the whole: `Config::mobile().links_user_max(16)`.
        ///
        /// The numbers are checked once, in [`Node::new`](crate::Node::new). Read from JSON, what is left out is as on a desktop,
        /// and what is not known is refused.
        #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            #[serde(skip, default = "Crypto::standard")]
            pub(crate) crypto: Crypto,
            $(pub(crate) $name: $type,)*
        }

        impl Config {
            /// A computer that is on most of the time.
            pub const fn desktop() -> Self {
                Self { crypto: Crypto::standard(), $($name: $default,)* }
            }

            $(
                $(#[$doc])*
                #[must_use]
                pub const fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )*

            pub(crate) fn check(&self) -> Result<(), ConfigError> {
                $(
                    if !($min..=$max).contains(&self.$name) {
                        return Err(ConfigError::OutOfRange(stringify!($name)));
                    }
                )*
                Ok(())
            }
        }
    };
}

config! {
    /// Links with users of the same app: 1 to 65,536. 1.5 KiB each when idle (measured: figure `idle-link-memory`);
    /// default 256 (spec: LINK-13).
    links_user_max: u32 = 256, 1, 65_536;
    /// Service links that this node opens: 0 to 64; default 8 (spec: LINK-13).
    links_service_out_max: u32 = 8, 0, 64;
    /// Service links that others open: 0 to 4,096; default 64 (spec: LINK-13).
    links_service_in_max: u32 = 64, 0, 4_096;
    /// Pipes whose other end is not proven yet: 1 to 65,536; own dials have `dials_max` more. 2 KiB each; default 128 (guess: half
    /// the links, so that a restart in which everybody comes back at once passes).
    pipes_pending_max: u32 = 128, 1, 65_536;
    /// Messages that wait or are under way: 1 to 1,048,576; default 8,192 (guess: eight windows).
    outbox_messages_max: u32 = 8_192, 1, 1_048_576;
    /// The bytes of those messages: 64 KiB to 4 GiB; default 16 MiB (guess).
    outbox_bytes_max: u32 = 16 << 20, 64 << 10, u32::MAX;
    /// Notices that the application has not taken yet, messages not counted (the peers' windows bound those): 64 to
    /// 1,048,576; default 8,192 (guess: eight windows). More are dropped and counted; for the node's
    /// own state (`Expired`, `Revoked`, `Quiet`, `Stopped`) 17 further places are kept.
    notices_max: u32 = 8_192, 64, 1_048_576;
    /// Messages of one link that are not acknowledged yet: 16, which every peer may send unasked (spec: MSG-9), to 65,535;
    /// default 1,024 (measured: 1.16 µs of CPU a message against 1.33 at 256).
    window_messages: u32 = 1_024, 16, 65_535;
    /// The bytes of those messages: 16 KiB to 64 MiB; default 1 MiB (guess: a thousand messages of a screenful).
    window_bytes: u32 = 1 << 20, 16 << 10, 64 << 20;
    /// A line that this node reads, and so a message: 4 KiB to 16 MiB; default 1 MiB (spec: WIRE-1). Peers are told, in whole KiB.
    /// It sends none that is longer either.
    line_bytes_max: u32 = 1 << 20, 4 << 10, 16 << 20;
    /// Users in the address book and in memory of links: 1 to 1,048,576; default 4,096 (guess). 300 bytes each.
    book_users_max: u32 = 4_096, 1, 1_048_576;
    /// Devices of one user: 1 to 64; default 8 (guess: what a person carries).
    devices_per_user_max: u32 = 8, 1, 64;
    /// Own invitations that are open, or were used and not forgotten yet, and joins under way: as many of each, 1 to 4,096;
    /// default 64 (guess: a classroom at once). 2 KiB each.
    invitations_max: u32 = 64, 1, 4_096;
    /// Searches that this node remembers, so as to pass each on once: 16 to 1,048,576; default 4,096 (guess). 120 bytes each.
    searches_max: u32 = 4_096, 16, 1_048_576;
    /// Search units that one link may spend in a minute: 0 to 65,536; default 384 (spec: FIND-12).
    search_units_per_minute: u32 = 384, 0, 65_536;
    /// Units that an own search starts with, one for each node that it visits: 1 to 1,024; default 64 (spec: FIND-10).
    search_units: u32 = 64, 1, 1_024;
    /// Dials for strangers' searches in a minute: 0 to 6,000; default 30 (spec: FIND-13).
    dials_for_others_per_minute: u32 = 30, 0, 6_000;
    /// Dials at once: 1 to 4,096; default 16 (guess: a phone's NAT takes more, a file table does not mind).
    dials_max: u32 = 16, 1, 4_096;
    /// Silence after which a ping goes out: 1 s to 1 h in milliseconds; default 25 s, three misses close (spec: LINK-10).
    keep_alive_ms: u32 = 25_000, 1_000, 3_600_000;
    /// How long a user link without messages stays: 1 s to 7 d in milliseconds; default 10 min (guess: longer than a pause in a talk).
    idle_ms_max: u32 = 600_000, 1_000, 604_800_000;
    /// How long a handshake may take: 1 s to 60 s in milliseconds; default 10 s (spec: HS-11).
    handshake_ms_max: u32 = 10_000, 1_000, 60_000;
    /// How long an acknowledgement may wait for a record to ride on: 0 to 1 s in milliseconds; default 20 ms (spec: MSG-10).
    acknowledge_ms_max: u32 = 20, 0, 1_000;
    /// The first wait before a message is tried again: 100 ms to 60 s; default 1 s, doubling (OC: 3 retries from 1,000 ms).
    retry_ms_first: u32 = 1_000, 100, 60_000;
    /// How many retries double their wait before *memory* fails and *disk* slows down: 0 to 10; default 3 (OC).
    retries: u32 = 3, 0, 10;
    /// The wait of a stored message between later tries: 1 s to 1 d; default 5 min (spec: MSG-13).
    retry_ms_disk: u32 = 300_000, 1_000, 86_400_000;
    /// Whether this node takes part in the DHT once it knows somebody there, or somebody there asks it: 0 or 1; default 1 (spec:
    /// DHT-158). Without it nothing of the DHT is ever made or answered. A client takes 16 KiB, a server 64 KiB and the records
    /// that it keeps.
    dht: u32 = 1, 0, 1;
    /// Whether this node keeps records and answers others when it can be reached: 0 or 1; default 1 (dht.md 5.1).
    dht_serve: u32 = 1, 0, 1;
    /// Whether its table is wide: 0 or 1; default 1 for who serves (spec: DHT-52). 11 KiB more of IPv4 at a million nodes, 18 of
    /// IPv6.
    dht_wide: u32 = 1, 0, 1;
    /// Requests that it takes of one address in a second: 1 to 1,000,000; default 20, twice as many at once (spec: DHT-71).
    dht_requests_per_second: u32 = 20, 1, 1_000_000;
    /// Requests that it takes of one group of addresses in a second: 1 to 1,000,000; default 100, four times as many at once (spec: DHT-71).
    dht_group_requests_per_second: u32 = 100, 1, 1_000_000;
    /// Bytes of answers to others in a second: 1 KiB to 1 GiB; default 16 KiB, half a minute's worth at once (spec: DHT-73).
    dht_reply_bytes_per_second: u32 = 16 << 10, 1 << 10, 1 << 30;
    /// New addresses that it speaks to in a second while it serves: 1 to 65,536; default 4; look-ups of the application may
    /// four times as many (spec: DHT-74).
    dht_endpoints_per_second: u32 = 4, 1, 65_536;
    /// Signatures of others' records that it checks in a second, and at once: 3 to 1,000,000, as a device record has two and a bind
    /// three; default 2,000, a quarter of a core (dht.md 5.3).
    dht_verifies_per_second: u32 = 2_000, 3, 1_000_000;
    /// Bytes of others' records that it keeps: 64 KiB to 1 GiB; default 4 MiB (dht.md 5.3).
    dht_store_bytes: u32 = 4 << 20, 64 << 10, 1 << 30;
    /// Nodes near its user's home to which this device binds itself by lasting service links, as long as everyone is told where it
    /// is: 0 to 16; default 5 (spec: DHT-157). As many of `links_service_out_max` as entry peers leave.
    dht_binds: u32 = 5, 0, 16;
    /// Look-ups of the application that run or wait at once: 1 to 4,096; default 64 (guess: an address book in a minute).
    dht_look_ups_max: u32 = 64, 1, 4_096;
}

impl Config {
    /// A phone: fewer links, less memory, the radio sleeps longer (guess: a quarter of a desktop).
    pub const fn mobile() -> Self {
        Self::desktop()
            .links_user_max(64)
            .links_service_out_max(4)
            .links_service_in_max(0)
            .pipes_pending_max(32)
            .outbox_bytes_max(4 << 20)
            .notices_max(2_048)
            .window_messages(256)
            .window_bytes(256 << 10)
            .book_users_max(1_024)
            .invitations_max(16)
            .searches_max(512)
            .dials_max(4)
            .idle_ms_max(120_000)
            .dht_serve(0)
            .dht_wide(0)
            .dht_reply_bytes_per_second(2 << 10)
            .dht_store_bytes(64 << 10)
            .dht_binds(2)
            .dht_look_ups_max(16)
    }

    /// A small machine: everything as low as the protocol allows for a handful of peers, and no DHT, whose table alone takes
    /// more than a node (guess: people with such machines write addresses down).
    pub const fn embedded() -> Self {
        Self::mobile()
            .links_user_max(8)
            .pipes_pending_max(8)
            .outbox_messages_max(64)
            .outbox_bytes_max(64 << 10)
            .notices_max(64)
            .window_messages(16)
            .window_bytes(16 << 10)
            .line_bytes_max(16 << 10)
            .book_users_max(32)
            .invitations_max(4)
            .searches_max(64)
            .dials_max(2)
            .dht(0)
    }

    /// Tests: a desktop with short waits, so that time-outs come soon.
    pub const fn test() -> Self {
        Self::desktop().idle_ms_max(60_000).retry_ms_disk(10_000)
    }

    /// The cryptography; [`Crypto::standard`] unless a shell has a faster or a simulator an ideal one.
    #[must_use]
    pub const fn crypto(mut self, crypto: Crypto) -> Self {
        self.crypto = crypto;
        self
    }

    /// Changes that may gather while a batch is stored before what can be refused is (guess: twice what is kept).
    pub(crate) const fn gathering_max(&self) -> usize {
        2 * (self.outbox_messages_max as usize + self.book_users_max as usize)
    }

    pub(crate) const fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms as u64)
    }

    pub(crate) const fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms_max as u64)
    }

    pub(crate) const fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms_max as u64)
    }

    pub(crate) const fn acknowledge(&self) -> Duration {
        Duration::from_millis(self.acknowledge_ms_max as u64)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::desktop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_passes_its_own_check_and_a_wrong_number_is_named() {
        for config in [Config::desktop(), Config::mobile(), Config::embedded(), Config::test()] {
            assert_eq!(config.check(), Ok(()));
        }
        assert_eq!(Config::desktop().links_user_max(0).check(), Err(ConfigError::OutOfRange("links_user_max")));
        assert_eq!(Config::desktop().keep_alive_ms(1).check(), Err(ConfigError::OutOfRange("keep_alive_ms")));
        // With fewer, no bind would ever be taken.
        let verifies = [0, 2, 3, 1_000_000].map(|number| Config::desktop().dht_verifies_per_second(number).check().is_ok());
        assert_eq!(verifies, [false, false, true, true]);
    }
}
