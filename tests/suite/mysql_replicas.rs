//! What `check` says of a server that takes the writes of another: two real MariaDB servers, one a replica of the other.

use failback::model::Side;
use failback::store::{Finding, Level, ReadStore};

use crate::mysql::{client, run, sql, store};
use crate::peers::{self, Server};
use mysql_async::prelude::Queryable;

/// Questions until a replica has heard of what was written.
const QUESTIONS_MAX: usize = 2_000;

async fn checked(server: &Server, side: Side) -> Vec<Finding> {
    store(server, side, "ledger", &["*"]).await.check().await
}

/// What is told of a server's replication, on this side.
async fn told(server: &Server, side: Side) -> Vec<(Level, String)> {
    let found = checked(server, side).await.into_iter().filter(|finding| finding.what.contains("replica"));
    found.map(|finding| (finding.level, finding.what)).collect()
}

#[track_caller]
fn assert_told(found: &[(Level, String)], level: Level, words: &str) {
    let [(found_level, what)] = found else { panic!("one finding: {found:?}") };
    assert!(*found_level == level && what.contains(words), "{found:?}");
}

/// A source with a table of one row, and its replica, which has that row.
async fn replicated() -> Option<[Server; 2]> {
    let (source, replica) = (peers::mariadb()?, peers::mariadb_with(&["--server-id=2"])?);
    sql(
        &source,
        "",
        "CREATE DATABASE ledger;\nCREATE TABLE ledger.t (id INT PRIMARY KEY);\nINSERT INTO ledger.t VALUES (1)",
    )
    .await;
    let follow = format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'root', MASTER_LOG_FILE = 'b.000001', \
         MASTER_LOG_POS = 4;\nSTART SLAVE",
        source.port
    );
    sql(&replica, "", &follow).await;
    arrived(&[&source, &replica]).await;
    Some([source, replica])
}

/// Waits until the replica has everything that the source wrote.
async fn arrived([source, replica]: &[&Server; 2]) {
    let at: Option<String> =
        client(source.port, "").await.query_first("SELECT @@gtid_binlog_pos").await.expect("a position");
    let wait = format!("SELECT MASTER_GTID_WAIT('{}', 30)", at.expect("a position"));
    let reached: Option<i64> = client(replica.port, "").await.query_first(wait).await.expect("an answer");
    assert_eq!(reached, Some(0), "it has everything in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_told_on_either_side_and_so_is_one_that_was_stopped() {
    let Some([source, replica]) = replicated().await else { return };
    for side in [Side::Primary, Side::Dr] {
        assert_eq!(told(&source, side).await, [], "nobody writes to the source but its clients");
    }
    assert_told(&told(&replica, Side::Primary).await, Level::Blocker, "takes the writes of another by replication");
    assert_told(&told(&replica, Side::Dr).await, Level::Warning, "by replication, 0 s behind: what has not arrived");
    // Without its thread that writes it still listens, and goes on with the next start.
    sql(&replica, "", "STOP SLAVE SQL_THREAD").await;
    assert_told(&told(&replica, Side::Primary).await, Level::Warning, "a replica whose replication is stopped");
    assert_eq!(told(&replica, Side::Dr).await, []);
    sql(&replica, "", "START SLAVE;\nSET GLOBAL read_only = ON").await;
    let blockers = checked(&replica, Side::Primary).await.into_iter().filter(|one| one.level == Level::Blocker);
    let blockers: Vec<String> = blockers.map(|one| one.what).collect();
    assert_eq!(blockers.len(), 2, "{blockers:?}");
    assert!(blockers[1].contains("read_only and takes no writes"), "{blockers:?}");
    // As the hint says.
    sql(&replica, "", "STOP SLAVE;\nRESET SLAVE ALL;\nSET GLOBAL read_only = OFF").await;
    for side in [Side::Primary, Side::Dr] {
        assert_eq!(told(&replica, side).await, []);
    }
    let findings = checked(&replica, Side::Primary).await;
    assert!(findings.iter().all(|finding| finding.level == Level::Note), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_replica_is_behind_is_told_of_dr() {
    let Some([source, replica]) = replicated().await else { return };
    sql(&replica, "", "STOP SLAVE;\nCHANGE MASTER TO MASTER_DELAY = 7200;\nSTART SLAVE").await;
    // A write of ten minutes ago waits for its time on the replica.
    let mut writer = client(source.port, "ledger").await;
    run(&mut writer, "SET timestamp = UNIX_TIMESTAMP() - 600;\nINSERT INTO t VALUES (2)").await.expect("written");
    for _ in 0..QUESTIONS_MAX {
        let found = told(&replica, Side::Dr).await;
        let [(level, what)] = found.as_slice() else { panic!("one finding: {found:?}") };
        assert_eq!(*level, Level::Warning);
        if what.contains("by replication, 60") {
            return;
        }
    }
    panic!("the replica is not told to be ten minutes behind");
}

/// A user who may not ask is told so: on the primary it matters more.
#[tokio::test(flavor = "multi_thread")]
async fn not_to_know_of_replication_is_told() {
    let Some([_source, replica]) = replicated().await else { return };
    sql(&replica, "", "STOP SLAVE;\nCREATE USER clerk;\nGRANT SELECT, INSERT, UPDATE, DELETE ON ledger.* TO clerk")
        .await;
    for (side, level) in [(Side::Primary, Level::Warning), (Side::Dr, Level::Note)] {
        let profile = crate::mysql::database(replica.port, "clerk", "ledger");
        let (id, reached) = (failback::model::StoreId("ledger".into()), crate::postgres::reached());
        let tables = ["*".to_owned()];
        let connected: Result<failback::store::mysql::MysqlStore, _> =
            failback::store::RowStore::connect(id, side, &reached, &profile, &tables).await;
        let findings = connected.expect("connected").check().await;
        let unknown = findings.iter().find(|one| one.what.contains("by replication is not known")).expect("told");
        assert_eq!(
            (unknown.level, unknown.hint.as_deref()),
            (level, Some("GRANT SLAVE MONITOR ON *.* TO 'clerk'@'%';"))
        );
    }
}
