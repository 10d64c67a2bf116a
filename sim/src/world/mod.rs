//! The simulated side of canald's seams: a network with windows and faults, a disk that forgets what was not
//! synced, clocks that jump. Decoding is done in place.
