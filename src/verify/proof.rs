//! The proof of parity: what a certificate becomes once it is the right one.
//!
//! Cutover takes a [`ParityProof`] and nothing else, and only this file can make one.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::certificate::{Certificate, CertificateError, FenceKind, SignedCertificate, StoreResult, Validated};
use super::signing::PublicKey;
use crate::digest::CANONICAL_FORMAT;
use crate::model::{Identity, Timestamp};

/// How far a certificate may lie in the future before it is refused, in seconds: two machines' clocks differ a little.
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 60;

/// What the certificate must be, told by the one who is about to shift traffic.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// The profile's name.
    pub profile: String,
    /// The session's public key.
    pub public_key: PublicKey,
    /// Every store of the profile, with the resources as they are now.
    pub stores: Vec<ExpectedStore>,
    /// The current instant.
    pub now: Timestamp,
    /// How long ago the last reading may have ended.
    pub age_max: Duration,
    /// What this session knows to have ended the worth of any certificate issued before, with when it happened.
    pub overtaken: Vec<(Timestamp, String)>,
}

/// A store of the profile, with the resources as they are now.
#[derive(Debug, Clone)]
pub struct ExpectedStore {
    /// Its name.
    pub name: String,
    /// The primary's resource.
    pub primary: Identity,
    /// The dr side's resource.
    pub dr: Identity,
}

/// One reason why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read, was altered, or contradicts itself.
    Invalid(String),
    /// It is of another profile.
    OtherProfile(String),
    /// Another session's key signed it.
    OtherKey(PublicKey),
    /// Its reading ended too long ago.
    Stale {
        /// How long ago, in seconds.
        age_seconds: i64,
        /// How long ago it may be, in seconds.
        age_seconds_max: u64,
    },
    /// Something happened since that it does not know of.
    Overtaken {
        /// When.
        at: Timestamp,
        /// What, in words.
        what: String,
    },
    /// It comes from the future.
    Future {
        /// How far ahead, in seconds.
        ahead_seconds: i64,
    },
    /// Its roots rest on another canonical encoding.
    OtherCanonicalFormat(u32),
    /// It does not say parity.
    NotAtParity(String),
    /// Its writers are not known to be stopped.
    FenceMissing,
    /// The reading began before writers were known to be stopped.
    FenceTooLate,
    /// The profile has a store that it does not speak of.
    StoreMissing(String),
    /// It speaks of a store that the profile does not have.
    StoreUnknown(String),
    /// It was made of another resource than the one there is now.
    OtherResource {
        /// The store.
        store: String,
        /// What the certificate speaks of.
        certified: String,
        /// What is there now.
        found: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Invalid(why) => f.write_str(why),
            Refusal::OtherProfile(name) => write!(f, "it is of profile {name}"),
            Refusal::OtherKey(key) => write!(f, "it is signed with another session's key ({key})"),
            Refusal::Stale { age_seconds, age_seconds_max } => {
                write!(f, "it is stale: both sides were read {age_seconds} s ago, {age_seconds_max} s are allowed")
            }
            Refusal::Overtaken { at, what } => write!(f, "{what}, at {at}, after it was issued"),
            Refusal::Future { ahead_seconds } => {
                write!(f, "it comes from {ahead_seconds} s in the future: a clock is wrong")
            }
            Refusal::OtherCanonicalFormat(found) => {
                write!(f, "its roots are of canonical format {found}, not {CANONICAL_FORMAT}")
            }
            Refusal::NotAtParity(store) => write!(f, "store {store} is not at parity"),
            Refusal::FenceMissing => f.write_str("nothing in it shows that writers to dr are stopped"),
            Refusal::FenceTooLate => f.write_str("its reading began before writers to dr were known to be stopped"),
            Refusal::StoreMissing(store) => write!(f, "it does not speak of store {store}"),
            Refusal::StoreUnknown(store) => write!(f, "it speaks of store {store}, which the profile does not have"),
            Refusal::OtherResource { store, certified, found } => {
                write!(f, "store {store} is now {found}, the certificate is of {certified}")
            }
        }
    }
}

/// A certificate that is not taken as proof, with every reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is refused: {}", reasons.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; "))]
pub struct ProofRefused {
    /// Why; never empty.
    pub reasons: Vec<Refusal>,
}

/// The right to shift traffic: a certificate that fits the profile, the session, the resources and the moment.
#[derive(Debug, Clone)]
pub struct ParityProof {
    issued_at: Timestamp,
    accepted_total: u64,
    _made_here: (),
}

