//! The S3 store against a loopback server that answers as AWS does where no server here can: objects of many gigabytes
//! that take no room, answers by part number, errors inside of a 200, objects under customer keys.
//!
//! A body is known by its name only: the bytes at a place follow from the name and the place, so that any range can be
//! answered and a copied range is the same as the one it was copied from.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use failback::digest::key_of;
use failback::model::{Item, Key, Leaf, Side, StoreId, Value};
use failback::profile::{BucketProfile, CompareProfile, ObjectLockProfile};
use failback::store::s3::S3Store;
use failback::store::{BodySource, Depth, ErrorKind, Expected, GuardedWrite, Outcome, ReadStore, Wanted, WriteStore};
use futures_util::TryStreamExt;
use md5::{Digest, Md5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::peers;

mod direct;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What was asked.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    /// Path and query as they came.
    target: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn asks(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The length told, where the body is not sent.
    length: Option<u64>,
}

impl Reply {
    fn of(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, headers: Vec::new(), body: body.into(), length: None }
    }

    fn error(status: u16, code: &str) -> Reply {
        Reply::of(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"))
    }

    fn with(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.push((name.into(), value.to_string()));
        self
    }
}

/// One object: its bytes follow from `content`, its ETag from them and from where they were cut.
#[derive(Debug, Clone)]
struct Object {
    content: u64,
    parts: Vec<u64>,
    headers: Vec<(String, String)>,
    etag: String,
}

impl Object {
    fn in_parts(content: u64, parts: &[u64]) -> Object {
        let mut start = 0;
        let mut whole = Md5::new();
        for part in parts {
            whole.update(part_md5(content, start, *part));
            start += part;
        }
        let etag = format!("\"{}-{}\"", hex::encode(whole.finalize()), parts.len());
        Object { content, parts: parts.to_vec(), headers: Vec::new(), etag }
    }

    fn single(content: u64, size: u64) -> Object {
        let etag = format!("\"{}\"", hex::encode(part_md5(content, 0, size)));
        Object { content, parts: vec![size], headers: Vec::new(), etag }
    }

    fn with(mut self, name: &str, value: &str) -> Object {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn size(&self) -> u64 {
        self.parts.iter().sum()
    }
}

/// The bytes of a body at a place; a pattern that repeats every 251 bytes.
fn bytes_at(content: u64, start: u64, length: u64) -> Vec<u8> {
    (start..start + length).map(|at| ((at % 251) as u8).wrapping_add(content as u8)).collect()
}

/// The MD5 of a part: the true one where bodies are small enough to be read, else one that stands for it.
fn part_md5(content: u64, start: u64, length: u64) -> Vec<u8> {
    let mut md5 = Md5::new();
    match length <= 64 * MIB {
        true => md5.update(bytes_at(content, start, length)),
        false => md5.update(format!("{content} {start} {length}")),
    }
    md5.finalize().to_vec()
}

/// An upload under way: the content, and the ranges of its parts.
type Parts = BTreeMap<u32, (u64, u64, u64)>;

/// Two buckets, `home` and `away`.
#[derive(Default)]
struct State {
    objects: HashMap<String, Object>,
    uploads: HashMap<String, Parts>,
    log: Vec<Request>,
    aborted: Vec<String>,
    /// Whether the bucket at home has Object Lock.
    locks: bool,
    /// What is answered instead, by the operation's word, in turn.
    instead: HashMap<&'static str, Vec<Reply>>,
}

struct Cloud {
    port: u16,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cloud {
    async fn start() -> Cloud {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move { while serve(&mut stream, &state).await.is_some() {} });
            }
        });
        Cloud { port, state, task }
    }

    fn put(&self, path: &str, object: Object) {
        self.state.lock().expect("no panics").objects.insert(path.into(), object);
    }

    fn object(&self, path: &str) -> Option<Object> {
        self.state.lock().expect("no panics").objects.get(path).cloned()
    }

    fn instead(&self, operation: &'static str, reply: impl Fn() -> Reply, times: usize) {
        let replies = (0..times).map(|_| reply()).collect();
        self.state.lock().expect("no panics").instead.insert(operation, replies);
    }

    /// How often an operation was asked for.
    fn count(&self, operation: &str) -> usize {
        self.state.lock().expect("no panics").log.iter().filter(|request| operation_of(request) == operation).count()
    }

    fn bodies_read(&self, bucket: &str) -> usize {
        let state = self.state.lock().expect("no panics");
        let is_read = |request: &&Request| operation_of(request) == "get" && request.path.starts_with(bucket);
        state.log.iter().filter(is_read).count()
    }

    fn aborted(&self) -> usize {
        self.state.lock().expect("no panics").aborted.len()
    }

    fn under_way(&self) -> usize {
        self.state.lock().expect("no panics").uploads.len()
    }

    async fn store(&self, side: Side, copy_from_mib: u64) -> S3Store {
        let (bucket, region) = if side == Side::Dr { ("away", "us-west-2") } else { ("home", "us-east-1") };
        let profile = BucketProfile { copy_from_mib, ..BucketProfile::new(bucket, "") };
        let reached = peers::side_on_port(self.port, region);
        S3Store::connect(StoreId("media".into()), side, &reached, &profile, None).await.expect("a store")
    }
}

