//! What the benches share: workloads, the stages of the data path, a source that is only read, a client
//! that counts, and figures of processes.

pub mod client;
pub mod java;
pub mod process;
pub mod source;
pub mod stages;
pub mod workload;
