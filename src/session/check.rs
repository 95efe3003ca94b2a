//! Preflight: looks at everything, changes nothing, stops at nothing.

use serde::Serialize;

use super::open::{Sides, connect_buckets, connect_table, open_sides};
use super::rescue::{RescueOutcome, RescueState};
use super::{Result, Session, SessionError, require_distinct};
use crate::compare::Base;
use crate::control::Guide;
use crate::journal::Event;
use crate::model::{Identity, Side, StoreId, StoreKind};
use crate::profile::{Resources, StoreProfile};
use crate::store::aws::caller_account;
use crate::store::s3::archived_findings;
use crate::store::{ErrorKind, Finding, Level, ReadStore, StorePair, WHOLE, compare_shapes};

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

/// What a profile says of the exports that a rescue made of one store.
#[derive(Debug, Clone, Serialize)]
pub struct RescuedStore {
    /// The store.
    pub store: StoreId,
    /// The lines of its table in the profile, in TOML.
    pub lines: Vec<String>,
}

/// What preflight found.
#[derive(Debug, Clone, Serialize)]
pub struct CheckOutcome {
    /// The stores.
    pub stores: Vec<StoreCheck>,
    /// Rescues whose exports are all there, and that the profile does not name yet.
    pub rescued: Vec<RescuedStore>,
    /// Today's weights, where the profile has a cutover: primary, dr, TTL in seconds.
    pub weights: Option<(u64, u64, u64)>,
    /// Everything found, blockers first.
    pub findings: Vec<Finding>,
    /// What a person does about some of it, step by step.
    pub guides: Vec<Guide>,
    /// Whether every store could be looked at.
    pub complete: bool,
}

impl Default for CheckOutcome {
    /// Nothing was looked at yet, and nothing is missing so far.
    fn default() -> CheckOutcome {
        CheckOutcome {
            stores: Vec::new(),
            rescued: Vec::new(),
            weights: None,
            findings: Vec::new(),
            guides: Vec::new(),
            complete: true,
        }
    }
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
    let findings = compare_shapes(&pair.id.0, &primary, &dr);
    let has_columns = matches!(pair.primary.kind(), StoreKind::Postgres | StoreKind::Mysql);
    Ok(if has_columns { findings.into_iter().map(with_mapping_hint).collect() } else { findings })
}

/// A difference between columns with what may be done about it.
fn with_mapping_hint(finding: Finding) -> Finding {
    let is_of_columns = !finding.what.starts_with(WHOLE) && !finding.what.starts_with("sequence ");
    match finding.level == Level::Blocker && is_of_columns {
        true => finding.with_hint(MAPPING_HINT),
        false => finding,
    }
}

/// What may be done about models that are apart.
const MAPPING_HINT: &str =
    "bring one side's model to the other's, or say in [[store.mapping]] how dr's columns are read as the primary's";

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

impl CheckOutcome {
    /// Tells what stands in the way. What is not there was looked for, so the look is complete; anything else is not known.
    fn tell(&mut self, subject: &str, error: &dyn std::error::Error, kind: Option<ErrorKind>) {
        self.complete &= matches!(kind, None | Some(ErrorKind::Missing));
        let finding = finding_of(subject, error);
        self.findings.push(match kind {
            Some(kind) => finding.with_hint(kind.remedy()),
            None => finding,
        });
    }

    fn tell_session(&mut self, subject: &str, error: &SessionError) {
        self.tell(subject, error, error.store_kind());
    }
}

impl Session {
    /// Looks at both sides of every chosen store, the accounts and the weights.
    ///
    /// # Errors
    ///
    /// [`SessionError`] only when the session's files cannot be written: what cannot be reached is a finding.
    pub async fn check(&self) -> Result<CheckOutcome> {
        let mut outcome = CheckOutcome::default();
        self.check_accounts(&mut outcome).await;
        for store in self.chosen() {
            let sides = open_sides(&self.profile, store, &self.around).await;
            let found = self.check_sides(store, sides, &mut outcome).await;
            outcome.stores.push(found);
            self.check_bases(store, &mut outcome).await;
            self.check_archived(store, &mut outcome).await;
            self.check_rescued(store, &mut outcome).await;
        }
        // What asks many services is a large future, which a small stack must not hold.
        Box::pin(self.check_control(&mut outcome)).await?;
        if self.profile.cutover.is_some() {
            match self.weights().await {
                Ok(weights) => outcome.weights = Some(weights),
                Err(error) => outcome.tell_session("cutover", &error),
            }
        }
        outcome.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let findings = serde_json::to_value(&outcome.findings).expect("findings have only string keys");
        self.journal.append(&[Event::Checked { findings }])?;
        Ok(outcome)
    }

