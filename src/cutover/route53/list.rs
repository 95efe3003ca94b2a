//! Listing of what a hosted zone shifts by weight.

use aws_sdk_route53::types::ResourceRecordSet;
use serde::Serialize;

use super::client::{Failure, Route53, attempt};
use crate::cutover::dial::Result;
use crate::cutover::error::{CutoverError, CutoverErrorKind};
use crate::store::aws::store_error;

/// Pages of zones, and of one zone's records, that are read.
const PAGES_MAX: usize = 100;

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its id, without a path.
    pub id: String,
    /// Its name, with a trailing dot.
    pub name: String,
}

/// A weighted record, as far as a profile names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weighted {
    /// The hosted zone's id.
    pub zone: String,
    /// Its name, without a trailing dot.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Its SetIdentifier.
    pub identifier: String,
    /// Its weight.
    pub weight: i64,
    /// What it points to: values, or an alias's name.
    pub targets: Vec<String>,
}

impl Route53 {
    /// All hosted zones.
    ///
    /// # Errors
    ///
    /// The connection's own, and [`CutoverErrorKind::Unfit`] when there are too many.
    pub async fn zones(&self) -> Result<Vec<Zone>> {
        let what = "cannot list hosted zones";
        let (mut zones, mut marker) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let page = attempt(|| {
                let request = self.client.list_hosted_zones().set_marker(marker.clone());
                async { request.send().await.map_err(|error| Failure::of(store_error(what, error))) }
            })
            .await?;
            let id = |id: &str| id.trim_start_matches("/hostedzone/").to_owned();
            zones.extend(page.hosted_zones.iter().map(|zone| Zone { id: id(&zone.id), name: zone.name.clone() }));
            if !page.is_truncated {
                return Ok(zones);
            }
            marker = page.next_marker;
        }
        Err(CutoverError::new(CutoverErrorKind::Unfit, format!("{what}: there are more than {PAGES_MAX} pages")))
    }

    /// The weighted records of a zone.
    ///
    /// # Errors
    ///
    /// As [`Route53::zones`].
    pub async fn weighted(&self, zone: &Zone) -> Result<Vec<Weighted>> {
        let what = format!("cannot list the records of hosted zone {} ({})", zone.id, zone.name);
        let (mut found, mut start) = (Vec::new(), None::<ResourceRecordSetStart>);
        for _ in 0..PAGES_MAX {
            let page = attempt(|| {
                let ResourceRecordSetStart { name, kind, identifier } = start.clone().unwrap_or_default();
                let request = self.client.list_resource_record_sets().hosted_zone_id(&zone.id);
                let request = request.set_start_record_name(name).set_start_record_type(kind);
                let request = request.set_start_record_identifier(identifier);
                async { request.send().await.map_err(|error| Failure::of(store_error(&what, error))) }
            })
            .await?;
            found.extend(page.resource_record_sets.iter().filter_map(|record| weighted_of(&zone.id, record)));
            if !page.is_truncated {
                return Ok(found);
            }
            start = Some(ResourceRecordSetStart {
                name: page.next_record_name,
                kind: page.next_record_type,
                identifier: page.next_record_identifier,
            });
        }
        Err(CutoverError::new(CutoverErrorKind::Unfit, format!("{what}: it has more than {PAGES_MAX} pages")))
    }
}

/// Where the next page begins.
#[derive(Debug, Clone, Default)]
struct ResourceRecordSetStart {
    name: Option<String>,
    kind: Option<aws_sdk_route53::types::RrType>,
    identifier: Option<String>,
}

fn weighted_of(zone: &str, record: &ResourceRecordSet) -> Option<Weighted> {
    let values = record.resource_records().iter().map(|value| value.value.clone());
    let alias = record.alias_target.iter().map(|alias| alias.dns_name.clone());
    Some(Weighted {
        zone: zone.to_owned(),
        name: record.name.trim_end_matches('.').to_owned(),
        record_type: record.r#type.as_str().to_owned(),
        identifier: record.set_identifier.clone()?,
        weight: record.weight?,
        targets: values.chain(alias).collect(),
    })
}
