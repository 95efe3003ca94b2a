//! Starts the exports that save the bases of DynamoDB tables before they expire, and remembers them; copies the snapshots of
//! Aurora clusters that hold what an unplanned failover cut off, whose names say which copy is whose.
//!
//! On both sides: the whole table at Tb, and what changed since, in windows that follow one another. What is asked for is on
//! stable storage before it is asked for, and a request that is repeated starts nothing new. Nothing of a table is changed.

mod record;
mod windows;

use std::time::Duration;

use serde::Serialize;

pub use self::record::{Holds, RescueState, RescuedExport};
use self::record::{RecordError, RescueRecord, path};
use self::windows::{SHORTEST, gaps, windows};
use super::open::connect_table;
use super::{Exit, Exits, Result, Session, SessionError};
use crate::compare::CLOCK_PAD;
use crate::control::{RescuedSnapshot, SnapshotState};
use crate::model::{Side, StoreId, Timestamp};
use crate::profile::{Resources, StoreProfile};
use crate::store::dynamodb::DynamoDbStore;
use crate::store::dynamodb::export::{ExportFound, ExportRequest, ExportState};
use crate::store::{ErrorKind, ReadStore, StoreError, Window};

/// The pause between two looks at exports that are waited for.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Looks before waiting is given up: a day.
const LOOKS_MAX: u32 = 24 * 60 * 4;
/// Exports that are searched for one whose answer was not heard.
const SEARCHED_MAX: usize = 100;

/// What a rescue came to.
#[derive(Debug, Clone, Serialize)]
pub struct RescueOutcome {
    /// Every export of the session, of this run and of earlier ones.
    pub exports: Vec<RescuedExport>,
    /// Copies of snapshots of Aurora clusters that RDS would delete.
    pub snapshots: Vec<RescuedSnapshot>,
    /// What could not be asked for, and why.
    pub problems: Vec<String>,
}

impl RescueOutcome {
    /// Whether every base that was to be saved is.
    pub fn is_complete(&self) -> bool {
        let is_saved = self.snapshots.iter().all(|copy| copy.state == SnapshotState::Completed);
        self.problems.is_empty() && is_saved && self.exports.iter().all(|one| one.state == RescueState::Completed)
    }

    /// What to do next, in words.
    pub fn what_next(&self) -> &'static str {
        match self.is_complete() {
            true => "everything is saved; run this again later for what changed since",
            false => "not everything is saved yet: run the same command again, it goes on where it was",
        }
    }

    /// What a profile says of the exports of a store, in TOML; nothing where none is there yet.
    pub fn profile_lines(&self, store: &StoreId) -> Vec<String> {
        let urls = |side: Side, is_full: bool| -> Vec<String> {
            let fits = |export: &&RescuedExport| {
                let kind = matches!(export.holds, Holds::Full { .. });
                (&export.store, export.side, kind, export.state) == (store, side, is_full, RescueState::Completed)
            };
            let urls = self.exports.iter().filter(fits).filter_map(|export| export.url.as_ref());
            urls.map(|url| format!("\"{url}\"")).collect()
        };
        let mut lines = Vec::new();
        if let Some(url) = urls(Side::Primary, true).into_iter().chain(urls(Side::Dr, true)).next() {
            lines.push(format!("base = {{ export = {url} }}"));
        }
        let sides = [("primary", urls(Side::Primary, false)), ("dr", urls(Side::Dr, false))];
        let sides = sides.into_iter().filter(|(_, urls)| !urls.is_empty());
        let sides: Vec<String> = sides.map(|(side, urls)| format!("{side} = [{}]", urls.join(", "))).collect();
        if !sides.is_empty() {
            lines.push(format!("changes = {{ {} }}", sides.join(", ")));
        }
        lines
    }
}

impl Exits for RescueOutcome {
    fn exit(&self) -> Exit {
        if self.is_complete() { Exit::Done } else { Exit::Incomplete }
    }
}

/// The table of one side of a store.
struct Reached {
    store: StoreId,
    side: Side,
    table: DynamoDbStore,
}

/// Where exports go.
struct Target {
    bucket: String,
    prefix: String,
}

