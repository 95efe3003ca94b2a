//! Databases of an accounting house that the drill knows nothing of: one per Region, read and written by a plain client.

mod check;
mod journey;
mod kill;
mod planted;
mod swaps;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio_postgres::{Client, NoTls};

use crate::peers::{self, PostgresMajor, Server};
use crate::rig::{DR, PRIMARY};

/// The database of both sides.
const BOOKS: &str = "books";

/// What the primary must hold after the first replay, on the primary's server.
const TRUTH: &str = "truth";

/// A superuser, under which foreign keys and triggers rest; and a role without any right but its grants.
const SUPERUSER: &str = "postgres";
const CLERK: &str = "clerk";

/// Every row of every table as text, by table.
type Rows = BTreeMap<String, Vec<String>>;

/// One server for each side.
struct Ledgers {
    servers: [Server; 2],
    /// Who the program is.
    user: &'static str,
}

async fn client(port: u16, database: &str) -> Client {
    let address = format!("host=127.0.0.1 port={port} dbname={database} user=postgres options='-c TimeZone=UTC'");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match tokio_postgres::connect(&address, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            // A server that listens may still be starting up.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Ledgers {
    /// Starts both servers with an empty database and the clerk's role.
    async fn start(majors: [PostgresMajor; 2], user: &'static str) -> Option<Ledgers> {
        let servers = [peers::postgres(majors[PRIMARY])?, peers::postgres(majors[DR])?];
        for server in &servers {
            let client = client(server.port, "postgres").await;
            client.batch_execute("CREATE ROLE clerk LOGIN").await.expect("a role");
            client.batch_execute(&format!("CREATE DATABASE {BOOKS}")).await.expect("a database");
        }
        Some(Ledgers { servers, user })
    }

    async fn client(&self, side: usize) -> Client {
        client(self.servers[side].port, BOOKS).await
    }

    async fn run(&self, side: usize, statements: &str) {
        run(&self.client(side).await, statements).await;
    }

    async fn run_both(&self, statements: &str) {
        for side in [PRIMARY, DR] {
            self.run(side, statements).await;
        }
    }

    async fn rows(&self, side: usize) -> Rows {
        rows(&self.client(side).await).await
    }

    /// The first column of the first row, a number.
    async fn number(&self, side: usize, query: &str) -> i64 {
        self.client(side).await.query_one(query, &[]).await.expect("one row").get(0)
    }

    fn url(&self, side: usize) -> String {
        format!("postgres://{}@127.0.0.1:{}/{BOOKS}", self.user, self.servers[side].port)
    }

    /// A `[[store]]` named `books`; `more` ends it.
    fn store(&self, tables: &str, more: &str) -> String {
        format!(
            "[[store]]\nname = \"books\"\nkind = \"postgres\"\nprimary = {{ url = \"{}\" }}\ndr = {{ url = \"{}\" }}\n\
             tables = {tables}\n{more}",
            self.url(PRIMARY),
            self.url(DR),
        )
    }
}

async fn run(client: &Client, statements: &str) {
    if let Err(error) = client.batch_execute(statements).await {
        panic!("{error:?} in:\n{statements}");
    }
}

async fn rows(client: &Client) -> Rows {
    let query = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
      WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let mut all = Rows::new();
    for table in client.query(query, &[]).await.expect("tables") {
        let table: String = table.get(0);
        let query = format!("SELECT whole::text FROM ONLY {table} AS whole ORDER BY 1");
        let rows = client.query(&query, &[]).await.expect("rows");
        all.insert(table, rows.iter().map(|row| row.get(0)).collect());
    }
    all
}

/// A JSON object as text with its fields in one order.
fn canonical(key: &Json) -> String {
    let fields: BTreeMap<&String, &Json> = key.as_object().expect("a key is an object").iter().collect();
    serde_json::to_string(&fields).expect("only string keys")
}

/// The `[primary]` and `[dr]` of a profile without any service of AWS.
const SIDES: &str = "[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n";
