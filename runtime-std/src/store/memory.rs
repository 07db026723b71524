//! A store that forgets.

use std::collections::BTreeMap;
use std::ops::Bound;

use overcom_core::{Batch, Item, StoreError};

use super::{Loaded, Store};

/// Keeps everything in RAM: for tests, games, and whatever need not survive its process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    items: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// An empty one.
    pub const fn new() -> Self {
        Self { items: BTreeMap::new() }
    }
}

impl Store for MemoryStore {
    fn store(&mut self, batches: &[(Batch, bool)]) -> Result<(), StoreError> {
        for change in batches.iter().flat_map(|(batch, _)| &batch.changes) {
            match &change.value {
                Some(value) => drop(self.items.insert(change.key.clone(), value.clone())),
                None => drop(self.items.remove(&change.key)),
            }
        }
        Ok(())
    }

    fn load(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, StoreError> {
        if from >= to {
            return Ok((Vec::new(), false));
        }
        let mut range = self.items.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let items = range.by_ref().take(limit).map(|(key, value)| Item { key: key.clone(), value: value.clone() }).collect();
        Ok((items, range.next().is_some()))
    }
}
