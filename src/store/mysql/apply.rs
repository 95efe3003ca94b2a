//! Guarded writes of MySQL and MariaDB: what transactions are begun with, and how rows move within one.
//!
//! Rows that stand in each other's way move while the server does not look after foreign keys. Before that is committed, every
//! reference of a row that was written, and every one to a row that was, is looked up: the server would not do so later.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Value as Sql};

use super::catalog::{Catalog, ForeignKey, Table};
use super::connect::SQL_MODE;
use super::{Job, Part, Task, Wish, fault, fetch, row, statement};
use crate::model::{Item, Key, Value};
use crate::store::sql::apply::{Company, Failure, JobTask, Step, Writes};
use crate::store::sql::fetch::{Lock, Reads};
use crate::store::sql::group::{Move, passes};
use crate::store::{ErrorKind, Result};

/// Rules of a foreign key by which the child changes with its parent.
const FOLLOWS: [&str; 3] = ["CASCADE", "SET NULL", "SET DEFAULT"];

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let stopped = || fault::store_error("cannot write rows", &error);
        match (&error, fault::kind_of(&error)) {
            _ if fault::is_blocked(&error) => Failure::Blocked(fault::words(&error)),
            _ if fault::is_too_large(&error) => {
                Failure::Refused("the row is more than the server takes in one request (max_allowed_packet)".into())
            }
            (Error::Server(_), ErrorKind::Throttled) => Failure::Again(stopped()),
            (Error::Server(_), ErrorKind::Other) => Failure::Refused(fault::words(&error)),
            _ => Failure::Store(stopped()),
        }
    }
}

/// Whether the row that is there goes, for good or for another.
fn is_delete(task: &Task) -> bool {
    matches!(task, Task::Delete(_) | Task::Replace(_))
}

/// Writes rows over one connection.
pub(super) struct Writer<'a> {
    pub(super) conn: &'a mut Conn,
    pub(super) catalog: &'a Catalog,
}

impl Writer<'_> {
    /// Carries out one task.
    ///
    /// A write must not change rows that no one asked to change: those that follow their parent by themselves. The lock on
    /// the parent keeps new children from coming before the transaction ends.
    async fn write(&mut self, job: &Job<'_>, task: &Task) -> Step<()> {
        if is_delete(task) {
            self.nothing_is_lost(job).await?;
        }
        for reference in followers(self.catalog, job, task) {
            if statement::has_children(self.conn, job, reference).await? {
                let what = format!("rows of {} would follow it by {}", reference.child, reference.name);
                return Err(Failure::Blocked(what));
            }
        }
        require_met(statement::write(self.conn, job, task).await?, 1)
    }

    /// Refuses to delete a row with what no prior image of it holds.
    async fn nothing_is_lost(&mut self, job: &Job<'_>) -> Step<()> {
        match job.table.hold_deletes() {
            Some(why) if statement::holds_ignored(self.conn, job).await? => Err(Failure::Refused(why)),
            _ => Ok(()),
        }
    }

    /// The places of rows by which a reference would be broken.
    async fn unproved(&mut self, parts: &[Part<'_>]) -> Step<BTreeSet<usize>> {
        let mut broken = BTreeSet::new();
        for part in parts {
            let table = &part.job.table.name;
            if part.job.wish.is_some() {
                for reference in self.catalog.references_of(table) {
                    if statement::lacks_parent(self.conn, part.job, reference).await? {
                        broken.insert(part.at);
                    }
                }
            }
            let Some(observed) = part.task.observed() else { continue };
            for reference in self.catalog.references_to(table) {
                if is_reference_changed(part.job, reference, observed)
                    && statement::has_orphans(self.conn, part.job, reference, observed).await?
                {
                    broken.insert(part.at);
                }
            }
        }
        Ok(broken)
    }

    /// What a transaction may have set otherwise.
    async fn pin_again(&mut self) -> Result<()> {
        let failed = |error| fault::store_error("cannot pin the session again", &error);
        let settings = format!("SET foreign_key_checks = 1, sql_mode = '{SQL_MODE}'");
        self.conn.query_drop(settings).await.map_err(failed)
    }
}

