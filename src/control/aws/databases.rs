//! Both sides of a database as RDS knows them.

use std::collections::BTreeMap;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbCluster, DbInstance, Filter, Parameter, PendingModifiedValues, VpcSecurityGroupMembership};

use super::chain;
use super::ec2::rules_of;
use super::lag::home_lag;
use super::snapshots::{elsewhere, unplanned};
use crate::control::global::{GlobalFacts, MemberFacts, MemberTold, way_home};
use crate::control::guide::Guide;
use crate::control::settings::{Form, Server, compare};
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::aws::store_error;
use crate::store::sql::rds::global::{Behind, GlobalCluster, Member, behind, global_clusters};
use crate::store::sql::rds::{client, described_cluster};
use crate::store::{ErrorKind, Finding, Level, Result, StoreError};

/// Pages of one listing that are read.
const PAGES_MAX: usize = 100;

/// Both sides of one database in a profile.
#[derive(Clone, Copy)]
pub struct DatabaseSides<'a> {
    /// The store.
    pub store: &'a str,
    /// How the primary is reached, and what it is.
    pub primary: (&'a SideProfile, &'a DatabaseProfile),
    /// How dr is reached, and what it is.
    pub dr: (&'a SideProfile, &'a DatabaseProfile),
}

/// What was found, and whether everything could be looked at.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What a person does about it, step by step.
    pub guides: Vec<Guide>,
    /// Whether something could not be asked.
    pub is_incomplete: bool,
}

impl Looked {
    fn unknown(&mut self, level: Level, subject: &str, error: &StoreError) {
        // What is not there was looked for: its side tells of it.
        if error.kind == ErrorKind::Missing {
            return;
        }
        self.is_incomplete |= level == Level::Blocker;
        let finding = Finding::new(level, subject, chain(error)).with_hint(error.kind.remedy());
        self.findings.push(finding);
    }
}

/// Compares the settings of both sides and leads through a global cluster; nothing for servers that are not RDS's.
pub async fn look_at_databases(sides: DatabaseSides<'_>) -> Looked {
    let DatabaseSides { store, primary, dr } = sides;
    let mut looked = Looked::default();
    let (home, away) = tokio::join!(Box::pin(behind(primary.0, primary.1)), Box::pin(behind(dr.0, dr.1)));
    // What the primary is decides whether it may be written: not to know it blocks.
    let home = home.map_err(|error| looked.unknown(Level::Blocker, &format!("{store} primary"), &error)).ok();
    let away = away.map_err(|error| looked.unknown(Level::Warning, &format!("{store} dr"), &error)).ok();
    if let (Some(home), Some(away)) = (&home, &away) {
        let (one, two) = tokio::join!(Box::pin(server(primary.0, home)), Box::pin(server(dr.0, away)));
        match (one, two) {
            (Ok(Some(one)), Ok(Some(two))) => looked.findings.extend(compare(store, &one, &two)),
            (Ok(None), Ok(None)) => {}
            (Ok(_), Ok(_)) => {
                let what = "one side is no server of RDS's, so that settings are not compared";
                looked.findings.push(Finding::new(Level::Note, format!("{store} settings"), what));
            }
            (one, two) => {
                for error in [one.err(), two.err()].into_iter().flatten() {
                    looked.unknown(Level::Warning, &format!("{store} settings"), &error);
                }
            }
        }
    }
    if let Some(Behind::Cluster(cluster)) = &home {
        Box::pin(lead_home(sides, (cluster, away.as_ref()), &mut looked)).await;
    }
    looked
}

