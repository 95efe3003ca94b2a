//! Who leads the job of a drill, and what that changes in its story.

use super::plant::Winner;

/// Who leads the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// Nobody: the profile's policies decide everything, and nothing takes longer than it must.
    Script,
    /// A person, who decides the conflicts and has time to see a stage of the cutover and to turn back in it.
    Operator,
}

impl Leader {
    /// A DNS time to live: cutover waits it out at every stage.
    pub(in crate::drill) fn ttl_seconds(self) -> u32 {
        match self {
            Leader::Script => 1,
            Leader::Operator => 2,
        }
    }

    pub(super) fn hold_seconds(self) -> u32 {
        match self {
            Leader::Script => 1,
            Leader::Operator => 5,
        }
    }

    pub(super) fn conflict_policy(self, winner: Winner) -> &'static str {
        match (self, winner) {
            (Leader::Operator, _) => "hold",
            (Leader::Script, Winner::Dr) => "dr-wins",
            (Leader::Script, Winner::Primary) => "primary-wins",
        }
    }
}
