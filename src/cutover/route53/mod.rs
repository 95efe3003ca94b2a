//! The Route 53 dial: guarded changes of a weighted record pair.
//!
//! A shift is one batch that deletes both records exactly as they were observed and creates them with other weights: when
//! anybody changed either in between, Route 53 refuses the whole batch. Everything but the weight is carried over.

mod client;
mod list;
mod record;

use async_trait::async_trait;

pub use client::Route53;
pub use list::{Weighted, Zone};

use super::dial::{ChangeId, ChangeStatus, Result, TrafficDial, Weights};
use super::error::{CutoverError, CutoverErrorKind};
use super::next_move::Share;
use crate::model::Percent;
use crate::profile::{CutoverProfile, RecordProfile, SideProfile};
use crate::verify::ParityProof;
use client::Batch;
use record::Pair;

/// How often a retreat is tried against records that others are changing.
const RETREAT_ATTEMPTS_MAX: u32 = 5;

/// Dials a weighted record pair of a hosted zone.
pub struct Route53Dial {
    route53: Route53,
    hosted_zone: String,
    record: RecordProfile,
}

impl Route53Dial {
    /// Connects to Route 53 the way `reached` says and reads the pair once.
    ///
    /// # Errors
    ///
    /// [`CutoverErrorKind::Unfit`] when the pair is not there or cannot be dialled, and the connection's own.
    pub async fn connect(reached: &SideProfile, cutover: &CutoverProfile) -> Result<Route53Dial> {
        let CutoverProfile { hosted_zone, record, .. } = cutover;
        let route53 = Route53::connect(reached).await;
        let dial = Route53Dial { route53, hosted_zone: hosted_zone.clone(), record: record.clone() };
        dial.pair().await?;
        Ok(dial)
    }

    async fn pair(&self) -> Result<Pair> {
        let records = self.route53.records(&self.hosted_zone, &self.record).await?;
        Pair::find(records, &self.record)
    }

    /// Makes a change from the pair just read; `Ok(Err(..))` is Route 53's word that the pair is no longer so.
    async fn set(&self, pair: &Pair, share: Share) -> Result<std::result::Result<Option<ChangeId>, String>> {
        match self.route53.change(&self.hosted_zone, pair.changes_to(share)?).await {
            Ok(Batch::Accepted(id)) => Ok(Ok(Some(id))),
            // A refusal, or no reply at all: an earlier try of the same batch may have been applied.
            Ok(Batch::Refused(why)) if self.pair().await?.is_as(pair, share) => {
                tracing::debug!(why, "the change is made, its reply was lost");
                Ok(Ok(None))
            }
            Ok(Batch::Refused(why)) => Ok(Err(why)),
            Err(error) => match self.pair().await {
                Ok(now) if now.is_as(pair, share) => Ok(Ok(None)),
                _ => Err(error),
            },
        }
    }
}

#[async_trait]
impl TrafficDial for Route53Dial {
    async fn read(&self) -> Result<Weights> {
        Ok(self.pair().await?.weights())
    }

    async fn shift(&self, seen: &Weights, to: Percent, _proof: &ParityProof) -> Result<Option<ChangeId>> {
        let pair = self.pair().await?;
        let now = pair.weights();
        let drifted = |what: String| Err(CutoverError::new(CutoverErrorKind::Drifted, what));
        if now != *seen {
            let other = if now.share == seen.share { " and other fields of the records differ" } else { "" };
            return drifted(format!(
                "the weights of {} are {}, they were {}{other}",
                self.record.name, now.share, seen.share
            ));
        }
        match self.set(&pair, Share::of(to)).await? {
            Ok(change) => Ok(change),
            Err(why) => drifted(format!("Route 53 refused to change {}: {why}", self.record.name)),
        }
    }

    async fn retreat(&self) -> Result<Option<ChangeId>> {
        let mut refused = String::new();
        for _ in 0..RETREAT_ATTEMPTS_MAX {
            let pair = self.pair().await?;
            if pair.weights().share.is_all_dr() {
                return Ok(None);
            }
            match self.set(&pair, Share::of(Percent::ZERO)).await? {
                Ok(change) => return Ok(change),
                Err(why) => refused = why,
            }
        }
        let what = format!("Route 53 refused {RETREAT_ATTEMPTS_MAX} times to give {} back to dr", self.record.name);
        Err(CutoverError::caused(CutoverErrorKind::Drifted, what, refused))
    }

    async fn change_status(&self, change: &ChangeId) -> Result<ChangeStatus> {
        self.route53.change_status(change).await
    }
}
