//! Lines before they are read: the check of what every reader must be spared, and the search that it shares with the walk.

use super::{LINE_BYTES_MAX, LINE_DEPTH_MAX};
use crate::error::WireError;

/// Bytes that are looked at without a branch between them, so that compilers use wide registers (measured).
const RUN_BYTES: usize = 32;

/// What is checked of a received line before a parser sees it: length, depth, no byte below 0x20 (spec: WIRE-1).
/// Grammar is the parser's matter.
///
/// # Errors
/// `TooLong`, `TooDeep` or `Space`.
pub(crate) fn check_line(line: &[u8]) -> Result<(), WireError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(WireError::TooLong);
    }
    let mut at: usize = 0;
    let mut depth: usize = 0;
    while let Some(byte) = line.get(at) {
        at = at.saturating_add(1);
        match byte {
            b'"' => at = string_end(line, at)?,
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                if depth > LINE_DEPTH_MAX {
                    return Err(WireError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            0..0x20 => return Err(WireError::Space),
            _ => {}
        }
    }
    Ok(())
}

/// Where the string that is open at `at` ends, behind its closing quote.
fn string_end(line: &[u8], mut at: usize) -> Result<usize, WireError> {
    loop {
        at = plain_end(line, at);
        match line.get(at) {
            Some(b'"') => return Ok(at.saturating_add(1)),
            Some(b'\\') => {
                at = at.saturating_add(1);
                // Only these two would be taken for something else; any other byte is looked at in its turn.
                if matches!(line.get(at), Some(b'"' | b'\\')) {
                    at = at.saturating_add(1);
                }
            }
            Some(_) => return Err(WireError::Space),
            None => return Ok(at),
        }
    }
}

/// Where the first quote, backslash or control byte from `at` on stands, or the end. A run a step, then eight bytes.
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const QUOTES: u64 = ONES * b'"' as u64;
    const SLASHES: u64 = ONES * b'\\' as u64;
    const SPACES: u64 = ONES * b' ' as u64;
    let hit = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    while let Some(run) = bytes.get(at..).and_then(|rest| rest.first_chunk::<RUN_BYTES>())
        && run.iter().fold(0, |hits, byte| hits | hit(*byte)) == 0
    {
        at = at.saturating_add(RUN_BYTES);
    }
    // A byte below `bound` borrows into its high bit; what a borrow does to higher bytes does not matter, since only
    // the lowest hit is used.
    let below = |word: u64, bound: u64| word.wrapping_sub(bound) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let hits = below(word ^ QUOTES, ONES) | below(word ^ SLASHES, ONES) | below(word, SPACES);
        if hits != 0 {
            return at.saturating_add((hits.trailing_zeros() >> 3) as usize);
        }
        at = at.saturating_add(8);
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        at = at.saturating_add(1);
    }
    at
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    // spec-test: WIRE-1
    #[test]
    fn the_end_of_what_is_plain_is_found_wherever_it_is() {
        for length in 0..100 {
            let plain = vec![b'\x80'; length];
            assert_eq!((plain_end(&plain, 0), plain_end(&plain, length)), (length, length));
            for at in 0..length {
                for byte in [b'"', b'\\', 0, 0x1F] {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    assert_eq!(plain_end(&bytes, at / 2), at, "{byte} at {at} of {length}");
                }
                let mut bytes = plain.clone();
                bytes[at] = b' ';
                assert_eq!(plain_end(&bytes, 0), length, "a space at {at} of {length}");
            }
        }
    }
}
