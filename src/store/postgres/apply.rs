//! Guarded writes: rows are locked, compared, written and read again in one transaction.
//!
//! A batch is one transaction when all goes well. When the database objects to any row, every row gets a transaction of its
//! own, so that one row's trouble is not another's.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::catalog::{Catalog, ForeignKey};
use super::guard::{Job, Judgement, Task};
use super::{fault, fetch, statement};
use crate::model::{Item, Key};
use crate::store::{ErrorKind, GuardedWrite, Outcome, Result, StoreError};

/// Times a transaction is begun again after a deadlock or a lock that was not given.
const ATTEMPTS_MAX: usize = 3;

/// Statements sent ahead of their replies.
const OPEN_MAX: usize = 64;

/// Actions of a foreign key that change the child: cascade, set null, set default.
const FOLLOWS: [&str; 3] = ["c", "n", "d"];

/// Why a transaction was rolled back.
pub(super) enum Failure {
    /// Nothing can be said of any row.
    Store(StoreError),
    /// Another transaction was in the way: begin again.
    Again(StoreError),
    /// Another row stands in the way.
    Blocked(String),
    /// This row cannot be written.
    Refused(String),
}

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

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        if error.kind == ErrorKind::Throttled { Failure::Again(error) } else { Failure::Store(error) }
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

/// Writes rows over one connection.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) catalog: &'a Catalog,
    /// Whether foreign keys and triggers are switched off by the replica role.
    pub(super) is_replica: bool,
}

/// What became of a transaction: an error of the store ends the whole batch.
pub(super) type Attempt = std::result::Result<Vec<Outcome>, Failure>;

