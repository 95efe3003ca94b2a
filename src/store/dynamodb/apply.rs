//! Guarded writes: one conditional Put or Delete each.
//!
//! A condition cannot say "and no other attribute": an attribute added between reading and writing passes it. The service
//! returns what a write replaced, so such an addition is seen, put back under a guard of its own, and refused.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::stream::{self, StreamExt};

use super::DynamoDbStore;
use super::guard::Guard;
use super::value::{Attributes, ValueError};
use crate::model::{Item, Key};
use crate::store::aws::{HttpResponse, store_error};
use crate::store::{ErrorKind, Expected, GuardedWrite, Outcome, Result, StoreError, Wanted};

/// Writes under way at a time.
const WRITES_IN_FLIGHT: usize = 32;

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
}

impl DynamoDbStore {
    /// Applies guarded writes and tells the outcome of each, in order.
    pub(super) async fn apply_all(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        let distinct = writes.iter().map(|write| write.key).collect::<BTreeSet<_>>().len() == writes.len();
        // Writes of one item follow one another, as given.
        let in_flight = if distinct { WRITES_IN_FLIGHT } else { 1 };
        let all = writes.iter().map(|write| self.apply_one(write)).collect::<Vec<_>>();
        // Every write is awaited even when one fails: a write cut off on its way could not be put right.
        let outcomes: Vec<Result<Outcome>> = stream::iter(all).buffered(in_flight).collect().await;
        outcomes.into_iter().collect()
    }

    async fn apply_one(&self, write: &GuardedWrite<'_>) -> Result<Outcome> {
        let image = match write.wanted {
            Wanted::Absent => None,
            Wanted::Present { item, .. } => Some(self.format.image(item, write.key)?),
        };
        let Some(guard) = self.guard(write)? else {
            return self.refuse_wide(write).await;
        };
        match self.send(write.key, image, guard).await? {
            Reply::Replaced(old) => self.settle(write, self.found(old)?).await,
            Reply::ConditionFailed(there) => Ok(self.judge(write, there)),
            Reply::Contended => Ok(Outcome::Blocked { reason: "another write of the item is under way".into() }),
        }
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
                match request.send().await {
                    Ok(reply) => Ok(Reply::Replaced(reply.attributes)),
                    Err(error) => self.failed(error, |error| match error {
                        aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                            failed,
                        ) => Some(failed.item.clone()),
                        _ => None,
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
                match request.send().await {
                    Ok(reply) => Ok(Reply::Replaced(reply.attributes)),
                    Err(error) => self.failed(error, |error| match error {
                        aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(
                            failed,
                        ) => Some(failed.item.clone()),
                        _ => None,
                    }),
                }
            }
        }
    }

    /// Tells a condition that did not hold from a failure; `condition` gives what was there, when it was the condition.
    fn failed<E>(
        &self,
        error: SdkError<E, HttpResponse>,
        condition: impl Fn(&E) -> Option<Option<Attributes>>,
    ) -> Result<Reply>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if let Some(there) = error.as_service_error().and_then(condition) {
            return Ok(Reply::ConditionFailed(there));
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
            Some(guard) => self.send(write.key, Some(image), guard).await.unwrap_or(Reply::Contended),
            None => Reply::Contended,
        };
        let restored = match reply {
            Reply::Replaced(over) => self.found(over).is_ok_and(|over| is_same(over.as_ref(), wanted)),
            // The reply to an earlier try may have been lost: then it is back already.
            Reply::ConditionFailed(there) => {
                self.found(there).is_ok_and(|there| is_same(there.as_ref(), Some(&replaced)))
            }
            Reply::Contended => false,
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