impl Target {
    /// `s3://bucket/prefix`, which the profile's reader and the command line have checked.
    fn of(url: &str) -> Target {
        let rest = url.strip_prefix("s3://").unwrap_or(url).trim_end_matches('/');
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        Target { bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }
}

impl Session {
    /// Asks for every export that saves a base and is not asked for yet, and tells how far they are; with `wait`, once all
    /// have ended. `to` goes before the profile's `[rescue]`.
    ///
    /// # Errors
    ///
    /// [`SessionError::ProfileLacks`] without `disaster_at` or a place to export to, and when the record cannot be read or
    /// saved. A table that cannot be exported is a problem of the outcome: the others are exported all the same.
    pub async fn rescue(&self, to: Option<&str>, wait: bool) -> Result<RescueOutcome> {
        let at = self.dr_as_of().ok_or(SessionError::ProfileLacks { what: "disaster_at" })?;
        self.require_accounts().await?;
        let mut record = self.rescue_record()?;
        let (mut tables, mut problems) = (Vec::new(), Vec::new());
        for store in self.chosen() {
            let Resources::DynamoDb { .. } = &store.resources else { continue };
            for side in [Side::Primary, Side::Dr] {
                let target = self.target(side, to)?;
                let subject = format!("{} {side}", store.name);
                match connect_table(&self.profile, store, side, &self.around.clock).await {
                    Ok(table) => {
                        let planned = self.plan_exports(store, side, &table, &target, (at, &mut record)).await;
                        problems.extend(planned.unwrap_or_else(|error| vec![words(&subject, &error)]));
                        tables.push(Reached { store: StoreId(store.name.clone()), side, table });
                    }
                    Err(error) => problems.push(words(&subject, &error)),
                }
            }
        }
        self.save_rescue(&record)?;
        for table in &tables {
            problems.extend(self.start_exports(&mut record, table).await?);
        }
        for look in 0.. {
            for table in &tables {
                problems.extend(self.look_at_exports(&mut record, table).await?);
            }
            let is_under_way = record.exports.iter().any(|export| export.state == RescueState::InProgress);
            if !wait || !is_under_way || look >= LOOKS_MAX || !problems.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (snapshots, unsaved) = Box::pin(self.rescue_snapshots()).await;
        problems.extend(unsaved);
        let chosen: Vec<StoreId> = self.chosen().into_iter().map(|store| StoreId(store.name.clone())).collect();
        let exports = record.exports.into_iter().filter(|export| chosen.contains(&export.store)).collect();
        Ok(RescueOutcome { exports, snapshots, problems })
    }

    /// The exports of one store that were asked for in this session, those under way as the service has them now; nothing is
    /// started and nothing is noted.
    pub(super) async fn rescued_exports(&self, store: &StoreProfile) -> Result<Vec<RescuedExport>> {
        let mut record = self.rescue_record()?;
        let id = StoreId(store.name.clone());
        record.exports.retain(|export| export.store == id);
        for side in [Side::Primary, Side::Dr] {
            if record.under_way(&id, side).next().is_none() {
                continue;
            }
            let failed = |source| SessionError::Store { store: store.name.clone(), source };
            let table = connect_table(&self.profile, store, side, &self.around.clock).await.map_err(failed)?;
            for export in record.under_way(&id, side) {
                let Some(arn) = export.arn.clone() else { continue };
                note(export, table.export(&arn).await.map_err(failed)?);
            }
        }
        Ok(record.exports)
    }

    fn rescue_record(&self) -> Result<RescueRecord> {
        RescueRecord::read(self.folder()).map_err(|error| match error {
            RecordError::File(source) => SessionError::File { path: path(self.folder()), source },
            RecordError::Damaged(what) => SessionError::DamagedFile { path: path(self.folder()), what },
        })
    }

    fn save_rescue(&self, record: &RescueRecord) -> Result<()> {
        let saved = record.save(self.folder());
        saved.map_err(|source| SessionError::File { path: path(self.folder()), source })
    }

    fn target(&self, side: Side, to: Option<&str>) -> Result<Target> {
        let rescue = &self.profile.rescue;
        let of_side = if side == Side::Primary { &rescue.primary } else { &rescue.dr };
        let url = to.or(of_side.as_deref());
        url.map(Target::of).ok_or(SessionError::ProfileLacks { what: "[rescue], where exports go (or --to)" })
    }

    /// Adds the exports of one table that are not asked for yet; tells what cannot be had.
    async fn plan_exports(
        &self,
        store: &StoreProfile,
        side: Side,
        table: &DynamoDbStore,
        target: &Target,
        (at, record): (Timestamp, &mut RescueRecord),
    ) -> std::result::Result<Vec<String>, StoreError> {
        let subject = format!("{} {side}", store.name);
        let identity = table.identity().await?;
        let Some(recovery) = table.recovery().await? else {
            let what =
                "point-in-time recovery is off, so nothing of the past can be exported: switch it on for what comes";
            return Ok(vec![format!("{subject}: {what}")]);
        };
        let mut problems = Vec::new();
        let reach = recovery.window;
        let mine: Vec<Holds> =
            record.exports.iter().filter(|export| export.table_id == identity.id).map(|export| export.holds).collect();
        let mut add = |holds| {
            record.exports.push(RescuedExport {
                store: StoreId(store.name.clone()),
                side,
                table: identity.resource.clone(),
                table_id: identity.id.clone(),
                holds,
                bucket: target.bucket.clone(),
                prefix: target.prefix.clone(),
                failed: 0,
                state: RescueState::Planned,
                arn: None,
                url: None,
                why: None,
            });
        };
        if !mine.iter().any(|holds| matches!(holds, Holds::Full { at: taken } if *taken == at)) {
            match reach.from <= at && at <= reach.to {
                true => add(Holds::Full { at }),
                false => problems.push(format!(
                    "{subject}: the state at {at} cannot be exported: recovery reaches from {} to {}",
                    reach.from, reach.to
                )),
            }
        }
        let covered = mine.iter().filter_map(|holds| holds.window()).map(|window| window.to);
        let padded = at.saturating_sub(CLOCK_PAD).expect("a time span without units of the calendar");
        let wanted_from = covered.max().unwrap_or(padded);
        let from = whole_second(wanted_from.max(reach.from), wanted_from < reach.from);
        let until = whole_second(reach.to.min(self.around.clock.now()), false);
        let new = windows(from, until);
        new.iter().for_each(|window| add(Holds::Incremental { from: window.from, to: window.to }));
        let all = mine.iter().filter_map(|holds| holds.window()).chain(new).collect();
        problems.extend(gaps(padded, all).into_iter().map(|Window { from, to }| {
            format!(
                "{subject}: what changed from {from} to {to} cannot be exported: recovery reaches back to {} only",
                reach.from
            )
        }));
        if covered_by_none(&mine) && until.duration_since(from) < SHORTEST {
            problems.push(format!("{subject}: what changed since {from} can be exported once that is 15 minutes"));
        }
        Ok(problems)
    }

    /// Asks the service for what is planned, and again for what it may not have heard.
    async fn start_exports(
        &self,
        record: &mut RescueRecord,
        Reached { store, side, table }: &Reached,
    ) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for at in 0..record.exports.len() {
            let export = &record.exports[at];
            if !export.is_of(store, *side) {
                continue;
            }
            let token = match export.state {
                RescueState::Planned | RescueState::Asked => export.token(),
                // A token that brought a failure would bring the same failure again.
                RescueState::Failed => RescuedExport { failed: export.failed + 1, ..export.clone() }.token(),
                RescueState::InProgress | RescueState::Completed => continue,
            };
            let found = match export.state {
                RescueState::Asked => search(table, &token).await,
                _ => Ok(None),
            };
            let export = &mut record.exports[at];
            export.failed += u32::from(export.state == RescueState::Failed);
            export.state = RescueState::Asked;
            self.save_rescue(record)?;
            let export = &record.exports[at];
            let request = ExportRequest {
                wanted: export.holds.wanted(),
                bucket: &export.bucket,
                prefix: &export.prefix,
                kms_key: self.profile.rescue.kms_key.as_deref(),
                token: &token,
            };
            let started = match found {
                Ok(Some(found)) => Ok(found),
                Ok(None) => table.start_export(&request).await,
                Err(error) => Err(error),
            };
            match started {
                Ok(found) => note(&mut record.exports[at], found),
                Err(error) => problems.push(words(&format!("{store} {side}"), &error)),
            }
            self.save_rescue(record)?;
        }
        Ok(problems)
    }

