//! S3 buckets.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{BucketVersioningStatus, ReplicationRuleStatus};

use super::{Gaps, Listed, PAGES_MAX, Reach, bounded, each};
use crate::discover::found::{Bucket, Found, Place, Resource};
use crate::store::aws::{endpoint, store_error};
use crate::store::{ErrorKind, StoreError};

const BUCKETS: &str = "S3 buckets";

/// Buckets asked for with one page.
const PAGE_SIZE: i32 = 1_000;

/// All buckets of a side's Region.
pub(super) async fn listed(reach: &Reach<'_>) -> Listed {
    let client = client(reach);
    let mut listed = Listed::default();
    // A listing names the buckets of every Region; those are told apart before any is looked at closely.
    let names = names(&client, &mut listed.gaps).await;
    let names = bounded(names, BUCKETS, reach, &mut listed.gaps);
    for (resource, gaps) in each(names, |name| look(&client, &reach.profile.region, name)).await {
        listed.resources.extend(resource);
        listed.gaps.absorb(gaps);
    }
    listed
}

/// Makes sure that a bucket is there.
pub(super) async fn exists(reach: &Reach<'_>, name: &str) -> Result<(), StoreError> {
    let reply = client(reach).head_bucket().bucket(name).send().await;
    reply.map(drop).map_err(|error| store_error(format!("cannot look for bucket {name}"), error))
}

fn client(reach: &Reach<'_>) -> Client {
    let address = endpoint(reach.profile, "s3");
    let mut builder = aws_sdk_s3::config::Builder::from(&reach.config).force_path_style(address.is_some());
    builder.set_endpoint_url(address);
    Client::from_conf(builder.build())
}

async fn names(client: &Client, gaps: &mut Gaps) -> Vec<String> {
    let (mut names, mut next) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        match client.list_buckets().max_buckets(PAGE_SIZE).set_continuation_token(next).send().await {
            Ok(page) => {
                names.extend(page.buckets.unwrap_or_default().into_iter().filter_map(|bucket| bucket.name));
                next = page.continuation_token.filter(|token| !token.is_empty());
                if next.is_none() {
                    return names;
                }
            }
            Err(error) => {
                gaps.add(BUCKETS, &store_error("cannot list buckets", error));
                return names;
            }
        }
    }
    gaps.add_words(BUCKETS, format!("there are more than {PAGES_MAX} pages of them"));
    names
}

async fn look(client: &Client, region: &str, name: String) -> (Option<Resource>, Gaps) {
    let mut gaps = Gaps::default();
    match location(client, &name).await {
        Ok(found) if found == region => {}
        Ok(_) => return (None, gaps),
        Err(error) => {
            if error.kind != ErrorKind::Missing {
                gaps.add("Regions of S3 buckets", &error);
            }
            return (None, gaps);
        }
    }
    let versioned = versioned(client, &name).await.map(Some).unwrap_or_else(|error| {
        gaps.add("versioning of S3 buckets", &error);
        None
    });
    let replicates_to = destinations(client, &name).await.unwrap_or_else(|error| {
        gaps.add("replication of S3 buckets", &error);
        Vec::new()
    });
    let tags = tags(client, &name).await.unwrap_or_else(|error| {
        gaps.add("tags of S3 buckets", &error);
        BTreeMap::new()
    });
    (Some(Resource { name, tags, found: Found::Bucket(Bucket { versioned, replicates_to }) }), gaps)
}

async fn location(client: &Client, name: &str) -> Result<String, StoreError> {
    let reply = client.get_bucket_location().bucket(name).send().await;
    let reply = reply.map_err(|error| store_error(format!("cannot ask where bucket {name} is"), error))?;
    Ok(region_of(reply.location_constraint.as_ref().map(|place| place.as_str())).to_owned())
}

/// S3 tells its first Region by no name at all, and its first European one by an old name.
fn region_of(constraint: Option<&str>) -> &str {
    match constraint {
        None | Some("" | "null" | "US") => "us-east-1",
        Some("EU") => "eu-west-1",
        Some(region) => region,
    }
}

async fn versioned(client: &Client, name: &str) -> Result<bool, StoreError> {
    let reply = client.get_bucket_versioning().bucket(name).send().await;
    let reply =
        reply.map_err(|error| store_error(format!("cannot ask whether bucket {name} keeps versions"), error))?;
    Ok(reply.status == Some(BucketVersioningStatus::Enabled))
}

async fn destinations(client: &Client, name: &str) -> Result<Vec<String>, StoreError> {
    let reply = match client.get_bucket_replication().bucket(name).send().await {
        Ok(reply) => reply,
        Err(error) if error.code() == Some("ReplicationConfigurationNotFoundError") => return Ok(Vec::new()),
        Err(error) => return Err(store_error(format!("cannot ask where bucket {name} is replicated to"), error)),
    };
    let rules = reply.replication_configuration.map(|found| found.rules).unwrap_or_default();
    let enabled = rules.into_iter().filter(|rule| rule.status == ReplicationRuleStatus::Enabled);
    let arns = enabled.filter_map(|rule| rule.destination).map(|destination| destination.bucket);
    let mut names: Vec<String> = arns.filter_map(|arn| Place::of_arn(&arn)).map(|place| place.name).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

async fn tags(client: &Client, name: &str) -> Result<BTreeMap<String, String>, StoreError> {
    match client.get_bucket_tagging().bucket(name).send().await {
        Ok(reply) => Ok(reply.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect()),
        Err(error) if error.code() == Some("NoSuchTagSet") => Ok(BTreeMap::new()),
        Err(error) => Err(store_error(format!("cannot list the tags of bucket {name}"), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_of_regions_are_understood() {
        for (constraint, region) in
            [(None, "us-east-1"), (Some(""), "us-east-1"), (Some("EU"), "eu-west-1"), (Some("us-west-2"), "us-west-2")]
        {
            assert_eq!(region_of(constraint), region);
        }
    }
}
