//! The memory of the proof: one arena, cut into blocks of powers of two, freed blocks used again.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What both nodes of the proof may take together.
pub(crate) const ARENA_BYTES: usize = 256 << 10;
/// The smallest block holds the pointer to the next free one.
const BLOCK_BYTES_MIN: usize = 16;
/// Blocks of 16 bytes to 2^17.
const CLASSES: usize = 14;

pub(crate) struct Arena {
    /// Taken around every use of what follows.
    busy: AtomicBool,
    bytes: UnsafeCell<[u8; ARENA_BYTES]>,
    /// How much of the arena was ever cut into blocks: the peak, since blocks are never joined again.
    cut: AtomicUsize,
    free: UnsafeCell<[*mut u8; CLASSES]>,
}

// SAFETY: `bytes` and `free` are only touched between `lock` and `unlock`.
unsafe impl Sync for Arena {}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            busy: AtomicBool::new(false),
            bytes: UnsafeCell::new([0; ARENA_BYTES]),
            cut: AtomicUsize::new(0),
            free: UnsafeCell::new([null_mut(); CLASSES]),
        }
    }

    /// The most bytes that were in use so far, with what is lost by rounding up to powers of two.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }

    fn lock(&self) {
        while self.busy.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
    }

    fn unlock(&self) {
        self.busy.store(false, Ordering::Release);
    }

    /// Cuts a block of `size` bytes, aligned to `align`, off the rest of the arena; null when it is used up.
    fn cut(&self, size: usize, align: usize) -> *mut u8 {
        let base = self.bytes.get().cast::<u8>();
        let start = (base as usize + self.cut.load(Ordering::Relaxed)).next_multiple_of(align) - base as usize;
        match start.checked_add(size).filter(|end| *end <= ARENA_BYTES) {
            Some(end) => {
                self.cut.store(end, Ordering::Relaxed);
                // SAFETY: the block ends inside the arena.
                unsafe { base.add(start) }
            }
            None => null_mut(),
        }
    }
}

/// A block's size for a layout, and the list that it goes back to.
fn class(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size().max(layout.align()).max(BLOCK_BYTES_MIN).next_power_of_two();
    let class = (size.trailing_zeros() - BLOCK_BYTES_MIN.trailing_zeros()) as usize;
    (class < CLASSES).then_some((size, class))
}

// SAFETY: a block lies inside the arena, is as large as its class, aligned to it, and is either handed out or in the list
// of its class, never both: `alloc` takes it out of the list, `dealloc` gets the same layout and puts it back.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((size, class)) = class(layout) else { return null_mut() };
        self.lock();
        // SAFETY: the lock is held; `class` is in range.
        let slot = unsafe { &mut (*self.free.get())[class] };
        let block = *slot;
        let block = if block.is_null() {
            self.cut(size, size)
        } else {
            // SAFETY: a free block begins with the pointer to the next free one.
            *slot = unsafe { block.cast::<*mut u8>().read() };
            block
        };
        self.unlock();
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((_, class)) = class(layout) else { return };
        self.lock();
        // SAFETY: the lock is held; the block is large enough and aligned for a pointer, and nobody uses it any more.
        unsafe {
            let slot = &mut (*self.free.get())[class];
            block.cast::<*mut u8>().write(*slot);
            *slot = block;
        }
        self.unlock();
    }
}
