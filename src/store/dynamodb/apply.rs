//! Guarded writes: one conditional Put or Delete each.
//!
//! A condition cannot say "and no other attribute": an attribute added between reading and writing passes it. The service
//! returns what a write replaced, so such an addition is seen, put back under a guard of its own, and refused.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    ConsumedCapacity, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure, ThrottlingReason,
};
use futures_util::stream::{self, StreamExt};

use super::DynamoDbStore;
use super::guard::Guard;
use super::pace::{Throttled, is_throttling};
use super::replicas::{replicated, unusable};
use super::value::{Attributes, ValueError};
use crate::model::{Item, Key};
use crate::store::aws::{HttpResponse, store_error};
use crate::store::{ErrorKind, Expected, GuardedWrite, Outcome, Result, StoreError, Wanted};

/// Writes under way at a time.
const WRITES_IN_FLIGHT: usize = 32;

/// Batches of writes after which the table's standing is asked for again.
const BATCHES_TRUSTED: u32 = 50;

/// Tries of one write that the table throttles.
const THROTTLED_MAX: u32 = 12;

/// The wait after the first throttling; it doubles with each further one.
const THROTTLED_WAIT_MIN: Duration = Duration::from_millis(50);
const THROTTLED_WAIT_MAX: Duration = Duration::from_secs(5);

/// Tries of what a hot partition would not take, after all the others; what is left then is parked.
const PARKED_TRIES: u32 = 3;

/// Writes to hot partitions under way at a time.
const PARKED_IN_FLIGHT: usize = 4;

/// Codes of failures by which another writer stands in the way for a moment.
const CONTENDED: [&str; 2] = ["TransactionConflictException", "ReplicatedWriteConflictException"];

/// What the service did with a conditional write.
enum Reply {
    /// Written, over what was there.
    Replaced(Option<Attributes>),
    /// Not written, because of what is there.
    ConditionFailed(Option<Attributes>),
    /// Not written, because another writer is at it.
    Contended,
    /// Not written, because the service takes no more for now.
    Throttled(Throttled),
}

/// Whether a write that its partition would not take may be left for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parking {
    Allowed,
    Never,
}

