//! Which bucket this is, its shape, and what an operator should know of it.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{BucketVersioningStatus, ObjectLockConfiguration, ObjectLockEnabled};

use super::{HttpResponse, S3Store, s3_error, status};
use crate::model::{Identity, Side, StoreKind};
use crate::store::aws::caller_account;
use crate::store::{ErrorKind, Finding, Level, Result, Shape, StoreError};

/// Pages of the account's buckets looked through for the creation date.
const BUCKET_PAGES_MAX: usize = 20;

/// What a comparison of buckets does not look at.
pub(super) fn not_checked(is_past: bool, only_bodies: bool) -> Vec<String> {
    let mut words: Vec<String> = [
        "noncurrent versions and delete markers",
        "object ACLs and owners, which are carried along with what is written where the bucket keeps them",
        "Object Lock retention and legal holds, which are carried along with what is written",
        "the encryption of objects, which is carried along with the primary's own key",
        "bucket configuration: policies, lifecycle, replication, notifications",
        "unfinished multipart uploads",
        "a change of metadata or tags alone made in the instant between the last look at an object and its write",
    ]
    .map(str::to_owned)
    .to_vec();
    if only_bodies {
        let unlisted = "headers, user metadata, tags and storage class of objects that both sides list with the same size \
                        and ETag (compare = \"bodies\")";
        words.push(unlisted.into());
        let beside = "a change of headers, user metadata, tags or storage class alone of an object that dr deleted, or that \
                      dr gave another body and no other change (compare = \"bodies\")";
        words.push(beside.into());
    }
    if is_past {
        words.push("past tags: a past version is read with the tags it has now".into());
        words.push("writes within the second of the base instant, and uploads in parts under way at it".into());
    }
    words
}

/// A setting as S3 tells it.
pub(super) enum Setting<T> {
    Set(T),
    Unset,
    Unknown(StoreError),
}

pub(super) fn setting<T, E>(what: &str, reply: std::result::Result<T, SdkError<E, HttpResponse>>) -> Setting<T>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match reply {
        Ok(reply) => Setting::Set(reply),
        Err(error) if status(&error) == Some(404) && error.code() != Some("NoSuchBucket") => Setting::Unset,
        Err(error) => Setting::Unknown(s3_error(what, error)),
    }
}

/// A bucket's default retention in words, where it has one: `COMPLIANCE for 30 days`.
fn default_retention(config: &ObjectLockConfiguration) -> Option<String> {
    let default = config.rule()?.default_retention()?;
    let mode = default.mode()?.as_str();
    let span = match (default.days(), default.years()) {
        (Some(days), _) => format!("{days} days"),
        (None, Some(years)) => format!("{years} years"),
        (None, None) => return None,
    };
    Some(format!("{mode} for {span}"))
}

