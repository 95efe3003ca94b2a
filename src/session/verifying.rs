//! The independent re-read of both sides, and the certificate.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::planning::{for_each_line, newest_plans};
use super::{Result, Session, SessionError};
use crate::compare::{Base, Comparison, Settings, compare};
use crate::diff::DeltaLine;
use crate::digest::CANONICAL_FORMAT;
use crate::journal::Event;
use crate::model::{Digest, Side, StoreId};
use crate::plan::Kept;
use crate::profile::{Profile, StoreProfile};
use crate::store::{Counter, StorePair};
use crate::verify::{
    AcceptedDifference, BaseDescription, CERTIFICATE_FORMAT, Certificate, CountersResult, FenceEvidence, SideResult,
    SigningKey, StoreResult, Window,
};

/// Unaccepted differences listed in an outcome; the delta file has all of them.
const DIFFERENCES_LISTED: usize = 100;

/// Accepted differences listed in a certificate; beyond it the certificate holds the digest of the full list.
const ACCEPTED_LISTED: usize = 10_000;

/// What the verification of one store found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreVerification {
    /// The comparison, made of nothing but what was read just now.
    pub comparison: Comparison,
    /// Whether this store is at parity, accepted differences apart.
    pub at_parity: bool,
    /// Differences that the plan accepted, as they still are.
    pub accepted: u64,
    /// Differences that nobody accepted.
    pub unaccepted: u64,
    /// The first of them: key, verdict, change.
    pub listed: Vec<Json>,
    /// Counters of the primary that lag behind dr's.
    pub counters_behind: Vec<String>,
}

/// What a verification found.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyOutcome {
    /// The stores.
    pub stores: Vec<StoreVerification>,
    /// How writers are known to be stopped.
    pub fence: FenceEvidence,
    /// The certificate, issued only at parity.
    pub certificate: Option<PathBuf>,
}

impl VerifyOutcome {
    /// Whether every store is at parity.
    pub fn at_parity(&self) -> bool {
        self.stores.iter().all(|store| store.at_parity)
    }
}

impl Session {
    /// Reads both sides anew and issues a certificate when they are at parity.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when anything was not read: that is never parity. [`SessionError::NotFrozen`] when dr still takes
    /// writes.
    pub async fn verify(&self) -> Result<VerifyOutcome> {
        // A key that cannot be used is told before hours of reading.
        self.signing_key()?;
        let plans = newest_plans(&self.journal)?;
        plans.iter().try_for_each(|(_, plan)| self.journal.prove_kept(*plan))?;
        let taken_back = self.state()?.taken_back();
        let fence = self.prove_fence().await?;
        let recorded = serde_json::to_value(&fence).expect("evidence has only string keys");
        self.journal.append(&[Event::Frozen { evidence: recorded }])?;
        let mut results = Vec::new();
        let mut stores = Vec::new();
        for store in self.chosen() {
            let pair = self.pair(store).await?;
            let (verification, result) = self.verify_store(store, &pair, &plans, &taken_back).await?;
            stores.push(verification);
            results.push(result);
        }
        // A fence that fell while we read makes what was read a forecast.
        let fence = FenceEvidence { at: fence.at, ..self.reprove(fence).await? };
        let mut outcome = VerifyOutcome { stores, fence, certificate: None };
        if outcome.at_parity() && !outcome.stores.is_empty() {
            outcome.certificate = Some(self.issue(results, &outcome)?);
        }
        let summary = serde_json::to_value(&outcome.stores).expect("a summary has only string keys");
        let certificate = outcome.certificate.as_ref().map(|path| path.display().to_string());
        self.journal.append(&[Event::Verified { parity: outcome.at_parity(), summary, certificate }])?;
        Ok(outcome)
    }

    async fn reprove(&self, before: FenceEvidence) -> Result<FenceEvidence> {
        match self.profile.freeze.as_ref().is_some_and(|freeze| freeze.negative_write_test.is_some()) {
            true => self.prove_fence().await,
            false => Ok(before),
        }
    }