impl DynamoDbStore {
    /// Applies guarded writes and tells the outcome of each, in order.
    ///
    /// What a hot partition would not take does not hold up the others: it is tried again after them, and at last parked.
    pub(super) async fn apply_all(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        if self.batches.fetch_add(1, Ordering::Relaxed).is_multiple_of(BATCHES_TRUSTED) {
            self.require_writable().await?;
        }
        let distinct = writes.iter().map(|write| write.key).collect::<BTreeSet<_>>().len() == writes.len();
        // Writes of one item follow one another, as given: none is parked, for the next would overtake it.
        let (in_flight, may_park) = if distinct { (WRITES_IN_FLIGHT, Parking::Allowed) } else { (1, Parking::Never) };
        let mut outcomes = self.apply_together(writes.iter().collect(), in_flight, may_park).await?;
        for round in 1..=PARKED_TRIES {
            let parked: Vec<usize> =
                (0..writes.len()).filter(|at| matches!(outcomes[*at], Outcome::Parked { .. })).collect();
            if parked.is_empty() {
                break;
            }
            tokio::time::sleep(throttled_wait(round)).await;
            let again = parked.iter().map(|at| &writes[*at]).collect();
            for (at, outcome) in parked.into_iter().zip(self.apply_together(again, PARKED_IN_FLIGHT, may_park).await?) {
                outcomes[at] = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn apply_together(
        &self,
        writes: Vec<&GuardedWrite<'_>>,
        in_flight: usize,
        parking: Parking,
    ) -> Result<Vec<Outcome>> {
        let all = writes.into_iter().map(|write| self.apply_one(write, parking)).collect::<Vec<_>>();
        // Every write is awaited even when one fails: a write cut off on its way could not be put right.
        let outcomes: Vec<Result<Outcome>> = stream::iter(all).buffered(in_flight).collect().await;
        outcomes.into_iter().collect()
    }

    /// Makes sure that the table may be written: it is in use, and what is written to it goes nowhere else.
    async fn require_writable(&self) -> Result<()> {
        let table = self.describe_same().await?;
        let obstacle = unusable(&table).or_else(|| replicated(&table, &self.region).into_iter().next());
        match obstacle {
            None => Ok(()),
            Some(why) => {
                let what = format!("nothing was written to {}: {why}", self.format.subject);
                Err(StoreError::new(ErrorKind::Unfit, what))
            }
        }
    }

    async fn apply_one(&self, write: &GuardedWrite<'_>, parking: Parking) -> Result<Outcome> {
        let image = match write.wanted {
            Wanted::Absent => None,
            Wanted::Present { item, .. } => Some(self.format.image(item, write.key)?),
        };
        let Some(guard) = self.guard(write)? else {
            return self.refuse_wide(write).await;
        };
        match self.send_paced(write.key, image, guard, parking).await? {
            Reply::Replaced(old) => self.settle(write, self.found(old)?).await,
            Reply::ConditionFailed(there) => Ok(self.judge(write, there)),
            Reply::Contended => Ok(Outcome::Blocked { reason: "another write of the item is under way".into() }),
            Reply::Throttled(_) => {
                self.meter.parked.fetch_add(1, Ordering::Relaxed);
                Ok(Outcome::Parked { reason: "the item's partition takes no more writes for now".into() })
            }
        }
    }

    /// Sends a write at the table's pace, and again while the service throttles; gives up at once where only the item's own
    /// partition is too busy and the write may be parked.
    async fn send_paced(&self, key: &Key, image: Option<Attributes>, guard: Guard, parking: Parking) -> Result<Reply> {
        for tries in 1..=THROTTLED_MAX {
            self.pace.take().await;
            let reply = self.send(key, image.clone(), guard.clone()).await?;
            let Reply::Throttled(why) = reply else { return Ok(reply) };
            self.meter.throttled.fetch_add(1, Ordering::Relaxed);
            match &why {
                Throttled::Partition if parking == Parking::Allowed => return Ok(Reply::Throttled(why)),
                Throttled::Partition => {}
                Throttled::Indexes(names) => {
                    self.meter.held_back_by_indexes.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(subject = %self.format.subject, ?names, "an index holds its table back");
                    self.pace.throttled();
                }
                Throttled::Table => self.pace.throttled(),
            }
            tokio::time::sleep(throttled_wait(tries)).await;
        }
        let what = format!("{} throttled a write {THROTTLED_MAX} times in a row", self.format.subject);
        Err(StoreError::new(ErrorKind::Throttled, what))
    }

    fn count(&self, consumed: Option<&ConsumedCapacity>) {
        let Some(consumed) = consumed else { return };
        let of_indexes = consumed.global_secondary_indexes().into_iter().flatten();
        let of_indexes = of_indexes.map(|(_, index)| index.capacity_units.unwrap_or(0.0));
        self.meter.write.add(consumed.capacity_units.unwrap_or(0.0));
        self.meter.index_write.add(of_indexes.sum());
    }

    fn guard(&self, write: &GuardedWrite<'_>) -> Result<Option<Guard>> {
        let Expected::Present(expected) = write.expected else {
            return Ok(Some(Guard::absent(self.format.partition_key())));
        };
        if expected.key != *write.key {
            let what = format!("a write to {} is guarded by another item than its own", self.format.subject);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        self.guard_on(expected, wanted_item(write))
    }

    /// The guard that holds while `expected` is there; `None` when it is too wide to guard.
    fn guard_on(&self, expected: &Item, wanted: Option<&Item>) -> Result<Option<Guard>> {
        let wanted = wanted.map(|item| self.format.entries(item)).transpose()?;
        let version_attribute = self.format.version_attribute.as_deref();
        let guard = Guard::unchanged(self.format.entries(expected)?, wanted, version_attribute);
        guard.map_err(|error: ValueError| {
            StoreError::caused(ErrorKind::Unfit, format!("cannot guard a write to {}", self.format.subject), error)
        })
    }

    async fn send(&self, key: &Key, image: Option<Attributes>, guard: Guard) -> Result<Reply> {
        let Guard { expression, names, values } = guard;
        match image {
            Some(image) => {
                let request = self.writer.put_item().table_name(&self.table).set_item(Some(image));
                let request = request.condition_expression(expression).set_expression_attribute_names(Some(names));
                let request = request.set_expression_attribute_values(values).return_values(ReturnValue::AllOld);
                let request =
                    request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
                let request = request.return_consumed_capacity(ReturnConsumedCapacity::Indexes);
                match request.send().await {
                    Ok(reply) => {
                        self.count(reply.consumed_capacity());
                        Ok(Reply::Replaced(reply.attributes))
                    }
                    Err(error) => self.failed(error, |error| match error {
                        PutItemError::ConditionalCheckFailedException(failed) => {
                            Some(Reply::ConditionFailed(failed.item.clone()))
                        }
                        error => throttled(error.code(), reasons_of_put(error)),
                    }),
                }
            }
            None => {
                let key = self.format.key_attributes(key)?;
                let request = self.writer.delete_item().table_name(&self.table).set_key(Some(key));
                let request = request.condition_expression(expression).set_expression_attribute_names(Some(names));
                let request = request.set_expression_attribute_values(values).return_values(ReturnValue::AllOld);
                let request =
                    request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
                let request = request.return_consumed_capacity(ReturnConsumedCapacity::Indexes);
                match request.send().await {
                    Ok(reply) => {
                        self.count(reply.consumed_capacity());
                        Ok(Reply::Replaced(reply.attributes))
                    }
                    Err(error) => self.failed(error, |error| match error {
                        DeleteItemError::ConditionalCheckFailedException(failed) => {
                            Some(Reply::ConditionFailed(failed.item.clone()))
                        }
                        error => throttled(error.code(), reasons_of_delete(error)),
                    }),
                }
            }
        }
    }

    /// Tells a condition that did not hold and a throttling from a failure; `known` gives the reply that an error stands for.
    fn failed<E>(&self, error: SdkError<E, HttpResponse>, known: impl Fn(&E) -> Option<Reply>) -> Result<Reply>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if let Some(reply) = error.as_service_error().and_then(known) {
            return Ok(reply);
        }
        if error.code().is_some_and(|code| CONTENDED.contains(&code)) {
            return Ok(Reply::Contended);
        }
        Err(store_error(format!("cannot write an item of {}", self.format.subject), error))
    }

    /// The item behind attributes that a write returned; none at all means that there was no item.
    fn found(&self, attributes: Option<Attributes>) -> Result<Option<Item>> {
        attributes.filter(|attributes| !attributes.is_empty()).map(|found| self.format.item(found)).transpose()
    }

    /// The write happened: it is well when it replaced what was expected.
    async fn settle(&self, write: &GuardedWrite<'_>, replaced: Option<Item>) -> Result<Outcome> {
        if is_same(replaced.as_ref(), wanted_item(write)) {
            return Ok(Outcome::AlreadyApplied);
        }
        if is_same(replaced.as_ref(), expected_item(write)) {
            return Ok(Outcome::Applied);
        }
        match replaced {
            Some(replaced) => self.put_back(write, replaced).await,
            None => Ok(refused(None, "the item vanished while it was being written")),
        }
    }

    /// The write replaced more than was expected: what it replaced goes back, unless somebody wrote again.
    async fn put_back(&self, write: &GuardedWrite<'_>, replaced: Item) -> Result<Outcome> {
        let lost = "the item gained an attribute unseen, which was overwritten and could not be put back: \
                    the item was written again or the table failed; what was overwritten is kept in the session";
        let wanted = wanted_item(write);
        let guard = match wanted {
            Some(wanted) => self.guard_on(wanted, Some(&replaced))?,
            None => Some(Guard::absent(self.format.partition_key())),
        };
        let image = self.format.image(&replaced, write.key)?;
        let reply = match guard {
            // A failure must not hide what was overwritten: the refusal carries it.
            Some(guard) => {
                let sent = self.send_paced(write.key, Some(image), guard, Parking::Never).await;
                sent.unwrap_or(Reply::Contended)
            }
            None => Reply::Contended,
        };
        let restored = match reply {
            Reply::Replaced(over) => self.found(over).is_ok_and(|over| is_same(over.as_ref(), wanted)),
            // The reply to an earlier try may have been lost: then it is back already.
            Reply::ConditionFailed(there) => {
                self.found(there).is_ok_and(|there| is_same(there.as_ref(), Some(&replaced)))
            }
            Reply::Contended | Reply::Throttled(_) => false,
        };
        Ok(refused(Some(replaced), if restored { "the item gained an attribute since it was read" } else { lost }))
    }

    /// The condition did not hold: either the write was done before, or something else is there.
    fn judge(&self, write: &GuardedWrite<'_>, there: Option<Attributes>) -> Outcome {
        let Ok(there) = self.found(there) else {
            return refused(None, "what is there instead cannot be read");
        };
        if is_same(there.as_ref(), wanted_item(write)) {
            return Outcome::AlreadyApplied;
        }
        let reason = match (&there, write.expected) {
            (None, _) => "the item is gone",
            (Some(_), Expected::Absent) => "there is such an item already",
            (Some(_), Expected::Present(_)) => "the item is not what it was when it was read",
        };
        refused(there, reason)
    }

    /// A write that cannot be guarded is never sent.
    async fn refuse_wide(&self, write: &GuardedWrite<'_>) -> Result<Outcome> {
        let there = self.fetch_items(std::slice::from_ref(write.key)).await?.into_iter().flatten().next();
        if is_same(there.as_ref(), wanted_item(write)) {
            return Ok(Outcome::AlreadyApplied);
        }
        Ok(refused(there, "the item has too many attributes to guard in one condition, and no version attribute"))
    }
}

fn throttled_wait(tries: u32) -> Duration {
    THROTTLED_WAIT_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(THROTTLED_WAIT_MAX)
}

fn throttled(code: Option<&str>, reasons: &[ThrottlingReason]) -> Option<Reply> {
    is_throttling(code).then(|| Reply::Throttled(Throttled::of(reasons)))
}

fn reasons_of_put(error: &PutItemError) -> &[ThrottlingReason] {
    match error {
        PutItemError::ProvisionedThroughputExceededException(error) => error.throttling_reasons(),
        PutItemError::ThrottlingException(error) => error.throttling_reasons(),
        PutItemError::RequestLimitExceeded(error) => error.throttling_reasons(),
        _ => &[],
    }
}

fn reasons_of_delete(error: &DeleteItemError) -> &[ThrottlingReason] {
    match error {
        DeleteItemError::ProvisionedThroughputExceededException(error) => error.throttling_reasons(),
        DeleteItemError::ThrottlingException(error) => error.throttling_reasons(),
        DeleteItemError::RequestLimitExceeded(error) => error.throttling_reasons(),
        _ => &[],
    }
}

fn wanted_item<'a>(write: &GuardedWrite<'a>) -> Option<&'a Item> {
    match write.wanted {
        Wanted::Absent => None,
        Wanted::Present { item, .. } => Some(item),
    }
}

fn expected_item<'a>(write: &GuardedWrite<'a>) -> Option<&'a Item> {
    match write.expected {
        Expected::Absent => None,
        Expected::Present(item) => Some(item),
    }
}

fn is_same(one: Option<&Item>, other: Option<&Item>) -> bool {
    one.map(|item| item.digest) == other.map(|item| item.digest)
}

fn refused(found: Option<Item>, reason: &str) -> Outcome {
    Outcome::Refused { found: found.map(Box::new), reason: reason.to_owned() }
}
