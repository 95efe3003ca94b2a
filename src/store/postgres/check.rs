//! Preflight of one side: rights, what would fire during a replay, and what is left out.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::catalog::{Catalog, Column, ForeignKey};
use super::{counters, fault};
use crate::model::Side;
use crate::store::sql::names::listed;
use crate::store::{Finding, Level, Result};

const SERVER: &str = "SELECT quote_ident(current_user), current_setting('server_version'), pg_is_in_recovery(),
 (SELECT count(*) FROM pg_largeobject_metadata)";

/// Rights on each table; `row_security_active` asks for this very role.
const RIGHTS: &str = "SELECT n.nspname::text || '.' || c.relname::text, format('%I.%I', n.nspname, c.relname),
  quote_ident(n.nspname), has_schema_privilege(n.oid, 'USAGE'), row_security_active(c.oid),
  has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'UPDATE'),
  has_table_privilege(c.oid, 'DELETE')
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1) ORDER BY 1";

/// Triggers and rules of covered tables and their partitions, but not those by which the server keeps constraints.
const FIRING: &str =
    "SELECT n.nspname::text || '.' || c.relname::text, format('%I.%I', n.nspname, c.relname), f.kind, f.name
 FROM (SELECT tgrelid AS of, 'trigger' AS kind, tgname::text AS name, tgenabled AS state FROM pg_trigger
    WHERE NOT tgisinternal AND tgparentid = 0
   UNION ALL SELECT ev_class, 'rule', rulename::text, ev_enabled FROM pg_rewrite WHERE ev_type <> '1') f
  JOIN pg_class c ON c.oid = f.of JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (c.oid = ANY($1) OR pg_partition_root(c.oid)::oid = ANY($1)) AND f.state::text = ANY($2) ORDER BY 1, 4";

/// Materialized views that show rows of covered tables or of their partitions, be it through other views; each with the
/// command that refreshes it. Those that others rest on come first.
const MATERIALIZED: &str = "WITH RECURSIVE shows(oid, depth) AS (
   SELECT c.oid, 0 FROM pg_class c WHERE c.oid = ANY($1) OR pg_partition_root(c.oid)::oid = ANY($1)
   UNION SELECT r.ev_class, shows.depth + 1 FROM shows
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = shows.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> shows.oid WHERE shows.depth < 64)
 SELECT n.nspname::text || '.' || c.relname::text, format('REFRESH MATERIALIZED VIEW %I.%I;', n.nspname, c.relname)
 FROM (SELECT oid, max(depth) AS depth FROM shows GROUP BY oid) s JOIN pg_class c ON c.oid = s.oid AND c.relkind = 'm'
  JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY s.depth, 1";

/// Rights in the order in which they are asked for: to read, and to write.
const RIGHTS_READ: &[&str] = &["SELECT"];
const RIGHTS_WRITTEN: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];

/// Whether no row can be inserted without a value for that column.
fn must_be_said(column: &Column) -> bool {
    column.not_null && column.default.is_none() && !column.is_generated() && column.identity.is_empty()
}

/// What one side is asked.
pub(super) struct Preflight<'a> {
    pub(super) client: &'a Client,
    pub(super) catalog: &'a Catalog,
    pub(super) side: Side,
    pub(super) subject: String,
    /// Whether triggers and foreign keys rest while this role writes.
    pub(super) is_replica: bool,
}

