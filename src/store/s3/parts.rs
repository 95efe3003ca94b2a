//! How an object's body was cut into parts: what its composite checksum and the ETag of an upload in parts rest on.

use aws_sdk_s3::types::{ChecksumMode, ObjectAttributes};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::object::{Facts, etag_parts};
use super::{READS_AT_ONCE, S3Store, s3_error, status};
use crate::store::Result;

/// Parts of one page of an object's attributes.
const PAGE: i32 = 1000;

/// What HEAD tells of one part.
struct Part {
    size: u64,
    count: Option<usize>,
}

impl S3Store {
    /// The sizes of an object's parts; `None` where it was not uploaded in parts, or they cannot be told.
    pub(super) async fn ask_part_sizes(&self, facts: &Facts) -> Result<Option<Vec<u64>>> {
        let Some(count) = etag_parts(&facts.etag) else { return Ok(None) };
        let fits = |sizes: &Vec<u64>| sizes.len() == count && sizes.iter().sum::<u64>() == facts.size;
        if count == 1 {
            return Ok(Some(vec![facts.size]));
        }
        if let Some(sizes) = self.sizes_by_attributes(facts, count).await.filter(fits) {
            return Ok(Some(sizes));
        }
        let Some(first) = self.part(facts, 1).await?.filter(|part| part.count == Some(count)) else { return Ok(None) };
        // Nearly every client cuts equal parts and a last one: then two questions are enough. A wrong guess proves nothing
        // false, for what is made of these sizes is compared with what S3 says of the object.
        let equal = first.size.saturating_mul(count as u64 - 1);
        if let Some(last) = facts.size.checked_sub(equal).filter(|last| (1..=first.size).contains(last)) {
            let mut sizes = vec![first.size; count - 1];
            sizes.push(last);
            let told = self.part(facts, count).await?;
            if told.is_some_and(|part| part.size == last) {
                return Ok(Some(sizes));
            }
        }
        let rest = (2..=count).map(|number| self.part(facts, number)).collect::<Vec<_>>();
        let rest: Vec<Option<Part>> = stream::iter(rest).buffered(READS_AT_ONCE).boxed().try_collect().await?;
        let sizes = [Some(first)].into_iter().chain(rest).map(|part| Some(part?.size));
        Ok(sizes.collect::<Option<Vec<u64>>>().filter(fits))
    }

    /// Asks for all parts at once; S3 lists them where they have checksums of their own.
    async fn sizes_by_attributes(&self, facts: &Facts, count: usize) -> Option<Vec<u64>> {
        let mut sizes = Vec::new();
        let mut marker = None;
        while sizes.len() < count {
            let request = self.client.get_object_attributes().bucket(&self.bucket).key(&facts.full_key);
            let request = request.set_version_id(facts.version_id.clone()).max_parts(PAGE);
            let request = request.object_attributes(ObjectAttributes::ObjectParts).set_part_number_marker(marker);
            // A right of its own, which few roles have: HEAD tells the same in more requests.
            let parts = request.send().await.ok()?.object_parts?;
            let listed = parts.parts().iter().map(|part| part.size().and_then(|size| u64::try_from(size).ok()));
            let listed = listed.collect::<Option<Vec<u64>>>().filter(|listed| !listed.is_empty())?;
            sizes.extend(listed);
            marker = parts.next_part_number_marker().map(str::to_owned);
        }
        Some(sizes)
    }

    /// One part; `None` where the server does not tell of parts, or the object is another one by now.
    async fn part(&self, facts: &Facts, number: usize) -> Result<Option<Part>> {
        let request = self.client.head_object().bucket(&self.bucket).key(&facts.full_key).if_match(&facts.etag);
        let request = request.set_version_id(facts.version_id.clone()).checksum_mode(ChecksumMode::Enabled);
        match request.part_number(number as i32).send().await {
            Ok(head) => {
                let size = head.content_length().and_then(|size| u64::try_from(size).ok());
                let count = head.parts_count().and_then(|count| usize::try_from(count).ok());
                Ok(size.map(|size| Part { size, count }))
            }
            Err(error) if matches!(status(&error), Some(400..=499)) => Ok(None),
            Err(error) => Err(s3_error(format!("cannot ask for the parts of {}", self.named(&facts.full_key)), error)),
        }
    }
}
