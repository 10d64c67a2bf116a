//! What surrounds statements: their text beside rows, their variables, and incidents
//! (binlog-parser reference §2.2).

use crate::read::{ReadError, Reader};

/// Which variable an INTVAR sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntVarKind {
    /// `LAST_INSERT_ID`
    LastInsertId,
    /// `INSERT_ID`
    InsertId,
}

/// A number that the next statement uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntVar {
    /// The variable.
    pub kind: IntVarKind,
    /// Its value.
    pub value: u64,
}

impl IntVar {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off, or of a kind that does not exist.
    pub fn parse(body: &[u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let kind = match r.u8("variable")? {
            1 => IntVarKind::LastInsertId,
            2 => IntVarKind::InsertId,
            _ => return Err(r.invalid("variable", "is neither LAST_INSERT_ID nor INSERT_ID")),
        };
        Ok(Self {
            kind,
            value: r.u64("value")?,
        })
    }
}

/// Seeds of `RAND()` in the next statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rand {
    /// `rand_seed1`
    pub seed1: u64,
    /// `rand_seed2`
    pub seed2: u64,
}

impl Rand {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off.
    pub fn parse(body: &[u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        Ok(Self {
            seed1: r.u64("seed 1")?,
            seed2: r.u64("seed 2")?,
        })
    }
}

/// A user variable that the next statement uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserVar<'a> {
    /// Its name, without `@`.
    pub name: &'a [u8],
    /// Its value; none for NULL.
    pub value: Option<UserVarValue<'a>>,
}

/// The value of a user variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserVarValue<'a> {
    /// Type: 0 string, 1 double, 2 integer, 4 decimal.
    pub value_type: u8,
    /// Collation id.
    pub collation: u32,
    /// The value as its type stores it: text, 8 bytes, or precision, scale and packed decimal.
    pub bytes: &'a [u8],
    /// Whether an integer is unsigned.
    pub is_unsigned: bool,
}

impl<'a> UserVar<'a> {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let length = r.u32("name length")?;
        let name = r.bytes(length as usize, "name")?;
        if r.u8("is NULL")? != 0 {
            return Ok(Self { name, value: None });
        }
        let value_type = r.u8("value type")?;
        let collation = r.u32("value collation")?;
        let length = r.u32("value length")?;
        let bytes = r.bytes(length as usize, "value")?;
        // servers before 5.6 write no flags
        let is_unsigned = r
            .u8("value flags")
            .is_ok_and(|flags| flags & USER_VAR_UNSIGNED != 0);
        Ok(Self {
            name,
            value: Some(UserVarValue {
                value_type,
                collation,
                bytes,
                is_unsigned,
            }),
        })
    }
}

/// Reads the statement behind rows events from a ROWS_QUERY body. Its one-byte length is meaningless.
///
/// # Errors
/// It is empty.
pub fn parse_rows_query(body: &[u8]) -> Result<&[u8], ReadError> {
    let mut r = Reader::new(body);
    r.u8("length")?;
    Ok(r.rest())
}

/// Something happened on the source that its log does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident<'a> {
    /// Its number: 1 is "lost events".
    pub number: u16,
    /// What the server says of it.
    pub message: &'a [u8],
}

impl<'a> Incident<'a> {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let number = r.u16("incident number")?;
        let length = r.u8("incident message length")?;
        Ok(Self {
            number,
            message: r.bytes(usize::from(length), "incident message")?,
        })
    }
}

const USER_VAR_UNSIGNED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intvar_names_its_variable() {
        let body = [2, 1, 0, 0, 0, 0, 0, 0, 0];
        let intvar = IntVar::parse(&body).unwrap();
        assert_eq!(
            intvar,
            IntVar {
                kind: IntVarKind::InsertId,
                value: 1
            }
        );
        assert!(IntVar::parse(&[3, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert_eq!(IntVar::parse(&body[..8]).unwrap_err().field, "value");
    }

    #[test]
    fn rand_has_two_seeds() {
        let body = b"\x2a\x64\x7d\x3e\0\0\0\0\xc5\xac\x5b\x0f\0\0\0\0";
        assert_eq!(
            Rand::parse(body),
            Ok(Rand {
                seed1: 0x3e7d_642a,
                seed2: 0x0f5b_acc5
            })
        );
        assert!(Rand::parse(&body[..15]).is_err());
    }

    #[test]
    fn a_user_variable_has_a_typed_value_or_none() {
        let body = b"\x01\0\0\0s\0\0\xff\0\0\0\x07\0\0\0text \xc3\xa9\0";
        let variable = UserVar::parse(body).unwrap();
        assert_eq!(variable.name, b"s");
        let value = variable.value.unwrap();
        assert_eq!((value.value_type, value.collation), (0, 255));
        assert_eq!(value.bytes, "text é".as_bytes());
        assert!(!value.is_unsigned);
        assert_eq!(UserVar::parse(b"\x01\0\0\0n\x01").unwrap().value, None);
        assert_eq!(
            UserVar::parse(b"\xff\xff\xff\xffn\x01").unwrap_err().field,
            "name"
        );
        let old = UserVar::parse(&body[..body.len() - 1]).unwrap();
        assert_eq!(old.value, Some(value));
    }

    #[test]
    fn a_rows_query_ignores_its_length() {
        assert_eq!(parse_rows_query(b"\x01SELECT 1"), Ok(&b"SELECT 1"[..]));
        assert!(parse_rows_query(b"").is_err());
    }

    #[test]
    fn an_incident_has_a_message() {
        let incident = Incident::parse(b"\x01\0\x04gone").unwrap();
        assert_eq!(
            incident,
            Incident {
                number: 1,
                message: b"gone"
            }
        );
        assert!(Incident::parse(b"\x01\0\x05gone").is_err());
    }
}
