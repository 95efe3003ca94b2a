//! Carries out one action.

use crate::cutover::CutoverEvent;
use crate::replay::Mode;
use crate::session::{
    Action, CheckOutcome, CheckpointOutcome, CutoverOutcome, DiffOutcome, Exit, Exits, FreezeOutcome, PlanOutcome,
    ReplayOutcome, Session, SessionError, UndoOutcome, UndoneOutcome, VerifyOutcome,
};

/// What an action came to.
#[derive(Debug)]
pub enum Performed {
    /// Of a preflight.
    Checked(CheckOutcome),
    /// Of a checkpoint, which the caller has a name for.
    Checkpointed(CheckpointOutcome),
    /// Of a comparison.
    Compared(DiffOutcome),
    /// Of planning.
    Planned(PlanOutcome),
    /// Of a replay or a dry run.
    Replayed(ReplayOutcome),
    /// Of a verification.
    Verified(VerifyOutcome),
    /// Of the proof of an undo.
    ProvedUndone(UndoneOutcome),
    /// Of a cutover.
    CutOver(CutoverOutcome),
    /// Of a retreat.
    Retreated(CutoverOutcome),
    /// Of an undo.
    Undone(UndoOutcome),
    /// Nothing: a checkpoint needs a name and a report a place, which the caller has.
    NotHere,
}

impl Exits for Performed {
    fn exit(&self) -> Exit {
        match self {
            Performed::Checked(outcome) => outcome.exit(),
            Performed::Checkpointed(outcome) => outcome.exit(),
            Performed::Compared(outcome) => outcome.exit(),
            Performed::Planned(outcome) => outcome.exit(),
            Performed::Replayed(outcome) => outcome.exit(),
            Performed::Verified(outcome) => outcome.exit(),
            Performed::ProvedUndone(outcome) => outcome.exit(),
            Performed::CutOver(outcome) => outcome.exit(),
            Performed::Retreated(_) | Performed::NotHere => Exit::Done,
            Performed::Undone(outcome) => outcome.exit(),
        }
    }
}

/// What happens while an action is carried out.
#[derive(Debug)]
pub enum Told<'a> {
    /// Writers in dr are stopped, and it is proved.
    Frozen(&'a FreezeOutcome),
    /// The final pass has its plan.
    Planned(&'a PlanOutcome),
    /// A step of the cutover.
    Cutover(&'a CutoverEvent),
}

/// Takes what is told.
pub type Teller<'a> = dyn FnMut(Told<'_>) + Send + 'a;

/// Carries out one action; what it begins and ends is for the caller to record.
///
/// # Errors
///
/// [`SessionError`] of the action.
pub async fn perform(session: &Session, action: Action, told: &mut Teller<'_>) -> Result<Performed, SessionError> {
    Ok(match action {
        Action::Check => Performed::Checked(session.check().await?),
        Action::Checkpoint | Action::Report => Performed::NotHere,
        Action::Diff => Performed::Compared(session.diff().await?),
        Action::Plan => Performed::Planned(session.plan_catch_up().await?),
        Action::DryRun => Performed::Replayed(session.replay(Mode::DryRun).await?),
        Action::Replay => Performed::Replayed(session.replay(Mode::Apply).await?),
        Action::FinalPass => {
            told(Told::Frozen(&session.freeze().await?));
            told(Told::Planned(&session.plan().await?));
            Performed::Replayed(session.replay(Mode::Apply).await?)
        }
        Action::Verify => Performed::Verified(session.verify().await?),
        Action::FreezeAndVerify => {
            told(Told::Frozen(&session.freeze().await?));
            Performed::Verified(session.verify().await?)
        }
        Action::VerifyUndone => Performed::ProvedUndone(session.verify_undone().await?),
        Action::Cutover => Performed::CutOver(session.cutover(None, &mut |event| told(Told::Cutover(event))).await?),
        Action::Retreat => Performed::Retreated(session.retreat(&mut |event| told(Told::Cutover(event))).await?),
        Action::Undo => Performed::Undone(session.undo().await?),
    })
}
