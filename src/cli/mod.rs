//! The command line: arguments, one file per command, exit codes and messages.
//!
//! Data goes to stdout, everything else to stderr. Errors say what happened, what is safe and what to type next.

mod args;
mod clock;
mod commands;
mod exit;
mod output;
mod progress;
mod screen;

use std::process::ExitCode;

use clap::Parser;

pub use args::{Arguments, Command};
pub use clock::SystemClock;
pub use exit::Exit;

use exit::Failure;

/// The stack of every thread, as large as the main thread's: a command may run on any, and asking many services goes deep.
const STACK_BYTES: usize = 8 << 20;

/// Runs the command line and gives its exit code.
pub fn main() -> ExitCode {
    // Both TLS users of this process share one cryptography provider; installing it again is harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors to clap, and print to stdout.
            let _ = error.print();
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return code.into();
        }
    };
    log_to_stderr(arguments.global.verbose, arguments.global.quiet);
    run(arguments).into()
}

fn run(arguments: Arguments) -> Exit {
    // The supervisor ends with its parent and must not be a thread among others when it starts servers.
    if let Some(exit) = commands::drill::supervise(&arguments.command) {
        return exit;
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&Failure::plain(Exit::Incomplete, error), &arguments.global),
    };
    let global = arguments.global.clone();
    let ended = runtime.block_on(async {
        // A task among those that it waits for: were it on this thread, each of its requests would wake another thread and back.
        let mut command = tokio::spawn(commands::run(arguments));
        tokio::select! {
            biased;
            signal = interrupted() => {
                // What it holds is given back before this process ends: the terminal, locks, the servers of a drill.
                command.abort();
                let _ = command.await;
                output::tell(&format!(
                    "\ninterrupted by {signal}: nothing is lost, run the same command again to resume"
                ));
                Ok(Exit::Interrupted)
            }
            ended = &mut command => ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
        }
    });
    // Blocking work that is under way is abandoned: it only reads.
    runtime.shutdown_background();
    ended.unwrap_or_else(|failure| exit::report(&failure, &global))
}

/// Returns when the process is asked to end.
async fn interrupted() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).ok();
    let mut hung_up = signal(SignalKind::hangup()).ok();
    let wait = async |signal: &mut Option<tokio::signal::unix::Signal>| match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "SIGINT",
        _ = wait(&mut terminated) => "SIGTERM",
        _ = wait(&mut hung_up) => "SIGHUP",
    }
}

fn log_to_stderr(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "off",
        (false, 0) => "failback=warn",
        (false, 1) => "failback=info",
        (false, _) => "failback=debug,aws_config=info",
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    // A second subscriber can only be set in tests, where the first stays.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}