async fn serve(stream: &mut TcpStream, state: &Mutex<State>) -> Option<()> {
    let request = request(stream).await?;
    let reply = {
        let mut state = state.lock().expect("no panics");
        state.log.push(request.clone());
        let instead = state.instead.get_mut(operation_of(&request)).and_then(Vec::pop);
        instead.unwrap_or_else(|| answer(&mut state, &request))
    };
    let length = reply.length.unwrap_or(reply.body.len() as u64);
    let mut head = format!("HTTP/1.1 {} X\r\ncontent-length: {length}\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    if request.method == "HEAD" { Some(()) } else { stream.write_all(&reply.body).await.ok() }
}

async fn request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut body = bytes.split_off(end + 4);
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers: HashMap<String, String> =
        pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    if headers.contains_key("expect") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while body.len() < length {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&buffer[..read]);
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let query = query.split('&').filter(|pair| !pair.is_empty());
    let query = query.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = query.map(|(name, value)| (decoded(name), decoded(value))).collect();
    let path = decoded(path).trim_start_matches('/').to_owned();
    Some(Request { method, path, query, headers, body, target })
}

fn operation_of(request: &Request) -> &'static str {
    let is_bucket = !request.path.trim_end_matches('/').contains('/');
    match (request.method.as_str(), is_bucket) {
        ("HEAD", true) => "head-bucket",
        ("HEAD", false) if request.asks("partNumber") => "head-part",
        ("HEAD", false) => "head",
        ("GET", true) => "get-bucket",
        ("GET", false) if request.asks("tagging") => "tags",
        ("GET", false) if request.asks("attributes") => "attributes",
        ("GET", false) => "get",
        ("POST", false) if request.asks("uploads") => "create",
        ("POST", false) => "complete",
        ("PUT", false) if request.headers.contains_key("x-amz-copy-source") => "copy-part",
        ("PUT", false) if request.asks("partNumber") => "part",
        ("PUT", false) => "put",
        ("DELETE", false) if request.asks("uploadId") => "abort",
        _ => "other",
    }
}

