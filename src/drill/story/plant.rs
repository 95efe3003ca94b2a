//! What is planted: every item's fate, and with it its verdict and the contents it must end with.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;

use super::judge::differences;
use super::shop::{self, Catalogue};
use crate::model::{StoreKind, Value, Verdict};

/// The smallest story that still holds every fate below the deletion limit.
const ITEMS_MIN: usize = 200;

/// How large the story is and which of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Items on each side, over all stores; at least 200 are planted.
    pub items: usize,
    /// The seed.
    pub seed: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Scale { items: 2_000, seed: 1 }
    }
}

/// What happens to one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nothing.
    Untouched,
    /// dr changes it.
    DrUpdate,
    /// dr makes it.
    DrInsert,
    /// dr deletes it.
    DrDelete,
    /// dr writes the same contents again: not a change.
    DrRewrite,
    /// dr changes the metadata of an object only.
    DrMetadata,
    /// dr changes the tags of an object only.
    DrTags,
    /// dr exchanges a unique value between two rows.
    DrSwap,
    /// The primary changed it and that never replicated.
    StrandedUpdate,
    /// The primary made it and that never replicated.
    StrandedInsert,
    /// The primary deleted it and that never replicated.
    StrandedDelete,
    /// Both change it, differently.
    ConflictUpdate,
    /// Both make it, differently.
    ConflictInsert,
    /// The primary changed it, dr deletes it.
    ConflictDelete,
    /// Both change it to the same.
    ConvergedUpdate,
    /// Both make the same.
    ConvergedInsert,
    /// Both delete it.
    ConvergedDelete,
    /// It expired; only dr has removed it.
    ExpiredOnPrimary,
    /// It expired; only the primary has removed it.
    ExpiredOnDr,
    /// It expired and neither side has removed it yet.
    ExpiredOnBoth,
    /// dr changes it after the first pass.
    LateUpdate,
    /// dr makes it after the first pass.
    LateInsert,
    /// dr deletes it after the first pass.
    LateDelete,
    /// dr changes it in the outage, and again after the first pass.
    LateAgain,
}

/// Which contents of an item: each version of an item differs from all others.
pub(super) type Version = u8;
pub(super) const SEEDED: Version = 0;
pub(super) const BY_PRIMARY: Version = 1;
pub(super) const BY_DR: Version = 2;
pub(super) const LATE: Version = 3;
pub(super) const METADATA: Version = 4;
pub(super) const TAGS: Version = 5;
pub(super) const SWAPPED: Version = 6;

/// The versions of an item in the course of the story.
#[derive(Debug, Clone, Copy)]
struct Course {
    base: Option<Version>,
    primary: Option<Version>,
    dr: Option<Version>,
    /// What dr holds after the late business.
    late: Option<Version>,
    verdict: Verdict,
}

impl Fate {
    fn course(self) -> Course {
        use Verdict::{Conflict, Converged, DrOnly, Expired, Stranded, Unchanged};
        let course = |base, primary, dr, verdict| Course { base, primary, dr, late: dr, verdict };
        let late = |base, dr, late, verdict| Course { base, primary: base, dr, late, verdict };
        let (seeded, by_primary, by_dr) = (Some(SEEDED), Some(BY_PRIMARY), Some(BY_DR));
        match self {
            Fate::Untouched | Fate::DrRewrite | Fate::ExpiredOnBoth => course(seeded, seeded, seeded, Unchanged),
            Fate::DrUpdate => course(seeded, seeded, by_dr, DrOnly),
            Fate::DrInsert => course(None, None, by_dr, DrOnly),
            Fate::DrDelete => course(seeded, seeded, None, DrOnly),
            Fate::DrMetadata => course(seeded, seeded, Some(METADATA), DrOnly),
            Fate::DrTags => course(seeded, seeded, Some(TAGS), DrOnly),
            Fate::DrSwap => course(seeded, seeded, Some(SWAPPED), DrOnly),
            Fate::StrandedUpdate => course(seeded, by_primary, seeded, Stranded),
            Fate::StrandedInsert => course(None, by_primary, None, Stranded),
            Fate::StrandedDelete => course(seeded, None, seeded, Stranded),
            Fate::ConflictUpdate => course(seeded, by_primary, by_dr, Conflict),
            Fate::ConflictInsert => course(None, by_primary, by_dr, Conflict),
            Fate::ConflictDelete => course(seeded, by_primary, None, Conflict),
            Fate::ConvergedUpdate => course(seeded, by_dr, by_dr, Converged),
            Fate::ConvergedInsert => course(None, by_dr, by_dr, Converged),
            Fate::ConvergedDelete => course(seeded, None, None, Converged),
            Fate::ExpiredOnPrimary => course(seeded, seeded, None, Expired),
            Fate::ExpiredOnDr => course(seeded, None, seeded, Expired),
            Fate::LateUpdate => late(seeded, seeded, Some(LATE), Unchanged),
            Fate::LateInsert => late(None, None, Some(LATE), Unchanged),
            Fate::LateDelete => late(seeded, seeded, None, Unchanged),
            Fate::LateAgain => late(seeded, by_dr, Some(LATE), DrOnly),
        }
    }

