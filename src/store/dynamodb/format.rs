//! How the items of one table read: their key, their digest, their expiry.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{KeyType, TableDescription};
use jiff::SignedDuration;

use super::guard::Guard;
use super::value::{Attributes, ValueError, from_attributes, size_of, to_attributes};
use crate::digest::{item_digest, key_of, key_value};
use crate::model::{Clock, Item, Key, Leaf, Timestamp, Value};
use crate::store::{ErrorKind, Result, StoreError};

/// Age beyond which DynamoDB leaves a time to live alone: five years, counted short so that leap days never matter.
const EXPIRY_AGE_MAX: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);

/// One attribute of a table's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyAttribute {
    /// Its name.
    pub(super) name: String,
    /// `S`, `N` or `B`.
    pub(super) scalar_type: String,
    /// `HASH` or `RANGE`.
    pub(super) role: KeyType,
}

/// How the items of one table read.
#[derive(Clone)]
pub(super) struct ItemFormat {
    /// The table and its side, for errors.
    pub(super) subject: String,
    /// The key's attributes, partition key first.
    pub(super) key: Vec<KeyAttribute>,
    /// The attribute that holds the time to live, while it is enabled.
    pub(super) ttl_attribute: Option<String>,
    /// The attribute that holds the time to live on the other side, where this table has none enabled: a restored table
    /// has none, and what it holds expires all the same.
    pub(super) ttl_elsewhere: Option<String>,
    /// The attribute that every writer changes, where the profile declares one.
    pub(super) version_attribute: Option<String>,
    /// Tells which expiries are too old to be acted on.
    pub(super) clock: Option<Arc<dyn Clock>>,
}

impl ItemFormat {
    /// The item behind attributes that the service returned.
    pub(super) fn item(&self, attributes: Attributes) -> Result<Item> {
        let entries = from_attributes(attributes).map_err(|error| self.unreadable(error))?;
        let key = self.key_in(&entries)?;
        let size = size_of(&entries);
        let expires_at = self.expires_at(&entries);
        let hold = self.hold(&entries);
        let contents = Value::Map(entries);
        let digest = item_digest(&contents);
        Ok(Item { key, digest, evidence: Vec::new(), contents, size, modified_at: None, expires_at, hold })
    }

    /// The leaf behind attributes that the service returned.
    pub(super) fn leaf(&self, attributes: Attributes) -> Result<Leaf> {
        self.leaf_of(from_attributes(attributes).map_err(|error| self.unreadable(error))?)
    }

    /// The leaf behind canonical values.
    pub(super) fn leaf_of(&self, entries: BTreeMap<String, Value>) -> Result<Leaf> {
        let key = self.key_in(&entries)?;
        let size = size_of(&entries);
        Ok(Leaf { key, digest: item_digest(&Value::Map(entries)), size, modified_at: None })
    }

    /// The attributes that `key` stands for.
    pub(super) fn key_attributes(&self, key: &Key) -> Result<Attributes> {
        let foreign = || self.unfit("a key is not of this table's key schema");
        let value = key_value(key).map_err(|error| {
            StoreError::caused(ErrorKind::Unreadable, format!("cannot read a key for {}", self.subject), error)
        })?;
        let entries = value.as_map().ok_or_else(foreign)?;
        let fits = entries.len() == self.key.len() && self.key.iter().all(|part| part.holds(entries.get(&part.name)));
        if !fits {
            return Err(foreign());
        }
        to_attributes(entries).map_err(|error| self.unreadable(error))
    }

    /// The contents of `item` as attributes to write, once it is sure that they belong under `key`.
    pub(super) fn image(&self, item: &Item, key: &Key) -> Result<Attributes> {
        let entries = self.entries(item)?;
        if self.key_in(entries)? != *key {
            return Err(self.unfit("the contents of an item do not carry its own key"));
        }
        to_attributes(entries).map_err(|error| {
            StoreError::caused(ErrorKind::Unfit, format!("cannot write an item to {}", self.subject), error)
        })
    }

    /// The attributes of `item` by name.
    pub(super) fn entries<'i>(&self, item: &'i Item) -> Result<&'i BTreeMap<String, Value>> {
        item.contents.as_map().ok_or_else(|| self.unfit("an item's contents are no attributes by name"))
    }

    /// The name of the partition key, whose presence means that the item exists.
    pub(super) fn partition_key(&self) -> &str {
        &self.key[0].name
    }

    /// The key among the attributes of an item.
    pub(super) fn key_in(&self, entries: &BTreeMap<String, Value>) -> Result<Key> {
        let mut parts = BTreeMap::new();
        for part in &self.key {
            let value = entries.get(&part.name).filter(|value| part.holds(Some(value)));
            let value = value.ok_or_else(|| {
                StoreError::new(ErrorKind::Unreadable, format!("an item of {} lacks its key", self.subject))
            })?;
            parts.insert(part.name.clone(), value.clone());
        }
        Ok(key_of(&Value::Map(parts)))
    }

    fn hold(&self, entries: &BTreeMap<String, Value>) -> Option<String> {
        let guarded = Guard::fits(entries.len(), 0)
            || self.version_attribute.as_ref().is_some_and(|version| entries.contains_key(version));
        (!guarded).then(|| {
            format!(
                "its {} attributes are too many to guard in one condition; declare a version_attribute that it carries",
                entries.len()
            )
        })
    }

    /// DynamoDB acts on a number of epoch seconds not older than five years, and on nothing else.
    fn expires_at(&self, entries: &BTreeMap<String, Value>) -> Option<Timestamp> {
        let Value::Number(number) = entries.get(self.ttl_attribute.as_ref().or(self.ttl_elsewhere.as_ref())?)? else {
            return None;
        };
        let text = number.to_string();
        let seconds = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
        let expires_at = Timestamp::from_second(seconds.parse().ok()?).ok()?;
        let too_old = |clock: &Arc<dyn Clock>| clock.now().duration_since(expires_at) > EXPIRY_AGE_MAX;
        (!self.clock.as_ref().is_some_and(too_old)).then_some(expires_at)
    }

    fn unreadable(&self, error: ValueError) -> StoreError {
        StoreError::caused(ErrorKind::Unreadable, format!("cannot read an item of {}", self.subject), error)
    }

    fn unfit(&self, what: &str) -> StoreError {
        StoreError::new(ErrorKind::Unfit, format!("{what}: {}", self.subject))
    }
}

