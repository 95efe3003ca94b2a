//! Returns customers in stages; and gives traffic back to dr, at any time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{Action, Result, Session, SessionError, SessionState, Surroundings};
use crate::cutover::{
    ChangeId, Cutover, CutoverEnd, CutoverEvent, HealthProbe, Route53Dial, TokioSleep, TrafficDial, probe_of,
};
use crate::journal::Event;
use crate::model::{Percent, Timestamp};
use crate::profile::{CutoverProfile, Profile};
use crate::verify::{Expectations, ExpectedStore, ParityProof};

/// A dial, ready to use.
enum OpenDial {
    Route53(Box<Route53Dial>),
    Given(Arc<dyn TrafficDial>),
}

impl OpenDial {
    fn get(&self) -> &dyn TrafficDial {
        match self {
            OpenDial::Route53(dial) => dial.as_ref(),
            OpenDial::Given(dial) => dial.as_ref(),
        }
    }
}

/// How a cutover ended.
#[derive(Debug, Clone, Serialize)]
pub struct CutoverOutcome {
    /// How it ended.
    pub end: CutoverEnd,
    /// Every step, in order.
    pub steps: Vec<CutoverEvent>,
}

impl Session {
    /// Shifts traffic to the primary stage by stage, on the session's certificate or the one at `certificate`.
    ///
    /// # Errors
    ///
    /// [`SessionError::ProofRefused`] with every reason against the certificate; nothing was shifted then.
    pub async fn cutover(
        &self,
        certificate: Option<PathBuf>,
        told: &mut (dyn FnMut(&CutoverEvent) + Send),
    ) -> Result<CutoverOutcome> {
        let profile = self.cutover_profile()?;
        let proof = self.proof(&certificate.unwrap_or_else(|| self.certificate_path()), profile).await?;
        let (dial, probe) = self.dial_and_probe(profile).await?;
        let cutover = Cutover {
            dial: dial.get(),
            profile,
            probe: probe.as_deref(),
            sleep: &TokioSleep,
            last_change: self.last_change()?,
        };
        let mut steps = Vec::new();
        let end = cutover
            .run(&proof, &mut |event| {
                self.record_step(&event)?;
                told(&event);
                steps.push(event);
                Ok(())
            })
            .await?;
        Ok(CutoverOutcome { end, steps })
    }

    /// Gives all traffic back to dr; needs no proof.
    ///
    /// # Errors
    ///
    /// [`SessionError::Cutover`] when the weights could not be changed, or after they were but it could not be recorded.
    pub async fn retreat(&self, told: &mut (dyn FnMut(&CutoverEvent) + Send)) -> Result<CutoverOutcome> {
        retreat(&self.profile, &self.around, &mut |event| {
            told(event);
            self.record_step(event)
        })
        .await
    }

    /// Today's weights: primary, dr, TTL in seconds. Changes nothing.
    pub(super) async fn weights(&self) -> Result<(u64, u64, u64)> {
        let dial = dial(&self.profile, self.cutover_profile()?, &self.around).await?;
        let weights = dial.get().read().await?;
        Ok((u64::from(weights.share.primary), u64::from(weights.share.dr), weights.ttl_seconds))
    }

    fn cutover_profile(&self) -> Result<&CutoverProfile> {
        cutover_of(&self.profile)
    }

    async fn proof(&self, certificate: &std::path::Path, profile: &CutoverProfile) -> Result<ParityProof> {
        let key = self.signing_key()?;
        let mut stores = Vec::new();
        for store in &self.profile.stores {
            let pair = self.pair(store).await?;
            let read = |source| SessionError::Store { store: store.name.clone(), source };
            stores.push(ExpectedStore {
                name: store.name.clone(),
                primary: pair.primary.identity().await.map_err(read)?,
                dr: pair.dr.identity().await.map_err(read)?,
            });
        }
        let expected = Expectations {
            profile: self.profile.name.clone(),
            public_key: key.public(),
            stores,
            now: self.shifting_since()?.unwrap_or_else(|| self.around.clock.now()),
            age_max: Duration::from_secs(profile.certificate_age_seconds_max),
            overtaken: overtaken(&self.state()?),
        };
        Ok(ParityProof::read(certificate, &expected)?)
    }

    async fn dial_and_probe(&self, profile: &CutoverProfile) -> Result<(OpenDial, Option<Box<dyn HealthProbe>>)> {
        let reached = &self.profile.primary;
        let probe = match &profile.health {
            Some(health) => Some(probe_of(health, reached, self.around.clock.clone()).await?),
            None => None,
        };
        Ok((dial(&self.profile, profile, &self.around).await?, probe))
    }

