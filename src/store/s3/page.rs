//! The objects of a page of a listing, read straight from its XML.
//!
//! Nothing is guessed: a page with anything unexpected goes to the SDK whole and is read as every other reply is.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use super::listed::Listed;
use crate::store::taken::TakenBody;

const ROOT: &str = "ListBucketResult";
const OBJECT: &str = "Contents";

/// The storage class that most objects have.
const STANDARD: &str = "STANDARD";

/// A page is not written as pages are.
#[derive(Debug, PartialEq, Eq)]
struct NotPlain;

/// An object as a page tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedObject {
    /// Its key, encoded as the page's keys are.
    pub listed_key: String,
    pub listed: Listed,
}

/// Where the objects of one page are put for the one who asked for it.
#[derive(Debug, Clone, Default)]
pub(super) struct ObjectSlot(Arc<Mutex<Option<Vec<ListedObject>>>>);

impl ObjectSlot {
    fn put(&self, objects: Option<Vec<ListedObject>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = objects;
    }

    /// The objects, when the page was read on its way; `None` when the SDK has them.
    pub fn take(&self) -> Option<Vec<ListedObject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads the page of one request on its way to the SDK.
#[derive(Debug)]
pub(super) struct ListingInterceptor(pub ObjectSlot);

impl Intercept for ListingInterceptor {
    fn name(&self) -> &'static str {
        "ListingInterceptor"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A try before this one may have left something.
        self.0.put(None);
        let response = context.response_mut();
        let is_encoded = response.headers().get("content-encoding").is_some_and(|encoding| encoding != "identity");
        if !response.status().is_success() || is_encoded {
            return Ok(());
        }
        let length = response.headers().get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        let slot = self.0.clone();
        let read = move |body: Bytes| {
            let Ok(text) = std::str::from_utf8(&body) else { return Ok(body) };
            Ok(match objects(text) {
                Ok((objects, rest)) => {
                    slot.put(Some(objects));
                    rest.into()
                }
                Err(NotPlain) => body.slice(body.len() - without_declaration(text).len()..),
            })
        };
        *response.body_mut() = TakenBody::of(body, length, Box::new(read));
        Ok(())
    }
}

/// A document without its XML declaration; the encoding is UTF-8 in either case.
fn without_declaration(text: &str) -> &str {
    let declared = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    declared.map_or(text, |(_, rest)| rest).trim_ascii_start()
}

/// The objects of a page, and the page without them.
fn objects(text: &str) -> Result<(Vec<ListedObject>, String), NotPlain> {
    let mut xml = Xml(without_declaration(text));
    let mut objects = Vec::new();
    let mut rest = String::with_capacity(1024);
    let root = xml.0.strip_prefix('<').and_then(|tag| tag.strip_prefix(ROOT)).ok_or(NotPlain)?;
    let attributes = root.split_once('>').map(|(attributes, _)| attributes).ok_or(NotPlain)?;
    if attributes.ends_with('/') || !(attributes.is_empty() || attributes.starts_with(' ')) {
        return Err(NotPlain);
    }
    rest.push_str(xml.take("<".len() + ROOT.len() + attributes.len() + ">".len()));
    while !xml.closes(ROOT) {
        if xml.opens(OBJECT) {
            objects.push(object(&mut xml)?);
        } else {
            rest.push_str(xml.element()?);
        }
    }
    rest.push_str("</ListBucketResult>");
    if xml.0.trim_ascii_end().is_empty() { Ok((objects, rest)) } else { Err(NotPlain) }
}

fn object(xml: &mut Xml<'_>) -> Result<ListedObject, NotPlain> {
    let (mut key, mut etag, mut size, mut class, mut modified) = (None, None, None, None, None);
    while !xml.closes(OBJECT) {
        let told = match xml.name()? {
            "Key" => &mut key,
            "ETag" => &mut etag,
            "Size" => &mut size,
            "StorageClass" => &mut class,
            "LastModified" => &mut modified,
            _ => {
                xml.element()?;
                continue;
            }
        };
        if told.replace(xml.text()?).is_some() {
            return Err(NotPlain);
        }
    }
    let listed = Listed {
        etag: etag.unwrap_or_default().into_owned(),
        size: size.map_or(Ok(0), |size| size.parse()).map_err(|_| NotPlain)?,
        storage_class: match class {
            None => STANDARD.into(),
            Some(class) if class == STANDARD => STANDARD.into(),
            Some(class) => class.into_owned().into(),
        },
        modified_at: modified.map(|time| time.parse()).transpose().map_err(|_| NotPlain)?,
    };
    Ok(ListedObject { listed_key: key.ok_or(NotPlain)?.into_owned(), listed })
}

/// What is left of a document.
struct Xml<'a>(&'a str);