impl ParityProof {
    /// Takes a certificate as proof.
    ///
    /// # Errors
    ///
    /// [`ProofRefused`] with every reason against it.
    pub fn from_certificate(validated: &Validated, expected: &Expectations) -> Result<ParityProof, ProofRefused> {
        let certificate = validated.certificate();
        let mut reasons = Vec::new();
        if validated.public_key() != expected.public_key {
            reasons.push(Refusal::OtherKey(validated.public_key()));
        }
        if certificate.profile != expected.profile {
            reasons.push(Refusal::OtherProfile(certificate.profile.clone()));
        }
        if certificate.canonical_format != CANONICAL_FORMAT {
            reasons.push(Refusal::OtherCanonicalFormat(certificate.canonical_format));
        }
        reasons.extend(refusal_of_age(validated, expected));
        let later = expected.overtaken.iter().filter(|(at, _)| *at > certificate.issued_at);
        reasons.extend(later.map(|(at, what)| Refusal::Overtaken { at: *at, what: what.clone() }));
        reasons.extend(refusal_of_fence(certificate));
        let differing = certificate.stores.iter().filter(|store| !store.at_parity);
        reasons.extend(differing.map(|store| Refusal::NotAtParity(store.name.clone())));
        reasons.extend(refusals_of_resources(&certificate.stores, &expected.stores));
        if !reasons.is_empty() {
            return Err(ProofRefused { reasons });
        }
        let accepted_total = certificate.stores.iter().map(|store| store.accepted_total).sum();
        Ok(ParityProof { issued_at: certificate.issued_at, accepted_total, _made_here: () })
    }

    /// Reads, validates and takes the certificate at `path` as proof.
    ///
    /// # Errors
    ///
    /// [`ProofRefused`], also when the file is unreadable, altered or contradicts itself.
    pub fn read(path: &Path, expected: &Expectations) -> Result<ParityProof, ProofRefused> {
        let invalid = |error: CertificateError| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            ProofRefused { reasons: vec![Refusal::Invalid(format!("{error}{cause}"))] }
        };
        let validated = SignedCertificate::read(path).and_then(|signed| signed.validate()).map_err(invalid)?;
        ParityProof::from_certificate(&validated, expected)
    }

    /// When the certificate behind it was issued.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// How many differences it rests on accepting.
    pub fn accepted_total(&self) -> u64 {
        self.accepted_total
    }
}

fn refusal_of_age(validated: &Validated, expected: &Expectations) -> Option<Refusal> {
    let age_seconds = validated.age(expected.now).as_secs();
    if validated.is_fresh(expected.now, expected.age_max) {
        // A body may claim a reading of a moment ago and an issue far ahead.
        let ahead = validated.certificate().issued_at.duration_since(expected.now).as_secs();
        return (ahead > CLOCK_SKEW_SECONDS_MAX).then_some(Refusal::Future { ahead_seconds: ahead });
    }
    if age_seconds < 0 {
        return Some(Refusal::Future { ahead_seconds: -age_seconds });
    }
    Some(Refusal::Stale { age_seconds, age_seconds_max: expected.age_max.as_secs() })
}

fn refusal_of_fence(certificate: &Certificate) -> Option<Refusal> {
    match (certificate.fence.kind, certificate.fence.at) {
        (FenceKind::NegativeWriteTest | FenceKind::Quiet, Some(at)) => {
            (at > certificate.window.read_from).then_some(Refusal::FenceTooLate)
        }
        (FenceKind::None, _) | (_, None) => Some(Refusal::FenceMissing),
    }
}

fn refusals_of_resources(certified: &[StoreResult], expected: &[ExpectedStore]) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    for store in certified {
        let Some(wanted) = expected.iter().find(|wanted| wanted.name == store.name) else {
            reasons.push(Refusal::StoreUnknown(store.name.clone()));
            continue;
        };
        for (side, now) in [(&store.primary, &wanted.primary), (&store.dr, &wanted.dr)] {
            if !side.identity.is_same_resource(now) {
                reasons.push(Refusal::OtherResource {
                    store: store.name.clone(),
                    certified: named(&side.identity),
                    found: named(now),
                });
            }
        }
    }
    let missing = expected.iter().filter(|wanted| certified.iter().all(|store| store.name != wanted.name));
    reasons.extend(missing.map(|wanted| Refusal::StoreMissing(wanted.name.clone())));
    reasons
}

fn named(identity: &Identity) -> String {
    format!("{} ({})", identity.resource, identity.id)
}
