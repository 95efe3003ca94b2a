//! A certificate's roots, made again from the manifests beside it.

use std::path::{Component, Path};

use super::certificate::{SideResult, Validated};
use crate::digest::manifest::{Manifest, ManifestError};
use crate::model::Side;

/// What one side's manifest came to.
#[derive(Debug)]
pub struct RootCheck {
    /// The store's name.
    pub store: String,
    /// Which side.
    pub side: Side,
    /// Number of items in the manifest; 0 when it could not be read.
    pub items: u64,
    /// Why the manifest does not bear the certificate out; `None` when it does.
    pub problem: Option<String>,
}

impl RootCheck {
    /// Whether the manifest bears the certificate out.
    pub fn is_borne_out(&self) -> bool {
        self.problem.is_none()
    }
}

/// Recomputes the root of every side of every store from `<folder>/<store name>/side=<side>` and compares it with the
/// certificate. A missing or damaged manifest is a problem of that side, never a pass.
///
/// # Errors
///
/// None: each side has its own answer. Blocks on disk and processor.
pub fn recompute(validated: &Validated, folder: &Path) -> Vec<RootCheck> {
    let stores = validated.certificate().stores.iter();
    stores
        .flat_map(|store| {
            [(Side::Primary, &store.primary), (Side::Dr, &store.dr)]
                .map(|(side, certified)| check(folder, &store.name, side, certified))
        })
        .collect()
}

fn check(folder: &Path, store: &str, side: Side, certified: &SideResult) -> RootCheck {
    let result = |items, problem| RootCheck { store: store.to_owned(), side, items, problem };
    // A name from a file must not lead out of the folder.
    let mut parts = Path::new(store).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        return result(0, Some(format!("`{store}` is not a name of a folder")));
    }
    let proved = Manifest::open(&folder.join(store), side).and_then(|manifest| {
        let root = manifest.prove()?;
        Ok((root, manifest.header))
    });
    match proved {
        Err(error) => result(0, Some(chain(&error))),
        Ok((root, header)) => {
            let problem = if root != certified.root {
                Some(format!("its root is {root}, the certificate says {}", certified.root))
            } else if header.items != certified.items {
                Some(format!("it has {} items, the certificate says {}", header.items, certified.items))
            } else if !header.identity.is_same_resource(&certified.identity) {
                Some(format!("it is of {}, the certificate of {}", header.identity.id, certified.identity.id))
            } else if header.store.0 != store || header.side != side {
                Some(format!("it says it is {} of store {}", header.side, header.store))
            } else {
                None
            };
            result(header.items, problem)
        }
    }
}

fn chain(error: &ManifestError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
