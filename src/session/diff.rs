//! Reads both sides, classifies, and changes nothing.

use std::path::Path;

use serde::Serialize;

use super::checkpoint::is_of;
use super::whole::remove;
use super::{Result, Session, SessionError};
use crate::compare::{Base, ChangeEvidence, Comparison, Known, LogUse, compare, compare_changed};
use crate::digest::manifest::Manifest;
use crate::journal::Event;
use crate::model::{Side, Timestamp};
use crate::profile::{BaseProfile, ReadScope, StoreProfile};
use crate::store::{BaseStoreKind, StorePair};

/// What a diff found.
#[derive(Debug, Clone, Serialize)]
pub struct DiffOutcome {
    /// The comparisons, in the profile's order.
    pub stores: Vec<Comparison>,
    /// How many seconds each store's base is older than Tb, where that can be told.
    pub base_age_seconds: Vec<Option<i64>>,
}

impl DiffOutcome {
    /// Whether every store is the same on both sides.
    pub fn at_parity(&self) -> bool {
        self.stores.iter().all(Comparison::at_parity)
    }
}

/// How much of both sides is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everything.
    Whole,
    /// What the stores' change logs say was touched since the session's last comparison, where they reach back to it;
    /// everything elsewhere. It is a forecast: writers are live, and a log lags.
    Touched,
    /// What the exports that the profile names say was changed; it says what it rests on.
    Named,
}

impl Reach {
    /// What the profile asks for.
    pub(super) fn of(scope: ReadScope) -> Reach {
        match scope {
            ReadScope::All => Reach::Whole,
            ReadScope::Changed => Reach::Named,
        }
    }
}

impl Session {
    /// Compares every chosen store.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when any store cannot be read in full: there is no partial result.
    pub async fn diff(&self) -> Result<DiffOutcome> {
        let mut outcome = DiffOutcome { stores: Vec::new(), base_age_seconds: Vec::new() };
        for store in self.chosen() {
            let pair = self.pair_for_forecast(store).await?;
            let comparison = self.compare(store, &pair, Reach::of(store.changes.read)).await?;
            let as_of = comparison.base.as_ref().and_then(|base| base.as_of);
            outcome.base_age_seconds.push(self.base_age_seconds(as_of));
            outcome.stores.push(comparison);
        }
        Ok(outcome)
    }

    /// Compares one store with its base, and records the comparison.
    pub(super) async fn compare(&self, store: &StoreProfile, pair: &StorePair, reach: Reach) -> Result<Comparison> {
        self.require_same_shape(pair).await?;
        let base = self.with_changes(store, pair, self.base(store, pair)?)?;
        // A forecast leaves the files of the last full reading alone: plans rest on those.
        let is_forecast = pair.primary.forecast().is_some() || pair.dr.forecast().is_some();
        let mut settings = self.settings(store, if is_forecast { "forecast" } else { "diff" });
        settings.attribute_since = self.dr_as_of().filter(|_| matches!(base, Base::None));
        let (journal, id) = (self.journal.clone(), pair.id.clone());
        settings.common_since = std::sync::Arc::new(move |key| Ok(journal.after_image(&id, key)?));
        let (clock, progress) = (self.around.clock.as_ref(), self.around.progress.as_ref());
        let comparison = match reach {
            Reach::Whole | Reach::Touched => {
                settings.logs = self.log_use(pair, &settings.manifests, reach)?;
                compare(pair, &base, &settings, clock, progress).await?
            }
            Reach::Named => {
                // The manifests of a comparison of everything are what an undo is proved by: they stay.
                settings.manifests = self.folder().join("manifests").join("changed").join(&store.name);
                compare_changed(pair, &base, &settings, (clock, progress)).await?
            }
        };
        let recorded = serde_json::to_value(&comparison).expect("a comparison has only string keys");
        self.journal.append(&[Event::Compared { by: "diff".into(), comparison: recorded }])?;
        Ok(comparison)
    }

    /// What the change logs are for; puts the manifests of the last comparison aside where a pass follows them.
    fn log_use(&self, pair: &StorePair, manifests: &Path, reach: Reach) -> Result<LogUse> {
        let state = self.state()?;
        let last = state.comparisons.get(&pair.id).filter(|_| reach == Reach::Touched);
        let Some((comparison, logs)) = last.and_then(|last| Some((last, last.logs.clone()?))) else {
            return Ok(LogUse::Watched);
        };
        let aside = self.folder().join("manifests/known").join(&pair.id.0);
        if !logs.can_be_followed() {
            return Ok(LogUse::Watched);
        }
        if is_of(comparison, manifests) {
            let moved = remove(&aside)
                .and_then(|()| std::fs::create_dir_all(aside.parent().unwrap_or(Path::new("."))))
                .and_then(|()| std::fs::rename(manifests, &aside));
            moved.map_err(|source| SessionError::File { path: aside.clone(), source })?;
        }
        // Where they are neither here nor there, following them fails and says so.
        let Comparison { primary, dr, .. } = comparison.clone();
        Ok(LogUse::Followed(Box::new(Known { manifests: aside, primary, dr, logs })))
    }

