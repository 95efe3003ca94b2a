//! Exports of a table to S3: a base as it was at one instant, and what changed in a window, without reading the table.
//!
//! An export is read as its manifests say: the folder is never listed, every file is checked by MD5 and by count, and what
//! is missing, damaged, filtered, of another table or in another format is an error. `DYNAMODB_JSON` is the only format.
//! Nothing here decides what an export proves; that is for the comparison.

mod bases;
mod data;
mod full;
mod incremental;
mod item;
mod manifest;
mod objects;
mod place;
mod service;
mod vaults;

use std::sync::Arc;

use futures_util::StreamExt;

pub use self::bases::WINDOW_HOURS_MAX;
use self::manifest::{DataFile, Span, Summary};
use self::objects::{Bucket, Objects};
pub use self::place::ExportPlace;
pub use self::service::{ExportFound, ExportRequest, ExportState, ExportWanted, Recovery};
use super::DynamoDbStore;
use super::format::ItemFormat;
use crate::model::{Identity, StoreId, Timestamp};
use crate::profile::SideProfile;
use crate::store::{BaseStore, BaseStoreKind, ChangeChain, ChangeLog, ErrorKind, Result, StoreError};

/// The largest manifest: a line of some 200 bytes for each of a table's partitions.
const MANIFEST_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One export, opened: its manifests are read and agree.
struct Export {
    id: StoreId,
    url: String,
    place: ExportPlace,
    summary: Summary,
    files: Vec<DataFile>,
    format: ItemFormat,
    objects: Arc<dyn Objects>,
}

/// The tables that an export may be of, and how their items read.
pub struct ExportTables {
    format: ItemFormat,
    identities: Vec<Identity>,
}

impl ExportTables {
    /// The table of one store, or those of both of its sides, which have one key schema.
    ///
    /// # Errors
    ///
    /// As [`crate::store::ReadStore::identity`].
    pub async fn of(stores: &[&DynamoDbStore]) -> Result<ExportTables> {
        let mut identities = Vec::new();
        for store in stores {
            identities.push(store.ask_identity().await?);
        }
        let first = stores.first().ok_or_else(|| StoreError::new(ErrorKind::Other, "no table for an export"))?;
        Ok(ExportTables { format: first.format.clone(), identities })
    }

    /// Makes sure that an export is of one of these very tables.
    fn admit(&self, summary: &Summary, url: &str) -> Result<()> {
        let unfit =
            |what: String| Err(StoreError::caused(ErrorKind::Unfit, format!("{url} is no export of this store"), what));
        let known = || self.identities.iter().map(|known| known.resource.as_str()).collect::<Vec<_>>().join(" or ");
        let Some(table) = self.identities.iter().find(|known| known.resource == summary.table_arn) else {
            return unfit(format!("it is of {}, not of {}", summary.table_arn, known()));
        };
        // Where the service tells no id, the ARN is all there is to compare.
        let is_told = !table.id.contains('@');
        if is_told && table.id != summary.table_id {
            return unfit(format!(
                "it is of {} with id {}, which was made anew since and is {} now",
                summary.table_arn, summary.table_id, table.id
            ));
        }
        Ok(())
    }
}

