//! Diff and policy to the session's immutable plan.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::exhibits::newest_plans;
use super::{Result, Session, SessionError};
use crate::compare::Comparison;
use crate::diff::DeltaLine;
use crate::journal::{Journal, PlanWriter, StepRow, StepState};
use crate::model::{Digest, Identity, StoreId, StoreKind, Verdict};
use crate::plan::{Decision, Forecast, Kept, PlanCounts, Step, decide, forecast, limit_reasons};
use crate::profile::StoreProfile;

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
    /// Compares every chosen store and plans what its policy decides.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when a store cannot be read in full or the plan not saved: then there is no new plan.
    pub async fn plan(&self) -> Result<PlanOutcome> {
        let mut comparisons = Vec::new();
        for store in self.chosen() {
            let pair = self.pair(store).await?;
            comparisons.push(self.compare(store, &pair, "diff").await?);
        }
        let record = self.journal.save_plan(|writer| {
            let mut hasher = blake3::Hasher::new();
            let mut stores = Vec::new();
            for comparison in &comparisons {
                let profile = self.store_profile(&comparison.store)?;
                stores.push(self.plan_store(profile, comparison, writer, &mut hasher)?);
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

    fn plan_store(
        &self,
        profile: &StoreProfile,
        comparison: &Comparison,
        writer: &mut PlanWriter<'_>,
        hasher: &mut blake3::Hasher,
    ) -> Result<StorePlan> {
        let mut counts = PlanCounts {
            primary_items: comparison.primary.items,
            dr_items: comparison.dr.items,
            ..PlanCounts::default()
        };
        let as_of = comparison.base.as_ref().and_then(|base| base.as_of);
        let base_age_seconds = self.base_age_seconds(as_of);
        let doubt = comparison.base.as_ref().and_then(|_| self.base_doubt(profile, base_age_seconds));
        // Two passes over the delta file: the first counts, so that limits are known before the first step is written.
        for_each_line(&comparison.delta, |line| {
            match self.decide_line(profile, &line, doubt.as_deref()) {
                Decision::FollowDr => counts.add(line.change, line.bytes),
                Decision::Accept(_) => counts.accepted += 1,
                Decision::Hold(_) => counts.held += 1,
            }
            Ok(())
        })?;
        let limits = limit_reasons(&counts, &profile.policy, &self.options.allowances);
        for_each_line(&comparison.delta, |line| match self.decide_line(profile, &line, doubt.as_deref()) {
            Decision::FollowDr if limits.is_empty() => write_step(&line, comparison, writer, hasher),
            Decision::FollowDr => write_kept(&Kept::new(&line, limits.join("; ")), true, writer),
            Decision::Hold(reason) => write_kept(&Kept::new(&line, reason), true, writer),
            Decision::Accept(reason) => write_kept(&Kept::new(&line, reason), false, writer),
        })?;
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
            forecast: forecast(comparison.kind, &counts, profile.limits.writes_per_second),
            counts,
            limits,
            base_age_seconds,
        })
    }

    fn decide_line(&self, profile: &StoreProfile, line: &DeltaLine, doubt: Option<&str>) -> Decision {
        let ruling = self.options.rulings.get(&(profile.name.clone(), line.key.to_string())).copied();
        let rests_on_base = matches!(line.verdict, Verdict::DrOnly | Verdict::Stranded)
            || (line.verdict == Verdict::Expired && line.primary_untouched);
        match doubt {
            Some(reason) if rests_on_base && ruling.is_none() => Decision::Hold(reason.to_owned()),
            _ => decide(line, &profile.policy, ruling),
        }
    }

    /// Why what rests on the base must be held, if it must.
    fn base_doubt(&self, profile: &StoreProfile, age_seconds: Option<i64>) -> Option<String> {
        if self.options.allowances.base_age {
            return None;
        }
        let tolerance = profile.policy.base_age_tolerance_seconds;
        match age_seconds {
            None => Some("the base's age cannot be told (--accept-base-age)".into()),
            Some(age) if age.unsigned_abs() > tolerance => Some(format!(
                "the base is {age} s older than what dr had, more than {tolerance} s: a value changed and changed back \
                 would look untouched (--accept-base-age)"
            )),
            Some(_) => None,
        }
    }

    fn write_kept(&self, plan: i64, held: bool, name: &str) -> Result<PathBuf> {
        let path = self.folder().join(name);
        let mut text = String::new();
        for kept in self.journal.kept(plan, held)? {
            text.push_str(&kept.to_string());
            text.push('\n');
        }
        std::fs::write(&path, text).map_err(|source| SessionError::File { path: path.clone(), source })?;
        Ok(path)
    }

    /// What the newest plan of each store leaves as it is.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when it cannot be read.
    pub fn kept(&self) -> Result<NewestKept> {
        newest_kept(&self.journal)
    }

    /// The newest plan with its summary.
    pub(super) fn latest_plan(&self) -> Result<(crate::journal::PlanRecord, PlanSummary)> {
        let record = self.journal.latest_plan()?.ok_or(SessionError::NoPlan)?;
        let summary = summary_of(&record.summary, self.folder())?;
        Ok((record, summary))
    }
}

/// What the newest plan of each store leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct NewestKept {
    /// Items held for a person.
    pub held: Vec<Kept>,
    /// Accepted differences.
    pub accepted: Vec<Kept>,
}

/// What the newest plan of each store leaves as it is; empty without a plan. A plan of some stores only says nothing of
/// the others, for which an earlier plan still counts.
///
/// # Errors
///
/// [`SessionError`] when it cannot be read.
pub fn newest_kept(journal: &Journal) -> Result<NewestKept> {
    let mut newest = NewestKept::default();
    for (plan, stores) in newest_plans(journal)? {
        let read = |held| -> Result<Vec<Kept>> {
            let bodies = journal.kept(plan.number, held)?.into_iter();
            let kept: std::result::Result<Vec<Kept>, _> = bodies.map(serde_json::from_value).collect();
            let mut kept =
                kept.map_err(|error| damaged(&journal.folder().join(crate::journal::JOURNAL_FILE), error))?;
            kept.retain(|kept| stores.contains(&kept.store));
            Ok(kept)
        };
        newest.held.extend(read(true)?);
        newest.accepted.extend(read(false)?);
    }
    Ok(newest)
}

pub(super) fn summary_of(summary: &serde_json::Value, folder: &Path) -> Result<PlanSummary> {
    serde_json::from_value(summary.clone()).map_err(|error| SessionError::DamagedFile {
        path: folder.join(crate::journal::JOURNAL_FILE),
        what: format!("a plan's summary: {error}"),
    })
}

fn write_step(
    line: &DeltaLine,
    comparison: &Comparison,
    writer: &mut PlanWriter<'_>,
    hasher: &mut blake3::Hasher,
) -> Result<()> {
    let key = line.key().map_err(|error| damaged(&comparison.delta, error))?;
    let step = Step::follow_dr(line, key);
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
    Ok(writer.kept(&kept.store, held, &body)?)
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
