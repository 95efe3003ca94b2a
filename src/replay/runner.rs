//! Replays the steps of one store.

use std::time::Duration;

use super::{Context, ReplayError, ReplaySummary, encode_image, found_image, is_what};
use crate::compare::TaskUnderWay;
use crate::journal::{PriorFate, PriorImage, Settlement, StepRow, StepState};
use crate::model::{Digest, Item, Key, Side, Timestamp, Verdict};
use crate::store::{Depth, ErrorKind, Expected, Finding, GuardedWrite, Outcome, ReadStore, StoreError, Wanted};

/// Bytes of items above which fewer steps go together than a store would take: contents of both sides are held meanwhile.
const BYTES_AT_ONCE: u64 = 4 << 20;

/// Steps that go together however large their items are.
const STEPS_AT_ONCE_MIN: usize = 100;

/// Blocked steps tried again together: large enough for every unique swap that is one transaction's work.
const BLOCKED_AT_ONCE: usize = 2_000;

/// Rounds in a row in which no parked step may move.
const PARKED_WAITS_MAX: u32 = 10;

/// The wait after the first such round; it doubles with each further one.
const PARKED_WAIT_MIN: Duration = Duration::from_millis(100);
const PARKED_WAIT_MAX: Duration = Duration::from_secs(20);

/// Bodies up to this size are read to be proved as a whole.
const PROVED_WHOLE_MAX: u64 = 5 << 30;

/// Whether steps are written or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads and tells what would happen; nothing is written or recorded.
    DryRun,
    /// Writes.
    Apply,
}

/// Carries out the open steps of a plan on one store.
///
/// # Errors
///
/// [`ReplayError`]: steps that were not settled stay open, and the next run looks at them again.
pub async fn replay_store(
    context: &Context<'_>,
    plan: (i64, Digest),
    mode: Mode,
) -> Result<ReplaySummary, ReplayError> {
    let (number, id) = plan;
    let mut summary = ReplaySummary::default();
    let spent = || context.pair.primary.spent().and(context.pair.dr.spent());
    let spent_before = spent();
    if mode == Mode::Apply {
        summary.findings = tidy(context).await?;
    }
    let open = context.journal.open_steps(number, &context.pair.id)?;
    let task = TaskUnderWay::begin(context.progress, format!("replay {}", context.pair.id), Some(open));
    let at_once = context.pair.primary.writes_at_once();
    let mut after = None;
    loop {
        let steps = context.journal.steps(number, &context.pair.id, StepState::Open, after, at_once)?;
        if steps.is_empty() {
            break;
        }
        let batch = &steps[..together(&steps)];
        // A dry run settles nothing, so it must walk on by itself.
        after = match mode {
            Mode::DryRun => batch.last().map(|step| (step.phase, step.position)),
            Mode::Apply => None,
        };
        let settlements = run_batch(context, id, batch, mode).await?;
        count(&mut summary, &settlements);
        if mode == Mode::Apply {
            context.journal.settle(number, &plain(settlements))?;
        }
        task.advance(batch.len() as u64);
    }
    if mode == Mode::Apply {
        retry_blocked(context, plan, &mut summary).await?;
        finish(context, &mut summary).await?;
    }
    summary.spent = spent().since(spent_before);
    Ok(summary)
}

/// How many of the steps, of which there is one, are read, intended and written together; they share two commits.
fn together(steps: &[StepRow]) -> usize {
    let (mut count, mut bytes) = (0, 0_u64);
    for step in steps.iter().take_while(|step| step.phase == steps[0].phase) {
        bytes = bytes.saturating_add(step.bytes);
        if count >= STEPS_AT_ONCE_MIN && bytes > BYTES_AT_ONCE {
            break;
        }
        count += 1;
    }
    count
}

/// A settled step, whether it was written now, and whether it only waits for its place to take writes again.
struct Settled {
    settlement: Settlement,
    applied: bool,
    parked: bool,
}

