//! The `manifest.json` of an inventory report.

use serde::Deserialize;

use crate::model::Timestamp;
use crate::store::{ErrorKind, Result, StoreError};

/// The version of the layout that is documented.
const VERSION: &str = "2016-11-30";

/// The formats of data files that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Compressed by gzip, without a header line, keys URL-encoded.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub source_bucket: String,
    pub destination_bucket: Option<String>,
    pub created_at: Timestamp,
    pub format: Format,
    /// The columns of CSV, in order.
    pub columns: Vec<String>,
    pub files: Vec<DataFile>,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct DataFile {
    pub key: String,
    pub size: u64,
    #[serde(rename = "MD5checksum")]
    pub md5: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    source_bucket: String,
    destination_bucket: Option<String>,
    version: String,
    creation_timestamp: String,
    file_format: String,
    file_schema: String,
    files: Vec<DataFile>,
}

impl Manifest {
    /// Reads a manifest; `url` is the name in errors.
    pub fn parse(text: &[u8], url: &str) -> Result<Manifest> {
        let unreadable = |what: &str| StoreError::new(ErrorKind::Unreadable, format!("{url}: {what}"));
        let raw: Raw = serde_json::from_slice(text).map_err(|error| {
            StoreError::caused(ErrorKind::Unreadable, format!("{url} is not a manifest of S3 Inventory"), error)
        })?;
        if raw.version != VERSION {
            return Err(unreadable(&format!("its layout is version `{}`, and only {VERSION} is known", raw.version)));
        }
        let format = match raw.file_format.as_str() {
            "CSV" => Format::Csv,
            "Parquet" => Format::Parquet,
            "ORC" => {
                let what = "reports in ORC are not read: configure the inventory for CSV or Parquet";
                return Err(StoreError::new(ErrorKind::Unfit, format!("{url}: {what}")));
            }
            other => return Err(unreadable(&format!("its format `{other}` is not known"))),
        };
        let milliseconds = raw.creation_timestamp.parse().ok();
        let created_at = milliseconds.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let columns: Vec<String> = match format {
            Format::Csv => raw.file_schema.split(',').map(|column| column.trim().to_owned()).collect(),
            Format::Parquet => Vec::new(),
        };
        let lacks = |column: &&&str| !columns.iter().any(|known| known == **column);
        if let Some(column) = ["Bucket", "Key", "Size", "ETag"].iter().find(lacks).filter(|_| format == Format::Csv) {
            return Err(unreadable(&format!("it has no column {column}: add it to the inventory's fields")));
        }
        let destination = raw.destination_bucket.map(|arn| match arn.rsplit_once(":::") {
            Some((_, name)) => name.to_owned(),
            None => arn,
        });
        let files = raw.files.into_iter().map(|file| DataFile { md5: file.md5.to_ascii_lowercase(), ..file });
        Ok(Manifest {
            source_bucket: raw.source_bucket,
            destination_bucket: destination,
            created_at: created_at.ok_or_else(|| unreadable("its creation time cannot be read"))?,
            format,
            columns,
            files: files.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the S3 user guide.
    const EXAMPLE: &str = r#"{
        "sourceBucket": "example-source-bucket",
        "destinationBucket": "arn:aws:s3:::example-inventory-destination-bucket",
        "version": "2016-11-30",
        "creationTimestamp" : "1514944800000",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass",
        "files": [{
            "key": "Inventory/example-source-bucket/2016-11-06T21-32Z/files/939c6d46-85a9-4ba8-87bd-9db705a579ce.csv.gz",
            "size": 2147483647,
            "MD5checksum": "F11166069f1990abeb9c97ace9cdfabc"
        }]
    }"#;

    fn error(text: &str) -> (ErrorKind, String) {
        let error = Manifest::parse(text.as_bytes(), "s3://b/manifest.json").expect_err("refused");
        (error.kind, format!("{error:?}"))
    }

    #[test]
    fn the_documented_manifest_is_read() {
        let manifest = Manifest::parse(EXAMPLE.as_bytes(), "m").expect("a manifest");
        assert_eq!(manifest.destination_bucket.as_deref(), Some("example-inventory-destination-bucket"));
        assert_eq!(manifest.created_at.to_string(), "2018-01-03T02:00:00Z");
        assert_eq!((manifest.format, manifest.columns.len(), manifest.files.len()), (Format::Csv, 9, 1));
        assert_eq!(manifest.files[0].md5, "f11166069f1990abeb9c97ace9cdfabc");
    }

    #[test]
    fn what_cannot_be_followed_is_refused_in_words() {
        let (kind, words) = error(&EXAMPLE.replace("\"CSV\"", "\"ORC\""));
        assert_eq!(kind, ErrorKind::Unfit);
        assert!(words.contains("CSV or Parquet"), "{words}");
        for (from, to, says) in [
            ("2016-11-30", "2030-01-01", "version"),
            ("1514944800000", "yesterday", "creation time"),
            (", ETag", "", "column ETag"),
            ("\"CSV\"", "\"XML\"", "format `XML`"),
            ("\"files\"", "\"fils\"", "not a manifest"),
        ] {
            let (kind, words) = error(&EXAMPLE.replace(from, to));
            assert_eq!(kind, ErrorKind::Unreadable, "{says}");
            assert!(words.contains(says), "{words}");
        }
    }
}
