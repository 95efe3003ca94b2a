//! The S3 store against real servers.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart,
    CreateBucketConfiguration, VersioningConfiguration,
};
use failback::digest::key_of;
use failback::model::{Item, Key, Leaf, Side, StoreId, Timestamp, Value};
use failback::profile::{BucketProfile, CredentialsProfile, Secret};
use failback::store::aws::sdk_config;
use failback::store::s3::{S3Store, SavedBodies};
use failback::store::{
    BodySource, Depth, ErrorKind, Expected, GuardedWrite, Level, Outcome, ReadStore, Wanted, WriteStore,
};
use futures_util::TryStreamExt;

use crate::peers::{self, Server};

const MIB: usize = 1 << 20;

#[derive(Clone)]
pub struct Region {
    pub client: Client,
    pub side: failback::profile::SideProfile,
}

impl Region {
    pub async fn of(server: &Server, name: &str) -> Region {
        Region::with(server, name, "test", "test").await
    }

    /// The same with credentials of one's own.
    pub async fn with(server: &Server, name: &str, key_id: &str, secret: &str) -> Region {
        let mut side = peers::side(server, name);
        side.credentials = Some(CredentialsProfile {
            access_key_id: key_id.into(),
            secret_access_key: Secret(secret.into()),
            session_token: None,
        });
        let config = sdk_config(&side).await;
        let builder = aws_sdk_s3::config::Builder::from(&config).force_path_style(true);
        let client = Client::from_conf(builder.endpoint_url(side.endpoint_url.clone().expect("an endpoint")).build());
        Region { client, side }
    }

    pub async fn make_bucket(&self, bucket: &str, versions: bool) {
        let mut request = self.client.create_bucket().bucket(bucket);
        if self.side.region != "us-east-1" {
            let place = BucketLocationConstraint::from(self.side.region.as_str());
            request = request
                .create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(place).build());
        }
        request.send().await.expect("a bucket");
        if versions {
            self.keep_versions(bucket).await;
        }
    }

    async fn keep_versions(&self, bucket: &str) {
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self.client.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled);
        request.send().await.expect("versioning");
    }

    async fn store(&self, bucket: &str, prefix: &str, as_of: Option<Timestamp>) -> failback::store::Result<S3Store> {
        let profile = BucketProfile::new(bucket, prefix);
        let side = if as_of.is_some() { Side::Base } else { Side::Primary };
        S3Store::connect(StoreId("media".into()), side, &self.side, &profile, as_of).await
    }

    pub async fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        let request = self.client.put_object().bucket(bucket).key(key).body(ByteStream::from(body.to_vec()));
        request.content_type("text/plain").send().await.expect("an object");
    }

    pub async fn put_in_parts(&self, bucket: &str, key: &str, parts: &[&[u8]], checksum: Option<ChecksumAlgorithm>) {
        let target = || (bucket.to_owned(), key.to_owned());
        let (bucket, key) = target();
        let request = self.client.create_multipart_upload().bucket(&bucket).key(&key).content_type("text/plain");
        let upload = request.set_checksum_algorithm(checksum).send().await.expect("an upload");
        let upload_id = upload.upload_id().expect("an id");
        let mut done = Vec::new();
        for (number, part) in (1..).zip(parts) {
            let request = self.client.upload_part().bucket(&bucket).key(&key).upload_id(upload_id);
            let request = request.part_number(number).body(ByteStream::from(part.to_vec()));
            let reply = request.send().await.expect("a part");
            let part = CompletedPart::builder().part_number(number).e_tag(reply.e_tag().expect("an ETag"));
            let part = part.set_checksum_crc32(reply.checksum_crc32().map(str::to_owned));
            done.push(part.build());
        }
        let whole = CompletedMultipartUpload::builder().set_parts(Some(done)).build();
        let request = self.client.complete_multipart_upload().bucket(&bucket).key(&key).upload_id(upload_id);
        request.multipart_upload(whole).send().await.expect("an object");
    }

    pub async fn body(&self, bucket: &str, key: &str) -> String {
        let reply = self.client.get_object().bucket(bucket).key(key).send().await.expect("an object");
        let body = reply.body.collect().await.expect("a body").to_vec();
        String::from_utf8(body).expect("text")
    }

    pub async fn delete(&self, bucket: &str, key: &str) {
        self.client.delete_object().bucket(bucket).key(key).send().await.expect("a deletion");
    }
}

