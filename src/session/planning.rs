//! Diff and policy to the session's immutable plan.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::decided::Decided;
use super::exhibits::newest_plans_in_full;
use super::{Reach, Result, Session, SessionError};
use crate::compare::{CompareError, Comparison};
use crate::diff::DeltaLine;
use crate::journal::{Journal, PlanWriter, StepRow, StepState};
use crate::model::{Digest, Identity, Side, StoreId, StoreKind, Verdict};
use crate::plan::{Decision, Forecast, Kept, PlanCounts, Shuffle, Step, decide, forecast, limit_reasons};
use crate::profile::{ConflictPolicy, ReadScope, StoreProfile};

/// Why the base may be of another instant than Tb, and what it would then say of an item that one side changed.
struct Doubt {
    why: String,
    one_sided: &'static str,
}

/// What a base older than Tb hides.
const LOOKS_UNTOUCHED: &str = "a value changed and changed back would look untouched";
/// What a base younger than Tb hides.
const LOOKS_LIKE_DR: &str = "a write that never reached dr would look like dr's own change";
/// What either does to an item that one side changed.
const LOOKS_CHANGED_BY_BOTH: &str = "a change of one side may look like one of both";

/// The plan for one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StorePlan {
    /// The store.
    pub store: StoreId,
    /// What it is.
    pub kind: StoreKind,
    /// The resource that is written.
    pub primary: Identity,
    /// The resource that is read.
    pub dr: Identity,
    /// What the plan does.
    pub counts: PlanCounts,
    /// Why all of its steps are held, where limits were passed.
    pub limits: Vec<String>,
    /// What the replay will take.
    pub forecast: Forecast,
    /// How much older than Tb the base is, in seconds; `None` where that cannot be told.
    pub base_age_seconds: Option<i64>,
}

/// What the journal keeps of a plan beside its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// The stores, in the profile's order.
    pub stores: Vec<StorePlan>,
}

impl PlanSummary {
    /// Items that a person must decide.
    pub fn held(&self) -> u64 {
        self.stores.iter().map(|store| store.counts.held).sum()
    }

    /// Steps of all stores.
    pub fn steps(&self) -> u64 {
        self.stores.iter().map(|store| store.counts.steps()).sum()
    }
}

/// A plan that was made.
#[derive(Debug, Clone, Serialize)]
pub struct PlanOutcome {
    /// The plan's id.
    pub plan: Digest,
    /// Its number in the session.
    pub number: i64,
    /// What it does.
    pub summary: PlanSummary,
    /// The comparisons it rests on.
    pub stores: Vec<Comparison>,
    /// The file of held items, one JSON object a line.
    pub held_file: PathBuf,
    /// The file of accepted differences, one JSON object a line, for the business to look at.
    pub accepted_file: PathBuf,
}

impl Session {
    /// Compares every chosen store in full and plans what its policy decides.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when a store cannot be read in full or the plan not saved: then there is no new plan.
    pub async fn plan(&self) -> Result<PlanOutcome> {
        self.plan_reading(Reach::Whole).await
    }

    /// Plans a pass while writers are live: only what the change logs say was touched since the last comparison is read,
    /// where they tell all of it. A final pass is planned with [`Session::plan`].
    ///
    /// # Errors
    ///
    /// As [`Session::plan`].
    pub async fn plan_catch_up(&self) -> Result<PlanOutcome> {
        self.plan_reading(Reach::Touched).await
    }

    async fn plan_reading(&self, reach: Reach) -> Result<PlanOutcome> {
        let mut comparisons = Vec::new();
        let is_frozen = self.state()?.fence.is_some();
        for store in self.chosen() {
            let pair = self.pair(store).await?;
            let reach = if self.is_narrowed(store, is_frozen) { Reach::Named } else { reach };
            comparisons.push(self.compare(store, &pair, reach).await?);
        }
        let decided = Decided::proved(&self.journal)?;
        let record = self.journal.save_plan(|writer| {
            let mut hasher = blake3::Hasher::new();
            let mut stores = Vec::new();
            for comparison in &comparisons {
                let profile = self.store_profile(&comparison.store)?;
                stores.push(self.plan_store(profile, comparison, &decided, (writer, &mut hasher))?);
            }
            let summary = serde_json::to_value(PlanSummary { stores }).expect("a summary has only string keys");
            Ok::<_, SessionError>((hasher.finalize().into(), summary))
        })?;
        let summary = summary_of(&record.summary, self.folder())?;
        let held_file = self.write_kept(record.number, true, "held.ndjson")?;
        let accepted_file = self.write_kept(record.number, false, "accepted.ndjson")?;
        Ok(PlanOutcome {
            plan: record.id,
            number: record.number,
            summary,
            stores: comparisons,
            held_file,
            accepted_file,
        })
    }

