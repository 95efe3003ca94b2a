//! Keys and values as people and scripts read them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use super::encoding::key_value;
use crate::model::{Key, StoreKind, Value};

/// A key as the JSON object that the command-line contract promises.
///
/// DynamoDB: its key attributes in DynamoDB JSON. S3: `{"key": ".."}`. SQL: column name to text, plus `"table"`. A key that
/// cannot be decoded is shown as `{"undecodable": "<hex>"}`, never dropped.
pub fn key_json(kind: StoreKind, key: &Key) -> Json {
    let Ok(value) = key_value(key) else {
        return json!({ "undecodable": hex::encode(key.as_bytes()) });
    };
    match (kind, &value) {
        (StoreKind::Postgres | StoreKind::Mysql, Value::List(parts)) => sql_key(parts),
        // Rows of a rehearsal in memory.
        (StoreKind::Memory, Value::List(parts)) if matches!(parts.as_slice(), [Value::Text(_), Value::Map(_)]) => {
            sql_key(parts)
        }
        (StoreKind::DynamoDb | StoreKind::Memory, Value::Map(entries)) => {
            Json::Object(entries.iter().map(|(name, value)| (name.clone(), value_json(value))).collect())
        }
        (_, Value::Map(entries)) => {
            Json::Object(entries.iter().map(|(name, value)| (name.clone(), Json::String(plain(value)))).collect())
        }
        (_, other) => json!({ "key": plain(other) }),
    }
}

/// A key on one line for people, for example `order_id=17`.
pub fn key_text(kind: StoreKind, key: &Key) -> String {
    let Ok(value) = key_value(key) else {
        return format!("undecodable key {}", hex::encode(key.as_bytes()));
    };
    let pairs = |entries: &std::collections::BTreeMap<String, Value>| {
        entries.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
    };
    match (kind, &value) {
        (StoreKind::Postgres | StoreKind::Mysql | StoreKind::Memory, Value::List(parts)) => match parts.as_slice() {
            [table, Value::Map(columns)] => format!("{} {}", plain(table), pairs(columns)),
            _ => plain(&value),
        },
        (StoreKind::S3, Value::Map(entries)) => entries.get("key").map(plain).unwrap_or_default(),
        (_, Value::Map(entries)) => pairs(entries),
        (_, other) => plain(other),
    }
}

/// A value in DynamoDB JSON; typed database text as `{"X": {"type", "text"}}`.
pub fn value_json(value: &Value) -> Json {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(flag) => json!({ "BOOL": flag }),
        Value::Number(number) => json!({ "N": number.to_string() }),
        Value::Text(text) => json!({ "S": text }),
        Value::Bytes(bytes) => json!({ "B": STANDARD.encode(bytes) }),
        Value::TextSet(texts) => json!({ "SS": texts }),
        Value::NumberSet(numbers) => json!({ "NS": numbers.iter().map(ToString::to_string).collect::<Vec<_>>() }),
        Value::BytesSet(sets) => json!({ "BS": sets.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>() }),
        Value::List(values) => json!({ "L": values.iter().map(value_json).collect::<Vec<_>>() }),
        Value::Map(entries) => {
            json!({ "M": entries.iter().map(|(name, value)| (name.clone(), value_json(value))).collect::<Map<_, _>>() })
        }
        Value::Typed { type_name, text } => json!({ "X": { "type": type_name, "text": text } }),
    }
}

/// A SQL key is the list of its table and its key columns; a column that is itself called `table` is shown as `table.table`.
fn sql_key(parts: &[Value]) -> Json {
    let [table, Value::Map(columns)] = parts else {
        return json!({ "key": parts.iter().map(plain).collect::<Vec<_>>() });
    };
    let mut object = Map::new();
    object.insert("table".into(), Json::String(plain(table)));
    for (column, value) in columns {
        let name = if column == "table" { "table.table" } else { column };
        object.insert(name.into(), Json::String(plain(value)));
    }
    Json::Object(object)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Typed { text, .. } => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bytes(bytes) => format!("\\x{}", hex::encode(bytes)),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => "null".into(),
        other => value_json(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_of;
    use super::*;

    #[test]
    fn keys_read_as_the_contract_says() {
        let order = key_of(&Value::map([("order_id", Value::text("o-1")), ("line", Value::Number(2.into()))]));
        assert_eq!(key_json(StoreKind::DynamoDb, &order), json!({"line": {"N": "2"}, "order_id": {"S": "o-1"}}));
        let object = key_of(&Value::map([("key", Value::text("a/b.jpg"))]));
        assert_eq!(key_json(StoreKind::S3, &object), json!({"key": "a/b.jpg"}));
        let columns = Value::map([("id", Value::Number(7.into())), ("table", Value::text("x"))]);
        let row = key_of(&Value::List(vec![Value::text("public.entry"), columns]));
        let expected = json!({"table": "public.entry", "id": "7", "table.table": "x"});
        for kind in [StoreKind::Postgres, StoreKind::Memory] {
            assert_eq!(key_json(kind, &row), expected);
            assert_eq!(key_text(kind, &row), "public.entry id=7 table=x");
        }
    }
}