    /// Tb: what dr's data represented at failover.
    pub(super) fn dr_as_of(&self) -> Option<Timestamp> {
        self.profile.dr_as_of.or(self.profile.disaster_at)
    }

    pub(super) fn base_age_seconds(&self, as_of: Option<Timestamp>) -> Option<i64> {
        Some(self.dr_as_of()?.as_second() - as_of?.as_second())
    }

    fn base(&self, store: &StoreProfile, pair: &StorePair) -> Result<Base> {
        let refuse =
            |why: String| SessionError::Compare(crate::compare::CompareError::Base { store: pair.id.clone(), why });
        if store.base != BaseProfile::None && self.profile.disaster_at.is_none() {
            return Err(refuse("the profile has no disaster_at, so the base's age cannot be judged".into()));
        }
        if let Some(base) = &pair.base {
            if let (BaseStoreKind::Export, Some(as_of), Some(disaster)) =
                (base.kind, base.as_of, self.profile.disaster_at)
                && as_of > disaster
            {
                return Err(refuse(format!(
                    "the export is of {as_of}, after the disaster at {disaster}: what never reached dr would look as if \
                     both sides had it; take one from before it"
                )));
            }
            return Ok(Base::Store(base.clone()));
        }
        let BaseProfile::Checkpoint(name) = &store.base else { return Ok(Base::None) };
        let folder = self.checkpoint_folder(name).join(&store.name);
        let manifest = Manifest::open(&folder, Side::Primary).map_err(|source| {
            SessionError::Compare(crate::compare::CompareError::Manifest { store: pair.id.clone(), source })
        })?;
        // A forecast is held against no base.
        let is_forecast = pair.primary.forecast().is_some() || pair.dr.forecast().is_some();
        if let Some(why) = other_leaves(&manifest, pair).filter(|_| !is_forecast) {
            return Err(refuse(format!("checkpoint {name} {why}, or take a checkpoint anew")));
        }
        let taken = manifest.header.read_until;
        match self.profile.disaster_at {
            Some(disaster) if taken > disaster => Err(refuse(format!(
                "checkpoint {name} was taken at {taken}, after the disaster at {disaster}: take one from before it"
            ))),
            _ => Ok(Base::Manifest(Box::new(manifest))),
        }
    }

    /// The base with what the changes of both sides tell on top of it.
    pub(super) fn with_changes(&self, store: &StoreProfile, pair: &StorePair, below: Base) -> Result<Base> {
        if pair.changes.primary.is_empty() && pair.changes.dr.is_empty() {
            return Ok(below);
        }
        let refuse =
            |why: String| SessionError::Compare(crate::compare::CompareError::Base { store: pair.id.clone(), why });
        let (Some(at), Some(disaster)) = (self.dr_as_of(), self.profile.disaster_at) else {
            return Err(refuse("the profile has no disaster_at, so it cannot be told which changes count".into()));
        };
        let seconds = i64::try_from(store.policy.base_age_tolerance_seconds).unwrap_or(i64::MAX);
        let tolerance = jiff::SignedDuration::from_secs(seconds);
        let evidence = ChangeEvidence::new(pair.changes.clone(), at, disaster, tolerance).map_err(refuse)?;
        Ok(Base::Changes { below: Box::new(below), evidence })
    }
}

/// Why the leaves of a manifest say nothing to those that a store gives now, where they are made of something else.
pub(super) fn other_leaves(manifest: &Manifest, pair: &StorePair) -> Option<String> {
    let (then, now) = (manifest.header.leaves.as_deref(), pair.primary.leaves_from());
    let (field, whole) = pair.primary.leaves_setting();
    let word = |leaves: Option<&str>| leaves.unwrap_or(whole).to_owned();
    (then != now).then(|| {
        let (then, now) = (word(then), word(now));
        format!(
            "was made with {field} = \"{then}\", and the profile says \"{now}\" now: neither can be held against the \
             other; set it as it was"
        )
    })
}
