//! What the service is asked for and told to do about exports: windows of recovery, exports that exist, and new ones.

use aws_sdk_dynamodb::primitives::DateTime;
use aws_sdk_dynamodb::types::{
    ExportFormat, ExportStatus, ExportType, ExportViewType, IncrementalExportSpecification, PointInTimeRecoveryStatus,
    S3SseAlgorithm,
};
use jiff::SignedDuration;

use super::place::ExportPlace;
use crate::model::Timestamp;
use crate::store::aws::store_error;
use crate::store::dynamodb::DynamoDbStore;
use crate::store::{ErrorKind, Result, StoreError, Window};

/// Days that point-in-time recovery reaches back where the service does not say.
const RECOVERY_DAYS: i32 = 35;
/// Pages of exports that are asked for: the service forgets an export after 90 days.
const PAGES_MAX: usize = 40;

/// How far back point-in-time recovery of a table reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The earliest and the latest instant that can be had.
    pub window: Window,
    /// Days that it reaches back at most.
    pub days: i64,
}

impl Recovery {
    /// When an instant can be had no longer.
    pub fn expires(&self, instant: Timestamp) -> Timestamp {
        instant.saturating_add(SignedDuration::from_hours(24 * self.days)).unwrap_or(Timestamp::MAX)
    }
}

/// What an export is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportWanted {
    /// The whole table at an instant.
    Full(Timestamp),
    /// What changed in a window, with what it was before.
    Incremental(Window),
}

/// An export to be started.
#[derive(Debug, Clone)]
pub struct ExportRequest<'a> {
    /// What it is to hold.
    pub wanted: ExportWanted,
    /// The bucket it goes to.
    pub bucket: &'a str,
    /// What its keys begin with.
    pub prefix: &'a str,
    /// A KMS key to encrypt it with.
    pub kms_key: Option<&'a str>,
    /// A repeat with the same token starts nothing new.
    pub token: &'a str,
}

/// How far an export has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportState {
    /// The service is at work.
    InProgress,
    /// It is there.
    Completed,
    /// It failed, with what the service says.
    Failed(String),
}

/// An export as the service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFound {
    /// Its ARN.
    pub arn: String,
    /// What it holds, where the service tells.
    pub holds: Option<ExportWanted>,
    /// How far it has come.
    pub state: ExportState,
    /// Where it is.
    pub place: Option<ExportPlace>,
    /// The token that it was started with.
    pub token: Option<String>,
}

impl DynamoDbStore {
    /// How far back point-in-time recovery reaches; `None` where it is off.
    ///
    /// # Errors
    ///
    /// The connection's own.
    pub async fn recovery(&self) -> Result<Option<Recovery>> {
        let what = || format!("cannot ask for the point-in-time recovery of {}", self.format.subject);
        let reply = self.reader.describe_continuous_backups().table_name(&self.table).send().await;
        let reply = reply.map_err(|error| store_error(what(), error))?;
        let described = reply.continuous_backups_description;
        let Some(recovery) = described.and_then(|described| described.point_in_time_recovery_description) else {
            return Ok(None);
        };
        if recovery.point_in_time_recovery_status != Some(PointInTimeRecoveryStatus::Enabled) {
            return Ok(None);
        }
        let instant = |at: &Option<DateTime>| at.as_ref().and_then(timestamp);
        let (from, to) =
            (instant(&recovery.earliest_restorable_date_time), instant(&recovery.latest_restorable_date_time));
        let (Some(from), Some(to)) = (from, to) else {
            return Err(StoreError::caused(
                ErrorKind::Unreadable,
                what(),
                "the service does not tell how far it reaches",
            ));
        };
        let days = i64::from(recovery.recovery_period_in_days.unwrap_or(RECOVERY_DAYS));
        Ok(Some(Recovery { window: Window { from, to }, days }))
    }

