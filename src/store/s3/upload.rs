//! Sending one object: in one request, or in parts when it is large.
//!
//! Parts are cut from the source's stream, checked against everything the source item proves of its body, and only then
//! made visible: a body that does not match its proofs never becomes an object.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OwnedSemaphorePermit;

use super::carried::Along;
use super::hash::{BodyHasher, crc64nvme_of};
use super::object::{Proof, add_proofs, texts};
use super::read::{expires, storage_class};
use super::unfinished::Noted;
use super::write::{Attempt, Guard, is_lost, is_missing_bucket};
use super::{S3Store, UPLOAD_MEMORY_MIB, rfc2047, s3_error, status};
use crate::model::{Item, Value};
use crate::store::{BodySource, BodyStream, ErrorKind, Result, StoreError};

const MIB: u64 = 1 << 20;
/// Bodies up to this size go in one request; larger ones in parts of at least this size.
const PART_MIN: u64 = 16 * MIB;
/// Parts of one multipart upload.
const PARTS_MAX: u64 = 10_000;
/// Tag names and values keep these characters in the tagging header.
const TAG_KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Adds to a request that makes an object, in one part or in many, all that an upload carries besides the body.
macro_rules! with_carried {
    ($request:expr, $upload:expr) => {{
        let (upload, along) = ($upload, $upload.along.clone());
        $request
            .content_type(upload.header("content-type").unwrap_or_default())
            .set_cache_control(upload.header("cache-control"))
            .set_content_disposition(upload.header("content-disposition"))
            .set_content_encoding(upload.header("content-encoding"))
            .set_content_language(upload.header("content-language"))
            .set_expires(upload.header("expires").as_deref().and_then(expires))
            .set_website_redirect_location(upload.header("website-redirect"))
            .set_metadata(Some(upload.metadata()))
            .set_tagging(upload.tagging())
            .set_storage_class(upload.storage_class())
            .set_server_side_encryption(along.encryption)
            .set_ssekms_key_id(along.kms_key)
            .set_bucket_key_enabled(along.bucket_key)
            .set_object_lock_mode(along.lock_mode)
            .set_object_lock_retain_until_date(along.lock_until)
            .set_object_lock_legal_hold_status(along.legal_hold)
            .set_grant_full_control(along.full_control)
            .set_grant_read(along.read)
            .set_grant_read_acp(along.read_acp)
            .set_grant_write_acp(along.write_acp)
    }};
}

/// One object to be written.
pub(super) struct Upload<'a> {
    pub store: &'a S3Store,
    pub full_key: &'a str,
    pub item: &'a Item,
    pub source: &'a dyn BodySource,
    pub guard: Guard<'a>,
    pub along: Along,
}

