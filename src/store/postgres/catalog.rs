//! Which tables are covered, and what their columns, keys and references are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::mapping::{self, Covered, Source, View};
use super::{fault, names};
use crate::store::sql::mapping::kept_words;
use crate::store::sql::names as sql_names;
use crate::store::{ErrorKind, Result, StoreError};

/// How a column's output text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Bool,
    Number,
    Text,
    Bytes,
    Typed,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) number: i16,
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) reading: Reading,
    pub(super) not_null: bool,
    pub(super) generated: String,
    pub(super) identity: String,
    pub(super) collation: Option<String>,
    pub(super) default: Option<String>,
    pub(super) labels: Option<String>,
    /// Whether a unique index holds it, by itself or within an expression.
    pub(super) is_unique: bool,
    /// Whether its binary form is the same for two values only where their output texts are.
    pub(super) is_binary_exact: bool,
}

impl Column {
    pub(super) fn is_generated(&self) -> bool {
        !self.generated.is_empty()
    }
}

/// One column of a primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    /// Its place among the table's columns.
    pub(super) column: usize,
    /// The equality operator of its index, as `OPERATOR(schema.=)`.
    pub(super) equals: String,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    /// `schema.table`, unquoted, as it stands in keys.
    pub(super) name: String,
    /// `"schema"."table"`.
    pub(super) quoted: String,
    pub(super) is_partitioned: bool,
    pub(super) is_unlogged: bool,
    pub(super) columns: Vec<Column>,
    /// Columns that are neither compared nor written.
    pub(super) ignored: Vec<Column>,
    /// How it is seen as a table of the primary, where its columns are not its own.
    pub(super) view: Option<View>,
    /// Empty where there is no primary key.
    pub(super) key: Vec<KeyColumn>,
    pub(super) is_key_deferrable: bool,
    pub(super) rank: u32,
    pub(super) rows: u64,
    pub(super) pages: u64,
}

impl Table {
    /// The table as `FROM` wants it, with the columns that it is seen by.
    pub(super) fn from(&self) -> String {
        match &self.view {
            None => self.own(),
            Some(view) => view.from(&self.columns, &self.own()),
        }
    }

    /// The table itself: without the tables that inherit from it, which stand for themselves.
    pub(super) fn own(&self) -> String {
        if self.is_partitioned { self.quoted.clone() } else { format!("ONLY {}", self.quoted) }
    }

    /// What it is called where it cannot be read.
    pub(super) fn words(&self) -> String {
        match &self.view {
            None => self.name.clone(),
            Some(view) => format!("{} by {}", self.name, view.path),
        }
    }

    /// The name of a column in the table itself, where it is not computed.
    pub(super) fn own_name(&self, at: usize) -> Option<&str> {
        match &self.view {
            None => self.columns.get(at).map(|column| column.name.as_str()),
            Some(view) => match view.sources.get(at)? {
                Source::Column(name) => Some(name),
                Source::Expression(_) => None,
            },
        }
    }

    /// Ignored columns that hold what cannot be computed again.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Column> {
        self.ignored.iter().filter(|column| !column.is_generated())
    }

    /// Why its rows are not deleted, where they are not.
    pub(super) fn hold_deletes(&self) -> Option<String> {
        let kept: Vec<&str> = self.kept().map(|column| column.name.as_str()).collect();
        (!kept.is_empty()).then(|| kept_words(&kept))
    }
}

/// One foreign key that touches a covered table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) child: u32,
    pub(super) parent: u32,
    pub(super) child_name: String,
    pub(super) child_quoted: String,
    pub(super) parent_quoted: String,
    pub(super) child_columns: Vec<String>,
    pub(super) parent_columns: Vec<String>,
    /// Operators `parent column op child column`, as `OPERATOR(schema.=)`.
    pub(super) equals: Vec<String>,
    pub(super) is_deferrable: bool,
    pub(super) is_validated: bool,
    pub(super) is_match_full: bool,
    pub(super) on_delete: String,
    pub(super) on_update: String,
}

impl ForeignKey {
    /// Whether it refers to that column of the parent.
    pub(super) fn has_parent_column(&self, name: &str) -> bool {
        // The server quotes an identifier only where it must be.
        self.parent_columns.iter().any(|column| column == name || *column == names::quoted(name))
    }
}

