//! One line of an export to leaves: DynamoDB JSON straight to canonical values.
//!
//! [`ItemFormat::leaf_of_json`] is the one seam from an item's bytes to its leaf. Errors never hold what an item holds.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::format::ItemFormat;
use super::super::value::without_replication;
use crate::model::{Decimal, Key, Leaf, Timestamp, Value};
use crate::store::{ErrorKind, ItemThen, KeyChange, Result, StoreError};

/// A line of a FULL export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullLine<'l> {
    #[serde(rename = "Item", borrow)]
    item: &'l RawValue,
}

/// A line of an INCREMENTAL export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ChangeLine<'l> {
    #[serde(borrow)]
    metadata: Metadata<'l>,
    #[serde(borrow)]
    keys: &'l RawValue,
    #[serde(borrow, default)]
    old_image: Option<&'l RawValue>,
    #[serde(borrow, default)]
    new_image: Option<&'l RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'l> {
    #[serde(borrow)]
    write_timestamp_micros: &'l RawValue,
}

impl ItemFormat {
    /// The leaf of an item in DynamoDB JSON.
    pub(super) fn leaf_of_json(&self, item: &[u8]) -> Result<Leaf> {
        self.leaf_of(self.entries_of_json(item)?)
    }

    /// The leaf behind a line of a FULL export.
    pub(super) fn leaf_of_line(&self, line: &[u8]) -> Result<Leaf> {
        let line: FullLine<'_> = serde_json::from_slice(line).map_err(|error| self.not_a_line(&error))?;
        self.leaf_of_json(line.item.get().as_bytes())
    }

    /// The change behind a line of an INCREMENTAL export.
    ///
    /// Insert: keys and the new image. Update: the new image, and the old one in the view that has it. Delete: no new image.
    pub(super) fn change_of_line(&self, line: &[u8], has_old_images: bool) -> Result<KeyChange> {
        let line: ChangeLine<'_> = serde_json::from_slice(line).map_err(|error| self.not_a_line(&error))?;
        let written_at = micros(line.metadata.write_timestamp_micros.get())
            .ok_or_else(|| self.malformed("its WriteTimestampMicros is no instant".into()))?;
        let key = self.key_of_json(line.keys.get().as_bytes())?;
        let image = |image: Option<&RawValue>| -> Result<Option<Leaf>> {
            let Some(image) = image.filter(|image| image.get() != "null") else { return Ok(None) };
            let leaf = self.leaf_of_json(image.get().as_bytes())?;
            if leaf.key == key {
                Ok(Some(leaf))
            } else {
                Err(self.malformed("an image has another key than its line".into()))
            }
        };
        let (old, new) = (image(line.old_image)?, image(line.new_image)?);
        let before = match (old, &new) {
            (Some(old), _) => ItemThen::Present(old),
            // An update has an old image in this view, so that a line with none is an insert.
            (None, Some(_)) if has_old_images => ItemThen::Absent,
            (None, _) => ItemThen::Untold,
        };
        Ok(KeyChange { key, written_at, before, after: new.map_or(ItemThen::Absent, ItemThen::Present) })
    }

    fn key_of_json(&self, keys: &[u8]) -> Result<Key> {
        let entries = self.entries_of_json(keys)?;
        if entries.len() != self.key.len() {
            return Err(self.malformed("its keys are not those of the table".into()));
        }
        self.key_in(&entries)
    }

    fn entries_of_json(&self, item: &[u8]) -> Result<BTreeMap<String, Value>> {
        let Entries(entries) = serde_json::from_slice(item).map_err(|error| self.not_a_line(&error))?;
        Ok(without_replication(entries))
    }

    /// Tells where a line is wrong, but not what stands there.
    fn not_a_line(&self, error: &serde_json::Error) -> StoreError {
        let what = match error.classify() {
            serde_json::error::Category::Data => "it is not DynamoDB JSON",
            _ => "it is not JSON",
        };
        self.malformed(format!("{what}, at column {}", error.column()))
    }

    fn malformed(&self, what: String) -> StoreError {
        StoreError::caused(ErrorKind::Unreadable, format!("cannot read an exported item of {}", self.subject), what)
    }
}

/// Microseconds since 1970, bare, as a string, or as a DynamoDB number.
fn micros(text: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Number {
        #[serde(rename = "N")]
        n: String,
    }
    let digits = match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok()?,
        b'{' => serde_json::from_str::<Number>(text).ok()?.n,
        _ => text.to_owned(),
    };
    Timestamp::from_microsecond(digits.parse().ok()?).ok()
}

/// Attributes by name, each once.
struct Entries(BTreeMap<String, Value>);

/// One attribute value: an object of one type and its value.
struct Typed(Value);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Entries, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("attributes by name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Entries, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, Typed(value))) = map.next_entry::<String, Typed>()? {
                    if entries.insert(name, value).is_some() {
                        return Err(de::Error::custom("an attribute occurs twice"));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Typed, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Typed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one typed value")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Typed, M::Error> {
                let kind: String = map.next_key()?.ok_or_else(|| de::Error::custom("a value has no type"))?;
                let value = typed(&kind, &mut map)?;
                match map.next_key::<de::IgnoredAny>()? {
                    None => Ok(Typed(value)),
                    Some(_) => Err(de::Error::custom("a value has two types")),
                }
            }
        }
        deserializer.deserialize_map(One)
    }
}

fn typed<'de, M: MapAccess<'de>>(kind: &str, map: &mut M) -> std::result::Result<Value, M::Error> {
    let bad = |what: &str| de::Error::custom(what);
    let number = |text: &String| text.parse::<Decimal>().map_err(|_| bad("no number"));
    let bytes = |text: &String| BASE64.decode(text).map_err(|_| bad("no base64"));
    Ok(match kind {
        "S" => Value::Text(map.next_value()?),
        "N" => Value::Number(number(&map.next_value()?)?),
        "B" => Value::Bytes(bytes(&map.next_value()?)?),
        "SS" => Value::TextSet(map.next_value()?),
        "NS" => Value::NumberSet(
            map.next_value::<Vec<String>>()?.iter().map(number).collect::<std::result::Result<_, _>>()?,
        ),
        "BS" => {
            Value::BytesSet(map.next_value::<Vec<String>>()?.iter().map(bytes).collect::<std::result::Result<_, _>>()?)
        }
        "L" => Value::List(map.next_value::<Vec<Typed>>()?.into_iter().map(|Typed(value)| value).collect()),
        "M" => Value::Map(map.next_value::<Entries>()?.0),
        "BOOL" => Value::Bool(map.next_value()?),
        "NULL" => match map.next_value()? {
            true => Value::Null,
            false => return Err(bad("a null that is none")),
        },
        _ => return Err(bad("an unknown type")),
    })
}
