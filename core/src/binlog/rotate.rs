//! ROTATE and BINLOG_CHECKPOINT: events that name a file (binlog-parser reference §1.15, §2.2).

use crate::read::{ReadError, Reader};

/// Most bytes of a file name: the server's own limit of a path.
pub const FILE_NAME_BYTES_MAX: usize = 512;

/// The stream goes on in another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// The file.
    pub file: &'a str,
    /// The offset of the next event in it.
    pub offset: u64,
}

impl<'a> Rotate<'a> {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off or names no file.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let offset = r.u64("position")?;
        Ok(Self {
            file: file_name(&mut r)?,
            offset,
        })
    }
}

/// The oldest file that the server's crash recovery needs. It is *not* the file being read: canal takes
/// it for that and mislabels what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinlogCheckpoint<'a> {
    /// The file.
    pub file: &'a str,
}

impl<'a> BinlogCheckpoint<'a> {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off or names no file.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let length = r.u32("file name length")?;
        let mut name = Reader::new(r.bytes(length as usize, "file name")?);
        Ok(Self {
            file: file_name(&mut name)?,
        })
    }
}

/// Everything left of `r`, as the name of a file.
pub(crate) fn file_name<'a>(r: &mut Reader<'a>) -> Result<&'a str, ReadError> {
    let field = "file name";
    if r.is_empty() {
        return Err(r.invalid(field, "is empty"));
    }
    if r.left() > FILE_NAME_BYTES_MAX {
        return Err(r.invalid(field, "is longer than 512 bytes"));
    }
    let error = r.invalid(field, "is not UTF-8");
    core::str::from_utf8(r.rest()).map_err(|_| error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotate_names_file_and_offset() {
        let rotate = Rotate::parse(b"\x04\0\0\0\0\0\0\0binlog.000002").unwrap();
        assert_eq!(
            rotate,
            Rotate {
                file: "binlog.000002",
                offset: 4
            }
        );
        assert_eq!(
            Rotate::parse(b"\x04\0\0\0\0\0\0\0").unwrap_err().field,
            "file name"
        );
        assert_eq!(Rotate::parse(b"\x04\0\0").unwrap_err().field, "position");
        assert_eq!(
            Rotate::parse(b"\x04\0\0\0\0\0\0\0\xff\xfe").unwrap_err().at,
            8
        );
        assert!(Rotate::parse(&[b'x'; 8 + FILE_NAME_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_checkpoint_names_a_file() {
        let checkpoint = BinlogCheckpoint::parse(b"\x0d\0\0\0binlog.000001").unwrap();
        assert_eq!(checkpoint.file, "binlog.000001");
        assert!(BinlogCheckpoint::parse(b"\x0e\0\0\0binlog.000001").is_err());
    }
}
