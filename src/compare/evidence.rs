//! What the stores' change logs tell of single items, asked for only when a verdict can gain by it.
//!
//! Two things are proved here and nowhere else: what the primary held at Tb, where its own log reaches back so far without a
//! gap; and that an item that dr no longer has was removed by its time to live. What a log does not tell stays unknown.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use tokio::sync::OnceCell;

use super::lost::{LostWrites, lost_by_streams};
use crate::diff::BaseState;
use crate::digest::key_json;
use crate::model::{Clock, Digest, Item, Key, Timestamp};
use crate::store::{ChangeRecord, Changes, History, Image, ReadStore, StorePair};

/// How far a log's instants may be from Tb before they tell on which side of it a change was: a log tells whole seconds, and
/// a service's clock is not the operator's.
const DOUBT: SignedDuration = SignedDuration::from_secs(60);

/// What a log told.
enum Told {
    /// Nothing that can be relied on; why, in words.
    Nothing(String),
    /// All of it since an instant.
    All { whole_since: Option<Timestamp>, keys: BTreeMap<Key, Vec<ChangeRecord>> },
}

/// The logs of both sides, read when they are first needed.
pub(super) struct Evidence<'a> {
    pair: &'a StorePair,
    clock: &'a dyn Clock,
    /// Whether the logs may be asked at all.
    is_open: bool,
    /// Tb, where differences without a base are to be attributed.
    attribute_since: Option<Timestamp>,
    primary: OnceCell<Told>,
    dr: OnceCell<Told>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(
        pair: &'a StorePair,
        clock: &'a dyn Clock,
        is_open: bool,
        attribute_since: Option<Timestamp>,
    ) -> Evidence<'a> {
        Evidence { pair, clock, is_open, attribute_since, primary: OnceCell::new(), dr: OnceCell::new() }
    }

    /// What the primary held at Tb, by its own log; unknown where that does not reach back or does not tell.
    pub(super) async fn base_of(&self, key: &Key, primary: &Option<Item>) -> BaseState {
        let Some(since) = self.attribute_since.filter(|_| self.is_open) else { return BaseState::Unknown };
        match self.told_by_primary().await {
            Told::All { whole_since: Some(whole), keys } if reaches(*whole, since) => {
                let records = keys.get(key).map(Vec::as_slice).unwrap_or_default();
                state_at(since, records, primary.as_ref().map(|item| item.digest))
            }
            Told::All { .. } | Told::Nothing(_) => BaseState::Unknown,
        }
    }

    /// Whether dr's log proves that what the primary still holds is what dr lost by its time to live.
    pub(super) async fn is_expired_on_dr(&self, key: &Key, primary: &Option<Item>) -> bool {
        let Some(primary) = primary.as_ref().filter(|_| self.is_open) else { return false };
        let Told::All { keys, .. } = self.told_by_dr().await else { return false };
        let last = keys.get(key).and_then(|records| records.last());
        last.is_some_and(|last| {
            last.by_expiry && matches!(last.before, Image::Present(digest) if primary.is_proved_by(&digest))
        })
    }

    /// Tb, where the primary's log attributed differences; an error says why it could not; `None` where it was not asked.
    pub(super) fn attributed(&self) -> Option<Result<Timestamp, String>> {
        let since = self.attribute_since?;
        Some(match self.primary.get()? {
            Told::All { whole_since: Some(whole), .. } if reaches(*whole, since) => Ok(since),
            Told::All { whole_since: Some(whole), .. } => Err(format!("it begins at {whole}, too late for {since}")),
            Told::All { whole_since: None, .. } => Err("it does not tell when it begins".into()),
            Told::Nothing(why) => Err(why.clone()),
        })
    }

    /// The writes that either side lost to the other, where both are replicas of one global table and their logs tell.
    pub(super) async fn lost_writes(&self) -> Option<LostWrites> {
        if !self.is_open {
            return None;
        }
        let (primary, dr) = (self.told_by_primary().await, self.told_by_dr().await);
        let (
            Told::All { whole_since: Some(primary_since), keys: on_primary },
            Told::All { whole_since: Some(dr_since), keys: on_dr },
        ) = (primary, dr)
        else {
            return None;
        };
        let kind = self.pair.primary.kind();
        Some(lost_by_streams((on_primary, *primary_since), (on_dr, *dr_since), &|key| key_json(kind, key)))
    }

    async fn told_by_dr(&self) -> &Told {
        self.dr.get_or_init(|| self.read(self.pair.dr.as_ref())).await
    }

    async fn told_by_primary(&self) -> &Told {
        self.primary.get_or_init(|| self.read(self.pair.primary.as_ref() as &dyn ReadStore)).await
    }

    async fn read(&self, store: &dyn ReadStore) -> Told {
        match store.history(self.clock.now()).await {
            Ok(History { whole_since, changes: Changes::All(set) }) => Told::All { whole_since, keys: set.keys },
            Ok(History { changes: Changes::Gap(why) | Changes::NoLog(why), .. }) => Told::Nothing(why),
            Err(error) => Told::Nothing(error.to_string()),
        }
    }
}

