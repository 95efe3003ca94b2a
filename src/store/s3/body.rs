//! Bodies: exactly the version that was read, or an error.

use std::ops::Range;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::hash::{BodyHasher, CompositeHasher, PartAlgorithm};
use super::object::{Location, Proof, add_proofs, bare_etag, part_sizes, proof_text};
use super::{S3Store, s3_error, status};
use crate::model::{Evidence, Item};
use crate::store::{BodySource, BodyStream, ErrorKind, Result, StoreError};

/// Bodies above this size are hashed in ranges of it, read at the same time.
pub(super) const RANGE: u64 = 8 << 20;
/// Ranges of one body on their way.
const RANGES_AT_ONCE: usize = 4;

impl S3Store {
    /// Streams a range of the body of `item`, as it was when the item was read.
    pub(super) async fn open(&self, item: &Item, range: Range<u64>) -> Result<BodyStream> {
        let location = Location::of(item)?;
        if location.bucket != self.bucket {
            let what = format!("{location} is not in bucket {}", self.bucket);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        if range.end > item.size || range.start > range.end {
            return Err(StoreError::new(
                ErrorKind::Unfit,
                format!("a range beyond the end of {location} was asked for"),
            ));
        }
        let is_whole = range == (0..item.size);
        if range.is_empty() && !is_whole {
            return Ok(stream::empty().boxed());
        }
        let mut request = self.client.get_object().bucket(&location.bucket).key(&location.full_key);
        request = request.if_match(&location.etag).set_version_id(location.version_id.clone());
        if !is_whole {
            request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        }
        let reply = request.send().await.map_err(|error| unopened(&location, error))?;
        let name = location.to_string();
        // Servers that answer by version may ignore the condition.
        if reply.e_tag().is_some_and(|etag| bare_etag(etag) != bare_etag(&location.etag)) {
            return Err(StoreError::new(ErrorKind::Unfit, format!("{name} has changed since it was read")));
        }
        let expected = range.end - range.start;
        let length = reply.content_length().and_then(|length| u64::try_from(length).ok());
        let is_range_ignored = !is_whole && reply.content_range().is_none() && length == Some(item.size);
        let body = chunks(reply.body, name.clone());
        match length {
            _ if is_range_ignored => Ok(cut(body, name, range)),
            Some(length) if length != expected => {
                Err(StoreError::new(ErrorKind::Unreadable, format!("{name} answers with another length than asked")))
            }
            _ => Ok(measured(body, name, expected)),
        }
    }
}

fn unopened<E>(location: &Location, error: aws_sdk_s3::error::SdkError<E, super::HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = status(&error);
    let is_archived = error.code() == Some("InvalidObjectState");
    let mut sorted = s3_error(format!("cannot read the body of {location}"), error);
    if is_archived {
        sorted.kind = ErrorKind::Unfit;
    }
    if matches!(status, Some(404 | 405 | 412)) && sorted.kind != ErrorKind::Unfit {
        let what = format!("{location} has changed since it was read");
        return StoreError::caused(ErrorKind::Unfit, what, sorted);
    }
    sorted
}

fn chunks(body: ByteStream, name: String) -> BodyStream {
    let next = |(mut body, name): (ByteStream, String)| async move {
        match body.try_next().await {
            Ok(Some(bytes)) => Ok(Some((bytes, (body, name)))),
            Ok(None) => Ok(None),
            Err(error) => {
                let what = format!("the body of {name} broke off or does not match its checksum");
                Err(StoreError::caused(ErrorKind::Unreachable, what, error))
            }
        }
    };
    stream::try_unfold((body, name), next).boxed()
}

/// Cuts a range out of a whole body, for servers that send it all.
fn cut(body: BodyStream, name: String, range: Range<u64>) -> BodyStream {
    let expected = range.end - range.start;
    let kept = body.scan(0_u64, move |at, chunk| {
        let kept = chunk.map(|mut bytes| {
            let before = *at;
            *at += bytes.len() as u64;
            let within = |place: u64| place.clamp(before, before + bytes.len() as u64) - before;
            let (from, until) = (within(range.start) as usize, within(range.end) as usize);
            bytes.truncate(until);
            bytes.split_off(from)
        });
        std::future::ready(Some(kept))
    });
    measured(kept.boxed(), name, expected)
}

/// Makes a body that is shorter or longer than `expected` an error instead of an end.
pub(super) fn measured(body: BodyStream, name: String, expected: u64) -> BodyStream {
    let wrong =
        move || StoreError::new(ErrorKind::Unreadable, format!("the body of {name} has another length than it says"));
    let next = move |(mut body, left): (BodyStream, u64)| {
        let wrong = wrong.clone();
        async move {
            match body.next().await {
                Some(Ok(bytes)) => match left.checked_sub(bytes.len() as u64) {
                    Some(left) => Ok(Some((bytes, (body, left)))),
                    None => Err(wrong()),
                },
                Some(Err(error)) => Err(error),
                None if left > 0 => Err(wrong()),
                None => Ok(None),
            }
        }
    };
    stream::try_unfold((body, expected), next).boxed()
}

/// Streams the whole body of `item` out of `source`, large ones in several ranges at once, and makes every proof of it;
/// also those that `like` has of its body by the parts it was cut into.
pub(super) async fn prove(item: &Item, like: Option<&Item>, source: &dyn BodySource) -> Result<Vec<Proof>> {
    let mut hasher = BodyHasher::new();
    let mut composites = like.map(composites_of).unwrap_or_default();
    let mut body = ranges(item, source);
    while let Some(bytes) = body.try_next().await? {
        hasher.update(&bytes);
        composites.iter_mut().for_each(|composite| composite.update(&bytes));
    }
    if hasher.length() != item.size {
        let what = format!("the body of {} has another length than it says", Location::of(item)?);
        return Err(StoreError::new(ErrorKind::Unreadable, what));
    }
    let mut proofs = hasher.finish();
    proofs.extend(composites.into_iter().map(CompositeHasher::finish));
    Ok(proofs)
}

/// The body in order: a small one as it comes, a large one in ranges that are read at the same time.
fn ranges<'a>(item: &'a Item, source: &'a dyn BodySource) -> BoxStream<'a, Result<Bytes>> {
    let range = if item.size > RANGE { RANGE } else { item.size.max(1) };
    let starts = (0..item.size.max(1)).step_by(usize::try_from(range).unwrap_or(usize::MAX));
    let read = move |start: u64| async move {
        let until = (start + range).min(item.size);
        let body = source.open_body(item, start..until).await?;
        if item.size <= RANGE {
            return Ok(body);
        }
        // Collected, so that the next ranges come in while this one is hashed.
        let chunks: Vec<Bytes> = body.try_collect().await?;
        Ok(stream::iter(chunks.into_iter().map(Ok)).boxed())
    };
    stream::iter(starts.map(read)).buffered(RANGES_AT_ONCE).try_flatten().boxed()
}

/// The checksums of parts that an item has, to be made again of the same bytes.
fn composites_of(like: &Item) -> Vec<CompositeHasher> {
    let Some(sizes) = part_sizes(like) else { return Vec::new() };
    let composite = proof_text(like, Evidence::COMPOSITE).and_then(PartAlgorithm::of_composite);
    let md5 = proof_text(like, Evidence::PARTS_MD5).map(|_| PartAlgorithm::Md5);
    let algorithms = [composite, md5].into_iter().flatten();
    algorithms.map(|algorithm| CompositeHasher::new(algorithm, sizes.clone())).collect()
}

/// The same item with every proof that reading its body from `source` gives.
pub(super) async fn deepened(item: &Item, source: &dyn BodySource) -> Result<Item> {
    deepened_like(item, None, source).await
}

/// As [`deepened`], and with the proofs by parts that `like` has.
pub(super) async fn deepened_like(item: &Item, like: Option<&Item>, source: &dyn BodySource) -> Result<Item> {
    let mut item = item.clone();
    let proofs = prove(&item, like, source).await?;
    add_proofs(&mut item, &proofs)?;
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> BodyStream {
        stream::iter([Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"defg")), Ok(Bytes::from_static(b"h"))])
            .boxed()
    }

    #[tokio::test]
    async fn a_range_is_cut_out_of_any_chunks() {
        for (range, expected) in [(0..8, "abcdefgh"), (2..5, "cde"), (4..6, "ef"), (7..8, "h"), (3..3, "")] {
            let cut: Vec<Bytes> = cut(whole(), "a body".into(), range).try_collect().await.expect("bytes");
            assert_eq!(cut.concat(), expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_body_of_another_length_is_an_error() {
        for length in [7, 9] {
            let read: Result<Vec<Bytes>> = measured(whole(), "a body".into(), length).try_collect().await;
            assert_eq!(read.err().map(|error| error.kind), Some(ErrorKind::Unreadable));
        }
    }
}
