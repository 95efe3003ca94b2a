//! The guided session's screen: whether this terminal can show it, and with which signs.

use std::io::IsTerminal;
use std::sync::Arc;

use super::exit::{Exit, Failure};
use crate::tui::{Ending, Judge, TerminalError, WatchError};

/// Whether somebody sits at a terminal.
pub fn is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && variable("TERM") != "dumb"
}

/// Whether colours and signs beyond ASCII are wanted.
pub fn theme() -> (bool, bool) {
    let colour = variable("NO_COLOR").is_empty();
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable).find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_lowercase();
    (colour, locale.contains("utf-8") || locale.contains("utf8"))
}

/// Who decides, for the journal: the user and the machine.
pub fn operator() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}@{}", user.unwrap_or_else(|| "unknown".into()), host.unwrap_or_else(|| "unknown".into()))
}

/// How failures are judged on the screen: as on the command line.
pub fn judge() -> Judge {
    Arc::new(Failure::judged)
}

/// What is said once the screen is left.
pub fn farewell(ending: &Ending, again: &str) -> String {
    match ending.exit {
        Exit::Done => format!("{}\n", ending.why),
        _ => format!("left; nothing is lost. Next: {}\ngo on with: {again}\n", ending.why),
    }
}

impl From<TerminalError> for Failure {
    fn from(error: TerminalError) -> Failure {
        Failure::hinted(Exit::Usage, error, "use a terminal, or add --headless --yes")
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Failure {
        match error {
            WatchError::Session(error) => error.into(),
            WatchError::Terminal(error) => error.into(),
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
