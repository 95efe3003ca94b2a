//! Guarded writes: look, judge, write on condition, look again.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::body::deepened;
use super::object::{Location, bare_etag, with_evidence};
use super::upload::Upload;
use super::{S3Store, s3_error, status};
use crate::model::Item;
use crate::store::{BodySource, Depth, ErrorKind, Expected, GuardedWrite, Outcome, Result, StoreError, Wanted};

/// Times a write that loses a race is judged again.
const TRIES_MAX: u32 = 6;
/// Pause before the second try; doubled each time.
const PAUSE: Duration = Duration::from_millis(50);

/// The condition of a write, checked by S3.
#[derive(Debug, Clone, Copy)]
pub(super) enum Guard<'a> {
    /// No current version.
    Absent,
    /// A current version with this ETag.
    Etag(&'a str),
}

/// What became of one conditional request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It was carried out; the ETag of what was written, where something was.
    Done { etag: Option<String> },
    /// Its condition did not hold, or another write was under way.
    Lost { status: u16 },
    /// It was not tried: something that belongs to the object could not go along.
    Unfit { reason: String },
}

/// The statuses of a condition that does not hold, and of concurrent writes.
pub(super) fn is_lost(status: Option<u16>) -> Option<Attempt> {
    let status = status.filter(|status| matches!(status, 404 | 409 | 412))?;
    Some(Attempt::Lost { status })
}

/// How what is there compares with what the write expects and wants.
enum Judgement {
    Wanted,
    Expected,
    Neither(&'static str),
}

impl S3Store {
    /// Applies one write. Boxed: its future would otherwise be too deep a type for the compiler.
    pub(super) fn apply_one<'a>(&'a self, write: GuardedWrite<'a>) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(self.apply_in_tries(write))
    }

    async fn apply_in_tries(&self, write: GuardedWrite<'_>) -> Result<Outcome> {
        let full_key = self.full_key(write.key)?;
        if !S3Store::is_possible(&full_key) {
            return Ok(Outcome::Refused { found: None, reason: "no object can have such a key in this bucket".into() });
        }
        let mut lost = 0;
        for tried in 0..TRIES_MAX {
            if tried > 0 {
                tokio::time::sleep(PAUSE * 2_u32.pow(tried - 1)).await;
            }
            let current = self.read(write.key, Depth::Evidence).await?;
            match self.judge(current.as_ref(), &write).await? {
                Judgement::Wanted => return Ok(Outcome::AlreadyApplied),
                Judgement::Neither(reason) => {
                    return Ok(Outcome::Refused { found: current.map(Box::new), reason: reason.to_owned() });
                }
                Judgement::Expected => {}
            }
            match self.attempt(&full_key, current.as_ref(), &write).await? {
                Attempt::Done { .. } => return Ok(Outcome::Applied),
                Attempt::Lost { status } => lost = status,
                Attempt::Unfit { reason } => {
                    return Ok(Outcome::Refused { found: current.map(Box::new), reason });
                }
            }
        }
        let found = self.read(write.key, Depth::Evidence).await?.map(Box::new);
        Ok(Outcome::Refused {
            found,
            reason: format!("the bucket refused its condition {TRIES_MAX} times (HTTP {lost})"),
        })
    }

    async fn judge(&self, current: Option<&Item>, write: &GuardedWrite<'_>) -> Result<Judgement> {
        let is_expected = match (current, &write.expected) {
            (None, Expected::Absent) => true,
            (Some(current), Expected::Present(expected)) => current.same_as(&with_evidence(expected)) == Some(true),
            _ => false,
        };
        let is_wanted = match (current, &write.wanted) {
            (None, Wanted::Absent) => true,
            // What may be written is not read in full only to learn that it need not be.
            (Some(current), Wanted::Present { item, .. }) if is_expected => {
                current.same_as(&with_evidence(item)) == Some(true)
            }
            (Some(current), Wanted::Present { item, body }) => {
                self.is_same(current, &with_evidence(item), *body).await?
            }
            _ => false,
        };
        Ok(match (is_wanted, is_expected, current.is_some()) {
            (true, _, _) => Judgement::Wanted,
            (false, true, _) => Judgement::Expected,
            (false, false, true) => Judgement::Neither("another object is there"),
            (false, false, false) => Judgement::Neither("the object is gone"),
        })
    }

