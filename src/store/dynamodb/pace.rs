//! How fast one table is written: as fast as it is asked to, until the service throttles; then a pace that falls by a third at
//! each throttling and rises slowly without. The profile's limit stands outside of this and is never passed.
//!
//! The service says why it throttles. A hot partition says nothing of the rest of the table, so it does not slow the pace:
//! its items are parked and tried apart. An index that cannot keep up holds its table back: that slows the pace and is told.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ThrottlingReason;
use tokio::time::Instant;

/// The slowest pace, in writes per second.
const RATE_MIN: f64 = 1.0;
/// What is left of the pace at a throttling.
const CUT: f64 = 0.7;
/// What one second without throttling adds to the pace: this share of it, and at least so much.
const RISE_SHARE: f64 = 0.1;
const RISE_MIN: f64 = 5.0;
/// Throttlings so close together are one: they were under way when the pace fell.
const CUT_APART: Duration = Duration::from_millis(500);
/// Over how long the pace so far is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// Codes by which the service asks to slow down.
const THROTTLING: [&str; 4] =
    ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "Throttling"];

/// Whether a code asks to slow down.
pub(super) fn is_throttling(code: Option<&str>) -> bool {
    code.is_some_and(|code| THROTTLING.contains(&code))
}

/// Why the service throttled a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Throttled {
    /// One partition takes no more; the others do.
    Partition,
    /// These indexes cannot keep up.
    Indexes(BTreeSet<String>),
    /// The table, or no reason was given.
    Table,
}

impl Throttled {
    /// Reads the reasons of a throttling: `Table` or `Index`, `Read` or `Write`, and the limit that was passed.
    pub(super) fn of(reasons: &[ThrottlingReason]) -> Throttled {
        let is_of_index =
            |reason: &&ThrottlingReason| reason.reason().is_some_and(|reason| reason.starts_with("Index"));
        let name = |reason: &ThrottlingReason| {
            let resource = reason.resource().unwrap_or("an unnamed index");
            resource.rsplit_once("/index/").map_or(resource, |(_, name)| name).to_owned()
        };
        let indexes: BTreeSet<String> = reasons.iter().filter(is_of_index).map(name).collect();
        if !indexes.is_empty() {
            return Throttled::Indexes(indexes);
        }
        let is_of_key_range = |reason: &ThrottlingReason| {
            reason.reason().is_some_and(|reason| reason.ends_with("KeyRangeThroughputExceeded"))
        };
        let partition_only = !reasons.is_empty() && reasons.iter().all(is_of_key_range);
        if partition_only { Throttled::Partition } else { Throttled::Table }
    }
}

/// The pace of one table's writes.
#[derive(Debug)]
pub(super) struct WritePace {
    began: Instant,
    state: Mutex<Rate>,
}

impl WritePace {
    pub(super) fn new() -> WritePace {
        WritePace { began: Instant::now(), state: Mutex::default() }
    }

