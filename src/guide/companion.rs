//! Something that goes along with a led session.

use std::error::Error;

use async_trait::async_trait;

use crate::session::{Action, Exit};

/// Goes along with a led session and has something to say about it, as the drill does; it decides nothing.
///
/// Whoever leads the session calls it, shows its lines, and waits for it: what it does happens between two actions.
#[async_trait]
pub trait Companion: Send {
    /// What it says before the first action.
    async fn opened(&mut self) -> Vec<String>;

    /// What it does and says after an action that ended like this.
    ///
    /// # Errors
    ///
    /// When it could not do its part. The session itself is as it was, and may go on.
    async fn after(&mut self, action: Action, exit: Exit) -> Result<Vec<String>, Box<dyn Error + Send + Sync>>;
}
