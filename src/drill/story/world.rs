//! The shop in its two Regions, and the steps of its disaster.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;

use super::dns::{Dns, Weights};
use super::leader::Leader;
use super::ledger::Ledger;
use super::media::Media;
use super::orders::Orders;
use super::place::Place;
use super::plant::{Fate, Planted, PlantedStore, Scale, plant};
use super::{Result, StoryError, fence};
use crate::drill::sandbox::Sandbox;
use crate::model::{Clock, Side, StoreKind, Timestamp, Value};
use crate::store::memory::MemoryRegistry;

/// Values of each sequence handed out at each step of the business.
const SEQUENCE_USE: i64 = 5;

/// When the disaster struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Struck {
    /// T0: the last instant the primary took writes.
    pub disaster_at: Timestamp,
    /// Tb: the last instant both sides were in step.
    pub dr_as_of: Timestamp,
}

/// One store on both sides, with its truth.
pub(super) struct Shelf {
    pub planted: PlantedStore,
    pub primary: Place,
    pub dr: Place,
}

/// Thirty days before today begins, in epoch seconds: the same all day, so that one seed tells one story.
fn expired_at(clock: &dyn Clock) -> i64 {
    const DAY: i64 = 86_400;
    (clock.now().as_second().div_euclid(DAY) - 30) * DAY
}

/// The shop in its two Regions.
pub struct World {
    pub(super) shelves: Vec<Shelf>,
    /// Absent in memory, where there is no Route 53.
    pub(super) dns: Option<Dns>,
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    leader: Leader,
    late_business_made: AtomicBool,
}

impl World {
    /// Makes the shop's empty resources in a sandbox and plants its story.
    ///
    /// # Errors
    ///
    /// When a resource cannot be made.
    pub async fn create(sandbox: &Sandbox, scale: Scale, leader: Leader, clock: Arc<dyn Clock>) -> Result<World> {
        let record = sandbox.record();
        let endpoint = record.aws_endpoint();
        fence::lower_flag(sandbox.folder())?;
        let route53 = aws_sdk_route53::Client::new(&sdk_config(Side::Primary, &endpoint));
        let dns = Dns::create(route53, leader.ttl_seconds()).await?;
        let [orders, media, ledger] = plant(scale, expired_at(clock.as_ref()));
        let mut shelves = Vec::with_capacity(3);
        for planted in [orders, media, ledger] {
            let primary = place(planted.name, Side::Primary, &endpoint, record.postgres_port(Side::Primary)).await?;
            let dr = place(planted.name, Side::Dr, &endpoint, record.postgres_port(Side::Dr)).await?;
            shelves.push(Shelf { planted, primary, dr });
        }
        Ok(World::of(shelves, Some(dns), sandbox.folder(), (leader, clock)))
    }

