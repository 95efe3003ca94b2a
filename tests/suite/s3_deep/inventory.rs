//! S3 Inventory reports in the documented layout: no server here makes them, so they are written from what buckets hold.

use std::io::Write;
use std::sync::Arc;

use md5::{Digest, Md5};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::{AWAY, HOME, Stage};
use crate::s3::Region;

/// Where reports lie, in each Region.
const REPORTS: [&str; 2] = ["reports-home", "reports-away"];

/// One row of a report.
struct Row {
    key: String,
    version: String,
    is_latest: bool,
    is_deletion: bool,
    size: i64,
    etag: String,
}

async fn rows(region: &Region, bucket: &str) -> Vec<Row> {
    let listed = region.client.list_object_versions().bucket(bucket).send().await.expect("listed");
    let versions = listed.versions().iter().map(|version| Row {
        key: version.key().expect("a key").into(),
        version: version.version_id().unwrap_or_default().into(),
        is_latest: version.is_latest() == Some(true),
        is_deletion: false,
        size: version.size().expect("a size"),
        etag: version.e_tag().expect("an ETag").trim_matches('"').into(),
    });
    let markers = listed.delete_markers().iter().map(|marker| Row {
        key: marker.key().expect("a key").into(),
        version: marker.version_id().unwrap_or_default().into(),
        is_latest: marker.is_latest() == Some(true),
        is_deletion: true,
        size: 0,
        etag: String::new(),
    });
    versions.chain(markers).collect()
}

/// CSV as S3 writes it: no header, everything quoted, keys URL-encoded, compressed.
fn csv(bucket: &str, rows: &[Row]) -> Vec<u8> {
    let mut text = String::new();
    for row in rows {
        let key = percent_encoding::utf8_percent_encode(&row.key, percent_encoding::NON_ALPHANUMERIC).to_string();
        let key = key.replace("%20", "+").replace("%2F", "/");
        let (size, etag) =
            if row.is_deletion { (String::new(), "") } else { (row.size.to_string(), row.etag.as_str()) };
        text += &format!(
            "\"{bucket}\",\"{key}\",\"{}\",\"{}\",\"{}\",\"{size}\",\"2026-11-20T10:00:00.000Z\",\"{etag}\",\"STANDARD\"\n",
            row.version, row.is_latest, row.is_deletion
        );
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("compressed");
    gzip.finish().expect("compressed")
}

const SCHEMA: &str = "message s3.inventory {
    required binary bucket (UTF8); required binary key (UTF8); optional binary version_id (UTF8);
    optional boolean is_latest; optional boolean is_delete_marker; optional int64 size;
    optional int64 last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8);
    optional binary storage_class (UTF8); }";

fn parquet(bucket: &str, rows: &[Row]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let snappy = WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(snappy)).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let texts = |text: &dyn Fn(&Row) -> String| -> Vec<ByteArray> {
        rows.iter().map(|row| ByteArray::from(text(row).into_bytes())).collect()
    };
    let there = vec![1_i16; rows.len()];
    for column in 0..9 {
        let mut open = group.next_column().expect("a column").expect("a column");
        let levels = (column >= 2).then_some(there.as_slice());
        let is_object: Vec<i16> = rows.iter().map(|row| i16::from(!row.is_deletion)).collect();
        let objects: Vec<&Row> = rows.iter().filter(|row| !row.is_deletion).collect();
        match column {
            3 | 4 => {
                let flags: Vec<bool> =
                    rows.iter().map(|row| if column == 3 { row.is_latest } else { row.is_deletion }).collect();
                open.typed::<BoolType>().write_batch(&flags, levels, None).expect("written");
            }
            5 | 6 => {
                let numbers: Vec<i64> =
                    objects.iter().map(|row| if column == 5 { row.size } else { 1_763_632_800_000 }).collect();
                open.typed::<Int64Type>().write_batch(&numbers, Some(&is_object), None).expect("written");
            }
            7 => {
                let etags: Vec<ByteArray> =
                    objects.iter().map(|row| ByteArray::from(row.etag.clone().into_bytes())).collect();
                open.typed::<ByteArrayType>().write_batch(&etags, Some(&is_object), None).expect("written");
            }
            _ => {
                let values = texts(&|row| match column {
                    0 => bucket.to_owned(),
                    1 => row.key.clone(),
                    2 => row.version.clone(),
                    _ => "STANDARD".to_owned(),
                });
                open.typed::<ByteArrayType>().write_batch(&values, levels, None).expect("written");
            }
        }
        open.close().expect("closed");
    }
    group.close().expect("closed");
    writer.into_inner().expect("finished")
}

/// Writes a report on a bucket, in two data files; gives the manifest's place.
async fn report(region: &Region, side: usize, bucket: &str, format: &str) -> String {
    let reports = REPORTS[side];
    let rows = rows(region, bucket).await;
    let (first, second) = rows.split_at(rows.len() / 2);
    let mut files = Vec::new();
    for (number, rows) in [first, second].into_iter().enumerate() {
        let data = if format == "CSV" { csv(bucket, rows) } else { parquet(bucket, rows) };
        let key = format!("{bucket}/daily/data/{format}-{number}");
        files.push(json!({ "key": key, "size": data.len(), "MD5checksum": hex::encode(Md5::digest(&data)) }));
        region.put(reports, &key, &data).await;
    }
    let schema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";
    let manifest = json!({
        "sourceBucket": bucket, "destinationBucket": format!("arn:aws:s3:::{reports}"), "version": "2016-11-30",
        "creationTimestamp": "1764036000000", "fileFormat": format,
        "fileSchema": if format == "CSV" { schema } else { SCHEMA }, "files": files,
    });
    put_manifest(region, reports, &format!("{bucket}/daily/{format}"), &manifest.to_string()).await
}

