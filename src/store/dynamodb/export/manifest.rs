//! The two manifests of an export: what it is, and which data files hold it. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::Value as Json;

use super::place::ExportPlace;
use crate::model::Timestamp;
use crate::store::{ErrorKind, Result, StoreError, Window};

/// What an export covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// The whole table at one instant.
    Full(Timestamp),
    /// What changed in a window.
    Incremental(Window),
}

/// What the summary tells of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) export_arn: String,
    pub(super) table_arn: String,
    pub(super) table_id: String,
    pub(super) span: Span,
    /// Whether an incremental export tells what items were before.
    pub(super) has_old_images: bool,
    /// The KMS key that its objects are encrypted with, or that there is one.
    pub(super) kms_key: Option<String>,
    pub(super) files_key: String,
    pub(super) items: u64,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataFile {
    /// Its key in the bucket that is read.
    pub(super) key: String,
    pub(super) items: u64,
    pub(super) proof: Proof,
}

/// By what a data file is proved to be what was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// The MD5 of its bytes.
    Md5([u8; 16]),
    /// Its ETag, where the manifest gives no MD5.
    ETag(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SummaryText {
    export_arn: String,
    table_arn: String,
    table_id: String,
    export_time: Option<String>,
    export_from_time: Option<String>,
    export_to_time: Option<String>,
    export_type: Option<String>,
    output_view: Option<String>,
    output_format: String,
    s3_sse_algorithm: Option<String>,
    s3_sse_kms_key_id: Option<String>,
    #[serde(rename = "manifestFilesS3Key")]
    manifest_files_s3_key: String,
    item_count: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileText {
    item_count: u64,
    md5_checksum: Option<String>,
    etag: Option<String>,
    #[serde(rename = "dataFileS3Key")]
    data_file_s3_key: String,
}

/// Reads `manifest-summary.json`.
pub(super) fn summary(bytes: &[u8], place: &ExportPlace) -> Result<Summary> {
    let named = format!("{}/manifest-summary.json", place.url());
    let json: Json = serde_json::from_slice(bytes).map_err(|error| damaged(&named, &error.to_string()))?;
    let filter = json.as_object().and_then(|fields| {
        fields.iter().find(|(name, value)| name.to_lowercase().contains("filter") && !value.is_null())
    });
    if filter.is_some() {
        return Err(unfit(&named, "the export was filtered, so it does not hold every item: export without a filter"));
    }
    let text: SummaryText = serde_json::from_value(json).map_err(|error| damaged(&named, &error.to_string()))?;
    if text.output_format != "DYNAMODB_JSON" {
        let what = format!("the export is in format {}: export again as DYNAMODB_JSON", text.output_format);
        return Err(unfit(&named, &what));
    }
    let span = span(&text, &named)?;
    let has_old_images = match text.output_view.as_deref() {
        Some("NEW_AND_OLD_IMAGES") => true,
        // Without old images an insert cannot be told from an update.
        None | Some("NEW_IMAGE" | "NEW_IMAGES" | "KEYS_ONLY") => false,
        Some(other) => return Err(unfit(&named, &format!("the export's view {other} is not known"))),
    };
    let is_kms = text.s3_sse_algorithm.as_deref().is_some_and(|algorithm| algorithm.to_lowercase().contains("kms"));
    let kms_key = text.s3_sse_kms_key_id.or_else(|| is_kms.then(|| "of the bucket's choice".to_owned()));
    let Some(files_key) = place.named(&text.manifest_files_s3_key) else {
        return Err(damaged(&named, "manifestFilesS3Key is no key of an export"));
    };
    Ok(Summary {
        export_arn: text.export_arn,
        table_arn: text.table_arn,
        table_id: text.table_id,
        span,
        has_old_images,
        kms_key,
        files_key,
        items: text.item_count,
    })
}

fn span(text: &SummaryText, named: &str) -> Result<Span> {
    let instant = |field: &str, value: &Option<String>| {
        let value = value.as_deref().ok_or_else(|| damaged(named, &format!("{field} is missing")))?;
        value.parse::<Timestamp>().map_err(|_| damaged(named, &format!("{field} is no instant")))
    };
    let is_incremental = match text.export_type.as_deref() {
        Some("INCREMENTAL_EXPORT") => true,
        Some("FULL_EXPORT") => false,
        // Older summaries do not say.
        None => text.export_from_time.is_some(),
        Some(other) => return Err(unfit(named, &format!("the export's type {other} is not known"))),
    };
    if !is_incremental {
        return Ok(Span::Full(instant("exportTime", &text.export_time)?));
    }
    let (from, to) =
        (instant("exportFromTime", &text.export_from_time)?, instant("exportToTime", &text.export_to_time)?);
    if from >= to {
        return Err(damaged(named, "its window ends before it begins"));
    }
    Ok(Span::Incremental(Window { from, to }))
}

/// Reads `manifest-files.json`: one JSON object a line, which together hold the items that the summary counts.
pub(super) fn files(bytes: &[u8], summary: &Summary, place: &ExportPlace) -> Result<Vec<DataFile>> {
    let named = format!("s3://{}/{}", place.bucket, summary.files_key);
    let mut files = Vec::new();
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace)) {
        let wrong = |what: &str| damaged(&named, &format!("line {}: {what}", at + 1));
        let text: FileText = serde_json::from_slice(line).map_err(|error| wrong(&error.to_string()))?;
        let key = place.named(&text.data_file_s3_key).ok_or_else(|| wrong("dataFileS3Key is no key of an export"))?;
        let proof = match (text.md5_checksum.as_deref().filter(|md5| !md5.is_empty()), text.etag) {
            (Some(md5), _) => {
                let md5 = BASE64.decode(md5).ok().and_then(|md5| md5.try_into().ok());
                Proof::Md5(md5.ok_or_else(|| wrong("md5Checksum is no MD5"))?)
            }
            (None, Some(etag)) if !etag.is_empty() => Proof::ETag(etag.trim_matches('"').to_owned()),
            (None, _) => return Err(wrong("there is neither md5Checksum nor etag")),
        };
        files.push(DataFile { key, items: text.item_count, proof });
    }
    let mut keys: Vec<&str> = files.iter().map(|file| file.key.as_str()).collect();
    keys.sort_unstable();
    if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(damaged(&named, &format!("{} is listed twice", pair[0])));
    }
    let listed: u64 = files.iter().map(|file| file.items).sum();
    if listed != summary.items {
        let what = format!("its files hold {listed} items, the summary counts {}", summary.items);
        return Err(damaged(&named, &what));
    }
    Ok(files)
}

/// Makes sure that a manifest is what its checksum file says: an MD5, in base64 or hexadecimal.
pub(super) fn check_sum(manifest: &[u8], sum: &[u8], named: &str) -> Result<()> {
    let found: [u8; 16] = Md5::digest(manifest).into();
    let wanted = String::from_utf8_lossy(sum);
    let wanted = wanted.split_whitespace().next().unwrap_or_default().trim_matches('"');
    match wanted == BASE64.encode(found) || wanted.eq_ignore_ascii_case(&hex::encode(found)) {
        true => Ok(()),
        false => Err(damaged(named, "its MD5 is not the one in the checksum file beside it")),
    }
}

fn damaged(named: &str, what: &str) -> StoreError {
    StoreError::caused(ErrorKind::Unreadable, format!("{named} is damaged"), what.to_owned())
}

fn unfit(named: &str, what: &str) -> StoreError {
    StoreError::caused(ErrorKind::Unfit, format!("{named} cannot be used"), what.to_owned())
}
