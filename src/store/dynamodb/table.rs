//! What the service tells of a table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{TableDescription, TimeToLiveStatus};

use super::DynamoDbStore;
use super::format::{KeyAttribute, key_schema};
use crate::model::{Identity, StoreKind, Timestamp};
use crate::store::aws::store_error;
use crate::store::{ErrorKind, Result, StoreError};

/// Describes a table that must be there.
pub(super) async fn describe(client: &Client, table: &str, subject: &str) -> Result<TableDescription> {
    let reply = client.describe_table().table_name(table).send().await;
    let reply = reply.map_err(|error| store_error(format!("cannot describe {subject}"), error))?;
    reply.table.ok_or_else(|| StoreError::new(ErrorKind::Unreadable, format!("an empty description of {subject}")))
}

/// The key of a described table.
pub(super) fn key_of_table(described: &TableDescription, subject: &str) -> Result<Vec<KeyAttribute>> {
    let key = key_schema(described);
    key.ok_or_else(|| StoreError::new(ErrorKind::Unfit, format!("no complete key schema is told for {subject}")))
}

/// The attribute by which the service expires items now, if it does.
pub(super) async fn ttl_attribute(client: &Client, table: &str, subject: &str) -> Result<Option<String>> {
    let reply = client.describe_time_to_live().table_name(table).send().await;
    let reply = reply.map_err(|error| store_error(format!("cannot ask for the time to live of {subject}"), error))?;
    let described = reply.time_to_live_description;
    Ok(described.and_then(|ttl| match ttl.time_to_live_status {
        // Items may still be expired for up to an hour while it is being switched off.
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling | TimeToLiveStatus::Disabling) => {
            ttl.attribute_name
        }
        _ => None,
    }))
}

/// What tells the table from a namesake made later: its TableId, else its ARN with its creation time.
pub(super) fn resource_id(described: &TableDescription, subject: &str) -> Result<String> {
    if let Some(id) = described.table_id().filter(|id| !id.is_empty()) {
        return Ok(id.to_owned());
    }
    match (described.table_arn(), described.creation_date_time()) {
        (Some(arn), Some(created)) => Ok(format!("{arn}@{}", created.as_nanos())),
        _ => Err(StoreError::new(ErrorKind::Unfit, format!("nothing tells {subject} from a namesake"))),
    }
}

/// The instant a restored table stands for (RestoreSummary of DescribeTable); `None` for a table that was not restored.
pub(super) fn restored_as_of(described: &TableDescription) -> Option<Timestamp> {
    let restored = described.restore_summary()?.restore_date_time();
    Timestamp::from_second(restored.secs()).ok()
}

impl DynamoDbStore {
    /// Asks which very table this is now.
    pub(super) async fn ask_identity(&self) -> Result<Identity> {
        let described = self.describe().await?;
        let arn = described.table_arn().unwrap_or(&self.table);
        let part = |index| arn.split(':').nth(index).filter(|part| !part.is_empty()).map(str::to_owned);
        Ok(Identity {
            kind: StoreKind::DynamoDb,
            resource: arn.to_owned(),
            id: resource_id(&described, &self.format.subject)?,
            region: part(3).or_else(|| Some(self.region.clone())),
            account: part(4),
        })
    }

    /// Describes the table as it is now.
    pub(super) async fn describe(&self) -> Result<TableDescription> {
        describe(&self.reader, &self.table, &self.format.subject).await
    }

    /// Describes the table, which must still be the one that was connected to.
    pub(super) async fn describe_same(&self) -> Result<TableDescription> {
        let described = self.describe().await?;
        if resource_id(&described, &self.format.subject)? != self.resource_id {
            let what = format!("{} was made anew since this run connected to it", self.format.subject);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        Ok(described)
    }
}
