//! Asks the services of both Regions, in parallel and page by page, for what they hold.

mod backup;
mod dynamodb;
mod rds;
mod s3;

use std::collections::BTreeMap;
use std::error::Error;

use aws_config::SdkConfig;
use futures_util::{StreamExt, stream};

use super::found::{Gap, Resource, Restore, SideFound, Survey};
use crate::cutover::{Route53, Weighted};
use crate::model::{Side, Timestamp};
use crate::profile::SideProfile;
use crate::store::StoreError;
use crate::store::aws::{caller_account, sdk_config};
use crate::store::sql::matches;

/// Resources of one kind and side that are looked at; more are told, never dropped silently.
pub const RESOURCES_MAX: usize = 2_000;

/// Requests to one service and side that are under way at the same time.
const PARALLEL: usize = 8;

/// Pages of one listing that are read.
const PAGES_MAX: usize = 1_000;

/// Which names are looked at: those that match a pattern to include, if there are any, and none to exclude.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Patterns with `*` and `?`; none means everything.
    pub include: Vec<String>,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
}

impl Filter {
    /// Whether a resource of this name is looked at.
    pub fn takes(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

/// Lists everything on both sides that a profile can name. What cannot be listed is a gap of the survey.
pub async fn survey(primary: &SideProfile, dr: &SideProfile, filter: &Filter) -> Survey {
    let (one, two, records) =
        tokio::join!(side(Side::Primary, primary, filter), side(Side::Dr, dr, filter), weighted(primary));
    let mut survey = Survey {
        primary: one.found,
        dr: two.found,
        restores: one.restores,
        records: Vec::new(),
        gaps: [one.gaps, two.gaps].concat(),
    };
    survey.restores.extend(two.restores);
    survey.restores.sort_by(|one, other| {
        (&one.source, &one.created, one.as_of).cmp(&(&other.source, &other.created, other.as_of))
    });
    match records {
        Ok(records) => survey.records = records,
        Err(gap) => survey.gaps.push(gap),
    }
    survey
}

/// The restores that a side's AWS Backup tells of, and those that these tables tell of themselves; what could not be asked.
pub async fn restores(side: Side, profile: &SideProfile, tables: &[String]) -> (Vec<Restore>, Vec<Gap>) {
    let filter = Filter::default();
    let reach = Reach { profile, config: sdk_config(profile).await, filter: &filter };
    let (jobs, own) = tokio::join!(backup::listed(&reach), dynamodb::restores_of(&reach, tables.to_vec()));
    let Listed { mut restores, mut gaps, .. } = jobs;
    restores.extend(own.restores);
    gaps.absorb(own.gaps);
    (restores, gaps.of(side))
}

/// Makes sure that a table is there.
///
/// # Errors
///
/// `Missing` when it is not, and the service's own.
pub async fn table_exists(profile: &SideProfile, name: &str) -> Result<(), StoreError> {
    let filter = Filter::default();
    let reach = Reach { profile, config: sdk_config(profile).await, filter: &filter };
    dynamodb::exists(&reach, name).await
}

/// Makes sure that a bucket is there.
///
/// # Errors
///
/// `Missing` when it is not, and the service's own: also where it is somebody else's.
pub async fn bucket_exists(profile: &SideProfile, name: &str) -> Result<(), StoreError> {
    let filter = Filter::default();
    let reach = Reach { profile, config: sdk_config(profile).await, filter: &filter };
    s3::exists(&reach, name).await
}

/// What one side tells.
struct Told {
    found: SideFound,
    restores: Vec<Restore>,
    gaps: Vec<Gap>,
}

/// How one side is reached, and what of it is looked at.
struct Reach<'a> {
    profile: &'a SideProfile,
    config: SdkConfig,
    filter: &'a Filter,
}

/// What a service told of one side.
#[derive(Default)]
struct Listed {
    resources: Vec<Resource>,
    restores: Vec<Restore>,
    gaps: Gaps,
}

async fn side(side: Side, profile: &SideProfile, filter: &Filter) -> Told {
    let reach = Reach { profile, config: sdk_config(profile).await, filter };
    let (account, tables, buckets, databases, restores) = tokio::join!(
        caller_account(profile),
        dynamodb::listed(&reach),
        s3::listed(&reach),
        rds::listed(&reach),
        backup::listed(&reach),
    );
    let mut gaps = Gaps::default();
    let account = account.unwrap_or_else(|error| {
        gaps.add("whose account it is", &error);
        None
    });
    let mut told = Told {
        found: SideFound { region: profile.region.clone(), account, resources: Vec::new() },
        restores: Vec::new(),
        gaps: gaps.of(side),
    };
    for listed in [tables, buckets, databases, restores] {
        let Listed { mut resources, restores, gaps } = listed;
        resources.sort_by(|one, other| one.name.cmp(&other.name));
        told.found.resources.extend(resources);
        told.restores.extend(restores);
        told.gaps.extend(gaps.of(side));
    }
    told
}

/// The weighted records of every hosted zone; Route 53 is one for all Regions.
async fn weighted(reached: &SideProfile) -> Result<Vec<Weighted>, Gap> {
    let gap = |error: &dyn Error| Gap { side: None, what: "Route 53 records".to_owned(), why: chain(error) };
    let route53 = Route53::connect(reached).await;
    let mut records = Vec::new();
    for zone in route53.zones().await.map_err(|error| gap(&error))? {
        records.extend(route53.weighted(&zone).await.map_err(|error| gap(&error))?);
    }
    Ok(records)
}

/// What could not be listed, each thing once.
#[derive(Debug, Default)]
struct Gaps(BTreeMap<String, (u64, String)>);

impl Gaps {
    /// Notes that something could not be listed; the first reason is kept, the others are counted.
    fn add(&mut self, what: &str, error: &(dyn Error + 'static)) {
        self.add_words(what, chain(error));
    }

    fn add_words(&mut self, what: &str, why: String) {
        self.0.entry(what.to_owned()).or_insert((0, why)).0 += 1;
    }

    fn absorb(&mut self, other: Gaps) {
        for (what, (count, why)) in other.0 {
            self.0.entry(what).or_insert((0, why)).0 += count;
        }
    }

    fn of(self, side: Side) -> Vec<Gap> {
        let words = |count: u64, why: String| if count > 1 { format!("{why} (and {} more)", count - 1) } else { why };
        self.0.into_iter().map(|(what, (count, why))| Gap { side: Some(side), what, why: words(count, why) }).collect()
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words.replace(['\n', '\r'], " ")
}

/// Names that are looked at, bounded.
fn bounded(names: Vec<String>, what: &str, reach: &Reach<'_>, gaps: &mut Gaps) -> Vec<String> {
    let mut taken: Vec<String> = names.into_iter().filter(|name| reach.filter.takes(name)).collect();
    if taken.len() > RESOURCES_MAX {
        let why = format!(
            "there are {}, and no more than {RESOURCES_MAX} are looked at: narrow them with --include or --exclude",
            taken.len()
        );
        gaps.add_words(what, why);
        taken.truncate(RESOURCES_MAX);
    }
    taken
}

/// Looks at every one of `names`, a few at a time.
async fn each<T, F>(names: Vec<String>, look: impl Fn(String) -> F) -> Vec<T>
where
    F: Future<Output = T>,
{
    stream::iter(names).map(look).buffered(PARALLEL).collect().await
}

/// An instant as a service tells it.
fn instant(date: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::from_second(date.secs()).ok()
}