/// Opens the exports that make up a base: one FULL export, and INCREMENTAL ones that follow it without a gap.
///
/// # Errors
///
/// [`ErrorKind::Unfit`] when they do not make up a base of these tables, [`ErrorKind::Unreadable`] when a manifest is
/// damaged, [`ErrorKind::Missing`] when one is not there, and the connection's own.
pub async fn open_base(
    id: &StoreId,
    urls: &[String],
    reached: &SideProfile,
    tables: &ExportTables,
) -> Result<BaseStore> {
    let mut full: Vec<(Export, Timestamp)> = Vec::new();
    let mut logs: Vec<Arc<dyn ChangeLog>> = Vec::new();
    let mut of: Option<(String, String)> = None;
    for url in urls {
        let export = Export::open(id, url, reached, tables).await?;
        let table = (export.summary.table_arn.clone(), export.url.clone());
        let (first, first_url) = of.get_or_insert_with(|| table.clone());
        if *first != table.0 {
            let what = format!("{first_url} is of {first} and {} of {}: name exports of one table", table.1, table.0);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        match export.summary.span {
            Span::Full(at) => full.push((export, at)),
            Span::Incremental(window) => logs.push(Arc::new(incremental::IncrementalExport { export, window })),
        }
    }
    let (full, since, as_of) = joined(full, logs, |export| export.url.as_str())?;
    Ok(BaseStore { store: Arc::new(full::FullExport(full)), as_of: Some(as_of), since, kind: BaseStoreKind::Export })
}

/// The one FULL export, what leads on from it, and the instant that leads to.
fn joined<F>(
    full: Vec<(F, Timestamp)>,
    logs: Vec<Arc<dyn ChangeLog>>,
    name: impl Fn(&F) -> &str,
) -> Result<(F, ChangeChain, Timestamp)> {
    let unfit = |what: String| StoreError::new(ErrorKind::Unfit, what);
    let one = <[_; 1]>::try_from(full);
    let [(full, at)] = one.map_err(|all| {
        unfit(format!("a base is one FULL export and INCREMENTAL ones that follow it; {} are FULL", all.len()))
    })?;
    let since = ChangeChain::new(logs)?;
    let Some(window) = since.window() else { return Ok((full, since, at)) };
    if window.from > at {
        let names = format!("{} and {}", name(&full), since.logs()[0].name());
        return Err(unfit(format!("nothing tells what changed from {at} to {}: between {names}", window.from)));
    }
    if window.to <= at {
        let what = format!("the incremental exports end at {}, before {} at {at}", window.to, name(&full));
        return Err(unfit(what));
    }
    Ok((full, since, window.to))
}

/// Opens the INCREMENTAL exports of one side, which must follow one another without a gap.
///
/// # Errors
///
/// As [`open_base`].
pub async fn open_changes(
    id: &StoreId,
    urls: &[String],
    reached: &SideProfile,
    tables: &ExportTables,
) -> Result<ChangeChain> {
    let mut logs: Vec<Arc<dyn ChangeLog>> = Vec::new();
    for url in urls {
        let export = Export::open(id, url, reached, tables).await?;
        let Span::Incremental(window) = export.summary.span else {
            let what =
                format!("{} is a FULL export, which does not tell what changed: name INCREMENTAL ones", export.url);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        };
        logs.push(Arc::new(incremental::IncrementalExport { export, window }));
    }
    ChangeChain::new(logs)
}

impl Export {
    async fn open(id: &StoreId, url: &str, reached: &SideProfile, tables: &ExportTables) -> Result<Export> {
        let place = ExportPlace::parse(url)?;
        let objects = Arc::new(Bucket::connect(reached, &place.bucket).await?);
        Export::read(id, place, objects, tables).await
    }

    /// Reads the manifests.
    async fn read(
        id: &StoreId,
        place: ExportPlace,
        objects: Arc<dyn Objects>,
        tables: &ExportTables,
    ) -> Result<Export> {
        let summary = manifest_bytes(objects.as_ref(), &place, &place.own("manifest-summary.json")).await?;
        let summary = manifest::summary(&summary, &place)?;
        tables.admit(&summary, &place.url())?;
        let files = manifest_bytes(objects.as_ref(), &place, &summary.files_key).await?;
        let files = manifest::files(&files, &summary, &place)?;
        let format = ItemFormat { subject: format!("export {}", place.url()), ..tables.format.clone() };
        Ok(Export { id: id.clone(), url: place.url(), place, summary, files, format, objects })
    }
}

/// Reads a manifest, and checks it where a checksum file lies beside it.
async fn manifest_bytes(objects: &dyn Objects, place: &ExportPlace, key: &str) -> Result<Vec<u8>> {
    let named = format!("s3://{}/{key}", place.bucket);
    let bytes = whole(objects, key, &named).await.map_err(|error| match error.kind {
        ErrorKind::Missing => {
            let what = format!("there is no {named}: the export is not complete, was removed, or its URL is wrong");
            StoreError::caused(ErrorKind::Missing, what, error)
        }
        _ => error,
    })?;
    let stem = key.strip_suffix(".json").unwrap_or(key);
    for suffix in ["md5", "checksum"] {
        match whole(objects, &format!("{stem}.{suffix}"), &named).await {
            Ok(sum) => {
                manifest::check_sum(&bytes, &sum, &named)?;
                break;
            }
            // Who may not list a bucket is denied what is not there.
            Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Denied) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

async fn whole(objects: &dyn Objects, key: &str, named: &str) -> Result<Vec<u8>> {
    let mut body = objects.open(key).await?.body;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(StoreError::new(ErrorKind::Unreadable, format!("{named} is too large for a manifest")));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
