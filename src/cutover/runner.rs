//! Carries out the moves: shift, follow, wait, watch, and take back when the primary is unwell.

use std::time::Duration;

use async_trait::async_trait;

use super::dial::{ChangeId, ChangeStatus, Result, TrafficDial, Weights};
use super::error::{CutoverError, CutoverErrorKind};
use super::event::{CutoverEnd, CutoverEvent, Observer};
use super::health::HealthProbe;
use super::next_move::{Health, Move, Propagation, Share, Situation, next_move, ttl_wait_seconds};
use crate::model::Percent;
use crate::profile::CutoverProfile;
use crate::verify::ParityProof;

/// Pause between two questions after one change, in seconds.
const INSYNC_POLL_SECONDS: u64 = 2;

/// Probes run at least this far apart, in seconds, whatever the profile says.
const PROBE_INTERVAL_SECONDS_MIN: u64 = 1;

/// Lets time pass; tests pass a sleeper that does not.
#[async_trait]
pub trait Sleep: Send + Sync {
    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

/// Sleeps on the machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleep;

#[async_trait]
impl Sleep for TokioSleep {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Everything a cutover works with.
///
/// It can be dropped at any await and run again: it goes on from the weights it then finds. Without the journal's last
/// change it waits longer instead of assuming that the change has arrived.
pub struct Cutover<'a> {
    /// What shares the traffic.
    pub dial: &'a dyn TrafficDial,
    /// Stages and times.
    pub profile: &'a CutoverProfile,
    /// How the primary's health is judged; `None` when the profile does not say.
    pub probe: Option<&'a dyn HealthProbe>,
    /// Lets time pass.
    pub sleep: &'a dyn Sleep,
    /// The last change an earlier run of this cutover made, from the journal.
    pub last_change: Option<ChangeId>,
}

impl Cutover<'_> {
    /// Shifts traffic to the primary stage by stage.
    ///
    /// # Errors
    ///
    /// [`CutoverErrorKind::NotRecorded`] when the observer refuses an event: a refused intent is not carried out;
    /// [`CutoverErrorKind::NotInsync`] when a change does not arrive in time; and the dial's own. None of them changes
    /// traffic: run it again, or retreat.
    pub async fn run(&self, proof: &ParityProof, observer: &mut Observer<'_>) -> Result<CutoverEnd> {
        let seen = self.dial.read().await?;
        let mut run = Run::begin(self, observer, seen);
        loop {
            let decided = next_move(&run.situation());
            if let Some(end) = run.act(decided, proof).await? {
                return Ok(end);
            }
            if let Some(drifted) = run.look_again().await? {
                return Ok(drifted);
            }
        }
    }

    /// Gives all traffic back to dr, at any time and without a proof; an observer's refusal does not hold it up.
    ///
    /// # Errors
    ///
    /// The dial's own; and [`CutoverErrorKind::NotRecorded`] after the retreat was made but could not be recorded.
    pub async fn retreat(&self, reason: &str, observer: &mut Observer<'_>) -> Result<CutoverEnd> {
        let reason = reason.to_owned();
        let intended = observer(CutoverEvent::RetreatIntended { reason: reason.clone() });
        let change = self.dial.retreat().await?;
        let made = observer(CutoverEvent::Retreated { reason: reason.clone(), change });
        intended.and(made).map_err(not_recorded)?;
        Ok(CutoverEnd::Retreated { reason })
    }
}

fn not_recorded(source: Box<dyn std::error::Error + Send + Sync>) -> CutoverError {
    CutoverError::caused(CutoverErrorKind::NotRecorded, "a cutover event could not be recorded", source)
}

/// What one run knows.
struct Run<'a, 'b> {
    cutover: &'a Cutover<'a>,
    observer: &'a mut Observer<'b>,
    seen: Weights,
    expected: Share,
    change: Option<ChangeId>,
    sync: Propagation,
    insync_waited_seconds: u64,
    ttl_waited_seconds: u64,
    watched_seconds: u64,
    health: Option<Health>,
}

impl<'a, 'b> Run<'a, 'b> {
    fn begin(cutover: &'a Cutover<'a>, observer: &'a mut Observer<'b>, seen: Weights) -> Run<'a, 'b> {
        let failures_max = cutover.profile.health.as_ref().map_or(1, |health| health.failures.max(1));
        let health = Health { failures_in_row: 0, failures_max, last_ok: None, next_probe_seconds: 0 };
        Run {
            cutover,
            observer,
            expected: seen.share,
            seen,
            change: cutover.last_change.clone(),
            sync: if cutover.last_change.is_some() { Propagation::Pending } else { Propagation::Unknown },
            insync_waited_seconds: 0,
            ttl_waited_seconds: 0,
            watched_seconds: 0,
            health: cutover.probe.map(|_| health),
        }
    }

