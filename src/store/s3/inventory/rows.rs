//! The rows of an inventory's data files.

use std::collections::HashMap;
use std::fs::File;
use std::io::Seek;

use flate2::read::MultiGzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::manifest::{Format, Manifest};
use crate::model::Timestamp;
use crate::store::s3::listed::Listed;
use crate::store::s3::listing::{Place, decoded};
use crate::store::{ErrorKind, Result, StoreError};

/// What one row tells of one object.
pub(super) struct Row {
    pub bucket: String,
    pub listed_key: String,
    otherwise: Option<String>,
    /// Neither a delete marker nor a version that another replaced.
    pub is_current: bool,
    listed: Listed,
}

impl Row {
    /// The row as a listing would tell it.
    pub fn into_place(self) -> Place {
        let Row { bucket: _, listed_key, otherwise, is_current: _, listed } = self;
        Place { full_key: listed_key, otherwise, version_id: None, listed: Some(listed) }
    }
}

/// Reads the data files of one report.
pub(super) struct Rows<'a> {
    pub manifest: &'a Manifest,
    pub name: &'a str,
}

impl Rows<'_> {
    /// Hands every row to `take`, until that says that no more are wanted.
    pub fn read(&self, mut data: File, take: &mut dyn FnMut(Row) -> bool) -> Result<()> {
        let local = |error| StoreError::caused(ErrorKind::Local, "cannot read a data file of an inventory", error);
        data.rewind().map_err(local)?;
        match self.manifest.format {
            Format::Csv => self.read_csv(data, take),
            Format::Parquet => self.read_parquet(data, take),
        }
    }

    fn unreadable(&self, what: impl std::fmt::Display) -> StoreError {
        StoreError::new(ErrorKind::Unreadable, format!("{}: {what}", self.name))
    }

    fn read_csv(&self, data: File, take: &mut dyn FnMut(Row) -> bool) -> Result<()> {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(MultiGzDecoder::new(data));
        let mut record = csv::StringRecord::new();
        let mut number = 0;
        loop {
            number += 1;
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(()),
                Ok(true) => {}
                Err(error) => return Err(self.unreadable(format!("row {number} cannot be read: {error}"))),
            }
            if record.len() != self.manifest.columns.len() {
                let (has, wants) = (record.len(), self.manifest.columns.len());
                return Err(self.unreadable(format!("row {number} has {has} columns, and the manifest {wants}")));
            }
            let columns = self.manifest.columns.iter().map(String::as_str).zip(record.iter());
            let columns: HashMap<&str, &str> = columns.filter(|(_, cell)| !cell.is_empty()).collect();
            let row = csv_row(&columns).ok_or_else(|| self.unreadable(format!("row {number} is no object's")))?;
            if !take(row) {
                return Ok(());
            }
        }
    }

    fn read_parquet(&self, data: File, take: &mut dyn FnMut(Row) -> bool) -> Result<()> {
        let damaged = |error| self.unreadable(format!("it is no Parquet file that can be read: {error}"));
        let reader = SerializedFileReader::new(data).map_err(damaged)?;
        let rows = reader.get_row_iter(None).map_err(damaged)?;
        for (number, row) in (1..).zip(rows) {
            let row = row.map_err(damaged)?;
            let columns: HashMap<&str, &Field> =
                row.get_column_iter().map(|(name, field)| (name.as_str(), field)).collect();
            let row = parquet_row(&columns).ok_or_else(|| {
                self.unreadable(format!("row {number} is no object's, or lacks key, size or e_tag among its fields"))
            })?;
            if !take(row) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn is_current(latest: Option<bool>, is_deletion: Option<bool>) -> bool {
    latest.unwrap_or(true) && !is_deletion.unwrap_or(false)
}

fn csv_row(columns: &HashMap<&str, &str>) -> Option<Row> {
    let truth = |name: &str| columns.get(name).map(|cell| cell.eq_ignore_ascii_case("true"));
    let is_current = is_current(truth("IsLatest"), truth("IsDeleteMarker"));
    let (listed_key, otherwise) = decoded(columns.get("Key")?)?;
    // A delete marker has neither size nor ETag.
    let size = columns.get("Size").map(|size| size.parse().ok());
    let listed = Listed {
        etag: columns.get("ETag").map(|etag| (*etag).to_owned()).or((!is_current).then(String::new))?,
        size: size.unwrap_or_else(|| (!is_current).then_some(0))?,
        storage_class: columns.get("StorageClass").map_or("STANDARD".into(), |class| (*class).to_owned().into()),
        modified_at: columns.get("LastModifiedDate").and_then(|date| date.parse::<Timestamp>().ok()),
    };
    Some(Row { bucket: (*columns.get("Bucket")?).to_owned(), listed_key, otherwise, is_current, listed })
}

fn parquet_row(columns: &HashMap<&str, &Field>) -> Option<Row> {
    let text = |name: &str| match columns.get(name)? {
        Field::Str(text) => Some(text.clone()),
        Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec()).ok(),
        _ => None,
    };
    let truth = |name: &str| match columns.get(name)? {
        Field::Bool(is_so) => Some(*is_so),
        _ => None,
    };
    let number = |name: &str| match columns.get(name)? {
        Field::Long(number) | Field::TimestampMillis(number) => Some(*number),
        Field::TimestampMicros(number) => Some(number / 1000),
        _ => None,
    };
    let is_current = is_current(truth("is_latest"), truth("is_delete_marker"));
    let size = number("size").and_then(|size| u64::try_from(size).ok());
    let listed = Listed {
        etag: text("e_tag").or((!is_current).then(String::new))?,
        size: size.or((!is_current).then_some(0))?,
        storage_class: text("storage_class").map_or("STANDARD".into(), Into::into),
        modified_at: number("last_modified_date").and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    };
    // In Parquet keys are as they are.
    Some(Row { bucket: text("bucket")?, listed_key: text("key")?, otherwise: None, is_current, listed })
}
