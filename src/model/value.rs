//! Contents of an item, in the one shape that all stores share.

use std::collections::BTreeMap;
use std::fmt;

use super::Decimal;

/// One value of an item: a DynamoDB attribute, a column, a header or a whole record.
///
/// Missing is not a value: an absent attribute is simply not in its [`Value::Map`]. Sets are kept as lists here and put in
/// canonical order when encoded.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// SQL NULL or DynamoDB NULL; not the same as missing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An exact number whose spelling does not matter.
    Number(Decimal),
    /// UTF-8 text, never Unicode-normalised.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A set of texts (DynamoDB SS).
    TextSet(Vec<String>),
    /// A set of numbers (DynamoDB NS).
    NumberSet(Vec<Decimal>),
    /// A set of byte strings (DynamoDB BS).
    BytesSet(Vec<Vec<u8>>),
    /// An ordered list.
    List(Vec<Value>),
    /// Named values, in the byte order of their names.
    Map(BTreeMap<String, Value>),
    /// A database value by its type name and its exact output text, where spelling matters (`numeric` 1.0 and 1.00 differ).
    Typed {
        /// The type's name in its database, for example `timestamp with time zone`.
        type_name: String,
        /// The output text under the pinned settings of the adapter.
        text: String,
    },
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// A map from pairs.
    pub fn map<N: Into<String>>(entries: impl IntoIterator<Item = (N, Value)>) -> Value {
        Value::Map(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The entries when this is a map.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The text when this is text or typed text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Typed { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The entry of a map by name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_map()?.get(name)
    }
}

impl fmt::Debug for Value {
    /// Names the kind only: contents stay out of logs and error text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Null => "Null",
            Value::Bool(_) => "Bool(..)",
            Value::Number(_) => "Number(..)",
            Value::Text(_) => "Text(..)",
            Value::Bytes(_) => "Bytes(..)",
            Value::TextSet(_) => "TextSet(..)",
            Value::NumberSet(_) => "NumberSet(..)",
            Value::BytesSet(_) => "BytesSet(..)",
            Value::List(_) => "List(..)",
            Value::Map(_) => "Map(..)",
            Value::Typed { .. } => "Typed(..)",
        })
    }
}
