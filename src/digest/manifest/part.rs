//! One Parquet file of a manifest: a row group for each bucket that is not empty.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde::{Deserialize, Serialize};

use super::super::BUCKETS;
use super::super::bucket::Bucket;
use super::super::rows::LeafRef;
use crate::model::{Digest, Key, Leaf, Timestamp};

/// Values of a column written together.
const VALUES_AT_ONCE: usize = 4096;

/// Metadata of a file: the buckets of its row groups, two hexadecimal digits each.
const BUCKETS_KEY: &str = "failback.buckets";

const SCHEMA: &str = "message leaf {
    required binary key;
    required binary digest;
    required int64 size;
    optional int64 modified_at (TIMESTAMP(MICROS,true));
}";

/// The buckets of one file, from the first to the last; written `00-07`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BucketRange {
    first: u8,
    last: u8,
}

impl BucketRange {
    /// `count` buckets from `first` on.
    pub(super) fn of(first: usize, count: usize) -> BucketRange {
        assert!(count > 0 && first + count <= BUCKETS, "buckets {first} and on, {count} of them");
        let byte = |bucket: usize| u8::try_from(bucket).expect("there are 256 buckets");
        BucketRange { first: byte(first), last: byte(first + count - 1) }
    }

    pub(super) fn has(self, bucket: usize) -> bool {
        (usize::from(self.first)..=usize::from(self.last)).contains(&bucket)
    }

    /// The file's name.
    pub(super) fn file_name(self) -> String {
        format!("part-{self}.parquet")
    }
}

impl fmt::Display for BucketRange {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:02x}-{:02x}", self.first, self.last)
    }
}

impl From<BucketRange> for String {
    fn from(range: BucketRange) -> String {
        range.to_string()
    }
}

impl TryFrom<String> for BucketRange {
    type Error = String;

    fn try_from(text: String) -> Result<BucketRange, String> {
        let byte = |text: &str| u8::from_str_radix(text, 16).ok();
        let range =
            text.split_once('-').and_then(|(first, last)| Some(BucketRange { first: byte(first)?, last: byte(last)? }));
        let range = range.filter(|range| range.first <= range.last && range.to_string() == text);
        range.ok_or_else(|| format!("`{text}` is no range of buckets, like 00-07"))
    }
}

/// Writes consecutive buckets from `first` on to a file; of empty ones nothing.
pub(super) fn write(file: File, first: usize, buckets: &[&Bucket]) -> Result<(), ParquetError> {
    // Keys and digests are each there once: a dictionary of them, or the least and the greatest, is work for nothing. Nor can
    // digests be compressed; keys can.
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    let properties = properties.set_statistics_enabled(EnabledStatistics::None);
    let properties = properties.set_column_compression("key".into(), Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let mut written = String::new();
    for (bucket, leaves) in (first..).zip(buckets).filter(|(_, leaves)| !leaves.is_empty()) {
        written += &format!("{bucket:02x}");
        let mut rows = writer.next_row_group()?;
        write_rows(&mut rows, leaves)?;
        rows.close()?;
    }
    writer.append_key_value_metadata(KeyValue::new(BUCKETS_KEY.to_owned(), written));
    writer.close()?;
    Ok(())
}

fn write_rows(rows: &mut SerializedRowGroupWriter<'_, File>, leaves: &Bucket) -> Result<(), ParquetError> {
    write_bytes(rows, leaves, |leaf, bytes| leaf.key().append_to(bytes))?;
    write_bytes(rows, leaves, |leaf, bytes| bytes.extend_from_slice(&leaf.digest().0))?;
    let size = |leaf: LeafRef<'_>| Some(i64::try_from(leaf.size()).unwrap_or(i64::MAX));
    write_column::<Int64Type>(rows, leaves, each(size), false)?;
    write_column::<Int64Type>(rows, leaves, each(|leaf| leaf.modified_at_microseconds()), true)
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

/// The leaves of one bucket, none where the file has no row group of it; `None` when the file does not tell its buckets,
/// columns disagree in length, or a digest or time is out of range.
pub(super) fn read(file: File, bucket: usize) -> Result<Option<Vec<Leaf>>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let told = reader.metadata().file_metadata().key_value_metadata();
    let told = told.into_iter().flatten().find(|told| told.key == BUCKETS_KEY).and_then(|told| told.value.as_ref());
    let Some(buckets) = told.and_then(|told| hex::decode(told).ok()) else { return Ok(None) };
    if buckets.len() != reader.num_row_groups() {
        return Ok(None);
    }
    match buckets.iter().position(|told| usize::from(*told) == bucket) {
        Some(group) => read_rows(&*reader.get_row_group(group)?),
        None => Ok(Some(Vec::new())),
    }
}

fn read_rows(rows: &dyn RowGroupReader) -> Result<Option<Vec<Leaf>>, ParquetError> {
    let count = usize::try_from(rows.metadata().num_rows()).unwrap_or(0);
    let keys = read_bytes(rows, 0, count)?;
    let digests = read_bytes(rows, 1, count)?;
    let (sizes, _) = read_numbers(rows, 2, count)?;
    let (times, defined) = read_numbers(rows, 3, count)?;
    if [keys.len(), digests.len(), sizes.len(), defined.len()] != [count; 4] {
        return Ok(None);
    }
    let mut leaves = Vec::with_capacity(count);
    let mut times = times.into_iter();
    for (((key, digest), size), defined) in keys.into_iter().zip(digests).zip(sizes).zip(defined) {
        let time = if defined == 1 { times.next().map(Timestamp::from_microsecond).transpose() } else { Ok(None) };
        let (Ok(modified_at), Ok(digest), Ok(size)) = (time, <[u8; 32]>::try_from(digest.data()), u64::try_from(size))
        else {
            return Ok(None);
        };
        leaves.push(Leaf { key: Key::from_canonical(key.data()), digest: Digest(digest), size, modified_at });
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
        ColumnReader::Int64ColumnReader(reader) => read_all::<Int64Type>(reader, count, column == 3),
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
