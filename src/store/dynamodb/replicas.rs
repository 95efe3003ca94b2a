//! Whether a table may be read and written, by its status and by the global table it is part of. What is not known to be
//! fine is an obstacle.

use aws_sdk_dynamodb::types::{
    MultiRegionConsistency, ReplicaDescription, ReplicaStatus, TableDescription, TableStatus,
};
use jiff::SignedDuration;

use crate::model::Timestamp;

/// The version of global tables whose replicas are not told with the table.
const LEGACY: &str = "2017.11.29";

/// How long a replica may be inaccessible before the service takes it out of its global table.
const INACCESSIBLE_MAX: SignedDuration = SignedDuration::from_hours(20);

/// Why nothing of a table counts, by its own status.
pub(super) fn unusable(table: &TableDescription) -> Option<String> {
    match table.table_status() {
        Some(TableStatus::Active | TableStatus::Updating) => None,
        Some(status) => Some(format!("the table is {}", status.as_str())),
        None => Some("the service does not tell the table's status".into()),
    }
}

/// Why a replay may not write a table of `region`: every sign that what is written there goes to other Regions, with a new
/// timestamp that buries what is newer there. A replica that was taken out of its group is a table by itself.
pub(super) fn replicated(table: &TableDescription, region: &str) -> Vec<String> {
    let mut signs = Vec::new();
    if table.global_table_version() == Some(LEGACY) {
        signs.push(format!("the table is of global tables version {LEGACY}, whose replicas are not told here"));
    }
    match table.multi_region_consistency() {
        Some(MultiRegionConsistency::Strong) => {
            signs.push("the table is a global table of multi-Region strong consistency".into());
        }
        Some(MultiRegionConsistency::Eventual) | None => {}
        Some(other) => signs.push(format!("the table is a global table of consistency {}", other.as_str())),
    }
    for witness in table.global_table_witnesses() {
        signs.push(format!(
            "the global table has a witness in {}",
            witness.region_name().unwrap_or("an unnamed Region")
        ));
    }
    let others = table.replicas().iter().filter(|replica| replica.region_name() != Some(region));
    signs.extend(others.map(replica_words));
    signs
}

/// The Regions of a table's replicas besides its own.
pub(super) fn other_regions(table: &TableDescription, region: &str) -> Vec<String> {
    let regions = table.replicas().iter().filter_map(ReplicaDescription::region_name);
    regions.filter(|other| *other != region).map(str::to_owned).collect()
}

fn replica_words(replica: &ReplicaDescription) -> String {
    let region = replica.region_name().unwrap_or("an unnamed Region");
    let status = replica.replica_status().map_or("UNKNOWN", |status| status.as_str());
    let words = format!("the table is a global table with a replica in {region} that is {status}");
    match replica.replica_status() {
        Some(ReplicaStatus::RegionDisabled | ReplicaStatus::InaccessibleEncryptionCredentials) => {
            let since = replica.replica_inaccessible_date_time();
            let removed =
                since.and_then(|at| Timestamp::from_second(at.secs()).ok()?.checked_add(INACCESSIBLE_MAX).ok());
            let when = removed.map_or("20 hours after it became so".to_owned(), |at| format!("at {at}"));
            format!("{words}: it still belongs to the group, which the service ends {when}")
        }
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::DateTime;

    use super::*;

    fn table() -> aws_sdk_dynamodb::types::builders::TableDescriptionBuilder {
        TableDescription::builder().table_status(TableStatus::Active)
    }

    fn replica(region: &str, status: &str) -> ReplicaDescription {
        ReplicaDescription::builder().region_name(region).replica_status(ReplicaStatus::from(status)).build()
    }

    #[test]
    fn whatever_the_status_of_a_replica_elsewhere_nothing_is_written() {
        for status in [
            "ACTIVE",
            "CREATING",
            "UPDATING",
            "DELETING",
            "CREATION_FAILED",
            "REGION_DISABLED",
            "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
            "ARCHIVING",
            "ARCHIVED",
            "REPLICATION_NOT_AUTHORIZED",
            "OF_A_LATER_YEAR",
        ] {
            let described =
                table().replicas(replica("eu-west-1", status)).replicas(replica("us-east-1", "ACTIVE")).build();
            let signs = replicated(&described, "us-east-1");
            assert_eq!(signs.len(), 1, "{status}: {signs:?}");
            assert!(signs[0].contains(status) && signs[0].contains("eu-west-1"), "{signs:?}");
        }
        let unnamed = table().replicas(ReplicaDescription::builder().build()).build();
        assert_eq!(replicated(&unnamed, "us-east-1").len(), 1);
    }

    #[test]
    fn a_replica_that_was_taken_out_is_a_table_by_itself() {
        assert!(replicated(&table().build(), "us-east-1").is_empty());
        let left = table().global_table_version("2019.11.21").replicas(replica("us-east-1", "ACTIVE")).build();
        assert!(replicated(&left, "us-east-1").is_empty(), "only itself is left");
        let since = DateTime::from_secs(1_795_305_600);
        let cut_off = ReplicaDescription::builder().region_name("us-west-2");
        let cut_off = cut_off.replica_status(ReplicaStatus::RegionDisabled).replica_inaccessible_date_time(since);
        let signs = replicated(&table().replicas(cut_off.build()).build(), "us-east-1");
        assert!(signs[0].contains("2026-11-22T20:00:00Z"), "{signs:?}");
    }

    #[test]
    fn legacy_and_strongly_consistent_global_tables_are_recognised() {
        let legacy = table().global_table_version(LEGACY).build();
        assert!(replicated(&legacy, "us-east-1")[0].contains(LEGACY));
        let strong = table().multi_region_consistency(MultiRegionConsistency::Strong).build();
        assert!(replicated(&strong, "us-east-1")[0].contains("strong consistency"));
        let unknown = table().multi_region_consistency(MultiRegionConsistency::from("ODD")).build();
        assert_eq!(replicated(&unknown, "us-east-1").len(), 1);
    }

    #[test]
    fn only_active_and_updating_tables_are_used() {
        for (status, is_usable) in [
            ("ACTIVE", true),
            ("UPDATING", true),
            ("CREATING", false),
            ("DELETING", false),
            ("INACCESSIBLE_ENCRYPTION_CREDENTIALS", false),
            ("ARCHIVING", false),
            ("ARCHIVED", false),
            ("REPLICATION_NOT_AUTHORIZED", false),
            ("OF_A_LATER_YEAR", false),
        ] {
            let described = TableDescription::builder().table_status(TableStatus::from(status)).build();
            assert_eq!(unusable(&described).is_none(), is_usable, "{status}");
        }
        assert!(unusable(&TableDescription::builder().build()).is_some());
    }
}
