//! How to decode one version of a table.

/// How values are shown.
#[derive(Clone, Debug, Default)]
pub struct EncodeSettings {}

/// How to decode one version of a table.
#[derive(Debug)]
pub struct TablePlan {}
