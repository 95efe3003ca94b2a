//! Attribute values to canonical values and back.
//!
//! Nothing is lost or guessed: a variant this SDK does not know, or a number that is not one, makes the item unreadable.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;

use crate::model::{Decimal, Value};

/// The top-level attributes of an item, as the SDK has them.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// The digits a number may have when written; DynamoDB keeps 38.
const PLAIN_DIGITS_MAX: usize = 38;

/// Bytes DynamoDB counts for a list or map besides its elements.
pub(super) const CONTAINER_BYTES: u64 = 3;

/// Prefix of the attributes that global tables of version 2017.11.29 keep for themselves.
pub(super) const REPLICATION_PREFIX: &str = "aws:rep:";

/// An attribute value that cannot be understood or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    /// A variant newer than the SDK.
    #[error("an attribute has a type that this version does not know")]
    UnknownType,
    /// Text in a number's place.
    #[error("an attribute of type number holds no finite decimal number")]
    NotANumber,
    /// `{"NULL": false}`, which has no meaning.
    #[error("an attribute of type null says that it is not null")]
    NotNull,
    /// Database text, which DynamoDB has no type for.
    #[error("a value of database type {0} has no DynamoDB type")]
    Typed(String),
}

/// The attributes of an item by name, without those that replication keeps for itself.
pub(super) fn from_attributes(attributes: Attributes) -> Result<BTreeMap<String, Value>, ValueError> {
    attributes
        .into_iter()
        .filter(|(name, _)| !name.starts_with(REPLICATION_PREFIX))
        .map(|(name, value)| Ok((name, from_attribute(value)?)))
        .collect()
}

/// The attributes of an item without those that replication keeps for itself.
pub(super) fn without_replication(mut entries: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    entries.retain(|name, _| !name.starts_with(REPLICATION_PREFIX));
    entries
}

/// One attribute value as a canonical value.
pub(super) fn from_attribute(value: AttributeValue) -> Result<Value, ValueError> {
    Ok(match value {
        AttributeValue::S(text) => Value::Text(text),
        AttributeValue::N(text) => Value::Number(number(&text)?),
        AttributeValue::B(bytes) => Value::Bytes(bytes.into_inner()),
        AttributeValue::Ss(texts) => Value::TextSet(texts),
        AttributeValue::Ns(texts) => Value::NumberSet(texts.iter().map(|text| number(text)).collect::<Result<_, _>>()?),
        AttributeValue::Bs(blobs) => Value::BytesSet(blobs.into_iter().map(Blob::into_inner).collect()),
        AttributeValue::L(values) => Value::List(values.into_iter().map(from_attribute).collect::<Result<_, _>>()?),
        AttributeValue::M(entries) => Value::Map(
            entries.into_iter().map(|(name, value)| Ok((name, from_attribute(value)?))).collect::<Result<_, _>>()?,
        ),
        AttributeValue::Null(true) => Value::Null,
        AttributeValue::Null(false) => return Err(ValueError::NotNull),
        AttributeValue::Bool(flag) => Value::Bool(flag),
        _ => return Err(ValueError::UnknownType),
    })
}

/// The attributes to write for a map of values, without those that replication keeps for itself.
pub(super) fn to_attributes(entries: &BTreeMap<String, Value>) -> Result<Attributes, ValueError> {
    entries
        .iter()
        .filter(|(name, _)| !name.starts_with(REPLICATION_PREFIX))
        .map(|(name, value)| Ok((name.clone(), to_attribute(value)?)))
        .collect()
}

/// One canonical value as an attribute value.
pub(super) fn to_attribute(value: &Value) -> Result<AttributeValue, ValueError> {
    Ok(match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
        Value::Number(number) => AttributeValue::N(spelled(number)),
        Value::Text(text) => AttributeValue::S(text.clone()),
        Value::Bytes(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
        Value::TextSet(texts) => AttributeValue::Ss(texts.clone()),
        Value::NumberSet(numbers) => AttributeValue::Ns(numbers.iter().map(spelled).collect()),
        Value::BytesSet(sets) => AttributeValue::Bs(sets.iter().map(|bytes| Blob::new(bytes.clone())).collect()),
        Value::List(values) => AttributeValue::L(values.iter().map(to_attribute).collect::<Result<_, _>>()?),
        Value::Map(entries) => AttributeValue::M(
            entries
                .iter()
                .map(|(name, value)| Ok((name.clone(), to_attribute(value)?)))
                .collect::<Result<_, ValueError>>()?,
        ),
        Value::Typed { type_name, .. } => return Err(ValueError::Typed(type_name.clone())),
    })
}

/// About the bytes that DynamoDB counts for an item: names, values and the overhead of containers.
pub(super) fn size_of(entries: &BTreeMap<String, Value>) -> u64 {
    entries.iter().map(|(name, value)| name.len() as u64 + size_of_value(value)).sum()
}

