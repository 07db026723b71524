//! A node's memory under the worst that peers and embedders do, against what its configuration says.
//!
//! A binary of its own: what is counted is the whole process, so nothing else may run beside it.

mod load;

use std::alloc::System;

use load::{Load, heap_bytes, loaded};
use overcom_core::Config;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

// spec-test: NODE-8
#[test]
fn no_load_makes_a_node_larger_than_it_says() {
    for (config, links, users, kib) in [
        (Config::embedded(), 8, 40, 1),
        (Config::embedded().line_bytes_max(4 << 10).window_bytes(64 << 10).outbox_bytes_max(1 << 20), 8, 40, 3),
        (Config::test().links_user_max(6).line_bytes_max(256 << 10).pipes_pending_max(16).book_users_max(64), 6, 80, 200),
    ] {
        let Load { node, held, peak, .. } = loaded(config, links, users, kib, 2_000);
        // The count is a true one: as much comes back with the node.
        let before = heap_bytes();
        drop(node);
        let freed = before - heap_bytes();
        assert!((held - freed).abs() * 50 < held, "{held} counted, {freed} freed");
        let max = config.memory_bytes_max();
        assert!(peak > 1 << 20 && peak as u64 <= max, "{peak} of {max}");
    }
}
