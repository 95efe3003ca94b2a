//! Collects the leaves of one scan into buckets, in memory up to a budget and then in files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::BUCKETS;
use super::bucket::{Bucket, bucket_of};
use super::rows::Rows;
use super::shape::Shapes;
use crate::model::Leaf;

/// What the place of one leaf takes while a bucket is sorted: twice its word and where it is.
const PLACE_BYTES: usize = 32;

const SPILL_FILE: &str = "leaves";

/// Spilling failed, for example because the disk is full.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A spill file could not be written.
    #[error("cannot spill digests to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A spill file could not be read back.
    #[error("cannot read spilled digests from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Receives the leaves of one side in any order.
#[derive(Debug)]
pub struct LeafSink {
    buckets: Vec<Rows>,
    shapes: Shapes,
    /// What one bucket may hold in memory; keys are spread evenly, so buckets fill together.
    bucket_bytes_max: usize,
    spill: Spill,
    spilled: Vec<Spilled>,
}

impl LeafSink {
    /// A sink that keeps at most about `budget_bytes` of leaves in memory and spills the rest below `spill`, a folder of its own
    /// that is emptied first.
    pub fn new(budget_bytes: usize, spill: impl Into<PathBuf>) -> LeafSink {
        let folder = spill.into();
        // A folder that does not exist yet is what we want; any other trouble shows when the first spill is written.
        let _ = std::fs::remove_dir_all(&folder);
        let buckets = vec![Rows::default(); BUCKETS];
        let bucket_bytes_max = budget_bytes / BUCKETS;
        let spilled = vec![Spilled::default(); BUCKETS];
        LeafSink { buckets, shapes: Shapes::default(), bucket_bytes_max, spill: Spill { folder, file: None }, spilled }
    }

    /// Adds leaves; a bucket that is full spills.
    ///
    /// # Errors
    ///
    /// [`SinkError::Write`] when spilling fails; the sink must then be dropped, for leaves may be missing.
    pub fn push(&mut self, leaves: Vec<Leaf>) -> Result<(), SinkError> {
        let (order, starts) = by_bucket(&leaves);
        for (index, ends) in starts.windows(2).enumerate() {
            for at in &order[ends[0]..ends[1]] {
                self.buckets[index].push_within(self.bucket_bytes_max, &mut self.shapes, &leaves[*at]);
                if self.buckets[index].as_bytes().len() > self.bucket_bytes_max {
                    self.spill(index)?;
                }
            }
        }
        Ok(())
    }

    fn spill(&mut self, index: usize) -> Result<(), SinkError> {
        let rows = &mut self.buckets[index];
        let run = self.spill.append(rows.as_bytes());
        let run = run.map_err(|source| SinkError::Write { path: self.spill.path(), source })?;
        self.spilled[index].runs.push(run);
        self.spilled[index].leaves += rows.len();
        rows.clear();
        Ok(())
    }

    /// Ends the scan and gives the buckets to read.
    pub fn finish(self) -> Buckets {
        let LeafSink { buckets, shapes, spill, spilled, bucket_bytes_max: _ } = self;
        let memory = buckets.into_iter().map(Arc::new).collect();
        Buckets { memory, shapes: Arc::new(shapes), spill, spilled }
    }
}

/// Leaves by bucket, in each as they come, and where each bucket's begin: buckets lie far apart in memory, and what goes to one
/// goes there together.
fn by_bucket(leaves: &[Leaf]) -> (Vec<usize>, [usize; BUCKETS + 1]) {
    let indexes: Vec<usize> = leaves.iter().map(|leaf| bucket_of(&leaf.key)).collect();
    let mut starts = [0; BUCKETS + 1];
    indexes.iter().for_each(|index| starts[index + 1] += 1);
    (0..BUCKETS).for_each(|index| starts[index + 1] += starts[index]);
    let (mut next, mut order) = (starts, vec![0; leaves.len()]);
    for (at, index) in indexes.into_iter().enumerate() {
        order[next[index]] = at;
        next[index] += 1;
    }
    (order, starts)
}

/// Records of one bucket that were written together.
#[derive(Debug, Clone, Copy)]
struct Run {
    at: u64,
    bytes: usize,
}

/// What was spilled of one bucket.
#[derive(Debug, Clone, Default)]
struct Spilled {
    runs: Vec<Run>,
    leaves: usize,
}

impl Spilled {
    fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes).sum()
    }
}

/// The file of everything that was spilled, in a folder of its own; removed when it is dropped, also when spilling failed: a
/// full disk needs the room.
#[derive(Debug)]
struct Spill {
    folder: PathBuf,
    /// The file and its length, once there is one.
    file: Option<(File, u64)>,
}