fn plain(settled: Vec<Settled>) -> Vec<Settlement> {
    settled.into_iter().map(|settled| settled.settlement).collect()
}

fn count(summary: &mut ReplaySummary, settled: &[Settled]) {
    for Settled { settlement, applied, parked: _ } in settled {
        match settlement.state {
            StepState::Done if *applied => summary.applied += 1,
            StepState::Done => summary.already += 1,
            StepState::Refused => summary.refused += 1,
            StepState::Stale => summary.stale += 1,
            StepState::Open | StepState::Blocked => {}
        }
    }
}

/// Frees what an earlier run left half done.
pub(super) async fn tidy(context: &Context<'_>) -> Result<Vec<Finding>, ReplayError> {
    let store = &context.pair.id;
    let failed = |source| ReplayError::Write { store: store.clone(), source };
    context.pair.primary.tidy(&context.saved).await.map_err(failed)
}

/// Blocked steps may stand in each other's way: they are tried together until none moves any more.
async fn retry_blocked(
    context: &Context<'_>,
    plan: (i64, Digest),
    summary: &mut ReplaySummary,
) -> Result<(), ReplayError> {
    let mut waits = 0;
    loop {
        let steps = context.journal.steps(plan.0, &context.pair.id, StepState::Blocked, None, BLOCKED_AT_ONCE)?;
        if steps.is_empty() {
            return Ok(());
        }
        let mut settled = run_batch(context, plan.1, &steps, Mode::Apply).await?;
        let moved = settled.iter().any(|settled| settled.settlement.state != StepState::Blocked);
        let is_waiting = settled.iter().any(|settled| settled.parked);
        if !moved && !is_waiting {
            settled.iter_mut().for_each(|settled| settled.settlement.state = StepState::Refused);
        }
        count(summary, &settled);
        context.journal.settle(plan.0, &plain(settled))?;
        waits = if moved { 0 } else { waits + u32::from(is_waiting) };
        if waits > 0 {
            wait_for_parked(context, waits).await?;
        }
    }
}

/// Waits before parked steps are tried again; they are left open for the next run when none moved for long.
pub(super) async fn wait_for_parked(context: &Context<'_>, waits: u32) -> Result<(), ReplayError> {
    if waits > PARKED_WAITS_MAX {
        let what = "what is left goes where no more writes are taken for now; what was written stays";
        let source = StoreError::new(ErrorKind::Throttled, what);
        return Err(ReplayError::Write { store: context.pair.id.clone(), source });
    }
    tokio::time::sleep(PARKED_WAIT_MIN.saturating_mul(1 << (waits - 1)).min(PARKED_WAIT_MAX)).await;
    Ok(())
}

async fn finish(context: &Context<'_>, summary: &mut ReplaySummary) -> Result<(), ReplayError> {
    let store = &context.pair.id;
    let read = |side| move |source| ReplayError::Read { store: store.clone(), side, source };
    let counters = context.pair.dr.counters().await.map_err(read(Side::Dr))?;
    if !counters.is_empty() {
        let raised = context.pair.primary.raise_counters(&counters).await;
        summary.counters = raised.map_err(|source| ReplayError::Write { store: store.clone(), source })?;
    }
    summary.findings.extend(context.pair.primary.check_constraints().await.map_err(read(Side::Primary))?);
    Ok(())
}

/// What is to be done with one step, after both sides were read.
enum Look {
    Settle(StepState, PriorFate, Option<String>),
    Write,
}

