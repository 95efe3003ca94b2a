//! Collects the leaves of one scan into buckets, in memory up to a budget and then in files.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::bucket::{Bucket, bucket_of};
use super::{BUCKETS, CANONICAL_FORMAT};
use crate::model::{Digest, Key, Leaf, Timestamp};

/// What a leaf costs in memory beside its key bytes: the struct, the allocation and slack of its bucket's vector.
const LEAF_OVERHEAD_BYTES: usize = std::mem::size_of::<Leaf>() * 3 / 2 + 16;

/// Marks a leaf without a modification time in a spill record.
const NO_TIME: i64 = i64::MIN;

/// The longest key a spill record may hold; far above any store's limit.
const KEY_BYTES_MAX: usize = 64 * 1024 * 1024;

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
    buckets: Vec<Vec<Leaf>>,
    memory_bytes: usize,
    budget_bytes: usize,
    spill: SpillFolder,
    spilled: Vec<u64>,
}

impl LeafSink {
    /// A sink that keeps at most `budget_bytes` of leaves in memory and spills the rest below `spill`, a folder of its own
    /// that is emptied first.
    pub fn new(budget_bytes: usize, spill: impl Into<PathBuf>) -> LeafSink {
        let spill = spill.into();
        // A folder that does not exist yet is what we want; any other trouble shows when the first spill is written.
        let _ = std::fs::remove_dir_all(&spill);
        let spill = SpillFolder { path: spill, made: false };
        LeafSink { buckets: vec![Vec::new(); BUCKETS], memory_bytes: 0, budget_bytes, spill, spilled: vec![0; BUCKETS] }
    }

    /// Adds leaves; spills when the budget is passed.
    ///
    /// # Errors
    ///
    /// [`SinkError::Write`] when spilling fails; the sink must then be dropped, for leaves may be missing.
    pub fn push(&mut self, leaves: Vec<Leaf>) -> Result<(), SinkError> {
        for leaf in leaves {
            self.memory_bytes += leaf.key.as_bytes().len() + LEAF_OVERHEAD_BYTES;
            self.buckets[bucket_of(&leaf.key)].push(leaf);
        }
        if self.memory_bytes > self.budget_bytes { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), SinkError> {
        self.spill.make().map_err(|source| SinkError::Write { path: self.spill.path.clone(), source })?;
        for (index, leaves) in self.buckets.iter_mut().enumerate().filter(|(_, leaves)| !leaves.is_empty()) {
            let path = spill_path(&self.spill.path, index);
            append(&path, leaves).map_err(|source| SinkError::Write { path, source })?;
            self.spilled[index] += leaves.len() as u64;
            *leaves = Vec::new();
        }
        self.memory_bytes = 0;
        Ok(())
    }

    /// Ends the scan and gives the buckets to read.
    pub fn finish(self) -> Buckets {
        Buckets { memory: self.buckets, spill: self.spill, spilled: self.spilled }
    }
}

/// A folder of spill files; removed when it is dropped, also when spilling failed: a full disk needs the room.
#[derive(Debug)]
struct SpillFolder {
    path: PathBuf,
    made: bool,
}

impl SpillFolder {
    fn make(&mut self) -> io::Result<()> {
        self.made = true;
        std::fs::create_dir_all(&self.path)
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if self.made {
            // Left-over spill files are emptied by the next sink in the same folder.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The leaves of one finished scan, by bucket; its spill files are removed when it is dropped.
#[derive(Debug)]
pub struct Buckets {
    memory: Vec<Vec<Leaf>>,
    spill: SpillFolder,
    spilled: Vec<u64>,
}

impl Buckets {
    /// Reads one bucket, sorted and with repeats folded.
    ///
    /// # Errors
    ///
    /// [`SinkError::Read`] when a spill file is missing, cut short or longer than what was written.
    pub fn read(&self, index: usize) -> Result<Bucket, SinkError> {
        let mut leaves = Vec::with_capacity(self.memory[index].len() + self.spilled[index] as usize);
        if self.spilled[index] > 0 {
            let path = spill_path(&self.spill.path, index);
            read_back(&path, self.spilled[index], &mut leaves).map_err(|source| SinkError::Read { path, source })?;
        }
        leaves.extend(self.memory[index].iter().cloned());
        Ok(Bucket::from_leaves(leaves))
    }
}

fn spill_path(folder: &Path, bucket: usize) -> PathBuf {
    folder.join(format!("{bucket:02x}.leaves{CANONICAL_FORMAT}"))
}

fn append(path: &Path, leaves: &[Leaf]) -> io::Result<()> {
    let mut out = BufWriter::new(OpenOptions::new().create(true).append(true).open(path)?);
    for leaf in leaves {
        let key = leaf.key.as_bytes();
        out.write_all(&(key.len() as u64).to_le_bytes())?;
        out.write_all(key)?;
        out.write_all(leaf.digest.as_bytes())?;
        out.write_all(&leaf.size.to_le_bytes())?;
        let modified = leaf.modified_at.map_or(NO_TIME, Timestamp::as_microsecond);
        out.write_all(&modified.to_le_bytes())?;
    }
    out.into_inner().map_err(|error| error.into_error())?.flush()
}

fn read_back(path: &Path, count: u64, leaves: &mut Vec<Leaf>) -> io::Result<()> {
    let mut input = BufReader::new(File::open(path)?);
    for _ in 0..count {
        let key_bytes = u64::from_le_bytes(take(&mut input)?) as usize;
        if key_bytes > KEY_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a key longer than any store allows"));
        }
        let mut key = vec![0; key_bytes];
        input.read_exact(&mut key)?;
        let digest = Digest(take(&mut input)?);
        let size = u64::from_le_bytes(take(&mut input)?);
        let modified = i64::from_le_bytes(take(&mut input)?);
        let modified_at = (modified != NO_TIME).then(|| Timestamp::from_microsecond(modified)).transpose();
        let modified_at = modified_at.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        leaves.push(Leaf { key: Key::from_canonical(key), digest, size, modified_at });
    }
    match input.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more leaves than were written")),
    }
}

fn take<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{bucket_root, item_digest, key_of, root_of};
    use super::*;
    use crate::model::Value;

    fn leaf(number: i64, contents: &str) -> Leaf {
        let key = key_of(&Value::map([("id", Value::Number(number.into()))]));
        Leaf { key, digest: item_digest(&Value::text(contents)), size: 1, modified_at: None }
    }

    fn root(buckets: &Buckets) -> Digest {
        let roots = std::array::from_fn(|i| bucket_root(&buckets.read(i).expect("readable").leaves));
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
        assert_eq!(all.iter().map(|bucket| bucket.leaves.len()).sum::<usize>(), 2);
        let restless: Vec<&Key> = all.iter().flat_map(|bucket| &bucket.restless).collect();
        assert_eq!(restless, [&leaf(2, "y").key]);
    }

    #[test]
    fn a_cut_spill_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sink = LeafSink::new(0, folder.path().join("a"));
        sink.push(vec![leaf(1, "x")]).expect("pushed");
        let buckets = sink.finish();
        let index = bucket_of(&leaf(1, "x").key);
        let path = spill_path(&folder.path().join("a"), index);
        let bytes = std::fs::read(&path).expect("a spill file");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("cut");
        assert!(matches!(buckets.read(index), Err(SinkError::Read { .. })));
    }
}
