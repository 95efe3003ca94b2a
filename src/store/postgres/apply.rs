//! Guarded writes of PostgreSQL: what its transactions are begun with, and how rows move within one.
//!
//! A row that cannot be taken out, for others refer to it, stays and gives up its unique values meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::catalog::{Catalog, ForeignKey, Table};
use super::{Job, Part, Task};
use super::{fault, fetch, statement};
use crate::model::{Item, Key};
use crate::store::sql::apply::{Company, Failure, JobTask, Step, Writes};
use crate::store::sql::fetch::{Lock, Reads};
use crate::store::sql::group::{Move, passes};
use crate::store::{ErrorKind, Result};

/// Actions of a foreign key that change the child: cascade, set null, set default.
const FOLLOWS: [&str; 3] = ["c", "n", "d"];

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        let kind = fault::kind_of(&error);
        let stopped = || fault::store_error("cannot write rows", &error);
        let Some(db) = error.as_db_error() else { return Failure::Store(stopped()) };
        match (db.code().code(), kind) {
            ("23505" | "23503" | "23P01" | "23001", _) => Failure::Blocked(fault::words(&error)),
            (_, ErrorKind::Throttled) => Failure::Again(stopped()),
            (_, ErrorKind::Other) => Failure::Refused(fault::words(&error)),
            _ => Failure::Store(stopped()),
        }
    }
}

/// Whether the role may take the replica role, under which foreign keys and ordinary triggers do not run.
pub(super) async fn may_be_replica(client: &Client) -> Result<bool> {
    let failed = |error: &tokio_postgres::Error| fault::store_error("cannot ask for the replica role", error);
    let taken = client.batch_execute("BEGIN; SET LOCAL session_replication_role = replica").await;
    client.batch_execute("ROLLBACK").await.map_err(|error| failed(&error))?;
    match taken {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

/// Whether the row that is there goes, for good or for another.
fn is_delete(task: &Task) -> bool {
    matches!(task, Task::Delete(_) | Task::Replace(_))
}

/// Writes rows over one connection.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) catalog: &'a Catalog,
    /// Whether foreign keys and triggers are switched off by the replica role.
    pub(super) is_replica: bool,
}

impl Writer<'_> {
    /// Carries out one task.
    ///
    /// A write must not change rows that no one asked to change: those that follow their parent by themselves. The lock on
    /// the parent keeps new children from coming before the transaction ends.
    async fn write(&self, job: &Job<'_>, task: &Task) -> Step<()> {
        self.nothing_is_lost(job, task).await?;
        self.nothing_follows(job, task).await?;
        Ok(statement::write(self.client, job, task).await?)
    }

    /// Has a row give up the unique values that are to change, for as long as the transaction takes.
    async fn park(&self, job: &Job<'_>, task: &Task) -> Step<()> {
        let Task::Update(_, changed) = task else { return Err(Failure::Blocked("it cannot leave".into())) };
        self.nothing_follows(job, task).await?;
        match statement::park(self.client, job, changed).await? {
            true => Ok(()),
            false => Err(Failure::Blocked("no other value of its type is known to be free".into())),
        }
    }

    /// Refuses to delete a row with what no prior image of it holds.
    async fn nothing_is_lost(&self, job: &Job<'_>, task: &Task) -> Step<()> {
        match job.table.hold_deletes().filter(|_| is_delete(task)) {
            Some(why) if statement::holds_ignored(self.client, job).await? => Err(Failure::Refused(why)),
            _ => Ok(()),
        }
    }

    async fn nothing_follows(&self, job: &Job<'_>, task: &Task) -> Step<()> {
        for reference in self.followers(job, task) {
            if statement::has_children(self.client, job, reference).await? {
                let what = format!("rows of {} would follow it by {}", reference.child_name, reference.name);
                return Err(Failure::Blocked(what));
            }
        }
        Ok(())
    }

    /// The foreign keys by which rows would follow, were this task carried out; none under the replica role.
    fn followers(&self, job: &Job<'_>, task: &Task) -> impl Iterator<Item = &ForeignKey> {
        let references = self.catalog.references_to(job.table.oid).filter(|_| !self.is_replica);
        references.filter(move |reference| match task {
            Task::Insert => false,
            Task::Delete(_) | Task::Replace(_) => FOLLOWS.contains(&reference.on_delete.as_str()),
            Task::Update(_, changed) => {
                let is_key = |at: &usize| reference.has_parent_column(&job.table.columns[*at].name);
                FOLLOWS.contains(&reference.on_update.as_str()) && changed.iter().any(is_key)
            }
        })
    }
}

