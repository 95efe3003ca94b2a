//! What one guarded write means for the row that is there now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::row;
use crate::digest;
use crate::model::{Digest, Item, Key, Value};
use crate::store::{ErrorKind, Expected, GuardedWrite, Outcome, Result, StoreError, Wanted};

/// What a table of any database tells of its rows.
pub(in crate::store) trait RowTable: Send + Sync {
    /// One value of a primary key, as a statement takes it.
    type KeyCell: Clone + Send + Sync;
    /// One value of a row, as it is compared and written.
    type Cell: Clone + PartialEq + Send + Sync;

    /// Its name, as it stands in keys.
    fn name(&self) -> &str;

    fn has_key(&self) -> bool;

    /// Why its rows are left to a person.
    fn hold(&self) -> Option<String>;

    /// The values of a primary key in key order, when `columns` holds exactly those columns.
    fn key_cells(&self, columns: &BTreeMap<String, Value>) -> Option<Vec<Self::KeyCell>>;

    /// The values of a row in column order, when `contents` holds exactly the columns of the table.
    fn cells(&self, contents: &Value) -> Option<Vec<Self::Cell>>;

    /// Whether the database computes that column.
    fn is_generated(&self, at: usize) -> bool;

    /// Whether that column can be inserted but not set afterwards.
    fn is_only_inserted(&self, at: usize) -> bool;
}

/// The row that shall be there after a write.
pub(in crate::store) struct Wish<C> {
    pub(in crate::store) digest: Digest,
    /// Its values in column order.
    pub(in crate::store) cells: Vec<C>,
}

/// One guarded write, resolved against the catalog.
pub(in crate::store) struct Job<'a, T: RowTable> {
    pub(in crate::store) key: &'a Key,
    pub(in crate::store) table: Arc<T>,
    /// The values of its primary key in key order.
    pub(in crate::store) key_cells: Vec<T::KeyCell>,
    pub(in crate::store) wish: Option<Wish<T::Cell>>,
    expected: Option<Digest>,
    held: Option<String>,
}

/// How a row is brought from what it is to what it shall be; what is there is in column order.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) enum Task<C> {
    Insert,
    Delete(Vec<C>),
    /// What is there, and the places of the columns that change.
    Update(Vec<C>, Vec<usize>),
    /// A delete and an insert, where a column that changes cannot be set.
    Replace(Vec<C>),
}

impl<C> Task<C> {
    /// The row that is there before.
    pub(in crate::store) fn observed(&self) -> Option<&[C]> {
        match self {
            Task::Insert => None,
            Task::Delete(observed) | Task::Update(observed, _) | Task::Replace(observed) => Some(observed),
        }
    }

    /// Where it stands among tasks that are carried out together, of a table of that rank: what frees values goes before what
    /// takes them, children are deleted before parents, and parents are written before children.
    pub(in crate::store) fn turn(&self, rank: u32) -> (u8, u32) {
        match self {
            Task::Delete(_) => (0, u32::MAX - rank),
            Task::Replace(_) => (1, rank),
            Task::Update(..) => (2, rank),
            Task::Insert => (3, rank),
        }
    }

    pub(in crate::store) fn is_insert(&self) -> bool {
        matches!(self, Task::Insert)
    }
}

/// What to do about a job.
pub(in crate::store) enum Judgement<C> {
    Settled(Outcome),
    Write(Task<C>),
}

fn unfit(what: String) -> StoreError {
    StoreError::new(ErrorKind::Unfit, what)
}

/// A key that names no covered table.
pub(in crate::store) fn no_such_table(name: &str) -> StoreError {
    unfit(format!("a key names {name}, which is not a table of this store"))
}

/// A key that does not fit the primary key of its table.
pub(in crate::store) fn no_such_key(name: &str) -> StoreError {
    unfit(format!("a key does not have the primary key columns of {name}"))
}

impl<'a, T: RowTable> Job<'a, T> {
    /// Resolves a write; `find` gives a covered table by the name that stands in keys.
    ///
    /// # Errors
    ///
    /// `Unfit` where the key is not one of the covered tables, or the items have another key.
    pub(in crate::store) fn new(
        find: impl FnOnce(&str) -> Option<Arc<T>>,
        write: &GuardedWrite<'a>,
    ) -> Result<Job<'a, T>> {
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
        let table = find(&name).ok_or_else(|| no_such_table(&name))?;
        let mut job = Job {
            key: write.key,
            key_cells: Vec::new(),
            wish: None,
            expected: expected.map(|item| item.digest),
            held: table.hold().or_else(|| expected.iter().chain(&wanted).find_map(|item| item.hold.clone())),
            table,
        };
        if !job.table.has_key() {
            job.held.get_or_insert_with(|| row::NO_KEY.to_owned());
            return Ok(job);
        }
        job.key_cells = job.table.key_cells(&columns).ok_or_else(|| no_such_key(&name))?;
        if let Some(item) = wanted {
            match job.table.cells(&item.contents) {
                Some(cells) => job.wish = Some(Wish { digest: digest::item_digest(&item.contents), cells }),
                None => job.held = Some(format!("the item does not have the columns of {name}")),
            }
        }
        Ok(job)
    }

    /// The outcome of a job that is left to a person.
    pub(in crate::store) fn held(&self) -> Option<Outcome> {
        self.held.clone().map(|reason| Outcome::Refused { found: None, reason })
    }

    /// Compares the row that is there, locked, with the guard and the wish.
    pub(in crate::store) fn judge(&self, current: Option<&Item>) -> Judgement<T::Cell> {
        if let Some(outcome) = self.held() {
            return Judgement::Settled(outcome);
        }
        let there = current.map(|item| item.digest);
        if self.is_done(current) {
            return Judgement::Settled(Outcome::AlreadyApplied);
        }
        if there != self.expected {
            let reason = row::refusal(self.expected.is_some(), there.is_some()).to_owned();
            return Judgement::Settled(Outcome::Refused { found: current.cloned().map(Box::new), reason });
        }
        let Some(item) = current else { return Judgement::Write(Task::Insert) };
        let Some(observed) = self.table.cells(&item.contents) else {
            return refused(item, "the row does not have the columns that the catalog had");
        };
        match &self.wish {
            None => Judgement::Write(Task::Delete(observed)),
            Some(wish) => self.change(item, observed, wish),
        }
    }

    /// Whether the row that is there is the one that shall be there.
    pub(in crate::store) fn is_done(&self, current: Option<&Item>) -> bool {
        current.map(|item| item.digest) == self.wish.as_ref().map(|wish| wish.digest)
    }

    fn change(&self, current: &Item, observed: Vec<T::Cell>, wish: &Wish<T::Cell>) -> Judgement<T::Cell> {
        let is_changed = |at: &usize| !self.table.is_generated(*at) && observed[*at] != wish.cells[*at];
        let changed: Vec<usize> = (0..observed.len()).filter(is_changed).collect();
        if changed.is_empty() {
            return refused(current, "only generated columns differ, which the database computes by itself");
        }
        if changed.iter().any(|&at| self.table.is_only_inserted(at)) {
            return Judgement::Write(Task::Replace(observed));
        }
        Judgement::Write(Task::Update(observed, changed))
    }
}

fn refused<C>(current: &Item, reason: &str) -> Judgement<C> {
    Judgement::Settled(Outcome::Refused { found: Some(Box::new(current.clone())), reason: reason.to_owned() })
}
