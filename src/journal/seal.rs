//! Seals over rows that never change once they are written: SQLite tells a damaged page by its structure only.

use std::path::Path;

use rusqlite::{Connection, Row, params};

use super::{JournalError, Result};

/// Hashes columns, each with its length.
pub(super) struct Seal(blake3::Hasher);

impl Seal {
    pub fn new(rows: &str) -> Seal {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"failback seal 1\0").update(rows.as_bytes());
        Seal(hasher)
    }

    pub fn bytes(&mut self, column: Option<&[u8]>) -> &mut Seal {
        let length = column.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.0.update(&length.to_le_bytes()).update(column.unwrap_or_default());
        self
    }

    pub fn text(&mut self, column: &str) -> &mut Seal {
        self.bytes(Some(column.as_bytes()))
    }

    pub fn number(&mut self, column: i64) -> &mut Seal {
        self.bytes(Some(&column.to_le_bytes()))
    }

    pub fn finish(&self) -> Vec<u8> {
        self.0.finalize().as_bytes().to_vec()
    }
}

/// The seal of one prior image.
pub(super) fn of_prior(store: &str, key: &[u8], digest: Option<&[u8]>, image: Option<&[u8]>) -> Vec<u8> {
    Seal::new("prior").text(store).bytes(Some(key)).bytes(digest).bytes(image).finish()
}

/// Makes sure that a plan's steps are those it was saved with.
pub(super) fn prove_steps(connection: &Connection, folder: &Path, plan: i64) -> Result<()> {
    let mut seal = Seal::new("step");
    let steps = "SELECT store, key, key_json, verdict, change, expected, wanted, phase, bytes FROM step
                 WHERE plan = ?1 ORDER BY position";
    each(connection, steps, plan, |row| {
        seal.text(row.get_ref(0)?.as_str()?).bytes(row.get_ref(1)?.as_blob_or_null()?);
        for column in 2..=4 {
            seal.text(row.get_ref(column)?.as_str()?);
        }
        seal.bytes(row.get_ref(5)?.as_blob_or_null()?).bytes(row.get_ref(6)?.as_blob_or_null()?);
        seal.number(row.get(7)?).number(row.get(8)?);
        Ok(())
    })?;
    compare(connection, folder, plan, "steps_seal", &seal)
}

/// Makes sure that a plan's held items and accepted differences are those it was saved with.
pub(super) fn prove_kept(connection: &Connection, folder: &Path, plan: i64) -> Result<()> {
    let mut seal = Seal::new("kept");
    each(connection, "SELECT held, store, key_json, body FROM kept WHERE plan = ?1 ORDER BY rowid", plan, |row| {
        seal.number(row.get(0)?).text(row.get_ref(1)?.as_str()?);
        seal.text(row.get_ref(2)?.as_str()?).text(row.get_ref(3)?.as_str()?);
        Ok(())
    })?;
    compare(connection, folder, plan, "kept_seal", &seal)
}

fn each(
    connection: &Connection,
    sql: &str,
    plan: i64,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> Result<()> {
    let mut rows = connection.prepare_cached(sql)?;
    let mut rows = rows.query([plan])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

fn compare(connection: &Connection, folder: &Path, plan: i64, column: &str, seal: &Seal) -> Result<()> {
    let sql = format!("SELECT {column} FROM plan WHERE number = ?1");
    let sealed: Vec<u8> = connection.query_row(&sql, params![plan], |row| row.get(0))?;
    if sealed == seal.finish() {
        return Ok(());
    }
    let what = match column {
        "steps_seal" => format!("the steps of plan {plan} are not what was saved"),
        _ => format!("the held items and accepted differences of plan {plan} are not what was saved"),
    };
    Err(JournalError::Damaged { folder: folder.to_owned(), what })
}
