//! `failback certificate`.

use std::path::Path;

use serde_json::json;

use super::{Ended, print};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::number;
use crate::verify::{Certificate, RootCheck, SignedCertificate, recompute};

pub fn run(file: &Path, manifest: Option<&Path>, global: &Global) -> Ended {
    let invalid = |error| Failure::hinted(Exit::Undecided, error, "do not rely on it: run failback verify");
    let signed = SignedCertificate::read(file).map_err(|error| match error {
        crate::verify::CertificateError::Io { .. } => Failure::plain(Exit::Usage, error),
        other => invalid(Box::new(other).into()),
    })?;
    let validated =
        signed.validate().map_err(|error| invalid(Box::<dyn std::error::Error + Send + Sync>::from(error)))?;
    let roots = manifest.map(|folder| recompute(&validated, folder));
    let certificate = validated.certificate();
    let agree = roots.iter().flatten().all(RootCheck::is_borne_out);
    print(
        global,
        || {
            json!({
                "format": 1, "command": "certificate", "valid": true, "parity": certificate.at_parity,
                "public_key": validated.public_key().to_string(), "roots_agree": roots.as_ref().map(|_| agree),
                "certificate": certificate,
            })
        },
        || text(certificate, &validated.public_key().to_string(), roots.as_deref()),
    )?;
    Ok(if agree { Exit::Done } else { Exit::Differs })
}

fn text(certificate: &Certificate, key: &str, roots: Option<&[RootCheck]>) -> String {
    let mut text = format!(
        "valid: signed by {key}\nprofile {}, issued {}, read from {} until {}\n",
        certificate.profile, certificate.issued_at, certificate.window.read_from, certificate.window.read_until
    );
    for store in &certificate.stores {
        text += &format!(
            "{}: {} items, root {}, {} accepted differences\n",
            store.name,
            number(store.primary.items),
            store.primary.root,
            number(store.accepted_total)
        );
        store.not_checked.iter().for_each(|what| text += &format!("  not checked: {what}\n"));
    }
    certificate.not_checked.iter().for_each(|what| text += &format!("not checked: {what}\n"));
    text += &format!("fence: {}\n", certificate.fence.detail);
    for root in roots.unwrap_or_default() {
        let found =
            root.problem.as_ref().map_or("root recomputed, as certified".to_owned(), |why| format!("PROBLEM: {why}"));
        text += &format!("{} {}: {} items, {found}\n", root.store, root.side, number(root.items));
    }
    text
}
