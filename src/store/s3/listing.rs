//! Which objects there are.

use aws_sdk_s3::types::{EncodingType, Object};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use percent_encoding::percent_decode_str;

use super::listed::Listed;
use super::page::{ListedObject, ListingInterceptor, ObjectSlot};
use super::read::timestamp;
use super::{S3Store, s3_error};
use crate::store::{ErrorKind, Result, StoreError};

/// Keys of one listing page.
pub(super) const PAGE: i32 = 1000;

/// An object as a listing names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The bucket's key, prefix included.
    pub full_key: String,
    /// Another reading of the listed name, to be tried when there is no object of the first.
    pub otherwise: Option<String>,
    /// The version, where not the current one is meant.
    pub version_id: Option<String>,
    /// What was told of it along with its name.
    pub listed: Option<Listed>,
}

/// Which keys a listing is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Keys that begin so.
    pub prefix: String,
    /// Keys that have this after the prefix are told by what comes before it, not one by one.
    pub delimiter: Option<&'static str>,
    /// Keys after this one only.
    pub after: Option<String>,
}

/// One page of a listing.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The objects.
    pub places: Vec<Place>,
    /// What the keys begin with that were not told one by one.
    pub prefixes: Vec<String>,
    /// Where the next page begins, when there is one.
    pub next: Option<String>,
}

enum Next {
    First,
    After(String),
    End,
}

impl S3Store {
    /// One page of a listing of current objects.
    pub(super) async fn page(&self, asked: &Asked, token: Option<String>, size: i32) -> Result<Page> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).set_continuation_token(token);
        let request = request.prefix(&asked.prefix).set_delimiter(asked.delimiter.map(str::to_owned));
        let request = request.set_start_after(asked.after.clone()).max_keys(size).encoding_type(EncodingType::Url);
        let what = || format!("cannot list bucket {}", self.bucket);
        let slot = ObjectSlot::default();
        let request = request.customize().interceptor(ListingInterceptor(slot.clone()));
        let reply = request.send().await.map_err(|error| s3_error(what(), error))?;
        let is_encoded = reply.encoding_type() == Some(&EncodingType::Url);
        let objects = slot.take().map_or_else(
            || reply.contents().iter().map(listed_object).collect(),
            |read| read.into_iter().map(Some).collect::<Vec<_>>(),
        );
        let places = objects.into_iter().map(|object| self.place(object, is_encoded));
        let prefixes = reply.common_prefixes().iter().map(|common| {
            // A prefix is only a way to divide the work: its other reading is listed as well.
            let (prefix, otherwise) = self.listed_key(common.prefix(), is_encoded)?;
            Ok([Some(prefix), otherwise])
        });
        let prefixes = prefixes.collect::<Result<Vec<_>>>()?;
        let next = match (reply.is_truncated(), reply.next_continuation_token()) {
            (Some(true), Some(token)) => Some(token.to_owned()),
            (Some(true), None) => return Err(StoreError::new(ErrorKind::Unreadable, what())),
            _ => None,
        };
        let places = places.collect::<Result<Vec<Place>>>()?;
        Ok(Page { places, prefixes: prefixes.into_iter().flatten().flatten().collect(), next })
    }

    /// All pages of a listing of current objects.
    pub(super) fn pages(&self, asked: Asked) -> BoxStream<'_, Result<Page>> {
        stream::try_unfold((Next::First, asked), move |(next, asked)| async move {
            let token = match next {
                Next::First => None,
                Next::After(token) => Some(token),
                Next::End => return Ok(None),
            };
            let mut page = self.page(&asked, token, PAGE).await?;
            let next = page.next.take().map_or(Next::End, Next::After);
            Ok(Some((page, (next, asked))))
        })
        .boxed()
    }

    fn place(&self, object: Option<ListedObject>, is_encoded: bool) -> Result<Place> {
        let ListedObject { listed_key, listed } = object.ok_or_else(|| self.unreadable_key())?;
        // Nearly every key is spelled as it is.
        let is_spelled = is_encoded && listed_key.contains(['%', '+']);
        let (full_key, otherwise) =
            if is_spelled { self.listed_key(Some(&listed_key), true)? } else { (listed_key, None) };
        Ok(Place { full_key, otherwise, version_id: None, listed: Some(listed) })
    }

    /// A listed key decoded, and its other reading where there is one.
    pub(super) fn listed_key(&self, listed: Option<&str>, is_encoded: bool) -> Result<(String, Option<String>)> {
        let listed = listed.ok_or_else(|| self.unreadable_key())?;
        if !is_encoded {
            return Ok((listed.to_owned(), None));
        }
        let (key, otherwise) = decoded(listed).ok_or_else(|| self.unreadable_key())?;
        // S3 itself writes `+` for a space and for nothing else.
        Ok((key, otherwise.filter(|_| !self.is_aws())))
    }

    fn unreadable_key(&self) -> StoreError {
        let what = format!("a key listed in bucket {} cannot be read", self.bucket);
        StoreError::new(ErrorKind::Unreadable, what)
    }
}

/// An object as the SDK read it of a page; `None` where it has no key.
fn listed_object(object: &Object) -> Option<ListedObject> {
    let listed = Listed {
        etag: object.e_tag().unwrap_or_default().to_owned(),
        size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        storage_class: object.storage_class().map_or("STANDARD".into(), |class| class.as_str().to_owned().into()),
        modified_at: object.last_modified().and_then(timestamp),
    };
    Some(ListedObject { listed_key: object.key()?.to_owned(), listed })
}

/// Decodes a key as S3 encodes it in a listing: percent signs, and `+` for a space.
///
/// Some servers leave a `+` as it is, so a name with one has a second reading.
pub(super) fn decoded(listed: &str) -> Option<(String, Option<String>)> {
    let percent = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
    let key = percent(&listed.replace('+', " "))?;
    let otherwise = if listed.contains('+') { Some(percent(listed)?) } else { None };
    Some((key, otherwise))
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn listed_names_are_decoded() {
        assert_eq!(decoded("a/b%20c"), Some(("a/b c".into(), None)));
        assert_eq!(decoded("a+b"), Some(("a b".into(), Some("a+b".into()))));
        assert_eq!(decoded("a%2Bb%25%01"), Some(("a+b%\u{1}".into(), None)));
        assert_eq!(decoded("%E2%82%AC"), Some(("€".into(), None)));
        assert_eq!(decoded("%FF"), None);
    }
}
