//! Scripts on PostgreSQL: a database a side, in one server.

use std::collections::BTreeMap;

use async_trait::async_trait;
use failback::model::{Side, StoreKind};
use tokio_postgres::{Client, NoTls};

use super::memory::InMemory;
use super::stage::{Restored, Row, Stage, resource_name};
use crate::peers::{self, PostgresMajor, Server};
use crate::postgres::sql;

const TABLE: &str = "CREATE TABLE item (id text PRIMARY KEY, value text, updated bigint)";

/// One server of one major.
pub struct Databases(Server);

impl Databases {
    pub async fn open(major: PostgresMajor) -> Option<Databases> {
        let server = peers::postgres(major)?;
        sql(&server, "SELECT 1").await;
        Some(Databases(server))
    }

    /// A fresh database on each side.
    pub async fn stage(&self, script: &str) -> Pair {
        let pair = Pair { port: self.0.port, script: script.to_owned() };
        for side in [Side::Primary, Side::Dr] {
            pair.create(side).await;
        }
        pair
    }
}

/// The databases of one script.
pub struct Pair {
    port: u16,
    script: String,
}

impl Pair {
    fn name(&self, side: Side) -> String {
        resource_name(&self.script, side)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection that ends with the client.
    async fn connect(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await.expect("it connects");
        tokio::spawn(connection);
        client
    }

    /// One statement of the server's owner; a database is made and dropped outside of any other.
    async fn administer(&self, statement: &str) {
        self.connect("postgres").await.batch_execute(statement).await.expect("the statement runs");
    }

    async fn create(&self, side: Side) {
        let name = self.name(side);
        self.administer(&format!("CREATE DATABASE \"{name}\"")).await;
        self.connect(&name).await.batch_execute(TABLE).await.expect("a table");
    }
}

#[async_trait]
impl Stage for Pair {
    fn kind(&self) -> StoreKind {
        StoreKind::Postgres
    }

    fn sides(&self) -> String {
        InMemory::new().sides()
    }

    fn resources(&self) -> String {
        let [primary, dr] = [Side::Primary, Side::Dr].map(|side| self.url(&self.name(side)));
        format!(
            "kind = \"postgres\"\nprimary = {{ url = \"{primary}\" }}\ndr = {{ url = \"{dr}\" }}\n\
             tables = [\"public.item\"]\n"
        )
    }

    fn newest(&self, field: &str) -> String {
        format!("newest_column = \"{field}\"\n")
    }

    async fn put(&self, side: Side, row: &Row) {
        let updated = row.fields.get("updated").copied();
        assert_eq!(row.fields.len(), usize::from(updated.is_some()), "the table has no other field");
        let statement = "INSERT INTO item VALUES ($1, $2, $3)
          ON CONFLICT (id) DO UPDATE SET value = excluded.value, updated = excluded.updated";
        let client = self.connect(&self.name(side)).await;
        client.execute(statement, &[&row.id, &row.value, &updated]).await.expect("a row");
    }

    async fn remove(&self, side: Side, id: &str) {
        let client = self.connect(&self.name(side)).await;
        client.execute("DELETE FROM item WHERE id = $1", &[&id]).await.expect("a delete");
    }

    async fn values(&self, side: Side) -> BTreeMap<String, String> {
        let rows = self.connect(&self.name(side)).await.query("SELECT id, value FROM item", &[]).await;
        rows.expect("rows").iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn recreate(&self) {
        self.administer(&format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name(Side::Primary))).await;
        self.create(Side::Primary).await;
    }

    async fn restore_aside(&self) -> Restored {
        self.create(Side::Base).await;
        let primary = self.connect(&self.name(Side::Primary)).await;
        let base = self.connect(&self.name(Side::Base)).await;
        for row in primary.query("SELECT id, value, updated FROM item", &[]).await.expect("rows") {
            let (id, value, updated): (String, Option<String>, Option<i64>) = (row.get(0), row.get(1), row.get(2));
            let copy = "INSERT INTO item VALUES ($1, $2, $3)";
            base.execute(copy, &[&id, &value, &updated]).await.expect("a row");
        }
        Restored { profile_line: format!("base = {{ database = \"{}\" }}\n", self.name(Side::Base)), as_of: None }
    }
}
