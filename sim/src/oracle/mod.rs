//! What must hold, each promise in a file that can be read alone. An oracle knows the specification, not the
//! code: it is fed from the journal and from nothing else.
