//! The seam to whatever shares traffic between the two sides.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::CutoverError;
use super::next_move::Share;
use crate::model::{Digest, Percent};
use crate::verify::ParityProof;

/// What a dial operation gives.
pub type Result<T> = std::result::Result<T, CutoverError>;

/// The id of a change that is on its way to all DNS servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeId(pub String);

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a change has reached all DNS servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeStatus {
    /// Not yet.
    Pending,
    /// Yes.
    Insync,
    /// The service does not know the change any more.
    Forgotten,
}

/// The records as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// The weights.
    pub share: Share,
    /// How long answers may be cached, in seconds: the longer of the two records'.
    pub ttl_seconds: u64,
    /// Whether the records are aliases of other AWS resources.
    pub alias: bool,
    /// BLAKE3 of everything else in the records, so that any change by others shows. Of use only within one process.
    pub rest: Digest,
}

/// Shares traffic between the primary and dr.
#[async_trait]
pub trait TrafficDial: Send + Sync {
    /// Reads the records.
    async fn read(&self) -> Result<Weights>;

    /// Gives the primary `to` of the traffic, if the records are still as `seen`. Gives the change to follow, or `None` when
    /// the shift was seen to be made but its reply was lost.
    ///
    /// # Errors
    ///
    /// [`super::CutoverErrorKind::Drifted`] when the records are not as seen: nothing was changed.
    async fn shift(&self, seen: &Weights, to: Percent, proof: &ParityProof) -> Result<Option<ChangeId>>;

    /// Gives all traffic to dr, whatever the weights are now; needs no proof. Gives `None` when nothing had to be changed, or
    /// the change was seen to be made but its reply was lost.
    async fn retreat(&self) -> Result<Option<ChangeId>>;

    /// Asks how far a change has come.
    async fn change_status(&self, change: &ChangeId) -> Result<ChangeStatus>;
}
