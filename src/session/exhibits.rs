//! What a report shows beside the session's state: read from the session's files, bounded, and never from a store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;

use super::planning::summary_of;
use super::verifying::signing_key_file;
use super::{NewestKept, Result, Session, SessionState};
use crate::compare::Comparison;
use crate::diff::DeltaLine;
use crate::digest::value_json;
use crate::journal::{Journal, PlanRecord, StepState};
use crate::model::{Key, StoreId};
use crate::plan::Kept;
use crate::profile::Profile;
use crate::replay::decode_image;
use crate::verify::{SignedCertificate, SigningKey, Validated};

/// Refused steps read for a report, of all stores together.
const REFUSED_READ_MAX: usize = 1_000;

/// Delta lines read for a report, of each store.
const DELTA_READ_MAX: usize = 200;

/// Values read for a report, of held, refused and accepted items each.
const VALUES_READ_MAX: usize = 200;

/// A step that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedStep {
    /// The store.
    pub store: StoreId,
    /// The key as a JSON object.
    pub key: Json,
    /// The verdict's word.
    pub verdict: String,
    /// The change's word.
    pub change: String,
    /// Why it was refused.
    pub reason: String,
}

/// The beginning of a delta file.
#[derive(Debug, Clone, PartialEq)]
pub enum DeltaSample {
    /// Its first lines.
    Lines(Vec<DeltaLine>),
    /// It cannot be read; the text says why.
    Unreadable(String),
}

/// A certificate as it was found on disk.
#[derive(Debug, Clone)]
pub enum CertificateFound {
    /// Its signature fits and it does not contradict itself.
    Valid(Box<Validated>),
    /// It cannot be relied on; the text says why.
    Unusable(String),
}

/// A store and a key as JSON text.
pub type ItemName = (StoreId, String);

/// What a report shows beside the session's state.
#[derive(Debug, Clone, Default)]
pub struct Exhibits {
    /// The first refused steps of the newest plan of each store.
    pub refused: Vec<RefusedStep>,
    /// How many there are.
    pub refused_total: u64,
    /// The beginning of each store's newest delta.
    pub delta: BTreeMap<StoreId, DeltaSample>,
    /// The certificate, where there is one.
    pub certificate: Option<CertificateFound>,
    /// The newest image that the journal keeps of listed items of the primary, as JSON; `None` where there was no item.
    /// Empty unless values were asked for.
    pub values: BTreeMap<ItemName, Option<Json>>,
}

/// Whether contents of items are read from the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValuesWanted {
    /// They are.
    Yes,
    /// They are not.
    No,
}

impl Exhibits {
    /// Reads what a report on `state` shows; `listed` are items left as they are, for their values.
    ///
    /// # Errors
    ///
    /// [`super::SessionError`] when the journal cannot be read. A delta or a certificate that cannot be read is told within.
    pub fn read(
        journal: &Journal,
        profile: &Profile,
        state: &SessionState,
        listed: [&[Kept]; 2],
        values: ValuesWanted,
    ) -> Result<Exhibits> {
        let (refused, refused_total) = refused(journal)?;
        let newest = state.newest_comparisons().into_iter();
        let delta = newest.map(|(store, (_, comparison))| (store.clone(), sample(journal.folder(), comparison)));
        let certificate = state.certificate.as_ref().map(|path| certificate(journal.folder(), profile, path.as_ref()));
        let mut exhibits =
            Exhibits { refused, refused_total, delta: delta.collect(), certificate, values: BTreeMap::new() };
        if values == ValuesWanted::Yes {
            exhibits.values = exhibits.read_values(journal, listed)?;
        }
        Ok(exhibits)
    }

    fn read_values(&self, journal: &Journal, listed: [&[Kept]; 2]) -> Result<BTreeMap<ItemName, Option<Json>>> {
        let kept = listed.into_iter().flat_map(|kept| kept.iter().take(VALUES_READ_MAX));
        let kept = kept.map(|kept| (kept.store.clone(), kept.key.to_string()));
        let refused = self.refused.iter().take(VALUES_READ_MAX);
        let refused = refused.map(|step| (step.store.clone(), step.key.to_string()));
        let wanted: HashSet<ItemName> = kept.chain(refused).collect();
        let mut values = BTreeMap::new();
        let names = journal.step_keys(&wanted)?.into_iter();
        let names: HashMap<(StoreId, Key), String> =
            names.map(|((store, key_json), key)| ((store, key), key_json)).collect();
        for (item, image) in journal.newest_images(&names.keys().cloned().collect())? {
            let value = match image.as_deref().map(decode_image) {
                None => None,
                Some(Ok(item)) => Some(value_json(&item.contents)),
                Some(Err(_)) => continue,
            };
            let (store, key_json) = (item.0.clone(), names[&item].clone());
            values.insert((store, key_json), value);
        }
        Ok(values)
    }
}

impl Session {
    /// What a report on this session shows beside its state.
    ///
    /// # Errors
    ///
    /// [`super::SessionError`] when the journal cannot be read.
    pub fn exhibits(&self, kept: &NewestKept, values: ValuesWanted) -> Result<Exhibits> {
        Exhibits::read(&self.journal, &self.profile, &self.state()?, [&kept.held, &kept.accepted], values)
    }
}

