//! The change log of a logical replication slot: which rows were touched, without reading tables.
//!
//! The slot is only looked into, never moved on, so that it may be read again and by others. Where the log stands is told by a
//! snapshot and not by a position in it: a transaction is in the log a moment before readers see it, and a scan that falls
//! between would miss it. Whatever the slot cannot tell in full, a table altered or left out, a slot moved on or made anew, is
//! a gap. Sources: "Logical Decoding" and "System Administration Functions" in PostgreSQL's documentation.

mod message;
mod slot;
mod snapshot;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use self::message::{Before, Message, RowChange, Told};
use self::slot::{Slot, Unfit, unreadable};
use self::snapshot::Snapshot;
use super::catalog::{Catalog, Table};
use super::row::{self, ReadRow};
use super::{PostgresStore, catalog, fault, names};
use crate::model::{Key, Timestamp};
use crate::store::{ChangeRecord, ChangeSet, Changes, Finding, History, Image, Level, LogMark, LogStart, Result};

/// Records of one reading. Beyond it a scan costs less than reading the touched rows one by one, and memory stays bounded.
const RECORDS_MAX: u64 = 400_000;

/// How often is looked whether the server has written its log to stable storage; its own writer does so five times a second.
const FLUSH_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks until it counts as not written: ten seconds of them.
const FLUSH_LOOKS_MAX: u32 = 200;

/// Kept log from which on a preflight warns that a slot fills the disk.
const KEPT_BYTES_MUCH: i64 = 10 << 30;

/// Which slot of a server is read, and for which publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogName {
    pub(super) slot: String,
    pub(super) publication: String,
}

/// Where a mark stands.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    /// What readers saw then.
    snapshot: String,
}

/// What a reading of the slot found, before it becomes the answer that was asked for.
struct ReadLog {
    keys: BTreeMap<Key, Vec<ChangeRecord>>,
    /// When the first transaction that it still has was committed.
    begins_at: Option<Timestamp>,
}

impl PostgresStore {
    /// Where the slot's log stands now.
    pub(super) async fn start_of_log(&self, now: Timestamp) -> Result<LogStart> {
        let Some(name) = &self.log else { return Ok(LogStart::NoLog(NO_SLOT.into())) };
        let lease = self.pool.lease().await?;
        let catalog = catalog::load(&lease, &self.covered).await?;
        let start = match open(&lease, &catalog, name).await? {
            Err(why) => LogStart::NoLog(why),
            Ok(slot) => LogStart::Mark(mark(name, &slot, now, slot::now(&lease).await?.0)),
        };
        lease.give_back();
        Ok(start)
    }

    /// What was committed since a mark of this very slot.
    pub(super) async fn changes_in_log(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        let Some(name) = &self.log else { return Ok(Changes::NoLog(NO_SLOT.into())) };
        let lease = self.pool.lease().await?;
        let catalog = catalog::load(&lease, &self.covered).await?;
        let slot = match open(&lease, &catalog, name).await? {
            Err(why) => return Ok(Changes::NoLog(why)),
            Ok(slot) if log_of(name, &slot) != since.log => {
                let what = format!("the replication slot {} was moved on or made anew since", name.slot);
                return Ok(Changes::Gap(what));
            }
            Ok(slot) => slot,
        };
        let seen = seen_at(since)?;
        if let Some(why) = altered(&lease, &catalog, name, |xid| !seen.sees(xid)).await? {
            return Ok(Changes::Gap(why));
        }
        let (until, end) = slot::now(&lease).await?;
        if !is_flushed_in_time(&lease, &end).await? {
            return Ok(Changes::Gap("the server does not write its log to stable storage in time".into()));
        }
        let read = match read(&lease, &catalog, name, Some(&seen)).await? {
            Err(why) => return Ok(Changes::Gap(why)),
            Ok(read) => read,
        };
        lease.give_back();
        Ok(Changes::All(ChangeSet { keys: read.keys, until: mark(name, &slot, now, until) }))
    }

    /// Everything that the slot has not given up.
    pub(super) async fn history_of_log(&self, now: Timestamp) -> Result<History> {
        let nothing = |changes| Ok(History { whole_since: None, changes });
        let Some(name) = &self.log else { return nothing(Changes::NoLog(NO_SLOT.into())) };
        let lease = self.pool.lease().await?;
        let catalog = catalog::load(&lease, &self.covered).await?;
        let slot = match open(&lease, &catalog, name).await? {
            Err(why) => return nothing(Changes::NoLog(why)),
            Ok(slot) => slot,
        };
        let Some(known_from) = slot.catalog_xmin else {
            return nothing(Changes::Gap(format!("the replication slot {} does not tell where it begins", name.slot)));
        };
        // Numbers of transactions go round.
        let is_later = |xid: u32| xid.wrapping_sub(known_from) as i32 >= 0;
        if let Some(why) = altered(&lease, &catalog, name, is_later).await? {
            return nothing(Changes::Gap(why));
        }
        let (until, end) = slot::now(&lease).await?;
        if !is_flushed_in_time(&lease, &end).await? {
            return nothing(Changes::Gap("the server does not write its log to stable storage in time".into()));
        }
        let read = match read(&lease, &catalog, name, None).await? {
            Err(why) => return nothing(Changes::Gap(why)),
            Ok(read) => read,
        };
        lease.give_back();
        let set = ChangeSet { keys: read.keys, until: mark(name, &slot, now, until) };
        Ok(History { whole_since: read.begins_at, changes: Changes::All(set) })
    }

