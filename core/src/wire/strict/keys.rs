//! What a walk keeps of keys, so as to find one that an object has twice.

use alloc::vec::Vec;
use core::ops::Range;

use super::DEPTH_MAX;
use crate::error::WireError;

/// Keys of all open objects that are kept without an allocation.
const INLINE_KEYS: usize = 32;
/// An object with more keys is checked by sorting when it closes, so that many keys do not cost their square.
const COMPARED_KEYS: usize = 16;

/// What a walk tells of keys.
pub(super) trait Keys {
    /// An object begins.
    fn open(&mut self) -> Result<(), WireError>;
    /// A key of the innermost object stands here.
    fn push(&mut self, place: Range<usize>) -> Result<(), WireError>;
    /// The innermost object ends.
    fn close(&mut self) -> Result<(), WireError>;
}

/// They are as they are.
pub(super) struct Unread;

impl Keys for Unread {
    fn open(&mut self) -> Result<(), WireError> {
        Ok(())
    }

    fn push(&mut self, _: Range<usize>) -> Result<(), WireError> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}

/// The keys of all open objects, the innermost object's on top. None stands twice in one.
pub(super) struct Compared<'a> {
    bytes: &'a [u8],
    inline: [Place; INLINE_KEYS],
    spill: Vec<Place>,
    length: usize,
    /// Where the keys of the innermost object begin, and of each one around it.
    begin: usize,
    outer: [u32; DEPTH_MAX],
    objects: usize,
}

/// Where a key stands: from here, so many bytes.
type Place = (u32, u32);

impl<'a> Compared<'a> {
    /// For a walk over `text`.
    pub(super) const fn of(text: &'a str) -> Self {
        let (inline, outer) = ([(0, 0); INLINE_KEYS], [0; DEPTH_MAX]);
        Self { bytes: text.as_bytes(), inline, spill: Vec::new(), length: 0, begin: 0, outer, objects: 0 }
    }

    /// The places of the keys from this one on: those that are kept without an allocation, and the others.
    fn since(&self, from: usize) -> [&[Place]; 2] {
        let inline = self.inline.get(from..self.length.min(INLINE_KEYS)).unwrap_or_default();
        let spill = self.spill.get(from.saturating_sub(INLINE_KEYS)..).unwrap_or_default();
        [inline, spill]
    }

    fn key(&self, (from, length): Place) -> &'a [u8] {
        self.bytes.get(from as usize..).and_then(|rest| rest.get(..length as usize)).unwrap_or_default()
    }
}

impl Keys for Compared<'_> {
    fn open(&mut self) -> Result<(), WireError> {
        // There are fewer keys than bytes, and at most 1 MiB of these.
        *self.outer.get_mut(self.objects).ok_or(WireError::TooDeep)? = small(self.begin)?;
        self.objects = self.objects.saturating_add(1);
        self.begin = self.length;
        Ok(())
    }

    fn push(&mut self, place: Range<usize>) -> Result<(), WireError> {
        let place = (small(place.start)?, small(place.len())?);
        if self.length.saturating_sub(self.begin) < COMPARED_KEYS {
            // Its length tells most keys from another.
            let is_same = |earlier: &Place| earlier.1 == place.1 && self.key(*earlier) == self.key(place);
            let [inline, spill] = self.since(self.begin);
            if inline.iter().any(is_same) || spill.iter().any(is_same) {
                return Err(WireError::DuplicateKey);
            }
        }
        match self.inline.get_mut(self.length) {
            Some(slot) => *slot = place,
            None => self.spill.push(place),
        }
        self.length = self.length.saturating_add(1);
        Ok(())
    }

    /// If the object was too large to compare each key with each, sorts them.
    fn close(&mut self) -> Result<(), WireError> {
        let from = self.begin;
        if self.length.saturating_sub(from) > COMPARED_KEYS {
            let mut sorted: Vec<_> = self.since(from).into_iter().flatten().map(|place| self.key(*place)).collect();
            sorted.sort_unstable();
            if sorted.iter().zip(sorted.iter().skip(1)).any(|(one, next)| one == next) {
                return Err(WireError::DuplicateKey);
            }
        }
        self.objects = self.objects.saturating_sub(1);
        self.begin = self.outer.get(self.objects).map_or(0, |begin| *begin as usize);
        self.length = from;
        self.spill.truncate(from.saturating_sub(INLINE_KEYS));
        Ok(())
    }
}

fn small(number: usize) -> Result<u32, WireError> {
    u32::try_from(number).map_err(|_| WireError::TooLong)
}