    /// Looks at both sides of a store, its base and its changes.
    async fn check_sides(&self, store: &StoreProfile, sides: Sides, outcome: &mut CheckOutcome) -> StoreCheck {
        let mut found = StoreCheck { store: store.name.clone(), primary: None, dr: None };
        let subject = |side: Side| format!("{} {side}", store.name);
        match &sides.primary {
            Ok(primary) => found.primary = check_side(&subject(Side::Primary), primary.as_ref(), outcome).await,
            Err(error) => outcome.tell(&subject(Side::Primary), error, Some(error.kind)),
        }
        match &sides.dr {
            Ok(dr) => found.dr = check_side(&subject(Side::Dr), dr.as_ref(), outcome).await,
            Err(error) => outcome.tell(&subject(Side::Dr), error, Some(error.kind)),
        }
        if let Some(Err(error)) = &sides.base {
            outcome.tell(&subject(Side::Base), error, Some(error.kind));
        }
        if let Err(error) = &sides.changes {
            outcome.tell(&format!("{} changes", store.name), error, Some(error.kind));
        }
        let Ok(pair) = sides.pair(StoreId(store.name.clone())) else { return found };
        if let Err(error) = self.with_changes(store, &pair, Base::None) {
            outcome.tell_session(&format!("{} changes", store.name), &error);
        }
        if let Err(error) = require_distinct(&pair).await {
            outcome.tell_session(&store.name, &error);
        }
        match shape_findings(&pair).await {
            Ok(findings) => outcome.findings.extend(findings),
            Err(error) => outcome.tell_session(&store.name, &error),
        }
        found
    }

    /// Tells which bases of a table exist and when each expires. A side that cannot be reached is told already.
    async fn check_bases(&self, store: &StoreProfile, outcome: &mut CheckOutcome) {
        let Resources::DynamoDb { .. } = &store.resources else { return };
        for side in [Side::Primary, Side::Dr] {
            let reached = if side == Side::Primary { &self.profile.primary } else { &self.profile.dr };
            if let Ok(table) = connect_table(&self.profile, store, side, &self.around.clock).await {
                let found = table.check_bases(reached, self.dr_as_of(), self.around.clock.as_ref()).await;
                outcome.findings.extend(found);
            }
        }
    }

    /// Tells which objects must be restored first. A side that cannot be reached is told already.
    async fn check_archived(&self, store: &StoreProfile, outcome: &mut CheckOutcome) {
        let Resources::S3 { .. } = &store.resources else { return };
        let Ok((primary, dr)) = connect_buckets(&self.profile, store).await else { return };
        match archived_findings(&primary, &dr).await {
            Ok(findings) => outcome.findings.extend(findings),
            Err(error) => outcome.tell(&format!("{} archived objects", store.name), &error, Some(error.kind)),
        }
    }

    /// Tells how far the exports of this session's rescue are, and once all are there what the profile says of them.
    async fn check_rescued(&self, store: &StoreProfile, outcome: &mut CheckOutcome) {
        let subject = format!("{} rescue", store.name);
        let exports = match self.rescued_exports(store).await {
            Ok(exports) if exports.is_empty() => return,
            Ok(exports) => exports,
            Err(error) => return outcome.tell_session(&subject, &error),
        };
        let there = exports.iter().filter(|export| export.state == RescueState::Completed).count();
        if there < exports.len() {
            let what = format!("{there} of {} exports are there", exports.len());
            let hint =
                "failback checkpoint --rescue goes on with them; once all are there, check prints the profile's lines";
            return outcome.findings.push(Finding::new(Level::Note, subject, what).with_hint(hint));
        }
        let id = StoreId(store.name.clone());
        let lines = RescueOutcome { exports, snapshots: Vec::new(), problems: Vec::new() }.profile_lines(&id);
        // What stands in quotes in them are the exports; of two that hold the whole table one is enough.
        let mut urls = lines.iter().flat_map(|line| line.split('"').skip(1).step_by(2));
        if urls.all(|url| store.names_export(url)) {
            return;
        }
        let what =
            "all exports are there, and the profile does not name them yet: its lines are printed below".to_owned();
        outcome.findings.push(Finding::new(Level::Note, subject, what));
        outcome.rescued.push(RescuedStore { store: id, lines });
    }

    async fn check_accounts(&self, outcome: &mut CheckOutcome) {
        for side in [Side::Primary, Side::Dr] {
            if let Err(error) = self.require_account(side).await {
                outcome.tell_session(&side.to_string(), &error);
            }
        }
    }

    /// Makes sure that both sides are the accounts that the profile says.
    pub(super) async fn require_accounts(&self) -> Result<()> {
        self.require_account(Side::Primary).await?;
        self.require_account(Side::Dr).await
    }

    async fn require_account(&self, side: Side) -> Result<()> {
        let reached = if side == Side::Primary { &self.profile.primary } else { &self.profile.dr };
        let Some(expected) = &reached.account else { return Ok(()) };
        let asked = caller_account(reached).await;
        let found = asked.map_err(|source| SessionError::Account { side, source })?;
        if found.as_ref() == Some(expected) {
            return Ok(());
        }
        let found = found.unwrap_or_else(|| "unknown".into());
        Err(SessionError::WrongAccount { side, found, expected: expected.clone() })
    }
}

/// Looks at one side; gives what it is.
async fn check_side(subject: &str, side: &dyn ReadStore, outcome: &mut CheckOutcome) -> Option<Identity> {
    outcome.findings.extend(side.check().await);
    match side.identity().await {
        Ok(identity) => Some(identity),
        Err(error) => {
            outcome.tell(subject, &error, Some(error.kind));
            None
        }
    }
}
