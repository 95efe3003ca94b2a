//! The server's side of the log: whether everything that is covered goes through it, and where it stands.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::super::catalog::{Catalog, ForeignKey, Table};
use super::super::column::Reading;
use super::super::connect::{self, Flavour};
use super::super::{ask, fault, grants, mapping};
use super::gtid::GtidSet;
use crate::store::{ErrorKind, Result, StoreError};

/// Why a log cannot be followed, in words.
pub(super) type Unfit = String;

const SETTINGS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'log_bin_compress',
 'binlog_transaction_compression', 'lower_case_table_names', 'log_slave_updates', 'log_replica_updates', 'wsrep_on', 'gtid_mode',
 'server_uuid', 'server_id', 'sync_binlog', 'binlog_expire_logs_seconds', 'expire_logs_days')";

/// What the server tells of itself.
pub(super) struct Server {
    pub(super) flavour: Flavour,
    settings: BTreeMap<String, String>,
}

/// A file of the log and a position in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) position: u64,
}

/// Where the log stands.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// Where a later reading begins.
    pub(super) from: Place,
    /// What is seen by now of what comes after that place: only MySQL needs to say.
    pub(super) seen: Option<String>,
    /// The end of everything that is seen by now.
    pub(super) end: Place,
}

impl Server {
    /// Asks the server for its settings.
    pub(super) async fn ask(conn: &mut Conn) -> Result<Server> {
        let (flavour, _) = connect::version(conn).await?;
        let mut settings = BTreeMap::new();
        for mut row in ask::rows(conn, "cannot ask the server for its settings", SETTINGS, ()).await? {
            settings.insert(row.text(0)?.to_lowercase(), row.text(1)?);
        }
        Ok(Server { flavour, settings })
    }

    fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        matches!(self.setting(name), "ON" | "1")
    }

    /// What tells this server from others.
    pub(super) fn name(&self) -> &str {
        let id = self.setting("server_uuid");
        if id.is_empty() { self.setting("server_id") } else { id }
    }

    /// Whether every commit waits until it is in the log on disk, so that nothing can be lost of it.
    pub(super) fn is_synced(&self) -> bool {
        self.setting("sync_binlog") == "1"
    }

    /// For how many seconds a file of the log is kept; `None` without end.
    pub(super) fn kept_seconds(&self) -> Option<u64> {
        let days = self.setting("expire_logs_days").parse::<f64>().unwrap_or_default();
        let seconds = self.setting("binlog_expire_logs_seconds").parse::<u64>().unwrap_or_default();
        let seconds = if seconds == 0 { (days * 86_400.0) as u64 } else { seconds };
        (seconds > 0).then_some(seconds)
    }

    /// Why not every change of every covered table is in the log with its key; `None` when it is.
    pub(super) async fn unfit(&self, conn: &mut Conn, catalog: &Catalog) -> Result<Option<Unfit>> {
        if let Some(why) = self.unfit_settings() {
            return Ok(Some(why));
        }
        if let Some(why) = self.unfit_filters(conn).await? {
            return Ok(Some(why));
        }
        let logs_what_it_takes = self.is_on("log_slave_updates") || self.is_on("log_replica_updates");
        if !logs_what_it_takes && let Some(why) = self.unfit_replica(conn).await? {
            return Ok(Some(why));
        }
        let table = catalog.tables.iter().find_map(|table| Some((table, unfit_table(table)?)));
        if let Some((table, why)) = table {
            return Ok(Some(format!("table {} {why}", table.name)));
        }
        Ok(catalog.foreign_keys.iter().filter(|key| catalog.table(&key.child).is_some()).find_map(unfit_reference))
    }

    fn unfit_settings(&self) -> Option<Unfit> {
        let format = self.setting("binlog_format");
        Some(match self.flavour {
            _ if !self.is_on("log_bin") => "the server keeps no binary log: start it with log_bin".into(),
            _ if !matches!(format, "ROW" | "") => {
                format!("binlog_format is {format}, which does not tell rows: SET GLOBAL binlog_format = 'ROW'")
            }
            Flavour::MariaDb if self.is_on("log_bin_compress") => {
                "log_bin_compress is on: SET GLOBAL log_bin_compress = OFF".into()
            }
            Flavour::MySql if self.is_on("binlog_transaction_compression") => {
                "binlog_transaction_compression is on: SET GLOBAL binlog_transaction_compression = OFF".into()
            }
            _ if self.setting("lower_case_table_names") == "2" => {
                "lower_case_table_names is 2: names in the log are not those of the tables".into()
            }
            Flavour::MariaDb if self.is_on("wsrep_on") && !self.is_on("log_slave_updates") => {
                "the server is of a Galera cluster and does not log what others write: start it with log_slave_updates"
                    .into()
            }
            Flavour::MySql if self.setting("gtid_mode") != "ON" => {
                "gtid_mode is not ON: without GTIDs MySQL does not tell which transactions can be seen".into()
            }
            _ => return None,
        })
    }

    /// What is named by a filter, or a session's own database that is, is not in the log.
    async fn unfit_filters(&self, conn: &mut Conn) -> Result<Option<Unfit>> {
        let row = match self.end(conn).await? {
            Err(why) => return Ok(Some(why)),
            Ok(row) => row,
        };
        let filters = ["Binlog_Do_DB", "Binlog_Ignore_DB"].into_iter().find(|name| !text(&row, name).is_empty());
        Ok(filters.map(|name| {
            format!("the binary log leaves out what {} says: start the server without it", name.to_lowercase())
        }))
    }

    async fn unfit_replica(&self, conn: &mut Conn) -> Result<Option<Unfit>> {
        let (questions, right): (&[&str], _) = match self.flavour {
            Flavour::MariaDb => (&["SHOW ALL SLAVES STATUS"], "SLAVE MONITOR"),
            Flavour::MySql => (&["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"], "REPLICATION CLIENT"),
        };
        Ok(match answer(conn, "cannot ask for replication", questions, right).await? {
            Err(why) => Some(why),
            Ok(rows) if rows.is_empty() => None,
            Ok(_) => Some("the server is a replica that does not log what it takes: log_slave_updates is off".into()),
        })
    }

    /// The last file of the log and its end, and filters.
    async fn end(&self, conn: &mut Conn) -> Result<std::result::Result<Row, Unfit>> {
        let (questions, right): (&[&str], _) = match self.flavour {
            Flavour::MariaDb => (&["SHOW MASTER STATUS"], "BINLOG MONITOR"),
            // The older words are gone from MySQL 8.4, the newer ones are not known before 8.2.
            Flavour::MySql => (&["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"], "REPLICATION CLIENT"),
        };
        Ok(match answer(conn, "cannot ask where the binary log stands", questions, right).await? {
            Err(why) => Err(why),
            Ok(rows) => rows.into_iter().next().ok_or_else(|| "the server keeps no binary log".to_owned()),
        })
    }

    /// The oldest file that the server still has.
    pub(super) async fn first_file(&self, conn: &mut Conn) -> Result<std::result::Result<Place, Unfit>> {
        let right = if self.flavour == Flavour::MariaDb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
        let rows = match answer(conn, "cannot ask for the binary logs", &["SHOW BINARY LOGS"], right).await? {
            Err(why) => return Ok(Err(why)),
            Ok(rows) => rows,
        };
        let file = rows.first().map(|row| text(row, "Log_name")).filter(|file| !file.is_empty());
        Ok(file.map(Place::start_of).ok_or_else(|| "the server keeps no binary log".to_owned()))
    }

    /// Where the log stands, so that what readers cannot see by now comes after it.
    ///
    /// A transaction is in the log before readers see it. MariaDB tells the position up to which a snapshot sees; MySQL tells
    /// which transactions are committed, and before it begins a file waits for all of the one before.
    pub(super) async fn standing(&self, conn: &mut Conn) -> Result<std::result::Result<Standing, Unfit>> {
        match self.flavour {
            Flavour::MariaDb => self.standing_of_mariadb(conn).await,
            Flavour::MySql => self.standing_of_mysql(conn).await,
        }
    }

    async fn standing_of_mariadb(&self, conn: &mut Conn) -> Result<std::result::Result<Standing, Unfit>> {
        let failed = |error| fault::store_error("cannot take a snapshot", &error);
        let begin =
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        conn.query_drop(begin).await.map_err(failed)?;
        let told: Vec<(String, String)> = conn.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await.map_err(failed)?;
        conn.query_drop("ROLLBACK").await.map_err(failed)?;
        let told: BTreeMap<String, String> =
            told.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        let file = told.get("binlog_snapshot_file").filter(|file| !file.is_empty());
        let position = told.get("binlog_snapshot_position").and_then(|position| position.parse().ok());
        Ok(match (file, position) {
            (Some(file), Some(position)) => {
                let place = Place { file: file.clone(), position };
                Ok(Standing { from: place.clone(), seen: None, end: place })
            }
            _ => Err("the server does not tell what a snapshot sees of its binary log".into()),
        })
    }

    async fn standing_of_mysql(&self, conn: &mut Conn) -> Result<std::result::Result<Standing, Unfit>> {
        let (from, seen) = match self.end(conn).await? {
            Err(why) => return Ok(Err(why)),
            Ok(row) => (Place::start_of(text(&row, "File")), executed(conn).await?),
        };
        Ok(self.end(conn).await?.map(|row| {
            let end = Place { file: text(&row, "File"), position: text(&row, "Position").parse().unwrap_or(u64::MAX) };
            Standing { from, seen: Some(seen), end }
        }))
    }
}

