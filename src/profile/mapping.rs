//! `[[store.mapping]]`: how a table of dr, whose model moved on, is read as the primary's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::table::{Named, Table};

/// How dr's rows of one table are read in the columns of the primary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingProfile {
    /// The table of the primary; dr's goes by the same name.
    pub table: String,
    /// Columns of the primary by their names on dr.
    pub rename: BTreeMap<String, String>,
    /// Columns of the primary that dr has not, each with an SQL expression.
    pub default: BTreeMap<String, String>,
    /// Columns of the primary, each with an SQL expression over dr's columns.
    pub transform: BTreeMap<String, String>,
    /// Columns of either side that are not compared and not written.
    pub ignore: Vec<String>,
    /// Where it stands in the profile, such as `store.ledger.mapping[1]`.
    pub path: String,
}

/// What names of tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableNames {
    /// `schema.table`.
    WithSchema,
    /// The table's own.
    Plain,
}

/// Reads the mappings of a store.
pub(super) fn read(store: &Table<'_>, names: TableNames, newest_column: Option<&str>) -> Vec<MappingProfile> {
    let mut mappings: Vec<MappingProfile> = Vec::new();
    for table in store.tables("mapping").unwrap_or_default() {
        let span = table.span_of("table");
        let (path, reading) = (table.path_of("table"), table.reading);
        let mapping = one(table, names, newest_column);
        if !mapping.table.is_empty() && mappings.iter().any(|earlier| earlier.table == mapping.table) {
            let hint = Some("put everything about a table into one mapping".to_owned());
            reading.complain(&span, &path, format!("table `{}` has a mapping already", mapping.table), hint);
        }
        mappings.push(mapping);
    }
    mappings
}

fn one(table: Table<'_>, names: TableNames, newest_column: Option<&str>) -> MappingProfile {
    let name = table.need_text("table");
    let is_whole =
        names == TableNames::Plain || name.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if !name.is_empty() && (!is_whole || name.contains(['*', '?'])) {
        let (what, hint) = match names {
            TableNames::WithSchema => ("not one table's full name", "write schema.table, without wildcards"),
            TableNames::Plain => ("not one table's name", "write its name, without wildcards"),
        };
        table.complain("table", what, Some(hint));
    }
    let [rename, default, transform] = ["rename", "default", "transform"].map(|field| table.texts_by_name(field));
    let ignore = table.texts("ignore").unwrap_or_default();
    let said: Vec<(&str, &Vec<Named>)> = vec![("rename", &rename), ("default", &default), ("transform", &transform)];
    check_once(&table, &said, &ignore);
    check_renamed(&table, &rename, &ignore);
    if ignore.is_empty() && said.iter().all(|(_, named)| named.is_empty()) {
        let hint = "add `rename`, `default`, `transform` or `ignore`";
        table.reading.complain(&table.span, &table.path, "the mapping says nothing", Some(hint.to_owned()));
    }
    if let Some((name, span)) = ignore.iter().find(|(name, _)| Some(name.as_str()) == newest_column) {
        let what = format!("`{name}` is `newest_column`, which is compared");
        table.reading.complain(span, &table.path_of("ignore"), what, None);
    }
    let by_name = |named: Vec<Named>| named.into_iter().map(|named| (named.name, named.text)).collect();
    let path = table.path.clone();
    table.finish();
    MappingProfile {
        table: name,
        rename: by_name(rename),
        default: by_name(default),
        transform: by_name(transform),
        ignore: ignore.into_iter().map(|(name, _)| name).collect(),
        path,
    }
}

/// Complains about a column that is named twice.
fn check_once(table: &Table<'_>, said: &[(&str, &Vec<Named>)], ignore: &[(String, Range<usize>)]) {
    let mut seen = BTreeMap::new();
    let named = said.iter().flat_map(|(field, named)| named.iter().map(|one| (*field, &one.name, &one.span)));
    let ignored = ignore.iter().map(|(name, span)| ("ignore", name, span));
    for (field, name, span) in named.chain(ignored) {
        if let Some(earlier) = seen.insert(name, field) {
            let what = format!("column `{name}` is in `{earlier}` already");
            table.reading.complain(span, &table.path_of(field), what, Some("name a column once".to_owned()));
        }
    }
}

/// Complains about a column of dr that two columns of the primary would be, or that is ignored as well.
fn check_renamed(table: &Table<'_>, rename: &[Named], ignore: &[(String, Range<usize>)]) {
    let mut seen = BTreeSet::new();
    for Named { text, span, .. } in rename {
        let what = match (seen.insert(text), ignore.iter().any(|(name, _)| name == text)) {
            (true, false) => continue,
            (false, _) => format!("dr's column `{text}` stands for two columns"),
            (true, true) => format!("dr's column `{text}` is in `ignore` as well"),
        };
        table.reading.complain(span, &table.path_of("rename"), what, Some("name a column once".to_owned()));
    }
}
