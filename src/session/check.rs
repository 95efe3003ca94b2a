//! Preflight: looks at everything, changes nothing, stops at nothing.

use serde::Serialize;

use super::{Result, Session, SessionError};
use crate::journal::Event;
use crate::model::Identity;
use crate::store::{ErrorKind, Finding, Level, StorePair, compare_shapes};

/// What preflight found of one store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreCheck {
    /// The store.
    pub store: String,
    /// The primary resource, where it answered.
    pub primary: Option<Identity>,
    /// The dr resource, where it answered.
    pub dr: Option<Identity>,
}

/// What preflight found.
#[derive(Debug, Clone, Serialize)]
pub struct CheckOutcome {
    /// The stores.
    pub stores: Vec<StoreCheck>,
    /// Today's weights, where the profile has a cutover: primary, dr, TTL in seconds.
    pub weights: Option<(u64, u64, u64)>,
    /// Everything found, blockers first.
    pub findings: Vec<Finding>,
    /// Whether every store could be looked at.
    pub complete: bool,
}

impl CheckOutcome {
    /// Whether something must be mended first.
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Blocker)
    }
}

pub(super) async fn shape_findings(pair: &StorePair) -> Result<Vec<Finding>> {
    let read = |source| SessionError::Store { store: pair.id.0.clone(), source };
    let primary = pair.primary.shape().await.map_err(read)?;
    let dr = pair.dr.shape().await.map_err(read)?;
    Ok(compare_shapes(&pair.id.0, &primary, &dr))
}

/// An error as a finding, with its whole chain of causes.
fn finding_of(subject: &str, error: &dyn std::error::Error) -> Finding {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        what = format!("{what}: {source}");
        cause = source.source();
    }
    Finding::new(Level::Blocker, subject, what)
}

/// A side that cannot be used, with what to do about it.
fn unusable(subject: &str, error: &SessionError) -> Finding {
    let finding = finding_of(subject, error);
    let hint = match error.store_kind() {
        Some(ErrorKind::Missing) => "check the names in the profile and the Region of that side",
        Some(ErrorKind::Denied) => "check that side's credentials and permissions",
        Some(kind) if kind.is_transient() => "run it again when the endpoint answers",
        _ => return finding,
    };
    finding.with_hint(hint)
}

/// Whether an error leaves it open what is there: what the profile names and nobody has is known not to be there.
fn leaves_open(error: &SessionError) -> bool {
    error.store_kind().is_some_and(|kind| kind != ErrorKind::Missing)
}

impl Session {
    /// Looks at both sides of every chosen store, the accounts and the weights.
    ///
    /// # Errors
    ///
    /// [`SessionError`] only when the journal fails: what cannot be reached is a finding.
    pub async fn check(&self) -> Result<CheckOutcome> {
        let mut outcome = CheckOutcome { stores: Vec::new(), weights: None, findings: Vec::new(), complete: true };
        self.check_accounts(&mut outcome).await;
        for store in self.chosen() {
            let mut found = StoreCheck { store: store.name.clone(), primary: None, dr: None };
            match self.pair(store).await {
                Err(error) => {
                    outcome.complete &= !leaves_open(&error);
                    outcome.findings.push(unusable(&store.name, &error));
                }
                Ok(pair) => check_pair(&pair, &mut found, &mut outcome).await,
            }
            outcome.stores.push(found);
        }
        if self.profile.cutover.is_some() {
            match self.weights().await {
                Ok(weights) => outcome.weights = Some(weights),
                Err(error) => {
                    outcome.complete = false;
                    outcome.findings.push(finding_of("cutover", &error));
                }
            }
        }
        outcome.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let findings = serde_json::to_value(&outcome.findings).expect("findings have only string keys");
        self.journal.append(&[Event::Checked { findings }])?;
        Ok(outcome)
    }

    async fn check_accounts(&self, outcome: &mut CheckOutcome) {
        for (name, side) in [("primary", &self.profile.primary), ("dr", &self.profile.dr)] {
            let Some(expected) = &side.account else { continue };
            match crate::store::aws::caller_account(side).await {
                Err(error) => {
                    outcome.complete = false;
                    outcome.findings.push(finding_of(name, &error));
                }
                Ok(found) if found.as_ref() != Some(expected) => {
                    let found = found.unwrap_or_else(|| "unknown".into());
                    let error = SessionError::WrongAccount { side: name.into(), found, expected: expected.clone() };
                    outcome.findings.push(finding_of(name, &error));
                }
                Ok(_) => {}
            }
        }
    }
}

async fn check_pair(pair: &StorePair, found: &mut StoreCheck, outcome: &mut CheckOutcome) {
    found.primary = pair.primary.identity().await.ok();
    found.dr = pair.dr.identity().await.ok();
    let (primary, dr) = futures_util::join!(pair.primary.check(), pair.dr.check());
    outcome.findings.extend(primary);
    outcome.findings.extend(dr);
    match shape_findings(pair).await {
        Ok(findings) => outcome.findings.extend(findings),
        Err(error) => {
            outcome.complete &= !leaves_open(&error);
            outcome.findings.push(unusable(&pair.id.0, &error));
        }
    }
}
