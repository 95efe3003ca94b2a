//! The plan's steps and what became of them.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde_json::Value as Json;

use super::chain;
use super::priors::{FoundImage, PriorFate, PriorImage, bytes_of, digest_of, intend_one, remember, settle_prior};
use super::seal::{self, Seal};
use super::{Event, Journal, JournalError, Result};
use crate::model::{Digest, Key, StoreId, Timestamp};

/// A plan as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRecord {
    /// Its number within the session, from 1.
    pub number: i64,
    /// The digest of its steps.
    pub id: Digest,
    /// When it was made.
    pub at: Timestamp,
    /// Counts by store and the resources it is bound to.
    pub summary: Json,
}

/// A step as the journal keeps it: words and digests, no room's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Its place in the plan.
    pub position: i64,
    /// The store.
    pub store: StoreId,
    /// The key.
    pub key: Key,
    /// The key as JSON text.
    pub key_json: String,
    /// The verdict's word.
    pub verdict: String,
    /// The change's word.
    pub change: String,
    /// What the primary held.
    pub expected: Option<Digest>,
    /// What it shall hold.
    pub wanted: Option<Digest>,
    /// Its phase.
    pub phase: i64,
    /// Bytes written.
    pub bytes: u64,
    /// What became of it.
    pub state: StepState,
    /// Why it was refused or is blocked.
    pub reason: Option<String>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not yet done; a write may have been under way when the process ended.
    Open,
    /// Another item stood in the way; tried again together with the others of its phase.
    Blocked,
    /// The primary holds what was wanted.
    Done,
    /// The primary held something else, or the store would not take it.
    Refused,
    /// dr changed since the plan.
    Stale,
}

impl StepState {
    /// All states.
    pub const ALL: [StepState; 5] =
        [StepState::Open, StepState::Blocked, StepState::Done, StepState::Refused, StepState::Stale];

    /// The word in the journal.
    pub fn word(self) -> &'static str {
        match self {
            StepState::Open => "open",
            StepState::Blocked => "blocked",
            StepState::Done => "done",
            StepState::Refused => "refused",
            StepState::Stale => "stale",
        }
    }

    fn from_word(word: &str) -> Option<StepState> {
        StepState::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What became of steps, to be recorded in one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The step's place.
    pub position: i64,
    /// The store.
    pub store: StoreId,
    /// The key.
    pub key: Key,
    /// What became of it.
    pub state: StepState,
    /// What becomes of the prior image.
    pub prior: PriorFate,
    /// Why it was refused or is blocked.
    pub reason: Option<String>,
    /// What a refused write found in its place, where the store told; kept in the history of images.
    pub found: Option<FoundImage>,
}

/// Adds steps and kept items to a plan that is being saved.
pub struct PlanWriter<'a> {
    transaction: &'a Transaction<'a>,
    number: i64,
    position: i64,
    steps_seal: Seal,
    kept_seal: Seal,
}

