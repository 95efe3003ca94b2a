//! Scripts on MariaDB: a database a side, in one server.

use std::collections::BTreeMap;

use async_trait::async_trait;
use failback::model::{Side, StoreKind};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::memory::InMemory;
use super::stage::{Restored, Row, Stage, resource_name};
use crate::mysql::client;
use crate::peers::{self, Server};

const TABLE: &str = "CREATE TABLE item (id VARCHAR(300) PRIMARY KEY, value TEXT, updated BIGINT)
  CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin";

/// One server.
pub struct Databases(Server);

impl Databases {
    pub async fn open() -> Option<Databases> {
        peers::mariadb().map(Databases)
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

    async fn connect(&self, side: Side) -> Conn {
        client(self.port, &self.name(side)).await
    }

    async fn administer(&self, statement: &str) {
        client(self.port, "").await.query_drop(statement).await.expect("the statement runs");
    }

    async fn create(&self, side: Side) {
        self.administer(&format!("CREATE DATABASE `{}`", self.name(side))).await;
        self.connect(side).await.query_drop(TABLE).await.expect("a table");
    }
}

#[async_trait]
impl Stage for Pair {
    fn kind(&self) -> StoreKind {
        StoreKind::Mysql
    }

    fn sides(&self) -> String {
        InMemory::new().sides()
    }

    fn resources(&self) -> String {
        let [primary, dr] =
            [Side::Primary, Side::Dr].map(|side| format!("mysql://root@127.0.0.1:{}/{}", self.port, self.name(side)));
        format!(
            "kind = \"mysql\"\nprimary = {{ url = \"{primary}\" }}\ndr = {{ url = \"{dr}\" }}\ntables = [\"item\"]\n"
        )
    }

    fn newest(&self, field: &str) -> String {
        format!("newest_column = \"{field}\"\n")
    }

    async fn put(&self, side: Side, row: &Row) {
        let updated = row.fields.get("updated").copied();
        assert_eq!(row.fields.len(), usize::from(updated.is_some()), "the table has no other field");
        let statement = "REPLACE INTO item VALUES (?, ?, ?)";
        let mut client = self.connect(side).await;
        client.exec_drop(statement, (&row.id, &row.value, updated)).await.expect("a row");
    }

    async fn remove(&self, side: Side, id: &str) {
        self.connect(side).await.exec_drop("DELETE FROM item WHERE id = ?", (id,)).await.expect("a delete");
    }

    async fn values(&self, side: Side) -> BTreeMap<String, String> {
        let rows: Vec<(String, String)> =
            self.connect(side).await.query("SELECT id, value FROM item").await.expect("rows");
        rows.into_iter().collect()
    }

    async fn recreate(&self) {
        self.administer(&format!("DROP DATABASE `{}`", self.name(Side::Primary))).await;
        self.create(Side::Primary).await;
    }

    async fn restore_aside(&self) -> Restored {
        self.create(Side::Base).await;
        let copy = format!("INSERT INTO `{}`.item SELECT * FROM item", self.name(Side::Base));
        self.connect(Side::Primary).await.query_drop(copy).await.expect("rows");
        Restored { profile_line: format!("base = {{ database = \"{}\" }}\n", self.name(Side::Base)), as_of: None }
    }
}
