//! PostgreSQL: rows of tables, read in one snapshot that several connections share.
//!
//! Contents are exact output text under pinned session settings. Not compared: large objects, views, roles and grants,
//! and the contents of anything but ordinary and partitioned tables.

mod apply;
mod canonical;
mod catalog;
mod check;
mod connect;
mod constraints;
mod copy;
mod counters;
mod fault;
mod fetch;
mod hashed;
mod lag;
mod log;
mod mapping;
mod names;
mod row;
mod scan;
mod shape;
mod statement;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::apply::Writer;
use self::catalog::{Catalog, Table};
use self::check::Preflight;
use self::connect::Target;
pub(in crate::store) use self::lag::member_lags;
use self::log::LogName;
use self::mapping::Covered;
use super::sql::RowStore;
use super::sql::hashed::NOT_CHECKED;
use super::sql::{apply as sql_apply, group, guard, mapping as sql_mapping, pool, row as sql_row};
use super::{
    BodySource, Changes, Counter, Depth, ErrorKind, Finding, GuardedWrite, History, Level, LogMark, LogStart, Outcome,
    ReadStore, Result, Scan, Shape, StoreError, WriteStore,
};
use crate::model::{Identity, Item, Key, Leaf, Side, StoreId, StoreKind, Timestamp};
use crate::profile::{DatabaseProfile, DigestProfile, MappingProfile, SideProfile};

type Pool = pool::Pool<Target>;
type Lease = pool::Lease<Target>;
type Job<'a> = guard::Job<'a, Table>;
type Part<'a> = group::Part<'a, Table>;
type Task = guard::Task<<Table as guard::RowTable>::Cell>;

/// Tables of one PostgreSQL database.
pub struct PostgresStore {
    id: StoreId,
    side: Side,
    reached: SideProfile,
    covered: Covered,
    pool: Arc<Pool>,
    catalog: RwLock<Arc<Catalog>>,
    log: Option<LogName>,
    digest: DigestProfile,
    /// Whether the role may switch off foreign keys and triggers; asked once.
    is_replica: OnceCell<bool>,
}

#[async_trait]
impl RowStore for PostgresStore {
    async fn connect(
        id: StoreId,
        side: Side,
        reached: &SideProfile,
        database: &DatabaseProfile,
        tables: &[String],
    ) -> Result<PostgresStore> {
        let pool = Pool::new(Target::resolve(reached, database, side).await?);
        let lease = pool.lease().await?;
        let covered = Covered::of(tables, side);
        let catalog = RwLock::new(Arc::new(catalog::load(&lease, &covered).await?));
        lease.give_back();
        Ok(PostgresStore {
            id,
            side,
            reached: reached.clone(),
            covered,
            pool,
            catalog,
            log: database.slot.clone().map(|slot| LogName {
                publication: database.publication.clone().unwrap_or_else(|| slot.clone()),
                slot,
            }),
            digest: DigestProfile::Stream,
            is_replica: OnceCell::new(),
        })
    }

    fn hashed_by(mut self, digest: DigestProfile) -> PostgresStore {
        self.digest = digest;
        self
    }

    async fn mapped_by(
        mut self,
        mappings: &[MappingProfile],
        primary: Option<&PostgresStore>,
    ) -> Result<PostgresStore> {
        if mappings.is_empty() {
            return Ok(self);
        }
        let model = primary.map(|primary| Catalog::clone(&primary.catalog()));
        self.covered = self.covered.by(mappings, model)?;
        let lease = self.pool.lease().await?;
        self.keep(Arc::new(catalog::load(&lease, &self.covered).await?));
        lease.give_back();
        Ok(self)
    }
}

impl PostgresStore {
    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, catalog: Arc<Catalog>) {
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
    }

    fn subject(&self) -> String {
        format!("{} {}, {}", self.id, self.side, self.pool.target.place)
    }

    fn writable(&self) -> Result<()> {
        if self.pool.target.is_read_only() {
            let what = format!("{}: only the primary is ever written", self.subject());
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        Ok(())
    }

    async fn is_replica(&self, lease: &Lease) -> Result<bool> {
        self.is_replica.get_or_try_init(|| apply::may_be_replica(lease)).await.copied()
    }
}

impl BodySource for PostgresStore {}

