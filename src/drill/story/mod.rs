//! The drill's disaster: what is planted, how it is written to the stores, and how the outcome is judged.
//!
//! The stores are written and read here by their plain clients, never through the adapters, so that the truth does not
//! depend on the code it judges. One seed and one size always tell the same story.

mod dns;
mod fence;
mod judge;
mod leader;
mod ledger;
mod media;
mod orders;
mod place;
mod plant;
mod profile;
mod shop;
mod world;

pub use fence::{Fence, fence, try_write};
pub use judge::{Judgement, Mismatch};
pub use leader::Leader;
pub use plant::{Fate, Planted, PlantedStore, Scale, Wanted};
pub use profile::{DrillProfile, profile_toml};
pub use world::{Struck, World};

/// A step of the story that could not be told.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StoryError {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoryError {
    fn new(what: impl Into<String>) -> StoryError {
        StoryError { what: what.into(), source: None }
    }

    fn caused<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> StoryError {
        let what = what.into();
        move |source| StoryError { what, source: Some(source.into()) }
    }
}

type Result<T> = std::result::Result<T, StoryError>;

/// Says what failed, whatever the error.
trait OrFail<T> {
    fn or_fail(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, what: impl Into<String>) -> Result<T> {
        self.map_err(StoryError::caused(what))
    }
}
