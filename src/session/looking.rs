//! One item as it is now on base, primary and dr, for a person to look at.

use serde::Serialize;
use serde_json::Value as Json;

use super::open::open_sides;
use super::{Result, Session};
use crate::digest::manifest::Manifest;
use crate::digest::{bucket_of, value_json};
use crate::model::{Digest, Item, Key, Side, StoreId};
use crate::profile::{BaseProfile, StoreProfile};
use crate::store::{Depth, ReadStore, StoreError};

/// What is seen of an item in one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// There is no such item.
    Absent,
    /// There is none any more; the text says how it went.
    Gone(String),
    /// Its contents as JSON; a large body is referred to.
    Contents(Json),
    /// A checkpoint keeps no contents, only what they came to.
    DigestOnly(Digest),
    /// It cannot be told; the text says why.
    Unknown(String),
}

/// One item, side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemSides {
    /// In the base.
    pub base: Seen,
    /// On the primary.
    pub primary: Seen,
    /// On dr.
    pub dr: Seen,
}

impl Session {
    /// Reads one item in all places; a place that cannot be read is told, and the others are read.
    ///
    /// # Errors
    ///
    /// [`super::SessionError`] when the profile has no such store, or its sides are other accounts than it says.
    pub async fn look(&self, store: &StoreId, canonical_key: &Key) -> Result<ItemSides> {
        let profile = self.store_profile(store)?;
        self.accounts_hold.get_or_try_init(|| self.require_accounts()).await?;
        let sides = open_sides(&self.profile, profile, &self.around).await;
        let key = canonical_key;
        let (primary, dr) = tokio::join!(
            async {
                match &sides.primary {
                    Ok(side) => seen(side.as_ref(), key).await,
                    Err(error) => unknown(error),
                }
            },
            async {
                match &sides.dr {
                    Ok(side) => seen(side.as_ref(), key).await,
                    Err(error) => unknown(error),
                }
            }
        );
        let base = match &sides.base {
            Some(Ok(base)) => seen(base.store.as_ref(), key).await,
            Some(Err(error)) => unknown(error),
            None => self.seen_in_checkpoint(profile, key),
        };
        Ok(ItemSides { base, primary, dr })
    }

    fn seen_in_checkpoint(&self, store: &StoreProfile, key: &Key) -> Seen {
        let BaseProfile::Checkpoint(name) = &store.base else {
            let words = match store.changes.primary.is_empty() && store.changes.dr.is_empty() {
                true => "this store has no base",
                false => "what the changes of both sides tell is not read by key: a diff has its digest",
            };
            return Seen::Unknown(words.into());
        };
        let folder = self.checkpoint_folder(name).join(&store.name);
        let leaves = Manifest::open(&folder, Side::Primary).and_then(|manifest| manifest.read(bucket_of(key)));
        match leaves {
            Ok(leaves) => match leaves.into_iter().find(|leaf| leaf.key == *key) {
                Some(leaf) => Seen::DigestOnly(leaf.digest),
                None => Seen::Absent,
            },
            Err(error) => unknown(&error),
        }
    }
}

async fn seen(store: &dyn ReadStore, key: &Key) -> Seen {
    match fetch_one(store, key).await {
        Ok(None) => match store.absence(key).await {
            Ok(Some(how)) => Seen::Gone(how),
            // That it is not there is known; how it went is only good to know.
            Ok(None) | Err(_) => Seen::Absent,
        },
        Ok(Some(item)) => Seen::Contents(value_json(&item.contents)),
        Err(error) => unknown(&error),
    }
}

async fn fetch_one(store: &dyn ReadStore, key: &Key) -> std::result::Result<Option<Item>, StoreError> {
    // A store knows the types of its columns once its shape was read.
    store.shape().await?;
    Ok(store.fetch(std::slice::from_ref(key), Depth::Evidence).await?.pop().flatten())
}

/// The error with its causes on one line.
fn unknown(error: &dyn std::error::Error) -> Seen {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    Seen::Unknown(causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}")))
}
