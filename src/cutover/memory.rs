//! A dial without a network, for rehearsals and tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::dial::{ChangeId, ChangeStatus, Result, TrafficDial, Weights};
use super::error::{CutoverError, CutoverErrorKind};
use super::next_move::Share;
use crate::model::{Digest, Percent};
use crate::verify::ParityProof;

/// Two weights in memory; every change is pending the first time it is asked for, as Route 53's are.
#[derive(Debug)]
pub struct MemoryDial {
    state: Mutex<State>,
    ttl_seconds: u64,
}

#[derive(Debug)]
struct State {
    share: Share,
    changes: Vec<ChangeStatus>,
}

impl MemoryDial {
    /// A dial with these weights, whose answers may be cached for `ttl_seconds`.
    pub fn new(share: Share, ttl_seconds: u64) -> MemoryDial {
        MemoryDial { state: Mutex::new(State { share, changes: Vec::new() }), ttl_seconds }
    }

    /// The weights now.
    pub fn share(&self) -> Share {
        self.state().share
    }

    /// Changes the weights as somebody else would.
    pub fn meddle(&self, share: Share) {
        self.state().share = share;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is a single assignment or push: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self, share: Share) -> ChangeId {
        self.share = share;
        self.changes.push(ChangeStatus::Pending);
        ChangeId((self.changes.len() - 1).to_string())
    }
}

#[async_trait]
impl TrafficDial for MemoryDial {
    async fn read(&self) -> Result<Weights> {
        let share = self.share();
        Ok(Weights { share, ttl_seconds: self.ttl_seconds, alias: false, rest: Digest([0; 32]) })
    }

    async fn shift(&self, seen: &Weights, to: Percent, _proof: &ParityProof) -> Result<Option<ChangeId>> {
        let mut state = self.state();
        if state.share != seen.share {
            let what = format!("the weights are {}, they were {}", state.share, seen.share);
            return Err(CutoverError::new(CutoverErrorKind::Drifted, what));
        }
        Ok(Some(state.change(Share::of(to))))
    }

    async fn retreat(&self) -> Result<Option<ChangeId>> {
        let mut state = self.state();
        Ok((!state.share.is_all_dr()).then(|| state.change(Share::of(Percent::ZERO))))
    }

    async fn change_status(&self, change: &ChangeId) -> Result<ChangeStatus> {
        let mut state = self.state();
        let found = change.0.parse::<usize>().ok().and_then(|index| state.changes.get_mut(index));
        Ok(found.map_or(ChangeStatus::Forgotten, |status| std::mem::replace(status, ChangeStatus::Insync)))
    }
}
