//! Replays that run into the locks of others: they are rolled back whole, and tried again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use failback::model::{Key, Side, StoreId};
use failback::store::postgres::PostgresStore;
use failback::store::wrap::{Pause, Retries, Retrying};
use failback::store::{Outcome, ReadStore, RowStore, WriteStore};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::peers::{self, PostgresMajor, Server};
use crate::wishes::{try_to_apply, wishes};
use crate::{mysql, mysql_writes, postgres, postgres_writes};

const SHAPE: &str = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9)); CREATE TABLE heavy (id INT PRIMARY KEY);
 INSERT INTO t VALUES (1, '%'), (2, '%');";

/// How a rival holds a row, and asks for the other one.
const HOLDS: &str = "UPDATE t SET a = 'rival' WHERE id = 2";
const ASKS: &str = "UPDATE t SET a = 'rival' WHERE id = 1";

/// Tells of each pause between tries, which is over when it is told so.
struct Turn {
    begun: mpsc::UnboundedSender<()>,
    over: tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>,
}

#[async_trait]
impl Pause for Turn {
    async fn pause(&self, _: Duration) {
        self.begun.send(()).expect("the test listens");
        self.over.lock().await.recv().await.expect("the test answers");
    }
}

/// A replay under way, and the pauses between its tries.
struct Replay {
    outcomes: JoinHandle<Vec<Outcome>>,
    pauses: mpsc::UnboundedReceiver<()>,
    go_on: mpsc::UnboundedSender<()>,
}

impl Replay {
    async fn of(primary: impl WriteStore + 'static, dr: impl ReadStore + 'static, keys: [Key; 2]) -> Replay {
        let wished = wishes(&primary, &dr, &keys).await;
        let (begun, pauses) = mpsc::unbounded_channel();
        let (go_on, over) = mpsc::unbounded_channel();
        let retries = Retries {
            attempts_max: 3,
            delay_first: Duration::ZERO,
            delay_max: Duration::ZERO,
            pause: Arc::new(Turn { begun, over: over.into() }),
        };
        let primary = Retrying::new(Arc::new(primary), retries);
        let outcomes =
            tokio::spawn(async move { try_to_apply(&primary, &dr, &wished).await.expect("outcomes in the end") });
        Replay { outcomes, pauses, go_on }
    }

    /// Lets the replay work, which must not give up meanwhile.
    async fn goes_on_for(&mut self, time: Duration) {
        let failed = tokio::time::timeout(time, self.pauses.recv()).await;
        assert!(failed.is_err(), "the replay gave up, or ended, before it was seen to wait");
    }

    /// Waits until a try has failed.
    async fn has_failed(&mut self) {
        self.pauses.recv().await.expect("a replay in another's way is tried again");
    }

    async fn goes_on_to_its_end(mut self) {
        self.go_on.send(()).expect("the replay waits");
        assert_eq!(self.outcomes.await.expect("no panic"), vec![Outcome::Applied; 2]);
        assert!(self.pauses.recv().await.is_none(), "one more try was enough");
    }
}

fn shape(contents: &str) -> String {
    SHAPE.replace('%', contents)
}

/// MariaDB, a replay of two rows, and a rival in a transaction that holds the second of them.
struct Maria {
    server: Server,
    rival: Conn,
    replay: Replay,
}

impl Maria {
    /// `burden` is what else the rival has done.
    async fn start(burden: &str) -> Option<Maria> {
        let server = peers::mariadb()?;
        for (name, contents) in [("one", "old"), ("two", "new")] {
            mysql::sql(&server, "", &format!("CREATE DATABASE {name}")).await;
            mysql::sql(&server, name, &shape(contents).replace("; ", ";\n")).await;
        }
        let primary = mysql::store(&server, Side::Primary, "one", &["*"]).await;
        let dr = mysql::store(&server, Side::Dr, "two", &["*"]).await;
        let mut rival = mysql::client(server.port, "one").await;
        for statement in ["BEGIN", burden, HOLDS] {
            rival.query_drop(statement).await.expect("the rival is first");
        }
        let replay = Replay::of(primary, dr, [1, 2].map(|id| mysql_writes::number_key("t", id))).await;
        Some(Maria { server, rival, replay })
    }

    async fn until_it_waits(&mut self) {
        let mut looking = mysql::client(self.server.port, "one").await;
        let waiting = "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'";
        while looking.query_first::<u32, _>(waiting).await.expect("a count") != Some(1) {
            // What the server tells of its locks is what it told before, while it is asked again within a tenth of a second.
            self.replay.goes_on_for(Duration::from_millis(200)).await;
        }
    }

