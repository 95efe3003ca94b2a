//! The change log of a binary log: which rows were touched, without reading tables.
//!
//! It is read as a replica reads it, over a connection of its own that ends where the log does, and never altered. Of rows only
//! the keys are taken out. Whatever it cannot tell in full is a gap: a file that is gone or made anew, a definition, a statement
//! instead of rows, what is compressed or not known. Not seen at all is what a session leaves out of the log (`sql_log_bin = 0`).
//! Sources: "Binary Log" and "Replication Protocol" in MariaDB's documentation, "START TRANSACTION" for what a snapshot sees of it.

mod event;
mod gtid;
mod reader;
mod server;
mod statement;
mod stream;
mod value;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use mysql_async::Conn;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::reader::{Reader, Touch};
use self::server::{Place, Server, Standing, Unfit};
use self::stream::Log;
use super::connect::Flavour;
use super::{MysqlStore, catalog, reach_of};
use crate::model::{Key, Timestamp};
use crate::store::{
    ChangeRecord, ChangeSet, Changes, ErrorKind, Finding, History, Image, Level, LogMark, LogStart, Result, StoreError,
};

/// How long a statement may take, its commit included, before it counts as one that was committed when it began. A log tells
/// when statements began.
const STATEMENT_MAX: SignedDuration = SignedDuration::from_hours(1);

/// A log that is kept for less is gone before a pass of a large database ends.
const KEPT_SECONDS_MIN: u64 = 24 * 3600;

const TORN: &str = "the server ended at once, and its log may lack what it committed last (sync_binlog is not 1)";

const NO_BINLOG: &str = "the profile does not say that the binary log is to be followed";

/// Where a mark stands.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    file: String,
    position: u64,
    /// What was seen of what comes after, as MySQL tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<String>,
}

/// A reading that goes up to where the log stood when it was begun.
struct Reading {
    server: Server,
    catalog: catalog::Catalog,
    layouts: std::collections::HashMap<String, reader::Layout>,
    until: Standing,
    is_now: Option<String>,
}

impl MysqlStore {
    /// Where the binary log stands now.
    pub(super) async fn start_of_log(&self, now: Timestamp) -> Result<LogStart> {
        if !self.is_followed {
            return Ok(LogStart::NoLog(NO_BINLOG.into()));
        }
        let mut lease = self.pool.lease().await?;
        let start = match self.standing(&mut lease).await? {
            Err(why) => LogStart::NoLog(why),
            Ok((server, until)) => match self.open_log(&server, until.from.clone()).await? {
                Err(why) => LogStart::NoLog(why),
                Ok(log) => LogStart::Mark(mark(&server, &until, log.course.begun, now)),
            },
        };
        lease.give_back();
        Ok(start)
    }

    /// What was committed since a mark of this very log.
    pub(super) async fn changes_in_log(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        let reading = match self.begin_reading().await? {
            Err(why) => return Ok(Changes::NoLog(why)),
            Ok(reading) => reading,
        };
        let unreadable = |error| StoreError::caused(ErrorKind::Unreadable, "a mark in a binary log", error);
        let Position { file, position, seen } = serde_json::from_value(since.position.clone()).map_err(unreadable)?;
        let seen = seen.map(|seen| server::gtids(&seen)).transpose()?;
        if let (Some(seen), Some(is_now)) = (&seen, &reading.is_now)
            && !seen.is_within(&server::gtids(is_now)?)
        {
            return Ok(Changes::Gap("the binary log was reset since".into()));
        }
        let mut log = match self.open_log(&reading.server, Place { file, position }).await? {
            Err(why) => return Ok(Changes::Gap(why)),
            Ok(log) => log,
        };
        if log_of(&reading.server, &log.course.place.file, log.course.begun) != since.log {
            return Ok(Changes::Gap(format!("binary log {} was made anew since", log.course.place.file)));
        }
        let mut reader = Reader::new(&reading.catalog.database, &reading.layouts, seen.as_ref());
        let begun = match read(&mut log, &mut reader, &reading, |_, why| Err(why)).await? {
            Err(why) => return Ok(Changes::Gap(why)),
            Ok(begun) => begun,
        };
        let record = |touch: &Touch| vec![touch.record(touch.begun)];
        let keys = records(&reader.keys, record);
        Ok(Changes::All(ChangeSet { keys, until: mark(&reading.server, &reading.until, begun, now) }))
    }