fn answer(state: &mut State, request: &Request) -> Reply {
    let upload_id = request.query.get("uploadId").cloned().unwrap_or_default();
    match operation_of(request) {
        "head-bucket" => Reply::of(200, ""),
        "get-bucket" => listing(state, request),
        "head" | "head-part" | "get" => read(state, request),
        "create" => {
            let id = format!("upload-{}", state.uploads.len() + state.aborted.len() + 1);
            state.uploads.insert(id.clone(), Parts::new());
            let root = "InitiateMultipartUploadResult";
            Reply::of(200, format!("<{root}><UploadId>{id}</UploadId></{root}>"))
        }
        "copy-part" => copy_part(state, request, &upload_id),
        "put" => {
            let content = u64::from(request.body.first().copied().unwrap_or(0));
            let object = Object::single(content, request.body.len() as u64);
            let etag = object.etag.clone();
            state.objects.insert(request.path.clone(), object);
            Reply::of(200, "").with("etag", etag)
        }
        "part" => {
            let number: u32 = request.query["partNumber"].parse().expect("a number");
            let content = u64::from(request.body.first().copied().unwrap_or(0));
            let parts = state.uploads.get_mut(&upload_id).expect("an upload");
            let start = parts.values().map(|(_, _, length)| length).sum();
            // The pattern tells from the first byte of a part which content it is of.
            let content = (content + 251 * 256 - start % 251) % 256;
            parts.insert(number, (content, start, request.body.len() as u64));
            Reply::of(200, "").with("etag", "\"part\"")
        }
        "complete" => {
            let Some(parts) = state.uploads.remove(&upload_id) else { return Reply::error(404, "NoSuchUpload") };
            let sizes: Vec<u64> = parts.values().map(|(_, _, length)| *length).collect();
            let object = Object::in_parts(parts[&1].0, &sizes);
            let etag = object.etag.clone();
            state.objects.insert(request.path.clone(), object);
            let root = "CompleteMultipartUploadResult";
            Reply::of(200, format!("<{root}><ETag>{}</ETag></{root}>", etag.replace('"', "&quot;")))
        }
        "abort" => {
            state.uploads.remove(&upload_id);
            state.aborted.push(upload_id);
            Reply::of(204, "")
        }
        "attributes" => Reply::error(403, "AccessDenied"),
        "tags" => Reply::of(200, "<Tagging><TagSet/></Tagging>"),
        _ => Reply::error(501, "NotImplemented"),
    }
}

fn listing(state: &State, request: &Request) -> Reply {
    if request.asks("ownershipControls") {
        let rule = "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>";
        return Reply::of(200, format!("<OwnershipControls>{rule}</OwnershipControls>"));
    }
    if request.asks("object-lock") && state.locks {
        let root = "ObjectLockConfiguration";
        return Reply::of(200, format!("<{root}><ObjectLockEnabled>Enabled</ObjectLockEnabled></{root}>"));
    }
    if !request.asks("list-type") {
        return Reply::error(404, "NoSuchConfiguration");
    }
    let bucket = request.path.trim_end_matches('/');
    let prefix = request.query.get("prefix").cloned().unwrap_or_default();
    let mut contents = String::new();
    let sorted: BTreeMap<&String, &Object> = state.objects.iter().collect();
    for (path, object) in sorted {
        let Some(key) = path.strip_prefix(&format!("{bucket}/")).filter(|key| key.starts_with(&prefix)) else {
            continue;
        };
        let etag = object.etag.clone().replace('"', "&quot;");
        contents += &format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-20T00:00:00.000Z</LastModified><ETag>{etag}</ETag>\
             <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            object.size()
        );
    }
    let encoding = request.query.get("encoding-type").map(|kind| format!("<EncodingType>{kind}</EncodingType>"));
    let rest = format!("<IsTruncated>false</IsTruncated>{}", encoding.unwrap_or_default());
    Reply::of(200, format!("<ListBucketResult>{contents}{rest}</ListBucketResult>"))
}

