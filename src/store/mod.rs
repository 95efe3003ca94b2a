//! Where the data lives: one trait to read a side, one to write the primary, one folder per kind of store.
//!
//! Adapters hash close to the wire: a scan yields leaves, and contents are fetched only for keys that differ. No SDK type
//! leaves its folder. Throttling, retrying, dry running and injected faults are wrappers around a store, never flags in it.
//! The dr side is only ever held as a [`ReadStore`].

pub mod aws;
mod body;
mod changes;
pub mod conformance;
pub mod dynamodb;
mod error;
mod finding;
pub mod memory;
pub mod mysql;
pub mod postgres;
pub mod s3;
mod spent;
pub(crate) mod sql;
mod taken;
mod window;
pub mod wrap;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use body::{BodySource, BodyStream, NoBodies};
pub use changes::{ChangeRecord, ChangeSet, Changes, History, Image, LogMark, LogStart};
pub use error::{ErrorKind, StoreError};
pub use finding::{Finding, Level, Shape, WHOLE, compare_shapes};
pub use spent::Spent;
pub use sql::RowStore;
pub use window::{ChangeChain, ChangeLog, ChangeStream, ItemThen, KeyChange, PairChanges, Window};
pub use write::{Counter, Expected, GuardedWrite, Outcome, Wanted};

use crate::model::{Identity, Item, Key, Leaf, StoreId, StoreKind, Timestamp};

/// What a store operation gives.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Batches of leaves from one partition, in any order; repeats are allowed.
pub type LeafStream<'a> = BoxStream<'a, Result<Vec<Leaf>>>;

/// How deep [`ReadStore::fetch`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What the store tells without reading bodies.
    Evidence,
    /// Everything: bodies are streamed and hashed, so that any two items share a kind of proof.
    Content,
}

/// One side of one store, to be read.
#[async_trait]
pub trait ReadStore: BodySource {
    /// Its name in the profile.
    fn id(&self) -> &StoreId;

    /// What it is.
    fn kind(&self) -> StoreKind;

    /// Asks which very resource this is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Missing`] when there is no such resource, and the connection's own.
    async fn identity(&self) -> Result<Identity>;

    /// The resource's shape (key schema, columns, types): both sides must agree before items can be compared.
    async fn shape(&self) -> Result<Shape>;

    /// Preflight: what an operator should know of this side before relying on it. Collects, never stops at the first.
    async fn check(&self) -> Vec<Finding>;

    /// What a comparison of this kind of store does not look at, in words, for the certificate.
    fn not_checked(&self) -> Vec<String>;

    /// Bytes of bodies that were read only to compare items, since this store was connected.
    fn body_bytes_read(&self) -> u64 {
        0
    }

    /// Why what is read here is only a forecast, in words, where it is: it never counts as parity.
    fn forecast(&self) -> Option<String> {
        None
    }

    /// Begins one reading of the whole store, split into about `partitions` parts.
    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>>;

    /// Reads items by key, in the order of `keys`; `None` where there is no such item. Reads are strongly consistent.
    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>>;

    /// What is known of an item that is not there, in words for a person: how it went, where the store keeps a history.
    async fn absence(&self, _key: &Key) -> Result<Option<String>> {
        Ok(None)
    }

    /// The item, as it was read here, with the proofs that make it comparable with `like`, an item of another side with
    /// which it shares none: its body is read, once. Stores whose items always share a proof give it back as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unfit`] when the item has changed since.
    async fn prove_like(&self, item: &Item, _like: &Item) -> Result<Item> {
        Ok(item.clone())
    }

    /// The rank of a key's container: items of a lower rank must exist before those of a higher one (parents before
    /// children). Known after [`ReadStore::shape`] or [`ReadStore::begin_scan`].
    fn rank(&self, _key: &Key) -> u32 {
        0
    }

    /// Why the item of a key must not be deleted on this side, whatever a policy says: what would go with it could not be
    /// brought back. Known when [`ReadStore::rank`] is.
    fn holds_deletes(&self, _key: &Key) -> Option<String> {
        None
    }

    /// Where the store's change log stands now, to be asked before a reading begins: whatever is written after this was
    /// asked is after the mark. `now` is the current instant.
    async fn log_start(&self, _now: Timestamp) -> Result<LogStart> {
        Ok(LogStart::NoLog(format!("stores of kind {} have no change log", self.kind())))
    }

    /// The keys that were touched since a mark of this very store's log, as far as the log has them by now. What is not in
    /// it yet comes with the next reading, from [`ChangeSet::until`]; what it has lost is a gap, never left out.
    async fn changes(&self, _since: &LogMark, _now: Timestamp) -> Result<Changes> {
        Ok(Changes::NoLog(format!("stores of kind {} have no change log", self.kind())))
    }

    /// Everything the store's change log still has, and since when that is all.
    async fn history(&self, _now: Timestamp) -> Result<History> {
        let why = format!("stores of kind {} have no change log", self.kind());
        Ok(History { whole_since: None, changes: Changes::NoLog(why) })
    }

    /// What this side's requests took so far, where the service tells.
    fn spent(&self) -> Spent {
        Spent::default()
    }

