//! Manifests: all leaves of one side of one store, as Parquet with plain columns, and their root.
//!
//! Laid out as `side=<side>/part-<hh>-<hh>.parquet`, files of consecutive buckets with a row group for each, and columns
//! `key`, `digest` (variable-length binary), `size` and `modified_at`, so that any bucket can be joined by itself on any
//! engine. `manifest.json` is written last: a folder without it is unfinished and is refused.

mod part;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

pub use self::part::BucketRange;
use super::bucket::{Bucket, bucket_of, bucket_root, root_of};
use super::{BUCKETS, CANONICAL_FORMAT};
use crate::model::{Digest, Identity, Leaf, Side, StoreId, Timestamp};

/// Version of the layout of manifests whose leaves are made of the contents of items.
pub const MANIFEST_FORMAT: u32 = 3;

/// Version of the layout of manifests that say what else their leaves are made of; a program that does not know of it must
/// not take them for the others.
const MANIFEST_FORMAT_OF_LESS: u32 = 4;

/// Written last and removed first: a folder without it is no manifest.
const HEADER_FILE: &str = "manifest.json";

/// What `manifest.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestHeader {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// [`CANONICAL_FORMAT`] of keys and digests.
    pub canonical_format: u32,
    /// The store's name in the profile.
    pub store: StoreId,
    /// Which side was read.
    pub side: Side,
    /// The resource that was read.
    pub identity: Identity,
    /// When the reading began: writes after this instant may or may not be in it.
    pub read_from: Timestamp,
    /// When the reading ended.
    pub read_until: Timestamp,
    /// Number of leaves.
    pub items: u64,
    /// The root over all leaves.
    pub root: Digest,
    /// What the leaves are made of, where that is less than the contents of items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaves: Option<String>,
    /// The files, by the buckets that each may hold; of other buckets there are no leaves.
    #[serde(default)]
    pub parts: Vec<BucketRange>,
}

/// A manifest that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file or folder of it.
    #[error("cannot use manifest file {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A Parquet file could not be written.
    #[error("cannot write manifest file {}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// Not the Parquet file it should be.
    #[error("manifest file {} is not readable Parquet", path.display())]
    Parquet {
        /// The path.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// `manifest.json` is not what it should be.
    #[error("manifest header {} is malformed", path.display())]
    Header {
        /// The path.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Written by another version.
    #[error("manifest {} has format {found}, this program reads {MANIFEST_FORMAT} and {MANIFEST_FORMAT_OF_LESS}", path.display())]
    Version {
        /// The folder.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// The leaves are not what the header promises: the manifest was damaged or edited.
    #[error("manifest {} is damaged: {what}", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
}

/// Writes a manifest part by part.
#[derive(Debug)]
pub struct ManifestWriter {
    writer: PartWriter,
    roots: Box<[Digest; BUCKETS]>,
    items: u64,
    parts: Vec<BucketRange>,
}

/// Writes parts of a manifest, several at a time; the manifest must then be told of them.
#[derive(Debug, Clone)]
pub struct PartWriter {
    folder: PathBuf,
}

/// Consecutive buckets that were written.
#[derive(Debug)]
#[must_use = "the manifest must be told of it"]
pub struct Part {
    first: usize,
    roots: Vec<Digest>,
    items: u64,
    range: Option<BucketRange>,
}

impl ManifestWriter {
    /// Starts a manifest of `side` below `folder`, replacing one that is there.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Io`] when the old one cannot be removed or the folder not made.
    pub fn create(folder: &Path, side: Side) -> Result<ManifestWriter, ManifestError> {
        let folder = side_folder(folder, side);
        // The header goes first: what is left of an old manifest must never pass for a whole one.
        let header = folder.join(HEADER_FILE);
        let removed = [(fs::remove_file(&header), &header), (fs::remove_dir_all(&folder), &folder)];
        for (removed, path) in removed {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(path)(error)),
                _ => {}
            }
        }
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let roots = Box::new([bucket_root(&[]); BUCKETS]);
        Ok(ManifestWriter { writer: PartWriter { folder }, roots, items: 0, parts: Vec::new() })
    }

    /// What writes its parts, wherever that is done.
    pub fn parts(&self) -> PartWriter {
        self.writer.clone()
    }

    /// Takes note of a part that was written.
    pub fn add(&mut self, part: Part) {
        self.roots[part.first..][..part.roots.len()].copy_from_slice(&part.roots);
        self.items += part.items;
        self.parts.extend(part.range);
    }

    /// The root over the buckets written so far.
    pub fn root(&self) -> Digest {
        root_of(&self.roots)
    }

    /// Number of leaves written so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Writes the header, which makes the manifest whole; `format`, `items`, `root` and `parts` are filled in here.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when the header cannot be written.
    pub fn finish(self, header: ManifestHeader) -> Result<ManifestHeader, ManifestError> {
        let format = if header.leaves.is_some() { MANIFEST_FORMAT_OF_LESS } else { MANIFEST_FORMAT };
        let (items, root) = (self.items, self.root());
        let header = ManifestHeader { format, items, root, parts: self.parts, ..header };
        let path = self.writer.folder.join(HEADER_FILE);
        let json = serde_json::to_vec_pretty(&header)
            .map_err(|source| ManifestError::Header { path: path.clone(), source })?;
        fs::write(&path, json).map_err(io_error(&path))?;
        Ok(header)
    }
}

