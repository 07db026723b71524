//! Hash maps that cannot be walked: order of iteration would leak into behaviour and break replay (C9).
//!
//! The hasher is SipHash-1-3 under keys from the node's seed, so that peers who choose ids cannot choose collisions.
//! Who must walk keeps a `BTreeMap` or an index. The word `hashbrown` stands in this file only.

use core::hash::{BuildHasher, Hash};

use siphasher::sip::SipHasher13;

/// Makes the hashers of one map.
#[derive(Clone, Copy)]
struct Keyed([u64; 2]);

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

/// A hash map without iteration. Every method is O(1).
pub(crate) struct Map<K, V>(hashbrown::HashMap<K, V, Keyed>);

impl<K: Eq + Hash, V> Map<K, V> {
    /// An empty map that allocates nothing yet; `key` comes from the node's generator.
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Self(hashbrown::HashMap::with_hasher(Keyed(key)))
    }

    /// What is kept under `key`.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// Keeps `value` under `key` and returns what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes out what is kept under `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }
}

/// The hash of some bytes under a key from the node's generator: for tables whose rows keep a few bits of it.
pub(crate) fn hash_bytes(key: [u64; 2], bytes: &[u8]) -> u64 {
    SipHasher13::new_with_keys(key[0], key[1]).hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() {
        let mut map = Map::new([1, 2]);
        assert_eq!(map.insert("a", 1), None);
        assert_eq!(map.insert("a", 2), Some(1));
        assert_eq!(map.get(&"a"), Some(&2));
        assert_eq!(map.remove(&"a"), Some(2));
        assert_eq!(map.get(&"a"), None);
    }

    #[test]
    fn the_hash_depends_on_the_key() {
        assert_ne!(Keyed([1, 2]).hash_one("a"), Keyed([1, 3]).hash_one("a"));
        assert_eq!(Keyed([1, 2]).hash_one("a"), Keyed([1, 2]).hash_one("a"));
    }
}
