//! Entropy of the operating system.

use std::io;

use overcom_core::Seed;

/// 32 bytes that nobody can guess.
///
/// # Errors
/// If the operating system has none to give, for instance in a sandbox that forbids the call.
#[expect(clippy::disallowed_methods, reason = "this is the place through which entropy enters")]
pub fn entropy() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|why| io::Error::other(format!("no entropy from the operating system: {why}")))?;
    Ok(bytes)
}

/// A seed for one run of a node. A restart takes a fresh one (spec: SHELL-3).
///
/// # Errors
/// As [`entropy`].
pub fn seed() -> io::Result<Seed> {
    entropy().map(Seed::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(entropy().unwrap(), entropy().unwrap());
    }
}
