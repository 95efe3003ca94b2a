//! The change log of a table in memory.

use std::collections::BTreeMap;

use serde_json::json;

use super::table::Rows;
use super::{MemoryStore, MemoryTable};
use crate::model::{Digest, Key, Timestamp};
use crate::store::{ChangeRecord, ChangeSet, Changes, History, Image, LogMark, LogStart};

/// The changes of a table since its log was switched on, less what was trimmed.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Tells this log from earlier ones of the same table.
    number: u64,
    /// Since when it has every change, where the table has a clock.
    pub(super) whole_since: Option<Timestamp>,
    /// How many records were trimmed from its beginning.
    trimmed: usize,
    records: Vec<(Key, ChangeRecord)>,
}

impl Log {
    fn end(&self) -> usize {
        self.trimmed + self.records.len()
    }
}

impl Rows {
    /// Notes a change, where a log is kept; what changes nothing is none.
    pub(super) fn note(
        &mut self,
        key: &Key,
        before: Option<Digest>,
        after: Option<Digest>,
        at: Option<Timestamp>,
        by_expiry: bool,
    ) {
        let Some(log) = self.log.as_mut().filter(|_| before != after) else { return };
        let image = |digest: Option<Digest>| digest.map_or(Image::Absent, Image::Present);
        log.records.push((key.clone(), ChangeRecord { at, before: image(before), after: image(after), by_expiry }));
    }
}

impl MemoryTable {
    /// Switches a change log on, in place of one that there was.
    pub fn keep_log(&self) {
        let mut rows = self.lock();
        let number = rows.log.as_ref().map_or(0, |log| log.number) + 1;
        rows.log = Some(Log { number, whole_since: self.now(), ..Log::default() });
    }

    /// Forgets all that the log has, as a log does with what is too old.
    pub fn trim_log(&self) {
        if let Some(log) = &mut self.lock().log {
            log.trimmed = log.end();
            log.whole_since = self.now();
            log.records.clear();
        }
    }

    fn log_name(&self, log: &Log) -> String {
        format!("{} log {}", self.id(), log.number)
    }
}

impl MemoryStore {
    pub(super) fn start_of_log(&self, now: Timestamp) -> LogStart {
        match &self.table.lock().log {
            None => LogStart::NoLog("the table keeps no change log".into()),
            Some(log) => LogStart::Mark(LogMark { log: self.table.log_name(log), at: now, position: json!(log.end()) }),
        }
    }

    pub(super) fn history_of_log(&self, now: Timestamp) -> History {
        let (whole_since, start) = match &self.table.lock().log {
            None => {
                return History { whole_since: None, changes: Changes::NoLog("the table keeps no change log".into()) };
            }
            Some(log) => {
                let position = json!(log.trimmed);
                (log.whole_since, LogMark { log: self.table.log_name(log), at: now, position })
            }
        };
        History { whole_since, changes: self.changes_since(&start, now) }
    }

    pub(super) fn changes_since(&self, since: &LogMark, now: Timestamp) -> Changes {
        let rows = self.table.lock();
        let Some(log) = &rows.log else { return Changes::NoLog("the table keeps no change log".into()) };
        let position = since.position.as_u64().and_then(|position| usize::try_from(position).ok());
        let reached = position.filter(|position| since.log == self.table.log_name(log) && *position <= log.end());
        let Some(position) = reached else { return Changes::Gap("the change log is another one now".into()) };
        let Some(unread) = position.checked_sub(log.trimmed) else {
            return Changes::Gap("the change log no longer has its beginning".into());
        };
        let mut keys: BTreeMap<Key, Vec<ChangeRecord>> = BTreeMap::new();
        for (key, record) in &log.records[unread..] {
            keys.entry(key.clone()).or_default().push(*record);
        }
        let until = LogMark { log: since.log.clone(), at: now, position: json!(log.end()) };
        Changes::All(ChangeSet { keys, until })
    }
}
