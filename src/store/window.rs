//! What changed on one side over a span of time, as a log of its changes tells.

use std::sync::Arc;

use futures_util::stream::BoxStream;

use super::{ErrorKind, Result, StoreError};
use crate::model::{Key, Leaf, Timestamp};

/// A span of time, from inclusive, to exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

/// One item at one instant, as far as a log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemThen {
    /// The log does not tell.
    Untold,
    /// There was no such item.
    Absent,
    /// The item was this.
    Present(Leaf),
}

/// What a window did to one key: all of its writes, folded into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The key.
    pub key: Key,
    /// The instant of the last write.
    pub written_at: Timestamp,
    /// The item just before the window.
    pub before: ItemThen,
    /// The item at the window's end; never untold.
    pub after: ItemThen,
}

/// Batches of changes of one partition of a log, in any order; repeats are allowed.
pub type ChangeStream<'a> = BoxStream<'a, Result<Vec<KeyChange>>>;

/// Every change of one side over one window.
pub trait ChangeLog: Send + Sync {
    /// Where it comes from, for words.
    fn name(&self) -> &str;

    /// The window it covers in full.
    fn window(&self) -> Window;

    /// Number of partitions.
    fn partitions(&self) -> usize;

    /// The changes of one partition.
    fn changes(&self, partition: usize) -> ChangeStream<'_>;
}

/// Logs of one side that follow one another without a gap, earliest first.
#[derive(Clone, Default)]
pub struct ChangeChain(Vec<Arc<dyn ChangeLog>>);

impl ChangeChain {
    /// Puts logs in order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unfit`] when there is a gap between two of them, which is named, or one lies within another.
    pub fn new(mut logs: Vec<Arc<dyn ChangeLog>>) -> Result<ChangeChain> {
        logs.sort_by_key(|log| (log.window().from, log.window().to));
        let unfit = |what: String| Err(StoreError::new(ErrorKind::Unfit, what));
        for pair in logs.windows(2) {
            let (earlier, later) = (pair[0].window(), pair[1].window());
            let names = format!("{} and {}", pair[0].name(), pair[1].name());
            if later.from > earlier.to {
                return unfit(format!(
                    "nothing tells what changed from {} to {}: between {names}",
                    earlier.to, later.from
                ));
            }
            // Overlaps are harmless, since the later log holds the later state; a log within another would roll it back.
            if later.to <= earlier.to {
                return unfit(format!("the windows of {names} lie within one another: leave the shorter one out"));
            }
        }
        Ok(ChangeChain(logs))
    }

    /// The logs, earliest first.
    pub fn logs(&self) -> &[Arc<dyn ChangeLog>] {
        &self.0
    }

    /// Whether there is no log.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the first log's beginning to the last one's end.
    pub fn window(&self) -> Option<Window> {
        Some(Window { from: self.0.first()?.window().from, to: self.0.last()?.window().to })
    }

    /// The chain's sources, for words.
    pub fn names(&self) -> String {
        self.0.iter().map(|log| log.name()).collect::<Vec<_>>().join(", ")
    }
}

/// What is known of the changes of both sides of a store.
#[derive(Clone, Default)]
pub struct PairChanges {
    /// Changes of the primary.
    pub primary: ChangeChain,
    /// Changes of dr.
    pub dr: ChangeChain,
}
