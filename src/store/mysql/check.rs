//! Preflight of one side: rights, what would fire during a replay, and what is left out.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::catalog::{Catalog, ForeignKey, Table};
use super::column::Column;
use super::connect::Flavour;
use super::grants::{self, Grants};
use super::{ask, connect, fault, names};
use crate::model::Side;
use crate::store::sql::names::listed;
use crate::store::{Finding, Level, Result};

const SETTINGS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN
 ('read_only', 'super_read_only', 'innodb_read_only', 'binlog_format', 'log_bin', 'event_scheduler')";

const TRIGGERS: &str = "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION
 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? ORDER BY 1, 2";

const EVENTS: &str = "SELECT EVENT_NAME FROM information_schema.EVENTS
 WHERE EVENT_SCHEMA = ? AND STATUS = 'ENABLED' ORDER BY 1";

/// Whether no row can be inserted without a value for that column.
fn must_be_said(column: &Column) -> bool {
    column.not_null && column.default.is_none() && !column.is_generated() && !column.is_counted
}

/// What one side is asked.
pub(super) struct Preflight<'a> {
    pub(super) conn: &'a mut Conn,
    pub(super) catalog: &'a Catalog,
    pub(super) side: Side,
    pub(super) subject: String,
}

impl Preflight<'_> {
    /// Collects everything; a question that cannot be asked is a finding too.
    pub(super) async fn findings(mut self) -> Vec<Finding> {
        let mut findings = self.of_the_catalog();
        let grants = grants::load(self.conn).await;
        let asked = match grants {
            Ok(grants) => [self.server(&grants).await, self.rights(&grants).await, self.firing(&grants).await],
            Err(error) => [Err(error), Ok(Vec::new()), Ok(Vec::new())],
        };
        for found in asked {
            findings.extend(found.unwrap_or_else(|error| vec![self.finding(Level::Blocker, fault::chain(&error))]));
        }
        findings
    }

    fn finding(&self, level: Level, what: impl Into<String>) -> Finding {
        Finding::new(level, &self.subject, what)
    }

    fn of_the_catalog(&self) -> Vec<Finding> {
        let Catalog { tables, idle_patterns, uncovered, left_out, .. } = self.catalog;
        let mut findings = Vec::new();
        let mut add = |level, what: String| findings.push(self.finding(level, what));
        for pattern in idle_patterns {
            add(Level::Blocker, format!("no table matches {pattern}"));
        }
        for (name, reason) in left_out {
            add(Level::Warning, format!("{name} is {reason}: it is not compared"));
        }
        for table in tables.iter().filter(|table| table.key.is_empty()) {
            add(Level::Warning, format!("{} has no primary key: compared as a multiset, never written", table.name));
        }
        for table in tables {
            for column in table.ignored.iter().filter(|column| must_be_said(column)) {
                let what = format!(
                    "{}.{} is ignored by the mapping, not null and without a default: no row could be inserted",
                    table.name, column.name
                );
                add(Level::Blocker, what);
            }
        }
        for table in tables.iter().filter(|table| !table.is_transactional()) {
            let what = format!(
                "{} is of engine {}, which has no transactions: its rows are read as they are at the moment, and never written",
                table.name, table.engine
            );
            let hint = format!("ALTER TABLE {} ENGINE = InnoDB;", table.quoted);
            findings.push(self.finding(Level::Warning, what).with_hint(hint));
        }
        for key in self.half_named().filter(|_| self.side == Side::Primary) {
            let what = format!(
                "foreign key {} leads from {} to {}, and tables names only one of them",
                key.name, key.child, key.parent
            );
            let hint = "name both, so that no row goes without its parent";
            findings.push(self.finding(Level::Warning, what).with_hint(hint));
        }
        if self.side == Side::Dr && !uncovered.is_empty() {
            let hint = "what they hold stays behind: add them to tables, or make sure that nobody wrote to them";
            let what = format!("not named by tables: {}", listed(uncovered));
            findings.push(self.finding(Level::Note, what).with_hint(hint));
        }
        findings
    }

    /// Foreign keys of which one end only is covered.
    fn half_named(&self) -> impl Iterator<Item = &ForeignKey> {
        let is_covered = |name: &str| self.catalog.table(name).is_some();
        self.catalog.foreign_keys.iter().filter(move |key| !is_covered(&key.child) || !is_covered(&key.parent))
    }

    async fn server(&mut self, grants: &Grants) -> Result<Vec<Finding>> {
        let (flavour, version) = connect::version(self.conn).await?;
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        for mut row in ask::rows(self.conn, "cannot ask the server for its settings", SETTINGS, ()).await? {
            settings.insert(row.text(0)?.to_lowercase(), row.text(1)?);
        }
        let is_on = |name: &str| settings.get(name).is_some_and(|value| !matches!(value.as_str(), "OFF" | "0" | ""));
        let what = format!("{} {version}, as user {}", flavour.name(), grants.user);
        let mut findings = vec![self.finding(Level::Note, what)];
        if !grants.has(&self.catalog.database, None, "PROCESS") {
            let what = "user lacks PROCESS: a database that was made anew under its old name is not told from it";
            findings.push(
                self.finding(Level::Warning, what).with_hint(format!("GRANT PROCESS ON *.* TO {};", grants.user)),
            );
        }
        if !grants.has(&self.catalog.database, None, "SELECT") {
            let what = format!("user {} sees only the tables it was granted: of others nothing is known", grants.user);
            let hint = format!("GRANT SELECT ON {}.* TO {};", names::quoted(&self.catalog.database), grants.user);
            findings.push(self.finding(Level::Warning, what).with_hint(hint));
        }
        findings.extend(self.replication(flavour, grants).await?);
        if self.side != Side::Primary {
            return Ok(findings);
        }
        for name in ["read_only", "super_read_only", "innodb_read_only"].into_iter().filter(|name| is_on(name)) {
            let hint = "let it take writes once the old writers are fenced, or name the server that is written";
            findings.push(
                self.finding(Level::Blocker, format!("the server is set {name} and takes no writes")).with_hint(hint),
            );
        }
        if is_on("log_bin") && settings.get("binlog_format").is_some_and(|format| format == "STATEMENT") {
            let what = "the server logs statements, which cannot tell its replicas exactly what is written";
            findings.push(self.finding(Level::Blocker, what).with_hint("SET GLOBAL binlog_format = 'ROW';"));
        }
        if settings.get("event_scheduler").is_some_and(|value| value == "ON") {
            findings.extend(self.events(grants).await?);
        }
        Ok(findings)
    }

    /// Whether another server's writes come to this one by themselves.
    async fn replication(&mut self, flavour: Flavour, grants: &Grants) -> Result<Vec<Finding>> {
        let questions: &[&str] = match flavour {
            Flavour::MariaDb => &["SHOW ALL SLAVES STATUS"],
            // The older word is gone from MySQL 8.4, the newer one is not known before 8.0.22.
            Flavour::MySql => &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"],
        };
        for question in questions {
            match self.conn.query::<Row, _>(*question).await {
                Ok(rows) => return Ok(self.replicas(&rows, flavour).into_iter().collect()),
                Err(Error::Server(fault)) if matches!(fault.code, 1227 | 1045) => {
                    let what = "whether the server takes another's writes by replication is not known";
                    let right = if flavour == Flavour::MariaDb { "SLAVE MONITOR" } else { "REPLICATION CLIENT" };
                    let hint = format!("GRANT {right} ON *.* TO {};", grants.user);
                    let level = if self.side == Side::Primary { Level::Warning } else { Level::Note };
                    return Ok(vec![self.finding(level, what).with_hint(hint)]);
                }
                // It does not know the word.
                Err(Error::Server(fault)) if fault.code == 1064 => {}
                Err(error) => return Err(fault::store_error("cannot ask for replication", &error)),
            }
        }
        Ok(Vec::new())
    }

    /// What it means that the server is a replica, by a row for each server that it is one of.
    fn replicas(&self, rows: &[Row], flavour: Flavour) -> Option<Finding> {
        let running = rows.iter().find(|row| is_replicating(row));
        let word = if flavour == Flavour::MariaDb { "SLAVE" } else { "REPLICA" };
        match (self.side, running) {
            (Side::Primary, Some(_)) => {
                let what = "the server takes the writes of another by replication: they would meet those of a replay";
                let hint = "stop the replication once dr is to be brought home, or name the server that is written";
                Some(self.finding(Level::Blocker, what).with_hint(hint))
            }
            (Side::Primary, None) if !rows.is_empty() => {
                let what = "the server is a replica whose replication is stopped: it goes on when it is started again, be it \
                            with the server";
                let hint =
                    format!("RESET {word} ALL; once dr is to be brought home, or name the server that is written");
                Some(self.finding(Level::Warning, what).with_hint(hint))
            }
            (_, Some(row)) => {
                let behind = behind(row).map_or("of an unknown lag".to_owned(), |lag| format!("{lag} s behind"));
                let what = format!(
                    "the server takes the writes of another by replication, {behind}: what has not arrived is not compared"
                );
                let hint = format!("STOP {word}; and make sure that it is dr that was written");
                Some(self.finding(Level::Warning, what).with_hint(hint))
            }
            (_, None) => None,
        }
    }

    /// What the primary does by its own clock.
    async fn events(&mut self, grants: &Grants) -> Result<Vec<Finding>> {
        let database = &self.catalog.database;
        if !grants.has(database, None, "EVENT") {
            let what = format!("the event scheduler is on, and user {} may not see its events", grants.user);
            let hint = format!("GRANT EVENT ON {}.* TO {};", names::quoted(database), grants.user);
            return Ok(vec![self.finding(Level::Warning, what).with_hint(hint)]);
        }
        let mut events = Vec::new();
        for mut row in ask::rows(self.conn, "cannot ask for events", EVENTS, (database,)).await? {
            events.push(row.text(0)?);
        }
        let what = format!("events run by the server's clock and write meanwhile: {}", listed(&events));
        let found = self.finding(Level::Warning, what).with_hint("SET GLOBAL event_scheduler = OFF; until the cutover");
        Ok(if events.is_empty() { Vec::new() } else { vec![found] })
    }

    async fn rights(&mut self, grants: &Grants) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let catalog = self.catalog;
        for table in &catalog.tables {
            let mut missing = Vec::new();
            for (right, probe) in probes(table, self.side) {
                if !self.may(&probe).await? {
                    missing.push(right);
                }
            }
            if self.side == Side::Primary && table.columns.iter().any(|column| column.is_counted) {
                let counted = ["ALTER", "LOCK TABLES"];
                let lacking =
                    counted.into_iter().filter(|right| !grants.has(&catalog.database, Some(&table.name), right));
                missing.extend(lacking);
            }
            findings.extend(self.lacking(&table.name, &table.quoted, &missing, grants));
        }
        // Children are looked for before a parent goes, and parents before a child is kept.
        let ends = |key: &ForeignKey| {
            [(key.child.clone(), key.child_quoted.clone()), (key.parent.clone(), key.parent_quoted.clone())]
        };
        let mut referred: Vec<(String, String)> =
            self.half_named().filter(|_| self.side == Side::Primary).flat_map(ends).collect();
        referred.retain(|(name, _)| catalog.table(name).is_none());
        referred.sort();
        referred.dedup();
        for (name, quoted) in referred {
            if !self.may(&format!("SELECT 1 FROM {quoted} WHERE FALSE")).await? {
                findings.extend(self.lacking(&name, &quoted, &["SELECT"], grants));
            }
        }
        Ok(findings)
    }

    /// Rights as they must be granted: some only go with a whole database.
    fn lacking(&self, name: &str, quoted: &str, missing: &[&str], grants: &Grants) -> Vec<Finding> {
        let (of_database, of_table): (Vec<&str>, Vec<&str>) =
            missing.iter().partition(|right| **right == "LOCK TABLES");
        let mut findings = Vec::new();
        let database = format!("{}.*", names::quoted(&self.catalog.database));
        for (rights, object) in [(of_table, quoted.to_owned()), (of_database, database)] {
            if rights.is_empty() {
                continue;
            }
            let rights = rights.join(", ");
            let finding = self.finding(Level::Blocker, format!("user {} has no {rights} on {name}", grants.user));
            findings.push(finding.with_hint(format!("GRANT {rights} ON {object} TO {};", grants.user)));
        }
        findings
    }

    /// Whether the server would let this user run a statement: it is prepared, which asks for rights, and not run.
    async fn may(&mut self, statement: &str) -> Result<bool> {
        match self.conn.prep(statement).await {
            Ok(prepared) => {
                let closed = self.conn.close(prepared).await;
                closed.map_err(|error| fault::store_error("cannot ask for rights", &error))?;
                Ok(true)
            }
            Err(Error::Server(fault)) if matches!(fault.code, 1044 | 1142 | 1143) => Ok(false),
            Err(error) => Err(fault::store_error("cannot ask for rights", &error)),
        }
    }

    /// What would run by itself while rows are written: no server lets a session switch triggers off.
    async fn firing(&mut self, grants: &Grants) -> Result<Vec<Finding>> {
        if self.side != Side::Primary {
            return Ok(Vec::new());
        }
        let catalog = self.catalog;
        let mut findings = Vec::new();
        let is_blind = |table: &&std::sync::Arc<Table>| !grants.has(&catalog.database, Some(&table.name), "TRIGGER");
        let blind: Vec<String> = catalog.tables.iter().filter(is_blind).map(|table| table.name.clone()).collect();
        if !blind.is_empty() {
            let what =
                format!("user {} may not see triggers, which a replay would fire: {}", grants.user, listed(&blind));
            let hint = format!("GRANT TRIGGER ON {}.* TO {};", names::quoted(&catalog.database), grants.user);
            findings.push(self.finding(Level::Warning, what).with_hint(hint));
        }
        for mut row in ask::rows(self.conn, "cannot ask for triggers", TRIGGERS, (&catalog.database,)).await? {
            let (table, name, timing, event) = (row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?);
            if catalog.table(&table).is_none() {
                continue;
            }
            let what = format!(
                "trigger {name} of {table} fires {} {} when a replay writes: it cannot be switched off",
                timing.to_lowercase(),
                event.to_lowercase()
            );
            let drop = format!("{}.{}", names::quoted(&catalog.database), names::quoted(&name));
            let hint = format!("DROP TRIGGER {drop}; and create it as it was after the cutover");
            findings.push(self.finding(Level::Warning, what).with_hint(hint));
        }
        Ok(findings)
    }
}

