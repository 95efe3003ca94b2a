//! Column mappings of tables whose model moved on: what is the same for every database.
//!
//! The model is the primary's. dr is read in its columns; of the primary, and of a base, columns are only left out. What a
//! mapping does not say stays a difference.

use crate::digest;
use crate::model::{Side, Value};
use crate::profile::MappingProfile;
use crate::store::{ErrorKind, Result, StoreError};

/// Why dr cannot be read by a mapping.
const NO_MODEL: &str =
    "dr is read in the primary's columns, as the profile's mapping says, and the primary's cannot be read";

/// Which tables are covered, and how they are seen; `C` is a database's catalog.
#[derive(Debug, Clone)]
pub(in crate::store) struct Covered<C> {
    pub(in crate::store) patterns: Vec<String>,
    pub(in crate::store) mappings: Vec<MappingProfile>,
    pub(in crate::store) side: Side,
    /// The primary's tables, where this is dr.
    pub(in crate::store) model: Option<C>,
}

impl<C> Covered<C> {
    pub(in crate::store) fn of(patterns: &[String], side: Side) -> Covered<C> {
        Covered { patterns: patterns.to_vec(), mappings: Vec::new(), side, model: None }
    }

    /// The same tables, seen by mappings; `model` is the primary's catalog.
    ///
    /// # Errors
    ///
    /// `Unreachable` where dr has no model to be read by.
    pub(in crate::store) fn by(self, mappings: &[MappingProfile], model: Option<C>) -> Result<Covered<C>> {
        let model = match (self.side, model) {
            (Side::Dr, None) => return Err(StoreError::new(ErrorKind::Unreachable, NO_MODEL)),
            (Side::Dr, model) => model,
            (Side::Primary | Side::Base, _) => None,
        };
        Ok(Covered { mappings: mappings.to_vec(), model, ..self })
    }

    /// The error of a mapping whose table the side has not; a base may be from before the table.
    pub(in crate::store) fn without(&self, mapping: &MappingProfile) -> Result<()> {
        match self.side {
            Side::Base => Ok(()),
            side => Err(no_such_table(mapping, &format!("{side}'s database"))),
        }
    }
}

/// Where a column of the primary comes from on dr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Source {
    /// The column of dr at that place.
    Column(usize),
    /// An expression over dr's columns, as the profile has it, and the field that it stands in.
    Expression(String, &'static str),
}

/// The names of both sides' columns.
pub(in crate::store) struct Models<'a> {
    /// Those of the primary that are compared.
    pub(in crate::store) primary: Vec<&'a str>,
    /// The primary's others.
    pub(in crate::store) ignored: Vec<&'a str>,
    pub(in crate::store) dr: Vec<&'a str>,
}

/// A mapping, resolved against both sides' columns.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Resolved {
    /// Places of the primary's columns in their order, and where each comes from; what dr has nothing for is left out.
    pub(in crate::store) columns: Vec<(usize, Source)>,
    /// Places of dr's columns that nothing names; an expression may use them.
    pub(in crate::store) left: Vec<usize>,
}

/// An error of a mapping, which says where it stands.
pub(in crate::store) fn unfit(mapping: &MappingProfile, field: &str, what: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Unfit, format!("{}.{field}: {what}", mapping.path))
}

/// A mapping of a table that is not there.
pub(in crate::store) fn no_such_table(mapping: &MappingProfile, side: &str) -> StoreError {
    unfit(mapping, "table", format!("{side} has no table {} that `tables` names", mapping.table))
}

/// Refuses a mapping of columns that the primary has not.
pub(in crate::store) fn require_columns(mapping: &MappingProfile, primary: &[&str]) -> Result<()> {
    let MappingProfile { table, rename, default, transform, .. } = mapping;
    for (field, columns) in [("rename", rename), ("default", default), ("transform", transform)] {
        if let Some(name) = columns.keys().find(|name| !primary.contains(&name.as_str())) {
            return Err(unfit(mapping, field, format!("the primary's table {table} has no column {name}")));
        }
    }
    Ok(())
}

