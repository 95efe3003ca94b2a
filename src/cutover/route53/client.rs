//! Requests to Route 53: one limiter for all of them, bounded retries.

use std::sync::LazyLock;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_route53::error::ProvideErrorMetadata;
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError;
use aws_sdk_route53::types::{Change, ChangeBatch, ResourceRecordSet, RrType};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::record::canonical_name;
use crate::cutover::dial::{ChangeId, ChangeStatus, Result};
use crate::cutover::error::{CutoverError, CutoverErrorKind};
use crate::profile::{RecordProfile, SideProfile};
use crate::store::StoreError;
use crate::store::aws::{endpoint, sdk_config, store_error};

/// Route 53's control plane lives in this Region alone.
const CONTROL_REGION: &str = "us-east-1";

/// Route 53 allows an account five requests a second: all of this process's are this far apart, with a little to spare.
const REQUEST_SPACING: Duration = Duration::from_millis(205);

/// Tries of one request that is throttled, unanswered, or comes before the one before is complete.
const ATTEMPTS_MAX: u32 = 6;

/// The pause after the first failed try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(500);

/// Pages read in search of a record pair.
const PAGES_MAX: u32 = 20;

/// The allowance is the account's, so all connections of this process share it.
static LIMITER: LazyLock<DefaultDirectRateLimiter> = LazyLock::new(|| {
    let quota = Quota::with_period(REQUEST_SPACING).expect("the spacing is above zero");
    RateLimiter::direct(quota)
});

/// A connection to Route 53.
#[derive(Debug, Clone)]
pub struct Route53 {
    pub(super) client: aws_sdk_route53::Client,
}

/// What became of a batch of changes.
pub(super) enum Batch {
    /// It is on its way.
    Accepted(ChangeId),
    /// Route 53 refused all of it.
    Refused(String),
}

/// What one health checker last saw.
#[derive(Debug, Clone, Copy)]
pub(in crate::cutover) struct Observation {
    /// Whether it was a success.
    pub(in crate::cutover) success: bool,
    /// When, in seconds since 1970; the earliest time where it is not told.
    pub(in crate::cutover) checked_at_second: i64,
}

/// A request that failed, and whether it is worth another try.
pub(super) enum Failure {
    Again(StoreError),
    Final(StoreError),
}

impl Failure {
    pub(super) fn of(error: StoreError) -> Failure {
        if error.kind.is_transient() { Failure::Again(error) } else { Failure::Final(error) }
    }
}

impl Route53 {
    /// Makes a connection the way `reached` says; asks nothing yet.
    pub async fn connect(reached: &SideProfile) -> Route53 {
        let config = sdk_config(reached).await;
        // The SDK's own retries would pass the limiter by.
        let mut builder = aws_sdk_route53::config::Builder::from(&config)
            .region(aws_config::Region::new(CONTROL_REGION))
            .retry_config(RetryConfig::disabled());
        builder.set_endpoint_url(endpoint(reached, "route53"));
        Route53 { client: aws_sdk_route53::Client::from_conf(builder.build()) }
    }

