//! The terminal: taken over, and given back as it was, whatever happens.

use std::fs::File;
use std::io::{self, Stdout, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::ThreadId;

use crossterm::cursor::Show;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;

/// A terminal that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the terminal cannot be used for the guided session")]
pub struct TerminalError(#[from] pub io::Error);

/// The screen that is drawn on.
pub type Screen = ratatui::Terminal<CrosstermBackend<Stdout>>;

/// The terminal as it is to be given back, while it is ours.
static OURS: Mutex<Option<Ours>> = Mutex::new(None);
static HOOK: Once = Once::new();

struct Ours {
    /// Who draws: a panic of any other thread ends some work, never the screen.
    thread: ThreadId,
    /// Standard error as it was: what is written there meanwhile would tear the screen.
    stderr: Option<OwnedFd>,
}

/// The terminal while it is taken over; given back when dropped, and before a panic of the thread that took it is told.
pub struct Taken {
    /// What is drawn on.
    pub screen: Screen,
}

impl Taken {
    /// Takes the terminal over; what is written to stderr meanwhile goes to `log`.
    ///
    /// # Errors
    ///
    /// [`TerminalError`] when there is no terminal, or the log cannot be written.
    pub fn take(log: Option<&Path>) -> Result<Taken, TerminalError> {
        give_back_on_panic();
        let stderr = log.map(divert).transpose()?;
        *ours() = Some(Ours { thread: std::thread::current().id(), stderr });
        let entered = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen));
        let screen = entered.and_then(|()| Screen::new(CrosstermBackend::new(io::stdout())));
        screen.map(|screen| Taken { screen }).map_err(|error| {
            give_back();
            error.into()
        })
    }

    /// Uses the mouse here, or leaves it to the terminal.
    ///
    /// # Errors
    ///
    /// [`TerminalError`] when the terminal is gone.
    pub fn mouse(&mut self, wanted: bool) -> Result<(), TerminalError> {
        match wanted {
            true => execute!(io::stdout(), EnableMouseCapture)?,
            false => execute!(io::stdout(), DisableMouseCapture)?,
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn ours() -> MutexGuard<'static, Option<Ours>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back; a terminal that is gone needs nothing.
fn give_back() {
    let Some(Ours { stderr, .. }) = ours().take() else { return };
    let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
    if let Some(stderr) = stderr {
        let _ = nix::unistd::dup2_stderr(stderr.as_fd());
    }
}

/// A panic's message is of use only on a terminal that can be read again.
fn give_back_on_panic() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_here = |ours: &Ours| ours.thread == std::thread::current().id();
            let draws = OURS.try_lock().is_ok_and(|ours| ours.as_ref().is_some_and(is_here));
            if draws {
                give_back();
            }
            before(panic);
        }));
    });
}

/// Points standard error at a file; gives what it was.
fn divert(log: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options().create(true).append(true).mode(0o600).open(log)?;
    let stderr = nix::unistd::dup(io::stderr())?;
    debug_assert!(file.as_raw_fd() > 2);
    nix::unistd::dup2_stderr(&file)?;
    Ok(stderr)
}
