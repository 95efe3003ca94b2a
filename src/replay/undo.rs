//! Restores prior images, guarded by the after-images.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::runner::wait_for_parked;
use super::{Context, ReplayError, decode_image, found_image, is_what};
use crate::compare::TaskUnderWay;
use crate::journal::{Event, PriorImage};
use crate::model::{Digest, Item, Key, Side, StoreId};
use crate::store::{BodySource, Depth, Expected, GuardedWrite, Outcome, Wanted};

/// Prior images restored together.
const PRIORS_AT_ONCE: usize = 100;

/// What came of undoing one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoSummary {
    /// Items put back.
    pub restored: u64,
    /// Items that were what they had been already.
    pub already: u64,
    /// Items that changed since the replay: left as they are.
    pub refused: u64,
    /// The refused items' keys as canonical hexadecimal, with why.
    pub refusals: Vec<(String, String)>,
}

/// Blocked prior images tried again together: as many as a replay tries.
const BLOCKED_AT_ONCE: usize = 2_000;

/// Blocked prior images kept in memory until they are tried again; what is beyond is refused, for the next undo.
const BLOCKED_MAX: usize = 20_000;

/// Refusals listed in a summary; the journal has all of them.
const REFUSALS_LISTED: usize = 1_000;

/// Restores every prior image of one store that this session wrote or may have written.
///
/// # Errors
///
/// [`ReplayError`]: what was not restored is looked at again by the next undo.
pub async fn undo_store(context: &Context<'_>) -> Result<UndoSummary, ReplayError> {
    let mut summary = UndoSummary::default();
    super::runner::tidy(context).await?;
    let priors = context.journal.prior_count(&context.pair.id)?;
    let task = TaskUnderWay::begin(context.progress, format!("undo {}", context.pair.id), Some(priors));
    let mut after: Option<PriorImage> = None;
    let mut blocked = Vec::new();
    loop {
        let priors = context.journal.priors(&context.pair.id, after.as_ref(), PRIORS_AT_ONCE)?;
        let Some(first) = priors.first() else { break };
        let same_phase = priors.iter().take_while(|prior| prior.phase == first.phase).count();
        let found = undo_batch(context, &priors[..same_phase], &mut summary).await?;
        let room = BLOCKED_MAX.saturating_sub(blocked.len()).min(found.len());
        let (kept, beyond) = found.split_at(room);
        refuse_blocked(context, beyond, &mut summary)?;
        blocked.extend_from_slice(kept);
        task.advance(same_phase as u64);
        after = priors.into_iter().nth(same_phase - 1);
    }
    retry_blocked(context, blocked, &mut summary).await?;
    Ok(summary)
}

/// A prior image that another item stands in the way of, and why.
type Blocked = (PriorImage, String, Waits);

/// Whether a prior image only waits for its place to take writes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
}

/// Blocked items may stand in each other's way: they are tried together until none moves any more.
async fn retry_blocked(
    context: &Context<'_>,
    mut blocked: Vec<Blocked>,
    summary: &mut UndoSummary,
) -> Result<(), ReplayError> {
    let mut waits = 0;
    while !blocked.is_empty() {
        let mut left = Vec::new();
        for together in blocked.chunks(BLOCKED_AT_ONCE) {
            let priors: Vec<PriorImage> = together.iter().map(|(prior, _, _)| prior.clone()).collect();
            left.extend(undo_batch(context, &priors, summary).await?);
        }
        let moved = left.len() < blocked.len();
        if !moved && left.iter().all(|(_, _, waits)| *waits == Waits::No) {
            return refuse_blocked(context, &left, summary);
        }
        waits = if moved { 0 } else { waits + 1 };
        if waits > 0 {
            wait_for_parked(context, waits).await?;
        }
        blocked = left;
    }
    Ok(())
}

fn refuse_blocked(context: &Context<'_>, blocked: &[Blocked], summary: &mut UndoSummary) -> Result<(), ReplayError> {
    let mut events = Vec::new();
    for (prior, reason, _) in blocked {
        refuse(summary, &mut events, &context.pair.id, &prior.key, reason);
    }
    Ok(context.journal.append(&events)?)
}

