//! A reading that goes on in a task of its own, so that rows are hashed on every processor.

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::model::Leaf;
use crate::store::{ErrorKind, LeafStream, Result, StoreError};

/// Leaves in one batch.
pub(in crate::store) const BATCH: usize = 1_000;

/// Batches read ahead of whoever takes them.
const BATCHES_AHEAD: usize = 1;

/// What the task has read.
enum Read {
    Leaves(Vec<Leaf>),
    Failed(StoreError),
    /// Everything was read: without this, an end is no end.
    All,
}

/// Where a reading puts its leaves.
pub(in crate::store) struct Taker(mpsc::Sender<Read>);

impl Taker {
    /// Hands over what was read, when there is enough of it.
    ///
    /// # Errors
    ///
    /// When nobody takes it any more.
    pub(in crate::store) async fn take(&self, leaves: &mut Vec<Leaf>) -> Result<()> {
        if leaves.len() < BATCH {
            return Ok(());
        }
        self.take_all(leaves).await
    }

    /// Hands over what was read, however little.
    ///
    /// # Errors
    ///
    /// When nobody takes it any more.
    pub(in crate::store) async fn take_all(&self, leaves: &mut Vec<Leaf>) -> Result<()> {
        if leaves.is_empty() {
            return Ok(());
        }
        let gone = |_| StoreError::new(ErrorKind::Other, "nobody takes what is read");
        self.0.send(Read::Leaves(std::mem::take(leaves))).await.map_err(gone)
    }
}

/// The leaves that `read` hands over, from a task that begins when they are first asked for.
pub(in crate::store) fn in_a_task<R>(read: impl FnOnce(Taker) -> R + Send + 'static) -> LeafStream<'static>
where
    R: Future<Output = Result<()>> + Send + 'static,
{
    let begun = async move {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        tokio::spawn(async move {
            let end = match read(Taker(sender.clone())).await {
                Ok(()) => Read::All,
                Err(error) => Read::Failed(error),
            };
            // Who has gone away hears nothing.
            let _ = sender.send(end).await;
        });
        received(receiver)
    };
    stream::once(begun).flatten().boxed()
}

fn received(receiver: mpsc::Receiver<Read>) -> LeafStream<'static> {
    let next = async |receiver: Option<mpsc::Receiver<Read>>| {
        let Some(mut receiver) = receiver else { return Ok(None) };
        match receiver.recv().await {
            Some(Read::Leaves(leaves)) => Ok(Some((leaves, Some(receiver)))),
            Some(Read::Failed(error)) => Err(error),
            Some(Read::All) => Ok(None),
            None => Err(StoreError::new(ErrorKind::Other, "the reading ended before everything was read")),
        }
    };
    stream::try_unfold(Some(receiver), next).boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;
    use crate::model::{Digest, Key};

    fn leaf(number: u32) -> Leaf {
        Leaf { key: Key::from_canonical(number.to_be_bytes()), digest: Digest([0; 32]), size: 1, modified_at: None }
    }

    #[tokio::test]
    async fn leaves_come_whole_and_an_error_after_them() {
        let read = |fails: bool| {
            async move |taker: Taker| {
                let mut leaves = Vec::new();
                for number in 0..5_000 {
                    leaves.push(leaf(number));
                    taker.take(&mut leaves).await?;
                }
                taker.take_all(&mut leaves).await?;
                if fails { Err(StoreError::new(ErrorKind::Other, "cut")) } else { Ok(()) }
            }
        };
        let batches: Vec<Vec<Leaf>> = in_a_task(read(false)).try_collect().await.expect("read");
        assert_eq!(batches.concat(), (0..5_000).map(leaf).collect::<Vec<_>>());
        assert!(in_a_task(read(true)).try_collect::<Vec<_>>().await.is_err());
    }

    #[tokio::test]
    async fn a_task_that_breaks_off_is_no_end() {
        let broken = in_a_task(async |_: Taker| panic!("broken off"));
        assert!(broken.try_collect::<Vec<_>>().await.is_err());
    }
}
