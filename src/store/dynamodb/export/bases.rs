//! What can still become a base of a table, and until when: told before it is too late.

use std::fmt::Write;

use aws_sdk_dynamodb::types::{BackupStatus, BackupType, BackupTypeFilter};
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};
use jiff::SignedDuration;

use super::objects::{Bucket, Objects};
use super::place::ExportPlace;
use super::service::{ExportFound, ExportState, ExportWanted, Recovery, timestamp};
use super::vaults;
use crate::model::{Clock, Timestamp};
use crate::profile::SideProfile;
use crate::store::aws::store_error;
use crate::store::dynamodb::DynamoDbStore;
use crate::store::{ErrorKind, Finding, Level, Result, StoreError};

/// Exports that are looked at, newest first.
const EXPORTS_MAX: usize = 20;
/// Pages of backups that are asked for.
const PAGES_MAX: usize = 20;
/// A base that is lost sooner than this is a warning.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);
/// What an incremental export may cover at most, in hours.
pub const WINDOW_HOURS_MAX: i64 = 24;
/// The command that saves a base.
const RESCUE: &str = "save it now: failback checkpoint PROFILE --rescue";

impl DynamoDbStore {
    /// Tells which bases of the state at `common_at` (Tb) exist, and when each expires.
    pub async fn check_bases(
        &self,
        reached: &SideProfile,
        common_at: Option<Timestamp>,
        clock: &dyn Clock,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let now = clock.now();
        match self.recovery().await {
            Ok(Some(recovery)) => findings.extend(self.recovery_findings(recovery, common_at, now)),
            Ok(None) if common_at.is_some() => {
                let what = "point-in-time recovery is off, so the state dr had cannot be exported from this side";
                findings.push(self.base(Level::Note, what.into()));
            }
            Ok(None) => {}
            Err(error) => findings.push(self.unknown("how far back point-in-time recovery reaches", &error)),
        }
        match self.exports().await {
            Ok(arns) => findings.extend(self.export_findings(&arns, reached, now).await),
            Err(error) => findings.push(self.unknown("which exports exist", &error)),
        }
        match self.backup_findings().await {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(self.unknown("which backups exist", &error)),
        }
        let points = match self.ask_identity().await {
            Ok(identity) => vaults::recovery_points(reached, &identity.resource).await,
            Err(error) => Err(error),
        };
        match points {
            Ok(told) => findings.extend(told.into_iter().map(|what| self.base(Level::Note, what))),
            Err(error) => findings.push(self.unknown("what AWS Backup keeps", &error)),
        }
        findings
    }

    fn base(&self, level: Level, what: String) -> Finding {
        Finding::new(level, format!("{} {} bases", self.id, self.side), what)
    }

    fn unknown(&self, what: &str, error: &StoreError) -> Finding {
        let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let error = causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"));
        self.base(Level::Warning, format!("it cannot be told {what}: {error}"))
    }

    fn recovery_findings(&self, recovery: Recovery, common_at: Option<Timestamp>, now: Timestamp) -> Vec<Finding> {
        let Recovery { window, days } = recovery;
        let reach = format!("point-in-time recovery reaches from {} to {} ({days} days)", window.from, window.to);
        let Some(at) = common_at else {
            return vec![self.base(Level::Note, format!("{reach}: any instant in it can become a base"))];
        };
        if at < window.from {
            let what = format!("{reach}: the state at {at} can no longer be exported or restored from this side");
            return vec![self.base(Level::Warning, what)];
        }
        if at > window.to {
            let what = format!("{reach}: the state at {at} cannot be exported yet");
            return vec![self.base(Level::Note, what).with_hint("try again in some minutes")];
        }
        let expires = recovery.expires(at);
        let level = if expires.duration_since(now) < SOON { Level::Warning } else { Level::Note };
        let full = format!("{reach}: the state at {at} can be exported or restored until {expires}");
        let hours = window.to.duration_since(at).as_hours();
        let windows = hours / WINDOW_HOURS_MAX + 1;
        let mut changes = format!(
            "what changed since {at} can be exported in {windows} windows of 15 minutes to {WINDOW_HOURS_MAX} hours"
        );
        let _ =
            write!(changes, "; the first can be had until {expires}, each later one as much longer as it begins later");
        vec![self.base(level, full).with_hint(RESCUE), self.base(Level::Note, changes)]
    }

