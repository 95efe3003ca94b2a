//! The shape of the covered tables in words.

use std::collections::BTreeMap;

use mysql_async::Conn;

use super::catalog::{Catalog, ForeignKey, Table};
use super::column::Column;
use super::{ask, connect};
use crate::store::{Result, Shape, WHOLE};

/// Indexes, a row for each column. They go by what they are and not by their names.
const INDEXES: &str =
    "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, INDEX_TYPE, COALESCE(COLUMN_NAME, 'an expression'), SUB_PART
 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND INDEX_NAME <> 'PRIMARY'
 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX";

const TRIGGERS: &str = "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT
 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? ORDER BY 1, 2";

/// Table constraints that only MySQL from 8.0.16 and MariaDB from 10.2 on tell; their views differ.
const CHECKS_MARIADB: &str = "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
 WHERE CONSTRAINT_SCHEMA = ? ORDER BY 1, 2";
const CHECKS_MYSQL: &str = "SELECT t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c
 JOIN information_schema.TABLE_CONSTRAINTS t USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME)
 WHERE c.CONSTRAINT_SCHEMA = ? AND t.CONSTRAINT_TYPE = 'CHECK' ORDER BY 1, 2";

const SERVER: &str = "SELECT @@global.sql_mode, @@lower_case_table_names, @@global.time_zone";

/// Binding: tables, columns, types with labels in their order, character sets, collations and keys. Advisory: the rest.
pub(super) async fn shape(conn: &mut Conn, catalog: &Catalog) -> Result<Shape> {
    let mut shape = Shape::default();
    for table in &catalog.tables {
        shape.binding.insert(format!("{WHOLE}{}", table.name), "there".into());
        let key: Vec<&str> = table.key_columns().map(|column| column.name.as_str()).collect();
        let key = match table.view.as_ref().and_then(|view| view.other_key.clone()) {
            Some(other) => other,
            None if key.is_empty() => "none".into(),
            None => key.join(", "),
        };
        shape.binding.insert(format!("{} primary key", table.name), key);
        shape.advisory.insert(format!("{} engine", table.name), engine_words(table));
        table.columns.iter().for_each(|column| add_column(&mut shape, table, column));
        for column in table.view.iter().flat_map(|view| &view.left) {
            add_left(&mut shape, table, column);
        }
    }
    for key in &catalog.foreign_keys {
        shape.advisory.insert(format!("{} foreign key {}", key.child, key.name), reference_words(key));
    }
    let what = "cannot read the tables' indexes and triggers";
    for (part, count) in indexes(conn, catalog, what).await? {
        let words = if count > 1 { format!("there {count} times") } else { "there".to_owned() };
        shape.advisory.insert(part, words);
    }
    for mut row in ask::rows(conn, what, TRIGGERS, (&catalog.database,)).await? {
        let (table, name, timing, event, body) = (row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?, row.text(4)?);
        if catalog.table(&table).is_some() {
            let words = format!("{timing} {event} {}", body.split_whitespace().collect::<Vec<_>>().join(" "));
            shape.advisory.insert(format!("{table} trigger {name}"), words);
        }
    }
    server(conn, catalog, &mut shape).await?;
    Ok(shape)
}

fn engine_words(table: &Table) -> String {
    let engine = if table.engine.is_empty() { "unknown" } else { &table.engine };
    [engine, &table.options].join(" ").trim().to_owned()
}

/// A column of dr that the mapping of its table does not name; where it goes by the name of a column that is another on dr, it is
/// told apart from that.
fn add_left(shape: &mut Shape, table: &Table, column: &Column) {
    let part = format!("{}.{}", table.name, column.name);
    let is_taken = table.columns.iter().any(|mapped| mapped.name == column.name);
    let part = if is_taken { format!("{part} as dr has it") } else { part };
    shape.binding.insert(part, type_words(column));
}