/// Whether a log that is whole since an instant has everything since another, with room for doubt.
fn reaches(whole_since: Timestamp, since: Timestamp) -> bool {
    since.duration_since(whole_since) >= DOUBT
}

/// What a key held at `since`, from all of its changes around and after it and from what is there now.
fn state_at(since: Timestamp, records: &[ChangeRecord], now: Option<Digest>) -> BaseState {
    let state = |told: Option<Digest>| told.map_or(BaseState::Absent, BaseState::Present);
    let mut later = None;
    for record in records {
        match record.at.map(|at| at.duration_since(since)) {
            Some(after) if after <= -DOUBT => {}
            Some(after) if after > DOUBT => {
                later = later.or(Some(record));
            }
            // Too near to tell on which side of Tb it was, or without a time.
            Some(_) | None => return BaseState::Unknown,
        }
    }
    match later {
        None => state(now),
        Some(first) => first.before.told().map_or(BaseState::Unknown, state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn record(at_text: &str, before: Image, after: Image) -> ChangeRecord {
        ChangeRecord { at: Some(at(at_text)), before, after, by_expiry: false }
    }

    #[test]
    fn the_state_at_tb_is_what_the_first_change_after_it_replaced() {
        let tb = at("2026-11-22T03:10:00Z");
        let [one, two, three] = [1, 2, 3].map(|n| Digest([n; 32]));
        let (before, later) = ("2026-11-22T02:00:00Z", "2026-11-22T04:00:00Z");
        let image = Image::Present;
        assert_eq!(state_at(tb, &[], Some(one)), BaseState::Present(one), "untouched since");
        assert_eq!(state_at(tb, &[], None), BaseState::Absent);
        let earlier = record(before, image(two), image(one));
        assert_eq!(state_at(tb, &[earlier], Some(one)), BaseState::Present(one));
        let updates = [earlier, record(later, image(one), image(two)), record(later, image(two), image(three))];
        assert_eq!(state_at(tb, &updates, Some(three)), BaseState::Present(one));
        assert_eq!(state_at(tb, &[record(later, Image::Absent, image(two))], Some(two)), BaseState::Absent);
        assert_eq!(state_at(tb, &[record(later, Image::Untold, image(two))], Some(two)), BaseState::Unknown);
    }

    #[test]
    fn what_is_too_near_to_tb_or_has_no_time_tells_nothing() {
        let tb = at("2026-11-22T03:10:00Z");
        for near in ["2026-11-22T03:09:01Z", "2026-11-22T03:10:00Z", "2026-11-22T03:11:00Z"] {
            let records = [record(near, Image::Absent, Image::Untold)];
            assert_eq!(state_at(tb, &records, None), BaseState::Unknown, "{near}");
        }
        let untimed = ChangeRecord { at: None, ..record("2026-11-22T04:00:00Z", Image::Absent, Image::Untold) };
        assert_eq!(state_at(tb, &[untimed], None), BaseState::Unknown);
        assert!(!reaches(at("2026-11-22T03:09:01Z"), tb) && reaches(at("2026-11-22T03:09:00Z"), tb));
    }
}
