//! Stops writers in dr and proves that they are stopped.

use std::time::Duration;

use serde::Serialize;
use tokio::process::Command;

use super::{Result, Session, SessionError};
use crate::compare::read_side;
use crate::cutover::run_in_group;
use crate::digest::{BUCKETS, bucket_root, root_of};
use crate::journal::Event;
use crate::model::{Digest, Side};
use crate::profile::FreezeProfile;
use crate::verify::{FenceEvidence, FenceKind};

/// How long dr is watched where the profile does not say, in seconds.
const QUIET_SECONDS: u64 = 10;

/// The exit code by which a negative write test says that its write was refused; any other failure says nothing.
const REFUSED: i32 = 1;

/// A freeze that was proved.
#[derive(Debug, Clone, Serialize)]
pub struct FreezeOutcome {
    /// The evidence.
    pub evidence: FenceEvidence,
}

impl Session {
    /// Runs the profile's freeze command, then proves that writers are stopped.
    ///
    /// # Errors
    ///
    /// [`SessionError::NotFrozen`] when the command fails or a write still gets through.
    pub async fn freeze(&self) -> Result<FreezeOutcome> {
        let freeze = self.profile.freeze.as_ref().ok_or(SessionError::ProfileLacks { what: "[freeze]" })?;
        let code = run(&freeze.command, freeze.timeout_seconds).await.map_err(|why| SessionError::NotFrozen { why })?;
        if code != Some(0) {
            let why = format!("the freeze command {} {}", freeze.command.join(" "), exit_words(code));
            return Err(SessionError::NotFrozen { why });
        }
        let evidence = self.prove_fence().await?;
        let recorded = serde_json::to_value(&evidence).expect("evidence has only string keys");
        self.journal.append(&[Event::Frozen { evidence: recorded }])?;
        Ok(FreezeOutcome { evidence })
    }

    /// Proves that writers are stopped: a write that must fail, or dr read unchanged for a time.
    pub(super) async fn prove_fence(&self) -> Result<FenceEvidence> {
        match self
            .profile
            .freeze
            .as_ref()
            .and_then(|freeze| freeze.negative_write_test.as_ref().map(|test| (freeze, test)))
        {
            Some((freeze, test)) => self.prove_by_failing_write(freeze, test).await,
            None => self.prove_by_quiet().await,
        }
    }

    async fn prove_by_failing_write(&self, freeze: &FreezeProfile, test: &[String]) -> Result<FenceEvidence> {
        let command = test.join(" ");
        let code = run(test, freeze.timeout_seconds).await.map_err(|why| SessionError::NotFrozen { why })?;
        match code {
            Some(0) => {
                let why = format!("the negative write test `{command}` succeeded: dr still takes writes");
                Err(SessionError::NotFrozen { why })
            }
            Some(REFUSED) => Ok(FenceEvidence {
                kind: FenceKind::NegativeWriteTest,
                at: Some(self.around.clock.now()),
                detail: format!("`{command}` was refused"),
            }),
            other => {
                let words = exit_words(other);
                let why = format!("the negative write test `{command}` {words}, which tells neither (1 is refused)");
                Err(SessionError::NotFrozen { why })
            }
        }
    }

    async fn prove_by_quiet(&self) -> Result<FenceEvidence> {
        let at = self.around.clock.now();
        let before = self.dr_roots().await?;
        let seconds = self.profile.freeze.as_ref().map_or(QUIET_SECONDS, |freeze| freeze.quiet_seconds);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let after = self.dr_roots().await?;
        for ((store, before), (_, after)) in before.iter().zip(&after) {
            if before != after {
                let why = format!("dr of store {store} changed while it was watched for {seconds} s");
                return Err(SessionError::NotFrozen { why });
            }
        }
        let detail = format!("dr was read twice, {seconds} s apart, with equal roots");
        Ok(FenceEvidence { kind: FenceKind::Quiet, at: Some(at), detail })
    }

    async fn dr_roots(&self) -> Result<Vec<(String, Digest)>> {
        let mut roots = Vec::new();
        for store in self.chosen() {
            let pair = self.pair(store).await?;
            let settings = self.settings(store, "quiet");
            let (clock, progress) = (self.around.clock.as_ref(), self.around.progress.as_ref());
            let reading =
                read_side(pair.dr.as_ref(), Side::Dr, settings.memory_bytes, &settings, clock, progress).await?;
            let mut bucket_roots = Box::new([bucket_root(&[]); BUCKETS]);
            for (index, root) in bucket_roots.iter_mut().enumerate() {
                let bucket = reading
                    .buckets
                    .read(index)
                    .map_err(|source| crate::compare::CompareError::Sink { store: pair.id.clone(), source })?;
                *root = bucket.root();
            }
            roots.push((store.name.clone(), root_of(&bucket_roots)));
        }
        Ok(roots)
    }
}

fn exit_words(code: Option<i32>) -> String {
    code.map_or_else(|| "was ended by a signal".into(), |code| format!("ended with exit code {code}"))
}

/// Runs a command without a shell; what it started is ended when it takes too long or this is dropped.
async fn run(command: &[String], timeout_seconds: u64) -> std::result::Result<Option<i32>, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("the command is empty".into());
    };
    let mut command = Command::new(program);
    command.args(arguments).stderr(std::process::Stdio::inherit());
    match run_in_group(command, Duration::from_secs(timeout_seconds)).await {
        Ok(Some(status)) => Ok(status.code()),
        Ok(None) => Err(format!("{program} did not end within {timeout_seconds} s")),
        Err(error) => Err(format!("{program} cannot be run: {error}")),
    }
}