    /// Whether the item's seeded contents are past their expiry.
    pub(super) fn is_expired(self) -> bool {
        matches!(self, Fate::ExpiredOnPrimary | Fate::ExpiredOnDr | Fate::ExpiredOnBoth)
    }
}

/// What the primary must hold at the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// Exactly this, or nothing.
    Exactly(Option<Value>),
    /// This, or nothing: it has expired.
    MayExpire(Value),
}

/// One item and its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Planted {
    /// Its key.
    pub key: Value,
    /// What happens to it.
    pub fate: Fate,
    /// What both sides hold at the start.
    pub base: Option<Value>,
    /// What the primary holds after the disaster.
    pub primary: Option<Value>,
    /// What dr holds after the outage's business.
    pub dr: Option<Value>,
    /// What dr holds after the late business.
    pub late: Option<Value>,
    /// What a comparison after the outage's business must say.
    pub verdict: Verdict,
    /// What the primary must hold at the end.
    pub wanted: Wanted,
}

/// All items of one store, parents before children.
#[derive(Debug, Clone)]
pub struct PlantedStore {
    /// The store's name in the profile.
    pub name: &'static str,
    /// What it is on real servers.
    pub kind: StoreKind,
    /// Its items.
    pub items: Vec<Planted>,
}

impl PlantedStore {
    /// What a comparison after the outage must find, in words.
    pub fn differences(&self) -> String {
        differences(|verdict| self.items.iter().filter(|item| item.verdict == verdict).count())
    }

    /// How many items dr writes after the first replay.
    pub fn late(&self) -> usize {
        self.items.iter().filter(|item| item.dr != item.late).count()
    }
}

/// Who wins a conflict in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Winner {
    Primary,
    Dr,
}

/// Every store of the story, with who wins its conflicts where no person decides them.
pub(super) const WINNERS: [(&str, Winner); 3] =
    [("orders", Winner::Dr), ("media", Winner::Primary), ("ledger", Winner::Dr)];

/// Plants the whole story.
pub(super) fn plant(scale: Scale, expired_at: i64) -> [PlantedStore; 3] {
    let items = scale.items.max(ITEMS_MIN);
    let mut random = ChaCha12Rng::seed_from_u64(scale.seed);
    let mut store = |(name, winner): (&'static str, Winner), kind, catalogues: &[(&dyn Catalogue, usize)]| {
        let planted =
            catalogues.iter().flat_map(|(catalogue, count)| plant_all(*catalogue, *count, winner, &mut random));
        PlantedStore { name, kind, items: planted.collect() }
    };
    let seed = scale.seed;
    let [orders, media, ledger] = WINNERS;
    let mut stores = [
        store(orders, StoreKind::DynamoDb, &[(&shop::Orders { seed, expired_at }, items / 2)]),
        store(media, StoreKind::S3, &[(&shop::Media { seed }, items / 10)]),
        store(
            ledger,
            StoreKind::Postgres,
            &[
                (&shop::Accounts { seed }, items / 10),
                (&shop::Entries { seed }, items / 4),
                (&shop::Prices { seed }, items / 20),
            ],
        ),
    ];
    link_entries(&mut stores[2].items);
    stores
}

/// Gives every entry an account that exists wherever and whenever the entry does.
fn link_entries(rows: &mut [Planted]) {
    let ids_by_fate = |wanted: Fate| -> Vec<Value> {
        let matching = rows.iter().filter(|row| row.fate == wanted && shop::table_of(&row.key) == "public.account");
        matching.filter_map(|row| shop::column_of(&row.key, "id")).collect()
    };
    let steady = ids_by_fate(Fate::Untouched);
    let new = [Fate::DrInsert, Fate::StrandedInsert, Fate::LateInsert].map(|fate| (fate, ids_by_fate(fate)));
    let entries = rows.iter_mut().filter(|row| shop::table_of(&row.key) == "public.entry");
    for (number, entry) in entries.enumerate() {
        let own = new.iter().find(|(fate, ids)| *fate == entry.fate && !ids.is_empty());
        let accounts = own.map_or(&steady, |(_, ids)| ids);
        let account = &accounts[number % accounts.len()];
        let wanted = match &mut entry.wanted {
            Wanted::Exactly(wanted) => wanted.as_mut(),
            Wanted::MayExpire(wanted) => Some(wanted),
        };
        let states = [entry.base.as_mut(), entry.primary.as_mut(), entry.dr.as_mut(), entry.late.as_mut(), wanted];
        for columns in states.into_iter().flatten() {
            if let Value::Map(columns) = columns {
                columns.insert("account_id".into(), account.clone());
            }
        }
    }
}

