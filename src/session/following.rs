//! Follows a session as its events come, also one that another process leads.

use super::{Result, SessionState};
use crate::journal::{EventRecord, Journal};

/// Events read at a time.
const EVENTS_AT_ONCE: u32 = 5_000;

/// A session's state, kept up to date event by event.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    /// What has happened so far.
    pub state: SessionState,
    seq: i64,
}

impl Follower {
    /// The number of the last event that was folded.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Folds a batch of the events that came since the last call, and gives them; empty when there is none.
    ///
    /// # Errors
    ///
    /// [`super::SessionError`] when the journal cannot be read; what was folded before stays.
    pub fn poll(&mut self, journal: &Journal) -> Result<Vec<EventRecord>> {
        let events = journal.events_after(self.seq, EVENTS_AT_ONCE)?;
        for record in &events {
            self.state.apply(record);
            self.seq = record.seq;
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::Event;
    use crate::model::{Clock, Timestamp};

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    #[test]
    fn a_second_reader_sees_what_the_first_one_writes() {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = Journal::open(folder.path(), Arc::new(Still)).expect("a journal");
        let reader = Journal::read_only(folder.path(), Arc::new(Still)).expect("the same journal");
        let mut follower = Follower::default();
        assert!(follower.poll(&reader).expect("readable").is_empty());
        for number in 1..=3 {
            let began = Event::Ended { command: "check".into(), exit_code: number };
            writer.append(&[began.clone(), began]).expect("appended");
            assert_eq!(follower.poll(&reader).expect("readable").len(), 2);
            assert!(follower.poll(&reader).expect("readable").is_empty());
        }
        let whole = SessionState::of(&writer).expect("readable");
        let both = [&whole, &follower.state].map(|state| serde_json::to_value(state).expect("JSON"));
        assert_eq!(both[0], both[1]);
    }
}
