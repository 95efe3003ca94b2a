//! Stores that would meet each other: one resource under two roles.

use std::collections::BTreeMap;

use super::store::Placed;
use super::table::Reading;
use super::{BaseProfile, Resources, SideProfile};
use crate::model::Side;

/// One role of one resource.
struct Role<'a> {
    store: usize,
    side: Side,
    resource: Resource<'a>,
}

/// What tells two resources apart, as far as a profile knows.
enum Resource<'a> {
    Memory(&'a str),
    Table { reach: Reach<'a>, table: &'a str },
    Bucket { endpoint: Option<&'a str>, region: &'a str, bucket: &'a str, prefix: &'a str },
    Database { place: String, tables: &'a [String] },
}

/// Where a side's names lead: the same name reached another way may be another resource, which the preflight finds out.
#[derive(PartialEq, Eq)]
struct Reach<'a> {
    region: &'a str,
    endpoint: Option<&'a str>,
    aws_profile: Option<&'a str>,
    role_arn: Option<&'a str>,
    account: Option<&'a str>,
    access_key_id: Option<&'a str>,
}

/// Complains about names used twice, and about resources that two roles share where one of them writes.
pub(super) fn check(reading: &Reading<'_>, primary: &SideProfile, dr: &SideProfile, stores: &[Placed]) {
    let mut names = BTreeMap::new();
    for (store, places) in stores {
        // Folders are named after stores, and some file systems fold case.
        if let Some(earlier) = names.insert(store.name.to_lowercase(), &store.name) {
            let what = format!("two stores are named `{earlier}`");
            reading.complain(&places.name, &format!("{}.name", places.path), what, Some("rename one of them".into()));
        }
    }
    let roles: Vec<Role<'_>> =
        stores.iter().enumerate().flat_map(|(at, placed)| roles(at, placed, primary, dr)).collect();
    for (index, role) in roles.iter().enumerate() {
        if let Some(earlier) = roles[..index].iter().find(|earlier| meet(earlier, role)) {
            complain(reading, stores, earlier, role);
        }
    }
}

fn complain(reading: &Reading<'_>, stores: &[Placed], earlier: &Role<'_>, role: &Role<'_>) {
    let (_, places) = &stores[role.store];
    let span = match role.side {
        Side::Primary => &places.primary,
        Side::Dr => &places.dr,
        Side::Base => &places.base,
    };
    let other = &stores[earlier.store].0.name;
    let what = match &role.resource {
        Resource::Bucket { .. } => {
            format!("overlaps the {} of store `{other}`: some objects belong to both", earlier.side)
        }
        _ => format!("is the same resource as the {} of store `{other}`", earlier.side),
    };
    let hint =
        "what is written must not be read as something else: name another resource, or another Region or endpoint";
    reading.complain(span, &format!("{}.{}", places.path, role.side), what, Some(hint.to_owned()));
}

fn roles<'a>(store: usize, placed: &'a Placed, primary: &'a SideProfile, dr: &'a SideProfile) -> Vec<Role<'a>> {
    let (profile, _) = placed;
    let (first, second) = match &profile.resources {
        Resources::Memory { primary, dr } => (Resource::Memory(primary), Resource::Memory(dr)),
        Resources::DynamoDb { primary: one, dr: two, .. } => (table(primary, &one.table), table(dr, &two.table)),
        Resources::S3 { primary: one, dr: two, .. } => {
            (bucket(primary, &one.bucket, &one.prefix), bucket(dr, &two.bucket, &two.prefix))
        }
        Resources::Postgres(rows) | Resources::Mysql(rows) => {
            (database(primary, &rows.primary, &rows.tables), database(dr, &rows.dr, &rows.tables))
        }
    };
    let mut roles =
        vec![Role { store, side: Side::Primary, resource: first }, Role { store, side: Side::Dr, resource: second }];
    if let BaseProfile::Table(name) = &profile.base {
        roles.push(Role { store, side: Side::Base, resource: table(primary, name) });
    }
    if let (BaseProfile::Database(name), Resources::Postgres(rows) | Resources::Mysql(rows)) =
        (&profile.base, &profile.resources)
    {
        let one = &rows.primary;
        let beside = super::DatabaseProfile {
            url: match (&one.url, name.contains("://")) {
                (_, true) => Some(name.clone()),
                (Some(url), false) => Some(with_database(url, name)),
                (None, false) => None,
            },
            database: Some(name.clone()),
            slot: None,
            publication: None,
            binlog: false,
            ..one.clone()
        };
        roles.push(Role { store, side: Side::Base, resource: database(primary, &beside, &rows.tables) });
    }
    roles
}

