//! The slot and its publication: what they are, and whether everything that is covered can be followed by them.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::catalog::{Catalog, Table};
use super::super::fault;
use crate::store::{ErrorKind, Result, StoreError};

/// A slot as the server describes it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// Where it begins: it gives every transaction that was committed after this, and none before.
    pub(super) begins_at: String,
    /// Transactions from this one on are known to the slot, with what tables looked like then.
    pub(super) catalog_xmin: Option<u32>,
    /// Bytes of the write-ahead log that are kept for it.
    pub(super) kept_bytes: i64,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(super) wal_status: String,
    /// The most that may be kept, in words; `-1` is without end.
    pub(super) keep_max: String,
}

const SLOT: &str = "SELECT plugin::text, slot_type::text, database::text = current_database(), wal_status::text,
  confirmed_flush_lsn::text, catalog_xmin::text::bigint,
  pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, current_setting('max_slot_wal_keep_size')
 FROM pg_replication_slots WHERE slot_name = $1";

const PUBLICATION: &str =
    "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication WHERE pubname = $1";

// The filter's column came with PostgreSQL 15.
const PUBLISHED: &str = "SELECT t.schemaname || '.' || t.tablename, to_jsonb(t) ->> 'rowfilter' IS NOT NULL
 FROM pg_publication_tables t WHERE t.pubname = $1";

const IDENTITIES: &str = "SELECT oid, relreplident::text FROM pg_class WHERE oid = ANY($1)";

/// Why a log cannot be followed, in words.
pub(super) type Unfit = String;

/// The slot, where it is one that can be read here; otherwise why not.
pub(super) async fn slot(client: &Client, name: &str) -> Result<std::result::Result<Slot, Unfit>> {
    let failed = |error| fault::store_error(format!("cannot look at the replication slot {name}"), &error);
    let standby = client.query_typed_one("SELECT pg_is_in_recovery()", &[]).await.map_err(failed)?;
    if standby.get(0) {
        return Ok(Err("the server is a standby, whose slots tell less than what can be read there".into()));
    }
    let rows = client.query_typed(SLOT, &[(&name, Type::TEXT)]).await.map_err(failed)?;
    let Some(row) = rows.first() else { return Ok(Err(format!("there is no replication slot {name}"))) };
    let (plugin, kind, is_here): (Option<String>, String, Option<bool>) = (row.get(0), row.get(1), row.get(2));
    if kind != "logical" || plugin.as_deref() != Some("pgoutput") || is_here != Some(true) {
        return Ok(Err(format!(
            "the replication slot {name} is not a logical one of this database with plugin pgoutput"
        )));
    }
    let wal_status: Option<String> = row.get(3);
    let wal_status = wal_status.unwrap_or_else(|| "lost".into());
    let begins_at: Option<String> = row.get(4);
    match begins_at {
        Some(begins_at) if wal_status != "lost" => Ok(Ok(Slot {
            begins_at,
            catalog_xmin: row.get::<_, Option<i64>>(5).and_then(|xid| u32::try_from(xid).ok()),
            kept_bytes: row.get::<_, Option<i64>>(6).unwrap_or_default(),
            wal_status,
            keep_max: row.get(7),
        })),
        _ => Ok(Err(format!("the server no longer keeps what the replication slot {name} has not given"))),
    }
}

