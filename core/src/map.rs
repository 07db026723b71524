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

    /// What is kept under `key`, to change it.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// What is kept under `key`, made by `make` if nothing was.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.0.entry(key).or_insert_with(make)
    }

    /// Keeps `value` under `key` and returns what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes out what is kept under `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// Whether something is kept under `key`.
    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A hash set without iteration. Every method is O(1).
pub(crate) struct Set<K>(hashbrown::HashSet<K, Keyed>);

impl<K: Eq + Hash> Set<K> {
    /// An empty set that allocates nothing yet; `key` comes from the node's generator.
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Self(hashbrown::HashSet::with_hasher(Keyed(key)))
    }

    /// Adds `key`; `false` if it was there already.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        self.0.insert(key)
    }

    /// Takes `key` out; `false` if it was not there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        self.0.remove(key)
    }

    /// Whether `key` is in it.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.0.contains(key)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() {
        let mut map = Map::new([1, 2]);
        assert!(map.is_empty());
        assert_eq!(map.insert("a", 1), None);
        assert_eq!(map.insert("a", 2), Some(1));
        *map.get_or_insert_with("b", || 5) += 1;
        *map.get_or_insert_with("b", || 9) += 1;
        if let Some(value) = map.get_mut(&"a") {
            *value += 40;
        }
        assert_eq!((map.get(&"a"), map.get(&"b"), map.len()), (Some(&42), Some(&7), 2));
        assert!(map.contains_key(&"b"));
        assert_eq!(map.remove(&"b"), Some(7));
        assert!(!map.contains_key(&"b"));
    }

    #[test]
    fn a_set_holds_each_key_once() {
        let mut set = Set::new([1, 2]);
        assert!(set.is_empty());
        assert!(set.insert(7));
        assert!(!set.insert(7));
        assert!(set.contains(&7));
        assert_eq!(set.len(), 1);
        assert!(set.remove(&7));
        assert!(!set.remove(&7));
    }

    #[test]
    fn the_hash_depends_on_the_key() {
        assert_ne!(Keyed([1, 2]).hash_one("a"), Keyed([1, 3]).hash_one("a"));
        assert_eq!(Keyed([1, 2]).hash_one("a"), Keyed([1, 2]).hash_one("a"));
    }
}