impl Preflight<'_> {
    /// Collects everything; a question that cannot be asked is a finding too.
    pub(super) async fn findings(&self) -> Vec<Finding> {
        let mut findings = self.of_the_catalog();
        let (server, rights) = (self.server().await, self.rights().await);
        let asked = [server, rights, self.sequences().await, self.firing().await, self.materialized().await];
        for found in asked {
            findings.extend(found.unwrap_or_else(|error| vec![self.finding(Level::Blocker, fault::chain(&error))]));
        }
        findings
    }

    fn finding(&self, level: Level, what: impl Into<String>) -> Finding {
        Finding::new(level, &self.subject, what)
    }

    fn of_the_catalog(&self) -> Vec<Finding> {
        let Catalog { tables, idle_patterns, empty_tables, uncovered, .. } = self.catalog;
        let mut findings = Vec::new();
        let mut add = |level, what: String| findings.push(self.finding(level, what));
        for pattern in idle_patterns {
            add(Level::Blocker, format!("no table matches {pattern}"));
        }
        for table in empty_tables {
            add(Level::Warning, format!("{table} has no columns and is not compared"));
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
        for table in tables.iter().filter(|table| table.is_unlogged) {
            add(Level::Warning, format!("{} is unlogged and is lost in a crash", table.name));
        }
        for key in self.half_named().filter(|_| self.side == Side::Primary) {
            let what = format!(
                "foreign key {} leads from {} to {}, and tables names only one of them",
                key.name, key.child_name, key.parent_quoted
            );
            findings.push(
                self.finding(Level::Warning, what).with_hint("name both, so that no row goes without its parent"),
            );
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
        let is_covered = |oid| self.catalog.tables.iter().any(|table| table.oid == oid);
        self.catalog.foreign_keys.iter().filter(move |key| !is_covered(key.child) || !is_covered(key.parent))
    }

    async fn server(&self) -> Result<Vec<Finding>> {
        let row = self.client.query_typed_one(SERVER, &[]).await;
        let row = row.map_err(|error| fault::store_error("cannot ask the server about itself", &error))?;
        let (role, version, is_standby, large_objects): (String, String, bool, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let mut findings = vec![self.finding(Level::Note, format!("PostgreSQL {version}, as role {role}"))];
        if is_standby && self.side == Side::Primary {
            let what = "the server is a standby, which takes no writes";
            findings
                .push(self.finding(Level::Blocker, what).with_hint("promote it, or name the server that is written"));
        }
        if large_objects > 0 {
            let what = format!("{large_objects} large objects are not compared and not replayed");
            findings.push(self.finding(Level::Warning, what).with_hint("bring them over with pg_dump --large-objects"));
        }
        Ok(findings)
    }

    async fn role(&self) -> Result<String> {
        let row = self.client.query_typed_one("SELECT quote_ident(current_user)", &[]).await;
        Ok(row.map_err(|error| fault::store_error("cannot ask for the role", &error))?.get(0))
    }

    async fn rights(&self) -> Result<Vec<Finding>> {
        let role = self.role().await?;
        let (mut findings, mut closed) = (Vec::new(), Vec::new());
        let covered = self.catalog.oids();
        // Children are looked for before a parent goes; parents by this program only where the server does not.
        let ends = |key: &ForeignKey| [Some(key.child), self.is_replica.then_some(key.parent)];
        let referred = self.half_named().filter(|_| self.side == Side::Primary).flat_map(ends).flatten();
        let referred: Vec<u32> = referred.filter(|oid| !covered.contains(oid)).collect();
        let writes = if self.side == Side::Primary { RIGHTS_WRITTEN } else { RIGHTS_READ };
        for (oids, needed) in [(covered, writes), (referred, RIGHTS_READ)] {
            let rows = self.client.query_typed(RIGHTS, &[(&oids, Type::OID_ARRAY)]).await;
            for row in &rows.map_err(|error| fault::store_error("cannot ask for rights", &error))? {
                let schema: String = row.get(2);
                if !row.get::<_, bool>(3) && !closed.contains(&schema) {
                    findings.push(self.closed_schema(&schema, &role));
                    closed.push(schema);
                }
                findings.extend(self.rights_of(row, &role, needed));
            }
        }
        Ok(findings)
    }

    fn closed_schema(&self, schema: &str, role: &str) -> Finding {
        let what = format!("role {role} may not use schema {schema}");
        self.finding(Level::Blocker, what).with_hint(format!("GRANT USAGE ON SCHEMA {schema} TO {role};"))
    }

    fn rights_of(&self, row: &Row, role: &str, needed: &[&'static str]) -> Vec<Finding> {
        let (name, quoted): (String, String) = (row.get(0), row.get(1));
        let rights = needed.iter().copied().enumerate();
        let missing: Vec<&str> = rights.filter(|(at, _)| !row.get::<_, bool>(5 + at)).map(|(_, right)| right).collect();
        let mut findings = Vec::new();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let finding = self.finding(Level::Blocker, format!("role {role} has no {missing} on {name}"));
            findings.push(finding.with_hint(format!("GRANT {missing} ON {quoted} TO {role};")));
        }
        if row.get(4) {
            let finding =
                self.finding(Level::Blocker, format!("row security of {name} would hide rows from role {role}"));
            findings.push(finding.with_hint(format!("ALTER ROLE {role} BYPASSRLS; or be the owner of {quoted}")));
        }
        findings
    }

    async fn sequences(&self) -> Result<Vec<Finding>> {
        let role = self.role().await?;
        let (mut findings, mut closed, mut uncovered) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in counters::list(self.client, self.catalog).await? {
            let schema = sequence.quoted_schema();
            let is_table_schema = self.catalog.tables.iter().any(|table| sequence.is_in(&table.schema));
            if !sequence.is_covered {
                uncovered.push(sequence.name);
                continue;
            }
            // The schemas of tables are told with the tables.
            if !sequence.may_use_schema && !is_table_schema && !closed.contains(&schema) {
                findings.push(self.closed_schema(&schema, &role));
                closed.push(schema);
            }
            let may_raise = sequence.may_raise || self.side != Side::Primary;
            let missing = match (sequence.may_read, may_raise) {
                (true, true) => continue,
                (false, true) => "SELECT",
                (true, false) => "UPDATE",
                (false, false) => "SELECT, UPDATE",
            };
            let finding =
                self.finding(Level::Blocker, format!("role {role} has no {missing} on sequence {}", sequence.name));
            findings.push(finding.with_hint(format!("GRANT {missing} ON SEQUENCE {} TO {role};", sequence.quoted)));
        }
        if self.side == Side::Dr && !uncovered.is_empty() {
            let what =
                format!("no column of a named table takes its numbers from these sequences: {}", listed(&uncovered));
            let hint =
                "they are not raised on the primary: if the application asks them by itself, raise them with setval";
            findings.push(self.finding(Level::Warning, what).with_hint(hint));
        }
        Ok(findings)
    }

    /// What shows the rows of before until somebody refreshes it.
    async fn materialized(&self) -> Result<Vec<Finding>> {
        if self.side != Side::Primary {
            return Ok(Vec::new());
        }
        let rows = self.client.query_typed(MATERIALIZED, &[(&self.catalog.oids(), Type::OID_ARRAY)]).await;
        let rows = rows.map_err(|error| fault::store_error("cannot ask for materialized views", &error))?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let refreshing: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
        let what = format!("materialized views that show the rows of before a replay: {}", listed(&names));
        let hint = format!("after the final pass: {}", refreshing.join(" "));
        Ok(vec![self.finding(Level::Warning, what).with_hint(hint)])
    }

    /// What would run by itself while rows are written.
    async fn firing(&self) -> Result<Vec<Finding>> {
        if self.side != Side::Primary {
            return Ok(Vec::new());
        }
        let states: &[&str] = if self.is_replica { &["A", "R"] } else { &["A", "O"] };
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.catalog.oids(), Type::OID_ARRAY), (&states, Type::TEXT_ARRAY)];
        let rows = self.client.query_typed(FIRING, &params).await;
        let rows = rows.map_err(|error| fault::store_error("cannot ask for triggers", &error))?;
        let mut findings = Vec::new();
        for row in &rows {
            let (table, quoted, kind, name): (String, String, String, String) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let quoted_name = super::names::quoted(&name);
            let disable = format!("ALTER TABLE {quoted} DISABLE {} {quoted_name};", kind.to_uppercase());
            let (why, hint) = match self.is_replica {
                true => {
                    ("it is enabled for replicas too", format!("{disable} and enable it as it was after the cutover"))
                }
                false => (
                    "this role cannot keep it from doing so",
                    format!("GRANT SET ON PARAMETER session_replication_role TO {}; or {disable}", self.role().await?),
                ),
            };
            let what = format!("{kind} {name} of {table} fires when a replay writes: {why}");
            findings.push(self.finding(Level::Warning, what).with_hint(hint));
        }
        Ok(findings)
    }
}
