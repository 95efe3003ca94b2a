//! The S3 store through the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use failback::digest::key_of;
use failback::model::{Key, Side, StoreId, Value};
use failback::profile::BucketProfile;
use failback::store::conformance::{self, Fixture, Pair, Sample};
use failback::store::s3::S3Store;
use failback::store::{ReadStore, WriteStore};
use futures_util::{StreamExt, stream};

use super::assert_conforms;
use crate::peers::{self, Server};
use crate::s3::Region;

/// Objects written at the same time while planting.
const PUTS_AT_ONCE: usize = 16;

/// What each check has of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    /// Two buckets.
    Buckets,
    /// A prefix in two buckets that all checks share.
    Prefix,
}

/// Two Regions of one server.
struct S3Fixture {
    primary: Arc<Region>,
    dr: Arc<Region>,
    own: Own,
    versions: bool,
    made: AtomicU32,
}

impl S3Fixture {
    async fn of(server: &Server, regions: [&str; 2], own: Own, versions: bool) -> S3Fixture {
        let [primary, dr] = regions;
        let (primary, dr) = (Region::of(server, primary).await.into(), Region::of(server, dr).await.into());
        S3Fixture { primary, dr, own, versions, made: AtomicU32::new(0) }
    }
}

struct S3Pair {
    regions: [Arc<Region>; 2],
    buckets: [String; 2],
    prefix: String,
    primary: Arc<S3Store>,
    dr: Arc<S3Store>,
}

async fn connect(side: Side, region: &Region, bucket: &str, prefix: &str) -> Result<Arc<S3Store>, String> {
    let profile = BucketProfile::new(bucket.to_owned(), prefix.to_owned());
    let store = S3Store::connect(StoreId("sample".into()), side, &region.side, &profile, None).await;
    store.map(Arc::new).map_err(|error| format!("{error:?}"))
}

#[async_trait]
impl Fixture for S3Fixture {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let (bucket, prefix) = match self.own {
            Own::Buckets => (number, String::new()),
            Own::Prefix => (0, format!("check {number}/")),
        };
        let buckets = [format!("suite-{bucket}-primary"), format!("suite-{bucket}-dr")];
        if self.own == Own::Buckets || number == 0 {
            self.primary.make_bucket(&buckets[0], self.versions).await;
            self.dr.make_bucket(&buckets[1], self.versions).await;
        }
        let primary = connect(Side::Primary, &self.primary, &buckets[0], &prefix).await?;
        let dr = connect(Side::Dr, &self.dr, &buckets[1], &prefix).await?;
        let regions = [self.primary.clone(), self.dr.clone()];
        Ok(Box::new(S3Pair { regions, buckets, prefix, primary, dr }))
    }
}

impl S3Pair {
    fn at(&self, side: Side) -> (&Region, &str) {
        let at = usize::from(side == Side::Dr);
        (&self.regions[at], &self.buckets[at])
    }

    fn full_key(&self, number: u32) -> String {
        format!("{}{}", self.prefix, name_of(number))
    }
}

fn name_of(number: u32) -> String {
    format!("a folder/{number} ä+%.txt")
}

#[async_trait]
impl Pair for S3Pair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        self.primary.clone()
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        self.dr.clone()
    }

    fn key(&self, number: u32) -> Key {
        key_of(&Value::map([("key", Value::text(name_of(number)))]))
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        let (region, bucket) = self.at(side);
        let puts = samples.iter().cloned().map(|Sample { number, version }| async move {
            let body = format!("object {number} in version {version}");
            region.put(bucket, &self.full_key(number), body.as_bytes()).await;
        });
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).collect::<()>().await;
        Ok(())
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        let (region, bucket) = self.at(side);
        region.delete(bucket, &self.full_key(number)).await;
        Ok(())
    }
}

#[tokio::test]
async fn s3_conforms_on_versioned_buckets_of_ministack() {
    let Some(server) = peers::ministack() else { return };
    let fixture = S3Fixture::of(&server, ["eu-central-1", "eu-west-1"], Own::Buckets, true).await;
    assert_conforms(conformance::run_all(&fixture).await);
}

#[tokio::test]
async fn s3_conforms_on_unversioned_buckets_of_ministack() {
    let Some(server) = peers::ministack() else { return };
    let fixture = S3Fixture::of(&server, ["eu-central-1", "eu-west-1"], Own::Buckets, false).await;
    assert_conforms(conformance::run_all(&fixture).await);
}

#[tokio::test]
async fn s3_conforms_under_prefixes_on_ministack() {
    let Some(server) = peers::ministack() else { return };
    let fixture = S3Fixture::of(&server, ["eu-central-1", "eu-west-1"], Own::Prefix, true).await;
    assert_conforms(conformance::run_all(&fixture).await);
}

/// A bucket takes volumes of SeaweedFS, which has few of them here.
#[tokio::test]
async fn s3_conforms_on_seaweedfs() {
    let Some(server) = peers::seaweedfs() else { return };
    let fixture = S3Fixture::of(&server, ["us-east-1", "us-east-1"], Own::Prefix, true).await;
    assert_conforms(conformance::run_all(&fixture).await);
}
