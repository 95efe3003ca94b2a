//! Prior images as bytes.

use crate::digest::{DecodeError, decode, encode, key_of, key_value};
use crate::model::{Decimal, Digest, Evidence, Item, Key, Value};

/// A prior image that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The bytes are not one value.
    #[error("the bytes are not canonical")]
    Decode(#[from] DecodeError),
    /// A part is missing or of the wrong kind.
    #[error("part `{0}` is missing or malformed")]
    Part(&'static str),
}

/// Encodes an item so that it can be written again.
pub fn encode_image(item: &Item) -> Vec<u8> {
    let Item { key, digest, evidence, contents, size, modified_at: _, expires_at: _, hold: _ } = item;
    let evidence = evidence.iter().map(|e| (e.kind, Value::Bytes(e.digest.0.to_vec())));
    // A key is always canonical; were it not, its bytes are kept as they are.
    let key = key_value(key).unwrap_or_else(|_| Value::Bytes(key.as_bytes().to_vec()));
    encode(&Value::map([
        ("key", key),
        ("digest", Value::Bytes(digest.0.to_vec())),
        ("evidence", Value::map(evidence)),
        ("contents", contents.clone()),
        ("size", Value::Number(Decimal::from(i64::try_from(*size).unwrap_or(i64::MAX)))),
    ]))
}

/// Decodes an item.
///
/// # Errors
///
/// [`ImageError`] when the bytes were damaged.
pub fn decode_image(bytes: &[u8]) -> Result<Item, ImageError> {
    let image = decode(bytes)?;
    let part = |name: &'static str| image.get(name).ok_or(ImageError::Part(name));
    let size = match part("size")? {
        Value::Number(number) => number.to_string().parse().map_err(|_| ImageError::Part("size"))?,
        _ => return Err(ImageError::Part("size")),
    };
    let evidence = part("evidence")?.as_map().ok_or(ImageError::Part("evidence"))?;
    let evidence = evidence.iter().map(|(kind, value)| {
        let kind = Evidence::kind_named(kind).ok_or(ImageError::Part("evidence"))?;
        Ok(Evidence { kind, digest: digest_of(value, "evidence")? })
    });
    let key: Key = key_of(part("key")?);
    Ok(Item {
        key,
        digest: digest_of(part("digest")?, "digest")?,
        evidence: evidence.collect::<Result<_, ImageError>>()?,
        contents: part("contents")?.clone(),
        size,
        modified_at: None,
        expires_at: None,
        hold: None,
    })
}

fn digest_of(value: &Value, part: &'static str) -> Result<Digest, ImageError> {
    match value {
        Value::Bytes(bytes) => Ok(Digest(bytes.as_slice().try_into().map_err(|_| ImageError::Part(part))?)),
        _ => Err(ImageError::Part(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_reads_back() {
        let item = Item {
            key: key_of(&Value::map([("id", Value::text("a"))])),
            digest: Digest([1; 32]),
            evidence: vec![Evidence { kind: "md5", digest: Digest([2; 32]) }],
            contents: Value::map([("size", Value::Number(5.into())), ("x", Value::Null)]),
            size: 5,
            modified_at: None,
            expires_at: None,
            hold: None,
        };
        let bytes = encode_image(&item);
        assert_eq!(decode_image(&bytes).expect("readable"), item);
        assert!(decode_image(&bytes[..bytes.len() - 1]).is_err());
    }
}
