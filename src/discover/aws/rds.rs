//! RDS instances and clusters.

use std::collections::BTreeMap;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbCluster, DbInstance, GlobalCluster, Tag};

use super::{Gaps, Listed, PAGES_MAX, RESOURCES_MAX, Reach};
use crate::discover::found::{Database, DatabaseForm, Engine, Found, Place, Resource, ResourceKind};
use crate::store::aws::{endpoint, store_error};

const INSTANCES: &str = "RDS instances";
const CLUSTERS: &str = "RDS clusters";
const GLOBAL: &str = "Aurora global clusters";

/// All instances and clusters of a side; an instance that belongs to a cluster is part of it.
pub(super) async fn listed(reach: &Reach<'_>) -> Listed {
    let mut builder = aws_sdk_rds::config::Builder::from(&reach.config);
    builder.set_endpoint_url(endpoint(reach.profile, "rds"));
    let client = Client::from_conf(builder.build());
    let mut gaps = Gaps::default();
    let global = globals(&client, &mut gaps).await;
    let region = &reach.profile.region;
    let instances = instances(&client, &mut gaps).await;
    let mut resources: Vec<Resource> = instances.iter().filter_map(|one| instance_of(one, region)).collect();
    resources.extend(clusters(&client, &mut gaps).await.iter().filter_map(|one| cluster_of(one, &global, region)));
    resources.retain(|resource| reach.filter.takes(&resource.name));
    if resources.len() > RESOURCES_MAX {
        let (count, what) = (resources.len(), "RDS instances and clusters");
        gaps.add_words(what, format!("there are {count}, and no more than {RESOURCES_MAX} are looked at: narrow them with --include or --exclude"));
        resources.truncate(RESOURCES_MAX);
    }
    Listed { resources, restores: Vec::new(), gaps }
}

async fn instances(client: &Client, gaps: &mut Gaps) -> Vec<DbInstance> {
    let (mut found, mut marker) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        match client.describe_db_instances().set_marker(marker).send().await {
            Ok(page) => {
                found.extend(page.db_instances.unwrap_or_default());
                marker = page.marker.filter(|marker| !marker.is_empty());
                if marker.is_none() {
                    return found;
                }
            }
            Err(error) => {
                gaps.add(INSTANCES, &store_error("cannot list RDS instances", error));
                return found;
            }
        }
    }
    gaps.add_words(INSTANCES, format!("there are more than {PAGES_MAX} pages of them"));
    found
}

async fn clusters(client: &Client, gaps: &mut Gaps) -> Vec<DbCluster> {
    let (mut found, mut marker) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        match client.describe_db_clusters().set_marker(marker).send().await {
            Ok(page) => {
                found.extend(page.db_clusters.unwrap_or_default());
                marker = page.marker.filter(|marker| !marker.is_empty());
                if marker.is_none() {
                    return found;
                }
            }
            Err(error) => {
                gaps.add(CLUSTERS, &store_error("cannot list RDS clusters", error));
                return found;
            }
        }
    }
    gaps.add_words(CLUSTERS, format!("there are more than {PAGES_MAX} pages of them"));
    found
}

/// The global cluster of every member, by the member's ARN.
async fn globals(client: &Client, gaps: &mut Gaps) -> BTreeMap<String, String> {
    let (mut found, mut marker) = (BTreeMap::new(), None);
    for _ in 0..PAGES_MAX {
        match client.describe_global_clusters().set_marker(marker).send().await {
            Ok(page) => {
                found.extend(page.global_clusters().iter().flat_map(members));
                marker = page.marker.filter(|marker| !marker.is_empty());
                if marker.is_none() {
                    return found;
                }
            }
            Err(error) => {
                gaps.add(GLOBAL, &store_error("cannot list Aurora global clusters", error));
                return found;
            }
        }
    }
    gaps.add_words(GLOBAL, format!("there are more than {PAGES_MAX} pages of them"));
    found
}

