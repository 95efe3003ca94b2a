//! The reader against exports in memory: what is whole is read, and whatever is not is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue as A, KeyType};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value as Json, json};

use self::fixture::{Fixture, Spelling, change, file_line, sum, zip};
use super::super::format::KeyAttribute;
use super::objects::Object;
use super::*;
use crate::model::{Leaf, StoreKind};
use crate::store::{ItemThen, KeyChange, ReadStore};

#[path = "../../../../tests/suite/exports/fixture.rs"]
mod fixture;

const ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/orders";
const TABLE: (&str, &str) = (ARN, "id-1");
const AT: &str = "2026-11-22T03:09:30Z";

/// A bucket in memory.
#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Vec<u8>>,
    /// The prefix of keys that are denied.
    denied: Option<String>,
    /// How many openings of a data file break off, and after how many bytes.
    breaks: Mutex<(u32, usize)>,
}

#[async_trait]
impl Objects for Shelf {
    async fn open(&self, key: &str) -> Result<Object> {
        if self.denied.as_ref().is_some_and(|prefix| key.contains(prefix)) {
            return Err(StoreError::new(ErrorKind::Denied, "AccessDenied"));
        }
        let missing = || StoreError::new(ErrorKind::Missing, format!("no {key}"));
        let bytes = self.objects.get(key).ok_or_else(missing)?.clone();
        let mut chunks: Vec<Result<Bytes>> = bytes.chunks(100).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        let mut breaks = self.breaks.lock().expect("not poisoned");
        if key.contains("/data/") && breaks.0 > 0 {
            breaks.0 -= 1;
            chunks.truncate(breaks.1 / 100);
            chunks.push(Err(StoreError::new(ErrorKind::Unreachable, "the connection broke")));
        }
        Ok(Object { etag: Some(hex::encode(md5(&bytes))), body: stream::iter(chunks).boxed() })
    }
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(bytes).into()
}

fn tables() -> ExportTables {
    let key = vec![KeyAttribute { name: "id".into(), scalar_type: "S".into(), role: KeyType::Hash }];
    let format = ItemFormat {
        subject: "orders".into(),
        key,
        ttl_attribute: None,
        ttl_elsewhere: None,
        version_attribute: None,
        clock: None,
    };
    let identity = |resource: &str, id: &str| Identity {
        kind: StoreKind::DynamoDb,
        resource: resource.into(),
        id: id.into(),
        region: None,
        account: None,
    };
    ExportTables { format, identities: vec![identity(ARN, "id-1")] }
}

async fn opened(shelf: Shelf, fixture: &Fixture) -> Result<Export> {
    let place = ExportPlace::parse(&fixture.url("exports")).expect("a place");
    Export::read(&StoreId("orders".into()), place, Arc::new(shelf), &tables()).await
}

async fn leaves(export: Export) -> Result<Vec<Leaf>> {
    let full = full::FullExport(export);
    let scan = full.begin_scan(4).await?;
    let mut all = Vec::new();
    for partition in 0..scan.partitions() {
        all.extend(scan.leaves(partition).try_concat().await?);
    }
    all.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(all)
}

async fn changes(fixture: &Fixture) -> Result<Vec<KeyChange>> {
    let export = opened(Shelf { objects: fixture.objects(), ..Shelf::default() }, fixture).await?;
    let Span::Incremental(window) = export.summary.span else { panic!("an incremental export") };
    let log = incremental::IncrementalExport { export, window };
    let mut all = Vec::new();
    for partition in 0..log.partitions() {
        all.extend(log.changes(partition).try_concat().await?);
    }
    all.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(all)
}

/// The error with its causes.
fn told(error: &StoreError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}

fn item(number: u32) -> Json {
    json!({ "id": { "S": format!("i-{number:04}") }, "total": { "N": number.to_string() }, "pad": { "S": "x".repeat(80) } })
}

fn fixture() -> Fixture {
    Fixture::full("0169-ab", TABLE, AT, &(0..40).map(item).collect::<Vec<_>>())
}

