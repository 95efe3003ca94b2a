//! What persons decided about held items: one event an act, its items as sealed rows.

use std::collections::BTreeSet;

use rusqlite::{Row, Transaction, params};

use super::chain;
use super::priors::{bytes_of, digest_of};
use super::seal::Seal;
use super::{Event, Journal, PlanWriter, Result};
use crate::model::{Digest, StoreId};

/// One item that was decided on, as the person saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    /// The plan that held it.
    pub plan: i64,
    /// The store.
    pub store: StoreId,
    /// The key as JSON text.
    pub key_json: String,
    /// What the primary held.
    pub primary: Option<Digest>,
    /// What dr held.
    pub dr: Option<Digest>,
    /// The ruling's word.
    pub choice: String,
}

/// A decision that stands on an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionOn {
    /// Its number.
    pub number: i64,
    /// The item as it was seen.
    pub row: DecisionRow,
}

/// Adds items to a decision that is being recorded.
pub struct DecisionWriter<'a> {
    transaction: &'a Transaction<'a>,
    number: i64,
    items: u64,
    seal: Seal,
}

impl DecisionWriter<'_> {
    /// Adds the held items of a plan's store that `row_of` makes a row of.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when they cannot be read or stored; [`Journal::prove_kept`] goes before.
    pub fn held(
        &mut self,
        plan: i64,
        store: &StoreId,
        mut row_of: impl FnMut(&str) -> Result<Option<DecisionRow>>,
    ) -> Result<()> {
        let mut rows = self
            .transaction
            .prepare("SELECT body FROM kept WHERE plan = ?1 AND held = 1 AND store = ?2 ORDER BY rowid")?;
        let mut rows = rows.query(params![plan, store.0])?;
        while let Some(row) = rows.next()? {
            if let Some(row) = row_of(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)? {
                self.item(&row)?;
            }
        }
        Ok(())
    }

    /// Adds one item.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when it cannot be stored.
    pub fn item(&mut self, row: &DecisionRow) -> Result<()> {
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO decision (number, plan, store, key_json, primary_digest, dr_digest, choice)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let (primary, dr) = (bytes_of(row.primary), bytes_of(row.dr));
        insert.execute(params![self.number, row.plan, row.store.0, row.key_json, primary, dr, row.choice])?;
        self.items += 1;
        add(&mut self.seal, row);
        Ok(())
    }
}

fn add(seal: &mut Seal, row: &DecisionRow) {
    let DecisionRow { plan, store, key_json, primary, dr, choice } = row;
    seal.number(*plan).text(&store.0).text(key_json);
    seal.bytes(bytes_of(*primary).as_deref()).bytes(bytes_of(*dr).as_deref()).text(choice);
}

impl PlanWriter<'_> {
    /// The newest decision on an item that was not taken back; [`Journal::each_decided`] goes before.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when it cannot be read.
    pub fn decision_on(
        &self,
        store: &StoreId,
        key_json: &str,
        taken_back: &BTreeSet<i64>,
    ) -> Result<Option<DecisionOn>> {
        let mut rows = self.transaction().prepare_cached(&format!(
            "SELECT {COLUMNS}, number FROM decision WHERE store = ?1 AND key_json = ?2 ORDER BY number DESC"
        ))?;
        let rows = rows.query_map(params![store.0, key_json], |row| Ok((row_of(row)?, row.get(6)?)))?;
        for found in rows {
            let (row, number) = found?;
            if !taken_back.contains(&number) {
                return Ok(Some(DecisionOn { number, row }));
            }
        }
        Ok(None)
    }
}

const COLUMNS: &str = "plan, store, key_json, primary_digest, dr_digest, choice";

fn row_of(row: &Row<'_>) -> rusqlite::Result<DecisionRow> {
    Ok(DecisionRow {
        plan: row.get(0)?,
        store: StoreId(row.get(1)?),
        key_json: row.get(2)?,
        primary: digest_of(row, 3)?,
        dr: digest_of(row, 4)?,
        choice: row.get(5)?,
    })
}

