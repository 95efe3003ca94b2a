//! The delta as a table: one line an item, with what became of it.

use std::io::Write;

use super::disclosure::{Disclosure, shown_key};
use crate::diff::DeltaLine;
use crate::session::{Fate, KeptAs};

/// The columns.
pub const CSV_COLUMNS: [&str; 6] = ["store", "key", "verdict", "change", "state", "reason"];

/// Writes the table line by line; nothing is held in memory.
pub struct DeltaTable<W: Write> {
    table: csv::Writer<W>,
    disclosure: Disclosure,
}

impl<W: Write> DeltaTable<W> {
    /// A table with its header.
    ///
    /// # Errors
    ///
    /// [`csv::Error`] when it cannot be written.
    pub fn new(output: W, disclosure: Disclosure) -> Result<DeltaTable<W>, csv::Error> {
        let mut table = csv::Writer::from_writer(output);
        table.write_record(CSV_COLUMNS)?;
        Ok(DeltaTable { table, disclosure })
    }

    /// Adds one item.
    ///
    /// # Errors
    ///
    /// [`csv::Error`] when it cannot be written.
    pub fn add(&mut self, line: &DeltaLine, fate: &Fate) -> Result<(), csv::Error> {
        let key = shown_key(&line.key, self.disclosure.keys).to_string();
        let (state, reason) = match fate {
            Fate::Unplanned => ("unplanned", ""),
            Fate::Step(state, reason) => (state.word(), reason.as_str()),
            Fate::Kept(KeptAs::Held, reason) => ("held", reason.as_str()),
            Fate::Kept(KeptAs::Accepted, reason) => ("accepted", reason.as_str()),
        };
        self.table.write_record([&line.store.0, &key, line.verdict.word(), line.change.word(), state, reason])
    }

    /// Ends the table.
    ///
    /// # Errors
    ///
    /// [`csv::Error`] when it cannot be written.
    pub fn end(mut self) -> Result<(), csv::Error> {
        Ok(self.table.flush()?)
    }
}
