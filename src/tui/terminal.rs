//! The terminal: taken over, and given back as it was, whatever happens.

use std::fs::File;
use std::io::{self, Stdout, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether the terminal is ours now: a panic gives it back only then.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal while it is taken over; given back when dropped.
pub struct Taken {
    /// What is drawn on.
    pub screen: Screen,
    /// Standard error as it was: what is written there meanwhile would tear the screen.
    stderr: Option<OwnedFd>,
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
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let entered = execute!(io::stdout(), EnterAlternateScreen);
        let screen = entered.and_then(|()| Screen::new(CrosstermBackend::new(io::stdout())));
        match screen {
            Ok(screen) => Ok(Taken { screen, stderr }),
            Err(error) => {
                give_back();
                Err(error.into())
            }
        }
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
        if let Some(stderr) = self.stderr.take() {
            let _ = nix::unistd::dup2_stderr(stderr.as_fd());
        }
    }
}

/// Gives the terminal back; a terminal that is gone needs nothing.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

/// A panic's message is of use only on a terminal that can be read again.
fn give_back_on_panic() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
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
