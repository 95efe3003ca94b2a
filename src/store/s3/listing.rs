//! Which objects there are.

use aws_sdk_s3::types::EncodingType;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use percent_encoding::percent_decode_str;

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
}

enum Next {
    First,
    After(String),
    End,
}

impl S3Store {
    /// All objects in pages: the current ones, or those of the instant this is a view of.
    pub(super) fn places(&self) -> BoxStream<'_, Result<Vec<Place>>> {
        match self.as_of {
            Some(instant) => self.places_at(instant),
            None => self.current_places(),
        }
    }

    fn current_places(&self) -> BoxStream<'_, Result<Vec<Place>>> {
        stream::try_unfold(Next::First, move |next| async move {
            let token = match next {
                Next::First => None,
                Next::After(token) => Some(token),
                Next::End => return Ok(None),
            };
            let request = self.client.list_objects_v2().bucket(&self.bucket).set_continuation_token(token);
            let request = request.prefix(&self.prefix).max_keys(PAGE).encoding_type(EncodingType::Url);
            let what = || format!("cannot list bucket {}", self.bucket);
            let reply = request.send().await.map_err(|error| s3_error(what(), error))?;
            let is_encoded = reply.encoding_type() == Some(&EncodingType::Url);
            let places = reply.contents().iter().map(|object| self.place(object.key(), is_encoded));
            let places = places.collect::<Result<Vec<Place>>>()?;
            let next = match (reply.is_truncated(), reply.next_continuation_token()) {
                (Some(true), Some(token)) => Next::After(token.to_owned()),
                (Some(true), None) => return Err(StoreError::new(ErrorKind::Unreadable, what())),
                _ => Next::End,
            };
            Ok(Some((places, next)))
        })
        .boxed()
    }

    fn place(&self, listed: Option<&str>, is_encoded: bool) -> Result<Place> {
        let (full_key, otherwise) = self.listed_key(listed, is_encoded)?;
        Ok(Place { full_key, otherwise, version_id: None })
    }

    /// A listed key decoded, and its other reading where there is one.
    pub(super) fn listed_key(&self, listed: Option<&str>, is_encoded: bool) -> Result<(String, Option<String>)> {
        let unreadable = || {
            let what = format!("a key listed in bucket {} cannot be read", self.bucket);
            StoreError::new(ErrorKind::Unreadable, what)
        };
        let listed = listed.ok_or_else(unreadable)?;
        if is_encoded { decoded(listed).ok_or_else(unreadable) } else { Ok((listed.to_owned(), None)) }
    }
}

/// Decodes a key as S3 encodes it in a listing: percent signs, and `+` for a space.
///
/// Some servers leave a `+` as it is, so a name with one has a second reading.
fn decoded(listed: &str) -> Option<(String, Option<String>)> {
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