#[tokio::test]
async fn every_type_has_the_leaf_that_a_scan_gives() {
    let every = json!({
        "id": { "S": "naïve ✓ \u{1F600} \" \\ \n" }, "empty": { "S": "" }, "one": { "N": "1" }, "tiny": { "N": "1E-130" },
        "huge": { "N": "-9.9999999999999999999999999999999999999E+125" }, "b": { "B": "AP8K" }, "nothing": { "B": "" },
        "ss": { "SS": ["b", "a"] }, "ns": { "NS": ["2", "1.5"] }, "bs": { "BS": ["Ag==", "AQ=="] },
        "l": { "L": [{ "NULL": true }, { "L": [] }, { "N": "7" }] }, "m": { "M": { "S": { "M": { "N": { "BOOL": true } } } } },
        "null": { "NULL": true }, "bool": { "BOOL": false }, "aws:rep:updatetime": { "N": "17" },
    });
    let text = |text: &str| A::S(text.into());
    let number = |text: &str| A::N(text.into());
    let map = |name: &str, value| A::M(HashMap::from([(name.to_owned(), value)]));
    let scanned = [
        ("id", text("naïve ✓ \u{1F600} \" \\ \n")),
        ("empty", text("")),
        ("one", number("1.0")),
        ("tiny", number("1E-130")),
        ("huge", number("-9.9999999999999999999999999999999999999E+125")),
        ("b", A::B(Blob::new([0, 255, 10]))),
        ("nothing", A::B(Blob::new([]))),
        ("ss", A::Ss(vec!["a".into(), "b".into()])),
        ("ns", A::Ns(vec!["1.5".into(), "2".into()])),
        ("bs", A::Bs(vec![Blob::new([1]), Blob::new([2])])),
        ("l", A::L(vec![A::Null(true), A::L(vec![]), number("7")])),
        ("m", map("S", map("N", A::Bool(true)))),
        ("null", A::Null(true)),
        ("bool", A::Bool(false)),
    ];
    let scanned = scanned.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let fixture = Fixture::full("0169-ab", TABLE, AT, &[every]);
    let export = opened(Shelf { objects: fixture.objects(), ..Shelf::default() }, &fixture).await.expect("opened");
    assert_eq!(leaves(export).await.expect("leaves"), [tables().format.leaf(scanned).expect("a leaf")]);
}

#[tokio::test]
async fn an_export_is_read_from_all_of_its_files_wherever_it_was_moved() {
    let mut moved = fixture();
    let there = opened(Shelf { objects: moved.objects(), ..Shelf::default() }, &moved).await.expect("opened");
    let there = leaves(there).await.expect("leaves");
    assert_eq!(there.len(), 40);
    let objects = moved.objects().into_iter().map(|(key, body)| (key.replacen("x/", "y/z/", 1), body)).collect();
    moved.prefix = "y/z/".into();
    let here = opened(Shelf { objects, ..Shelf::default() }, &moved).await.expect("opened");
    assert_eq!(leaves(here).await.expect("leaves"), there);
}

#[tokio::test]
async fn a_reading_that_breaks_off_goes_on_where_it_was() {
    let fixture = fixture();
    for breaks in [(1, 0), (2, 200), (3, 300)] {
        let shelf = Shelf { objects: fixture.objects(), breaks: Mutex::new(breaks), ..Shelf::default() };
        let found = leaves(opened(shelf, &fixture).await.expect("opened")).await.expect("leaves");
        assert_eq!(found.len(), 40, "each once, after {breaks:?}");
    }
    let shelf = Shelf { objects: fixture.objects(), breaks: Mutex::new((100, 100)), ..Shelf::default() };
    let error = leaves(opened(shelf, &fixture).await.expect("opened")).await.expect_err("it never ends");
    assert_eq!(error.kind, ErrorKind::Unreachable);
}

type Damage = (&'static str, fn(&Fixture, &mut BTreeMap<String, Vec<u8>>), ErrorKind, &'static str);

/// Puts one summary field in the place of another, with a checksum that fits.
fn resum(fixture: &Fixture, objects: &mut BTreeMap<String, Vec<u8>>, field: &str, value: Json) {
    let mut summary = fixture.summary.clone();
    summary[field] = value;
    write(fixture, objects, "manifest-summary", summary.to_string());
}

fn write(fixture: &Fixture, objects: &mut BTreeMap<String, Vec<u8>>, name: &str, body: String) {
    objects.insert(fixture.own(&format!("{name}.md5")), sum(body.as_bytes()).into_bytes());
    objects.insert(fixture.own(&format!("{name}.json")), body.into_bytes());
}

/// Makes `bytes` the only data file that holds anything, of `items` items, with a checksum that fits.
fn refile(fixture: &Fixture, objects: &mut BTreeMap<String, Vec<u8>>, bytes: Vec<u8>, items: usize) {
    let line = file_line(&fixture.data(0), &bytes, items);
    objects.insert(fixture.data(0), bytes);
    write(fixture, objects, "manifest-files", format!("{line}\n"));
    resum(fixture, objects, "itemCount", items.into());
}

