//! Reading one object: HEAD with checksums, tags, and the body where nothing less proves it.

use std::collections::BTreeMap;
use std::str::FromStr;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object_tagging::GetObjectTaggingOutput;
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption, StorageClass};

use super::archive::Archived;
use super::direct::Answer;
use super::listing::{Asked, Place};
use super::object::{Facts, Proof, UNREAD, WHOLE_KINDS, bare_etag, etag_md5, etag_parts};
use super::{S3Store, carried, rfc2047, s3_error, status};
use crate::model::{Evidence, Item, Key, Timestamp};
use crate::store::aws::HttpResponse;
use crate::store::{Depth, ErrorKind, Result, StoreError};

/// What HEAD tells of an object, `None` when there is none, or the SDK's error.
type Headed = std::result::Result<Option<HeadObjectOutput>, SdkError<HeadObjectError, HttpResponse>>;

/// Times an object that changes while it is read is read again.
const TRIES_MAX: usize = 5;

/// Why an object encrypted with a customer key (SSE-C) is left to a person.
const CUSTOMER_KEY: &str =
    "it is encrypted with a customer key (SSE-C): it cannot be read, so it is never taken for equal";

/// What an object is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Its leaf only.
    Leaf,
    /// All that is told of it without its body.
    Evidence,
    /// Its body too.
    Content,
}

impl Wanted {
    fn of(depth: Depth) -> Wanted {
        match depth {
            Depth::Evidence => Wanted::Evidence,
            Depth::Content => Wanted::Content,
        }
    }
}

impl S3Store {
    /// Reads an item by its key; in a view of an instant, as it was then.
    pub(super) async fn read(&self, key: &Key, depth: Depth) -> Result<Option<Item>> {
        let full_key = self.full_key(key)?;
        if !S3Store::is_possible(&full_key) {
            return Ok(None);
        }
        let place = match self.as_of {
            None => Some(Place { full_key, otherwise: None, version_id: None, listed: None }),
            Some(instant) => self.place_at(&full_key, instant).await?,
        };
        match place {
            Some(place) => self.read_at(key, &place.full_key, place.version_id.as_deref(), Wanted::of(depth)).await,
            None => Ok(None),
        }
    }

    /// Reads one version of an object.
    pub(super) async fn read_version(
        &self,
        key: &Key,
        full_key: &str,
        version: &str,
        depth: Depth,
    ) -> Result<Option<Item>> {
        self.read_at(key, full_key, Some(version), Wanted::of(depth)).await
    }