/// A unique constraint that is checked by a trigger, and so not at all under the replica role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeferrableUnique {
    pub(super) name: String,
    pub(super) table: u32,
    pub(super) columns: Vec<String>,
}

/// Everything covered, in the order of `schema.table`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    pub(super) tables: Vec<Arc<Table>>,
    by_name: BTreeMap<String, usize>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) deferrable: Vec<DeferrableUnique>,
    /// Whether the database holds large objects, which are not compared.
    pub(super) has_large_objects: bool,
    /// Patterns that match no table.
    pub(super) idle_patterns: Vec<String>,
    /// Matching tables without a column, which hold nothing that can be compared.
    pub(super) empty_tables: Vec<String>,
    /// Tables that no pattern matches.
    pub(super) uncovered: Vec<String>,
}

const TABLES: &str = "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', c.relpersistence = 'u',
  greatest(c.reltuples, 0)::bigint,
  (CASE WHEN c.relkind = 'p' THEN coalesce((SELECT max(pg_relation_size(t.relid)) FROM pg_partition_tree(c.oid) t
     WHERE t.isleaf AND t.relid::oid <> c.oid), 0) ELSE pg_relation_size(c.oid) END
    / current_setting('block_size')::bigint)::bigint,
  coalesce((SELECT condeferrable FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p'), false)
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
 ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";

const COLUMNS: &str = "SELECT a.attrelid, a.attnum, a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid,
  a.attnotnull, a.attgenerated::text, a.attidentity::text,
  CASE WHEN a.attcollation <> 0 THEN (SELECT l.collname::text FROM pg_collation l WHERE l.oid = a.attcollation) END,
  pg_get_expr(d.adbin, d.adrelid),
  (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e
    WHERE e.enumtypid = coalesce(nullif(t.typelem, 0), a.atttypid)),
  EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND (a.attnum = ANY(i.indkey)
    OR EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
     AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum)))
 FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

const KEYS: &str = "SELECT i.indrelid, k.attnum, format('OPERATOR(%I.%s)', n.nspname, o.oprname)
 FROM pg_index i
  CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS k(attnum, opclass, at)
  JOIN pg_opclass c ON c.oid = k.opclass
  JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
   AND m.amopstrategy = 3
  JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
 WHERE i.indisprimary AND i.indrelid = ANY($1) AND k.at <= i.indnkeyatts ORDER BY i.indrelid, k.at";

const FOREIGN_KEYS: &str = "SELECT f.conname::text, f.conrelid, f.confrelid,
  cn.nspname::text || '.' || c.relname::text, format('%I.%I', cn.nspname, c.relname), format('%I.%I', pn.nspname, p.relname),
  (SELECT array_agg(quote_ident(a.attname) ORDER BY k.at) FROM unnest(f.conkey) WITH ORDINALITY k(num, at)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num),
  (SELECT array_agg(quote_ident(a.attname) ORDER BY k.at) FROM unnest(f.confkey) WITH ORDINALITY k(num, at)
    JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num),
  (SELECT array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY k.at)
    FROM unnest(f.conpfeqop) WITH ORDINALITY k(op, at) JOIN pg_operator o ON o.oid = k.op
    JOIN pg_namespace n ON n.oid = o.oprnamespace),
  f.condeferrable, f.convalidated, f.confmatchtype = 'f', f.confdeltype::text, f.confupdtype::text
 FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
  JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
 WHERE f.contype = 'f' AND f.conparentid = 0 AND (f.conrelid = ANY($1) OR f.confrelid = ANY($1)) ORDER BY 4, 1";

const DEFERRABLE: &str = "SELECT u.conname::text, u.conrelid,
  (SELECT array_agg(quote_ident(a.attname) ORDER BY k.at) FROM unnest(u.conkey) WITH ORDINALITY k(num, at)
    JOIN pg_attribute a ON a.attrelid = u.conrelid AND a.attnum = k.num)
 FROM pg_constraint u WHERE u.contype IN ('u', 'p') AND u.condeferrable AND u.conrelid = ANY($1) ORDER BY 2, 1";

