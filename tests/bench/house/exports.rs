//! The memory of a comparison whose base is a FULL export.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};

use super::measure::{Row, Server, in_words};
use super::tables::{PEAK_MIB_MAX, diff};
use super::{Size, pages};

/// Data files of the export, as many as a table of some partitions has.
const FILES: u64 = 16;

/// Where the export lies in its bucket.
const PLACE: &str = "x/AWSDynamoDB/01700000000000-00000000";

/// Bytes that are packed at a time.
const PACKED_AT_ONCE: usize = 1 << 20;

/// Writes the data file of some items of the primary and gives its line of the manifest.
fn data_file(folder: &Path, number: u64, items: std::ops::Range<u64>) -> String {
    let key = format!("{PLACE}/data/{number:02}.json.gz");
    let (count, mut sum) = (items.end - items.start, Md5::new());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut file = std::fs::File::create(folder.join(&key)).expect("a data file");
    let mut lines = Vec::with_capacity(2 * PACKED_AT_ONCE);
    for item in items {
        lines.extend_from_slice(br#"{"Item":"#);
        pages::put_item(&mut lines, "orders", item);
        lines.extend_from_slice(b"}\n");
        if lines.len() > PACKED_AT_ONCE {
            gzip.write_all(&lines).expect("packed");
            lines.clear();
        }
    }
    gzip.write_all(&lines).expect("packed");
    let bytes = gzip.finish().expect("packed");
    sum.update(&bytes);
    file.write_all(&bytes).expect("written");
    let sum = BASE64.encode(sum.finalize());
    serde_json::json!({"itemCount": count, "md5Checksum": sum, "dataFileS3Key": key}).to_string()
}

/// Writes a FULL export of the primary's table in the service's format.
fn write_export(folder: &Path, items: u64) {
    std::fs::create_dir_all(folder.join(PLACE).join("data")).expect("a folder");
    let part = |number: u64| data_file(folder, number, items * number / FILES..items * (number + 1) / FILES);
    let halves = std::thread::scope(|scope| {
        let halves = [0..FILES / 2, FILES / 2..FILES];
        let threads = halves.map(|numbers| scope.spawn(|| numbers.map(part).collect::<Vec<String>>()));
        threads.map(|thread| thread.join().expect("half of the files"))
    });
    let files: String = halves.into_iter().flatten().map(|line| line + "\n").collect();
    let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/orders";
    let summary = serde_json::json!({
        "version": "2020-06-30", "exportArn": format!("{arn}/export/01700000000000-00000000"), "tableArn": arn,
        "tableId": "id-of-orders", "exportTime": "2026-11-22T03:09:30Z", "exportType": "FULL_EXPORT",
        "startTime": "2026-11-22T04:00:00.123Z", "endTime": "2026-11-22T04:05:00.456Z", "s3Bucket": "exports", "s3Prefix": "x",
        "s3SseAlgorithm": "AES256", "s3SseKmsKeyId": null, "outputFormat": "DYNAMODB_JSON", "itemCount": items,
        "manifestFilesS3Key": format!("{PLACE}/manifest-files.json"),
    });
    for (name, body) in [("manifest-files", files), ("manifest-summary", summary.to_string())] {
        let sum = BASE64.encode(Md5::digest(body.as_bytes()));
        std::fs::write(folder.join(PLACE).join(format!("{name}.md5")), sum).expect("written");
        std::fs::write(folder.join(PLACE).join(format!("{name}.json")), body).expect("written");
    }
}

pub fn run(size: Size) -> Vec<Row> {
    let items: u64 = size.pick(2_000_000, 3_000);
    let folder = tempfile::tempdir().expect("a folder");
    write_export(folder.path(), items);
    let server = Server::start(|port| format!("pages {port} {items} {}", folder.path().display()));
    let base = format!("base = {{ export = \"s3://exports/{PLACE}\" }}");
    let cost = diff(folder.path(), server.port, items, ("disaster_at = 2026-11-22T03:10:00Z", &base));
    let store = &cost.json()["stores"][0];
    // The base is what the primary has: whatever differs, dr changed.
    assert_eq!(store["verdicts"]["dr_only"], pages::changed(items));
    assert_eq!(store["base"]["items"], items);
    vec![
        Row::note(format!("{items} items a side, and as many in a FULL export as the base"), in_words(&cost)),
        Row::peak("peak memory, both sides and the export", &cost, PEAK_MIB_MAX),
    ]
}
