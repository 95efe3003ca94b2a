//! `failback report --iac`.

use std::path::Path;

use crate::cli::args::Global;
use crate::cli::commands::{Ended, load, session_folder};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::session::{AdoptionError, write_adoption};

/// Writes the files by which Terraform and CloudFormation adopt what the last check found to take another's place.
pub fn write(path: &Path, folder: &Path, global: &Global) -> Ended {
    let (profile, _) = load(path)?;
    let files = write_adoption(&session_folder(&profile, global), &global.stores, folder).map_err(failure)?;
    match files {
        0 => tell("nothing takes another resource's place, as of the last failback check: no files are written"),
        files if !global.quiet => {
            tell(&format!("{files} files written to {}: begin with README.md", folder.display()));
        }
        _ => {}
    }
    Ok(Exit::Done)
}

fn failure(error: AdoptionError) -> Failure {
    match error {
        AdoptionError::NotLooked => Failure::hinted(Exit::Usage, error, "run failback check, and then this again"),
        AdoptionError::IsThere { .. } => {
            Failure::hinted(Exit::Usage, error, "name another folder, or move the files away")
        }
        AdoptionError::Session(error) => error.into(),
    }
}