/// Leads through the switchover, where the primary is a member of a global cluster with others.
async fn lead_home(sides: DatabaseSides<'_>, (cluster, away): (&DbCluster, Option<&Behind>), looked: &mut Looked) {
    let DatabaseSides { store, primary: (reached, _), .. } = sides;
    if !cluster.engine().is_some_and(|engine| engine.starts_with("aurora")) {
        return;
    }
    let subject = format!("{store} primary");
    let globals = match global_clusters(&client(reached).await).await {
        Ok(globals) => globals,
        Err(error) => return looked.unknown(Level::Blocker, &subject, &error),
    };
    let arn = cluster.db_cluster_arn().unwrap_or_default();
    let found = globals.into_iter().find(|global| global.members.iter().any(|member| member.arn == arn));
    match found {
        Some(global) if global.obstacle(arn).is_some() => {
            let Some(home) = global.members.iter().find(|member| member.arn == arn).cloned() else { return };
            let facts = Box::pin(facts(sides, away, (global, &home))).await;
            let (finding, guide) = way_home(store, &home, &facts);
            looked.findings.push(finding);
            looked.guides.push(guide);
        }
        Some(global) => {
            let what =
                format!("is the only member of the Aurora global cluster {}, at rest: it may be written", global.id);
            looked.findings.push(Finding::new(Level::Note, subject, what));
        }
        None => {
            if let Some(name) = cluster.global_cluster_identifier().filter(|name| !name.is_empty()) {
                let what = format!("RDS counts it to the Aurora global cluster {name} and does not list that");
                looked.findings.push(Finding::new(Level::Blocker, subject, what));
            }
        }
    }
}

/// What every Region of a global cluster's members tells, and how far the one at home is behind.
async fn facts(
    sides: DatabaseSides<'_>,
    away: Option<&Behind>,
    (cluster, home): (GlobalCluster, &Member),
) -> GlobalFacts {
    let (mut members, mut snapshots) = (Vec::new(), Vec::new());
    for member in &cluster.members {
        let told = match elsewhere(sides, member.region()) {
            Ok(reached) => match described_cluster(&client(&reached).await, member.name()).await {
                Ok(found) => match (found.status(), found.engine_version()) {
                    (Some(status), Some(version)) => {
                        Ok(MemberTold { status: status.to_owned(), version: version.to_owned() })
                    }
                    _ => Err("RDS does not tell its status and version".to_owned()),
                },
                Err(error) => Err(chain(&error)),
            },
            Err(why) => Err(why),
        };
        members.push(MemberFacts { arn: member.arn.clone(), told });
        snapshots.push(Box::pin(unplanned(sides, member.region())).await);
    }
    snapshots.sort_by(|one, other| one.region.cmp(&other.region));
    snapshots.dedup_by(|one, other| one.region == other.region);
    let lag = match home.is_writer {
        Some(true) => None,
        _ => Some(Box::pin(home_lag(sides, away, &cluster, home)).await),
    };
    GlobalFacts { cluster, members, snapshots, lag }
}

/// The settings of what stands behind a side; `None` where that is no server of RDS's.
async fn server(reached: &SideProfile, behind: &Behind) -> Result<Option<Server>> {
    match behind {
        Behind::Elsewhere => Ok(None),
        Behind::Instance(instance) => Ok(Some(instance_settings(&client(reached).await, reached, instance).await)),
        Behind::Cluster(cluster) => cluster_settings(&client(reached).await, reached, cluster).await.map(Some),
    }
}

async fn instance_settings(rds: &Client, reached: &SideProfile, instance: &DbInstance) -> Server {
    let group = instance.db_parameter_groups().first();
    let name = group.and_then(|group| group.db_parameter_group_name()).map(str::to_owned);
    let parameters = parameters(rds, name.as_deref(), Form::Instance).await;
    let security_groups = groups(instance.vpc_security_groups());
    Server {
        form: Form::Instance,
        name: said(instance.db_instance_identifier()).unwrap_or_default(),
        region: reached.region.clone(),
        engine: said(instance.engine()),
        version: said(instance.engine_version()),
        class: said(instance.db_instance_class()),
        multi_az: instance.multi_az(),
        retention_days: instance.backup_retention_period(),
        is_protected: instance.deletion_protection(),
        is_encrypted: instance.storage_encrypted(),
        has_iam: instance.iam_database_authentication_enabled(),
        authorities: said(instance.ca_certificate_identifier()).into_iter().collect(),
        instances: Vec::new(),
        subnet_group: said(instance.db_subnet_group().and_then(|group| group.db_subnet_group_name())),
        rules: Box::pin(rules_of(reached, &security_groups)).await,
        security_groups,
        parameter_group: name,
        parameters,
        waiting: waiting(std::slice::from_ref(instance)),
    }
}

