//! Maps with a fixed hasher: the same keys give the same order on every run.

/// A hash map whose order follows from its keys and history alone. Keys are trusted (table names, ids).
pub type FixedMap<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;
