//! What a preflight says of archived objects: how many block, found from listings, with a bound on requests.
//!
//! An object that is archived and not restored cannot be copied, and what differs there is held. Objects that both sides have
//! archived alike, with the same size and ETag, need no restoring and are passed over.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types::{EncodingType, ObjectStorageClass, OptionalObjectAttributes};
use futures_util::try_join;

use super::archive::Archived;
use super::listed::body_digest;
use super::listing::PAGE;
use super::{S3Store, s3_error};
use crate::model::Digest;
use crate::store::{Finding, Level, Result};

/// Pages listed of a bucket at most.
const PAGES_MAX: usize = 100;
/// Keys that are named.
const NAMED_MAX: usize = 3;

/// What the first pages of a bucket tell of archived objects.
struct Cold {
    /// Body and key without the prefix, of those that are not restored, with the bucket's key.
    archived: BTreeMap<(String, Digest), String>,
    /// Objects that were looked at.
    looked_at: u64,
    /// Whether these were all.
    is_all: bool,
    /// Objects whose class does not tell whether they are archived.
    untold: u64,
}

/// What must be restored before the sides can be brought together. What cannot be listed is told by the sides' own checks.
///
/// # Errors
///
/// That of a listing.
pub async fn archived_findings(primary: &S3Store, dr: &S3Store) -> Result<Vec<Finding>> {
    let (home, away) = try_join!(primary.cold(), dr.cold())?;
    let alike: BTreeSet<_> = home.archived.keys().filter(|body| away.archived.contains_key(*body)).cloned().collect();
    Ok([(primary, home), (dr, away)].into_iter().flat_map(|(store, cold)| store.told_cold(&cold, &alike)).collect())
}

impl S3Store {
    async fn cold(&self) -> Result<Cold> {
        let mut cold = Cold { archived: BTreeMap::new(), looked_at: 0, is_all: false, untold: 0 };
        let mut token = None;
        for _ in 0..PAGES_MAX {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(PAGE);
            let request = request.encoding_type(EncodingType::Url).set_continuation_token(token);
            let request = request.optional_object_attributes(OptionalObjectAttributes::RestoreStatus);
            let what = || format!("cannot list bucket {}", self.bucket);
            let reply = request.send().await.map_err(|error| s3_error(what(), error))?;
            let is_encoded = reply.encoding_type() == Some(&EncodingType::Url);
            for object in reply.contents() {
                cold.looked_at += 1;
                match object.storage_class() {
                    Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive) => {}
                    Some(ObjectStorageClass::IntelligentTiering) => {
                        cold.untold += 1;
                        continue;
                    }
                    _ => continue,
                }
                let restored = object.restore_status();
                if restored.is_some_and(|status| {
                    status.is_restore_in_progress() != Some(true) && status.restore_expiry_date().is_some()
                }) {
                    continue;
                }
                let (full_key, _) = self.listed_key(object.key(), is_encoded)?;
                let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                let digest = body_digest(object.e_tag().unwrap_or_default(), size, (&self.bucket, &full_key));
                let name = full_key.strip_prefix(&self.prefix).unwrap_or(&full_key).to_owned();
                cold.archived.insert((name, digest), full_key);
            }
            token = reply.next_continuation_token().map(str::to_owned);
            if reply.is_truncated() != Some(true) || token.is_none() {
                cold.is_all = true;
                break;
            }
        }
        Ok(cold)
    }

    fn told_cold(&self, cold: &Cold, alike: &BTreeSet<(String, Digest)>) -> Vec<Finding> {
        let subject = format!("{} {}", self.id, self.side);
        let bucket = &self.bucket;
        let blocking: Vec<&String> =
            cold.archived.iter().filter(|(body, _)| !alike.contains(body)).map(|(_, full_key)| full_key).collect();
        let of = match cold.is_all {
            true => format!("of {}", cold.looked_at),
            false => format!("among the first {} that are listed, which are not all", cold.looked_at),
        };
        let mut findings = Vec::new();
        if !blocking.is_empty() {
            let place = |full_key| Archived { bucket, full_key, version_id: None, region: &self.reached.region };
            let named: Vec<String> = blocking.iter().take(NAMED_MAX).map(|key| format!("\"{key}\"")).collect();
            let more = if blocking.len() > NAMED_MAX { ", .." } else { "" };
            let what = format!(
                "{} objects of bucket {bucket} are archived and not restored, {of}: {}{more}; what differs there is held",
                blocking.len(),
                named.join(", ")
            );
            let hint = format!("restore each, and wait for it: {}", place(blocking[0]).command(true));
            findings.push(Finding::new(Level::Blocker, &subject, what).with_hint(hint));
        } else if !cold.is_all {
            let what = format!("archived objects of bucket {bucket} were looked for {of}: none of these blocks");
            findings.push(Finding::new(Level::Note, &subject, what));
        }
        if cold.untold > 0 {
            let what = format!(
                "{} objects of bucket {bucket} are in INTELLIGENT_TIERING, {of}: a listing does not tell which are archived",
                cold.untold
            );
            findings.push(
                Finding::new(Level::Note, &subject, what).with_hint("a plan holds those that are, and names them"),
            );
        }
        findings
    }
}
