//! One object as an item: what counts as its contents, and which proofs of its body it carries.
//!
//! Its contents are size, content headers, user metadata, tags, storage class and body. The body is known by proof: a
//! digest is made over everything else and one `{kind, value}`, so that two objects are compared by any kind they share.
//! Where the object lies (bucket, key, ETag, version, how its body was cut into parts) and what is carried along with it
//! (encryption, Object Lock, grants) are kept beside, and are no part of any digest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::digest::item_digest;
use crate::model::{Digest, Evidence, Item, Key, Timestamp, Value};
use crate::store::{ErrorKind, Result, StoreError};

/// The kind that names a body which cannot be read: it never equals another object's.
pub(super) const UNREAD: &str = "unread";

/// Kinds of proof over a whole body, whatever parts it came in.
pub(super) const WHOLE_KINDS: [&str; 7] = ["crc64nvme", "crc32", "crc32c", "sha256", "sha1", "md5", "blake3"];

/// Parts of one upload.
pub(super) const PARTS_MAX: usize = 10_000;

/// The parts of the contents map that a digest covers, besides the proof.
const DIGESTED: [&str; 5] = ["headers", "metadata", "size", "storage_class", "tags"];

/// A proof of a body: its kind, one of [`KINDS`], and its text.
pub(super) type Proof = (&'static str, String);

/// What HEAD and the tags tell of an object.
#[derive(Clone, Default)]
pub(super) struct Facts {
    pub bucket: String,
    pub full_key: String,
    pub etag: String,
    pub version_id: Option<String>,
    pub size: u64,
    pub headers: BTreeMap<String, String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub storage_class: String,
    pub proofs: Vec<Proof>,
    /// The sizes of the parts it was uploaded in, where they were asked for.
    pub part_sizes: Option<Vec<u64>>,
    /// Where it stands in its bucket's replication.
    pub replication: Option<String>,
    /// What is carried along with it: see [`super::carried`].
    pub carried: BTreeMap<String, String>,
    pub modified_at: Option<Timestamp>,
    pub hold: Option<String>,
}

impl Facts {
    /// The contents: what is digested, and under `location` where it lies.
    fn contents(&self) -> Value {
        let texts = |map: &BTreeMap<String, String>| Value::map(map.iter().map(|(n, v)| (n, Value::text(v))));
        let number = |number: u64| Value::Number(i64::try_from(number).unwrap_or(i64::MAX).into());
        let mut location = BTreeMap::from([
            ("bucket".to_owned(), Value::text(&self.bucket)),
            ("key".to_owned(), Value::text(&self.full_key)),
            ("etag".to_owned(), Value::text(&self.etag)),
            ("checksums".to_owned(), Value::map(self.proofs.iter().map(|(kind, text)| (*kind, Value::text(text))))),
        ]);
        if let Some(version) = &self.version_id {
            location.insert("version_id".to_owned(), Value::text(version));
        }
        if let Some(sizes) = &self.part_sizes {
            location.insert("part_sizes".to_owned(), Value::text(sizes_text(sizes)));
        }
        if let Some(replication) = &self.replication {
            location.insert("replication".to_owned(), Value::text(replication));
        }
        let mut contents = BTreeMap::from([
            ("size".to_owned(), number(self.size)),
            ("headers".to_owned(), texts(&self.headers)),
            ("metadata".to_owned(), texts(&self.metadata)),
            ("tags".to_owned(), texts(&self.tags)),
            ("storage_class".to_owned(), Value::text(&self.storage_class)),
            ("location".to_owned(), Value::Map(location)),
        ]);
        if !self.carried.is_empty() {
            contents.insert("carried".to_owned(), texts(&self.carried));
        }
        Value::Map(contents)
    }

    /// The item, when at least one proof of its body is known.
    pub fn item(&self, key: &Key) -> Option<Item> {
        let contents = self.contents();
        let evidence = evidence_of(&contents, &self.proofs);
        Some(Item {
            key: key.clone(),
            digest: preferred(&evidence)?,
            evidence,
            contents,
            size: self.size,
            modified_at: self.modified_at,
            expires_at: None,
            hold: self.hold.clone(),
        })
    }
}

/// The digest of an object's contents with its body proved by `kind` and `value`.
pub fn object_digest(contents: &Value, kind: &str, value: &str) -> Digest {
    let mut digested: BTreeMap<String, Value> =
        DIGESTED.iter().filter_map(|name| Some(((*name).to_owned(), contents.get(name)?.clone()))).collect();
    digested.insert("proof".to_owned(), Value::map([("kind", Value::text(kind)), ("value", Value::text(value))]));
    item_digest(&Value::Map(digested))
}

/// One evidence for each proof.
pub(super) fn evidence_of(contents: &Value, proofs: &[Proof]) -> Vec<Evidence> {
    proofs.iter().map(|(kind, text)| Evidence { kind, digest: object_digest(contents, kind, text) }).collect()
}

/// The evidence that an item's contents keep of their body, for an item that was stored without its evidence.
pub fn kept_evidence(contents: &Value) -> Vec<Evidence> {
    let kept = contents.get("location").and_then(|location| location.get("checksums"));
    let text = |kind: &'static str| Some((kind, kept?.get(kind)?.as_text()?.to_owned()));
    let proofs: Vec<Proof> = Evidence::KINDS.iter().chain([&UNREAD]).filter_map(|kind| text(kind)).collect();
    evidence_of(contents, &proofs)
}

/// The item with at least the evidence that its contents keep.
pub(super) fn with_evidence(item: &Item) -> Cow<'_, Item> {
    if !item.evidence.is_empty() {
        return Cow::Borrowed(item);
    }
    Cow::Owned(Item { evidence: kept_evidence(&item.contents), ..item.clone() })
}