    /// Whether an object of this bucket is the same as `other`, whose body `source` gives; bodies are read when nothing
    /// less tells.
    async fn is_same(&self, current: &Item, other: &Item, source: &dyn BodySource) -> Result<bool> {
        if let Some(is_same) = current.same_as(other) {
            return Ok(is_same);
        }
        if current.hold.is_some() || current.size != other.size {
            return Ok(false);
        }
        let current = self.deepened_in_turn(current, Some(other)).await?;
        if let Some(is_same) = current.same_as(other) {
            return Ok(is_same);
        }
        Ok(current.same_as(&deepened(other, source).await?) == Some(true))
    }

    async fn attempt(&self, full_key: &str, current: Option<&Item>, write: &GuardedWrite<'_>) -> Result<Attempt> {
        let location = current.map(Location::of).transpose()?;
        let guard = location.as_ref().map_or(Guard::Absent, |location| Guard::Etag(&location.etag));
        match (write.wanted, guard) {
            (Wanted::Present { item, body }, guard) => {
                let item = &*with_evidence(item);
                let along = match self.along(item, self.clock.as_ref().map(|clock| clock.now())).await? {
                    Ok(along) => along,
                    Err(reason) => return Ok(Attempt::Unfit { reason }),
                };
                let upload = Upload { store: self, full_key, item, source: body, guard, along };
                let (attempt, sent) = upload.run().await?;
                if let Attempt::Done { etag } = &attempt {
                    self.verify_arrival(write, &sent, body, etag.as_deref()).await?;
                }
                Ok(attempt)
            }
            (Wanted::Absent, Guard::Etag(etag)) => self.delete(full_key, etag).await,
            (Wanted::Absent, Guard::Absent) => Ok(Attempt::Done { etag: None }),
        }
    }

    /// Reads back what was written; `sent` carries every proof of the body that was sent, and `source` gives it once more.
    async fn verify_arrival(
        &self,
        write: &GuardedWrite<'_>,
        sent: &Item,
        source: &dyn BodySource,
        etag: Option<&str>,
    ) -> Result<()> {
        let gone = || StoreError::new(ErrorKind::Unfit, "an object was gone right after it had been written");
        let found = self.read(write.key, Depth::Evidence).await?.ok_or_else(gone)?;
        // Another ETag is another write, made after ours: the next pass will see it.
        if etag.is_some_and(|etag| Location::of(&found).is_ok_and(|at| bare_etag(&at.etag) != bare_etag(etag))) {
            return Ok(());
        }
        if self.is_same(&found, sent, source).await? {
            return Ok(());
        }
        let what = format!("{} is not what was sent there", Location::of(&found)?);
        Err(StoreError::new(ErrorKind::Unreadable, what))
    }

    /// Deletes the current version on condition; where versions are kept this leaves a delete marker.
    async fn delete(&self, full_key: &str, etag: &str) -> Result<Attempt> {
        let reply = self.client.delete_object().bucket(&self.bucket).key(full_key).if_match(etag).send().await;
        match reply {
            Ok(_) => Ok(Attempt::Done { etag: None }),
            Err(error) => match is_lost(status(&error)) {
                Some(lost) if !is_missing_bucket(&error) => Ok(lost),
                _ => Err(s3_error(format!("cannot delete {}", self.named(full_key)), error)),
            },
        }
    }
}

/// Whether a 404 speaks of the bucket rather than of the object.
pub(super) fn is_missing_bucket(error: &impl aws_sdk_s3::error::ProvideErrorMetadata) -> bool {
    error.code() == Some("NoSuchBucket")
}
