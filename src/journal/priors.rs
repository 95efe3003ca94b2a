//! Images of items before this session wrote them.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Event, Journal, JournalError, Result};
use super::{chain, seal};
use crate::model::{Digest, Key, StoreId};

/// What an undo restores of an item, and how far its replay and undo have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorImage {
    /// The store.
    pub store: StoreId,
    /// The key.
    pub key: Key,
    /// The digest before this session's first write, or its first since others wrote the item; `None` where there was no item.
    pub digest: Option<Digest>,
    /// The item before, encoded; `None` where there was no item.
    pub image: Option<Vec<u8>>,
    /// The digest after the last write that is known to have happened; the outer `None` where none is.
    pub after: Option<Option<Digest>>,
    /// The digest after a write that was under way when the process ended, and may have happened.
    pub pending: Option<Option<Digest>>,
    /// The phase of the step.
    pub phase: i64,
    /// Every digest that proves the item before, to tell whether an interrupted write had happened; not stored.
    pub proofs: Vec<Digest>,
    /// Whether the plan found that others had changed the item since this session last wrote it; not stored.
    pub is_of_others: bool,
}

/// What becomes of a step's prior image when the step is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriorFate {
    /// The item was written now, to this digest: undo needs the image.
    Written(Option<Digest>),
    /// The wanted contents were there: if a write to this digest was under way before an interruption, it happened.
    FoundThere(Option<Digest>),
    /// The write is known not to have happened: an image that was stored for it alone goes.
    Unwritten,
    /// Nothing was learned about the write: the image stays as it is.
    Untouched,
}

/// An item that a refused write found, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// Its digest.
    pub digest: Digest,
    /// The item, encoded as prior images are.
    pub image: Vec<u8>,
}

/// The newest image kept of each item; `None` where there was no item.
pub type NewestImages = HashMap<(StoreId, Key), Option<Vec<u8>>>;