    /// Everything that the server still has, after the last thing of which it cannot tell all.
    pub(super) async fn history_of_log(&self, now: Timestamp) -> Result<History> {
        let nothing = |changes| Ok(History { whole_since: None, changes });
        let reading = match self.begin_reading().await? {
            Err(why) => return nothing(Changes::NoLog(why)),
            Ok(reading) => reading,
        };
        let mut lease = self.pool.lease().await?;
        let first = match reading.server.first_file(&mut lease).await? {
            Err(why) => return nothing(Changes::NoLog(why)),
            Ok(first) => first,
        };
        lease.give_back();
        let mut log = match self.open_log(&reading.server, first).await? {
            Err(why) => return nothing(Changes::Gap(why)),
            Ok(log) => log,
        };
        let mut since = log.course.begun;
        let mut reader = Reader::new(&reading.catalog.database, &reading.layouts, None);
        let forget = |reader: &mut Reader<'_>, _why: Unfit| {
            reader.forget();
            since = since.max(reader.latest);
            Ok(())
        };
        let begun = match read(&mut log, &mut reader, &reading, forget).await? {
            Err(why) => return nothing(Changes::Gap(why)),
            Ok(begun) => begun,
        };
        let set = ChangeSet {
            keys: records(&reader.keys, Touch::at_both_ends),
            until: mark(&reading.server, &reading.until, begun, now),
        };
        Ok(History { whole_since: instant(since).map(later), changes: Changes::All(set) })
    }

    /// What an operator should know of the binary log.
    pub(super) async fn log_findings(&self, conn: &mut Conn) -> Result<Vec<Finding>> {
        if !self.is_followed {
            return Ok(Vec::new());
        }
        let subject = self.subject();
        let opened = match self.standing(conn).await? {
            Err(why) => Err(why),
            Ok((server, until)) => self.open_log(&server, until.from).await?.map(|_| server),
        };
        Ok(vec![match opened {
            Err(why) => {
                let what = format!("passes while dr is live read everything: {why}");
                Finding::new(Level::Warning, subject, what)
            }
            Ok(server) => match server.kept_seconds().filter(|seconds| *seconds < KEPT_SECONDS_MIN) {
                Some(seconds) => {
                    let what = format!(
                        "the binary log is followed, and kept for {seconds} seconds only: a pass after that reads everything"
                    );
                    Finding::new(Level::Warning, subject, what).with_hint(self.keep_longer(server.flavour))
                }
                None => {
                    let what = "passes while dr is live read what the binary log tells was changed";
                    let finding = Finding::new(Level::Note, subject, what);
                    if self.is_on_rds() { finding.with_hint(KEEP_ON_RDS) } else { finding }
                }
            },
        }])
    }

    fn is_on_rds(&self) -> bool {
        self.pool.target.rds_id.is_some() || self.pool.target.place.contains(".rds.amazonaws.com")
    }

    fn keep_longer(&self, flavour: Flavour) -> &'static str {
        match flavour {
            _ if self.is_on_rds() => KEEP_ON_RDS,
            Flavour::MariaDb => "SET GLOBAL expire_logs_days = 7;",
            Flavour::MySql => "SET GLOBAL binlog_expire_logs_seconds = 604800;",
        }
    }

    /// The server and where its log stands, where everything that is covered can be followed by it.
    async fn standing(&self, conn: &mut Conn) -> Result<std::result::Result<(Server, Standing), Unfit>> {
        let catalog = catalog::load(conn, &self.covered, reach_of(self.side)).await?;
        let server = Server::ask(conn).await?;
        if let Some(why) = server.unfit(conn, &catalog).await? {
            return Ok(Err(why));
        }
        Ok(server.standing(conn).await?.map(|until| (server, until)))
    }

    async fn begin_reading(&self) -> Result<std::result::Result<Reading, Unfit>> {
        if !self.is_followed {
            return Ok(Err(NO_BINLOG.into()));
        }
        let mut lease = self.pool.lease().await?;
        // Read before it is asked where the log stands: what is defined anew after it is in the log by then.
        let catalog = catalog::load(&mut lease, &self.covered, reach_of(self.side)).await?;
        let layouts = reader::layouts(&mut lease, &catalog).await?;
        let (server, until) = match self.standing(&mut lease).await? {
            Err(why) => return Ok(Err(why)),
            Ok(standing) => standing,
        };
        let is_now = match server.flavour {
            Flavour::MariaDb => None,
            Flavour::MySql => Some(server::executed(&mut lease).await?),
        };
        lease.give_back();
        Ok(Ok(Reading { server, catalog, layouts, until, is_now }))
    }

    async fn open_log(&self, server: &Server, from: Place) -> Result<std::result::Result<Log, Unfit>> {
        Log::open(&self.pool.target, server.flavour, from).await
    }
}