const DAMAGES: &[Damage] = &[
    (
        "no summary",
        |f, o| drop(o.remove(&f.own("manifest-summary.json"))),
        ErrorKind::Missing,
        "there is no s3://exports/x/AWSDynamoDB/0169-ab/manifest-summary.json: the export is not complete",
    ),
    (
        "a summary that was cut",
        |f, o| o.get_mut(&f.own("manifest-summary.json")).expect("it").truncate(50),
        ErrorKind::Unreadable,
        "manifest-summary.json is damaged: its MD5 is not the one in the checksum file",
    ),
    (
        "a summary that is no JSON",
        |f, o| write(f, o, "manifest-summary", "{".into()),
        ErrorKind::Unreadable,
        "manifest-summary.json is damaged: EOF",
    ),
    ("no files manifest", |f, o| drop(o.remove(&f.own("manifest-files.json"))), ErrorKind::Missing, "there is no"),
    (
        "a files manifest without its last line",
        |f, o| {
            let body = String::from_utf8(o[&f.own("manifest-files.json")].clone()).expect("text");
            let body = body.lines().skip(1).map(|line| format!("{line}\n")).collect();
            write(f, o, "manifest-files", body);
        },
        ErrorKind::Unreadable,
        "its files hold 20 items, the summary counts 40",
    ),
    (
        "a file listed twice",
        |f, o| {
            let body = String::from_utf8(o[&f.own("manifest-files.json")].clone()).expect("text");
            write(f, o, "manifest-files", format!("{0}\n{0}\n", body.lines().next().expect("a line")));
        },
        ErrorKind::Unreadable,
        "is listed twice",
    ),
    (
        "a data file that is not there",
        |f, o| drop(o.remove(&f.data(1))),
        ErrorKind::Unreadable,
        "the export lists s3://exports/x/AWSDynamoDB/0169-ab/data/0169-ab-1.json.gz, which is not there",
    ),
    (
        "a data file that was replaced",
        |f, o| drop(o.insert(f.data(1), zip(&format!("{}\n", json!({ "Item": item(1) })).repeat(20)))),
        ErrorKind::Unreadable,
        "0169-ab-1.json.gz is damaged: its MD5 is not the one in the manifest",
    ),
    (
        "a data file that was cut, though its MD5 fits",
        |f, o| {
            let mut bytes = o[&f.data(0)].clone();
            bytes.truncate(bytes.len() - 9);
            refile(f, o, bytes, 20);
        },
        ErrorKind::Unreadable,
        "0169-ab-0.json.gz is damaged: it is not a whole gzip file",
    ),
    (
        "a data file of fewer items than the manifest counts",
        |f, o| refile(f, o, zip(&format!("{}\n", json!({ "Item": item(1) }))), 2),
        ErrorKind::Unreadable,
        "it holds 1 items, the manifest counts 2",
    ),
    (
        "a line that is no JSON",
        |f, o| refile(f, o, zip("{\"Item\":{\"id\":{\"S\":\"secret\"}}\n"), 1),
        ErrorKind::Unreadable,
        "line 1 of s3://exports/x/AWSDynamoDB/0169-ab/data/0169-ab-0.json.gz: cannot read an exported item",
    ),
    (
        "a type that is not known",
        |f, o| refile(f, o, zip("{\"Item\":{\"id\":{\"S\":\"a\"},\"x\":{\"V\":\"secret\"}}}\n"), 1),
        ErrorKind::Unreadable,
        "it is not DynamoDB JSON",
    ),
    (
        "an attribute that occurs twice",
        |f, o| refile(f, o, zip("{\"Item\":{\"id\":{\"S\":\"secret\"},\"id\":{\"S\":\"a\"}}}\n"), 1),
        ErrorKind::Unreadable,
        "it is not DynamoDB JSON",
    ),
    (
        "an item without its key",
        |f, o| refile(f, o, zip("{\"Item\":{\"ID\":{\"S\":\"secret\"}}}\n"), 1),
        ErrorKind::Unreadable,
        "lacks its key",
    ),
    (
        "another format",
        |f, o| resum(f, o, "outputFormat", "ION".into()),
        ErrorKind::Unfit,
        "the export is in format ION: export again as DYNAMODB_JSON",
    ),
    (
        "a filter",
        |f, o| resum(f, o, "filterSpecification", json!({ "filterExpression": "total > :n" })),
        ErrorKind::Unfit,
        "the export was filtered",
    ),
    (
        "another table",
        |f, o| resum(f, o, "tableArn", format!("{ARN}-old").into()),
        ErrorKind::Unfit,
        "it is of arn:aws:dynamodb:us-east-1:123456789012:table/orders-old, not of arn",
    ),
    (
        "a namesake of the table",
        |f, o| resum(f, o, "tableId", "id-0".into()),
        ErrorKind::Unfit,
        "with id id-0, which was made anew since and is id-1 now",
    ),
    ("a new type of export", |f, o| resum(f, o, "exportType", "SOME_EXPORT".into()), ErrorKind::Unfit, "is not known"),
    ("no instant", |f, o| resum(f, o, "exportTime", Json::Null), ErrorKind::Unreadable, "exportTime is missing"),
];