fn key(name: &str) -> Key {
    key_of(&Value::map([("key", Value::text(name))]))
}

async fn one(store: &S3Store, name: &str, depth: Depth) -> Item {
    maybe(store, name, depth).await.expect("an item")
}

async fn maybe(store: &S3Store, name: &str, depth: Depth) -> Option<Item> {
    store.fetch(&[key(name)], depth).await.expect("a fetch").pop().expect("one answer")
}

async fn scan(store: &S3Store) -> Vec<Leaf> {
    let scan = store.begin_scan(4).await.expect("a scan");
    let mut leaves = Vec::new();
    for partition in 0..scan.partitions() {
        let batches: Vec<Vec<Leaf>> = scan.leaves(partition).try_collect().await.expect("leaves");
        leaves.extend(batches.into_iter().flatten());
    }
    leaves.sort_by(|a, b| a.key.cmp(&b.key));
    leaves
}

async fn body(source: &dyn BodySource, item: &Item) -> Vec<u8> {
    let stream = source.open_body(item, 0..item.size).await.expect("a body");
    let chunks: Vec<bytes::Bytes> = stream.try_collect().await.expect("bytes");
    chunks.concat()
}

async fn apply(to: &S3Store, name: &str, expected: Option<&Item>, wanted: Option<(&Item, &dyn BodySource)>) -> Outcome {
    let key = key(name);
    let write = GuardedWrite {
        key: &key,
        expected: expected.map_or(Expected::Absent, Expected::Present),
        wanted: wanted.map_or(Wanted::Absent, |(item, body)| Wanted::Present { item, body }),
    };
    to.apply(&[write]).await.expect("an outcome").pop().expect("one outcome")
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Waits for the server's clock, which tells times to the second, to pass into a second of its own; gives its end.
pub async fn next_second(region: &Region, bucket: &str) -> Timestamp {
    let second = async || {
        region.put(bucket, "~clock", b"tick").await;
        let head = region.client.head_object().bucket(bucket).key("~clock").send().await.expect("a head");
        head.last_modified().expect("a time").secs()
    };
    let start = second().await;
    for _ in 0..10_000 {
        let now = second().await;
        if now > start {
            return Timestamp::from_millisecond(now * 1000 - 1).expect("a time");
        }
    }
    panic!("the server's clock stands still");
}

async fn the_ladder(server: &Server) {
    let (home, away) = (Region::of(server, "us-east-1").await, Region::of(server, "us-west-2").await);
    home.make_bucket("ladder-home", true).await;
    away.make_bucket("ladder-away", false).await;
    let bytes = noise(6 * MIB, 1);
    let other = noise(6 * MIB, 2);
    home.put("ladder-home", "same", &bytes).await;
    away.put_in_parts("ladder-away", "same", &[&bytes[..5 * MIB], &bytes[5 * MIB..]], None).await;
    home.put("ladder-home", "other", &bytes).await;
    away.put_in_parts("ladder-away", "other", &[&other[..5 * MIB], &other[5 * MIB..]], None).await;
    let primary = home.store("ladder-home", "", None).await.expect("a store");
    let dr = away.store("ladder-away", "", None).await.expect("a store");
    let mine = one(&primary, "same", Depth::Content).await;
    assert_eq!(mine.same_as(&one(&dr, "same", Depth::Content).await), Some(true), "the same bytes");
    let mine = one(&primary, "other", Depth::Content).await;
    assert_eq!(mine.same_as(&one(&dr, "other", Depth::Content).await), Some(false), "other bytes of the same size");
    for store in [&primary, &dr] {
        let leaves = scan(store).await;
        assert_eq!(leaves.len(), 2);
        for name in ["same", "other"] {
            let item = one(store, name, Depth::Evidence).await;
            assert!(leaves.iter().any(|leaf| *leaf == item.leaf()), "a scan and a fetch agree");
            assert_eq!(one(store, name, Depth::Content).await.digest, item.digest, "whatever the depth");
        }
    }
}

async fn rich(region: &Region, bucket: &str, name: &str, note: &str, tag: &str) {
    let request = region.client.put_object().bucket(bucket).key(name).body(ByteStream::from_static(b"body"));
    let request = request.content_type("image/png").cache_control("max-age=60").content_language("de");
    let request = request.content_disposition("attachment").content_encoding("br").metadata("Note", note);
    request.tagging(format!("team=a%20b&stage={tag}")).send().await.expect("an object");
}

async fn metadata_and_tags(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("meta-home", true).await;
    home.make_bucket("meta-away", true).await;
    rich(&home, "meta-away", "a", "one", "x").await;
    let primary = home.store("meta-home", "", None).await.expect("a store");
    let dr = home.store("meta-away", "", None).await.expect("a store");
    let first = one(&dr, "a", Depth::Evidence).await;
    assert_eq!(apply(&primary, "a", None, Some((&first, &dr))).await, Outcome::Applied);
    let carried = one(&primary, "a", Depth::Evidence).await;
    assert_eq!(carried.same_as(&first), Some(true), "headers, metadata and tags are carried");
    let tags = carried.contents.get("tags").expect("tags");
    assert_eq!(tags.get("team").and_then(Value::as_text), Some("a b"));
    rich(&home, "meta-away", "a", "two", "x").await;
    let second = one(&dr, "a", Depth::Evidence).await;
    assert_eq!(second.same_as(&carried), Some(false), "metadata alone is a change");
    assert_ne!(second.digest, carried.digest);
    assert_eq!(apply(&primary, "a", Some(&carried), Some((&second, &dr))).await, Outcome::Applied);
    rich(&home, "meta-away", "a", "two", "y").await;
    let third = one(&dr, "a", Depth::Evidence).await;
    assert_eq!(third.same_as(&second), Some(false), "tags alone are a change");
    let refused = apply(&primary, "a", Some(&carried), Some((&third, &dr))).await;
    assert!(matches!(refused, Outcome::Refused { found: Some(_), .. }), "the ETag is the same, the metadata is not");
    let now = one(&primary, "a", Depth::Evidence).await;
    assert_eq!(apply(&primary, "a", Some(&now), Some((&third, &dr))).await, Outcome::Applied);
    assert_eq!(one(&primary, "a", Depth::Evidence).await.same_as(&third), Some(true));
}

async fn guards(server: &Server, versions: bool) {
    let home = Region::of(server, "us-east-1").await;
    let (own, source) = (format!("guard-home-{versions}"), format!("guard-away-{versions}"));
    home.make_bucket(&own, versions).await;
    home.make_bucket(&source, versions).await;
    let primary = home.store(&own, "", None).await.expect("a store");
    let dr = home.store(&source, "", None).await.expect("a store");
    home.put(&source, "k", b"from dr").await;
    let wanted = one(&dr, "k", Depth::Evidence).await;
    let present: Option<(&Item, &dyn BodySource)> = Some((&wanted, &dr));

    assert_eq!(apply(&primary, "k", None, present).await, Outcome::Applied, "insert");
    assert_eq!(apply(&primary, "k", None, present).await, Outcome::AlreadyApplied, "insert again");
    let written = one(&primary, "k", Depth::Evidence).await;
    home.put(&own, "k", b"a stranger").await;
    let found = one(&primary, "k", Depth::Evidence).await;
    for (expected, wanted) in [(None, present), (Some(&written), None)] {
        match apply(&primary, "k", expected, wanted).await {
            Outcome::Refused { found: Some(there), .. } => assert_eq!(there.same_as(&found), Some(true)),
            other => panic!("{other:?}"),
        }
    }
    home.put(&source, "k", b"newer in dr").await;
    let newer = one(&dr, "k", Depth::Evidence).await;
    let refused = apply(&primary, "k", Some(&written), Some((&newer, &dr))).await;
    assert!(matches!(refused, Outcome::Refused { .. }), "update of what is not expected: {refused:?}");
    assert_eq!(body(&primary, &found).await, b"a stranger", "nothing was written");
    assert_eq!(apply(&primary, "k", Some(&found), Some((&newer, &dr))).await, Outcome::Applied, "update");
    assert_eq!(apply(&primary, "k", Some(&found), Some((&newer, &dr))).await, Outcome::AlreadyApplied, "update again");
    let last = one(&primary, "k", Depth::Evidence).await;
    assert_eq!(apply(&primary, "k", Some(&last), None).await, Outcome::Applied, "delete");
    assert_eq!(apply(&primary, "k", Some(&last), None).await, Outcome::AlreadyApplied, "delete again");
    let gone = apply(&primary, "k", Some(&last), Some((&newer, &dr))).await;
    assert!(matches!(gone, Outcome::Refused { found: None, .. }), "update of what is gone: {gone:?}");
    assert_eq!(maybe(&primary, "k", Depth::Evidence).await, None);
    assert_eq!(scan(&primary).await, []);
    if versions {
        assert_eq!(body(&primary, &last).await, b"newer in dr", "a deleted version can still be read");
        assert_eq!(
            apply(&primary, "k", None, Some((&last, &primary))).await,
            Outcome::Applied,
            "undo from its version"
        );
    }
}

async fn large_bodies(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("large-home", true).await;
    home.make_bucket("large-away", true).await;
    let bytes = noise(20 * MIB + 7, 3);
    home.put("large-away", "film", &bytes).await;
    home.put("large-away", "empty", b"").await;
    let primary = home.store("large-home", "", None).await.expect("a store");
    let dr = home.store("large-away", "", None).await.expect("a store");
    for name in ["film", "empty"] {
        let wanted = one(&dr, name, Depth::Evidence).await;
        assert_eq!(apply(&primary, name, None, Some((&wanted, &dr))).await, Outcome::Applied, "{name}");
        assert_eq!(apply(&primary, name, None, Some((&wanted, &dr))).await, Outcome::AlreadyApplied, "{name}");
        let there = one(&primary, name, Depth::Content).await;
        assert_eq!(there.same_as(&one(&dr, name, Depth::Content).await), Some(true), "{name}");
    }
    let film = one(&primary, "film", Depth::Evidence).await;
    assert!(body(&primary, &film).await == bytes, "the bytes arrived");
    let part = primary.open_body(&film, 5..15).await.expect("a range").try_collect::<Vec<_>>().await.expect("bytes");
    assert_eq!(part.concat(), &bytes[5..15]);
    assert_eq!(primary.open_body(&film, 5..99 << 20).await.err().map(|error| error.kind), Some(ErrorKind::Unfit));
    let uploads = home.client.list_multipart_uploads().bucket("large-home").send().await.expect("uploads");
    assert_eq!(uploads.uploads().len(), 0);
}

/// A source whose bodies are not what its items say.
struct Liar(S3Store);

#[async_trait::async_trait]
impl BodySource for Liar {
    async fn open_body(
        &self,
        item: &Item,
        range: std::ops::Range<u64>,
    ) -> failback::store::Result<failback::store::BodyStream> {
        let stream = self.0.open_body(item, range).await?;
        let flipped = |bytes: bytes::Bytes| bytes.iter().map(|byte| byte ^ 1).collect::<bytes::Bytes>();
        Ok(Box::pin(stream.map_ok(flipped)))
    }
}

async fn damaged_bodies(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("liar-home", true).await;
    home.make_bucket("liar-away", true).await;
    home.put("liar-away", "small", b"truth").await;
    home.put("liar-away", "large", &noise(17 * MIB, 4)).await;
    let primary = home.store("liar-home", "", None).await.expect("a store");
    let dr = home.store("liar-away", "", None).await.expect("a store");
    let liar = Liar(home.store("liar-away", "", None).await.expect("a store"));
    for name in ["small", "large"] {
        let item = one(&dr, name, Depth::Evidence).await;
        let wanted = Wanted::Present { item: &item, body: &liar };
        let key = key(name);
        let write = GuardedWrite { key: &key, expected: Expected::Absent, wanted };
        let error = primary.apply(&[write]).await.expect_err("a damaged body");
        assert_eq!(error.kind, ErrorKind::Unreadable, "{error:?}");
        assert_eq!(maybe(&primary, name, Depth::Evidence).await, None, "nothing became visible");
    }
    let uploads = home.client.list_multipart_uploads().bucket("liar-home").send().await.expect("uploads");
    assert_eq!(uploads.uploads().len(), 0, "the unfinished upload was aborted");
}

/// Keys that S3 takes; SeaweedFS keeps objects as files and refuses the first three.
const ODD: [&str; 12] = [
    "folder/",
    "a//b",
    "a/../b",
    "ünï/cödé/日本語.txt",
    "a b",
    "a+b",
    "a%20b",
    "a%b",
    "quote\"'<&>",
    "tab\there",
    "~!*'()",
    "?#=;,@:$",
];

async fn odd_keys(server: &Server, names: &[&str]) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("odd-home", false).await;
    home.make_bucket("odd-away", false).await;
    for name in names {
        home.put("odd-away", &format!("in/{name}"), name.as_bytes()).await;
    }
    home.put("odd-away", "outside", b"").await;
    let primary = home.store("odd-home", "back/", None).await.expect("a store");
    let dr = home.store("odd-away", "in/", None).await.expect("a store");
    let mut wanted: Vec<Key> = names.iter().map(|name| key(name)).collect();
    wanted.sort();
    let mut listed: Vec<Key> = scan(&dr).await.into_iter().map(|leaf| leaf.key).collect();
    // A listed name with two readings is looked up under both; where both are there, each is told twice.
    listed.dedup();
    assert_eq!(listed.len(), names.len());
    assert!(listed == wanted, "every key is listed as it was written");
    for name in names {
        let item = one(&dr, name, Depth::Evidence).await;
        assert_eq!(apply(&primary, name, None, Some((&item, &dr))).await, Outcome::Applied, "{name}");
    }
    let digests = |leaves: Vec<Leaf>| leaves.into_iter().map(|leaf| (leaf.key, leaf.size)).collect::<Vec<_>>();
    assert_eq!(digests(scan(&primary).await), digests(scan(&dr).await));
}

