//! How fast is written while it goes on: a person's hand on the throttle.

use tokio::sync::watch;

/// The steps between slow and fast, in percent of the limits that the profile sets.
const STEPS: [u32; 8] = [10, 25, 50, 75, 100, 150, 200, 400];

/// How fast is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// One step slower.
    pub fn slower(&self) {
        self.0.send_modify(|pace| {
            pace.percent = STEPS.into_iter().rev().find(|step| *step < pace.percent).unwrap_or(STEPS[0])
        });
    }

    /// One step faster.
    pub fn faster(&self) {
        let fastest = STEPS[STEPS.len() - 1];
        self.0
            .send_modify(|pace| pace.percent = STEPS.into_iter().find(|step| *step > pace.percent).unwrap_or(fastest));
    }

    /// Holds everything back, or lets it go on.
    pub fn toggle_pause(&self) {
        self.0.send_modify(|pace| pace.paused = !pace.paused);
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
        (0..20).for_each(|_| pace.slower());
        assert_eq!(pace.now().percent, 10);
        assert_eq!(pace.cost(5), 50);
        (0..20).for_each(|_| pace.faster());
        assert_eq!((pace.now().percent, pace.cost(5)), (400, 2));
        pace.slower();
        assert_eq!(pace.now().percent, 200);
    }

    #[tokio::test]
    async fn a_pause_holds_until_it_ends() {
        let pace = Arc::new(Pace::default());
        pace.gate().await;
        pace.toggle_pause();
        let held = tokio::spawn({
            let pace = pace.clone();
            async move { pace.gate().await }
        });
        tokio::task::yield_now().await;
        assert!(!held.is_finished());
        pace.toggle_pause();
        held.await.expect("it goes on");
    }
}