async fn cluster_settings(rds: &Client, reached: &SideProfile, cluster: &DbCluster) -> Result<Server> {
    let name = said(cluster.db_cluster_identifier()).unwrap_or_default();
    let filter = Filter::builder().name("db-cluster-id").values(&name).build();
    let reply = rds.describe_db_instances().filters(filter).send().await;
    let reply = reply.map_err(|error| store_error(format!("cannot list the instances of {name}"), error))?;
    // A server that does not know the filter lists all.
    let own = reply.db_instances.unwrap_or_default().into_iter();
    let own: Vec<DbInstance> = own.filter(|one| one.db_cluster_identifier() == Some(name.as_str())).collect();
    let group = said(cluster.db_cluster_parameter_group());
    let parameters = parameters(rds, group.as_deref(), Form::Cluster).await;
    let security_groups = groups(cluster.vpc_security_groups());
    Ok(Server {
        form: Form::Cluster,
        name,
        region: reached.region.clone(),
        engine: said(cluster.engine()),
        version: said(cluster.engine_version()),
        class: None,
        multi_az: cluster.multi_az(),
        retention_days: cluster.backup_retention_period(),
        is_protected: cluster.deletion_protection(),
        is_encrypted: cluster.storage_encrypted(),
        has_iam: cluster.iam_database_authentication_enabled(),
        authorities: own.iter().filter_map(|one| said(one.ca_certificate_identifier())).collect(),
        instances: own.iter().filter_map(|one| said(one.db_instance_identifier())).collect(),
        subnet_group: said(cluster.db_subnet_group()),
        rules: Box::pin(rules_of(reached, &security_groups)).await,
        security_groups,
        parameter_group: group,
        parameters,
        waiting: waiting(&own),
    })
}

fn said(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn groups(all: &[VpcSecurityGroupMembership]) -> Vec<String> {
    let mut ids: Vec<String> = all.iter().filter_map(|group| said(group.vpc_security_group_id())).collect();
    ids.sort();
    ids
}

/// Parameter groups that are not in use yet, and changes that wait for a window.
fn waiting(instances: &[DbInstance]) -> Vec<String> {
    let mut told = Vec::new();
    for instance in instances {
        let name = instance.db_instance_identifier().unwrap_or_default();
        for group in instance.db_parameter_groups() {
            let status = group.parameter_apply_status().unwrap_or("of unknown status");
            if status != "in-sync" {
                let group = group.db_parameter_group_name().unwrap_or("its parameter group");
                told.push(format!(
                    "{group} is {status} on {name}: aws rds reboot-db-instance --db-instance-identifier {name}"
                ));
            }
        }
        if instance
            .pending_modified_values()
            .is_some_and(|pending| *pending != PendingModifiedValues::builder().build())
        {
            told.push(format!("{name} has changes that wait for its maintenance window"));
        }
    }
    told
}

/// The parameters of a group that somebody set.
async fn parameters(
    rds: &Client,
    group: Option<&str>,
    form: Form,
) -> std::result::Result<BTreeMap<String, String>, String> {
    let group = group.ok_or("RDS does not tell the parameter group")?;
    let (mut found, mut marker) = (BTreeMap::new(), None);
    for _ in 0..PAGES_MAX {
        let what = || format!("cannot read the parameter group {group}");
        let (parameters, next) = match form {
            Form::Instance => {
                let request = rds.describe_db_parameters().db_parameter_group_name(group).source("user");
                let page = request.set_marker(marker).send().await;
                let page = page.map_err(|error| chain(&store_error(what(), error)))?;
                (page.parameters.unwrap_or_default(), page.marker)
            }
            Form::Cluster => {
                let request =
                    rds.describe_db_cluster_parameters().db_cluster_parameter_group_name(group).source("user");
                let page = request.set_marker(marker).send().await;
                let page = page.map_err(|error| chain(&store_error(what(), error)))?;
                (page.parameters.unwrap_or_default(), page.marker)
            }
        };
        let set = |one: &Parameter| {
            let is_set = one.source().is_none_or(|source| source == "user");
            Some((one.parameter_name.clone()?, one.parameter_value.clone()?)).filter(|_| is_set)
        };
        found.extend(parameters.iter().filter_map(set));
        marker = next.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            return Ok(found);
        }
    }
    Err(format!("the parameter group {group} has more than {PAGES_MAX} pages"))
}
