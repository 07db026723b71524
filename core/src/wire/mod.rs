//! What every line and every signed content has in common: limits, the strict walk, and what a signature covers.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use alloc::vec::Vec;

mod check;
pub(crate) mod line;
pub(crate) mod strict;

pub(crate) use check::{check_line, string_end};
pub(crate) use strict::{Limits, Numbers, compact, compact_within, walk, walk_read, walk_text};

/// The longest signed content (spec: WIRE-2). Strictly under [`LINE_BYTES_MAX`], so that what is valid alone is valid
/// in every envelope.
pub(crate) const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// How deep signed content may be nested: `{}` has depth 1 (spec: WIRE-2).
pub(crate) const CONTENT_DEPTH_MAX: usize = 8;
/// The longest line, without its newline (spec: WIRE-1).
pub(crate) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How deep a line may be nested (spec: WIRE-1).
pub(crate) const LINE_DEPTH_MAX: usize = 16;
/// The largest integer of a protocol field, 2⁵³−1: what every JSON reader keeps exactly (spec: WIRE-6).
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// What is signed or hashed: the label, a zero byte, then the parts as they are (spec: WIRE-8).
///
/// Labels hold no zero byte, so no label is the beginning of another's bytes.
pub(crate) fn signing_bytes(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().fold(label.len().saturating_add(1), |sum, part| sum.saturating_add(part.len()));
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(label.as_bytes());
    out.push(0);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec-test: WIRE-8
    #[test]
    fn a_label_and_a_zero_byte_stand_before_what_is_signed() {
        assert_eq!(signing_bytes("ab", &[b"c", b"", b"de"]), b"ab\0cde");
    }

    // spec-test: WIRE-9
    #[test]
    fn bytes_have_one_text_only() {
        use crate::error::WireError;
        use crate::id::{array_from_base64, from_base64, to_base64};
        assert_eq!(to_base64(&[0xFB, 0xFF]), "-_8");
        assert_eq!(array_from_base64("-_8"), Ok([0xFB, 0xFF]));
        for other in ["-_9", "+/8", "-_8=", "-_8 ", "-", "-_8A", ""] {
            assert_eq!(array_from_base64::<2>(other), Err(WireError::Base64), "{other}");
        }
        assert_eq!(from_base64("-_9"), Err(WireError::Base64));
    }
}
