//! Large objects copied by S3 itself, part by part, so that their bodies do not come through this machine.
//!
//! The parts are those the source was uploaded in, so that an ETag made of part MD5s stays the same. Every part asks for
//! the very version that was read. What S3 will not copy, such as across accounts without a grant, is streamed instead.

use aws_sdk_s3::types::CompletedPart;
use futures_util::{StreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::object::{Location, part_sizes};
use super::upload::Upload;
use super::{s3_error, status};
use crate::store::{ErrorKind, Result, StoreError};

/// Parts copied at the same time.
const COPIES_AT_ONCE: usize = 8;
/// The size of parts where the source has none: few requests, and short enough that one can be tried again.
const PART: u64 = 512 << 20;
/// The sizes that S3 takes for a part that is not the last.
const PART_SIZES: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 30;
/// What stays as it is in the header that names a source.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl Upload<'_> {
    /// Copies all parts; `None` when S3 will not copy from where the source lies.
    pub(super) async fn copy_parts(&self, upload_id: &str) -> Result<Option<Vec<CompletedPart>>> {
        let location = Location::of(self.item)?;
        let mut source = utf8_percent_encode(&format!("{}/{}", location.bucket, location.full_key), KEPT).to_string();
        if let Some(version) = &location.version_id {
            source.push_str(&format!("?versionId={version}"));
        }
        let known = part_sizes(self.item).filter(|sizes| are_legal(sizes));
        let sizes = known.unwrap_or_else(|| equal_parts(self.item.size));
        let mut start = 0;
        let mut copies = Vec::with_capacity(sizes.len());
        for (number, size) in (1..).zip(sizes) {
            copies.push(self.copy_part(upload_id, &source, &location, number, start..start + size));
            start += size;
        }
        let mut parts = Vec::with_capacity(copies.len());
        let mut copies = stream::iter(copies).buffered(COPIES_AT_ONCE).boxed();
        while let Some(part) = copies.next().await {
            match part? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(parts))
    }

    async fn copy_part(
        &self,
        upload_id: &str,
        source: &str,
        location: &Location,
        number: i32,
        range: std::ops::Range<u64>,
    ) -> Result<Option<CompletedPart>> {
        let request = self.store.client.upload_part_copy().bucket(&self.store.bucket).key(self.full_key);
        let request = request.upload_id(upload_id).part_number(number).copy_source(source);
        let request = request.copy_source_if_match(&location.etag);
        let request = request.copy_source_range(format!("bytes={}-{}", range.start, range.end - 1));
        let what = || format!("cannot copy part {number} of {location} to {}", self.store.named(self.full_key));
        let reply = match request.send().await {
            Ok(reply) => reply,
            Err(error) if status(&error) == Some(412) => {
                let what = format!("{location} has changed since it was read");
                return Err(StoreError::caused(ErrorKind::Unfit, what, s3_error("a condition does not hold", error)));
            }
            Err(error) if matches!(status(&error), Some(400 | 403..=405 | 501)) => {
                let error = s3_error(what(), error);
                tracing::info!(?error, "S3 does not copy: the body is streamed");
                return Ok(None);
            }
            Err(error) => return Err(s3_error(what(), error)),
        };
        // S3 may answer 200 before it is done; what has no result was not copied.
        let result = reply.copy_part_result().filter(|result| result.e_tag().is_some());
        let result = result.ok_or_else(|| StoreError::new(ErrorKind::Unreachable, what()))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(result.e_tag().map(str::to_owned));
        Ok(Some(part.set_checksum_crc64_nvme(result.checksum_crc64_nvme().map(str::to_owned)).build()))
    }
}

fn are_legal(sizes: &[u64]) -> bool {
    let Some((last, others)) = sizes.split_last() else { return false };
    (1..=*PART_SIZES.end()).contains(last) && others.iter().all(|size| PART_SIZES.contains(size))
}

/// Equal parts and a last one, few enough.
fn equal_parts(size: u64) -> Vec<u64> {
    let part = PART.max(size.div_ceil(super::object::PARTS_MAX as u64));
    let whole = usize::try_from(size / part).unwrap_or(usize::MAX);
    let rest = Some(size % part).filter(|rest| *rest > 0);
    std::iter::repeat_n(part, whole).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_legal_and_add_up() {
        for size in [1, PART, PART + 1, 6 << 30, 5 << 40] {
            let sizes = equal_parts(size);
            assert_eq!(sizes.iter().sum::<u64>(), size);
            assert!(are_legal(&sizes) && sizes.len() <= super::super::object::PARTS_MAX, "{size}");
        }
        assert!(are_legal(&[5 << 20, 1]));
        assert!(!are_legal(&[1 << 20, 1]) && !are_legal(&[6 << 30]) && !are_legal(&[]) && !are_legal(&[5 << 20, 0]));
    }
}
