//! How a command ended, as a script reads it.

use super::{
    CheckOutcome, CheckpointOutcome, CutoverOutcome, DecideOutcome, DiffOutcome, PlanOutcome, ReplayOutcome,
    SampleOutcome, UndoOutcome, UndoneOutcome, VerifyOutcome,
};
use crate::cutover::CutoverEnd;
use crate::store::Level;

/// How a command ended; the numbers are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or at parity.
    Done = 0,
    /// The sides differ.
    Differs = 1,
    /// Bad usage or a bad profile.
    Usage = 2,
    /// Items are held or writes were refused: a person must decide.
    Undecided = 3,
    /// Something could not be read or reached: never counts as parity.
    Incomplete = 4,
    /// Interrupted; run the same command to resume.
    Interrupted = 5,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// The exit code that an outcome stands for.
pub trait Exits {
    /// The exit code.
    fn exit(&self) -> Exit;
}

impl Exits for CheckOutcome {
    fn exit(&self) -> Exit {
        match (self.complete, self.is_blocked()) {
            (false, _) => Exit::Incomplete,
            (true, true) => Exit::Usage,
            (true, false) => Exit::Done,
        }
    }
}

impl Exits for DiffOutcome {
    fn exit(&self) -> Exit {
        if self.at_parity() { Exit::Done } else { Exit::Differs }
    }
}

/// A sample never says that the sides are the same: what was not looked at is not known.
impl Exits for SampleOutcome {
    fn exit(&self) -> Exit {
        if self.differs() { Exit::Differs } else { Exit::Incomplete }
    }
}

impl Exits for PlanOutcome {
    fn exit(&self) -> Exit {
        if self.summary.held() > 0 { Exit::Undecided } else { Exit::Done }
    }
}

impl Exits for DecideOutcome {
    fn exit(&self) -> Exit {
        if self.undecided > 0 { Exit::Undecided } else { Exit::Done }
    }
}

impl Exits for ReplayOutcome {
    fn exit(&self) -> Exit {
        let blocked = |finding: &crate::store::Finding| finding.level == Level::Blocker;
        let findings = self.stores.iter().any(|store| store.run.findings.iter().any(blocked));
        if self.refused() > 0 || self.held > 0 || findings {
            Exit::Undecided
        } else if self.stale() > 0 {
            Exit::Differs
        } else {
            Exit::Done
        }
    }
}

impl Exits for VerifyOutcome {
    fn exit(&self) -> Exit {
        if self.at_parity() { Exit::Done } else { Exit::Differs }
    }
}

impl Exits for UndoneOutcome {
    fn exit(&self) -> Exit {
        if self.is_as_before() { Exit::Done } else { Exit::Differs }
    }
}

impl Exits for CutoverOutcome {
    fn exit(&self) -> Exit {
        match self.end {
            CutoverEnd::Done => Exit::Done,
            CutoverEnd::Retreated { .. } | CutoverEnd::Drifted { .. } | CutoverEnd::Stopped { .. } => Exit::Undecided,
        }
    }
}

impl Exits for UndoOutcome {
    fn exit(&self) -> Exit {
        if self.refused() > 0 { Exit::Undecided } else { Exit::Done }
    }
}

impl Exits for CheckpointOutcome {
    fn exit(&self) -> Exit {
        if self.folder.is_some() { Exit::Done } else { Exit::Differs }
    }
}
