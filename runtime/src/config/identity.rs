//! Who canald says it is when it registers as a replica.
//!
//! Server id and UUID follow from the data folder and the destination, so a restarted canald is the same
//! replica to its source, which then ends the dump of the one before it (MySQL manual, "slave with the
//! same server_uuid/server_id"). Two destinations, or two data folders, are two replicas. In a cluster the
//! ZooKeeper servers stand for the folder: there a new owner ends the dump of one that is paused.

use core::fmt::Write as _;

use sha1::{Digest as _, Sha1};

/// Derived server ids lie in the second quarter of their range: people number their servers from 1,
/// or after addresses (10.… and 192.…), and neither lands here.
const DERIVED_FIRST: u32 = 0x4000_0000;
const DERIVED_MASK: u32 = 0x3fff_ffff;

/// The replica that canald poses as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplicaIdentity {
    /// Never 0.
    pub(super) server_id: u32,
    /// In the form `8-4-4-4-12`.
    pub(super) uuid: String,
}

/// The identity of `destination` whose data lie in `home`: a data folder, or a cluster.
pub(super) fn derive(home: &str, destination: &str) -> ReplicaIdentity {
    // A NUL cannot be part of a path, so no two pairs hash alike.
    let digest = Sha1::new()
        .chain_update(b"canald replica\0")
        .chain_update(home)
        .chain_update(b"\0")
        .chain_update(destination)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // Version 5 (named by SHA-1) and the variant of RFC 9562.
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut uuid = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            uuid.push('-');
        }
        write!(uuid, "{byte:02x}").expect("a String takes everything");
    }
    let word = u32::from_be_bytes([digest[16], digest[17], digest[18], digest[19]]);
    ReplicaIdentity {
        server_id: DERIVED_FIRST | word & DERIVED_MASK,
        uuid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_stable_and_differs_by_folder_and_destination() {
        let a = derive("/var/lib/canald", "example");
        assert_eq!(a, derive("/var/lib/canald", "example"));
        assert_ne!(a, derive("/var/lib/canald", "example2"));
        assert_ne!(a, derive("/var/lib/canald2", "example"));
        assert_ne!(derive("/a", "b/c"), derive("/a/b", "c"));
        // Fixed for ever: a source knows its replicas by it.
        assert_eq!(a.uuid, "0bcdd57f-88ba-55d0-87c7-e9829b317c45");
        assert_eq!(a.server_id, 1_283_148_032);
    }

    #[test]
    fn it_is_a_version_5_uuid() {
        let uuid = derive("/d", "x").uuid;
        assert_eq!(
            uuid.split('-').map(str::len).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert_eq!(uuid.as_bytes()[14], b'5');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
    }
}
