//! An INCREMENTAL export as a log of changes.

use futures_util::StreamExt;
use futures_util::stream;

use super::Export;
use super::data::Source;
use crate::store::{ChangeLog, ChangeStream, Window};

/// What changed in a table in one window.
pub(super) struct IncrementalExport {
    pub(super) export: Export,
    pub(super) window: Window,
}

impl ChangeLog for IncrementalExport {
    fn name(&self) -> &str {
        &self.export.url
    }

    fn window(&self) -> Window {
        self.window
    }

    fn partitions(&self) -> usize {
        self.export.files.len()
    }

    fn changes(&self, partition: usize) -> ChangeStream<'_> {
        let export = &self.export;
        let Some(file) = export.files.get(partition) else { return stream::empty().boxed() };
        let has_old_images = export.summary.has_old_images;
        let source = Source {
            objects: export.objects.as_ref(),
            bucket: &export.place.bucket,
            file,
            kms_key: export.summary.kms_key.as_deref(),
            parse: move |line: &[u8]| export.format.change_of_line(line, has_old_images),
        };
        source.batches()
    }
}