impl Upload<'_> {
    /// Sends the object; gives what became of it, and the item with every proof of the body that was sent.
    pub async fn run(&self) -> Result<(Attempt, Item)> {
        if let Some(reason) = &self.item.hold {
            return Err(StoreError::new(ErrorKind::Unfit, format!("{} cannot be written: {reason}", self.named())));
        }
        if let Some(copied) = self.copy_if_large().await? {
            return Ok(copied);
        }
        let part_size = part_size(self.item.size);
        let mut parts = Parts {
            stream: self.source.open_body(self.item, 0..self.item.size).await?,
            rest: Bytes::new(),
            hasher: BodyHasher::new(),
            size: self.item.size,
        };
        if self.item.size <= part_size {
            return self.put(parts, part_size).await;
        }
        let upload = self.create().await?;
        let sent = self.send_parts(&upload.upload_id, &mut parts, part_size).await;
        let completed = match sent {
            Ok(sent) => self.complete_sent(&upload.upload_id, parts, sent).await,
            Err(error) => Err(error),
        };
        if matches!(completed, Ok((Attempt::Done { .. }, _))) || self.store.abort(&upload).await {
            self.store.unfinished.forget(&upload).await;
        }
        completed
    }

    /// Lets S3 itself copy a large object; `None` where it will not, and the body must be streamed.
    async fn copy_if_large(&self) -> Result<Option<(Attempt, Item)>> {
        if self.item.size < self.store.copy_from_bytes || self.item.size == 0 {
            return Ok(None);
        }
        let upload = self.create().await?;
        let copied = match self.copy_parts(&upload.upload_id).await {
            Ok(Some(parts)) => self.complete(&upload.upload_id, parts).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        if matches!(copied, Ok(Some(Attempt::Done { .. }))) || self.store.abort(&upload).await {
            self.store.unfinished.forget(&upload).await;
        }
        // What arrives is compared with the proofs that the source has: nothing was read here.
        Ok(copied?.map(|attempt| (attempt, self.item.clone())))
    }

    async fn put(&self, mut parts: Parts, part_size: u64) -> Result<(Attempt, Item)> {
        let _memory = self.memory(self.item.size).await?;
        let body = parts.next(part_size).await?;
        let crc64nvme = parts.hasher.crc64nvme();
        let sent = self.checked(parts).await?;
        let request = self.store.client.put_object().bucket(&self.store.bucket).key(self.full_key);
        let request = request.body(ByteStream::from(body)).checksum_crc64_nvme(crc64nvme);
        let mut request = with_carried!(request, self);
        request = match self.guard {
            Guard::Absent => request.if_none_match("*"),
            Guard::Etag(etag) => request.if_match(etag),
        };
        match request.send().await {
            Ok(reply) => Ok((Attempt::Done { etag: reply.e_tag().map(str::to_owned) }, sent)),
            Err(error) => match is_lost(status(&error)) {
                Some(lost) if !is_missing_bucket(&error) => Ok((lost, sent)),
                _ => Err(s3_error(format!("cannot write {}", self.named()), error)),
            },
        }
    }

    async fn create(&self) -> Result<Noted> {
        let request = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(self.full_key);
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).checksum_type(ChecksumType::FullObject);
        let request = with_carried!(request, self);
        let what = || format!("cannot begin to write {}", self.named());
        let reply = request.send().await.map_err(|error| s3_error(what(), error))?;
        let upload_id = reply.upload_id().ok_or_else(|| StoreError::new(ErrorKind::Unreadable, what()))?;
        let (bucket, key) = (self.store.bucket.clone(), self.full_key.to_owned());
        let noted = Noted { bucket, key, upload_id: upload_id.to_owned() };
        self.store.unfinished.note(&noted).await?;
        Ok(noted)
    }

    async fn send_parts(&self, upload_id: &str, parts: &mut Parts, part_size: u64) -> Result<Vec<CompletedPart>> {
        let mut sent = Vec::new();
        loop {
            let _memory = self.memory(part_size).await?;
            let bytes = parts.next(part_size).await?;
            if bytes.is_empty() {
                return Ok(sent);
            }
            let number = sent.len() as i32 + 1;
            let checksum = crc64nvme_of(&bytes);
            let request = self.store.client.upload_part().bucket(&self.store.bucket).key(self.full_key);
            let request = request.upload_id(upload_id).part_number(number).body(ByteStream::from(bytes));
            let reply = request.checksum_crc64_nvme(&checksum).send().await;
            let what = || format!("cannot write part {number} of {}", self.named());
            let reply = reply.map_err(|error| s3_error(what(), error))?;
            let part = CompletedPart::builder().part_number(number).checksum_crc64_nvme(checksum);
            sent.push(part.set_e_tag(reply.e_tag().map(str::to_owned)).build());
        }
    }

    async fn complete_sent(&self, upload_id: &str, parts: Parts, sent: Vec<CompletedPart>) -> Result<(Attempt, Item)> {
        let item = self.checked(parts).await?;
        Ok((self.complete(upload_id, sent).await?, item))
    }

    async fn complete(&self, upload_id: &str, sent: Vec<CompletedPart>) -> Result<Attempt> {
        // Every part was checked by S3, and the whole is read back: its checksum is not sent, because servers disagree
        // on whether it is one of the body or of the part checksums.
        let whole = CompletedMultipartUpload::builder().set_parts(Some(sent)).build();
        let request = self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(self.full_key);
        let request = request.upload_id(upload_id).multipart_upload(whole).mpu_object_size(self.item.size as i64);
        let request = request.checksum_type(ChecksumType::FullObject);
        let request = match self.guard {
            Guard::Absent => request.if_none_match("*"),
            Guard::Etag(etag) => request.if_match(etag),
        };
        match request.send().await {
            Ok(reply) => Ok(Attempt::Done { etag: reply.e_tag().map(str::to_owned) }),
            // Also when a first answer was lost and the upload is no more: the object is looked at again.
            Err(error) => match is_lost(status(&error)) {
                Some(lost) if !is_missing_bucket(&error) => Ok(lost),
                _ => Err(s3_error(format!("cannot finish writing {}", self.named()), error)),
            },
        }
    }

    /// Ends the reading of the body and checks it against every proof of the source item.
    async fn checked(&self, mut parts: Parts) -> Result<Item> {
        let is_longer = !parts.next(1).await?.is_empty();
        if is_longer || parts.hasher.length() != self.item.size {
            let what = format!("the body for {} has another length than its item says", self.named());
            return Err(StoreError::new(ErrorKind::Unreadable, what));
        }
        let proofs: Vec<Proof> = parts.hasher.finish();
        let mut sent = self.item.clone();
        add_proofs(&mut sent, &proofs)?;
        Ok(sent)
    }

    /// Waits for memory for `bytes` bytes; a part larger than all of it gets all of it.
    async fn memory(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let mib = bytes.div_ceil(MIB).clamp(1, u64::from(UPLOAD_MEMORY_MIB)) as u32;
        let permit = self.store.upload_memory.clone().acquire_many_owned(mib).await;
        permit.map_err(|error| StoreError::caused(ErrorKind::Local, "the upload memory is closed", error))
    }

    fn named(&self) -> String {
        self.store.named(self.full_key)
    }

    fn header(&self, name: &str) -> Option<String> {
        self.item.contents.get("headers")?.get(name)?.as_text().map(str::to_owned)
    }

    fn metadata(&self) -> std::collections::HashMap<String, String> {
        texts(self.item, "metadata").into_iter().map(|(name, value)| (name, rfc2047::encoded(&value))).collect()
    }

    fn tagging(&self) -> Option<String> {
        let tags = texts(self.item, "tags");
        let coded = |text: &str| utf8_percent_encode(text, TAG_KEPT).to_string();
        let pairs: Vec<String> = tags.iter().map(|(name, value)| format!("{}={}", coded(name), coded(value))).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }

    fn storage_class(&self) -> Option<aws_sdk_s3::types::StorageClass> {
        self.item.contents.get("storage_class").and_then(Value::as_text).and_then(storage_class)
    }
}

