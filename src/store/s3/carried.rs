//! What goes along with an object and is not compared: its encryption, its Object Lock, its grants.
//!
//! None of this is the same on both sides of a healthy system: a Region has keys of its own, a retention counts from each
//! copy's own day, and grants name accounts. So it is carried with an object that is written, and no part of any digest.

use std::collections::BTreeMap;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{
    Grantee, ObjectLockEnabled, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectOwnership, Permission,
    ServerSideEncryption,
};

use super::object::{Location, texts};
use super::{S3Store, s3_error, status};
use crate::model::{Item, Side, Timestamp};
use crate::profile::ObjectLockProfile;
use crate::store::{ErrorKind, Result};

const ENCRYPTION: &str = "encryption";
const KMS_KEY: &str = "kms-key";
const BUCKET_KEY: &str = "bucket-key";
const LOCK_MODE: &str = "lock-mode";
const LOCK_UNTIL: &str = "lock-until";
const LEGAL_HOLD: &str = "legal-hold";
/// Set where the grants of an object could not be read.
const GRANTS_UNKNOWN: &str = "grants-unknown";
const GRANTS: [(Permission, &str); 4] = [
    (Permission::FullControl, "grant-full-control"),
    (Permission::Read, "grant-read"),
    (Permission::ReadAcp, "grant-read-acp"),
    (Permission::WriteAcp, "grant-write-acp"),
];

/// What HEAD tells.
pub(super) fn of_head(head: &HeadObjectOutput) -> BTreeMap<String, String> {
    let is_kms = |encryption: &&ServerSideEncryption| encryption.as_str().starts_with("aws:kms");
    let encryption = head.server_side_encryption().filter(is_kms);
    let until = head.object_lock_retain_until_date().and_then(|date| date.fmt(DateTimeFormat::DateTime).ok());
    let held = head.object_lock_legal_hold_status().filter(|status| **status == ObjectLockLegalHoldStatus::On);
    let told = [
        (ENCRYPTION, encryption.map(|encryption| encryption.as_str().to_owned())),
        (KMS_KEY, encryption.and(head.ssekms_key_id()).map(str::to_owned)),
        (BUCKET_KEY, encryption.and(head.bucket_key_enabled()).filter(|on| *on).map(|on| on.to_string())),
        (LOCK_MODE, head.object_lock_mode().map(|mode| mode.as_str().to_owned())),
        (LOCK_UNTIL, until),
        (LEGAL_HOLD, held.map(|status| status.as_str().to_owned())),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What a bucket can take along with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Objects can have grants of their own.
    pub grants: bool,
    /// Objects can be locked.
    pub lock: bool,
    /// Objects are encrypted by KMS unless a write says otherwise.
    pub kms_by_default: bool,
}

/// What is sent along with one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Along {
    pub encryption: Option<ServerSideEncryption>,
    pub kms_key: Option<String>,
    pub bucket_key: Option<bool>,
    pub lock_mode: Option<ObjectLockMode>,
    pub lock_until: Option<DateTime>,
    pub legal_hold: Option<ObjectLockLegalHoldStatus>,
    pub full_control: Option<String>,
    pub read: Option<String>,
    pub read_acp: Option<String>,
    pub write_acp: Option<String>,
}

impl S3Store {
    /// What goes along with `item` into this bucket, or why it must not be written without what cannot go along.
    pub(super) async fn along(
        &self,
        item: &Item,
        now: Option<Timestamp>,
    ) -> Result<std::result::Result<Along, String>> {
        let carried = texts(item, "carried");
        if carried.is_empty() {
            return Ok(Ok(Along::default()));
        }
        let abilities = self.abilities().await?;
        let is_own = Location::of(item)?.bucket == self.bucket;
        let own_key = carried.get(KMS_KEY).filter(|_| is_own);
        let kms_key = own_key.or(self.kms_key.as_ref()).cloned();
        let named = Named { bucket: &self.bucket, kms_key, lock: self.object_lock, now };
        Ok(along(&carried, abilities, named))
    }

