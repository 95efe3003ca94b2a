//! The process that owns the servers.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::record::Record;
use super::servers::{Running, init_postgres, start_aws, start_postgres};
use super::{SandboxError, Venv};

/// Set for a supervisor that outlives the drill.
pub(super) const DETACHED_VARIABLE: &str = "FAILBACK_SANDBOX_DETACHED";

/// Runs the servers of the sandbox in `folder` until this process's standard input closes (attached), or until SIGTERM or
/// SIGINT; the body of the hidden command `failback drill --supervise FOLDER`.
///
/// Messages go to standard error, the last one saying why there is no sandbox.
pub fn supervise(folder: &Path) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the supervisor: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(folder));
    // A read of standard input may still be pending on a thread that nothing can interrupt.
    runtime.shutdown_timeout(Duration::ZERO);
    match outcome {
        Ok(why) => {
            eprintln!("ended: {why}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("{error}{source}");
            ExitCode::FAILURE
        }
    }
}

async fn run(folder: &Path) -> Result<String, SandboxError> {
    let told_to_end = told_to_end(std::env::var_os(DETACHED_VARIABLE).is_some())?;
    tokio::pin!(told_to_end);
    // PostgreSQL's user must be able to reach its data, which the sandbox's folder may not allow.
    let data = tempfile::Builder::new().prefix("failback-drill-").tempdir();
    let data = data.map_err(SandboxError::local("cannot make a folder for PostgreSQL"))?;
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755))
        .map_err(SandboxError::local("cannot open PostgreSQL's folder to its user"))?;
    let mut servers = tokio::select! {
        biased;
        why = &mut told_to_end => return Ok(why),
        started = start(data.path()) => started?,
    };
    let [aws, primary, dr] = &mut servers;
    let record = Record::new(std::process::id(), aws.server(), primary.server(), dr.server());
    let why = match record.write(folder) {
        Err(error) => Err(error),
        Ok(()) => Ok(tokio::select! {
            why = &mut told_to_end => why,
            why = aws.ended() => why,
            why = primary.ended() => why,
            why = dr.ended() => why,
        }),
    };
    let [aws, primary, dr] = servers;
    tokio::join!(aws.end(), primary.end(), dr.end());
    Record::remove(folder)?;
    why
}

async fn start(data: &Path) -> Result<[Running; 3], SandboxError> {
    let venv = Venv::located();
    let lacking = || SandboxError::Unavailable("the sandbox's servers are not installed".into());
    let programs = venv.postgres_programs().ok_or_else(lacking)?;
    let (aws, primary, dr) = tokio::try_join!(
        start_aws(&venv),
        new_postgres(&programs, data, "primary"),
        new_postgres(&programs, data, "dr"),
    )?;
    Ok([aws, primary, dr])
}

async fn new_postgres(programs: &Path, parent: &Path, name: &str) -> Result<Running, SandboxError> {
    let data = init_postgres(programs, parent, name).await?;
    start_postgres(programs, &data).await
}

/// A future that completes, with the reason, when the servers shall end.
fn told_to_end(detached: bool) -> Result<impl Future<Output = String>, SandboxError> {
    let listen = |kind| signal(kind).map_err(SandboxError::local("cannot listen for signals"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    // Listened to, so that a closed terminal does not end a detached sandbox.
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        let drill_is_gone = async {
            if detached {
                std::future::pending::<()>().await;
            }
            let read_to_end = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = tokio::task::spawn_blocking(read_to_end).await;
        };
        let hung_up = async {
            hang_up.recv().await;
            if detached {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = drill_is_gone => "the drill is gone".into(),
            () = hung_up => "the terminal is gone".into(),
            _ = terminate.recv() => "told to terminate".into(),
            _ = interrupt.recv() => "interrupted".into(),
        }
    })
}
