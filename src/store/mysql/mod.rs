//! MySQL and MariaDB: rows of one database's tables, read in one snapshot of one connection.
//!
//! Values go by the binary protocol, text in the character set of its column, so that every bit is compared and written as
//! it is stored. Not compared: views, routines, events, users and grants, and what other databases of the server hold.
//! Tables of engines without transactions are compared and never written.

mod apply;
mod ask;
mod canonical;
mod catalog;
mod check;
mod column;
mod connect;
mod constraints;
mod counters;
mod fault;
mod fetch;
mod grants;
mod hashed;
mod identity;
mod lag;
mod log;
mod mapping;
mod names;
mod row;
mod scan;
mod shape;
mod statement;
mod text;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use self::apply::Writer;
use self::catalog::{Catalog, Reach, Table};
use self::check::Preflight;
use self::connect::Target;
pub(in crate::store) use self::lag::member_lags;
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
type Job<'a> = guard::Job<'a, Table>;
type Part<'a> = group::Part<'a, Table>;
type Task = guard::Task<<Table as guard::RowTable>::Cell>;
type Wish = guard::Wish<<Table as guard::RowTable>::Cell>;

/// Tables of one MySQL or MariaDB database.
pub struct MysqlStore {
    id: StoreId,
    side: Side,
    reached: SideProfile,
    covered: Covered,
    pool: Arc<Pool>,
    catalog: RwLock<Arc<Catalog>>,
    /// Whether the binary log tells what was changed.
    is_followed: bool,
    digest: DigestProfile,
}

#[async_trait]
impl RowStore for MysqlStore {
    async fn connect(
        id: StoreId,
        side: Side,
        reached: &SideProfile,
        database: &DatabaseProfile,
        tables: &[String],
    ) -> Result<MysqlStore> {
        let pool = Pool::new(Target::resolve(reached, database, side).await?);
        let mut lease = pool.lease().await?;
        let covered = Covered::of(tables, side);
        let catalog = RwLock::new(Arc::new(catalog::load(&mut lease, &covered, reach_of(side)).await?));
        lease.give_back();
        let (reached, digest) = (reached.clone(), DigestProfile::Stream);
        Ok(MysqlStore { id, side, reached, covered, pool, catalog, is_followed: database.binlog, digest })
    }

    fn hashed_by(mut self, digest: DigestProfile) -> MysqlStore {
        self.digest = digest;
        self
    }

    async fn mapped_by(mut self, mappings: &[MappingProfile], primary: Option<&MysqlStore>) -> Result<MysqlStore> {
        if mappings.is_empty() {
            return Ok(self);
        }
        let model = primary.map(|primary| Catalog::clone(&primary.catalog()));
        self.covered = self.covered.by(mappings, model)?;
        let mut lease = self.pool.lease().await?;
        self.keep(Arc::new(catalog::load(&mut lease, &self.covered, reach_of(self.side)).await?));
        lease.give_back();
        Ok(self)
    }
}

impl MysqlStore {
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
}

/// Who refers to a row matters only where rows are written.
fn reach_of(side: Side) -> Reach {
    if side == Side::Primary { Reach::Referring } else { Reach::Own }
}

impl BodySource for MysqlStore {}

#[async_trait]
impl ReadStore for MysqlStore {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Mysql
    }

    async fn identity(&self) -> Result<Identity> {
        let mut lease = self.pool.lease().await?;
        let id = identity::ask(&mut lease, self.pool.target.rds_id.as_deref()).await?;
        lease.give_back();
        Ok(Identity {
            kind: StoreKind::Mysql,
            resource: format!("mysql {}", self.pool.target.place),
            id: sql_mapping::identified(id, &self.covered.mappings),
            region: Some(self.reached.region.clone()),
            account: self.reached.account.clone(),
        })
    }

    async fn shape(&self) -> Result<Shape> {
        let mut lease = self.pool.lease().await?;
        let catalog = Arc::new(catalog::load(&mut lease, &self.covered, reach_of(self.side)).await?);
        let shape = shape::shape(&mut lease, &catalog).await?;
        lease.give_back();
        self.keep(catalog);
        Ok(shape)
    }

    async fn check(&self) -> Vec<Finding> {
        let preflight = async {
            let mut lease = self.pool.lease().await?;
            let (catalog, side, subject) = (self.catalog(), self.side, self.subject());
            let preflight = Preflight { conn: &mut lease, catalog: &catalog, side, subject };
            let mut findings = preflight.findings().await;
            findings.extend(self.log_findings(&mut lease).await?);
            lease.give_back();
            Ok::<_, StoreError>(findings)
        };
        let failed = |error| vec![Finding::new(Level::Blocker, self.subject(), fault::chain(&error))];
        preflight.await.unwrap_or_else(failed)
    }

    fn not_checked(&self) -> Vec<String> {
        let always = ["views", "routines and events", "users and grants", "indexes", "other databases of the server"];
        let by_hashes = (self.digest == DigestProfile::Server).then_some(NOT_CHECKED);
        let by_mapping = sql_mapping::not_checked(&self.covered.mappings);
        always.into_iter().chain(by_hashes).map(str::to_owned).chain(by_mapping).collect()
    }

    async fn begin_scan(&self, _partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let (catalog, scan) = scan::begin(&self.pool, &self.covered, self.digest, reach_of(self.side)).await?;
        self.keep(catalog);
        Ok(Box::new(scan))
    }

    async fn fetch(&self, keys: &[Key], _depth: Depth) -> Result<Vec<Option<Item>>> {
        let mut lease = self.pool.lease().await?;
        let items = fetch::fetch(&mut lease, &self.catalog(), self.digest, keys).await?;
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
        let mut lease = self.pool.lease().await?;
        let counters = counters::read(&mut lease, &self.catalog()).await?;
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
impl WriteStore for MysqlStore {
    fn writes_at_once(&self) -> usize {
        sql_apply::ROWS_AT_ONCE
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.writable()?;
        let (mut lease, catalog) = (self.pool.lease().await?, self.catalog());
        let outcomes = sql_apply::apply(&mut Writer { conn: &mut lease, catalog: &catalog }, writes).await?;
        lease.give_back();
        Ok(outcomes)
    }

    fn is_transactional(&self) -> bool {
        true
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        self.writable()?;
        let (mut lease, catalog) = (self.pool.lease().await?, self.catalog());
        let raised = counters::raise(&mut lease, &catalog, counters).await?;
        lease.give_back();
        Ok(raised)
    }

    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        self.writable()?;
        let (mut lease, catalog) = (self.pool.lease().await?, self.catalog());
        connect::without_limit(&mut lease).await?;
        // The connection is not given back: it has no limit of time any more.
        constraints::check(&mut lease, &catalog, &self.subject()).await
    }
}
