//! The independent re-read of both sides, and the certificate.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::planning::for_each_line;
use super::{Result, Session, SessionError};
use crate::compare::{Base, Comparison, Settings, compare};
use crate::diff::DeltaLine;
use crate::digest::CANONICAL_FORMAT;
use crate::journal::Event;
use crate::model::{Digest, Side, StoreId};
use crate::plan::Kept;
use crate::profile::StoreProfile;
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
        let accepted = self.accepted()?;
        let fence = self.prove_fence().await?;
        let recorded = serde_json::to_value(&fence).expect("evidence has only string keys");
        self.journal.append(&[Event::Frozen { evidence: recorded }])?;
        let mut results = Vec::new();
        let mut stores = Vec::new();
        for store in self.chosen() {
            let pair = self.pair(store).await?;
            let (verification, result) = self.verify_store(store, &pair, &accepted).await?;
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
        accepted: &Accepted,
    ) -> Result<(StoreVerification, StoreResult)> {
        self.require_same_shape(pair).await?;
        let settings: Settings = self.settings(store, "verify");
        let (clock, progress) = (self.around.clock.as_ref(), self.around.progress.as_ref());
        let comparison = compare(pair, &Base::None, &settings, clock, progress).await?;
        let mut explained = Vec::new();
        let (mut unaccepted, mut listed) = (0, Vec::new());
        for_each_line(&comparison.delta, |line| {
            match accepted.get(&(line.store.0.clone(), line.key.to_string())) {
                Some(kept) if (kept.primary, kept.dr) == (line.primary, line.dr) => explained.push(kept.clone()),
                _ => {
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
        let result = self.store_result(store, &comparison, at_parity, &explained, counters)?;
        let accepted = explained.len() as u64;
        Ok((StoreVerification { comparison, at_parity, accepted, unaccepted, listed, counters_behind }, result))
    }

    fn store_result(
        &self,
        store: &StoreProfile,
        comparison: &Comparison,
        at_parity: bool,
        explained: &[Kept],
        counters: Option<CountersResult>,
    ) -> Result<StoreResult> {
        let side = |side: &crate::compare::SideSummary| SideResult {
            identity: side.identity.clone(),
            items: side.items,
            root: side.root,
        };
        let accepted_list = match explained.len() > ACCEPTED_LISTED {
            true => Some(self.write_accepted_list(store, explained)?),
            false => None,
        };
        Ok(StoreResult {
            name: store.name.clone(),
            kind: comparison.kind,
            primary: side(&comparison.primary),
            dr: side(&comparison.dr),
            at_parity,
            accepted: explained.iter().take(ACCEPTED_LISTED).map(accepted_difference).collect(),
            accepted_total: explained.len() as u64,
            accepted_list,
            base: self.base_description(store)?,
            counters,
            not_checked: comparison.not_checked.clone(),
        })
    }

    fn write_accepted_list(&self, store: &StoreProfile, explained: &[Kept]) -> Result<Digest> {
        let path = self.folder().join(format!("certificate-accepted-{}.ndjson", store.name));
        let lines = explained.iter().map(|kept| serde_json::to_string(kept).expect("only string keys") + "\n");
        let text: String = lines.collect();
        std::fs::write(&path, &text).map_err(|source| SessionError::File { path, source })?;
        Ok(blake3::hash(text.as_bytes()).into())
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

    /// Accepted differences of the newest plan of each store, by store and key.
    fn accepted(&self) -> Result<Accepted> {
        let accepted = self.kept()?.accepted.into_iter();
        Ok(accepted.map(|kept| ((kept.store.0.clone(), kept.key.to_string()), kept)).collect())
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
        let key = SigningKey::load_or_create(&self.folder().join("signing.key"))?;
        let path = self.certificate_path();
        Certificate::sign(&certificate, &key)?.write(&path)?;
        Ok(path)
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.folder().join("certificate.json")
    }
}

type Accepted = HashMap<(String, String), Kept>;

fn accepted_difference(kept: &Kept) -> AcceptedDifference {
    let Kept { store: _, key, verdict, change: _, primary, dr, reason } = kept.clone();
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
