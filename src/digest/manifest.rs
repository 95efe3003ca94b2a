//! Manifests: all leaves of one side of one store, as Parquet with plain columns, and their root.
//!
//! Laid out as `side=<side>/bucket=<hh>/part-0.parquet` with columns `key`, `key_hash`, `digest` (variable-length binary),
//! `size` and `modified_at`, so that any bucket can be joined by itself on any engine. `manifest.json` is written last: a
//! folder without it is unfinished and is refused.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, bucket_of, bucket_root, root_of};
use super::rows::LeafRef;
use super::{BUCKETS, CANONICAL_FORMAT};
use crate::model::{Digest, Identity, Key, Leaf, Side, StoreId, Timestamp};

/// Version of the layout of manifests whose leaves are made of the contents of items.
pub const MANIFEST_FORMAT: u32 = 1;

/// Version of the layout of manifests that say what else their leaves are made of; a program that does not know of it must
/// not take them for the others.
const MANIFEST_FORMAT_OF_LESS: u32 = 2;

/// Written last and removed first: a folder without it is no manifest.
const HEADER_FILE: &str = "manifest.json";

/// Values of a column written together.
const VALUES_AT_ONCE: usize = 4096;

const SCHEMA: &str = "message leaf {
    required binary key;
    required binary key_hash;
    required binary digest;
    required int64 size;
    optional int64 modified_at (TIMESTAMP(MICROS,true));
}";

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

/// Writes a manifest bucket by bucket.
#[derive(Debug)]
pub struct ManifestWriter {
    parts: PartWriter,
    roots: Box<[Digest; BUCKETS]>,
    items: u64,
}

/// Writes buckets of a manifest, several at a time; the manifest must then be told of them.
#[derive(Debug, Clone)]
pub struct PartWriter {
    folder: PathBuf,
}

/// A bucket that was written.
#[derive(Debug)]
#[must_use = "the manifest must be told of it"]
pub struct Part {
    bucket: usize,
    root: Digest,
    items: u64,
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
        let parts = PartWriter { folder };
        Ok(ManifestWriter { parts, roots: Box::new([bucket_root(&[]); BUCKETS]), items: 0 })
    }

    /// Writes one bucket; an empty bucket has no file.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when the file cannot be written.
    pub fn write(&mut self, bucket: usize, leaves: &Bucket) -> Result<(), ManifestError> {
        self.add(self.parts.write(bucket, leaves)?);
        Ok(())
    }

    /// What writes its buckets, wherever that is done.
    pub fn parts(&self) -> PartWriter {
        self.parts.clone()
    }

    /// Takes note of a bucket that was written.
    pub fn add(&mut self, part: Part) {
        self.roots[part.bucket] = part.root;
        self.items += part.items;
    }

    /// The root over the buckets written so far.
    pub fn root(&self) -> Digest {
        root_of(&self.roots)
    }

    /// Number of leaves written so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Writes the header, which makes the manifest whole; `format`, `items` and `root` are filled in here.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when the header cannot be written.
    pub fn finish(self, header: ManifestHeader) -> Result<ManifestHeader, ManifestError> {
        let format = if header.leaves.is_some() { MANIFEST_FORMAT_OF_LESS } else { MANIFEST_FORMAT };
        let header = ManifestHeader { format, items: self.items, root: self.root(), ..header };
        let path = self.parts.folder.join(HEADER_FILE);
        let json = serde_json::to_vec_pretty(&header)
            .map_err(|source| ManifestError::Header { path: path.clone(), source })?;
        fs::write(&path, json).map_err(io_error(&path))?;
        Ok(header)
    }
}

