//! PostgreSQL: rows of tables, read in one snapshot that several connections share.
//!
//! Contents are exact output text under pinned session settings. Not compared: large objects, views, roles and grants,
//! and the contents of anything but ordinary and partitioned tables.

mod apply;
mod catalog;
mod check;
mod connect;
mod constraints;
mod counters;
mod fault;
mod fetch;
mod group;
mod guard;
mod names;
mod pool;
mod row;
mod scan;
mod shape;
mod statement;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::apply::Writer;
use self::catalog::Catalog;
use self::check::Preflight;
use self::connect::Target;
pub(crate) use self::names::matches;
use self::pool::{Lease, Pool};
use super::{
    BodySource, Counter, Depth, ErrorKind, Finding, GuardedWrite, Level, Outcome, ReadStore, Result, Scan, Shape,
    StoreError, WriteStore,
};
use crate::model::{Identity, Item, Key, Side, StoreId, StoreKind};
use crate::profile::{DatabaseProfile, SideProfile};

/// Tables of one PostgreSQL database.
pub struct PostgresStore {
    id: StoreId,
    side: Side,
    reached: SideProfile,
    patterns: Vec<String>,
    pool: Arc<Pool>,
    catalog: RwLock<Arc<Catalog>>,
    /// Whether the role may switch off foreign keys and triggers; asked once.
    is_replica: OnceCell<bool>,
}

impl PostgresStore {
    /// Connects and reads the catalog; every side but the primary is held read-only by its session.
    ///
    /// `tables` are `schema.table` patterns with `*` and `?`.
    ///
    /// # Errors
    ///
    /// `Missing`, `Denied`, `Unreachable` or `Unfit`, as the database, RDS or the profile has it.
    pub async fn connect(
        id: StoreId,
        side: Side,
        reached: &SideProfile,
        database: &DatabaseProfile,
        tables: &[String],
    ) -> Result<PostgresStore> {
        let pool = Pool::new(Target::resolve(reached, database, side).await?);
        let lease = pool.lease().await?;
        let catalog = RwLock::new(Arc::new(catalog::load(&lease, tables).await?));
        lease.give_back();
        Ok(PostgresStore {
            id,
            side,
            reached: reached.clone(),
            patterns: tables.to_vec(),
            pool,
            catalog,
            is_replica: OnceCell::new(),
        })
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, catalog: Arc<Catalog>) {
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
    }
}

impl PostgresStore {
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
            id: format!("{system}:{database}@{server}"),
            region: Some(self.reached.region.clone()),
            account: self.reached.account.clone(),
        })
    }

    async fn shape(&self) -> Result<Shape> {
        let lease = self.pool.lease().await?;
        let catalog = Arc::new(catalog::load(&lease, &self.patterns).await?);
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
            let findings = preflight.findings().await;
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
        [large_objects].into_iter().chain(always.map(str::to_owned)).collect()
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let (catalog, scan) = scan::begin(&self.pool, &self.patterns, partitions).await?;
        self.keep(catalog);
        Ok(Box::new(scan))
    }

    async fn fetch(&self, keys: &[Key], _depth: Depth) -> Result<Vec<Option<Item>>> {
        let lease = self.pool.lease().await?;
        let items = fetch::fetch(&lease, &self.catalog(), keys).await?;
        lease.give_back();
        Ok(items)
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        let lease = self.pool.lease().await?;
        let counters = counters::read(&lease, &self.catalog()).await?;
        lease.give_back();
        Ok(counters)
    }

    fn rank(&self, key: &Key) -> u32 {
        let table = row::key_parts(key).ok().map(|(table, _)| table);
        table.and_then(|name| self.catalog().table(&name).map(|table| table.rank)).unwrap_or(0)
    }
}

#[async_trait]
impl WriteStore for PostgresStore {
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.writable()?;
        let (lease, catalog) = (self.pool.lease().await?, self.catalog());
        let is_replica = self.is_replica(&lease).await?;
        let outcomes = Writer { client: &lease, catalog: &catalog, is_replica }.apply(writes).await?;
        lease.give_back();
        Ok(outcomes)
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
