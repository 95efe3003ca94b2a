//! The machine's clock, read in one place.

use crate::model::{Clock, Timestamp};

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock enters")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