    /// Reads an object that a listing named: by every reading of its name that there is an object of, since each may be
    /// listed by itself; none when it is gone since.
    pub(super) async fn read_listed(&self, place: Place) -> Result<Vec<Item>> {
        let mut found = Vec::with_capacity(1);
        for full_key in [Some(&place.full_key), place.otherwise.as_ref()].into_iter().flatten() {
            let key = self.key_of_place(full_key)?;
            found.extend(self.read_at(&key, full_key, place.version_id.as_deref(), Wanted::Leaf).await?);
        }
        if found.is_empty() && place.version_id.is_some() {
            let what = format!("a past version of {} was removed while it was read", self.named(&place.full_key));
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        Ok(found)
    }

    async fn read_at(&self, key: &Key, full_key: &str, version: Option<&str>, wanted: Wanted) -> Result<Option<Item>> {
        let mut changed = None;
        for _ in 0..TRIES_MAX {
            let read = match self.look(full_key, version).await {
                Ok(None) => return Ok(None),
                Ok(Some(facts)) => self.proved(key, facts, wanted).await,
                Err(error) => Err(error),
            };
            match read {
                // Unfit: the tags or the body are no longer those of the object just looked at.
                Err(error) if error.kind == ErrorKind::Unfit => changed = Some(error),
                other => return other.map(Some),
            }
        }
        let what = format!("{} changes faster than it can be read", self.named(full_key));
        Err(changed.unwrap_or_else(|| StoreError::new(ErrorKind::Unfit, what)))
    }

    async fn proved(&self, key: &Key, mut facts: Facts, wanted: Wanted) -> Result<Item> {
        let impossible = || StoreError::new(ErrorKind::Other, "an object without any proof");
        let is_readable = facts.hold.is_none();
        if facts.proofs.is_empty() {
            let kind = if is_readable { Evidence::UNPROVED } else { UNREAD };
            let version = facts.version_id.as_deref().unwrap_or_default();
            let name = format!("{} {} {} {version}", facts.bucket, facts.full_key, facts.etag);
            facts.proofs.push((kind, name));
        }
        if wanted != Wanted::Leaf {
            self.complete(&mut facts).await?;
        }
        let item = self.with_listed(facts.item(key).ok_or_else(impossible)?)?;
        if wanted == Wanted::Content && is_readable { self.deepened_in_turn(&item, None).await } else { Ok(item) }
    }

    /// Adds what only an item needs, not its leaf: how the body was cut into parts, and who may do what with the object.
    async fn complete(&self, facts: &mut Facts) -> Result<()> {
        let is_proved = facts.proofs.iter().any(|(kind, _)| WHOLE_KINDS.contains(kind));
        if !is_proved || facts.size >= self.copy_from_bytes {
            facts.part_sizes = self.ask_part_sizes(facts).await?;
        }
        if self.keeps_grants().await {
            facts.carried.extend(self.grants(&facts.full_key, facts.version_id.as_deref()).await?);
        }
        Ok(())
    }

    /// What HEAD and the tags tell; `None` when there is no such object.
    async fn look(&self, full_key: &str, version: Option<&str>) -> Result<Option<Facts>> {
        let head = match self.head(full_key, version).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            // S3 answers 400 to a HEAD without the customer key that an object is encrypted with.
            Err(error) if status(&error) == Some(400) => return self.listed_facts(full_key, version).await,
            Err(error) => return Err(s3_error(format!("cannot look at {}", self.named(full_key)), error)),
        };
        if head.delete_marker() == Some(true) {
            return Ok(None);
        }
        let mut facts = facts(&head, &self.bucket, full_key, &self.reached.region)?;
        if head.tag_count() != Some(0) {
            // With a version, the tags are those of the very object that HEAD saw.
            let tags = self.tags(full_key, facts.version_id.as_deref()).await?;
            let vanished = || format!("{} vanished while it was read", self.named(full_key));
            facts.tags = tags.ok_or_else(|| StoreError::new(ErrorKind::Unfit, vanished()))?;
        }
        Ok(Some(facts))
    }

