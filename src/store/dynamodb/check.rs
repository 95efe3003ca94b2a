//! The shape of a table, and what an operator should know of it.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    BillingMode, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, Projection, ReplicaDescription,
    TableDescription, TableStatus,
};

use super::DynamoDbStore;
use super::replicas::{replicated, unusable};
use super::table::{key_of_table, ttl_attribute};
use crate::model::Side;
use crate::store::aws::store_error;
use crate::store::{ErrorKind, Finding, Level, Result, Shape, StoreError};

/// What is never compared, for the certificate.
pub(super) fn not_checked() -> Vec<String> {
    [
        "contents of global and local secondary indexes (the service derives them from the items)",
        "streams, their consumers and their position",
        "table settings: time to live, capacity, auto scaling, table class, deletion protection, encryption key",
        "point-in-time recovery, backups, tags, resource policies and alarms",
        "attributes named aws:rep:*, which global tables keep for themselves",
        "how numbers are spelled: 1, 1.0 and 1E0 are one number",
    ]
    .map(str::to_owned)
    .to_vec()
}

impl DynamoDbStore {
    /// The table's shape.
    ///
    /// The time to live is advisory: a restored table never has one, and is compared all the same.
    pub(super) async fn ask_shape(&self) -> Result<Shape> {
        let table = self.describe().await?;
        let key = key_of_table(&table, &self.format.subject)?;
        let key = key.iter().map(|part| format!("{} {} {}", part.name, part.scalar_type, role(&part.role)));
        let mut advisory = settings(&table);
        let ttl = ttl_attribute(&self.reader, &self.table, &self.format.subject).await?;
        advisory.insert("time to live".into(), ttl.map_or("off".into(), |name| format!("by {name}")));
        let recovery = match self.point_in_time_recovery().await {
            Ok(true) => "on",
            Ok(false) => "off",
            Err(_) => "unknown",
        };
        advisory.insert("point-in-time recovery".into(), recovery.into());
        let binding = BTreeMap::from([("key schema".to_owned(), key.collect::<Vec<_>>().join(", "))]);
        Ok(Shape { binding, advisory, ..Shape::default() })
    }

    /// Collects what an operator should know of this table before relying on it.
    pub(super) async fn preflight(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        match self.describe_same().await {
            Ok(table) => {
                findings.extend(self.check_status(&table));
                findings.extend(self.check_global(&table));
                findings.extend(self.check_capacity(&table));
                findings.extend(self.check_warmth(&table));
                findings.extend(self.check_stream(&table));
            }
            Err(error) => findings.push(self.could_not_ask(Level::Blocker, &error)),
        }
        match ttl_attribute(&self.reader, &self.table, &self.format.subject).await {
            Ok(attribute) => findings.extend(self.check_ttl(attribute)),
            Err(error) => findings.push(self.could_not_ask(Level::Warning, &error)),
        }
        match self.point_in_time_recovery().await {
            Ok(true) => (),
            Ok(false) => findings.push(self.without_recovery()),
            Err(error) => findings.push(self.could_not_ask(Level::Warning, &error)),
        }
        findings.extend(self.clock_watch.finding(&format!("{} {}", self.id, self.side)));
        findings
    }

    fn check_status(&self, table: &TableDescription) -> Option<Finding> {
        if let Some(why) = unusable(table) {
            return Some(self.finding(Level::Blocker, why).with_hint("nothing is read or written until it is ACTIVE"));
        }
        (table.table_status() == Some(&TableStatus::Updating)).then(|| {
            self.finding(Level::Warning, "the table is being updated".into()).with_hint("wait until it is ACTIVE")
        })
    }

    /// A write into a global table gets a new timestamp there, and can bury newer data in other Regions: it blocks on the
    /// primary, the other sides are never written.
    fn check_global(&self, table: &TableDescription) -> Vec<Finding> {
        let level = if self.side == Side::Primary { Level::Blocker } else { Level::Warning };
        let mut signs = replicated(table, &self.region);
        let is_counterpart = |replica: &ReplicaDescription| {
            replica.region_name().is_some() && replica.region_name() == self.counterpart_region.as_deref()
        };
        if table.replicas().iter().any(is_counterpart) {
            signs.push("both sides are of one global table, which converges by itself".into());
        }
        let hint = "verify it only: a replay into a global table can bury newer data; a replica that was taken out of its \
                    group is a table by itself and may be written";
        signs.into_iter().map(|what| self.finding(level, what).with_hint(hint)).collect()
    }

    /// What the table takes at once: beyond it, a replay is throttled until the service has made room.
    fn check_warmth(&self, table: &TableDescription) -> Option<Finding> {
        let warm = table.warm_throughput()?;
        // No table is warm for nothing: a server that says so does not tell.
        let told = |units: Option<i64>| units.filter(|units| *units > 0);
        let (reads, writes) = (told(warm.read_units_per_second)?, told(warm.write_units_per_second)?);
        let what = format!("it is warm for {reads} read and {writes} write units a second, more comes by and by");
        let hint = match self.side {
            Side::Primary => format!(
                "keep limits.writes_per_second below it, or warm it before: aws dynamodb update-table --table-name {} \
                 --warm-throughput ReadUnitsPerSecond={reads},WriteUnitsPerSecond=...",
                self.table
            ),
            Side::Dr | Side::Base => "keep limits.reads_per_second below it: its customers share it".to_owned(),
        };
        Some(self.finding(Level::Note, what).with_hint(hint))
    }

