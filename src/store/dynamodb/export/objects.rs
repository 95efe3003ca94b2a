//! The one seam to S3: whole objects of one bucket, streamed.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryPartition;
use aws_sdk_s3::config::{Builder, Region};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::profile::SideProfile;
use crate::store::aws::{self, store_error};
use crate::store::{ErrorKind, Result, StoreError};

/// A header that S3 answers with, also where it refuses.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// Objects of one bucket.
#[async_trait]
pub(super) trait Objects: Send + Sync {
    /// Opens an object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Missing`] where there is no such object, and the connection's own.
    async fn open(&self, key: &str) -> Result<Object>;
}

/// One object, being read.
pub(super) struct Object {
    /// Its ETag without quotes.
    pub(super) etag: Option<String>,
    /// Its body.
    pub(super) body: BoxStream<'static, Result<Bytes>>,
}

/// A bucket, in whatever Region it is.
pub(super) struct Bucket {
    name: String,
    client: Client,
}

impl Bucket {
    /// Connects to a bucket with a side's credentials, in the bucket's own Region.
    pub(super) async fn connect(reached: &SideProfile, name: &str) -> Result<Bucket> {
        let client = client(reached, None, name).await;
        let region = region_of(&client, name).await?;
        let client = match region.filter(|region| *region != reached.region) {
            Some(region) => self::client(reached, Some(region), name).await,
            None => client,
        };
        Ok(Bucket { name: name.to_owned(), client })
    }

    /// The client, to ask of the bucket's settings.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

async fn client(reached: &SideProfile, region: Option<String>, bucket: &str) -> Client {
    let address = aws::endpoint(reached, "s3");
    let mut builder = Builder::from(&aws::sdk_config(reached).await)
        .force_path_style(address.is_some())
        .retry_partition(RetryPartition::new(format!("failback-export-{}-{bucket}", reached.region)));
    if let Some(region) = region {
        builder = builder.region(Region::new(region));
    }
    builder.set_endpoint_url(address);
    Client::from_conf(builder.build())
}

/// The Region a bucket is in, where S3 tells.
async fn region_of(client: &Client, bucket: &str) -> Result<Option<String>> {
    match client.head_bucket().bucket(bucket).send().await {
        Ok(reply) => Ok(reply.bucket_region),
        Err(error) => {
            let told = error.raw_response().and_then(|reply| reply.headers().get(REGION_HEADER)).map(str::to_owned);
            let status = error.raw_response().map(|reply| reply.status().as_u16());
            match (told, status) {
                (Some(region), _) => Ok(Some(region)),
                // Who may read the export's objects need not be allowed to ask for the bucket.
                (None, Some(403)) => Ok(None),
                (None, Some(404)) => {
                    Err(StoreError::new(ErrorKind::Missing, format!("there is no bucket {bucket} for exports")))
                }
                _ => Err(store_error(format!("cannot reach bucket {bucket}"), error)),
            }
        }
    }
}

#[async_trait]
impl Objects for Bucket {
    async fn open(&self, key: &str) -> Result<Object> {
        let reply = self.client.get_object().bucket(&self.name).key(key).send().await;
        let what = || format!("cannot read s3://{}/{key}", self.name);
        let reply = reply.map_err(|error| {
            let is_missing = error.as_service_error().is_some_and(|error| error.is_no_such_key());
            let error = store_error(what(), error);
            if is_missing { StoreError::caused(ErrorKind::Missing, what(), "there is no such object") } else { error }
        })?;
        let etag = reply.e_tag.map(|etag| etag.trim_matches('"').to_owned());
        let cut = format!("s3://{}/{key} broke off", self.name);
        let body = stream::try_unfold((reply.body, cut), |(mut body, cut)| async move {
            match body.next().await {
                None => Ok(None),
                Some(Ok(bytes)) => Ok(Some((bytes, (body, cut)))),
                Some(Err(error)) => Err(StoreError::caused(ErrorKind::Unreachable, cut, error)),
            }
        });
        Ok(Object { etag, body: body.boxed() })
    }
}