#[tokio::test]
async fn whatever_is_not_whole_is_told_and_never_read_as_less() {
    for (name, damage, kind, words) in DAMAGES {
        let fixture = fixture();
        let mut objects = fixture.objects();
        damage(&fixture, &mut objects);
        let read = match opened(Shelf { objects, ..Shelf::default() }, &fixture).await {
            Ok(export) => leaves(export).await,
            Err(error) => Err(error),
        };
        let error = read.expect_err(name);
        assert_eq!((error.kind, told(&error).contains(words)), (*kind, true), "{name}: {}", told(&error));
        assert!(!told(&error).contains("secret"), "{name}: {}", told(&error));
    }
}

#[tokio::test]
async fn an_encrypted_export_that_may_not_be_read_names_its_key() {
    let mut fixture = fixture();
    fixture.summary["s3SseAlgorithm"] = "KMS".into();
    fixture.summary["s3SseKmsKeyId"] = "arn:aws:kms:us-east-1:123456789012:key/k".into();
    let shelf = Shelf { objects: fixture.objects(), denied: Some("/data/".into()), ..Shelf::default() };
    let error = leaves(opened(shelf, &fixture).await.expect("opened")).await.expect_err("denied");
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(
        error
            .to_string()
            .contains("KMS key arn:aws:kms:us-east-1:123456789012:key/k: the credentials need kms:Decrypt")
    );
}

#[tokio::test]
async fn a_file_without_an_md5_is_proved_by_its_etag() {
    let fixture = fixture();
    for (etag, is_right) in [(None, true), (Some("0123"), false)] {
        let mut objects = fixture.objects();
        let bytes = objects[&fixture.data(0)].clone();
        let mut line = file_line(&fixture.data(0), &bytes, 20);
        line.as_object_mut().expect("an object").remove("md5Checksum");
        if let Some(etag) = etag {
            line["etag"] = etag.into();
        }
        write(&fixture, &mut objects, "manifest-files", line.to_string());
        resum(&fixture, &mut objects, "itemCount", 20.into());
        let export = opened(Shelf { objects, ..Shelf::default() }, &fixture).await.expect("opened");
        assert_eq!(leaves(export).await.is_ok(), is_right, "{etag:?}");
    }
}

#[tokio::test]
async fn every_spelling_view_and_kind_of_change_is_read() {
    let keys = |id: &str| json!({ "id": { "S": id } });
    let image = |id: &str, total: &str| json!({ "id": { "S": id }, "total": { "N": total } });
    let leaf =
        |id: &str, total: &str| tables().format.leaf_of_json(image(id, total).to_string().as_bytes()).expect("a leaf");
    let (old, new) = (image("b", "1"), image("b", "2"));
    let lines = [
        change(1_795_000_000_000_001, Spelling::Text, keys("a"), None, Some(&image("a", "1"))),
        change(1_795_000_000_000_002, Spelling::Number, keys("b"), Some(&old), Some(&new)),
        change(1_795_000_000_000_003, Spelling::Bare, keys("c"), Some(&image("c", "3")), None),
        change(1_795_000_000_000_004, Spelling::Text, keys("d"), None, None),
    ];
    let window = ("2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z");
    let mut fixture = Fixture::incremental("0170-cd", TABLE, window, &lines);
    let read = changes(&fixture).await.expect("changes");
    let times: Vec<i64> =
        read.iter().map(|change| change.written_at.as_microsecond() - 1_795_000_000_000_000).collect();
    assert_eq!(times, [1, 2, 3, 4]);
    let images = |read: &[KeyChange]| read.iter().map(|c| (c.before.clone(), c.after.clone())).collect::<Vec<_>>();
    let present = |id, total| ItemThen::Present(leaf(id, total));
    assert_eq!(
        images(&read),
        [
            (ItemThen::Absent, present("a", "1")),
            (present("b", "1"), present("b", "2")),
            (present("c", "3"), ItemThen::Absent),
            (ItemThen::Untold, ItemThen::Absent),
        ]
    );
    // Without old images an insert looks like an update: nothing is told of what was before.
    fixture.summary["outputView"] = "NEW_IMAGE".into();
    assert_eq!(changes(&fixture).await.expect("changes")[0].before, ItemThen::Untold);
    fixture.summary["outputView"] = "SOME_IMAGE".into();
    assert!(told(&changes(&fixture).await.expect_err("unknown")).contains("view SOME_IMAGE is not known"));

    let foreign = change(1, Spelling::Text, keys("a"), None, Some(&image("b", "1")));
    let two_keys = change(1, Spelling::Text, image("a", "1"), None, None);
    let timeless = json!({ "Metadata": { "WriteTimestampMicros": "soon" }, "Keys": keys("a") });
    let unknown = json!({ "Metadata": { "WriteTimestampMicros": "1" }, "Keys": keys("a"), "Image": keys("a") });
    for (line, words) in [
        (foreign, "another key than its line"),
        (two_keys, "its keys are not those of the table"),
        (timeless, "WriteTimestampMicros is no instant"),
        (unknown, "not DynamoDB JSON"),
    ] {
        let error = changes(&Fixture::incremental("0170-cd", TABLE, window, &[line])).await.expect_err(words);
        assert!(told(&error).contains(words), "{}", told(&error));
    }
}