#[async_trait]
impl Reads for Writer<'_> {
    type Table = Table;

    const KEYS_MAX: usize = fetch::KEYS_MAX;

    fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.catalog.table(name).cloned()
    }

    async fn keyed(&mut self, table: &Table, keys: &[Vec<String>], lock: Lock) -> Result<Vec<Item>> {
        fetch::keyed(self.client, table, keys, lock).await
    }

    async fn repeated(&mut self, table: &Table, wanted: &[&Key]) -> Result<Vec<Item>> {
        fetch::repeated(self.client, table, wanted).await
    }
}

#[async_trait]
impl Writes for Writer<'_> {
    const GROUP_MIN: usize = 2;

    const MAY_PASS_AT_ONCE: bool = true;

    const CHANGED_BY: &'static str = "a trigger or a rule";

    async fn begin(&mut self, jobs: &[&Job<'_>], _company: Company) -> Step<()> {
        let role = match self.is_replica {
            true => "SET LOCAL session_replication_role = replica",
            false => "SET CONSTRAINTS ALL DEFERRED",
        };
        let mut begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {role}");
        // A deferrable key is no key at all under the replica role, so the table stands still instead.
        let deferrable = self.catalog.tables.iter().filter(|table| table.is_key_deferrable);
        for table in deferrable.filter(|table| self.is_replica && jobs.iter().any(|job| job.table.oid == table.oid)) {
            begin.push_str(&format!("; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table.from()));
        }
        self.run(&begin).await
    }

    /// Those that are alike in one statement, unless one asks for its children first.
    async fn write_all(&mut self, tasks: &[JobTask<'_, Table>]) -> Step<()> {
        let may_lose = |(job, task): &JobTask<'_, Table>| is_delete(task) && job.table.kept().next().is_some();
        if tasks.iter().any(|one| may_lose(one) || self.followers(one.0, &one.1).next().is_some()) {
            for (job, task) in tasks {
                self.write(job, task).await?;
            }
            return Ok(());
        }
        for batch in statement::Batch::of(tasks) {
            batch.write(self.client).await?;
        }
        Ok(())
    }

    async fn carry(&mut self, part: &Part<'_>, way: Move) -> Step<()> {
        match way {
            Move::Out => self.write(part.job, &Task::Delete(Vec::new())).await,
            Move::Aside => self.park(part.job, &part.task).await,
            Move::In if part.is_aside => self.write(part.job, &part.task).await,
            Move::In => self.write(part.job, &Task::Insert).await,
        }
    }

    /// Takes all rows out, children first, then puts all in, parents first.
    async fn trade(&mut self, parts: &mut [Part<'_>]) -> Step<BTreeSet<usize>> {
        parts.sort_by_key(|part| std::cmp::Reverse(part.job.table.rank));
        let leaving = parts.iter().filter(|part| !part.task.is_insert()).collect();
        let stuck = passes(self, leaving, Move::Out).await?;
        let staying = parts.iter().filter(|part| stuck.contains(&part.at)).collect();
        let failed = passes(self, staying, Move::Aside).await?;
        if !failed.is_empty() {
            return Ok(failed);
        }
        parts.iter_mut().for_each(|part| part.is_aside = stuck.contains(&part.at));
        parts.sort_by_key(|part| part.job.table.rank);
        let coming = parts.iter().filter(|part| part.job.wish.is_some()).collect();
        passes(self, coming, Move::In).await
    }

    async fn run(&mut self, sql: &str) -> Step<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    async fn check(&mut self) -> Step<()> {
        self.run("SET CONSTRAINTS ALL IMMEDIATE").await
    }

    async fn commit(&mut self) -> Step<()> {
        self.run("COMMIT").await
    }

    async fn roll_back(&mut self) -> Result<()> {
        let failed = |error| fault::store_error("cannot roll a transaction back", &error);
        self.client.batch_execute("ROLLBACK").await.map_err(failed)
    }
}