const LARGE_OBJECTS: &str = "SELECT EXISTS (SELECT 1 FROM pg_largeobject_metadata)";

/// Reads the catalog of all covered tables; the client is in no transaction.
pub(super) async fn load(client: &Client, covered: &Covered) -> Result<Catalog> {
    load_knowing(client, covered, None).await
}

/// The same within a transaction, which nothing may break: tables are seen as in `known`, where they are what they were.
pub(super) async fn load_within(client: &Client, covered: &Covered, known: &Catalog) -> Result<Catalog> {
    load_knowing(client, covered, Some(known)).await
}

async fn load_knowing(client: &Client, covered: &Covered, known: Option<&Catalog>) -> Result<Catalog> {
    let patterns = &covered.patterns;
    if let Some(pattern) = patterns.iter().find(|pattern| !pattern.contains('.')) {
        return Err(StoreError::new(ErrorKind::Unfit, format!("table pattern `{pattern}` is not schema.table")));
    }
    let what = "cannot read the database's catalog";
    let failed = |error: tokio_postgres::Error| fault::store_error(what, &error);
    let rows = client.query_typed(TABLES, &[]).await.map_err(failed)?;
    let mut tables: Vec<Table> = rows.iter().map(table_of).collect();
    let idle_patterns = patterns
        .iter()
        .filter(|pattern| !tables.iter().any(|table| sql_names::matches(pattern, &table.name)))
        .cloned()
        .collect();
    let is_covered = |table: &Table| patterns.iter().any(|pattern| sql_names::matches(pattern, &table.name));
    let uncovered = tables.iter().filter(|table| !is_covered(table)).map(|table| table.name.clone()).collect();
    tables.retain(is_covered);
    require_names(&tables)?;
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let ask = async |sql: &str| client.query_typed(sql, &[(&oids, Type::OID_ARRAY)]).await.map_err(failed);
    for row in ask(COLUMNS).await? {
        if let Some(table) = tables.iter_mut().find(|table| table.oid == row.get::<_, u32>(0)) {
            table.columns.push(column_of(&row));
        }
    }
    for row in ask(KEYS).await? {
        add_key_column(&mut tables, &row)?;
    }
    let empty_tables = tables.iter().filter(|table| table.columns.is_empty()).map(|table| table.name.clone()).collect();
    tables.retain(|table| !table.columns.is_empty());
    mapping::apply(client, &mut tables, covered, known).await?;
    let foreign_keys: Vec<ForeignKey> = ask(FOREIGN_KEYS).await?.iter().map(foreign_key_of).collect();
    let deferrable = ask(DEFERRABLE).await?;
    let deferrable = deferrable
        .iter()
        .map(|row| DeferrableUnique { name: row.get(0), table: row.get(1), columns: row.get(2) })
        .collect();
    let has_large_objects = client.query_typed_one(LARGE_OBJECTS, &[]).await.map_err(failed)?.get(0);
    rank(&mut tables, &foreign_keys);
    let by_name = tables.iter().enumerate().map(|(at, table)| (table.name.clone(), at)).collect();
    let tables = tables.into_iter().map(Arc::new).collect();
    Ok(Catalog { tables, by_name, foreign_keys, deferrable, has_large_objects, idle_patterns, empty_tables, uncovered })
}

/// A key names its table as `schema.table`, unquoted: with dots in names, two tables may go by one name.
fn require_names(tables: &[Table]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match tables.iter().find(|table| !seen.insert(&table.name)) {
        None => Ok(()),
        Some(table) => {
            let what = format!("two tables go by the name {}, for there are dots in their names", table.name);
            Err(StoreError::new(ErrorKind::Unfit, what))
        }
    }
}

fn table_of(row: &Row) -> Table {
    let (schema, name): (String, String) = (row.get(1), row.get(2));
    Table {
        oid: row.get(0),
        name: format!("{schema}.{name}"),
        quoted: format!("{}.{}", names::quoted(&schema), names::quoted(&name)),
        schema,
        is_partitioned: row.get(3),
        is_unlogged: row.get(4),
        rows: row.get::<_, i64>(5).unsigned_abs(),
        pages: row.get::<_, i64>(6).unsigned_abs(),
        is_key_deferrable: row.get(7),
        columns: Vec::new(),
        ignored: Vec::new(),
        view: None,
        key: Vec::new(),
        rank: 0,
    }
}