/// A log of a window that nothing is read of.
fn log(name: &str, from: &str, to: &str) -> Arc<dyn ChangeLog> {
    struct Empty(String, crate::store::Window);
    impl ChangeLog for Empty {
        fn name(&self) -> &str {
            &self.0
        }
        fn window(&self) -> crate::store::Window {
            self.1
        }
        fn partitions(&self) -> usize {
            0
        }
        fn changes(&self, _partition: usize) -> crate::store::ChangeStream<'_> {
            stream::empty().boxed()
        }
    }
    let at = |hour: &str| format!("2026-11-22T{hour}:00Z").parse().expect("an instant");
    Arc::new(Empty(name.to_owned(), crate::store::Window { from: at(from), to: at(to) }))
}

#[test]
fn windows_are_chained_whatever_their_order_and_a_gap_is_named() {
    let chain = ChangeChain::new(vec![log("b", "05:00", "06:00"), log("a", "03:00", "05:30")]).expect("a chain");
    assert_eq!(chain.names(), "a, b");
    assert_eq!(chain.window().map(|window| window.to.to_string()).as_deref(), Some("2026-11-22T06:00:00Z"));
    let gap = ChangeChain::new(vec![log("a", "03:00", "05:00"), log("b", "05:01", "06:00")]);
    let words = "nothing tells what changed from 2026-11-22T05:00:00Z to 2026-11-22T05:01:00Z: between a and b";
    assert_eq!(gap.map(drop).expect_err("a gap").to_string(), words);
    let within = ChangeChain::new(vec![log("a", "03:00", "06:00"), log("b", "04:00", "05:00")]);
    assert!(within.map(drop).expect_err("nested").to_string().contains("lie within one another"));
}

#[test]
fn a_base_is_one_full_export_and_what_follows_it_without_a_gap() {
    let full = |name: &str, at: &str| (name.to_owned(), format!("2026-11-22T{at}:00Z").parse().expect("an instant"));
    let as_of = |full: Vec<(String, Timestamp)>, logs: Vec<Arc<dyn ChangeLog>>| {
        joined(full, logs, |name| name.as_str()).map(|(_, since, as_of)| (since.logs().len(), as_of.to_string()))
    };
    assert_eq!(as_of(vec![full("f", "03:00")], vec![]).expect("a base"), (0, "2026-11-22T03:00:00Z".into()));
    let logs = vec![log("a", "02:59", "04:00"), log("b", "04:00", "05:00")];
    assert_eq!(as_of(vec![full("f", "03:00")], logs).expect("a base"), (2, "2026-11-22T05:00:00Z".into()));
    for (fulls, logs, words) in [
        (
            vec![],
            vec![log("a", "03:00", "04:00")],
            "a base is one FULL export and INCREMENTAL ones that follow it; 0 are FULL",
        ),
        (vec![full("f", "03:00"), full("g", "04:00")], vec![], "2 are FULL"),
        (
            vec![full("f", "03:00")],
            vec![log("a", "03:01", "04:00")],
            "nothing tells what changed from 2026-11-22T03:00:00Z to 2026-11-22T03:01:00Z: between f and a",
        ),
        (vec![full("f", "03:00")], vec![log("a", "01:00", "02:00")], "end at 2026-11-22T02:00:00Z, before f"),
    ] {
        let error = as_of(fulls, logs).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}
