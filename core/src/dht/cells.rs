//! Cells: who will have paid when for what it was given, in eight bytes each; shared by the rates of requests and the shares of groups.

use alloc::vec::Vec;

use super::rate::Name;
use crate::map::hash_bytes;

/// Nobody is further ahead, in the ticks of whoever keeps the cells: ten minutes of 64 µs. What looks further is long past.
pub(super) const AHEAD_MAX: u32 = 9_375_000;
/// Free cells are emptied each so many ticks, long before their times would come round: 19 hours of 64 µs.
const SWEEP: u64 = 1 << 30;

/// The lowest 32 bits.
pub(super) fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default()
}

/// One sender: 32 bits of the hash of its name, of which the highest says whether it is proven, and when it will have paid.
/// A tag of 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Cell {
    pub(super) tag: u32,
    pub(super) at: u32,
}

const _: () = assert!(size_of::<Cell>() == 8);

const PROVEN: u32 = 1 << 31;

impl Cell {
    /// How far ahead of what it has paid for; 0 if it is free.
    pub(super) const fn ahead(self, now: u64) -> u32 {
        // The lowest 32 bits.
        let ahead = self.at.wrapping_sub(now as u32);
        if self.tag == 0 || ahead > AHEAD_MAX { 0 } else { ahead }
    }
}

/// A table of cells in which each name has two places. It begins with some when there is one, and doubles when a live cell
/// would be lost, up to a bound; then the one that is free first goes, a proven one last.
pub(super) struct Cells {
    key: [u64; 2],
    cells: Vec<Cell>,
    cells_min: usize,
    cells_max: usize,
    swept: u64,
}

impl Cells {
    pub(super) const fn new(key: [u64; 2], cells_min: usize, cells_max: usize) -> Self {
        Self { key, cells: Vec::new(), cells_min, cells_max, swept: 0 }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.capacity().saturating_mul(size_of::<Cell>())
    }

    pub(super) fn tag(&self, name: &Name, is_proven: bool) -> u32 {
        let tag = (low(hash_bytes(self.key, name.bytes())) & !PROVEN).max(1);
        if is_proven { tag | PROVEN } else { tag }
    }

    pub(super) fn ahead(&self, tag: u32, now: u64) -> u32 {
        self.pair(tag).iter().find(|cell| cell.tag == tag).map_or(0, |cell| cell.ahead(now))
    }

    pub(super) fn set(&mut self, tag: u32, now: u64, ahead: u32) {
        let cell = Cell { tag, at: low(now).wrapping_add(ahead) };
        loop {
            let can_grow = self.cells.len() < self.cells_max;
            let free = self.pair_mut(tag).iter_mut().find(|old| old.tag == tag);
            let free = match free {
                Some(own) => Some(own),
                None => self.pair_mut(tag).iter_mut().find(|old| old.ahead(now) == 0),
            };
            if let Some(slot) = free {
                *slot = cell;
                return;
            }
            if can_grow {
                self.grow(now);
                continue;
            }
            if let Some(slot) = self.pair_mut(tag).iter_mut().min_by_key(|old| (old.tag & PROVEN, old.ahead(now))) {
                // Nobody who is not proven puts out one who is.
                if slot.tag & PROVEN <= tag & PROVEN {
                    *slot = cell;
                }
            }
            return;
        }
    }

    fn range(&self, tag: u32) -> core::ops::Range<usize> {
        let pairs = (self.cells.len() / 2).max(1);
        let first = usize::try_from(tag & !PROVEN).unwrap_or_default() % pairs * 2;
        first..first.saturating_add(2)
    }

    fn pair(&self, tag: u32) -> &[Cell] {
        self.cells.get(self.range(tag)).unwrap_or_default()
    }

    fn pair_mut(&mut self, tag: u32) -> &mut [Cell] {
        let range = self.range(tag);
        self.cells.get_mut(range).unwrap_or_default()
    }

    /// Doubles. Two cells of a pair differ in some bit of their tags, so nobody is lost on the way.
    fn grow(&mut self, now: u64) {
        let length = self.cells.len().saturating_mul(2).clamp(self.cells_min, self.cells_max);
        let mut larger = Vec::new();
        larger.reserve_exact(length);
        larger.resize(length, Cell::default());
        let old = core::mem::replace(&mut self.cells, larger);
        for cell in old.into_iter().filter(|cell| cell.ahead(now) > 0) {
            if let Some(slot) = self.pair_mut(cell.tag).iter_mut().find(|slot| slot.tag == 0) {
                *slot = cell;
            }
        }
    }

    /// Empties cells whose time has passed before it looks like one to come.
    pub(super) fn sweep(&mut self, now: u64) {
        let passed = now.saturating_sub(self.swept);
        if passed >= SWEEP {
            self.swept = now;
            let is_all = passed > u64::from(u32::MAX - AHEAD_MAX) - SWEEP;
            for cell in self.cells.iter_mut().filter(|cell| is_all || cell.ahead(now) == 0) {
                *cell = Cell::default();
            }
        }
    }
}