    /// What an operator should know of the slot.
    pub(super) async fn log_findings(&self, client: &Client) -> Result<Vec<Finding>> {
        let Some(name) = &self.log else { return Ok(Vec::new()) };
        let subject = self.subject();
        let catalog = catalog::load(client, &self.covered).await?;
        Ok(vec![match open(client, &catalog, name).await? {
            Err(why) => {
                let what = format!("passes while dr is live read everything: {why}");
                let hint = format!(
                    "CREATE PUBLICATION {} FOR ALL TABLES; SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
                    names::quoted(&name.publication),
                    name.slot
                );
                Finding::new(Level::Warning, subject, what).with_hint(hint)
            }
            Ok(slot) if slot.kept_bytes > KEPT_BYTES_MUCH || slot.wal_status != "reserved" => {
                let what = format!(
                    "the replication slot {} keeps {} MiB of the server's log, which is {} (max_slot_wal_keep_size {})",
                    name.slot,
                    slot.kept_bytes >> 20,
                    slot.wal_status,
                    slot.keep_max
                );
                let hint = format!(
                    "watch the server's disk; once customers are home: SELECT pg_drop_replication_slot('{}')",
                    name.slot
                );
                Finding::new(Level::Warning, subject, what).with_hint(hint)
            }
            Ok(_) => {
                let what =
                    format!("passes while dr is live read what replication slot {} tells was changed", name.slot);
                Finding::new(Level::Note, subject, what)
            }
        }])
    }
}

const NO_SLOT: &str = "the profile names no replication slot";

/// The slot, where everything that is covered can be followed by it.
async fn open(client: &Client, catalog: &Catalog, name: &LogName) -> Result<std::result::Result<Slot, Unfit>> {
    let slot = match slot::slot(client, &name.slot).await? {
        Err(why) => return Ok(Err(why)),
        Ok(slot) => slot,
    };
    Ok(match slot::unfit(client, catalog, &name.publication).await? {
        Some(why) => Err(why),
        None => Ok(slot),
    })
}

/// What was defined anew by a transaction of which `is_later` is true, in words.
async fn altered(
    client: &Client,
    catalog: &Catalog,
    name: &LogName,
    is_later: impl Fn(u32) -> bool,
) -> Result<Option<Unfit>> {
    let definitions = slot::definitions(client, catalog, &name.publication).await?;
    let newer = definitions.into_iter().find(|definition| is_later(definition.xid));
    Ok(newer.map(|definition| format!("{} was altered since", definition.name)))
}

/// What tells the slot from one that was moved on or made anew.
fn log_of(name: &LogName, slot: &Slot) -> String {
    format!("slot {} from {}, publication {}", name.slot, slot.begins_at, name.publication)
}

fn mark(name: &LogName, slot: &Slot, at: Timestamp, snapshot: String) -> LogMark {
    LogMark { log: log_of(name, slot), at, position: json!(Position { snapshot }) }
}

/// What readers saw at a mark.
fn seen_at(mark: &LogMark) -> Result<Snapshot> {
    let what = "a mark in a replication slot";
    let position: Position = serde_json::from_value(mark.position.clone()).map_err(|error| unreadable(what, error))?;
    position.snapshot.parse().map_err(|error| unreadable(what, error))
}

async fn is_flushed_in_time(client: &Client, position: &str) -> Result<bool> {
    for _ in 0..FLUSH_LOOKS_MAX {
        if slot::is_flushed(client, position).await? {
            return Ok(true);
        }
        sleep(FLUSH_LOOK_EVERY).await;
    }
    Ok(false)
}

/// Reads what the slot has; transactions that `seen` sees are left out. Where it says why not, the connection is amid a reply.
async fn read(
    client: &Client,
    catalog: &Catalog,
    name: &LogName,
    seen: Option<&Snapshot>,
) -> Result<std::result::Result<ReadLog, Unfit>> {
    let failed = |error| fault::store_error(format!("cannot read the replication slot {}", name.slot), &error);
    client.batch_execute("BEGIN READ ONLY; SET LOCAL statement_timeout = 0").await.map_err(failed)?;
    let sql = "SELECT data FROM pg_logical_slot_peek_binary_changes($1::text::name, NULL, NULL,
      'proto_version', '1', 'publication_names', $2::text)";
    let publication = names::quoted(&name.publication);
    let parameters = [(&name.slot, Type::TEXT), (&publication, Type::TEXT)];
    let rows = client.query_typed_raw(sql, parameters).await.map_err(failed)?;
    let mut rows = pin!(rows);
    let mut reader = Reader::new(catalog, seen);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let message = message::message(row.get(0)).map_err(|error| unreadable("a replication slot", error))?;
        if let Err(why) = reader.take(message) {
            return Ok(Err(why));
        }
    }
    client.batch_execute("ROLLBACK").await.map_err(failed)?;
    Ok(Ok(reader.read))
}

