//! Orders: a DynamoDB table per Region, by the plain client.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification,
};

use super::{OrFail, Result, StoryError};
use crate::model::{Decimal, Side, Value};

/// The table of a side.
pub(super) fn table(side: Side) -> &'static str {
    match side {
        Side::Primary | Side::Base => "orders",
        Side::Dr => "orders-restored",
    }
}

/// One side's orders.
pub(super) struct Orders {
    pub client: Client,
    pub side: Side,
}

impl Orders {
    pub(super) async fn create(&self) -> Result<()> {
        let table = table(self.side);
        let failed = format!("cannot make the table {table}");
        let mut request = self.client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        let keys =
            [("customer", KeyType::Hash, ScalarAttributeType::S), ("number", KeyType::Range, ScalarAttributeType::N)];
        for (name, role, scalar) in keys {
            let element = KeySchemaElement::builder().attribute_name(name).key_type(role).build();
            let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(scalar).build();
            request = request.key_schema(element.or_fail(&failed)?);
            request = request.attribute_definitions(definition.or_fail(&failed)?);
        }
        request.send().await.or_fail(&failed)?;
        let expiry = TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(true).build();
        let request = self.client.update_time_to_live().table_name(table);
        request.time_to_live_specification(expiry.or_fail(&failed)?).send().await.or_fail(&failed)?;
        Ok(())
    }

    pub(super) async fn put(&self, contents: &Value) -> Result<()> {
        let table = table(self.side);
        let item = self.attributes(contents);
        let request = self.client.put_item().table_name(table).set_item(Some(item));
        request.send().await.map_err(StoryError::caused(format!("cannot write to {table}")))?;
        Ok(())
    }

    pub(super) async fn delete(&self, key: &Value) -> Result<()> {
        let table = table(self.side);
        // The emulator finds a key only by the plain spelling of its number.
        let plain = Orders { client: self.client.clone(), side: Side::Primary };
        let request = self.client.delete_item().table_name(table).set_key(Some(plain.attributes(key)));
        request.send().await.map_err(StoryError::caused(format!("cannot delete from {table}")))?;
        Ok(())
    }

    /// All items, as key and contents.
    pub(super) async fn read_all(&self) -> Result<Vec<(Value, Value)>> {
        let table = table(self.side);
        let mut pages = self.client.scan().table_name(table).consistent_read(true).into_paginator().items().send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(StoryError::caused(format!("cannot read {table}")))?;
            let mut contents = BTreeMap::new();
            for (name, attribute) in item {
                contents.insert(name, value(attribute)?);
            }
            let key = contents.iter().filter(|(name, _)| ["customer", "number"].contains(&name.as_str()));
            let key = Value::Map(key.map(|(name, value)| (name.clone(), value.clone())).collect());
            items.push((key, Value::Map(contents)));
        }
        Ok(items)
    }

    fn attributes(&self, value: &Value) -> HashMap<String, AttributeValue> {
        let entries = value.as_map().into_iter().flatten();
        entries.map(|(name, value)| (name.clone(), self.attribute(value))).collect()
    }

    /// dr spells sets in another order and numbers in another notation: the same values all the same.
    fn attribute(&self, value: &Value) -> AttributeValue {
        let mirrored = self.side == Side::Dr;
        let spell = |number: &Decimal| if mirrored { number.canonical() } else { number.to_string() };
        match value {
            Value::Null => AttributeValue::Null(true),
            Value::Bool(flag) => AttributeValue::Bool(*flag),
            Value::Number(number) => AttributeValue::N(spell(number)),
            Value::Text(text) | Value::Typed { text, .. } => AttributeValue::S(text.clone()),
            Value::Bytes(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
            Value::TextSet(texts) => AttributeValue::Ss(ordered(texts.clone(), mirrored)),
            Value::NumberSet(numbers) => AttributeValue::Ns(ordered(numbers.iter().map(spell).collect(), mirrored)),
            Value::BytesSet(sets) => {
                AttributeValue::Bs(ordered(sets.iter().map(|bytes| Blob::new(bytes.clone())).collect(), mirrored))
            }
            Value::List(values) => AttributeValue::L(values.iter().map(|value| self.attribute(value)).collect()),
            Value::Map(_) => AttributeValue::M(self.attributes(value)),
        }
    }
}

fn ordered<T>(mut elements: Vec<T>, mirrored: bool) -> Vec<T> {
    if mirrored {
        elements.reverse();
    }
    elements
}

/// An attribute with its sets in one order, so that equal values are equal.
fn value(attribute: AttributeValue) -> Result<Value> {
    let number = |text: String| text.parse::<Decimal>().map_err(StoryError::caused("an order holds no number"));
    Ok(match attribute {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::N(text) => Value::Number(number(text)?),
        AttributeValue::S(text) => Value::Text(text),
        AttributeValue::B(bytes) => Value::Bytes(bytes.into_inner()),
        AttributeValue::Ss(mut texts) => {
            texts.sort_unstable();
            Value::TextSet(texts)
        }
        AttributeValue::Ns(texts) => {
            let mut numbers = texts.into_iter().map(number).collect::<Result<Vec<_>>>()?;
            // The shop's sets hold whole numbers of few digits.
            numbers.sort_by_key(|number| number.to_string().parse::<i64>().unwrap_or_default());
            Value::NumberSet(numbers)
        }
        AttributeValue::Bs(sets) => {
            let mut sets: Vec<Vec<u8>> = sets.into_iter().map(Blob::into_inner).collect();
            sets.sort_unstable();
            Value::BytesSet(sets)
        }
        AttributeValue::L(values) => Value::List(values.into_iter().map(value).collect::<Result<_>>()?),
        AttributeValue::M(entries) => {
            let read = entries.into_iter().map(|(name, attribute)| Ok((name, value(attribute)?)));
            Value::Map(read.collect::<Result<_>>()?)
        }
        _ => return Err(StoryError::new("an order holds an attribute of an unknown type")),
    })
}