fn preferred(evidence: &[Evidence]) -> Option<Digest> {
    let kinds = Evidence::KINDS.iter().chain([&UNREAD]);
    kinds.into_iter().find_map(|kind| Some(evidence.iter().find(|evidence| evidence.kind == *kind)?.digest))
}

/// Adds proofs made by reading the body.
///
/// # Errors
///
/// [`ErrorKind::Unreadable`] when the body read contradicts a proof that the item carries.
pub(super) fn add_proofs(item: &mut Item, proofs: &[Proof]) -> Result<()> {
    for made in evidence_of(&item.contents, proofs) {
        match item.evidence.iter().find(|known| known.kind == made.kind) {
            // A checksum of parts says nothing of other parts.
            Some(known) if known.digest != made.digest && WHOLE_KINDS.contains(&made.kind) => {
                let what = format!("the body of {} is not what its {} says", Location::of(item)?, made.kind);
                return Err(StoreError::new(ErrorKind::Unreadable, what));
            }
            Some(known) if known.digest == made.digest => {}
            _ => item.evidence.push(made),
        }
    }
    Ok(())
}

/// Where an item's body lies.
#[derive(Clone)]
pub(super) struct Location {
    pub bucket: String,
    pub full_key: String,
    pub etag: String,
    pub version_id: Option<String>,
}

impl Location {
    /// The location within an item's contents.
    pub fn of(item: &Item) -> Result<Location> {
        let part = |name: &str| Some(item.contents.get("location")?.get(name)?.as_text()?.to_owned());
        match (part("bucket"), part("key"), part("etag")) {
            (Some(bucket), Some(full_key), Some(etag)) => {
                Ok(Location { bucket, full_key, etag, version_id: part("version_id") })
            }
            _ => Err(StoreError::new(ErrorKind::Unreadable, "an item's contents are not those of an S3 object")),
        }
    }

    /// The version that stays readable when the object is overwritten or deleted, if there is one.
    pub fn lasting_version(&self) -> Option<&str> {
        self.version_id.as_deref().filter(|version| *version != "null")
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.full_key)
    }
}