async fn past_views(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("past", true).await;
    for name in ["kept", "overwritten", "deleted", "revived"] {
        home.put("past", name, format!("{name} before").as_bytes()).await;
    }
    home.delete("past", "revived").await;
    let instant = next_second(&home, "past").await;
    home.put("past", "overwritten", b"after").await;
    home.put("past", "inserted", b"after").await;
    home.put("past", "revived", b"after").await;
    home.delete("past", "deleted").await;
    let base = home.store("past", "", Some(instant)).await.expect("a view");
    let clock = key("~clock");
    let mut expected: Vec<Key> = ["kept", "overwritten", "deleted"].iter().map(|name| key(name)).collect();
    expected.sort();
    let leaves = scan(&base).await;
    let keys: Vec<Key> = leaves.iter().map(|leaf| leaf.key.clone()).filter(|key| *key != clock).collect();
    assert_eq!(keys, expected);
    for name in ["kept", "overwritten", "deleted"] {
        let item = one(&base, name, Depth::Content).await;
        assert_eq!(body(&base, &item).await, format!("{name} before").as_bytes());
        assert!(leaves.contains(&item.leaf()));
    }
    for name in ["inserted", "revived", "never"] {
        assert_eq!(maybe(&base, name, Depth::Evidence).await, None, "{name}");
    }
    let key = key("never");
    let write = GuardedWrite { key: &key, expected: Expected::Absent, wanted: Wanted::Absent };
    assert_eq!(base.apply(&[write]).await.expect_err("a view is not written").kind, ErrorKind::Unfit);
    home.make_bucket("no-past", false).await;
    let error = home.store("no-past", "", Some(instant)).await.err().expect("no history");
    assert_eq!(error.kind, ErrorKind::Unfit);
    home.keep_versions("past").await;
}