    /// What this bucket can take; asked once.
    async fn abilities(&self) -> Result<Abilities> {
        let ask = async || {
            let lock = self.client.get_object_lock_configuration().bucket(&self.bucket).send().await;
            let lock = lock.ok().and_then(|reply| reply.object_lock_configuration?.object_lock_enabled);
            let default = self.client.get_bucket_encryption().bucket(&self.bucket).send().await;
            let rules = default.ok().and_then(|reply| reply.server_side_encryption_configuration).map(|all| all.rules);
            let defaults = rules.unwrap_or_default().into_iter();
            let mut defaults = defaults.filter_map(|rule| rule.apply_server_side_encryption_by_default);
            Ok(Abilities {
                grants: self.keeps_grants().await,
                lock: lock == Some(ObjectLockEnabled::Enabled),
                kms_by_default: defaults.any(|default| default.sse_algorithm.as_str().starts_with("aws:kms")),
            })
        };
        self.abilities.get_or_try_init(ask).await.copied()
    }

    /// Whether objects here have grants of their own; asked once. Where nobody may say, they are taken to have none.
    pub(super) async fn keeps_grants(&self) -> bool {
        let ask = async || {
            if self.as_of.is_some() || self.side == Side::Base {
                return false;
            }
            match self.client.get_bucket_ownership_controls().bucket(&self.bucket).send().await {
                Ok(reply) => {
                    let rules = reply.ownership_controls().map(|controls| controls.rules()).unwrap_or_default();
                    !rules.is_empty()
                        && rules.iter().all(|rule| *rule.object_ownership() != ObjectOwnership::BucketOwnerEnforced)
                }
                // Buckets from before there were such controls.
                Err(error) => error.code() == Some("OwnershipControlsNotFoundError"),
            }
        };
        *self.keeps_grants.get_or_init(ask).await
    }

    /// The grants of an object beyond its owner's own.
    pub(super) async fn grants(&self, full_key: &str, version: Option<&str>) -> Result<BTreeMap<String, String>> {
        let request = self.client.get_object_acl().bucket(&self.bucket).key(full_key);
        let reply = match request.set_version_id(version.map(str::to_owned)).send().await {
            Ok(reply) => reply,
            // Gone since: the read that comes next tells.
            Err(error) if matches!(status(&error), Some(404 | 405)) => return Ok(BTreeMap::new()),
            Err(error) => {
                let error = s3_error(format!("cannot read the grants of {}", self.named(full_key)), error);
                let unknown = (GRANTS_UNKNOWN.to_owned(), "true".to_owned());
                return if error.kind == ErrorKind::Denied { Ok(BTreeMap::from([unknown])) } else { Err(error) };
            }
        };
        let owner = reply.owner().and_then(|owner| owner.id());
        let is_owners = |grantee: &Grantee| grantee.id().is_some() && grantee.id() == owner;
        let mut grants: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut is_shared = false;
        for grant in reply.grants() {
            let (Some(grantee), Some(permission)) = (grant.grantee(), grant.permission()) else { continue };
            let Some((_, name)) = GRANTS.iter().find(|(known, _)| known == permission) else { continue };
            is_shared |= !is_owners(grantee);
            grants.entry((*name).to_owned()).or_default().extend(grantee_text(grantee));
        }
        let told = grants.into_iter().filter(|_| is_shared);
        Ok(told.map(|(name, grantees)| (name, grantees.join(", "))).collect())
    }
}

fn grantee_text(grantee: &Grantee) -> Option<String> {
    let by_group = || grantee.uri().map(|uri| format!("uri=\"{uri}\""));
    let by_mail = || grantee.email_address().map(|mail| format!("emailAddress=\"{mail}\""));
    grantee.id().map(|id| format!("id=\"{id}\"")).or_else(by_group).or_else(by_mail)
}

/// What the profile and the moment say of a write.
struct Named<'a> {
    bucket: &'a str,
    kms_key: Option<String>,
    lock: ObjectLockProfile,
    now: Option<Timestamp>,
}