impl Writer<'_> {
    /// Applies writes; an error leaves no transaction behind that could still commit.
    pub(super) async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        let jobs = writes.iter().map(|write| Job::new(self.catalog, write)).collect::<Result<Vec<Job<'_>>>>()?;
        let keys: BTreeSet<&Key> = jobs.iter().map(|job| job.key).collect();
        let all: Vec<&Job<'_>> = jobs.iter().collect();
        if all.len() > 1
            && keys.len() == all.len()
            && let Ok(outcomes) = self.attempt(&all).await?
        {
            return Ok(outcomes);
        }
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in &all {
            outcomes.push(self.alone(job).await?);
        }
        let is_blocked = |at: &usize| matches!(outcomes[*at], Outcome::Blocked { .. });
        let blocked: Vec<usize> = (0..all.len()).filter(is_blocked).collect();
        if blocked.len() > 1 && keys.len() == all.len() {
            let group: Vec<&Job<'_>> = blocked.iter().map(|&at| all[at]).collect();
            for (at, outcome) in blocked.into_iter().zip(self.together(&group).await?) {
                outcomes[at] = outcome.unwrap_or_else(|| outcomes[at].clone());
            }
        }
        Ok(outcomes)
    }

    async fn alone(&self, job: &Job<'_>) -> Result<Outcome> {
        Ok(match self.attempt(&[job]).await? {
            Ok(mut outcomes) => outcomes.pop().expect("one job has one outcome"),
            Err(Failure::Blocked(reason)) => self.blocked(job, reason).await?,
            Err(Failure::Refused(reason)) => Outcome::Refused { found: None, reason },
            Err(Failure::Store(error) | Failure::Again(error)) => return Err(error),
        })
    }

    /// A row that came under the very key meanwhile is a guard that does not hold.
    async fn blocked(&self, job: &Job<'_>, reason: String) -> Result<Outcome> {
        let current = fetch::fetch(self.client, self.catalog, std::slice::from_ref(job.key)).await?.pop().flatten();
        Ok(match job.judge(current.as_ref()) {
            Judgement::Settled(outcome) => outcome,
            Judgement::Write(_) => Outcome::Blocked { reason },
        })
    }

    /// One transaction over all jobs, begun again where that may help; `Err` within `Ok` tells what was in the way.
    pub(super) async fn attempt(&self, jobs: &[&Job<'_>]) -> Result<Attempt> {
        let mut attempts = 1;
        loop {
            let failure = match self.transaction(jobs).await {
                Ok(outcomes) => return Ok(Ok(outcomes)),
                Err(failure) => failure,
            };
            self.roll_back().await?;
            match failure {
                Failure::Again(_) if attempts < ATTEMPTS_MAX => attempts += 1,
                Failure::Store(error) | Failure::Again(error) => return Err(error),
                other => return Ok(Err(other)),
            }
        }
    }

    async fn transaction(&self, jobs: &[&Job<'_>]) -> Attempt {
        self.begin(jobs).await?;
        let keys: Vec<Key> = jobs.iter().filter(|job| job.held().is_none()).map(|job| job.key.clone()).collect();
        let mut current = fetch::lock(self.client, self.catalog, &keys).await?.into_iter();
        let (mut outcomes, mut tasks) = (Vec::with_capacity(jobs.len()), Vec::new());
        for job in jobs {
            let row = if job.held().is_none() { current.next().flatten() } else { None };
            outcomes.push(match job.judge(row.as_ref()) {
                Judgement::Settled(outcome) => outcome,
                Judgement::Write(task) => {
                    tasks.push((*job, task));
                    Outcome::Applied
                }
            });
        }
        self.write_all(&tasks).await?;
        let written: Vec<&Job<'_>> = tasks.iter().map(|(job, _)| *job).collect();
        self.finish(&written).await?;
        Ok(outcomes)
    }

    /// Carries out tasks in order; without waiting for each in turn, unless one asks for its children first.
    async fn write_all(&self, tasks: &[(&Job<'_>, Task)]) -> std::result::Result<(), Failure> {
        if tasks.iter().any(|(job, task)| self.followers(job, task).next().is_some()) {
            for (job, task) in tasks {
                self.write(job, task).await?;
            }
            return Ok(());
        }
        let mut open = FuturesOrdered::new();
        for (job, task) in tasks {
            open.push_back(statement::write(self.client, job, task));
            if open.len() >= OPEN_MAX {
                open.next().await.transpose()?;
            }
        }
        while let Some(done) = open.next().await {
            done?;
        }
        Ok(())
    }

    /// Carries out one task.
    ///
    /// A write must not change rows that no one asked to change: those that follow their parent by themselves. The lock on
    /// the parent keeps new children from coming before the transaction ends.
    pub(super) async fn write(&self, job: &Job<'_>, task: &Task) -> std::result::Result<(), Failure> {
        self.nothing_follows(job, task).await?;
        Ok(statement::write(self.client, job, task).await?)
    }

    /// Has a row give up the unique values that are to change, for as long as the transaction takes.
    pub(super) async fn park(&self, job: &Job<'_>, task: &Task) -> std::result::Result<(), Failure> {
        let Task::Update(changed) = task else { return Err(Failure::Blocked("it cannot leave".into())) };
        self.nothing_follows(job, task).await?;
        match statement::park(self.client, job, changed).await? {
            true => Ok(()),
            false => Err(Failure::Blocked("no other value of its type is known to be free".into())),
        }
    }

    async fn nothing_follows(&self, job: &Job<'_>, task: &Task) -> std::result::Result<(), Failure> {
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
            Task::Delete | Task::Replace => FOLLOWS.contains(&reference.on_delete.as_str()),
            Task::Update(changed) => {
                let is_key = |at: &usize| reference.has_parent_column(&job.table.columns[*at].name);
                FOLLOWS.contains(&reference.on_update.as_str()) && changed.iter().any(is_key)
            }
        })
    }

    pub(super) async fn begin(&self, jobs: &[&Job<'_>]) -> std::result::Result<(), Failure> {
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
        Ok(self.client.batch_execute(&begin).await?)
    }

    /// Has the database check what it put off, reads what was written, and commits if that is what was wanted.
    pub(super) async fn finish(&self, written: &[&Job<'_>]) -> std::result::Result<(), Failure> {
        self.client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
        let keys: Vec<Key> = written.iter().map(|job| job.key.clone()).collect();
        let rows: Vec<Option<Item>> = fetch::fetch(self.client, self.catalog, &keys).await?;
        if let Some((job, _)) = written.iter().zip(&rows).find(|(job, row)| !job.is_done(row.as_ref())) {
            let what = format!("{} changed the row as it was written, by a trigger or a rule", job.table.name);
            return Err(Failure::Refused(what));
        }
        Ok(self.client.batch_execute("COMMIT").await?)
    }

    pub(super) async fn roll_back(&self) -> Result<()> {
        let failed = |error| fault::store_error("cannot roll a transaction back", &error);
        self.client.batch_execute("ROLLBACK").await.map_err(failed)
    }
}
