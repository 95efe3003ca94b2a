//! Restore jobs of AWS Backup.

use aws_sdk_backup::Client;
use aws_sdk_backup::types::{RestoreJobStatus, RestoreJobsListMember};

use super::{Listed, PAGES_MAX, Reach, instant};
use crate::discover::found::{Place, Restore};
use crate::store::aws::{endpoint, store_error};

const JOBS: &str = "AWS Backup restore jobs";

/// All restore jobs of a side's Region that have ended well.
pub(super) async fn listed(reach: &Reach<'_>) -> Listed {
    let mut builder = aws_sdk_backup::config::Builder::from(&reach.config);
    builder.set_endpoint_url(endpoint(reach.profile, "backup"));
    let client = Client::from_conf(builder.build());
    let (mut listed, mut next) = (Listed::default(), None);
    for _ in 0..PAGES_MAX {
        let request = client.list_restore_jobs().by_status(RestoreJobStatus::Completed).set_next_token(next);
        let page = match request.send().await {
            Ok(page) => page,
            Err(error) => {
                listed.gaps.add(JOBS, &store_error("cannot list restore jobs", error));
                return listed;
            }
        };
        for mut job in page.restore_jobs.unwrap_or_default() {
            complete(&client, &mut job, &mut listed).await;
            listed.restores.extend(restore_of(&job));
        }
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return listed;
        }
    }
    listed.gaps.add_words(JOBS, format!("there are more than {PAGES_MAX} pages of them"));
    listed
}

/// Asks for the job itself where the listing leaves out its source or what it made.
async fn complete(client: &Client, job: &mut RestoreJobsListMember, listed: &mut Listed) {
    if job.source_resource_arn.is_some() && job.created_resource_arn.is_some() {
        return;
    }
    let Some(id) = job.restore_job_id.clone() else { return };
    match client.describe_restore_job().restore_job_id(&id).send().await {
        Ok(described) => {
            job.source_resource_arn = described.source_resource_arn;
            job.created_resource_arn = described.created_resource_arn;
            job.recovery_point_creation_date = described.recovery_point_creation_date;
        }
        Err(error) => listed.gaps.add(JOBS, &store_error(format!("cannot describe restore job {id}"), error)),
    }
}

/// What a job restored; `None` where it did not end well or restored what has no counterpart here, such as a disk.
fn restore_of(job: &RestoreJobsListMember) -> Option<Restore> {
    if job.status != Some(RestoreJobStatus::Completed) {
        return None;
    }
    Some(Restore {
        source: Place::of_arn(job.source_resource_arn()?)?,
        created: Place::of_arn(job.created_resource_arn()?)?,
        as_of: job.recovery_point_creation_date().and_then(instant),
        told_by: format!("AWS Backup restore job {}", job.restore_job_id().unwrap_or("without an id")),
    })
}

/// No server here answers with restore jobs: these are replies as the service model documents them.
#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::*;

    fn job(source: &str, created: &str) -> RestoreJobsListMember {
        RestoreJobsListMember::builder()
            .restore_job_id("5B06-1")
            .status(RestoreJobStatus::Completed)
            .source_resource_arn(source)
            .created_resource_arn(created)
            .recovery_point_creation_date(DateTime::from_secs_and_nanos(1_795_316_400, 500_000_000))
            .build()
    }

    #[test]
    fn a_job_maps_its_source_to_what_it_made() {
        let rows = [
            (
                "arn:aws:dynamodb:us-east-1:111122223333:table/orders",
                "arn:aws:dynamodb:us-west-2:444455556666:table/orders-r",
            ),
            ("arn:aws:s3:::media-use1", "arn:aws:s3:::media-usw2"),
            ("arn:aws:rds:us-east-1:111122223333:db:ledger", "arn:aws:rds:us-west-2:111122223333:db:ledger-r"),
            (
                "arn:aws:rds:us-east-1:111122223333:cluster:ledger",
                "arn:aws:rds:us-west-2:111122223333:cluster:ledger-r",
            ),
            ("arn:aws-cn:dynamodb:cn-north-1:111122223333:table/a.b", "arn:aws-cn:dynamodb:cn-northwest-1:1:table/a.b"),
        ];
        for (source, created) in rows {
            let restore = restore_of(&job(source, created)).expect("a restore");
            assert!(source.ends_with(&restore.source.name) && created.ends_with(&restore.created.name), "{restore:?}");
            assert_eq!(restore.as_of.map(|at| at.to_string()).as_deref(), Some("2026-11-22T03:00:00Z"));
            assert_eq!(restore.told_by, "AWS Backup restore job 5B06-1");
        }
        let restore = restore_of(&job(rows[0].0, rows[0].1)).expect("a restore");
        assert_eq!((restore.source.region.as_str(), restore.created.region.as_str()), ("us-east-1", "us-west-2"));
    }

    #[test]
    fn what_is_unfinished_or_of_another_kind_maps_to_nothing() {
        let (table, disk) = ("arn:aws:dynamodb:us-east-1:1:table/orders", "arn:aws:ec2:us-east-1:1:volume/vol-1");
        let mut running = job(table, table);
        running.status = Some(RestoreJobStatus::Running);
        let mut bare = job(table, table);
        bare.created_resource_arn = None;
        for job in [job(disk, disk), job(table, "orders"), running, bare] {
            assert_eq!(restore_of(&job), None, "{job:?}");
        }
    }
}