fn read(state: &State, request: &Request) -> Reply {
    let Some(object) = state.objects.get(&request.path) else { return Reply::error(404, "NoSuchKey") };
    if request.headers.get("if-match").is_some_and(|etag| *etag != object.etag) {
        return Reply::error(412, "PreconditionFailed");
    }
    if object.headers.iter().any(|(name, _)| name == "customer-key") {
        return Reply::error(400, "InvalidRequest");
    }
    let mut reply = Reply::of(200, "").with("etag", object.etag.clone());
    if !object.headers.iter().any(|(name, _)| name == "x-amz-tagging-count") {
        reply = reply.with("x-amz-tagging-count", 0);
    }
    reply = reply.with("last-modified", "Fri, 20 Nov 2026 00:00:00 GMT");
    for (name, value) in &object.headers {
        reply = reply.with(name, value);
    }
    if let Some(number) = request.query.get("partNumber") {
        let number: usize = number.parse().expect("a number");
        let Some(size) = object.parts.get(number - 1) else { return Reply::error(416, "InvalidPartNumber") };
        reply = reply.with("x-amz-mp-parts-count", object.parts.len());
        return Reply { length: Some(*size), status: 206, ..reply };
    }
    if request.method == "HEAD" {
        return Reply { length: Some(object.size()), ..reply };
    }
    let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (start, last) = range.map_or((0, object.size() - 1), |(start, last)| {
        (start.parse().expect("a number"), last.parse().expect("a number"))
    });
    if range.is_some() {
        reply = reply.with("content-range", format!("bytes {start}-{last}/{}", object.size()));
        reply.status = 206;
    }
    Reply { body: bytes_at(object.content, start, last + 1 - start), ..reply }
}

fn copy_part(state: &mut State, request: &Request, upload_id: &str) -> Reply {
    let source = &request.headers["x-amz-copy-source"];
    let source = percent_encoding::percent_decode_str(source).decode_utf8_lossy().into_owned();
    let Some(object) = state.objects.get(&source) else { return Reply::error(404, "NoSuchKey") };
    if request.headers.get("x-amz-copy-source-if-match") != Some(&object.etag) {
        return Reply::error(412, "PreconditionFailed");
    }
    let range = request.headers["x-amz-copy-source-range"].strip_prefix("bytes=").expect("a range").to_owned();
    let (start, last) = range.split_once('-').expect("a range");
    let (start, last): (u64, u64) = (start.parse().expect("a number"), last.parse().expect("a number"));
    assert!(last < object.size(), "a range within the source");
    assert!(last + 1 - start <= 5 * GIB, "S3 copies no more than 5 GiB at once");
    let number: u32 = request.query["partNumber"].parse().expect("a number");
    let part = (object.content, start, last + 1 - start);
    state.uploads.get_mut(upload_id).expect("an upload").insert(number, part);
    Reply::of(200, "<CopyPartResult><ETag>&quot;part&quot;</ETag></CopyPartResult>")
}

fn key_named(name: &str) -> Key {
    key_of(&Value::map([("key", Value::text(name))]))
}

fn key() -> Key {
    key_of(&Value::map([("key", Value::text("film"))]))
}

async fn fetch(store: &S3Store, depth: Depth) -> Option<Item> {
    store.fetch(&[key()], depth).await.expect("a fetch").pop().expect("one answer")
}

async fn insert(primary: &S3Store, item: &Item, body: &dyn BodySource) -> failback::store::Result<Outcome> {
    let key = key();
    let write = GuardedWrite { key: &key, expected: Expected::Absent, wanted: Wanted::Present { item, body } };
    primary.apply(&[write]).await.map(|mut outcomes| outcomes.pop().expect("one outcome"))
}

fn hidden_error() -> Reply {
    Reply::error(200, "InternalError")
}

#[tokio::test]
async fn an_object_beyond_5_gib_is_copied_by_s3_with_the_parts_it_has() {
    for parts in [vec![GIB; 6], vec![5 * GIB, 2 * GIB, 3 * GIB, 7]] {
        let cloud = Cloud::start().await;
        cloud.put("away/film", Object::in_parts(9, &parts));
        let (primary, dr) = (cloud.store(Side::Primary, 5 * 1024).await, cloud.store(Side::Dr, 5 * 1024).await);
        let item = fetch(&dr, Depth::Evidence).await.expect("an item");
        assert_eq!(insert(&primary, &item, &dr).await.expect("an outcome"), Outcome::Applied);
        let arrived = cloud.object("home/film").expect("copied");
        assert_eq!(arrived.parts, parts, "the same parts");
        let there = fetch(&primary, Depth::Evidence).await.expect("an item");
        assert_eq!(there.same_as(&item), Some(true), "the ETag is true to the parts, and proves the copy");
        assert_eq!(cloud.count("get"), 0, "no body came through here");
        assert_eq!((cloud.under_way(), cloud.aborted()), (0, 0));
        assert_eq!(insert(&primary, &item, &dr).await.expect("an outcome"), Outcome::AlreadyApplied);
    }
}