/// Refuses to ignore a column of a primary key.
pub(in crate::store) fn require_key(mapping: &MappingProfile, key: &[&str]) -> Result<()> {
    match key.iter().find(|name| is_ignored(mapping, name)) {
        None => Ok(()),
        Some(name) => {
            let what =
                format!("column {name} is of the primary key of {}, by which rows are told apart", mapping.table);
            Err(unfit(mapping, "ignore", what))
        }
    }
}

/// Whether a column of that name is neither compared nor written.
pub(in crate::store) fn is_ignored(mapping: &MappingProfile, name: &str) -> bool {
    mapping.ignore.iter().any(|ignored| ignored == name)
}

/// Finds where each column of the primary comes from.
pub(in crate::store) fn resolve(mapping: &MappingProfile, models: &Models<'_>) -> Result<Resolved> {
    let Models { primary, ignored, dr } = models;
    let all: Vec<&str> = primary.iter().chain(ignored).copied().collect();
    require_columns(mapping, &all)?;
    let place = |name: &str| dr.iter().position(|column| *column == name);
    if let Some(name) = mapping.ignore.iter().find(|name| !all.contains(&name.as_str()) && place(name).is_none()) {
        return Err(unfit(mapping, "ignore", format!("neither side's table {} has a column {name}", mapping.table)));
    }
    let mut columns = Vec::new();
    for (at, name) in primary.iter().enumerate() {
        columns.extend(source_of(mapping, name, dr)?.map(|source| (at, source)));
    }
    let is_read = |at: usize| columns.iter().any(|(_, source)| *source == Source::Column(at));
    let left = (0..dr.len()).filter(|at| !is_read(*at) && !is_ignored(mapping, dr[*at])).collect();
    Ok(Resolved { columns, left })
}

fn source_of(mapping: &MappingProfile, name: &str, dr: &[&str]) -> Result<Option<Source>> {
    let place = |name: &str| dr.iter().position(|column| *column == name);
    if let Some(renamed) = mapping.rename.get(name) {
        let missing = || unfit(mapping, "rename", format!("dr's table {} has no column {renamed}", mapping.table));
        return Ok(Some(Source::Column(place(renamed).ok_or_else(missing)?)));
    }
    let is_renamed = mapping.rename.values().any(|renamed| renamed == name);
    if let Some(expression) = mapping.default.get(name) {
        if place(name).is_some() && !is_renamed {
            let what = format!("dr's table {} has a column {name}, which a default would hide", mapping.table);
            return Err(unfit(mapping, "default", what));
        }
        return Ok(Some(Source::Expression(expression.clone(), "default")));
    }
    if let Some(expression) = mapping.transform.get(name) {
        return Ok(Some(Source::Expression(expression.clone(), "transform")));
    }
    // What stands for another column is not this one too.
    Ok(place(name).filter(|_| !is_renamed).map(Source::Column))
}

/// What comparisons by these mappings do not look at, in words.
pub(in crate::store) fn not_checked(mappings: &[MappingProfile]) -> Vec<String> {
    let of = |mapping: &MappingProfile| {
        let MappingProfile { table, default, transform, ignore, .. } = mapping;
        let ignored =
            (!ignore.is_empty()).then(|| format!("columns of {table} that the mapping ignores: {}", ignore.join(", ")));
        let default = default.iter().map(|(name, expression)| {
            format!("{table}.{name}, which dr has not: the mapping takes it as {expression}")
        });
        let transform = transform.iter().map(|(name, expression)| {
            format!("whether the mapping is right to take {table}.{name} from dr as {expression}")
        });
        ignored.into_iter().chain(default).chain(transform).collect::<Vec<_>>()
    };
    mappings.iter().flat_map(of).collect()
}

/// What tells a resource that is seen by these mappings from one that is seen by others, after its own id.
pub(in crate::store) fn identified(id: String, mappings: &[MappingProfile]) -> String {
    if mappings.is_empty() {
        return id;
    }
    let mut said: Vec<Value> = mappings.iter().map(said).collect();
    said.sort_by_key(crate::digest::encode);
    let digest = digest::item_digest(&Value::List(said)).to_string();
    format!("{id} by mapping {}", digest.get(..16).unwrap_or(&digest))
}

