//! The drill beside an operator: the story goes on while the job is done, and is judged when it is done.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;

use super::run::homecoming;
use super::staged::Ground;
use super::story::{Judgement, Struck};
use crate::guide::Companion;
use crate::journal::Journal;
use crate::session::{Action, Exit, SessionState, newest_kept};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Goes along with the session of a drill.
pub(super) struct DrillCompanion {
    ground: Arc<Ground>,
    struck: Struck,
    /// Stores whose verdicts were compared with the truth; only what was found before the first replay can be.
    judged: BTreeSet<String>,
    faults: u64,
    replayed: bool,
    cut_over: bool,
    ended: bool,
}

impl DrillCompanion {
    pub(super) fn new(ground: Arc<Ground>, struck: Struck) -> DrillCompanion {
        let judged = BTreeSet::new();
        DrillCompanion { ground, struck, judged, faults: 0, replayed: false, cut_over: false, ended: false }
    }

    fn journal(&self) -> Result<Journal> {
        Ok(Journal::read_only(&self.ground.session_folder(), self.ground.clock())?)
    }

    fn judgement(&mut self, judged: &Judgement) -> Vec<String> {
        self.faults += judged.mismatches.len() as u64;
        judged.lines()
    }

    /// Compares the first comparison of every store with what was planted.
    fn judge_verdicts(&mut self) -> Result<Vec<String>> {
        let state = SessionState::of(&self.journal()?)?;
        let mut lines = Vec::new();
        for (store, comparison) in state.first_comparisons {
            if self.judged.insert(store.0.clone()) {
                let judged = self.ground.world.judge_verdicts(&store.0, &comparison.delta)?;
                lines.extend(self.judgement(&judged));
            }
        }
        Ok(lines)
    }

    /// dr goes on writing after the first replay, if its writers were not stopped before.
    async fn late_business(&mut self) -> Result<Vec<String>> {
        let world = &self.ground.world;
        if world.is_fenced() {
            self.replayed = true;
            return Ok(vec!["DR's writers were stopped before they wrote anything more".into()]);
        }
        world.late_business().await?;
        self.replayed = true;
        let late: usize = world.planted().map(|planted| planted.late()).sum();
        Ok(vec![format!("DR took more writes meanwhile, {late} items: catch up with another plan and replay")])
    }

    /// Compares the end with what was planted.
    async fn judge(&mut self) -> Result<Vec<String>> {
        let accepted = newest_kept(&self.journal()?, usize::MAX)?.accepted;
        let mut lines = Vec::new();
        for planted in self.ground.world.planted().filter(|planted| !self.judged.contains(planted.name)) {
            lines.push(format!("NOT JUDGED {}: it was not compared before the first replay", planted.name));
        }
        self.faults += lines.len() as u64;
        for judged in self.ground.judge_end(&accepted).await? {
            lines.extend(self.judgement(&judged));
        }
        self.ended = true;
        lines.push(homecoming(self.faults));
        Ok(lines)
    }
}

#[async_trait]
impl Companion for DrillCompanion {
    async fn opened(&mut self) -> Vec<String> {
        let Struck { disaster_at, dr_as_of } = self.struck;
        let mut lines = vec![
            format!("T0 {disaster_at}: the primary Region failed, with writes that never replicated"),
            format!(
                "DR had what the primary held at {dr_as_of}, and has served the customers since; the primary is back"
            ),
        ];
        let planted = self.ground.world.planted();
        lines.extend(planted.map(|planted| {
            format!("planted in {}: {} items, of which {}", planted.name, planted.items.len(), planted.differences())
        }));
        lines.push(
            "conflicts are yours to decide: any decision is right, if the primary ends with what was decided".into(),
        );
        lines
    }

    async fn after(&mut self, action: Action, exit: Exit) -> Result<Vec<String>> {
        let came_to_an_end = matches!(exit, Exit::Done | Exit::Differs | Exit::Undecided);
        match action {
            Action::Diff | Action::Plan if came_to_an_end && !self.replayed => self.judge_verdicts(),
            Action::Replay | Action::FinalPass if came_to_an_end && !self.replayed => self.late_business().await,
            Action::Cutover => {
                self.cut_over = exit == Exit::Done;
                Ok(match self.cut_over {
                    true => vec!["customers are back: verify once more, and the drill is judged".into()],
                    false => Vec::new(),
                })
            }
            Action::Retreat | Action::Undo => {
                (self.cut_over, self.ended) = (false, false);
                Ok(Vec::new())
            }
            Action::Verify | Action::FreezeAndVerify if self.cut_over && !self.ended => match exit {
                Exit::Done => self.judge().await,
                _ => Ok(vec!["the sides are not at parity after the cutover: the drill is not home".into()]),
            },
            _ => Ok(Vec::new()),
        }
    }
}