async fn saved_bodies(server: &Server, versions: bool) {
    let home = Region::of(server, "us-east-1").await;
    let bucket = format!("saved-{versions}");
    home.make_bucket(&bucket, versions).await;
    home.put(&bucket, "k", b"the first").await;
    let primary = Arc::new(home.store(&bucket, "", None).await.expect("a store"));
    let prior = one(&primary, "k", Depth::Evidence).await;
    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("bodies");
    primary.preserve(&prior, &saved).await.expect("preserved");
    primary.preserve(&prior, &saved).await.expect("preserved again");
    let files = std::fs::read_dir(&saved).map(|entries| entries.count()).unwrap_or_default();
    assert_eq!(files, usize::from(!versions), "versions need no copy");
    home.put(&bucket, "k", b"the second").await;
    let current = one(&primary, "k", Depth::Evidence).await;
    if !versions {
        let error = primary.open_body(&prior, 0..prior.size).await.err().expect("the body is gone");
        assert_eq!(error.kind, ErrorKind::Unfit);
    }
    let bodies = SavedBodies { folder: saved, fallback: primary.clone() };
    assert_eq!(body(&bodies, &prior).await, b"the first");
    assert_eq!(body(&bodies, &current).await, b"the second", "what was not saved comes from the bucket");
    assert_eq!(apply(&primary, "k", Some(&current), Some((&prior, &bodies))).await, Outcome::Applied, "undo");
    assert_eq!(one(&primary, "k", Depth::Evidence).await.same_as(&prior), Some(true));
}

