//! Scripts on S3: a versioned bucket a side; an id is an object's key, a value its body.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use failback::model::{Side, StoreKind};
use percent_encoding::percent_decode_str;

use super::stage::{Restored, Row, Stage, resource_name};
use crate::peers::Server;
use crate::rig::sides_on_port;
use crate::s3::{Region, next_second, ready};

/// A bucket in which nothing plays: it tells the server's time.
const CLOCK: &str = "clock-of-the-server";

/// An S3 server with two Regions, or one that takes two names for its own.
pub struct Cloud {
    server: Server,
    primary: Region,
    dr: Region,
}

impl Cloud {
    pub async fn open(server: Option<Server>) -> Option<Cloud> {
        let server = server?;
        ready(&server).await;
        let (primary, dr) = (Region::of(&server, "us-east-1").await, Region::of(&server, "us-west-2").await);
        primary.make_bucket(CLOCK, false).await;
        Some(Cloud { server, primary, dr })
    }

    /// A fresh bucket on each side.
    pub async fn stage(&self, script: &str) -> Buckets {
        let buckets = Buckets {
            port: self.server.port,
            script: script.to_owned(),
            primary: self.primary.clone(),
            dr: self.dr.clone(),
        };
        for side in [Side::Primary, Side::Dr] {
            buckets.region(side).make_bucket(&buckets.name(side), true).await;
        }
        buckets
    }
}

/// The buckets of one script.
pub struct Buckets {
    port: u16,
    script: String,
    primary: Region,
    dr: Region,
}

impl Buckets {
    fn region(&self, side: Side) -> &Region {
        if side == Side::Dr { &self.dr } else { &self.primary }
    }

    fn name(&self, side: Side) -> String {
        resource_name(&self.script, side)
    }

    /// The object that a listing names: in its encoding `+` is a space, or itself on a server that leaves it alone.
    async fn object(&self, side: Side, listed: &str) -> (String, GetObjectOutput) {
        let (client, bucket) = (&self.region(side).client, self.name(side));
        for plain in [listed.replace('+', " "), listed.to_owned()] {
            let id = percent_decode_str(&plain).decode_utf8().expect("a key is UTF-8").into_owned();
            if let Ok(got) = client.get_object().bucket(&bucket).key(&id).send().await {
                return (id, got);
            }
        }
        panic!("there is no object {listed}, which is listed")
    }

    /// Deletes every version, every marker, and the bucket.
    async fn delete_bucket(&self, side: Side) {
        let (client, bucket) = (&self.region(side).client, self.name(side));
        let reply = client.list_object_versions().bucket(&bucket).send().await.expect("versions");
        let versions = reply.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = reply.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        let objects = versions.chain(markers).map(|(key, version)| {
            let object =
                ObjectIdentifier::builder().key(key.expect("a key")).set_version_id(version.map(str::to_owned));
            object.build().expect("an object")
        });
        let all = Delete::builder().set_objects(Some(objects.collect())).build().expect("objects");
        client.delete_objects().bucket(&bucket).delete(all).send().await.expect("deleted");
        client.delete_bucket().bucket(&bucket).send().await.expect("the bucket is gone");
    }
}

#[async_trait]
impl Stage for Buckets {
    fn kind(&self) -> StoreKind {
        StoreKind::S3
    }

    fn sides(&self) -> String {
        sides_on_port(self.port)
    }

    fn resources(&self) -> String {
        let (primary, dr) = (self.name(Side::Primary), self.name(Side::Dr));
        format!("kind = \"s3\"\nprimary = {{ bucket = \"{primary}\" }}\ndr = {{ bucket = \"{dr}\" }}\n")
    }

    async fn put(&self, side: Side, row: &Row) {
        assert!(row.fields.is_empty(), "an object has no fields");
        self.region(side).put(&self.name(side), &row.id, row.value.as_bytes()).await;
    }

    async fn remove(&self, side: Side, id: &str) {
        self.region(side).delete(&self.name(side), id).await;
    }

    async fn values(&self, side: Side) -> BTreeMap<String, String> {
        let (client, bucket) = (&self.region(side).client, self.name(side));
        // Some keys cannot be told in plain XML.
        let listing = client.list_objects_v2().bucket(&bucket).encoding_type(EncodingType::Url);
        let listed = listing.send().await.expect("listed");
        assert_ne!(listed.is_truncated(), Some(true), "a script's bucket is one page");
        let mut values = BTreeMap::new();
        for object in listed.contents() {
            let (id, got) = self.object(side, object.key().expect("a key")).await;
            let body = got.body.collect().await.expect("a body").to_vec();
            values.insert(id, String::from_utf8(body).expect("text"));
        }
        values
    }

    async fn recreate(&self) {
        self.delete_bucket(Side::Primary).await;
        // What tells a bucket from its namesake is when it was made, to the second.
        next_second(&self.primary, CLOCK).await;
        self.primary.make_bucket(&self.name(Side::Primary), true).await;
    }

    async fn restore_aside(&self) -> Restored {
        let as_of = next_second(&self.primary, CLOCK).await;
        Restored { profile_line: "base = \"versions\"\n".into(), as_of: Some(as_of) }
    }
}