fn type_words(column: &Column) -> String {
    let null = if column.not_null { "not null" } else { "nullable" };
    let generated = if column.is_generated() { " generated" } else { "" };
    format!("{} {null}{generated}", column.type_name)
}

fn add_column(shape: &mut Shape, table: &Table, column: &Column) {
    let part = format!("{}.{}", table.name, column.name);
    shape.binding.insert(part.clone(), type_words(column));
    if let (Some(charset), Some(collation)) = (&column.charset, &column.collation) {
        // A server of a later day calls the same by another name.
        let spelled = |name: &str| match name.strip_prefix("utf8") {
            Some(rest) if rest.is_empty() || rest.starts_with('_') => format!("utf8mb3{rest}"),
            _ => name.to_owned(),
        };
        shape.binding.insert(format!("{part} collation"), format!("{} {}", spelled(charset), spelled(collation)));
    }
    let told = [
        ("generated as", column.generated.clone()),
        ("default", column.default.clone()),
        ("auto_increment", column.is_counted.then(|| "yes".to_owned())),
        ("on update", column.is_touched.then(|| "current_timestamp".to_owned())),
    ];
    for (kind, words) in told {
        if let Some(words) = words {
            shape.advisory.insert(format!("{part} {kind}"), words);
        }
    }
}

fn reference_words(key: &ForeignKey) -> String {
    format!(
        "({}) to {} ({}), on delete {}, on update {}",
        key.child_columns.join(", "),
        key.parent,
        key.parent_columns.join(", "),
        key.on_delete.to_lowercase(),
        key.on_update.to_lowercase()
    )
}

/// Every index in words, with how many there are of it.
async fn indexes(conn: &mut Conn, catalog: &Catalog, what: &str) -> Result<BTreeMap<String, u32>> {
    let mut by_name: BTreeMap<(String, String), (String, Vec<String>)> = BTreeMap::new();
    for mut row in ask::rows(conn, what, INDEXES, (&catalog.database,)).await? {
        let (table, index) = (row.text(0)?, row.text(1)?);
        if catalog.table(&table).is_none() {
            continue;
        }
        let sort = if row.number(2)? == 0 { "unique index" } else { "index" };
        let kind = format!("{sort} {}", row.text(3)?.to_lowercase());
        let (column, prefix) = (row.text(4)?, row.maybe_number(5)?);
        let column = prefix.map_or_else(|| column.clone(), |prefix| format!("{column}({prefix})"));
        by_name.entry((table, index)).or_insert((kind, Vec::new())).1.push(column);
    }
    let mut counted = BTreeMap::new();
    for ((table, _), (kind, columns)) in by_name {
        *counted.entry(format!("{table} {kind} ({})", columns.join(", "))).or_insert(0) += 1;
    }
    Ok(counted)
}

async fn server(conn: &mut Conn, catalog: &Catalog, shape: &mut Shape) -> Result<()> {
    let (flavour, version) = connect::version(conn).await?;
    let major: Vec<&str> = version.split(['.', '-']).take(2).collect();
    shape.advisory.insert("server".into(), format!("{} {}", flavour.name(), major.join(".")));
    let checks = match flavour {
        connect::Flavour::MariaDb => Some(CHECKS_MARIADB),
        connect::Flavour::MySql => connect::has_dictionary(flavour, &version).then_some(CHECKS_MYSQL),
    };
    if let Some(checks) = checks {
        for mut row in ask::rows(conn, "cannot read the tables' constraints", checks, (&catalog.database,)).await? {
            let (table, clause) = (row.text(0)?, row.text(1)?);
            if catalog.table(&table).is_some() {
                shape.advisory.insert(format!("{table} constraint CHECK ({clause})"), "there".into());
            }
        }
    }
    for mut row in ask::rows(conn, "cannot ask the server for its settings", SERVER, ()).await? {
        for (at, name) in [(0, "setting sql_mode"), (1, "setting lower_case_table_names"), (2, "setting time_zone")] {
            shape.advisory.insert(name.into(), row.text(at)?);
        }
    }
    Ok(())
}
