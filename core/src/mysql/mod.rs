//! mysql

pub mod charset;
