//! Connects the stores a profile names.

use std::sync::Arc;
use std::time::Duration;

use super::{Result, SessionError, Surroundings};
use crate::model::{Clock, Side, StoreId};
use crate::profile::{
    BaseProfile, BucketProfile, DatabaseProfile, Profile, Resources, RowsProfile, SideProfile, StoreProfile,
};
use crate::store::dynamodb::DynamoDbStore;
use crate::store::dynamodb::export::{ExportTables, open_base, open_changes};
use crate::store::memory::{MemoryRegistry, MemoryStore};
use crate::store::mysql::MysqlStore;
use crate::store::postgres::PostgresStore;
use crate::store::s3::{S3Lineage, S3Store};
use crate::store::sql::rds::global::GlobalGate;
use crate::store::wrap::{Gated, Jittered, Pace, Retries, Retrying, Throttled};
use crate::store::{
    BaseStore, BaseStoreKind, ErrorKind, PairChanges, ReadStore, RowStore, StoreError, StorePair, WriteStore,
};

/// Tries of one operation before its error ends the command.
const ATTEMPTS_MAX: u32 = 5;

type Opened<S> = std::result::Result<Arc<S>, StoreError>;

/// The sides of one store, each connected by itself, throttled and retried.
pub(super) struct Sides {
    pub(super) primary: Opened<dyn WriteStore>,
    pub(super) dr: Opened<dyn ReadStore>,
    pub(super) base: Option<std::result::Result<BaseStore, StoreError>>,
    pub(super) changes: std::result::Result<PairChanges, StoreError>,
}

impl Sides {
    /// The pair, or the first side's error.
    pub(super) fn pair(self, id: StoreId) -> std::result::Result<StorePair, StoreError> {
        let Sides { primary, dr, base, changes } = self;
        Ok(StorePair { id, primary: primary?, dr: dr?, base: base.transpose()?, changes: changes? })
    }
}

/// Connects both sides of a store, and its base where that is a store too, each throttled and retried.
///
/// # Errors
///
/// [`SessionError::Store`] when a side cannot be reached or does not exist.
pub async fn open_pair(profile: &Profile, store: &StoreProfile, around: &Surroundings) -> Result<StorePair> {
    let opened = open_sides(profile, store, around).await.pair(StoreId(store.name.clone()));
    opened.map_err(|source| SessionError::Store { store: store.name.clone(), source })
}

/// As [`open_pair`], by inventories where the profile names any.
///
/// # Errors
///
/// As [`open_pair`], and when an inventory is damaged or cannot be used.
pub async fn open_forecast(profile: &Profile, store: &StoreProfile, around: &Surroundings) -> Result<StorePair> {
    let Resources::S3 { primary, dr, .. } = &store.resources else { return open_pair(profile, store, around).await };
    if primary.inventory.is_none() && dr.inventory.is_none() {
        return open_pair(profile, store, around).await;
    }
    let id = StoreId(store.name.clone());
    let opened = s3(id.clone(), profile, store, &around.clock, Purpose::Forecast).await;
    let opened = wrapped(opened, store, &around.pace).pair(id);
    opened.map_err(|source| SessionError::Store { store: store.name.clone(), source })
}

/// What buckets are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// All there is to know, object by object.
    Proof,
    /// What a listing or an inventory tells.
    Forecast,
}

/// Connects the sides of a store, whatever becomes of the others.
pub(super) async fn open_sides(profile: &Profile, store: &StoreProfile, around: &Surroundings) -> Sides {
    let id = StoreId(store.name.clone());
    let sides = match &store.resources {
        Resources::Memory { primary, dr } => in_memory(id, primary, dr, &around.memory),
        Resources::DynamoDb { .. } => dynamodb(id, profile, store, &around.clock).await,
        Resources::S3 { .. } => s3(id, profile, store, &around.clock, Purpose::Proof).await,
        Resources::Postgres(rows) => databases::<PostgresStore>(id, profile, store, rows).await,
        Resources::Mysql(rows) => databases::<MysqlStore>(id, profile, store, rows).await,
    };
    wrapped(sides, store, &around.pace)
}

