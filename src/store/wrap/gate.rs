//! A store that asks before it is written whether it may be.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{forward_facts, read_inside};
use crate::model::{Identity, Item, Key, Timestamp};
use crate::store::{
    BodySource, BodyStream, Changes, Counter, Depth, ErrorKind, Finding, GuardedWrite, History, LogMark, LogStart,
    Outcome, ReadStore, Result, Scan, Shape, StoreError, WriteStore,
};

/// Batches that are written on one answer.
const BATCHES_TRUSTED: u32 = 50;

/// Knows whether a resource may be written.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Why nothing may be written now; `None` only where it is known that it may.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from knowing, which closes the gate as well.
    async fn closed(&self) -> Result<Option<String>>;
}

/// A store that is written only while its gate is open: it is asked before the first batch and before every fiftieth.
pub struct Gated<S: ?Sized> {
    inner: Arc<S>,
    gate: Arc<dyn Gate>,
    /// Batches that may still be written on the last answer.
    trusted: Mutex<u32>,
}

impl<S: WriteStore + ?Sized> Gated<S> {
    /// The store `inner` behind `gate`.
    pub fn new(inner: Arc<S>, gate: Arc<dyn Gate>) -> Gated<S> {
        Gated { inner, gate, trusted: Mutex::new(0) }
    }

    async fn pass(&self) -> Result<()> {
        // Batches that are sent at the same time wait for the one answer.
        let mut trusted = self.trusted.lock().await;
        if *trusted == 0 {
            if let Some(why) = self.gate.closed().await? {
                let what = format!("nothing was written to {} primary: {why}", self.inner.id());
                return Err(StoreError::new(ErrorKind::Unfit, what));
            }
            *trusted = BATCHES_TRUSTED;
        }
        *trusted -= 1;
        Ok(())
    }
}

#[async_trait]
impl<S: BodySource + ?Sized> BodySource for Gated<S> {
    async fn open_body(&self, item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
        self.inner.open_body(item, range).await
    }
}

read_inside!(Gated);

#[async_trait]
impl<S: WriteStore + ?Sized> WriteStore for Gated<S> {
    fn is_transactional(&self) -> bool {
        self.inner.is_transactional()
    }

    fn writes_at_once(&self) -> usize {
        self.inner.writes_at_once()
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.pass().await?;
        self.inner.apply(writes).await
    }

    fn prior_bodies(self: Arc<Self>, saved: &Path) -> Arc<dyn BodySource> {
        Arc::clone(&self.inner).prior_bodies(saved)
    }

    async fn preserve(&self, item: &Item, saved: &Path) -> Result<()> {
        self.inner.preserve(item, saved).await
    }

    async fn tidy(&self, saved: &Path) -> Result<Vec<Finding>> {
        self.inner.tidy(saved).await
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        self.pass().await?;
        self.inner.raise_counters(counters).await
    }

    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        self.inner.check_constraints().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::model::{Side, StoreId};
    use crate::store::memory::{MemoryStore, MemoryTable};

    /// Answers by script, and opens once the script has ended.
    struct Scripted(std::sync::Mutex<Vec<Result<Option<String>>>>, AtomicU32);

    #[async_trait]
    impl Gate for Scripted {
        async fn closed(&self) -> Result<Option<String>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.lock().expect("no panics").pop().unwrap_or(Ok(None))
        }
    }

    fn gated(answers: Vec<Result<Option<String>>>) -> (Gated<MemoryStore>, Arc<Scripted>) {
        let gate = Arc::new(Scripted(std::sync::Mutex::new(answers), AtomicU32::new(0)));
        let store = MemoryStore::new(StoreId("ledger".into()), Side::Primary, MemoryTable::new("primary"));
        (Gated::new(Arc::new(store), Arc::clone(&gate) as Arc<dyn Gate>), gate)
    }

    #[tokio::test]
    async fn what_is_closed_or_unknown_is_not_written_and_is_asked_again() {
        let unknown = StoreError::new(ErrorKind::Denied, "cannot ask");
        let (store, gate) = gated(vec![Err(unknown), Ok(Some("it is a member".into()))]);
        let error = store.apply(&[]).await.expect_err("closed");
        assert_eq!(error.to_string(), "nothing was written to ledger primary: it is a member");
        let error = store.raise_counters(&[]).await.expect_err("unknown");
        assert_eq!((error.kind, error.to_string()), (ErrorKind::Denied, "cannot ask".into()));
        store.apply(&[]).await.expect("open");
        assert_eq!(gate.1.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn an_answer_is_good_for_fifty_batches() {
        let (store, gate) = gated(Vec::new());
        for _ in 0..=BATCHES_TRUSTED {
            store.apply(&[]).await.expect("open");
        }
        assert_eq!(gate.1.load(Ordering::Relaxed), 2);
    }
}