impl<'a> Xml<'a> {
    /// So many bytes; what is left begins after them.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest;
        taken
    }

    fn is_passed(&mut self, before: &str, name: &str) -> bool {
        self.0 = self.0.trim_ascii_start();
        let rest = self.0.strip_prefix(before).and_then(|rest| rest.strip_prefix(name));
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix('>')) else { return false };
        self.0 = rest;
        true
    }

    /// Whether an element of this name begins here; goes into it.
    fn opens(&mut self, name: &str) -> bool {
        self.is_passed("<", name)
    }

    /// Whether the element of this name ends here; goes beyond it.
    fn closes(&mut self, name: &str) -> bool {
        self.is_passed("</", name)
    }

    /// The name of the element that begins here, which has no attributes.
    fn name(&self) -> Result<&'a str, NotPlain> {
        let tag = self.0.strip_prefix('<').ok_or(NotPlain)?;
        let end = tag.bytes().position(|byte| !byte.is_ascii_alphanumeric()).ok_or(NotPlain)?;
        let is_plain = end > 0 && (tag[end..].starts_with('>') || tag[end..].starts_with("/>"));
        if is_plain { Ok(&tag[..end]) } else { Err(NotPlain) }
    }

    /// The whole element that begins here; goes beyond it.
    fn element(&mut self) -> Result<&'a str, NotPlain> {
        let name = self.name()?;
        let inner = &self.0["<".len() + name.len()..];
        if inner.starts_with('/') {
            return Ok(self.take("<".len() + name.len() + "/>".len()));
        }
        let end = format!("</{name}>");
        let length = inner.find(&end).ok_or(NotPlain)?;
        let is_plain = !inner[..length].contains("<!") && !inner[..length].contains(&format!("<{name}"));
        if is_plain { Ok(self.take("<".len() + name.len() + length + end.len())) } else { Err(NotPlain) }
    }

    /// The text of the element that begins here and holds nothing else; goes beyond it.
    fn text(&mut self) -> Result<Cow<'a, str>, NotPlain> {
        let name = self.name()?;
        let inner = &self.0["<".len() + name.len()..];
        if inner.starts_with('/') {
            self.0 = &inner["/>".len()..];
            return Ok(Cow::Borrowed(""));
        }
        let inner = &inner[">".len()..];
        let length = inner.find('<').ok_or(NotPlain)?;
        let (text, rest) = inner.split_at(length);
        let rest = rest.strip_prefix("</").and_then(|rest| rest.strip_prefix(name));
        self.0 = rest.and_then(|rest| rest.strip_prefix('>')).ok_or(NotPlain)?;
        unescaped(text)
    }
}

/// A text with its entities put in: those that servers write.
fn unescaped(text: &str) -> Result<Cow<'_, str>, NotPlain> {
    // A line's end may be written in more than one way.
    if text.contains('\r') {
        return Err(NotPlain);
    }
    let mut pieces = text.split('&');
    let first = pieces.next().unwrap_or_default();
    if first.len() == text.len() {
        return Ok(Cow::Borrowed(text));
    }
    let mut whole = String::with_capacity(text.len());
    whole.push_str(first);
    for piece in pieces {
        let (entity, rest) = piece.split_once(';').ok_or(NotPlain)?;
        whole.push(match entity {
            "quot" | "#34" | "#x22" => '"',
            "amp" | "#38" | "#x26" => '&',
            "lt" | "#60" | "#x3C" => '<',
            "gt" | "#62" | "#x3E" => '>',
            "apos" | "#39" | "#x27" => '\'',
            _ => return Err(NotPlain),
        });
        whole.push_str(rest);
    }
    Ok(Cow::Owned(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As S3 writes a page.
    const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/\
        2006-03-01/\"><Name>b</Name><Prefix/><KeyCount>2</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>a%2F1</Key>\
        <LastModified>2026-11-26T18:09:53.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>\
        <ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>0</Size><Owner><ID>o</ID></Owner><StorageClass>STANDARD\
        </StorageClass></Contents><Contents><Key>b&amp;c</Key><Size>5</Size><StorageClass>GLACIER</StorageClass></Contents>\
        <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>\n";

    #[test]
    fn a_page_is_read_and_the_rest_is_left() {
        let (objects, rest) = objects(PAGE).expect("plain");
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0].listed_key, "a%2F1");
        assert_eq!(objects[0].listed.etag, "\"d41d8cd98f00b204e9800998ecf8427e\"");
        assert_eq!(objects[0].listed.modified_at, "2026-11-26T18:09:53Z".parse().ok());
        assert_eq!((objects[1].listed_key.as_str(), objects[1].listed.size), ("b&c", 5));
        assert_eq!(objects[1].listed.storage_class, "GLACIER");
        assert_eq!(
            rest,
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix/><KeyCount>2\
             </KeyCount><IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>\
             </ListBucketResult>"
        );
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_sdk() {
        for (from, to) in [
            ("</ListBucketResult>\n", ""),
            ("</ListBucketResult>\n", "</ListBucketResult><x/>"),
            ("ListBucketResult", "Error"),
            ("<Size>5</Size>", "<Size>five</Size>"),
            ("<Size>5</Size>", "<Size>-5</Size>"),
            ("<Size>5</Size>", "<Size>5</Size><Size>6</Size>"),
            ("<Key>b&amp;c</Key>", ""),
            ("b&amp;c", "b&unknown;c"),
            ("b&amp;c", "b\rc"),
            ("b&amp;c", "<![CDATA[b]]>"),
            ("<Key>b", "<Key x=\"y\">b"),
            ("<Contents><Key>b", "<!-- x --><Contents><Key>b"),
            ("18:09:53.000Z", "yesterday"),
        ] {
            assert!(PAGE.contains(from), "{from}");
            assert_eq!(objects(&PAGE.replace(from, to)), Err(NotPlain), "{to}");
        }
        // Wherever a page is cut off, it is no page.
        assert!((0..PAGE.len() - 1).all(|end| objects(&PAGE[..end]).is_err()));
    }

    #[test]
    fn a_document_may_lose_its_declaration() {
        assert!(without_declaration(PAGE).starts_with("<ListBucketResult xmlns"));
        assert_eq!(without_declaration("<a/>"), "<a/>");
    }
}
