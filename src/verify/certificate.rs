//! The parity certificate: what was read, what it came to, what was accepted and what was not looked at, signed.
//!
//! A certificate file is JSON:
//!
//! ```json
//! {"certificate": {"format": 1, "profile": "shop", "...": "..."},
//!  "signature": {"algorithm": "ed25519", "public_key": "<64 hex digits>", "signature": "<128 hex digits>"}}
//! ```
//!
//! The signature is ed25519 over [`SIGNED_DOMAIN`] followed by the **exact bytes of the `certificate` value as they stand
//! in the file**, from its opening to its closing brace. Nothing is re-serialised before the check, so key order, number
//! spelling and white space cannot change between signing and checking: one byte changed inside the braces, even a space,
//! makes the certificate invalid. Unknown fields are refused, so that nothing signed goes unread.
//!
//! The public key stands in the file, so a valid signature by itself only shows that the file is unaltered since *somebody*
//! signed it. Whoever relies on it compares the key with the session's ([`super::ParityProof`] does).

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::signing::{PublicKey, SigningKey, folder_of};
use crate::model::{Digest, Identity, StoreKind, Timestamp, Verdict};

/// Version of the certificate's body.
pub const CERTIFICATE_FORMAT: u32 = 1;

/// What stands before the body's bytes when they are signed, so that the signature fits nothing else.
pub const SIGNED_DOMAIN: &[u8] = b"failback certificate 1\0";

const ALGORITHM: &str = "ed25519";

/// A certificate file larger than this is not read, in bytes.
const FILE_SIZE_MAX: u64 = 256 * 1024 * 1024;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`CERTIFICATE_FORMAT`].
    pub format: u32,
    /// The program version that made it.
    pub tool_version: String,
    /// The profile's name.
    pub profile: String,
    /// The session's id.
    pub session: String,
    /// The version of the canonical encoding that the roots rest on.
    pub canonical_format: u32,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// From the first reading of any store to the last.
    pub window: Window,
    /// Whether every store is at parity.
    pub at_parity: bool,
    /// The stores, in the profile's order.
    pub stores: Vec<StoreResult>,
    /// How writers to dr are known to be stopped.
    pub fence: FenceEvidence,
    /// What nothing in this certificate speaks for, in words; never empty.
    pub not_checked: Vec<String>,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When the first reading began.
    pub read_from: Timestamp,
    /// When the last reading ended.
    pub read_until: Timestamp,
}

/// What was found of one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreResult {
    /// Its name in the profile.
    pub name: String,
    /// What it is.
    pub kind: StoreKind,
    /// The primary as it was read.
    pub primary: SideResult,
    /// The dr side as it was read.
    pub dr: SideResult,
    /// Both roots are equal, or every difference is accepted, and no counter lags behind.
    pub at_parity: bool,
    /// The accepted differences; the first ones, where there are too many to list.
    pub accepted: Vec<AcceptedDifference>,
    /// How many differences are accepted.
    pub accepted_total: u64,
    /// BLAKE3 of the file that lists all of them, where `accepted` does not.
    pub accepted_list: Option<Digest>,
    /// The base the differences were judged by.
    pub base: Option<BaseDescription>,
    /// Counters that hand out keys, such as sequences; `None` where the store has none.
    pub counters: Option<CountersResult>,
    /// What the comparison of this store does not look at, in words.
    pub not_checked: Vec<String>,
}

/// One side of a store as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideResult {
    /// The resource that was read.
    pub identity: Identity,
    /// Number of items.
    pub items: u64,
    /// The root over all of them.
    pub root: Digest,
}

/// A difference that policy or a person decided to keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedDifference {
    /// The item's key, as a JSON object.
    pub key: serde_json::Value,
    /// What happened to it.
    pub verdict: Verdict,
    /// Why it stays, in words: the policy's name or the person's decision.
    pub reason: String,
    /// The primary's digest; `None` where the primary has no such item.
    pub primary: Option<Digest>,
    /// The dr side's digest; `None` where dr has no such item.
    pub dr: Option<Digest>,
}

/// The base that verdicts rested on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseDescription {
    /// `checkpoint`, `versions`, `table`, `database` or `none`.
    pub kind: String,
    /// The instant it stands for.
    pub as_of: Option<Timestamp>,
    /// How much older it is than Tb, in seconds; negative when younger, `None` when it cannot be told.
    pub age_seconds: Option<i64>,
}

/// How counters compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountersResult {
    /// Number of counters compared.
    pub compared: u64,
    /// Those on the primary that have not passed dr's: they would hand out keys that are taken.
    pub behind: Vec<String>,
}

/// How writers are known to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceKind {
    /// A write as the application would do it was tried and failed.
    NegativeWriteTest,
    /// dr was read unchanged for a time.
    Quiet,
    /// It is not known.
    None,
}

