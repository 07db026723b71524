//! Tables as they are stored, of IPv4 (spec: DHT-63): what figures change in them.

use std::ops::Range;

use overcom_core::Item;

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

/// In units of 8 s. After as long nobody of a stored table counts as verified.
pub(super) const TWO_HOURS: u32 = 900;

/// What was stored, as if that had been so many units of 8 s earlier.
pub(super) fn aged(mut item: Item, ticks: u32) -> Item {
    if item.key == TABLE {
        item.value.get_mut(HEAD..).unwrap_or_default().chunks_exact_mut(ROW).for_each(|row| age(row, ticks));
    }
    item
}

/// It answered so many units of 8 s earlier.
pub(super) fn age(row: &mut [u8], ticks: u32) {
    if let Some(seen) = row.get_mut(SEEN).and_then(|seen| seen.first_chunk_mut::<4>()) {
        *seen = u32::from_be_bytes(*seen).saturating_sub(ticks).to_be_bytes();
    }
}