    /// About how many read units reading all of this side takes, where the service tells; known after a connection.
    fn units_to_read(&self) -> Option<u64> {
        None
    }

    /// Indexes that every write of an item may write as well; known after [`ReadStore::shape`] or a connection.
    fn indexes(&self) -> u64 {
        0
    }

    /// Regions that the service itself replicates this resource to; known after a connection.
    fn replicates_to(&self) -> &[String] {
        &[]
    }

    /// How far the service's own replication came with an item of this kind of store, in the service's words; `None` where
    /// no rule took it, or there is no such thing.
    fn replication<'i>(&self, _item: &'i Item) -> Option<&'i str> {
        None
    }

    /// What the leaves of a scan are made of, in a word, where that is less than the contents of items: leaves that are made
    /// of something else say nothing to them.
    fn leaves_from(&self) -> Option<&'static str> {
        None
    }

    /// The profile's field that says what leaves are made of, and its value where that is the contents of items.
    fn leaves_setting(&self) -> (&'static str, &'static str) {
        ("compare", "everything")
    }

    /// Whether items of one leaf may differ: leaves are not made of all that items have.
    fn leaves_are_partial(&self) -> bool {
        false
    }

    /// Whether two items differ in what leaves of this store are not made of.
    fn differ_beside_leaves(&self, _one: &Item, _other: &Item) -> bool {
        false
    }

    /// Counters that hand out new keys, such as sequences.
    async fn counters(&self) -> Result<Vec<Counter>> {
        Ok(Vec::new())
    }
}

/// One reading of a whole store; a snapshot where the store has them, held until this is dropped.
pub trait Scan: Send + Sync {
    /// Number of partitions, at least 1.
    fn partitions(&self) -> usize;

    /// The leaves of one partition. May be called again for the same partition after an error.
    fn leaves(&self, partition: usize) -> LeafStream<'_>;

    /// About how many leaves there are, for progress only.
    fn estimate(&self) -> Option<u64>;
}

/// The primary side of one store, to be written.
#[async_trait]
pub trait WriteStore: ReadStore {
    /// Applies guarded writes and tells the outcome of each, in order. Repeating a write changes nothing.
    ///
    /// # Errors
    ///
    /// An error says nothing of any write in the batch: read the items again.
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>>;

    /// Whether writes that are handed over together may be one transaction, so that nothing may part them.
    fn is_transactional(&self) -> bool {
        false
    }

    /// How many writes are best handed over together, at least 1; they are recorded together as well.
    fn writes_at_once(&self) -> usize {
        100
    }

    /// Makes sure that `item`, as it is now on this side, can be restored later from its contents alone; copies a body
    /// that a write would destroy into `saved`.
    async fn preserve(&self, _item: &Item, _saved: &std::path::Path) -> Result<()> {
        Ok(())
    }

    /// Before writes: frees what an earlier run noted in `saved` and left half done, and notes there from now on.
    async fn tidy(&self, _saved: &std::path::Path) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// Where the bodies of prior images are read when they are restored: from `saved`, or from this side's own history.
    fn prior_bodies(self: Arc<Self>, _saved: &std::path::Path) -> Arc<dyn BodySource> {
        Arc::new(NoBodies)
    }

    /// Raises counters to at least the given values; a counter is never lowered. Gives those that were raised.
    async fn raise_counters(&self, _counters: &[Counter]) -> Result<Vec<Counter>> {
        Ok(Vec::new())
    }

    /// After all steps: what the guarded writes could not check, such as foreign keys that were switched off.
    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
}

/// Both sides of one store, and the base where one is a store of its own.
#[derive(Clone)]
pub struct StorePair {
    /// Its name in the profile.
    pub id: StoreId,
    /// The side that is written.
    pub primary: Arc<dyn WriteStore>,
    /// The side that is read.
    pub dr: Arc<dyn ReadStore>,
    /// The base, when it is read from a store (a table or database restored aside, or version history).
    pub base: Option<BaseStore>,
    /// What logs of changes tell of both sides.
    pub changes: PairChanges,
}

/// A base that is read from a store.
#[derive(Clone)]
pub struct BaseStore {
    /// The store that holds the base.
    pub store: Arc<dyn ReadStore>,
    /// The instant it stands for, where the store can tell.
    pub as_of: Option<Timestamp>,
    /// Changes that lead from what the store holds to that instant.
    pub since: ChangeChain,
    /// What sort of store it is.
    pub kind: BaseStoreKind,
}

/// What sort of store holds a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseStoreKind {
    /// A table or database restored aside, or version history.
    Restored,
    /// An export, which nothing writes any more.
    Export,
}

impl BaseStoreKind {
    /// Its word in reports.
    pub fn word(self) -> &'static str {
        match self {
            BaseStoreKind::Restored => "store",
            BaseStoreKind::Export => "export",
        }
    }
}

impl BaseStore {
    /// A store that was restored aside, or version history, as of `as_of`.
    pub fn restored(store: Arc<dyn ReadStore>, as_of: Option<Timestamp>) -> BaseStore {
        BaseStore { store, as_of, since: ChangeChain::default(), kind: BaseStoreKind::Restored }
    }
}
