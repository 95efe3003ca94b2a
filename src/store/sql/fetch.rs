//! Rows by key: which tables keys are of, and how many go into one query.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;

use super::guard::{RowTable, no_such_key, no_such_table};
use super::row;
use crate::model::{Item, Key, Value};
use crate::store::Result;

/// Whether rows stay as they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Lock {
    None,
    /// Until the transaction ends.
    Held,
}

/// One connection that rows are read over.
#[async_trait]
pub(in crate::store) trait Reads: Send {
    type Table: RowTable;

    /// Keys asked for in one query.
    const KEYS_MAX: usize;

    /// The covered table of that name.
    fn find(&self, name: &str) -> Option<Arc<Self::Table>>;

    /// Reads the rows of keys of one table; what is found may hold others.
    async fn keyed(
        &mut self,
        table: &Self::Table,
        keys: &[Vec<<Self::Table as RowTable>::KeyCell>],
        lock: Lock,
    ) -> Result<Vec<Item>>;

    /// Reads the rows of a table without a primary key: they are found by their digest, so all of them are read.
    async fn repeated(&mut self, table: &Self::Table, wanted: &[&Key]) -> Result<Vec<Item>>;
}

/// The columns of a primary key by name.
type KeyColumns = BTreeMap<String, Value>;

/// Reads rows by key, in the order of the keys.
pub(in crate::store) async fn read<R: Reads>(reader: &mut R, keys: &[Key], lock: Lock) -> Result<Vec<Option<Item>>> {
    let mut by_table: BTreeMap<String, Vec<(&Key, KeyColumns)>> = BTreeMap::new();
    for key in keys {
        let (table, columns) = row::key_parts(key)?;
        by_table.entry(table).or_default().push((key, columns));
    }
    let mut found: HashMap<Key, Item> = HashMap::with_capacity(keys.len());
    for (name, wanted) in by_table {
        let table = reader.find(&name).ok_or_else(|| no_such_table(&name))?;
        if !table.has_key() {
            let wanted: Vec<&Key> = wanted.iter().map(|(key, _)| *key).collect();
            let items = reader.repeated(&table, &wanted).await?;
            found.extend(items.into_iter().map(|item| (item.key.clone(), item)));
            continue;
        }
        let cells: Option<Vec<_>> = wanted.iter().map(|(_, columns)| table.key_cells(columns)).collect();
        let cells = cells.ok_or_else(|| no_such_key(&name))?;
        for cells in cells.chunks(R::KEYS_MAX) {
            let items = reader.keyed(&table, cells, lock).await?;
            found.extend(items.into_iter().map(|item| (item.key.clone(), item)));
        }
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}
