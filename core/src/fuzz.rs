//! Entrances for fuzzers: each takes any bytes and answers whether its parser kept its promises. Not part of the API.

use crate::identity::{Delegation, Revocation};
use crate::wire::{Limits, check_line, compact, walk};

/// What the strict walk accepts is a fixed point of compaction; what compaction yields is accepted by the walk.
pub fn strict(bytes: &[u8]) -> bool {
    let walked = walk(bytes, Limits::PAYLOAD).is_ok();
    match compact(bytes) {
        Ok(compacted) => walk(&compacted, Limits::PAYLOAD).is_ok() && (!walked || compacted == bytes),
        Err(_) => !walked,
    }
}

/// A delegation that is read is written again byte for byte.
pub fn delegation(bytes: &[u8]) -> bool {
    Delegation::from_json(bytes).map_or(true, |read| read.to_json().as_bytes() == bytes)
}

/// A revocation that is read is written again byte for byte.
pub fn revocation(bytes: &[u8]) -> bool {
    Revocation::from_json(bytes).map_or(true, |read| read.to_json().as_bytes() == bytes)
}

/// What the strict walk accepts as content is accepted as a line, alone and in an envelope.
pub fn line(bytes: &[u8]) -> bool {
    let walked = walk(bytes, Limits::PAYLOAD).is_ok();
    let envelope = [br#"{"content":"#.as_slice(), bytes, b"}"].concat();
    !walked || (check_line(bytes).is_ok() && check_line(&envelope).is_ok())
}