fn along(
    carried: &BTreeMap<String, String>,
    abilities: Abilities,
    named: Named<'_>,
) -> std::result::Result<Along, String> {
    let get = |name: &str| carried.get(name).cloned();
    let mut along = Along::default();
    let bucket = named.bucket;
    if let Some(encryption) = get(ENCRYPTION) {
        if named.kms_key.is_some() {
            along.encryption = Some(ServerSideEncryption::from(encryption.as_str()));
            along.kms_key = named.kms_key;
            along.bucket_key = get(BUCKET_KEY).map(|_| true);
        } else if !abilities.kms_by_default {
            return Err(format!(
                "it is encrypted by KMS, and bucket {bucket} would store it without: name `kms_key`, a key of the \
                 primary's Region, in the profile"
            ));
        }
    }
    let until = get(LOCK_UNTIL).and_then(|until| DateTime::from_str(&until, DateTimeFormat::DateTime).ok());
    let is_over = |until: &DateTime| named.now.is_some_and(|now| until.secs() <= now.as_second());
    let until = until.filter(|until| !is_over(until));
    if (until.is_some() || carried.contains_key(LEGAL_HOLD)) && named.lock == ObjectLockProfile::Carry {
        if !abilities.lock {
            return Err(format!(
                "it is locked, and bucket {bucket} has no Object Lock: enable it, or say `object_lock = \"drop\"` in \
                 the profile"
            ));
        }
        along.lock_mode = until.and(get(LOCK_MODE)).map(|mode| ObjectLockMode::from(mode.as_str()));
        along.lock_until = until;
        along.legal_hold = get(LEGAL_HOLD).map(|_| ObjectLockLegalHoldStatus::On);
    }
    if abilities.grants {
        if carried.contains_key(GRANTS_UNKNOWN) {
            return Err("its grants cannot be read: allow s3:GetObjectAcl".into());
        }
        let [full_control, read, read_acp, write_acp] = GRANTS.map(|(_, name)| get(name));
        along = Along { full_control, read, read_acp, write_acp, ..along };
    }
    Ok(along)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kms_key: Option<&str>) -> Named<'static> {
        let now = "2026-11-26T00:00:00Z".parse().ok();
        Named { bucket: "b", kms_key: kms_key.map(str::to_owned), lock: ObjectLockProfile::Carry, now }
    }

    fn carried(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const NOTHING: Abilities = Abilities { grants: false, lock: false, kms_by_default: false };

    #[test]
    fn an_object_is_encrypted_with_the_primarys_own_key() {
        let kms = carried(&[(ENCRYPTION, "aws:kms"), (KMS_KEY, "arn:dr"), (BUCKET_KEY, "true")]);
        let sent = along(&kms, NOTHING, named(Some("arn:primary"))).expect("written");
        assert_eq!((sent.kms_key.as_deref(), sent.bucket_key), (Some("arn:primary"), Some(true)));
        assert_eq!(sent.encryption, Some(ServerSideEncryption::AwsKms));
        assert!(along(&kms, NOTHING, named(None)).is_err_and(|why| why.contains("kms_key")));
        let by_default = Abilities { kms_by_default: true, ..NOTHING };
        assert_eq!(along(&kms, by_default, named(None)), Ok(Along::default()), "the bucket's own default");
    }

    #[test]
    fn a_lock_is_carried_dropped_or_refused_but_never_forgotten() {
        let locked = carried(&[(LOCK_MODE, "COMPLIANCE"), (LOCK_UNTIL, "2030-01-01T00:00:00Z"), (LEGAL_HOLD, "ON")]);
        assert!(along(&locked, NOTHING, named(None)).is_err_and(|why| why.contains("object_lock")));
        let drop = Named { lock: ObjectLockProfile::Drop, ..named(None) };
        assert_eq!(along(&locked, NOTHING, drop), Ok(Along::default()));
        let able = Abilities { lock: true, ..NOTHING };
        let sent = along(&locked, able, named(None)).expect("written");
        assert_eq!(sent.lock_mode, Some(ObjectLockMode::Compliance));
        assert_eq!(sent.legal_hold, Some(ObjectLockLegalHoldStatus::On));
        assert_eq!(sent.lock_until.map(|until| until.secs()), Some(1_893_456_000));
        let over = carried(&[(LOCK_MODE, "COMPLIANCE"), (LOCK_UNTIL, "2020-01-01T00:00:00Z")]);
        assert_eq!(along(&over, NOTHING, named(None)), Ok(Along::default()), "what is over needs no lock");
    }

    #[test]
    fn grants_go_where_objects_can_have_them() {
        let shared = carried(&[("grant-read", "uri=\"all\""), ("grant-full-control", "id=\"o\"")]);
        assert_eq!(along(&shared, NOTHING, named(None)), Ok(Along::default()));
        let able = Abilities { grants: true, ..NOTHING };
        let sent = along(&shared, able, named(None)).expect("written");
        assert_eq!((sent.read.as_deref(), sent.full_control.as_deref()), (Some("uri=\"all\""), Some("id=\"o\"")));
        let unknown = carried(&[(GRANTS_UNKNOWN, "true")]);
        assert!(along(&unknown, able, named(None)).is_err());
    }
}