fn wrapped(sides: Sides, store: &StoreProfile, pace: &Arc<Pace>) -> Sides {
    let (reads, writes) = (store.limits.reads_per_second, store.limits.writes_per_second);
    let retries = || Retries {
        attempts_max: ATTEMPTS_MAX,
        delay_first: Duration::from_millis(200),
        delay_max: Duration::from_secs(10),
        pause: Arc::new(Jittered::new(u64::from(std::process::id()))),
    };
    let read = |side: Arc<dyn ReadStore>| -> Arc<dyn ReadStore> {
        Arc::new(Retrying::new(
            Arc::new(Throttled::new(side, reads, writes).at(pace.clone())) as Arc<dyn ReadStore>,
            retries(),
        ))
    };
    let write = |side: Arc<dyn WriteStore>| -> Arc<dyn WriteStore> {
        Arc::new(Retrying::new(
            Arc::new(Throttled::new(side, reads, writes).at(pace.clone())) as Arc<dyn WriteStore>,
            retries(),
        ))
    };
    Sides {
        primary: sides.primary.map(write),
        dr: sides.dr.map(read),
        base: sides.base.map(|base| base.map(|base| wrapped_base(base, read, retries()))),
        changes: sides.changes,
    }
}

/// A base, read as a side is; an export is no load on any table, so that limits are not for it.
fn wrapped_base(
    base: BaseStore,
    read: impl Fn(Arc<dyn ReadStore>) -> Arc<dyn ReadStore>,
    retries: Retries,
) -> BaseStore {
    let store = match base.kind {
        BaseStoreKind::Restored => read(base.store),
        BaseStoreKind::Export => Arc::new(Retrying::new(base.store, retries)),
    };
    BaseStore { store, ..base }
}

fn in_memory(id: StoreId, primary: &str, dr: &str, memory: &MemoryRegistry) -> Sides {
    let store = |side, name| Arc::new(MemoryStore::new(id.clone(), side, memory.table(name)));
    Sides {
        primary: Ok(store(Side::Primary, primary)),
        dr: Ok(store(Side::Dr, dr)),
        base: None,
        changes: Ok(PairChanges::default()),
    }
}

/// Connects one table of a store.
///
/// # Errors
///
/// As [`DynamoDbStore::connect`], and [`ErrorKind::Unfit`] for a store of another kind.
pub(super) async fn connect_table(
    profile: &Profile,
    store: &StoreProfile,
    side: Side,
    clock: &Arc<dyn Clock>,
) -> std::result::Result<DynamoDbStore, StoreError> {
    let Resources::DynamoDb { primary, dr, version_attribute, .. } = &store.resources else {
        return Err(StoreError::new(ErrorKind::Unfit, format!("store {} is no table", store.name)));
    };
    let (reached, table) = match side {
        Side::Dr => (&profile.dr, dr),
        Side::Primary | Side::Base => (&profile.primary, primary),
    };
    let id = StoreId(store.name.clone());
    let connected = DynamoDbStore::connect(id, side, reached, &table.table, version_attribute.clone()).await?;
    Ok(connected.with_clock(clock.clone()))
}