impl Writer<'_> {
    /// Inserts as many rows, from the first on, as go into one statement; gives how many.
    async fn insert_some(&mut self, tasks: &[&JobTask<'_, Table>]) -> Step<usize> {
        let wishes: Vec<&Wish> = tasks.iter().filter_map(|(job, _)| job.wish.as_ref()).collect();
        let taken = statement::fitting(wishes.iter().map(|wish| wish.cells.as_slice()));
        let met = statement::insert(self.conn, &tasks[0].0.table, &wishes[..taken]).await?;
        require_met(met, taken as u64)?;
        Ok(taken)
    }

    /// Deletes likewise.
    async fn delete_some(&mut self, tasks: &[&JobTask<'_, Table>]) -> Step<usize> {
        let rows: Vec<(&Job<'_>, &[Value])> =
            tasks.iter().filter_map(|(job, task)| Some((*job, task.observed()?))).collect();
        let taken = statement::fitting(rows.iter().map(|(_, observed)| *observed));
        let met = statement::delete_all(self.conn, &rows[..taken]).await?;
        require_met(met, taken as u64)?;
        Ok(taken)
    }

    /// Updates likewise.
    async fn update_some(&mut self, tasks: &[&JobTask<'_, Table>]) -> Step<usize> {
        let rows: Vec<statement::Update<'_>> = tasks
            .iter()
            .filter_map(|(job, task)| match task {
                Task::Update(observed, changed) => Some((*job, observed.as_slice(), changed.as_slice())),
                _ => None,
            })
            .collect();
        let taken = statement::fitting_updates(&rows);
        let met = statement::update_all(self.conn, &rows[..taken]).await?;
        require_met(met, taken as u64)?;
        Ok(taken)
    }
}

#[async_trait]
impl Reads for Writer<'_> {
    type Table = Table;

    const KEYS_MAX: usize = fetch::KEYS_MAX;

    fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.catalog.table(name).cloned()
    }

    async fn keyed(&mut self, table: &Table, keys: &[Vec<Sql>], lock: Lock) -> Result<Vec<Item>> {
        fetch::keyed(self.conn, table, keys, lock).await
    }

    async fn repeated(&mut self, table: &Table, wanted: &[&Key]) -> Result<Vec<Item>> {
        fetch::repeated(self.conn, table, wanted).await
    }
}

#[async_trait]
impl Writes for Writer<'_> {
    /// One row may stand in its own way, where it refers to itself.
    const GROUP_MIN: usize = 1;

    const MAY_PASS_AT_ONCE: bool = false;

    const CHANGED_BY: &'static str = "a trigger or to fit a column";

    async fn begin(&mut self, jobs: &[&Job<'_>], company: Company) -> Step<()> {
        if company == Company::Together {
            self.run("SET foreign_key_checks = 0").await?;
        }
        if jobs.iter().any(|job| is_lenient(job)) {
            let mode = SQL_MODE.replace("STRICT_ALL_TABLES,", "");
            self.run(&format!("SET sql_mode = '{mode}'")).await?;
        }
        self.run("START TRANSACTION READ WRITE").await
    }

    /// What goes into one table goes together, what goes out of it, and what changes in the same columns.
    async fn write_all(&mut self, tasks: &[JobTask<'_, Table>]) -> Step<()> {
        let mut ordered: Vec<&JobTask<'_, Table>> = tasks.iter().collect();
        ordered.sort_by_key(|(job, task)| (task.turn(job.table.rank), &job.table.name, changed_by(task)));
        let mut rest = ordered.as_slice();
        while let Some((first, task)) = rest.first().copied() {
            let is_alike = |(job, other): &JobTask<'_, Table>| {
                job.table.name == first.table.name
                    && match (task, other) {
                        (Task::Insert, Task::Insert) => true,
                        (Task::Delete(_), Task::Delete(_)) => {
                            job.table.kept().next().is_none() && !has_followers(self.catalog, job, other)
                        }
                        (Task::Update(_, changed), Task::Update(_, others)) => {
                            changed == others
                                && statement::is_chosen_exactly(&job.table, others)
                                && !has_followers(self.catalog, job, other)
                        }
                        _ => false,
                    }
            };
            let alike: Vec<&JobTask<'_, Table>> = rest.iter().copied().take_while(|next| is_alike(next)).collect();
            let taken = match task {
                _ if alike.len() < 2 => {
                    self.write(first, task).await?;
                    1
                }
                Task::Insert => self.insert_some(&alike).await?,
                Task::Update(..) => self.update_some(&alike).await?,
                _ => self.delete_some(&alike).await?,
            };
            rest = &rest[taken..];
        }
        Ok(())
    }

    async fn carry(&mut self, part: &Part<'_>, way: Move) -> Step<()> {
        let met = match (way, part.task.observed()) {
            (Move::Out, Some(observed)) => {
                self.nothing_is_lost(part.job).await?;
                statement::delete(self.conn, part.job, observed).await?
            }
            (Move::Out, None) => 1,
            (Move::Aside, _) => return Err(Failure::Blocked("it cannot leave".into())),
            (Move::In, _) => statement::write(self.conn, part.job, &Task::Insert).await?,
        };
        require_met(met, 1)
    }

    /// Takes all rows out, children first, then puts all in, parents first, and looks up what refers to what.
    async fn trade(&mut self, parts: &mut [Part<'_>]) -> Step<BTreeSet<usize>> {
        parts.sort_by_key(|part| std::cmp::Reverse(part.job.table.rank));
        let leaving = parts.iter().filter(|part| !part.task.is_insert()).collect();
        let failed = passes(self, leaving, Move::Out).await?;
        if !failed.is_empty() {
            return Ok(failed);
        }
        parts.sort_by_key(|part| part.job.table.rank);
        let coming = parts.iter().filter(|part| part.job.wish.is_some()).collect();
        let failed = passes(self, coming, Move::In).await?;
        if failed.is_empty() { self.unproved(parts).await } else { Ok(failed) }
    }

    async fn run(&mut self, sql: &str) -> Step<()> {
        Ok(self.conn.query_drop(sql).await?)
    }

    /// Nothing is ever put off.
    async fn check(&mut self) -> Step<()> {
        Ok(())
    }

    async fn commit(&mut self) -> Step<()> {
        self.run("COMMIT").await?;
        Ok(self.pin_again().await?)
    }

    async fn roll_back(&mut self) -> Result<()> {
        let failed = |error| fault::store_error("cannot roll a transaction back", &error);
        self.conn.query_drop("ROLLBACK").await.map_err(failed)?;
        self.pin_again().await
    }
}

/// Whether the server must be lenient to take what is wished.
fn is_lenient(job: &Job<'_>) -> bool {
    let mut values = job.wish.iter().flat_map(|wish| job.table.columns.iter().zip(&wish.cells));
    values.any(|(column, value)| row::is_refused_when_strict(column, value))
}

/// Every row was locked as it was read: where fewer are met, nothing is as it was thought.
fn require_met(met: u64, wanted: u64) -> Step<()> {
    match met == wanted {
        true => Ok(()),
        false => Err(Failure::Refused("the row is not what it was read as".to_owned())),
    }
}

/// The foreign keys by which rows would follow, were this task carried out.
fn followers<'a>(catalog: &'a Catalog, job: &'a Job<'_>, task: &'a Task) -> impl Iterator<Item = &'a ForeignKey> {
    catalog.references_to(&job.table.name).filter(move |reference| match task {
        Task::Insert => false,
        Task::Delete(_) | Task::Replace(_) => FOLLOWS.contains(&reference.on_delete.as_str()),
        Task::Update(observed, _) => {
            FOLLOWS.contains(&reference.on_update.as_str()) && is_reference_changed(job, reference, observed)
        }
    })
}

/// The places of the columns that a task changes.
fn changed_by(task: &Task) -> &[usize] {
    match task {
        Task::Update(_, changed) => changed,
        Task::Insert | Task::Delete(_) | Task::Replace(_) => &[],
    }
}

fn has_followers(catalog: &Catalog, job: &Job<'_>, task: &Task) -> bool {
    followers(catalog, job, task).next().is_some()
}

/// Whether what the children refer to will no longer be there.
fn is_reference_changed(job: &Job<'_>, reference: &ForeignKey, observed: &[Value]) -> bool {
    let Some(wish) = &job.wish else { return true };
    let mut columns = job.table.columns.iter().zip(observed.iter().zip(&wish.cells));
    columns.any(|(column, (was, will))| was != will && reference.parent_columns.contains(&column.name))
}