    /// Plants the story for the reference stores: tables `<store>` and `<store>-dr` of `registry`. `folder` holds the fence.
    ///
    /// There is no Route 53 here: the weights are not part of this world.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn create_in_memory(
        registry: &MemoryRegistry,
        folder: &Path,
        scale: Scale,
        leader: Leader,
        clock: Arc<dyn Clock>,
    ) -> Result<World> {
        fence::lower_flag(folder)?;
        let shelf = |mut planted: PlantedStore| {
            planted.kind = StoreKind::Memory;
            let tables = [planted.name.to_owned(), format!("{}-dr", planted.name)].map(|name| {
                let table = registry.table(&name);
                table.set_ttl_attribute((planted.name == "orders").then_some("expires_at"));
                Place::Memory(table)
            });
            let [primary, dr] = tables;
            Shelf { planted, primary, dr }
        };
        let shelves = plant(scale, expired_at(clock.as_ref())).into_iter().map(shelf).collect();
        Ok(World::of(shelves, None, folder, (leader, clock)))
    }

    fn of(shelves: Vec<Shelf>, dns: Option<Dns>, folder: &Path, (leader, clock): (Leader, Arc<dyn Clock>)) -> World {
        let late_business_made = AtomicBool::new(false);
        World { shelves, dns, folder: folder.to_owned(), clock, leader, late_business_made }
    }

    /// Who leads the job.
    pub fn leader(&self) -> Leader {
        self.leader
    }

    /// The planted truth, by store.
    pub fn planted(&self) -> impl Iterator<Item = &PlantedStore> {
        self.shelves.iter().map(|shelf| &shelf.planted)
    }

    /// The hosted zone's id, where there is one.
    pub fn hosted_zone(&self) -> Option<&str> {
        self.dns.as_ref().map(|dns| dns.zone.as_str())
    }

    /// The sandbox's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fills both sides, in step; all traffic goes to the primary. Take the checkpoint after this.
    ///
    /// # Errors
    ///
    /// When a store or the zone cannot be written.
    pub async fn seed(&self) -> Result<()> {
        self.set_weights(Weights { primary: 100, dr: 0 }).await?;
        for shelf in &self.shelves {
            let writes = writes(&shelf.planted, |item| item.base.is_some().then_some(item.base.as_ref()));
            tokio::try_join!(shelf.primary.write_all(&writes), shelf.dr.write_all(&writes))?;
            for place in [&shelf.primary, &shelf.dr] {
                use_sequences(place, SEQUENCE_USE).await?;
            }
        }
        Ok(())
    }

    /// Strikes: the primary's last writes never reach dr, and traffic fails over.
    ///
    /// # Errors
    ///
    /// When a store or the zone cannot be written.
    pub async fn strike(&self) -> Result<Struck> {
        let dr_as_of = self.clock.now();
        for shelf in &self.shelves {
            let stranded = writes(&shelf.planted, |item| (item.base != item.primary).then_some(item.primary.as_ref()));
            shelf.primary.write_all(&stranded).await?;
            use_sequences(&shelf.primary, SEQUENCE_USE).await?;
        }
        let disaster_at = self.clock.now();
        self.set_weights(Weights { primary: 0, dr: 100 }).await?;
        Ok(Struck { disaster_at, dr_as_of })
    }

    /// The outage's business in dr.
    ///
    /// # Errors
    ///
    /// When dr is fenced or cannot be written.
    pub async fn business(&self) -> Result<()> {
        self.must_be_open()?;
        for shelf in &self.shelves {
            // A unique value can only be exchanged through a gap.
            let gap = writes(&shelf.planted, |item| (item.fate == Fate::DrSwap).then_some(None));
            shelf.dr.write_all(&gap).await?;
            let changed = |item: &Planted| item.base != item.dr || item.fate == Fate::DrRewrite;
            shelf.dr.write_all(&rows(&shelf.planted, changed, |item| item.dr.as_ref())).await?;
            use_sequences(&shelf.dr, 4 * SEQUENCE_USE).await?;
        }
        Ok(())
    }

    /// What dr still writes after the first replay. Where this is never told, dr's last word is that of the outage.
    ///
    /// # Errors
    ///
    /// When dr is fenced or cannot be written.
    pub async fn late_business(&self) -> Result<()> {
        self.must_be_open()?;
        for shelf in &self.shelves {
            let late = writes(&shelf.planted, |item| (item.dr != item.late).then_some(item.late.as_ref()));
            shelf.dr.write_all(&late).await?;
            use_sequences(&shelf.dr, SEQUENCE_USE).await?;
        }
        self.late_business_made.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether dr's late writes were made, all of them.
    pub fn late_business_made(&self) -> bool {
        self.late_business_made.load(Ordering::Acquire)
    }

    /// Whether dr takes no more writes.
    pub fn is_fenced(&self) -> bool {
        fence::is_flagged(&self.folder)
    }

    async fn set_weights(&self, weights: Weights) -> Result<()> {
        match &self.dns {
            Some(dns) => dns.set(weights).await,
            None => Ok(()),
        }
    }

    fn must_be_open(&self) -> Result<()> {
        if self.is_fenced() {
            return Err(StoryError::new("dr is fenced: the shop writes no more"));
        }
        Ok(())
    }
}

type Writes<'a> = Vec<(&'a Value, Option<&'a Value>)>;

/// The writes of a step: `step` gives what to write (nothing: delete) for an item that the step touches.
fn writes<'a>(store: &'a PlantedStore, step: impl Fn(&'a Planted) -> Option<Option<&'a Value>>) -> Writes<'a> {
    store.items.iter().filter_map(|item| Some((&item.key, step(item)?))).collect()
}

fn rows<'a>(
    store: &'a PlantedStore,
    touched: impl Fn(&Planted) -> bool,
    contents: impl Fn(&'a Planted) -> Option<&'a Value>,
) -> Writes<'a> {
    writes(store, |item| touched(item).then(|| contents(item)))
}

async fn use_sequences(place: &Place, count: i64) -> Result<()> {
    match place {
        Place::Ledger(ledger) => ledger.use_sequences(count).await,
        Place::Orders(_) | Place::Media(_) | Place::Memory(_) => Ok(()),
    }
}

/// The Region a side stands for.
pub(super) fn region(side: Side) -> &'static str {
    match side {
        Side::Primary | Side::Base => "us-east-1",
        Side::Dr => "us-west-2",
    }
}

fn sdk_config(side: Side, endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "drill");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region(side)))
        .endpoint_url(endpoint)
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(credentials))
        .build()
}

async fn place(store: &str, side: Side, endpoint: &str, postgres_port: u16) -> Result<Place> {
    let config = sdk_config(side, endpoint);
    match store {
        "orders" => {
            let orders = Orders { client: aws_sdk_dynamodb::Client::new(&config), side };
            orders.create().await?;
            Ok(Place::Orders(orders))
        }
        "media" => {
            let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
            let media = Media { client: aws_sdk_s3::Client::from_conf(config), side, region: region(side) };
            media.create().await?;
            Ok(Place::Media(media))
        }
        _ => Ok(Place::Ledger(Ledger::create(postgres_port).await?)),
    }
}
