//! What AWS Backup keeps of a table, and until when.

use aws_sdk_backup::Client;
use aws_sdk_backup::types::{RecoveryPointByResource, RecoveryPointStatus};

use super::service::timestamp;
use crate::profile::SideProfile;
use crate::store::Result;
use crate::store::aws::{endpoint, sdk_config, store_error};

/// Pages of recovery points that are asked for.
const PAGES_MAX: usize = 20;
/// Recovery points that are looked at, newest first.
const POINTS_MAX: usize = 20;

/// Every recovery point of a table in words; the newest with the time that their lifecycle ends them.
pub(super) async fn recovery_points(reached: &SideProfile, table_arn: &str) -> Result<Vec<String>> {
    let mut builder = aws_sdk_backup::config::Builder::from(&sdk_config(reached).await);
    builder.set_endpoint_url(endpoint(reached, "backup"));
    let client = Client::from_conf(builder.build());
    let (mut points, mut next) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let request = client.list_recovery_points_by_resource().resource_arn(table_arn).set_next_token(next);
        let reply = request.send().await;
        let reply = reply
            .map_err(|error| store_error(format!("cannot list AWS Backup's recovery points of {table_arn}"), error))?;
        points.extend(reply.recovery_points.unwrap_or_default());
        next = reply.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    points.retain(|point| matches!(point.status, None | Some(RecoveryPointStatus::Completed)));
    points.sort_by_key(|point| std::cmp::Reverse(point.creation_date.as_ref().and_then(timestamp)));
    let mut told = Vec::new();
    for point in points.iter().take(POINTS_MAX) {
        let made = point.creation_date.as_ref().and_then(timestamp);
        let made = made.map_or("an unknown time".to_owned(), |at| at.to_string());
        let vault = point.backup_vault_name.as_deref().unwrap_or("without a name");
        let until = until(&client, point, vault).await;
        told.push(format!(
            "AWS Backup's recovery point of {made} in vault {vault} can be restored into a table aside {until}"
        ));
    }
    if points.len() > POINTS_MAX {
        told.push(format!("{} older recovery points exist that are not looked at here", points.len() - POINTS_MAX));
    }
    Ok(told)
}

/// When a recovery point is deleted, in words.
async fn until(client: &Client, point: &RecoveryPointByResource, vault: &str) -> String {
    let request = client.describe_recovery_point().backup_vault_name(vault);
    let described = request.set_recovery_point_arn(point.recovery_point_arn.clone()).send().await;
    let Ok(described) = described else { return "for a time that cannot be told".to_owned() };
    let delete_at = described.calculated_lifecycle.and_then(|lifecycle| lifecycle.delete_at);
    match delete_at.as_ref().and_then(timestamp) {
        Some(at) => format!("until {at}"),
        None => "until somebody deletes it".to_owned(),
    }
}