/// Restores some prior images; gives those that other items stand in the way of.
async fn undo_batch(
    context: &Context<'_>,
    priors: &[PriorImage],
    summary: &mut UndoSummary,
) -> Result<Vec<Blocked>, ReplayError> {
    let store = &context.pair.id;
    let keys: Vec<Key> = priors.iter().map(|prior| prior.key.clone()).collect();
    let items = current(context, &keys, priors).await?;
    let images = priors.iter().map(|prior| prior.image.as_deref().map(decode_image).transpose());
    let images: Vec<Option<Item>> =
        images.collect::<Result<_, _>>().map_err(|source| ReplayError::Image { store: store.clone(), source })?;
    let (mut undone, mut events, mut writes, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, prior) in priors.iter().enumerate() {
        if is_what(&items[at], &prior.digest) {
            summary.already += 1;
            undone.push((store.clone(), prior.key.clone()));
            events.push(Event::Undone { store: store.clone(), key: hex_of(&prior.key) });
        } else if after_images(prior).any(|after| is_what(&items[at], after)) {
            writes.push(at);
        } else {
            refuse(summary, &mut events, store, &prior.key, "it changed since the replay");
        }
    }
    let intents = writes.iter().map(|at| Event::UndoIntended { store: store.clone(), key: hex_of(&keys[*at]) });
    context.journal.append(&intents.collect::<Vec<_>>())?;
    let bodies = Arc::clone(&context.pair.primary).prior_bodies(&context.saved);
    let outcomes = restore(context, &keys, &writes, &items, &images, bodies.as_ref()).await?;
    let mut blocked = Vec::new();
    for (at, outcome) in writes.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Applied | Outcome::AlreadyApplied => {
                summary.restored += 1;
                undone.push((store.clone(), keys[at].clone()));
                events.push(Event::Undone { store: store.clone(), key: hex_of(&keys[at]) });
            }
            Outcome::Refused { reason, found } => {
                refuse(summary, &mut events, store, &keys[at], &reason);
                kept.extend(found_image(found).map(|found| (store.clone(), keys[at].clone(), found)));
            }
            Outcome::Blocked { reason } => blocked.push((priors[at].clone(), reason, Waits::No)),
            Outcome::Parked { reason } => blocked.push((priors[at].clone(), reason, Waits::Yes)),
        }
    }
    context.journal.undone(&undone, &kept, &events)?;
    Ok(blocked)
}

/// What this session wrote, or may have written when it was interrupted.
fn after_images(prior: &PriorImage) -> impl Iterator<Item = &Option<Digest>> {
    prior.after.iter().chain(&prior.pending)
}

fn hex_of(key: &Key) -> String {
    hex::encode(key.as_bytes())
}

fn refuse(summary: &mut UndoSummary, events: &mut Vec<Event>, store: &StoreId, key: &Key, reason: &str) {
    summary.refused += 1;
    if summary.refusals.len() < REFUSALS_LISTED {
        summary.refusals.push((hex_of(key), reason.to_owned()));
    }
    events.push(Event::UndoRefused { store: store.clone(), key: hex_of(key), reason: reason.to_owned() });
}

/// Reads the primary, by content where neither image's digest is told for free.
async fn current(context: &Context<'_>, keys: &[Key], priors: &[PriorImage]) -> Result<Vec<Option<Item>>, ReplayError> {
    let error = |source| ReplayError::Read { store: context.pair.id.clone(), side: Side::Primary, source };
    let primary = &context.pair.primary;
    let mut items = primary.fetch(keys, Depth::Evidence).await.map_err(error)?;
    let proved = |item: &Item, digest: &Option<Digest>| digest.is_some_and(|digest| item.is_proved_by(&digest));
    let doubtful: Vec<usize> = (0..keys.len())
        .filter(|at| match &items[*at] {
            Some(item) => {
                let prior = &priors[*at];
                let known = proved(item, &prior.digest) || after_images(prior).any(|after| proved(item, after));
                !item.evidence.is_empty() && !known
            }
            None => false,
        })
        .collect();
    if !doubtful.is_empty() {
        let keys: Vec<Key> = doubtful.iter().map(|at| keys[*at].clone()).collect();
        for (at, item) in doubtful.into_iter().zip(primary.fetch(&keys, Depth::Content).await.map_err(error)?) {
            items[at] = item;
        }
    }
    Ok(items)
}

async fn restore(
    context: &Context<'_>,
    keys: &[Key],
    writes: &[usize],
    items: &[Option<Item>],
    images: &[Option<Item>],
    bodies: &dyn BodySource,
) -> Result<Vec<Outcome>, ReplayError> {
    let guarded: Vec<GuardedWrite<'_>> = writes
        .iter()
        .map(|at| GuardedWrite {
            key: &keys[*at],
            expected: items[*at].as_ref().map_or(Expected::Absent, Expected::Present),
            wanted: images[*at].as_ref().map_or(Wanted::Absent, |item| Wanted::Present { item, body: bodies }),
        })
        .collect();
    if guarded.is_empty() {
        return Ok(Vec::new());
    }
    let applied = context.pair.primary.apply(&guarded).await;
    applied.map_err(|source| ReplayError::Write { store: context.pair.id.clone(), source })
}
