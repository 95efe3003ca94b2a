//! Where an export is: `s3://bucket/prefix/AWSDynamoDB/<export id>`.

use crate::store::{ErrorKind, Result, StoreError};

/// The folder below the prefix that the service puts every export into.
const FOLDER: &str = "AWSDynamoDB/";

/// The S3 folder of one export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPlace {
    /// The bucket it is in, which need not be the one it was made in.
    pub bucket: String,
    /// What comes before `AWSDynamoDB/` in its keys.
    prefix: String,
    /// The export's id.
    pub id: String,
}

impl ExportPlace {
    /// Reads `s3://bucket/prefix/AWSDynamoDB/<export id>`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unfit`] for anything else.
    pub fn parse(url: &str) -> Result<ExportPlace> {
        let unfit = || {
            let what = format!("`{url}` names no export: write s3://bucket/prefix/AWSDynamoDB/<export id>");
            StoreError::new(ErrorKind::Unfit, what)
        };
        let rest = url.strip_prefix("s3://").ok_or_else(unfit)?;
        let (bucket, path) = rest.trim_end_matches('/').split_once('/').ok_or_else(unfit)?;
        let (prefix, id) = path.rsplit_once(FOLDER).ok_or_else(unfit)?;
        let is_whole = prefix.is_empty() || prefix.ends_with('/');
        if bucket.is_empty() || id.is_empty() || id.contains('/') || !is_whole {
            return Err(unfit());
        }
        Ok(ExportPlace { bucket: bucket.to_owned(), prefix: prefix.to_owned(), id: id.to_owned() })
    }

    /// The key of one of the export's own files.
    pub(super) fn own(&self, name: &str) -> String {
        format!("{}{FOLDER}{}/{name}", self.prefix, self.id)
    }

    /// The key of a file that a manifest names.
    ///
    /// Manifests name keys with or without the prefix, and keep naming the old ones when the export is copied elsewhere:
    /// what counts is what follows `AWSDynamoDB/`, below this prefix.
    pub(super) fn named(&self, key: &str) -> Option<String> {
        let (_, rest) = key.rsplit_once(FOLDER)?;
        Some(format!("{}{FOLDER}{rest}", self.prefix))
    }

    /// The place as a URL.
    pub fn url(&self) -> String {
        format!("s3://{}/{}{FOLDER}{}", self.bucket, self.prefix, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_and_written() {
        for url in ["s3://b/AWSDynamoDB/0123-ab", "s3://b/x/y/AWSDynamoDB/0123-ab"] {
            let place = ExportPlace::parse(&format!("{url}/")).expect("a place");
            assert_eq!(place.url(), url);
            assert_eq!(place.own("manifest-files.json"), format!("{}/manifest-files.json", &url["s3://b/".len()..]));
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for url in [
            "",
            "b/AWSDynamoDB/1",
            "s3://b",
            "s3://b/AWSDynamoDB/",
            "s3://b/x/1",
            "s3:///AWSDynamoDB/1",
            "s3://b/AWSDynamoDB/1/manifest-summary.json",
            "s3://b/myAWSDynamoDB/1",
        ] {
            assert_eq!(ExportPlace::parse(url).expect_err(url).kind, ErrorKind::Unfit);
        }
    }

    #[test]
    fn named_keys_are_looked_for_below_the_prefix_given() {
        let place = ExportPlace::parse("s3://b/moved/AWSDynamoDB/1").expect("a place");
        for key in ["AWSDynamoDB/data/a.json.gz", "old/AWSDynamoDB/data/a.json.gz"] {
            assert_eq!(place.named(key).as_deref(), Some("moved/AWSDynamoDB/data/a.json.gz"));
        }
        assert_eq!(place.named("data/a.json.gz"), None);
    }
}