#[tokio::test]
async fn an_error_inside_of_a_200_is_no_success() {
    for operation in ["copy-part", "complete"] {
        let cloud = Cloud::start().await;
        cloud.put("away/film", Object::in_parts(9, &[3 * GIB, 3 * GIB]));
        let (primary, dr) = (cloud.store(Side::Primary, 5 * 1024).await, cloud.store(Side::Dr, 5 * 1024).await);
        let item = fetch(&dr, Depth::Evidence).await.expect("an item");
        cloud.instead(operation, hidden_error, 100);
        let error = insert(&primary, &item, &dr).await.expect_err(operation);
        assert!(error.kind.is_transient(), "{operation}: {error:?}");
        assert!(cloud.object("home/film").is_none(), "{operation}: nothing became visible");
        assert_eq!((cloud.under_way(), cloud.aborted()), (0, 1), "{operation}: the upload was aborted");
        // Once is tried again.
        cloud.instead(operation, hidden_error, 1);
        assert_eq!(insert(&primary, &item, &dr).await.expect("an outcome"), Outcome::Applied, "{operation}");
    }
}

#[tokio::test]
async fn what_s3_will_not_copy_is_streamed() {
    let cloud = Cloud::start().await;
    cloud.put("away/film", Object::in_parts(9, &[6 * MIB, 6 * MIB, 6 * MIB]));
    cloud.instead("copy-part", || Reply::error(403, "AccessDenied"), 100);
    let (primary, dr) = (cloud.store(Side::Primary, 5).await, cloud.store(Side::Dr, 5).await);
    let item = fetch(&dr, Depth::Evidence).await.expect("an item");
    assert_eq!(insert(&primary, &item, &dr).await.expect("an outcome"), Outcome::Applied);
    assert!(cloud.count("copy-part") > 0 && cloud.bodies_read("away") > 0);
    assert_eq!(cloud.aborted(), 1, "the upload that was not to be");
    assert_eq!(cloud.object("home/film").map(|object| object.size()), Some(18 * MIB));
}

#[tokio::test]
async fn a_source_that_changed_since_it_was_read_is_not_copied() {
    let cloud = Cloud::start().await;
    cloud.put("away/film", Object::in_parts(9, &[3 * GIB, 3 * GIB]));
    let (primary, dr) = (cloud.store(Side::Primary, 5 * 1024).await, cloud.store(Side::Dr, 5 * 1024).await);
    let item = fetch(&dr, Depth::Evidence).await.expect("an item");
    cloud.put("away/film", Object::in_parts(8, &[3 * GIB, 3 * GIB]));
    let error = insert(&primary, &item, &dr).await.expect_err("a stale source");
    assert_eq!(error.kind, ErrorKind::Unfit, "{error:?}");
    assert!(cloud.object("home/film").is_none());
    assert_eq!((cloud.under_way(), cloud.aborted()), (0, 1));
}

