//! The leaves of one side: read in full, or known from an earlier reading and followed by the store's change log.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::base::manifest_bytes_max;
use super::{CompareError, Progress, Reading, Settings, SideSummary, read_side};
use crate::digest::manifest::Manifest;
use crate::digest::{BUCKETS, Bucket, Buckets, bucket_of};
use crate::model::{Clock, Identity, Key, Side, StoreId, Timestamp};
use crate::store::{ChangeSet, Changes, LogMark, LogStart, ReadStore, StoreError};

/// What the stores' change logs are for in a comparison.
#[derive(Debug, Clone)]
pub enum LogUse {
    /// Nothing: everything is read, and nothing but what was read counts.
    Ignored,
    /// Everything is read; where the logs stand before that is noted, for a later pass to follow.
    Watched,
    /// Only what the logs say was touched since an earlier comparison is read, where they reach back to it.
    Followed(Box<Known>),
}

/// How a side was read, and where its change log stood before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideLog {
    /// Where the change log stood before anything was read: the next pass may go on from there.
    pub start: LogStart,
    /// How it was read.
    pub how: HowRead,
}

/// How a side was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HowRead {
    /// In full.
    Scanned {
        /// Why not by the change log, in words, where that was wanted.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        instead: Option<String>,
    },
    /// Only what the change log says was touched since the reading before.
    Followed {
        /// Touched keys.
        keys: u64,
        /// Records of the log.
        records: u64,
    },
}

/// How both sides of a store were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideLogs {
    /// The primary.
    pub primary: SideLog,
    /// dr.
    pub dr: SideLog,
}

impl SideLogs {
    /// Both sides, the primary first.
    pub fn sides(&self) -> [(Side, &SideLog); 2] {
        [(Side::Primary, &self.primary), (Side::Dr, &self.dr)]
    }

    /// Whether the next pass has a log to follow on either side.
    pub fn can_be_followed(&self) -> bool {
        self.sides().iter().any(|(_, log)| log.start.mark().is_some())
    }
}

/// What an earlier comparison of the same store left, for a pass that follows the change logs.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its manifests, in a folder that this comparison does not write.
    pub manifests: PathBuf,
    /// The primary as it was.
    pub primary: SideSummary,
    /// dr as it was.
    pub dr: SideSummary,
    /// Where the logs stood.
    pub logs: SideLogs,
}

impl Known {
    fn side(&self, side: Side) -> (&SideSummary, &SideLog) {
        match side {
            Side::Primary => (&self.primary, &self.logs.primary),
            Side::Dr | Side::Base => (&self.dr, &self.logs.dr),
        }
    }
}

/// The leaves of one side, by bucket, and how they came.
pub(super) struct SideLeaves {
    pub(super) identity: Identity,
    pub(super) read_from: Timestamp,
    pub(super) read_until: Timestamp,
    pub(super) log: Option<SideLog>,
    leaves: Leaves,
}

enum Leaves {
    Scanned(Buckets),
    Followed { manifest: Box<Manifest>, touched: Vec<Vec<Key>> },
}

impl SideLeaves {
    /// What was read by itself, without a look at a change log.
    pub(super) fn scanned(reading: Reading, log: Option<SideLog>) -> SideLeaves {
        let Reading { identity, buckets, read_from, read_until } = reading;
        SideLeaves { identity, read_from, read_until, log, leaves: Leaves::Scanned(buckets) }
    }

    /// About the most memory that the leaves of one bucket take.
    pub(super) fn reading_bytes_max(&self) -> usize {
        match &self.leaves {
            Leaves::Scanned(buckets) => buckets.reading_bytes_max(),
            Leaves::Followed { manifest, .. } => manifest_bytes_max(manifest),
        }
    }