#[async_trait]
impl ReadStore for PostgresStore {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Postgres
    }

    async fn identity(&self) -> Result<Identity> {
        let lease = self.pool.lease().await?;
        // A restored copy keeps the system identifier, so the server's own address is part of the identity.
        let sql = "SELECT (SELECT system_identifier::text FROM pg_control_system()), oid::text,
          coalesce(host(inet_server_addr()), 'socket') || ':' || coalesce(inet_server_port()::text, '')
          FROM pg_database WHERE datname = current_database()";
        let failed = |error| fault::store_error("cannot ask which database this is", &error);
        let row = lease.query_typed_one(sql, &[]).await.map_err(failed)?;
        lease.give_back();
        let (system, database, address): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let server = self.pool.target.rds_id.clone().unwrap_or(address);
        Ok(Identity {
            kind: StoreKind::Postgres,
            resource: format!("postgres {}", self.pool.target.place),
            id: sql_mapping::identified(format!("{system}:{database}@{server}"), &self.covered.mappings),
            region: Some(self.reached.region.clone()),
            account: self.reached.account.clone(),
        })
    }

    async fn shape(&self) -> Result<Shape> {
        let lease = self.pool.lease().await?;
        let catalog = Arc::new(catalog::load(&lease, &self.covered).await?);
        let shape = shape::shape(&lease, &catalog).await?;
        lease.give_back();
        self.keep(catalog);
        Ok(shape)
    }

    async fn check(&self) -> Vec<Finding> {
        let preflight = async {
            let lease = self.pool.lease().await?;
            let is_replica = self.writable().is_ok() && self.is_replica(&lease).await?;
            let (catalog, side, subject) = (self.catalog(), self.side, self.subject());
            let preflight = Preflight { client: &lease, catalog: &catalog, side, subject, is_replica };
            let mut findings = preflight.findings().await;
            findings.extend(self.log_findings(&lease).await?);
            lease.give_back();
            Ok::<_, StoreError>(findings)
        };
        let failed = |error| vec![Finding::new(Level::Blocker, self.subject(), fault::chain(&error))];
        preflight.await.unwrap_or_else(failed)
    }

    fn not_checked(&self) -> Vec<String> {
        let large_objects = match self.catalog().has_large_objects {
            true => format!("large objects, of which {} has some", self.side),
            false => "large objects".to_owned(),
        };
        let always = ["views and materialized views", "roles and grants", "indexes and functions"];
        let by_hashes = (self.digest == DigestProfile::Server).then(|| NOT_CHECKED.to_owned());
        let by_mapping = sql_mapping::not_checked(&self.covered.mappings);
        [large_objects].into_iter().chain(always.map(str::to_owned)).chain(by_hashes).chain(by_mapping).collect()
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let (catalog, scan) = scan::begin(&self.pool, &self.covered, self.digest, partitions).await?;
        self.keep(catalog);
        Ok(Box::new(scan))
    }

    async fn fetch(&self, keys: &[Key], _depth: Depth) -> Result<Vec<Option<Item>>> {
        let lease = self.pool.lease().await?;
        let items = fetch::fetch(&lease, &self.catalog(), self.digest, keys).await?;
        lease.give_back();
        Ok(items)
    }

    async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
        self.start_of_log(now).await
    }

    async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        self.changes_in_log(since, now).await
    }

    async fn history(&self, now: Timestamp) -> Result<History> {
        self.history_of_log(now).await
    }

    fn leaves_from(&self) -> Option<&'static str> {
        match self.digest {
            DigestProfile::Stream => None,
            DigestProfile::Server => Some(Leaf::BY_SERVER),
        }
    }

    fn leaves_setting(&self) -> (&'static str, &'static str) {
        ("digest", "stream")
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        let lease = self.pool.lease().await?;
        let counters = counters::read(&lease, &self.catalog()).await?;
        lease.give_back();
        Ok(counters)
    }

    fn rank(&self, key: &Key) -> u32 {
        let table = sql_row::key_parts(key).ok().map(|(table, _)| table);
        table.and_then(|name| self.catalog().table(&name).map(|table| table.rank)).unwrap_or(0)
    }

    fn holds_deletes(&self, key: &Key) -> Option<String> {
        let (table, _) = sql_row::key_parts(key).ok()?;
        self.catalog().table(&table)?.hold_deletes()
    }
}

#[async_trait]
impl WriteStore for PostgresStore {
    fn writes_at_once(&self) -> usize {
        sql_apply::ROWS_AT_ONCE
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.writable()?;
        let (lease, catalog) = (self.pool.lease().await?, self.catalog());
        let is_replica = self.is_replica(&lease).await?;
        let outcomes = sql_apply::apply(&mut Writer { client: &lease, catalog: &catalog, is_replica }, writes).await?;
        lease.give_back();
        Ok(outcomes)
    }

    fn is_transactional(&self) -> bool {
        true
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        self.writable()?;
        let lease = self.pool.lease().await?;
        let raised = counters::raise(&lease, counters).await?;
        lease.give_back();
        Ok(raised)
    }

    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        self.writable()?;
        let (lease, catalog) = (self.pool.lease().await?, self.catalog());
        let findings = match self.is_replica(&lease).await? {
            true => constraints::check(&lease, &catalog, &self.subject()).await?,
            // The database itself checked every write.
            false => Vec::new(),
        };
        lease.give_back();
        Ok(findings)
    }
}
