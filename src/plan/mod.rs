//! From a delta and a policy to a plan: steps, held items and accepted differences. Pure.
//!
//! A plan is immutable. The executor makes no choices: what is not a step here is not written.

mod decide;
mod forecast;
mod limits;
mod rule;
mod shuffle;

use serde::{Deserialize, Serialize};

pub use decide::{Decision, Ruling, Rulings, decide};
pub use forecast::{Forecast, forecast};
pub use limits::{Allowances, PlanCounts, limit_reasons};
pub use rule::Rule;
pub use shuffle::Shuffle;

use crate::diff::DeltaLine;
use crate::model::{Change, Digest, Key, StoreId, Verdict};

/// One guarded write, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The store.
    pub store: StoreId,
    /// The item.
    pub key: Key,
    /// The key as JSON text, for messages.
    pub key_json: String,
    /// Why it differs.
    pub verdict: Verdict,
    /// What happens on the primary.
    pub change: Change,
    /// What the primary held when the plan was made.
    pub expected: Option<Digest>,
    /// What dr held when the plan was made, and the primary shall hold.
    pub wanted: Option<Digest>,
    /// Steps run in ascending phases: deletes of children before parents, then upserts of parents before children.
    pub phase: i64,
    /// Size of what is written, in bytes.
    pub bytes: u64,
}

impl Step {
    /// The step that makes the primary what dr is.
    pub fn follow_dr(line: &DeltaLine, key: Key) -> Step {
        let rank = i64::from(line.rank);
        Step {
            store: line.store.clone(),
            key,
            key_json: line.key.to_string(),
            verdict: line.verdict,
            change: line.change,
            expected: line.primary,
            wanted: line.dr,
            phase: if line.change == Change::Delete { -1 - rank } else { rank },
            bytes: line.bytes,
        }
    }

    /// The bytes that a plan's digest covers.
    pub fn digest_into(&self, hasher: &mut blake3::Hasher) {
        let optional = |digest: &Option<Digest>| digest.map_or([0; 32], |digest| digest.0);
        for part in [self.store.0.as_bytes(), self.key.as_bytes(), self.change.word().as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&[u8::from(self.expected.is_some()), u8::from(self.wanted.is_some())]);
        hasher.update(&optional(&self.expected));
        hasher.update(&optional(&self.wanted));
        hasher.update(&self.phase.to_le_bytes());
    }
}

/// An item left as it is: held for a person, or accepted as a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The store.
    pub store: StoreId,
    /// The key as a JSON object.
    pub key: serde_json::Value,
    /// Why it differs.
    pub verdict: Verdict,
    /// What following dr would have done.
    pub change: Change,
    /// What the primary held.
    pub primary: Option<Digest>,
    /// What dr held.
    pub dr: Option<Digest>,
    /// Why it was kept, in words.
    pub reason: String,
    /// The canonical key bytes in hexadecimal; empty in what older versions wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub canonical_key: String,
    /// The number of the decision that accepted it, where it was a decision of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<i64>,
}

impl Kept {
    /// Keeps the item of a delta line.
    pub fn new(line: &DeltaLine, reason: impl Into<String>) -> Kept {
        Kept {
            store: line.store.clone(),
            key: line.key.clone(),
            verdict: line.verdict,
            change: line.change,
            primary: line.primary,
            dr: line.dr,
            reason: reason.into(),
            canonical_key: line.canonical_key.clone(),
            decision: None,
        }
    }
}
