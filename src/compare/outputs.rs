//! The files that a comparison writes: a manifest of each side, and the delta.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tokio::task::JoinHandle;

use super::base::BaseSummary;
use super::settle::Settled;
use super::sides::SideLeaves;
use super::{BucketPair, CompareError, Comparison, Settings, SideLogs, SideSummary, body_bytes_read, forecast};
use crate::diff::{DeltaLine, HourCounts, ReplicationCounts, VerdictCounts};
use crate::digest::manifest::{MANIFEST_FORMAT, ManifestError, ManifestHeader, ManifestWriter, Part, PartWriter};
use crate::digest::{BUCKETS, Bucket, CANONICAL_FORMAT, bucket_root};
use crate::model::{Digest, Side, StoreId, Verdict};
use crate::store::StorePair;

/// Where the delta is until it is whole.
fn draft_of(delta: &Path) -> PathBuf {
    delta.with_added_extension("unfinished")
}

/// The files a comparison writes.
pub(super) struct Outputs {
    store: StoreId,
    primary: ManifestWriter,
    dr: ManifestWriter,
    writing: Option<JoinHandle<Result<BothParts, ManifestError>>>,
    delta: BufWriter<File>,
    delta_path: PathBuf,
    manifests: PathBuf,
    verdicts: VerdictCounts,
    hours: Option<HourCounts>,
    replication: ReplicationCounts,
    spelled: u64,
    base_items: u64,
    pub(super) base_read: u64,
    pub(super) base_roots: Box<[Digest; BUCKETS]>,
}

/// Parts of both sides' manifests, of the same buckets.
type BothParts = Vec<(Part, Part)>;

fn write_parts(
    first: usize,
    buckets: &[BucketPair],
    primary: &PartWriter,
    dr: &PartWriter,
) -> Result<BothParts, ManifestError> {
    // Both sides are written at the same time, so that half of the processors are for each.
    let each = buckets.len().div_ceil((rayon::current_num_threads() / 2).max(1)).max(1);
    let both = buckets.par_chunks(each).enumerate().map(|(number, buckets)| {
        let first = first + number * each;
        let of = |side: fn(&BucketPair) -> &Bucket| buckets.iter().map(side).collect::<Vec<_>>();
        let (primary, dr) = rayon::join(
            || primary.write(first, &of(|bucket| &bucket.primary)),
            || dr.write(first, &of(|bucket| &bucket.dr)),
        );
        Ok((primary?, dr?))
    });
    both.collect()
}

impl Outputs {
    pub(super) fn create(store: &StoreId, settings: &Settings) -> Result<Outputs, CompareError> {
        let manifest = |source| CompareError::Manifest { store: store.clone(), source };
        let delta_path = settings.delta.clone();
        let delta_error = |source| CompareError::Delta { store: store.clone(), path: delta_path.clone(), source };
        let parent = delta_path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(delta_error)?;
        let delta = BufWriter::new(File::create(draft_of(&delta_path)).map_err(delta_error)?);
        Ok(Outputs {
            store: store.clone(),
            writing: None,
            primary: ManifestWriter::create(&settings.manifests, Side::Primary).map_err(manifest)?,
            dr: ManifestWriter::create(&settings.manifests, Side::Dr).map_err(manifest)?,
            delta,
            delta_path,
            manifests: settings.manifests.clone(),
            verdicts: VerdictCounts::default(),
            hours: settings.hours_since.map(HourCounts::since),
            replication: ReplicationCounts::default(),
            spelled: 0,
            base_items: 0,
            base_read: 0,
            base_roots: Box::new([bucket_root(&[]); BUCKETS]),
        })
    }

