//! What a restored copy has at present of what a restore does not bring along: by few questions, each of which may fail.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TimeToLiveStatus};
use aws_sdk_rds::types::DbInstanceAutomatedBackup;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::BucketVersioningStatus;

use crate::control::restored::AdoptedKind;
use crate::control::settings::{days, on_off};
use crate::profile::SideProfile;
use crate::store::aws::{endpoint, sdk_config};
use crate::store::sql::rds::{client, described_cluster, described_instance};

/// Attributes by the names that [`crate::control::iac`] has for them.
pub(super) type Attributes = Vec<(&'static str, String)>;

/// What a resource of this name has. What cannot be asked is left out, and then told in general words.
pub(super) async fn present(reached: &SideProfile, kind: AdoptedKind, name: &str) -> Attributes {
    let found = match kind {
        AdoptedKind::Table => Box::pin(of_table(reached, name)).await,
        AdoptedKind::Bucket => Box::pin(of_bucket(reached, name)).await,
        AdoptedKind::Instance => Box::pin(of_instance(reached, name)).await,
        AdoptedKind::Cluster => Box::pin(of_cluster(reached, name)).await,
    };
    let told = found.into_iter().filter_map(|(name, value)| Some((name, value?)));
    told.filter(|(_, value)| !value.is_empty()).collect()
}

/// What an original had that is gone: the backups that RDS retains of an instance tell some of it.
pub(super) async fn had(reached: &SideProfile, kind: AdoptedKind, name: &str) -> Attributes {
    if kind != AdoptedKind::Instance {
        return Vec::new();
    }
    let rds = client(reached).await;
    let reply = rds.describe_db_instance_automated_backups().db_instance_identifier(name).send().await;
    let backups = reply.ok().and_then(|reply| reply.db_instance_automated_backups).unwrap_or_default();
    let is_of_it = |one: &&DbInstanceAutomatedBackup| {
        one.db_instance_identifier() == Some(name) && one.status() == Some("retained")
    };
    let retained: Vec<&DbInstanceAutomatedBackup> = backups.iter().filter(is_of_it).collect();
    // Of two instances that had the name, one after the other, which one is meant is not known.
    let [backup] = retained.as_slice() else { return Vec::new() };
    let told = [
        ("option group", text(backup.option_group_name())),
        ("backup retention", backup.backup_retention_period().map(days)),
        ("resource id", text(backup.dbi_resource_id())),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

type Told = Vec<(&'static str, Option<String>)>;

fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// A list in words; an empty one is not told, for a server has at least one of each.
fn listed(all: impl Iterator<Item = Option<String>>) -> Option<String> {
    let all: Option<Vec<String>> = all.collect();
    all.filter(|all| !all.is_empty()).map(|all| all.join(" and "))
}

async fn of_instance(reached: &SideProfile, name: &str) -> Told {
    let Ok(found) = described_instance(&client(reached).await, name).await else { return Vec::new() };
    let groups = found.db_parameter_groups().iter();
    vec![
        ("parameter group", listed(groups.map(|group| text(group.db_parameter_group_name())))),
        ("option group", listed(found.option_group_memberships().iter().map(|group| text(group.option_group_name())))),
        ("security groups", listed(found.vpc_security_groups().iter().map(|one| text(one.vpc_security_group_id())))),
        ("subnet group", text(found.db_subnet_group().and_then(|group| group.db_subnet_group_name()))),
        ("backup retention", found.backup_retention_period().map(days)),
        ("Multi-AZ", found.multi_az().map(on_off)),
        ("deletion protection", found.deletion_protection().map(on_off)),
        ("CA certificate", text(found.ca_certificate_identifier())),
        ("resource id", text(found.dbi_resource_id())),
    ]
}

async fn of_cluster(reached: &SideProfile, name: &str) -> Told {
    let Ok(found) = described_cluster(&client(reached).await, name).await else { return Vec::new() };
    vec![
        ("cluster parameter group", text(found.db_cluster_parameter_group())),
        ("security groups", listed(found.vpc_security_groups().iter().map(|one| text(one.vpc_security_group_id())))),
        ("subnet group", text(found.db_subnet_group())),
        ("backup retention", found.backup_retention_period().map(days)),
        ("deletion protection", found.deletion_protection().map(on_off)),
        ("resource id", text(found.db_cluster_resource_id())),
    ]
}

async fn of_table(reached: &SideProfile, name: &str) -> Told {
    let mut builder = aws_sdk_dynamodb::config::Builder::from(&sdk_config(reached).await);
    builder.set_endpoint_url(endpoint(reached, "dynamodb"));
    let client = aws_sdk_dynamodb::Client::from_conf(builder.build());
    let (table, expiry, backups) = tokio::join!(
        client.describe_table().table_name(name).send(),
        client.describe_time_to_live().table_name(name).send(),
        client.describe_continuous_backups().table_name(name).send(),
    );
    let table = table.ok().and_then(|reply| reply.table);
    let stream = table.as_ref().map(|table| match table.stream_specification() {
        Some(stream) if stream.stream_enabled() => {
            let view = stream.stream_view_type().map_or("of unknown images", |view| view.as_str());
            format!("on, {view}")
        }
        _ => on_off(false),
    });
    let expiry = expiry.ok().and_then(|reply| reply.time_to_live_description).and_then(|told| {
        Some(match told.time_to_live_status()? {
            TimeToLiveStatus::Disabled => on_off(false),
            TimeToLiveStatus::Enabled => format!("on, by {}", told.attribute_name()?),
            other => other.as_str().to_lowercase(),
        })
    });
    let recovery = backups.ok().and_then(|reply| reply.continuous_backups_description).and_then(|told| {
        let status = told.point_in_time_recovery_description?.point_in_time_recovery_status?;
        Some(on_off(status == PointInTimeRecoveryStatus::Enabled))
    });
    vec![
        ("stream and stream ARN", stream),
        ("time to live", expiry),
        ("point-in-time recovery", recovery),
        ("deletion protection", table.and_then(|table| table.deletion_protection_enabled()).map(on_off)),
    ]
}

/// A client of S3 for one side.
fn buckets(reached: &SideProfile, config: &SdkConfig) -> aws_sdk_s3::Client {
    let address = endpoint(reached, "s3");
    let mut builder = aws_sdk_s3::config::Builder::from(config).force_path_style(address.is_some());
    builder.set_endpoint_url(address);
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// The answer, or nothing where S3 says by this code that there is none; `None` where neither is known.
fn or_none<T, E, R>(asked: Result<T, aws_sdk_s3::error::SdkError<E, R>>, code: &str) -> Option<Option<T>>
where
    E: ProvideErrorMetadata,
{
    match asked {
        Ok(told) => Some(Some(told)),
        Err(error) if error.code() == Some(code) => Some(None),
        Err(_) => None,
    }
}

fn counted(count: usize) -> String {
    if count == 0 { "none".to_owned() } else { count.to_string() }
}

async fn of_bucket(reached: &SideProfile, name: &str) -> Told {
    let client = buckets(reached, &sdk_config(reached).await);
    let (versions, lifecycle, replication, events, encryption) = tokio::join!(
        client.get_bucket_versioning().bucket(name).send(),
        client.get_bucket_lifecycle_configuration().bucket(name).send(),
        client.get_bucket_replication().bucket(name).send(),
        client.get_bucket_notification_configuration().bucket(name).send(),
        client.get_bucket_encryption().bucket(name).send(),
    );
    let versions = versions.ok().map(|told| match told.status {
        None => on_off(false),
        Some(BucketVersioningStatus::Enabled) => on_off(true),
        Some(other) => other.as_str().to_lowercase(),
    });
    let lifecycle = or_none(lifecycle, "NoSuchLifecycleConfiguration")
        .map(|told| counted(told.map_or(0, |told| told.rules().len())));
    let replication = or_none(replication, "ReplicationConfigurationNotFoundError")
        .map(|told| counted(told.and_then(|told| told.replication_configuration).map_or(0, |one| one.rules.len())));
    let events = events.ok().map(|told| {
        let queues = told.queue_configurations().len() + told.topic_configurations().len();
        let bridge = usize::from(told.event_bridge_configuration().is_some());
        counted(queues + told.lambda_function_configurations().len() + bridge)
    });
    let encryption = or_none(encryption, "ServerSideEncryptionConfigurationNotFoundError").and_then(|told| {
        let Some(told) = told else { return Some("none".to_owned()) };
        let rules = told.server_side_encryption_configuration?.rules;
        listed(rules.iter().map(|rule| {
            let by = rule.apply_server_side_encryption_by_default()?;
            let key = by.kms_master_key_id().map_or(String::new(), |key| format!(" by {key}"));
            Some(format!("{}{key}", by.sse_algorithm().as_str()))
        }))
    });
    vec![
        ("versioning", versions),
        ("lifecycle rules", lifecycle),
        ("replication rules", replication),
        ("event notifications", events),
        ("encryption", encryption),
    ]
}