    /// Asks how far exports are.
    async fn look_at_exports(
        &self,
        record: &mut RescueRecord,
        Reached { store, side, table }: &Reached,
    ) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for export in record.under_way(store, *side) {
            let Some(arn) = export.arn.clone() else { continue };
            match table.export(&arn).await {
                Ok(found) => note(export, found),
                Err(error) => problems.push(words(&format!("{store} {side}"), &error)),
            }
            if export.state == RescueState::Failed {
                let why = export.why.as_deref().unwrap_or_default();
                problems.push(format!("{store} {side}: export {arn} failed: {why}; the next run starts it anew"));
            }
        }
        self.save_rescue(record)?;
        Ok(problems)
    }
}

fn covered_by_none(holds: &[Holds]) -> bool {
    !holds.iter().any(|holds| matches!(holds, Holds::Incremental { .. }))
}

/// The service counts in whole seconds.
fn whole_second(at: Timestamp, up: bool) -> Timestamp {
    let second = at.as_second() + i64::from(up && at.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(at)
}

fn note(export: &mut RescuedExport, found: ExportFound) {
    let ExportFound { arn, state, place, .. } = found;
    export.arn = Some(arn);
    export.url = place.map(|place| place.url()).or(export.url.take());
    (export.state, export.why) = match state {
        ExportState::InProgress => (RescueState::InProgress, None),
        ExportState::Completed => (RescueState::Completed, None),
        ExportState::Failed(why) => (RescueState::Failed, Some(why)),
    };
}

/// The export that was started with a token, where it was: the service keeps tokens for some hours only.
async fn search(table: &DynamoDbStore, token: &str) -> std::result::Result<Option<ExportFound>, StoreError> {
    for arn in table.exports().await?.iter().rev().take(SEARCHED_MAX) {
        match table.export(arn).await {
            Ok(found) if found.token.as_deref() == Some(token) => return Ok(Some(found)),
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::Missing => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn words(subject: &str, error: &StoreError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(format!("{subject}: {error}"), |words, cause| format!("{words}: {cause}"))
}
