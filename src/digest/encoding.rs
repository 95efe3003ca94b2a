//! Values to canonical bytes and back.
//!
//! Every value is one tag byte, the payload's length as 8 bytes little-endian, and the payload. See
//! `docs/canonical-format.md` for the table and the vectors.

use std::collections::BTreeMap;

use super::frame::{
    self, BYTES, BYTES_SET, FALSE, ITEM_DOMAIN, LIST, MAP, NULL, NUMBER, NUMBER_SET, TEXT, TEXT_SET, TRUE, TYPED,
};
use crate::model::{Decimal, Digest, Key, Value};

/// Nesting accepted when decoding; DynamoDB allows 32 levels, JSON in a database more.
const DEPTH_MAX: usize = 256;

/// The canonical bytes of a value.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    encode_into(&mut out, value);
    out
}

/// Appends the canonical bytes of a value.
pub fn encode_into(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => framed(out, NULL, |_| ()),
        Value::Bool(true) => framed(out, TRUE, |_| ()),
        Value::Bool(false) => framed(out, FALSE, |_| ()),
        Value::Number(number) => put_number(out, number),
        Value::Text(text) => frame::put(out, TEXT, text.as_bytes()),
        Value::Bytes(bytes) => frame::put(out, BYTES, bytes),
        Value::NumberSet(numbers) => put_set(out, NUMBER_SET, numbers, put_number),
        Value::TextSet(texts) => put_set(out, TEXT_SET, texts, |out, text| frame::put(out, TEXT, text.as_bytes())),
        Value::BytesSet(sets) => put_set(out, BYTES_SET, sets, |out, bytes| frame::put(out, BYTES, bytes)),
        Value::List(values) => framed(out, LIST, |out| values.iter().for_each(|value| encode_into(out, value))),
        Value::Map(entries) => framed(out, MAP, |out| {
            for (name, value) in entries {
                frame::put(out, TEXT, name.as_bytes());
                encode_into(out, value);
            }
        }),
        Value::Typed { type_name, text } => framed(out, TYPED, |out| {
            frame::put(out, TEXT, type_name.as_bytes());
            frame::put(out, TEXT, text.as_bytes());
        }),
    }
}

/// The digest of an item's contents: BLAKE3 over a domain mark and the canonical bytes.
pub fn item_digest(contents: &Value) -> Digest {
    let mut bytes = ITEM_DOMAIN.to_vec();
    encode_into(&mut bytes, contents);
    blake3::hash(&bytes).into()
}

/// The key made of a key value.
pub fn key_of(value: &Value) -> Key {
    Key::from_canonical(encode(value))
}

/// The key value behind a key.
///
/// # Errors
///
/// [`DecodeError`] when the bytes are not one canonical value, as when a manifest was damaged.
pub fn key_value(key: &Key) -> Result<Value, DecodeError> {
    decode(key.as_bytes())
}

fn framed(out: &mut Vec<u8>, tag: u8, payload: impl FnOnce(&mut Vec<u8>)) {
    let frame = frame::open(out, tag);
    payload(out);
    frame.close(out);
}

fn put_number(out: &mut Vec<u8>, number: &Decimal) {
    frame::put(out, NUMBER, number.canonical().as_bytes());
}

/// Elements are encoded, sorted by their bytes, and repeats dropped.
fn put_set<T>(out: &mut Vec<u8>, tag: u8, elements: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    let mut encoded: Vec<Vec<u8>> = elements
        .iter()
        .map(|element| {
            let mut bytes = Vec::new();
            put(&mut bytes, element);
            bytes
        })
        .collect();
    encoded.sort_unstable();
    encoded.dedup();
    framed(out, tag, |out| encoded.iter().for_each(|bytes| out.extend_from_slice(bytes)));
}

/// Bytes that are not one canonical value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("canonical bytes end early")]
    Truncated,
    /// Bytes follow the value.
    #[error("canonical bytes go on after the value")]
    Trailing,
    /// A tag that this format version does not have.
    #[error("unknown tag byte {0:#04x} in canonical bytes")]
    UnknownTag(u8),
    /// A payload that its tag does not allow.
    #[error("malformed payload in canonical bytes")]
    Malformed,
    /// Deeper nesting than any store allows.
    #[error("canonical bytes nest deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// Reads one canonical value.
