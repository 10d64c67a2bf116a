//! Reading JSON that others wrote: every read knows its path, so that an error says where.
//!
//! As tolerant as the Java reader (ha-meta-store reference §1.3): order and unknown keys do not matter,
//! null is absent, numbers may be given as text.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use serde_json::Value;
use thiserror::Error;

/// What is wrong in a JSON text, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JsonFault {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// A member that must be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// A member is not what it should be.
    #[error("{path} is {found}: {wanted} was expected")]
    Unexpected {
        /// From the root, as `clientDatas[0].cursor`.
        path: String,
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
}

/// Characters of an unexpected value that an error shows.
const SHOWN_MAX: usize = 60;

/// Parses a text.
pub(crate) fn parse(text: &[u8]) -> Result<Value, JsonFault> {
    serde_json::from_slice(text).map_err(|error| JsonFault::Syntax(error.to_string()))
}

/// A value and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    /// The root of a text, called `name` in errors.
    pub(crate) fn root(value: &'a Value, name: &str) -> Self {
        Self {
            value,
            path: name.to_owned(),
        }
    }

    /// The member `name`; none if it is absent or null.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<Self>, JsonFault> {
        let Value::Object(members) = self.value else {
            return Err(self.unexpected("an object"));
        };
        let value = members.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Self {
            value,
            path: format!("{}.{name}", self.path),
        }))
    }

    /// The member `name`.
    pub(crate) fn member(&self, name: &str) -> Result<Self, JsonFault> {
        let missing = || JsonFault::Missing(format!("{}.{name}", self.path));
        self.optional(name)?.ok_or_else(missing)
    }

    /// The items of an array.
    pub(crate) fn items(&self) -> Result<impl Iterator<Item = Self>, JsonFault> {
        let Value::Array(items) = self.value else {
            return Err(self.unexpected("an array"));
        };
        let items = items.iter().zip(0_usize..);
        Ok(items.map(|(value, n)| Self {
            value,
            path: format!("{}[{n}]", self.path),
        }))
    }

    /// A text.
    pub(crate) fn text(&self) -> Result<&'a str, JsonFault> {
        self.value.as_str().ok_or_else(|| self.unexpected("a text"))
    }

    /// A truth value.
    pub(crate) fn truth(&self) -> Result<bool, JsonFault> {
        self.value
            .as_bool()
            .ok_or_else(|| self.unexpected("true or false"))
    }

    /// A whole number that fits `T`, which `wanted` describes.
    pub(crate) fn number<T: TryFrom<i128>>(&self, wanted: &'static str) -> Result<T, JsonFault> {
        let number = match self.value {
            Value::Number(n) => n
                .as_u64()
                .map(i128::from)
                .or_else(|| n.as_i64().map(i128::from)),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let number = number.and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| self.unexpected(wanted))
    }

    /// The fault that this is not `wanted`.
    pub(crate) fn unexpected(&self, wanted: &'static str) -> JsonFault {
        let mut found = self.value.to_string();
        if let Some((end, _)) = found.char_indices().nth(SHOWN_MAX) {
            found.truncate(end);
            found.push('…');
        }
        JsonFault::Unexpected {
            path: self.path.clone(),
            found,
            wanted,
        }
    }
}
