//! Media: a versioned S3 bucket per Region, by the plain client.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{OrFail, Result, StoryError};
use crate::model::{Side, Value};

/// Objects read at the same time.
const PARALLEL: usize = 8;

/// The bucket of a side.
pub(super) fn bucket(side: Side) -> &'static str {
    match side {
        Side::Primary | Side::Base => "shop-media",
        Side::Dr => "shop-media-dr",
    }
}

/// One side's objects.
pub(super) struct Media {
    pub client: Client,
    pub side: Side,
    pub region: &'static str,
}

impl Media {
    pub(super) async fn create(&self) -> Result<()> {
        let bucket = bucket(self.side);
        let failed = format!("cannot make the bucket {bucket}");
        let place = (self.region != "us-east-1").then(|| {
            let constraint = BucketLocationConstraint::from(self.region);
            CreateBucketConfiguration::builder().location_constraint(constraint).build()
        });
        let request = self.client.create_bucket().bucket(bucket).set_create_bucket_configuration(place);
        request.send().await.or_fail(&failed)?;
        let versioned = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self.client.put_bucket_versioning().bucket(bucket).versioning_configuration(versioned);
        request.send().await.or_fail(&failed)?;
        Ok(())
    }

    pub(super) async fn put(&self, key: &Value, contents: &Value) -> Result<()> {
        let bucket = bucket(self.side);
        let body = match contents.get("body") {
            Some(Value::Bytes(bytes)) => bytes.clone(),
            _ => Vec::new(),
        };
        let tags =
            texts(contents, "tags").into_iter().map(|(name, text)| format!("{}={}", encoded(&name), encoded(&text)));
        let request = self.client.put_object().bucket(bucket).key(object_key(key)).body(ByteStream::from(body));
        let request = request
            .set_content_type(contents.get("content_type").and_then(Value::as_text).map(str::to_owned))
            .set_metadata(Some(texts(contents, "metadata").into_iter().collect()))
            .tagging(tags.collect::<Vec<_>>().join("&"));
        request.send().await.map_err(StoryError::caused(format!("cannot write to {bucket}")))?;
        Ok(())
    }

    pub(super) async fn delete(&self, key: &Value) -> Result<()> {
        let bucket = bucket(self.side);
        let request = self.client.delete_object().bucket(bucket).key(object_key(key));
        request.send().await.map_err(StoryError::caused(format!("cannot delete from {bucket}")))?;
        Ok(())
    }

    /// All current objects, as key and contents.
    pub(super) async fn read_all(&self) -> Result<Vec<(Value, Value)>> {
        let bucket = bucket(self.side);
        let mut pages = self.client.list_objects_v2().bucket(bucket).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(StoryError::caused(format!("cannot list {bucket}")))?;
            keys.extend(page.contents.into_iter().flatten().filter_map(|object| object.key));
        }
        stream::iter(keys).map(|key| self.read(key)).buffer_unordered(PARALLEL).try_collect().await
    }

    async fn read(&self, key: String) -> Result<(Value, Value)> {
        let bucket = bucket(self.side);
        let failed = format!("cannot read an object of {bucket}");
        let object = self.client.get_object().bucket(bucket).key(&key).send().await.or_fail(&failed)?;
        let tagging = self.client.get_object_tagging().bucket(bucket).key(&key).send().await.or_fail(&failed)?;
        let metadata: HashMap<String, String> = object.metadata.unwrap_or_default();
        let content_type = object.content_type.map_or(Value::Null, Value::Text);
        let body = object.body.collect().await.or_fail(&failed)?.to_vec();
        let contents = Value::map([
            ("body", Value::Bytes(body)),
            ("content_type", content_type),
            ("metadata", Value::map(metadata.into_iter().map(|(name, text)| (name, Value::Text(text))))),
            ("tags", Value::map(tagging.tag_set.into_iter().map(|tag| (tag.key, Value::Text(tag.value))))),
        ]);
        Ok((Value::map([("key", Value::Text(key))]), contents))
    }
}

fn object_key(key: &Value) -> String {
    key.get("key").and_then(Value::as_text).unwrap_or_default().to_owned()
}

fn texts(contents: &Value, part: &str) -> BTreeMap<String, String> {
    let entries = contents.get(part).and_then(Value::as_map).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned()))).collect()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