    async fn export_findings(&self, arns: &[String], reached: &SideProfile, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        for arn in arns.iter().rev().take(EXPORTS_MAX) {
            match self.export(arn).await {
                Ok(export) => findings.push(self.export_finding(&export, reached, now).await),
                Err(error) => findings.push(self.unknown(&format!("what {arn} is"), &error)),
            }
        }
        if arns.len() > EXPORTS_MAX {
            let what = format!("{} older exports exist that are not looked at here", arns.len() - EXPORTS_MAX);
            findings.push(self.base(Level::Note, what));
        }
        findings
    }

    async fn export_finding(&self, export: &ExportFound, reached: &SideProfile, now: Timestamp) -> Finding {
        let holds = match export.holds {
            Some(ExportWanted::Full(at)) => format!("a FULL export as of {at}"),
            Some(ExportWanted::Incremental(window)) => {
                format!("an INCREMENTAL export from {} to {}", window.from, window.to)
            }
            None => "an export".to_owned(),
        };
        let place = export.place.as_ref().map_or_else(|| export.arn.clone(), ExportPlace::url);
        let named = format!("{holds}: {place}");
        match (&export.state, &export.place) {
            (ExportState::InProgress, _) => self.base(Level::Note, format!("{named} is being made")),
            (ExportState::Failed(why), _) => self.base(Level::Warning, format!("{named} failed: {why}")),
            (ExportState::Completed, None) => {
                self.base(Level::Warning, format!("{named} is said to be done, but not where"))
            }
            (ExportState::Completed, Some(place)) => match kept(place, reached).await {
                Ok(Kept::Always) => self.base(Level::Note, format!("{named} exists; no lifecycle rule removes it")),
                Ok(Kept::Days { days, rule }) => {
                    let what =
                        format!("{named} exists; lifecycle rule {rule} removes it {days} days after it was made");
                    let level = if i64::from(days) * 24 < SOON.as_hours() { Level::Warning } else { Level::Note };
                    self.base(level, what).with_hint("suspend the rule or copy the export until the failback is done")
                }
                Ok(Kept::Until { at, rule }) => {
                    let level = if at.duration_since(now) < SOON { Level::Warning } else { Level::Note };
                    self.base(level, format!("{named} exists; lifecycle rule {rule} removes it at {at}"))
                        .with_hint("suspend the rule or copy the export until the failback is done")
                }
                Ok(Kept::Unknown(why)) => self.base(
                    Level::Note,
                    format!("{named} exists; whether a lifecycle rule removes it is not known: {why}"),
                ),
                Err(error) if error.kind == ErrorKind::Missing => self.base(
                    Level::Warning,
                    format!("{named} is said to be done, but its manifest is not there: it is no base"),
                ),
                Err(error) => self.unknown(&format!("whether {place} is there", place = place.url()), &error),
            },
        }
    }

    /// On-demand backups and those of the system; AWS Backup is asked by itself.
    async fn backup_findings(&self) -> Result<Vec<Finding>> {
        let (mut findings, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let request = self.reader.list_backups().table_name(&self.table).backup_type(BackupTypeFilter::All);
            let reply = request.set_exclusive_start_backup_arn(after).send().await;
            let reply =
                reply.map_err(|error| store_error(format!("cannot list backups of {}", self.format.subject), error))?;
            for backup in reply.backup_summaries.unwrap_or_default() {
                let is_of_vault = backup.backup_type == Some(BackupType::AwsBackup);
                if backup.backup_status != Some(BackupStatus::Available) || is_of_vault {
                    continue;
                }
                let made = backup.backup_creation_date_time.as_ref().and_then(timestamp);
                let made = made.map_or("an unknown time".to_owned(), |at| at.to_string());
                let expires = backup.backup_expiry_date_time.as_ref().and_then(timestamp);
                let kind = backup.backup_type.as_ref().map_or("unknown", |kind| kind.as_str());
                let until = expires.map_or("until somebody deletes it".to_owned(), |at| format!("until {at}"));
                let name = backup.backup_name.as_deref().unwrap_or("without a name");
                let what = format!("backup {name} of {made} ({kind}) can be restored into a table aside {until}");
                findings.push(self.base(Level::Note, what));
            }
            after = reply.last_evaluated_backup_arn;
            if after.is_none() {
                break;
            }
        }
        Ok(findings)
    }
}

