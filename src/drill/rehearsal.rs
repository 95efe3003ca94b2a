//! The whole job without an operator, told scene by scene.

use std::sync::Arc;

use super::run::{DrillError, Narrator, Result, Scene, Stage};
use super::staged::Staged;
use super::story::Judgement;
use crate::compare::Progress;
use crate::cutover::CutoverEnd;
use crate::replay::Mode;
use crate::report::{Disclosure, KEPT_LISTED_MAX, ReportContext, html, markdown};
use crate::session::{Options, Session, ValuesWanted};

/// Catch-up passes before the freeze, while dr still takes writes.
const CATCH_UP_PASSES_MAX: usize = 3;

/// A staged drill on its way home.
struct Rehearsal<'a> {
    staged: &'a Staged,
    narrator: &'a mut dyn Narrator,
    faults: u64,
}

/// Does the job of a staged drill from the first look to the report; gives the number of things that are not as planted.
pub(super) async fn rehearse(staged: &Staged, progress: Arc<dyn Progress>, narrator: &mut dyn Narrator) -> Result<u64> {
    let session = staged.open(Options::default(), progress)?;
    let mut rehearsal = Rehearsal { staged, narrator, faults: 0 };
    rehearsal.compare(&session).await?;
    rehearsal.replay(&session).await?;
    rehearsal.freeze(&session).await?;
    rehearsal.verify(&session).await?;
    rehearsal.cutover(&session).await?;
    rehearsal.judge().await?;
    rehearsal.report(&session)?;
    Ok(rehearsal.faults)
}

impl Rehearsal<'_> {
    fn show(&mut self, scene: Scene<'_>) {
        self.narrator.show(scene);
    }

    fn say(&mut self, words: impl Into<String>) {
        self.narrator.show(Scene::Words(words.into()));
    }

    fn fault(&mut self, words: impl Into<String>) {
        self.faults += 1;
        self.say(format!("NOT AS EXPECTED: {}", words.into()));
    }

    async fn compare(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Compare));
        let checked = session.check().await?;
        self.show(Scene::Check(&checked));
        if checked.is_blocked() || !checked.complete {
            self.fault("preflight is not clean");
        }
        let diff = session.diff().await?;
        self.show(Scene::Diff(&diff));
        for comparison in &diff.stores {
            let judged = self.staged.ground.world.judge_verdicts(&comparison.store.0, &comparison.delta)?;
            self.judged(&judged);
        }
        Ok(())
    }

    async fn replay(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Replay));
        self.pass(session).await?;
        self.staged.ground.world.late_business().await?;
        self.say("DR took more writes meanwhile: catch-up");
        for _ in 0..CATCH_UP_PASSES_MAX {
            if self.pass(session).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// One plan and replay; gives the number of steps.
    async fn pass(&mut self, session: &Session) -> Result<u64> {
        let plan = session.plan().await?;
        let steps = plan.summary.steps();
        if plan.summary.held() > 0 {
            self.fault(format!("{} items are held", plan.summary.held()));
        }
        self.show(Scene::Plan(&plan));
        if steps > 0 {
            let replayed = session.replay(Mode::Apply).await?;
            self.show(Scene::Replay(&replayed));
            if replayed.refused() > 0 {
                self.fault(format!("{} steps were refused", replayed.refused()));
            }
        }
        Ok(steps)
    }

    async fn freeze(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Freeze));
        let frozen = session.freeze().await?;
        self.show(Scene::Freeze(&frozen));
        self.pass(session).await?;
        Ok(())
    }

    async fn verify(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Verify));
        let verified = session.verify().await?;
        self.show(Scene::Verify(&verified));
        if !verified.at_parity() {
            self.fault("the sides are not at parity");
        }
        Ok(())
    }

    async fn cutover(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Cutover));
        let narrator = &mut *self.narrator;
        let outcome = session.cutover(None, &mut |event| narrator.show(Scene::Traffic(event))).await?;
        if outcome.end != CutoverEnd::Done {
            self.fault("the cutover did not reach 100%");
        }
        let again = session.verify().await?;
        self.say("customers are back; verified once more:");
        self.show(Scene::Verify(&again));
        if !again.at_parity() {
            self.fault("the sides are not at parity after the cutover");
        }
        Ok(())
    }

    async fn judge(&mut self) -> Result<()> {
        self.show(Scene::Stage(Stage::Judge));
        for judged in self.staged.ground.judge_end(&[]).await? {
            self.judged(&judged);
        }
        Ok(())
    }

    fn judged(&mut self, judged: &Judgement) {
        self.faults += judged.mismatches.len() as u64;
        self.show(Scene::Judged(judged));
    }

    fn report(&mut self, session: &Session) -> Result<()> {
        let file = self.staged.profile_path();
        let (profile, folder, now) = (session.profile(), session.folder(), self.staged.ground.clock().now());
        let (state, kept) = (session.state()?, session.kept(KEPT_LISTED_MAX)?);
        let exhibits = session.exhibits(&kept, ValuesWanted::No)?;
        let context = ReportContext::of(profile, &file.to_string_lossy(), folder, now, kept);
        let context = context.with_exhibits(exhibits, Disclosure::default());
        for (name, text) in [("report.md", markdown(&state, &context)), ("report.html", html(&state, &context))] {
            let path = self.staged.folder().join(name);
            std::fs::write(&path, text).map_err(|source| DrillError::File { path, source })?;
        }
        Ok(())
    }
}
