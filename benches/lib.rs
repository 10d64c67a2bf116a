//! What the benches share: workloads, the stages of the data path, a client that counts, and figures
//! of processes.

pub mod stages;
pub mod workload;