/// Types whose binary form is one for one with their output text, on any server.
const BINARY_EXACT: [Type; 19] = [
    Type::BOOL,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::OID,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::BYTEA,
    Type::FLOAT4,
    Type::FLOAT8,
    Type::NUMERIC,
    Type::DATE,
    Type::TIME,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
    Type::INTERVAL,
    Type::UUID,
    Type::JSONB,
];

fn column_of(row: &Row) -> Column {
    let known = Type::from_oid(row.get(4));
    let is_binary_exact = known.as_ref().is_some_and(|known| BINARY_EXACT.contains(known));
    let reading = match known {
        Some(Type::BOOL) => Reading::Bool,
        Some(Type::INT2 | Type::INT4 | Type::INT8 | Type::OID) => Reading::Number,
        Some(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME) => Reading::Text,
        Some(Type::BYTEA) => Reading::Bytes,
        _ => Reading::Typed,
    };
    Column {
        number: row.get(1),
        name: row.get(2),
        type_name: row.get(3),
        reading,
        not_null: row.get(5),
        generated: row.get(6),
        identity: row.get(7),
        collation: row.get(8),
        default: row.get(9),
        labels: row.get(10),
        is_unique: row.get(11),
        is_binary_exact,
    }
}

fn add_key_column(tables: &mut [Table], row: &Row) -> Result<()> {
    let Some(table) = tables.iter_mut().find(|table| table.oid == row.get::<_, u32>(0)) else { return Ok(()) };
    let number: i16 = row.get(1);
    let Some(column) = table.columns.iter().position(|column| column.number == number) else {
        let what = format!("the primary key of {} has a column that cannot be read", table.name);
        return Err(StoreError::new(ErrorKind::Unfit, what));
    };
    table.key.push(KeyColumn { column, equals: row.get(2) });
    Ok(())
}

fn foreign_key_of(row: &Row) -> ForeignKey {
    ForeignKey {
        name: row.get(0),
        child: row.get(1),
        parent: row.get(2),
        child_name: row.get(3),
        child_quoted: row.get(4),
        parent_quoted: row.get(5),
        child_columns: row.get(6),
        parent_columns: row.get(7),
        equals: row.get(8),
        is_deferrable: row.get(9),
        is_validated: row.get(10),
        is_match_full: row.get(11),
        on_delete: row.get(12),
        on_update: row.get(13),
    }
}

fn rank(tables: &mut [Table], foreign_keys: &[ForeignKey]) {
    let at = |oid: u32| tables.iter().position(|table| table.oid == oid);
    let references: Vec<(usize, usize)> =
        foreign_keys.iter().filter_map(|key| Some((at(key.child)?, at(key.parent)?))).collect();
    let ranks = sql_names::ranks(tables.len(), &references);
    for (table, rank) in tables.iter_mut().zip(ranks) {
        table.rank = rank;
    }
}

impl Catalog {
    /// The covered table of that `schema.table`.
    pub(super) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.by_name.get(name).and_then(|&at| self.tables.get(at))
    }

    /// Foreign keys of which `table` is the parent.
    pub(super) fn references_to(&self, table: u32) -> impl Iterator<Item = &ForeignKey> {
        self.foreign_keys.iter().filter(move |key| key.parent == table)
    }

    /// The oids of all covered tables.
    pub(super) fn oids(&self) -> Vec<u32> {
        self.tables.iter().map(|table| table.oid).collect()
    }

    /// Whether both describe the same tables alike; sizes and estimates may move.
    pub(super) fn is_same_shape(&self, other: &Catalog) -> bool {
        let alike = |one: &Table, other: &Table| {
            let is_named_alike = one.oid == other.oid && one.name == other.name;
            let is_seen_alike = one.ignored == other.ignored && one.view == other.view;
            is_named_alike && is_seen_alike && one.columns == other.columns && one.key == other.key
        };
        self.tables.len() == other.tables.len()
            && self.tables.iter().zip(&other.tables).all(|(one, other)| alike(one, other))
    }
}
