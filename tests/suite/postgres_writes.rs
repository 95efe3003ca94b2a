//! Guarded writes to PostgreSQL, against the real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use failback::digest::key_of;
use failback::model::{Item, Key, Side, StoreId, Value};
use failback::store::conformance::{self, Fixture, Pair, Sample};
use failback::store::postgres::PostgresStore;
use failback::store::{Counter, Depth, Expected, GuardedWrite, Outcome, ReadStore, Wanted, WriteStore};
use tokio_postgres::{Client, NoTls};

use crate::conformance::assert_conforms;
use crate::peers::{self, PostgresMajor, Server};
use crate::postgres::{database, reached, sql, store};

async fn client(port: u16, name: &str) -> Client {
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("it connects");
    tokio::spawn(connection);
    client
}

fn row_key(table: &str, id: i64) -> Key {
    key_of(&Value::List(vec![Value::text(table), Value::map([("id", Value::Number(id.into()))])]))
}

struct PostgresFixture {
    server: Server,
    made: AtomicU32,
}

struct PostgresPair {
    primary: Arc<PostgresStore>,
    dr: Arc<PostgresStore>,
    clients: [Client; 2],
}

const SAMPLE: &str = "CREATE TABLE sample (id int PRIMARY KEY, note text NOT NULL, amount numeric, tags text[], at timestamptz,
  raw bytea, twice int GENERATED ALWAYS AS (id * 2) STORED); CREATE SEQUENCE ids;";

#[async_trait]
impl Fixture for PostgresFixture {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut clients = Vec::new();
        let mut stores = Vec::new();
        for side in [Side::Primary, Side::Dr] {
            let name = format!("{side:?}_{number}").to_lowercase();
            sql(&self.server, &format!("CREATE DATABASE {name}")).await;
            let client = client(self.server.port, &name).await;
            client.batch_execute(SAMPLE).await.map_err(|error| error.to_string())?;
            let profile = database(self.server.port, &name);
            let store =
                PostgresStore::connect(StoreId("ledger".into()), side, &reached(), &profile, &["public.*".into()]).await;
            stores.push(Arc::new(store.map_err(|error| format!("{error:?}"))?));
            clients.push(client);
        }
        let [primary, dr] = stores.try_into().map_err(|_| "two stores")?;
        let clients = clients.try_into().map_err(|_| "two clients")?;
        Ok(Box::new(PostgresPair { primary, dr, clients }))
    }
}

impl PostgresPair {
    async fn run(&self, side: Side, statements: &str) -> Result<(), String> {
        let client = &self.clients[usize::from(side != Side::Primary)];
        client.batch_execute(statements).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Pair for PostgresPair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        self.primary.clone()
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        self.dr.clone()
    }

    fn key(&self, number: u32) -> Key {
        row_key("public.sample", i64::from(number))
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        let rows: Vec<String> = samples
            .iter()
            .map(|Sample { number, version }| {
                format!(
                    "DELETE FROM sample WHERE id = {number}; INSERT INTO sample VALUES ({number}, 'version {version} é\\t',
                      {version}.50, ARRAY['a', NULL, '{version}'], '2026-01-0{version} 12:00+02', '\\x00ff0{version}');"
                )
            })
            .collect();
        self.run(side, &rows.concat()).await
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        self.run(side, &format!("DELETE FROM sample WHERE id = {number}")).await
    }

    async fn plant_counter(&self, side: Side, value: i64) -> Result<Option<String>, String> {
        self.run(side, &format!("SELECT setval('ids', {value})")).await?;
        Ok(Some("public.ids".to_owned()))
    }
}

async fn conforms(major: PostgresMajor) {
    let Some(server) = peers::postgres(major) else { return };
    sql(&server, "SELECT 1").await;
    assert_conforms(conformance::run_all(&PostgresFixture { server, made: AtomicU32::new(0) }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_15_conforms() {
    conforms(PostgresMajor::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18_conforms() {
    conforms(PostgresMajor::V18).await;
}