/// A text out of one of the maps within an item's contents.
pub(super) fn texts(item: &Item, map: &str) -> BTreeMap<String, String> {
    let entries = item.contents.get(map).and_then(Value::as_map);
    let pairs = entries.into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned()))).collect()
}

/// Where an object stands in its bucket's replication, in S3's words; `None` where no rule took it.
pub(super) fn replication_of(item: &Item) -> Option<&str> {
    item.contents.get("location")?.get("replication")?.as_text()
}

/// The text of a proof that an item keeps of its body.
pub(super) fn proof_text<'a>(item: &'a Item, kind: &str) -> Option<&'a str> {
    item.contents.get("location")?.get("checksums")?.get(kind)?.as_text()
}

/// The sizes of the parts an item's body was uploaded in, where they are known and add up to its size.
pub(super) fn part_sizes(item: &Item) -> Option<Vec<u64>> {
    let text = item.contents.get("location")?.get("part_sizes")?.as_text()?;
    let mut sizes = Vec::new();
    for run in text.split(',') {
        let (size, times) = run.split_once('x').unwrap_or((run, "1"));
        let times: usize = times.parse().ok().filter(|times| *times <= PARTS_MAX)?;
        sizes.extend(std::iter::repeat_n(size.parse::<u64>().ok()?, times));
    }
    (sizes.len() <= PARTS_MAX && sizes.iter().sum::<u64>() == item.size).then_some(sizes)
}

/// Part sizes as text, equal ones in a row together: `8388608x3,500`.
fn sizes_text(sizes: &[u64]) -> String {
    let runs = sizes.chunk_by(|one, next| one == next);
    let runs = runs.map(|run| if run.len() == 1 { run[0].to_string() } else { format!("{}x{}", run[0], run.len()) });
    runs.collect::<Vec<_>>().join(",")
}