/// Why not every change of every covered table goes through the publication with its key; `None` when it does.
pub(super) async fn unfit(client: &Client, catalog: &Catalog, publication: &str) -> Result<Option<Unfit>> {
    let failed = |error| fault::store_error(format!("cannot look at the publication {publication}"), &error);
    let ask = async |sql: &str| client.query_typed(sql, &[(&publication, Type::TEXT)]).await.map_err(failed);
    match ask(PUBLICATION).await?.first().map(|row| row.get::<_, bool>(0)) {
        None => return Ok(Some(format!("there is no publication {publication}"))),
        Some(false) => {
            return Ok(Some(format!(
                "the publication {publication} leaves out inserts, updates, deletes or truncates"
            )));
        }
        Some(true) => {}
    }
    let rows = ask(PUBLISHED).await?;
    let published: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let oids = catalog.oids();
    let rows = client.query_typed(IDENTITIES, &[(&oids, Type::OID_ARRAY)]).await.map_err(failed)?;
    let identities: Vec<(u32, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let identity_of =
        |table: &Table| identities.iter().find(|(oid, _)| *oid == table.oid).map(|(_, word)| word.as_str());
    Ok(catalog.tables.iter().find_map(|table| {
        let why = match published.iter().find(|(name, _)| *name == table.name) {
            // What is done to a partition's whole contents leaves no trace in the log of the root.
            _ if table.is_partitioned => "is partitioned: a partition that is emptied or detached is in no log",
            _ if table.is_unlogged => "is not logged",
            _ if table.view.as_ref().is_some_and(|view| view.is_key_computed) => {
                "has a key that the mapping computes, which no log tells"
            }
            _ if table.key.is_empty() => "has no primary key",
            _ if !matches!(identity_of(table), Some("d" | "f")) => "has a replica identity that is not its primary key",
            _ if table.is_key_deferrable => "has a deferrable primary key",
            None => "is not in the publication",
            Some((_, true)) => "is in the publication with a row filter",
            Some((_, false)) => return None,
        };
        Some(format!("table {} {why}", table.name))
    }))
}

/// A definition, by its name for people, and the transaction that wrote it.
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) xid: u32,
}

/// Numbers below this are no transactions: what they wrote is older than all.
const FIRST_XID: i64 = 3;

const DEFINITIONS: &str = "SELECT 'table ' || oid::regclass::text, xmin::text::bigint FROM pg_class WHERE oid = ANY($1)
 UNION ALL SELECT 'table ' || attrelid::regclass::text, xmin::text::bigint FROM pg_attribute
  WHERE attrelid = ANY($1) AND attnum > 0
 UNION ALL SELECT 'publication ' || pubname, xmin::text::bigint FROM pg_publication WHERE pubname = $2
 UNION ALL SELECT 'publication ' || p.pubname, r.xmin::text::bigint FROM pg_publication_rel r
  JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $2";

/// What defines the covered tables, their columns and the publication. Where one is new, tables were altered, truncated or
/// rewritten, or went into the publication: changes from before may mean something else, or lack rows.
pub(super) async fn definitions(client: &Client, catalog: &Catalog, publication: &str) -> Result<Vec<Definition>> {
    let (oids, failed) = (catalog.oids(), |error| fault::store_error("cannot ask when tables were altered", &error));
    let parameters = [(&oids as _, Type::OID_ARRAY), (&publication as _, Type::TEXT)];
    let rows = client.query_typed(DEFINITIONS, &parameters).await.map_err(failed)?;
    let told = rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, i64>(1)));
    let written = told.filter(|(_, xid)| *xid >= FIRST_XID);
    Ok(written.filter_map(|(name, xid)| Some(Definition { name, xid: u32::try_from(xid).ok()? })).collect())
}

/// The snapshot of now, and the end of what was written to the log by now.
pub(super) async fn now(client: &Client) -> Result<(String, String)> {
    let failed = |error| fault::store_error("cannot take a snapshot", &error);
    let sql = "SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text";
    let row = client.query_typed_one(sql, &[]).await.map_err(failed)?;
    Ok((row.get(0), row.get(1)))
}

/// Whether the log is on stable storage up to that position: what is not is given by no slot yet.
pub(super) async fn is_flushed(client: &Client, position: &str) -> Result<bool> {
    let failed = |error| fault::store_error("cannot ask how far the log is written", &error);
    let sql = "SELECT pg_current_wal_flush_lsn() >= $1::text::pg_lsn";
    Ok(client.query_typed_one(sql, &[(&position, Type::TEXT)]).await.map_err(failed)?.get(0))
}

/// A reply that should not be.
pub(super) fn unreadable(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::caused(ErrorKind::Unreadable, what.to_owned(), error)
}
