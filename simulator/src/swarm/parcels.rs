//! Datagrams under way: blocks of a few sizes that are used again, so that none asks for memory.

/// The bytes of one datagram. Free it once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parcel {
    /// Which block, of which size: the lower two bits.
    pub(crate) block: u32,
    pub(crate) length: u16,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Parcels {
    small: Blocks<64>,
    middle: Blocks<256>,
    /// What core sends at most, 1,200 bytes, and a little more.
    large: Blocks<1280>,
    /// Up to what a datagram may hold at all.
    huge: Vec<Vec<u8>>,
    free: Vec<u32>,
}

impl Parcels {
    /// Keeps a copy; `None` if it is longer than a datagram can be.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<Parcel> {
        let length = u16::try_from(bytes.len()).ok()?;
        let (size, index) = match bytes.len() {
            0..=64 => (0, self.small.put(bytes)),
            65..=256 => (1, self.middle.put(bytes)),
            257..=1280 => (2, self.large.put(bytes)),
            _ => (3, self.put_huge(bytes)),
        };
        Some(Parcel { block: index << 2 | size, length })
    }

    fn put_huge(&mut self, bytes: &[u8]) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.huge.push(Vec::new());
            self.huge.len() as u32 - 1
        });
        self.huge[index as usize].extend_from_slice(bytes);
        index
    }

    pub(crate) fn get(&self, parcel: Parcel) -> &[u8] {
        let index = (parcel.block >> 2) as usize;
        let block = match parcel.block & 3 {
            0 => &self.small.blocks[index][..],
            1 => &self.middle.blocks[index][..],
            2 => &self.large.blocks[index][..],
            _ => &self.huge[index][..],
        };
        &block[..usize::from(parcel.length)]
    }

    /// Its first byte.
    pub(crate) fn first(&self, parcel: Parcel) -> u8 {
        self.get(parcel).first().copied().unwrap_or(0)
    }

    pub(crate) fn free(&mut self, parcel: Parcel) {
        let index = parcel.block >> 2;
        match parcel.block & 3 {
            0 => self.small.free.push(index),
            1 => self.middle.free.push(index),
            2 => self.large.free.push(index),
            _ => {
                // These are rare and large: their memory goes.
                self.huge[index as usize] = Vec::new();
                self.free.push(index);
            }
        }
    }

    /// How many are under way.
    #[cfg(test)]
    pub(crate) const fn count(&self) -> usize {
        (self.small.blocks.len() - self.small.free.len())
            + (self.middle.blocks.len() - self.middle.free.len())
            + (self.large.blocks.len() - self.large.free.len())
            + (self.huge.len() - self.free.len())
    }
}

/// Blocks of one size. The one freed last is used first: it is still in the cache.
#[derive(Debug)]
struct Blocks<const SIZE: usize> {
    blocks: Vec<[u8; SIZE]>,
    free: Vec<u32>,
}

impl<const SIZE: usize> Default for Blocks<SIZE> {
    fn default() -> Self {
        Self { blocks: Vec::new(), free: Vec::new() }
    }
}

impl<const SIZE: usize> Blocks<SIZE> {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.blocks.push([0; SIZE]);
            self.blocks.len() as u32 - 1
        });
        self.blocks[index as usize][..bytes.len()].copy_from_slice(bytes);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_of_every_size_come_out_as_they_went_in_and_their_blocks_are_used_again() {
        let mut parcels = Parcels::default();
        for round in 0..3 {
            let lengths = [0, 1, 64, 65, 256, 257, 1_280, 1_281, 65_535];
            let content = |n: usize| (0..lengths[n]).map(|at| (at + n + round) as u8).collect::<Vec<u8>>();
            let put: Vec<Parcel> = (0..lengths.len()).map(|n| parcels.put(&content(n)).expect("short enough")).collect();
            assert_eq!(parcels.count(), lengths.len());
            for (n, parcel) in put.into_iter().enumerate() {
                assert_eq!(parcels.get(parcel), content(n));
                parcels.free(parcel);
            }
            assert_eq!((parcels.count(), parcels.small.blocks.len(), parcels.huge.len()), (0, 3, 2));
        }
        assert_eq!(parcels.put(&vec![0; 65_536]), None);
    }
}