fn size_of_value(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => size_of_number(number),
        Value::Text(text) | Value::Typed { text, .. } => text.len() as u64,
        Value::Bytes(bytes) => bytes.len() as u64,
        Value::TextSet(texts) => texts.iter().map(|text| text.len() as u64).sum(),
        Value::NumberSet(numbers) => numbers.iter().map(size_of_number).sum(),
        Value::BytesSet(sets) => sets.iter().map(|bytes| bytes.len() as u64).sum(),
        Value::List(values) => CONTAINER_BYTES + values.iter().map(|value| 1 + size_of_value(value)).sum::<u64>(),
        Value::Map(entries) => CONTAINER_BYTES + entries.len() as u64 + size_of(entries),
    }
}

fn size_of_number(number: &Decimal) -> u64 {
    number_bytes(number.canonical().as_bytes())
}

/// One byte for two digits of a number's canonical text, and one besides.
pub(super) fn number_bytes(canonical: &[u8]) -> u64 {
    let digits = canonical.iter().position(|byte| *byte == b'E').unwrap_or(canonical.len());
    digits.div_ceil(2) as u64 + 1
}

fn number(text: &str) -> Result<Decimal, ValueError> {
    text.parse().map_err(|_| ValueError::NotANumber)
}

/// A spelling DynamoDB accepts: plain as long as that keeps within the digits it allows.
fn spelled(number: &Decimal) -> String {
    let plain = number.to_string();
    let digits = plain.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    if digits <= PLAIN_DIGITS_MAX || plain.contains('E') { plain } else { number.canonical() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_of(text: &str) -> Value {
        Value::Number(text.parse().expect("a number"))
    }

    #[test]
    fn all_ten_types_go_there_and_back() {
        let entries = BTreeMap::from([
            ("s".to_owned(), Value::text("")),
            ("n".to_owned(), number_of("-1E-130")),
            ("b".to_owned(), Value::Bytes(vec![0, 255])),
            ("ss".to_owned(), Value::TextSet(vec!["b".into(), "a".into()])),
            ("ns".to_owned(), Value::NumberSet(vec!["9.99E125".parse().expect("a number")])),
            ("bs".to_owned(), Value::BytesSet(vec![vec![1], vec![]])),
            ("l".to_owned(), Value::List(vec![Value::Null, Value::List(vec![])])),
            ("m".to_owned(), Value::map([("inner", Value::map([("deep", Value::Bool(true))]))])),
            ("null".to_owned(), Value::Null),
            ("bool".to_owned(), Value::Bool(false)),
        ]);
        let attributes = to_attributes(&entries).expect("writable");
        assert_eq!(attributes.len(), 10);
        assert_eq!(from_attributes(attributes), Ok(entries));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        for (value, error) in [
            (AttributeValue::N("NaN".into()), ValueError::NotANumber),
            (AttributeValue::Ns(vec!["1".into(), String::new()]), ValueError::NotANumber),
            (AttributeValue::Null(false), ValueError::NotNull),
            (AttributeValue::L(vec![AttributeValue::Null(false)]), ValueError::NotNull),
        ] {
            assert_eq!(from_attribute(value), Err(error));
        }
        let typed = Value::Typed { type_name: "numeric".into(), text: "1".into() };
        assert_eq!(to_attribute(&typed), Err(ValueError::Typed("numeric".into())));
    }

    #[test]
    fn replication_attributes_are_neither_read_nor_written() {
        let read = HashMap::from([
            ("aws:rep:updatetime".to_owned(), AttributeValue::N("1".into())),
            ("id".to_owned(), AttributeValue::S("a".into())),
        ]);
        let entries = from_attributes(read).expect("readable");
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["id"]);
        let stray = BTreeMap::from([("aws:rep:deleting".to_owned(), Value::Bool(true))]);
        assert!(to_attributes(&stray).expect("writable").is_empty());
    }

    #[test]
    fn numbers_are_spelled_within_38_digits() {
        for (text, expected) in [
            ("10", "10"),
            ("-0.50", "-0.5"),
            ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
            ("1E39", "1E39"),
            ("1E37", "10000000000000000000000000000000000000"),
            ("0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"),
            ("1E-130", "1E-130"),
        ] {
            let number: Decimal = text.parse().expect("a number");
            assert_eq!(spelled(&number), expected, "{text}");
            assert_eq!(spelled(&number).parse(), Ok(number), "{text}");
        }
    }

    #[test]
    fn sizes_are_about_what_the_service_counts() {
        let entries = BTreeMap::from([("id".to_owned(), Value::text("abc")), ("n".to_owned(), number_of("1234"))]);
        assert_eq!(size_of(&entries), 2 + 3 + 1 + 3);
    }
}
