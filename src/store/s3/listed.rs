//! What a listing or an inventory tells of an object, and leaves made of no more than that.
//!
//! Two sorts of leaves are made of it. Those of a *forecast* hold all that is told: they show most changes and prove nothing.
//! Those of *bodies* hold size and ETag alone, and prove a body: an ETag in the form of an MD5, or of one over the MD5s of
//! parts, follows from the bytes it stands for or from a key that no other object has, so that two objects of the same size
//! and ETag have the same bytes. Two that differ may be equal still. An ETag of any other form proves nothing: its leaf
//! names the very place, and equals no other.

use std::borrow::Cow;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::listing::Place;
use super::object::{Location, bare_etag, etag_md5, etag_parts};
use super::{Leaves, S3Store, SCAN_READS_AT_ONCE};
use crate::digest::frame::{self, ITEM_DOMAIN, MAP, TEXT};
use crate::digest::item_digest;
use crate::model::{Digest, Evidence, Item, Key, Leaf, Timestamp, Value};
use crate::store::{ErrorKind, Result, StoreError};

/// What leaves made of bodies alone are called, in manifests and in words.
pub(super) const BODIES: &str = "bodies";
/// What leaves of a forecast are called.
pub(super) const FORECAST: &str = "forecast";

/// What a leaf made of a listing does not cover, beside the body.
const BESIDE: [&str; 4] = ["headers", "metadata", "storage_class", "tags"];

/// What a listing or an inventory tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub etag: String,
    pub size: u64,
    pub storage_class: Cow<'static, str>,
    pub modified_at: Option<Timestamp>,
}

impl Listed {
    /// The digest of all that is told: enough to see most changes, and never a proof of the contents.
    fn forecast_digest(&self) -> Digest {
        item_digest(&Value::map([
            ("listed", Value::text("without proof")),
            ("etag", Value::text(bare_etag(&self.etag))),
            ("size", Value::text(self.size.to_string())),
            ("storage_class", Value::text(&*self.storage_class)),
        ]))
    }
}

/// The digest of a body by what a listing tells: that of the map of `etag`, `listed` (the text `bodies`) and `size`, and,
/// where the ETag proves nothing, of the `place` of the object too; all as texts.
pub(super) fn body_digest(etag: &str, size: u64, (bucket, full_key): (&str, &str)) -> Digest {
    let bare = bare_etag(etag);
    let is_proof = etag_md5(bare).is_some() || etag_parts(bare).is_some();
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(ITEM_DOMAIN);
    let map = frame::open(&mut bytes, MAP);
    frame::put(&mut bytes, TEXT, b"etag");
    frame::put(&mut bytes, TEXT, bare.to_ascii_lowercase().as_bytes());
    frame::put(&mut bytes, TEXT, b"listed");
    frame::put(&mut bytes, TEXT, BODIES.as_bytes());
    if !is_proof {
        frame::put(&mut bytes, TEXT, b"place");
        frame::put(&mut bytes, TEXT, format!("{bucket}/{full_key}").as_bytes());
    }
    frame::put(&mut bytes, TEXT, b"size");
    frame::put(&mut bytes, TEXT, size.to_string().as_bytes());
    map.close(&mut bytes);
    blake3::hash(&bytes).into()
}

/// Whether two objects differ in what is not told by a listing.
pub(super) fn differ_beside(one: &Item, other: &Item) -> bool {
    BESIDE.iter().any(|part| one.contents.get(part) != other.contents.get(part))
}

impl S3Store {
    /// The key of a listed object.
    pub(super) fn key_of_place(&self, full_key: &str) -> Result<Key> {
        self.key(full_key).ok_or_else(|| {
            let what = format!("bucket {} lists objects that are not under the prefix asked for", self.bucket);
            StoreError::new(ErrorKind::Unreadable, what)
        })
    }