fn plant_all(catalogue: &dyn Catalogue, count: usize, winner: Winner, random: &mut ChaCha12Rng) -> Vec<Planted> {
    let mut fates = Vec::with_capacity(count);
    for (fate, per_mille) in catalogue.fates() {
        let share = if *fate == Fate::DrSwap { 2 } else { (count * per_mille / 1000).max(1) };
        fates.extend(std::iter::repeat_n(*fate, share));
    }
    fates.resize(fates.len().max(count), Fate::Untouched);
    fates.shuffle(random);
    let swapped: Vec<usize> = positions(&fates, Fate::DrSwap);
    let plant_one = |(number, fate): (usize, &Fate)| {
        let partner = swapped.iter().copied().find(|other| *other != number);
        planted(catalogue, number, *fate, partner, winner)
    };
    fates.iter().enumerate().map(plant_one).collect()
}

fn positions(fates: &[Fate], wanted: Fate) -> Vec<usize> {
    fates.iter().enumerate().filter(|(_, fate)| **fate == wanted).map(|(number, _)| number).collect()
}

fn planted(catalogue: &dyn Catalogue, number: usize, fate: Fate, partner: Option<usize>, winner: Winner) -> Planted {
    let Course { base, primary, dr, late, verdict } = fate.course();
    let contents = |version: Option<Version>| Some(catalogue.contents(number, version?, fate, partner));
    let (base, primary, dr, late) = (contents(base), contents(primary), contents(dr), contents(late));
    let wanted = match (verdict, &primary) {
        (Verdict::Stranded, _) => Wanted::Exactly(primary.clone()),
        (Verdict::Conflict, _) if winner == Winner::Primary => Wanted::Exactly(primary.clone()),
        (Verdict::Expired, Some(expired)) => Wanted::MayExpire(expired.clone()),
        (Verdict::Expired, None) => Wanted::Exactly(None),
        _ => Wanted::Exactly(late.clone()),
    };
    Planted { key: catalogue.key(number), fate, base, primary, dr, late, verdict, wanted }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::digest::encode;

    #[test]
    fn one_seed_tells_one_story_and_another_another() {
        let keys =
            |seed| plant(Scale { items: 400, seed }, 0)[0].items.iter().map(|item| item.fate).collect::<Vec<_>>();
        assert_eq!(keys(7), keys(7));
        assert_ne!(keys(7), keys(8));
    }

    #[test]
    fn the_smallest_story_holds_every_difference_in_every_store() {
        for store in plant(Scale { items: 1, seed: 3 }, 0) {
            let keys: BTreeSet<_> = store.items.iter().map(|item| encode(&item.key)).collect();
            assert_eq!(keys.len(), store.items.len(), "{}", store.name);
            for verdict in [Verdict::DrOnly, Verdict::Stranded, Verdict::Conflict, Verdict::Converged] {
                assert!(store.items.iter().any(|item| item.verdict == verdict), "{} lacks {verdict}", store.name);
            }
            let primary = store.items.iter().filter(|item| item.primary.is_some()).count();
            let deleted = store.items.iter().filter(|item| item.primary.is_some() && item.late.is_none()).count();
            assert!(deleted * 5 < primary, "{}: {deleted} of {primary} would be deleted", store.name);
        }
    }

    #[test]
    fn a_verdict_is_what_its_three_states_say() {
        for store in plant(Scale { items: 2_000, seed: 5 }, 0) {
            for Planted { base, primary, dr, verdict, fate, .. } in store.items {
                let said = match (base == primary, base == dr, primary == dr) {
                    (true, true, _) => Verdict::Unchanged,
                    (true, false, _) => Verdict::DrOnly,
                    (false, true, _) => Verdict::Stranded,
                    (false, false, true) => Verdict::Converged,
                    (false, false, false) => Verdict::Conflict,
                };
                assert!(said == verdict || verdict == Verdict::Expired, "{fate:?}: {said} is not {verdict}");
            }
        }
    }
}