impl PartWriter {
    /// Writes consecutive buckets from `first` on; where all are empty, no file.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when the file cannot be written.
    ///
    /// # Panics
    ///
    /// When there is no bucket, or one beyond the last.
    pub fn write(&self, first: usize, buckets: &[&Bucket]) -> Result<Part, ManifestError> {
        let items = buckets.iter().map(|leaves| leaves.len() as u64).sum();
        let range = (items > 0).then(|| BucketRange::of(first, buckets.len()));
        if let Some(range) = range {
            let path = self.folder.join(range.file_name());
            let file = File::create(&path).map_err(io_error(&path))?;
            part::write(file, first, buckets).map_err(|source| ManifestError::Write { path, source })?;
        }
        Ok(Part { first, roots: buckets.iter().map(|leaves| leaves.root()).collect(), items, range })
    }
}

/// A finished manifest on disk.
#[derive(Debug, Clone)]
pub struct Manifest {
    folder: PathBuf,
    /// What its header says.
    pub header: ManifestHeader,
}

impl Manifest {
    /// Opens the manifest of `side` below `folder`.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when there is none, it is unfinished, or another version wrote it.
    pub fn open(folder: &Path, side: Side) -> Result<Manifest, ManifestError> {
        let folder = side_folder(folder, side);
        let path = folder.join(HEADER_FILE);
        let json = fs::read(&path).map_err(io_error(&path))?;
        let header: ManifestHeader =
            serde_json::from_slice(&json).map_err(|source| ManifestError::Header { path, source })?;
        match (header.format, header.canonical_format, &header.leaves) {
            (MANIFEST_FORMAT, CANONICAL_FORMAT, None) | (MANIFEST_FORMAT_OF_LESS, CANONICAL_FORMAT, Some(_)) => {
                Ok(Manifest { folder, header })
            }
            (MANIFEST_FORMAT | MANIFEST_FORMAT_OF_LESS, found, _) | (found, ..) => {
                Err(ManifestError::Version { path: folder, found })
            }
        }
    }

    /// Reads one bucket.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when the file is unreadable, its keys are out of order, or they belong to another bucket.
    pub fn read(&self, bucket: usize) -> Result<Vec<Leaf>, ManifestError> {
        let Some(range) = self.header.parts.iter().find(|range| range.has(bucket)) else { return Ok(Vec::new()) };
        let path = self.folder.join(range.file_name());
        let damaged = |what: &str| ManifestError::Damaged { path: path.clone(), what: what.to_owned() };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("the file is missing")),
            Err(error) => return Err(io_error(&path)(error)),
        };
        let leaves =
            part::read(file, bucket).map_err(|source| ManifestError::Parquet { path: path.clone(), source })?;
        let leaves = leaves.ok_or_else(|| damaged("columns of unequal length or bad values"))?;
        if leaves.windows(2).any(|pair| pair[0].key >= pair[1].key) {
            return Err(damaged("keys are not in ascending order"));
        }
        match leaves.iter().find(|leaf| bucket_of(&leaf.key) != bucket) {
            Some(_) => Err(damaged("a key belongs to another bucket")),
            None => Ok(leaves),
        }
    }

    /// Reads every leaf, recomputes the root and compares it and the count with the header.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Damaged`] when they differ.
    pub fn prove(&self) -> Result<Digest, ManifestError> {
        let mut roots = Box::new([bucket_root(&[]); BUCKETS]);
        let mut items = 0;
        for (bucket, root) in roots.iter_mut().enumerate() {
            let leaves = self.read(bucket)?;
            items += leaves.len() as u64;
            *root = bucket_root(&leaves);
        }
        self.prove_read(&roots, items)
    }

    /// Compares what was read of every bucket with the header: the buckets' roots and the number of leaves.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Damaged`] when they differ.
    pub fn prove_read(&self, roots: &[Digest; BUCKETS], items: u64) -> Result<Digest, ManifestError> {
        let root = root_of(roots);
        let damaged = |what: String| Err(ManifestError::Damaged { path: self.folder.clone(), what });
        if root != self.header.root {
            return damaged(format!("its root is {root}, its header says {}", self.header.root));
        }
        if items != self.header.items {
            return damaged(format!("it has {items} leaves, its header says {}", self.header.items));
        }
        Ok(root)
    }
}

