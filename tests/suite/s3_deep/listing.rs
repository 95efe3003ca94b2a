//! Portions of a listing: every key once or more, however keys are named, on both servers.

use std::collections::BTreeSet;

use failback::model::{Side, StoreId};
use failback::profile::BucketProfile;
use failback::store::ReadStore;
use failback::store::s3::S3Store;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::peers;
use crate::s3::{Region, ready};

async fn store(region: &Region, bucket: &str, prefix: &str) -> S3Store {
    let profile = BucketProfile::new(bucket, prefix);
    S3Store::connect(StoreId("media".into()), Side::Dr, &region.side, &profile, None).await.expect("a store")
}

async fn plant(region: &Region, bucket: &str, names: &[String]) {
    region.make_bucket(bucket, false).await;
    let puts = names.iter().cloned().map(|name| async move { region.put(bucket, &name, name.as_bytes()).await });
    stream::iter(puts).buffer_unordered(32).collect::<()>().await;
}

/// The keys that all partitions together give, and how many partitions there are.
async fn scanned(store: &S3Store, readers: usize) -> (BTreeSet<Vec<u8>>, usize) {
    let scan = store.begin_scan(readers).await.expect("a scan");
    let mut names = BTreeSet::new();
    for partition in 0..scan.partitions() {
        let batches: Vec<_> = scan.leaves(partition).try_collect().await.expect("leaves");
        names.extend(batches.into_iter().flatten().map(|leaf| leaf.key.as_bytes().to_vec()));
    }
    (names, scan.partitions())
}

fn keys(names: &[String], prefix: &str) -> BTreeSet<Vec<u8>> {
    let names = names.iter().filter_map(|name| name.strip_prefix(prefix));
    let key = |name: &str| {
        let text = failback::model::Value::text(name);
        failback::digest::key_of(&failback::model::Value::map([("key", text)]))
    };
    names.map(|name| key(name).as_bytes().to_vec()).collect()
}

/// Folders within folders, names beside them that sort around the delimiter, and characters of every kind.
fn folders() -> Vec<String> {
    let mut names: Vec<String> =
        ["a.txt", "a-b", "b/only", "ünï/cödé/日本語", "ünï/x", "a b/c+d", "a+b/c d", "e%2Fg/h"]
            .map(str::to_owned)
            .to_vec();
    for year in 2024..2027 {
        for month in 1..=6 {
            names.extend((0..4).map(|n| format!("log/{year}/{month:02}/{n}.gz")));
        }
    }
    names
}

/// More keys than a page has, none in a folder, beginning with many characters.
fn flat() -> Vec<String> {
    let begins = ["0", "7", "A", "a", "z", "é", "日", "~"];
    (0..1400).map(|n| format!("img-{}{n:05}", begins[n % begins.len()])).collect()
}

async fn every_key_is_listed(region: &Region, odd: &[&str]) {
    let mut names = folders();
    names.extend(odd.iter().map(|name| (*name).to_owned()));
    plant(region, "folders", &names).await;
    for prefix in ["", "log/", "log/2025", "a"] {
        let store = store(region, "folders", prefix).await;
        let expected = keys(&names, prefix);
        for readers in [1, 2, 8] {
            let (found, partitions) = scanned(&store, readers).await;
            assert_eq!(found, expected, "under `{prefix}` by {readers} readers");
            assert!(readers > 1 || partitions == 1, "{prefix}: {partitions} partitions for one reader");
        }
    }
    let whole = store(region, "folders", "").await;
    assert!(scanned(&whole, 8).await.1 > 8, "more portions than readers");
}

async fn a_flat_bucket_is_cut_into_ranges(region: &Region) {
    let names = flat();
    plant(region, "flat", &names).await;
    let store = store(region, "flat", "").await;
    let (found, partitions) = scanned(&store, 8).await;
    assert_eq!(found, keys(&names, ""));
    assert!(partitions >= 8, "{partitions} ranges");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn portions_hold_every_key_on_ministack() {
    let Some(server) = peers::ministack() else { return };
    let region = Region::of(&server, "us-east-1").await;
    every_key_is_listed(&region, &["a", "a//b", "a/", "tab\tnew\u{1}", "x/../y", "/lead", "/"]).await;
    a_flat_bucket_is_cut_into_ranges(&region).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn portions_hold_every_key_on_seaweedfs() {
    let Some(server) = peers::seaweedfs() else { return };
    ready(&server).await;
    let region = Region::of(&server, "us-east-1").await;
    every_key_is_listed(&region, &["tab\there"]).await;
    a_flat_bucket_is_cut_into_ranges(&region).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_appears_while_portions_are_read_is_in_one_of_them() {
    let Some(server) = peers::ministack() else { return };
    let region = Region::of(&server, "us-east-1").await;
    let mut names = folders();
    plant(&region, "growing", &names).await;
    let store = store(&region, "growing", "").await;
    let scan = store.begin_scan(4).await.expect("a scan");
    for name in ["new-folder/x/y", "log/2030/01/0.gz", "log/2025/13/new.gz", "top"] {
        region.put("growing", name, name.as_bytes()).await;
        names.push(name.to_owned());
    }
    let mut count = BTreeSet::new();
    for partition in 0..scan.partitions() {
        let batches: Vec<_> = scan.leaves(partition).try_collect().await.expect("leaves");
        count.extend(batches.into_iter().flatten().map(|leaf| leaf.key.as_bytes().to_vec()));
    }
    assert_eq!(count.len(), names.len());
}