const KEEP_ON_RDS: &str =
    "CALL mysql.rds_set_configuration('binlog retention hours', 24); RDS removes files earlier without it";

/// What tells a log from one that was made anew, or is another server's.
fn log_of(server: &Server, file: &str, begun: u32) -> String {
    format!("binary log {file} of server {}, begun at {begun}", server.name())
}

fn mark(server: &Server, standing: &Standing, begun: u32, at: Timestamp) -> LogMark {
    let Standing { from, seen, end: _ } = standing.clone();
    let log = log_of(server, &from.file, begun);
    LogMark { log, at, position: json!(Position { file: from.file, position: from.position, seen }) }
}

/// Reads up to where the log stood, and tells when the file was begun in which the next reading begins. What the reader cannot
/// tell is for `gap` to decide on.
async fn read(
    log: &mut Log,
    reader: &mut Reader<'_>,
    reading: &Reading,
    mut gap: impl FnMut(&mut Reader<'_>, Unfit) -> std::result::Result<(), Unfit>,
) -> Result<std::result::Result<u32, Unfit>> {
    let (Standing { from, seen: _, end }, mut begun) = (&reading.until, None);
    loop {
        let place = &log.course.place;
        if log.course.begun != 0 {
            begun = begun.or((place.file == from.file).then_some(log.course.begun));
            if place.file == end.file && place.position >= end.position {
                break;
            }
        }
        let event = match log.next().await? {
            Err(why) => return Ok(Err(why)),
            Ok(None) => return Ok(Err(format!("the server does not give its binary log up to {}", end.file))),
            Ok(Some(event)) => event,
        };
        let is_torn = std::mem::take(&mut log.course.is_torn) && !reading.server.is_synced();
        let torn = if is_torn { Err(TORN.to_owned()) } else { Ok(()) };
        for taken in [torn, reader.take(&event)] {
            if let Err(why) = taken.or_else(|why| gap(reader, why)) {
                return Ok(Err(why));
            }
        }
    }
    reader.commit();
    Ok(begun.ok_or_else(|| format!("the server does not give {}", from.file)))
}

fn records(
    keys: &BTreeMap<Key, Vec<Touch>>,
    records: impl Fn(&Touch) -> Vec<ChangeRecord>,
) -> BTreeMap<Key, Vec<ChangeRecord>> {
    keys.iter().map(|(key, touches)| (key.clone(), touches.iter().flat_map(&records).collect())).collect()
}

fn instant(seconds: u32) -> Option<Timestamp> {
    Timestamp::from_second(i64::from(seconds)).ok()
}

fn later(at: Timestamp) -> Timestamp {
    at.checked_add(STATEMENT_MAX).unwrap_or(at)
}

impl Touch {
    fn record(&self, seconds: u32) -> ChangeRecord {
        ChangeRecord { at: instant(seconds), before: self.before, after: self.after, by_expiry: false }
    }

    /// The change at the earliest instant that it can have been committed at, and at the latest.
    ///
    /// Who asks what was there at an instant between the two finds the second, which does not tell; an earlier one finds what
    /// the first tells. A change that does not tell anyway has only the second.
    fn at_both_ends(&self) -> Vec<ChangeRecord> {
        let first = self.record(self.begun);
        let last = self.record(self.latest);
        let last = ChangeRecord { at: last.at.map(later), before: Image::Untold, ..last };
        if first.before == Image::Untold { vec![last] } else { vec![first, last] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_as_before_an_instant_only_where_it_was_committed_by_then() {
        let touch = Touch { begun: 1000, latest: 1500, before: Image::Absent, after: Image::Untold };
        let told: Vec<_> = touch.at_both_ends().iter().map(|record| (record.at, record.before)).collect();
        assert_eq!(told, [(instant(1000), Image::Absent), (instant(1500 + 3600), Image::Untold)]);
        let update = Touch { before: Image::Untold, ..touch };
        assert_eq!(update.at_both_ends().len(), 1);
        assert_eq!(update.at_both_ends()[0].at, instant(5100));
    }
}