    /// HEAD of an object, sent directly where the way is known; `None` when there is none.
    async fn head(&self, full_key: &str, version: Option<&str>) -> Headed {
        match self.direct.head(&self.bucket, full_key, version).await {
            Answer::Told(head) => return Ok(Some(head)),
            Answer::Missing => return Ok(None),
            Answer::Unsettled => {}
        }
        let request = self.client.head_object().bucket(&self.bucket).key(full_key);
        let request = request.set_version_id(version.map(str::to_owned)).checksum_mode(ChecksumMode::Enabled);
        match request.customize().interceptor(self.direct.watch()).send().await {
            Ok(head) => Ok(Some(head)),
            Err(error) if matches!(status(&error), Some(404 | 405)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a listing tells of an object that HEAD refuses without the customer key it is encrypted with.
    async fn listed_facts(&self, full_key: &str, version: Option<&str>) -> Result<Option<Facts>> {
        let facts = Facts {
            bucket: self.bucket.clone(),
            full_key: full_key.to_owned(),
            hold: Some(CUSTOMER_KEY.into()),
            ..Facts::default()
        };
        let size = |size: Option<i64>| size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        let what = || format!("cannot list {}", self.named(full_key));
        if let Some(version) = version {
            let reply = self.client.list_object_versions().bucket(&self.bucket).prefix(full_key).send().await;
            let reply = reply.map_err(|error| s3_error(what(), error))?;
            let found = reply.versions().iter().find(|found| found.version_id() == Some(version));
            return Ok(found.map(|found| Facts {
                etag: found.e_tag().unwrap_or_default().to_owned(),
                version_id: Some(version.to_owned()),
                size: size(found.size()),
                storage_class: found.storage_class().map_or("STANDARD", |class| class.as_str()).to_owned(),
                modified_at: found.last_modified().and_then(timestamp),
                ..facts
            }));
        }
        // The shortest of all keys that begin so comes first.
        let asked = Asked { prefix: full_key.to_owned(), ..Asked::default() };
        let page = self.page(&asked, None, 1).await?;
        let is_it = |place: &Place| place.full_key == full_key || place.otherwise.as_deref() == Some(full_key);
        let listed = page.places.into_iter().find(is_it).and_then(|place| place.listed);
        Ok(listed.map(|listed| Facts {
            etag: listed.etag,
            size: listed.size,
            storage_class: listed.storage_class.into_owned(),
            modified_at: listed.modified_at,
            ..facts
        }))
    }

    async fn tags(&self, full_key: &str, version: Option<&str>) -> Result<Option<BTreeMap<String, String>>> {
        let tags = |reply: &GetObjectTaggingOutput| {
            Some(reply.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
        };
        if let Answer::Told(reply) = self.direct.tags(&self.bucket, full_key, version).await {
            return Ok(tags(&reply));
        }
        let request = self.client.get_object_tagging().bucket(&self.bucket).key(full_key);
        match request.set_version_id(version.map(str::to_owned)).send().await {
            Ok(reply) => Ok(tags(&reply)),
            // Not what S3 says of a version that is gone: this server looks for the key's current version only.
            Err(error) if error.code() == Some("NoSuchKey") && version.is_some() => {
                self.no_tags(full_key, version).await
            }
            Err(error) if matches!(status(&error), Some(404 | 405)) => Ok(None),
            Err(error) => Err(s3_error(format!("cannot read the tags of {}", self.named(full_key)), error)),
        }
    }
}

impl S3Store {
    /// The tags of a version whose tags the server will not list: none, when reading it tells that it has none.
    async fn no_tags(&self, full_key: &str, version: Option<&str>) -> Result<Option<BTreeMap<String, String>>> {
        let request = self.client.get_object().bucket(&self.bucket).key(full_key);
        let what = || format!("cannot read the tags of a past version of {}", self.named(full_key));
        match request.set_version_id(version.map(str::to_owned)).send().await {
            // The body is dropped unread.
            Ok(reply) if reply.tag_count().unwrap_or(0) == 0 => Ok(Some(BTreeMap::new())),
            Ok(_) => Err(StoreError::new(ErrorKind::Unreadable, what())),
            Err(error) if matches!(status(&error), Some(404 | 405)) => Ok(None),
            Err(error) => Err(s3_error(what(), error)),
        }
    }
}

fn facts(head: &HeadObjectOutput, bucket: &str, full_key: &str, region: &str) -> Result<Facts> {
    let name = format!("s3://{bucket}/{full_key}");
    let archived = Archived { bucket, full_key, version_id: head.version_id(), region };
    let unreadable = |what: &str| StoreError::new(ErrorKind::Unreadable, format!("{name} has no {what}"));
    let size = head.content_length().and_then(|length| u64::try_from(length).ok());
    let metadata = head.metadata().into_iter().flatten();
    Ok(Facts {
        bucket: bucket.to_owned(),
        full_key: full_key.to_owned(),
        etag: head.e_tag().ok_or_else(|| unreadable("ETag"))?.to_owned(),
        version_id: head.version_id().map(str::to_owned),
        size: size.ok_or_else(|| unreadable("length"))?,
        headers: headers(head),
        metadata: metadata.map(|(name, value)| (name.to_ascii_lowercase(), rfc2047::decoded(value))).collect(),
        tags: BTreeMap::new(),
        storage_class: head.storage_class().unwrap_or(&StorageClass::Standard).as_str().to_owned(),
        proofs: proofs(head),
        part_sizes: None,
        replication: head.replication_status().map(|status| match status.as_str() {
            "COMPLETE" => "COMPLETED".to_owned(),
            other => other.to_owned(),
        }),
        carried: carried::of_head(head),
        modified_at: head.last_modified().and_then(timestamp),
        hold: hold(head, &archived),
    })
}

fn headers(head: &HeadObjectOutput) -> BTreeMap<String, String> {
    let encoding = head.content_encoding().map(|encoding| {
        // A transfer detail of the upload that some servers keep.
        let kept = encoding.split(',').map(str::trim).filter(|part| *part != "aws-chunked");
        kept.collect::<Vec<_>>().join(",")
    });
    let headers = [
        ("content-type", Some(head.content_type().unwrap_or("binary/octet-stream"))),
        ("cache-control", head.cache_control()),
        ("content-disposition", head.content_disposition()),
        ("content-encoding", encoding.as_deref()),
        ("content-language", head.content_language()),
        ("expires", head.expires_string()),
        ("website-redirect", head.website_redirect_location()),
    ];
    let present = headers.into_iter().filter_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?)));
    present.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The proofs of the body that HEAD tells.
fn proofs(head: &HeadObjectOutput) -> Vec<Proof> {
    let mut proofs: Vec<Proof> = Vec::new();
    let checksums = [
        ("crc64nvme", head.checksum_crc64_nvme()),
        ("crc32", head.checksum_crc32()),
        ("crc32c", head.checksum_crc32_c()),
        ("sha256", head.checksum_sha256()),
        ("sha1", head.checksum_sha1()),
    ];
    for (kind, value) in checksums.into_iter().filter_map(|(kind, value)| Some((kind, value?))) {
        // `-N` is no base64: it counts the parts of a composite checksum. Some servers leave the count to the ETag.
        if head.checksum_type() == Some(&ChecksumType::Composite) || value.contains('-') {
            let parts = etag_parts(head.e_tag().unwrap_or_default()).filter(|_| !value.contains('-'));
            let parts = parts.map(|parts| format!("-{parts}")).unwrap_or_default();
            if !proofs.iter().any(|(kind, _)| *kind == Evidence::COMPOSITE) {
                proofs.push((Evidence::COMPOSITE, format!("{kind}:{value}{parts}")));
            }
        } else if matches!(head.checksum_type(), None | Some(ChecksumType::FullObject)) {
            proofs.push((kind, value.to_owned()));
        }
    }
    let is_plain = matches!(head.server_side_encryption(), None | Some(ServerSideEncryption::Aes256));
    if is_plain && head.sse_customer_algorithm().is_none() {
        let etag = head.e_tag().unwrap_or_default();
        proofs.extend(etag_md5(etag).map(|md5| ("md5", md5)));
        proofs.extend(etag_parts(etag).map(|_| (Evidence::PARTS_MD5, bare_etag(etag).to_ascii_lowercase())));
    }
    proofs
}

/// Why an object must be left to a person.
fn hold(head: &HeadObjectOutput, archived: &Archived<'_>) -> Option<String> {
    if let Some(why) = archived.hold(head) {
        return Some(why);
    }
    if head.sse_customer_algorithm().is_some() {
        return Some(CUSTOMER_KEY.into());
    }
    if head.missing_meta().is_some_and(|missing| missing > 0) {
        return Some("it has user metadata that cannot be read as headers".into());
    }
    if head.expires_string().is_some_and(|text| expires(text).is_none()) {
        return Some("its Expires header is not a date that can be written again".into());
    }
    bare_etag(head.e_tag().unwrap_or_default()).is_empty().then(|| "it has no ETag to guard a write with".into())
}

/// An Expires header as the date it can be written as, unless it would be spelled otherwise then.
pub(super) fn expires(text: &str) -> Option<DateTime> {
    let date = DateTime::from_str(text, DateTimeFormat::HttpDate).ok()?;
    (date.fmt(DateTimeFormat::HttpDate).ok()? == text).then_some(date)
}

/// An SDK time as ours.
pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), time.subsec_nanos() as i32).ok()
}

/// Reads a storage class back from its text.
pub(super) fn storage_class(text: &str) -> Option<StorageClass> {
    let class = StorageClass::from_str(text).ok()?;
    (class != StorageClass::Standard).then_some(class)
}