/// The smallest part size, in whole MiB, that cuts a body into a legal number of parts.
fn part_size(size: u64) -> u64 {
    size.div_ceil(PARTS_MAX).div_ceil(MIB).saturating_mul(MIB).max(PART_MIN)
}

/// A body cut into parts.
struct Parts {
    stream: BodyStream,
    rest: Bytes,
    hasher: BodyHasher,
    /// The size the body should have; only for room to be made ahead.
    size: u64,
}

impl Parts {
    /// The next `size` bytes, fewer at the end only.
    async fn next(&mut self, size: u64) -> Result<Bytes> {
        let left = self.size.saturating_sub(self.hasher.length());
        let mut part = BytesMut::with_capacity(usize::try_from(size.min(left)).unwrap_or_default());
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        while part.len() < size {
            if self.rest.is_empty() {
                match self.stream.try_next().await? {
                    Some(bytes) => self.rest = bytes,
                    None => break,
                }
            }
            let taken = self.rest.split_to(self.rest.len().min(size - part.len()));
            self.hasher.update(&taken);
            part.extend_from_slice(&taken);
        }
        Ok(part.freeze())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    #[test]
    fn parts_are_never_too_many() {
        const GIB: u64 = 1 << 30;
        for size in [0, 1, PART_MIN, PART_MIN + 1, 100 * GIB, 156 * GIB, 625 * GIB, 5120 * GIB] {
            let part = part_size(size);
            assert!(size.div_ceil(part) <= PARTS_MAX, "{size}");
            assert!(part <= 64 * MIB || size > 625 * GIB, "{size}: {part}");
        }
        assert_eq!(part_size(0), PART_MIN);
    }

    #[tokio::test]
    async fn parts_are_cut_exactly_whatever_the_chunks_are() {
        let chunks = (0..10_u8).map(|n| Ok(Bytes::from(vec![n; 7]))).collect::<Vec<_>>();
        let mut parts =
            Parts { stream: stream::iter(chunks).boxed(), rest: Bytes::new(), hasher: BodyHasher::new(), size: 70 };
        let mut lengths = Vec::new();
        loop {
            let part = parts.next(16).await.expect("a part");
            if part.is_empty() {
                break;
            }
            lengths.push(part.len());
        }
        assert_eq!(lengths, [16, 16, 16, 16, 6]);
        assert_eq!(parts.hasher.length(), 70);
    }
}