    /// The leaf of an object by what was listed of it.
    fn listed_leaf(&self, place: &Place) -> Result<Leaf> {
        let listed = place.listed.as_ref().ok_or_else(|| {
            let what = format!("bucket {} lists objects without telling of them", self.bucket);
            StoreError::new(ErrorKind::Unreadable, what)
        })?;
        let digest = match self.leaves {
            Leaves::Listed | Leaves::Inventory(_) => listed.forecast_digest(),
            Leaves::Proved | Leaves::Bodies => body_digest(&listed.etag, listed.size, (&self.bucket, &place.full_key)),
        };
        let key = self.key_of_place(&place.full_key)?;
        Ok(Leaf { key, digest, size: listed.size, modified_at: listed.modified_at })
    }

    /// The leaves of a page by what was listed of them. A name with two readings is looked up, unless this is a forecast.
    pub(super) async fn listed_leaves(&self, page: Vec<Place>) -> Result<Vec<Leaf>> {
        let is_open = |place: &Place| place.otherwise.is_some() && matches!(self.leaves, Leaves::Bodies);
        let mut leaves = Vec::with_capacity(page.len());
        let mut open = Vec::new();
        for place in page {
            if is_open(&place) { open.push(place) } else { leaves.push(self.listed_leaf(&place)?) }
        }
        if !open.is_empty() {
            let reads = open.into_iter().map(|place| self.read_listed(place)).collect::<Vec<_>>();
            let found: Vec<Vec<Item>> = stream::iter(reads).buffered(SCAN_READS_AT_ONCE).boxed().try_collect().await?;
            leaves.extend(found.iter().flatten().map(leaf_by_listing));
        }
        Ok(leaves)
    }

    /// The item with what a listing tells of it, where leaves here are made of that.
    pub(super) fn with_listed(&self, mut item: Item) -> Result<Item> {
        if matches!(self.leaves, Leaves::Bodies) {
            let Location { bucket, full_key, etag, .. } = Location::of(&item)?;
            let digest = body_digest(&etag, item.size, (&bucket, &full_key));
            item.evidence.push(Evidence { kind: Evidence::LISTED, digest });
        }
        Ok(item)
    }
}

/// The leaf that a listing gives of an item that was read by itself.
fn leaf_by_listing(item: &Item) -> Leaf {
    let listed = item.evidence.iter().find(|proof| proof.kind == Evidence::LISTED);
    Leaf { digest: listed.map_or(item.digest, |proof| proof.digest), ..item.leaf() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn a_size_and_an_etag_that_follow_from_the_bytes_are_a_body() {
        let at = |etag: &str, size, place| body_digest(etag, size, place);
        let (here, there) = (("home", "k"), ("away", "k"));
        assert_eq!(at(&format!("\"{MD5}\""), 3, here), at(MD5, 3, there));
        assert_eq!(at(MD5, 3, here), at(&MD5.to_uppercase(), 3, there));
        assert_eq!(at(&format!("{MD5}-2"), 3, here), at(&format!("{MD5}-2"), 3, there));
        assert_ne!(at(MD5, 3, here), at(MD5, 4, there), "another size");
        assert_ne!(at(MD5, 3, here), at(&format!("{MD5}-1"), 3, there), "another ETag, perhaps the same body");
    }

    #[test]
    fn an_etag_of_any_other_form_equals_none_but_itself() {
        for etag in ["", "\"\"", "abc", "d41d8cd98f00b204e9800998ecf8427e-x", "0x8D4BCC2E4835CD0"] {
            assert_ne!(body_digest(etag, 3, ("home", "k")), body_digest(etag, 3, ("away", "k")), "{etag}");
            assert_eq!(body_digest(etag, 3, ("home", "k")), body_digest(etag, 3, ("home", "k")));
        }
    }

    #[test]
    fn the_digest_is_that_of_the_map_that_is_written_down() {
        let map =
            |entries: &[(&str, &str)]| item_digest(&Value::map(entries.iter().map(|(n, v)| (*n, Value::text(*v)))));
        let told = [("etag", MD5), ("listed", BODIES), ("size", "3")];
        assert_eq!(body_digest(MD5, 3, ("home", "k")), map(&told));
        let unproved = [("etag", "x"), ("listed", BODIES), ("place", "home/k"), ("size", "3")];
        assert_eq!(body_digest("\"X\"", 3, ("home", "k")), map(&unproved));
    }
}