/// Whether a thread that applies another server's writes runs.
fn is_replicating(row: &Row) -> bool {
    ["Slave_SQL_Running", "Replica_SQL_Running"]
        .into_iter()
        .any(|name| row.get_opt::<String, _>(name).is_some_and(|running| running.is_ok_and(|word| word == "Yes")))
}

/// How far a replica is behind, in seconds, where it tells.
fn behind(row: &Row) -> Option<u64> {
    ["Seconds_Behind_Master", "Seconds_Behind_Source"]
        .into_iter()
        .find_map(|name| row.get_opt::<Option<u64>, _>(name).and_then(|told| told.ok().flatten()))
}

/// Statements that ask for each right and, were they run, would change nothing.
fn probes(table: &Table, side: Side) -> Vec<(&'static str, String)> {
    let (quoted, columns) = (&table.quoted, table.columns.iter().filter(|column| !column.is_generated()));
    let names: Vec<String> = columns.map(|column| column.quoted()).collect();
    let mut probes = vec![("SELECT", format!("SELECT {} FROM {} AS r WHERE FALSE", table.outputs(), table.from()))];
    if side == Side::Primary {
        let set: Vec<String> = names.iter().map(|name| format!("{name} = NULL")).collect();
        let nulls = vec!["NULL"; names.len()].join(", ");
        probes.push(("INSERT", format!("INSERT INTO {quoted} ({}) VALUES ({nulls})", names.join(", "))));
        probes.push(("UPDATE", format!("UPDATE {quoted} SET {} WHERE FALSE", set.join(", "))));
        probes.push(("DELETE", format!("DELETE FROM {quoted} WHERE FALSE")));
    }
    probes
}
