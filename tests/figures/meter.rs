//! What a stretch of code costs: CPU time of this thread, and memory of this process, which must run one thread.

use std::alloc::System;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// CPU time of this thread.
pub(crate) fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Bytes on the heap.
pub(crate) fn heap_bytes() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as u64
}

/// How many bytes of heap go with `value`, found by dropping it.
pub(crate) fn heap_of<T>(value: T) -> u64 {
    let before = heap_bytes();
    drop(value);
    before.saturating_sub(heap_bytes())
}

/// How often memory was asked for; a block that grows counts again.
pub(crate) fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

/// CPU of one call of `work`, the mean of `times`.
pub(crate) fn cpu_of<T>(times: u32, mut work: impl FnMut() -> T) -> Duration {
    let before = cpu();
    for _ in 0..times {
        std::hint::black_box(work());
    }
    cpu().saturating_sub(before) / times.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_a_value_shows_its_heap_and_growth_counts_as_an_allocation() {
        let before = allocations();
        let mut bytes: Vec<u8> = Vec::with_capacity(100_000);
        bytes.resize(200_000, 1);
        assert!(allocations() - before >= 2);
        assert!(heap_of(bytes) >= 150_000);
    }
}