    async fn verify_store(
        &self,
        store: &StoreProfile,
        pair: &StorePair,
        plans: &[(StoreId, i64)],
        taken_back: &BTreeSet<i64>,
    ) -> Result<(StoreVerification, StoreResult)> {
        self.require_same_shape(pair).await?;
        let settings: Settings = self.settings(store, "verify");
        let (clock, progress) = (self.around.clock.as_ref(), self.around.progress.as_ref());
        let comparison = compare(pair, &Base::None, &settings, clock, progress).await?;
        let plan = plans.iter().find(|(planned, _)| *planned == pair.id).map(|(_, number)| *number);
        let mut explained = Explained::create(self.folder(), store)?;
        let (mut unaccepted, mut listed) = (0, Vec::new());
        for_each_line(&comparison.delta, |line| {
            match plan.map_or(Ok(None), |plan| self.accepted_as_it_is(plan, &line, taken_back))? {
                Some(kept) => explained.add(kept)?,
                None => {
                    unaccepted += 1;
                    if listed.len() < DIFFERENCES_LISTED {
                        listed.push(difference_json(&line));
                    }
                }
            }
            Ok(())
        })?;
        let (counted, counters_behind) = counters_behind(pair).await?;
        let at_parity = unaccepted == 0 && counters_behind.is_empty();
        let counters = (counted > 0).then(|| CountersResult { compared: counted, behind: counters_behind.clone() });
        let accepted = explained.total;
        let result = self.store_result(store, &comparison, at_parity, explained, counters)?;
        Ok((StoreVerification { comparison, at_parity, accepted, unaccepted, listed, counters_behind }, result))
    }

    /// The newest plan's accepted difference behind a line, when both sides still are what was accepted, and the decision
    /// that accepted it stands.
    fn accepted_as_it_is(&self, plan: i64, line: &DeltaLine, taken_back: &BTreeSet<i64>) -> Result<Option<Kept>> {
        let kept = self.journal.kept_at(plan, &line.store, &line.key.to_string())?;
        let Some((false, body)) = kept else { return Ok(None) };
        let kept: Kept = serde_json::from_value(body).map_err(|error| SessionError::DamagedFile {
            path: self.folder().join(crate::journal::JOURNAL_FILE),
            what: format!("an accepted difference: {error}"),
        })?;
        let stands = kept.decision.is_none_or(|number| !taken_back.contains(&number));
        Ok(Some(kept).filter(|kept| stands && (kept.primary, kept.dr) == (line.primary, line.dr)))
    }

    fn store_result(
        &self,
        store: &StoreProfile,
        comparison: &Comparison,
        at_parity: bool,
        explained: Explained,
        counters: Option<CountersResult>,
    ) -> Result<StoreResult> {
        let side = |side: &crate::compare::SideSummary| SideResult {
            identity: side.identity.clone(),
            items: side.items,
            root: side.root,
        };
        let accepted_total = explained.total;
        let (accepted, accepted_list) = explained.finish()?;
        Ok(StoreResult {
            name: store.name.clone(),
            kind: comparison.kind,
            primary: side(&comparison.primary),
            dr: side(&comparison.dr),
            at_parity,
            accepted,
            accepted_total,
            accepted_list,
            base: self.base_description(store)?,
            counters,
            not_checked: comparison.not_checked.clone(),
        })
    }

    /// The base that the newest plan's verdicts rested on.
    fn base_description(&self, store: &StoreProfile) -> Result<Option<BaseDescription>> {
        let state = self.state()?;
        let base = state.comparisons.get(&StoreId(store.name.clone())).and_then(|comparison| comparison.base.clone());
        Ok(base.map(|base| BaseDescription {
            kind: base.kind,
            as_of: base.as_of,
            age_seconds: self.base_age_seconds(base.as_of),
        }))
    }

    fn issue(&self, stores: Vec<StoreResult>, outcome: &VerifyOutcome) -> Result<PathBuf> {
        let sides = || outcome.stores.iter().flat_map(|s| [&s.comparison.primary, &s.comparison.dr]);
        let now = self.around.clock.now();
        let read_from = sides().map(|side| side.read_from).min().unwrap_or(now);
        let read_until = sides().map(|side| side.read_until).max().unwrap_or(now);
        let left_out: Vec<String> = self
            .profile
            .stores
            .iter()
            .filter(|store| !self.chosen().iter().any(|chosen| chosen.name == store.name))
            .map(|store| format!("store {} of the profile was left out", store.name))
            .collect();
        let mut not_checked = left_out;
        not_checked
            .push("anything the profile does not name: other tables, buckets, databases, queues and caches".into());
        not_checked.push("the fitness of the primary's compute, network and permissions".into());
        let certificate = Certificate {
            format: CERTIFICATE_FORMAT,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            profile: self.profile.name.clone(),
            session: self.folder().display().to_string(),
            canonical_format: CANONICAL_FORMAT,
            issued_at: now,
            window: Window { read_from, read_until },
            at_parity: true,
            stores,
            fence: outcome.fence.clone(),
            not_checked,
        };
        let key = self.signing_key()?;
        let path = self.certificate_path();
        Certificate::sign(&certificate, &key)?.write(&path)?;
        Ok(path)
    }