    fn record_step(&self, event: &CutoverEvent) -> Recorded {
        let share = match event {
            CutoverEvent::ShiftIntended { to, .. } | CutoverEvent::Shifted { to, .. } => Some(*to),
            CutoverEvent::RetreatIntended { .. } | CutoverEvent::Retreated { .. } => Some(Percent::ZERO),
            _ => None,
        };
        let step = serde_json::to_value(event)?;
        Ok(self.journal.append(&[Event::Traffic { share, step }])?)
    }

    /// When a cutover that is under way made its first shift: from then on the primary takes writes, so the certificate
    /// is judged as of that instant. `None` when no shift was made since the newest verification, or it was taken back.
    fn shifting_since(&self) -> Result<Option<crate::model::Timestamp>> {
        let state = self.state()?;
        let verified = state.verified.as_ref().map(|(at, _, _)| *at);
        let mut since = None;
        for (at, share, _) in state.traffic.iter().filter(|(at, _, _)| Some(*at) >= verified) {
            match share {
                Some(Percent::ZERO) => since = None,
                Some(_) => since = since.or(Some(*at)),
                None => {}
            }
        }
        Ok(since)
    }

    /// The last change this session made, to go on following it; `None` after an intent without an outcome, for then a
    /// newer change may be under way.
    fn last_change(&self) -> Result<Option<ChangeId>> {
        let state = self.state()?;
        let steps = state.traffic.into_iter().rev();
        let mut events = steps.filter_map(|(_, _, step)| serde_json::from_value::<CutoverEvent>(step).ok());
        Ok(events
            .find_map(|event| match event {
                CutoverEvent::Shifted { change, .. } | CutoverEvent::Retreated { change, .. } => Some(change),
                CutoverEvent::ShiftIntended { .. } | CutoverEvent::RetreatIntended { .. } => Some(None),
                _ => None,
            })
            .flatten())
    }
}

/// Gives all traffic back to dr where no journal can be had: a retreat needs nothing.
///
/// # Errors
///
/// [`SessionError::Cutover`] when the weights could not be changed.
pub async fn retreat_unrecorded(
    profile: &Profile,
    around: &Surroundings,
    told: &mut (dyn FnMut(&CutoverEvent) + Send),
) -> Result<CutoverOutcome> {
    retreat(profile, around, &mut |event| {
        told(event);
        Ok(())
    })
    .await
}

type Recorded = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn retreat(
    profile: &Profile,
    around: &Surroundings,
    told: &mut (dyn FnMut(&CutoverEvent) -> Recorded + Send),
) -> Result<CutoverOutcome> {
    let cutover_profile = cutover_of(profile)?;
    let dial = dial(profile, cutover_profile, around).await?;
    let cutover =
        Cutover { dial: dial.get(), profile: cutover_profile, probe: None, sleep: &TokioSleep, last_change: None };
    let mut steps = Vec::new();
    let end = cutover
        .retreat("asked for by the operator", &mut |event| {
            steps.push(event.clone());
            told(&event)
        })
        .await?;
    Ok(CutoverOutcome { end, steps })
}

fn cutover_of(profile: &Profile) -> Result<&CutoverProfile> {
    profile.cutover.as_ref().ok_or(SessionError::ProfileLacks { what: "[cutover]" })
}

async fn dial(profile: &Profile, cutover: &CutoverProfile, around: &Surroundings) -> Result<OpenDial> {
    Ok(match &around.dial {
        Some(dial) => OpenDial::Given(dial.clone()),
        None => OpenDial::Route53(Box::new(Route53Dial::connect(&profile.primary, cutover).await?)),
    })
}

/// What ended the worth of any certificate issued before it.
fn overtaken(state: &SessionState) -> Vec<(Timestamp, String)> {
    let mut overtaken = Vec::new();
    for (name, at, _) in &state.commands {
        match Action::named(name) {
            Some(Action::Replay) => overtaken.push((*at, "a replay to the primary began".to_owned())),
            Some(Action::Undo) => overtaken.push((*at, "an undo began".to_owned())),
            _ => {}
        }
    }
    if let Some((at, false, _)) = &state.verified {
        overtaken.push((*at, "the newest verification found that the sides differ".to_owned()));
    }
    for (made, (at, by)) in state.decisions.iter().filter_map(|made| Some((made, made.taken_back.as_ref()?))) {
        overtaken.push((*at, format!("{by} took back decision {}", made.number)));
    }
    let retreats = state.traffic.iter().filter(|(_, share, _)| *share == Some(Percent::ZERO));
    overtaken.extend(retreats.map(|(at, _, _)| (*at, "customers went back to dr".to_owned())));
    overtaken
}
