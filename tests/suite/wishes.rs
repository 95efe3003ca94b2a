//! Rows to be brought to a primary, each with what the primary holds now.

use failback::model::{Item, Key};
use failback::store::{Depth, Expected, GuardedWrite, Outcome, ReadStore, Result, Wanted, WriteStore};

/// A row to be brought to a primary, with what the primary holds now.
pub struct Wish {
    pub key: Key,
    pub now: Option<Item>,
    pub wanted: Option<Item>,
}

/// What both sides hold under `keys`.
pub async fn wishes(primary: &dyn ReadStore, dr: &dyn ReadStore, keys: &[Key]) -> Vec<Wish> {
    let now = primary.fetch(keys, Depth::Content).await.expect("rows of the primary");
    let wanted = dr.fetch(keys, Depth::Content).await.expect("rows of dr");
    let both = now.into_iter().zip(wanted);
    keys.iter().zip(both).map(|(key, (now, wanted))| Wish { key: key.clone(), now, wanted }).collect()
}

/// Writes them, guarded by what the primary held.
pub async fn try_to_apply(primary: &dyn WriteStore, dr: &dyn ReadStore, wishes: &[Wish]) -> Result<Vec<Outcome>> {
    let writes: Vec<GuardedWrite<'_>> = wishes
        .iter()
        .map(|wish| GuardedWrite {
            key: &wish.key,
            expected: wish.now.as_ref().map_or(Expected::Absent, Expected::Present),
            wanted: wish.wanted.as_ref().map_or(Wanted::Absent, |item| Wanted::Present { item, body: dr }),
        })
        .collect();
    primary.apply(&writes).await
}

/// As [`try_to_apply`], which must come to outcomes.
pub async fn apply(primary: &dyn WriteStore, dr: &dyn ReadStore, wishes: &[Wish]) -> Vec<Outcome> {
    try_to_apply(primary, dr, wishes).await.expect("outcomes")
}
