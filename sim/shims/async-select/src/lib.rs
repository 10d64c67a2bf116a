//! Stands in for the crate of the same name, whose order of polling depends on where a future lies in memory:
//! here it is always that of the text, so that a run can be repeated.

#![no_std]

#[doc(hidden)]
pub use async_select_proc_macros::select_biased;

/// Waits for the first of several futures, polled in the order of the text.
#[macro_export]
macro_rules! select {
    (biased; $($token:tt)*) => {
        $crate::select_biased! { $($token)* }
    };
    ($($token:tt)*) => {
        $crate::select_biased! { $($token)* }
    };
}