async fn undo_without_evidence(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("undo", true).await;
    home.put("undo", "k", b"the first").await;
    let primary = home.store("undo", "", None).await.expect("a store");
    let prior = Item { evidence: Vec::new(), ..one(&primary, "k", Depth::Evidence).await };
    home.put("undo", "k", b"the second").await;
    let second = Item { evidence: Vec::new(), ..one(&primary, "k", Depth::Evidence).await };
    for outcome in [Outcome::Applied, Outcome::AlreadyApplied] {
        assert_eq!(apply(&primary, "k", Some(&second), Some((&prior, &primary))).await, outcome);
    }
}

async fn archived_objects(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("cold", true).await;
    let class = aws_sdk_s3::types::StorageClass::DeepArchive;
    let request = home.client.put_object().bucket("cold").key("k").body(ByteStream::from_static(b"ice"));
    request.storage_class(class).send().await.expect("an object");
    let store = home.store("cold", "", None).await.expect("a store");
    let item = one(&store, "k", Depth::Content).await;
    assert!(item.hold.as_deref().is_some_and(|reason| reason.contains("archived")), "{:?}", item.hold);
    assert_eq!(scan(&store).await, [item.leaf()]);
}

async fn history_that_begins_too_late(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("late", false).await;
    let instant = next_second(&home, "late").await;
    home.put("late", "k", b"which replaced what?").await;
    home.keep_versions("late").await;
    let base = home.store("late", "", Some(instant)).await.expect("a view");
    let scan = base.begin_scan(1).await.expect("a scan");
    let read: Result<Vec<Vec<Leaf>>, _> = scan.leaves(0).try_collect().await;
    assert_eq!(read.err().map(|error| error.kind), Some(ErrorKind::Unfit));
    assert_eq!(base.fetch(&[key("k")], Depth::Evidence).await.err().map(|error| error.kind), Some(ErrorKind::Unfit));
}

