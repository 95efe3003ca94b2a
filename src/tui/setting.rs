//! What the profile and the session say, in the words of the screen.

use std::path::Path;

use super::state::{CutoverSetting, Setting};
use crate::guide::Means;
use crate::model::StoreId;
use crate::profile::{CutoverProfile, FreezeProfile, Profile, Resources};

impl Setting {
    /// The setting of a session on `profile` in `folder`.
    pub fn of(profile: &Profile, folder: &Path) -> Setting {
        Setting {
            profile: profile.name.clone(),
            folder: folder.display().to_string(),
            primary_region: profile.primary.region.clone(),
            dr_region: profile.dr.region.clone(),
            disaster_at: profile.disaster_at,
            stores: profile
                .stores
                .iter()
                .map(|store| (StoreId(store.name.clone()), kind(&store.resources).into()))
                .collect(),
            means: Means { freeze: profile.freeze.is_some(), cutover: profile.cutover.is_some() },
            freeze: profile.freeze.as_ref().map(|freeze| freeze.command.join(" ")),
            fence: fence(profile.freeze.as_ref()),
            cutover: profile.cutover.as_ref().map(cutover),
            watching: false,
            drill: false,
        }
    }
}

fn kind(resources: &Resources) -> &'static str {
    match resources {
        Resources::Memory { .. } => "memory",
        Resources::DynamoDb { .. } => "dynamodb",
        Resources::S3 { .. } => "s3",
        Resources::Postgres(_) => "postgres",
        Resources::Mysql(_) => "mysql",
    }
}

fn fence(freeze: Option<&FreezeProfile>) -> String {
    match freeze.map(|freeze| (&freeze.negative_write_test, freeze.quiet_seconds)) {
        Some((Some(test), _)) => format!("a write that must be refused: {}", test.join(" ")),
        Some((None, seconds)) => format!("dr is read twice, {seconds} s apart, and must not change"),
        None => "dr is read twice, and must not change".into(),
    }
}

fn cutover(cutover: &CutoverProfile) -> CutoverSetting {
    let health = cutover.health.as_ref().map(|health| {
        let how = match (&health.url, &health.health_check, &health.command) {
            (Some(url), _, _) => format!("GET {url}"),
            (_, Some(check), _) => format!("Route 53 health check {check}"),
            (_, _, Some(command)) => command.join(" "),
            _ => "nothing".into(),
        };
        format!("{how}, every {} s, {} failures in a row retreat", health.interval_seconds, health.failures)
    });
    CutoverSetting {
        record: format!("{} {}", cutover.record.name, cutover.record.record_type),
        stages: cutover.stages.iter().map(|stage| stage.get()).collect(),
        hold_seconds: cutover.hold_seconds,
        health,
        certificate_age_seconds_max: cutover.certificate_age_seconds_max,
    }
}