/// How long an export's objects stay.
enum Kept {
    Always,
    Days { days: i32, rule: String },
    Until { at: Timestamp, rule: String },
    Unknown(String),
}

/// Asks whether an export is there and which lifecycle rule would remove it.
async fn kept(place: &ExportPlace, reached: &SideProfile) -> Result<Kept> {
    let bucket = Bucket::connect(reached, &place.bucket).await?;
    let manifest = place.own("manifest-summary.json");
    bucket.open(&manifest).await?;
    let reply = bucket.client().get_bucket_lifecycle_configuration().bucket(&place.bucket).send().await;
    let rules = match reply {
        Ok(reply) => reply.rules.unwrap_or_default(),
        Err(error) => {
            let code = aws_sdk_s3::error::ProvideErrorMetadata::code(&error).unwrap_or("no answer").to_owned();
            let none = code == "NoSuchLifecycleConfiguration";
            return Ok(if none { Kept::Always } else { Kept::Unknown(code) });
        }
    };
    Ok(first_to_remove(&rules, &manifest))
}

/// The rule that removes an object first, by its key alone: rules that ask for tags or sizes may or may not apply.
fn first_to_remove(rules: &[LifecycleRule], key: &str) -> Kept {
    let mut kept = Kept::Always;
    let mut least = i32::MAX;
    for rule in rules.iter().filter(|rule| rule.status == ExpirationStatus::Enabled) {
        let Some(expiration) = rule.expiration.as_ref().filter(|_| applies(rule, key)) else { continue };
        let name = rule.id.clone().unwrap_or_else(|| "without a name".to_owned());
        match (expiration.days, expiration.date.as_ref().and_then(timestamp)) {
            (Some(days), _) if days < least => {
                least = days;
                kept = Kept::Days { days, rule: name };
            }
            (None, Some(at)) if least == i32::MAX => kept = Kept::Until { at, rule: name },
            _ => {}
        }
    }
    kept
}

fn applies(rule: &LifecycleRule, key: &str) -> bool {
    #[expect(deprecated, reason = "rules of old still have their prefix there")]
    let old = rule.prefix.as_deref();
    let filter = rule.filter.as_ref();
    let prefix = filter.and_then(|filter| {
        filter.prefix.as_deref().or_else(|| filter.and.as_ref().and_then(|and| and.prefix.as_deref()))
    });
    key.starts_with(prefix.or(old).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{LifecycleExpiration, LifecycleRuleFilter};

    use super::*;

    fn rule(prefix: &str, days: i32, status: ExpirationStatus) -> LifecycleRule {
        let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
        let expiration = LifecycleExpiration::builder().days(days).build();
        let rule = LifecycleRule::builder().id(format!("{prefix}{days}")).filter(filter).expiration(expiration);
        rule.status(status).build().expect("a rule")
    }

    #[test]
    fn the_rule_that_removes_an_export_first_is_named() {
        let rules = [
            rule("x/", 30, ExpirationStatus::Enabled),
            rule("", 7, ExpirationStatus::Enabled),
            rule("x/", 1, ExpirationStatus::Disabled),
            rule("y/", 2, ExpirationStatus::Enabled),
        ];
        let key = "x/AWSDynamoDB/1/manifest-summary.json";
        assert!(matches!(first_to_remove(&rules, key), Kept::Days { days: 7, rule } if rule == "7"));
        assert!(matches!(first_to_remove(&rules[2..], key), Kept::Always));
    }
}
