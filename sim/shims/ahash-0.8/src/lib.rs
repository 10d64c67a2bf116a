//! Stands in for the crate of the same name, which draws its seed once for a process: inside the first
//! simulation, that is, whose other draws are then not what they are when it is run again.

use std::hash::{Hash, Hasher as _};

/// A hasher, the same for all maps.
pub use std::hash::DefaultHasher as AHasher;

/// Hashes for one seed.
#[derive(Clone, Copy, Debug)]
pub struct RandomState(usize);

impl RandomState {
    /// Hashes that differ from those for another seed.
    #[must_use]
    pub const fn with_seed(seed: usize) -> Self {
        Self(seed)
    }

    /// The hash of one value.
    pub fn hash_one<T: Hash>(&self, value: T) -> u64 {
        let mut hasher = AHasher::new();
        hasher.write_usize(self.0);
        value.hash(&mut hasher);
        hasher.finish()
    }
}
