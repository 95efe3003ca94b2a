//! DynamoDB tables.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TableDescription};

use super::{Gaps, Listed, PAGES_MAX, Reach, bounded, each, instant};
use crate::discover::found::{Found, Place, Resource, Restore, Table};
use crate::store::aws::{endpoint, store_error};
use crate::store::{ErrorKind, StoreError};

const TABLES: &str = "DynamoDB tables";

/// Pages of one table's tags that are read.
const TAG_PAGES_MAX: usize = 10;

/// All tables of a side, and the restores that made them.
pub(super) async fn listed(reach: &Reach<'_>) -> Listed {
    let client = client(reach);
    let mut listed = Listed::default();
    let names = names(&client, &mut listed.gaps).await;
    let names = bounded(names, TABLES, reach, &mut listed.gaps);
    for (resource, restore, gaps) in each(names, |name| look(&client, name)).await {
        listed.resources.extend(resource);
        listed.restores.extend(restore);
        listed.gaps.absorb(gaps);
    }
    listed
}

/// The restores that these tables tell of themselves; a table that is not there tells nothing.
pub(super) async fn restores_of(reach: &Reach<'_>, names: Vec<String>) -> Listed {
    let client = client(reach);
    let mut listed = Listed::default();
    let asked = each(names, |name| {
        let request = client.describe_table().table_name(&name).send();
        async move { request.await.map_err(|error| store_error(format!("cannot describe table {name}"), error)) }
    });
    for reply in asked.await {
        match reply {
            Ok(reply) => listed.restores.extend(reply.table.and_then(|described| table_of(&described, None).1)),
            Err(error) if error.kind == ErrorKind::Missing => {}
            Err(error) => listed.gaps.add(TABLES, &error),
        }
    }
    listed
}

/// Makes sure that a table is there.
pub(super) async fn exists(reach: &Reach<'_>, name: &str) -> Result<(), StoreError> {
    let reply = client(reach).describe_table().table_name(name).send().await;
    reply.map(drop).map_err(|error| store_error(format!("cannot describe table {name}"), error))
}

fn client(reach: &Reach<'_>) -> Client {
    let mut builder = aws_sdk_dynamodb::config::Builder::from(&reach.config);
    builder.set_endpoint_url(endpoint(reach.profile, "dynamodb"));
    Client::from_conf(builder.build())
}

async fn names(client: &Client, gaps: &mut Gaps) -> Vec<String> {
    let (mut names, mut start) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        match client.list_tables().set_exclusive_start_table_name(start).send().await {
            Ok(page) => {
                names.extend(page.table_names.unwrap_or_default());
                start = page.last_evaluated_table_name;
                if start.is_none() {
                    return names;
                }
            }
            Err(error) => {
                gaps.add(TABLES, &store_error("cannot list tables", error));
                return names;
            }
        }
    }
    gaps.add_words(TABLES, format!("there are more than {PAGES_MAX} pages of them"));
    names
}

async fn look(client: &Client, name: String) -> (Option<Resource>, Option<Restore>, Gaps) {
    let mut gaps = Gaps::default();
    let described = match client.describe_table().table_name(&name).send().await {
        Ok(reply) => reply.table.unwrap_or_else(|| TableDescription::builder().build()),
        Err(error) => {
            let error = store_error(format!("cannot describe table {name}"), error);
            // A table that is deleted between two requests is not there.
            if error.kind != ErrorKind::Missing {
                gaps.add(TABLES, &error);
            }
            return (None, None, gaps);
        }
    };
    let recovery = recovery(client, &name).await.unwrap_or_else(|error| {
        gaps.add("point-in-time recovery of DynamoDB tables", &error);
        None
    });
    let tags = match described.table_arn() {
        Some(arn) => tags(client, &name, arn).await.unwrap_or_else(|error| {
            gaps.add("tags of DynamoDB tables", &error);
            BTreeMap::new()
        }),
        None => BTreeMap::new(),
    };
    let (table, restore) = table_of(&described, recovery);
    (Some(Resource { name, tags, found: Found::Table(table) }), restore, gaps)
}

async fn recovery(client: &Client, name: &str) -> Result<Option<bool>, StoreError> {
    let reply = client.describe_continuous_backups().table_name(name).send().await;
    let reply = reply.map_err(|error| store_error(format!("cannot ask for backups of table {name}"), error))?;
    let described = reply.continuous_backups_description.and_then(|found| found.point_in_time_recovery_description);
    Ok(described
        .and_then(|found| found.point_in_time_recovery_status)
        .map(|status| status == PointInTimeRecoveryStatus::Enabled))
}

async fn tags(client: &Client, name: &str, arn: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let (mut tags, mut next) = (BTreeMap::new(), None);
    for _ in 0..TAG_PAGES_MAX {
        let page = client.list_tags_of_resource().resource_arn(arn).set_next_token(next).send().await;
        let page = page.map_err(|error| store_error(format!("cannot list the tags of table {name}"), error))?;
        tags.extend(page.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)));
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(tags)
}

/// What a description says of a table, and of the restore that made it.
fn table_of(described: &TableDescription, recovery: Option<bool>) -> (Table, Option<Restore>) {
    let own = described.table_arn().and_then(Place::of_arn);
    let regions = described.replicas().iter().filter_map(|replica| replica.region_name());
    let others = regions.filter(|region| own.as_ref().is_none_or(|own| own.region != *region));
    let table = Table {
        point_in_time_recovery: recovery,
        stream: described.stream_specification().is_some_and(|stream| stream.stream_enabled()),
        global_regions: others.map(str::to_owned).collect(),
    };
    let restore = described.restore_summary().filter(|summary| !summary.restore_in_progress()).and_then(|summary| {
        let source = summary.source_table_arn().and_then(Place::of_arn)?;
        let as_of = instant(summary.restore_date_time());
        Some(Restore { source, created: own?, as_of, told_by: "its own RestoreSummary".to_owned() })
    });
    (table, restore)
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::DateTime;
    use aws_sdk_dynamodb::types::{ReplicaDescription, RestoreSummary};

    use super::*;

    #[test]
    fn a_restored_replica_tells_where_it_came_from() {
        let summary = RestoreSummary::builder()
            .source_table_arn("arn:aws:dynamodb:us-east-1:111122223333:table/orders")
            .restore_date_time(DateTime::from_secs(1_795_316_970))
            .restore_in_progress(false);
        let described = TableDescription::builder()
            .table_arn("arn:aws:dynamodb:us-west-2:111122223333:table/orders-restored")
            .restore_summary(summary.build().expect("a summary"))
            .replicas(ReplicaDescription::builder().region_name("us-west-2").build())
            .replicas(ReplicaDescription::builder().region_name("us-east-1").build())
            .build();
        let (table, restore) = table_of(&described, Some(true));
        assert_eq!(table.global_regions, ["us-east-1"]);
        let restore = restore.expect("a restore");
        assert_eq!((restore.source.name.as_str(), restore.created.name.as_str()), ("orders", "orders-restored"));
        assert_eq!(restore.as_of.map(|at| at.to_string()).as_deref(), Some("2026-11-22T03:09:30Z"));
    }
}
