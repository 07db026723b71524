//! Lines before they are read: the check of what every reader must be spared, and the search that it shares with the walk.

use super::{LINE_BYTES_MAX, LINE_DEPTH_MAX};
use crate::error::WireError;

/// Bytes that are looked at without a branch between them, so that compilers use wide registers (measured).
const RUN_BYTES: usize = 16;

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
///
/// # Errors
/// `Space` for a byte below 0x20.
pub(crate) fn string_end(line: &[u8], mut at: usize) -> Result<usize, WireError> {
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
    let in_word = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        first_in(below(word, b' ') | equal(word, b'"') | equal(word, b'\\'))
    };
    // Most keys end in the first word.
    if let Some(end) = rest.first_chunk().map(in_word).filter(|end| *end < 8) {
        return at.saturating_add(end);
    }
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let text = rest.get(..end).unwrap_or_default();
    let plain = if has_control(text) { text.iter().position(|byte| *byte < b' ').unwrap_or(end) } else { end };
    at.saturating_add(plain)
}

fn has_control(text: &[u8]) -> bool {
    // What is left over behind whole runs is looked at once more with what stands before it.
    let Some(last) = text.last_chunk::<RUN_BYTES>() else { return text.iter().any(|byte| *byte < b' ') };
    let lowest = text.as_chunks().0.iter().fold(*last, |mut lowest, run: &[u8; RUN_BYTES]| {
        lowest.iter_mut().zip(run).for_each(|(lowest, byte)| *lowest = (*lowest).min(*byte));
        lowest
    });
    lowest.iter().fold(u8::MAX, |lowest, byte| lowest.min(*byte)) < b' '
}

/// Where the first byte stands that is no digit, or the end; eight bytes at a time.
pub(super) fn digits_end(bytes: &[u8]) -> usize {
    // A byte of ten or more without a digit's upper half has the high bit, or gets it here; only such a one carries on.
    let first = |word: u64| {
        let values = word ^ spread(b'0');
        first_in((values.wrapping_add(spread(0x80 - 10)) | values) & spread(0x80))
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut before = 0_usize;
    for word in words {
        let end = first(u64::from_le_bytes(*word));
        before = before.saturating_add(end);
        if end < 8 {
            return before;
        }
    }
    // Behind the last byte stand zeros, which are no digits.
    before.saturating_add(first(rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))))
}

/// The high bit of each byte that is `byte`; see [`below`].
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ spread(byte), 1)
}

/// The high bit of each byte below `limit`, which is 128 at most, and maybe of bytes behind one, to which it borrows.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(spread(limit)) & !word & spread(0x80)
}

/// Eight times this byte.
const fn spread(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Which byte of a word is the first one with its high bit set; 8 if none is.
const fn first_in(hits: u64) -> usize {
    (hits.trailing_zeros() / 8) as usize
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
