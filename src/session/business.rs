//! Both sides' contents of decided items, kept in a file for the business.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::whole::draft_of;
use super::{Result, Session, SessionError};
use crate::compare::CompareError;
use crate::digest::value_json;
use crate::model::{Digest, Item, Key, Side, StoreId, Timestamp};
use crate::plan::Kept;
use crate::store::{Depth, ReadStore, StorePair};

/// The folder within the session.
const BUSINESS_FOLDER: &str = "business";

/// Where a decision's file is.
pub(super) fn business_file(folder: &Path, number: i64) -> PathBuf {
    folder.join(BUSINESS_FOLDER).join(format!("decision-{number}.ndjson"))
}

/// Who decides, and when.
pub(super) struct Decider<'a> {
    pub by: &'a str,
    pub at: Timestamp,
}

/// A file that is made whole under another name: nobody's but its owner's from the first byte.
pub(super) struct BusinessFile {
    path: PathBuf,
    draft: PathBuf,
    file: BufWriter<File>,
}

impl BusinessFile {
    pub fn create(folder: &Path, number: i64) -> Result<BusinessFile> {
        let path = business_file(folder, number);
        let draft = draft_of(&path);
        let made = || {
            let parent = folder.join(BUSINESS_FOLDER);
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
            forget(&draft)?;
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)
        };
        let file = made().map_err(|source| SessionError::File { path: draft.clone(), source })?;
        Ok(BusinessFile { path, draft, file: BufWriter::new(file) })
    }

    fn line(&mut self, line: &Json) -> Result<()> {
        writeln!(self.file, "{line}").map_err(|source| SessionError::File { path: self.draft.clone(), source })
    }

    /// Brings the file to stable storage under its own name.
    pub fn keep(mut self) -> Result<PathBuf> {
        let kept = self.file.flush().and_then(|()| self.file.get_ref().sync_all()).and_then(|()| {
            std::fs::rename(&self.draft, &self.path)?;
            let parent = self.path.parent().unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()?;
            File::open(parent.parent().unwrap_or(Path::new(".")))?.sync_all()
        });
        kept.map_err(|source| SessionError::File { path: self.path.clone(), source })?;
        Ok(self.path)
    }
}

/// Removes a file that may not be there: a decision that was cut off before it was recorded leaves one.
pub(super) fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Session {
    /// Writes both sides' contents of held items of one store, and gives those that are no longer what the plan saw.
    pub(super) async fn write_business(
        &self,
        pair: &StorePair,
        items: &[Kept],
        decider: &Decider<'_>,
        file: &mut BusinessFile,
    ) -> Result<Vec<(StoreId, String)>> {
        let keys: Vec<Key> = items.iter().map(key_of_kept).collect::<Result<_>>()?;
        let planned = |at: usize| (items[at].primary, items[at].dr);
        let primary = fetch(pair, Side::Primary, pair.primary.as_ref(), &keys, |at| planned(at).0).await?;
        let dr = fetch(pair, Side::Dr, pair.dr.as_ref(), &keys, |at| planned(at).1).await?;
        let mut changed = Vec::new();
        for ((kept, primary), dr) in items.iter().zip(&primary).zip(&dr) {
            if !is_as_planned(primary, kept.primary) || !is_as_planned(dr, kept.dr) {
                changed.push((kept.store.clone(), kept.key.to_string()));
                continue;
            }
            let contents = |item: &Option<Item>| item.as_ref().map(|item| value_json(&item.contents));
            file.line(&json!({
                "store": kept.store, "key": kept.key, "verdict": kept.verdict, "change": kept.change,
                "primary": contents(primary), "dr": contents(dr), "decided_by": decider.by, "decided_at": decider.at,
            }))?;
        }
        Ok(changed)
    }
}

fn key_of_kept(kept: &Kept) -> Result<Key> {
    let bytes = hex::decode(&kept.canonical_key).unwrap_or_default();
    if bytes.is_empty() {
        let why = format!("the plan of store {} was made by an older version; plan anew, then decide", kept.store);
        return Err(SessionError::NotDecided { why });
    }
    Ok(Key::from_canonical(bytes))
}

/// Reads items, and by content those whose planned digest is of a kind that the store does not tell for free.
async fn fetch(
    pair: &StorePair,
    side: Side,
    store: &dyn ReadStore,
    keys: &[Key],
    planned: impl Fn(usize) -> Option<Digest>,
) -> Result<Vec<Option<Item>>> {
    let failed = |source| SessionError::Compare(CompareError::Read { store: pair.id.clone(), side, source });
    let mut items = store.fetch(keys, Depth::Evidence).await.map_err(failed)?;
    let unproved =
        |at: &usize| items[*at].is_some() && planned(*at).is_some() && !is_as_planned(&items[*at], planned(*at));
    let doubtful: Vec<usize> = (0..keys.len()).filter(unproved).collect();
    if !doubtful.is_empty() {
        let again: Vec<Key> = doubtful.iter().map(|at| keys[*at].clone()).collect();
        let by_content = store.fetch(&again, Depth::Content).await.map_err(failed)?;
        doubtful.into_iter().zip(by_content).for_each(|(at, item)| items[at] = item);
    }
    Ok(items)
}

fn is_as_planned(item: &Option<Item>, digest: Option<Digest>) -> bool {
    match (item, digest) {
        (None, None) => true,
        (Some(item), Some(digest)) => item.is_proved_by(&digest),
        _ => false,
    }
}
