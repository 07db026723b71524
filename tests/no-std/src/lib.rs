//! Links overcom-core with nothing but `core` and `alloc` below it: a panic handler and an allocator of its own.
//!
//! `.ci/run` builds this crate twice. As it is, it must link without any library and run; with the feature `std` it must not
//! be built, because std brings a second panic handler. It calls core for real, so that no part is left out as unused.
//! Nothing below core but memory functions also means: no clock, no sockets, no callbacks (spec: NODE-10).
//!
//! | exit code | what did not hold |
//! |---|---|
//! | 1, 2 | an app id, a signed delegation |
//! | 3, 4, 5 | the delegation is read back, verifies, and names its user |
//! | 10, 11 | both nodes are made, and start |
//! | 12, 13, 14 | an address, a message, its sending are accepted |
//! | 15, 16 | the handshake leads to a link on both sides; the message comes as it was sent, from who sent it |
//! | 17, 18 | it was queued on disk; its acknowledgement comes |
//! | 19, 20 | the sender's store forgets the message, the receiver's holds its mark |
//! | 21, 22, 23 | a wish to sleep is granted and answered; the other side sees the link go |
//! | 30, 31 | the nodes come to rest, and have a deadline while they are awake |
#![no_std]

extern crate alloc;

mod arena;
mod table;

use core::panic::PanicInfo;

use overcom_core::{Crypto, Delegation, Rng, Seed};

// Named so that the feature of the negative control reaches the link.
use serde_json as _;

#[cfg(not(test))]
#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Named by the unwinding tables of the ready-made alloc; nothing calls it, since a panic spins and does not unwind.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

/// Named there too; nothing calls it either.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub extern "C" fn _Unwind_Resume() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[global_allocator]
static MEMORY: arena::Arena = arena::Arena::new();

/// Makes an identity, a device and its delegation, reads it back and verifies it; then two nodes talk. Answers 0 when all
/// of it held, else the step that did not.
#[unsafe(no_mangle)]
pub extern "C" fn overcom_no_std_proof() -> u32 {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32]));
    match delegate(&mut rng).and_then(|()| table::talk(&mut rng)) {
        Ok(()) => 0,
        Err(step) => step,
    }
}

/// The most bytes of the arena that were in use at one time.
#[unsafe(no_mangle)]
pub extern "C" fn overcom_no_std_peak_bytes() -> usize {
    MEMORY.peak_bytes()
}

fn delegate(rng: &mut Rng) -> Result<(), table::Step> {
    let (identity, credentials) = table::credentials(rng)?;
    let Ok(delegation) = Delegation::from_json(credentials.delegation().to_json()) else { return Err(3) };
    if delegation.verify(&Crypto::standard()).is_err() || delegation.check_window(table::WALL).is_err() {
        return Err(4);
    }
    if delegation.user() == identity.user() { Ok(()) } else { Err(5) }
}