async fn dynamodb(id: StoreId, profile: &Profile, store: &StoreProfile, clock: &Arc<dyn Clock>) -> Sides {
    let Resources::DynamoDb { primary, dr, version_attribute, .. } = &store.resources else {
        unreachable!("called for DynamoDB stores only")
    };
    let connect = async |side: Side, reached: &SideProfile, other: &SideProfile, table: &str| {
        let store = DynamoDbStore::connect(id.clone(), side, reached, table, version_attribute.clone()).await?;
        Ok::<_, StoreError>(store.with_clock(clock.clone()).with_counterpart_region(&other.region))
    };
    let base = match &store.base {
        BaseProfile::Table(table) => {
            let base = connect(Side::Base, &profile.primary, &profile.dr, table).await;
            Some(base.map(|base| {
                let as_of = base.restored_as_of();
                BaseStore::restored(Arc::new(base), as_of)
            }))
        }
        _ => None,
    };
    let dr = connect(Side::Dr, &profile.dr, &profile.primary, &dr.table).await;
    let primary = connect(Side::Primary, &profile.primary, &profile.dr, &primary.table).await;
    let ttl_of = |side: &std::result::Result<DynamoDbStore, StoreError>| {
        side.as_ref().ok().and_then(DynamoDbStore::ttl_attribute).map(str::to_owned)
    };
    let (on_primary, on_dr) = (ttl_of(&primary), ttl_of(&dr));
    let primary = primary.map(|side| side.with_ttl_elsewhere(on_dr));
    let dr = dr.map(|side| side.with_ttl_elsewhere(on_primary));
    let (base, changes) = match (&primary, &dr) {
        (Ok(primary), Ok(dr)) => {
            let exports = Exports { id: &id, profile, store, primary, dr };
            (exports.base().await.or(base), exports.changes().await)
        }
        // That a side cannot be reached is told anyway, and exports are judged by the tables they are of.
        _ => (base, Ok(PairChanges::default())),
    };
    let (primary, dr) = (primary.map(|side| Arc::new(side) as _), dr.map(|side| Arc::new(side) as _));
    Sides { primary, dr, base, changes }
}

/// The exports that a store's profile names.
struct Exports<'a> {
    id: &'a StoreId,
    profile: &'a Profile,
    store: &'a StoreProfile,
    primary: &'a DynamoDbStore,
    dr: &'a DynamoDbStore,
}

impl Exports<'_> {
    /// The base, where it is made of exports; of either side, since both had it in common.
    async fn base(&self) -> Option<std::result::Result<BaseStore, StoreError>> {
        let BaseProfile::Exports(urls) = &self.store.base else { return None };
        let tables = match ExportTables::of(&[self.primary, self.dr]).await {
            Ok(tables) => tables,
            Err(error) => return Some(Err(error)),
        };
        let opened = open_base(self.id, urls, &self.profile.primary, &tables).await;
        let Err(error) = opened else { return Some(opened) };
        // It may lie where only dr's credentials reach.
        let by_dr = match error.kind {
            ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Unreachable => {
                open_base(self.id, urls, &self.profile.dr, &tables).await.ok()
            }
            _ => None,
        };
        Some(by_dr.ok_or(error))
    }

    async fn changes(&self) -> std::result::Result<PairChanges, StoreError> {
        let changes = &self.store.changes;
        let mut opened = PairChanges::default();
        if !changes.primary.is_empty() {
            let tables = ExportTables::of(&[self.primary]).await?;
            opened.primary = open_changes(self.id, &changes.primary, &self.profile.primary, &tables).await?;
        }
        if !changes.dr.is_empty() {
            let tables = ExportTables::of(&[self.dr]).await?;
            opened.dr = open_changes(self.id, &changes.dr, &self.profile.dr, &tables).await?;
        }
        Ok(opened)
    }
}

/// Connects both buckets of a store.
///
/// # Errors
///
/// As [`S3Store::connect`], and [`ErrorKind::Unfit`] for a store of another kind.
pub(super) async fn connect_buckets(
    profile: &Profile,
    store: &StoreProfile,
) -> std::result::Result<(S3Store, S3Store), StoreError> {
    let Resources::S3 { primary, dr, .. } = &store.resources else {
        return Err(StoreError::new(ErrorKind::Unfit, format!("store {} is no bucket", store.name)));
    };
    let id = || StoreId(store.name.clone());
    let primary = S3Store::connect(id(), Side::Primary, &profile.primary, primary, None).await?;
    Ok((primary, S3Store::connect(id(), Side::Dr, &profile.dr, dr, None).await?))
}

