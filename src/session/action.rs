//! What an operator can do next.

/// A command of the session, as it is recorded and as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Preflight.
    Check,
    /// Keep the state both sides share.
    Checkpoint,
    /// Read both sides and classify; changes nothing.
    Diff,
    /// Diff and policy to a plan.
    Plan,
    /// Try the plan without writing.
    DryRun,
    /// Carry out the plan.
    Replay,
    /// Stop writers in dr, plan anew and replay.
    FinalPass,
    /// Re-read both sides and certify.
    Verify,
    /// Stop writers in dr, then re-read both sides and certify.
    FreezeAndVerify,
    /// Prove that an undo put the primary back.
    VerifyUndone,
    /// Return customers in stages.
    Cutover,
    /// Give all traffic back to dr.
    Retreat,
    /// Restore prior images.
    Undo,
    /// Read the report.
    Report,
}

impl Action {
    /// All actions.
    pub const ALL: [Action; 14] = [
        Action::Check,
        Action::Checkpoint,
        Action::Diff,
        Action::Plan,
        Action::DryRun,
        Action::Replay,
        Action::FinalPass,
        Action::Verify,
        Action::FreezeAndVerify,
        Action::VerifyUndone,
        Action::Cutover,
        Action::Retreat,
        Action::Undo,
        Action::Report,
    ];

    /// The name in the journal; several actions share one where they do the same work.
    pub fn name(self) -> &'static str {
        match self {
            Action::Check => "check",
            Action::Checkpoint => "checkpoint",
            Action::Diff => "diff",
            Action::Plan => "plan",
            Action::DryRun => "replay",
            Action::Replay | Action::FinalPass => "replay --apply",
            Action::Verify | Action::FreezeAndVerify => "verify",
            Action::VerifyUndone => "verify --undone",
            Action::Cutover => "cutover",
            Action::Retreat => "cutover --retreat",
            Action::Undo => "undo",
            Action::Report => "report",
        }
    }

    /// The first action of a name in the journal.
    pub fn named(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.name() == name)
    }

    /// The command line, with `PROFILE` for the profile's file.
    pub fn command_line(self) -> &'static str {
        match self {
            Action::Check => "failback check PROFILE",
            Action::Checkpoint => "failback checkpoint PROFILE --name NAME",
            Action::Diff => "failback diff PROFILE",
            Action::Plan => "failback plan PROFILE",
            Action::DryRun => "failback replay PROFILE",
            Action::Replay => "failback replay PROFILE --apply",
            Action::FinalPass => "failback replay PROFILE --apply --freeze",
            Action::Verify => "failback verify PROFILE",
            Action::FreezeAndVerify => "failback verify PROFILE --freeze",
            Action::VerifyUndone => "failback verify PROFILE --undone",
            Action::Cutover => "failback cutover PROFILE",
            Action::Retreat => "failback cutover PROFILE --retreat",
            Action::Undo => "failback undo PROFILE",
            Action::Report => "failback report PROFILE --format html",
        }
    }
}