impl Journal {
    /// Records a decision in one commit; `fill` adds its items, and `event` makes the event of its number, the number of items
    /// and their seal. Gives the number, or `None` where `fill` added no item: then nothing is recorded.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`]: then nothing was decided.
    pub fn decide(
        &self,
        fill: impl FnOnce(&mut DecisionWriter<'_>) -> Result<()>,
        event: impl FnOnce(i64, u64, String) -> Event,
    ) -> Result<Option<i64>> {
        self.commit(|transaction, at| {
            let number: i64 =
                transaction.query_row("SELECT coalesce(max(number), 0) + 1 FROM decision", [], |row| row.get(0))?;
            let mut writer = DecisionWriter { transaction, number, items: 0, seal: Seal::new("decision") };
            fill(&mut writer)?;
            if writer.items == 0 {
                return Ok(None);
            }
            let seal = hex::encode(writer.seal.finish());
            chain::append(transaction, at, &[event(number, writer.items, seal)])?;
            Ok(Some(number))
        })
    }

    /// The choice of the newest standing decision on an item that a plan holds, made on that plan.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when it cannot be read.
    pub fn choice_on(
        &self,
        plan: i64,
        store: &StoreId,
        key_json: &str,
        taken_back: &BTreeSet<i64>,
    ) -> Result<Option<String>> {
        let connection = self.connection();
        // A file of an older format that is only read has no such table.
        if !super::schema::has_decisions(&connection)? {
            return Ok(None);
        }
        let mut rows = connection.prepare_cached(
            "SELECT number, choice FROM decision WHERE store = ?1 AND key_json = ?2 AND plan = ?3 ORDER BY number DESC",
        )?;
        let rows = rows.query_map(params![store.0, key_json, plan], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for found in rows {
            let (number, choice): (i64, String) = found?;
            if !taken_back.contains(&number) {
                return Ok(Some(choice));
            }
        }
        Ok(None)
    }

    /// The number that the next decision will have.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when it cannot be read.
    pub fn next_decision(&self) -> Result<i64> {
        let next = "SELECT coalesce(max(number), 0) + 1 FROM decision";
        Ok(self.connection().query_row(next, [], |row| row.get(0))?)
    }

    /// How many held items of a plan's store no standing decision that was made on this plan is about.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when they cannot be read.
    pub fn undecided(&self, plan: i64, store: &StoreId, taken_back: &BTreeSet<i64>) -> Result<u64> {
        let connection = self.connection();
        let held = "SELECT count(*) FROM kept WHERE plan = ?1 AND held = 1 AND store = ?2";
        let held: i64 = connection.query_row(held, params![plan, store.0], |row| row.get(0))?;
        // A file of an older format that is only read has no such table.
        if held == 0 || !super::schema::has_decisions(&connection)? {
            return Ok(held.unsigned_abs());
        }
        let numbers = taken_back.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let decided = format!(
            "SELECT count(DISTINCT key_json) FROM decision WHERE plan = ?1 AND store = ?2 AND number NOT IN ({numbers})"
        );
        let decided: i64 = connection.query_row(&decided, params![plan, store.0], |row| row.get(0))?;
        Ok(held.saturating_sub(decided).unsigned_abs())
    }

    /// Up to `limit` held items of a plan's store as JSON text with their places, after a place; [`Journal::prove_kept`] goes before.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when they cannot be read.
    pub fn held_after(&self, plan: i64, store: &StoreId, after: i64, limit: usize) -> Result<Vec<(i64, String)>> {
        let connection = self.connection();
        let mut rows = connection.prepare_cached(
            "SELECT rowid, body FROM kept WHERE plan = ?1 AND held = 1 AND store = ?2 AND rowid > ?3
             ORDER BY rowid LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = rows.query_map(params![plan, store.0, after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| Ok(row?)).collect()
    }

    /// How many items of a decision were written by a replay that rests on it, or may have been when it was cut off, and were not
    /// put back since.
    ///
    /// # Errors
    ///
    /// [`super::JournalError`] when that cannot be read.
    pub fn carried_out(&self, number: i64) -> Result<u64> {
        let written = "
            SELECT count(DISTINCT decision.rowid) FROM decision
            JOIN step ON step.store = decision.store AND step.key_json = decision.key_json AND step.plan > decision.plan
                AND step.expected IS decision.primary_digest AND step.wanted IS decision.dr_digest
            JOIN prior ON prior.store = step.store AND prior.key = step.key
            WHERE decision.number = ?1 AND decision.choice != 'primary'
                AND ((step.state = 'done' AND prior.state = 'written') OR (step.state != 'done' AND prior.is_pending = 1))";
        let count: i64 = self.connection().query_row(written, [number], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Gives the items of a decision one by one, and makes sure that they are those it was recorded with.
    ///
    /// # Errors
    ///
    /// [`super::JournalError::Damaged`] when they are not; some may have been given by then.
    pub fn each_decided(&self, number: i64, seal: &str, mut told: impl FnMut(DecisionRow)) -> Result<()> {
        let connection = self.connection();
        let sql = format!("SELECT {COLUMNS} FROM decision WHERE number = ?1 ORDER BY rowid");
        let mut rows = connection.prepare_cached(&sql)?;
        let mut found = Seal::new("decision");
        for row in rows.query_map([number], row_of)? {
            let row = row?;
            add(&mut found, &row);
            told(row);
        }
        match hex::encode(found.finish()) == seal {
            true => Ok(()),
            false => Err(self.damaged(format!("the items of decision {number} are not what was recorded"))),
        }
    }
}
