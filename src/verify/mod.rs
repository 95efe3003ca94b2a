//! Parity: what was proved of both sides, signed, and the proof that cutover asks for.
//!
//! A [`Certificate`] is the evidence; a [`ParityProof`] is the right to shift traffic, and only this room can make one.

mod certificate;
mod proof;
mod recompute;
mod signing;

pub use certificate::{
    AcceptedDifference, BaseDescription, CERTIFICATE_FORMAT, Certificate, CertificateError, CountersResult,
    FenceEvidence, FenceKind, SIGNED_DOMAIN, SideResult, SignedCertificate, StoreResult, Validated, Window,
};
pub use proof::{CLOCK_SKEW_SECONDS_MAX, Expectations, ExpectedStore, ParityProof, ProofRefused, Refusal};
pub use recompute::{RootCheck, recompute};
pub use signing::{PublicKey, PublicKeyError, SigningKey, SigningKeyError};
