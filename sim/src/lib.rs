//! The whole canald, drivers included, in a world that is made up: a source, a network, a disk, clocks and
//! clients, with faults, all drawn from one seed. The same seed gives the same run, to the byte.
//!
//! | Module | Decides |
//! |---|---|
//! | [`plan`] | what will be done and what will break, as data: drawn from a seed, or read from a file |
//! | [`world`] | the simulated side of canald's seams: network, disk, clock |
//! | [`model`] | the source and the clients, and how the daemon is started and killed |
//! | [`journal`] | what the models saw, in order; everything else is fed from it |
//! | [`oracle`] | what must hold, one file each |
//!
//! Nothing here is asked by the core or the runtime whether it is a simulation.

pub mod digest;
pub mod host;
pub mod journal;
pub mod log;
pub mod model;
pub mod oracle;
pub mod plan;
pub mod run;
pub mod tool;
pub mod world;
