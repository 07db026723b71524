//! What a stretch of code costs: CPU time of this thread, and the memory that it asks for.

use std::time::Duration;

use overcom_counted::{Counted, count};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static COUNTED: Counted = Counted;

/// CPU time of this thread.
pub(crate) fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The monotonic clock. It is read without a system call, which would leave its marks in the caches between what is measured.
pub(crate) fn monotonic() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// CPU time of a thread.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Spent {
    /// To the nanosecond.
    pub(crate) cpu: Duration,
    /// The kernel's account of the same, in hundredths of a second: in the program, in the kernel. Zero where none is kept.
    pub(crate) user: u64,
    pub(crate) system: u64,
}

impl Spent {
    pub(crate) const fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub(crate) const fn plus(&self, other: &Self) -> Self {
        Self { cpu: self.cpu.saturating_add(other.cpu), user: self.user + other.user, system: self.system + other.system }
    }
}

/// What this thread has spent.
pub(crate) fn spent() -> Spent {
    let account = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // Behind the name in brackets, the 12th and 13th field.
    let mut fields = account.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).map(|field| field.parse().unwrap_or(0));
    Spent { cpu: cpu(), user: fields.next().unwrap_or(0), system: fields.next().unwrap_or(0) }
}

/// Bytes on the heap that this thread has asked for and not given back.
pub(crate) fn heap_bytes() -> u64 {
    u64::try_from(count().held()).unwrap_or(0)
}

/// How many bytes of heap go with `value`, found by dropping it.
pub(crate) fn heap_of<T>(value: T) -> u64 {
    let before = heap_bytes();
    drop(value);
    before.saturating_sub(heap_bytes())
}

/// How often this thread asked for memory; a block that grows counts again.
pub(crate) fn allocations() -> u64 {
    count().calls
}

/// CPU of one call of `work`, the mean of `times`.
pub(crate) fn cpu_of<T>(times: u32, work: impl FnMut() -> T) -> Duration {
    mean(cpu, times, work)
}

/// What `work` takes by a clock, the mean of so many times.
pub(crate) fn mean<T>(clock: fn() -> Duration, times: u32, mut work: impl FnMut() -> T) -> Duration {
    let before = clock();
    for _ in 0..times {
        std::hint::black_box(work());
    }
    clock().saturating_sub(before) / times.max(1)
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