fn said(mapping: &MappingProfile) -> Value {
    let MappingProfile { table, rename, default, transform, ignore, path: _ } = mapping;
    let texts = |texts: &std::collections::BTreeMap<String, String>| {
        Value::Map(texts.iter().map(|(name, text)| (name.clone(), Value::text(text.as_str()))).collect())
    };
    let mut ignore: Vec<&str> = ignore.iter().map(String::as_str).collect();
    ignore.sort_unstable();
    let ignore = ignore.into_iter().map(Value::text).collect();
    Value::List(vec![Value::text(table.as_str()), texts(rename), texts(default), texts(transform), Value::List(ignore)])
}

/// Why rows of a table are not deleted.
pub(in crate::store) fn kept_words(columns: &[&str]) -> String {
    format!("a delete would lose what the primary has in columns that the mapping ignores: {}", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(rename: &[(&str, &str)], default: &[&str], transform: &[&str], ignore: &[&str]) -> MappingProfile {
        MappingProfile {
            table: "orders".into(),
            rename: rename.iter().map(|(name, other)| ((*name).into(), (*other).into())).collect(),
            default: default.iter().map(|name| ((*name).into(), "0".into())).collect(),
            transform: transform.iter().map(|name| ((*name).into(), "1".into())).collect(),
            ignore: ignore.iter().map(|name| (*name).into()).collect(),
            path: "store.s.mapping[1]".into(),
        }
    }

    fn resolved(mapping: &MappingProfile, primary: &[&str], dr: &[&str]) -> std::result::Result<Resolved, String> {
        let (ignored, primary) = primary.iter().copied().partition(|name| is_ignored(mapping, name));
        resolve(mapping, &Models { primary, ignored, dr: dr.to_vec() }).map_err(|error| error.to_string())
    }

    #[test]
    fn every_column_of_the_primary_comes_from_somewhere() {
        let all = mapping(&[("amount", "total")], &["channel"], &["price"], &["vector", "novel"]);
        let found = resolved(
            &all,
            &["id", "amount", "channel", "price", "vector", "lost"],
            &["novel", "id", "total", "cents", "new"],
        );
        let expression = |text: &str, field| Source::Expression(text.into(), field);
        assert_eq!(
            found,
            Ok(Resolved {
                columns: vec![
                    (0, Source::Column(1)),
                    (1, Source::Column(2)),
                    (2, expression("0", "default")),
                    (3, expression("1", "transform")),
                ],
                left: vec![3, 4],
            })
        );
        let swapped = mapping(&[("a", "b"), ("b", "a")], &[], &[], &[]);
        let found = resolved(&swapped, &["a", "b"], &["a", "b"]).expect("resolved");
        assert_eq!(found.columns, [(0, Source::Column(1)), (1, Source::Column(0))]);
        let moved = mapping(&[("a", "b")], &[], &[], &[]);
        let found = resolved(&moved, &["a", "b"], &["a", "b"]).expect("resolved");
        assert_eq!((found.columns, found.left), (vec![(0, Source::Column(1))], vec![0]));
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (mapping, told) in [
            (mapping(&[("x", "b")], &[], &[], &[]), "rename: the primary's table orders has no column x"),
            (mapping(&[("a", "y")], &[], &[], &[]), "rename: dr's table orders has no column y"),
            (mapping(&[], &["x"], &[], &[]), "default: the primary's table orders has no column x"),
            (mapping(&[], &["a"], &[], &[]), "default: dr's table orders has a column a, which a default would hide"),
            (mapping(&[], &[], &["x"], &[]), "transform: the primary's table orders has no column x"),
            (mapping(&[], &[], &[], &["x"]), "ignore: neither side's table orders has a column x"),
        ] {
            assert_eq!(resolved(&mapping, &["a"], &["a", "b"]), Err(format!("store.s.mapping[1].{told}")));
        }
    }

    #[test]
    fn a_mapping_is_part_of_what_a_resource_is() {
        let one = mapping(&[("a", "b")], &["c"], &[], &["x", "y"]);
        let with = |mappings: &[MappingProfile]| identified("db".into(), mappings);
        assert_eq!(with(&[]), "db");
        let moved = MappingProfile { path: "elsewhere".into(), ..mapping(&[("a", "b")], &["c"], &[], &["y", "x"]) };
        assert_eq!(with(std::slice::from_ref(&one)), with(&[moved]));
        assert_ne!(with(&[one]), with(&[mapping(&[("a", "b")], &[], &["c"], &["x", "y"])]));
    }
}
