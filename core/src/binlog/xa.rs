//! XID and XA_PREPARE: how transactions end, and how they wait (binlog-parser reference §2.2).

use crate::read::{ReadError, Reader};

/// Most bytes of either part of an XA transaction's name.
pub const XA_PART_BYTES_MAX: usize = 64;

/// The name of an XA transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XaId<'a> {
    /// Format number.
    pub format: u32,
    /// Global transaction.
    pub gtrid: &'a [u8],
    /// Branch.
    pub bqual: &'a [u8],
}

impl<'a> XaId<'a> {
    /// Reads the two parts, whose lengths are known.
    pub(crate) fn parts(
        r: &mut Reader<'a>,
        format: u32,
        gtrid: usize,
        bqual: usize,
    ) -> Result<Self, ReadError> {
        if gtrid > XA_PART_BYTES_MAX || bqual > XA_PART_BYTES_MAX {
            return Err(r.invalid("XA id", "has a part of more than 64 bytes"));
        }
        let gtrid = r.bytes(gtrid, "XA gtrid")?;
        let bqual = r.bytes(bqual, "XA bqual")?;
        Ok(Self {
            format,
            gtrid,
            bqual,
        })
    }
}

/// What becomes of an XA transaction at an XA_PREPARE event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XaPhase {
    /// It waits for its `XA COMMIT` or `XA ROLLBACK`.
    Prepared,
    /// It is committed: `XA COMMIT … ONE PHASE`.
    OnePhase,
}

/// An XA transaction is prepared, or committed in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// Which of the two.
    pub phase: XaPhase,
    /// Its name.
    pub xid: XaId<'a>,
}

impl<'a> XaPrepare<'a> {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off, or a part of the name is too long.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let phase = if r.u8("one phase")? == 0 {
            XaPhase::Prepared
        } else {
            XaPhase::OnePhase
        };
        let format = r.u32("XA format")?;
        let gtrid = r.u32("XA gtrid length")? as usize;
        let bqual = r.u32("XA bqual length")? as usize;
        Ok(Self {
            phase,
            xid: XaId::parts(&mut r, format, gtrid, bqual)?,
        })
    }
}

/// Reads the number of a committed transaction from the body of a XID event.
///
/// # Errors
/// It is cut off.
pub fn parse_xid(body: &[u8]) -> Result<u64, ReadError> {
    Reader::new(body).u64("xid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_transaction_has_a_name() {
        let body = b"\x00\x01\0\0\0\x05\0\0\0\x06\0\0\0xuyo0branch";
        let prepare = XaPrepare::parse(body).unwrap();
        assert_eq!(prepare.phase, XaPhase::Prepared);
        assert_eq!(
            prepare.xid,
            XaId {
                format: 1,
                gtrid: b"xuyo0",
                bqual: b"branch"
            }
        );
        assert_eq!(XaPrepare::parse(&body[..20]).unwrap_err().field, "XA bqual");
        let body = b"\x01\x01\0\0\0\x05\0\0\0\xff\xff\xff\xffxuyo0branch";
        assert_eq!(XaPrepare::parse(body).unwrap_err().field, "XA id");
    }

    #[test]
    fn a_xid_is_a_number() {
        assert_eq!(parse_xid(&[5, 1, 0, 0, 0, 0, 0, 0]), Ok(261));
        assert!(parse_xid(&[5]).is_err());
    }
}
