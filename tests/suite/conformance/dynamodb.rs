//! The DynamoDB store through the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ScalarAttributeType};
use failback::digest::key_of;
use failback::model::{Key, Side, StoreId, Value};
use failback::profile::SideProfile;
use failback::store::conformance::{self, Fixture, Pair, Sample};
use failback::store::dynamodb::DynamoDbStore;
use failback::store::{ReadStore, WriteStore};
use futures_util::{StreamExt, stream};

use super::assert_conforms;
use crate::dynamodb::{Row, client, create, put};
use crate::peers;

/// Items written at the same time while planting.
const PUTS_AT_ONCE: usize = 16;

/// A Region as a client and as a profile names it.
struct Place {
    client: Client,
    side: SideProfile,
}

/// Two Regions of one server, and a table of its own in each for each check.
struct DynamoDbFixture {
    primary: Arc<Place>,
    dr: Arc<Place>,
    version_attribute: Option<String>,
    made: AtomicU32,
}

struct DynamoDbPair {
    places: [Arc<Place>; 2],
    table: String,
    primary: Arc<DynamoDbStore>,
    dr: Arc<DynamoDbStore>,
}

async fn place(server: &peers::Server, region: &str) -> Arc<Place> {
    let side = peers::side(server, region);
    Arc::new(Place { client: client(&side).await, side })
}

#[async_trait]
impl Fixture for DynamoDbFixture {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        let table = format!("suite-{}", self.made.fetch_add(1, Ordering::Relaxed));
        let key = [("customer", ScalarAttributeType::S), ("number", ScalarAttributeType::N)];
        let connect = async |side: Side, place: &Place| {
            create(&place.client, &table, &key).await;
            let (id, version) = (StoreId("sample".into()), self.version_attribute.clone());
            let store = DynamoDbStore::connect(id, side, &place.side, &table, version).await;
            store.map(Arc::new).map_err(|error| format!("{error:?}"))
        };
        let primary = connect(Side::Primary, &self.primary).await?;
        let dr = connect(Side::Dr, &self.dr).await?;
        Ok(Box::new(DynamoDbPair { places: [self.primary.clone(), self.dr.clone()], table, primary, dr }))
    }
}

fn customer(number: u32) -> String {
    format!("customer {} ä", number % 7)
}

fn row_key(number: u32) -> Row {
    let attributes =
        [("customer", AttributeValue::S(customer(number))), ("number", AttributeValue::N(number.to_string()))];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn row(Sample { number, version }: Sample) -> Row {
    let mut row = row_key(number);
    let tags = vec!["b".to_owned(), format!("version {version}"), "a".to_owned()];
    row.insert("note".into(), AttributeValue::S(format!("order {number} in version {version}")));
    row.insert("total".into(), AttributeValue::N(format!("{number}.{version}0")));
    row.insert("tags".into(), AttributeValue::Ss(tags));
    row.insert("seal".into(), AttributeValue::B(Blob::new(vec![0, 255, version as u8])));
    row.insert("lines".into(), AttributeValue::L(vec![AttributeValue::Null(true), AttributeValue::Bool(true)]));
    row.insert("version".into(), AttributeValue::N(version.to_string()));
    row
}

impl DynamoDbPair {
    fn at(&self, side: Side) -> &Client {
        &self.places[usize::from(side == Side::Dr)].client
    }
}

#[async_trait]
impl Pair for DynamoDbPair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        self.primary.clone()
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        self.dr.clone()
    }

    fn key(&self, number: u32) -> Key {
        let number_value = Value::Number(i64::from(number).into());
        key_of(&Value::map([("customer", Value::text(customer(number))), ("number", number_value)]))
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        let (client, table) = (self.at(side), &self.table);
        let puts = samples.iter().cloned().map(|sample| async move { put(client, table, row(sample)).await });
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).collect::<()>().await;
        Ok(())
    }

    async fn keep_log(&self, side: Side) -> Result<bool, String> {
        crate::dynamodb::stream(self.at(side), &self.table).await;
        Ok(true)
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        let request = self.at(side).delete_item().table_name(&self.table).set_key(Some(row_key(number)));
        request.send().await.map(drop).map_err(|error| format!("cannot delete: {error}"))
    }
}

async fn conforms(version_attribute: Option<&str>) {
    let Some(server) = peers::ministack() else { return };
    let (primary, dr) = (place(&server, "us-east-1").await, place(&server, "us-west-2").await);
    let version_attribute = version_attribute.map(str::to_owned);
    let fixture = DynamoDbFixture { primary, dr, version_attribute, made: AtomicU32::new(0) };
    assert_conforms(conformance::run_all(&fixture).await);
}

#[tokio::test]
async fn dynamodb_conforms_on_ministack() {
    conforms(None).await;
}

#[tokio::test]
async fn dynamodb_with_a_version_attribute_conforms_on_ministack() {
    conforms(Some("version")).await;
}