async fn run_batch(
    context: &Context<'_>,
    plan: Digest,
    steps: &[StepRow],
    mode: Mode,
) -> Result<Vec<Settled>, ReplayError> {
    let store = &context.pair.id;
    let keys: Vec<Key> = steps.iter().map(|step| step.key.clone()).collect();
    let mut dr = fetch(context, context.pair.dr.as_ref(), Side::Dr, &keys, steps, |step| step.wanted).await?;
    let primary =
        fetch(context, context.pair.primary.as_ref(), Side::Primary, &keys, steps, |step| step.expected).await?;
    prove_lastingly(context, &primary, &mut dr).await?;
    let now = context.clock.now();
    let looks: Vec<Look> =
        steps.iter().zip(&primary).zip(&dr).map(|((step, primary), dr)| look(step, primary, dr, now)).collect();
    let writes: Vec<usize> = (0..steps.len()).filter(|at| matches!(looks[*at], Look::Write)).collect();
    let outcomes = match mode {
        Mode::DryRun => vec![Outcome::Applied; writes.len()],
        Mode::Apply => write(context, plan, steps, &writes, &primary, &dr).await?,
    };
    let mut outcomes = outcomes.into_iter();
    let settled = steps.iter().zip(looks).zip(&dr).map(|((step, look), dr)| {
        let (position, key) = (step.position, step.key.clone());
        let settlement = |state, prior, reason| {
            let store = store.clone();
            Settlement { position, store, key, state, prior, reason, found: None }
        };
        match look {
            Look::Settle(state, prior, reason) => {
                Settled { settlement: settlement(state, prior, reason), applied: false, parked: false }
            }
            Look::Write => {
                let outcome = outcomes.next().expect("a store gives an outcome for every write");
                settle(after_image(step, dr), outcome, settlement)
            }
        }
    });
    Ok(settled.collect())
}

/// What the primary holds once a step is done, by a digest that is known again there.
fn after_image(step: &StepRow, dr: &Option<Item>) -> Option<Digest> {
    step.wanted.map(|wanted| dr.as_ref().map_or(wanted, Item::lasting_digest))
}

/// Reads the bodies of items of dr that nothing told covers as a whole: what is written of them must be known again. The
/// largest are known by their parts, which are kept when they are copied.
async fn prove_lastingly(
    context: &Context<'_>,
    primary: &[Option<Item>],
    dr: &mut [Option<Item>],
) -> Result<(), ReplayError> {
    for (ours, theirs) in primary.iter().zip(dr) {
        let Some(item) = theirs.as_ref().filter(|item| !item.is_proved() && item.size <= PROVED_WHOLE_MAX) else {
            continue;
        };
        let proved = context.pair.dr.prove_like(item, ours.as_ref().unwrap_or(item)).await;
        let failed = |source| ReplayError::Read { store: context.pair.id.clone(), side: Side::Dr, source };
        *theirs = match proved {
            Ok(proved) => Some(proved),
            // It changed since: what is written is checked against what was read.
            Err(error) if error.kind == ErrorKind::Unfit => continue,
            Err(error) => return Err(failed(error)),
        };
    }
    Ok(())
}

fn settle(
    after: Option<Digest>,
    outcome: Outcome,
    settlement: impl FnOnce(StepState, PriorFate, Option<String>) -> Settlement,
) -> Settled {
    let (applied, parked) = (outcome == Outcome::Applied, matches!(outcome, Outcome::Parked { .. }));
    let settlement = match outcome {
        Outcome::Applied | Outcome::AlreadyApplied => settlement(StepState::Done, PriorFate::Written(after), None),
        Outcome::Refused { reason, found } => {
            let settlement = settlement(StepState::Refused, PriorFate::Unwritten, Some(reason));
            Settlement { found: found_image(found), ..settlement }
        }
        Outcome::Blocked { reason } | Outcome::Parked { reason } => {
            settlement(StepState::Blocked, PriorFate::Unwritten, Some(reason))
        }
    };
    Settled { settlement, applied, parked }
}