impl Place {
    /// The first event of a file.
    fn start_of(file: String) -> Place {
        Place { file, position: 4 }
    }
}

/// Which transactions of MySQL are committed.
pub(super) async fn executed(conn: &mut Conn) -> Result<String> {
    let rows = ask::rows(conn, "cannot ask for GTIDs", "SELECT @@GLOBAL.gtid_executed", ()).await?;
    rows.into_iter().next().map_or(Ok(String::new()), |mut row| row.text(0))
}

/// GTIDs as the server, or a mark, has them.
pub(super) fn gtids(text: &str) -> Result<GtidSet> {
    let unreadable = |error| StoreError::caused(ErrorKind::Unreadable, "a set of GTIDs", error);
    text.parse().map_err(unreadable)
}

/// A number for this reader among the server's replicas, of which no two may have the same.
pub(super) async fn replica_id(conn: &mut Conn) -> Result<u32> {
    let sql = "SELECT CAST(2147483648 + FLOOR(RAND() * 2147483647) AS UNSIGNED)";
    let number = ask::number(conn, "cannot ask for a number", sql, ()).await?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn text(row: &Row, name: &str) -> String {
    let number = || row.get_opt::<u64, _>(name).and_then(|number| number.ok()).map(|number| number.to_string());
    row.get_opt::<String, _>(name).and_then(|text| text.ok()).or_else(number).unwrap_or_default()
}

/// The answer to the first of the questions that the server knows, or which right it takes.
async fn answer(
    conn: &mut Conn,
    what: &str,
    questions: &[&str],
    right: &str,
) -> Result<std::result::Result<Vec<Row>, Unfit>> {
    for question in questions {
        match conn.query::<Row, _>(*question).await {
            Ok(rows) => return Ok(Ok(rows)),
            Err(error) if fault::kind_of(&error) == ErrorKind::Denied => return Ok(Err(denied(conn, right).await?)),
            // It keeps none, or does not know the word.
            Err(Error::Server(fault)) if matches!(fault.code, 1381 | 1064) => {}
            Err(error) => return Err(fault::store_error(what, &error)),
        }
    }
    Ok(Ok(Vec::new()))
}

/// Which right the user lacks, as it is granted.
pub(super) async fn denied(conn: &mut Conn, right: &str) -> Result<Unfit> {
    let user = grants::load(conn).await?.user;
    Ok(format!("the user may not read the binary log: GRANT {right} ON *.* TO {user}"))
}

/// Why the keys of a table's rows are not told by the log; `None` when they are.
fn unfit_table(table: &Table) -> Option<String> {
    if table.key.is_empty() {
        return Some("has no primary key".into());
    }
    if !table.is_transactional() {
        return Some(format!("is of engine {}, whose rows are seen before they are in the log", table.engine));
    }
    if mapping::is_key_computed(table) {
        return Some("has a key that the mapping computes, which no log tells".into());
    }
    table.key_columns().find_map(|column| match column.reading {
        Reading::Plain => {
            Some(format!("has {} of type {} in its key, which the log has otherwise", column.name, column.type_name))
        }
        Reading::Decimal if column.type_name.contains("zerofill") => {
            Some(format!("has {} in its key, whose leading zeroes are not in the log", column.name))
        }
        _ => None,
    })
}

/// Rows that the engine itself changes for a parent's sake are in no log.
fn unfit_reference(key: &ForeignKey) -> Option<Unfit> {
    let is_quiet = |rule: &str| matches!(rule.to_uppercase().as_str(), "RESTRICT" | "NO ACTION");
    let rule = match (is_quiet(&key.on_delete), is_quiet(&key.on_update)) {
        (true, true) => return None,
        (false, _) => format!("ON DELETE {}", key.on_delete),
        (true, false) => format!("ON UPDATE {}", key.on_update),
    };
    Some(format!(
        "table {} has foreign key {} with {rule}: what that does is not in the binary log",
        key.child, key.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(flavour: Flavour, settings: &[(&str, &str)]) -> Server {
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Server { flavour, settings }
    }

    #[test]
    fn settings_that_leave_out_changes_are_told() {
        let row = [("log_bin", "ON"), ("binlog_format", "ROW")];
        let with = |flavour, more: (&'static str, &'static str)| {
            server(flavour, &[&row[..], &[more]].concat()).unfit_settings().unwrap_or_default()
        };
        let (maria, mysql) = (Flavour::MariaDb, Flavour::MySql);
        assert_eq!(server(maria, &row).unfit_settings(), None);
        assert_eq!(with(mysql, ("gtid_mode", "ON")), "");
        assert!(with(mysql, ("gtid_mode", "ON_PERMISSIVE")).contains("gtid_mode is not ON"));
        assert!(with(maria, ("binlog_format", "MIXED")).contains("SET GLOBAL binlog_format = 'ROW'"));
        assert!(with(maria, ("log_bin_compress", "ON")).contains("SET GLOBAL log_bin_compress = OFF"));
        assert!(with(mysql, ("binlog_transaction_compression", "ON")).contains("= OFF"));
        assert!(with(maria, ("lower_case_table_names", "2")).contains("lower_case_table_names is 2"));
        assert!(with(maria, ("wsrep_on", "ON")).contains("Galera"));
        assert!(with(maria, ("log_bin", "OFF")).contains("keeps no binary log"));
    }

    #[test]
    fn how_long_files_are_kept_is_told_either_way() {
        let kept = |settings: &[(&str, &str)]| server(Flavour::MariaDb, settings).kept_seconds();
        assert_eq!(kept(&[("binlog_expire_logs_seconds", "3600"), ("expire_logs_days", "0.041667")]), Some(3600));
        assert_eq!(kept(&[("expire_logs_days", "0.5")]), Some(43_200));
        assert_eq!(kept(&[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "0")]), None);
    }
}