///
/// # Errors
///
/// [`DecodeError`] for anything [`encode`] would not have written, as far as framing, tags and text go.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn framed(&mut self) -> Result<(u8, &'a [u8]), DecodeError> {
        let (&tag, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| DecodeError::Truncated)?;
        let (payload, rest) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok((tag, payload))
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let (tag, payload) = self.framed()?;
        let elements = || Reader { rest: payload };
        Ok(match tag {
            NULL if payload.is_empty() => Value::Null,
            TRUE if payload.is_empty() => Value::Bool(true),
            FALSE if payload.is_empty() => Value::Bool(false),
            NULL | TRUE | FALSE => return Err(DecodeError::Malformed),
            NUMBER => Value::Number(number(payload)?),
            TEXT => Value::Text(text(payload)?),
            BYTES => Value::Bytes(payload.to_vec()),
            NUMBER_SET => Value::NumberSet(elements().set(NUMBER, number)?),
            TEXT_SET => Value::TextSet(elements().set(TEXT, text)?),
            BYTES_SET => Value::BytesSet(elements().set(BYTES, |bytes| Ok(bytes.to_vec()))?),
            LIST => Value::List(elements().list(depth)?),
            MAP => Value::Map(elements().entries(depth)?),
            TYPED => elements().typed()?,
            other => return Err(DecodeError::UnknownTag(other)),
        })
    }

    fn tagged(&mut self, wanted: u8) -> Result<&'a [u8], DecodeError> {
        match self.framed()? {
            (tag, payload) if tag == wanted => Ok(payload),
            _ => Err(DecodeError::Malformed),
        }
    }

    fn set<T>(mut self, tag: u8, read: impl Fn(&[u8]) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
        let mut elements = Vec::new();
        while !self.rest.is_empty() {
            elements.push(read(self.tagged(tag)?)?);
        }
        Ok(elements)
    }

    fn list(mut self, depth: usize) -> Result<Vec<Value>, DecodeError> {
        let mut values = Vec::new();
        while !self.rest.is_empty() {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    fn entries(mut self, depth: usize) -> Result<BTreeMap<String, Value>, DecodeError> {
        let mut entries = BTreeMap::new();
        while !self.rest.is_empty() {
            let name = text(self.tagged(TEXT)?)?;
            entries.insert(name, self.value(depth + 1)?);
        }
        Ok(entries)
    }

    fn typed(mut self) -> Result<Value, DecodeError> {
        let type_name = text(self.tagged(TEXT)?)?;
        let text = text(self.tagged(TEXT)?)?;
        if self.rest.is_empty() { Ok(Value::Typed { type_name, text }) } else { Err(DecodeError::Malformed) }
    }
}

fn text(payload: &[u8]) -> Result<String, DecodeError> {
    std::str::from_utf8(payload).map(str::to_owned).map_err(|_| DecodeError::Malformed)
}

fn number(payload: &[u8]) -> Result<Decimal, DecodeError> {
    text(payload)?.parse().map_err(|_| DecodeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Value {
        Value::Number(text.parse().expect("a number"))
    }

    #[test]
    fn equal_by_meaning_is_equal_in_bytes() {
        assert_eq!(encode(&number("1.0")), encode(&number("1E0")));
        let one = Value::TextSet(vec!["b".into(), "a".into(), "a".into()]);
        let other = Value::TextSet(vec!["a".into(), "b".into()]);
        assert_eq!(encode(&one), encode(&other));
    }

    #[test]
    fn different_by_meaning_is_different_in_bytes() {
        let values = [
            Value::Null,
            Value::Bool(false),
            number("1"),
            Value::text("1"),
            Value::Bytes(b"1".to_vec()),
            Value::text(""),
            Value::Bytes(vec![]),
            Value::TextSet(vec!["1".into()]),
            Value::List(vec![Value::text("1")]),
            Value::map([("1", Value::Null)]),
            Value::Map(BTreeMap::new()),
            Value::List(vec![]),
            Value::text("e\u{301}"),
            Value::text("\u{e9}"),
            Value::Typed { type_name: "numeric".into(), text: "1.0".into() },
            Value::Typed { type_name: "numeric".into(), text: "1.00".into() },
            Value::map([("a", Value::text("bc"))]),
            Value::map([("ab", Value::text("c"))]),
        ];
        for (i, one) in values.iter().enumerate() {
            for other in &values[i + 1..] {
                assert_ne!(item_digest(one), item_digest(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let whole = encode(&Value::map([("a", Value::List(vec![number("1"), Value::Null]))]));
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "cut at {end}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(decode(&longer), Err(DecodeError::Trailing));
        assert_eq!(decode(&[b'?', 0, 0, 0, 0, 0, 0, 0, 0]), Err(DecodeError::UnknownTag(b'?')));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = (0..300).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        assert_eq!(decode(&encode(&deep)), Err(DecodeError::TooDeep));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (any::<i64>(), -120i32..120).prop_map(|(n, e)| number(&format!("{n}E{e}"))),
            ".*".prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(value in any_value()) {
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }

        #[test]
        fn decoding_noise_never_panics(noise in any::<Vec<u8>>()) {
            let _ = decode(&noise);
        }
    }
}