    fn check_capacity(&self, table: &TableDescription) -> Option<Finding> {
        let provisioned = table.provisioned_throughput()?;
        if table.billing_mode_summary().and_then(|billing| billing.billing_mode()) == Some(&BillingMode::PayPerRequest)
        {
            return None;
        }
        let (reads, writes) = (provisioned.read_capacity_units?, provisioned.write_capacity_units?);
        if (reads, writes) == (0, 0) {
            return None;
        }
        let what =
            format!("its capacity is provisioned: {reads} read and {writes} write units a second, shared with others");
        Some(
            self.finding(Level::Note, what)
                .with_hint("set limits in the profile, or raise the capacity for the failback"),
        )
    }

    fn check_stream(&self, table: &TableDescription) -> Option<Finding> {
        let on = table.stream_specification().is_some_and(|stream| stream.stream_enabled);
        match self.side {
            Side::Primary if on => {
                let what = "the table has a stream: its consumers will see every replayed write";
                Some(self.finding(Level::Warning, what.into()).with_hint("stop its consumers, or make sure they may"))
            }
            Side::Dr if !on => Some(
                self.finding(Level::Note, "the table has no stream, so every pass reads all of it".into())
                    .with_hint("switch one on (KEYS_ONLY will do): catch-up passes then read what changed"),
            ),
            _ => None,
        }
    }

    fn check_ttl(&self, attribute: Option<String>) -> Option<Finding> {
        if attribute != self.format.ttl_attribute {
            return Some(
                self.finding(Level::Blocker, "its time to live was changed since this run connected to it".into()),
            );
        }
        let attribute = attribute?;
        Some(self.finding(Level::Note, format!("items expire by themselves, by attribute {attribute}")))
    }

    fn without_recovery(&self) -> Finding {
        let level = if self.side == Side::Primary { Level::Warning } else { Level::Note };
        let finding = self.finding(level, "point-in-time recovery is off".into());
        finding.with_hint("switch it on: it undoes what nothing else can")
    }

    async fn point_in_time_recovery(&self) -> Result<bool> {
        let what = || format!("cannot ask for the point-in-time recovery of {}", self.format.subject);
        let reply = self.reader.describe_continuous_backups().table_name(&self.table).send().await;
        let reply = reply.map_err(|error| store_error(what(), error))?;
        let described = reply.continuous_backups_description;
        let recovery = described.and_then(|described| described.point_in_time_recovery_description);
        match recovery.and_then(|recovery| recovery.point_in_time_recovery_status) {
            Some(PointInTimeRecoveryStatus::Enabled) => Ok(true),
            Some(PointInTimeRecoveryStatus::Disabled) | None => Ok(false),
            Some(_) => Err(StoreError::new(ErrorKind::Unreadable, what())),
        }
    }

    fn could_not_ask(&self, level: Level, error: &StoreError) -> Finding {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.finding(level, format!("{error}{cause}"))
    }

    fn finding(&self, level: Level, what: String) -> Finding {
        Finding::new(level, format!("{} {}", self.id, self.side), what)
    }
}

/// Settings by which two tables had better be alike.
fn settings(table: &TableDescription) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    for index in table.global_secondary_indexes() {
        let (name, what) = (index.index_name().unwrap_or("?"), index_text(index.key_schema(), index.projection()));
        parts.insert(format!("global index {name}"), what);
    }
    for index in table.local_secondary_indexes() {
        let (name, what) = (index.index_name().unwrap_or("?"), index_text(index.key_schema(), index.projection()));
        parts.insert(format!("local index {name}"), what);
    }
    for index in table.vector_indexes() {
        parts.insert(format!("vector index {}", index.index_name().unwrap_or("?")), "present".into());
    }
    let billing = table.billing_mode_summary().and_then(|billing| billing.billing_mode());
    parts.insert("billing mode".into(), billing.map_or("PROVISIONED", |mode| mode.as_str()).into());
    let stream = table.stream_specification().filter(|stream| stream.stream_enabled);
    let view = stream.map_or("off", |stream| stream.stream_view_type().map_or("on", |view| view.as_str()));
    parts.insert("stream".into(), view.into());
    let class = table.table_class_summary().and_then(|class| class.table_class());
    parts.insert("table class".into(), class.map_or("STANDARD", |class| class.as_str()).into());
    let protected = table.deletion_protection_enabled().unwrap_or(false);
    parts.insert("deletion protection".into(), if protected { "on" } else { "off" }.into());
    parts
}

fn index_text(key: &[KeySchemaElement], projection: Option<&Projection>) -> String {
    let key = key.iter().map(|part| format!("{} {}", part.attribute_name, role(&part.key_type))).collect::<Vec<_>>();
    let kind = projection.and_then(|projection| projection.projection_type()).map_or("ALL", |kind| kind.as_str());
    let mut extra = projection.map(|projection| projection.non_key_attributes().to_vec()).unwrap_or_default();
    extra.sort();
    let extra = if extra.is_empty() { String::new() } else { format!(" {}", extra.join(" ")) };
    format!("on {}, projecting {kind}{extra}", key.join(", "))
}

fn role(role: &KeyType) -> &str {
    match role {
        KeyType::Hash => "partition",
        KeyType::Range => "sort",
        other => other.as_str(),
    }
}