fn look(step: &StepRow, primary: &Option<Item>, dr: &Option<Item>, now: Timestamp) -> Look {
    if !is_what(dr, &step.wanted) {
        return Look::Settle(StepState::Stale, PriorFate::Untouched, Some("dr changed since the plan".into()));
    }
    let there = match (primary, dr) {
        (None, None) => true,
        (Some(primary), Some(dr)) => primary.same_as(dr) == Some(true),
        _ => false,
    };
    if there {
        return Look::Settle(StepState::Done, PriorFate::FoundThere(after_image(step, dr)), None);
    }
    if !is_what(primary, &step.expected) {
        let reason = "the primary changed since the plan".to_owned();
        return Look::Settle(StepState::Refused, PriorFate::Untouched, Some(reason));
    }
    if primary.is_none() && dr.as_ref().is_some_and(|item| item.expires_at.is_some_and(|at| at <= now)) {
        let reason = "the item expired since the plan: it is not brought back".to_owned();
        return Look::Settle(StepState::Stale, PriorFate::Untouched, Some(reason));
    }
    Look::Write
}

/// Reads items, and by content those whose planned digest is of a kind that the store does not tell for free.
async fn fetch(
    context: &Context<'_>,
    store: &dyn ReadStore,
    side: Side,
    keys: &[Key],
    steps: &[StepRow],
    planned: impl Fn(&StepRow) -> Option<Digest>,
) -> Result<Vec<Option<Item>>, ReplayError> {
    let error = |source| ReplayError::Read { store: context.pair.id.clone(), side, source };
    let mut items = store.fetch(keys, Depth::Evidence).await.map_err(error)?;
    let unproved = |at: &usize| match (&items[*at], planned(&steps[*at])) {
        (Some(item), Some(digest)) => !item.evidence.is_empty() && !item.is_proved_by(&digest),
        _ => false,
    };
    let doubtful: Vec<usize> = (0..keys.len()).filter(unproved).collect();
    if !doubtful.is_empty() {
        let keys: Vec<Key> = doubtful.iter().map(|at| keys[*at].clone()).collect();
        let by_content = store.fetch(&keys, Depth::Content).await.map_err(error)?;
        for (at, item) in doubtful.into_iter().zip(by_content) {
            items[at] = item;
        }
    }
    Ok(items)
}

/// Whether the plan found the primary changed since the base, which is what this session wrote where it wrote before.
fn is_of_others(step: &StepRow) -> bool {
    [Verdict::Stranded, Verdict::Conflict].iter().any(|verdict| step.verdict == verdict.word())
}

fn proofs(item: &Item) -> Vec<Digest> {
    item.evidence.iter().map(|evidence| evidence.digest).chain([item.digest]).collect()
}

async fn write(
    context: &Context<'_>,
    plan: Digest,
    steps: &[StepRow],
    writes: &[usize],
    primary: &[Option<Item>],
    dr: &[Option<Item>],
) -> Result<Vec<Outcome>, ReplayError> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let store = &context.pair.id;
    let failed = |source| ReplayError::Write { store: store.clone(), source };
    for item in writes.iter().filter_map(|at| primary[*at].as_ref()) {
        context.pair.primary.preserve(item, &context.saved).await.map_err(failed)?;
    }
    let prior = |at: &usize| PriorImage {
        store: store.clone(),
        key: steps[*at].key.clone(),
        digest: primary[*at].as_ref().map(|item| item.digest),
        image: primary[*at].as_ref().map(encode_image),
        after: None,
        pending: Some(after_image(&steps[*at], &dr[*at])),
        phase: steps[*at].phase,
        proofs: primary[*at].as_ref().map(proofs).unwrap_or_default(),
        is_of_others: is_of_others(&steps[*at]),
    };
    context.journal.intend(plan, &writes.iter().map(prior).collect::<Vec<_>>())?;
    let guarded: Vec<GuardedWrite<'_>> = writes
        .iter()
        .map(|at| GuardedWrite {
            key: &steps[*at].key,
            expected: primary[*at].as_ref().map_or(Expected::Absent, Expected::Present),
            wanted: match &dr[*at] {
                Some(item) => Wanted::Present { item, body: context.pair.dr.as_ref() },
                None => Wanted::Absent,
            },
        })
        .collect();
    context.pair.primary.apply(&guarded).await.map_err(failed)
}