/// The newest plan of each store; a plan of some stores only says nothing of the others.
pub(super) fn newest_plans_in_full(journal: &Journal) -> Result<Vec<(PlanRecord, BTreeSet<StoreId>)>> {
    let mut seen = BTreeSet::new();
    let mut newest = Vec::new();
    for plan in journal.plans(usize::MAX)? {
        let stores = summary_of(&plan.summary, journal.folder())?.stores.into_iter().map(|planned| planned.store);
        let stores: BTreeSet<StoreId> = stores.filter(|store| seen.insert(store.clone())).collect();
        if !stores.is_empty() {
            newest.push((plan, stores));
        }
    }
    Ok(newest)
}

fn refused(journal: &Journal) -> Result<(Vec<RefusedStep>, u64)> {
    let (mut steps, mut total) = (Vec::new(), 0);
    for (plan, stores) in newest_plans_in_full(journal)? {
        let counts = journal.step_counts(plan.number)?.into_iter();
        total += counts
            .filter(|(store, state, _)| *state == StepState::Refused && stores.contains(store))
            .map(|(_, _, count)| count)
            .sum::<u64>();
        for store in stores {
            let room = REFUSED_READ_MAX.saturating_sub(steps.len());
            let rows = journal.steps(plan.number, &store, StepState::Refused, None, room)?;
            steps.extend(rows.into_iter().map(|row| RefusedStep {
                store: row.store,
                key: serde_json::from_str(&row.key_json).unwrap_or(Json::String(row.key_json)),
                verdict: row.verdict,
                change: row.change,
                reason: row.reason.unwrap_or_default(),
            }));
        }
    }
    Ok((steps, total))
}

/// A file of the session, found also when the folder was moved or is named from elsewhere.
fn located(folder: &Path, path: &Path) -> PathBuf {
    if path.exists() {
        return path.to_owned();
    }
    let parent = path.parent().and_then(Path::file_name);
    let within = path.file_name().map_or_else(
        || folder.to_owned(),
        |name| match parent {
            Some(parent) if parent == "delta" => folder.join("delta").join(name),
            _ => folder.join(name),
        },
    );
    if within.exists() { within } else { path.to_owned() }
}

/// The delta file of a comparison, found also when the session's folder was moved.
pub fn delta_file(folder: &Path, comparison: &Comparison) -> PathBuf {
    located(folder, &comparison.delta)
}

fn sample(folder: &Path, comparison: &Comparison) -> DeltaSample {
    let read = || -> std::io::Result<Vec<DeltaLine>> {
        let file = BufReader::new(File::open(delta_file(folder, comparison))?);
        let lines = file.lines().take(DELTA_READ_MAX);
        lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
    };
    read().map_or_else(|error| DeltaSample::Unreadable(error.to_string()), DeltaSample::Lines)
}

fn certificate(folder: &Path, profile: &Profile, path: &Path) -> CertificateFound {
    let validated = SignedCertificate::read(&located(folder, path)).and_then(|signed| signed.validate());
    // A session without its key can still be told of; a cutover refuses it.
    let own = SigningKey::load(&signing_key_file(folder, profile)).map(|key| key.public());
    match validated {
        Ok(validated) if own.is_ok_and(|own| own != validated.public_key()) => {
            CertificateFound::Unusable("it is signed by another key than this session's".into())
        }
        Ok(validated) => CertificateFound::Valid(Box::new(validated)),
        Err(error) => CertificateFound::Unusable(error.to_string()),
    }
}

/// What became of the items of a delta: looked up line by line, so that no delta is ever held in memory.
pub struct Fates<'a> {
    journal: &'a Journal,
    plans: HashMap<StoreId, i64>,
}

/// How an item was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptAs {
    /// Held for a person.
    Held,
    /// An accepted difference.
    Accepted,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// No plan is about it.
    Unplanned,
    /// It is a step of the newest plan; the text says why it was refused, blocked or left.
    Step(StepState, String),
    /// The newest plan leaves it; the text says why.
    Kept(KeptAs, String),
}

impl<'a> Fates<'a> {
    /// Reads which items the newest plans leave as they are.
    ///
    /// # Errors
    ///
    /// [`super::SessionError`] when the journal cannot be read.
    pub fn read(journal: &'a Journal) -> Result<Fates<'a>> {
        let mut plans = HashMap::new();
        for (plan, stores) in newest_plans_in_full(journal)? {
            plans.extend(stores.into_iter().map(|store| (store, plan.number)));
        }
        plans.values().try_for_each(|plan| journal.prove_kept(*plan))?;
        Ok(Fates { journal, plans })
    }

    /// What became of the item of one delta line.
    ///
    /// # Errors
    ///
    /// [`super::SessionError`] when the journal cannot be read.
    pub fn of(&self, line: &DeltaLine, key: &Key) -> Result<Fate> {
        if let Some(plan) = self.plans.get(&line.store)
            && let Some(step) = self.journal.step(*plan, &line.store, key)?
        {
            return Ok(Fate::Step(step.state, step.reason.unwrap_or_default()));
        }
        let Some(plan) = self.plans.get(&line.store) else { return Ok(Fate::Unplanned) };
        let Some((held, body)) = self.journal.kept_at(*plan, &line.store, &line.key.to_string())? else {
            return Ok(Fate::Unplanned);
        };
        let reason = body.get("reason").and_then(Json::as_str).unwrap_or_default().to_owned();
        Ok(Fate::Kept(if held { KeptAs::Held } else { KeptAs::Accepted }, reason))
    }
}