async fn batches_and_impossible_keys(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("batch-home", true).await;
    home.make_bucket("batch-away", true).await;
    for n in 0..40 {
        home.put("batch-away", &format!("in/{n:02}"), n.to_string().as_bytes()).await;
    }
    home.put("batch-away", "in/", b"").await;
    let primary = home.store("batch-home", "", None).await.expect("a store");
    let dr = home.store("batch-away", "in/", None).await.expect("a store");
    let keys: Vec<Key> = (0..40).map(|n| key(&format!("{n:02}"))).chain([key("")]).collect();
    assert_eq!(primary.fetch(&keys, Depth::Evidence).await.expect("a fetch"), vec![None; 41]);
    let items: Vec<Item> = dr.fetch(&keys, Depth::Evidence).await.expect("a fetch").into_iter().flatten().collect();
    assert!(items.iter().map(|item| &item.key).eq(&keys), "items come in the order of their keys");
    let absent = |item: &'_ Item| GuardedWrite {
        key: &keys[keys.iter().position(|key| *key == item.key).expect("a key")],
        expected: Expected::Absent,
        wanted: Wanted::Absent,
    };
    let writes: Vec<GuardedWrite<'_>> =
        items.iter().map(|item| GuardedWrite { wanted: Wanted::Present { item, body: &dr }, ..absent(item) }).collect();
    let outcomes = primary.apply(&writes).await.expect("outcomes");
    assert!(outcomes[..40].iter().all(|outcome| *outcome == Outcome::Applied));
    assert!(matches!(outcomes[40], Outcome::Refused { found: None, .. }), "an empty key is no key");
    let (mine, theirs) = (scan(&primary).await, scan(&dr).await);
    assert_eq!((mine.len(), theirs.len()), (40, 41));
}

