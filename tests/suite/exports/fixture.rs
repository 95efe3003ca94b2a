//! Exports in AWS's documented format, made of items given: no emulator writes any.
//!
//! Layout and fields are those of "DynamoDB table export output format" in the service's developer guide. Used by the suite
//! and by the tests of the reader itself.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use serde_json::{Value as Json, json};

/// Data files of one export; one of them is empty, as that of an empty partition is.
const FILES: usize = 3;

/// One export: the summary may be changed before it is written.
#[derive(Clone)]
pub struct Fixture {
    pub id: String,
    pub prefix: String,
    pub summary: Json,
    lines: Vec<Vec<String>>,
    is_incremental: bool,
}

impl Fixture {
    /// A FULL export of items in DynamoDB JSON.
    pub fn full(id: &str, table: (&str, &str), at: &str, items: &[Json]) -> Fixture {
        let lines = items.iter().map(|item| json!({ "Item": item }).to_string());
        let summary = json!({ "version": "2020-06-30", "exportTime": at, "exportType": "FULL_EXPORT" });
        Fixture::of(id, table, summary, lines.collect(), false)
    }

    /// An INCREMENTAL export of changes, each a line without a spelling of its time that matters.
    pub fn incremental(id: &str, table: (&str, &str), (from, to): (&str, &str), changes: &[Json]) -> Fixture {
        let summary = json!({
            "version": "2023-08-01", "exportType": "INCREMENTAL_EXPORT", "exportTime": null,
            "exportFromTime": from, "exportToTime": to, "outputView": "NEW_AND_OLD_IMAGES",
        });
        Fixture::of(id, table, summary, changes.iter().map(Json::to_string).collect(), true)
    }

    fn of(
        id: &str,
        (table_arn, table_id): (&str, &str),
        mut summary: Json,
        lines: Vec<String>,
        is_incremental: bool,
    ) -> Fixture {
        let common = json!({
            "exportArn": format!("{table_arn}/export/{id}"), "startTime": "2026-11-22T04:00:00.123Z",
            "endTime": "2026-11-22T04:05:00.456Z", "tableArn": table_arn, "tableId": table_id, "s3Bucket": "exports",
            "s3Prefix": "x", "s3SseAlgorithm": "AES256", "s3SseKmsKeyId": null, "billedSizeBytes": 0,
            "manifestFilesS3Key": format!("x/AWSDynamoDB/{id}/manifest-files.json"), "outputFormat": "DYNAMODB_JSON",
            "itemCount": lines.len(),
        });
        let common = common.as_object().expect("an object").clone();
        summary.as_object_mut().expect("an object").extend(common);
        let mut files = vec![Vec::new(); FILES];
        lines.into_iter().enumerate().for_each(|(at, line)| files[at % (FILES - 1)].push(line));
        Fixture { id: id.into(), prefix: "x/".into(), summary, lines: files, is_incremental }
    }

    /// `s3://bucket/prefix/AWSDynamoDB/<id>`.
    pub fn url(&self, bucket: &str) -> String {
        format!("s3://{bucket}/{}AWSDynamoDB/{}", self.prefix, self.id)
    }

    /// The key of one of the export's own files.
    pub fn own(&self, name: &str) -> String {
        format!("{}AWSDynamoDB/{}/{name}", self.prefix, self.id)
    }

    /// The key of a data file: below the export where it is a FULL one, in a folder shared by all where not.
    pub fn data(&self, file: usize) -> String {
        let folder = if self.is_incremental { String::new() } else { format!("{}/", self.id) };
        format!("{}AWSDynamoDB/{folder}data/{}-{file}.json.gz", self.prefix, self.id)
    }

    /// Every object of the export by its key.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::from([(self.own("_started"), Vec::new())]);
        let mut files = String::new();
        for (at, lines) in self.lines.iter().enumerate() {
            let bytes = zip(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
            files += &format!("{}\n", file_line(&self.data(at), &bytes, lines.len()));
            objects.insert(self.data(at), bytes);
        }
        for (name, body) in [("manifest-files", files), ("manifest-summary", self.summary.to_string())] {
            objects.insert(self.own(&format!("{name}.md5")), sum(body.as_bytes()).into_bytes());
            objects.insert(self.own(&format!("{name}.json")), body.into_bytes());
        }
        objects
    }
}

/// A line of the files manifest.
pub fn file_line(key: &str, bytes: &[u8], items: usize) -> Json {
    let etag = hex::encode(Md5::digest(bytes));
    json!({ "itemCount": items, "md5Checksum": sum(bytes), "etag": etag, "dataFileS3Key": key })
}

/// The MD5 as manifests spell it.
pub fn sum(bytes: &[u8]) -> String {
    BASE64.encode(Md5::digest(bytes))
}

/// Gzip, in members of a few kilobytes: more than one may follow another.
pub fn zip(text: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for part in text.as_bytes().chunks(4096) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(part).expect("written");
        all.extend(gzip.finish().expect("written"));
    }
    match all.is_empty() {
        true => GzEncoder::new(Vec::new(), Compression::fast()).finish().expect("written"),
        false => all,
    }
}

/// How a change's time is spelled.
#[derive(Debug, Clone, Copy)]
pub enum Spelling {
    Text,
    Number,
    Bare,
}

/// One line of an INCREMENTAL export; `None` where there is no such image.
pub fn change(micros: i64, spelling: Spelling, keys: Json, old: Option<&Json>, new: Option<&Json>) -> Json {
    let time = match spelling {
        Spelling::Text => json!(micros.to_string()),
        Spelling::Number => json!({ "N": micros.to_string() }),
        Spelling::Bare => json!(micros),
    };
    let mut line = json!({ "Metadata": { "WriteTimestampMicros": time }, "Keys": keys });
    for (name, image) in [("OldImage", old), ("NewImage", new)] {
        if let Some(image) = image {
            line[name] = image.clone();
        }
    }
    line
}
