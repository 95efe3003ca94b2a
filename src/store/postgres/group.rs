//! Rows that stand in each other's way, such as two that trade a unique value: all are taken out, then all are put in.
//!
//! A row that cannot be taken out, for others refer to it, stays and gives up its unique values meanwhile.
//! A row that cannot follow is left out and the rest begins again, until a group goes through whole or none is left.

use std::collections::BTreeSet;

use super::apply::{Failure, Writer};
use super::fetch;
use super::guard::{Job, Judgement, Task};
use crate::model::{Item, Key};
use crate::store::{Outcome, Result};

/// Times a group is tried again without the rows that could not follow.
const ROUNDS_MAX: usize = 50;

/// What became of one try.
enum Round {
    /// Committed: an outcome for every job.
    Done(Vec<Outcome>),
    /// The places of jobs that could not follow; nothing is committed.
    Without(BTreeSet<usize>),
}

/// A row to be taken out, put in, or both.
struct Part<'a> {
    at: usize,
    job: &'a Job<'a>,
    task: Task,
    /// Whether it stayed and only gave up its unique values.
    is_aside: bool,
}

/// What is done with a part.
#[derive(Clone, Copy)]
enum Move {
    Out,
    Aside,
    In,
}

impl Writer<'_> {
    /// Tries jobs together; gives outcomes for those that went through, `None` for those that still stand blocked.
    pub(super) async fn together(&self, jobs: &[&Job<'_>]) -> Result<Vec<Option<Outcome>>> {
        let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
        if let Ok(all) = self.attempt(jobs).await? {
            return Ok(all.into_iter().map(Some).collect());
        }
        let mut group: Vec<usize> = (0..jobs.len()).collect();
        for _ in 0..ROUNDS_MAX {
            if group.len() < 2 {
                break;
            }
            let members: Vec<&Job<'_>> = group.iter().map(|&at| jobs[at]).collect();
            let round = self.round(&members).await;
            match round {
                Ok(Round::Done(done)) => {
                    for (at, outcome) in group.into_iter().zip(done) {
                        outcomes[at] = Some(outcome);
                    }
                    return Ok(outcomes);
                }
                Ok(Round::Without(failed)) => {
                    self.roll_back().await?;
                    let kept = group.iter().enumerate().filter(|(at, _)| !failed.contains(at));
                    group = kept.map(|(_, &at)| at).collect();
                }
                Err(failure) => {
                    self.roll_back().await?;
                    match failure {
                        Failure::Store(error) | Failure::Again(error) => return Err(error),
                        Failure::Blocked(_) | Failure::Refused(_) => break,
                    }
                }
            }
        }
        Ok(outcomes)
    }

    async fn round(&self, jobs: &[&Job<'_>]) -> std::result::Result<Round, Failure> {
        self.begin(jobs).await?;
        let keys: Vec<Key> = jobs.iter().map(|job| job.key.clone()).collect();
        let rows: Vec<Option<Item>> = fetch::lock(self.client, self.catalog, &keys).await?;
        let (mut outcomes, mut parts, mut failed) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (at, (job, row)) in jobs.iter().zip(&rows).enumerate() {
            outcomes.push(Outcome::Applied);
            match job.judge(row.as_ref()) {
                Judgement::Write(task) => parts.push(Part { at, job, task, is_aside: false }),
                Judgement::Settled(Outcome::AlreadyApplied) => outcomes[at] = Outcome::AlreadyApplied,
                Judgement::Settled(_) => {
                    failed.insert(at);
                }
            }
        }
        if failed.is_empty() {
            failed = self.trade(&mut parts).await?;
        }
        if !failed.is_empty() {
            return Ok(Round::Without(failed));
        }
        let written: Vec<&Job<'_>> = parts.iter().map(|part| part.job).collect();
        self.finish(&written).await?;
        Ok(Round::Done(outcomes))
    }

    /// Takes all rows out, children first, then puts all in, parents first; gives the places of those that could not.
    async fn trade(&self, parts: &mut [Part<'_>]) -> std::result::Result<BTreeSet<usize>, Failure> {
        parts.sort_by_key(|part| std::cmp::Reverse(part.job.table.rank));
        let stuck = self.passes(parts.iter().filter(|part| part.task != Task::Insert), Move::Out).await?;
        let failed = self.passes(parts.iter().filter(|part| stuck.contains(&part.at)), Move::Aside).await?;
        if !failed.is_empty() {
            return Ok(failed);
        }
        parts.iter_mut().for_each(|part| part.is_aside = stuck.contains(&part.at));
        parts.sort_by_key(|part| part.job.table.rank);
        self.passes(parts.iter().filter(|part| part.task != Task::Delete), Move::In).await
    }

    /// Repeats a move on the parts that it failed on as long as it succeeds on any.
    async fn passes<'p>(
        &self,
        parts: impl Iterator<Item = &'p Part<'p>>,
        way: Move,
    ) -> std::result::Result<BTreeSet<usize>, Failure> {
        let mut left: Vec<&Part<'_>> = parts.collect();
        loop {
            let mut failed = Vec::new();
            for part in &left {
                if !self.step(part, way).await? {
                    failed.push(*part);
                }
            }
            if failed.is_empty() || failed.len() == left.len() {
                return Ok(failed.iter().map(|part| part.at).collect());
            }
            left = failed;
        }
    }

    /// One write under a savepoint; `false` where the database objects.
    async fn step(&self, part: &Part<'_>, way: Move) -> std::result::Result<bool, Failure> {
        self.client.batch_execute("SAVEPOINT step").await?;
        let moved = match way {
            Move::Out => self.write(part.job, &Task::Delete).await,
            Move::Aside => self.park(part.job, &part.task).await,
            Move::In if part.is_aside => self.write(part.job, &part.task).await,
            Move::In => self.write(part.job, &Task::Insert).await,
        };
        let failure = match moved {
            Ok(()) => {
                self.client.batch_execute("RELEASE step").await?;
                return Ok(true);
            }
            Err(failure) => failure,
        };
        match failure {
            Failure::Blocked(_) | Failure::Refused(_) => {
                self.client.batch_execute("ROLLBACK TO step; RELEASE step").await?;
                Ok(false)
            }
            other => Err(other),
        }
    }
}
