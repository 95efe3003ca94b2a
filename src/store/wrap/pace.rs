//! How fast is written while it goes on: a person's hand on the throttle.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The steps between slow and fast, in percent of the limits that the profile sets.
const STEPS: [u32; 8] = [10, 25, 50, 75, 100, 150, 200, 400];

/// How fast is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaceState {
    /// Whether nothing is read or written for now.
    pub paused: bool,
    /// Items per second, in percent of the limits that the profile sets; where it sets none there is nothing to scale.
    pub percent: u32,
}

impl Default for PaceState {
    fn default() -> Self {
        PaceState { paused: false, percent: 100 }
    }
}

/// A change of the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceChange {
    /// One step slower.
    Slower,
    /// One step faster.
    Faster,
    /// So many percent of the profile's limits.
    Percent(u32),
    /// Nothing is read or written for now.
    Pause,
    /// What was paused goes on.
    Resume,
}

impl PaceState {
    /// The slowest and the fastest pace, in percent of the limits that the profile sets.
    pub const PERCENT_RANGE: std::ops::RangeInclusive<u32> = 1..=400;

    /// The pace after a change.
    pub fn after(self, change: PaceChange) -> PaceState {
        let now = self.percent;
        let percent = match change {
            PaceChange::Slower => STEPS.into_iter().rev().find(|step| *step < now).unwrap_or(now.min(STEPS[0])),
            PaceChange::Faster => STEPS.into_iter().find(|step| *step > now).unwrap_or(STEPS[STEPS.len() - 1]),
            PaceChange::Percent(percent) => percent,
            PaceChange::Pause | PaceChange::Resume => now,
        };
        let paused = match change {
            PaceChange::Pause => true,
            PaceChange::Resume => false,
            PaceChange::Slower | PaceChange::Faster | PaceChange::Percent(_) => self.paused,
        };
        PaceState { paused, percent }
    }

    /// Whether the pace is one that may be asked for.
    pub fn is_sound(self) -> bool {
        PaceState::PERCENT_RANGE.contains(&self.percent)
    }
}

/// A pace that many stores share and a person changes. Pausing holds back the next request, never one under way; a
/// database's snapshot stays open meanwhile.
#[derive(Debug)]
pub struct Pace(watch::Sender<PaceState>);

impl Default for Pace {
    fn default() -> Self {
        Pace(watch::Sender::new(PaceState::default()))
    }
}

impl Pace {
    /// How fast is written now.
    pub fn now(&self) -> PaceState {
        *self.0.borrow()
    }

    /// Changes it.
    pub fn change(&self, change: PaceChange) {
        self.0.send_modify(|pace| *pace = pace.after(change));
    }

    /// From now on at this pace.
    pub fn set(&self, state: PaceState) {
        self.0.send_replace(state);
    }

    /// Returns at once, or when nothing is held back any more.
    pub(super) async fn gate(&self) {
        // The sender is this very pace, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|pace| !pace.paused).await;
    }

    /// What so many items count for at this pace.
    pub(super) fn cost(&self, items: usize) -> usize {
        let percent = self.now().percent.max(1) as usize;
        items.saturating_mul(100).div_ceil(percent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn steps_end_at_both_ends() {
        let pace = Pace::default();
        (0..20).for_each(|_| pace.change(PaceChange::Slower));
        assert_eq!(pace.now().percent, 10);
        assert_eq!(pace.cost(5), 50);
        (0..20).for_each(|_| pace.change(PaceChange::Faster));
        assert_eq!((pace.now().percent, pace.cost(5)), (400, 2));
        pace.change(PaceChange::Slower);
        assert_eq!(pace.now().percent, 200);
    }

    #[test]
    fn changes_go_from_what_is() {
        let paused = PaceState { paused: true, percent: 5 };
        let percents = [PaceChange::Slower, PaceChange::Faster, PaceChange::Percent(7), PaceChange::Pause];
        assert_eq!(percents.map(|change| paused.after(change).percent), [5, 10, 7, 5], "slower is never faster");
        assert!(percents.iter().all(|change| paused.after(*change).paused), "a pause lasts until it is ended");
        assert!(!paused.after(PaceChange::Resume).paused);
    }

    #[tokio::test]
    async fn a_pause_holds_until_it_ends() {
        let pace = Arc::new(Pace::default());
        pace.gate().await;
        pace.change(PaceChange::Pause);
        let held = tokio::spawn({
            let pace = pace.clone();
            async move { pace.gate().await }
        });
        tokio::task::yield_now().await;
        assert!(!held.is_finished());
        pace.change(PaceChange::Resume);
        held.await.expect("it goes on");
    }
}
