//! What happened in a session.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::{Digest, Percent, StoreId, Timestamp};

/// One thing that happened. Contents of items are never in here; prior images have a table of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A command began.
    Began {
        /// Its name.
        command: String,
        /// This program's version.
        version: String,
        /// The profile's digest; a changed profile is a changed session.
        profile: Digest,
    },
    /// A command ended.
    Ended {
        /// Its name.
        command: String,
        /// Its exit code.
        exit_code: u8,
    },
    /// Preflight was done.
    Checked {
        /// The findings.
        findings: Json,
    },
    /// A comparison of one store was finished.
    Compared {
        /// Which command compared: `diff`, `plan`, `verify` or `checkpoint`.
        by: String,
        /// The comparison.
        comparison: Json,
    },
    /// A plan was made.
    Planned {
        /// Its id: the digest of its steps.
        plan: Digest,
        /// Counts by store and the resources it is bound to.
        summary: Json,
    },
    /// A step is about to be written; its prior image is stored.
    Intended {
        /// The plan.
        plan: Digest,
        /// The store.
        store: StoreId,
        /// The key's canonical bytes in hexadecimal.
        key: String,
        /// The primary's digest before.
        prior: Option<Digest>,
        /// The primary's digest after.
        wanted: Option<Digest>,
    },
    /// A step is done.
    Done {
        /// The store.
        store: StoreId,
        /// The key's canonical bytes in hexadecimal.
        key: String,
    },
    /// A step was refused: the primary holds something else, or something stands in the way.
    Refused {
        /// The store.
        store: StoreId,
        /// The key's canonical bytes in hexadecimal.
        key: String,
        /// Why.
        reason: String,
    },
    /// A step no longer fits: dr changed since the plan. The next pass plans it anew.
    Stale {
        /// The store.
        store: StoreId,
        /// The key's canonical bytes in hexadecimal.
        key: String,
    },
    /// Counters of the primary were raised.
    CountersRaised {
        /// The store.
        store: StoreId,
        /// The counters with their new values.
        counters: Json,
    },
    /// A person decided about held items; the items are rows of their own, sealed.
    Decided {
        /// The decision's number within the session, from 1.
        number: i64,
        /// Who decided.
        by: String,
        /// The ruling's word.
        choice: String,
        /// What it was decided on, in words.
        scope: String,
        /// How many items.
        items: u64,
        /// The seal over the items.
        seal: String,
        /// The file with both sides' contents, where they are kept for the business.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        file: Option<String>,
    },
    /// A decision was taken back.
    TakenBack {
        /// Its number.
        number: i64,
        /// Who took it back.
        by: String,
    },
    /// A person allowed plans of this session to pass limits.
    Allowed {
        /// Who.
        by: String,
        /// What was allowed, in words.
        what: Vec<String>,
    },
    /// A replay pass ended.
    Replayed {
        /// The plan.
        plan: Digest,
        /// Counts by store and outcome.
        summary: Json,
    },
    /// Writes to dr were stopped, and it was proved.
    Frozen {
        /// The evidence.
        evidence: Json,
    },
    /// A verification ended.
    Verified {
        /// Whether it found parity.
        parity: bool,
        /// The findings, counts and roots.
        summary: Json,
        /// The certificate's file, where one was issued.
        certificate: Option<String>,
    },
    /// A weight change is about to be made, was made, or what came of it.
    Traffic {
        /// The primary's share that is or was aimed at.
        share: Option<Percent>,
        /// The step of the cutover.
        step: Json,
    },
    /// An undo is about to restore a prior image.
    UndoIntended {
        /// The store.
        store: StoreId,
        /// The key's canonical bytes in hexadecimal.
        key: String,
    },
    /// A prior image was restored.
    Undone {
        /// The store.
        store: StoreId,
        /// The key's canonical bytes in hexadecimal.
        key: String,
    },
    /// A prior image was not restored: the item has changed since the replay.
    UndoRefused {
        /// The store.
        store: StoreId,
        /// The key's canonical bytes in hexadecimal.
        key: String,
        /// Why.
        reason: String,
    },
}

/// An event with its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Its number, from 1 without gaps.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}