    /// Waits until one more write may be sent.
    pub(super) async fn take(&self) {
        let wait = self.lock().take(self.began.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// The service throttled the whole table.
    pub(super) fn throttled(&self) {
        self.lock().cut(self.began.elapsed());
    }

    fn lock(&self) -> MutexGuard<'_, Rate> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pace itself; instants are durations since it began.
#[derive(Debug, Default)]
struct Rate {
    /// Writes per second; `None` until the first throttling.
    per_second: Option<f64>,
    /// When the next write may be sent.
    next: Duration,
    cut_at: Option<Duration>,
    risen_at: Duration,
    /// Since when writes are counted, how many they are, and how many there were in the period before in which any were sent.
    counted_from: Duration,
    count: u32,
    count_before: u32,
}

impl Rate {
    /// How long the next write waits.
    fn take(&mut self, now: Duration) -> Duration {
        self.measure(now);
        self.count += 1;
        let Some(rate) = self.per_second else { return Duration::ZERO };
        let seconds = now.saturating_sub(self.risen_at).as_secs();
        if seconds > 0 {
            let rises = (0..seconds.min(60)).fold(rate, |rate, _| rate + (rate * RISE_SHARE).max(RISE_MIN));
            self.per_second = Some(rises);
            self.risen_at = now;
        }
        let at = self.next.max(now);
        self.next = at + Duration::from_secs_f64(1.0 / self.per_second.unwrap_or(rate));
        at - now
    }

    fn cut(&mut self, now: Duration) {
        if self.cut_at.is_some_and(|at| now.saturating_sub(at) < CUT_APART) {
            return;
        }
        self.measure(now);
        let so_far = f64::from(self.count_before.max(self.count)) / MEASURED.as_secs_f64();
        let rate = self.per_second.map_or(so_far, |rate| rate.min(so_far));
        self.per_second = Some((rate * CUT).max(RATE_MIN));
        (self.cut_at, self.risen_at) = (Some(now), now);
    }

    fn measure(&mut self, now: Duration) {
        let periods = now.saturating_sub(self.counted_from).as_secs_f64() / MEASURED.as_secs_f64();
        if periods >= 1.0 {
            // A period in which nothing was sent says nothing of what the table takes.
            self.count_before = if self.count > 0 { self.count } else { self.count_before };
            (self.counted_from, self.count) = (now, 0);
        }
    }
}

/// Keeps the SDK from repeating throttled writes by itself: it would not tell the reasons, nor slow down the others.
#[derive(Debug)]
pub(super) struct ThrottlingIsOurs;

impl ClassifyRetry for ThrottlingIsOurs {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(std::result::Result::err);
        let error = error.and_then(|error| error.as_operation_error());
        let code = error.and_then(|error| {
            let put = error.downcast_ref::<PutItemError>().and_then(ProvideErrorMetadata::code);
            put.or_else(|| error.downcast_ref::<DeleteItemError>().and_then(ProvideErrorMetadata::code))
        });
        if is_throttling(code) { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "ThrottlingIsOurs"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(reason: &str, resource: &str) -> ThrottlingReason {
        ThrottlingReason::builder().reason(reason).resource(resource).build()
    }

    #[test]
    fn reasons_tell_a_hot_partition_an_index_and_the_table_apart() {
        let table = "arn:aws:dynamodb:us-east-1:000000000000:table/orders";
        let index = format!("{table}/index/by-customer");
        let hot = reason("TableWriteKeyRangeThroughputExceeded", table);
        let slow = reason("IndexWriteProvisionedThroughputExceeded", &index);
        let small = reason("TableWriteProvisionedThroughputExceeded", table);
        assert_eq!(Throttled::of(std::slice::from_ref(&hot)), Throttled::Partition);
        assert_eq!(Throttled::of(&[hot.clone(), small.clone()]), Throttled::Table);
        assert_eq!(Throttled::of(&[hot, slow]), Throttled::Indexes(["by-customer".to_owned()].into()));
        assert_eq!(Throttled::of(&[small]), Throttled::Table);
        assert_eq!(Throttled::of(&[]), Throttled::Table, "what is not said is taken for the whole");
    }

    /// Sends for so many seconds at what the service takes per second; gives how many were sent and throttled.
    fn played(rate: &mut Rate, from: Duration, seconds: u64, capacity: u32) -> (u32, u32) {
        let (mut sent, mut throttled) = (0, 0);
        let mut now = from;
        for second in 1..=seconds {
            let mut in_this_second = 0;
            while now < from + Duration::from_secs(second) {
                now += rate.take(now) + Duration::from_millis(1);
                in_this_second += 1;
                if in_this_second > capacity {
                    rate.cut(now);
                    throttled += 1;
                } else {
                    sent += 1;
                }
            }
        }
        (sent, throttled)
    }

    #[test]
    fn the_pace_finds_what_the_table_takes_and_stays_there() {
        let mut rate = Rate::default();
        let (sent, _) = played(&mut rate, Duration::ZERO, 20, 200);
        assert!(sent > 2_000, "{sent} sent in 20 s of 200");
        let (sent, throttled) = played(&mut rate, Duration::from_secs(20), 60, 200);
        assert!(sent > 60 * 130, "{sent} sent in 60 s of 200");
        assert!(throttled < sent / 20, "{throttled} throttled of {sent}");
    }

    #[test]
    fn one_throttling_after_an_idle_time_cuts_the_pace_by_a_third_of_what_was_sent_before_it() {
        for idle in [1, 2, 3, 60, 3_600].map(Duration::from_secs) {
            // The throttling may be of a write that was under way, or of the first one after the idle time.
            for sends in [0, 1] {
                let mut rate = Rate::default();
                let (mut now, mut sent) = (Duration::ZERO, 0);
                while now < Duration::from_secs(5) {
                    let wait = rate.take(now);
                    sent += u32::from(now >= Duration::from_secs(4));
                    now += wait + Duration::from_millis(5);
                    if now.as_millis() == 1_000 {
                        rate.cut(now);
                    }
                }
                assert!((130..=200).contains(&sent), "{sent}");
                now += idle;
                for _ in 0..sends {
                    assert_eq!(rate.take(now), Duration::ZERO);
                }
                rate.cut(now);
                let share = rate.per_second.expect("a pace") / f64::from(sent);
                assert!((CUT - 0.1..CUT + 0.1).contains(&share), "{share} of {sent} after {idle:?}");
            }
        }
    }

    #[test]
    fn throttlings_that_were_under_way_are_one_and_the_pace_never_stands_still() {
        let mut rate = Rate::default();
        for n in 0..100 {
            assert_eq!(rate.take(Duration::from_millis(n)), Duration::ZERO);
        }
        let now = Duration::from_millis(100);
        (0..10).for_each(|n| rate.cut(now + Duration::from_millis(n)));
        assert_eq!(rate.per_second, Some(70.0));
        (1..40).for_each(|n| rate.cut(now + CUT_APART * n));
        assert_eq!(rate.per_second, Some(RATE_MIN));
    }
}