fn members(global: &GlobalCluster) -> Vec<(String, String)> {
    let id = global.global_cluster_identifier().unwrap_or_default();
    let members = global.global_cluster_members().iter();
    let readers = |arns: &[String]| arns.to_vec();
    let arns = members
        .flat_map(|member| member.db_cluster_arn().map(str::to_owned).into_iter().chain(readers(member.readers())));
    arns.map(|arn| (arn, id.to_owned())).collect()
}

fn instance_of(instance: &DbInstance, region: &str) -> Option<Resource> {
    if instance.db_cluster_identifier().is_some_and(|cluster| !cluster.is_empty()) {
        return None;
    }
    let database = Database {
        form: DatabaseForm::Instance,
        engine: Engine::of(instance.engine().unwrap_or_default()),
        database: said(instance.db_name()),
        user: said(instance.master_username()),
        replica_of: said(instance.read_replica_source_db_instance_identifier())
            .or_else(|| said(instance.read_replica_source_db_cluster_identifier()))
            .map(|source| named(&source, region)),
        global_cluster: None,
    };
    let name = instance.db_instance_identifier()?.to_owned();
    Some(Resource { name, tags: tags_of(instance.tag_list()), found: Found::Database(database) })
}

fn cluster_of(cluster: &DbCluster, global: &BTreeMap<String, String>, region: &str) -> Option<Resource> {
    let database = Database {
        form: DatabaseForm::Cluster,
        engine: Engine::of(cluster.engine().unwrap_or_default()),
        database: said(cluster.database_name()),
        user: said(cluster.master_username()),
        replica_of: said(cluster.replication_source_identifier()).map(|source| named(&source, region)),
        global_cluster: said(cluster.global_cluster_identifier())
            .or_else(|| cluster.db_cluster_arn().and_then(|arn| global.get(arn).cloned())),
    };
    let name = cluster.db_cluster_identifier()?.to_owned();
    Some(Resource { name, tags: tags_of(cluster.tag_list()), found: Found::Database(database) })
}

fn said(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A source as RDS names it: by ARN across Regions, by identifier within one.
fn named(source: &str, region: &str) -> Place {
    let here = || Place { kind: ResourceKind::Database, region: region.to_owned(), name: source.to_owned() };
    Place::of_arn(source).unwrap_or_else(here)
}

fn tags_of(tags: &[Tag]) -> BTreeMap<String, String> {
    let tag = |tag: &Tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()));
    tags.iter().filter_map(tag).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::GlobalClusterMember;

    use super::*;

    #[test]
    fn a_replica_names_its_source_and_a_member_its_cluster() {
        let replica = DbInstance::builder()
            .db_instance_identifier("ledger-dr")
            .engine("postgres")
            .read_replica_source_db_instance_identifier("arn:aws:rds:us-east-1:111122223333:db:ledger")
            .build();
        let Some(Resource { found: Found::Database(found), .. }) = instance_of(&replica, "us-west-2") else {
            panic!("a database")
        };
        let source = found.replica_of.expect("a source");
        assert_eq!((source.region.as_str(), source.name.as_str()), ("us-east-1", "ledger"));
        let member = DbInstance::builder().db_instance_identifier("w").db_cluster_identifier("ledger").build();
        assert_eq!(instance_of(&member, "us-west-2"), None);
    }

    #[test]
    fn both_members_of_a_global_cluster_name_it() {
        let (one, two) = ("arn:aws:rds:us-east-1:1:cluster:ledger", "arn:aws:rds:us-west-2:1:cluster:ledger-dr");
        let member = GlobalClusterMember::builder().db_cluster_arn(one).readers(two).is_writer(true).build();
        let global = GlobalCluster::builder().global_cluster_identifier("books").global_cluster_members(member).build();
        let global = members(&global).into_iter().collect();
        for (arn, name) in [(one, "ledger"), (two, "ledger-dr")] {
            let cluster =
                DbCluster::builder().db_cluster_identifier(name).db_cluster_arn(arn).engine("aurora-postgresql");
            let Some(Resource { found: Found::Database(found), .. }) = cluster_of(&cluster.build(), &global, "x")
            else {
                panic!("a database")
            };
            assert_eq!((found.global_cluster.as_deref(), found.engine), (Some("books"), Engine::Postgres));
        }
    }
}