impl Spill {
    fn path(&self) -> PathBuf {
        self.folder.join(SPILL_FILE)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<Run> {
        let (file, length) = match &mut self.file {
            Some(there) => there,
            none => {
                std::fs::create_dir_all(&self.folder)?;
                let path = self.folder.join(SPILL_FILE);
                none.insert((OpenOptions::new().read(true).write(true).create_new(true).open(path)?, 0))
            }
        };
        file.write_all_at(bytes, *length)?;
        let run = Run { at: *length, bytes: bytes.len() };
        *length += bytes.len() as u64;
        Ok(run)
    }

    /// Everything that was spilled of a bucket, with room for so many bytes more behind it.
    fn read(&self, spilled: &Spilled, more: usize) -> io::Result<Vec<u8>> {
        let (file, _) = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = Vec::with_capacity(spilled.bytes() + more);
        for run in &spilled.runs {
            let start = bytes.len();
            bytes.resize(start + run.bytes, 0);
            file.read_exact_at(&mut bytes[start..], run.at)?;
        }
        Ok(bytes)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if self.file.is_some() {
            // A left-over spill file is removed by the next sink in the same folder.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The leaves of one finished scan, by bucket; what was spilled of them is removed when this is dropped.
#[derive(Debug)]
pub struct Buckets {
    memory: Vec<Arc<Rows>>,
    shapes: Arc<Shapes>,
    spill: Spill,
    spilled: Vec<Spilled>,
}

impl Buckets {
    /// Reads one bucket, sorted and with repeats folded.
    ///
    /// # Errors
    ///
    /// [`SinkError::Read`] when the spill file was cut short or holds something else than what was written.
    pub fn read(&self, index: usize) -> Result<Bucket, SinkError> {
        let (memory, spilled) = (&self.memory[index], &self.spilled[index]);
        if spilled.runs.is_empty() {
            return Ok(Bucket::from_rows(memory.clone(), self.shapes.clone()));
        }
        let rows = self.spill.read(spilled, memory.as_bytes().len());
        let rows = rows.and_then(|bytes| Rows::read_back(bytes, spilled.leaves, &self.shapes));
        let mut rows = rows.map_err(|source| SinkError::Read { path: self.spill.path(), source })?;
        rows.append(memory);
        Ok(Bucket::from_rows(Arc::new(rows), self.shapes.clone()))
    }

    /// About the most memory that reading one bucket takes beyond what is held already: the records that were spilled, and
    /// the places of all while they are sorted.
    pub fn reading_bytes_max(&self) -> usize {
        let bytes = |(memory, spilled): (&Arc<Rows>, &Spilled)| {
            let joined = if spilled.runs.is_empty() { 0 } else { spilled.bytes() + memory.as_bytes().len() };
            joined + PLACE_BYTES * (memory.len() + spilled.leaves)
        };
        self.memory.iter().zip(&self.spilled).map(bytes).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{item_digest, key_of, root_of};
    use super::*;
    use crate::model::{Digest, Key, Value};

    fn leaf(number: i64, contents: &str) -> Leaf {
        let key = key_of(&Value::map([("id", Value::Number(number.into()))]));
        Leaf { key, digest: item_digest(&Value::text(contents)), size: 1, modified_at: None }
    }

    fn root(buckets: &Buckets) -> Digest {
        let roots = std::array::from_fn(|i| buckets.read(i).expect("readable").root());
        root_of(&roots)
    }

    #[test]
    fn order_batches_and_spilling_do_not_change_the_root() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut leaves: Vec<Leaf> = (0..2_000).map(|n| leaf(n, "x")).collect();
        let mut in_memory = LeafSink::new(usize::MAX, folder.path().join("a"));
        in_memory.push(leaves.clone()).expect("pushed");
        leaves.reverse();
        let mut spilling = LeafSink::new(10_000, folder.path().join("b"));
        for batch in leaves.chunks(37) {
            spilling.push(batch.to_vec()).expect("pushed");
        }
        let spilled = spilling.finish();
        assert!(folder.path().join("b").exists(), "the budget forces spilling");
        assert_eq!(root(&in_memory.finish()), root(&spilled));
        drop(spilled);
        assert!(!folder.path().join("b").exists(), "spill files are removed");
    }

    #[test]
    fn a_repeat_that_agrees_folds_and_one_that_does_not_is_restless() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sink = LeafSink::new(usize::MAX, folder.path().join("a"));
        sink.push(vec![leaf(1, "x"), leaf(1, "x"), leaf(2, "x"), leaf(2, "y")]).expect("pushed");
        let buckets = sink.finish();
        let all: Vec<Bucket> = (0..BUCKETS).map(|i| buckets.read(i).expect("readable")).collect();
        assert_eq!(all.iter().map(|bucket| bucket.len()).sum::<usize>(), 2);
        let restless: Vec<&Key> = all.iter().flat_map(Bucket::restless).collect();
        assert_eq!(restless, [&leaf(2, "y").key]);
    }

    #[test]
    fn a_cut_spill_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sink = LeafSink::new(0, folder.path().join("a"));
        sink.push(vec![leaf(1, "x")]).expect("pushed");
        let buckets = sink.finish();
        let index = bucket_of(&leaf(1, "x").key);
        assert_eq!(buckets.read(index).expect("readable").len(), 1);
        let path = folder.path().join("a").join(SPILL_FILE);
        let bytes = std::fs::read(&path).expect("a spill file");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("cut");
        assert!(matches!(buckets.read(index), Err(SinkError::Read { .. })));
    }
}
