//! Field numbers of canal's entries, and the writer of their bytes.
