//! Tables as they are stored, of IPv4 (spec: DHT-63): what figures change in them.

use std::ops::Range;

/// The name of such an item.
pub(super) const TABLE: &[u8] = b"4gt";
/// What stands before the rows, and the number of rows in it.
pub(super) const HEAD: usize = 4;
pub(super) const COUNT: Range<usize> = 2..HEAD;
/// A row: hint, ip, port, when it answered, and a byte.
pub(super) const ROW: usize = HINT + 4 + 2 + 4 + 1;
pub(super) const HINT: usize = 8;
/// When it answered, in units of 8 s.
pub(super) const SEEN: Range<usize> = 14..18;

/// It answered so many units of 8 s earlier.
pub(super) fn age(row: &mut [u8], ticks: u32) {
    if let Some(seen) = row.get_mut(SEEN).and_then(|seen| seen.first_chunk_mut::<4>()) {
        *seen = u32::from_be_bytes(*seen).saturating_sub(ticks).to_be_bytes();
    }
}