impl Journal {
    /// How many prior images of one store can be restored.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be counted.
    pub fn prior_count(&self, store: &StoreId) -> Result<u64> {
        let sql = "SELECT count(*) FROM prior WHERE state IN ('intended', 'written') AND store = ?1";
        Ok(self.connection().query_row(sql, [&store.0], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    /// Up to `limit` prior images of one store that can be restored, after `after` in the order of undoing: the later phases first.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read.
    pub fn priors(&self, store: &StoreId, after: Option<&PriorImage>, limit: usize) -> Result<Vec<PriorImage>> {
        let connection = self.connection();
        let mut rows = connection.prepare_cached(
            "SELECT store, key, digest, image, after, pending, is_pending, phase, state, seal FROM prior
             WHERE state IN ('intended', 'written') AND store = ?1 AND (-phase, key) > (?2, ?3)
             ORDER BY -phase, key LIMIT ?4",
        )?;
        let (phase, key) = match after {
            Some(prior) => (-prior.phase, prior.key.as_bytes().to_vec()),
            None => (i64::MIN, Vec::new()),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = rows.query_map(params![store.0, phase, key, limit], |row| {
            let sealed: Vec<u8> = row.get(9)?;
            let (is_pending, state): (bool, String) = (row.get(6)?, row.get(8)?);
            let (after, pending) = (digest_of(row, 4)?, digest_of(row, 5)?);
            let prior = PriorImage {
                store: StoreId(row.get(0)?),
                key: Key::from_canonical(row.get::<_, Vec<u8>>(1)?),
                digest: digest_of(row, 2)?,
                image: row.get(3)?,
                after: (state == "written").then_some(after),
                pending: is_pending.then_some(pending),
                phase: row.get(7)?,
                proofs: Vec::new(),
                is_of_others: false,
            };
            Ok((prior, sealed))
        })?;
        rows.map(|row| {
            let (prior, sealed) = row?;
            let digest = bytes_of(prior.digest);
            let seal = seal::of_prior(&prior.store.0, prior.key.as_bytes(), digest.as_deref(), prior.image.as_deref());
            match sealed == seal {
                true => Ok(prior),
                false => Err(self.damaged(format!("a prior image of store {} is not what was saved", prior.store))),
            }
        })
        .collect()
    }

    /// What this session last wrote to an item: the outer `None` where it wrote nothing, the inner where it deleted the item.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be read.
    pub fn after_image(&self, store: &StoreId, key: &Key) -> Result<Option<Option<Digest>>> {
        let connection = self.connection();
        let mut row =
            connection.prepare_cached("SELECT after FROM prior WHERE store = ?1 AND key = ?2 AND state = 'written'")?;
        Ok(row.query_row(params![store.0, key.as_bytes()], |row| digest_of(row, 0)).optional()?)
    }

    /// Every image this session kept of an item, oldest first: before each of its writes, and what refused writes found.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read.
    pub fn images(&self, store: &StoreId, key: &Key) -> Result<Vec<Option<Vec<u8>>>> {
        let connection = self.connection();
        let mut rows = connection
            .prepare_cached("SELECT image FROM prior_history WHERE store = ?1 AND key = ?2 ORDER BY number")?;
        let rows = rows.query_map(params![store.0, key.as_bytes()], |row| row.get(0))?;
        rows.map(|row| row.map_err(JournalError::from)).collect()
    }

    /// The newest image this session kept of each of these items, in one pass; `None` where there was no item.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read.
    pub fn newest_images(&self, wanted: &HashSet<(StoreId, Key)>) -> Result<NewestImages> {
        let connection = self.connection();
        let mut numbers = HashMap::new();
        let mut rows = connection.prepare("SELECT store, key, number FROM prior_history ORDER BY number")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let item = (StoreId(row.get(0)?), Key::from_canonical(row.get::<_, Vec<u8>>(1)?));
            if wanted.contains(&item) {
                numbers.insert(item, row.get::<_, i64>(2)?);
            }
        }
        let mut image = connection.prepare("SELECT image FROM prior_history WHERE number = ?1")?;
        let read = |(item, number)| Ok((item, image.query_row([number], |row| row.get(0))?));
        numbers.into_iter().map(read).collect()
    }

    /// Marks prior images as restored, and keeps what refused restorations found.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then they are looked at again by the next undo.
    pub fn undone(
        &self,
        priors: &[(StoreId, Key)],
        found: &[(StoreId, Key, FoundImage)],
        events: &[Event],
    ) -> Result<()> {
        self.commit(|transaction, at| {
            for (store, key, found) in found {
                remember(transaction, &store.0, key.as_bytes(), Some(found.digest), Some(&found.image))?;
            }
            for (store, key) in priors {
                transaction.execute(
                    "UPDATE prior SET state = 'undone' WHERE store = ?1 AND key = ?2",
                    params![store.0, key.as_bytes()],
                )?;
            }
            chain::append(transaction, at, events)
        })
    }
}

pub(super) fn settle_prior(transaction: &Transaction<'_>, store: &str, key: &[u8], fate: PriorFate) -> Result<()> {
    let (sql, after) = match fate {
        PriorFate::Untouched => return Ok(()),
        PriorFate::Written(after) => (
            "UPDATE prior SET state = 'written', after = ?3, pending = NULL, is_pending = 0
             WHERE store = ?1 AND key = ?2",
            after,
        ),
        PriorFate::FoundThere(after) => (
            "UPDATE prior SET state = 'written', after = pending, pending = NULL, is_pending = 0
             WHERE store = ?1 AND key = ?2 AND is_pending = 1 AND pending IS ?3",
            after,
        ),
        PriorFate::Unwritten => {
            let forget = "DELETE FROM prior WHERE store = ?1 AND key = ?2 AND state = 'intended'";
            transaction.execute(forget, params![store, key])?;
            ("UPDATE prior SET pending = ?3, is_pending = 0 WHERE store = ?1 AND key = ?2", None)
        }
    };
    transaction.execute(sql, params![store, key, bytes_of(after)])?;
    Ok(())
}

/// The first image stays while this session's writes follow one another. It gives way when it was stored for a write that did
/// not happen, when it was undone, and when others wrote in between: an undo must not drop what they wrote. Every image is kept in the history, whatever becomes of it.
pub(super) fn intend_one(transaction: &Transaction<'_>, prior: &PriorImage) -> Result<()> {
    let (store, key) = (&prior.store.0, prior.key.as_bytes());
    let known: Option<(String, bool, Option<[u8; 32]>)> = transaction
        .prepare_cached("SELECT state, is_pending, pending FROM prior WHERE store = ?1 AND key = ?2")?
        .query_row(params![store, key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let keeps_first = known.is_some_and(|(state, is_pending, pending)| {
        // A write that was under way when the process ended, and that happened after all.
        let has_happened =
            is_pending && pending.map_or(prior.digest.is_none(), |pending| prior.proofs.contains(&Digest(pending)));
        match state.as_str() {
            "written" => has_happened || !prior.is_of_others,
            "intended" => has_happened,
            _ => false,
        }
    });
    remember(transaction, store, key, prior.digest, prior.image.as_deref())?;
    let pending = bytes_of(prior.pending.flatten());
    if keeps_first {
        let sql = "UPDATE prior SET pending = ?3, is_pending = 1, phase = ?4 WHERE store = ?1 AND key = ?2";
        transaction.prepare_cached(sql)?.execute(params![store, key, pending, prior.phase])?;
        return Ok(());
    }
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO prior (store, key, digest, image, after, pending, is_pending, phase, state, seal)
         VALUES (?1, ?2, ?3, ?4, NULL, ?5, 1, ?6, 'intended', ?7)",
    )?;
    let digest = bytes_of(prior.digest);
    let seal = seal::of_prior(store, key, digest.as_deref(), prior.image.as_deref());
    insert.execute(params![store, key, digest, prior.image, pending, prior.phase, seal])?;
    Ok(())
}

pub(super) fn remember(
    transaction: &Transaction<'_>,
    store: &str,
    key: &[u8],
    digest: Option<Digest>,
    image: Option<&[u8]>,
) -> Result<()> {
    let insert = "INSERT INTO prior_history (store, key, digest, image) VALUES (?1, ?2, ?3, ?4)";
    transaction.prepare_cached(insert)?.execute(params![store, key, bytes_of(digest), image])?;
    Ok(())
}

pub(super) fn bytes_of(digest: Option<Digest>) -> Option<Vec<u8>> {
    digest.map(|digest| digest.0.to_vec())
}

pub(super) fn digest_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Digest>> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(Digest))
}
