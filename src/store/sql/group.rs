//! Rows that stand in each other's way, such as two that trade a unique value, or that refer to each other: all are taken
//! out, then all are put in.
//!
//! A row that cannot follow is left out and the rest begins again, until a group goes through whole or none is left.

use std::collections::BTreeSet;

use super::apply::{Company, Failure, Step, Writes, attempt, finish};
use super::fetch::{self, Lock};
use super::guard::{Job, Judgement, RowTable, Task};
use crate::model::Key;
use crate::store::{Outcome, Result};

/// Times a group is tried again without the rows that could not follow, or after a deadlock.
const ROUNDS_MAX: usize = 50;

/// What became of one try.
enum Round {
    /// Committed: an outcome for every job.
    Done(Vec<Outcome>),
    /// The places of jobs that could not follow; nothing is committed.
    Without(BTreeSet<usize>),
}

/// A row to be taken out, put in, or both.
pub(in crate::store) struct Part<'a, T: RowTable> {
    pub(in crate::store) at: usize,
    pub(in crate::store) job: &'a Job<'a, T>,
    pub(in crate::store) task: Task<T::Cell>,
    /// Whether it stayed and only gave up its unique values.
    pub(in crate::store) is_aside: bool,
}

/// What is done with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Move {
    Out,
    /// It stays and gives up its unique values.
    Aside,
    In,
}

/// Tries jobs together; gives outcomes for those that went through, `None` for those that still stand blocked.
pub(super) async fn together<W: Writes>(writer: &mut W, jobs: &[&Job<'_, W::Table>]) -> Result<Vec<Option<Outcome>>> {
    let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    if W::MAY_PASS_AT_ONCE
        && let Ok(all) = attempt(writer, jobs).await?
    {
        return Ok(all.into_iter().map(Some).collect());
    }
    let mut left: Vec<usize> = (0..jobs.len()).collect();
    for round in 1..=ROUNDS_MAX {
        if left.len() < W::GROUP_MIN {
            break;
        }
        let members: Vec<&Job<'_, W::Table>> = left.iter().map(|&at| jobs[at]).collect();
        match try_all(writer, &members).await {
            Ok(Round::Done(done)) => {
                for (at, outcome) in left.into_iter().zip(done) {
                    outcomes[at] = Some(outcome);
                }
                return Ok(outcomes);
            }
            Ok(Round::Without(failed)) => {
                writer.roll_back().await?;
                let kept = left.iter().enumerate().filter(|(at, _)| !failed.contains(at));
                left = kept.map(|(_, &at)| at).collect();
            }
            Err(failure) => {
                writer.roll_back().await?;
                match failure {
                    Failure::Again(_) if round < ROUNDS_MAX => {}
                    Failure::Store(error) | Failure::Again(error) => return Err(error),
                    Failure::Blocked(_) | Failure::Refused(_) => break,
                }
            }
        }
    }
    Ok(outcomes)
}

async fn try_all<W: Writes>(writer: &mut W, jobs: &[&Job<'_, W::Table>]) -> Step<Round> {
    writer.begin(jobs, Company::Together).await?;
    let keys: Vec<Key> = jobs.iter().map(|job| job.key.clone()).collect();
    let rows = fetch::read(writer, &keys, Lock::Held).await?;
    let (mut outcomes, mut parts, mut failed) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (at, (job, row)) in jobs.iter().zip(&rows).enumerate() {
        outcomes.push(Outcome::Applied);
        match job.judge(row.as_ref()) {
            Judgement::Write(task) => parts.push(Part { at, job: *job, task, is_aside: false }),
            Judgement::Settled(Outcome::AlreadyApplied) => outcomes[at] = Outcome::AlreadyApplied,
            Judgement::Settled(_) => {
                failed.insert(at);
            }
        }
    }
    if failed.is_empty() {
        failed = writer.trade(&mut parts).await?;
    }
    if !failed.is_empty() {
        return Ok(Round::Without(failed));
    }
    let written: Vec<&Job<'_, W::Table>> = parts.iter().map(|part| part.job).collect();
    finish(writer, &written).await?;
    Ok(Round::Done(outcomes))
}

/// Repeats a move on the parts that it failed on as long as it succeeds on any; gives the places of those that are left.
pub(in crate::store) async fn passes<W: Writes>(
    writer: &mut W,
    parts: Vec<&Part<'_, W::Table>>,
    way: Move,
) -> Step<BTreeSet<usize>> {
    let mut left = parts;
    loop {
        let mut failed = Vec::new();
        for part in &left {
            if !step(writer, part, way).await? {
                failed.push(*part);
            }
        }
        if failed.is_empty() || failed.len() == left.len() {
            return Ok(failed.iter().map(|part| part.at).collect());
        }
        left = failed;
    }
}

/// One move under a savepoint; `false` where the database objects.
async fn step<W: Writes>(writer: &mut W, part: &Part<'_, W::Table>, way: Move) -> Step<bool> {
    writer.run("SAVEPOINT step").await?;
    let is_moved = match writer.carry(part, way).await {
        Ok(()) => true,
        Err(Failure::Blocked(_) | Failure::Refused(_)) => {
            writer.run("ROLLBACK TO SAVEPOINT step").await?;
            false
        }
        Err(other) => return Err(other),
    };
    writer.run("RELEASE SAVEPOINT step").await?;
    Ok(is_moved)
}
