//! Which of a profile's resources are restored copies.

use super::chain;
use super::databases::Looked;
use super::present::{had, present};
use crate::control::restored::{Adopted, AdoptedKind, Counterpart, Named, Origin, Present, judge, renamed, source};
use crate::discover::aws::{bucket_exists, restores, table_exists};
use crate::discover::{Place, ResourceKind};
use crate::model::Side;
use crate::profile::SideProfile;
use crate::store::sql::rds::{client, described_cluster, described_instance};
use crate::store::{ErrorKind, Finding, Level};

/// Maps restored resources to their originals, by AWS Backup's restore jobs, by what a table tells of itself, and by names;
/// gives what takes its original's place besides. `pairs` are the primary's and dr's resource of each store.
pub async fn look_at_restores(primary: &SideProfile, dr: &SideProfile, pairs: &[[Named; 2]]) -> (Looked, Vec<Adopted>) {
    let (mut looked, mut adopted) = (Looked::default(), Vec::new());
    if pairs.is_empty() {
        return (looked, adopted);
    }
    let tables = |at: usize| -> Vec<String> {
        let tables = pairs.iter().map(|pair| &pair[at]).filter(|one| one.kind == AdoptedKind::Table);
        tables.map(|one| one.place.name.clone()).collect()
    };
    let (home_tables, away_tables) = (tables(0), tables(1));
    let (home, away) = tokio::join!(
        Box::pin(restores(Side::Primary, primary, &home_tables)),
        Box::pin(restores(Side::Dr, dr, &away_tables))
    );
    let mut made = home.0;
    made.extend(away.0);
    for gap in home.1.into_iter().chain(away.1) {
        let side = gap.side.map_or(String::new(), |side| format!("{side}: "));
        let what = format!("which resources were restored from what is only known by their names: {side}{}", gap.why);
        looked.findings.push(Finding::new(Level::Note, &gap.what, what));
    }
    for pair in pairs {
        let sources = pair.each_ref().map(|named| source(named, &made));
        for (at, named) in pair.iter().enumerate() {
            let Some(source) = &sources[at] else { continue };
            let reached = if at == 0 { primary } else { dr };
            let (copy, origin) =
                tokio::join!(Box::pin(copy(reached, named)), Box::pin(origin(reached, named, &source.original)));
            // Its name may have been given away already: the same steps once more would take it from the copy.
            let origin = match copy {
                Origin::There => origin,
                Origin::Gone => {
                    looked.findings.extend(renamed(named, &source.original, &origin));
                    continue;
                }
                Origin::Unknown(why) => {
                    Origin::Unknown(format!("whether {} is there is not known either: {why}", named.place.name))
                }
            };
            // A name alone, of something that was never there, says nothing.
            if !source.is_proved && origin == Origin::Gone && named.side != Side::Primary {
                continue;
            }
            // The name of a bucket is one in the world: another's may be anybody's.
            if !source.is_proved && named.kind == AdoptedKind::Bucket && origin != Origin::There {
                continue;
            }
            let other = Counterpart { place: &pair[1 - at].place, source: sources[1 - at].as_ref() };
            let (findings, guide, one) = judge(named, other, source, &origin);
            looked.findings.extend(findings);
            looked.guides.extend(guide);
            if let Some(one) = one {
                let one = Box::pin(with_instances(reached, one, &mut looked)).await;
                adopted.push(Box::pin(with_attributes(reached, one, &origin)).await);
            }
        }
    }
    (looked, adopted)
}

/// What the copy has, and beside it the original, as far as that is told.
async fn with_attributes(reached: &SideProfile, mut one: Adopted, origin: &Origin) -> Adopted {
    let own = Box::pin(present(reached, one.kind, &one.name)).await;
    let theirs = match origin {
        Origin::There => Box::pin(present(reached, one.kind, &one.original)).await,
        Origin::Gone => Box::pin(had(reached, one.kind, &one.original)).await,
        Origin::Unknown(_) => Vec::new(),
    };
    let original = |attribute: &str| theirs.iter().find(|(name, _)| *name == attribute).map(|(_, value)| value.clone());
    let told = own.into_iter().map(|(attribute, value)| Present {
        original: original(attribute),
        attribute: attribute.to_owned(),
        value,
    });
    one.present = told.collect();
    // A bucket's place has no Region, for its name is one everywhere.
    if one.region.is_empty() {
        one.region.clone_from(&reached.region);
    }
    one
}

/// A cluster's instances are resources of their own.
async fn with_instances(reached: &SideProfile, mut one: Adopted, looked: &mut Looked) -> Adopted {
    if one.kind != AdoptedKind::Cluster {
        return one;
    }
    match described_cluster(&client(reached).await, &one.name).await {
        Ok(cluster) => {
            let members = cluster.db_cluster_members().iter().filter_map(|member| member.db_instance_identifier());
            one.instances = members.map(str::to_owned).collect();
        }
        Err(error) => {
            let what =
                format!("the instances of {} are not known, and will not be imported: {}", one.name, chain(&error));
            looked.findings.push(Finding::new(Level::Warning, format!("{} primary", one.store), what));
        }
    }
    one
}

/// Whether a resource that a profile names is there; buckets tell by themselves.
async fn copy(reached: &SideProfile, named: &Named) -> Origin {
    match named.kind {
        AdoptedKind::Bucket => Origin::There,
        AdoptedKind::Table | AdoptedKind::Instance | AdoptedKind::Cluster => origin(reached, named, &named.place).await,
    }
}

/// Whether the original of a copy in the same Region is there.
async fn origin(reached: &SideProfile, named: &Named, original: &Place) -> Origin {
    if !original.region.is_empty() && original.region != reached.region {
        return Origin::Unknown("it is of another Region".into());
    }
    let asked = match (original.kind, named.kind) {
        (ResourceKind::Database, AdoptedKind::Cluster) => {
            described_cluster(&client(reached).await, &original.name).await.map(drop)
        }
        (ResourceKind::Database, _) => described_instance(&client(reached).await, &original.name).await.map(drop),
        (ResourceKind::Table, _) => table_exists(reached, &original.name).await,
        (ResourceKind::Bucket, _) => bucket_exists(reached, &original.name).await,
    };
    match asked {
        Ok(()) => Origin::There,
        Err(error) if error.kind == ErrorKind::Missing => Origin::Gone,
        Err(error) => Origin::Unknown(chain(&error)),
    }
}