    fn situation(&self) -> Situation<'a> {
        let profile = self.cutover.profile;
        Situation {
            stages: &profile.stages,
            observed: self.seen.share,
            expected: Some(self.expected),
            sync: self.sync,
            ttl_seconds: self.seen.ttl_seconds,
            ttl_waited_seconds: self.ttl_waited_seconds,
            hold_seconds: profile.hold_seconds,
            watched_seconds: self.watched_seconds,
            health: self.health,
        }
    }

    fn tell(&mut self, event: CutoverEvent) -> Result<()> {
        (self.observer)(event).map_err(not_recorded)
    }

    async fn act(&mut self, decided: Move, proof: &ParityProof) -> Result<Option<CutoverEnd>> {
        match decided {
            Move::Shift(to) => return self.shift(to, proof).await,
            Move::WaitInsync => self.follow().await?,
            Move::WaitTtl(seconds) => self.wait_ttl(seconds).await?,
            Move::Watch(seconds) => {
                self.pass(seconds).await?;
                self.watched_seconds = self.watched_seconds.saturating_add(seconds);
            }
            Move::Retreat(reason) => return self.cutover.retreat(&reason, self.observer).await.map(Some),
            Move::Drifted(reason) => return self.drifted(reason).map(Some),
            Move::Stop(reason) => {
                self.tell(CutoverEvent::Stopped { reason: reason.clone() })?;
                return Ok(Some(CutoverEnd::Stopped { reason }));
            }
            Move::Done => {
                self.tell(CutoverEvent::Done)?;
                return Ok(Some(CutoverEnd::Done));
            }
        }
        Ok(None)
    }

    fn drifted(&mut self, reason: String) -> Result<CutoverEnd> {
        self.tell(CutoverEvent::Drifted { reason: reason.clone() })?;
        Ok(CutoverEnd::Drifted { reason })
    }

    /// Reads the records again, so that a meddler is seen within one wait.
    async fn look_again(&mut self) -> Result<Option<CutoverEnd>> {
        let now = self.cutover.dial.read().await?;
        if now.share == self.expected && now.rest != self.seen.rest {
            return self.drifted("fields of the records other than the weights were changed".into()).map(Some);
        }
        self.seen = now;
        Ok(None)
    }

    async fn shift(&mut self, to: Percent, proof: &ParityProof) -> Result<Option<CutoverEnd>> {
        self.tell(CutoverEvent::ShiftIntended { from: self.seen.share, to })?;
        let change = match self.cutover.dial.shift(&self.seen, to, proof).await {
            Ok(change) => change,
            Err(error) if error.kind == CutoverErrorKind::Drifted => return self.drifted(error.to_string()).map(Some),
            Err(error) => return Err(error),
        };
        self.expected = Share::of(to);
        self.sync = if change.is_some() { Propagation::Pending } else { Propagation::Unknown };
        self.change = change.clone();
        self.insync_waited_seconds = 0;
        self.ttl_waited_seconds = 0;
        self.watched_seconds = 0;
        if let Some(health) = &mut self.health {
            health.last_ok = None;
        }
        self.tell(CutoverEvent::Shifted { to, change })?;
        Ok(None)
    }

    async fn follow(&mut self) -> Result<()> {
        let Some(change) = self.change.clone() else {
            self.sync = Propagation::Unknown;
            return Ok(());
        };
        match self.cutover.dial.change_status(&change).await? {
            ChangeStatus::Pending => {}
            ChangeStatus::Forgotten => {
                self.sync = Propagation::Unknown;
                return Ok(());
            }
            ChangeStatus::Insync => {
                self.sync = Propagation::Insync;
                return self.tell(CutoverEvent::Insync { change, ttl_seconds: self.seen.ttl_seconds });
            }
        }
        if self.insync_waited_seconds >= self.cutover.profile.insync_timeout_seconds {
            let what = format!("change {change} has not reached all DNS servers in {} s", self.insync_waited_seconds);
            return Err(CutoverError::new(CutoverErrorKind::NotInsync, what));
        }
        let next_probe_seconds = self.health.map_or(INSYNC_POLL_SECONDS, |health| health.next_probe_seconds);
        let seconds = INSYNC_POLL_SECONDS.min(next_probe_seconds);
        self.insync_waited_seconds = self.insync_waited_seconds.saturating_add(seconds);
        self.pass(seconds).await
    }

    async fn wait_ttl(&mut self, seconds: u64) -> Result<()> {
        self.pass(seconds).await?;
        self.ttl_waited_seconds = self.ttl_waited_seconds.saturating_add(seconds);
        if self.ttl_waited_seconds >= ttl_wait_seconds(&self.situation()) {
            return self.tell(CutoverEvent::TtlWaited { seconds: self.ttl_waited_seconds });
        }
        Ok(())
    }

    /// Lets time pass and probes when a probe is due.
    async fn pass(&mut self, seconds: u64) -> Result<()> {
        if seconds > 0 {
            self.cutover.sleep.sleep(Duration::from_secs(seconds)).await;
        }
        let (Some(probe), Some(mut health)) = (self.cutover.probe, self.health) else { return Ok(()) };
        health.next_probe_seconds = health.next_probe_seconds.saturating_sub(seconds);
        if health.next_probe_seconds == 0 {
            let probed = probe.probe().await;
            let interval = self.cutover.profile.health.as_ref().map_or(0, |health| health.interval_seconds);
            health.next_probe_seconds = interval.max(PROBE_INTERVAL_SECONDS_MIN);
            health.last_ok = Some(probed.ok);
            health.failures_in_row = if probed.ok { 0 } else { health.failures_in_row.saturating_add(1) };
            self.health = Some(health);
            return self.tell(CutoverEvent::Health { ok: probed.ok, detail: probed.detail });
        }
        self.health = Some(health);
        Ok(())
    }
}
