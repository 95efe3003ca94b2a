//! A FULL export as a store that is only read whole.

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream;

use super::Export;
use super::data::Source;
use crate::model::{Identity, Item, Key, StoreId, StoreKind};
use crate::store::{BodySource, Depth, ErrorKind, Finding, LeafStream, ReadStore, Result, Scan, Shape, StoreError};

/// A table as it was at one instant.
pub(super) struct FullExport(pub(super) Export);

impl BodySource for FullExport {}

#[async_trait]
impl ReadStore for FullExport {
    fn id(&self) -> &StoreId {
        &self.0.id
    }

    fn kind(&self) -> StoreKind {
        StoreKind::DynamoDb
    }

    /// An export never changes: its ARN is what it is.
    async fn identity(&self) -> Result<Identity> {
        let Export { url, summary, .. } = &self.0;
        let part = |at: usize| summary.export_arn.split(':').nth(at).filter(|part| !part.is_empty()).map(str::to_owned);
        Ok(Identity {
            kind: StoreKind::DynamoDb,
            resource: url.clone(),
            id: summary.export_arn.clone(),
            region: part(3),
            account: part(4),
        })
    }

    async fn shape(&self) -> Result<Shape> {
        Ok(Shape::default())
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn not_checked(&self) -> Vec<String> {
        super::super::check::not_checked()
    }

    async fn begin_scan(&self, _partitions: usize) -> Result<Box<dyn Scan + '_>> {
        Ok(Box::new(Files(&self.0)))
    }

    async fn fetch(&self, _keys: &[Key], _depth: Depth) -> Result<Vec<Option<Item>>> {
        let what = format!("{} is an export, which is read whole and not by key", self.0.url);
        Err(StoreError::new(ErrorKind::Unfit, what))
    }
}

/// The data files, each a partition.
struct Files<'a>(&'a Export);

impl Scan for Files<'_> {
    fn partitions(&self) -> usize {
        self.0.files.len().max(1)
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let export = self.0;
        // An export of no files holds no items, as its summary says.
        let Some(file) = export.files.get(partition) else { return stream::empty().boxed() };
        let source = Source {
            objects: export.objects.as_ref(),
            bucket: &export.place.bucket,
            file,
            kms_key: export.summary.kms_key.as_deref(),
            parse: |line: &[u8]| export.format.leaf_of_line(line),
        };
        source.batches()
    }

    fn estimate(&self) -> Option<u64> {
        Some(self.0.summary.items)
    }
}