    /// What is read for a plan: everything before the first write, so that an undo can be proved, and once dr is frozen,
    /// since nothing comes after that pass.
    fn is_narrowed(&self, store: &StoreProfile, is_frozen: bool) -> bool {
        let is_between = self.was_replayed(&StoreId(store.name.clone())) && !is_frozen;
        is_between && store.changes.read == ReadScope::Changed
    }

    /// The items of both sides that limits are shares of; where not everything was read, as they were before the first
    /// write.
    fn items_of(&self, comparison: &Comparison) -> Result<(u64, u64)> {
        if comparison.narrowed.is_none() {
            return Ok((comparison.primary.items, comparison.dr.items));
        }
        let items = |side| self.baseline(&comparison.store, side).map(|manifest| manifest.header.items);
        let both = items(Side::Primary).and_then(|primary| Ok((primary, items(Side::Dr)?)));
        both.map_err(|source| SessionError::Compare(CompareError::Manifest { store: comparison.store.clone(), source }))
    }

    fn plan_store(
        &self,
        profile: &StoreProfile,
        comparison: &Comparison,
        decided: &Decided,
        (writer, hasher): (&mut PlanWriter<'_>, &mut blake3::Hasher),
    ) -> Result<StorePlan> {
        let (primary_items, dr_items) = self.items_of(comparison)?;
        let mut counts = PlanCounts { primary_items, dr_items, ..PlanCounts::default() };
        let as_of = comparison.base.as_ref().and_then(|base| base.as_of);
        let base_age_seconds = self.base_age_seconds(as_of);
        let doubt = comparison.base.as_ref().and_then(|_| self.base_doubt(profile, base_age_seconds));
        // Two passes over the delta file: the first counts, so that limits are known before the first step is written.
        for_each_line(&comparison.delta, |line| {
            let (decision, _) = self.decide_line(profile, &line, doubt.as_ref(), (decided, writer))?;
            match decision {
                Decision::FollowDr => counts.add(line.change, line.bytes),
                Decision::Accept(_) => counts.accepted += 1,
                Decision::Hold(_) => counts.held += 1,
            }
            Ok(())
        })?;
        let limits = limit_reasons(&counts, &profile.policy, &self.allowances());
        let mut order = StepOrder::of(comparison);
        for_each_line(&comparison.delta, |line| {
            let (decision, by) = self.decide_line(profile, &line, doubt.as_ref(), (decided, writer))?;
            match decision {
                Decision::FollowDr if limits.is_empty() => match order.push(step_of(&line, comparison)?) {
                    Some(step) => write_step(step, writer, hasher),
                    None => Ok(()),
                },
                Decision::FollowDr => write_kept(&Kept::new(&line, limits.join("; ")), true, writer),
                Decision::Hold(reason) => write_kept(&Kept::new(&line, reason), true, writer),
                Decision::Accept(reason) => {
                    write_kept(&Kept { decision: by, ..Kept::new(&line, reason) }, false, writer)
                }
            }
        })?;
        while let Some(step) = order.next() {
            write_step(step, writer, hasher)?;
        }
        if !limits.is_empty() {
            let PlanCounts { held, primary_items, dr_items, accepted, .. } = counts;
            counts =
                PlanCounts { held: held + counts.steps(), primary_items, dr_items, accepted, ..PlanCounts::default() };
        }
        Ok(StorePlan {
            store: comparison.store.clone(),
            kind: comparison.kind,
            primary: comparison.primary.identity.clone(),
            dr: comparison.dr.identity.clone(),
            forecast: forecast(comparison.kind, &counts, comparison.indexes, profile.limits.writes_per_second)
                .with_bodies(comparison.body_bytes),
            counts,
            limits,
            base_age_seconds,
        })
    }

    /// What is done about one line, and the number of the decision that says so where one does: the file of decisions given
    /// now goes before those of the journal, and these before the policy.
    fn decide_line(
        &self,
        profile: &StoreProfile,
        line: &DeltaLine,
        doubt: Option<&Doubt>,
        (decided, writer): (&Decided, &PlanWriter<'_>),
    ) -> Result<(Decision, Option<i64>)> {
        let ruling = self.options.rulings.get(&(profile.name.clone(), line.key.to_string())).copied();
        if ruling.is_none()
            && let Some((decision, number)) = decided.on(line, &profile.policy, writer)?
        {
            return Ok((decision, Some(number)));
        }
        let Some(Doubt { why, one_sided }) = doubt.filter(|_| ruling.is_none()) else {
            return Ok((decide(line, &profile.policy, ruling), None));
        };
        let consequence = match line.verdict {
            Verdict::DrOnly | Verdict::Stranded => one_sided,
            Verdict::Expired if line.primary_untouched && !line.expiry_proved => one_sided,
            // Else a policy would decide what is no conflict in truth.
            Verdict::Conflict if profile.policy.conflict != ConflictPolicy::Hold => LOOKS_CHANGED_BY_BOTH,
            _ => return Ok((decide(line, &profile.policy, ruling), None)),
        };
        Ok((Decision::Hold(format!("{why}: {consequence} (--accept-base-age)")), None))
    }

    /// Why what rests on the base must be held, if it must.
    fn base_doubt(&self, profile: &StoreProfile, age_seconds: Option<i64>) -> Option<Doubt> {
        if self.allowances().base_age {
            return None;
        }
        let tolerance = profile.policy.base_age_tolerance_seconds;
        let Some(age) = age_seconds else {
            return Some(Doubt { why: "the base's age cannot be told".into(), one_sided: LOOKS_UNTOUCHED });
        };
        let apart = age.unsigned_abs();
        let (word, one_sided) = if age < 0 { ("newer", LOOKS_LIKE_DR) } else { ("older", LOOKS_UNTOUCHED) };
        (apart > tolerance).then(|| Doubt {
            why: format!("the base is {apart} s {word} than what dr had, more than {tolerance} s"),
            one_sided,
        })
    }

    fn write_kept(&self, plan: i64, held: bool, name: &str) -> Result<PathBuf> {
        let path = self.folder().join(name);
        let file_error = |source| SessionError::File { path: path.clone(), source };
        let mut file = BufWriter::new(File::create(&path).map_err(file_error)?);
        let mut written = Ok(());
        self.journal.each_kept(plan, None, held, |body| {
            written = writeln!(file, "{body}");
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written.and_then(|()| file.flush()).map_err(file_error)?;
        Ok(path)
    }

    /// What the newest plan of each store leaves as it is, up to `limit` items of each sort.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when it cannot be read.
    pub fn kept(&self, limit: usize) -> Result<NewestKept> {
        newest_kept(&self.journal, limit)
    }

    /// The newest plan of each store; a later plan of other stores says nothing of it.
    pub(super) fn newest_store_plans(&self) -> Result<Vec<StorePlan>> {
        let mut newest: Vec<StorePlan> = Vec::new();
        for plan in self.journal.plans(usize::MAX)? {
            for store in summary_of(&plan.summary, self.folder())?.stores {
                if !newest.iter().any(|known| known.store == store.store) {
                    newest.push(store);
                }
            }
        }
        if newest.is_empty() { Err(SessionError::NoPlan) } else { Ok(newest) }
    }

    /// The newest plan with its summary.
    pub(super) fn latest_plan(&self) -> Result<(crate::journal::PlanRecord, PlanSummary)> {
        let record = self.journal.latest_plan()?.ok_or(SessionError::NoPlan)?;
        let summary = summary_of(&record.summary, self.folder())?;
        Ok((record, summary))
    }
}

/// What the newest plan of each store leaves as it is: the first items of each sort.
#[derive(Debug, Clone, Default)]
pub struct NewestKept {
    /// Items held for a person.
    pub held: Vec<Kept>,
    /// Accepted differences.
    pub accepted: Vec<Kept>,
}

/// What the newest plan of each store leaves as it is, up to `limit` items of each sort; empty without a plan.
///
/// # Errors
///
/// [`SessionError`] when it cannot be read.
pub fn newest_kept(journal: &Journal, limit: usize) -> Result<NewestKept> {
    let mut newest = NewestKept::default();
    for (store, plan) in newest_plans(journal)? {
        first_kept(journal, plan, &store, true, limit, &mut newest.held)?;
        first_kept(journal, plan, &store, false, limit, &mut newest.accepted)?;
    }
    Ok(newest)
}

fn first_kept(
    journal: &Journal,
    plan: i64,
    store: &StoreId,
    held: bool,
    limit: usize,
    items: &mut Vec<Kept>,
) -> Result<()> {
    let mut read = Ok(());
    journal.each_kept(plan, Some(store), held, |body| {
        if items.len() >= limit {
            return ControlFlow::Break(());
        }
        match serde_json::from_str(body) {
            Ok(kept) => items.push(kept),
            Err(error) => read = Err(error),
        }
        if read.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    read.map_err(|error| damaged(&journal.folder().join(crate::journal::JOURNAL_FILE), error))
}

/// The number of the newest plan of each store, newest plans first. A plan of some stores only says nothing of the others,
/// for which an earlier plan still counts.
pub fn newest_plans(journal: &Journal) -> Result<Vec<(StoreId, i64)>> {
    let plans = newest_plans_in_full(journal)?.into_iter();
    Ok(plans.flat_map(|(plan, stores)| stores.into_iter().map(move |store| (store, plan.number))).collect())
}

pub(super) fn summary_of(summary: &serde_json::Value, folder: &Path) -> Result<PlanSummary> {
    serde_json::from_value(summary.clone()).map_err(|error| SessionError::DamagedFile {
        path: folder.join(crate::journal::JOURNAL_FILE),
        what: format!("a plan's summary: {error}"),
    })
}

/// The order in which a store's steps are written: as they come, or shuffled where neighbouring keys would meet one
/// partition.
enum StepOrder {
    AsRead,
    Shuffled(Box<Shuffle>),
}

impl StepOrder {
    /// The same data gives the same order.
    fn of(comparison: &Comparison) -> StepOrder {
        match comparison.kind {
            StoreKind::DynamoDb => {
                let mut seed = blake3::Hasher::new();
                seed.update(comparison.store.0.as_bytes());
                seed.update(comparison.primary.root.as_bytes()).update(comparison.dr.root.as_bytes());
                StepOrder::Shuffled(Box::new(Shuffle::new(seed.finalize().into())))
            }
            StoreKind::S3 | StoreKind::Postgres | StoreKind::Mysql | StoreKind::Memory => StepOrder::AsRead,
        }
    }

    fn push(&mut self, step: Step) -> Option<Step> {
        match self {
            StepOrder::AsRead => Some(step),
            StepOrder::Shuffled(shuffle) => shuffle.push(step),
        }
    }

    fn next(&mut self) -> Option<Step> {
        match self {
            StepOrder::AsRead => None,
            StepOrder::Shuffled(shuffle) => shuffle.next(),
        }
    }
}

fn step_of(line: &DeltaLine, comparison: &Comparison) -> Result<Step> {
    let key = line.key().map_err(|error| damaged(&comparison.delta, error))?;
    Ok(Step::follow_dr(line, key))
}

fn write_step(step: Step, writer: &mut PlanWriter<'_>, hasher: &mut blake3::Hasher) -> Result<()> {
    step.digest_into(hasher);
    let Step { store, key, key_json, verdict, change, expected, wanted, phase, bytes } = step;
    writer.step(&StepRow {
        position: 0,
        store,
        key,
        key_json,
        verdict: verdict.word().into(),
        change: change.word().into(),
        expected,
        wanted,
        phase,
        bytes,
        state: StepState::Open,
        reason: None,
    })?;
    Ok(())
}

fn write_kept(kept: &Kept, held: bool, writer: &mut PlanWriter<'_>) -> Result<()> {
    let body = serde_json::to_value(kept).expect("a kept item has only string keys");
    Ok(writer.kept(&kept.store, &kept.key.to_string(), held, &body)?)
}

/// Reads a delta file line by line.
pub(super) fn for_each_line(path: &Path, mut each: impl FnMut(DeltaLine) -> Result<()>) -> Result<()> {
    let file_error = |source| SessionError::File { path: path.to_owned(), source };
    for line in BufReader::new(File::open(path).map_err(file_error)?).lines() {
        let line = line.map_err(file_error)?;
        each(serde_json::from_str(&line).map_err(|error| damaged(path, error))?)?;
    }
    Ok(())
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> SessionError {
    SessionError::DamagedFile { path: path.to_owned(), what: error.to_string() }
}
