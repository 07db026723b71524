//! Links overcom-core with nothing but `core` and `alloc` below it: a panic handler and an allocator of its own.
//!
//! `.ci/run` builds this crate twice. As it is, it must link without any library and run; with the feature `std` it must not
//! be built, because std brings a second panic handler. It calls core for real, so that no part is left out as unused.
//! Nothing below core but memory functions also means: no clock, no sockets, no callbacks (spec: NODE-10).
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use overcom_core::{AppId, Crypto, Delegation, DeviceKeys, IdentitySecret, Rng, Seed, WallTime};

// Named so that the feature of the negative control reaches the link.
use serde_json as _;

#[cfg(not(test))]
#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

const ARENA_BYTES: usize = 1 << 20;

/// Hands out memory once and takes none back: enough to show that core asks for nothing else.
struct Bump {
    arena: UnsafeCell<[u8; ARENA_BYTES]>,
    used: AtomicUsize,
}

// SAFETY: the arena is only reached through `alloc`, which hands out each byte once.
unsafe impl Sync for Bump {}

// SAFETY: blocks lie inside the arena, are aligned by their address, and never overlap, because `used` only grows.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.arena.get().cast::<u8>();
        let claimed = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let aligned = (base as usize + used).next_multiple_of(layout.align()) - base as usize;
            aligned.checked_add(layout.size()).filter(|end| *end <= ARENA_BYTES)
        });
        match claimed {
            // SAFETY: the closure above has checked that the block ends inside the arena.
            Ok(used) => unsafe { base.add((base as usize + used).next_multiple_of(layout.align()) - base as usize) },
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: Bump = Bump { arena: UnsafeCell::new([0; ARENA_BYTES]), used: AtomicUsize::new(0) };

/// Makes an identity, a device and its delegation, reads it back and verifies it. Answers 0 when all of it held.
#[unsafe(no_mangle)]
pub extern "C" fn overcom_no_std_proof() -> u32 {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32]));
    let identity = IdentitySecret::from_bytes(rng.array());
    let device = DeviceKeys::draw(&mut rng);
    let Ok(app) = AppId::new("no-std.proof") else { return 1 };
    let (from, until) = (WallTime::from_millis(1_767_225_600_000), WallTime::from_millis(1_767_830_400_000));
    let Ok(signed) = Delegation::sign(&identity, &device.grant(app, from, until)) else { return 2 };
    let Ok(delegation) = Delegation::from_json(signed.to_json()) else { return 3 };
    if delegation.verify(&Crypto::standard()).is_err() || delegation.check_window(from).is_err() {
        return 4;
    }
    if delegation.user() == identity.user() { 0 } else { 5 }
}
