//! Bodies: contents too large to hold, streamed from where they are.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{ErrorKind, Result, StoreError};
use crate::model::Item;

/// A body in order, in chunks of the source's choice.
pub type BodyStream = BoxStream<'static, Result<Bytes>>;

/// Gives the body that an item's contents refer to.
#[async_trait]
pub trait BodySource: Send + Sync {
    /// Streams bytes `from..until` of the body of `item`, exactly as it was when the item was read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unfit`] when the body has changed since, or the kind of store has no bodies.
    async fn open_body(&self, _item: &Item, _range: std::ops::Range<u64>) -> Result<BodyStream> {
        Err(StoreError::new(ErrorKind::Unfit, "this kind of store has no bodies"))
    }
}

/// The source of stores whose items hold everything.
#[derive(Debug, Clone, Copy)]
pub struct NoBodies;

impl BodySource for NoBodies {}