async fn races(server: &Server, versions: bool) {
    let home = Region::of(server, "us-east-1").await;
    let (own, source) = (format!("race-home-{versions}"), format!("race-away-{versions}"));
    home.make_bucket(&own, versions).await;
    home.make_bucket(&source, versions).await;
    let primary = home.store(&own, "", None).await.expect("a store");
    let dr = home.store(&source, "", None).await.expect("a store");
    let mut items = Vec::new();
    for n in 0..8 {
        home.put(&source, "k", format!("writer {n}").as_bytes()).await;
        let item = one(&dr, "k", Depth::Evidence).await;
        home.put(&source, &format!("copy-{n}"), format!("writer {n}").as_bytes()).await;
        let from = one(&dr, &format!("copy-{n}"), Depth::Evidence).await;
        items.push(Item { contents: from.contents, ..item });
    }
    let key = key("k");
    let mut expected = None;
    for round in ["insert", "update"] {
        let write = |item| GuardedWrite {
            key: &key,
            expected: expected.as_ref().map_or(Expected::Absent, Expected::Present),
            wanted: Wanted::Present { item, body: &dr },
        };
        let writes: Vec<GuardedWrite<'_>> = items.iter().map(write).collect();
        let outcomes = primary.apply(&writes).await.expect("outcomes");
        let applied: Vec<usize> = (0..8).filter(|n| outcomes[*n] == Outcome::Applied).collect();
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused { .. })).count();
        assert_eq!((applied.len(), refused), (1, 7), "{round}: one writer wins: {outcomes:?}");
        let there = one(&primary, "k", Depth::Evidence).await;
        assert_eq!(there.same_as(&items[applied[0]]), Some(true), "{round}: and its contents are there");
        items.remove(applied[0]);
        home.put(&source, "spare", round.as_bytes()).await;
        let spare = one(&dr, "spare", Depth::Evidence).await;
        items.push(Item { key: key.clone(), ..spare });
        expected = Some(there);
    }
}

async fn many_objects(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("many", true).await;
    let puts = (0..1203).map(|n| {
        let home = &home;
        async move { home.put("many", &format!("k/{n:05}"), n.to_string().as_bytes()).await }
    });
    use futures_util::StreamExt;
    futures_util::stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(16).collect::<Vec<()>>().await;
    let instant = next_second(&home, "many").await;
    let mut present = scan(&home.store("many", "k/", None).await.expect("a store")).await;
    present.dedup();
    assert_eq!(present.len(), 1203);
    let base = home.store("many", "k/", Some(instant)).await.expect("a view");
    assert!(scan(&base).await == present, "the view of now is what is there now");
}

async fn identities_and_findings(server: &Server) {
    let (home, away) = (Region::of(server, "us-east-1").await, Region::of(server, "us-west-2").await);
    home.make_bucket("who-home", false).await;
    away.make_bucket("who-away", true).await;
    let primary = home.store("who-home", "", None).await.expect("a store");
    let dr = away.store("who-away", "", None).await.expect("a store");
    let mine = primary.identity().await.expect("an identity");
    assert!(mine.is_same_resource(&primary.identity().await.expect("an identity")));
    assert!(!mine.is_same_resource(&dr.identity().await.expect("an identity")));
    assert_eq!(mine.resource, "s3://who-home/ (us-east-1)");
    let findings = primary.check().await;
    assert!(
        findings.iter().any(|finding| finding.level == Level::Warning && finding.what.contains("versions")),
        "{findings:?}"
    );
    assert_eq!(dr.check().await, []);
    let shapes = (primary.shape().await.expect("a shape"), dr.shape().await.expect("a shape"));
    assert_eq!(shapes.0.binding, shapes.1.binding);
    assert_ne!(shapes.0.advisory["versioning"], shapes.1.advisory["versioning"]);
    assert!(!primary.not_checked().is_empty());
    let error = home.store("no-such-bucket", "", None).await.err().expect("no bucket");
    assert_eq!(error.kind, ErrorKind::Missing, "{error:?}");
}