#[tokio::test]
async fn an_upload_that_a_killed_run_left_is_aborted_by_the_next() {
    let cloud = Cloud::start().await;
    cloud.put("away/film", Object::in_parts(9, &[3 * GIB, 3 * GIB]));
    let folder = tempfile::tempdir().expect("a folder");
    let dr = cloud.store(Side::Dr, 5 * 1024).await;
    let item = fetch(&dr, Depth::Evidence).await.expect("an item");
    let killed = cloud.store(Side::Primary, 5 * 1024).await;
    assert_eq!(killed.tidy(folder.path()).await.expect("tidy"), []);
    // As if the process ended: neither finished nor aborted.
    cloud.instead("complete", || Reply::error(500, "InternalError"), 100);
    cloud.instead("abort", || Reply::error(500, "InternalError"), 100);
    insert(&killed, &item, &dr).await.expect_err("killed");
    assert_eq!(cloud.under_way(), 1);
    cloud.instead("complete", || Reply::error(500, "InternalError"), 0);
    cloud.instead("abort", || Reply::error(500, "InternalError"), 0);
    let next = cloud.store(Side::Primary, 5 * 1024).await;
    let told = next.tidy(folder.path()).await.expect("tidy");
    assert!(told.iter().any(|finding| finding.what.contains("1 unfinished uploads")), "{told:?}");
    assert_eq!(cloud.under_way(), 0);
    assert_eq!(next.tidy(folder.path()).await.expect("tidy"), [], "told once");
}

#[tokio::test]
async fn one_body_is_read_and_cut_where_the_other_was() {
    let cloud = Cloud::start().await;
    let kms = |object: Object| object.with("x-amz-server-side-encryption", "aws:kms");
    cloud.put("home/film", Object::in_parts(9, &[5 * MIB, 2 * MIB, 3 * MIB, 3]));
    cloud.put("away/film", kms(Object::single(9, 10 * MIB + 3)));
    let (primary, dr) = (cloud.store(Side::Primary, 5 * 1024).await, cloud.store(Side::Dr, 5 * 1024).await);
    let ours = fetch(&primary, Depth::Evidence).await.expect("an item");
    let theirs = fetch(&dr, Depth::Evidence).await.expect("an item");
    assert_eq!(ours.same_as(&theirs), None, "an ETag under KMS is no MD5, and neither is one of parts");
    assert_ne!(ours.digest, theirs.digest);
    let proved = dr.prove_like(&theirs, &ours).await.expect("proved");
    assert_eq!(ours.same_as(&proved), Some(true), "the parts' MD5s are made again");
    assert_eq!((cloud.bodies_read("home"), cloud.bodies_read("away")), (0, 2), "one side only, in ranges of 8 MiB");
    cloud.put("away/film", kms(Object::single(8, 10 * MIB + 3)));
    let other = fetch(&dr, Depth::Evidence).await.expect("an item");
    let proved = dr.prove_like(&other, &ours).await.expect("proved");
    assert_eq!(ours.same_as(&proved), None, "that parts differ proves nothing by itself");
    let read = fetch(&primary, Depth::Content).await.expect("an item");
    assert_eq!(read.same_as(&proved), Some(false), "both bodies do");
}

#[tokio::test]
async fn an_object_under_a_customer_key_is_named_and_never_equal() {
    let cloud = Cloud::start().await;
    for side in ["home", "away"] {
        cloud.put(&format!("{side}/film"), Object::single(9, 100).with("customer-key", "yes"));
    }
    let (primary, dr) = (cloud.store(Side::Primary, 5 * 1024).await, cloud.store(Side::Dr, 5 * 1024).await);
    for depth in [Depth::Evidence, Depth::Content] {
        let (ours, theirs) = (fetch(&primary, depth).await.expect("there"), fetch(&dr, depth).await.expect("there"));
        assert_eq!(ours.same_as(&theirs), Some(false));
        assert_eq!(ours.size, 100);
        assert!(ours.hold.as_deref().is_some_and(|why| why.contains("SSE-C")), "{:?}", ours.hold);
        let proved = dr.prove_like(&theirs, &ours).await.expect("as it is");
        assert_eq!(ours.same_as(&proved), Some(false));
    }
    assert_eq!(cloud.count("get"), 0);
}