    async fn rows(&self) -> Vec<String> {
        mysql::client(self.server.port, "one").await.query("SELECT a FROM t ORDER BY id").await.expect("rows")
    }

    async fn ends(mut self) {
        assert_eq!(self.rows().await, ["old", "old"], "nothing is half written");
        self.rival.query_drop("ROLLBACK").await.expect("the rival gives way");
        let Maria { server, rival: _, replay } = self;
        replay.goes_on_to_its_end().await;
        let rows: Vec<String> =
            mysql::client(server.port, "one").await.query("SELECT a FROM t ORDER BY id").await.expect("rows");
        assert_eq!(rows, ["new", "new"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_a_writer_of_mariadb_is_tried_again() {
    // The server rolls back whoever changed fewer rows.
    let Some(mut maria) = Maria::start("INSERT INTO heavy SELECT seq FROM seq_1_to_500").await else { return };
    maria.until_it_waits().await;
    maria.rival.query_drop(ASKS).await.expect("the replay was rolled back");
    maria.replay.has_failed().await;
    maria.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_mariadb_that_lasts_is_waited_for_again() {
    let Some(mut maria) = Maria::start("DO 0").await else { return };
    maria.replay.has_failed().await;
    maria.ends().await;
}

/// PostgreSQL, likewise.
struct Postgres {
    server: Server,
    rival: Client,
    replay: Replay,
}

impl Postgres {
    async fn start() -> Option<Postgres> {
        let server = peers::postgres(PostgresMajor::V18)?;
        for (name, contents) in [("one", "old"), ("two", "new")] {
            postgres::sql(&server, &format!("CREATE DATABASE {name}")).await;
            // The server rolls back whoever finds the deadlock, which is looked for once in a wait: the replay, and not before
            // there is one.
            postgres::sql(&server, &format!("ALTER DATABASE {name} SET deadlock_timeout = '6s'")).await;
            postgres_writes::client(server.port, name).await.batch_execute(&shape(contents)).await.expect("the shape");
        }
        let store = async |side, name| {
            let (id, tables) = (StoreId("ledger".into()), ["public.*".to_owned()]);
            let database = postgres::database(server.port, name);
            let store = PostgresStore::connect(id, side, &postgres::reached(), &database, &tables).await;
            store.expect("it connects")
        };
        let (primary, dr) = (store(Side::Primary, "one").await, store(Side::Dr, "two").await);
        let rival = postgres_writes::client(server.port, "one").await;
        let holds = format!("SET deadlock_timeout = '10min'; BEGIN; {HOLDS}");
        rival.batch_execute(&holds).await.expect("the rival is first");
        let replay = Replay::of(primary, dr, [1, 2].map(|id| postgres_writes::row_key("public.t", id))).await;
        Some(Postgres { server, rival, replay })
    }

    async fn until_it_waits(&mut self) {
        let looking = postgres_writes::client(self.server.port, "one").await;
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while looking.query_one(waiting, &[]).await.expect("a count").get::<_, i64>(0) != 1 {
            self.replay.goes_on_for(Duration::from_millis(10)).await;
        }
    }

    async fn rows(&self) -> Vec<String> {
        let looking = postgres_writes::client(self.server.port, "one").await;
        let rows = looking.query("SELECT a FROM t ORDER BY id", &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn ends(self) {
        assert_eq!(self.rows().await, ["old", "old"], "nothing is half written");
        self.rival.batch_execute("ROLLBACK").await.expect("the rival gives way");
        let Postgres { server, rival: _, replay } = self;
        replay.goes_on_to_its_end().await;
        let looking = postgres_writes::client(server.port, "one").await;
        let new = looking.query_one("SELECT count(*) FROM t WHERE a = 'new'", &[]).await.expect("a count");
        assert_eq!(new.get::<_, i64>(0), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_a_writer_of_postgres_is_tried_again() {
    let Some(mut postgres) = Postgres::start().await else { return };
    postgres.until_it_waits().await;
    postgres.rival.batch_execute(ASKS).await.expect("the replay was rolled back");
    postgres.replay.has_failed().await;
    postgres.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_postgres_that_lasts_is_waited_for_again() {
    let Some(mut postgres) = Postgres::start().await else { return };
    postgres.replay.has_failed().await;
    postgres.ends().await;
}