    /// The key that the profile gives, or the session's own, made when it is first needed.
    pub(super) fn signing_key(&self) -> Result<SigningKey> {
        let file = signing_key_file(self.folder(), &self.profile);
        Ok(match &self.profile.signing_key {
            Some(_) => SigningKey::load(&file)?,
            None => SigningKey::load_or_create(&file)?,
        })
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.folder().join("certificate.json")
    }
}

/// Where the key is that signs this session's certificates.
pub(super) fn signing_key_file(folder: &Path, profile: &Profile) -> PathBuf {
    profile.signing_key.clone().unwrap_or_else(|| folder.join("signing.key"))
}

/// Differences that the plan accepted: the first for the certificate, all of them in a file that it names by digest.
struct Explained {
    first: Vec<AcceptedDifference>,
    total: u64,
    path: PathBuf,
    path_partial: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Explained {
    fn create(folder: &Path, store: &StoreProfile) -> Result<Explained> {
        let path = folder.join(format!("certificate-accepted-{}.ndjson", store.name));
        // The list of an earlier certificate stays until this one is whole.
        let path_partial = path.with_extension("partial");
        let created = File::create(&path_partial);
        let file = created.map_err(|source| SessionError::File { path: path_partial.clone(), source })?;
        let (first, hasher) = (Vec::new(), blake3::Hasher::new());
        Ok(Explained { first, total: 0, path, path_partial, file: BufWriter::new(file), hasher })
    }

    fn add(&mut self, kept: Kept) -> Result<()> {
        let line = serde_json::to_string(&kept).expect("a kept item has only string keys") + "\n";
        self.hasher.update(line.as_bytes());
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|source| SessionError::File { path: self.path_partial.clone(), source })?;
        self.total += 1;
        if self.first.len() < ACCEPTED_LISTED {
            self.first.push(accepted_difference(&kept));
        }
        Ok(())
    }

    /// The first differences, and the digest of the file where it has more than these.
    fn finish(mut self) -> Result<(Vec<AcceptedDifference>, Option<Digest>)> {
        let file_error = |source| SessionError::File { path: self.path_partial.clone(), source };
        self.file.flush().map_err(file_error)?;
        if self.total > ACCEPTED_LISTED as u64 {
            std::fs::rename(&self.path_partial, &self.path).map_err(file_error)?;
            return Ok((self.first, Some(self.hasher.finalize().into())));
        }
        std::fs::remove_file(&self.path_partial).map_err(file_error)?;
        Ok((self.first, None))
    }
}

fn accepted_difference(kept: &Kept) -> AcceptedDifference {
    let Kept { store: _, key, verdict, change: _, primary, dr, reason, canonical_key: _, decision: _ } = kept.clone();
    AcceptedDifference { key, verdict, reason, primary, dr }
}

fn difference_json(line: &DeltaLine) -> Json {
    serde_json::json!({ "store": line.store, "key": line.key, "change": line.change, "primary": line.primary, "dr": line.dr })
}

/// How many counters were compared, and which of the primary's would hand out keys that dr has handed out already.
async fn counters_behind(pair: &StorePair) -> Result<(u64, Vec<String>)> {
    let read = |side| {
        let store = pair.id.clone();
        move |source| SessionError::Compare(crate::compare::CompareError::Read { store, side, source })
    };
    let primary = pair.primary.counters().await.map_err(read(Side::Primary))?;
    let dr = pair.dr.counters().await.map_err(read(Side::Dr))?;
    let find = |name: &str| primary.iter().find(|counter| counter.name == name);
    let is_behind = |dr: &&Counter| match (find(&dr.name).map(|primary| primary.value), dr.value) {
        (_, None) => false,
        (None | Some(None), Some(_)) => true,
        (Some(Some(primary)), Some(value)) if dr.increment < 0 => primary > value,
        (Some(Some(primary)), Some(value)) => primary < value,
    };
    let behind = dr.iter().filter(is_behind).map(|counter| counter.name.clone()).collect();
    Ok((dr.len() as u64, behind))
}