/// The evidence that writers are stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FenceEvidence {
    /// What kind of evidence.
    pub kind: FenceKind,
    /// Since when it holds: what was read before this instant may have changed afterwards.
    pub at: Option<Timestamp>,
    /// The evidence in words.
    pub detail: String,
}

/// A certificate that cannot be written, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read or written.
    #[error("cannot use certificate {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a certificate.
    #[error("the certificate is malformed")]
    Malformed(#[source] serde_json::Error),
    /// The signature is of an unknown kind.
    #[error("the certificate is signed with `{0}`, which is unknown")]
    Algorithm(String),
    /// The signature does not fit the body.
    #[error("the certificate's signature does not fit its contents: it was altered or damaged")]
    Signature,
    /// Another version made it.
    #[error("the certificate has format {0}, this program reads format {CERTIFICATE_FORMAT}")]
    Version(u32),
    /// It contradicts itself.
    #[error("the certificate contradicts itself: {0}")]
    Inconsistent(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateFile {
    certificate: Box<RawValue>,
    signature: SignatureField,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureField {
    algorithm: String,
    public_key: PublicKey,
    signature: String,
}

/// A certificate with its signature, neither of them checked yet.
#[derive(Debug, Clone)]
pub struct SignedCertificate {
    body: Box<RawValue>,
    signature: SignatureField,
}

/// A certificate whose signature fits and which does not contradict itself. Whose signature it is remains to be compared.
#[derive(Debug, Clone)]
pub struct Validated {
    certificate: Certificate,
    public_key: PublicKey,
}

impl Certificate {
    /// Signs a body.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Inconsistent`] when the body contradicts itself: it is not signed.
    pub fn sign(body: &Certificate, key: &SigningKey) -> Result<SignedCertificate, CertificateError> {
        body.check()?;
        let text = serde_json::to_string_pretty(body).map_err(CertificateError::Malformed)?;
        let signature = hex::encode(key.sign(&signed_bytes(&text)));
        let body = RawValue::from_string(text).map_err(CertificateError::Malformed)?;
        let signature = SignatureField { algorithm: ALGORITHM.into(), public_key: key.public(), signature };
        Ok(SignedCertificate { body, signature })
    }

    fn check(&self) -> Result<(), CertificateError> {
        if self.format != CERTIFICATE_FORMAT {
            return Err(CertificateError::Version(self.format));
        }
        let mut names = BTreeSet::new();
        let problem = self.problem_overall().or_else(|| {
            self.stores.iter().find_map(|store| match names.insert(&store.name) {
                true => store.problem(),
                false => Some(format!("store {} is named twice", store.name)),
            })
        });
        problem.map_or(Ok(()), |problem| Err(CertificateError::Inconsistent(problem)))
    }

    fn problem_overall(&self) -> Option<String> {
        let Window { read_from, read_until } = self.window;
        let fenced = self.fence.kind != FenceKind::None;
        if self.stores.is_empty() {
            Some("it names no store".into())
        } else if self.not_checked.is_empty() {
            Some("it does not say what was not checked".into())
        } else if read_from > read_until || read_until > self.issued_at {
            Some("it was not begun, read and issued in this order".into())
        } else if self.at_parity != self.stores.iter().all(|store| store.at_parity) {
            Some("what it says of parity is not what its stores say".into())
        } else if fenced != self.fence.at.is_some() {
            Some("its fence evidence and the time of that evidence do not go together".into())
        } else {
            None
        }
    }
}

impl StoreResult {
    fn problem(&self) -> Option<String> {
        let problem = self.problem_of_resources().or_else(|| self.problem_of_accepted()).or_else(|| {
            let justified = self.is_parity_justified();
            (self.at_parity && !justified).then(|| "it is called at parity and is not".to_owned())
        });
        problem.map(|problem| format!("store {}: {problem}", self.name))
    }

    fn problem_of_resources(&self) -> Option<String> {
        let [primary, dr] = [&self.primary, &self.dr];
        if primary.identity.kind != self.kind || dr.identity.kind != self.kind {
            Some("its sides are not of its kind".into())
        } else if primary.identity.is_same_resource(&dr.identity) {
            Some("both sides are the same resource".into())
        } else if primary.root == dr.root && (primary.items != dr.items || self.accepted_total != 0) {
            Some("equal roots cannot go with unequal counts or with differences".into())
        } else {
            None
        }
    }

    fn problem_of_accepted(&self) -> Option<String> {
        let listed = self.accepted.len() as u64;
        if listed > self.accepted_total {
            return Some("it lists more accepted differences than it counts".into());
        }
        if listed < self.accepted_total && self.accepted_list.is_none() {
            return Some("it does not list every accepted difference and has no digest of the list".into());
        }
        let mut keys = BTreeSet::new();
        for difference in &self.accepted {
            if difference.primary == difference.dr || !difference.verdict.is_difference() {
                return Some("an accepted difference is none".into());
            }
            if !keys.insert(difference.key.to_string()) {
                return Some("an accepted difference is listed twice".into());
            }
        }
        None
    }

    fn is_parity_justified(&self) -> bool {
        let roots_equal = self.primary.root == self.dr.root;
        let counters_fine = self.counters.as_ref().is_none_or(|counters| counters.behind.is_empty());
        counters_fine && (roots_equal || (self.accepted_total > 0 && self.is_count_explained()))
    }

    /// Where every accepted difference is listed, they must explain the difference in item counts.
    fn is_count_explained(&self) -> bool {
        if self.accepted.len() as u64 != self.accepted_total {
            return self.primary.items.abs_diff(self.dr.items) <= self.accepted_total;
        }
        let only_primary = self.accepted.iter().filter(|difference| difference.dr.is_none()).count() as u64;
        let only_dr = self.accepted.iter().filter(|difference| difference.primary.is_none()).count() as u64;
        self.primary.items.checked_add(only_dr) == self.dr.items.checked_add(only_primary)
    }
}

fn signed_bytes(body: &str) -> Vec<u8> {
    [SIGNED_DOMAIN, body.as_bytes()].concat()
}

impl SignedCertificate {
    /// Reads a certificate file; [`SignedCertificate::validate`] checks it.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] when it cannot be read or is not of the outer form.
    pub fn read(path: &Path) -> Result<SignedCertificate, CertificateError> {
        let io_error = |source| CertificateError::Io { path: path.to_owned(), source };
        let size = fs::metadata(path).map_err(io_error)?.len();
        if size > FILE_SIZE_MAX {
            return Err(io_error(io::Error::new(io::ErrorKind::FileTooLarge, format!("{size} bytes"))));
        }
        SignedCertificate::parse(&fs::read(path).map_err(io_error)?)
    }

    /// Takes the contents of a certificate file.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Malformed`] when it is not of the outer form.
    pub fn parse(bytes: &[u8]) -> Result<SignedCertificate, CertificateError> {
        let file: CertificateFile = serde_json::from_slice(bytes).map_err(CertificateError::Malformed)?;
        Ok(SignedCertificate { body: file.certificate, signature: file.signature })
    }

    /// Checks the signature, the version and that the certificate does not contradict itself.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] says which.
    pub fn validate(&self) -> Result<Validated, CertificateError> {
        if self.signature.algorithm != ALGORITHM {
            return Err(CertificateError::Algorithm(self.signature.algorithm.clone()));
        }
        let mut signature = [0; 64];
        hex::decode_to_slice(&self.signature.signature, &mut signature).map_err(|_| CertificateError::Signature)?;
        let public_key = self.signature.public_key;
        if !public_key.verifies(&signed_bytes(self.body.get()), &signature) {
            return Err(CertificateError::Signature);
        }
        self.check_version()?;
        let certificate: Certificate = serde_json::from_str(self.body.get()).map_err(CertificateError::Malformed)?;
        certificate.check()?;
        Ok(Validated { certificate, public_key })
    }

    /// Another version may have other fields: its number is looked at before them.
    fn check_version(&self) -> Result<(), CertificateError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let found: Versioned = serde_json::from_str(self.body.get()).map_err(CertificateError::Malformed)?;
        if found.format == CERTIFICATE_FORMAT { Ok(()) } else { Err(CertificateError::Version(found.format)) }
    }

    /// Writes the file: after a crash it is whole or as it was before.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Io`] when it cannot.
    pub fn write(&self, path: &Path) -> Result<(), CertificateError> {
        let file = CertificateFile { certificate: self.body.clone(), signature: self.signature.clone() };
        let mut json = serde_json::to_vec_pretty(&file).map_err(CertificateError::Malformed)?;
        json.push(b'\n');
        let folder = folder_of(path);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.as_file().set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(&json)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| CertificateError::Io { path: path.to_owned(), source })
    }
}

impl Validated {
    /// What the certificate says.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whose signature it bears.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// How long ago the last reading ended; negative when that lies in the future.
    pub fn age(&self, now: Timestamp) -> jiff::SignedDuration {
        now.duration_since(self.certificate.window.read_until)
    }

    /// Whether the last reading ended at most `age_max` ago, and not in the future beyond the tolerated clock skew.
    pub fn is_fresh(&self, now: Timestamp, age_max: Duration) -> bool {
        let age = self.age(now);
        let skew = jiff::SignedDuration::from_secs(super::proof::CLOCK_SKEW_SECONDS_MAX);
        age >= -skew && jiff::SignedDuration::try_from(age_max).is_ok_and(|age_max| age <= age_max)
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