async fn s3(id: StoreId, profile: &Profile, store: &StoreProfile, clock: &Arc<dyn Clock>, purpose: Purpose) -> Sides {
    let Resources::S3 { primary, dr, compare } = &store.resources else { unreachable!("called for S3 stores only") };
    let as_of = profile.dr_as_of.or(profile.disaster_at);
    let base = match (&store.base, profile.disaster_at) {
        (BaseProfile::Versions, Some(disaster_at)) => {
            let connect = async || {
                let primary = S3Store::connect(id.clone(), Side::Base, &profile.primary, primary, as_of).await?;
                let dr = S3Store::connect(id.clone(), Side::Base, &profile.dr, dr, None).await?;
                S3Lineage::of(primary.comparing(*compare), dr, disaster_at).await
            };
            Some(connect().await.map(|store| BaseStore::restored(store, as_of)))
        }
        _ => None,
    };
    let connect = async |side, reached, bucket: &BucketProfile, other: &BucketProfile| {
        let store = S3Store::connect(id.clone(), side, reached, bucket, None).await?;
        let store = store.with_clock(clock.clone()).with_counterpart(&other.bucket).comparing(*compare);
        let store = match purpose {
            Purpose::Proof => store,
            Purpose::Forecast => store.for_forecast(bucket.inventory.as_deref()).await?,
        };
        Ok::<_, StoreError>(Arc::new(store))
    };
    let away = connect(Side::Dr, &profile.dr, dr, primary).await;
    let home = connect(Side::Primary, &profile.primary, primary, dr).await;
    Sides {
        primary: home.map(|side| side as _),
        dr: away.map(|side| side as _),
        base,
        changes: Ok(PairChanges::default()),
    }
}

async fn databases<S: RowStore>(id: StoreId, profile: &Profile, store: &StoreProfile, rows: &RowsProfile) -> Sides {
    let connect = |side, reached, database| S::connect(id.clone(), side, reached, database, &rows.tables);
    let aside = restored_aside(store, &rows.primary);
    let base = match &aside {
        Some(aside) => {
            let base = seen(connect(Side::Base, &profile.primary, aside).await, rows, None).await;
            Some(base.map(|base| BaseStore::restored(Arc::new(base), None)))
        }
        None => None,
    };
    let home = seen(connect(Side::Primary, &profile.primary, &rows.primary).await, rows, None).await;
    let away = seen(connect(Side::Dr, &profile.dr, &rows.dr).await, rows, home.as_ref().ok()).await;
    Sides {
        primary: home.map(|side| gated(side, &profile.primary, &rows.primary)),
        dr: away.map(|side| Arc::new(side) as _),
        base,
        changes: Ok(PairChanges::default()),
    }
}

/// A side as the profile wants its rows seen: by mappings, where dr needs the primary, and by where they are hashed.
async fn seen<S: RowStore>(
    connected: std::result::Result<S, StoreError>,
    rows: &RowsProfile,
    primary: Option<&S>,
) -> std::result::Result<S, StoreError> {
    Ok(connected?.mapped_by(&rows.mapping, primary).await?.hashed_by(rows.digest))
}

/// The database that was restored aside on the primary's server, where the base is one.
fn restored_aside(store: &StoreProfile, primary: &DatabaseProfile) -> Option<DatabaseProfile> {
    match &store.base {
        BaseProfile::Database(database) => Some(primary.in_database(database)),
        _ => None,
    }
}

/// A database that is not written while its service replicates it to other Regions.
fn gated(store: impl WriteStore + 'static, reached: &SideProfile, database: &DatabaseProfile) -> Arc<dyn WriteStore> {
    match GlobalGate::of(reached, database) {
        Some(gate) => Arc::new(Gated::new(Arc::new(store), Arc::new(gate))),
        None => Arc::new(store),
    }
}
