//! The shop's weighted record in Route 53, by the plain client.

use aws_sdk_route53::Client;
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};

use super::{OrFail, Result, StoryError};

/// The record's name, with the dot Route 53 ends it with.
pub(super) const RECORD: &str = "app.shop.example.";
const ZONE: &str = "shop.example.";

/// How traffic is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weights {
    pub primary: i64,
    pub dr: i64,
}

/// The shop's hosted zone.
pub(super) struct Dns {
    client: Client,
    pub zone: String,
    ttl_seconds: u32,
}

impl Dns {
    pub(super) async fn create(client: Client, ttl_seconds: u32) -> Result<Dns> {
        let failed = "cannot make the hosted zone";
        let made = client.create_hosted_zone().name(ZONE).caller_reference("failback drill").send().await;
        let zone = made.or_fail(failed)?.hosted_zone.map(|zone| zone.id);
        let zone = zone.ok_or_else(|| StoryError::new("the new hosted zone has no id"))?;
        Ok(Dns { client, zone: zone.trim_start_matches("/hostedzone/").to_owned(), ttl_seconds })
    }

    /// Sets both weights at once, as the shop's operators did at failover.
    pub(super) async fn set(&self, weights: Weights) -> Result<()> {
        let failed = "cannot set the weights";
        let mut batch = ChangeBatch::builder();
        for (identifier, weight, address) in
            [("primary", weights.primary, "192.0.2.10"), ("dr", weights.dr, "192.0.2.20")]
        {
            let address = ResourceRecord::builder().value(address).build().or_fail(failed)?;
            let record = ResourceRecordSet::builder().name(RECORD).r#type(RrType::A).ttl(self.ttl_seconds.into());
            let record = record.set_identifier(identifier).weight(weight).resource_records(address);
            let record = record.build().or_fail(failed)?;
            let change = Change::builder().action(ChangeAction::Upsert).resource_record_set(record).build();
            batch = batch.changes(change.or_fail(failed)?);
        }
        let batch = batch.build().or_fail(failed)?;
        let request = self.client.change_resource_record_sets().hosted_zone_id(&self.zone).change_batch(batch);
        request.send().await.or_fail(failed)?;
        Ok(())
    }

    pub(super) async fn read(&self) -> Result<Weights> {
        let reply = self.client.list_resource_record_sets().hosted_zone_id(&self.zone).send().await;
        let records = reply.map_err(StoryError::caused("cannot read the weights"))?.resource_record_sets;
        let weight = |identifier: &str| {
            let mut ours = records.iter().filter(|record| record.name == RECORD);
            let record = ours.find(|record| record.set_identifier.as_deref() == Some(identifier));
            record.and_then(|record| record.weight).ok_or_else(|| StoryError::new(format!("no {identifier} record")))
        };
        Ok(Weights { primary: weight("primary")?, dr: weight("dr")? })
    }
}