/// The ETag without its quotes.
pub(super) fn bare_etag(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// The MD5 that an ETag is, when it has the form of one: 32 hexadecimal digits and no part count.
pub(super) fn etag_md5(etag: &str) -> Option<String> {
    let bare = bare_etag(etag);
    let is_md5 = bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_md5.then(|| bare.to_ascii_lowercase())
}

/// The number of parts an ETag counts, when it is one of an upload in parts.
pub(super) fn etag_parts(etag: &str) -> Option<usize> {
    let (md5, parts) = bare_etag(etag).split_once('-')?;
    let is_md5 = md5.len() == 32 && md5.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.parse().ok().filter(|parts| is_md5 && (1..=PARTS_MAX).contains(parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::key_of;

    fn facts(proofs: &[Proof]) -> Facts {
        Facts {
            bucket: "b".into(),
            full_key: "k".into(),
            etag: "\"e\"".into(),
            size: 3,
            storage_class: "STANDARD".into(),
            proofs: proofs.to_vec(),
            ..Facts::default()
        }
    }

    fn item(facts: &Facts) -> Item {
        facts.item(&key_of(&Value::map([("key", Value::text("k"))]))).expect("a proof")
    }

    #[test]
    fn the_ladder_compares_by_any_shared_kind() {
        let crc = ("crc32", "AAAA".to_owned());
        let md5 = ("md5", "d41d8cd98f00b204e9800998ecf8427e".to_owned());
        let both = item(&facts(&[crc.clone(), md5.clone()]));
        assert_eq!(both.same_as(&item(&facts(&[md5]))), Some(true));
        assert_eq!(both.same_as(&item(&facts(&[("crc32", "BBBB".into())]))), Some(false));
        assert_eq!(both.same_as(&item(&facts(&[("sha256", "x".into())]))), None);
        let collides = item(&facts(&[crc.clone(), ("md5", "another".into())]));
        assert_eq!(both.same_as(&collides), Some(false), "a weak checksum never outvotes a strong one");
        assert_eq!(item(&facts(&[crc])).digest, both.digest, "crc32 is preferred to md5");
    }

    #[test]
    fn composite_checksums_prove_sameness_only() {
        let composite = |text: &str| item(&facts(&[(Evidence::COMPOSITE, text.to_owned())]));
        assert_eq!(composite("crc32:a-2").same_as(&composite("crc32:a-2")), Some(true));
        assert_eq!(composite("crc32:a-2").same_as(&composite("crc32:b-3")), None, "part sizes may differ");
    }

    #[test]
    fn what_is_unproved_or_unread_equals_nothing() {
        let of = |kind, text: &str| item(&facts(&[(kind, text.to_owned())]));
        let unproved = of(Evidence::UNPROVED, "v1");
        assert_eq!(unproved.same_as(&of(Evidence::UNPROVED, "v2")), None, "it may still be the same");
        assert_eq!(unproved.same_as(&of("crc32", "AAAA")), None);
        let parts = |text: &str| of(Evidence::PARTS_MD5, text);
        assert_eq!(parts("a-2").same_as(&parts("a-2")), Some(true));
        assert_eq!(parts("a-2").same_as(&parts("b-2")), None, "parts may have been cut elsewhere");
        assert_eq!(of(UNREAD, "one").same_as(&of(UNREAD, "other")), Some(false));
    }

    #[test]
    fn part_sizes_are_kept_in_few_words() {
        let mut known = facts(&[("md5", "m".into())]);
        known.part_sizes = Some(vec![8, 8, 8, 3, 8]);
        known.size = 35;
        let known = item(&known);
        let text = known.contents.get("location").and_then(|at| at.get("part_sizes")).and_then(Value::as_text);
        assert_eq!(text, Some("8x3,3,8"));
        assert_eq!(part_sizes(&known), Some(vec![8, 8, 8, 3, 8]));
        assert_eq!(part_sizes(&Item { size: 36, ..known }), None, "parts that do not add up are not believed");
    }

    #[test]
    fn etags_count_their_parts() {
        let parts = |tail: &str| etag_parts(&format!("\"d41d8cd98f00b204e9800998ecf8427e{tail}\""));
        assert_eq!((parts("-2"), parts(""), parts("-0"), parts("-10001")), (Some(2), None, None, None));
    }

    #[test]
    fn the_place_is_no_part_of_the_digest_but_metadata_is() {
        let proof = [("crc32", "AAAA".to_owned())];
        let mut other = facts(&proof);
        (other.bucket, other.etag, other.version_id) = ("c".into(), "f".into(), Some("v".into()));
        assert_eq!(item(&other).digest, item(&facts(&proof)).digest);
        other.metadata.insert("a".into(), "b".into());
        assert_ne!(item(&other).digest, item(&facts(&proof)).digest);
        assert_eq!(item(&other).same_as(&item(&facts(&proof))), Some(false));
    }

    #[test]
    fn evidence_is_found_again_in_the_contents() {
        let whole = item(&facts(&[("md5", "m".into()), ("crc32", "AAAA".into())]));
        let stored = Item { evidence: Vec::new(), ..whole.clone() };
        let restored = with_evidence(&stored);
        assert_eq!(restored.same_as(&item(&facts(&[("md5", "m".into())]))), Some(true));
        assert_eq!(restored.evidence.len(), whole.evidence.len());
    }

    #[test]
    fn only_etags_in_the_form_of_md5_are_md5() {
        assert!(etag_md5("\"D41D8CD98F00B204E9800998ECF8427E\"").is_some_and(|md5| md5.starts_with("d41d8")));
        assert_eq!(etag_md5("\"d41d8cd98f00b204e9800998ecf8427e-2\""), None);
        assert_eq!(etag_md5("\"xyz\""), None);
    }

    #[test]
    fn a_body_that_contradicts_its_checksum_is_unreadable() {
        let mut known = item(&facts(&[("crc32", "AAAA".into())]));
        assert!(add_proofs(&mut known, &[("crc32", "AAAA".into()), ("md5", "m".into())]).is_ok());
        assert_eq!(known.evidence.len(), 2);
        let error = add_proofs(&mut known, &[("crc32", "BBBB".into())]).expect_err("contradiction");
        assert_eq!(error.kind, ErrorKind::Unreadable);
    }
}
