//! Scripts on the reference store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use failback::digest::{key_of, key_value};
use failback::model::{Side, StoreKind, Value};
use failback::store::memory::{MemoryRegistry, MemoryTable};

use super::stage::{Row, Stage};

/// Two tables in this process.
pub struct InMemory(MemoryRegistry);

impl InMemory {
    pub fn new() -> InMemory {
        InMemory(MemoryRegistry::new())
    }

    fn table(&self, side: Side) -> MemoryTable {
        self.0.table(&side.to_string())
    }
}

fn key(id: &str) -> Value {
    Value::map([("id", Value::text(id))])
}

#[async_trait]
impl Stage for InMemory {
    fn kind(&self) -> StoreKind {
        StoreKind::Memory
    }

    fn memory(&self) -> MemoryRegistry {
        self.0.clone()
    }

    fn sides(&self) -> String {
        "[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n".into()
    }

    fn resources(&self) -> String {
        "kind = \"memory\"\nprimary = { name = \"primary\" }\ndr = { name = \"dr\" }\n".into()
    }

    async fn expire_by(&self, field: &str) {
        for side in [Side::Primary, Side::Dr] {
            self.table(side).set_ttl_attribute(Some(field));
        }
    }

    async fn put(&self, side: Side, row: &Row) {
        let texts = [("id", Value::text(&row.id)), ("value", Value::text(&row.value))];
        let numbers = row.fields.iter().map(|(name, number)| (name.as_str(), Value::Number((*number).into())));
        self.table(side).put(&key(&row.id), Value::map(texts.into_iter().chain(numbers)));
    }

    async fn remove(&self, side: Side, id: &str) {
        self.table(side).remove(&key(id));
    }

    async fn values(&self, side: Side) -> BTreeMap<String, String> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_text).expect("a text").to_owned();
        let entries = self.table(side).entries().into_iter();
        let values = entries.map(|(stored, entry)| {
            let id = text(&key_value(&stored).expect("a key"), "id");
            assert_eq!((stored, text(&entry.contents, "id")), (key_of(&key(&id)), id.clone()));
            (id, text(&entry.contents, "value"))
        });
        values.collect()
    }

    async fn recreate(&self) {
        self.0.recreate("primary");
    }
}
