//! Whether a connection to a database is encrypted, and whose certificates it trusts.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use crate::model::Side;
use crate::profile::{AuthMode, DatabaseProfile, TlsMode};
use crate::store::{ErrorKind, Result, StoreError};

/// Whether TLS is required: always beyond loopback, unless it is switched off; on loopback where a profile asks for what
/// only TLS gives.
pub(in crate::store) fn is_required(database: &DatabaseProfile, is_loopback: bool) -> bool {
    match database.tls {
        Some(TlsMode::Require) => true,
        Some(TlsMode::Disable) => false,
        None => !is_loopback || database.ca_file.is_some() || database.auth == AuthMode::Iam,
    }
}

/// The certificates to trust: those of `ca_file` alone where the profile names one, else the system's.
///
/// # Errors
///
/// `Unfit` when the file cannot be read, is no PEM or holds no certificate that can be trusted; `Local` when the system
/// has none.
pub(in crate::store) fn roots(database: &DatabaseProfile, side: Side) -> Result<Vec<CertificateDer<'static>>> {
    match &database.ca_file {
        Some(path) => bundle(path, side),
        None => {
            let found = usable(rustls_native_certs::load_native_certs().certs);
            match found.is_empty() {
                true => Err(StoreError::new(
                    ErrorKind::Unfit,
                    "the system has no trusted certificates: name a PEM bundle in `ca_file`, or set SSL_CERT_FILE",
                )),
                false => Ok(found),
            }
        }
    }
}

fn bundle(path: &Path, side: Side) -> Result<Vec<CertificateDer<'static>>> {
    let named = format!("`ca_file` of {side}, {},", path.display());
    let unfit = |what: &str| StoreError::new(ErrorKind::Unfit, format!("{named} {what}"));
    let text = std::fs::read(path)
        .map_err(|error| StoreError::caused(ErrorKind::Unfit, format!("{named} cannot be read"), error))?;
    let read: std::result::Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let read = read.map_err(|error| StoreError::caused(ErrorKind::Unfit, format!("{named} is damaged"), error))?;
    if read.is_empty() {
        return Err(unfit("holds no certificate: it must be a PEM bundle, such as RDS's global-bundle.pem"));
    }
    let roots = usable(read);
    if roots.is_empty() { Err(unfit("holds no certificate that can be trusted as an authority")) } else { Ok(roots) }
}

/// Those that a TLS library can check others by: a bundle may hold some of a form that it does not know.
fn usable(certificates: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    let mut parsable = RootCertStore::empty();
    certificates.into_iter().filter(|root| parsable.add(root.clone()).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let database = DatabaseProfile { ca_file: Some(file.path().to_owned()), ..DatabaseProfile::default() };
        let error = roots(&database, Side::Dr).expect_err("no certificate");
        assert_eq!(error.kind, ErrorKind::Unfit);
        error.to_string().replace(&file.path().display().to_string(), "FILE")
    }

    #[test]
    fn a_bundle_that_gives_no_certificate_names_the_field_and_the_file() {
        assert_eq!(
            refused(b"hello"),
            "`ca_file` of dr, FILE, holds no certificate: it must be a PEM bundle, such as RDS's global-bundle.pem"
        );
        let block = |inside: &str| format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n");
        let nothing = refused(block("AAAA").as_bytes());
        assert_eq!(nothing, "`ca_file` of dr, FILE, holds no certificate that can be trusted as an authority");
        assert_eq!(refused(block("?").as_bytes()), "`ca_file` of dr, FILE, is damaged");
        let missing = DatabaseProfile { ca_file: Some("no/such.pem".into()), ..DatabaseProfile::default() };
        let error = roots(&missing, Side::Primary).expect_err("no file");
        assert_eq!(error.to_string(), "`ca_file` of primary, no/such.pem, cannot be read");
    }

    #[test]
    fn what_only_tls_gives_asks_for_tls_on_loopback_too() {
        let database = |change: fn(&mut DatabaseProfile)| {
            let mut database = DatabaseProfile::default();
            change(&mut database);
            database
        };
        let plain = database(|_| {});
        assert!(!is_required(&plain, true) && is_required(&plain, false));
        assert!(is_required(&database(|one| one.ca_file = Some("ca.pem".into())), true));
        assert!(is_required(&database(|one| one.auth = AuthMode::Iam), true));
        assert!(!is_required(&database(|one| one.tls = Some(TlsMode::Disable)), false));
    }
}
