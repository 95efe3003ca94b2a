//! The shape of the covered tables in words.

use super::catalog::Catalog;
use crate::store::Shape;

/// Binding: columns, types, keys and enum labels. Advisory: defaults, collations and foreign keys.
pub(super) fn shape(catalog: &Catalog, server_major: &str) -> Shape {
    let mut shape = Shape::default();
    shape.advisory.insert("server major version".into(), server_major.into());
    for table in &catalog.tables {
        let key: Vec<&str> = table.key.iter().map(|key| table.columns[key.column].name.as_str()).collect();
        let key = if key.is_empty() { "none".into() } else { key.join(", ") };
        shape.binding.insert(format!("{} primary key", table.name), key);
        for column in &table.columns {
            let part = format!("{}.{}", table.name, column.name);
            let null = if column.not_null { "not null" } else { "nullable" };
            let mut words = format!("{} {null}", column.type_name);
            if column.is_generated() {
                words.push_str(" generated");
            }
            if let Some(labels) = &column.labels {
                words = format!("{words} enum({labels})");
            }
            shape.binding.insert(part.clone(), words);
            let default = column.default.clone().filter(|_| !column.is_generated());
            let advice = [("default", default), ("collation", column.collation.clone())];
            let identity = (!column.identity.is_empty()).then(|| column.identity.clone());
            for (kind, words) in advice.into_iter().chain([("identity", identity)]) {
                if let Some(words) = words {
                    shape.advisory.insert(format!("{part} {kind}"), words);
                }
            }
        }
    }
    for key in &catalog.foreign_keys {
        let words = format!(
            "({}) to {} ({}), on delete {}, on update {}",
            key.child_columns.join(", "),
            key.parent_quoted,
            key.parent_columns.join(", "),
            key.on_delete,
            key.on_update
        );
        shape.advisory.insert(format!("{} foreign key {}", key.child_name, key.name), words);
    }
    shape
}
