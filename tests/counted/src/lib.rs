//! The system's allocator, which counts for each thread by itself what it is asked for.
//!
//! Counters that all threads share would cost each of them more than the allocation: two threads that pass messages take
//! such a counter from each other's cache at every one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { calls: 0, allocated: 0, freed: 0 }) };
}

/// What a thread has asked of [`Counted`] since it began. What one thread allocates and another frees counts where it happens.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    /// How often memory was asked for; a block that grows or shrinks counts again.
    pub calls: u64,
    /// Bytes in all that were asked for.
    pub allocated: u64,
    /// Bytes in all that were given back.
    pub freed: u64,
}

impl Count {
    /// Bytes that are held; negative in a thread that frees what others asked for.
    pub const fn held(&self) -> i64 {
        self.allocated.wrapping_sub(self.freed).cast_signed()
    }
}

/// What this thread has asked for.
pub fn count() -> Count {
    COUNT.get()
}

/// Put it in as the program's `#[global_allocator]`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counted;

fn add(calls: u64, allocated: usize, freed: usize) {
    let count = COUNT.get();
    COUNT.set(Count {
        calls: count.calls.wrapping_add(calls),
        allocated: count.allocated.wrapping_add(allocated as u64),
        freed: count.freed.wrapping_add(freed as u64),
    });
}

#[expect(unsafe_code, reason = "the trait of an allocator is unsafe")]
// SAFETY: every call goes on to the system's allocator as it came. Counting neither allocates nor unwinds: the counter is
// made at compile time and has no destructor, so that it can be used as long as its thread lives.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size(), 0);
        // SAFETY: the caller keeps what `System::alloc` asks for, which is what this call asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size(), 0);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(0, 0, layout.size());
        // SAFETY: `block` came from this allocator with this layout, and so from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        add(1, bytes, layout.size());
        // SAFETY: as in `dealloc`; the caller keeps what is asked of `bytes`.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static COUNTED: Counted = Counted;

    #[test]
    fn growth_and_drop_are_counted_for_the_thread_that_does_them() {
        let before = count();
        let mut bytes: Vec<u8> = Vec::with_capacity(100_000);
        bytes.resize(200_000, 1);
        let held = count();
        assert_eq!(held.calls - before.calls, 2);
        assert_eq!(held.held() - before.held(), 200_000);
        let (freed_there, began) = std::thread::spawn(move || {
            let began = count();
            drop(bytes);
            (began.held() - count().held(), began.calls)
        })
        .join()
        .unwrap();
        assert_eq!(freed_there, 200_000);
        assert!(began < held.calls, "a thread begins anew");
        // This thread asked for them and never gave them back.
        assert!(count().held() - before.held() >= 200_000);
    }

    #[test]
    fn zeroed_memory_is_counted_and_is_zero() {
        let before = count();
        let zeroed = vec![0_u8; 50_000];
        assert_eq!(count().held() - before.held(), 50_000);
        assert!(zeroed.iter().all(|byte| *byte == 0));
    }
}
