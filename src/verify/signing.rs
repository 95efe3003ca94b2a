//! The session's signing key: ed25519, in a PKCS#8 PEM file that only its owner may read.
//!
//! The key says which session signed a certificate; it does not say that the session told the truth.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What others may not have on the key's file: any bit for group or world.
const OTHERS: u32 = 0o077;

/// A session's private key; never shown.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A signing key that cannot be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read or written.
    #[error("cannot use the signing key {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read or write the file.
    #[error("the signing key {} is open to others than its owner (mode {mode:o}); it must be 600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not an ed25519 key in PKCS#8 PEM.
    #[error("{} is not an ed25519 private key in PKCS#8 PEM", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers for a signing key")]
    Random(#[source] rand::rngs::SysError),
}

impl SigningKey {
    /// Makes a key from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Random`] when there is none.
    pub fn generate() -> Result<SigningKey, SigningKeyError> {
        let mut secret = [0; 32];
        SysRng.try_fill_bytes(&mut secret).map_err(SigningKeyError::Random)?;
        Ok(SigningKey(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// Loads the key at `path`, or makes one there (mode 600) when there is no such file.
    ///
    /// Two processes that do this at once end up with the same key.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`] when the file is unusable, malformed or open to others.
    pub fn load_or_create(path: &Path) -> Result<SigningKey, SigningKeyError> {
        match SigningKey::load(path) {
            Err(SigningKeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                SigningKey::create(path)
            }
            loaded => loaded,
        }
    }

    /// Loads the key at `path`.
    ///
    /// # Errors
    ///
    /// As [`SigningKey::load_or_create`], and when there is no such file.
    pub fn load(path: &Path) -> Result<SigningKey, SigningKeyError> {
        let io_error = |source| SigningKeyError::Io { path: path.to_owned(), source };
        let pem = fs::read_to_string(path).map_err(io_error)?;
        let mode = fs::metadata(path).map_err(io_error)?.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(SigningKeyError::Open { path: path.to_owned(), mode });
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem);
        key.map(SigningKey).map_err(|_| SigningKeyError::Malformed { path: path.to_owned() })
    }

    fn create(path: &Path) -> Result<SigningKey, SigningKeyError> {
        let key = SigningKey::generate()?;
        let pem = key.0.to_pkcs8_pem(LineEnding::LF);
        let pem = pem.map_err(|_| SigningKeyError::Malformed { path: path.to_owned() })?;
        match write_new(path, pem.as_bytes()) {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => SigningKey::load(path),
            Err(source) => Err(SigningKeyError::Io { path: path.to_owned(), source }),
        }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {})", self.public())
    }
}

/// Writes a file that is whole or absent, with owner-only mode, and never replaces one.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.as_file().set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// The folder a file is in; the current one for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A session's public key, written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a public key of 64 hexadecimal digits")]
pub struct PublicKeyError;

impl PublicKey {
    /// Whether `signature` over `message` was made by this key; weak keys never verify.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| PublicKeyError)?;
        Ok(PublicKey(bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let made = SigningKey::load_or_create(&path).expect("made");
        let loaded = SigningKey::load_or_create(&path).expect("loaded");
        assert_eq!(made.public(), loaded.public());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("set");
        assert!(matches!(SigningKey::load_or_create(&path), Err(SigningKeyError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn a_damaged_key_is_told_and_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        fs::write(&path, "not a key").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
        assert!(matches!(SigningKey::load_or_create(&path), Err(SigningKeyError::Malformed { .. })));
        assert_eq!(fs::read_to_string(&path).expect("there"), "not a key");
    }

    #[test]
    fn a_key_never_shows_its_secret() {
        let key = SigningKey::generate().expect("made");
        assert!(!format!("{key:?}").contains(&hex::encode(key.0.to_bytes())));
    }
}
