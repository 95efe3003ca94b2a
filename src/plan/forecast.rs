//! What a replay will take: time, requests and money, before it starts.

use serde::{Deserialize, Serialize};

use super::PlanCounts;
use crate::model::StoreKind;

/// Items written per second that are assumed where no limit is set.
const UNLIMITED_WRITES_PER_SECOND: u32 = 500;

/// List prices in US dollars, us-east-1, on demand, 2026: an order of magnitude for the decision, not a bill.
mod price {
    pub const DYNAMODB_WRITE_UNIT: f64 = 0.625e-6;
    pub const DYNAMODB_READ_UNIT: f64 = 0.125e-6;
    pub const S3_PUT: f64 = 5e-6;
    pub const S3_GET: f64 = 0.4e-6;
    pub const TRANSFER_GIB: f64 = 0.02;
}

/// A forecast for one store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Seconds of writing at the limit set.
    pub seconds: u64,
    /// Requests to both sides.
    pub requests: u64,
    /// DynamoDB write units, indexes included: an index that a write does not touch takes none, so it is a ceiling.
    #[serde(default)]
    pub write_units: u64,
    /// DynamoDB read units of reading every step's item on both sides.
    #[serde(default)]
    pub read_units: u64,
    /// US dollars at list price; instance-priced stores cost only the transfer.
    pub dollars: f64,
    /// Bytes of bodies that the next pass and the verification read, because the two sides share no proof of them.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub body_bytes: u64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl Forecast {
    /// The same with what the next pass and the verification read of bodies, where one reading was `body_bytes`.
    pub fn with_bodies(self, body_bytes: u64) -> Forecast {
        let body_bytes = body_bytes.saturating_mul(2);
        let transfer = body_bytes as f64 / (1u64 << 30) as f64 * price::TRANSFER_GIB;
        Forecast { body_bytes, dollars: self.dollars + transfer, ..self }
    }
}

/// The forecast for the steps of one store, each of whose writes goes to so many indexes as well.
pub fn forecast(kind: StoreKind, counts: &PlanCounts, indexes: u64, writes_per_second: u32) -> Forecast {
    let steps = counts.steps();
    let rate = if writes_per_second == 0 { UNLIMITED_WRITES_PER_SECOND } else { writes_per_second };
    let transfer = counts.bytes as f64 / (1u64 << 30) as f64 * price::TRANSFER_GIB;
    // Every step is read once on both sides, written once, and read again by the verification.
    let (write_units, read_units) = match kind {
        StoreKind::DynamoDb => (counts.write_units * (1 + indexes), 2 * (steps + counts.bytes / 4096)),
        StoreKind::S3 | StoreKind::Postgres | StoreKind::Mysql | StoreKind::Memory => (0, 0),
    };
    let (requests, money) = match kind {
        StoreKind::DynamoDb => (
            steps + steps / 50 + 2,
            write_units as f64 * price::DYNAMODB_WRITE_UNIT + read_units as f64 * price::DYNAMODB_READ_UNIT,
        ),
        StoreKind::S3 => (5 * steps, steps as f64 * (price::S3_PUT + 4.0 * price::S3_GET)),
        StoreKind::Postgres | StoreKind::Mysql | StoreKind::Memory => (steps + steps / 50 + 2, 0.0),
    };
    let seconds = steps.div_ceil(u64::from(rate));
    Forecast { seconds, requests, write_units, read_units, dollars: money + transfer, body_bytes: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_follows_the_limit_and_money_the_bytes() {
        let counts = PlanCounts { inserts: 1_000_000, bytes: 1 << 30, write_units: 2_000_000, ..PlanCounts::default() };
        let slow = forecast(StoreKind::DynamoDb, &counts, 0, 200);
        assert_eq!(slow.seconds, 5_000);
        assert!((1.0..3.0).contains(&slow.dollars), "{}", slow.dollars);
        let read = slow.with_bodies(1 << 30);
        assert_eq!(read.body_bytes, 2 << 30);
        assert!(read.dollars > slow.dollars);
        assert_eq!((slow.write_units, slow.read_units), (2_000_000, 2_524_288));
        let indexed = forecast(StoreKind::DynamoDb, &counts, 2, 200);
        assert_eq!(indexed.write_units, 6_000_000, "two indexes may take as much again each");
        assert_eq!(
            forecast(StoreKind::Postgres, &PlanCounts::default(), 3, 200),
            Forecast { requests: 2, ..Forecast::default() }
        );
    }
}