impl PartWriter {
    /// Writes one bucket; an empty bucket has no file.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when the file cannot be written.
    pub fn write(&self, bucket: usize, leaves: &Bucket) -> Result<Part, ManifestError> {
        if !leaves.is_empty() {
            let path = part_path(&self.folder, bucket);
            let parent = path.parent().expect("a part has a bucket folder");
            fs::create_dir_all(parent).map_err(io_error(parent))?;
            let file = File::create(&path).map_err(io_error(&path))?;
            write_part(file, leaves).map_err(|source| ManifestError::Write { path, source })?;
        }
        Ok(Part { bucket, root: leaves.root(), items: leaves.len() as u64 })
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
        let path = part_path(&self.folder, bucket);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(&path)(error)),
        };
        let leaves = read_part(file).map_err(|source| ManifestError::Parquet { path: path.clone(), source })?;
        let damaged = |what: &str| ManifestError::Damaged { path: path.clone(), what: what.to_owned() };
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

fn part_path(folder: &Path, bucket: usize) -> PathBuf {
    folder.join(format!("bucket={bucket:02x}")).join("part-0.parquet")
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> ManifestError + '_ {
    move |source| ManifestError::Io { path: path.to_owned(), source }
}

fn write_part(file: File, leaves: &Bucket) -> Result<(), ParquetError> {
    // Keys and digests are each there once: a dictionary of them, or the least and the greatest, is work for nothing. Nor can
    // digests be compressed; keys can.
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    let properties = properties.set_statistics_enabled(EnabledStatistics::None);
    let properties = properties.set_column_compression("key".into(), Compression::ZSTD(Default::default())).build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let mut rows = writer.next_row_group()?;
    let mut key = Vec::new();
    write_bytes(&mut rows, leaves, |leaf, bytes| leaf.key().append_to(bytes))?;
    write_bytes(&mut rows, leaves, |leaf, bytes| {
        key.clear();
        leaf.key().append_to(&mut key);
        bytes.extend_from_slice(blake3::hash(&key).as_bytes());
    })?;
    write_bytes(&mut rows, leaves, |leaf, bytes| bytes.extend_from_slice(&leaf.digest().0))?;
    let size = |leaf: LeafRef<'_>| Some(i64::try_from(leaf.size()).unwrap_or(i64::MAX));
    write_column::<Int64Type>(&mut rows, leaves, each(size), false)?;
    write_column::<Int64Type>(&mut rows, leaves, each(|leaf| leaf.modified_at_microseconds()), true)?;
    rows.close()?;
    writer.close()?;
    Ok(())
}

/// Writes a column of bytes, which `put` appends for a leaf.
fn write_bytes(
    rows: &mut SerializedRowGroupWriter<'_, File>,
    leaves: &Bucket,
    mut put: impl FnMut(LeafRef<'_>, &mut Vec<u8>),
) -> Result<(), ParquetError> {
    let mut ends = Vec::with_capacity(VALUES_AT_ONCE);
    let of = |leaves: &[LeafRef<'_>], values: &mut Vec<Option<ByteArray>>| {
        // Values that are written together lie in one piece of memory.
        let mut bytes = Vec::new();
        ends.clear();
        for leaf in leaves {
            put(*leaf, &mut bytes);
            ends.push(bytes.len());
        }
        let bytes = Bytes::from(bytes);
        let starts = std::iter::once(&0).chain(&ends);
        values.extend(starts.zip(&ends).map(|(start, end)| Some(ByteArray::from(bytes.slice(*start..*end)))));
    };
    write_column::<ByteArrayType>(rows, leaves, of, false)
}

/// Values of single leaves.
fn each<T>(of: impl Fn(LeafRef<'_>) -> Option<T>) -> impl FnMut(&[LeafRef<'_>], &mut Vec<Option<T>>) {
    move |leaves, values| values.extend(leaves.iter().map(|leaf| of(*leaf)))
}

/// Writes one column, a few values at a time: a bucket of many leaves must not be held twice.
fn write_column<T: DataType>(
    rows: &mut SerializedRowGroupWriter<'_, File>,
    leaves: &Bucket,
    mut of: impl FnMut(&[LeafRef<'_>], &mut Vec<Option<T::T>>),
    is_optional: bool,
) -> Result<(), ParquetError> {
    let mut column = rows.next_column()?.ok_or_else(|| ParquetError::General("the schema has a column less".into()))?;
    let (mut some, mut found, mut values, mut defined) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut leaves = leaves.iter();
    loop {
        some.clear();
        some.extend(leaves.by_ref().take(VALUES_AT_ONCE));
        if some.is_empty() {
            return column.close();
        }
        of(&some, &mut found);
        values.clear();
        defined.clear();
        for value in found.drain(..) {
            defined.push(i16::from(value.is_some()));
            values.extend(value);
        }
        column.typed::<T>().write_batch(&values, is_optional.then_some(&defined[..]), None)?;
    }
}

/// `None` when columns disagree in length or a digest or time is out of range.
fn read_part(file: File) -> Result<Option<Vec<Leaf>>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let mut leaves = Vec::new();
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group)?;
        let count = usize::try_from(rows.metadata().num_rows()).unwrap_or(0);
        let keys = read_bytes(&*rows, 0, count)?;
        let digests = read_bytes(&*rows, 2, count)?;
        let (sizes, _) = read_numbers(&*rows, 3, count)?;
        let (times, defined) = read_numbers(&*rows, 4, count)?;
        if [keys.len(), digests.len(), sizes.len(), defined.len()] != [count; 4] {
            return Ok(None);
        }
        let mut times = times.into_iter();
        for (((key, digest), size), defined) in keys.into_iter().zip(digests).zip(sizes).zip(defined) {
            let time = if defined == 1 { times.next().map(Timestamp::from_microsecond).transpose() } else { Ok(None) };
            let (Ok(modified_at), Ok(digest), Ok(size)) =
                (time, <[u8; 32]>::try_from(digest.data()), u64::try_from(size))
            else {
                return Ok(None);
            };
            leaves.push(Leaf { key: Key::from_canonical(key.data()), digest: Digest(digest), size, modified_at });
        }
    }
    Ok(Some(leaves))
}

