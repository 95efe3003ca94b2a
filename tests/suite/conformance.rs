//! Every store passes one suite: one file per kind of peer, the reference here.

use std::sync::Arc;

use async_trait::async_trait;
use failback::digest::key_of;
use failback::model::{Key, Side, StoreId, Value};
use failback::store::conformance::{self, CheckResult, Fixture, Pair, Sample};
use failback::store::memory::{MemoryStore, MemoryTable};
use failback::store::{Counter, ReadStore, WriteStore};

/// Fails with every check that failed.
pub fn assert_conforms(results: Vec<(&'static str, CheckResult)>) {
    assert_eq!(results.len(), conformance::names().count());
    let failed: Vec<String> =
        results.into_iter().filter_map(|(name, result)| Some(format!("{name}: {}", result.err()?))).collect();
    assert!(failed.is_empty(), "{} checks failed:\n{}", failed.len(), failed.join("\n"));
}

pub struct MemoryFixture;

struct MemoryPair {
    primary: MemoryTable,
    dr: MemoryTable,
}

impl MemoryPair {
    fn table(&self, side: Side) -> &MemoryTable {
        if side == Side::Primary { &self.primary } else { &self.dr }
    }
}

fn sample_key(number: u32) -> Value {
    Value::map([("id", Value::Number(i64::from(number).into()))])
}

#[async_trait]
impl Fixture for MemoryFixture {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        Ok(Box::new(MemoryPair { primary: MemoryTable::new("sample"), dr: MemoryTable::new("sample") }))
    }
}

#[async_trait]
impl Pair for MemoryPair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        Arc::new(MemoryStore::new(StoreId("sample".into()), Side::Primary, self.primary.clone()))
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        Arc::new(MemoryStore::new(StoreId("sample".into()), Side::Dr, self.dr.clone()))
    }

    fn key(&self, number: u32) -> Key {
        key_of(&sample_key(number))
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        for Sample { number, version } in samples {
            let contents = Value::map([
                ("note", Value::text(format!("version {version}"))),
                ("tags", Value::TextSet(vec!["b".into(), "a".into()])),
            ]);
            self.table(side).put(&sample_key(*number), contents);
        }
        Ok(())
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        self.table(side).remove(&sample_key(number)).map(drop).ok_or_else(|| "no such item".to_owned())
    }

    async fn plant_counter(&self, side: Side, value: i64) -> Result<Option<String>, String> {
        self.table(side).set_counter(Counter { name: "ids".into(), value: Some(value), increment: 1 });
        Ok(Some("ids".to_owned()))
    }
}

#[tokio::test]
async fn memory_conforms() {
    assert_conforms(conformance::run_all(&MemoryFixture).await);
}