impl KeyAttribute {
    fn holds(&self, value: Option<&Value>) -> bool {
        matches!(
            (self.scalar_type.as_str(), value),
            ("S", Some(Value::Text(_))) | ("N", Some(Value::Number(_))) | ("B", Some(Value::Bytes(_)))
        )
    }
}

/// The key of a described table, partition key first; `None` when the description does not tell all of it.
pub(super) fn key_schema(table: &TableDescription) -> Option<Vec<KeyAttribute>> {
    let type_of = |name: &str| {
        let definition = table.attribute_definitions().iter().find(|definition| definition.attribute_name == name)?;
        Some(definition.attribute_type.as_str().to_owned())
    };
    let mut key = Vec::new();
    for element in table.key_schema() {
        let name = element.attribute_name.clone();
        key.push(KeyAttribute { scalar_type: type_of(&name)?, role: element.key_type.clone(), name });
    }
    key.sort_by_key(|part| part.role != KeyType::Hash);
    key.first().is_some_and(|first| first.role == KeyType::Hash).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::model::FixedClock;

    fn format(version_attribute: Option<&str>) -> ItemFormat {
        ItemFormat {
            subject: "table orders on primary".into(),
            key: vec![KeyAttribute { name: "id".into(), scalar_type: "S".into(), role: KeyType::Hash }],
            ttl_attribute: Some("ttl".into()),
            ttl_elsewhere: None,
            version_attribute: version_attribute.map(str::to_owned),
            clock: Some(Arc::new(FixedClock("2026-11-22T00:00:00Z".parse().expect("a time")))),
        }
    }

    fn row(attributes: &[(&str, AttributeValue)]) -> Attributes {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn only_recent_epoch_seconds_expire_an_item() {
        for (value, expected) in [
            (AttributeValue::N("1763769600".into()), Some("2025-11-22T00:00:00Z")),
            (AttributeValue::N("1763769600.9".into()), Some("2025-11-22T00:00:00Z")),
            (AttributeValue::N("4102444800".into()), Some("2100-01-01T00:00:00Z")),
            (AttributeValue::N("1577836800".into()), None),
            (AttributeValue::N("1E30".into()), None),
            (AttributeValue::S("1763769600".into()), None),
        ] {
            let item = format(None).item(row(&[("id", AttributeValue::S("a".into())), ("ttl", value)]));
            let expected = expected.map(|text| text.parse::<Timestamp>().expect("a time"));
            assert_eq!(item.expect("an item").expires_at, expected);
        }
    }

    #[test]
    fn a_table_without_a_time_to_live_goes_by_that_of_the_other_side() {
        let value = || row(&[("id", AttributeValue::S("a".into())), ("ttl", AttributeValue::N("1763769600".into()))]);
        let restored = ItemFormat { ttl_attribute: None, ..format(None) };
        assert_eq!(restored.item(value()).expect("an item").expires_at, None);
        let told = ItemFormat { ttl_elsewhere: Some("ttl".into()), ..restored };
        assert!(told.item(value()).expect("an item").expires_at.is_some());
    }

    #[test]
    fn spelling_and_replication_attributes_do_not_matter() {
        let id = || AttributeValue::S("a".into());
        let one = format(None).item(row(&[("id", id()), ("n", AttributeValue::N("1.0".into()))])).expect("an item");
        let two = format(None)
            .item(row(&[
                ("id", id()),
                ("n", AttributeValue::N("1".into())),
                ("aws:rep:deleting", AttributeValue::Bool(false)),
            ]))
            .expect("an item");
        assert_eq!(one.digest, two.digest);
        assert_eq!(
            one.leaf(),
            format(None).leaf(row(&[("id", id()), ("n", AttributeValue::N("+1".into()))])).expect("a leaf")
        );
    }

    #[test]
    fn an_item_without_its_key_is_unreadable() {
        for attributes in [HashMap::new(), row(&[("id", AttributeValue::N("1".into()))])] {
            let error = format(None).leaf(attributes).expect_err("no key");
            assert_eq!(error.kind, ErrorKind::Unreadable);
        }
    }

    #[test]
    fn a_key_of_another_table_is_refused() {
        for key in [
            Value::text("a"),
            Value::map([("other", Value::text("a"))]),
            Value::map([("id", Value::Number(1.into()))]),
            Value::map([("id", Value::text("a")), ("line", Value::Null)]),
        ] {
            assert_eq!(format(None).key_attributes(&key_of(&key)).expect_err("foreign").kind, ErrorKind::Unfit);
        }
    }

    #[test]
    fn wide_items_are_held_unless_they_carry_a_version() {
        let mut attributes = row(&[("id", AttributeValue::S("a".into())), ("v", AttributeValue::N("1".into()))]);
        attributes.extend((0..200).map(|n| (format!("a{n}"), AttributeValue::Bool(true))));
        assert!(format(None).item(attributes.clone()).expect("an item").hold.is_some());
        assert!(format(Some("w")).item(attributes.clone()).expect("an item").hold.is_some());
        assert!(format(Some("v")).item(attributes).expect("an item").hold.is_none());
    }
}