impl PlanWriter<'_> {
    pub(super) fn transaction(&self) -> &Transaction<'_> {
        self.transaction
    }

    /// Adds one step; its position is given here.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be stored.
    pub fn step(&mut self, step: &StepRow) -> Result<()> {
        self.position += 1;
        let bytes = i64::try_from(step.bytes).unwrap_or(i64::MAX);
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO step (plan, position, store, key, key_json, verdict, change, expected, wanted, phase, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        insert.execute(params![
            self.number,
            self.position,
            step.store.0,
            step.key.as_bytes(),
            step.key_json,
            step.verdict,
            step.change,
            bytes_of(step.expected),
            bytes_of(step.wanted),
            step.phase,
            bytes,
        ])?;
        self.steps_seal.text(&step.store.0).bytes(Some(step.key.as_bytes()));
        self.steps_seal.text(&step.key_json).text(&step.verdict).text(&step.change);
        self.steps_seal.bytes(bytes_of(step.expected).as_deref()).bytes(bytes_of(step.wanted).as_deref());
        self.steps_seal.number(step.phase).number(bytes);
        Ok(())
    }

    /// Adds an item that is held or an accepted difference.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be stored.
    pub fn kept(&mut self, store: &StoreId, key_json: &str, held: bool, body: &Json) -> Result<()> {
        let mut insert = self
            .transaction
            .prepare_cached("INSERT INTO kept (plan, held, store, key_json, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let body = body.to_string();
        insert.execute(params![self.number, held, store.0, key_json, body])?;
        self.kept_seal.number(i64::from(held)).text(&store.0).text(key_json).text(&body);
        Ok(())
    }
}

impl Journal {
    /// Saves a plan in one commit: all of it, or nothing. `fill` adds its steps and gives its id and summary.
    ///
    /// # Errors
    ///
    /// Whatever `fill` gives, and [`JournalError`] when the plan cannot be stored.
    pub fn save_plan<E: From<JournalError>>(
        &self,
        fill: impl FnOnce(&mut PlanWriter<'_>) -> std::result::Result<(Digest, Json), E>,
    ) -> std::result::Result<PlanRecord, E> {
        let mut filled = None;
        let saved = self.commit(|transaction, at| {
            let number: i64 =
                transaction.query_row("SELECT coalesce(max(number), 0) + 1 FROM plan", [], |row| row.get(0))?;
            let mut writer = PlanWriter {
                transaction,
                number,
                position: 0,
                steps_seal: Seal::new("step"),
                kept_seal: Seal::new("kept"),
            };
            match fill(&mut writer) {
                Err(error) => {
                    filled = Some(error);
                    Err(JournalError::Sqlite(rusqlite::Error::ExecuteReturnedResults))
                }
                Ok((id, summary)) => {
                    let seals = (writer.steps_seal.finish(), writer.kept_seal.finish());
                    transaction.execute(
                        "INSERT INTO plan (number, id, at_micros, summary, steps_seal, kept_seal)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        params![number, id.0.as_slice(), at.as_microsecond(), summary.to_string(), seals.0, seals.1],
                    )?;
                    let event = Event::Planned { plan: id, summary: summary.clone() };
                    chain::append(transaction, at, &[event])?;
                    Ok(PlanRecord { number, id, at, summary })
                }
            }
        });
        match filled {
            Some(error) => Err(error),
            None => saved.map_err(E::from),
        }
    }

    /// The newest plan.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be read, or its steps are not what was saved.
    pub fn latest_plan(&self) -> Result<Option<PlanRecord>> {
        let newest = self.plans(1)?.pop();
        newest.iter().try_for_each(|plan| seal::prove_steps(&self.connection(), &self.folder, plan.number))?;
        Ok(newest)
    }

    /// Up to `limit` plans, the newest first.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read.
    pub fn plans(&self, limit: usize) -> Result<Vec<PlanRecord>> {
        let connection = self.connection();
        let mut rows =
            connection.prepare("SELECT number, id, at_micros, summary FROM plan ORDER BY number DESC LIMIT ?1")?;
        let rows = rows.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        rows.map(|row| {
            let (number, id, at, summary): (i64, [u8; 32], i64, String) = row?;
            let at = Timestamp::from_microsecond(at).map_err(|_| self.damaged(format!("plan {number} has no time")))?;
            let summary =
                serde_json::from_str(&summary).map_err(|_| self.damaged(format!("plan {number} is malformed")))?;
            Ok(PlanRecord { number, id: Digest(id), at, summary })
        })
        .collect()
    }

    /// Up to `limit` steps of one store in a state, in the order they are to be done, after `(phase, position)`.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read.
    pub fn steps(
        &self,
        plan: i64,
        store: &StoreId,
        state: StepState,
        after: Option<(i64, i64)>,
        limit: usize,
    ) -> Result<Vec<StepRow>> {
        let connection = self.connection();
        let mut rows = connection.prepare_cached(
            "SELECT position, store, key, key_json, verdict, change, expected, wanted, phase, bytes, state, reason
             FROM step WHERE plan = ?1 AND state = ?2 AND (phase, position) > (?3, ?4) AND store = ?6
             ORDER BY phase, position LIMIT ?5",
        )?;
        let (phase, position) = after.unwrap_or((i64::MIN, i64::MIN));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = rows.query_map(params![plan, state.word(), phase, position, limit, store.0], step_of)?;
        rows.map(|row| row.map_err(JournalError::from)).collect()
    }

    /// The step of a plan for one item.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be read.
    pub fn step(&self, plan: i64, store: &StoreId, key: &Key) -> Result<Option<StepRow>> {
        let connection = self.connection();
        let mut rows = connection.prepare_cached(
            "SELECT position, store, key, key_json, verdict, change, expected, wanted, phase, bytes, state, reason
             FROM step WHERE plan = ?1 AND store = ?2 AND key = ?3",
        )?;
        Ok(rows.query_row(params![plan, store.0, key.as_bytes()], step_of).optional()?)
    }

    /// The keys of items that were ever planned to be written, by store and JSON text: one pass over all steps.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read.
    pub fn step_keys(&self, wanted: &HashSet<(StoreId, String)>) -> Result<HashMap<(StoreId, String), Key>> {
        let connection = self.connection();
        let mut rows = connection.prepare("SELECT store, key_json, key FROM step")?;
        let mut rows = rows.query([])?;
        let mut found = HashMap::new();
        while let Some(row) = rows.next()? {
            let name = (StoreId(row.get(0)?), row.get::<_, String>(1)?);
            if wanted.contains(&name) {
                found.insert(name, Key::from_canonical(row.get::<_, Vec<u8>>(2)?));
            }
        }
        Ok(found)
    }

    /// How many steps of a plan are in each state, by store.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read.
    pub fn step_counts(&self, plan: i64) -> Result<Vec<(StoreId, StepState, u64)>> {
        let connection = self.connection();
        let mut rows = connection.prepare(
            "SELECT store, state, count(*) FROM step WHERE plan = ?1 GROUP BY store, state ORDER BY store, state",
        )?;
        let rows = rows.query_map([plan], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
        rows.map(|row| {
            let (store, state, count): (String, String, i64) = row?;
            let state = StepState::from_word(&state).ok_or_else(|| self.damaged(format!("step state {state}")))?;
            Ok((StoreId(store), state, count.unsigned_abs()))
        })
        .collect()
    }

    /// How many steps of a plan on one store are open.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be counted.
    pub fn open_steps(&self, plan: i64, store: &StoreId) -> Result<u64> {
        let counts = self.step_counts(plan)?.into_iter();
        Ok(counts.filter(|(of, state, _)| of == store && *state == StepState::Open).map(|(.., count)| count).sum())
    }

    /// Gives the held items (`held`) or accepted differences of a plan, one by one as JSON text, of one store or of all;
    /// `told` says whether to go on, and must not use the journal.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when they cannot be read, or are not what was saved.
    pub fn each_kept(
        &self,
        plan: i64,
        store: Option<&StoreId>,
        held: bool,
        mut told: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let connection = self.connection();
        seal::prove_kept(&connection, &self.folder, plan)?;
        let mut rows = connection.prepare(
            "SELECT body FROM kept WHERE plan = ?1 AND held = ?2 AND (?3 IS NULL OR store = ?3) ORDER BY rowid",
        )?;
        let mut rows = rows.query(params![plan, held, store.map(|store| &store.0)])?;
        while let Some(row) = rows.next()? {
            if told(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Makes sure that a plan's held items and accepted differences are those it was saved with.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] when they are not.
    pub fn prove_kept(&self, plan: i64) -> Result<()> {
        seal::prove_kept(&self.connection(), &self.folder, plan)
    }

    /// The item that a plan leaves as it is at a key, and whether it is held, where there is one; [`Journal::prove_kept`]
    /// goes before.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be read.
    pub fn kept_at(&self, plan: i64, store: &StoreId, key_json: &str) -> Result<Option<(bool, Json)>> {
        let connection = self.connection();
        let mut row = connection
            .prepare_cached("SELECT held, body FROM kept WHERE plan = ?1 AND store = ?2 AND key_json = ?3")?;
        let found: Option<(bool, String)> =
            row.query_row(params![plan, store.0, key_json], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((held, body)) = found else { return Ok(None) };
        let body = serde_json::from_str(&body).map_err(|error| self.damaged(format!("a kept item: {error}")))?;
        Ok(Some((held, body)))
    }

    /// Records that steps are about to be written, with their prior images; the first prior image of an item stays.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then none of them may be written.
    pub fn intend(&self, plan: Digest, priors: &[PriorImage]) -> Result<()> {
        self.commit(|transaction, at| {
            for prior in priors {
                intend_one(transaction, prior)?;
            }
            let event = |prior: &PriorImage| Event::Intended {
                plan,
                store: prior.store.clone(),
                key: hex::encode(prior.key.as_bytes()),
                prior: prior.digest,
                wanted: prior.pending.flatten(),
            };
            chain::append(transaction, at, &priors.iter().map(event).collect::<Vec<_>>())
        })
    }

    /// Records what became of steps.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then the steps stay open and are looked at again.
    pub fn settle(&self, plan: i64, settlements: &[Settlement]) -> Result<()> {
        self.commit(|transaction, at| {
            for settlement in settlements {
                transaction.execute(
                    "UPDATE step SET state = ?3, reason = ?4 WHERE plan = ?1 AND position = ?2",
                    params![plan, settlement.position, settlement.state.word(), settlement.reason],
                )?;
                let (store, key) = (&settlement.store.0, settlement.key.as_bytes());
                settle_prior(transaction, store, key, settlement.prior)?;
                if let Some(found) = &settlement.found {
                    remember(transaction, store, key, Some(found.digest), Some(&found.image))?;
                }
            }
            chain::append(transaction, at, &settlements.iter().filter_map(settled_event).collect::<Vec<_>>())
        })
    }

    pub(super) fn damaged(&self, what: String) -> JournalError {
        JournalError::Damaged { folder: self.folder.clone(), what }
    }
}

/// Makes sure that no row is in a state that would hide it from replay and undo.
pub(super) fn prove_states(connection: &Connection, folder: &Path) -> Result<()> {
    for (table, states) in
        [("step", "'open', 'blocked', 'done', 'refused', 'stale'"), ("prior", "'intended', 'written', 'undone'")]
    {
        let sql = format!("SELECT state FROM {table} WHERE state NOT IN ({states}) LIMIT 1");
        if let Some(state) = connection.query_row(&sql, [], |row| row.get::<_, String>(0)).optional()? {
            let what = format!("a {table} has state {state:?}, which does not exist");
            return Err(JournalError::Damaged { folder: folder.to_owned(), what });
        }
    }
    Ok(())
}

fn settled_event(settlement: &Settlement) -> Option<Event> {
    let store = settlement.store.clone();
    let key = hex::encode(settlement.key.as_bytes());
    match settlement.state {
        StepState::Done => Some(Event::Done { store, key }),
        StepState::Refused => {
            Some(Event::Refused { store, key, reason: settlement.reason.clone().unwrap_or_default() })
        }
        StepState::Stale => Some(Event::Stale { store, key }),
        StepState::Open | StepState::Blocked => None,
    }
}

fn step_of(row: &Row<'_>) -> rusqlite::Result<StepRow> {
    let state: String = row.get(10)?;
    Ok(StepRow {
        position: row.get(0)?,
        store: StoreId(row.get(1)?),
        key: Key::from_canonical(row.get::<_, Vec<u8>>(2)?),
        key_json: row.get(3)?,
        verdict: row.get(4)?,
        change: row.get(5)?,
        expected: digest_of(row, 6)?,
        wanted: digest_of(row, 7)?,
        phase: row.get(8)?,
        bytes: row.get::<_, i64>(9)?.unsigned_abs(),
        state: StepState::from_word(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        reason: row.get(11)?,
    })
}