fn side_folder(folder: &Path, side: Side) -> PathBuf {
    folder.join(format!("side={side}"))
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> ManifestError + '_ {
    move |source| ManifestError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::{item_digest, key_of};
    use super::*;
    use crate::model::{StoreKind, Value};

    /// Buckets in a file of these tests; they do not divide all.
    const AT_ONCE: usize = 9;

    fn header() -> ManifestHeader {
        ManifestHeader {
            format: MANIFEST_FORMAT,
            canonical_format: CANONICAL_FORMAT,
            store: StoreId("orders".into()),
            side: Side::Primary,
            identity: Identity {
                kind: StoreKind::Memory,
                resource: "memory orders".into(),
                id: "1".into(),
                region: None,
                account: None,
            },
            read_from: Timestamp::UNIX_EPOCH,
            read_until: Timestamp::UNIX_EPOCH,
            items: 0,
            root: bucket_root(&[]),
            leaves: None,
            parts: Vec::new(),
        }
    }

    fn written(folder: &Path, numbers: std::ops::Range<i64>) -> ManifestHeader {
        let mut buckets = vec![Vec::new(); BUCKETS];
        for number in numbers {
            let key = key_of(&Value::Number(number.into()));
            let modified_at = (number % 2 == 0).then_some(Timestamp::from_second(number).expect("in range"));
            let leaf = Leaf { digest: item_digest(&Value::Null), size: number as u64, modified_at, key };
            buckets[bucket_of(&leaf.key)].push(leaf);
        }
        let buckets: Vec<Bucket> = buckets.iter().map(|leaves| Bucket::from_leaves(leaves)).collect();
        let mut writer = ManifestWriter::create(folder, Side::Primary).expect("created");
        for first in (0..BUCKETS).step_by(AT_ONCE).rev() {
            let buckets: Vec<&Bucket> = buckets[first..].iter().take(AT_ONCE).collect();
            writer.add(writer.parts().write(first, &buckets).expect("written"));
        }
        writer.finish(header()).expect("finished")
    }

    #[test]
    fn a_manifest_reads_back_with_its_root() {
        let folder = tempfile::tempdir().expect("a folder");
        let header = written(folder.path(), 0..1000);
        let manifest = Manifest::open(folder.path(), Side::Primary).expect("opened");
        assert_eq!(manifest.header, header);
        assert_eq!(header.items, 1000);
        assert_eq!(manifest.prove().expect("proved"), header.root);
        let leaves: Vec<Leaf> = (0..BUCKETS).flat_map(|b| manifest.read(b).expect("read")).collect();
        assert_eq!(leaves.iter().filter(|leaf| leaf.modified_at.is_some()).count(), 500);
        assert_eq!(leaves.iter().map(|leaf| leaf.size).sum::<u64>(), 499_500);
    }

    #[test]
    fn a_missing_bucket_or_an_edited_header_is_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        written(folder.path(), 0..50);
        let side = folder.path().join("side=primary");
        let header = side.join(HEADER_FILE);
        let whole = fs::read_to_string(&header).expect("a header");
        let damage = || {
            let manifest = Manifest::open(folder.path(), Side::Primary).expect("opened");
            match manifest.prove() {
                Err(ManifestError::Damaged { what, .. }) => what,
                other => panic!("{other:?}"),
            }
        };
        let edited = |edit: fn(&mut serde_json::Value)| {
            let mut json = serde_json::from_str(&whole).expect("JSON");
            edit(&mut json);
            fs::write(&header, json.to_string()).expect("written");
        };
        edited(|json| json["items"] = 51.into());
        assert_eq!(damage(), "it has 50 leaves, its header says 51");
        edited(|json| drop(json["parts"].as_array_mut().expect("parts").pop()));
        assert!(damage().starts_with("its root is"), "{}", damage());
        fs::write(&header, &whole).expect("written");
        fs::remove_file(side.join("part-00-08.parquet")).expect("removed");
        assert_eq!(damage(), "the file is missing");
        for nonsense in ["8-0", "08-00", "00", "+0-08", "../../etc"] {
            fs::write(&header, whole.replace("00-08", nonsense)).expect("written");
            let opened = Manifest::open(folder.path(), Side::Primary);
            assert!(matches!(opened, Err(ManifestError::Header { .. })), "{nonsense}");
        }
    }

    #[test]
    fn a_manifest_of_an_older_layout_is_told_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        written(folder.path(), 0..50);
        let header = folder.path().join("side=primary").join(HEADER_FILE);
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&header).expect("read")).expect("JSON");
        json["format"] = 1.into();
        json.as_object_mut().expect("an object").remove("parts");
        fs::write(&header, json.to_string()).expect("written");
        let opened = Manifest::open(folder.path(), Side::Primary);
        assert!(matches!(opened, Err(ManifestError::Version { found: 1, .. })));
    }

    #[test]
    fn an_unfinished_manifest_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = ManifestWriter::create(folder.path(), Side::Dr).expect("created");
        writer.add(writer.parts().write(0, &[&Bucket::default()]).expect("written"));
        drop(writer);
        assert!(matches!(Manifest::open(folder.path(), Side::Dr), Err(ManifestError::Io { .. })));
    }
}