async fn lone_identity(server: &Server) {
    let home = Region::of(server, "us-east-1").await;
    home.make_bucket("who-home", true).await;
    let primary = home.store("who-home", "p/", None).await.expect("a store");
    let mine = primary.identity().await.expect("an identity");
    assert!(mine.is_same_resource(&primary.identity().await.expect("an identity")));
    let other = home.store("who-home", "q/", None).await.expect("a store");
    assert!(!mine.is_same_resource(&other.identity().await.expect("an identity")));
    let findings = primary.check().await;
    assert!(findings.iter().all(|finding| finding.level < Level::Blocker), "{findings:?}");
    // Without credentials this server lists no buckets.
    assert!(findings.iter().any(|finding| finding.what.contains("when bucket who-home was made")), "{findings:?}");
}

/// A test of one server.
macro_rules! against {
    ($server:ident: $($name:ident => $body:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let Some(server) = peers::$server() else { return };
            ready(&server).await;
            let run = $body;
            run(&server).await;
        })*
    };
}

/// Waits until the server can make a bucket: its port opens before its stores have found each other.
pub async fn ready(server: &Server) {
    let region = Region::of(server, "us-east-1").await;
    for _ in 0..200 {
        let made = region.client.create_bucket().bucket("ready").send().await.is_ok();
        let request = region.client.put_object().bucket("ready").key("k").body(ByteStream::from_static(b"x"));
        if made || request.send().await.is_ok() {
            return;
        }
    }
    panic!("the server makes no bucket");
}

mod ministack {
    use super::*;

    against! { ministack:
        objects_are_compared_by_the_ladder => the_ladder;
        metadata_and_tags_are_contents => metadata_and_tags;
        versioned_writes_are_guarded => async |server: &Server| guards(server, true).await;
        unversioned_writes_are_guarded => async |server: &Server| guards(server, false).await;
        large_and_empty_bodies_arrive_whole => large_bodies;
        damaged_bodies_never_become_objects => damaged_bodies;
        odd_keys_go_there_and_back => async |server: &Server| odd_keys(server, &ODD).await;
        a_past_instant_is_seen_as_it_was => past_views;
        prior_bodies_are_saved_where_versions_are_not_kept => async |server: &Server| saved_bodies(server, false).await;
        prior_bodies_are_kept_by_versions => async |server: &Server| saved_bodies(server, true).await;
        prior_images_need_no_evidence => undo_without_evidence;
        archived_objects_are_held => archived_objects;
        a_history_that_begins_too_late_is_refused => history_that_begins_too_late;
        batches_keep_their_order => batches_and_impossible_keys;
        one_of_many_writers_wins => async |server: &Server| races(server, true).await;
        one_of_many_writers_wins_without_versions => async |server: &Server| races(server, false).await;
        listings_go_on_page_after_page => many_objects;
        buckets_are_known_and_looked_over => identities_and_findings;
    }
}

mod seaweedfs {
    use super::*;

    against! { seaweedfs:
        objects_are_compared_by_the_ladder => the_ladder;
        metadata_and_tags_are_contents => metadata_and_tags;
        versioned_writes_are_guarded => async |server: &Server| guards(server, true).await;
        unversioned_writes_are_guarded => async |server: &Server| guards(server, false).await;
        large_and_empty_bodies_arrive_whole => large_bodies;
        damaged_bodies_never_become_objects => damaged_bodies;
        odd_keys_go_there_and_back => async |server: &Server| odd_keys(server, &ODD[3..]).await;
        a_past_instant_is_seen_as_it_was => past_views;
        prior_bodies_are_saved_where_versions_are_not_kept => async |server: &Server| saved_bodies(server, false).await;
        one_of_many_writers_wins => async |server: &Server| races(server, true).await;
        one_of_many_writers_wins_without_versions => async |server: &Server| races(server, false).await;
        buckets_are_known_and_looked_over => lone_identity;
        listings_go_on_page_after_page => many_objects;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_unreachable() {
    let mut side = peers::side_on_port(peers::free_port(), "us-east-1");
    side.account = None;
    let profile = BucketProfile::new("b-1", String::new());
    let error = S3Store::connect(StoreId("media".into()), Side::Dr, &side, &profile, None).await.err();
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Unreachable));
}