impl S3Store {
    /// Makes sure that the bucket is there and in the profile's Region; gives its Region.
    pub(super) async fn require_bucket(&self) -> Result<String> {
        let what = || format!("cannot reach bucket {} in {}", self.bucket, self.reached.region);
        let reply = self.client.head_bucket().bucket(&self.bucket).send().await;
        let reply = reply.map_err(|error| match status(&error) {
            Some(404) => StoreError::caused(ErrorKind::Missing, format!("there is no bucket {}", self.bucket), error),
            _ => s3_error(what(), error),
        })?;
        let region = reply.bucket_region().unwrap_or(&self.reached.region);
        if region != self.reached.region {
            let what = format!("bucket {} is in {region}, not in {}", self.bucket, self.reached.region);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        Ok(region.to_owned())
    }

    /// Whether versions are kept; `None` when they never were.
    pub(super) async fn versioning(&self) -> Result<Option<BucketVersioningStatus>> {
        let reply = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        let reply = reply.map_err(|error| s3_error(format!("cannot ask for versioning of {}", self.bucket), error))?;
        Ok(reply.status().cloned())
    }

    pub(super) async fn ask_identity(&self) -> Result<Identity> {
        let region = self.require_bucket().await?;
        let created = self.creation_date().await?.unwrap_or_default();
        Ok(Identity {
            kind: StoreKind::S3,
            resource: format!("s3://{}/{} ({region})", self.bucket, self.prefix),
            id: format!("{}/{region}/{}/{created}", self.bucket, self.prefix),
            account: caller_account(&self.reached).await.ok().flatten(),
            region: Some(region),
        })
    }

    /// When the bucket was made; `None` where these credentials may not list buckets or it is another account's.
    ///
    /// A failure that may pass is an error: a date that is missing once would make it another bucket.
    async fn creation_date(&self) -> Result<Option<String>> {
        let mut token = None;
        for _ in 0..BUCKET_PAGES_MAX {
            let request = self.client.list_buckets().prefix(&self.bucket).set_continuation_token(token);
            let reply = match request.send().await {
                Ok(reply) => reply,
                Err(error) => {
                    let error = s3_error(format!("cannot ask when bucket {} was made", self.bucket), error);
                    return if error.kind.is_transient() { Err(error) } else { Ok(None) };
                }
            };
            if let Some(own) = reply.buckets().iter().find(|bucket| bucket.name() == Some(self.bucket.as_str())) {
                return Ok(own.creation_date().map(|date| date.secs().to_string()));
            }
            token = reply.continuation_token().map(str::to_owned);
            if token.is_none() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    pub(super) async fn ask_shape(&self) -> Shape {
        let mut shape = Shape::default();
        let parts = [
            ("versioning", self.versioning_word().await),
            ("default encryption", self.encryption_word().await),
            ("object lock", self.object_lock_word().await),
            ("replication", self.replication_word().await),
        ];
        shape.advisory.extend(parts.map(|(part, word)| (part.to_owned(), word)));
        shape
    }

    async fn versioning_word(&self) -> String {
        match self.versioning().await {
            Ok(status) => status.map_or("off".into(), |status| status.as_str().to_ascii_lowercase()),
            Err(_) => "unknown".into(),
        }
    }

    async fn encryption_word(&self) -> String {
        let reply = self.client.get_bucket_encryption().bucket(&self.bucket).send().await;
        match setting("cannot ask for encryption", reply) {
            Setting::Set(reply) => {
                let rules =
                    reply.server_side_encryption_configuration().map(|config| config.rules()).unwrap_or_default();
                let defaults = rules.iter().filter_map(|rule| rule.apply_server_side_encryption_by_default());
                let words: Vec<&str> = defaults.map(|default| default.sse_algorithm().as_str()).collect();
                if words.is_empty() { "none".into() } else { words.join(", ") }
            }
            Setting::Unset => "none".into(),
            Setting::Unknown(_) => "unknown".into(),
        }
    }

    async fn object_lock_word(&self) -> String {
        let reply = self.client.get_object_lock_configuration().bucket(&self.bucket).send().await;
        match setting("cannot ask for object lock", reply) {
            Setting::Set(reply) => {
                let config = reply.object_lock_configuration();
                let enabled = config.and_then(|config| config.object_lock_enabled());
                match config.and_then(default_retention) {
                    _ if enabled != Some(&ObjectLockEnabled::Enabled) => "off".into(),
                    Some(default) => format!("on, {default} by default"),
                    None => "on".into(),
                }
            }
            Setting::Unset => "off".into(),
            Setting::Unknown(_) => "unknown".into(),
        }
    }

    async fn replication_word(&self) -> String {
        match self.replication_rules().await {
            Setting::Unset => "off".into(),
            Setting::Set(rules) if rules.is_empty() => "off".into(),
            Setting::Set(rules) => format!("on ({} enabled rules)", rules.len()),
            Setting::Unknown(_) => "unknown".into(),
        }
    }

    pub(super) async fn findings(&self) -> Vec<Finding> {
        let subject = format!("{} {}", self.id, self.side);
        if let Err(error) = self.require_bucket().await {
            return vec![Finding::new(Level::Blocker, subject, format!("{error:?}"))];
        }
        let found = [
            self.versioning_finding(&subject).await,
            self.listing_finding(&subject).await,
            self.namesake_finding(&subject).await,
            self.clock_watch.finding(&subject),
        ];
        let rules = self.rule_findings(&subject).await;
        found.into_iter().flatten().chain(rules).collect()
    }

    async fn versioning_finding(&self, subject: &str) -> Option<Finding> {
        let bucket = &self.bucket;
        match self.versioning().await {
            Ok(Some(BucketVersioningStatus::Enabled)) => None,
            Ok(Some(_)) => Some(
                Finding::new(Level::Warning, subject, format!("bucket {bucket} has its versioning suspended")).with_hint(
                    "a write replaces the version without an id for good: its body is saved to the session folder first, \
                     and a key written so since T0 has no base; or enable versioning",
                ),
            ),
            Ok(_) if self.side == Side::Primary => Some(
                Finding::new(Level::Warning, subject, format!("bucket {bucket} does not keep versions")).with_hint(
                    "bodies that a write destroys are saved to the session folder first; or enable versioning",
                ),
            ),
            Ok(_) => Some(Finding::new(Level::Note, subject, format!("bucket {bucket} does not keep versions"))),
            Err(error) => Some(Finding::new(Level::Warning, subject, format!("{error:?}"))),
        }
    }

    async fn listing_finding(&self, subject: &str) -> Option<Finding> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1);
        let error = request.send().await.err()?;
        let error = s3_error(format!("cannot list bucket {}", self.bucket), error);
        Some(Finding::new(Level::Blocker, subject, format!("{error:?}")))
    }

    async fn namesake_finding(&self, subject: &str) -> Option<Finding> {
        match self.creation_date().await {
            Ok(Some(_)) => None,
            Ok(None) => Some(
                Finding::new(Level::Note, subject, format!("nobody says when bucket {} was made", self.bucket))
                    .with_hint("one made anew under its name would not be noticed: allow s3:ListAllMyBuckets"),
            ),
            Err(error) => Some(Finding::new(Level::Warning, subject, format!("{error:?}"))),
        }
    }
}
