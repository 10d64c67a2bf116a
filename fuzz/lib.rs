//! What reads bytes from outside, fed with any bytes.
//!
//! Each function is one fuzz target and says what must hold whatever it is given; a panic is a finding.
//! The corpora below `corpus/` are replayed by `cargo test` in this folder; `README.md` tells the rest.
//!
//! An input begins with a [`Script`]: what the surroundings of the machine under test do. What follows
//! are the bytes from outside, as they are on the wire or in the file, so that mutating them is all
//! that the fuzzer has to learn.

mod targets;

pub use targets::ddl::ddl;
pub use targets::events::events;
pub use targets::file::file;
pub use targets::filter::filter;
pub use targets::frames::frames;
pub use targets::packets::{Peer, Said, converse, packets};
pub use targets::replies::replies;

/// A target: what it is called, here and below `corpus/`, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("packets", packets),
    ("events", events),
    ("file", file),
    ("frames", frames),
    ("replies", replies),
    ("filter", filter),
    ("ddl", ddl),
];

/// What the surroundings of a machine do, one byte a decision; zeros once it is used up.
#[derive(Clone, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// Cuts an input into its script, led by its length, and the bytes from outside.
    #[must_use]
    pub fn split(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&length, rest) = data.split_first()?;
        let (script, outside) = rest.split_at_checked(usize::from(length))?;
        Some((Self(script), outside))
    }

    /// An input that [`Self::split`] cuts into these two.
    ///
    /// # Panics
    /// If the script is longer than 255 bytes.
    #[must_use]
    pub fn join(script: &[u8], outside: &[u8]) -> Vec<u8> {
        let length = u8::try_from(script.len()).expect("a script is short");
        [&[length], script, outside].concat()
    }

    /// The next decision.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// The next decision among `count`.
    pub fn choose(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    /// Eight decisions of two ways each.
    pub fn flags(&mut self) -> Flags {
        Flags(self.byte())
    }
}

/// Decisions of two ways each.
#[derive(Clone, Copy, Debug)]
pub struct Flags(u8);

impl Flags {
    /// The next of them.
    pub const fn next(&mut self) -> bool {
        let is_set = self.0 & 1 != 0;
        self.0 >>= 1;
        is_set
    }
}
