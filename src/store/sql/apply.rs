//! Guarded writes: rows are locked, compared, written and read again in one transaction.
//!
//! A batch is one transaction when all goes well. When the database objects to any row, every row gets a transaction of its
//! own, so that one row's trouble is not another's. What stands blocked then is tried together, see [`super::group`].

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::fetch::{self, Lock, Reads};
use super::group::{self, Move, Part};
use super::guard::{Job, Judgement, RowTable, Task};
use crate::model::Key;
use crate::store::{ErrorKind, GuardedWrite, Outcome, Result, StoreError};

/// Rows that are written in one transaction, where nothing is in their way.
pub(in crate::store) const ROWS_AT_ONCE: usize = 1_000;

/// Times a transaction is begun again after a deadlock or a lock that was not given.
const ATTEMPTS_MAX: usize = 3;

/// Why a transaction was rolled back.
pub(in crate::store) enum Failure {
    /// Nothing can be said of any row.
    Store(StoreError),
    /// Another transaction was in the way: begin again.
    Again(StoreError),
    /// Another row stands in the way.
    Blocked(String),
    /// This row cannot be written.
    Refused(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        if error.kind == ErrorKind::Throttled { Failure::Again(error) } else { Failure::Store(error) }
    }
}

/// What a transaction's statement gives.
pub(in crate::store) type Step<T> = std::result::Result<T, Failure>;

/// What became of a transaction: an error of the store ends the whole batch.
pub(in crate::store) type Attempt = Step<Vec<Outcome>>;

/// What the rows of a transaction are to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Company {
    /// Each goes by itself.
    Apart,
    /// All are taken out, then all are put in.
    Together,
}

/// One task of a transaction.
pub(in crate::store) type JobTask<'a, T> = (&'a Job<'a, T>, Task<<T as RowTable>::Cell>);

/// One connection that rows are written over.
#[async_trait]
pub(in crate::store) trait Writes: Reads {
    /// Fewer rows than this never stand in each other's way.
    const GROUP_MIN: usize;

    /// Whether rows that stand blocked one by one may go through in one transaction just as they are.
    const MAY_PASS_AT_ONCE: bool;

    /// What changes rows behind a statement's back, for people.
    const CHANGED_BY: &'static str;

    /// Begins a transaction over these rows.
    async fn begin(&mut self, jobs: &[&Job<'_, Self::Table>], company: Company) -> Step<()>;

    /// Carries out tasks, in their turns where they are carried out together.
    async fn write_all(&mut self, tasks: &[JobTask<'_, Self::Table>]) -> Step<()>;

    /// Makes one move with one row.
    async fn carry(&mut self, part: &Part<'_, Self::Table>, way: Move) -> Step<()>;

    /// Takes all rows out and puts all in; gives the places of those that could not follow.
    async fn trade(&mut self, parts: &mut [Part<'_, Self::Table>]) -> Step<BTreeSet<usize>>;

    /// Runs a statement that gives nothing.
    async fn run(&mut self, sql: &str) -> Step<()>;

    /// Has the database check what it put off.
    async fn check(&mut self) -> Step<()>;

    /// Ends a transaction.
    async fn commit(&mut self) -> Step<()>;

    /// Gives a transaction up.
    async fn roll_back(&mut self) -> Result<()>;
}

/// Applies writes; an error leaves no transaction behind that could still commit.
pub(in crate::store) async fn apply<W: Writes>(writer: &mut W, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
    let mut jobs = Vec::with_capacity(writes.len());
    for write in writes {
        jobs.push(Job::new(|name| writer.find(name), write)?);
    }
    let keys: BTreeSet<&Key> = jobs.iter().map(|job| job.key).collect();
    let is_each_once = keys.len() == jobs.len();
    let all: Vec<&Job<'_, W::Table>> = jobs.iter().collect();
    if all.len() > 1
        && is_each_once
        && let Ok(outcomes) = attempt(writer, &all).await?
    {
        return Ok(outcomes);
    }
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in &all {
        outcomes.push(alone(writer, job).await?);
    }
    let is_blocked = |at: &usize| matches!(outcomes[*at], Outcome::Blocked { .. });
    let blocked: Vec<usize> = (0..all.len()).filter(is_blocked).collect();
    if blocked.len() >= W::GROUP_MIN && is_each_once {
        let stuck: Vec<&Job<'_, W::Table>> = blocked.iter().map(|&at| all[at]).collect();
        for (at, outcome) in blocked.into_iter().zip(group::together(writer, &stuck).await?) {
            outcomes[at] = outcome.unwrap_or_else(|| outcomes[at].clone());
        }
    }
    Ok(outcomes)
}

async fn alone<W: Writes>(writer: &mut W, job: &Job<'_, W::Table>) -> Result<Outcome> {
    Ok(match attempt(writer, &[job]).await? {
        Ok(mut outcomes) => outcomes.pop().expect("one job has one outcome"),
        Err(Failure::Blocked(reason)) => blocked(writer, job, reason).await?,
        Err(Failure::Refused(reason)) => Outcome::Refused { found: None, reason },
        Err(Failure::Store(error) | Failure::Again(error)) => return Err(error),
    })
}

/// A row that came under the very key meanwhile is a guard that does not hold.
async fn blocked<W: Writes>(writer: &mut W, job: &Job<'_, W::Table>, reason: String) -> Result<Outcome> {
    let current = fetch::read(writer, std::slice::from_ref(job.key), Lock::None).await?.pop().flatten();
    Ok(match job.judge(current.as_ref()) {
        Judgement::Settled(outcome) => outcome,
        Judgement::Write(_) => Outcome::Blocked { reason },
    })
}

/// One transaction over all jobs, begun again where that may help; `Err` within `Ok` tells what was in the way.
pub(super) async fn attempt<W: Writes>(writer: &mut W, jobs: &[&Job<'_, W::Table>]) -> Result<Attempt> {
    let mut attempts = 1;
    loop {
        let failure = match transaction(writer, jobs).await {
            Ok(outcomes) => return Ok(Ok(outcomes)),
            Err(failure) => failure,
        };
        writer.roll_back().await?;
        match failure {
            Failure::Again(_) if attempts < ATTEMPTS_MAX => attempts += 1,
            Failure::Store(error) | Failure::Again(error) => return Err(error),
            other => return Ok(Err(other)),
        }
    }
}

async fn transaction<W: Writes>(writer: &mut W, jobs: &[&Job<'_, W::Table>]) -> Attempt {
    writer.begin(jobs, Company::Apart).await?;
    let keys: Vec<Key> = jobs.iter().filter(|job| job.held().is_none()).map(|job| job.key.clone()).collect();
    let mut current = fetch::read(writer, &keys, Lock::Held).await?.into_iter();
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
    writer.write_all(&tasks).await?;
    let written: Vec<&Job<'_, W::Table>> = tasks.iter().map(|(job, _)| *job).collect();
    finish(writer, &written).await?;
    Ok(outcomes)
}

/// Reads what was written, and commits if that is what was wanted.
pub(super) async fn finish<W: Writes>(writer: &mut W, written: &[&Job<'_, W::Table>]) -> Step<()> {
    writer.check().await?;
    let keys: Vec<Key> = written.iter().map(|job| job.key.clone()).collect();
    let rows = fetch::read(writer, &keys, Lock::None).await?;
    if let Some((job, _)) = written.iter().zip(&rows).find(|(job, row)| !job.is_done(row.as_ref())) {
        let what = format!("{} changed the row as it was written, by {}", job.table.name(), W::CHANGED_BY);
        return Err(Failure::Refused(what));
    }
    writer.commit().await
}
