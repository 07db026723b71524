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

/// Where the first quote, backslash or control byte from `at` on stands, or the end.
pub(super) fn plain_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let plain = rest.get(..end).unwrap_or_default();
    let end = if has_control(plain) { plain.iter().position(|byte| *byte < b' ').unwrap_or(end) } else { end };
    at.saturating_add(end)
}

/// Whether there is a byte below 0x20.
fn has_control(bytes: &[u8]) -> bool {
    // A byte below 0x20 borrows into its high bit; which bytes above it do, too, does not matter.
    let in_word = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        word.wrapping_sub(0x2020_2020_2020_2020) & !word & 0x8080_8080_8080_8080
    };
    let (runs, rest) = bytes.as_chunks::<RUN_BYTES>();
    let (words, rest) = rest.as_chunks::<8>();
    runs.iter().any(|run| run.iter().fold(0, |hits, byte| hits | u8::from(*byte < b' ')) != 0)
        || words.iter().fold(0, |hits, word| hits | in_word(word)) != 0
        || rest.iter().any(|byte| *byte < b' ')
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