    /// One bucket, sorted; what the log says was touched is restless, so that it is read again before it counts.
    pub(super) fn bucket(&self, store: &StoreId, index: usize) -> Result<Bucket, CompareError> {
        match &self.leaves {
            Leaves::Scanned(buckets) => {
                buckets.read(index).map_err(|source| CompareError::Sink { store: store.clone(), source })
            }
            Leaves::Followed { manifest, touched } => {
                let leaves = manifest.read(index);
                let leaves = leaves.map_err(|source| CompareError::Manifest { store: store.clone(), source })?;
                Ok(Bucket::from_leaves(&leaves).with_restless(touched[index].clone()))
            }
        }
    }
}

/// Reads one side: by its change log where an earlier reading is known and the log reaches back to it, else in full.
pub(super) async fn read_leaves(
    store: &dyn ReadStore,
    side: Side,
    budget_bytes: usize,
    settings: &Settings,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<SideLeaves, CompareError> {
    let instead = match &settings.logs {
        LogUse::Ignored | LogUse::Watched => None,
        LogUse::Followed(known) => match follow(store, side, known, clock).await {
            Ok(followed) => return Ok(SideLeaves { read_until: clock.now(), ..followed }),
            Err(why) => Some(why),
        },
    };
    // The watermark comes before the reading: what is written meanwhile is after it.
    let log = match &settings.logs {
        LogUse::Ignored => None,
        LogUse::Watched | LogUse::Followed(_) => {
            let start = store.log_start(clock.now()).await;
            let start = start.unwrap_or_else(|error| LogStart::NoLog(chain(&error)));
            Some(SideLog { start, how: HowRead::Scanned { instead } })
        }
    };
    let reading = read_side(store, side, budget_bytes, settings, clock, progress).await?;
    Ok(SideLeaves::scanned(reading, log))
}

/// What is known of a side, with what the log says was touched since. An error says, in words, why all must be read.
async fn follow(store: &dyn ReadStore, side: Side, known: &Known, clock: &dyn Clock) -> Result<SideLeaves, String> {
    let (summary, log) = known.side(side);
    let mark: &LogMark = match &log.start {
        LogStart::Mark(mark) => mark,
        LogStart::NoLog(why) => return Err(why.clone()),
    };
    let identity = store.identity().await.map_err(|error| chain(&error))?;
    if !identity.is_same_resource(&summary.identity) {
        return Err("it is another resource than at the reading before".into());
    }
    let changes = store.changes(mark, clock.now()).await.map_err(|error| chain(&error))?;
    let set = match changes {
        Changes::All(set) => set,
        Changes::Gap(why) | Changes::NoLog(why) => return Err(why),
    };
    let manifest = whole_manifest(known, side).await?;
    let how = HowRead::Followed { keys: set.keys.len() as u64, records: set.records() };
    let (touched, until) = by_bucket(set);
    Ok(SideLeaves {
        identity,
        read_from: summary.read_from,
        read_until: summary.read_until,
        log: Some(SideLog { start: LogStart::Mark(until), how }),
        leaves: Leaves::Followed { manifest: Box::new(manifest), touched },
    })
}

/// The manifest of the reading before, proved to be what the journal says of it.
async fn whole_manifest(known: &Known, side: Side) -> Result<Manifest, String> {
    let (folder, root) = (known.manifests.clone(), known.side(side).0.root);
    let proved = tokio::task::spawn_blocking(move || {
        let manifest = Manifest::open(&folder, side)?;
        manifest.prove().map(|proved| (manifest, proved))
    });
    let (manifest, proved) = proved
        .await
        .expect("reading a manifest does not panic")
        .map_err(|error| format!("the reading before cannot be used: {error}"))?;
    if proved != root {
        return Err("the reading before was replaced by another".into());
    }
    Ok(manifest)
}

/// The touched keys by bucket, each sorted.
fn by_bucket(set: ChangeSet) -> (Vec<Vec<Key>>, LogMark) {
    let mut touched = vec![Vec::new(); BUCKETS];
    for key in set.keys.into_keys() {
        touched[bucket_of(&key)].push(key);
    }
    (touched, set.until)
}

/// An error with its causes, on one line.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