fn read_bytes(rows: &dyn RowGroupReader, column: usize, count: usize) -> Result<Vec<ByteArray>, ParquetError> {
    match rows.get_column_reader(column)? {
        ColumnReader::ByteArrayColumnReader(reader) => Ok(read_all::<ByteArrayType>(reader, count, false)?.0),
        _ => Err(ParquetError::General(format!("column {column} is not binary"))),
    }
}

fn read_numbers(rows: &dyn RowGroupReader, column: usize, count: usize) -> Result<(Vec<i64>, Vec<i16>), ParquetError> {
    match rows.get_column_reader(column)? {
        ColumnReader::Int64ColumnReader(reader) => read_all::<Int64Type>(reader, count, column == 4),
        _ => Err(ParquetError::General(format!("column {column} is not a 64-bit integer"))),
    }
}

fn read_all<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    count: usize,
    optional: bool,
) -> Result<(Vec<T::T>, Vec<i16>), ParquetError> {
    let (mut values, mut defined) = (Vec::with_capacity(count), Vec::new());
    loop {
        let levels = optional.then_some(&mut defined);
        let (records, _, _) = reader.read_records(count.max(1), levels, None, &mut values)?;
        if records == 0 {
            return Ok((values, defined));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{item_digest, key_of};
    use super::*;
    use crate::model::{StoreKind, Value};

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
        let mut writer = ManifestWriter::create(folder, Side::Primary).expect("created");
        for (index, leaves) in buckets.iter().enumerate() {
            writer.write(index, &Bucket::from_leaves(leaves)).expect("written");
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
        let bucket = fs::read_dir(&side).expect("listed").find_map(|entry| {
            let path = entry.expect("an entry").path();
            path.is_dir().then_some(path)
        });
        fs::remove_dir_all(bucket.expect("a bucket")).expect("removed");
        let manifest = Manifest::open(folder.path(), Side::Primary).expect("opened");
        assert!(matches!(manifest.prove(), Err(ManifestError::Damaged { .. })));
    }

    #[test]
    fn an_unfinished_manifest_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = ManifestWriter::create(folder.path(), Side::Dr).expect("created");
        writer.write(0, &Bucket::default()).expect("written");
        drop(writer);
        assert!(matches!(Manifest::open(folder.path(), Side::Dr), Err(ManifestError::Io { .. })));
    }
}
