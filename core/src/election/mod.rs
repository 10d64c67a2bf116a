//! Who owns a destination, and how that is proved.

pub mod paths;
pub mod record;