    /// All records of a name and type.
    pub(super) async fn records(&self, zone: &str, wanted: &RecordProfile) -> Result<Vec<ResourceRecordSet>> {
        let (name, record_type) = (canonical_name(&wanted.name), RrType::from(wanted.record_type.as_str()));
        // Requests take the asterisk itself, as the emulators that keep it unescaped do too.
        let start = name.replace("\\052", "*");
        let what = format!("cannot read record {} of hosted zone {zone}", wanted.name);
        let mut found = Vec::new();
        let mut identifier: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = attempt(|| {
                let request = self.client.list_resource_record_sets().hosted_zone_id(zone);
                let request = request.start_record_name(&start).start_record_type(record_type.clone());
                let request = request.set_start_record_identifier(identifier.clone());
                async { request.send().await.map_err(|error| Failure::of(store_error(&what, error))) }
            })
            .await?;
            let is_wanted =
                |record: &ResourceRecordSet| canonical_name(&record.name) == name && record.r#type == record_type;
            found.extend(page.resource_record_sets.iter().filter(|record| is_wanted(record)).cloned());
            let next_is_wanted = page.next_record_name.as_deref().is_some_and(|next| canonical_name(next) == name)
                && page.next_record_type.as_ref() == Some(&record_type);
            if !page.is_truncated || !next_is_wanted {
                return Ok(found);
            }
            identifier = page.next_record_identifier;
        }
        Err(CutoverError::new(CutoverErrorKind::Unfit, format!("{what}: it has more than {PAGES_MAX} pages")))
    }

    /// Makes all changes or none.
    pub(super) async fn change(&self, zone: &str, changes: Vec<Change>) -> Result<Batch> {
        let what = format!("cannot change records of hosted zone {zone}");
        let batch = ChangeBatch::builder().comment("failback").set_changes(Some(changes)).build();
        let batch = batch.map_err(|error| CutoverError::caused(CutoverErrorKind::Unfit, &what, error))?;
        attempt(|| {
            let request = self.client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch.clone());
            let what = &what;
            async move {
                match request.send().await {
                    Ok(reply) => {
                        let id = reply.change_info.map(|change| change.id).unwrap_or_default();
                        Ok(Batch::Accepted(ChangeId(id.trim_start_matches("/change/").to_owned())))
                    }
                    Err(error) => match error.as_service_error() {
                        Some(ChangeResourceRecordSetsError::InvalidChangeBatch(refused)) => {
                            Ok(Batch::Refused(refusal(refused.messages(), refused.meta().message())))
                        }
                        _ => Err(Failure::of(store_error(what, error))),
                    },
                }
            }
        })
        .await
    }

    pub(super) async fn change_status(&self, change: &ChangeId) -> Result<ChangeStatus> {
        let what = format!("cannot ask for change {change}");
        let reply = attempt(|| {
            let request = self.client.get_change().id(&change.0);
            let what = &what;
            async move {
                match request.send().await {
                    Ok(reply) => Ok(Some(reply)),
                    Err(error) if error.code() == Some("NoSuchChange") => Ok(None),
                    Err(error) => Err(Failure::of(store_error(what, error))),
                }
            }
        })
        .await?;
        let Some(reply) = reply else { return Ok(ChangeStatus::Forgotten) };
        let insync = reply.change_info.is_some_and(|change| change.status.as_str() == "INSYNC");
        Ok(if insync { ChangeStatus::Insync } else { ChangeStatus::Pending })
    }

    /// What the checkers of a health check last saw.
    pub(in crate::cutover) async fn health(&self, id: &str) -> Result<Vec<Observation>> {
        let what = format!("cannot ask for the status of health check {id}");
        let reply = attempt(|| {
            let request = self.client.get_health_check_status().health_check_id(id);
            async { request.send().await.map_err(|error| Failure::of(store_error(&what, error))) }
        })
        .await?;
        let reports = reply.health_check_observations.into_iter().map(|seen| seen.status_report);
        let observation = |report: Option<aws_sdk_route53::types::StatusReport>| Observation {
            success: report.as_ref().and_then(|report| report.status()).is_some_and(|said| said.starts_with("Success")),
            checked_at_second: report.and_then(|report| report.checked_time).map_or(i64::MIN, |time| time.secs()),
        };
        Ok(reports.map(observation).collect())
    }
}

fn refusal(messages: &[String], message: Option<&str>) -> String {
    if messages.is_empty() { message.unwrap_or("no reason given").to_owned() } else { messages.join("; ") }
}

/// Sends a request when the limiter allows it, again with growing pauses while that may help.
pub(super) async fn attempt<T, F>(mut request: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, Failure>>,
{
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS_MAX {
        LIMITER.until_ready().await;
        match request().await {
            Ok(reply) => return Ok(reply),
            Err(Failure::Final(error)) => return Err(error.into()),
            Err(Failure::Again(_)) => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    }
    LIMITER.until_ready().await;
    request().await.map_err(|failure| match failure {
        Failure::Again(error) | Failure::Final(error) => error.into(),
    })
}