    /// Writes buckets from `first` on; parts of manifests are made on every processor, while the next buckets are settled.
    pub(super) async fn write(
        &mut self,
        first: usize,
        buckets: Vec<BucketPair>,
        settled: &[Settled],
    ) -> Result<(), CompareError> {
        for (index, (bucket, settled)) in (first..).zip(buckets.iter().zip(settled)) {
            self.count(index, bucket, settled);
            for line in &settled.delta {
                self.line(line).map_err(|source| CompareError::Delta {
                    store: self.store.clone(),
                    path: self.delta_path.clone(),
                    source,
                })?;
            }
        }
        self.wait().await?;
        let (primary, dr) = (self.primary.parts(), self.dr.parts());
        self.writing = Some(tokio::task::spawn_blocking(move || write_parts(first, &buckets, &primary, &dr)));
        Ok(())
    }

    /// Waits for the parts that are being written.
    pub(super) async fn wait(&mut self) -> Result<(), CompareError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let parts = writing.await.expect("writing manifests does not panic");
        let parts = parts.map_err(|source| CompareError::Manifest { store: self.store.clone(), source })?;
        for (primary, dr) in parts {
            self.primary.add(primary);
            self.dr.add(dr);
        }
        Ok(())
    }

    fn count(&mut self, index: usize, bucket: &BucketPair, settled: &Settled) {
        self.base_items += bucket.joined.base_items;
        self.base_read += bucket.base_read;
        self.base_roots[index] = bucket.base_root;
        self.verdicts.add(Verdict::Unchanged, bucket.joined.unchanged + settled.unchanged);
        self.verdicts.add(Verdict::Converged, bucket.joined.converged + settled.converged);
        for line in &settled.delta {
            self.verdicts.add(line.verdict, 1);
            self.hours.iter_mut().for_each(|hours| hours.add(line.changed_at));
            self.replication.add(line.verdict, line.replication.as_ref());
            self.spelled += u64::from(line.spelling);
        }
    }

    fn line(&mut self, line: &DeltaLine) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.delta, line)?;
        self.delta.write_all(b"\n")
    }

    pub(super) fn finish(
        mut self,
        pair: &StorePair,
        (primary, dr): &(SideLeaves, SideLeaves),
        base: Option<BaseSummary>,
    ) -> Result<Comparison, CompareError> {
        let store = &pair.id;
        // What an earlier comparison found stays whole until this one is.
        let whole = self.delta.flush().and_then(|()| std::fs::rename(draft_of(&self.delta_path), &self.delta_path));
        whole.map_err(|source| CompareError::Delta { store: store.clone(), path: self.delta_path.clone(), source })?;
        let leaves_from = pair.primary.leaves_from();
        let side = |writer: ManifestWriter, side: Side, reading: &SideLeaves| {
            let header = ManifestHeader {
                format: MANIFEST_FORMAT,
                canonical_format: CANONICAL_FORMAT,
                store: store.clone(),
                side,
                identity: reading.identity.clone(),
                read_from: reading.read_from,
                read_until: reading.read_until,
                items: writer.items(),
                root: writer.root(),
                leaves: leaves_from.map(str::to_owned),
                parts: Vec::new(),
            };
            let header =
                writer.finish(header).map_err(|source| CompareError::Manifest { store: store.clone(), source })?;
            let ManifestHeader { identity, items, root, read_from, read_until, .. } = header;
            Ok(SideSummary { identity, items, root, read_from, read_until })
        };
        Ok(Comparison {
            store: store.clone(),
            kind: pair.primary.kind(),
            primary: side(self.primary, Side::Primary, primary)?,
            dr: side(self.dr, Side::Dr, dr)?,
            base: base.map(|base| BaseSummary { items: self.base_items, ..base }),
            verdicts: self.verdicts,
            hours: self.hours.filter(HourCounts::is_told),
            replication: Some(self.replication).filter(ReplicationCounts::is_told),
            spelled: self.spelled,
            delta: self.delta_path,
            manifests: self.manifests,
            lost_writes: None,
            indexes: pair.primary.indexes(),
            unattributed_because: None,
            reads: None,
            logs: primary.log.clone().zip(dr.log.clone()).map(|(primary, dr)| SideLogs { primary, dr }),
            body_bytes: body_bytes_read(pair),
            forecast: forecast(pair),
            leaves: leaves_from.map(str::to_owned),
            not_checked: Vec::new(),
            narrowed: None,
        })
    }
}