#[tokio::test]
async fn retentions_and_legal_holds_are_carried_dropped_or_refused() {
    let cloud = Cloud::start().await;
    let locked = Object::single(9, 100)
        .with("x-amz-object-lock-mode", "COMPLIANCE")
        .with("x-amz-object-lock-retain-until-date", "2040-01-01T00:00:00Z")
        .with("x-amz-object-lock-legal-hold", "ON");
    cloud.put("away/film", locked);
    let dr = cloud.store(Side::Dr, 5 * 1024).await;
    let item = fetch(&dr, Depth::Evidence).await.expect("an item");
    let refused = insert(&cloud.store(Side::Primary, 5 * 1024).await, &item, &dr).await.expect("an outcome");
    assert!(
        matches!(&refused, Outcome::Refused { reason, .. } if reason.contains("has no Object Lock")),
        "{refused:?}"
    );
    assert!(cloud.object("home/film").is_none());
    let profile = BucketProfile { object_lock: ObjectLockProfile::Drop, ..BucketProfile::new("home", "") };
    let reached = peers::side_on_port(cloud.port, "us-east-1");
    let dropping = S3Store::connect(StoreId("media".into()), Side::Primary, &reached, &profile, None).await;
    assert_eq!(insert(&dropping.expect("a store"), &item, &dr).await.expect("an outcome"), Outcome::Applied);
    let sent = || {
        let state = cloud.state.lock().expect("no panics");
        state.log.iter().rfind(|request| operation_of(request) == "put").expect("a write").headers.clone()
    };
    assert!(!sent().contains_key("x-amz-object-lock-mode"), "written without");
    cloud.state.lock().expect("no panics").objects.remove("home/film");
    cloud.state.lock().expect("no panics").locks = true;
    let primary = cloud.store(Side::Primary, 5 * 1024).await;
    assert_eq!(insert(&primary, &item, &dr).await.expect("an outcome"), Outcome::Applied);
    let headers = sent();
    assert_eq!(headers["x-amz-object-lock-mode"], "COMPLIANCE");
    assert!(headers["x-amz-object-lock-retain-until-date"].starts_with("2040-01-01T00:00:00"), "{headers:?}");
    assert_eq!(headers["x-amz-object-lock-legal-hold"], "ON");
}

#[tokio::test]
async fn bodies_are_compared_without_a_look_at_each_object() {
    let cloud = Cloud::start().await;
    for n in 0..50 {
        cloud.put(&format!("away/{n}"), Object::single(n, 100));
    }
    let store = cloud.store(Side::Dr, 5 * 1024).await.comparing(CompareProfile::Bodies);
    let scan = store.begin_scan(1).await.expect("a scan");
    let leaves: Vec<Vec<Leaf>> = scan.leaves(0).try_collect().await.expect("leaves");
    assert_eq!((leaves.concat().len(), cloud.count("head"), cloud.count("tags")), (50, 0, 0));
    let item = store.fetch(&[key_named("7")], Depth::Evidence).await.expect("read").remove(0).expect("there");
    let leaf = leaves.concat().into_iter().find(|leaf| leaf.key == key_named("7")).expect("listed");
    assert!(item.digest != leaf.digest && item.is_proved_by(&leaf.digest), "what is read is known by its listing");
    cloud.put("away/a+b", Object::single(1, 100));
    let leaves: Vec<Vec<Leaf>> = scan.leaves(0).try_collect().await.expect("leaves");
    assert!(leaves.concat().iter().any(|leaf| leaf.key == key_named("a+b")), "a name with two readings is looked up");
    assert_eq!(cloud.count("head"), 3, "one that was fetched, and both readings");
}

#[tokio::test]
async fn replication_is_told_as_s3_tells_it() {
    let cloud = Cloud::start().await;
    let store = cloud.store(Side::Primary, 5 * 1024).await;
    for (header, word) in
        [("PENDING", "PENDING"), ("FAILED", "FAILED"), ("COMPLETE", "COMPLETED"), ("COMPLETED", "COMPLETED")]
    {
        cloud.put("home/film", Object::single(9, 100).with("x-amz-replication-status", header));
        let item = fetch(&store, Depth::Evidence).await.expect("an object");
        assert_eq!(store.replication(&item), Some(word));
    }
    cloud.put("home/film", Object::single(9, 100));
    let item = fetch(&store, Depth::Evidence).await.expect("an object");
    assert_eq!(store.replication(&item), None);
}