/// A table's columns, as messages give them, by their place in the catalog.
struct Columns {
    table: Arc<Table>,
    /// For every column of the catalog its place in a message, where it has one.
    places: Vec<Option<usize>>,
}

/// Folds messages into records.
struct Reader<'a> {
    by_oid: HashMap<u32, &'a Arc<Table>>,
    seen: Option<&'a Snapshot>,
    tables: HashMap<u32, Columns>,
    /// When the transaction under way was committed; `None` where it is left out.
    at: Option<Timestamp>,
    records: u64,
    read: ReadLog,
}

impl<'a> Reader<'a> {
    fn new(catalog: &'a Catalog, seen: Option<&'a Snapshot>) -> Reader<'a> {
        Reader {
            by_oid: catalog.tables.iter().map(|table| (table.oid, table)).collect(),
            seen,
            tables: HashMap::new(),
            at: None,
            records: 0,
            read: ReadLog { keys: BTreeMap::new(), begins_at: None },
        }
    }

    fn take(&mut self, message: Message) -> std::result::Result<(), Unfit> {
        match message {
            Message::Begin { committed_at, xid } => {
                let at = Timestamp::from_microsecond(committed_at).map_err(|_| "a time beyond all times".to_owned())?;
                self.read.begins_at = self.read.begins_at.or(Some(at));
                self.at = Some(at).filter(|_| !self.seen.is_some_and(|seen| seen.sees(xid)));
            }
            Message::Table { oid, columns } => {
                if let Some(&table) = self.by_oid.get(&oid) {
                    let place = |name: &str| columns.iter().position(|column| column == name);
                    let places = (0..table.columns.len()).map(|at| table.own_name(at).and_then(place)).collect();
                    self.tables.insert(oid, Columns { table: table.clone(), places });
                }
            }
            Message::Row { oid, change } => {
                let (Some(columns), Some(at)) = (self.tables.get(&oid), self.at) else { return Ok(()) };
                let untold = || format!("a change of {} does not tell its key", columns.table.name);
                for (key, record) in columns.records(change, at).ok_or_else(untold)? {
                    self.records += 1;
                    if self.records > RECORDS_MAX {
                        return Err(format!("more than {RECORDS_MAX} changes: reading the tables takes less"));
                    }
                    self.read.keys.entry(key).or_default().push(record);
                }
            }
            Message::Truncate { oids } if self.at.is_some() => {
                if let Some(table) = oids.iter().find_map(|oid| self.by_oid.get(oid)) {
                    return Err(format!("table {} was truncated", table.name));
                }
            }
            Message::Truncate { .. } | Message::Other => {}
        }
        Ok(())
    }
}

impl Columns {
    /// What a change is to the keys that it touches; `None` where a key is not told.
    fn records(&self, change: RowChange, at: Timestamp) -> Option<Vec<(Key, ChangeRecord)>> {
        let record = |before, after| ChangeRecord { at: Some(at), before, after, by_expiry: false };
        Some(match change {
            RowChange::Insert(after) => vec![(self.key(&after)?, record(Image::Absent, self.image(&after)))],
            RowChange::Delete(Before::Key(key)) => vec![(self.key(&key)?, record(Image::Untold, Image::Absent))],
            RowChange::Delete(Before::Row(row)) => vec![(self.key(&row)?, record(self.image(&row), Image::Absent))],
            RowChange::Update(before, after) => {
                let (key, image) = (self.key(&after)?, self.image(&after));
                let (old_key, old_image) = match before {
                    None => (key.clone(), Image::Untold),
                    Some(Before::Key(old)) => (self.key(&old)?, Image::Untold),
                    Some(Before::Row(old)) => (self.key(&old)?, self.image(&old)),
                };
                match old_key == key {
                    true => vec![(key, record(old_image, image))],
                    // The row went from one key to another, which no other row can have had.
                    false => vec![(old_key, record(old_image, Image::Absent)), (key, record(Image::Absent, image))],
                }
            }
        })
    }

    fn told(&self, values: &[Told], column: usize) -> Option<Option<String>> {
        match values.get((*self.places.get(column)?)?)? {
            Told::Null => Some(None),
            Told::Text(text) => Some(Some(text.clone())),
            Told::Untold => None,
        }
    }

    fn key(&self, values: &[Told]) -> Option<Key> {
        row::key_of_texts(&self.table, |column| self.told(values, column))
    }

    fn image(&self, values: &[Told]) -> Image {
        let texts: Option<Vec<_>> = (0..self.table.columns.len()).map(|column| self.told(values, column)).collect();
        let row = texts.and_then(|texts| ReadRow::new(&self.table, texts).ok());
        row.map_or(Image::Untold, |row| Image::Present(row.item(&self.table).digest))
    }
}