async fn put_manifest(region: &Region, reports: &str, folder: &str, manifest: &str) -> String {
    region.put(reports, &format!("{folder}/manifest.json"), manifest.as_bytes()).await;
    let checksum = hex::encode(Md5::digest(manifest.as_bytes()));
    region.put(reports, &format!("{folder}/manifest.checksum"), checksum.as_bytes()).await;
    format!("s3://{reports}/{folder}/manifest.json")
}

async fn stage() -> Option<Stage> {
    let stage = Stage::open().await?;
    stage.home.make_bucket(REPORTS[0], false).await;
    stage.away.make_bucket(REPORTS[1], false).await;
    for bucket in [HOME, AWAY] {
        for key in ["same", "a b/c+d%", "ünï/日本"] {
            stage.put(bucket, key, "same").await;
        }
        stage.put(bucket, "changed", bucket).await;
        stage.put(bucket, "overwritten", "first").await;
        stage.put(bucket, "overwritten", "second").await;
        stage.put(bucket, "deleted", "x").await;
        stage.delete(bucket, "deleted").await;
    }
    stage.put(AWAY, "new", "x").await;
    Some(stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diff_by_inventories_is_a_forecast_and_never_parity() {
    let Some(stage) = stage().await else { return };
    for formats in [["CSV", "Parquet"], ["Parquet", "CSV"]] {
        let home = report(&stage.home, 0, HOME, formats[0]).await;
        let away = report(&stage.away, 1, AWAY, formats[1]).await;
        let fields = [format!(", inventory = \"{home}\""), format!(", inventory = \"{away}\"")];
        stage.profile(None, "", [&fields[0], &fields[1]]);
        let diff = stage.run("diff p.toml --json").exits(1);
        let keys: Vec<String> = stage.delta(&diff).into_keys().collect();
        assert_eq!(keys, ["changed", "new"], "{formats:?}");
        let json = diff.json();
        assert_eq!(json["stores"][0]["primary"]["items"], 5, "neither markers nor old versions: {json}");
        let why = json["stores"][0]["forecast"].as_str().expect("a forecast");
        assert!(why.contains("media-home as of its inventory of 2025-11-25T02:00:00Z"), "{why}");
    }
    // What changed since the report: found again live where it differs, and never taken for parity where it does not.
    stage.put(HOME, "changed", AWAY).await;
    stage.put(HOME, "new", "x").await;
    let diff = stage.run("diff p.toml --json").exits(1);
    assert_eq!(stage.delta(&diff).len(), 0, "the differences of that date are gone");
    assert_eq!(diff.json()["parity"], false, "and yet a forecast is no parity");
    stage.run("diff p.toml").exits(1).prints("ONLY A FORECAST");
    let report = stage.run("report p.toml --format md").out;
    assert!(report.contains("only a forecast, never parity"), "{report}");
    // Verification reads the buckets themselves.
    let verify = stage.run("verify p.toml --json").exits(0);
    assert_eq!(verify.json()["parity"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inventory_of_one_side_is_held_against_a_listing_of_the_other() {
    let Some(stage) = stage().await else { return };
    let home = report(&stage.home, 0, HOME, "Parquet").await;
    stage.profile(None, "", [&format!(", inventory = \"{home}\""), ""]);
    let diff = stage.run("diff p.toml --json").exits(1);
    let keys: Vec<String> = stage.delta(&diff).into_keys().collect();
    assert_eq!(keys, ["changed", "new"]);
    let why = diff.json()["stores"][0]["forecast"].as_str().expect("a forecast").to_owned();
    assert!(why.contains("media-away by what its listing tells"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_damaged_or_of_another_kind_is_refused_in_words() {
    let Some(stage) = stage().await else { return };
    let url = report(&stage.home, 0, HOME, "CSV").await;
    let key = url.strip_prefix("s3://reports-home/").expect("a key").to_owned();
    let manifest = stage.home.body(REPORTS[0], &key).await;
    stage.profile(None, "", [&format!(", inventory = \"{url}\""), ""]);
    let folder = key.strip_suffix("/manifest.json").expect("a folder");
    for (from, to, says) in [
        ("\"CSV\"", "\"ORC\"", "configure the inventory for CSV or Parquet"),
        (
            "\"sourceBucket\":\"media-home\"",
            "\"sourceBucket\":\"other\"",
            "a report on bucket other, not on media-home",
        ),
        ("daily/data/CSV-0", "daily/data/CSV-9", "cannot read s3://reports-home/media-home/daily/data/CSV-9"),
        ("daily/data/CSV-0", "daily/data/CSV-1", "is not what its manifest says"),
        (", ETag", "", "it has no column ETag"),
        (", StorageClass", "", "columns, and the manifest"),
    ] {
        put_manifest(&stage.home, REPORTS[0], folder, &manifest.replacen(from, to, 1)).await;
        let refused = stage.run("diff p.toml");
        assert!(refused.code != Some(0) && refused.code != Some(1), "{says}: {:?}", refused.code);
        assert!(refused.err.contains(says), "`{says}` is not in\n{}", refused.err);
    }
    put_manifest(&stage.home, REPORTS[0], folder, &manifest).await;
    stage.run("diff p.toml").exits(1);
    stage.home.put(REPORTS[0], &key, manifest.replace("daily", "weekly").as_bytes()).await;
    stage.run("diff p.toml").says("is not what its manifest.checksum says");
    stage.home.delete(REPORTS[0], &format!("{folder}/manifest.checksum")).await;
    stage.run("diff p.toml").says("cannot read s3://reports-home/media-home/daily/CSV/manifest.checksum");
}
