//! What one guarded write means for the row that is there now.

use std::sync::Arc;

use super::catalog::{Catalog, Table};
use super::row;
use crate::digest;
use crate::model::{Digest, Item, Key};
use crate::store::{ErrorKind, Expected, GuardedWrite, Outcome, Result, StoreError, Wanted};

/// The row that shall be there after a write.
pub(super) struct Wish {
    pub(super) digest: Digest,
    /// Its texts in column order.
    pub(super) texts: Vec<Option<String>>,
}

/// One guarded write, resolved against the catalog.
pub(super) struct Job<'a> {
    pub(super) key: &'a Key,
    pub(super) table: Arc<Table>,
    /// The texts of its primary key in key order.
    pub(super) key_texts: Vec<String>,
    pub(super) wish: Option<Wish>,
    expected: Option<Digest>,
    held: Option<String>,
}

/// How a row is brought from what it is to what it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    Insert,
    Delete,
    /// The places of the columns that change.
    Update(Vec<usize>),
    /// A delete and an insert, where a column that changes cannot be set.
    Replace,
}

/// What to do about a job.
pub(super) enum Judgement {
    Settled(Outcome),
    Write(Task),
}

impl<'a> Job<'a> {
    /// Resolves a write.
    ///
    /// # Errors
    ///
    /// `Unfit` where the key is not one of the covered tables, or the items have another key.
    pub(super) fn new(catalog: &Catalog, write: &GuardedWrite<'a>) -> Result<Job<'a>> {
        let unfit = |what: String| StoreError::new(ErrorKind::Unfit, what);
        let expected = match write.expected {
            Expected::Absent => None,
            Expected::Present(item) => Some(item),
        };
        let wanted = match write.wanted {
            Wanted::Absent => None,
            Wanted::Present { item, .. } => Some(item),
        };
        if expected.iter().chain(&wanted).any(|item| item.key != *write.key) {
            return Err(unfit("a guarded write whose items have another key".into()));
        }
        let (name, columns) = row::key_parts(write.key)?;
        let table = catalog.table(&name);
        let table = table.ok_or_else(|| unfit(format!("a key names {name}, which is not a table of this store")))?;
        let mut job = Job {
            key: write.key,
            table: table.clone(),
            key_texts: Vec::new(),
            wish: None,
            expected: expected.map(|item| item.digest),
            held: expected.iter().chain(&wanted).find_map(|item| item.hold.clone()),
        };
        if table.key.is_empty() {
            job.held.get_or_insert_with(|| row::NO_KEY.to_owned());
            return Ok(job);
        }
        job.key_texts = row::key_texts(table, &columns)
            .ok_or_else(|| unfit(format!("a key does not have the primary key columns of {name}")))?;
        if let Some(item) = wanted {
            match row::texts_of(table, &item.contents) {
                Some(texts) => job.wish = Some(Wish { digest: digest::item_digest(&item.contents), texts }),
                None => job.held = Some(format!("the item does not have the columns of {name}")),
            }
        }
        Ok(job)
    }

    /// The outcome of a job that is left to a person.
    pub(super) fn held(&self) -> Option<Outcome> {
        self.held.clone().map(|reason| Outcome::Refused { found: None, reason })
    }

    /// Compares the row that is there, locked, with the guard and the wish.
    pub(super) fn judge(&self, current: Option<&Item>) -> Judgement {
        if let Some(outcome) = self.held() {
            return Judgement::Settled(outcome);
        }
        let there = current.map(|item| item.digest);
        if self.is_done(current) {
            return Judgement::Settled(Outcome::AlreadyApplied);
        }
        if there != self.expected {
            let reason = refusal(self.expected.is_some(), there.is_some()).to_owned();
            return Judgement::Settled(Outcome::Refused { found: current.cloned().map(Box::new), reason });
        }
        match (current, &self.wish) {
            (None, _) => Judgement::Write(Task::Insert),
            (Some(_), None) => Judgement::Write(Task::Delete),
            (Some(item), Some(wish)) => self.change(item, wish),
        }
    }

    /// Whether the row that is there is the one that shall be there.
    pub(super) fn is_done(&self, current: Option<&Item>) -> bool {
        current.map(|item| item.digest) == self.wish.as_ref().map(|wish| wish.digest)
    }

    fn change(&self, current: &Item, wish: &Wish) -> Judgement {
        let refused = |reason: &str| {
            let found = Some(Box::new(current.clone()));
            Judgement::Settled(Outcome::Refused { found, reason: reason.to_owned() })
        };
        let Some(texts) = row::texts_of(&self.table, &current.contents) else {
            return refused("the row does not have the columns that the catalog had");
        };
        let columns = &self.table.columns;
        let changed: Vec<usize> =
            (0..columns.len()).filter(|&at| !columns[at].is_generated() && texts[at] != wish.texts[at]).collect();
        if changed.is_empty() {
            return refused("only generated columns differ, which the database computes by itself");
        }
        if changed.iter().any(|&at| columns[at].identity == "a") {
            return Judgement::Write(Task::Replace);
        }
        Judgement::Write(Task::Update(changed))
    }
}

fn refusal(is_expected: bool, is_found: bool) -> &'static str {
    match (is_expected, is_found) {
        (false, _) => "a row is there where none was expected",
        (true, true) => "the row changed since it was read",
        (true, false) => "the row is gone since it was read",
    }
}