fn table<'a>(side: &'a SideProfile, table: &'a str) -> Resource<'a> {
    let reach = Reach {
        region: &side.region,
        endpoint: endpoint(side, "dynamodb"),
        aws_profile: side.aws_profile.as_deref(),
        role_arn: side.role_arn.as_deref(),
        account: side.account.as_deref(),
        access_key_id: side.credentials.as_ref().map(|given| given.access_key_id.as_str()),
    };
    Resource::Table { reach, table }
}

fn bucket<'a>(side: &'a SideProfile, bucket: &'a str, prefix: &'a str) -> Resource<'a> {
    Resource::Bucket { endpoint: endpoint(side, "s3"), region: &side.region, bucket, prefix }
}

fn database<'a>(side: &SideProfile, database: &super::DatabaseProfile, tables: &'a [String]) -> Resource<'a> {
    let name = database.database.as_deref().unwrap_or_default();
    let place = match (&database.url, &database.instance, &database.cluster, &database.global_cluster) {
        (Some(url), ..) => host_and_database(url),
        (_, Some(instance), ..) => format!("instance {} {instance} {name}", side.region),
        (_, _, Some(cluster), _) => format!("cluster {} {cluster} {name}", side.region),
        (_, _, _, Some(global)) => format!("global cluster {} {global} {name}", side.region),
        // Told already: exactly one of them is given.
        (None, None, None, None) => String::new(),
    };
    Resource::Database { place, tables }
}

fn endpoint<'a>(side: &'a SideProfile, service: &str) -> Option<&'a str> {
    side.endpoints.get(service).or(side.endpoint_url.as_ref()).map(|url| url.trim_end_matches('/'))
}

/// `host:port/database` of a URL, whatever the user.
fn host_and_database(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_lowercase();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let port = if url.starts_with("mysql://") { 3306 } else { 5432 };
    if has_port { format!("{host}/{name}") } else { format!("{host}:{port}/{name}") }
}

fn with_database(url: &str, name: &str) -> String {
    let scheme = url.split_once("://").map_or("postgres", |(scheme, _)| scheme);
    let place = host_and_database(url).split_once('/').map_or(String::new(), |(host, _)| format!("{host}/{name}"));
    format!("{scheme}://{place}")
}

/// Whether two roles share a resource and one of them writes it.
fn meet(one: &Role<'_>, other: &Role<'_>) -> bool {
    let is_written = one.side == Side::Primary || other.side == Side::Primary;
    // dr as its own base, within one store, would prove nothing.
    let is_own = one.store == other.store;
    (is_written || is_own) && share(&one.resource, &other.resource, one.side == other.side)
}

fn share(one: &Resource<'_>, other: &Resource<'_>, same_side: bool) -> bool {
    match (one, other) {
        (Resource::Memory(one), Resource::Memory(other)) => one == other,
        (Resource::Table { reach: r1, table: t1 }, Resource::Table { reach: r2, table: t2 }) => r1 == r2 && t1 == t2,
        (
            Resource::Bucket { endpoint: e1, region: r1, bucket: b1, prefix: p1 },
            Resource::Bucket { endpoint: e2, region: r2, bucket: b2, prefix: p2 },
        ) => {
            // On AWS a bucket's name is its own in every Region; another server may keep Regions apart.
            let same_place = e1 == e2 && (e1.is_none() || r1 == r2);
            same_place && b1 == b2 && (p1.starts_with(p2) || p2.starts_with(p1))
        }
        (Resource::Database { place: p1, tables: t1 }, Resource::Database { place: p2, tables: t2 }) => {
            // Two stores may share a database with tables of their own.
            p1 == p2 && !p1.is_empty() && (!same_side || t1.iter().any(|glob| t2.contains(glob)))
        }
        _ => false,
    }
}