    /// Starts an export; one that was started with the same token is given back as it is.
    ///
    /// # Errors
    ///
    /// As the service refuses it, and the connection's own.
    pub async fn start_export(&self, request: &ExportRequest<'_>) -> Result<ExportFound> {
        let arn = self.ask_identity().await?.resource;
        let call = self.writer.export_table_to_point_in_time().table_arn(arn).client_token(request.token);
        let call = call.s3_bucket(request.bucket).export_format(ExportFormat::DynamodbJson);
        let call = call.set_s3_prefix((!request.prefix.is_empty()).then(|| request.prefix.to_owned()));
        let call = match request.kms_key {
            Some(key) => call.s3_sse_algorithm(S3SseAlgorithm::Kms).s3_sse_kms_key_id(key),
            None => call,
        };
        let call = match request.wanted {
            ExportWanted::Full(at) => call.export_type(ExportType::FullExport).export_time(date_time(at)),
            ExportWanted::Incremental(Window { from, to }) => {
                let window = IncrementalExportSpecification::builder()
                    .export_from_time(date_time(from))
                    .export_to_time(date_time(to))
                    .export_view_type(ExportViewType::NewAndOldImages);
                call.export_type(ExportType::IncrementalExport).incremental_export_specification(window.build())
            }
        };
        let what = || format!("cannot start an export of {}", self.format.subject);
        let reply = call.send().await.map_err(|error| store_error(what(), error))?;
        let described = reply.export_description.and_then(|described| found(&described));
        described.ok_or_else(|| StoreError::new(ErrorKind::Unreadable, format!("{}: an empty answer", what())))
    }

    /// How far an export has come.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Missing`] where the service does not know it any more, and the connection's own.
    pub async fn export(&self, arn: &str) -> Result<ExportFound> {
        let what = || format!("cannot ask for export {arn}");
        let reply = self.reader.describe_export().export_arn(arn).send().await;
        let reply = reply.map_err(|error| {
            let is_gone = error.as_service_error().is_some_and(|error| error.is_export_not_found_exception());
            let error = store_error(what(), error);
            if is_gone { StoreError::caused(ErrorKind::Missing, what(), "the service does not know it") } else { error }
        })?;
        let described = reply.export_description.and_then(|described| found(&described));
        described.ok_or_else(|| StoreError::new(ErrorKind::Unreadable, format!("{}: an empty answer", what())))
    }

    /// The ARNs of the table's exports that the service still knows, newest last as far as their names tell.
    ///
    /// # Errors
    ///
    /// The connection's own.
    pub async fn exports(&self) -> Result<Vec<String>> {
        let table = self.ask_identity().await?.resource;
        let (mut arns, mut next) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let reply = self.reader.list_exports().table_arn(&table).set_next_token(next).send().await;
            let reply =
                reply.map_err(|error| store_error(format!("cannot list exports of {}", self.format.subject), error))?;
            arns.extend(reply.export_summaries.unwrap_or_default().into_iter().filter_map(|export| export.export_arn));
            next = reply.next_token;
            if next.is_none() {
                break;
            }
        }
        arns.sort();
        Ok(arns)
    }
}

fn found(described: &aws_sdk_dynamodb::types::ExportDescription) -> Option<ExportFound> {
    let arn = described.export_arn.clone()?;
    let instant = |at: &Option<DateTime>| at.as_ref().and_then(timestamp);
    let window = described.incremental_export_specification.as_ref().and_then(|window| {
        let (from, to) = (instant(&window.export_from_time)?, instant(&window.export_to_time)?);
        Some(Window { from, to })
    });
    let holds = match described.export_type {
        Some(ExportType::IncrementalExport) => window.map(ExportWanted::Incremental),
        _ => instant(&described.export_time).map(ExportWanted::Full),
    };
    let state = match &described.export_status {
        Some(ExportStatus::Completed) => ExportState::Completed,
        Some(ExportStatus::InProgress) => ExportState::InProgress,
        // A status that is not known is no success.
        status => {
            let status = status.as_ref().map_or("without a status", ExportStatus::as_str);
            let words = [described.failure_code.as_deref(), described.failure_message.as_deref()];
            let words = words.into_iter().flatten().collect::<Vec<_>>().join(": ");
            ExportState::Failed(if words.is_empty() { status.to_owned() } else { words })
        }
    };
    let place = described.s3_bucket.as_deref().and_then(|bucket| {
        let id = arn.rsplit_once("/export/")?.1;
        let prefix = described.s3_prefix.as_deref().unwrap_or_default();
        let prefix = if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_end_matches('/')) };
        ExportPlace::parse(&format!("s3://{bucket}/{prefix}AWSDynamoDB/{id}")).ok()
    });
    Some(ExportFound { arn, holds, state, place, token: described.client_token.clone() })
}

/// The instant behind a time of the SDK.
pub(super) fn timestamp(at: &DateTime) -> Option<Timestamp> {
    let nanos = i32::try_from(at.subsec_nanos()).ok()?;
    Timestamp::new(at.secs(), nanos).ok()
}

fn date_time(at: Timestamp) -> DateTime {
    DateTime::from_secs(at.as_second())
}
